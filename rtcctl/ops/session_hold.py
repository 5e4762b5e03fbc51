"""`session create --connect`: a session that a peer of ours holds open, and another one when it is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rtcctl.ops import relay as relaying
from rtcctl.ops.env import Env
from rtcctl.ops.judge import check_outages
from rtcctl.ops.media import Held, open_peer, wait_connected, watch
from rtcctl.ops.recovery import Recovery
from rtcctl.ops.session import CreateRequest, record_session
from rtcctl.results.session import SessionCreate

if TYPE_CHECKING:
    from rtcctl.probe.peer import ConnectionTiming


async def hold(request: CreateRequest, env: Env) -> SessionCreate:
    """Create a session with an offer, connect to it, and hold it for `for_s`.

    Raises `NetworkError` (phase ice, dtls, media) and what the client raises.
    """
    recovery = Recovery(env, request.recover_for_s, _noting_the_end)
    held: tuple[str, ConnectionTiming] | None = None
    started = 0.0

    @asynccontextmanager
    async def connect() -> AsyncIterator[Held]:
        nonlocal held
        async with (
            relaying.settings(request.relay, env, for_s=request.for_s, later=recovery.later) as relays,
            open_peer(env, relays=relays) as peer,
        ):
            peer.add_receiver("audio")
            offer = await peer.create_offer()
            async with env.client(deadline_s=recovery.deadline_s) as client:
                created = await client.new_session(offer, correlation_id=request.correlation_id)
            session_id = created.session_id
            peer.belongs_to(session_id)
            record_session(env, session_id, correlation_id=request.correlation_id, held=True)
            async with recovery.holding(session_id):
                assert created.session_description is not None
                await peer.set_answer(created.session_description.sdp)
                timing = await wait_connected(peer, env, session_id)
                if held is not None:
                    env.journal.session_replaced(held[0], session_id, env.wallclock())
                held = session_id, timing
                yield Held(peer, session_id)

    async def hold(at: Held) -> None:
        nonlocal started
        started = started or env.clock()
        left_s = None
        if request.for_s is not None:
            recovery.ends_at = started + request.for_s
            left_s = max(0.0, recovery.ends_at - env.clock())
        await watch(at.peer, left_s, what=f"session {at.session_id}", session_id=at.session_id)

    def result() -> SessionCreate | None:
        if held is None:
            return None
        session_id, timing = held
        return SessionCreate(
            target=env.target,
            session_id=session_id,
            correlation_id=request.correlation_id,
            connected=True,
            candidate_pair=timing.candidate_pair,
            relay_protocol=timing.relay_protocol,
            url=timing.url,
            ice_ms=timing.ice_ms,
            dtls_ms=timing.dtls_ms,
            held_s=env.clock() - started,
            outages=recovery.outages,
            checks=(*relaying.check(request.relay, timing), *check_outages(recovery.outages)),
        )

    with env.keeping(result):
        await recovery.run(connect, hold)
    done = result()
    assert done is not None, "it was held"
    return done


@asynccontextmanager
async def _noting_the_end(env: Env, session_id: str) -> AsyncIterator[None]:
    """It holds nothing that could be closed: without its peer it expires."""
    try:
        yield
    finally:
        env.journal.session_closed(session_id, env.wallclock())
