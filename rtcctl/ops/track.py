"""Tracks: list, close, update, wait; `publish.py` and `subscribe.py` have what runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rtcctl.errors import ApiError, RtcctlError, UsageError
from rtcctl.ops.env import Env
from rtcctl.ops.session import (
    COMMAND_DEADLINE_S,
    close_tracks,
    new_session,
    read,
)
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.track import (
    TrackClose,
    TrackClosed,
    TrackList,
    TrackState,
    TrackUpdate,
    TrackWait,
)

if TYPE_CHECKING:
    from rtcctl.realtime.schema import Simulcast
    from rtcctl.results.session import SessionGet

Policy = Literal["none", "asciibetical"]

UPDATE_WAIT_S = 10.0
"A layer that is not there yet may come: right after a pull an update is tried again for so long."


@dataclass(frozen=True, slots=True)
class TrackRef:
    """A track as the grammar spells it: `SESSION/TRACK`."""

    session_id: str
    track_name: str

    def __str__(self) -> str:
        return f"{self.session_id}/{self.track_name}"


@dataclass(frozen=True, slots=True)
class Layering:
    """Which layer of a simulcast a subscription wants, and what may replace it (Realtime docs: Simulcast)."""

    preferred_rid: str | None = None
    priority_ordering: Policy | None = None
    rid_not_available: Policy | None = None

    def wire(self) -> dict[str, str]:
        """As in a request; empty when nothing was said."""
        named = {
            "preferredRid": self.preferred_rid,
            "priorityOrdering": self.priority_ordering,
            "ridNotAvailable": self.rid_not_available,
        }
        return {name: value for name, value in named.items() if value is not None}

    def simulcast(self) -> Simulcast | None:
        """For the client; `None` when nothing was said."""
        from rtcctl.realtime.schema import Simulcast

        if not self.wire():
            return None
        return Simulcast(
            preferred_rid=self.preferred_rid,
            priority_ordering=self.priority_ordering,
            rid_not_available=self.rid_not_available,
        )


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """`mid`: of the subscription's m-section in its own session."""

    session_id: str
    mid: str
    layering: Layering


@dataclass(frozen=True, slots=True)
class ListRequest:
    session_id: str


@dataclass(frozen=True, slots=True)
class CloseRequest:
    """`tracks` by name, or everything of `all_of`."""

    tracks: tuple[TrackRef, ...] = ()
    all_of: str | None = None


@dataclass(frozen=True, slots=True)
class WaitRequest:
    track: TrackRef
    wait_s: float = 30.0


def list_calls(request: ListRequest) -> tuple[ApiCall, ...]:
    """The API calls that `list` makes."""
    return (ApiCall("GET", f"sessions/{request.session_id}"),)


def close_calls(request: CloseRequest) -> tuple[ApiCall, ...]:
    """The API calls that `close` makes."""
    sessions = [request.all_of] if request.all_of else sorted({track.session_id for track in request.tracks})
    calls: list[ApiCall] = []
    for session_id in sessions:
        calls.append(ApiCall("GET", f"sessions/{session_id}"))
        body = {"tracks": [{"mid": "$MID"}], "force": True}
        calls.append(ApiCall("PUT", f"sessions/{session_id}/tracks/close", body))
    return tuple(calls)


def wait_calls(request: WaitRequest) -> tuple[ApiCall, ...]:
    """The API calls that `wait` makes."""
    return (
        ApiCall("POST", "sessions/new"),
        ApiCall("POST", "sessions/$SESSION_ID/tracks/new", {"tracks": [remote(request.track)]}),
    )


def update_calls(request: UpdateRequest) -> tuple[ApiCall, ...]:
    """The API calls that `update` makes."""
    names = {"sessionId": "$PUBLISHER_SESSION_ID", "trackName": "$TRACK_NAME", "mid": request.mid}
    track = {"location": "remote", **names, "simulcast": request.layering.wire()}
    return (
        ApiCall("GET", f"sessions/{request.session_id}"),
        ApiCall("PUT", f"sessions/{request.session_id}/tracks/update", {"tracks": [track]}),
    )


def remote(track: TrackRef, layering: Layering | None = None) -> dict[str, Any]:
    """A track to pull, as in a request."""
    simulcast = {"simulcast": layering.wire()} if layering is not None and layering.wire() else {}
    return {"location": "remote", "sessionId": track.session_id, "trackName": track.track_name} | simulcast


async def list_(request: ListRequest, env: Env) -> TrackList:
    """The tracks of a session as the API tells them."""
    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        state = await read(client, env, request.session_id)
    return TrackList(target=env.target, session_id=request.session_id, tracks=state.tracks)


async def close(request: CloseRequest, env: Env) -> TrackClose:
    """Close tracks by name: their mids are read from the session first, since the API closes by mid."""
    wanted: dict[str, list[str] | None] = {}
    if request.all_of is not None:
        wanted[request.all_of] = None
    for track in request.tracks:
        names = wanted.setdefault(track.session_id, [])
        if names is not None:
            names.append(track.track_name)
    if not wanted:
        raise UsageError("No track was named.", hint="Name them as SESSION/TRACK, or use --all SESSION.")
    for session_id in wanted:
        if env.journal.session(session_id) is None:
            env.confirm(f"Session {session_id} was not created from this machine. Close its tracks?")
    outcomes: list[TrackClosed] = []
    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        for session_id, names in wanted.items():
            state = await read(client, env, session_id)
            outcomes += await close_tracks(client, session_id, _chosen(session_id, state.tracks, names))
    failed = [t for t in outcomes if t.outcome == "failed"]
    for outcome in outcomes:
        if outcome.outcome != "failed" and outcome.track_name:
            env.journal.track_closed(outcome.session_id, outcome.track_name, env.wallclock())
    if failed:
        raise ApiError(
            f"{len(failed)} of {len(outcomes)} tracks could not be closed: mid {failed[0].mid} of session "
            f"{failed[0].session_id}: {failed[0].description or failed[0].code}",
            status=200,
            code=failed[0].code,
            description=failed[0].description,
        )
    return TrackClose(target=env.target, tracks=tuple(outcomes))


def _chosen(session_id: str, tracks: tuple[TrackState, ...], names: list[str] | None) -> list[TrackState]:
    """The active tracks of a session that were named; a publication goes before a subscription of that name."""
    active = [track for track in tracks if track.status != "inactive"]
    if names is None:
        return active
    chosen = []
    for name in names:
        named = sorted((t for t in active if t.track_name == name), key=lambda t: t.location != "local")
        if not named:
            known = ", ".join(sorted({t.track_name for t in active})) or "none"
            raise ApiError(
                f"Session {session_id} has no open track {name}.",
                code="not_found_track_error",
                hint=f"Its open tracks: {known}.",
            )
        chosen.append(named[0])
    return chosen


async def update(request: UpdateRequest, env: Env) -> TrackUpdate:
    """Change the layer of a live subscription, of whatever process; the picture changes at that layer's key frame.

    Raises `ApiError` when the subscription is not there, or has no such layer after `UPDATE_WAIT_S`.
    """
    from rtcctl.realtime.schema import TrackObject

    give_up_at, pause_s = env.clock() + UPDATE_WAIT_S, 0.1
    async with env.client(deadline_s=UPDATE_WAIT_S + COMMAND_DEADLINE_S) as client:
        state = _received(await read(client, env, request.session_id), request.mid)
        track = TrackObject(
            location="remote",
            session_id=state.session_id,
            track_name=state.track_name,
            mid=request.mid,
            simulcast=request.layering.simulcast(),
        )
        while True:
            answer = await client.update_tracks(request.session_id, [track])
            if not answer.tracks:
                raise ApiError("The API answered the update without saying what became of the track.", status=200)
            (item,) = answer.tracks
            try:
                item.raise_for_error(f"mid {request.mid} of session {request.session_id}")
                break
            except ApiError as error:
                if error.code != "update_track_error" or env.clock() >= give_up_at:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)
    return TrackUpdate(
        target=env.target,
        session_id=request.session_id,
        mid=request.mid,
        track_name=state.track_name,
        preferred_rid=request.layering.preferred_rid,
        priority_ordering=request.layering.priority_ordering,
        rid_not_available=request.layering.rid_not_available,
    )


def _received(session: SessionGet, mid: str) -> TrackState:
    """The subscription on that m-section."""
    received = [track for track in session.tracks if track.location == "remote" and track.status != "inactive"]
    for track in received:
        if track.mid == mid:
            return track
    known = ", ".join(f"{track.mid} ({track.track_name})" for track in received) or "none"
    raise ApiError(
        f"Session {session.session_id} receives nothing on mid {mid}.",
        code="not_found_track_error",
        hint=f"Mids on which it receives: {known}.",
    )


async def wait(request: WaitRequest, env: Env) -> TrackWait:
    """Wait until a track can be subscribed to: the SFU accepts a pull of it, which needs media to be flowing.

    The pull is never answered, so no media is sent here; its session expires by itself.
    """
    from rtcctl.ops.media import pull, remote_track

    started = env.clock()
    ref = request.track
    async with env.client(deadline_s=request.wait_s + COMMAND_DEADLINE_S) as client:
        session_id = await new_session(client, env, held=False)
        try:
            track = remote_track(ref.session_id, ref.track_name)
            _, mid, _ = await pull(client, env, session_id, track, wait_s=request.wait_s)
            waited_s = env.clock() - started
            with suppress(RtcctlError):
                await client.close_tracks(session_id, [mid], force=True)
        finally:
            env.journal.session_closed(session_id, env.wallclock())
    return TrackWait(target=env.target, session_id=ref.session_id, track_name=ref.track_name, waited_s=waited_s)
