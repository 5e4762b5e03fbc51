"""Covers rtcctl/probe/sources/testsrc.py: real encoders, and real decoders to look at what they made."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys

import pytest
from av import CodecContext
from av.packet import Packet

from rtcctl.errors import UsageError
from rtcctl.media.picture import PictureMark, read_mark
from rtcctl.media.sendtime import STAMP_BYTES, with_room
from rtcctl.probe.boot import this_boot
from rtcctl.probe.sources import Frame, Source
from rtcctl.probe.sources.testsrc import LoopedPictureSource, TestPictureSource

CODECS = ("VP8", "VP9", "H264")


class Clock:
    """Stands still until it is told to move; monotonic time goes with it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return round(self.now * 1e9)


async def taken(source: Source, clock: Clock, count: int, *, key_at: int | None = None) -> list[Frame]:
    """`count` frames, each exactly when it is due; before number `key_at` a key frame is asked for."""
    frames = []
    assert source.frame_s is not None
    for n in range(count):
        if n == key_at:
            source.request_key_frame()
        frame = await source.next_frame(clock)
        assert frame is not None
        frames.append(frame)
        clock.now += source.frame_s
    return frames


def seen(codec: str, frames: list[Frame]) -> list[tuple[tuple[int, int], PictureMark | None]]:
    """Size and mark of each picture."""
    decoder = CodecContext.create({"VP8": "vp8", "VP9": "vp9", "H264": "h264", "AV1": "libdav1d"}[codec], "r")
    decoder.thread_count = 1
    pictures = [picture for frame in frames for picture in decoder.decode(Packet(bytes(frame.data)))]
    return [
        (
            (picture.width, picture.height),
            read_mark(memoryview(picture.planes[0]), picture.planes[0].line_size, picture.width, picture.height),
        )
        for picture in pictures
    ]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("width", "height", "bitrate_bps"),
    [(160, 90, 40_000), (320, 180, 100_000), (640, 360, 300_000), (1280, 720, 1_000_000)],
)
async def test_every_picture_is_read_back(codec: str, width: int, height: int, bitrate_bps: int):
    """At low bitrates, after a real codec: number, time, boot and layer of each; the bitrate is what was asked."""
    clock = Clock()
    source = TestPictureSource(
        width, height, 30, bitrate_bps, codec, rid="half", monotonic_ns=clock.monotonic_ns, key_frame_s=100
    )
    frames = await taken(source, clock, 90)
    expected = [
        PictureMark.at(number, round((100 + number / 30) * 1e9), this_boot(), "half") for number in range(len(frames))
    ]
    pictures = seen(codec, frames)
    assert [size for size, _ in pictures] == [(width, height)] * len(frames)
    for (_, mark), wanted in zip(pictures, expected, strict=True):
        assert mark is not None
        assert (mark.number, mark.boot_hash16, mark.layer) == (wanted.number, wanted.boot_hash16, "h")
        assert mark.monotonic_us == pytest.approx(wanted.monotonic_us, abs=1)
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert [frame.rtp_timestamp for frame in frames] == [n * 3000 for n in range(len(frames))]
    room = with_room(codec, bytes(frames[40].data))
    room_bytes = 0 if room is None else len(room[0]) - len(frames[40].data)
    coded_bytes = sum(len(frame.data) - room_bytes for frame in frames[30:])
    assert coded_bytes * 8 / 2 == pytest.approx(bitrate_bps, rel=0.35)


async def test_av1_is_read_back():
    """All but a few pictures, none of them wrong; key frames come when asked."""
    clock = Clock()
    source = TestPictureSource(320, 180, 30, 150_000, "AV1", rid="h", monotonic_ns=clock.monotonic_ns)
    frames = await taken(source, clock, 60, key_at=20)
    assert [n for n, frame in enumerate(frames) if frame.is_key] == [0, 20]
    numbers = [mark and mark.number for _, mark in seen("AV1", frames)]
    assert len(numbers) == 60
    assert all(number in (None, n) for n, number in enumerate(numbers))
    assert numbers.count(None) <= 10, "which ones depends on how its threads run"
    assert (source.codec.clock_rate_hz, source.codec.parameter("level-idx")) == (90_000, "5")
    await source.close()


def test_av1_keeps_its_mouth_shut():
    """SVT-AV1 would write twenty lines to stderr; it looks once in a process how much it may say."""
    program = """
import asyncio
from rtcctl.probe.sources.testsrc import TestPictureSource

async def main():
    source = TestPictureSource(160, 90, 30, codec="AV1")
    assert await source.next_frame(asyncio.get_running_loop().time)
    await source.close()

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("codec", CODECS)
async def test_a_key_frame_comes_when_it_is_asked_for(codec: str):
    """The next frame is one, and no other; a decoder can begin there."""
    frames = await taken(TestPictureSource(320, 180, codec=codec), Clock(), 20, key_at=9)
    assert [n for n, frame in enumerate(frames) if frame.is_key] == [0, 9]
    assert seen(codec, frames[9:])[0][1] is not None
    assert len(seen(codec, frames[9:])) == 11


async def test_a_key_frame_comes_now_and_then():
    """After `key_frame_s` there is one that nobody asked for."""
    frames = await taken(TestPictureSource(160, 90, 10, key_frame_s=1), Clock(), 25)
    assert [n for n, frame in enumerate(frames) if frame.is_key] == [0, 10, 20]


async def test_a_vp8_frame_has_room_for_the_send_time():
    """Behind what the encoder made, zeros until the sender writes there."""
    frames = await taken(TestPictureSource(320, 180), Clock(), 3)
    for frame in frames:
        assert frame.stamp_at is not None
        assert isinstance(frame.data, bytearray)
        assert bytes(frame.data[frame.stamp_at :]) == bytes(STAMP_BYTES)


async def test_vp9_has_no_room_for_the_send_time():
    """And says so."""
    assert {frame.stamp_at for frame in await taken(TestPictureSource(320, 180, codec="VP9"), Clock(), 3)} == {None}


async def test_a_source_that_is_far_behind_leaves_out_frames():
    """The numbers go on, the timestamps keep up with time, and the nominal count says what is missing."""
    clock = Clock()
    source = TestPictureSource(160, 90)
    await taken(source, clock, 2)
    clock.now += 1.0
    (late,) = await taken(source, clock, 1)
    assert late.number == 2
    assert late.rtp_timestamp == 32 * 3000
    assert source.nominal_frames(clock.now - 1 / 30) == 33


async def test_a_call_that_was_cancelled_leaves_the_source_usable():
    """Its encoding may still be running: the next call waits for it, and begins anew with a key frame."""
    clock = Clock()
    source = TestPictureSource(1280, 720)
    await source.prepare()
    await taken(source, clock, 1)
    for _ in range(3):
        task = asyncio.ensure_future(source.next_frame(clock))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        clock.now += 1 / 30
    frames = await taken(source, clock, 5)
    assert [frame.is_key for frame in frames] == [True, False, False, False, False]
    assert [frame.number for frame in frames] == [1, 2, 3, 4, 5]
    assert [mark and mark.number for _, mark in seen("VP8", frames)] == [1, 2, 3, 4, 5]
    await source.close()
    await source.close()


async def test_pictures_of_a_rate_that_is_no_whole_number():
    """29.97 frames a second: timestamps do not drift."""
    clock = Clock()
    source = TestPictureSource(160, 90, 30_000 / 1001)
    frames = await taken(source, clock, 31)
    assert frames[-1].rtp_timestamp == 30 * 3003
    assert source.description == "testsrc 160x90@29.97"


@pytest.mark.parametrize("source_class", [TestPictureSource, LoopedPictureSource])
@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 150},
        {"height": 721},
        {"width": 8000},
        {"codec": "H265"},
        {"codec": "vp8"},
        {"frame_rate_hz": 0},
        {"frame_rate_hz": 1000},
        {"bitrate_bps": 10},
    ],
)
def test_what_cannot_be_made_is_refused(source_class: type, arguments: dict[str, object]):
    """Size, codec, rate and bitrate: an error that names what was asked."""
    with pytest.raises(UsageError) as caught:
        source_class(**arguments)
    assert str(next(iter(arguments.values()))) in caught.value.message


@pytest.mark.parametrize(
    ("size", "rate_hz", "level"),
    [
        ((320, 180), 30, "1e"),
        ((1280, 720), 30, "1f"),
        ((1280, 720), 60, "28"),
        ((1920, 1080), 30, "28"),
        ((4096, 2160), 30, "33"),
    ],
)
def test_an_h264_offer_names_a_level_that_allows_the_picture(size: tuple[int, int], rate_hz: float, level: str):
    """Constrained baseline, whose level is as high as the size and rate need (H.264 table A-1)."""
    codec = TestPictureSource(*size, rate_hz, codec="H264").codec
    assert codec.parameter("profile-level-id") == f"42e0{level}"
    assert codec.parameter("packetization-mode") == "1"


@pytest.mark.parametrize(
    ("size", "rate_hz", "level"), [((1280, 720), 30, "5"), ((1280, 720), 60, "8"), ((4096, 2160), 30, "13")]
)
def test_an_av1_offer_names_a_level_that_allows_the_picture(size: tuple[int, int], rate_hz: float, level: str):
    """As high as the size and rate need (AV1 annex A.3)."""
    assert TestPictureSource(*size, rate_hz, codec="AV1").codec.parameter("level-idx") == level


async def test_an_h264_access_unit_has_long_start_codes_and_its_parameter_sets():
    """A key frame is SPS, PPS and one slice; any other is one slice; nothing of the encoder's own is in it."""
    frames = await taken(TestPictureSource(320, 180, codec="H264"), Clock(), 4, key_at=2)
    for frame in frames:
        data = bytes(frame.data)
        assert not re.search(rb"(?<!\x00)\x00\x00\x01", data)
        types = [unit[0] & 0x1F for unit in data.split(b"\x00\x00\x00\x01")[1:]]
        media = [kind for kind in types if kind != 6]
        assert media == ([7, 8, 5] if frame.is_key else [1])
        assert b"x264" not in data


@pytest.mark.parametrize("codec", CODECS)
async def test_a_loop_plays_on_without_end(codec: str):
    """Two rounds and a half of two seconds decode without a fault; a key frame begins each second."""
    clock = Clock()
    source = LoopedPictureSource(320, 180, codec=codec, rid="q", loop_s=2)
    frames = await taken(source, clock, 150)
    assert [n for n, frame in enumerate(frames) if frame.is_key] == [0, 30, 60, 90, 120]
    assert [frame.rtp_timestamp for frame in frames] == [n * 3000 for n in range(150)]
    marks = [mark for _, mark in seen(codec, frames)]
    assert marks == [PictureMark(n % 60, layer="q") for n in range(150)]
    assert [frame.number for frame in frames] == [n % 60 for n in range(150)]
    assert not any(mark.is_dated for mark in marks if mark)


async def test_a_loop_goes_on_at_a_key_frame_when_it_is_asked():
    """At once, and forward; at a key frame it is already where it should be."""
    source = LoopedPictureSource(160, 90, loop_s=2)
    clock = Clock()
    frames = await taken(source, clock, 12, key_at=10)
    assert [frame.number for frame in frames[9:]] == [9, 30, 31]
    assert frames[10].is_key
    assert [frame.rtp_timestamp for frame in frames[9:]] == [27_000, 30_000, 33_000]
    frames = await taken(source, clock, 30, key_at=28)
    assert [frame.number for frame in frames[27:]] == [59, 0, 1]


async def test_frames_of_a_loop_are_the_senders_own():
    """What one sender writes into a frame is not in the next round."""
    source = LoopedPictureSource(160, 90, loop_s=1)
    clock = Clock()
    first = (await taken(source, clock, 30))[0]
    assert isinstance(first.data, bytearray)
    assert first.stamp_at is not None
    first.data[first.stamp_at] = 99
    again = (await taken(source, clock, 1))[0]
    assert again.data[first.stamp_at] == 0
