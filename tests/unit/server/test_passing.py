"""Time that passes on demand: what the service times is later, what lives goes on."""

from __future__ import annotations

import asyncio

import pytest

from rtcctl.server.waits import Waits
from tests.support.world import World, connect, connection_of, incoming_of, publish


async def advance(world: World, seconds: float) -> None:
    """With as little patience as there can be."""
    await world.registry.advance(seconds, patience_s=0.01)


async def test_unused_sessions_end() -> None:
    """After 120 s, and not before."""
    world = World()
    session = world.session()
    await advance(world, 119)
    assert not session.is_gone
    await advance(world, 1)
    assert session.is_gone
    assert not world.app.sessions


async def test_sessions_that_never_connected_end() -> None:
    """30 s after their exchange."""
    world = World()
    session = world.session()
    await publish(session, "0", "mic")
    await advance(world, 29)
    assert not session.is_gone
    await advance(world, 1)
    assert session.is_gone


async def test_who_answers_lives_on() -> None:
    """A connected peer that answers is not gone, whatever time passes; one that does not is."""
    world = World()
    here, away = await world.publisher(), await world.publisher()
    connection_of(away).is_there = False
    world.clock.pass_by(1)
    await advance(world, 3600)
    assert (here.is_gone, away.is_gone) == (False, True)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e300])
async def test_what_no_clock_can_pass(seconds: float) -> None:
    """It is refused, and time goes on for whoever asks next."""
    world = World()
    session = world.session()
    with pytest.raises(ValueError, match="cannot pass"):
        await advance(world, seconds)
    await advance(world, 1e9)
    assert session.is_gone
    session = world.session()
    await advance(world, 119)
    assert not session.is_gone
    await advance(world, 2)
    assert session.is_gone


async def test_a_silence_adds_up() -> None:
    """What was silent before is as much older; who comes back is young again."""
    world = World()
    session = await world.publisher()
    connection_of(session).is_there = False
    world.clock.pass_by(1)
    await advance(world, 20)
    assert connection_of(session).silent_s == 21
    connection_of(session).hear()
    incoming_of(session).receive()
    world.clock.pass_by(1)
    await advance(world, 20)
    assert not session.is_gone
    await advance(world, 9)
    assert session.is_gone


async def test_silent_tracks_are_collected() -> None:
    """A track without a packet during the roll call has been silent all the time; its session stays."""
    world = World()
    session = await world.publisher()
    world.clock.pass_by(1)
    await advance(world, 28)
    assert "mic" in session.publications
    await advance(world, 1)
    assert "mic" not in session.publications
    assert not session.is_gone


async def test_tracks_that_flow_stay() -> None:
    """One packet during the roll call is enough."""
    world = World()
    session = await world.publisher()
    world.clock.pass_by(1)
    passing = asyncio.ensure_future(advance(world, 3600))
    await asyncio.sleep(0)
    incoming_of(session).receive()
    await passing
    assert "mic" in session.publications


async def test_connecting_is_in_doubt_of_nobody() -> None:
    """Sessions whose peers have nothing to answer by are not waited for."""
    world = World()
    session = world.session()
    await publish(session, "0", "mic")
    connection_of(session).is_there = False
    incoming_of(session).receive()
    async with asyncio.timeout(1):
        await world.registry.advance(5, patience_s=60)
    connect(session)
    assert not session.is_gone


async def test_what_is_held_has_less_time_left() -> None:
    """Waits that are over are over at once, and others go on; those to come have all their time."""
    waits = Waits()

    async def hold(seconds: float) -> str:
        try:
            async with waits.timeout(seconds):
                await asyncio.sleep(60)
        except TimeoutError:
            return "over"
        return "not over"

    short, long = asyncio.ensure_future(hold(8)), asyncio.ensure_future(hold(30))
    await asyncio.sleep(0)
    waits.advance(8)
    waits.advance(8)
    assert await short == "over"
    assert not long.done()
    waits.advance(14)
    assert await long == "over"
    later = asyncio.ensure_future(hold(1))
    await asyncio.sleep(0)
    assert not later.done()
    later.cancel()
