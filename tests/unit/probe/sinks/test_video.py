"""Covers rtcctl/probe/sinks/video.py: real pictures, really decoded."""

from __future__ import annotations

import threading
from functools import cache

import pytest

from rtcctl.media.picture import PictureMark
from rtcctl.probe.boot import this_boot
from rtcctl.probe.sinks.video import PictureSink, can_see
from rtcctl.probe.sources.testsrc import PictureEncoder

FRAME_NS = 33_333_000
MADE_NS = 7_000_000_000
KEY_EVERY = 30


@cache
def coded(
    codec: str = "VP8",
    width: int = 320,
    height: int = 180,
    *,
    boot: int | None = None,
    is_dated: bool = True,
    rid: str = "h",
) -> list[tuple[bytes, bool]]:
    """Ninety frames, a key frame each thirty."""
    encoder = PictureEncoder(codec, width, height, 30, 200_000, 100)
    frames = []
    for number in range(90):
        mark = (
            PictureMark.at(number, MADE_NS + number * FRAME_NS, this_boot() if boot is None else boot, rid)
            if is_dated
            else PictureMark(number, layer=rid)
        )
        frames.append(encoder.encode(mark, number, is_key=number % KEY_EVERY == 0))
    return frames


class Watched:
    """A sink, the clock of its frames, and how often it asked for a key frame."""

    def __init__(self, codec: str = "VP8", *, queue_frames: int = 1000) -> None:
        self.key_frames_requested = 0
        self.sink = PictureSink(codec, request_key_frame=self._requested, queue_frames=queue_frames)

    def _requested(self) -> None:
        self.key_frames_requested += 1

    def show(self, frames: list[tuple[bytes, bool]], number: int, *, latency_ms: int = 20) -> None:
        data, is_key = frames[number]
        arrived_ns = MADE_NS + number * FRAME_NS + latency_ms * 1_000_000
        self.sink.frame_received(data, is_key, arrived_ns / 1e9, arrived_ns)


def at(number: int, *, latency_ms: int = 20) -> float:
    """When frame `number` arrives."""
    return (MADE_NS + number * FRAME_NS) / 1e9 + latency_ms / 1000


@pytest.mark.parametrize("codec", ["VP8", "VP9", "H264"])
async def test_a_whole_stream_is_all_there(codec: str):
    """Every frame decoded and in order; size, rate, layer and the latency of the pictures."""
    watched = Watched(codec)
    for number in range(90):
        watched.show(coded(codec), number, latency_ms=20 + number % 3)
    await watched.sink.drain()
    totals = watched.sink.totals(at(0) + 3.0)
    assert totals.frames_decoded == 90
    assert totals.continuity.frame_rate_hz == pytest.approx(30)
    assert (totals.continuity.missing, totals.continuity.repeated, totals.continuity.frames_unnumbered) == (0, 0, 0)
    assert (totals.frames_undecodable, totals.frames_skipped, totals.continuity.freezes) == (0, 0, 0)
    assert (totals.width, totals.height, totals.layer) == (320, 180, "h")
    assert totals.picture_latency_ms is not None
    assert (totals.picture_latency_ms.p50, totals.picture_latency_ms.p99) == (21.0, 22.0)
    assert watched.key_frames_requested == 0
    watched.sink.close()


async def test_nothing_received_is_unknown():
    """No size, layer or latency."""
    totals = PictureSink("VP8").totals(1.0)
    assert (totals.frames_decoded, totals.width, totals.layer, totals.picture_latency_ms) == (0, None, None, None)


async def test_another_machine_has_another_clock():
    """Pictures of another boot are counted, and have no latency."""
    watched = Watched()
    frames = coded(boot=this_boot() ^ 1)
    for number in range(30):
        watched.show(frames, number)
    await watched.sink.drain()
    totals = watched.sink.totals(at(30))
    assert totals.frames_decoded == 30
    assert totals.picture_latency_ms is None


async def test_pictures_of_a_loop_are_decoded_and_not_counted_by_number():
    """Their numbers return: nothing is missing or repeated, and nothing is late."""
    watched = Watched()
    frames = coded(is_dated=False, rid="")
    for number in (*range(60), *range(30)):
        watched.show(frames, number)
    await watched.sink.drain()
    totals = watched.sink.totals(at(90))
    assert totals.frames_decoded == totals.continuity.frames_unnumbered == 90
    assert (totals.continuity.missing, totals.continuity.repeated, totals.continuity.out_of_order) == (0, 0, 0)
    assert totals.picture_latency_ms is None
    assert totals.layer is None


async def test_a_lost_frame_stops_the_picture_until_the_next_key_frame():
    """What builds on it is left out and counts as missing; a key frame is asked for; the picture stands still."""
    watched = Watched()
    for number in range(90):
        if number == 40:
            watched.sink.frame_lost()
        else:
            watched.show(coded(), number)
    await watched.sink.drain()
    totals = watched.sink.totals(at(90))
    assert totals.frames_decoded == 70
    assert totals.frames_undecodable == 19
    assert totals.continuity.missing == 20
    assert totals.continuity.freezes == 1
    assert totals.continuity.freeze_ms == pytest.approx(21 * 33.333, abs=0.1)
    assert totals.continuity.frames_unnumbered == totals.frames_skipped == 0
    assert watched.key_frames_requested == 20


async def test_before_the_first_key_frame_nothing_is_decoded():
    """Who joins late waits, and asks."""
    watched = Watched()
    for number in range(20, 40):
        watched.show(coded(), number)
    await watched.sink.drain()
    totals = watched.sink.totals(at(40))
    assert (totals.frames_decoded, totals.frames_undecodable, totals.continuity.missing) == (10, 10, 0)
    assert watched.key_frames_requested == 10


@pytest.mark.parametrize("codec", ["VP8", "H264"])
@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 50])
async def test_what_is_no_frame_is_undecodable(codec: str, data: bytes):
    """The decoder refuses it, and goes on with the next key frame."""
    watched = Watched(codec)
    watched.sink.frame_received(data, True, at(0), MADE_NS)
    await watched.sink.drain()
    for number in range(20, 40):
        watched.show(coded(codec), number)
    await watched.sink.drain()
    totals = watched.sink.totals(at(40))
    assert totals.frames_decoded == 10
    assert totals.frames_undecodable == 11
    watched.sink.close()


async def test_a_slow_machine_leaves_out_and_says_so():
    """With a full queue frames are skipped up to a key frame that finds room; memory does not grow."""
    watched = Watched(queue_frames=5)
    release = threading.Event()
    watched.sink._thread.submit(release.wait, 5)  # the decoder is busy with something else
    for number in range(40):
        watched.show(coded(), number)
    assert watched.sink._waiting == 5
    release.set()
    await watched.sink.drain()
    for number in range(40, 90):
        watched.show(coded(), number)
        await watched.sink.drain()
    totals = watched.sink.totals(at(90))
    assert totals.frames_decoded == 5 + 30
    assert totals.frames_skipped == 55
    assert totals.frames_undecodable == 0
    assert totals.continuity.missing == 55


async def test_another_size_is_noticed():
    """A switch of layers: the size and layer are those of the latest picture, and nothing is missing."""
    watched = Watched()
    for number in range(10):
        watched.show(coded(), number)
    larger = coded(width=640, height=360, rid="f")
    for number in range(30, 40):
        watched.show(larger, number)
    await watched.sink.drain()
    totals = watched.sink.totals(at(40))
    assert (totals.width, totals.height, totals.layer) == (640, 360, "f")
    assert (totals.frames_decoded, totals.continuity.missing) == (20, 0)


async def test_intervals_and_a_new_range():
    """An interval counts from the previous one, a range from where it was begun anew."""
    watched = Watched()
    for number in range(20):
        watched.show(coded(), number, latency_ms=10)
    await watched.sink.drain()
    first = watched.sink.interval(at(20))
    watched.sink.restart_range(at(20))
    for number in range(20, 30):
        watched.show(coded(), number, latency_ms=50)
    await watched.sink.drain()
    second, total = watched.sink.interval(at(30)), watched.sink.totals(at(30))
    assert (first.frames_decoded, second.frames_decoded, total.frames_decoded) == (20, 10, 10)
    assert first.picture_latency_ms is not None
    assert second.picture_latency_ms is not None
    assert (first.picture_latency_ms.p50, second.picture_latency_ms.p50) == (10.0, 50.0)
    assert second.picture_latency_ms == total.picture_latency_ms
    assert watched.sink.interval(at(31)).picture_latency_ms is None


async def test_a_closed_sink_takes_no_more():
    """Its numbers stay; waiting for it ends."""
    watched = Watched()
    release = threading.Event()
    watched.sink._thread.submit(release.wait, 5)
    watched.show(coded(), 0)
    watched.sink.close()
    watched.show(coded(), 1)
    release.set()
    await watched.sink.drain()
    assert watched.sink.totals(at(2)).frames_decoded == 0


def test_what_can_be_seen():
    """By the name of the encoding, in any case."""
    assert all(can_see(name) for name in ("VP8", "vp9", "H264", "AV1"))
    assert not can_see("H265")
