"""Reported figures against the ledger of what was really done to the packets."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
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
from rtcctl.server.faults.ledger import PacketRow
from rtcctl.server.server import RealtimeServer


@dataclass
class Listening:
    """A subscriber to a tone."""

    env: Env
    peer: Peer
    receiver: Receiver
    server: RealtimeServer
    session_id: str
    publisher_session_id: str

    def ledger(self, *, direction: str = "down") -> list[PacketRow]:
        """What was done to the packets of the tone, on their way to the subscriber or from the publisher."""
        session_id = self.session_id if direction == "down" else self.publisher_session_id
        return [
            row
            for row in self.server.ledger.packets
            if (row.session_id, row.direction, row.track) == (session_id, direction, "tone")
        ]


@asynccontextmanager
async def listening(folder: Path, *faults: str) -> AsyncIterator[Listening]:
    """A tone, published to an embedded server with faults and pulled from it; a packet has arrived."""
    async with RealtimeServer.run("127.0.0.1", 0, faults=faults) as server:
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
            ):
                publishing, pulling = await new_session(client, env), await new_session(client, env)
                await media.publish(client, env, publisher, publishing, ToneSource(440.0), "tone")
                subscription = await media.subscribe(client, env, peer, pulling, publishing, "tone", wait_s=5)
                await subscription.receiver.wait_first_packet(5)
                yield Listening(env, peer, subscription.receiver, server, pulling, publishing)
                assert server.registry.bugs == 0
        finally:
            env.journal.close()


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("loss", ["0%", "5%", "20%"])
async def test_loss_equals_the_ledger_exactly(tmp_path: Path, loss: str, direction: str):
    """Over the counted range, from the first packet received to the last, every dropped packet is counted once."""
    # A loss of nothing has what passes written down.
    other = "down" if direction == "up" else "up"
    faults = f"loss={loss},seed=7,direction={direction}", f"loss=0%,direction={other}"
    async with listening(tmp_path, *faults) as at:
        await asyncio.sleep(3)
        statistics = at.receiver.statistics(at.env.clock())
        ledger, forwarded = at.ledger(direction=direction), at.ledger()
    # What is lost before the first that arrives is not counted; the ledger may be ahead by what came after the last.
    arrived = [index for index, row in enumerate(ledger) if row.fate == "sent"]
    first = arrived[0] if direction == "down" else arrived[-len(forwarded)]
    assert {row.kind for row in ledger} == {"original"}
    assert statistics.packets_received > 100
    assert (statistics.packets_lost > 0) == (loss != "0%")
    counted = ledger[first:][: statistics.packets_received + statistics.packets_lost]
    assert statistics.packets_lost == sum(row.fate == "dropped" for row in counted)
    assert statistics.packets_received == sum(row.fate == "sent" for row in counted)
    assert counted[-1].fate == "sent"
    numbers = [row.sequence_number for row in ledger]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers))


async def test_latency_shows_a_hold(tmp_path: Path):
    """A fault that holds every packet for 50 ms is seen in the one-way latency, in the round trip, not in the loss."""
    async with listening(tmp_path, "delay=50ms,direction=down") as at:
        await asyncio.sleep(2)
        statistics = at.receiver.statistics(at.env.clock())
        held_ms = sorted(row.held_s * 1000 for row in at.ledger() if row.held_s is not None)
    assert statistics.latency_ms is not None
    assert statistics.latency_ms.p50 == pytest.approx(held_ms[len(held_ms) // 2], abs=3)
    assert statistics.packets_lost == 0
