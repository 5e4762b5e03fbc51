"""A track that the probe sends: a source on aiortc's sender, and the numbers of both ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack, RTCRtpSender, RTCRtpTransceiver
from av.packet import Packet

from rtcctl.probe.sources import ToneSource
from rtcctl.probe.stats import RemoteReport, remote_report
from rtcctl.results.track import SentStatistics


class SourceTrack(MediaStreamTrack):
    """Hands the packets of a source to aiortc's sender, which sends an encoded packet as it is.

    Nothing is awaited between here and SRTP, so the send time in the packet is right to some ten microseconds.
    """

    kind = "audio"

    def __init__(self, source: ToneSource, clock: Callable[[], float]) -> None:
        super().__init__()
        self._source = source
        self._clock = clock
        self._time_base = Fraction(1, source.clock_rate_hz)

    async def recv(self) -> Packet[Any]:
        media = await self._source.next_packet(self._clock)
        packet: Packet[Any] = Packet(media.payload)
        packet.pts = media.rtp_timestamp
        packet.time_base = self._time_base
        return packet


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where the previous interval ended."""

    now: float
    packets: int
    bytes: int
    nominal: int
    remote: RemoteReport | None


class Sender:
    """One sending m-section. Its numbers begin with the source's first packet."""

    def __init__(self, source: ToneSource, transceiver: RTCRtpTransceiver) -> None:
        self.source = source
        self._transceiver = transceiver
        self._remote: RemoteReport | None = None
        self._mark: _Mark | None = None
        self.codec: str | None = "opus/48000/2"
        "As in `a=rtpmap`."

    @property
    def mid(self) -> str | None:
        """`None` until the first offer."""
        mid: str | None = self._transceiver.mid
        return mid

    @property
    def rtp_sender(self) -> RTCRtpSender:
        """aiortc's side of it."""
        return self._transceiver.sender

    async def update(self) -> None:
        """Read what aiortc learned from the last receiver report."""
        report = await self.rtp_sender.getStats()
        self._remote = remote_report(report, self.source.clock_rate_hz) or self._remote

    def statistics(self, now: float) -> SentStatistics:
        """Totals since the first packet."""
        return self._since(now, _Mark(self._started(now), 0, 0, 0, None))

    def interval(self, now: float) -> SentStatistics:
        """Since the previous call, or since the first packet."""
        statistics = self._since(now, self._mark or _Mark(self._started(now), 0, 0, 0, None))
        source = self.source
        self._mark = _Mark(now, source.packets_sent, source.bytes_sent, source.nominal_packets(now), self._remote)
        return statistics

    def _started(self, now: float) -> float:
        return now if self.source.started_at is None else self.source.started_at

    def _since(self, now: float, mark: _Mark) -> SentStatistics:
        source, remote = self.source, self._remote
        interval_s = max(0.0, now - mark.now)
        bytes_sent = source.bytes_sent - mark.bytes
        lost = fraction = None
        if remote is not None and remote is not mark.remote:
            lost = remote.packets_lost - (mark.remote.packets_lost if mark.remote else 0)
            sent = remote.packets_sent - (mark.remote.packets_sent if mark.remote else 0)
            fraction = min(1.0, max(0.0, lost / sent)) if sent > 0 else None
        return SentStatistics(
            interval_s=interval_s,
            packets_sent=source.packets_sent - mark.packets,
            bytes_sent=bytes_sent,
            nominal_packets=source.nominal_packets(now) - mark.nominal,
            bitrate_bps=bytes_sent * 8 / interval_s if interval_s > 0 else 0.0,
            packets_lost=lost,
            fraction_lost=fraction,
            jitter_ms=None if remote is None else remote.jitter_ms,
            rtt_ms=None if remote is None else remote.rtt_ms,
        )
