"""Decoded pictures and sound, encoded for real time: VP8 or H.264, Opus or G.711."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from threading import Lock
from typing import Any

from av import AudioFrame, AudioResampler, CodecContext, VideoFrame
from av.error import FFmpegError
from av.filter import Graph
from av.video.frame import PictureType

from rtcctl.errors import UsageError
from rtcctl.media.codec import Codec
from rtcctl.probe.sources import h264
from rtcctl.probe.sources.copying import G711, OPUS, VIDEO_CLOCK_RATE_HZ, VP8, Round, h264_codec
from rtcctl.probe.sources.paced import Coded, Picture

MAX_LONG_SIDE, MAX_SHORT_SIDE = 1920, 1080
MIN_SIDE = 16
"Smaller pictures are drawn larger: encoders work on blocks of 16 pixels."
MAX_RATIO = 40
MAX_FRAME_RATE_HZ = 30
KEY_FRAME_INTERVAL_FRAMES = 300

VIDEO_CODECS = {"VP8": VP8, "H264": h264_codec("42e028")}
"What pictures can be encoded as. Constrained baseline at level 4: 1080p at 30 pictures a second (H.264 table A-1)."
AUDIO_CODECS = {"opus": OPUS, **G711}

_BITS_PER_PIXEL = 0.07
_MIN_BITRATE_BPS, _MAX_BITRATE_BPS = 150_000, 5_000_000


def codec_named(name: str, kind: str) -> Codec:
    """What to encode as; UsageError for what no encoder is for."""
    codecs = VIDEO_CODECS if kind == "video" else AUDIO_CODECS
    for known, codec in codecs.items():
        if known.lower() == name.lower().replace(".", ""):
            return codec
    raise UsageError(
        f"{name}: {kind} cannot be encoded as that",
        hint=f"It can be encoded as {', '.join(codecs)}; other codecs are sent only when the media has them already.",
    )


def fitting_size(width: int, height: int, *, pixel_ratio: Fraction | None = None) -> tuple[int, int]:
    """Even sides, square pixels, at most 1920×1080 or 1080×1920; UsageError for what is no picture."""
    if width < 1 or height < 1 or max(width, height) > MAX_RATIO * min(width, height):
        raise UsageError(
            f"a picture of {width}×{height} cannot be encoded",
            hint=f"Its sides may differ by a factor of {MAX_RATIO} at most.",
        )
    wide = width * (pixel_ratio or Fraction(1))
    tall = Fraction(height)
    scale = min(
        Fraction(1),
        Fraction(MAX_LONG_SIDE) / max(wide, tall),
        Fraction(MAX_SHORT_SIDE) / min(wide, tall),
    )
    scale = max(scale, Fraction(MIN_SIDE) / min(wide, tall))
    return max(2, int(wide * scale) // 2 * 2), max(2, int(tall * scale) // 2 * 2)


class VideoEncoder:
    """Pictures of any size and format to frames, without delay; key frames when asked and every ten seconds."""

    def __init__(
        self,
        codec_name: str,
        *,
        frame_rate_hz: float = MAX_FRAME_RATE_HZ,
        bitrate_bps: int | None = None,
        pixel_ratio: Fraction | None = None,
    ) -> None:
        """`pixel_ratio` is width by height of a pixel, where they are not square."""
        self.codec = codec_named(codec_name, "video")
        self._pixel_ratio = pixel_ratio
        self._frame_rate_hz = frame_rate_hz
        self._bitrate_bps = bitrate_bps
        self._context: Any = None
        self._source_size = (0, 0)
        self._size = (0, 0)
        self._units = h264.AccessUnits()
        self._lock = Lock()

    def encode(self, picture: VideoFrame, timestamp: int, *, is_key: bool = False) -> tuple[bytes, bool]:
        """One picture in, its frame out; and whether it is a key frame. Timestamps grow."""
        # A call whose caller was cancelled goes on in its thread; the next one has to wait for it.
        with self._lock:
            packets = self._encoded(picture, timestamp, is_key)
        data = b"".join(bytes(packet) for packet in packets)
        if self.codec.name == "H264":
            return self._units.fit(h264.without_sei(data))
        return data, any(packet.is_keyframe for packet in packets)

    def _encoded(self, picture: VideoFrame, timestamp: int, is_key: bool) -> list[Any]:
        if self._context is None or (picture.width, picture.height) != self._source_size:
            self._open(picture)
        width, height = self._size
        frame = picture.reformat(width=width, height=height, format="yuv420p")
        frame.pts = timestamp
        frame.time_base = Fraction(1, VIDEO_CLOCK_RATE_HZ)
        frame.pict_type = PictureType.I if is_key else PictureType.NONE
        return list(self._context.encode(frame))

    def _open(self, picture: VideoFrame) -> None:
        self._source_size = picture.width, picture.height
        self._size = width, height = fitting_size(picture.width, picture.height, pixel_ratio=self._pixel_ratio)
        is_h264 = self.codec.name == "H264"
        context: Any = CodecContext.create("libx264" if is_h264 else "libvpx", "w")
        context.width, context.height = width, height
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, VIDEO_CLOCK_RATE_HZ)
        context.framerate = Fraction(self._frame_rate_hz).limit_denominator(1001)
        context.gop_size = KEY_FRAME_INTERVAL_FRAMES
        context.bit_rate = self._bitrate_bps or bitrate_for(width, height, self._frame_rate_hz)
        if is_h264:
            context.thread_count = 1
            context.options = {
                "preset": "veryfast",
                "tune": "zerolatency",
                "profile": "baseline",
                "forced-idr": "1",
                "maxrate": str(context.bit_rate),
                "bufsize": str(context.bit_rate // 2),
            }
        else:
            context.thread_count = 2
            context.options = {
                "deadline": "realtime",
                "cpu-used": "-8",
                "lag-in-frames": "0",
                "auto-alt-ref": "0",
                "error-resilient": "default",
                "minrate": "0",
                "maxrate": str(context.bit_rate * 3 // 2),
                "qmin": "2",
                "qmax": "56",
            }
        try:
            context.open()
        except FFmpegError as exc:
            raise UsageError(f"pictures of {width}×{height} cannot be encoded as {self.codec.name}: {exc}") from exc
        self._context = context


def bitrate_for(width: int, height: int, frame_rate_hz: float) -> int:
    """What looks good for that many pixels in real time."""
    return int(min(max(width * height * frame_rate_hz * _BITS_PER_PIXEL, _MIN_BITRATE_BPS), _MAX_BITRATE_BPS))


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded frame with its time, since the start of the media."""

    frame: Any
    at_s: Fraction | None
    duration_s: Fraction | None = None


class Turn:
    """Turns pictures as the container says that they are to be shown: by quarters, counterclockwise."""

    FILTERS: Mapping[int, tuple[tuple[str, str], ...]] = {
        90: (("transpose", "cclock"),),
        180: (("hflip", ""), ("vflip", "")),
        270: (("transpose", "clock"),),
    }

    def __init__(self, degrees: int) -> None:
        self._filters = self.FILTERS[degrees]
        self._graph: Any = None

    def __call__(self, picture: VideoFrame) -> VideoFrame:
        if self._graph is None:
            graph: Any = Graph()
            last = graph.add_buffer(
                width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
            )
            for name, arguments in (*self._filters, ("buffersink", "")):
                following = graph.add(name, arguments)
                last.link_to(following)
                last = following
            graph.configure()
            self._graph = graph
        self._graph.push(picture)
        turned: VideoFrame = self._graph.pull()
        return turned


def pictures(decoded: Iterable[Decoded], turn: Round, frame_s: Fraction) -> Generator[Picture, None, None]:
    """Decoded pictures, at most 30 a second."""
    next_s = Fraction(0)
    at_least_s = Fraction(-1)
    is_first = True
    for item in decoded:
        at_s = max(item.at_s if item.at_s is not None else next_s, Fraction(0))
        next_s = at_s + (item.duration_s or frame_s)
        turn.ends_at = max(turn.ends_at, turn.starts_at + round(next_s * VIDEO_CLOCK_RATE_HZ))
        if at_s < at_least_s:
            continue
        # A tenth of tolerance: timestamps may be rounded to milliseconds.
        at_least_s = at_s + Fraction(9, 10 * MAX_FRAME_RATE_HZ)
        yield Picture(turn.starts_at + round(at_s * VIDEO_CLOCK_RATE_HZ), item.frame, is_first)
        is_first = False


class AudioEncoder:
    """Sound of any format to packets of 20 ms. One encoder for all rounds, so that their seam is smooth."""

    def __init__(self, codec_name: str, channels: int) -> None:
        self.codec = codec_named(codec_name, "audio")
        is_opus = self.codec.name == "opus"
        self._channels = channels if is_opus and channels == 1 else 2 if is_opus else 1
        self._sample_bytes = 2 * self._channels
        self._layout = "mono" if self._channels == 1 else "stereo"
        self._rate_hz = self.codec.clock_rate_hz
        self._samples_per_packet = self._rate_hz // 50
        context: Any = CodecContext.create(
            {"opus": "libopus", "PCMU": "pcm_mulaw", "PCMA": "pcm_alaw"}[self.codec.name], "w"
        )
        context.format = "s16"
        context.layout = self._layout
        context.sample_rate = self._rate_hz
        context.time_base = Fraction(1, self._rate_hz)
        if is_opus:
            context.bit_rate = 48_000 * (self._channels + 1)
            context.options = {"application": "audio", "frame_duration": "20"}
        self._context = context
        self._samples = bytearray()
        "What is not a whole packet yet."
        self._at: int | None = None
        "Where those samples begin, in units of the clock rate."
        self._pts = 0

    def encode(self, decoded: Iterable[Decoded], turn: Round) -> Generator[Coded, None, None]:
        """One round. Gaps stay gaps, on the grid of the packets; what is left is for the next round, or `finish`."""
        at = turn.starts_at if self._at is None else self._at
        resampler: Any = AudioResampler(format="s16", layout=self._layout, rate=self._rate_hz)
        for item in chain(decoded, (None,)):
            if item is not None and item.at_s is not None:
                gap = turn.starts_at + round(item.at_s * self._rate_hz) - at - self._waiting
                if gap >= self._samples_per_packet * 2:
                    padding = -self._waiting % self._samples_per_packet
                    self._samples += bytes(padding * self._sample_bytes)
                    for coded in self._full(at):
                        yield coded
                        at += self._samples_per_packet
                    at += (gap - padding) // self._samples_per_packet * self._samples_per_packet
            if item is not None:
                item.frame.pts = None
            for frame in resampler.resample(item and item.frame):
                self._samples += bytes(frame.planes[0])[: frame.samples * self._sample_bytes]
            for coded in self._full(at):
                yield coded
                at += self._samples_per_packet
            self._at = at
            turn.ends_at = at + self._waiting

    def finish(self) -> Generator[Coded, None, None]:
        """What is left, with silence behind it."""
        if self._samples and self._at is not None:
            self._samples += bytes(-self._waiting % self._samples_per_packet * self._sample_bytes)
            yield from self._full(self._at)

    @property
    def _waiting(self) -> int:
        return len(self._samples) // self._sample_bytes

    def _full(self, at: int) -> Generator[Coded, None, None]:
        """The whole packets of what waits."""
        size = self._samples_per_packet * self._sample_bytes
        while len(self._samples) >= size:
            samples = bytes(self._samples[:size])
            del self._samples[:size]
            yield Coded(at, self._packet(samples))
            at += self._samples_per_packet

    def _packet(self, samples: bytes) -> bytes:
        frame: Any = AudioFrame(format="s16", layout=self._layout, samples=self._samples_per_packet)
        frame.sample_rate = self._rate_hz
        frame.time_base = Fraction(1, self._rate_hz)
        frame.pts = self._pts
        self._pts += self._samples_per_packet
        frame.planes[0].update(samples)
        return b"".join(bytes(packet) for packet in self._context.encode(frame))
