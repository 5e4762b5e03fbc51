"""The test picture as a source: encoded as it is due, or encoded once and played in a loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, ParamSpec, TypeVar

from rtcctl.errors import UsageError
from rtcctl.media.codec import Codec
from rtcctl.media.picture import PictureMark, draw_frame, draw_still, size_problem
from rtcctl.media.sendtime import with_room
from rtcctl.probe.boot import this_boot
from rtcctl.probe.sources import Frame
from rtcctl.probe.sources.h264 import without_sei
from rtcctl.probe.sources.pace import Pace
from rtcctl.probe.sources.priority import priority_kept

P = ParamSpec("P")
T = TypeVar("T")

CLOCK_RATE_HZ = 90_000
MAX_FRAME_RATE_HZ = 120
MIN_BITRATE_BPS = 20_000
BITS_PER_PIXEL = 0.055
"By which a bitrate is chosen when none is given: 1.5 Mbit/s for 1280x720 at 30 frames a second."
KEY_FRAME_S = 10.0
"Between key frames that nobody asked for: what joins late and whose request got lost is not left in the dark."

LOOP_S = 4.0
LOOP_KEY_FRAME_S = 1.0

_FEEDBACK = ("nack", "nack pli", "ccm fir", "transport-cc")


@dataclass(frozen=True, slots=True)
class _Encoding:
    encoder: str
    payload_type: int
    options: dict[str, str]
    """The fastest there is, without look-ahead: one frame in, one out.

    Negative `cpu-used` is a fixed speed; with a positive one libvpx spends more time on a frame when it finds some.
    """


_ENCODINGS = {
    "VP8": _Encoding("libvpx", 96, {"deadline": "realtime", "cpu-used": "-16", "lag-in-frames": "0"}),
    "VP9": _Encoding("libvpx-vp9", 98, {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "H264": _Encoding(
        "libx264",
        102,
        {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "forced-idr": "1"},
    ),
    # From preset 9 on SVT-AV1 leaves blocks as they were, and with them numbers of the past. Low delay, constant rate.
    "AV1": _Encoding("libsvtav1", 45, {"preset": "8", "svtav1-params": "rtc=1:pred-struct=1:rc=2:lp=1"}),
}

_H264_LEVELS = ((1620, 40_500, 0x1E), (3600, 108_000, 0x1F), (8192, 245_760, 0x28), (36_864, 983_040, 0x33))
"Macroblocks in a frame, in a second, and the level that allows as many (H.264 table A-1)."
_AV1_LEVELS = ((1_065_024, 31_950_720, 5), (2_359_296, 70_778_880, 8), (8_912_896, 534_773_760, 13))
"Likewise, of luma samples: `level-idx` (AV1 annex A.3)."


class PictureEncoder:
    """Draws test pictures of one size and encodes them. Used by one thread at a time."""

    def __init__(
        self, codec: str, width: int, height: int, frame_rate_hz: float, bitrate_bps: int, key_frame_s: float
    ) -> None:
        from av import CodecContext, VideoFrame
        from av.video.codeccontext import VideoCodecContext

        encoding = _ENCODINGS[codec]
        rate = Fraction(frame_rate_hz).limit_denominator(1001)
        encoder = CodecContext.create(encoding.encoder, "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.framerate, encoder.time_base = rate, 1 / rate
        encoder.bit_rate = bitrate_bps
        encoder.gop_size = max(1, round(key_frame_s * frame_rate_hz))
        encoder.thread_count = 1
        encoder.options = dict(encoding.options)
        if codec == "H264":
            # A buffer of half a second keeps the bitrate; without one x264 only averages over minutes.
            kbps = bitrate_bps // 1000
            encoder.options |= {"x264-params": f"vbv-maxrate={kbps}:vbv-bufsize={max(1, kbps // 2)}:scenecut=0"}
        if codec == "AV1":
            # SVT-AV1 tells stderr all about itself, and only the environment can ask it not to.
            os.environ.setdefault("SVT_LOG", "-1")
        self._codec = codec
        self._encoder: Any = encoder
        self._size = width, height
        self._frame = VideoFrame(width, height, "yuv420p")
        luma, blue, red = self._frame.planes
        # Encoders without look-ahead are done with the picture when they return: one buffer is enough.
        self._luma, self._stride = memoryview(luma), luma.line_size
        draw_still(self._luma, memoryview(blue), memoryview(red), luma.line_size, blue.line_size, width, height)
        # Both take some ten milliseconds the first time, which the first frame would be late by.
        with priority_kept():
            encoder.open()
        draw_frame(self._luma, self._stride, width, height, PictureMark(0))

    def encode(self, mark: PictureMark, pts: int, *, is_key: bool) -> tuple[bytes, bool]:
        """The picture that says `mark`, and whether it is a key frame; no bytes if the encoder gave none.

        `pts` is in frames, and grows.
        """
        from av.video.frame import PictureType

        draw_frame(self._luma, self._stride, *self._size, mark)
        self._frame.pts = pts
        self._frame.pict_type = PictureType.I if is_key else PictureType.NONE
        packets = self._encoder.encode(self._frame)
        data = b"".join(bytes(packet) for packet in packets)
        if self._codec == "H264":
            data = without_sei(data)
        return data, any(packet.is_keyframe for packet in packets)


class _Picture:
    """What both sources of test pictures are: validated, described and paced."""

    kind = "video"

    def __init__(
        self,
        width: int,
        height: int,
        frame_rate_hz: float,
        bitrate_bps: int | None,
        codec: str,
        rid: str,
    ) -> None:
        if (problem := size_problem(width, height)) is not None:
            raise UsageError(problem)
        if not 1 <= frame_rate_hz <= MAX_FRAME_RATE_HZ:
            raise UsageError(
                f"a test picture at {frame_rate_hz:g} frames a second", hint=f"From 1 to {MAX_FRAME_RATE_HZ}."
            )
        if codec not in _ENCODINGS:
            raise UsageError(f"a test picture in {codec}", hint=f"One of {', '.join(_ENCODINGS)}.")
        if bitrate_bps is not None and bitrate_bps < MIN_BITRATE_BPS:
            raise UsageError(f"a bitrate of {bitrate_bps} bit/s", hint=f"At least {MIN_BITRATE_BPS}.")
        self.width, self.height, self.frame_rate_hz, self.rid = width, height, frame_rate_hz, rid
        self.bitrate_bps = bitrate_bps or max(MIN_BITRATE_BPS, round(width * height * frame_rate_hz * BITS_PER_PIXEL))
        "What the encoder aims at."
        self.codec = _codec(codec, width, height, frame_rate_hz)
        self.frame_s = 1 / frame_rate_hz
        self.description = f"testsrc {width}x{height}@{frame_rate_hz:g}"
        self.pace = Pace(self.frame_s)

    @property
    def started_at(self) -> float | None:
        return self.pace.started_at

    def nominal_frames(self, now: float) -> int:
        return self.pace.nominal(now)

    def _encoder(self, key_frame_s: float) -> PictureEncoder:
        size = self.width, self.height
        return PictureEncoder(self.codec.name, *size, self.frame_rate_hz, self.bitrate_bps, key_frame_s)

    def _rtp_timestamp(self, tick: int) -> int:
        return round(tick * CLOCK_RATE_HZ / self.frame_rate_hz)


class TestPictureSource(_Picture):
    """Each frame is drawn and encoded when it is due, in a thread of its own, and handed out when it is ready.

    The picture is dated when it is due, like a camera's. So its latency includes drawing and encoding (1280x720: 8 ms
    in VP8, 5 in H.264, 11 in VP9, 24 in AV1) and what the thread had to wait for a core, the sending and the way; what
    the send time in its packets measures is the way alone. An encoder that takes longer than a frame lasts makes the
    source late, and it leaves out frames.
    """

    __test__ = False  # for pytest, which takes a class of this name for one of tests

    def __init__(
        self,
        width: int = 1280,
        height: int = 720,
        frame_rate_hz: float = 30,
        bitrate_bps: int | None = None,
        codec: str = "VP8",
        *,
        rid: str = "",
        key_frame_s: float = KEY_FRAME_S,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__(width, height, frame_rate_hz, bitrate_bps, codec, rid)
        self._key_frame_s = key_frame_s
        self._monotonic_ns = monotonic_ns
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._picture_encoder: PictureEncoder | None = None
        self._number = 0
        self._is_key_wanted = False
        self._is_broken = False
        "A frame was encoded and not handed out: what comes next must not build on it."

    async def prepare(self) -> None:
        if self._picture_encoder is None:
            self._picture_encoder = await self._run(self._encoder, self._key_frame_s)

    async def next_frame(self, clock: Callable[[], float]) -> Frame:
        await self.prepare()
        encoder = self._picture_encoder
        assert encoder is not None
        while True:
            tick = await self.pace.tick(clock)
            mark = PictureMark.at(self._number, self._monotonic_ns(), this_boot(), self.rid)
            wants_key = self._is_key_wanted or self._is_broken
            # A call that is cancelled here goes on in the thread; the next one is queued behind it.
            self._is_key_wanted, self._is_broken = False, True
            data, is_key = await self._run(encoder.encode, mark, tick, is_key=wants_key)
            self._is_broken = False
            if data:
                break
            self._is_key_wanted = self._is_key_wanted or wants_key
        self._number += 1
        stamped, stamp_at = with_room(self.codec.name, data) or (data, None)
        return Frame(stamped, self._rtp_timestamp(tick), is_key, stamp_at, mark.number)

    def request_key_frame(self) -> None:
        self._is_key_wanted = True

    async def close(self) -> None:
        """No frame can be had any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._picture_encoder = None

    async def _run(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *arguments, **named))


class LoopedPictureSource(_Picture):
    """A few seconds of test pictures, encoded once: a frame costs a copy, however many sources of them there are.

    Its pictures do not say when they were made, and their numbers count inside the loop only, so nothing can be told
    from them but that they decode. A key frame begins every second of the loop; when one is asked for the loop goes on
    at the next of them at once.
    """

    def __init__(
        self,
        width: int = 1280,
        height: int = 720,
        frame_rate_hz: float = 30,
        bitrate_bps: int | None = None,
        codec: str = "VP8",
        *,
        rid: str = "",
        loop_s: float = LOOP_S,
    ) -> None:
        super().__init__(width, height, frame_rate_hz, bitrate_bps, codec, rid)
        self._loop_s = loop_s
        self._loop: list[tuple[bytes | bytearray, int | None, bool]] = []
        self._position = 0
        self._is_key_wanted = False

    async def prepare(self) -> None:
        if not self._loop:
            self._loop = await asyncio.to_thread(self._encode)

    async def next_frame(self, clock: Callable[[], float]) -> Frame:
        await self.prepare()
        return self.frame_at(await self.pace.tick(clock))

    def frame_at(self, tick: int) -> Frame:
        """The next frame of the loop."""
        if self._is_key_wanted:
            self._is_key_wanted = False
            while not self._loop[self._position][2]:
                self._position = (self._position + 1) % len(self._loop)
        number = self._position
        self._position = (self._position + 1) % len(self._loop)
        data, stamp_at, is_key = self._loop[number]
        return Frame(bytearray(data), self._rtp_timestamp(tick), is_key, stamp_at, number)

    def request_key_frame(self) -> None:
        self._is_key_wanted = True

    async def close(self) -> None:
        """The loop is kept: it is all there is."""

    def _encode(self) -> list[tuple[bytes | bytearray, int | None, bool]]:
        encoder = self._encoder(self._loop_s)
        every = max(1, round(LOOP_KEY_FRAME_S * self.frame_rate_hz))
        loop: list[tuple[bytes | bytearray, int | None, bool]] = []
        for number in range(max(1, round(self._loop_s * self.frame_rate_hz))):
            mark = PictureMark(number, layer=self.rid[:1])
            data, is_key = encoder.encode(mark, number, is_key=number % every == 0)
            assert data, "no frame is left out of a loop"
            loop.append((*(with_room(self.codec.name, data) or (data, None)), is_key))
        assert loop[0][2]
        return loop


def _codec(name: str, width: int, height: int, frame_rate_hz: float) -> Codec:
    parameters = ""
    if name == "VP9":
        parameters = "profile-id=0"
    elif name == "H264":
        # Constrained baseline (RFC 6184 §8.1), as browsers call it.
        level = _level(_H264_LEVELS, (width + 15) // 16 * ((height + 15) // 16), frame_rate_hz)
        parameters = f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e0{level:02x}"
    elif name == "AV1":
        parameters = f"level-idx={_level(_AV1_LEVELS, width * height, frame_rate_hz)};profile=0;tier=0"
    return Codec(name, _ENCODINGS[name].payload_type, CLOCK_RATE_HZ, 1, parameters, _FEEDBACK)


def _level(levels: tuple[tuple[int, int, int], ...], size: int, frame_rate_hz: float) -> int:
    """The lowest level that allows the picture; the highest one known, if none does."""
    fitting = (level for most, rate, level in levels if size <= most and size * frame_rate_hz <= rate)
    return next(fitting, levels[-1][2])


__all__ = ["LoopedPictureSource", "PictureEncoder", "TestPictureSource"]
