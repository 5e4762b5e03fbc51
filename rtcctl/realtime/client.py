"""The Connection API of one app, typed (Realtime docs: API).

One session is one offer/answer state machine, so its changes go through one queue: the next one waits until the
one before is complete, which for an SFU offer means that `renegotiate` was called. Reading a session and closing tracks
by force are let through, and different sessions do not know of each other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote

from rtcctl.errors import ApiError, DeadlineError, UsageError
from rtcctl.realtime import schema
from rtcctl.realtime.curl import ApiCall
from rtcctl.realtime.exchange import OnExchange
from rtcctl.realtime.http import PULL_TIMEOUT_S, READ_TIMEOUT_S, ApiAnswer, Client, SecretKind
from rtcctl.realtime.profile import Profile

if TYPE_CHECKING:
    import httpx

Answer = TypeVar("Answer", bound=schema.Wire)

_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"What Cloudflare's own sample accepts (Realtime docs: Sessions and tracks)."


class _SessionQueue:
    """Who may change a session now."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.is_stable = asyncio.Event()
        "Cleared while an offer of the SFU waits for its answer."
        self.is_stable.set()


class RealtimeClient(Client):
    """A client of one app."""

    def __init__(
        self,
        profile: Profile,
        *,
        clock: Callable[[], float],
        random: Random,
        deadline_s: float | None = None,
        on_exchange: OnExchange | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            profile,
            clock=clock,
            random=random,
            deadline_s=deadline_s,
            on_exchange=on_exchange,
            transport=transport,
            sleep=sleep,
        )
        self._queues: dict[str, _SessionQueue] = {}

    @property
    def last_ray(self) -> str | None:
        """Cf-Ray of the last answer, if it had one."""
        return self._api.last_ray

    @property
    def last_round_trip_ms(self) -> float | None:
        """From the last request that was answered to its answer, a new connection included."""
        return self._api.last_round_trip_ms

    # --- sessions

    async def new_session(
        self, offer: str | None = None, *, correlation_id: str | None = None, third_party: bool = False
    ) -> schema.NewSessionResponse:
        """Create a session; with an offer it is answered at once. Without one, no body is sent: `{}` is refused."""
        query = [f"correlationId={quote(correlation_id, safe='')}"] if correlation_id else []
        query += ["thirdparty=true"] if third_party else []
        path = "sessions/new" + (f"?{'&'.join(query)}" if query else "")
        body = None if offer is None else schema.NewSessionRequest(session_description=_offer(offer))
        return await self._call("POST", path, body, schema.NewSessionResponse)

    async def get_session(self, session_id: str) -> schema.GetSessionStateResponse:
        """Read a session's tracks and data channels. Not queued: it may show a change half done."""
        return await self._call("GET", _session(session_id), None, schema.GetSessionStateResponse)

    async def renegotiate(self, session_id: str, answer: str) -> schema.RenegotiateResponse:
        """Answer the SFU's offer, which completes the change that made it."""
        description = schema.SessionDescription(type="answer", sdp=answer)
        body = schema.RenegotiateRequest(session_description=description)
        queue = self._queue(session_id)
        async with self._exclusive(session_id, waits_for_stable=False):
            try:
                return await self._call("PUT", _session(session_id, "renegotiate"), body, schema.RenegotiateResponse)
            finally:
                # Refused or lost, the service knows better than this queue whether an offer still waits.
                queue.is_stable.set()

    # --- tracks

    async def new_tracks(
        self,
        session_id: str,
        tracks: Sequence[schema.TrackObject],
        *,
        offer: str | None = None,
        auto_discover: bool = False,
    ) -> schema.TracksResponse:
        """Publish or subscribe; look at each item's `error_code`.

        A pull may take long: a track that is known but silent is waited for by the SFU.
        """
        body = schema.TracksRequest(
            tracks=list(tracks) or None,
            session_description=None if offer is None else _offer(offer),
            auto_discover=auto_discover or None,
        )
        is_pull = any(track.location == "remote" for track in tracks)
        return await self._change(
            session_id,
            "POST",
            "tracks/new",
            body,
            schema.TracksResponse,
            read_timeout_s=PULL_TIMEOUT_S if is_pull else READ_TIMEOUT_S,
        )

    async def update_tracks(
        self, session_id: str, tracks: Sequence[schema.TrackObject], *, offer: str | None = None
    ) -> schema.TracksResponse:
        """Change the layer or the source of subscriptions; `mid` is the receiving one (Realtime docs: Simulcast)."""
        body = schema.TracksRequest(tracks=list(tracks), session_description=None if offer is None else _offer(offer))
        return await self._change(session_id, "PUT", "tracks/update", body, schema.TracksResponse)

    async def close_tracks(
        self, session_id: str, mids: Iterable[str], *, force: bool, offer: str | None = None
    ) -> schema.CloseTracksResponse:
        """Close tracks by mid: forced without SDP, or negotiated with an offer, which is answered."""
        tracks = [schema.CloseTrackObject(mid=mid) for mid in mids]
        if not tracks or not all(track.mid for track in tracks):
            raise UsageError(
                f"Tracks of session {session_id} can be closed by their mid only, and one is missing.",
                hint="A track that could not be pulled has no mid: there is nothing to close.",
            )
        if not force and offer is None:
            raise UsageError("A negotiated close needs an offer.", hint="Or close by force.")
        body = schema.CloseTracksRequest(
            tracks=tracks, force=force, session_description=None if offer is None else _offer(offer)
        )
        return await self._change(
            session_id, "PUT", "tracks/close", body, schema.CloseTracksResponse, waits_for_stable=not force
        )

    # --- data channels

    async def establish_data_channels(
        self, session_id: str, *, offer: str | None = None
    ) -> schema.EstablishDataChannelsResponse:
        """Set up the SCTP transport: the SFU offers, unless `offer` does. Once a session."""
        body = schema.EstablishDataChannelsRequest(
            data_channel=schema.DataChannelObject(location="remote", data_channel_name="server-events"),
            session_description=None if offer is None else _offer(offer),
        )
        return await self._change(
            session_id, "POST", "datachannels/establish", body, schema.EstablishDataChannelsResponse
        )

    async def new_data_channels(
        self, session_id: str, channels: Sequence[schema.DataChannelObject]
    ) -> schema.DataChannelsResponse:
        """Publish or subscribe to channels; open each with `negotiated` and the id of its item."""
        return await self._data_channels("POST", session_id, "new", channels)

    async def update_data_channels(
        self, session_id: str, channels: Sequence[schema.DataChannelObject]
    ) -> schema.DataChannelsResponse:
        """Grant or revoke `can_reply` of subscriptions of this session."""
        return await self._data_channels("PUT", session_id, "update", channels)

    async def close_data_channels(self, session_id: str, ids: Iterable[int]) -> schema.DataChannelsResponse:
        """Close channels by their ids on this session."""
        channels = [schema.DataChannelObject(id=id_) for id_ in ids]
        return await self._data_channels("PUT", session_id, "close", channels)

    async def _data_channels(
        self,
        method: Literal["POST", "PUT"],
        session_id: str,
        operation: str,
        channels: Sequence[schema.DataChannelObject],
    ) -> schema.DataChannelsResponse:
        body = schema.DataChannelsRequest(data_channels=list(channels))
        return await self._change(session_id, method, f"datachannels/{operation}", body, schema.DataChannelsResponse)

    # --- WebSocket adapters

    async def new_adapters(self, adapters: Sequence[schema.AdapterObject]) -> schema.AdaptersResponse:
        """Have the SFU dial 1 to 4 WebSockets; 503 with items: all failed, each for its own reason."""
        body = schema.NewAdaptersRequest(tracks=list(adapters))
        return await self._call("POST", "adapters/websocket/new", body, schema.AdaptersResponse, item_failures=503)

    async def close_adapters(self, adapter_ids: Iterable[str]) -> schema.AdaptersResponse:
        """Close adapters; one that is closed already is a success."""
        body = schema.CloseAdaptersRequest(tracks=[schema.AdapterId(adapter_id=id_) for id_ in adapter_ids])
        return await self._call("POST", "adapters/websocket/close", body, schema.AdaptersResponse, item_failures=503)

    # --- anything

    async def request(self, method: str, path: str, body: Any = None) -> ApiAnswer:
        """Any call: `path` below the app, or below the API base with a leading `/`. `body` is decoded JSON.

        Nothing is queued or checked; a path of the TURN credential API is sent with the TURN key token.
        """
        secret = SecretKind.TURN if path.startswith("/turn/") else SecretKind.APP
        return await self._api.call(
            method, self._url(path), body, secret=secret, read_timeout_s=PULL_TIMEOUT_S, item_failures=503
        )

    # --- how

    def _url(self, path: str) -> str:
        if not self.profile.app_id and not path.startswith("/"):
            raise UsageError(
                f"Profile {self.profile.name} has no App ID.",
                hint="Set RTCCTL_APP_ID and RTCCTL_APP_SECRET, or choose another profile: rtcctl config show --origin",
            )
        return ApiCall("", path).url(self.profile)

    async def _call(
        self,
        method: str,
        path: str,
        body: schema.Wire | None,
        model: type[Answer],
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        item_failures: int | None = None,
    ) -> Answer:
        answer = await self._api.call(
            method,
            self._url(path),
            None if body is None else body.to_wire(),
            secret=SecretKind.APP,
            read_timeout_s=read_timeout_s,
            item_failures=item_failures,
        )
        return typed(model, answer, f"{method} {path.partition('?')[0]}")

    async def _change(
        self,
        session_id: str,
        method: str,
        operation: str,
        body: schema.Wire,
        model: type[Answer],
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        waits_for_stable: bool = True,
    ) -> Answer:
        """One change of a session, in its turn."""
        path = _session(session_id, operation)
        async with self._exclusive(session_id, waits_for_stable=waits_for_stable) as queue:
            answer = await self._call(method, path, body, model, read_timeout_s=read_timeout_s)
            if getattr(answer, "requires_immediate_renegotiation", False):
                queue.is_stable.clear()
            return answer

    def _queue(self, session_id: str) -> _SessionQueue:
        return self._queues.setdefault(session_id, _SessionQueue())

    @asynccontextmanager
    async def _exclusive(self, session_id: str, *, waits_for_stable: bool) -> AsyncIterator[_SessionQueue]:
        """Wait for this change's turn, at most until the deadline."""
        queue = self._queue(session_id)
        try:
            async with asyncio.timeout(self._api.remaining_s):
                await queue.lock.acquire()
                while waits_for_stable and not queue.is_stable.is_set():
                    queue.lock.release()
                    await queue.is_stable.wait()
                    await queue.lock.acquire()
        except TimeoutError:
            assert self._deadline_s is not None
            raise DeadlineError(
                f"An earlier change of session {session_id} was not finished within {self._deadline_s:.3g} s.",
                awaited=f"an earlier change of session {session_id}",
                after_s=self._deadline_s,
                hint="An offer of the SFU must be answered through `renegotiate` before the next change.",
            ) from None
        try:
            yield queue
        finally:
            queue.lock.release()


def typed(model: type[Answer], answer: ApiAnswer, request: str) -> Answer:
    """The answer as `model`; one that is not as documented is an `ApiError` that names the field."""
    try:
        return model.read(answer.body if answer.body is not None else {})
    except schema.SchemaError as exc:
        raise ApiError(
            f"{request}: the answer is not what the API documents: {exc}.",
            status=answer.status,
            request=request,
            ray=answer.ray,
            hint="Is the API base that of a Realtime service? See the whole answer: rtcctl api METHOD PATH",
        ) from exc


def _session(session_id: str, operation: str = "") -> str:
    """Path of a session or of an operation on it; the id is opaque, but it cannot lead elsewhere."""
    if not _SESSION_ID.fullmatch(session_id):
        raise UsageError(
            f"{session_id[:140]!r} is not a session id.",
            hint="It is made of letters, digits, - and _: see rtcctl session list",
        )
    return f"sessions/{session_id}/{operation}" if operation else f"sessions/{session_id}"


def _offer(sdp: str) -> schema.SessionDescription:
    return schema.SessionDescription(type="offer", sdp=sdp)
