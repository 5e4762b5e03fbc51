"""Covers rtcctl/probe/sources/file.py."""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from pathlib import Path

import av
import pytest

from rtcctl.errors import UsageError
from rtcctl.media.annexb import IDR_SLICE, PPS, SPS, nal_units
from rtcctl.media.opus import duration_ms
from rtcctl.probe.sinks.audio import ToneSink
from rtcctl.probe.sources.file import open_file
from tests.support.sources import Clock, all_frames, is_near, is_same_media, key_frames, packets, shade, shades, write

BASELINE = {"profile": "baseline", "bf": "0"}


async def opened(path: Path, clock: Clock, **settings: object):
    return await open_file(path, sleep=clock.sleep, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "video", "options", "codec"),
    [
        ("a.webm", "libvpx", {"lag-in-frames": "0"}, "VP8"),
        ("a.ivf", "libvpx", {}, "VP8"),
        ("a.webm", "libvpx-vp9", {"lag-in-frames": "0", "deadline": "realtime"}, "VP9"),
        ("a.mkv", "libx264", BASELINE, "H264"),
        ("a.ts", "libx264", BASELINE, "H264"),
        ("a.h264", "libx264", BASELINE, "H264"),
        ("a.mkv", "libsvtav1", {"preset": "12"}, "AV1"),
    ],
)
async def test_video_that_can_be_sent_is_copied(tmp_path, name, video, options, codec):
    """The same packets come out, at the times of the file, and decode to the pictures that went in."""
    path = write(tmp_path / name, video=video, options=options)
    clock = Clock()
    (source,) = await opened(path, clock)
    assert source.description == f"file {name} (copied)"
    assert source.codec.name == codec
    assert source.frame_s == pytest.approx(1 / 30, abs=2e-3)
    frames = await all_frames(source, clock)
    coded = packets(path, "video")
    assert len(frames) == len(coded) >= 30
    assert all(is_same_media(codec, frame, packet) for frame, packet in zip(frames, coded, strict=True))
    assert is_near(shades(codec, frames), [shade(number) for number in range(30)])
    assert [frame.rtp_timestamp for frame in frames] == pytest.approx([n * 3000 for n in range(30)], abs=100)
    assert clock.now == pytest.approx(100 + 29 / 30, abs=0.01)
    assert [n for n, frame in enumerate(frames) if frame.is_key] == key_frames(path)
    assert source.nominal_frames(clock()) == 30
    assert source.problem is None


async def test_h264_of_mp4_becomes_a_byte_stream_with_parameter_sets(tmp_path):
    """Sizes become start codes of 4 bytes; each IDR picture has the parameter sets that MP4 keeps elsewhere."""
    path = write(tmp_path / "a.mp4", video="libx264", options=BASELINE)
    clock = Clock()
    (source,) = await opened(path, clock)
    assert source.codec.parameter("packetization-mode") == "1"
    assert source.codec.parameter("profile-level-id").startswith("42")
    frames = await all_frames(source, clock)
    kinds = [[unit[0] & 0x1F for unit in nal_units(bytes(frame.data))] for frame in frames]
    assert (
        [IDR_SLICE in units for units in kinds]
        == [frame.is_key for frame in frames]
        == [n % 15 == 0 for n in range(30)]
    )
    assert all({SPS, PPS} <= set(units) for units in kinds if IDR_SLICE in units)
    assert all(bytes(frame.data).startswith(b"\0\0\0\1") for frame in frames)
    assert is_near(shades("H264", frames), [shade(number) for number in range(30)])


@pytest.mark.parametrize("name", ["a.mp4", "a.h264"])
async def test_pictures_that_are_reordered_are_encoded_anew(tmp_path, name):
    """H.264 with B pictures comes out as VP8, in the order in which it is shown."""
    path = write(tmp_path / name, video="libx264", options={"bf": "2", "x264-params": "b-adapt=0"})
    clock = Clock()
    (source,) = await opened(path, clock)
    assert source.description == f"file {name} (re-encoded as VP8)"
    frames = await all_frames(source, clock)
    assert is_near(shades("VP8", frames), [shade(number) for number in range(30)])
    assert [frame.rtp_timestamp for frame in frames] == pytest.approx([n * 3000 for n in range(30)], abs=100)


async def test_opus_is_copied(tmp_path):
    """Opus packets are sent as they are, each 20 ms after the other."""
    path = write(tmp_path / "a.ogg", audio="libopus")
    clock = Clock()
    (source,) = await opened(path, clock)
    assert (source.description, source.codec.name, source.frame_s) == ("file a.ogg (copied)", "opus", 0.02)
    frames = await all_frames(source, clock)
    coded = packets(path, "audio")
    assert len(frames) == len(coded) >= 50
    assert all(is_same_media("opus", frame, packet) for frame, packet in zip(frames, coded, strict=True))
    assert [frame.rtp_timestamp for frame in frames] == [n * 960 for n in range(len(frames))]


async def test_long_opus_packets_are_encoded_anew(tmp_path):
    """120 ms is more than WebRTC takes."""
    path = write(tmp_path / "a.ogg", audio="libopus", audio_options={"frame_duration": "120"})
    clock = Clock()
    (source,) = await opened(path, clock)
    assert source.description == "file a.ogg (re-encoded as opus)"
    assert {duration_ms(bytes(frame.data)) for frame in await all_frames(source, clock)} == {20}


@pytest.mark.parametrize(("codec", "name"), [("pcm_mulaw", "PCMU"), ("pcm_alaw", "PCMA")])
async def test_g711_is_cut_anew(tmp_path, codec, name):
    """Samples of G.711 are the same, 160 to a packet; the last one is filled with silence."""
    path = write(tmp_path / "a.wav", audio=codec, audio_rate_hz=8000, audio_s=0.51)
    clock = Clock()
    (source,) = await opened(path, clock)
    assert (source.description, source.codec.name) == ("file a.wav (copied)", name)
    frames = await all_frames(source, clock)
    assert {len(frame.data) for frame in frames} == {160}
    assert [frame.rtp_timestamp for frame in frames] == [n * 160 for n in range(26)]
    samples = b"".join(bytes(frame.data) for frame in frames)
    assert samples[:4080] == b"".join(packets(path, "audio"))
    assert len(set(samples[4080:])) == 1


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [("a.wav", "pcm_s16le", 44_100), ("a.mkv", "aac", 48_000), ("a.wav", "pcm_mulaw", 16_000)],
)
async def test_other_audio_is_encoded_as_opus(tmp_path, name, codec, rate_hz):
    """The tone that went in comes out, in packets of 20 ms without a gap."""
    path = write(tmp_path / name, audio=codec, audio_rate_hz=rate_hz, audio_s=1.5)
    clock = Clock()
    (source,) = await opened(path, clock)
    assert source.description == f"file {name} (re-encoded as opus)"
    frames = await all_frames(source, clock)
    assert len(frames) == pytest.approx(75, abs=3)
    assert [frame.rtp_timestamp for frame in frames] == [n * 960 for n in range(len(frames))]
    sink = ToneSink()
    for number, frame in enumerate(frames):
        sink.packet_received(number, frame.rtp_timestamp, bytes(frame.data))
    assert sink.detector.tone().frequency_hz == pytest.approx(440, rel=0.005)


async def test_codecs_that_are_asked_for(tmp_path):
    """What has another codec than the one asked for is encoded anew, what has it is copied."""
    path = write(tmp_path / "a.webm", video="libvpx", audio="libopus")
    clock = Clock()
    audio, video = await opened(path, clock, audio_codec="PCMU", video_codec="h264")
    assert (audio.codec.name, video.codec.name) == ("PCMU", "H264")
    assert is_near(shades("H264", await all_frames(video, clock)), [shade(number) for number in range(30)])
    assert {len(frame.data) for frame in await all_frames(audio, Clock())} == {160}
    audio, video = await opened(path, clock, audio_codec="OPUS", video_codec="vp8")
    assert (audio.description, video.description) == ("file a.webm (copied)", "file a.webm (copied)")
    with pytest.raises(UsageError, match="AV1: video cannot be encoded"):
        await opened(path, clock, video_codec="AV1")


async def test_audio_and_video_share_their_start(tmp_path):
    """Both count from the moment when the first of them was asked for a frame."""
    path = write(tmp_path / "a.webm", video="libvpx", audio="libopus")
    clock = Clock()
    audio, video = await opened(path, clock)
    assert (audio.kind, video.kind) == ("audio", "video")
    await audio.next_frame(clock)
    clock.now += 0.05
    frame = await video.next_frame(clock)
    assert frame
    assert audio.started_at == video.started_at == 100.0
    assert frame.rtp_timestamp < 0.02 * 90_000
    await audio.close()
    await video.close()


async def test_only_what_is_wanted(tmp_path):
    """A kind that is not wanted is not read; one that is not there is said."""
    both = write(tmp_path / "a.webm", video="libvpx", audio="libopus")
    assert [source.kind for source in await opened(both, Clock(), want=("video",))] == ["video"]
    path = write(tmp_path / "a.ogg", audio="libopus")
    assert [source.kind for source in await opened(path, Clock())] == ["audio"]
    with pytest.raises(UsageError, match="has no video") as caught:
        await opened(path, Clock(), want=("video",))
    assert "audio" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "video", "options"),
    [("a.webm", "libvpx", {}), ("a.mp4", "libx264", {"bf": "2"})],
    ids=["copied", "encoded"],
)
async def test_a_loop_goes_on_without_a_gap(tmp_path, name, video, options):
    """Timestamps of the next round follow those of the last, and it starts with a key frame."""
    path = write(tmp_path / name, video=video, options=options, pictures=10)
    clock = Clock()
    (source,) = await opened(path, clock, loop=True)
    frames = await all_frames(source, clock, 25)
    assert len(frames) == 25
    steps = [after.rtp_timestamp - before.rtp_timestamp for before, after in pairwise(frames)]
    assert steps == pytest.approx([3000] * 24, abs=100)
    assert all(frames[number].is_key for number in (0, 10, 20))
    assert is_near(shades(source.codec.name, frames), [shade(number % 10) for number in range(25)])


@pytest.mark.parametrize(("name", "codec"), [("a.ogg", "libopus"), ("a.wav", "pcm_s16le")])
async def test_a_loop_of_audio_goes_on_without_a_gap(tmp_path, name, codec):
    """Each packet is 20 ms after the one before it, across rounds."""
    path = write(tmp_path / name, audio=codec, audio_s=0.333)
    clock = Clock()
    (source,) = await opened(path, clock, loop=True)
    frames = await all_frames(source, clock, 60)
    assert [frame.rtp_timestamp for frame in frames] == [n * 960 for n in range(60)]


async def test_rounds_of_audio_and_video_are_of_one_length(tmp_path):
    """After several rounds of a file whose audio is shorter, both still begin each of them together."""
    path = write(tmp_path / "a.webm", video="libvpx", audio="libopus", pictures=11, audio_s=0.2)
    clock = Clock()
    audio, video = await opened(path, clock, loop=True)
    pictures = await all_frames(video, clock, 60)
    round_s = {round((pictures[n * 11].rtp_timestamp - pictures[0].rtp_timestamp) / n / 90_000, 3) for n in range(1, 5)}
    assert round_s == {0.38}, "11/30 s of pictures, on the grid of audio packets"
    clock.now = 100.0
    sound = await all_frames(audio, clock, 40)
    starts = [0] + [
        after.rtp_timestamp for before, after in pairwise(sound) if after.rtp_timestamp - before.rtp_timestamp > 960
    ]
    assert [start / 48_000 for start in starts[:3]] == pytest.approx([0, 0.38, 0.76], abs=1e-6)


async def test_a_copied_file_that_is_late_pauses(tmp_path):
    """After a standstill nothing is left out and nothing bursts: timestamps keep up with time, the count does not."""
    path = write(tmp_path / "a.webm", video="libvpx")
    clock = Clock()
    (source,) = await opened(path, clock)
    first = await source.next_frame(clock)
    assert first
    clock.now += 1.0
    frames = [frame for _ in range(5) if (frame := await source.next_frame(clock))]
    assert frames[0].rtp_timestamp == pytest.approx(90_000, abs=1800)
    steps = [after.rtp_timestamp - before.rtp_timestamp for before, after in pairwise(frames)]
    assert steps == pytest.approx([3000] * 4, abs=100)
    assert clock.now == pytest.approx(101 + 4 / 30, abs=0.02)
    assert source.nominal_frames(clock()) == pytest.approx(35, abs=1), "30 frames are due in the second lost"
    frames = [first, *frames, *(await all_frames(source, clock))]
    assert is_near(shades("VP8", frames), [shade(number) for number in range(30)])


async def test_pictures_to_be_encoded_are_left_out_when_late(tmp_path):
    """What decodes fast enough and comes too late to be sent is not encoded, and what is sent decodes."""
    path = write(tmp_path / "a.mp4", video="libx264", options={"bf": "2"})
    clock = Clock()
    (source,) = await opened(path, clock)
    frames = [await source.next_frame(clock)]
    while not source.nominal_frames(clock() + 0.2) >= 7:
        await clock.sleep(0)
    clock.now += 0.2
    frames += await all_frames(source, clock)
    numbers = [round(frame.rtp_timestamp / 3000) for frame in frames if frame]
    assert numbers[:3] == [0, 4, 5]
    assert is_near(shades("VP8", [frame for frame in frames if frame]), [shade(number) for number in numbers])


async def test_a_key_frame_that_is_asked_for(tmp_path):
    """What is encoded has one at once; what is copied has its own, and goes on."""
    again = write(tmp_path / "a.mp4", video="libx264", options={"bf": "2"})
    copied = write(tmp_path / "a.webm", video="libvpx")
    for path, expected in ((again, [0, 3]), (copied, key_frames(copied))):
        clock = Clock()
        (source,) = await opened(path, clock)
        frames = [await source.next_frame(clock) for _ in range(3)]
        source.request_key_frame()
        frames += await all_frames(source, clock)
        assert [number for number, frame in enumerate(frames) if frame and frame.is_key] == expected


@pytest.mark.parametrize(("rate", "count"), [(60, 30), (50, 25), (25, 25), (120, 30)])
async def test_more_than_30_pictures_a_second_are_thinned_out(tmp_path, rate, count):
    """Of what is encoded anew, at most 30 a second are sent, evenly."""
    path = write(tmp_path / "a.mp4", video="mpeg4", rate=rate, pictures=rate)
    clock = Clock()
    (source,) = await opened(path, clock)
    frames = await all_frames(source, clock)
    assert len(frames) == count
    assert {
        round((after.rtp_timestamp - before.rtp_timestamp) * count / 90_000) for before, after in pairwise(frames)
    } == {1}


@pytest.mark.parametrize(("size", "sent"), [((2560, 1440), (1920, 1080)), ((66, 50), (66, 50))])
async def test_large_pictures_are_scaled_down(tmp_path, size, sent):
    """1080p is the most that is encoded."""
    path = write(tmp_path / "a.avi", video="mjpeg", size=size, pictures=2, options={"strict": "-1"})
    clock = Clock()
    (source,) = await opened(path, clock)
    data = bytes((await all_frames(source, clock))[0].data)
    assert (int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF) == sent


async def test_a_cover_is_no_video(tmp_path):
    """The picture that comes with a piece of music is not sent as one."""
    path = tmp_path / "a.m4a"
    music = write(tmp_path / "music.mp4", audio="aac")
    cover = write(tmp_path / "cover.avi", video="mjpeg", pictures=1, options={"strict": "-1"})
    with av.open(str(music)) as one, av.open(str(cover)) as two, av.open(str(path), "w", format="mp4") as output:
        streams = [output.add_stream_from_template(stream) for stream in (one.streams.audio[0], two.streams.video[0])]
        streams[1].disposition = av.stream.Disposition.attached_pic
        for container, stream in zip((two, one), reversed(streams), strict=True):
            for packet in container.demux():
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["audio", "video"]
    assert [source.kind for source in await opened(path, Clock())] == ["audio"]


async def test_pictures_that_lie_on_their_side(tmp_path):
    """What a telephone held upright has recorded is encoded anew, upright."""
    path = write(tmp_path / "a.mp4", video="libx264", options=BASELINE)
    data = path.read_bytes()
    one = 0x10000
    upright, turned = (struct.pack(">4i", *matrix) for matrix in ((one, 0, 0, 0), (0, one, 0, -one)))
    at = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:at] + turned + struct.pack(">i", 0) + data[at + 20 :])
    clock = Clock()
    (source,) = await opened(path, clock)
    assert source.description == "file a.mp4 (re-encoded as VP8)"
    data = bytes((await all_frames(source, clock))[0].data)
    assert (int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")) == (48, 64)


async def test_what_is_no_file(tmp_path):
    """A path that is not there, a folder, a pipe, nothing, no media, no permission: said by name."""
    empty = tmp_path / "empty.webm"
    empty.touch()
    text = tmp_path / "text.webm"
    text.write_text("hello " * 500)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, message in (
        (tmp_path / "none.webm", "No such file"),
        (tmp_path, "is a folder"),
        (fifo, "not a regular file"),
        (empty, "is empty"),
        (text, "no media that can be read"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            await opened(path, Clock())
        assert str(path) in caught.value.message


async def test_media_that_is_cut_off_is_sent_until_there(tmp_path):
    """Half of a file is half of its frames, and then the end."""
    path = write(tmp_path / "a.webm", video="libvpx")
    data = path.read_bytes()
    half = tmp_path / "half.webm"
    half.write_bytes(data[: len(data) // 2])
    clock = Clock()
    (source,) = await opened(half, clock)
    frames = await all_frames(source, clock)
    assert 5 < len(frames) < 30
    coded = packets(path, "video")
    assert all(is_same_media("VP8", frame, packet) for frame, packet in zip(frames, coded, strict=False))


async def test_an_mp4_without_its_index_is_no_media(tmp_path):
    """MP4 has what makes sense of it at the end: cut off, nothing can be read."""
    path = write(tmp_path / "a.mp4", video="libx264")
    half = tmp_path / "half.mp4"
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UsageError, match=r"half\.mp4 is no media that can be read"):
        await opened(half, Clock())


async def test_media_that_is_damaged_from_the_beginning(tmp_path):
    """A container whose frames are noise is an error before anything is sent."""
    path = write(tmp_path / "a.ivf", video="libvpx")
    data = bytearray(path.read_bytes())
    at = 32
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        data[at + 12 : at + 12 + size] = bytes(size)
        at += 12 + size
    path.write_bytes(data)
    with pytest.raises(UsageError, match="does not decode"):
        await opened(path, Clock())


async def test_damage_ends_a_file_and_is_said(tmp_path):
    """What is in front of a packet that makes no sense is sent, and the reason of the end is kept."""
    path = write(tmp_path / "a.mkv", video="libx264", options=BASELINE)
    whole = packets(path, "video")
    data = path.read_bytes()
    path.write_bytes(data.replace(whole[20], b"\xff" * len(whole[20])))
    clock = Clock()
    (source,) = await opened(path, clock)
    assert len(await all_frames(source, clock)) == 20
    assert source.problem


async def test_media_that_is_left_out_is_missed(tmp_path):
    """FFmpeg skips what it cannot read without a word: the length that the stream says tells."""
    path = write(tmp_path / "a.webm", video="libvpx", pictures=90)
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = bytes(third)
    path.write_bytes(data)
    clock = Clock()
    (source,) = await opened(path, clock)
    assert await all_frames(source, clock)
    assert source.problem is not None
    assert "3.0 s of media are announced" in source.problem


async def test_a_playlist_fetches_nothing(tmp_path):
    """What a playlist names on the network is not asked for."""
    path = tmp_path / "a.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(UsageError):
        await opened(path, Clock())
