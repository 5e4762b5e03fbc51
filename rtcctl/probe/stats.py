"""aiortc's counters, translated once: nobody else touches those numbers.

Its jitter is in clock units, its fraction lost is 0…255, its inbound report keeps one SSRC per receiver, its clock is
the wall clock. What arrives we count ourselves (`media/reception.py`); aiortc's figures are the second opinion.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiortc.stats import RTCInboundRtpStreamStats, RTCRemoteInboundRtpStreamStats, RTCStatsReport


@dataclass(frozen=True, slots=True)
class RemoteReport:
    """What the other side's receiver reports say of a stream that we send."""

    packets_lost: int
    "Cumulative; negative when duplicates outnumber losses (RFC 3550 §6.4.1)."
    packets_sent: int
    "By us, when the report came."
    jitter_ms: float
    rtt_ms: float | None
    "Smoothed; `None` until a report answered one of our sender reports."


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """What aiortc itself counted of the stream that arrived last."""

    ssrc: int
    packets_received: int
    packets_lost_rfc3550: int
    jitter_ms: float


def remote_report(report: RTCStatsReport, clock_rate_hz: int) -> RemoteReport | None:
    """From an RTCRtpSender's statistics; `None` until a receiver report came."""
    for stats in report.values():
        if isinstance(stats, RTCRemoteInboundRtpStreamStats):
            rtt_s = stats.roundTripTime
            return RemoteReport(
                packets_lost=stats.packetsLost,
                packets_sent=stats.packetsReceived + stats.packetsLost,
                jitter_ms=stats.jitter * 1000 / clock_rate_hz,
                rtt_ms=None if rtt_s is None or rtt_s < 0 else rtt_s * 1000,
            )
    return None


def second_opinion(report: RTCStatsReport, clock_rate_hz: int) -> SecondOpinion | None:
    """From an RTCRtpReceiver's statistics; `None` until a packet came."""
    for stats in report.values():
        if isinstance(stats, RTCInboundRtpStreamStats):
            return SecondOpinion(
                ssrc=stats.ssrc,
                packets_received=stats.packetsReceived,
                packets_lost_rfc3550=stats.packetsLost,
                jitter_ms=stats.jitter * 1000 / clock_rate_hz,
            )
    return None
