"""Reported figures against a ledger of what was really done to the packets."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtcctl.journal import Journal
from rtcctl.ops import media
from rtcctl.ops.env import Env
from rtcctl.ops.session import new_session
from rtcctl.probe.peer import Peer, Receiver
from rtcctl.probe.sources import ToneSource
from rtcctl.realtime.profile import Profile
from rtcctl.server.server import RealtimeServer
from tests.support.relay import Relay, relay


@dataclass
class Listening:
    """A subscriber whose way down leads through a relay."""

    env: Env
    peer: Peer
    receiver: Receiver
    relay: Relay


@asynccontextmanager
async def listening(
    folder: Path, *, hold_s: float = 0.0, drops: Callable[[int], bool] | None = None
) -> AsyncIterator[Listening]:
    """A tone, published straight to an embedded server and pulled through a relay."""
    async with RealtimeServer.run("127.0.0.1", 0) as server:
        profile = Profile(
            name="test",
            api_base=server.base_url,
            app_id=server.app_id,
            app_secret=server.app_secret,
            is_embedded=True,
        )
        env = Env(profile=profile, journal=Journal.open(folder))
        try:
            async with (
                env.client(deadline_s=30) as client,
                media.open_peer(env) as publisher,
                media.open_peer(env) as peer,
                relay(("127.0.0.1", server.udp_port), hold_s=hold_s, drops=drops) as between,
            ):
                publishing, pulling = await new_session(client, env), await new_session(client, env)
                await media.publish(client, env, publisher, publishing, ToneSource(440.0), "tone")
                _, mid, offer = await media.pull(client, env, pulling, publishing, "tone", wait_s=5)
                await client.renegotiate(pulling, await peer.answer(between.through(offer)))
                await media.wait_connected(peer, env, pulling)
                receiver = peer.receiver(mid)
                await receiver.wait_first_packet(5)
                yield Listening(env, peer, receiver, between)
        finally:
            env.journal.close()


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.2])
async def test_loss_equals_the_ledger_exactly(tmp_path: Path, fraction: float):
    """Over the counted range, from the first packet received to the last, every dropped packet is counted once."""
    seeded = random.Random(7)
    dropped = [seeded.random() < fraction for _ in range(2000)]
    dropped[0] = False
    async with listening(tmp_path, drops=dropped.__getitem__) as at:
        await asyncio.sleep(3)
        statistics = at.receiver.statistics(at.env.clock())
        ledger = list(at.relay.ledger)
    # The ledger may be ahead by packets that were dropped, or still on their way, after the last one received.
    arrived = [index for index, entry in enumerate(ledger) if not entry.dropped][: statistics.packets_received]
    counted = ledger[: arrived[-1] + 1]
    assert statistics.packets_received > 100
    assert statistics.packets_lost == sum(entry.dropped for entry in counted)
    assert statistics.packets_received + statistics.packets_lost == len(counted)
    assert statistics.fraction_lost == pytest.approx(statistics.packets_lost / len(counted))
    numbers = [entry.sequence_number for entry in ledger]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers))


async def test_latency_shows_a_hold(tmp_path: Path):
    """A relay that holds every packet for 50 ms is seen in the one-way latency, and not in the loss."""
    async with listening(tmp_path, hold_s=0.05) as at:
        await asyncio.sleep(2)
        statistics = at.receiver.statistics(at.env.clock())
    assert statistics.latency_ms is not None
    assert 49 < statistics.latency_ms.p50 < 90
    assert statistics.packets_lost == 0
