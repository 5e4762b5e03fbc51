"""Sessions: create, look at, close, list."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from rtcctl.errors import ApiError
from rtcctl.ops.env import Env
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.event import Progress, Refreshed, SessionCreated
from rtcctl.results.session import DataChannelState, SessionClose, SessionCreate, SessionGet, SessionList

if TYPE_CHECKING:
    from rtcctl.ops.relay import RelayPolicy
    from rtcctl.realtime.client import RealtimeClient
    from rtcctl.realtime.schema import GetSessionStateResponse
    from rtcctl.results.track import TrackClosed, TrackState

COMMAND_DEADLINE_S = 15.0
"For commands that only talk to the API, and for connecting a peer."

RECOVER_FOR_S = 60.0
"For how long another connection is tried for when one is lost, unless told otherwise."

CLEAN_UP_DEADLINE_S = 3.0
"What closing may take when a command ends, however it ends."


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """`connect` joins a peer to the session and holds it for `for_s` seconds (`None`: until interrupted).

    `relay`: all that the peer sends and hears goes through TURN.
    """

    connect: bool = False
    for_s: float | None = None
    correlation_id: str | None = None
    relay: RelayPolicy | None = None
    recover_for_s: float | None = RECOVER_FOR_S
    "`None`: an outage is the end."


@dataclass(frozen=True, slots=True)
class GetRequest:
    """`watch_s`: ask again every so many seconds until interrupted."""

    session_id: str
    watch_s: float | None = None


@dataclass(frozen=True, slots=True)
class CloseRequest:
    session_id: str


@dataclass(frozen=True, slots=True)
class ListRequest:
    include_closed: bool = False


def create_calls(request: CreateRequest) -> tuple[ApiCall, ...]:
    """The API calls that `create` makes."""
    query = f"?correlationId={quote(request.correlation_id, safe='')}" if request.correlation_id else ""
    path = f"sessions/new{query}"
    body = {"sessionDescription": {"type": "offer", "sdp": "$OFFER_SDP"}} if request.connect else None
    return (ApiCall("POST", path, body),)


def get_calls(request: GetRequest) -> tuple[ApiCall, ...]:
    """The API calls that `get` makes."""
    return (ApiCall("GET", f"sessions/{request.session_id}"),)


def close_calls(request: CloseRequest) -> tuple[ApiCall, ...]:
    """The API calls that `close` makes."""
    return (
        ApiCall("GET", f"sessions/{request.session_id}"),
        ApiCall("PUT", f"sessions/{request.session_id}/tracks/close", {"tracks": [{"mid": "$MID"}], "force": True}),
        ApiCall("PUT", f"sessions/{request.session_id}/datachannels/close", {"dataChannels": [{"id": "$ID"}]}),
    )


async def create(request: CreateRequest, env: Env) -> SessionCreate:
    """Create a session; with `connect`, connect a peer to it and hold it.

    A session without an offer is created without a body: `{}` would be refused (Realtime docs: Sessions and tracks).
    """
    if request.connect:
        from rtcctl.ops.session_hold import hold

        return await hold(request, env)
    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        session_id = await new_session(client, env, correlation_id=request.correlation_id, held=False)
    return SessionCreate(target=env.target, session_id=session_id, correlation_id=request.correlation_id)


async def get(request: GetRequest, env: Env) -> SessionGet:
    """Read a session's tracks and data channels; with `watch_s`, again and again until interrupted."""
    deadline_s = COMMAND_DEADLINE_S if request.watch_s is None else None
    async with env.client(deadline_s=deadline_s) as client:
        result = await read(client, env, request.session_id)
        if request.watch_s is None:
            return result
        with env.keeping(lambda: result):
            while True:
                env.emit(Refreshed(result=result))
                await asyncio.sleep(request.watch_s)
                result = await read(client, env, request.session_id)


async def read(client: RealtimeClient, env: Env, session_id: str) -> SessionGet:
    """One `GET session`."""
    state = await client.get_session(session_id)
    return SessionGet(
        target=env.target,
        session_id=session_id,
        tracks=track_states(state),
        data_channels=tuple(
            DataChannelState(
                location=channel.location or "",
                data_channel_name=channel.data_channel_name or "",
                id=channel.id if channel.id is not None else -1,
                status=channel.status or "",
                session_id=channel.session_id,
            )
            for channel in state.data_channels or ()
        ),
    )


def track_states(state: GetSessionStateResponse) -> tuple[TrackState, ...]:
    """The tracks of a `GET session` answer."""
    from rtcctl.results.track import TrackState

    return tuple(
        TrackState(
            location=track.location or "",
            mid=track.mid or "",
            track_name=track.track_name or "",
            status=track.status or "",
            session_id=track.session_id,
        )
        for track in state.tracks or ()
    )


async def close(request: CloseRequest, env: Env) -> SessionClose:
    """Close everything a session holds, and stop the probe of this machine that holds it, if there is one.

    The API cannot delete a session: one that holds nothing and has no peer expires by itself.
    """
    from rtcctl.ops import channels_media

    session_id = request.session_id
    if env.journal.session(session_id) is None:
        env.confirm(f"Session {session_id} was not created from this machine. Close everything it holds?")
    try:
        # Before its holder closes them itself, so that what became of them can be said.
        async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
            closed = await close_held(client, env, session_id)
            channels = () if closed is None else await channels_media.close_held(client, session_id)
    finally:
        stopped = _stop_holder(env, session_id)
    env.journal.session_closed(session_id, env.wallclock())
    return SessionClose(
        target=env.target,
        session_id=session_id,
        gone=closed is None,
        tracks=closed or (),
        data_channels=channels,
        stopped_pid=stopped,
    )


async def close_held(client: RealtimeClient, env: Env, session_id: str) -> tuple[TrackClosed, ...] | None:
    """Force-close every track that a session holds; `None` when the session is gone (410)."""
    try:
        active = [track for track in (await read(client, env, session_id)).tracks if track.status != "inactive"]
        return await close_tracks(client, session_id, active)
    except ApiError as error:
        if error.is_gone:
            return None
        raise


def _stop_holder(env: Env, session_id: str) -> int | None:
    """End the probe of this machine that holds the session; it closes its own tracks."""
    pid = env.journal.holder(session_id)
    if pid is None or pid == env.pid:
        return None
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return None
    return pid


async def close_tracks(client: RealtimeClient, session_id: str, tracks: list[TrackState]) -> tuple[TrackClosed, ...]:
    """Force-close tracks of one session, in calls of at most 64; absent ones count as closed."""
    names = {track.mid: track.track_name for track in tracks}
    mids = [track.mid for track in tracks if track.mid]
    from rtcctl.results.track import TrackClosed

    outcomes: list[TrackClosed] = []
    for start in range(0, len(mids), 64):
        answer = await client.close_tracks(session_id, mids[start : start + 64], force=True)
        for item in answer.tracks or ():
            code = item.error_code
            outcome = "closed" if not code else "already-closed" if code == "close_track_error" else "failed"
            outcomes.append(
                TrackClosed(
                    session_id=session_id,
                    mid=item.mid or "",
                    track_name=names.get(item.mid or ""),
                    outcome=outcome,
                    code=code,
                    description=item.error_description,
                )
            )
    return tuple(outcomes)


async def list_(request: ListRequest, env: Env) -> SessionList:
    """The sessions that this machine created, from the journal: the API has no list."""
    return SessionList(sessions=env.journal.sessions(include_closed=request.include_closed))


async def new_session(client: RealtimeClient, env: Env, *, correlation_id: str | None = None, held: bool = True) -> str:
    """Create a session without an offer and note it in the journal. `held`: this process keeps it alive."""
    env.emit(Progress(text="creating a session"))
    created = await client.new_session(correlation_id=correlation_id)
    record_session(env, created.session_id, correlation_id=correlation_id, held=held)
    return created.session_id


def record_session(env: Env, session_id: str, *, correlation_id: str | None = None, held: bool) -> None:
    """Write a new session into the journal and tell whoever listens."""
    env.journal.session_created(
        session_id,
        profile=env.profile.name,
        api_base=env.profile.api_base,
        app_id=env.profile.app_id,
        at=env.wallclock(),
        correlation_id=correlation_id,
        pid=env.pid if held else None,
        command=env.command,
    )
    env.emit(SessionCreated(session_id=session_id))
