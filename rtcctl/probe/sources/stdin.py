"""Media that comes through a pipe: Ogg with Opus, PCM, IVF, H.264.

The formats are read by parsers of our own: FFmpeg would look at seconds of a stream before it says what it is, and the
one who writes a live stream would be heard that much later. What comes faster than real time is paced by its
timestamps (the pipe makes its writer wait), what comes slower is sent as it comes.
"""

from __future__ import annotations

import asyncio
import io
import os
import select
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any, BinaryIO, Protocol

from av import AudioFrame, CodecContext, Packet
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
from rtcctl.probe.sources.paced import PacedSource, Sleep
from rtcctl.probe.sources.streams import Ivf, OggOpus, Wav
from rtcctl.probe.sources.transcode import (
    MAX_FRAME_RATE_HZ,
    AudioEncoder,
    Decoded,
    VideoEncoder,
    codec_named,
    fitting_size,
    pictures,
)

FORMATS = ("ogg", "s16le", "ivf", "h264", "wav")
HEADER_TIMEOUT_S = 10.0
"How long what tells the format may take to come."
DEFAULT_FRAME_RATE_HZ = 30

_CHUNK_BYTES = 64 * 1024
_MAX_HEADER_BYTES = 1 << 20
_DEPTH = 16
_PCM_SAMPLES = 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user says about the stream, where it does not say so itself."""

    format: str | None = None
    sample_rate_hz: int = 48_000
    channels: int = 2
    frame_rate_hz: float | None = None
    codec: str | None = None
    "To encode as; None: as it is, if that can be sent."


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the stream turned out to be."""

    kind: str
    codec: Codec
    description: str
    frame_s: float | None
    is_timed: bool = True
    encoder: VideoEncoder | None = None


async def open_stdin(
    stream: BinaryIO,
    format: str | None = None,  # noqa: A002 - the name of the option
    *,
    sample_rate_hz: int = 48_000,
    channels: int = 2,
    frame_rate_hz: float | None = None,
    codec: str | None = None,
    header_timeout_s: float = HEADER_TIMEOUT_S,
    sleep: Sleep = asyncio.sleep,
) -> PacedSource:
    """The source that sends what comes through `stream`, of the format named or recognised; UsageError for others.

    `sample_rate_hz` and `channels` are of PCM, `frame_rate_hz` of H.264 that does not say its own.
    """
    settings = Settings(format, sample_rate_hz, channels, frame_rate_hz, codec)
    _check(settings, stream)
    pipe = Pipe(stream)
    feed: Feed[Any] = Feed(_items(pipe, settings), name="stdin", depth=_DEPTH, stop=pipe.stop)
    feed.start()
    try:
        async with asyncio.timeout(header_timeout_s):
            opened = await feed.get()
            if opened is not None:
                await feed.ready()
    except TimeoutError:
        await feed.close()
        raise UsageError(
            f"no media came on standard input within {header_timeout_s:g} s",
            hint="Start what writes to the pipe first, and let it write without buffering.",
        ) from None
    except BaseException:
        await feed.close()
        raise
    if opened is None or not feed.waiting():
        await feed.close()
        if isinstance(feed.problem, UsageError):
            raise feed.problem
        reason = f": {feed.problem}" if feed.problem else ""
        raise UsageError(f"standard input holds no media that can be sent{reason}", hint=_FORMAT_HINT)
    return PacedSource(
        feed,
        kind=opened.kind,
        codec=opened.codec,
        description=opened.description,
        frame_s=opened.frame_s,
        encoder=opened.encoder,
        is_pipe=True,
        is_timed=opened.is_timed,
        sleep=sleep,
    )


_FORMAT_HINT = "Formats: ogg (with Opus), wav, ivf and h264 are recognised; s16le PCM has to be named."


def _check(settings: Settings, stream: BinaryIO) -> None:
    if settings.format is not None and settings.format not in FORMATS:
        raise UsageError(f"{settings.format}: not a format of standard input", hint=_FORMAT_HINT)
    if not 8_000 <= settings.sample_rate_hz <= 192_000:
        raise UsageError(f"{settings.sample_rate_hz} Hz: a sample rate is 8000 to 192000 Hz")
    if settings.channels not in (1, 2):
        raise UsageError(f"{settings.channels} channels: PCM is mono or stereo")
    if settings.frame_rate_hz is not None and not 0 < settings.frame_rate_hz <= 240:
        raise UsageError(f"{settings.frame_rate_hz:g} frames a second: a frame rate is up to 240")
    if stream.isatty():
        raise UsageError(
            "standard input is a terminal, which has no media",
            hint="Let something write to it: ffmpeg … -f ogg - | rtcctl track publish … --stdin",
        )


class Pipe:
    """Reads what is there, and can be told to stop waiting for more.

    Not through the buffer of `sys.stdin`: a daemon thread that holds its lock would crash an interpreter that ends.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        "Kept, since it closes what is under it when it goes."
        self._raw: Any = getattr(stream, "raw", stream)
        self._is_stopped = False
        self._poll: Any = None
        self._wake: tuple[int, int] | None = None
        try:
            descriptor = self._raw.fileno()
        except (AttributeError, io.UnsupportedOperation):
            return
        if hasattr(select, "poll"):
            self._wake = os.pipe()
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLIN)
            self._poll.register(self._wake[0], select.POLLIN)

    def chunks(self) -> Iterator[bytes]:
        """All of it, as it comes."""
        try:
            while not self._is_stopped:
                if self._poll is not None:
                    self._poll.poll()
                    if self._is_stopped:
                        break
                if self._raw.closed:
                    break
                data = self._raw.read(_CHUNK_BYTES)
                if data is None:
                    continue
                if not data:
                    break
                yield data
        finally:
            self._poll = None

    def stop(self) -> None:
        """Nothing more is wanted; from any thread."""
        self._is_stopped = True
        if self._wake is not None:
            os.write(self._wake[1], b"\0")

    def close(self) -> None:
        """After the last chunk."""
        wake, self._wake = self._wake, None
        for descriptor in wake or ():
            os.close(descriptor)


def _items(pipe: Pipe, settings: Settings) -> Generator[Any, None, None]:
    """What the stream is, and then what is sent of it."""
    try:
        chunks = pipe.chunks()
        name, chunks = _recognised(chunks, settings.format)
        yield from _OPENERS[name](chunks, settings)
    finally:
        pipe.close()


def _recognised(chunks: Iterator[bytes], name: str | None) -> tuple[str, Iterator[bytes]]:
    if name is not None:
        return name, chunks
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= 4:
            break
    for magic, known in _MAGIC:
        if head.startswith(magic):
            return known, chain((head,), chunks)
    if not head:
        raise UsageError("standard input ended before any media came", hint=_FORMAT_HINT)
    raise UsageError("the format of standard input is not recognised", hint=_FORMAT_HINT)


_MAGIC = ((b"OggS", "ogg"), (b"DKIF", "ivf"), (b"RIFF", "wav"), (b"\0\0\0\1", "h264"), (b"\0\0\1", "h264"))


class _Demuxer(Protocol):
    def feed(self, data: bytes) -> list[MediaPacket]: ...
    def finish(self) -> list[MediaPacket] | None: ...


def _packets(demuxer: _Demuxer, chunks: Iterable[bytes]) -> Iterator[MediaPacket]:
    for chunk in chunks:
        yield from demuxer.feed(chunk)
    yield from demuxer.finish() or ()


def _first(packets: Iterator[MediaPacket], what: str) -> MediaPacket:
    try:
        packet = next(packets, None)
    except ParseError as exc:
        raise UsageError(f"standard input is no {what} that can be read: {exc}", hint=_FORMAT_HINT) from exc
    if packet is None:
        raise UsageError(f"standard input has no {what}", hint=_FORMAT_HINT)
    return packet


def _is_copied(codec: Codec, settings: Settings) -> bool:
    return settings.codec is None or settings.codec.lower().replace(".", "") == codec.name.lower()


def _ogg(chunks: Iterator[bytes], settings: Settings) -> Generator[Any, None, None]:
    demuxer = OggOpus()
    packets = _packets(demuxer, chunks)
    try:
        first = _first(packets, "Opus in Ogg")
        length_ms = duration_ms(first.data)
    except ParseError as exc:
        raise UsageError(f"standard input is no Opus that can be read: {exc}") from exc
    except UsageError as exc:
        if demuxer.other:
            raise UsageError(
                f"standard input is Ogg with {demuxer.other}; Opus was expected",
                hint="Encode it as Opus: ffmpeg … -c:a libopus -f ogg -",
            ) from exc
        raise
    packets = chain((first,), packets)
    is_simple = demuxer.head[18] == 0 and length_ms <= MAX_OPUS_MS
    if is_simple and _is_copied(OPUS, settings):
        yield _Opened("audio", OPUS, "stdin Opus (copied)", length_ms / 1000)
        yield from copy_opus(packets, Round(0))
        return
    decoder: Any = CodecContext.create("libopus", "r")
    decoder.extradata = demuxer.head
    yield from _encoded_audio(_decoded(decoder, packets), settings, demuxer.head[9], "Opus")


def _s16le(chunks: Iterator[bytes], settings: Settings) -> Generator[Any, None, None]:
    frames = _pcm(chunks, settings.sample_rate_hz, settings.channels)
    yield from _encoded_audio(frames, settings, settings.channels, "PCM")


def _wav(chunks: Iterator[bytes], settings: Settings) -> Generator[Any, None, None]:
    wav = Wav()
    samples = b""
    try:
        for chunk in chunks:
            samples = wav.feed(chunk)
            if wav.is_open:
                break
    except ParseError as exc:
        raise UsageError(f"standard input is no WAVE that can be read: {exc}", hint=_FORMAT_HINT) from exc
    chunks = chain((samples,), chunks)
    name = {7: "PCMU", 6: "PCMA"}.get(wav.format_tag)
    if name and wav.channels == 1 and wav.sample_rate_hz == 8_000 and _is_copied(G711[name], settings):
        yield _Opened("audio", G711[name], f"stdin {name} (copied)", 0.02)
        yield from copy_g711(name)((MediaPacket(chunk, None) for chunk in chunks), Round(0))
        return
    is_pcm = wav.format_tag == 1 and wav.bits == 16 and wav.channels in (1, 2)
    if not is_pcm or not 8_000 <= wav.sample_rate_hz <= 192_000:
        raise UsageError(
            "standard input is WAVE, but not of 16 bit PCM in mono or stereo",
            hint="Convert it: ffmpeg … -c:a pcm_s16le -f wav -",
        )
    yield from _encoded_audio(_pcm(chunks, wav.sample_rate_hz, wav.channels), settings, wav.channels, "PCM")


def _pcm(chunks: Iterable[bytes], sample_rate_hz: int, channels: int) -> Iterator[Decoded]:
    """Samples, in frames of a handful of milliseconds: what came is not kept waiting."""
    size = 2 * channels
    samples = b""
    for chunk in chunks:
        samples += chunk
        whole = len(samples) // size * size
        for at in range(0, whole, _PCM_SAMPLES * size):
            part = samples[at : min(at + _PCM_SAMPLES * size, whole)]
            frame: Any = AudioFrame(
                format="s16", layout="mono" if channels == 1 else "stereo", samples=len(part) // size
            )
            frame.sample_rate = sample_rate_hz
            frame.planes[0].update(part.ljust(frame.planes[0].buffer_size, b"\0"))
            yield Decoded(frame, None)
        samples = samples[whole:]


def _encoded_audio(
    decoded: Iterable[Decoded], settings: Settings, channels: int, what: str
) -> Generator[Any, None, None]:
    encoder = AudioEncoder(settings.codec or "opus", channels)
    yield _Opened("audio", encoder.codec, f"stdin {what} (encoded as {encoder.codec.name})", 0.02)
    yield from encoder.encode(decoded, Round(0))
    yield from encoder.finish()


def _ivf(chunks: Iterator[bytes], settings: Settings) -> Generator[Any, None, None]:
    demuxer = Ivf()
    packets = _packets(demuxer, chunks)
    first = _first(packets, "IVF")
    makers: dict[str, tuple[str, Callable[[], tuple[Codec, Copy]]]] = {
        "VP80": ("vp8", lambda: (VP8, copy_video(fit_vp8, demuxer.unit_s))),
        "VP90": ("vp9", lambda: (vp9_codec(_vp9_profile(first.data)), copy_video(fit_vp9, demuxer.unit_s))),
        "AV01": ("libdav1d", lambda: (AV1, copy_video(fit_av1(b""), demuxer.unit_s))),
    }
    if demuxer.fourcc not in makers:
        raise UsageError(f"standard input is IVF with {demuxer.fourcc!r}", hint="IVF with VP8, VP9 or AV1 can be sent.")
    decoder_name, make = makers[demuxer.fourcc]
    _check_decodes(decoder_name, first)
    codec, copy = make()
    packets = chain((first,), packets)
    if _is_copied(codec, settings):
        yield _Opened("video", codec, f"stdin {codec.name} (copied)", None)
        yield from copy(packets, Round(0))
        return
    yield from _encoded_video(decoder_name, packets, settings, codec.name, demuxer.unit_s)


def _h264(chunks: Iterator[bytes], settings: Settings) -> Generator[Any, None, None]:
    demuxer = _AccessUnitParser()
    packets = _packets(demuxer, chunks)
    first = _first(packets, "H.264 as a byte stream")
    decoder = _check_decodes("h264", first)
    said = settings.frame_rate_hz or (float(demuxer.frame_rate_hz) if demuxer.frame_rate_hz else None)
    frame_s = 1 / Fraction(said or DEFAULT_FRAME_RATE_HZ).limit_denominator(1001)
    profile = h264.profile_level_id(first.data)
    packets = chain((first,), packets)
    is_reordered = decoder.has_b_frames
    if profile is not None and not is_reordered and _is_copied(h264_codec(profile), settings):
        codec = h264_codec(profile)
        yield _Opened("video", codec, "stdin H264 (copied)", float(frame_s), is_timed=False)
        yield from copy_video(fit_h264(h264.AccessUnits()), frame_s)(packets, Round(0))
        return
    yield from _encoded_video("h264", packets, settings, "H264", frame_s, is_timed=False)


class _AccessUnitParser:
    """A byte stream of H.264 (annex B), cut into access units by FFmpeg: one is complete when the next begins."""

    def __init__(self) -> None:
        self._parser: Any = CodecContext.create("h264", "r")

    @property
    def frame_rate_hz(self) -> Fraction | None:
        """By the parameter sets (H.264 §E.2.1), once they came."""
        rate = self._parser.framerate
        return rate if rate and 0 < rate <= 240 else None

    def feed(self, data: bytes) -> list[MediaPacket]:
        return [MediaPacket(bytes(packet), None) for packet in self._parser.parse(data)]

    def finish(self) -> list[MediaPacket]:
        """The last one ends where the stream ends."""
        return [MediaPacket(bytes(packet), None) for packet in self._parser.parse(None)]


def _encoded_video(
    decoder_name: str,
    packets: Iterable[MediaPacket],
    settings: Settings,
    what: str,
    frame_s: Fraction,
    *,
    is_timed: bool = True,
) -> Generator[Any, None, None]:
    codec = codec_named(settings.codec or "VP8", "video")
    encoder = VideoEncoder(codec.name, frame_rate_hz=min(float(1 / frame_s), MAX_FRAME_RATE_HZ))
    yield _Opened(
        "video", codec, f"stdin {what} (re-encoded as {codec.name})", None, is_timed=is_timed, encoder=encoder
    )
    decoder: Any = CodecContext.create(decoder_name, "r")
    yield from pictures(_decoded(decoder, packets), Round(0), frame_s)


def _decoded(decoder: Any, packets: Iterable[MediaPacket]) -> Iterator[Decoded]:
    """By a decoder without a container. Times are counted: decoders may reorder."""
    for packet in packets:
        for frame in decoder.decode(Packet(packet.data)):
            yield Decoded(frame, None)
    for frame in decoder.decode(None):
        yield Decoded(frame, None)


def _check_decodes(decoder_name: str, first: MediaPacket) -> Any:
    """The decoder, after the first picture; UsageError when that is none."""
    decoder: Any = CodecContext.create(decoder_name, "r")
    try:
        frames = [*decoder.decode(Packet(first.data)), *decoder.decode(None)]
    except FFmpegError as exc:
        raise UsageError(f"the video on standard input does not decode: {exc.strerror}") from exc
    if not frames:
        raise UsageError("the video on standard input does not begin with a key frame that decodes")
    fitting_size(frames[0].width, frames[0].height)
    return decoder


def _vp9_profile(frame: bytes) -> int:
    return (frame[0] >> 5 & 1) | (frame[0] >> 4 & 1) << 1


_OPENERS: dict[str, Callable[[Iterator[bytes], Settings], Generator[Any, None, None]]] = {
    "ogg": _ogg,
    "s16le": _s16le,
    "wav": _wav,
    "ivf": _ivf,
    "h264": _h264,
}


__all__ = ["FORMATS", "open_stdin"]
