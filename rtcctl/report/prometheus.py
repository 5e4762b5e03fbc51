"""A result in Prometheus' text format, in base units; for a textfile collector or a push gateway.

Names are those of the JSON document, with the base unit last: `jitter_ms` is `rtcctl_jitter_seconds`, `bytes_received`
is `rtcctl_received_bytes`. What both directions have (loss, jitter, …) is `rtcctl_sent_…` where it is of a publisher.
Figures of a track carry its name and mid, which stay the same from run to run; what changes with each (sessions,
candidates) and what is text (codec, layer) is in `rtcctl_track_info`, so that a monitor does not grow a series per run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcctl.results.channel import ChannelProbe, PolicyFigures
from rtcctl.results.check import CheckStatus
from rtcctl.results.result import Percentiles
from rtcctl.results.smoke import Smoke
from rtcctl.results.track import LayerSent, Publish, PublishedTrack, Subscribe, SubscribedTrack
from rtcctl.results.turn_check import TurnCheck, UrlReport

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
        if result.target.impairment:
            labels["impairment"] = " ".join(result.target.impairment)
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
    yield _info(publish, subscribe, labels)
    if publish is not None:
        yield from _sent(publish.tracks or (publish,), labels)
    if subscribe is not None:
        yield from _received(subscribe.tracks or (subscribe,), labels)
    if isinstance(result, ChannelProbe):
        yield from _policies(result.policies, labels)
    if isinstance(result, TurnCheck):
        yield from _urls(result.urls, labels)


RELAY = {
    "allocate_ms": "From connected to a relayed address.",
    "rtt_ms": "Round trip of packets through the relay.",
    "fraction_lost": "Share of the packets through the relay that was lost.",
    "jitter_ms": "Interarrival jitter of packets through the relay (RFC 3550).",
}
"Figures of `UrlReport` and its `RelayTraffic`."

SENT = {
    "packets_sent": "RTP packets sent.",
    "bytes_sent": "RTP payload bytes sent.",
    "nominal_packets": "RTP packets that the source asks for.",
    "bitrate_bps": "RTP payload sent.",
    "packets_lost": "Packets lost on the way to the SFU, as it reports.",
    "fraction_lost": "Share lost on the way to the SFU.",
    "jitter_ms": "Interarrival jitter at the SFU (RFC 3550).",
    "rtt_ms": "Round trip between publisher and SFU.",
    "frames_sent": "Frames sent.",
    "nominal_frames": "Frames that were due.",
    "key_frames_sent": "Key frames sent.",
    "packets_retransmitted": "Packets sent again.",
    "nacks_received": "Requests for packets (NACK) received.",
    "plis_received": "Requests for a key frame (PLI) received.",
}
"Figures of `SentStatistics`, and what they are."

LAYER = {
    "packets_sent": "RTP packets of a simulcast layer sent.",
    "bytes_sent": "RTP payload bytes of a simulcast layer sent.",
    "frames_sent": "Frames of a simulcast layer sent.",
    "bitrate_bps": "RTP payload of a simulcast layer sent.",
    "width": "Width of a simulcast layer in pixels.",
    "height": "Height of a simulcast layer in pixels.",
}
"Figures of `LayerSent`."

RECEIVED = {
    "packets_received": "RTP packets received.",
    "bytes_received": "RTP payload bytes received.",
    "packets_lost": "First transmissions that never arrived.",
    "packets_recovered": "Of those, repaired by retransmission.",
    "packets_lost_rfc3550": "Packets lost as a receiver report counts them (RFC 3550).",
    "packets_duplicated": "Packets that came twice.",
    "packets_reordered": "Packets that came behind a later one.",
    "fraction_lost": "Packets lost over packets expected.",
    "jitter_ms": "Interarrival jitter (RFC 3550).",
    "rtt_ms": "Round trip.",
    "bitrate_bps": "RTP payload received.",
    "time_to_first_packet_ms": "From the pull to the first packet.",
    "time_to_first_frame_ms": "From the pull to the first frame.",
    "tone_hz": "Dominant frequency of the decoded audio.",
    "tone_level_db": "Level of that tone below full scale.",
    "tone_snr_db": "Power of the tone over everything else.",
    "audio_gaps": "Interruptions of the tone.",
    "concealed_ms": "Decoded time for which no packet was there.",
    "nacks_sent": "Requests for packets (NACK) sent.",
    "plis_sent": "Requests for a key frame (PLI) sent.",
    "frames_received": "Complete frames received.",
    "key_frames_received": "Key frames received.",
    "freezes": "Freezes (W3C webrtc-stats).",
    "freeze_ms": "Time of all freezes together.",
    "frame_rate_hz": "Frames a second.",
    "width": "Width of the picture in pixels.",
    "height": "Height of the picture in pixels.",
    "frames_decoded": "Frames decoded.",
    "frames_missing": "Frames of the test picture that were never seen.",
    "frames_repeated": "Frames of the test picture that were seen again.",
    "frames_out_of_order": "Frames of the test picture that came behind a later one.",
    "latency_ms": "One-way latency.",
    "picture_latency_ms": "One-way latency from drawing a picture to having decoded it.",
}
"Figures of `SubscribedTrack`."

POLICY = {
    "messages_nominal": "Messages that the rate asks for.",
    "messages_sent": "Messages sent.",
    "messages_received": "Messages received, each counted once.",
    "messages_lost": "Messages that never arrived.",
    "messages_waiting": "Messages that were still on their way at the end, since the path is slow.",
    "fraction_lost": "Messages lost over messages sent.",
    "messages_reordered": "Messages that came behind a later one.",
    "messages_duplicated": "Messages that came twice.",
    "rate_hz": "Messages received a second.",
    "bitrate_bps": "Messages received.",
    "latency_ms": "One-way latency of messages.",
    "max_message_bytes": "Largest message that arrived.",
}
"Figures of `PolicyFigures`."

_UNITS = {
    "_ms": ("_seconds", 0.001),
    "_bps": ("_bits_per_second", 1.0),
    "_hz": ("_hertz", 1.0),
    "_db": ("_decibels", 1.0),
    "fraction_lost": ("fraction_lost_ratio", 1.0),
    "bytes_sent": ("sent_bytes", 1.0),
    "bytes_received": ("received_bytes", 1.0),
}
"Endings of names in JSON, those of Prometheus, and the factor between them."

Sample = tuple[Mapping[str, str], float | None]


def metric_name(figure: str, prefix: str = "") -> str:
    """What a figure of the JSON document is called here."""
    ending, (ending_here, _) = _unit(figure)
    return f"rtcctl_{prefix}{figure.removesuffix(ending)}{ending_here}"


def _unit(figure: str) -> tuple[str, tuple[str, float]]:
    return next(((ending, unit) for ending, unit in _UNITS.items() if figure.endswith(ending)), ("", ("", 1.0)))


def _samples(labels: Mapping[str, str], figure: str, value: float | Percentiles | None) -> list[Sample]:
    """In the base unit; a sample per percentile where it is a distribution."""
    factor = _unit(figure)[1][1]
    if isinstance(value, Percentiles):
        quantiles = (("0.5", value.p50), ("0.95", value.p95), ("0.99", value.p99))
        return [({**labels, "quantile": quantile}, number * factor) for quantile, number in quantiles]
    return [(labels, None if value is None else value * factor)]


def _sent(tracks: Sequence[Publish | PublishedTrack], labels: Mapping[str, str]) -> Iterator[Metric]:
    sent = [({**labels, **_track(track)}, track.sent) for track in tracks if track.sent is not None]
    for figure, help_ in SENT.items():
        prefix = "sent_" if figure in RECEIVED else ""
        samples = [sample for of, s in sent for sample in _samples(of, figure, getattr(s, figure))]
        yield Metric(metric_name(figure, prefix), help_, tuple(samples))
    layers: list[tuple[dict[str, str], LayerSent]] = [
        ({**of, "layer": layer.rid}, layer) for of, s in sent for layer in s.layers
    ]
    for figure, help_ in LAYER.items():
        samples = [sample for of, layer in layers for sample in _samples(of, figure, getattr(layer, figure))]
        yield Metric(metric_name(figure, "layer_"), help_, tuple(samples))


def _received(tracks: Sequence[Subscribe | SubscribedTrack], labels: Mapping[str, str]) -> Iterator[Metric]:
    received = [({**labels, **_track(track)}, track) for track in tracks]
    for figure, help_ in RECEIVED.items():
        samples = [sample for of, track in received for sample in _samples(of, figure, getattr(track, figure))]
        yield Metric(metric_name(figure), help_, tuple(samples))
    switches = [(of, track.layer_switches) for of, track in received if track.layer_switches is not None]
    yield Metric(
        "rtcctl_layer_switches",
        "Switches to another simulcast layer.",
        tuple((of, float(len(each))) for of, each in switches),
    )
    yield Metric(
        "rtcctl_layer_switch_took_seconds",
        "Longest from the request of another layer to its first frame.",
        tuple(
            (of, max((switch.took_ms * 0.001 for switch in each if switch.took_ms is not None), default=None))
            for of, each in switches
        ),
    )


def _policies(measured: Sequence[PolicyFigures], labels: Mapping[str, str]) -> Iterator[Metric]:
    policies = [({**labels, "policy": figures.policy}, figures) for figures in measured]
    for figure, help_ in POLICY.items():
        samples = [sample for of, each in policies for sample in _samples(of, figure, getattr(each, figure))]
        yield Metric(metric_name(figure, "channel_"), help_, tuple(samples))


def _urls(reports: Sequence[UrlReport], labels: Mapping[str, str]) -> Iterator[Metric]:
    measured = [({**labels, "check": report.name, "url": report.url}, report) for report in reports]
    for figure, help_ in RELAY.items():
        samples = [
            sample
            for of, report in measured
            for sample in _samples(of, figure, getattr(report, figure, getattr(report.traffic, figure, None)))
        ]
        yield Metric(metric_name(figure, "turn_"), help_, tuple(samples))
    yield Metric(
        "rtcctl_turn_certificate_remaining_seconds",
        "Until the certificate ends; negative when it has.",
        tuple(
            (of, report.tls.days_left * 86_400)
            for of, report in measured
            if report.tls is not None and report.tls.days_left is not None
        ),
    )


def _track(track: Publish | PublishedTrack | Subscribe | SubscribedTrack) -> dict[str, str]:
    """The labels that tell tracks of a result apart: names need not, where there are several publishers."""
    return {"track_name": track.track_name} | ({} if track.mid is None else {"mid": track.mid})


def _info(publish: Publish | None, subscribe: Subscribe | None, labels: Mapping[str, str]) -> Metric:
    """What is text, as labels of a sample that is always 1."""
    samples: list[Sample] = []
    for direction, result in (("sent", publish), ("received", subscribe)):
        for track in () if result is None else result.tracks or (result,):
            texts = {
                name: getattr(track, name, getattr(result, name, None))
                for name in (
                    *("session_id", "publisher_session_id", "kind", "codec", "source", "layer"),
                    *("rtt_source", "candidate_pair", "candidate_type", "relay_protocol", "url"),
                )
            }
            known = {name: text for name, text in texts.items() if text is not None}
            samples.append(({**labels, **_track(track), "direction": direction, **known}, 1.0))
    return Metric("rtcctl_track_info", "What a track is and how it was connected; always 1.", tuple(samples))


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
