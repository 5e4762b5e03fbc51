"""What several nouns show: connections, tracks, figures of what was sent and received."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from rtcctl.report import figures
from rtcctl.report.figures import UNKNOWN
from rtcctl.report.layout import Cell, Line, Styled, grid, known_grid, line

if TYPE_CHECKING:
    from rtcctl.results.channel import ChannelClosed, Connected
    from rtcctl.results.event import LayerChanged
    from rtcctl.results.result import Percentiles
    from rtcctl.results.session import SessionCreate
    from rtcctl.results.track import (
        LayerSwitch,
        Publish,
        ReceivedStatistics,
        SentStatistics,
        Subscribe,
        SubscribedTrack,
        TrackClosed,
        TrackState,
    )

    Received = Subscribe | SubscribedTrack | ReceivedStatistics

T = TypeVar("T")


def connection(result: Publish | Subscribe | SessionCreate | Connected) -> str | None:
    if result.candidate_pair is None and result.ice_ms is None:
        return None
    return (
        f"{result.candidate_pair or UNKNOWN}, ICE {figures.milliseconds(result.ice_ms)}, "
        f"DTLS {figures.milliseconds(result.dtls_ms)}"
    )


def reference(track_name: str, session_id: str, mid: str | None, codec: str | None) -> str:
    """`aaaa/mic (mid 0, opus/48000/2)`."""
    known = ", ".join(part for part in (f"mid {mid}" if mid is not None else None, codec) if part)
    return f"{session_id}/{track_name}" + (f" ({known})" if known else "")


def row_names(tracks: Sequence[tuple[str, str | None]]) -> list[str]:
    """What rows are called, of names and mids: `cam`, but `cam (mid 3)` where several publishers use the name."""
    count = Counter(track_name for track_name, _ in tracks)
    return [
        track_name if count[track_name] == 1 or mid is None else f"{track_name} (mid {mid})"
        for track_name, mid in tracks
    ]


def sent_facts(sent: SentStatistics | None) -> list[tuple[str, Cell | None]]:
    """What is not known is `None`: no line."""
    if sent is None:
        return []
    return [
        ("packets", _packets_sent(sent)),
        ("frames", frames_sent(sent)),
        ("bitrate", figures.bits_per_second(sent.bitrate_bps)),
        ("loss to SFU", known(figures.percent, sent.fraction_lost)),
        ("jitter at SFU", known(figures.milliseconds, sent.jitter_ms)),
        ("rtt", known(figures.milliseconds, sent.rtt_ms)),
        ("feedback", _counts((sent.nacks_received, "NACK"), (sent.plis_received, "PLI"), verb="received")),
    ]


def _packets_sent(sent: SentStatistics) -> str:
    text = f"{figures.count(sent.packets_sent)} sent"
    if sent.nominal_packets is not None:
        text += f" of {figures.count(sent.nominal_packets)} nominal"
    if sent.packets_retransmitted is not None:
        text += f", {figures.count(sent.packets_retransmitted)} retransmitted"
    return text


def frames_sent(sent: SentStatistics) -> str | None:
    """`299 sent of 300 nominal, 2 key frames`; of audio, whose packets are its frames, nothing."""
    if sent.frames_sent is None or sent.nominal_packets is not None:
        return None
    text = f"{figures.count(sent.frames_sent)} sent"
    if sent.nominal_frames is not None:
        text += f" of {figures.count(sent.nominal_frames)} nominal"
    if sent.key_frames_sent is not None:
        text += f", {figures.amount(sent.key_frames_sent, 'key frame')}"
    return text


def layers_sent(sent: SentStatistics) -> list[Line]:
    """A row per simulcast layer."""
    rows = [
        (
            layer.rid,
            known_size(layer.width, layer.height),
            figures.count(layer.packets_sent),
            figures.count(layer.bytes_sent),
            figures.count(layer.frames_sent),
            figures.bits_per_second(layer.bitrate_bps),
        )
        for layer in sent.layers
    ]
    return known_grid(("layer", "size", "packets", "bytes", "frames", "bitrate"), rows, right=range(2, 6))


def received_facts(received: Received | None) -> list[tuple[str, Cell | None]]:
    """What is not known is `None`: no line."""
    if received is None:
        return []
    return [
        ("packets", _packets(received)),
        ("loss", known(figures.percent, received.fraction_lost)),
        ("bitrate", known(figures.bits_per_second, received.bitrate_bps)),
        ("jitter", known(figures.milliseconds, received.jitter_ms)),
        ("rtt", rtt(received)),
        ("latency", known(_percentiles, received.latency_ms)),
        ("picture", _picture(received)),
        (
            "frames",
            _joined(
                _counts((received.frames_received, "received")),
                _counts((received.key_frames_received, "key frame"), plural=True),
                _counts(
                    (received.frames_decoded, "decoded"),
                    (received.frames_missing, "missing"),
                    (received.frames_repeated, "repeated"),
                    (received.frames_out_of_order, "out of order"),
                ),
            ),
        ),
        ("freezes", freezes(received)),
        ("picture latency", known(_percentiles, received.picture_latency_ms)),
        ("feedback", _counts((received.nacks_sent, "NACK"), (received.plis_sent, "PLI"), verb="sent")),
        ("tone", _tone(received)),
        ("concealed", known(figures.milliseconds, received.concealed_ms)),
    ]


def rtt(received: Received) -> str | None:
    """The round trip and how it was measured."""
    if received.rtt_ms is None:
        return None
    return figures.milliseconds(received.rtt_ms) + (f" ({received.rtt_source})" if received.rtt_source else "")


def freezes(received: Received) -> str | None:
    """`2, 840 ms in all`."""
    if received.freezes is None:
        return None
    in_all = f", {figures.milliseconds(received.freeze_ms)} in all" if received.freezes and received.freeze_ms else ""
    return figures.count(received.freezes) + in_all


def layer_switches(switches: Sequence[LayerSwitch] | None) -> list[Line]:
    """A row per switch."""
    rows = [
        (
            figures.seconds(switch.at_s),
            switch.previous or UNKNOWN,
            switch.layer or UNKNOWN,
            known_size(switch.width, switch.height),
            known(figures.milliseconds, switch.took_ms),
        )
        for switch in switches or ()
    ]
    return known_grid(("switch at", "from", "to", "size", "took"), rows, right=(0, 4)) if rows else []


def layer_change(event: LayerChanged) -> str:
    """A switch as a line: `cam: layer h → l, 320x180, 212 ms after the request`."""
    parts = [f"{event.track_name}: layer {event.previous or UNKNOWN} → {event.layer or UNKNOWN}"]
    if event.width is not None:
        parts.append(figures.size(event.width, event.height))
    if event.took_ms is not None:
        parts.append(f"{figures.milliseconds(event.took_ms)} after the request")
    return ", ".join(parts)


def known(text: Callable[[T], str], value: T | None) -> str | None:
    """The text of a figure; `None` for one that is not known."""
    return None if value is None else text(value)


def known_size(width: int | None, height: int | None) -> str | None:
    """The size of a picture, if it is known."""
    return None if width is None or height is None else figures.size(width, height)


def _packets(received: Received) -> str:
    """`500 received, 0 lost`; what is not known is left out."""
    text = _counts(
        (received.packets_received, "received"),
        (received.packets_lost, "lost"),
        (received.packets_recovered, "recovered"),
        (received.packets_duplicated, "duplicated"),
        (received.packets_reordered, "reordered"),
    )
    assert text is not None
    return text


def _picture(received: Received) -> str | None:
    rate = known(figures.frame_rate, received.frame_rate_hz)
    return _joined(
        known_size(received.width, received.height),
        None if rate is None else f"{rate} frames/s",
        None if received.layer is None else f"layer {received.layer}",
    )


def _counts(*numbers: tuple[int | None, str], plural: bool = False, verb: str = "") -> str | None:
    """`3 lost, 2 recovered`, with a plural `1 key frame`, with a verb `2 NACKs, 1 PLI sent`; `None` for none known."""
    texts = [
        figures.amount(number, word) if plural or verb else f"{figures.count(number)} {word}"
        for number, word in numbers
        if number is not None
    ]
    return f"{', '.join(texts)} {verb}".rstrip() if texts else None


def _joined(*parts: str | None) -> str | None:
    return ", ".join(part for part in parts if part is not None) or None


def _percentiles(latency: Percentiles) -> str:
    return ", ".join(f"{name} {figures.milliseconds(getattr(latency, name))}" for name in ("p50", "p95", "p99"))


def tone(received: Received) -> str:
    """`440.0 Hz`; of stereo left and right."""
    return " + ".join(figures.hertz(hz) for hz in received.tones_hz or (received.tone_hz,))


def _tone(received: Received) -> str | None:
    if received.tone_hz is None:
        return None
    parts = [tone(received)]
    if received.tone_level_db is not None:
        parts.append(figures.decibels(received.tone_level_db))
    if received.tone_snr_db is not None:
        parts.append(f"{figures.decibels(received.tone_snr_db)} above the rest")
    if received.audio_gaps is not None:
        parts.append(figures.amount(received.audio_gaps, "gap"))
    return ", ".join(parts)


def status(status: str) -> Styled:
    return Styled(
        status, {"active": "green", "closed": "green", "revoked": "green", "failed": "bold red"}.get(status, "dim")
    )


def tracks(tracks: Sequence[TrackState]) -> list[Line]:
    if not tracks:
        return [line(Styled("no tracks", "dim"))]
    return grid(
        ("mid", "location", "status", "publisher", "track"),
        [(t.mid, t.location, status(t.status), t.session_id or "", t.track_name) for t in tracks],
    )


def closed_channels(channels: Sequence[ChannelClosed]) -> list[Line]:
    return grid(
        ("data channel", "id", "outcome", ""),
        [
            (f"{c.session_id}/{c.channel or UNKNOWN}", str(c.id), status(c.outcome), c.description or c.code or "")
            for c in channels
        ],
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
