"""The offer/answer state of one session: its m-sections, and what has been agreed about each (RFC 8829).

The client and the SFU may both offer. Whoever does describes all m-sections, in the same order for ever; what changes
is what flows in them. `session.py` decides that, this module puts it into SDP and takes it from SDP. Its methods change
nothing when they raise `Refusal`, and never wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Direction, MediaSection, Setup
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import SessionDescription
from rtcctl.server import negotiation
from rtcctl.server.negotiation import LocalTransport, RemoteTransport, unacceptable
from rtcctl.server.tracks import Transceiver

if TYPE_CHECKING:
    from rtcctl.server.connection import Connection, ConnectionState
    from rtcctl.server.endpoint import Endpoint

_SSRCS_MAX = 32
"Of an m-section: layers with their repair streams. What goes beyond is told by the mid in its packets."


class Signalling:
    """`description_id` goes into the `o=` line; `candidates` are the addresses of the SFU, the best first."""

    def __init__(
        self,
        description_id: int,
        endpoint: Endpoint,
        candidates: tuple[tuple[str, int], ...],
        *,
        on_state: Callable[[ConnectionState], None],
        clock: Callable[[], float],
    ) -> None:
        self.connection: Connection | None = None
        "The transport; there is none before the first description."
        self.transceivers: list[Transceiver] = []
        self.awaits_answer = False
        "The SFU has offered, and the client has not answered."
        self.agreed_at: float | None = None
        "When the first exchange was complete, in monotonic seconds."
        self._description_id = description_id
        self._endpoint = endpoint
        self._candidates = candidates
        self._on_state = on_state
        self._clock = clock
        self._version = 0
        self._setup = Setup.PASSIVE
        "Our DTLS role; the first exchange fixes it (RFC 8842 §5.3)."
        self._client_extensions: dict[int, str] = {}
        self._client_codecs: dict[int, Codec] = {}

    def open(self) -> Connection:
        """The transport, made when it is first needed."""
        if self.connection is None:
            self.connection = self._endpoint.open()
            self.connection.on_state = self._on_state
        return self.connection

    def by_mid(self, mid: str) -> Transceiver | None:
        """The m-section with this mid, unless it is rejected."""
        return next((t for t in self.transceivers if t.mid == mid and not t.local.is_rejected), None)

    # --- the SFU offers

    def add(self, kind: str, codecs: tuple[Codec, ...]) -> Transceiver:
        """A new m-section in which the SFU sends; the next offer brings it."""
        transceiver = Transceiver(
            MediaSection(
                kind=kind,
                mid=negotiation.next_mid(t.mid for t in self.transceivers),
                direction=Direction.SENDONLY,
            ),
            codecs=negotiation.offered_codecs(kind, codecs, self._client_codecs),
            extension_id=negotiation.offered_mid_extension_id(self._client_extensions),
        )
        self.transceivers.append(transceiver)
        return transceiver

    def offer(self) -> SessionDescription:
        """All m-sections; from now on the client's answer is awaited."""
        transport = self._local_transport()
        for transceiver in self.transceivers:
            if not transceiver.local.is_rejected:
                direction = Direction.of(
                    sends=transceiver.active_subscription is not None or transceiver.is_bidirectional,
                    receives=transceiver.client_sends,
                )
                transceiver.local = self._described(transceiver, direction, transport, Setup.ACTPASS)
        self.awaits_answer = True
        return self._description("offer")

    def take_answer(self, description: SessionDescription) -> None:
        """Agree to what the client answers; what it refuses to receive is closed."""
        if description.type != "answer" or not self.awaits_answer:
            raise unacceptable("There is no offer to answer", subcode="invalid_modification_stable")
        answer = negotiation.parse_answer(description.sdp, [t.local for t in self.transceivers])
        self._apply_transport(negotiation.remote_transport(answer, Setup.ACTIVE))
        self.awaits_answer = False
        for transceiver, section in zip(self.transceivers, answer.media, strict=True):
            offered = transceiver.codecs
            codecs = tuple(c for c in self._agreed_codecs(section) if any(c.is_same_codec(o) for o in offered))
            if not codecs:
                self._reject(transceiver, section)
                continue
            transceiver.codecs = codecs
            transceiver.extension_id = negotiation.mid_extension_id(section.extensions)
            transceiver.client_sends = section.direction.sends and transceiver.local.direction.receives
            if subscription := transceiver.active_subscription:
                if section.direction.receives:
                    subscription.outgoing.negotiate(codecs)
                else:
                    subscription.close()

    # --- the client offers

    def check_offer(self, description: SessionDescription) -> Sdp:
        """The client's offer, which may go on with this session."""
        if description.type != "offer":
            raise unacceptable("Expecting an offer")
        return negotiation.parse_offer(description.sdp, [t.local for t in self.transceivers])

    def answer(
        self, offer: Sdp, *, bidirectional: Collection[str] = (), closing: Collection[str] = ()
    ) -> SessionDescription:
        """Agree to an offer that has been checked. Of `closing` the SFU receives nothing any more."""
        self._apply_transport(negotiation.remote_transport(offer, Setup.ACTPASS))
        transport = self._local_transport()
        for index, section in enumerate(offer.media):
            if index == len(self.transceivers):
                self.transceivers.append(Transceiver(section))
            elif self.transceivers[index].mid != section.mid:
                self.transceivers[index].close()
                self.transceivers[index] = Transceiver(section)
            transceiver = self.transceivers[index]
            codecs = self._agreed_codecs(section) if negotiation.is_bundled(offer, section) else ()
            if not codecs:
                self._reject(transceiver, section)
                continue
            transceiver.codecs = codecs
            transceiver.extension_id = negotiation.mid_extension_id(section.extensions)
            transceiver.client_sends = section.direction.sends
            transceiver.client_ssrcs = tuple(source.ssrc for source in section.ssrcs[:_SSRCS_MAX])
            transceiver.is_bidirectional |= section.mid in bidirectional
            subscription = transceiver.active_subscription
            direction = Direction.of(
                sends=section.direction.receives and (subscription is not None or transceiver.is_bidirectional),
                receives=section.direction.sends and section.mid not in closing,
            )
            transceiver.local = self._described(transceiver, direction, transport, self._setup)
            if subscription is not None and direction.sends:
                # aiortc numbers codecs anew in its offers, those of our m-sections too.
                subscription.outgoing.negotiate(codecs)
        return self._description("answer")

    # --- both

    def _apply_transport(self, remote: RemoteTransport | None) -> None:
        if remote is None:
            return
        self.open().set_remote(
            ice_ufrag=remote.ice_ufrag,
            ice_pwd=remote.ice_pwd,
            fingerprints=remote.fingerprints,
            setup=remote.setup,
        )
        if self.agreed_at is None:
            self.agreed_at = self._clock()
            self._setup = Setup.ACTIVE if remote.setup is Setup.PASSIVE else Setup.PASSIVE

    def _agreed_codecs(self, section: MediaSection) -> tuple[Codec, ...]:
        """What both sides can do with a client's m-section; nothing when it is rejected."""
        # Numbers mean one thing in the whole BUNDLE group, so they are remembered for the next m-section.
        self._client_extensions |= section.extensions
        self._client_codecs |= {codec.payload_type: codec for codec in section.codecs}
        return () if section.is_rejected else negotiation.accepted_codecs(section)

    def _reject(self, transceiver: Transceiver, section: MediaSection) -> None:
        transceiver.close()
        transceiver.client_sends = False
        transceiver.local = negotiation.rejected(section, self._local_transport(), self._setup)

    def _local_transport(self) -> LocalTransport:
        connection = self.open()
        return LocalTransport(
            ice_ufrag=connection.ice_ufrag,
            ice_pwd=connection.ice_pwd,
            fingerprint=self._endpoint.fingerprint,
            candidates=self._candidates,
        )

    def _described(
        self, transceiver: Transceiver, direction: Direction, transport: LocalTransport, setup: Setup
    ) -> MediaSection:
        subscription = transceiver.active_subscription if direction.sends else None
        source: Mapping[str, Any] = {}
        if subscription:
            # aiortc finds the receiver of an added m-section by `a=ssrc` alone.
            source = {
                "msid": subscription.msid,
                "ssrc": subscription.outgoing.ssrc,
                "cname": subscription.outgoing.cname,
            }
        return negotiation.accepted(
            kind=transceiver.kind,
            mid=transceiver.mid,
            direction=direction,
            protocol=transceiver.local.protocol,
            codecs=transceiver.codecs,
            extension_id=transceiver.extension_id,
            transport=transport,
            setup=setup,
            **source,
        )

    def _description(self, kind: Literal["offer", "answer"]) -> SessionDescription:
        self._version += 1
        described = negotiation.describe(
            [transceiver.local for transceiver in self.transceivers],
            session_id=self._description_id,
            version=self._version,
        )
        return SessionDescription(type=kind, sdp=str(described))
