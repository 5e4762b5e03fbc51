"""Covers rtcctl/probe/stats.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiortc.stats import RTCInboundRtpStreamStats, RTCRemoteInboundRtpStreamStats, RTCStats, RTCStatsReport

from rtcctl.probe.stats import RemoteReport, SecondOpinion, remote_report, second_opinion

COMMON: dict[str, Any] = {
    "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    "ssrc": 7,
    "kind": "audio",
    "transportId": "transport",
}


def report(*stats: RTCStats) -> RTCStatsReport:
    result = RTCStatsReport()
    for each in stats:
        result.add(each)
    return result


def remote(**changes: Any) -> RTCRemoteInboundRtpStreamStats:
    figures = {
        "packetsReceived": 96,
        "packetsLost": 4,
        "jitter": 96,
        "roundTripTime": 0.0125,
        "fractionLost": 128,
    }
    return RTCRemoteInboundRtpStreamStats(type="remote-inbound-rtp", id="r", **COMMON, **{**figures, **changes})


def test_a_receiver_report_is_translated_into_units():
    """Clock units become milliseconds, seconds become milliseconds, received plus lost is what was sent."""
    assert remote_report(report(remote()), 48_000) == RemoteReport(
        packets_lost=4, packets_sent=100, jitter_ms=2.0, rtt_ms=12.5
    )


@pytest.mark.parametrize("rtt_s", [None, -0.5])
def test_a_round_trip_that_is_not_known_is_none(rtt_s: float | None):
    """Neither before the first answer nor after a step of the wall clock is there a figure."""
    translated = remote_report(report(remote(roundTripTime=rtt_s)), 48_000)
    assert translated is not None
    assert translated.rtt_ms is None


def test_nothing_reported_is_none():
    """Unknown is not 0."""
    assert remote_report(report(), 48_000) is None
    assert second_opinion(report(), 48_000) is None


def test_what_aiortc_counted_is_translated():
    """Its jitter is in clock units too."""
    inbound = RTCInboundRtpStreamStats(
        type="inbound-rtp", id="i", **COMMON, packetsReceived=50, packetsLost=-1, jitter=48
    )
    assert second_opinion(report(inbound), 48_000) == SecondOpinion(
        ssrc=7, packets_received=50, packets_lost_rfc3550=-1, jitter_ms=1.0
    )
