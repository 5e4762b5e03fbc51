"""`--impair`: what peers report against the ledger of what was done to their packets, and against aiortc's figures."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Literal

import pytest
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtpPacket

from rtcctl.errors import UsageError
from rtcctl.journal import Journal
from rtcctl.media.ledger import PacketRow
from rtcctl.media.rtcp import ReportBlock
from rtcctl.media.seqnum import SequenceUnwrapper
from rtcctl.ops import media
from rtcctl.ops.env import Env
from rtcctl.ops.impair import Impairing
from rtcctl.ops.session import new_session
from rtcctl.ops.sources import Outgoing
from rtcctl.probe.peer import Peer, Receiver, Sender
from rtcctl.probe.sources import Frame
from rtcctl.probe.sources.testsrc import TestPictureSource
from rtcctl.probe.sources.tone import ToneSource
from rtcctl.probe.transport import Arrival
from rtcctl.realtime.profile import Profile
from rtcctl.server.server import RealtimeServer

Kind = Literal["aiortc", "lean"]
CLEAN = "loss=0%"
"Nothing is done; the packets are written down."
SEED = 141
"Of 20 % of the packets, those of the first handshake are not among the lost ones, which would take seconds."


class EndingTone(ToneSource):
    """A tone that ends when it is told to; the peer stays, and hears the reports."""

    is_over = False

    def frame_at(self, tick: int) -> Frame:
        if self.is_over:
            raise UsageError("the tone is over")
        return super().frame_at(tick)


@dataclass
class Pair:
    """One who publishes and one who subscribes, each on a network of its own, and what was done there."""

    env: Env
    publisher: Peer
    publication: media.Publication
    subscriber: Peer
    receiver: Receiver
    up: list[PacketRow]
    down: list[PacketRow]
    heard: list[RtpPacket] = field(default_factory=list)
    "All RTP that came through SRTP at the subscriber, as aiortc reads it."

    def originals(self, way: Literal["up", "down"]) -> list[PacketRow]:
        """First transmissions of the track, from the first on that got through to the last."""
        rows = [row for row in (self.up if way == "up" else self.down) if row.kind == "original"]
        while rows[-1].fate != "sent":
            rows.pop()
        return rows[next(index for index, row in enumerate(rows) if row.fate == "sent") :]

    def aiortc_lost(self) -> int:
        """`packetsLost` of the media, by aiortc's own statistics of a receiver."""
        ssrc = next(row.ssrc for row in self.down if row.kind == "original")
        statistics = StreamStatistics(48_000)
        for packet in self.heard:
            if packet.ssrc == ssrc:
                statistics.add(packet)
        return statistics.packets_lost


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[Env]:
    """A server, and what an operation against it is given."""
    async with RealtimeServer.run("127.0.0.1", 0) as server:
        profile = Profile(
            name="test",
            api_base=server.base_url,
            app_id=server.app_id,
            app_secret=server.app_secret,
            is_embedded=True,
        )
        with Journal.open(folder) as journal:
            yield Env(profile=profile, journal=journal)
        assert server.registry.bugs == 0


@asynccontextmanager
async def pair(
    env: Env, *, up: str = CLEAN, down: str = CLEAN, transport: Kind = "aiortc", picture: bool = False
) -> AsyncIterator[Pair]:
    """A tone (or a picture) that `up` is done to on its way to the server, and `down` on its way from it."""
    rows: tuple[list[PacketRow], list[PacketRow]] = ([], [])
    envs = []
    for text, direction, written in zip((up, down), ("up", "down"), rows, strict=True):
        impairing = Impairing.parse([f"{text},direction={direction}"], Random(1))
        impairing.write = written.append
        envs.append(replace(env, impairing=impairing))
    async with (
        env.client(deadline_s=30) as client,
        media.open_peer(envs[0], transport=transport) as publisher,
        media.open_peer(envs[1], transport=transport) as subscriber,
    ):
        source = TestPictureSource(640, 360, 30) if picture else EndingTone(440.0)
        publishing, pulling = await new_session(client, env), await new_session(client, env)
        (publication,) = await media.publish(client, env, publisher, publishing, Outgoing.of("tone", source))
        at = Pair(env, publisher, publication, subscriber, Receiver, *rows)  # type: ignore[arg-type]
        received = subscriber.rtp_received

        def rtp_received(packet: bytes, arrival: Arrival) -> None:
            at.heard.append(RtpPacket.parse(packet))
            received(packet, arrival)

        subscriber.rtp_received = rtp_received  # type: ignore[method-assign]
        track = media.remote_track(publishing, "tone")
        (subscription,) = await media.subscribe(client, env, subscriber, pulling, track, wait_s=5)
        at.receiver = subscription.receiver
        await at.receiver.wait_first_packet(5)
        yield at


async def reported(sender: Sender) -> None:
    """Until the server has said what it has received by now."""
    (encoding,) = sender.encodings
    is_told = asyncio.Event()
    take = encoding.reported

    def told(block: ReportBlock, wallclock: float) -> None:
        take(block, wallclock)
        is_told.set()

    encoding.reported = told  # type: ignore[method-assign]
    async with asyncio.timeout(4):
        await is_told.wait()


async def all_of(*work: Awaitable[None]) -> None:
    """At the same time."""
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)  # type: ignore[arg-type]


async def test_loss_equals_the_ledger_exactly(tmp_path: Path):
    """0, 5 and 20 %, out and in, by either transport: a subscriber's `packets_lost` is what its network has dropped, or
    the publisher's; a publisher's is what its own has. aiortc's statistics of the same packets say the same."""

    async def case(env: Env, loss: str, way: Literal["up", "down"], transport: Kind) -> None:
        what = {"up": loss, "down": CLEAN} if way == "up" else {"up": CLEAN, "down": loss}
        async with pair(env, **what, transport=transport) as at:
            await asyncio.sleep(1.8)
            source, sender = at.publication.sender.source, at.publication.sender
            assert isinstance(source, EndingTone)
            source.is_over = True
            await asyncio.sleep(0.1)  # what is on its way arrives
            await reported(sender)
            received = at.receiver.statistics(env.clock())
            published = sender.statistics(env.clock())
        counted = at.originals(way)
        if way == "up":  # what went up before somebody subscribed was not for him
            arrived = [index for index, row in enumerate(counted) if row.fate == "sent"]
            assert published.packets_lost == sum(row.fate == "dropped" for row in counted)
            counted = counted[arrived[-len(at.originals("down")) :][0] :]
        else:
            assert published.packets_lost == 0
        lost = sum(row.fate == "dropped" for row in counted)
        assert (lost > 0) == (not loss.startswith("loss=0%"))
        assert received.packets_lost == received.packets_lost_rfc3550 == at.aiortc_lost() == lost
        assert received.packets_received == sum(row.fate == "sent" for row in counted) > 50

    async with world(tmp_path) as env:
        await all_of(
            *(
                case(env, f"loss={loss},seed={SEED}", way, transport)
                for loss in ("0%", "5%", "20%")
                for way in ("up", "down")
                for transport in ("aiortc", "lean")
            )
        )


def jitter_ms(rows: list[PacketRow]) -> float:
    """Of RFC 3550 A.8, over the moments at which packets were let through; a packet of the tone is 20 ms."""
    jitter_s = 0.0
    for one, other in itertools.pairwise(row for row in rows if row.fate == "sent"):
        assert one.held_s is not None
        assert other.held_s is not None
        assert one.sequence_number is not None
        assert other.sequence_number is not None
        apart_s = (other.at + other.held_s) - (one.at + one.held_s)
        due_s = 0.02 * ((other.sequence_number - one.sequence_number) & 0xFFFF)
        jitter_s += (abs(apart_s - due_s) - jitter_s) / 16
    return jitter_s * 1000


async def test_latency_and_jitter_equal_the_ledger(tmp_path: Path):
    """Out and in, by either transport: latency grows by what was really held, to the millisecond; jitter is that of RFC
    3550 over the ledger; a hold is no loss."""
    baselines: dict[Kind, float] = {}
    measured: dict[tuple[str, Kind], tuple[float, float]] = {}

    async def case(env: Env, what: str, way: Literal["up", "down"], transport: Kind) -> None:
        async with pair(env, **{way: f"{what},seed=7"}, transport=transport) as at:
            await asyncio.sleep(1.5)
            at.publisher.vanish()
            await asyncio.sleep(0.2)
            statistics = at.receiver.statistics(env.clock())
            rows = at.originals(way)[-statistics.packets_received :]
        assert statistics.packets_lost == 0
        assert statistics.latency_ms is not None
        assert statistics.jitter_ms is not None
        if what == CLEAN:
            baselines[transport] = statistics.latency_ms.p50
        elif "jitter" in what:
            assert jitter_ms(rows) > 4
            assert statistics.jitter_ms == pytest.approx(jitter_ms(rows), rel=0.1)
        else:
            held_ms = [row.held_s * 1000 for row in rows if row.held_s is not None]
            assert min(held_ms) >= 40
            measured[way, transport] = statistics.latency_ms.p50, median(held_ms)

    async with world(tmp_path) as env:
        kinds: tuple[Kind, ...] = ("aiortc", "lean")
        await all_of(
            *(case(env, CLEAN, "up", transport) for transport in kinds),
            *(
                case(env, what, way, transport)
                for what in ("delay=40ms", "delay=30ms,jitter=15ms")
                for way in ("up", "down")
                for transport in kinds
            ),
        )
    for (_, transport), (latency_ms, held_ms) in measured.items():
        assert latency_ms - held_ms - baselines[transport] == pytest.approx(0, abs=1)
    assert len(measured) == 4


def overtaken_packets(rows: list[PacketRow]) -> int:
    """How many left after one that has a higher number."""
    left = sorted(rows, key=lambda row: row.at + (row.held_s or 0))
    unwrap = SequenceUnwrapper().unwrap
    numbers = [unwrap(row.sequence_number) for row in left if row.sequence_number is not None]
    highest = itertools.accumulate(numbers, max)
    return sum(number < before for number, before in zip(numbers[1:], highest, strict=False))


async def test_what_is_repaired_overtaken_or_doubled(tmp_path: Path):
    """Of a picture with RTX, lost is what was dropped of the originals, and the repair of it lowers nobody's count of
    lost packets: neither ours nor aiortc's. What is overtaken counts as such; a copy is a replay to SRTP."""

    async def repaired(env: Env, transport: Kind) -> None:
        async with pair(env, down="loss=15%,seed=7", transport=transport, picture=True) as at:
            await asyncio.sleep(1.5)
            at.publisher.vanish()
            await asyncio.sleep(0.3)
            statistics = at.receiver.statistics(env.clock())
        lost = sum(row.fate == "dropped" for row in at.originals("down"))
        again = [row for row in at.down if row.kind == "rtx" and row.fate == "sent"]
        assert lost > 10
        assert statistics.packets_lost == lost
        assert statistics.packets_recovered is not None
        assert 0 < statistics.packets_recovered <= len(again)
        assert statistics.packets_lost_rfc3550 == at.aiortc_lost() == lost

    async def overtaken(env: Env, transport: Kind) -> None:
        async with pair(env, down="reorder=10%,dup=10%,seed=7", transport=transport) as at:
            await asyncio.sleep(1.5)
            at.publisher.vanish()
            await asyncio.sleep(0.3)
            statistics = at.receiver.statistics(env.clock())
        rows = at.originals("down")
        assert statistics.packets_received == len(rows)
        assert statistics.packets_reordered == overtaken_packets(rows) > 0
        assert sum(row.reason == "dup" for row in rows) > 0
        assert statistics.packets_duplicated == 0
        assert statistics.packets_lost == statistics.packets_lost_rfc3550 == at.aiortc_lost() == 0

    async with world(tmp_path) as env:
        kinds: tuple[Kind, ...] = ("aiortc", "lean")
        await all_of(*(work(env, transport) for work in (repaired, overtaken) for transport in kinds))
