"""A result in Prometheus' text format, in base units; for a textfile collector or a push gateway."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcctl.results.check import CheckStatus
from rtcctl.results.smoke import Smoke
from rtcctl.results.track import Publish, Subscribe

if TYPE_CHECKING:
    from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True)
class Metric:
    """One gauge and its samples; what is not known has no sample."""

    name: str
    help: str
    samples: tuple[tuple[Mapping[str, str], float | None], ...]


def render(result: Result, command: str, exit_status: int) -> str:
    """The exposition; ends in a line feed, as the format wants."""
    labels = {"command": command}
    if result.target is not None:
        labels |= {"profile": result.target.profile, "app_id": result.target.app_id}
    return "".join(_lines(_metrics(result, labels, exit_status)))


def _metrics(result: Result, labels: Mapping[str, str], exit_status: int) -> Iterator[Metric]:
    yield Metric("rtcctl_exit_status", "Exit status of the last run; 0 is good.", ((labels, exit_status),))
    yield Metric(
        "rtcctl_check_passed",
        "1 when the check passed, 0 when it failed or could not be measured; absent when skipped.",
        tuple(
            ({**labels, "check": check.name}, float(check.status is CheckStatus.PASSED))
            for check in result.checks
            if check.status is not CheckStatus.SKIPPED
        ),
    )
    if isinstance(result, Smoke):
        yield Metric("rtcctl_duration_seconds", "How long the run took.", ((labels, result.duration_s),))
    publish = result.publish if isinstance(result, Smoke) else result if isinstance(result, Publish) else None
    subscribe = result.subscribe if isinstance(result, Smoke) else result if isinstance(result, Subscribe) else None
    if publish is not None:
        yield from _sent(publish, {**labels, "track_name": publish.track_name})
    if subscribe is not None:
        yield from _received(subscribe, {**labels, "track_name": subscribe.track_name})


def _sent(result: Publish, labels: Mapping[str, str]) -> Iterator[Metric]:
    sent = result.sent
    if sent is None:
        return
    for name, help_, value in (
        ("rtcctl_sent_packets", "RTP packets sent.", sent.packets_sent),
        ("rtcctl_sent_nominal_packets", "RTP packets that the source asks for.", sent.nominal_packets),
        ("rtcctl_sent_loss_ratio", "Share lost on the way to the SFU.", sent.fraction_lost),
        ("rtcctl_sent_rtt_seconds", "Round trip between publisher and SFU.", _seconds(sent.rtt_ms)),
    ):
        yield Metric(name, help_, ((labels, value),))


def _received(result: Subscribe, labels: Mapping[str, str]) -> Iterator[Metric]:
    for name, help_, value in (
        ("rtcctl_received_packets", "RTP packets received.", result.packets_received),
        ("rtcctl_received_bytes", "RTP payload bytes received.", result.bytes_received),
        ("rtcctl_lost_packets", "First transmissions that never arrived.", result.packets_lost),
        ("rtcctl_recovered_packets", "Of those, repaired by retransmission.", result.packets_recovered),
        ("rtcctl_loss_ratio", "Packets lost over packets expected.", result.fraction_lost),
        ("rtcctl_jitter_seconds", "Interarrival jitter (RFC 3550).", _seconds(result.jitter_ms)),
        ("rtcctl_rtt_seconds", "Round trip.", _seconds(result.rtt_ms)),
        ("rtcctl_bitrate_bits_per_second", "RTP payload received.", result.bitrate_bps),
        (
            "rtcctl_time_to_first_packet_seconds",
            "From the pull to the first packet.",
            _seconds(result.time_to_first_packet_ms),
        ),
        ("rtcctl_tone_hertz", "Dominant frequency of the decoded audio.", result.tone_hz),
    ):
        yield Metric(name, help_, ((labels, value),))
    latency = result.latency_ms
    if latency is not None:
        yield Metric(
            "rtcctl_latency_seconds",
            "One-way latency.",
            tuple(
                ({**labels, "quantile": quantile}, _seconds(value))
                for quantile, value in (("0.5", latency.p50), ("0.95", latency.p95), ("0.99", latency.p99))
            ),
        )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _lines(metrics: Iterable[Metric]) -> Iterator[str]:
    for metric in metrics:
        known = [(labels, v) for labels, v in metric.samples if v is not None and math.isfinite(v)]
        if not known:
            continue
        yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} gauge\n"
        for labels, value in known:
            inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            yield f"{metric.name}{{{inside}}} {value:.9g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
