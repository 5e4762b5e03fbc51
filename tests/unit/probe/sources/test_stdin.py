"""Covers rtcctl/probe/sources/stdin.py."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rtcctl.errors import UsageError
from rtcctl.probe.sinks.audio import ToneSink
from rtcctl.probe.sources.stdin import open_stdin
from tests.support.sources import Clock, all_frames, is_near, is_same_media, packets, shade, shades, write

BASELINE = {"profile": "baseline", "bf": "0"}


@pytest.mark.parametrize(
    ("name", "video", "options", "codec"),
    [
        ("a.ivf", "libvpx", {}, "VP8"),
        ("a.ivf", "libvpx-vp9", {"lag-in-frames": "0", "deadline": "realtime"}, "VP9"),
        ("a.ivf", "libsvtav1", {"preset": "12"}, "AV1"),
        ("a.h264", "libx264", BASELINE, "H264"),
    ],
)
async def test_video_is_recognised_and_copied(tmp_path, name, video, options, codec):
    """The frames that went into the pipe come out, paced by their timestamps or by the frame rate in the stream."""
    path = write(tmp_path / name, video=video, options=options)
    clock = Clock()
    source = await open_stdin(io.BytesIO(path.read_bytes()), sleep=clock.sleep)
    assert (source.kind, source.codec.name, source.description) == ("video", codec, f"stdin {codec} (copied)")
    frames = await all_frames(source, clock)
    coded = packets(path, "video")
    assert len(frames) == len(coded) == 30
    assert all(is_same_media(codec, frame, packet) for frame, packet in zip(frames, coded, strict=True))
    assert is_near(shades(codec, frames), [shade(number) for number in range(30)])
    assert [frame.rtp_timestamp for frame in frames] == pytest.approx([n * 3000 for n in range(30)], abs=100)
    assert clock.now == pytest.approx(100 + 29 / 30, abs=0.01)
    assert frames[0].is_key
    assert source.problem is None


async def test_h264_that_is_reordered_is_encoded_anew(tmp_path):
    """B pictures come out in the order in which they are shown."""
    path = write(tmp_path / "a.h264", video="libx264", options={"bf": "2", "x264-params": "b-adapt=0"})
    clock = Clock()
    source = await open_stdin(io.BytesIO(path.read_bytes()), sleep=clock.sleep)
    assert source.description == "stdin H264 (re-encoded as VP8)"
    assert is_near(shades("VP8", await all_frames(source, clock)), [shade(number) for number in range(30)])


async def test_a_frame_rate_that_is_said(tmp_path):
    """A byte stream without times is paced as the user says."""
    path = write(tmp_path / "a.h264", video="libx264", options=BASELINE)
    clock = Clock()
    source = await open_stdin(io.BytesIO(path.read_bytes()), "h264", frame_rate_hz=15, sleep=clock.sleep)
    frames = await all_frames(source, clock)
    assert [frame.rtp_timestamp for frame in frames] == [n * 6000 for n in range(30)]


async def test_pictures_without_times_are_as_late_as_they_come(tmp_path):
    """The frame rate is a guess: what comes later than that has the time at which it came."""
    path = write(tmp_path / "a.h264", video="libx264", options=BASELINE)
    clock = Clock()
    source = await open_stdin(io.BytesIO(path.read_bytes()), sleep=clock.sleep)
    frames = [await source.next_frame(clock) for _ in range(2)]
    clock.now += 0.08
    frames += [await source.next_frame(clock) for _ in range(2)]
    await source.close()
    assert [frame.rtp_timestamp for frame in frames if frame] == pytest.approx([0, 3000, 10_200, 13_200], abs=2)


async def test_opus_is_copied(tmp_path):
    """Packets of Opus in Ogg, one after the other."""
    path = write(tmp_path / "a.ogg", audio="libopus")
    clock = Clock()
    source = await open_stdin(io.BytesIO(path.read_bytes()), sleep=clock.sleep)
    assert (source.codec.name, source.frame_s, source.description) == ("opus", 0.02, "stdin Opus (copied)")
    frames = await all_frames(source, clock)
    coded = packets(path, "audio")
    assert len(frames) == len(coded) >= 50
    assert all(is_same_media("opus", frame, packet) for frame, packet in zip(frames, coded, strict=True))
    assert [frame.rtp_timestamp for frame in frames] == [n * 960 for n in range(len(frames))]


@pytest.mark.parametrize("rate_hz", [48_000, 16_000])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("is_wav", [False, True])
async def test_pcm_is_encoded(tmp_path, rate_hz, layout, is_wav):
    """The tone that went in as samples comes out as Opus; WAVE says its rate and channels itself."""
    path = write(tmp_path / "a.wav", audio="pcm_s16le", audio_rate_hz=rate_hz, layout=layout)
    clock = Clock()
    if is_wav:
        source = await open_stdin(io.BytesIO(path.read_bytes()), sleep=clock.sleep)
    else:
        samples = io.BytesIO(b"".join(packets(path, "audio")))
        channels = 1 if layout == "mono" else 2
        source = await open_stdin(samples, "s16le", sample_rate_hz=rate_hz, channels=channels, sleep=clock.sleep)
    frames = await all_frames(source, clock)
    assert [frame.rtp_timestamp for frame in frames] == [n * 960 for n in range(len(frames))]
    assert len(frames) in (50, 51)
    sink = ToneSink()
    for number, frame in enumerate(frames):
        sink.packet_received(number, frame.rtp_timestamp, bytes(frame.data))
    assert sink.detector.tone().frequency_hz == pytest.approx(440, rel=0.005)


async def test_g711_in_wave_is_copied(tmp_path):
    """8 kHz mono μ-law goes out as it is."""
    path = write(tmp_path / "a.wav", audio="pcm_mulaw", audio_rate_hz=8000)
    source = await open_stdin(io.BytesIO(path.read_bytes()), sleep=Clock().sleep)
    frames = await all_frames(source, Clock())
    assert source.codec.name == "PCMU"
    assert b"".join(bytes(frame.data) for frame in frames).startswith(b"".join(packets(path, "audio")))


async def test_a_live_pipe_is_sent_as_it_comes():
    """What comes late is sent at once, with the time that it took in its timestamp, and is not held against us."""
    reading, writing = os.pipe()
    os.write(writing, bytes(3 * 960 * 4))
    clock = Clock()
    with os.fdopen(reading, "rb") as stream:
        source = await open_stdin(stream, "s16le", sleep=clock.sleep)
        before = [await source.next_frame(clock) for _ in range(3)]
        assert [frame.rtp_timestamp for frame in before if frame] == [0, 960, 1920]
        clock.now += 5.01
        os.write(writing, bytes(3 * 960 * 4))
        os.close(writing)
        after = await all_frames(source, clock)
        assert [frame.rtp_timestamp - after[0].rtp_timestamp for frame in after] == [0, 960, 1920]
        assert after[0].rtp_timestamp == pytest.approx((0.04 + 5.01) * 48_000, abs=960)
        assert after[0].rtp_timestamp % 960 == 0
        assert clock.now == pytest.approx(105.05 + 0.04, abs=0.03)
        assert source.nominal_frames(clock()) == 6


async def test_a_pipe_that_stays_open_can_be_left():
    """Closing the source ends the thread that waits for more."""
    reading, writing = os.pipe()
    os.write(writing, bytes(48_000))
    with os.fdopen(reading, "rb") as stream:
        clock = Clock()
        source = await open_stdin(stream, "s16le", sleep=clock.sleep)
        for _ in range(12):
            await source.next_frame(clock)
        threads = [thread for thread in threading.enumerate() if thread.name == "stdin"]
        assert len(threads) == 1
        await source.close()
        assert not threads[0].is_alive()
    os.close(writing)


def test_a_pipe_that_stays_open_does_not_keep_the_interpreter():
    """A program that forgets to close its source ends all the same."""
    program = (
        "import asyncio, sys\n"
        "from rtcctl.probe.sources.stdin import open_stdin\n"
        "asyncio.run(open_stdin(sys.stdin.buffer, 's16le'))\n"
        "print('done')\n"
    )
    root = Path(__file__).parents[4]
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with process:
        process.stdin.write(bytes(48_000))  # which fit into a pipe: it may end before it has read them all
        process.stdin.flush()
        assert process.wait(30) == 0
        assert process.stdout.read() == b"done\n"
        assert process.stderr.read() == b""


async def test_a_pipe_that_is_cut_off(tmp_path):
    """What is whole is sent, and the reason of the end is kept."""
    path = write(tmp_path / "a.ivf", video="libvpx")
    clock = Clock()
    source = await open_stdin(io.BytesIO(path.read_bytes()[:-10]), sleep=clock.sleep)
    assert len(await all_frames(source, clock)) == 29
    assert source.problem


async def test_nothing_comes():
    """A pipe that stays silent is an error in the end."""
    reading, writing = os.pipe()
    message = r"no media came on standard input within 0\.05 s"
    with os.fdopen(reading, "rb") as stream, pytest.raises(UsageError, match=message):
        await open_stdin(stream, header_timeout_s=0.05)
    os.close(writing)
    with pytest.raises(UsageError, match="ended before"):
        await open_stdin(io.BytesIO())


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (b"hello world", {}, "not recognised"),
        (b"OggS nonsense" * 10, {}, "no Opus in Ogg"),
        (b"DKIF" + bytes(40), {}, "no IVF"),
        (b"\0\0\0\1" + bytes(range(200)), {}, "H.264|does not"),
        (b"RIFFxxxxAVI " + bytes(100), {}, "no WAVE"),
        (b"", {"format": "mp3"}, "mp3: not a format"),
        (b"", {"format": "s16le", "sample_rate_hz": 7}, "7 Hz"),
        (b"", {"format": "s16le", "channels": 6}, "6 channels"),
        (b"", {"format": "s16le"}, "no media"),
        (bytes(9999), {"format": "s16le", "codec": "mp3"}, "mp3: audio cannot be encoded"),
    ],
)
async def test_what_cannot_be_sent(data, settings, message):
    """Unknown formats, noise and impossible settings are errors before anything is sent."""
    with pytest.raises(UsageError, match=message):
        await open_stdin(io.BytesIO(data), **settings)


async def test_ogg_with_something_else(tmp_path):
    """The codec that was found is named."""
    path = write(tmp_path / "a.ogg", audio="flac", layout="mono")
    with pytest.raises(UsageError, match=r"Ogg with .*FLAC"):
        await open_stdin(io.BytesIO(path.read_bytes()))


async def test_ivf_of_noise(tmp_path):
    """A container whose first frame does not decode is an error."""
    path = write(tmp_path / "a.ivf", video="libvpx", pictures=1)
    data = path.read_bytes()
    with pytest.raises(UsageError, match="does not"):
        await open_stdin(io.BytesIO(data[:44] + bytes(len(data) - 44)))


async def test_a_terminal_has_no_media():
    """Forgetting the pipe is said at once."""
    other, terminal = os.openpty()
    with os.fdopen(terminal, "rb") as stream, pytest.raises(UsageError, match="is a terminal"):
        await open_stdin(stream)
    os.close(other)
