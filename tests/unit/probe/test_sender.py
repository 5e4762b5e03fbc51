"""Covers rtcctl/probe/sender.py."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from aiortc.stats import RTCRemoteInboundRtpStreamStats, RTCStatsReport

from rtcctl.probe.sender import Sender, SourceTrack
from rtcctl.probe.sources import PACKET_S, ToneSource


class RtpSender:
    """Tells what a receiver report said."""

    def __init__(self) -> None:
        self.report = RTCStatsReport()

    def reported(self, *, sent: int, lost: int) -> None:
        stats = RTCRemoteInboundRtpStreamStats(
            timestamp=datetime(2026, 1, 1, tzinfo=UTC),
            type="remote-inbound-rtp",
            id="remote",
            ssrc=7,
            kind="audio",
            transportId="transport",
            packetsReceived=sent - lost,
            packetsLost=lost,
            jitter=48,
            roundTripTime=0.02,
            fractionLost=0,
        )
        self.report.add(stats)

    async def getStats(self) -> RTCStatsReport:  # noqa: N802 (aiortc's name)
        return self.report


class Path:
    """A sender whose packets leave exactly when they are due."""

    def __init__(self) -> None:
        self.now = 50.0
        self.remote = RtpSender()
        self.source = ToneSource(440)
        self.track = SourceTrack(self.source, lambda: self.now)
        self.sender = Sender(self.source, SimpleNamespace(mid="0", sender=self.remote))  # type: ignore[arg-type]

    async def send(self, count: int) -> None:
        for _ in range(count):
            await self.track.recv()
            self.now += PACKET_S


async def test_packets_are_handed_over_encoded():
    """The track gives aiortc packets with the source's timestamps, in units of the clock rate."""
    path = Path()
    first, second = await path.track.recv(), await _after(path)
    assert (first.pts, second.pts) == (0, 960)
    assert first.time_base.denominator == 48_000
    assert len(bytes(first)) > 160


async def _after(path: Path):
    path.now += PACKET_S
    return await path.track.recv()


async def test_before_the_first_packet_nothing_is_due():
    """No interval has begun."""
    statistics = Path().sender.statistics(50.0)
    assert (statistics.packets_sent, statistics.nominal_packets, statistics.interval_s) == (0, 0, 0)
    assert statistics.fraction_lost is None
    assert statistics.rtt_ms is None


async def test_totals_and_intervals():
    """Intervals are differences of the totals, for what was sent and for what was reported lost."""
    path = Path()
    await path.send(50)
    path.remote.reported(sent=45, lost=5)
    await path.sender.update()
    first = path.sender.interval(path.now - PACKET_S)
    assert (first.packets_sent, first.nominal_packets) == (50, 50)
    assert (first.packets_lost, first.fraction_lost) == (5, pytest.approx(1 / 9))
    assert (first.jitter_ms, first.rtt_ms) == (1.0, pytest.approx(20))
    await path.send(50)
    path.remote.reported(sent=95, lost=6)
    await path.sender.update()
    second = path.sender.interval(path.now - PACKET_S)
    assert (second.packets_sent, second.nominal_packets) == (50, 50)
    assert second.interval_s == pytest.approx(1.0)
    assert second.bitrate_bps == pytest.approx(186 * 8 * 50)
    assert (second.packets_lost, second.fraction_lost) == (1, pytest.approx(1 / 50))
    total = path.sender.statistics(path.now - PACKET_S)
    assert (total.packets_sent, total.nominal_packets) == (100, 100)
    assert (total.packets_lost, total.fraction_lost) == (6, pytest.approx(6 / 95))


async def test_an_interval_without_a_new_report_knows_no_loss():
    """Unknown is not 0."""
    path = Path()
    await path.send(10)
    path.remote.reported(sent=10, lost=1)
    await path.sender.update()
    path.sender.interval(path.now)
    await path.send(10)
    assert path.sender.interval(path.now).fraction_lost is None
    assert path.sender.interval(path.now).packets_lost is None
