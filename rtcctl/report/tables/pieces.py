"""What several nouns show: connections, tracks, figures of what was sent and received."""

from __future__ import annotations

from collections.abc import Sequence

from rtcctl.report import figures
from rtcctl.report.figures import UNKNOWN
from rtcctl.report.layout import Line, Styled, grid, line
from rtcctl.results.session import SessionCreate
from rtcctl.results.track import Publish, ReceivedStatistics, SentStatistics, Subscribe, TrackClosed, TrackState


def connection(result: Publish | Subscribe | SessionCreate) -> str | None:
    if result.candidate_pair is None and result.ice_ms is None:
        return None
    return (
        f"{result.candidate_pair or UNKNOWN}, ICE {figures.milliseconds(result.ice_ms)}, "
        f"DTLS {figures.milliseconds(result.dtls_ms)}"
    )


def sent_facts(sent: SentStatistics | None) -> list[tuple[str, str]]:
    if sent is None:
        return []
    return [
        ("packets", f"{figures.count(sent.packets_sent)} sent of {figures.count(sent.nominal_packets)} nominal"),
        ("bitrate", figures.bits_per_second(sent.bitrate_bps)),
        ("loss to SFU", figures.percent(sent.fraction_lost)),
        ("jitter at SFU", figures.milliseconds(sent.jitter_ms)),
        ("round trip", figures.milliseconds(sent.rtt_ms)),
    ]


def received_facts(received: Subscribe | ReceivedStatistics | None) -> list[tuple[str, str]]:
    if received is None:
        return []
    by = f" ({received.rtt_source})" if received.rtt_ms is not None and received.rtt_source else ""
    return [
        ("packets", _packets(received)),
        ("loss", figures.percent(received.fraction_lost)),
        ("bitrate", figures.bits_per_second(received.bitrate_bps)),
        ("jitter", figures.milliseconds(received.jitter_ms)),
        ("round trip", figures.milliseconds(received.rtt_ms) + by),
        ("latency", _latency(received)),
        ("tone", _tone(received)),
    ]


def _packets(received: Subscribe | ReceivedStatistics) -> str:
    """`500 received, 0 lost`; what is not known is left out, but for the loss."""
    numbers = (
        (received.packets_received, "received"),
        (received.packets_lost, "lost"),
        (received.packets_recovered, "recovered"),
        (received.packets_duplicated, "duplicated"),
        (received.packets_reordered, "reordered"),
    )
    counts = ", ".join(f"{figures.count(number)} {word}" for number, word in numbers if number is not None)
    return counts if received.packets_lost is not None else f"{counts}, loss unknown"


def _latency(received: Subscribe | ReceivedStatistics) -> str:
    latency = received.latency_ms
    if latency is None:
        return UNKNOWN
    return ", ".join(f"{name} {figures.milliseconds(getattr(latency, name))}" for name in ("p50", "p95", "p99"))


def _tone(received: Subscribe | ReceivedStatistics) -> str:
    if received.tone_hz is None:
        return UNKNOWN
    parts = [figures.hertz(received.tone_hz)]
    if received.tone_level_db is not None:
        parts.append(figures.decibels(received.tone_level_db))
    if received.tone_snr_db is not None:
        parts.append(f"{figures.decibels(received.tone_snr_db)} above the rest")
    if received.audio_gaps is not None:
        parts.append(f"{received.audio_gaps} gaps")
    return ", ".join(parts)


def status(status: str) -> Styled:
    return Styled(status, {"active": "green", "closed": "green", "failed": "bold red"}.get(status, "dim"))


def tracks(tracks: Sequence[TrackState]) -> list[Line]:
    if not tracks:
        return [line(Styled("no tracks", "dim"))]
    return grid(
        ("mid", "location", "status", "publisher", "track"),
        [(t.mid, t.location, status(t.status), t.session_id or "", t.track_name) for t in tracks],
    )


def closed_tracks(tracks: Sequence[TrackClosed]) -> list[Line]:
    if not tracks:
        return [line(Styled("nothing was open", "dim"))]
    return grid(
        ("track", "mid", "outcome", ""),
        [
            (f"{t.session_id}/{t.track_name or UNKNOWN}", t.mid, status(t.outcome), t.description or t.code or "")
            for t in tracks
        ],
    )
