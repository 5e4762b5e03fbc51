"""Audio and video of a file: sent as they are where the codec allows, otherwise encoded anew.

Each stream is read by a thread of its own from a container of its own: however a file is interleaved, one never waits
for the other. What keeps them in sync is that both count time from the same origin, share one Timeline, and, looped,
have rounds of one length. A copied stream goes on with a key frame in each round, since each round begins at the
beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import av
from av.error import FFmpegError

from rtcctl.errors import ParseError, UsageError
from rtcctl.media.codec import Codec
from rtcctl.media.opus import duration_ms
from rtcctl.probe.sources import h264
from rtcctl.probe.sources.copying import (
    AV1,
    G711,
    MAX_OPUS_MS,
    OPUS,
    VP8,
    Copy,
    MediaPacket,
    Round,
    copy_g711,
    copy_opus,
    copy_video,
    fit_av1,
    fit_h264,
    fit_vp8,
    fit_vp9,
    h264_codec,
    vp9_codec,
)
from rtcctl.probe.sources.feed import Feed
from rtcctl.probe.sources.paced import Coded, PacedSource, Picture, Sleep, Timeline
from rtcctl.probe.sources.transcode import (
    MAX_FRAME_RATE_HZ,
    AudioEncoder,
    Decoded,
    Turn,
    VideoEncoder,
    codec_named,
    fitting_size,
    pictures,
)

T = TypeVar("T", Coded, Picture)

KINDS = ("audio", "video")

_DEPTH = {"audio": 50, "video": 8}
"How many frames are read ahead."
_TRIED_PACKETS = 60
"The first frame of a good stream decodes from these."
_FFMPEG_OPTIONS = {"protocol_whitelist": "file"}
"A playlist does not make us fetch what it names."
_TEXT_FORMATS = {"tty", "bin", "xbin", "adf", "idf"}
"FFmpeg draws text as a terminal would, and takes any `.txt` for that."
_DEFAULT_FRAME_S = Fraction(1, 25)
_REORDERED = 16
"Pictures that H.264 may hold back (H.264 §A.3.1)."
_ROUNDING_S = Fraction(2, 1000)
"Matroska rounds to milliseconds."
_GRID_S = Fraction(1, 50)
MISSING_S = Fraction(1, 2)
"Less is a matter of how a last frame, or what an encoder puts in front, is counted."
_H264_PROFILES = {"42", "4d", "64"}
"Baseline, Main and High: 8 bit, 4:2:0, as browsers decode them."


async def open_file(
    path: Path,
    *,
    loop: bool = False,
    want: Iterable[str] = KINDS,
    audio_codec: str | None = None,
    video_codec: str | None = None,
    video_bitrate_bps: int | None = None,
    sleep: Sleep = asyncio.sleep,
) -> list[PacedSource]:
    """The audio and the video of a file, one source each; UsageError for what cannot be sent.

    A stream that has the codec asked for, or any that WebRTC knows when none is asked for, is copied; others are
    encoded as the one asked for, or as Opus and VP8.
    """
    codecs = {"audio": audio_codec, "video": video_codec}
    plans = await asyncio.to_thread(_plan, path, tuple(want), codecs)
    round_s = await asyncio.to_thread(_length_s, path, plans) if loop and len(plans) > 1 else None
    timeline = Timeline()
    sources = []
    for plan in plans:
        encoder = None
        items: Generator[Coded, None, None] | Generator[Picture, None, None]
        if plan.copy is None and plan.kind == "video":
            encoder = VideoEncoder(
                plan.codec.name,
                frame_rate_hz=min(float(1 / plan.frame_s), MAX_FRAME_RATE_HZ),
                bitrate_bps=video_bitrate_bps,
                pixel_ratio=plan.pixel_ratio,
            )
            items = _pictures(path, plan, loop, round_s)
        else:
            items = _coded(path, plan, loop, round_s)
        feed: Feed[Any] = Feed(items, name=f"file-{plan.kind}", depth=_DEPTH[plan.kind])
        how = "copied" if plan.copy else f"re-encoded as {plan.codec.name}"
        sources.append(
            PacedSource(
                feed,
                kind=plan.kind,
                codec=plan.codec,
                description=f"file {path.name} ({how})",
                frame_s=plan.sent_frame_s,
                timeline=timeline,
                encoder=encoder,
                sleep=sleep,
            )
        )
    return sources


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is done with one stream of the file."""

    kind: str
    index: int
    "Of the stream in its container."
    codec: Codec
    copy: Callable[[], Copy] | None
    "Makes what copies it, once a round; None: it is encoded anew."
    origin_s: Fraction
    "Where the media begins; the same for all streams of the file."
    frame_s: Fraction
    "How long a frame takes when the container does not say."
    channels: int = 2
    pixel_ratio: Fraction | None = None
    sent_frame_s: float | None = None
    rotation: int = 0
    "Degrees, counterclockwise, by which pictures are turned before they are shown."


def _plan(path: Path, want: tuple[str, ...], codecs: dict[str, str | None]) -> list[_Plan]:
    _check_file(path)
    with _opened(path) as container:
        streams = [stream for kind in KINDS if kind in want and (stream := _stream_of(container, kind))]
        if not streams:
            there = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise UsageError(
                f"{path} has no {' and no '.join(want)}",
                hint=f"It holds: {there}.",
            )
        starts = [stream.start_time * stream.time_base for stream in streams if stream.start_time is not None]
        origin_s = min(starts, default=Fraction(0))
        indexes = [(stream.type, stream.index) for stream in streams]
    return [_plan_of(path, kind, index, origin_s, codecs[kind]) for kind, index in indexes]


def _check_file(path: Path) -> None:
    """UsageError for what is no file that can be read."""
    try:
        status = path.stat()
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        hint = "" if stat.S_ISDIR(status.st_mode) else "What comes from a pipe is published with --stdin."
        raise UsageError(f"{path} is {what}", hint=hint)
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} cannot be read: Permission denied")
    if status.st_size == 0:
        raise UsageError(f"{path} is empty")


def _opened(path: Path) -> Any:
    """The container, as a context manager."""
    try:
        container = av.open(str(path.absolute()), options=_FFMPEG_OPTIONS, metadata_errors="ignore")
    except (FFmpegError, OSError, ValueError) as exc:
        raise UsageError(
            f"{path} is no media that can be read: {_why(exc)}",
            hint="It may be cut off, damaged or of an unknown format: try to play it, or convert it anew.",
        ) from exc
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise UsageError(f"{path} is text, and no media")
    return container


def _stream_of(container: Any, kind: str) -> Any:
    """The stream to send; a cover picture is no video."""
    return next(
        (
            stream
            for stream in container.streams
            if stream.type == kind and not stream.disposition & av.stream.Disposition.attached_pic
        ),
        None,
    )


def _plan_of(path: Path, kind: str, index: int, origin_s: Fraction, wanted: str | None) -> _Plan:
    with _opened(path) as container:
        stream = container.streams[index]
        context = stream.codec_context
        if context is None:
            raise UsageError(
                f"the {kind} of {path} is in a codec that is not known here",
                hint="Convert it first, for example to WebM with VP8 and Opus.",
            )
        first, packets = _first_frame(path, stream)
        frame_s, is_constant = Fraction(0), True
        if kind == "video":
            fitting_size(first.width, first.height)
            frame_s, is_constant = _frame_s(container.format.name, stream, packets)
        copied = _copied(stream, packets, frame_s) if kind == "video" else _copied_audio(stream, packets)
        # RTP could say it in a header extension that few receivers heed; telephones write such files all the time.
        rotation = round(first.rotation) % 360 if kind == "video" else 0
        rotation = rotation if rotation in Turn.FILTERS else 0
        if (
            copied is not None
            and not rotation
            and (wanted is None or copied[0].name.lower() == wanted.lower().replace(".", ""))
        ):
            codec, copy = copied
            sent_s = _packet_s(stream, packets) if kind == "audio" else float(frame_s) if is_constant else None
            return _Plan(kind, index, codec, copy, origin_s, frame_s, sent_frame_s=sent_s)
        codec = codec_named(wanted or ("opus" if kind == "audio" else "VP8"), kind)
        if kind == "audio":
            channels = 1 if context.layout.nb_channels == 1 else 2
            return _Plan(kind, index, codec, None, origin_s, frame_s, channels=channels, sent_frame_s=0.02)
        ratio = stream.sample_aspect_ratio or None
        if ratio and rotation in (90, 270):
            ratio = 1 / ratio
        sent_s = max(float(frame_s), 1 / MAX_FRAME_RATE_HZ) if is_constant else None
        return _Plan(
            kind, index, codec, None, origin_s, frame_s, pixel_ratio=ratio, sent_frame_s=sent_s, rotation=rotation
        )


def _frame_s(container_name: str, stream: Any, packets: list[Any]) -> tuple[Fraction, bool]:
    """How long a picture takes, and whether all take as long; as the first packets have it, or as the stream says."""
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    if len(times) > 2 * _REORDERED:
        # Where pictures are reordered, some between the last of these are yet to come.
        del times[-_REORDERED:]
    steps = [(after - before) * stream.time_base for before, after in pairwise(times)]
    if steps and max(steps) > 0:
        return sum(steps) / len(steps), max(steps) - min(steps) <= _ROUNDING_S
    context = stream.codec_context
    # Without a container, FFmpeg supposes 25 a second, and the stream itself may know.
    rate = (context.framerate if container_name == "h264" else None) or stream.average_rate
    return (1 / rate if rate else _DEFAULT_FRAME_S), True


def _first_frame(path: Path, stream: Any) -> tuple[Any, list[Any]]:
    """The first decoded frame, and the packets that were read for it and a few more; UsageError when none decodes."""
    packets: list[Any] = []
    first = None
    failure: Exception | None = None
    try:
        for packet in stream.container.demux(stream):
            packets.append(packet)
            if first is None:
                first = next(iter(stream.codec_context.decode(packet if packet.size else None)), None)
            if len(packets) >= _TRIED_PACKETS:
                break
    except (FFmpegError, OSError, ValueError) as exc:
        failure = exc
    if first is None:
        reason = f": {_why(failure)}" if failure else ""
        name = stream.codec_context.name
        raise UsageError(
            f"the {stream.type} of {path} ({name}) does not decode{reason}",
            hint="Its beginning may be damaged: try to play it, or convert it anew.",
        ) from failure
    return first, [packet for packet in packets if packet.size]


def _copied_audio(stream: Any, packets: list[Any]) -> tuple[Codec, Callable[[], Copy]] | None:
    context = stream.codec_context
    extradata = bytes(context.extradata or b"")
    if context.name in ("opus", "libopus"):
        is_simple = extradata[18:19] in (b"", b"\0")
        "Channel mapping family 0: mono or stereo in one Opus stream (RFC 7845 §5.1.1)."
        try:
            longest = max(duration_ms(bytes(packet)) for packet in packets)
        except ParseError:
            return None
        return (OPUS, lambda: copy_opus) if is_simple and longest <= MAX_OPUS_MS else None
    name = {"pcm_mulaw": "PCMU", "pcm_alaw": "PCMA"}.get(context.name)
    if name and context.sample_rate == G711[name].clock_rate_hz and context.layout.nb_channels == 1:
        return G711[name], lambda: copy_g711(name)
    return None


def _copied(stream: Any, packets: list[Any], frame_s: Fraction) -> tuple[Codec, Callable[[], Copy]] | None:
    """The codec, and what copies it; None for what has to be encoded anew."""
    context = stream.codec_context
    extradata = bytes(context.extradata or b"")
    if not packets[0].is_keyframe:
        return None
    if context.name in ("vp8", "libvpx"):
        return VP8, lambda: copy_video(fit_vp8, frame_s)
    profile = str(context.profile or "")
    if context.name in ("vp9", "libvpx-vp9"):
        if profile not in ("Profile 0", "Profile 2"):
            return None
        return vp9_codec(int(profile[-1])), lambda: copy_video(fit_vp9, frame_s)
    if "av1" in context.name or context.name == "libaom":
        return (AV1, lambda: copy_video(fit_av1(extradata), frame_s)) if profile in ("Main", "") else None
    if context.name == "h264":
        return _copied_h264(context, extradata, packets, frame_s)
    return None


def _copied_h264(
    context: Any, extradata: bytes, packets: list[Any], frame_s: Fraction
) -> tuple[Codec, Callable[[], Copy]] | None:
    """H.264 that begins with an IDR picture and shows pictures in the order in which they come."""
    try:
        units = [h264.AccessUnits(extradata).fit(bytes(packet)) for packet in packets]
    except ParseError:
        return None
    first, is_key = units[0]
    is_reordered = (
        context.has_b_frames
        or any(packet.pts != packet.dts for packet in packets)
        or any(h264.has_b_slices(unit) for unit, _ in units)
    )
    profile = h264.profile_level_id(first)
    if is_reordered or not is_key or profile is None or profile[:2] not in _H264_PROFILES:
        return None
    return h264_codec(profile), lambda: copy_video(fit_h264(h264.AccessUnits(extradata)), frame_s)


def _packet_s(stream: Any, packets: list[Any]) -> float | None:
    """Seconds of each packet of audio, when all that were looked at are the same."""
    if stream.codec_context.name not in ("opus", "libopus"):
        return 0.02
    durations = {duration_ms(bytes(packet)) for packet in packets}
    return durations.pop() / 1000 if len(durations) == 1 else None


def _length_s(path: Path, plans: list[_Plan]) -> Fraction:
    """How long one round of the file is: until the last of its streams has ended, on the grid of audio packets."""
    ends = [Fraction(0)]
    for plan in plans:
        turn = Round(0)
        with contextlib.suppress(FFmpegError, ParseError), _opened(path) as container:
            if plan.copy is not None:
                for _ in plan.copy()(_packets(container, plan), turn):
                    pass
            else:
                for packet in _packets(container, plan):
                    if packet.at_s is not None:
                        ends.append(packet.at_s + (packet.duration_s or plan.frame_s))
        ends.append(Fraction(turn.ends_at, plan.codec.clock_rate_hz))
    return math.ceil(max(ends) / _GRID_S) * _GRID_S


def _packets(container: Any, plan: _Plan) -> Iterator[MediaPacket]:
    """The packets of one stream, as they are."""
    for packet in container.demux(container.streams[plan.index]):
        if packet.size:
            at_s = packet.pts * packet.time_base - plan.origin_s if packet.pts is not None else None
            duration_s = packet.duration * packet.time_base if packet.duration else None
            yield MediaPacket(bytes(packet), at_s, duration_s, packet.is_keyframe)


def _decoded(container: Any, plan: _Plan) -> Iterator[Decoded]:
    """The frames of one stream, decoded."""
    stream = container.streams[plan.index]
    stream.thread_type = "AUTO"
    turn = Turn(plan.rotation) if plan.rotation else None
    for packet in container.demux(stream):
        for frame in packet.decode():
            at_s = frame.pts * frame.time_base - plan.origin_s if frame.pts is not None else None
            duration_s = None
            if plan.kind == "video" and frame.duration:
                duration_s = frame.duration * frame.time_base
            yield Decoded(turn(frame) if turn else frame, at_s, duration_s)


def _coded(path: Path, plan: _Plan, loop: bool, round_s: Fraction | None) -> Generator[Coded, None, None]:
    """What is sent of a stream that is copied, or of audio that is encoded anew."""
    if plan.copy is not None:
        make_copy = plan.copy
        yield from _rounds(path, plan, loop, round_s, lambda c, turn: make_copy()(_packets(c, plan), turn))
        return
    encoder = AudioEncoder(plan.codec.name, plan.channels)
    yield from _rounds(path, plan, loop, round_s, lambda c, turn: encoder.encode(_decoded(c, plan), turn))
    yield from encoder.finish()


def _pictures(path: Path, plan: _Plan, loop: bool, round_s: Fraction | None) -> Generator[Picture, None, None]:
    """The pictures of a stream that is encoded anew, when they are sent."""
    yield from _rounds(path, plan, loop, round_s, lambda c, turn: pictures(_decoded(c, plan), turn, plan.frame_s))


def _check_end(stream: Any, length_s: Fraction) -> None:
    """FFmpeg leaves out what it cannot read and says nothing: a stream that is much shorter than it says is damaged."""
    said_s = _said_s(stream)
    if said_s is not None and length_s < said_s - max(MISSING_S, said_s / 10):
        raise UsageError(f"{float(said_s):.1f} s of media are announced, and it ends after {float(length_s):.1f} s")


def _said_s(stream: Any) -> Fraction | None:
    """How long a stream says that it is: in its own header, or as a tag (Matroska)."""
    if stream.duration:
        return Fraction(stream.duration) * Fraction(stream.time_base)
    hours, colon, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds) if colon else None
    except ValueError:
        return None


def _rounds(
    path: Path,
    plan: _Plan,
    loop: bool,
    round_s: Fraction | None,
    one: Callable[[Any, Round], Generator[T, None, None]],
) -> Generator[T, None, None]:
    """The media once, or again and again: damage ends a round, and media that is damaged at once ends it all."""
    turn = Round(0)
    while True:
        with _opened(path) as container:
            try:
                yield from one(container, turn)
                _check_end(
                    container.streams[plan.index], Fraction(turn.ends_at - turn.starts_at, plan.codec.clock_rate_hz)
                )
            except (FFmpegError, ParseError, UsageError):
                if not loop or turn.ends_at == turn.starts_at:
                    raise
        if not loop or turn.ends_at == turn.starts_at:
            return
        length = round(round_s * plan.codec.clock_rate_hz) if round_s else turn.ends_at - turn.starts_at
        turn = Round(turn.starts_at + length)


def _why(exc: Exception | None) -> str:
    return getattr(exc, "strerror", None) or str(exc)
