"""The offer/answer state of one session: its m-sections, and what has been agreed about each (RFC 8829).

The client and the SFU may both offer. Whoever does describes all m-sections, in the same order for ever; what changes
is what flows in them. `publishing.py` and `subscribing.py` decide that, this module puts it into SDP and takes it from
SDP, and tells the data path what has been agreed. Its methods change nothing when they raise `Refusal`, and never wait.

*Places.* An m-section that the SFU made and that nothing flows in any more is used for its next track of that kind and
direction, unless the client has closed it by an offer of its own (`Transceiver.is_vacant`); in the place of one that
the client has stopped comes a new one with a fresh mid (RFC 8829 §5.2.2). Only when there is neither of them a
description grows. The first open m-section speaks for the transport of all (RFC 9143 §7.2): a browser that finds
another one there begins a new transport, so the SFU puts nothing before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from rtcctl.media.codec import Codec
from rtcctl.media.extensions import BY_KIND, TO_SUBSCRIBERS
from rtcctl.media.sdp import Direction, MediaSection, Setup
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.media.simulcast import LayerPreference
from rtcctl.realtime.schema import SessionDescription
from rtcctl.server import codecs, negotiation
from rtcctl.server.negotiation import DATA, LocalTransport, RemoteTransport, SentSource, unacceptable
from rtcctl.server.tracks import Publication, Subscription, Transceiver

if TYPE_CHECKING:
    from rtcctl.server.connection import Connection
    from rtcctl.server.dtls_transport import ConnectionState
    from rtcctl.server.endpoint import Endpoint


class Signalling:
    """`candidates` are the addresses of the SFU, the best first. `is_third_party`: the peer is an ICE-lite server.

    `on_data_transport` is told, whenever an m-section for data channels is agreed, the client's SCTP port and the
    longest message that it takes, in bytes.
    """

    def __init__(
        self,
        session_id: str,
        endpoint: Endpoint,
        candidates: tuple[tuple[str, int], ...],
        *,
        is_third_party: bool,
        on_state: Callable[[ConnectionState], None],
        on_data_transport: Callable[[int, int], None],
        clock: Callable[[], float],
        on_open: Callable[[Connection], None] | None = None,
    ) -> None:
        self.connection: Connection | None = None
        "The transport; there is none before the first description."
        self.transceivers: list[Transceiver] = []
        self.awaits_answer = False
        "The SFU has offered, and the client has not answered."
        self.agreed_at: float | None = None
        "When the first exchange was complete, in monotonic seconds."
        self._session_id = session_id
        self._endpoint = endpoint
        self._candidates = candidates
        self._is_third_party = is_third_party
        self._on_state = on_state
        self._on_data_transport = on_data_transport
        self._clock = clock
        self._on_open = on_open
        self._version = 0
        self._setup = Setup.PASSIVE
        "Our DTLS role; the first exchange fixes it (RFC 8842 §5.3)."
        self._tag: str | None = None
        "The mid that spoke for the transport in the client's last description."
        self._last_mid = "-1"
        "Of the SFU's own."
        self._group: tuple[str, ...] = ()
        "Of the client's last description."
        self._numbering = codecs.Numbering()

    def open(self) -> Connection:
        """The transport, made when it is first needed."""
        if self.connection is None:
            self.connection = self._endpoint.open(is_controlling=self._is_third_party)
            self.connection.on_state = self._on_state
            if self._on_open is not None:
                self._on_open(self.connection)
        return self.connection

    def by_mid(self, mid: str) -> Transceiver | None:
        """The m-section with this mid, unless it is rejected."""
        return next((t for t in self.transceivers if t.mid == mid and not t.local.is_rejected), None)

    # --- the SFU offers

    def count_with(self, kinds: Iterable[str], *, sends: bool) -> int:
        """How many m-sections there are when each of `kinds` gets one, in which the SFU `sends` or receives."""
        wanted = Counter(kinds)
        vacant = Counter(t.kind for t in self.transceivers if t.is_vacant(sends=sends))
        return len(self.transceivers) + max(0, (wanted - vacant).total() - len(self._stopped_places()))

    def add_sending(self, publication: Publication, preference: LayerPreference) -> Transceiver:
        """An m-section in which the SFU sends; the next offer brings it."""
        assert publication.incoming is not None
        transceiver = self._place(publication.kind, sends=True)
        transceiver.codecs = self._numbering.offered_codecs(publication.kind, publication.incoming.codecs)
        transceiver.extensions = self._numbering.offered_extensions(TO_SUBSCRIBERS[publication.kind])
        self.subscribe(transceiver, publication, preference)
        transceiver.stream = publication.session_id
        return transceiver

    def add_receiving(self, kind: str, *, is_bidirectional: bool) -> Transceiver:
        """An m-section in which the client sends; the next offer brings it."""
        transceiver = self._place(kind, sends=False)
        transceiver.codecs = self._numbering.offered_codecs(kind, codecs.CODECS[kind])
        transceiver.extensions = self._numbering.offered_extensions(BY_KIND[kind])
        transceiver.is_bidirectional = is_bidirectional
        transceiver.parameters = None
        return transceiver

    @property
    def has_data_transport(self) -> bool:
        """An m-section for data channels is there."""
        return any(t.kind == DATA and not t.local.is_rejected for t in self.transceivers)

    def add_data_transport(self) -> None:
        """An m-section for data channels; the next offer brings it."""
        self.transceivers.append(Transceiver(negotiation.data_section(self._next_mid()), is_ours=True))

    def offer(self) -> SessionDescription:
        """All m-sections; from now on the client's answer is awaited."""
        for transceiver in self.transceivers:
            if transceiver.kind == DATA and not transceiver.local.is_rejected:
                transceiver.local = self._local_transport().carries(transceiver.local, Setup.ACTPASS)
            elif not transceiver.local.is_rejected:
                direction = Direction.of(
                    sends=transceiver.has_open_subscription or transceiver.is_bidirectional,
                    receives=transceiver.has_open_publication if transceiver.is_ours else transceiver.client_sends,
                )
                self._describe(transceiver, direction, Setup.ACTPASS)
        self.awaits_answer = True
        return self._description("offer")

    def take_answer(self, description: SessionDescription) -> None:
        """Agree to what the client answers; what it refuses to receive is closed."""
        if description.type != "answer" or not self.awaits_answer:
            raise unacceptable("There is no offer to answer", subcode="invalid_modification_stable")
        answer = negotiation.parse_answer(description.sdp, [t.local for t in self.transceivers])
        self._apply_transport(negotiation.remote_transport(answer, Setup.ACTIVE))
        self._group = answer.bundle
        self.awaits_answer = False
        for transceiver, section in zip(self.transceivers, answer.media, strict=True):
            if not section.is_rejected:
                self._numbering.learn(section)
            is_carried = negotiation.is_carried(answer, section)
            if transceiver.kind == DATA and is_carried and not transceiver.local.is_rejected:
                self._on_data_transport(*negotiation.data_limits(section))
                continue
            agreed = codecs.agreed_codecs(section, transceiver.codecs) if is_carried else ()
            if not agreed:
                self._reject(transceiver, section)
                continue
            offered = transceiver.local.direction
            sends = offered.sends and section.direction.receives
            transceiver.client_sends = offered.receives and section.direction.sends
            if offered.sends:
                transceiver.can_take = section.direction.receives
            if offered.receives:
                transceiver.can_give = section.direction.sends
            transceiver.local = replace(
                transceiver.local, direction=Direction.of(sends=sends, receives=transceiver.client_sends)
            )
            self._take_up(transceiver, section, agreed, transceiver.extensions)
            self._agree(transceiver)
            if transceiver.subscription and not sends:
                transceiver.subscription.close()

    # --- the client offers

    def check_offer(self, description: SessionDescription) -> Sdp:
        """The client's offer, which may go on with this session."""
        if description.type != "offer":
            raise unacceptable("Expecting an offer")
        return negotiation.parse_offer(description.sdp, [t.local for t in self.transceivers])

    def answer(
        self,
        offer: Sdp,
        *,
        bidirectional: Collection[str] = (),
        closing: Collection[str] = (),
        pulls: Mapping[str, tuple[Publication, LayerPreference]] | None = None,
    ) -> SessionDescription:
        """Agree to an offer that has been checked.

        By mid: `bidirectional` m-sections, those of `closing` tracks, of which the SFU receives nothing any more, and
        what is to be sent in those that receive.
        """
        self._apply_transport(negotiation.remote_transport(offer, Setup.ACTPASS))
        self._group = offer.bundle
        for index, section in enumerate(offer.media):
            if not section.is_rejected:
                self._numbering.learn(section)
            transceiver = self._transceiver_at(index, section)
            if negotiation.is_data(section) and negotiation.is_carried(offer, section) and self._is_free(transceiver):
                data = negotiation.data_section(section.mid, section.protocol)
                transceiver.local = self._local_transport().carries(data, self._setup)
                self._on_data_transport(*negotiation.data_limits(section))
                continue
            accepted = codecs.accepted_codecs(section) if negotiation.is_carried(offer, section) else ()
            if not accepted:
                self._reject(transceiver, section)
                continue
            transceiver.is_bidirectional |= section.mid in bidirectional
            if pulls and section.mid in pulls:
                self.subscribe(transceiver, *pulls[section.mid])
            may_send = transceiver.has_open_subscription or transceiver.is_bidirectional
            direction = Direction.of(
                sends=section.direction.receives and may_send,
                receives=section.direction.sends and section.mid not in closing,
            )
            transceiver.client_sends = transceiver.can_give = section.direction.sends
            transceiver.can_take = section.direction.receives
            uris = (BY_KIND if direction.receives else TO_SUBSCRIBERS)[section.kind]
            self._take_up(transceiver, section, accepted, uris)
            self._describe(transceiver, direction, self._setup)
            self._agree(transceiver)
        return self._description("answer", is_bundled=bool(offer.bundle))

    # --- both

    def subscribe(self, transceiver: Transceiver, publication: Publication, preference: LayerPreference) -> None:
        """Put a track into an m-section, instead of what was there; it flows when that is agreed."""
        if transceiver.subscription:
            transceiver.subscription.close()
        if transceiver.outgoing is None:
            transceiver.outgoing = self.open().sender(
                mid=transceiver.mid, kind=transceiver.kind, like=publication.incoming
            )
            transceiver.stream = publication.session_id
        transceiver.subscription = Subscription(publication, transceiver.outgoing, preference)

    def _apply_transport(self, remote: RemoteTransport | None) -> None:
        if remote is None:
            return
        self.open().set_remote(
            ice_ufrag=remote.ice_ufrag,
            ice_pwd=remote.ice_pwd,
            fingerprints=remote.fingerprints,
            setup=remote.setup,
            candidates=remote.addresses() if self._is_third_party else (),
            is_ice_lite=remote.is_ice_lite,
            is_new_transport=self._tag not in (None, remote.mid),
        )
        self._tag = remote.mid
        if self.agreed_at is None:
            self.agreed_at = self._clock()
            self._setup = Setup.ACTIVE if remote.setup is Setup.PASSIVE else Setup.PASSIVE

    def _take_up(
        self, transceiver: Transceiver, section: MediaSection, agreed: tuple[Codec, ...], uris: Iterable[str]
    ) -> None:
        """What a client's m-section says of what both sides can do."""
        transceiver.codecs = agreed
        transceiver.extensions = codecs.accepted_extensions(section, uris)
        if transceiver.client_sends:
            transceiver.parameters = negotiation.receive_parameters(section, agreed, transceiver.extensions)

    def _agree(self, transceiver: Transceiver) -> None:
        """Tell the data path what holds now."""
        publication = transceiver.active_publication
        if publication and publication.incoming and transceiver.client_sends and transceiver.parameters:
            publication.incoming.update(transceiver.parameters)
        if transceiver.outgoing:
            written = codecs.written_extensions(transceiver.kind, transceiver.extensions)
            transceiver.outgoing.negotiate(transceiver.codecs, written)
        if transceiver.subscription:
            transceiver.subscription.flow(transceiver.local.direction.sends)

    def _reject(self, transceiver: Transceiver, section: MediaSection) -> None:
        transceiver.stop()
        transceiver.is_stopped = section.is_rejected and section.is_rtp
        transceiver.local = negotiation.rejected(section, self._local_transport(), self._setup)

    def _describe(self, transceiver: Transceiver, direction: Direction, setup: Setup) -> None:
        """Write the m-section anew."""
        source = None
        if direction.sends:
            if transceiver.outgoing is None:
                transceiver.outgoing = self.open().sender(mid=transceiver.mid, kind=transceiver.kind)
                transceiver.stream = self._session_id
            has_rtx = any(codec.repairs is not None for codec in transceiver.codecs)
            source = SentSource(
                ssrc=transceiver.outgoing.ssrc,
                rtx_ssrc=transceiver.outgoing.rtx_ssrc if has_rtx else None,
                cname=transceiver.outgoing.cname,
                stream=transceiver.stream,
            )
        section = negotiation.media_section(
            kind=transceiver.kind,
            mid=transceiver.mid,
            direction=direction,
            protocol=transceiver.local.protocol,
            codecs=transceiver.codecs,
            extensions=transceiver.extensions,
            rids=transceiver.parameters.rids if direction.receives and transceiver.parameters else (),
            source=source,
        )
        transceiver.local = self._local_transport().carries(section, setup)

    def _transceiver_at(self, index: int, section: MediaSection) -> Transceiver:
        """That of an m-section in a client's offer; new at the end, and where the client has put another mid."""
        if index == len(self.transceivers):
            self.transceivers.append(Transceiver(section))
        elif self.transceivers[index].mid != section.mid:
            self.transceivers[index].stop()
            self.transceivers[index] = Transceiver(section)
        return self.transceivers[index]

    def _place(self, kind: str, *, sends: bool) -> Transceiver:
        """An m-section for a track in the next offer of the SFU; see *Places*."""
        for transceiver in self.transceivers:
            if transceiver.kind == kind and transceiver.is_vacant(sends=sends):
                transceiver.publication = transceiver.subscription = None
                return transceiver
        transceiver = Transceiver(MediaSection(kind=kind, mid=self._next_mid()), is_ours=True)
        places = self._stopped_places()
        if places:
            self.transceivers[places[0]] = transceiver
        else:
            self.transceivers.append(transceiver)
        return transceiver

    def _next_mid(self) -> str:
        self._last_mid = negotiation.next_mid((self._last_mid, *(t.mid for t in self.transceivers)))
        return self._last_mid

    def _is_free(self, transceiver: Transceiver) -> bool:
        """Whether an m-section for data channels would be the only one (RFC 8831 §6.1: one association)."""
        return not any(t.kind == DATA and not t.local.is_rejected and t is not transceiver for t in self.transceivers)

    def _stopped_places(self) -> list[int]:
        """Indexes of stopped m-sections after the one that speaks for the transport."""
        tag = next((i for i, t in enumerate(self.transceivers) if t.mid == self._tag and not t.local.is_rejected), None)
        if tag is None:
            return []
        return [i for i, t in enumerate(self.transceivers) if i > tag and t.is_stopped]

    def _local_transport(self) -> LocalTransport:
        connection = self.open()
        return LocalTransport(
            ice_ufrag=connection.ice_ufrag,
            ice_pwd=connection.ice_pwd,
            fingerprint=self._endpoint.fingerprint,
            candidates=self._candidates,
        )

    def _description(self, kind: Literal["offer", "answer"], *, is_bundled: bool = True) -> SessionDescription:
        self._version += 1
        mids = [t.mid for t in self.transceivers if not t.local.is_rejected] if is_bundled else []
        # Who speaks for the transport stays first.
        order = {mid: index for index, mid in enumerate(self._group)}
        mids.sort(key=lambda mid: order.get(mid, len(order)))
        described = Sdp(
            media=tuple(transceiver.local for transceiver in self.transceivers),
            bundle=tuple(mids),
            is_ice_lite=not self._is_third_party,
            session_id=int(self._session_id[:15], 16),
            version=self._version,
        )
        return SessionDescription(type=kind, sdp=str(described))
