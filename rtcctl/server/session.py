"""One session: one peer connection of a client, its offer/answer state machine, and its tracks.

Theory of operation (Realtime docs: Negotiation)

    new ──client offer──▶ stable ──ICE, DTLS──▶ connected ──5 s of silence──▶ disconnected ──30 s──▶ gone
     └──SFU offer──▶ have-sfu-offer ──renegotiate──┘                              └── any packet: connected

*Mutations* are `new_tracks`, `renegotiate` and `close_tracks`. One at a time: a second one while the first is being
worked on (it may wait seconds for connectivity or media) is 406, and so is any but `renegotiate` while an offer of the
SFU is unanswered. A forced close takes no time and exchanges nothing, so it is allowed at any moment.

*All or nothing.* A mutation first checks everything it was given, then waits, then changes the session without another
`await`. A refused request leaves no trace.

*An offer of the SFU stays until it is answered.* A client that abandons it can close the tracks it pulled by force, and
read the session; it cannot negotiate again, because nobody knows whether its peer connection has applied the offer. The
m-sections of tracks closed in between are agreed with the late answer and stay silent. A session that leaves its first
offer unanswered expires like one that was never used.

*M-sections* are never removed. A pull adds one with a fresh mid; a client may give new tracks to its own, and may put a
new m-section in the place of a rejected one (RFC 8829 §5.2.2). Their number is bounded, as it is at the service.

*Gone* is final: publications end, the transport closes, requests that are being held are answered with 410. It comes by
silence of the peer, its DTLS `close_notify`, expiry, too many m-sections, a bug in this session, or the end of the
server. Chromium drops its transport when an exchange stops its first m-section, the one that speaks for the BUNDLE
group, even if others are open. That ends the session; of the live service the same is told for an exchange that stops
all of them. A forced close, or `inactive`, does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import (
    CloseTracksRequest,
    CloseTracksResponse,
    GetSessionStateResponse,
    SessionDescription,
    TrackObject,
    TrackResult,
    TracksRequest,
    TracksResponse,
    TrackStateObject,
)
from rtcctl.server import negotiation
from rtcctl.server.connection import ConnectionState
from rtcctl.server.negotiation import unacceptable
from rtcctl.server.signalling import Signalling
from rtcctl.server.tracks import Publication, Subscription, Transceiver
from rtcctl.web.refusal import Refusal

if TYPE_CHECKING:
    from rtcctl.server.connection import Connection
    from rtcctl.server.endpoint import Endpoint
    from rtcctl.server.limits import Limits

logger = logging.getLogger(__name__)
T = TypeVar("T")

_CHECK_CONNECTED = "Please ensure the PeerConnection is connected before making this request"
_MAKE_SURE = "Make sure the publisher peer is connected and sending packets for this track"


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why one track of a request failed; the request itself is a 200 (Realtime docs: Error codes)."""

    code: str
    description: str


NOT_FOUND = ItemError("not_found_track_error", f"Track not found on remote peer. {_MAKE_SURE}")
EMPTY = ItemError("empty_track_error", f"No track data from remote peer. {_MAKE_SURE}")
NOT_OPEN = ItemError("close_track_error", "Track doesn't exist or was already closed")


def gone() -> Refusal:
    """410: this session is no more, or never was."""
    return Refusal(
        410, "session_error", "Session appears to be disconnected. Please check if the PeerConnection is connected."
    )


class Session:
    """See the theory of operation above. `find` looks a session of the same app up by its id."""

    def __init__(
        self,
        session_id: str,
        *,
        endpoint: Endpoint,
        candidates: tuple[tuple[str, int], ...],
        limits: Limits,
        clock: Callable[[], float],
        find: Callable[[str], Session | None],
    ) -> None:
        self.session_id = session_id
        self.publications: dict[str, Publication] = {}
        "By track name, the newest of each."
        self._signalling = Signalling(
            int(session_id[:15], 16), endpoint, candidates, on_state=self._on_state, clock=clock
        )
        self._limits = limits
        self._clock = clock
        self._find = find
        self._gone = asyncio.Event()
        self._is_busy = False
        self._created_at = clock()
        self._was_connected = False
        self._tokens = float(limits.requests_per_second)
        self._tokens_at = clock()

    # --- life

    @property
    def connection(self) -> Connection | None:
        """The transport; there is none before the first description."""
        return self._signalling.connection

    @property
    def is_gone(self) -> bool:
        return self._gone.is_set()

    def close(self) -> None:
        """End it now: tracks, transport, and requests that are being held."""
        if self.is_gone:
            return
        self._gone.set()
        for transceiver in self._signalling.transceivers:
            transceiver.close()
        if self.connection is not None:
            self.connection.close()

    def look_at_timers(self) -> None:
        """Collect silent publications; end the session when its time is over."""
        now = self._clock()
        for publication in list(self.publications.values()):
            if not publication.is_active:
                self._end(publication)
            elif publication.idle_s(now) >= self._limits.track_idle_s:
                logger.info("session=%s mid=%s no packets, collected", self.session_id, publication.mid)
                self._end(publication)
        if self._is_over(now):
            logger.info("session=%s gone", self.session_id)
            self.close()

    def _is_over(self, now: float) -> bool:
        if self.connection is None or self._signalling.agreed_at is None:
            return now - self._created_at >= self._limits.unused_s
        if self._was_connected:
            return self.connection.silent_s >= self._limits.disconnected_s
        return now - self._signalling.agreed_at >= self._limits.disconnected_s

    def _on_state(self, state: ConnectionState) -> None:
        logger.info("session=%s %s", self.session_id, state.name.lower())
        if state is ConnectionState.CONNECTED:
            self._was_connected = True
        elif state is ConnectionState.CLOSED:
            self.close()

    def admit(self) -> None:
        """Count one request; raises `Refusal` with 410 when gone, 429 above the rate (a token bucket of one second)."""
        self.look_at_timers()
        if self.is_gone:
            raise gone()
        now = self._clock()
        rate = self._limits.requests_per_second
        self._tokens = min(float(rate), self._tokens + (now - self._tokens_at) * rate)
        self._tokens_at = now
        if self._tokens < 1:
            # The code is our own: only the status is documented.
            raise Refusal(429, "rate_limited", f"More than {rate} requests per second", headers={"Retry-After": "1"})
        self._tokens -= 1

    @contextmanager
    def boundary(self, on_bug: Callable[[], None]) -> Iterator[None]:
        """Whatever is done for this session is done inside: a bug ends this session and no other."""
        try:
            yield
        except Refusal:
            raise
        except Exception:
            logger.exception("session=%s closed after an unexpected error", self.session_id)
            on_bug()
            self.close()
            raise Refusal(500, "internal_error", "Backend error") from None

    @contextmanager
    def _mutation(self) -> Iterator[None]:
        if self._signalling.awaits_answer:
            raise unacceptable(
                "An offer of the SFU is waiting for its answer", subcode="invalid_modification_have_local_offer"
            )
        if self._is_busy:
            raise Refusal(406, "signaling_state_not_stable", "Another request on this session is in progress")
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    async def _ready(self) -> None:
        """Wait until the transport is up, if there has been an exchange at all; else 425."""
        if self._signalling.agreed_at is None:
            return
        assert self.connection is not None
        if not await self._unless_gone(self.connection.wait_connected(self._limits.connect_wait_s)):
            raise Refusal(425, "session_error", f"Session is not ready yet. {_CHECK_CONNECTED}")

    async def _unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or 410 as soon as the session ends."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(work)
            ending = group.create_task(self._gone.wait())
            await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
            working.cancel()
            ending.cancel()
        if self.is_gone:
            raise gone()
        return working.result()

    # --- operations

    def state(self) -> GetSessionStateResponse:
        """All tracks of the session; closed ones stay, as inactive, until their m-section gets another."""
        tracks = []
        for transceiver in self._signalling.transceivers:
            if publication := transceiver.publication:
                tracks.append(
                    TrackStateObject(
                        location="local",
                        mid=transceiver.mid,
                        track_name=publication.track_name,
                        status=_status(publication.is_active),
                    )
                )
            if subscription := transceiver.subscription:
                tracks.append(
                    TrackStateObject(
                        location="remote",
                        mid=transceiver.mid,
                        session_id=subscription.publication.session_id,
                        track_name=subscription.publication.track_name,
                        status=_status(subscription.is_active),
                    )
                )
        return GetSessionStateResponse(tracks=tracks, data_channels=[])

    def connect(self, description: SessionDescription) -> SessionDescription:
        """Answer the offer that came with `sessions/new`; no tracks are registered."""
        return self._answered(description)

    async def new_tracks(self, request: TracksRequest) -> TracksResponse:
        """Publish or subscribe (Realtime docs: Sessions and tracks)."""
        tracks = self._checked(request)
        with self._mutation():
            if tracks and tracks[0].location == "remote":
                return await self._pull(tracks, request.session_description)
            if request.session_description is None:
                raise Refusal(400, "decoding_error", "Body JSON validation error: sessionDescription")
            return await self._publish(tracks, request.session_description, bool(request.auto_discover))

    async def renegotiate(self, description: SessionDescription) -> SessionDescription | None:
        """Take the answer to the offer of the SFU, or answer a client that restarts ICE."""
        if description.type == "offer" and self._signalling.agreed_at is not None:
            with self._mutation():
                return self._answered(description)
        self._signalling.take_answer(description)
        return None

    async def close_tracks(self, request: CloseTracksRequest) -> CloseTracksResponse:
        """End tracks, with or without an exchange (Realtime docs: Sessions and tracks)."""
        self._check_count(request.tracks)
        for index, track in enumerate(request.tracks):
            if not track.mid:
                raise Refusal(406, "invalid_params", f"tracks[{index}]: Missing mid in track")
        mids = [track.mid or "" for track in request.tracks]
        if request.force:
            return CloseTracksResponse(
                requires_immediate_renegotiation=False, tracks=[self._close(mid) for mid in mids]
            )
        if request.session_description is None:
            raise Refusal(400, "decoding_error", "Body JSON validation error: sessionDescription")
        with self._mutation():
            offer = self._offered(request.session_description)
            results = [self._close(mid) for mid in mids]
            return CloseTracksResponse(
                requires_immediate_renegotiation=False,
                tracks=results,
                session_description=self._signalling.answer(offer, closing=mids),
            )

    def _close(self, mid: str) -> TrackResult:
        transceiver = self._signalling.by_mid(mid)
        if transceiver is None or not transceiver.close():
            return _failed(TrackResult(mid=mid), NOT_OPEN)
        if transceiver.publication:
            self._end(transceiver.publication)
        return TrackResult(mid=mid)

    # --- checks

    def _check_count(self, tracks: Sequence[object]) -> None:
        if not tracks:
            raise Refusal(406, "invalid_params", "Expecting at least 1 track")
        if len(tracks) > self._limits.tracks_per_request:
            limit = self._limits.tracks_per_request
            raise Refusal(406, "invalid_params", f"Expecting at most {limit} track in the request")

    def _checked(self, request: TracksRequest) -> Sequence[TrackObject]:
        """The tracks of a request whose fields fit together."""
        if request.tracks is None:
            if request.auto_discover:
                return ()
            raise Refusal(400, "decoding_error", "Body JSON validation error: tracks")
        if request.tracks or not request.auto_discover:
            self._check_count(request.tracks)
        needs = {"local": ("track_name", "mid"), "remote": ("track_name", "session_id"), None: ("location",)}
        wrong = [
            str(index)
            for index, track in enumerate(request.tracks)
            if not all(getattr(track, name) for name in needs[track.location])
        ]
        if wrong:
            raise Refusal(400, "decoding_error", f"JSON body validation error: {','.join(wrong)}")
        if len({track.location for track in request.tracks}) > 1:
            raise Refusal(406, "invalid_params", "Pushing and Pulling tracks in the same request is not supported")
        for name, values in (
            ("mid", [track.mid for track in request.tracks if track.mid]),
            ("trackName", [track.track_name for track in request.tracks if track.location == "local"]),
        ):
            if len(set(values)) < len(values):
                raise Refusal(406, "invalid_params", f"Two tracks of the request have the same {name}")
        return request.tracks

    def _answered(self, description: SessionDescription) -> SessionDescription:
        return self._signalling.answer(self._offered(description))

    def _offered(self, description: SessionDescription) -> Sdp:
        offer = self._signalling.check_offer(description)
        self._check_media_sections(len(offer.media))
        return offer

    def _check_media_sections(self, count: int) -> None:
        if count > self._limits.media_sections:
            logger.info("session=%s ends: %d media sections are too many", self.session_id, count)
            self.close()
            raise gone()

    # --- publishing

    async def _publish(
        self, tracks: Sequence[TrackObject], description: SessionDescription, auto_discover: bool
    ) -> TracksResponse:
        offer = self._offered(description)
        sections = {section.mid: section for section in offer.media if not section.is_rejected}
        for index, track in enumerate(tracks):
            section = sections.get(track.mid or "")
            if section is None:
                raise unacceptable(f"tracks[{index}]: there is no media section with mid {track.mid!r}")
            if not section.direction.sends:
                raise unacceptable(f"tracks[{index}]: the media section with mid {track.mid!r} does not send")
            if not negotiation.is_bundled(offer, section) or not negotiation.accepted_codecs(section):
                raise unacceptable(f"tracks[{index}]: no supported codec in the media section with mid {track.mid!r}")
        await self._ready()
        bidirectional = {track.mid or "" for track in tracks if track.bidirectional_media_stream}
        known = {t.mid for t in self._signalling.transceivers if t.publication and t.client_sends}
        answer = self._signalling.answer(offer, bidirectional=bidirectional)
        results = [self._published(track.mid or "", track.track_name or "") for track in tracks]
        if auto_discover:
            # One that was closed while the client went on sending is not new.
            known |= {track.mid or "" for track in tracks}
            for transceiver in self._signalling.transceivers:
                if transceiver.client_sends and not transceiver.active_publication and transceiver.mid not in known:
                    result = self._published(transceiver.mid, str(uuid4()))
                    result.kind = transceiver.kind
                    results.append(result)
        return TracksResponse(requires_immediate_renegotiation=False, tracks=results, session_description=answer)

    def _published(self, mid: str, track_name: str) -> TrackResult:
        """Register a track on an m-section that has just been agreed; the newest of a name wins."""
        transceiver = self._signalling.by_mid(mid)
        assert transceiver is not None
        assert self.connection is not None
        for replaced in (transceiver.publication, self.publications.get(track_name)):
            if replaced:
                self._end(replaced)
        incoming = self.connection.publish(
            mid=mid,
            kind=transceiver.kind,
            codecs=transceiver.codecs,
            ssrcs=transceiver.client_ssrcs,
            mid_extension_id=transceiver.extension_id,
        )
        publication = Publication(self.session_id, track_name, mid, transceiver.kind, incoming, self._clock())
        transceiver.publication = self.publications[track_name] = publication
        logger.info("session=%s mid=%s published %s", self.session_id, mid, transceiver.kind)
        return TrackResult(mid=mid, track_name=track_name)

    def _end(self, publication: Publication) -> None:
        publication.close()
        if self.publications.get(publication.track_name) is publication:
            del self.publications[publication.track_name]

    # --- subscribing

    async def _pull(self, tracks: Sequence[TrackObject], description: SessionDescription | None) -> TracksResponse:
        if description is not None:
            raise Refusal(406, "invalid_params", "Expecting no sessionDescription with remote tracks")
        targets = [self._target(index, track) for index, track in enumerate(tracks)]
        await self._ready()
        sources = await self._unless_gone(self._sources(tracks))
        added = sum(
            target is None and isinstance(source, Publication) for target, source in zip(targets, sources, strict=True)
        )
        self._check_media_sections(len(self._signalling.transceivers) + added)
        results = []
        needs_offer = False
        for track, target, source in zip(tracks, targets, sources, strict=True):
            result = TrackResult(session_id=track.session_id, track_name=track.track_name, simulcast=track.simulcast)
            results.append(result)
            if isinstance(source, ItemError):
                result.mid = ""
                _failed(result, source)
            elif target is not None:
                result.mid = self._redirected(target, source)
            else:
                result.mid = self._added(source)
                needs_offer = True
        return TracksResponse(
            requires_immediate_renegotiation=needs_offer,
            tracks=results,
            session_description=self._signalling.offer() if needs_offer else None,
        )

    def _target(self, index: int, track: TrackObject) -> Transceiver | None:
        """The m-section that a remote track names, by mid or by the `#name` of the track it carries."""
        if not track.mid:
            return None
        if track.mid.startswith("#"):
            publication = self.publications.get(track.mid[1:])
            transceiver = self._signalling.by_mid(publication.mid) if publication else None
        else:
            transceiver = self._signalling.by_mid(track.mid)
        if transceiver is None or not transceiver.local.direction.sends:
            raise Refusal(406, "invalid_params", f"tracks[{index}]: no receiving transceiver for mid {track.mid!r}")
        return transceiver

    async def _sources(self, tracks: Sequence[TrackObject]) -> list[Publication | ItemError]:
        """The publications that the tracks name, all waited for at the same time."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._source(t.session_id or "", t.track_name or "")) for t in tracks]
        sources = [task.result() for task in tasks]
        # While the slowest was waited for, another may have ended.
        return [NOT_FOUND if isinstance(source, Publication) and not source.is_active else source for source in sources]

    async def _source(self, session_id: str, track_name: str) -> Publication | ItemError:
        publisher = self._find(session_id)
        publication = publisher.publications.get(track_name) if publisher else None
        if publisher is None or publisher.connection is None or publication is None or not publication.is_active:
            return NOT_FOUND
        if not await publisher.connection.wait_connected(self._limits.connect_wait_s):
            return NOT_FOUND
        has_media = await publication.incoming.wait_media(self._limits.media_wait_s)
        if not publication.is_active:
            return NOT_FOUND
        return publication if has_media else EMPTY

    def _added(self, publication: Publication) -> str:
        """Subscribe on an m-section of its own, which the next offer brings; its mid."""
        transceiver = self._signalling.add(publication.kind, publication.incoming.codecs)
        self._subscribe(transceiver, publication)
        return transceiver.mid

    def _redirected(self, transceiver: Transceiver, publication: Publication) -> str:
        """Subscribe on an m-section that is agreed already: media flows without SDP."""
        if transceiver.subscription:
            transceiver.subscription.close()
        self._subscribe(transceiver, publication).outgoing.negotiate(transceiver.codecs)
        return transceiver.mid

    def _subscribe(self, transceiver: Transceiver, publication: Publication) -> Subscription:
        outgoing = self._signalling.open().subscribe(
            publication.incoming,
            mid=transceiver.mid,
            codecs=transceiver.codecs,
            mid_extension_id=transceiver.extension_id,
        )
        transceiver.subscription = Subscription(publication, transceiver.mid, outgoing)
        logger.info(
            "session=%s mid=%s subscribed to session=%s", self.session_id, transceiver.mid, publication.session_id
        )
        return transceiver.subscription


def _status(is_active: bool) -> str:
    return "active" if is_active else "inactive"


def _failed(result: TrackResult, error: ItemError) -> TrackResult:
    result.error_code = error.code
    result.error_description = error.description
    return result
