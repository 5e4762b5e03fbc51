"""Tables of several tracks: what they share as facts, then a row each, in grids that fit into 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rtcctl.report import figures
from rtcctl.report.layout import Cell, Line, Styled, facts, known_grid, line
from rtcctl.report.table import BLANK
from rtcctl.report.tables.pieces import connection, known, known_size, layer_switches, reference, row_names, rtt, tone
from rtcctl.results.track import LayerSent, Publish, PublishedTrack, SentStatistics, Subscribe, SubscribedTrack


def several_published(result: Publish) -> list[Line]:
    """What was sent: packets, frames, layers."""
    names = row_names([(track.track_name, track.mid) for track in result.tracks])
    sent = [(name, track.sent) for name, track in zip(names, result.tracks, strict=True) if track.sent is not None]
    is_detached = result.detached_pid is not None
    lines = facts(
        *_once("published", [_published(result, track) for track in result.tracks]),
        ("connection", connection(result)),
        ("sent for", figures.seconds(result.duration_s) if sent else None),
        ("process", f"{result.detached_pid}, runs on by itself" if is_detached else None),
        ("end it", f"rtcctl session close {result.session_id}" if is_detached else None),
    )
    header: tuple[str, ...] = ("track", "packets", "bitrate", "loss", "jitter", "rtt")
    if sent:
        lines += [BLANK, *known_grid(header, [_packets_sent(*each) for each in sent], right=range(1, 6))]
    if frames := [_frames_sent(name, each) for name, each in sent if each.nominal_packets is None]:
        header = ("track", "frames", "nominal", "key frames", "retransmitted", "NACKs", "PLIs")
        lines += [BLANK, *known_grid(header, frames, right=range(1, 7))]
    if layers := [_layer_sent(name, layer) for name, each in sent for layer in each.layers]:
        header = ("track", "layer", "size", "packets", "frames", "bitrate")
        lines += [BLANK, *known_grid(header, layers, right=(3, 4, 5))]
    return lines


def _once(name: str, values: Sequence[str]) -> list[tuple[str, Cell | None]]:
    """Facts that share their name."""
    return [("" if i else name, value) for i, value in enumerate(values)]


def _published(result: Publish, track: PublishedTrack) -> str:
    """`aaaa/mic (mid 0, opus/48000/2), tone 440 Hz`."""
    text = reference(track.track_name, result.session_id, track.mid, track.codec)
    return text if track.source is None else f"{text}, {track.source}"


def _packets_sent(name: str, sent: SentStatistics) -> Sequence[Cell | None]:
    return (
        name,
        figures.count(sent.packets_sent),
        figures.bits_per_second(sent.bitrate_bps),
        known(figures.percent, sent.fraction_lost),
        known(figures.milliseconds, sent.jitter_ms),
        known(figures.milliseconds, sent.rtt_ms),
    )


def _frames_sent(name: str, sent: SentStatistics) -> Sequence[Cell | None]:
    return (
        name,
        known(figures.count, sent.frames_sent),
        known(figures.count, sent.nominal_frames),
        known(figures.count, sent.key_frames_sent),
        known(figures.count, sent.packets_retransmitted),
        known(figures.count, sent.nacks_received),
        known(figures.count, sent.plis_received),
    )


def _layer_sent(name: str, layer: LayerSent) -> Sequence[Cell | None]:
    return (
        name,
        layer.rid,
        known_size(layer.width, layer.height),
        figures.count(layer.packets_sent),
        figures.count(layer.frames_sent),
        figures.bits_per_second(layer.bitrate_bps),
    )


def several_subscribed(result: Subscribe) -> list[Line]:
    """What arrived: packets, pictures, decoded frames, sound, switches of layers."""
    names = row_names([(track.track_name, track.mid) for track in result.tracks])
    tracks = list(zip(names, result.tracks, strict=True))
    lines = facts(
        *_once("track", [_introduced(track) for track in result.tracks]),
        ("session", result.session_id),
        ("connection", connection(result)),
        ("measured", figures.seconds(max(track.duration_s for track in result.tracks))),
        ("rtt", rtt(result)),
    )
    header: tuple[str, ...] = (*("track", "packets", "loss", "recovered", "bitrate", "jitter", "latency p95"),)
    lines += [BLANK, *known_grid(header, [_packets(name, track) for name, track in tracks], right=range(1, 7))]
    if pictures := [_pictures(name, track) for name, track in tracks if track.frames_received is not None]:
        header = ("track", "layer", "size", "fps", "frames", "key frames", "freezes", "NACKs", "PLIs")
        lines += [BLANK, *known_grid(header, pictures, right=range(3, 9))]
    if checked := [_decoded(name, track) for name, track in tracks if track.frames_decoded is not None]:
        header = ("track", "decoded", "missing", "repeated", "out of order", "picture latency p95")
        lines += [BLANK, *known_grid(header, checked, right=range(1, 6))]
    if heard := [_heard(name, track) for name, track in tracks if track.tone_hz is not None or track.audio_gaps]:
        header = ("track", "tone", "level", "gaps", "concealed")
        lines += [BLANK, *known_grid(header, heard, right=range(1, 5))]
    for name, track in tracks:
        if switches := layer_switches(track.layer_switches):
            lines += [BLANK, line(Styled(name, "bold")), *switches]
    return lines


def _introduced(track: SubscribedTrack) -> str:
    """`aaaa/cam (mid 1, VP8/90000), first packet after 48.1 ms, first frame after 81.7 ms`."""
    text = reference(track.track_name, track.publisher_session_id, track.mid, track.codec)
    if track.time_to_first_packet_ms is None:
        return f"{text}, no packet"
    text += f", first packet after {figures.milliseconds(track.time_to_first_packet_ms)}"
    if track.time_to_first_frame_ms is not None:
        text += f", first frame after {figures.milliseconds(track.time_to_first_frame_ms)}"
    return text


def _packets(name: str, track: SubscribedTrack) -> Sequence[Cell | None]:
    return (
        name,
        figures.count(track.packets_received),
        known(figures.percent, track.fraction_lost),
        known(figures.count, track.packets_recovered),
        known(figures.bits_per_second, track.bitrate_bps),
        known(figures.milliseconds, track.jitter_ms),
        None if track.latency_ms is None else figures.milliseconds(track.latency_ms.p95),
    )


def _pictures(name: str, track: SubscribedTrack) -> Sequence[Cell | None]:
    frozen = known(figures.count, track.freezes)
    if track.freezes and track.freeze_ms is not None:
        frozen = f"{frozen} ({figures.milliseconds(track.freeze_ms)})"
    return (
        name,
        track.layer,
        known_size(track.width, track.height),
        known(figures.frame_rate, track.frame_rate_hz),
        known(figures.count, track.frames_received),
        known(figures.count, track.key_frames_received),
        frozen,
        known(figures.count, track.nacks_sent),
        known(figures.count, track.plis_sent),
    )


def _decoded(name: str, track: SubscribedTrack) -> Sequence[Cell | None]:
    latency = track.picture_latency_ms
    return (
        name,
        known(figures.count, track.frames_decoded),
        known(figures.count, track.frames_missing),
        known(figures.count, track.frames_repeated),
        known(figures.count, track.frames_out_of_order),
        None if latency is None else figures.milliseconds(latency.p95),
    )


def _heard(name: str, track: SubscribedTrack) -> Sequence[Cell | None]:
    return (
        name,
        None if track.tone_hz is None else tone(track),
        known(figures.decibels, track.tone_level_db),
        known(figures.count, track.audio_gaps),
        known(figures.milliseconds, track.concealed_ms),
    )
