"""Media made for a test, and a clock that moves as far as sources sleep."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from rtcctl.media.annexb import SEI, nal_units
from rtcctl.media.opus import OpusPacket
from rtcctl.media.sendtime import SendTime, writer
from rtcctl.probe.sources import Frame
from rtcctl.probe.sources.h264 import sized_units
from rtcctl.probe.sources.paced import PacedSource

WIDTH, HEIGHT = 64, 48


def put(codec_name: str, buffer: bytearray, at: int, send_time: SendTime) -> None:
    """Write a send time where `with_room` made room for it."""
    write = writer(codec_name, send_time.rid, send_time.boot_id_hash)
    write(buffer, at, send_time.counter, send_time.monotonic_ns)


class Clock:
    """Sleeping moves it, and takes no time."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


async def all_frames(source: PacedSource, clock: Clock, at_most: int | None = None) -> list[Frame]:
    """What the source sends, until its end or `at_most` frames; closed."""
    frames: list[Frame] = []
    while at_most is None or len(frames) < at_most:
        frame = await source.next_frame(clock)
        if frame is None:
            break
        frames.append(frame)
    await source.close()
    return frames


def shade(number: int) -> int:
    """The luma of picture `number`."""
    return 40 + number * 11 % 160


def write(
    path: Path,
    *,
    video: str | None = None,
    audio: str | None = None,
    pictures: int = 30,
    rate: int = 30,
    audio_s: float = 1.0,
    audio_rate_hz: int = 48_000,
    layout: str = "mono",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    options: dict[str, str] | None = None,
    audio_options: dict[str, str] | None = None,
    container: str | None = None,
    picture: Callable[[int, int, tuple[int, int]], Any] | None = None,
) -> Path:
    """A file with pictures of one `shade` each, and a tone of 440 Hz. `picture` draws others: number, rate, size."""
    with av.open(str(path), "w", format=container) as output:
        streams: list[tuple[Any, list[Any]]] = []
        if video:
            stream: Any = output.add_stream(video, rate=rate, options=options or {})
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.gop_size = 15
            streams.append((stream, [(picture or _picture)(number, rate, size) for number in range(pictures)]))
        if audio:
            stream = output.add_stream(audio, rate=audio_rate_hz, options=audio_options or {}, layout=layout)
            streams.append((stream, _sound(audio_s, audio_rate_hz, layout)))
        for stream, frames in streams:
            if stream.type == "audio":
                frames = _fitting(stream, frames)
            for frame in [*frames, None]:
                output.mux(stream.encode(frame))
    return path


def _picture(number: int, rate: int, size: tuple[int, int]) -> Any:
    frame = av.VideoFrame(*size, "yuv420p")
    for plane, value in zip(frame.planes, (shade(number), 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.pts = number
    frame.time_base = Fraction(1, rate)
    return frame


def _sound(seconds: float, rate_hz: int, layout: str) -> list[Any]:
    channels = 1 if layout == "mono" else 2
    frames = []
    count = round(seconds * rate_hz)
    for start in range(0, count, 480):
        numbers = range(start, min(start + 480, count))
        samples = array(
            "h", [round(8000 * math.sin(2 * math.pi * 440 * n / rate_hz)) for n in numbers for _ in range(channels)]
        )
        frame: Any = av.AudioFrame(format="s16", layout=layout, samples=len(numbers))
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate = rate_hz
        frame.pts = start
        frame.time_base = Fraction(1, rate_hz)
        frames.append(frame)
    return frames


def _fitting(stream: Any, frames: list[Any]) -> list[Any]:
    """The same sound in the format and the frame size of the encoder."""
    context = stream.codec_context
    context.open(strict=False)
    resampler: Any = av.AudioResampler(
        format=context.format, layout=context.layout, rate=context.sample_rate, frame_size=context.frame_size or None
    )
    return [out for frame in [*frames, None] for out in resampler.resample(frame)]


def packets(path: Path, kind: str) -> list[bytes]:
    """The packets of a file, as they are."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def key_frames(path: Path) -> list[int]:
    """The numbers of the pictures that the container calls key frames."""
    with av.open(str(path)) as container:
        coded = [packet for packet in container.demux(video=0) if packet.size]
        return [number for number, packet in enumerate(coded) if packet.is_keyframe]


def shades(codec: str, frames: list[Frame]) -> list[int]:
    """The luma of each picture that a decoder makes of the frames."""
    decoder: Any = av.CodecContext.create({"AV1": "libdav1d"}.get(codec, codec.lower()), "r")
    pictures = [picture for frame in frames for picture in decoder.decode(av.Packet(bytes(frame.data)))]
    pictures += decoder.decode(None)
    return [bytes(picture.planes[0])[picture.planes[0].line_size * 8 + 8] for picture in pictures]


def is_same_media(codec: str, frame: Frame, packet: bytes) -> bool:
    """Whether the frame is the packet, but for room for the send time and for start codes of H.264."""
    data = bytes(frame.data)
    if codec == "opus":
        sent, made = OpusPacket.parse(data), OpusPacket.parse(packet)
        return (sent.toc.configuration, sent.frames) == (made.toc.configuration, made.frames)
    if codec == "VP8":
        return data[: frame.stamp_at or len(data)] == packet
    if codec == "H264":
        is_stream = packet.startswith((b"\0\0\1", b"\0\0\0\1"))
        return _slices(nal_units(data)) == _slices(nal_units(packet) if is_stream else sized_units(packet, 4))
    return data == packet


def _slices(units: Iterable[bytes]) -> list[bytes]:
    """NAL units that are pictures."""
    return [unit for unit in units if unit[0] & 0x1F < SEI]


def is_near(values: list[int], expected: list[int]) -> bool:
    """Whether the pictures are those, as far as a lossy codec leaves them."""
    return len(values) == len(expected) and all(abs(a - b) <= 6 for a, b in zip(values, expected, strict=True))
