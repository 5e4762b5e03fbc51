"""One session: one peer connection of a client, its offer/answer state machine, and its tracks.

Theory of operation (Realtime docs: Negotiation)

    new ──client offer──▶ stable ──ICE, DTLS──▶ connected ──5 s of silence──▶ disconnected ──30 s──▶ gone
     └──SFU offer──▶ have-sfu-offer ──renegotiate──┘                              └── any packet: connected

*Mutations* are `new_tracks`, `update_tracks`, `renegotiate` and `close_tracks`. One at a time: a second one while the
first is being worked on (it may wait seconds for connectivity or media) is 406, and so is any but `renegotiate` while
an offer of the SFU is unanswered. A forced close takes no time and exchanges nothing, so it is allowed at any moment.

*All or nothing.* A mutation first checks everything it was given, then waits, then changes the session without another
`await`. A refused request leaves no trace.

*An offer of the SFU stays until it is answered.* A client that abandons it can close the tracks it pulled by force, and
read the session; it cannot negotiate again, because nobody knows whether its peer connection has applied the offer. The
m-sections of tracks closed in between are agreed with the late answer and stay silent. A session that leaves its first
offer unanswered expires like one that was never used.

*M-sections* are never removed, but used again (`signalling.py`, *Places*). Their number is bounded, as it is at the
service: one more ends the session.

*Gone* is final: publications end, the transport closes, requests that are being held are answered with 410. It comes by
silence of the peer, its DTLS `close_notify`, expiry, too many m-sections, a bug in this session, or the end of the
server. An exchange that stops all m-sections leaves a browser without a transport, so the silence begins there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import (
    CloseTracksRequest,
    CloseTracksResponse,
    DataChannelsRequest,
    DataChannelsResponse,
    EstablishDataChannelsRequest,
    EstablishDataChannelsResponse,
    GetSessionStateResponse,
    SessionDescription,
    TrackObject,
    TrackResult,
    TracksRequest,
    TracksResponse,
)
from rtcctl.server import negotiation, track_requests
from rtcctl.server.datachannels import SERVER_EVENTS, DataChannels
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.ids import Ids
from rtcctl.server.item_errors import NOT_OPEN
from rtcctl.server.negotiation import unacceptable
from rtcctl.server.publishing import Publishing
from rtcctl.server.request_rate import RequestRate
from rtcctl.server.signalling import Signalling
from rtcctl.server.subscribing import Subscribing
from rtcctl.web.refusal import Refusal

if TYPE_CHECKING:
    from rtcctl.server.connection import Connection
    from rtcctl.server.endpoint import Endpoint
    from rtcctl.server.limits import Limits
    from rtcctl.server.tracks import Publication

logger = logging.getLogger(__name__)
T = TypeVar("T")

_CHECK_CONNECTED = "Please ensure the PeerConnection is connected before making this request"


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
        ids: Ids,
        is_third_party: bool = False,
        correlation_id: str | None = None,
        on_open: Callable[[Connection], None] | None = None,
    ) -> None:
        self.session_id = session_id
        self.correlation_id = correlation_id
        "What its creator calls it, for logs."
        self.data_channels = DataChannels(
            session_id,
            find=lambda other_id: None if (other := find(other_id)) is None else other.data_channels,
            limits=limits,
            clock=clock,
            waits=endpoint.waits,
        )
        self._signalling = Signalling(
            session_id,
            endpoint,
            candidates,
            is_third_party=is_third_party,
            on_state=self._on_state,
            on_data_transport=self._on_data_transport,
            clock=clock,
            on_open=on_open,
        )
        self._publishing = Publishing(session_id, self._signalling, clock, ids)
        self._subscribing = Subscribing(
            session_id, self._signalling, limits, find=find, publications=self._publishing.publications
        )
        self._limits = limits
        self._clock = clock
        self._gone = asyncio.Event()
        self._is_busy = False
        self._created_at = clock()
        self._was_connected = False
        self._rate = RequestRate(limits.requests_per_second, clock)

    # --- life

    @property
    def connection(self) -> Connection | None:
        """The transport; there is none before the first description."""
        return self._signalling.connection

    @property
    def publications(self) -> Mapping[str, Publication]:
        """What others may pull, by track name."""
        return self._publishing.publications

    @property
    def is_gone(self) -> bool:
        return self._gone.is_set()

    def close(self) -> None:
        """End it now: tracks, transport, and requests that are being held."""
        if self.is_gone:
            return
        self._gone.set()
        for transceiver in self._signalling.transceivers:
            transceiver.stop()
        self.data_channels.close()  # while its goodbye can still be sent
        if self.connection is not None:
            self.connection.close()

    def look_at_timers(self) -> None:
        """Collect silent publications; end the session when its time is over."""
        now = self._clock()
        self._publishing.collect(self._limits.track_idle_s)
        self.data_channels.look_at_timers()
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
        """Count one request; raises `Refusal` with 410 when gone, 429 above the rate."""
        self.look_at_timers()
        if self.is_gone:
            raise gone()
        self._rate.count()

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

    async def _ready(self, *, may_be_new: bool = True) -> None:
        """Wait until the transport is up, else 425; a session without any exchange may do for what begins one."""
        if self._signalling.agreed_at is None and may_be_new:
            return
        connection = self.connection if self._signalling.agreed_at is not None else None
        if connection is None or not await self._unless_gone(connection.wait_connected(self._limits.connect_wait_s)):
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
        tracks = [state for transceiver in self._signalling.transceivers for state in transceiver.states()]
        return GetSessionStateResponse(tracks=tracks, data_channels=self.data_channels.state())

    def connect(self, description: SessionDescription) -> SessionDescription:
        """Answer the offer that came with `sessions/new`; no tracks are registered."""
        return self._answered(description)

    async def new_tracks(self, request: TracksRequest) -> TracksResponse:
        """Publish or subscribe (Realtime docs: Sessions and tracks)."""
        tracks = track_requests.tracks_to_add(request, self._limits.tracks_per_request)
        with self._mutation():
            if tracks and tracks[0].location == "remote":
                return await self._pull(tracks, request.session_description)
            return await self._publish(tracks, request.session_description, bool(request.auto_discover))

    async def _publish(
        self, tracks: Sequence[TrackObject], description: SessionDescription | None, auto_discover: bool
    ) -> TracksResponse:
        if description is None:
            await self._ready()
            self._check_media_sections(self._signalling.count_with((track.kind or "" for track in tracks), sends=False))
            return self._publishing.offer(tracks)
        offer = self._offered(description)
        self._publishing.check(tracks, offer)
        await self._ready()
        return self._publishing.answer(tracks, offer, auto_discover=auto_discover)

    async def _pull(self, tracks: Sequence[TrackObject], description: SessionDescription | None) -> TracksResponse:
        if description is not None:
            offer = self._offered(description)
            sections = self._subscribing.check_offer(tracks, offer)
            await self._ready()
            sources = await self._unless_gone(self._subscribing.sources(tracks))
            return self._subscribing.answer(tracks, sections, sources, offer)
        targets = self._subscribing.check(tracks)
        await self._ready()
        sources = await self._unless_gone(self._subscribing.sources(tracks))
        self._check_media_sections(self._subscribing.count_with(targets, sources))
        return self._subscribing.offer(tracks, targets, sources)

    async def update_tracks(self, request: TracksRequest) -> TracksResponse:
        """Other layers or other tracks for what is received (Realtime docs: Simulcast)."""
        tracks = track_requests.tracks_to_update(request, self._limits.tracks_per_request)
        with self._mutation():
            await self._ready(may_be_new=False)
            changes = await self._unless_gone(self._subscribing.changes(tracks))
            return self._subscribing.update(tracks, changes)

    async def renegotiate(self, description: SessionDescription) -> SessionDescription | None:
        """Take the answer to the offer of the SFU, or answer a client that restarts ICE."""
        if description.type == "offer" and self._signalling.agreed_at is not None:
            with self._mutation():
                return self._answered(description)
        self._signalling.take_answer(description)
        self._publishing.take_answer()
        return None

    async def close_tracks(self, request: CloseTracksRequest) -> CloseTracksResponse:
        """End tracks, with or without an exchange (Realtime docs: Sessions and tracks)."""
        track_requests.check_count(request.tracks, self._limits.tracks_per_request)
        track_requests.check_mids(track.mid for track in request.tracks)
        mids = [track.mid or "" for track in request.tracks]
        if request.force:
            return CloseTracksResponse(
                requires_immediate_renegotiation=False, tracks=[self._close(mid) for mid in mids]
            )
        if request.session_description is None:
            raise track_requests.missing("sessionDescription")
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
            return NOT_OPEN.of(TrackResult(mid=mid))
        if transceiver.publication:
            self._publishing.end(transceiver.publication)
        return TrackResult(mid=mid)

    # --- data channels

    async def establish_data_channels(self, request: EstablishDataChannelsRequest) -> EstablishDataChannelsResponse:
        """Bring their transport up, by an offer of the SFU or of the client (Realtime docs: DataChannels)."""
        channel = request.data_channel
        if channel.location is None or channel.data_channel_name is None:
            raise track_requests.missing("dataChannel")
        if (channel.location, channel.data_channel_name) != ("remote", SERVER_EVENTS):
            raise Refusal(406, "invalid_params", f"Only the remote data channel {SERVER_EVENTS} can be established")
        description: SessionDescription | None = None
        with self._mutation():
            if request.session_description is not None:
                offer = self._offered(request.session_description)
                if not any(negotiation.is_data(s) and negotiation.is_carried(offer, s) for s in offer.media):
                    raise Refusal(400, "decoding_error", "SDP contains no application media section")
                await self._ready()
                description = self._signalling.answer(offer)
            else:
                await self._ready()
                if not self._signalling.has_data_transport:
                    description = self._offer_data_transport()
            return EstablishDataChannelsResponse(
                requires_immediate_renegotiation=description is not None and description.type == "offer",
                session_description=description,
                data_channel=self.data_channels.establish(),
            )

    def _offer_data_transport(self) -> SessionDescription:
        self._check_media_sections(len(self._signalling.transceivers) + 1)
        self._signalling.add_data_transport()
        return self._signalling.offer()

    def _on_data_transport(self, sctp_port: int, max_message_size: int) -> None:
        assert self.connection is not None
        self.data_channels.attach(self.connection, sctp_port=sctp_port, max_message_size=max_message_size)

    async def new_data_channels(self, request: DataChannelsRequest) -> DataChannelsResponse:
        """Publish or subscribe to data channels (Realtime docs: DataChannels)."""
        with self._mutation():
            try:
                return DataChannelsResponse(data_channels=await self.data_channels.new(request.data_channels))
            except Refusal:
                if self.is_gone:
                    raise gone() from None
                raise

    async def update_data_channels(self, request: DataChannelsRequest) -> DataChannelsResponse:
        """Change what subscriptions may do."""
        with self._mutation():
            await self._ready(may_be_new=False)
            return DataChannelsResponse(data_channels=self.data_channels.update(request.data_channels))

    async def close_data_channels(self, request: DataChannelsRequest) -> DataChannelsResponse:
        """End data channels; takes no time and exchanges nothing, so it is allowed at any moment."""
        return DataChannelsResponse(data_channels=self.data_channels.close_channels(request.data_channels))

    # --- descriptions

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
