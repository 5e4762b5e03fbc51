"""Reported figures against the ledger of what was really done to the packets."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import pytest

from rtcctl.journal import Journal
from rtcctl.media.seqnum import SequenceUnwrapper
from rtcctl.ops import media
from rtcctl.ops.env import Env
from rtcctl.ops.session import new_session
from rtcctl.ops.sources import Outgoing
from rtcctl.probe.peer import Peer, Receiver
from rtcctl.probe.sources.testsrc import TestPictureSource
from rtcctl.probe.sources.tone import ToneSource
from rtcctl.realtime.profile import Profile
from rtcctl.results.track import ReceivedStatistics
from rtcctl.server.faults.ledger import PacketRow
from rtcctl.server.server import RealtimeServer
from tests.support.requirements import slow


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

    async def measured(self, for_s: float) -> ReceivedStatistics:
        """What arrives from now on."""
        self.receiver.start_measuring(self.env.clock())
        await asyncio.sleep(for_s)
        return self.receiver.statistics(self.env.clock())

    async def cut(self, direction: str) -> tuple[ReceivedStatistics, list[PacketRow]]:
        """Stop the flow and let what is on its way arrive: the figures, and the ledger up to the last that arrived."""
        before = len(self.ledger(direction=direction))
        self.server.faults.set(f"loss=100%,direction={direction}")
        await asyncio.sleep(0.4)
        ledger = self.ledger(direction=direction)[:before]
        while ledger[-1].fate != "sent":
            ledger.pop()
        return self.receiver.statistics(self.env.clock()), ledger


@asynccontextmanager
async def listening(
    folder: Path, *faults: str, transport: Literal["aiortc", "lean"] = "aiortc", picture: bool = False
) -> AsyncIterator[Listening]:
    """A tone (or a picture), published to an embedded server with faults and pulled from it; a packet has arrived."""
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
                media.open_peer(env, transport=transport) as publisher,
                media.open_peer(env, transport=transport) as peer,
            ):
                source = TestPictureSource(640, 360, 30) if picture else ToneSource(440.0)
                publishing, pulling = await new_session(client, env), await new_session(client, env)
                await media.publish(client, env, publisher, publishing, Outgoing.of("tone", source))
                track = media.remote_track(publishing, "tone")
                (subscription,) = await media.subscribe(client, env, peer, pulling, track, wait_s=5)
                await subscription.receiver.wait_first_packet(5)
                yield Listening(env, peer, subscription.receiver, server, pulling, publishing)
                assert server.registry.bugs == 0
        finally:
            env.journal.close()


@pytest.mark.parametrize(
    ("loss", "direction", "transport"),
    [
        ("0%", "down", "aiortc"),
        ("5%", "up", "aiortc"),
        ("20%", "down", "aiortc"),
        ("20%", "down", "lean"),
        pytest.param("0%", "down", "lean", marks=slow),
        pytest.param("5%", "up", "lean", marks=slow),
    ],
)
async def test_loss_equals_the_ledger_exactly(
    tmp_path: Path, loss: str, direction: str, transport: Literal["aiortc", "lean"]
):
    """Over the counted range, from the first packet received to the last, every dropped packet is counted once."""
    # A loss of nothing has what passes written down.
    other = "down" if direction == "up" else "up"
    faults = f"loss={loss},seed=7,direction={direction}", f"loss=0%,direction={other}"
    async with listening(tmp_path, *faults, transport=transport) as at:
        await asyncio.sleep(2.0 if loss != "0%" else 1.2)
        statistics, ledger = await at.cut(direction)
        forwarded = at.ledger()
    arrived = [index for index, row in enumerate(ledger) if row.fate == "sent"]
    # What went up before somebody subscribed was not for him.
    counted = ledger[arrived[0] if direction == "down" else arrived[-len(forwarded)] :]
    assert {row.kind for row in ledger} == {"original"}
    assert statistics.packets_received > 50
    assert (statistics.packets_lost > 0) == (loss != "0%")
    assert statistics.packets_lost == sum(row.fate == "dropped" for row in counted)
    assert statistics.packets_received == sum(row.fate == "sent" for row in counted)
    numbers = [row.sequence_number for row in ledger]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers) if a is not None and b is not None)


@pytest.mark.parametrize("transport", ["aiortc", "lean"])
async def test_what_rtx_repairs_was_lost_and_is_recovered(tmp_path: Path, transport: Literal["aiortc", "lean"]):
    """Of a picture: lost is what was dropped of the originals, recovered is what came as RTX instead, to the packet."""
    fault = "loss=15%,direction=down,seed=7"
    async with listening(tmp_path, fault, transport=transport, picture=True) as at:
        await asyncio.sleep(2.0)
        statistics, ledger = await at.cut("down")
    originals = [row for row in ledger if row.kind == "original"]
    while originals[-1].fate != "sent":
        originals.pop()
    first = next(index for index, row in enumerate(originals) if row.fate == "sent")
    counted = originals[first:]
    dropped = [row for row in counted if row.fate == "dropped"]
    again = [row for row in ledger if row.kind == "rtx" and row.fate == "sent"]
    assert len(dropped) > 10
    assert statistics.packets_lost == len(dropped)
    assert statistics.packets_recovered is not None
    assert 0 < statistics.packets_recovered <= len(again)
    assert statistics.packets_received == len(counted) - len(dropped) + statistics.packets_recovered
    assert statistics.nacks_sent is not None
    assert statistics.nacks_sent > 0


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_latency_equals_the_hold(tmp_path: Path, direction: str):
    """What a fault holds is what the one-way latency grows by, to the millisecond; it is no loss."""
    async with listening(tmp_path) as at:
        await asyncio.sleep(1)
        baseline = at.receiver.statistics(at.env.clock()).latency_ms
        at.server.faults.set(f"delay=40ms,direction={direction}")
        await asyncio.sleep(0.3)
        at.receiver.start_measuring(at.env.clock())
        measured_from = at.env.wallclock()
        await asyncio.sleep(1.2)
        statistics, ledger = await at.cut(direction)
    assert baseline is not None
    assert statistics.latency_ms is not None
    held_ms = [row.held_s * 1000 for row in ledger if row.held_s is not None and row.at > measured_from]
    assert min(held_ms) >= 40
    assert statistics.latency_ms.p50 - baseline.p50 == pytest.approx(median(held_ms), abs=1)
    assert statistics.packets_lost == 0


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_jitter_equals_the_ledger(tmp_path: Path, direction: str):
    """Interarrival jitter is that of RFC 3550 over the times at which packets really left."""
    async with listening(tmp_path, f"delay=30ms,jitter=15ms,direction={direction},seed=7") as at:
        await asyncio.sleep(2)
        statistics, ledger = await at.cut(direction)
    jitter_s = 0.0
    for one, other in itertools.pairwise(row for row in ledger if row.fate == "sent"):
        assert one.held_s is not None
        assert other.held_s is not None
        apart_s = (other.at + other.held_s) - (one.at + one.held_s)
        jitter_s += (abs(apart_s - 0.02) - jitter_s) / 16
    assert statistics.jitter_ms is not None
    assert statistics.jitter_ms == pytest.approx(jitter_s * 1000, rel=0.1)
    assert jitter_s > 0.004
    assert statistics.packets_reordered == 0


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_reordering_and_duplicates_equal_the_ledger(tmp_path: Path, direction: str):
    """A packet counts as reordered when one after it left before it. A second copy is dropped by SRTP as a replay
    (RFC 3711 §3.3.2): it was sent, and no receiver can count it."""
    async with listening(tmp_path) as at:
        at.receiver.start_measuring(at.env.clock())
        at.server.faults.set(f"reorder=10%,dup=10%,direction={direction},seed=7")
        await asyncio.sleep(2)
        statistics, ledger = await at.cut(direction)
    left = sorted((row for row in ledger if row.fate == "sent"), key=lambda row: row.at + (row.held_s or 0))
    unwrap = SequenceUnwrapper().unwrap
    numbers = [unwrap(row.sequence_number) for row in left if row.sequence_number is not None]
    late = sum(
        number < highest for number, highest in zip(numbers[1:], itertools.accumulate(numbers, max), strict=False)
    )
    assert statistics.packets_reordered == late > 0
    assert sum(row.reason == "dup" for row in left) > 0
    assert statistics.packets_duplicated == 0
    # One may have been on its way when the measurement began.
    assert statistics.packets_received - len(left) in (0, 1)
    assert statistics.packets_lost == 0


async def test_a_rate_limit_drops_what_does_not_fit(tmp_path: Path):
    """A tone of some 70 kbit/s through 30 kbit/s: about half is lost, all of it in the queue, and counted exactly."""
    async with listening(tmp_path, "rate=30kbps,direction=down") as at:
        await asyncio.sleep(2.5)
        statistics, ledger = await at.cut("down")
    assert {row.reason for row in ledger if row.fate == "dropped"} == {"rate"}
    assert statistics.packets_lost == sum(row.fate == "dropped" for row in ledger) > 20
    sent = [row for row in ledger if row.fate == "sent"]
    span_s = (sent[-1].at + (sent[-1].held_s or 0)) - (sent[0].at + (sent[0].held_s or 0))
    assert sum(row.size_bytes for row in sent[1:]) * 8 / span_s < 31_000
    # The queue is what held the rest.
    assert 0.1 < max(row.held_s or 0 for row in sent) < 0.4


SELECTORS = {
    "track=tone": True,
    "track=another": False,
    "track={publisher}/tone": True,
    "track={subscriber}/tone": False,
    "session={subscriber}": True,
    "session={publisher}": False,
    "app={app}": True,
    "app=another": False,
}
"Whom a fault concerns, and whether the tone on its way down is among them."


async def test_only_what_is_named_is_met(tmp_path: Path):
    """By track, also with its publisher, by the session whose path it is, by app; cleared, all is as before."""
    async with listening(tmp_path) as at:
        names = {"publisher": at.publisher_session_id, "subscriber": at.session_id, "app": at.server.app_id}
        for selector, is_met in SELECTORS.items():
            await at.measured(0.25)  # what was lost before may come again until then
            before = len(at.ledger())
            active = at.server.faults.set(f"loss=60%,seed=7,direction=down,{selector.format(**names)}")
            met = await at.measured(0.3)
            at.server.faults.clear(active.fault_id)
            assert (met.packets_lost > 0) == is_met, selector
            assert (len(at.ledger()) > before) == is_met, selector
        await at.measured(0.25)
        after = await at.measured(0.5)
    assert after.packets_received > 10
    assert after.packets_lost == 0
