"""Statistics: what the API says of a session, and what this machine's probes measure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rtcctl.ops.env import Env
from rtcctl.ops.session import COMMAND_DEADLINE_S, read
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.event import Refreshed
from rtcctl.results.stats import SessionStats


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """`watch_s`: look again every so many seconds until interrupted."""

    session_id: str
    watch_s: float | None = None


def session_calls(request: SessionRequest) -> tuple[ApiCall, ...]:
    """The API calls that `session` makes."""
    return (ApiCall("GET", f"sessions/{request.session_id}"),)


async def session(request: SessionRequest, env: Env) -> SessionStats:
    """Tracks and status of a session from the API; figures of the probes that touch it from the journal."""
    async with env.client(deadline_s=COMMAND_DEADLINE_S if request.watch_s is None else None) as client:

        async def look() -> SessionStats:
            state = await read(client, env, request.session_id)
            return SessionStats(
                target=env.target,
                session_id=request.session_id,
                tracks=state.tracks,
                intervals=env.journal.intervals(request.session_id),
            )

        result = await look()
        if request.watch_s is None:
            return result
        with env.keeping(lambda: result):
            while True:
                env.emit(Refreshed(result=result))
                await asyncio.sleep(request.watch_s)
                result = await look()
