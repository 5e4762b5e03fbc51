"""What is done with the video that arrives: decoded, and looked at for what the test picture says.

    event loop                                  thread
    frame_received ──▶ queue (≤ 30 frames) ──▶ decode ──▶ read the mark ──▶ count
                            │ full
                            ▼
                  left out, and all that follows up to the next key frame: the machine is too slow, and says so

A frame counts at the time it arrived as a whole, which the caller tells: how busy this machine is with decoding is no
property of the stream. So a freeze is one of the arriving frames, and picture latency ends where the last packet of a
frame was read from its socket; the jitter buffer and the display that a browser would add are not in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from threading import Lock

from av import CodecContext
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from rtcctl.media.continuity import Continuity, ContinuityStatistics
from rtcctl.media.percentiles import Distribution
from rtcctl.media.picture import PictureMark, read_mark
from rtcctl.probe.boot import this_boot
from rtcctl.results.result import Percentiles

QUEUE_FRAMES = 30
"That wait for the decoder: a second, after which the stream is more than this machine decodes."

_DECODERS = {"vp8": "vp8", "vp9": "vp9", "h264": "h264", "av1": "libdav1d"}
"By encoding name, in lower case."

_LUMA_8_BIT = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"})
"Pixel formats whose first plane is the luma, a byte to a pixel."


def can_see(codec_name: str) -> bool:
    """Whether there is a decoder."""
    return codec_name.lower() in _DECODERS


@dataclass(frozen=True, slots=True)
class PictureStatistics:
    """Of some time. Frames that wait for the decoder count when they are decoded."""

    continuity: ContinuityStatistics
    "Of the frames decoded."
    frames_undecodable: int = 0
    "Refused by the decoder, or left out because a frame that they build on is missing."
    frames_skipped: int = 0
    "Left out because this machine could not decode as fast: nothing is known of them."
    picture_latency_ms: Percentiles | None = None
    "From the making of the picture to its arrival; `None` unless it was made on this machine."
    width: int | None = None
    "As decoded last."
    height: int | None = None
    layer: str | None = None
    "First character of the `rid` that the latest test picture names; `None`: it names none."

    @property
    def frames_decoded(self) -> int:
        return self.continuity.frames


@dataclass(slots=True)
class _Counts:
    undecodable: int = 0
    skipped: int = 0
    latency_ms: Distribution = field(default_factory=Distribution)


class _Cause(Enum):
    """Why frames are left out until a key frame comes."""

    STREAM = auto()
    "It has not begun, or something is missing or broken in it."
    MACHINE = auto()
    "The queue was full."


class PictureSink:
    """Watches one stream of video. Called from one thread, which never waits for the decoder.

    `request_key_frame` is called with each frame that cannot be used for want of a key frame: how often to ask is the
    owner's to decide.
    """

    def __init__(
        self, codec_name: str, *, request_key_frame: Callable[[], None] = lambda: None, queue_frames: int = QUEUE_FRAMES
    ) -> None:
        self._decoder = _decoder(_DECODERS[codec_name.lower()])
        self._request_key_frame = request_key_frame
        self._queue_frames = queue_frames
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._last: Future[None] | None = None
        self._is_closed = False
        self._lock = Lock()
        "Around all below, which both threads touch."
        self._waiting = 0
        self._needs_key: _Cause | None = _Cause.STREAM
        self._continuity = Continuity()
        self._range, self._interval = _Counts(), _Counts()
        self._size: tuple[int, int] | None = None
        self._layer: str | None = None

    def frame_received(self, data: bytes, is_key: bool, now: float, monotonic_ns: int) -> None:
        """Take one assembled frame, in order, and when the last of it arrived."""
        if self._is_closed:
            return
        if self._last is not None and self._last.done():
            self._last.result()  # what no decoder should do is not lost in its thread
        with self._lock:
            if self._waiting >= self._queue_frames:
                self._needs_key = _Cause.MACHINE
            elif is_key:
                self._needs_key = None
            cause = self._needs_key
            if cause is None:
                self._waiting += 1
            else:
                self._left_out(cause)
        if cause is None:
            self._last = self._thread.submit(self._decode, data, now, monotonic_ns)
        else:
            self._request_key_frame()

    def frame_lost(self) -> None:
        """A frame could not be assembled: what builds on it cannot be decoded, up to the next key frame."""
        with self._lock:
            self._needs_key = self._needs_key or _Cause.STREAM
        self._request_key_frame()

    def restart_range(self, now: float) -> None:
        """Count anew from here."""
        with self._lock:
            self._continuity.restart_range(now)
            self._range, self._interval = _Counts(), _Counts()

    def totals(self, now: float) -> PictureStatistics:
        """Since the first frame, or since `restart_range`."""
        with self._lock:
            return self._statistics(self._continuity.totals(now), self._range)

    def interval(self, now: float) -> PictureStatistics:
        """Since the previous call."""
        with self._lock:
            statistics = self._statistics(self._continuity.interval(now), self._interval)
            self._interval = _Counts()
        return statistics

    async def drain(self) -> None:
        """Wait until what has come is decoded."""
        if self._last is not None:
            await asyncio.to_thread(_wait, self._last)

    def close(self) -> None:
        """Take no more frames, and forget those that wait. Numbers can still be read."""
        self._is_closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _statistics(self, continuity: ContinuityStatistics, counts: _Counts) -> PictureStatistics:
        latency = counts.latency_ms.percentiles(50, 95, 99)
        width, height = self._size or (None, None)
        return PictureStatistics(
            continuity=continuity,
            frames_undecodable=counts.undecodable,
            frames_skipped=counts.skipped,
            picture_latency_ms=None if latency is None else Percentiles(*latency),
            width=width,
            height=height,
            layer=self._layer,
        )

    def _left_out(self, cause: _Cause) -> None:
        for counts in (self._range, self._interval):
            if cause is _Cause.MACHINE:
                counts.skipped += 1
            else:
                counts.undecodable += 1

    def _decode(self, data: bytes, now: float, monotonic_ns: int) -> None:
        """In the thread."""
        try:
            # A packet without data would tell the decoder that the stream ends.
            pictures = self._decoder.decode(Packet(data)) if data else None
        except FFmpegError:
            pictures = None
        marks = [_mark(picture) for picture in pictures or ()]
        with self._lock:
            self._waiting -= 1
            if pictures is None:
                self._left_out(_Cause.STREAM)
                self._needs_key = self._needs_key or _Cause.STREAM
                return
            for picture, mark in zip(pictures, marks, strict=True):
                self._size = picture.width, picture.height
                self._seen(mark, now, monotonic_ns)

    def _seen(self, mark: PictureMark | None, now: float, monotonic_ns: int) -> None:
        if mark is None:
            self._continuity.frame_rendered(None, now)
            return
        self._layer = mark.layer or None
        # Numbers of a loop come again and again, and say nothing.
        self._continuity.frame_rendered(mark.number if mark.is_dated else None, now, mark.layer)
        latency_ms = mark.latency_ms(monotonic_ns, this_boot())
        if latency_ms is not None:
            for counts in (self._range, self._interval):
                counts.latency_ms.add(latency_ms)


def _wait(future: Future[None]) -> None:
    with suppress(CancelledError):
        future.result()


def _mark(picture: VideoFrame) -> PictureMark | None:
    if picture.format.name not in _LUMA_8_BIT:
        return None
    luma = picture.planes[0]
    return read_mark(memoryview(luma), luma.line_size, picture.width, picture.height)


def _decoder(name: str) -> VideoCodecContext:
    decoder = CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    # Threads of FFmpeg work on several frames at once and give each back late.
    decoder.thread_count = 1
    return decoder


__all__ = ["PictureSink", "PictureStatistics", "can_see"]
