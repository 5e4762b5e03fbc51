"""Real encoders → send time → RTP payloads → frames → real decoders: every codec that the probe sends."""

from __future__ import annotations

import fractions
import random

import av
import pytest

from rtcctl.media.annexb import IDR_SLICE, units
from rtcctl.media.assembly import FrameAssembler
from rtcctl.media.keyframe import starts_key_frame
from rtcctl.media.packetization import packetizer
from rtcctl.media.sendtime import SendTime, boot_id_hash, find, with_room
from tests.support.sources import put

WIDTH, HEIGHT, FRAMES, KEY_EVERY = 320, 240, 24, 8
HERE = boot_id_hash(b"here")

ENCODERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "VP8": ("VP8", "libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "VP8 in four partitions": ("VP8", "libvpx", {"deadline": "realtime", "cpu-used": "8", "slices": "4"}),
    "H264": ("H264", "libx264", {"preset": "ultrafast", "tune": "zerolatency", "bf": "0"}),
    "H264 high": ("H264", "libx264", {"preset": "fast", "bf": "0", "aud": "1", "x264-params": "slices=3:scenecut=0"}),
    "VP9": ("VP9", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "AV1": ("AV1", "libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1:rc=2:lookahead=0"}),
}
DECODERS = {"VP8": "libvpx", "VP9": "libvpx-vp9", "H264": "h264", "AV1": "libdav1d"}
HAS_ROOM = ("VP8", "H264")


def pictures(count: int) -> list[av.VideoFrame]:
    """Noise that moves over a gradient: frames of several packets, all different."""
    rng = random.Random(5)
    noise = rng.randbytes(WIDTH * HEIGHT)
    frames = []
    for i in range(count):
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane in frame.planes:
            size = plane.buffer_size
            plane.update(bytes(128 + (noise[(x + i * 331) % len(noise)] >> 4) for x in range(size)))
        frame.pts, frame.time_base = i, fractions.Fraction(1, 30)
        frames.append(frame)
    return frames


def encoded(name: str) -> list[tuple[bytes, bool]]:
    """The frames, and which are key frames."""
    _, encoder, options = ENCODERS[name]
    codec = av.CodecContext.create(encoder, "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.time_base, codec.framerate = fractions.Fraction(1, 30), fractions.Fraction(30)
    codec.bit_rate, codec.gop_size = 1_000_000, KEY_EVERY
    codec.thread_count = 1
    codec.options = options
    packets = [packet for frame in [*pictures(FRAMES), None] for packet in codec.encode(frame)]
    return [(bytes(packet), packet.is_keyframe) for packet in packets]


def decoded(codec_name: str, frames: list[bytes]) -> list[bytes]:
    """The pixels of each picture."""
    codec = av.CodecContext.create(DECODERS[codec_name], "r")
    codec.thread_count = 1
    out = [picture for frame in frames for picture in codec.decode(av.Packet(frame))]
    return [b"".join(map(visible, picture.planes)) for picture in [*out, *codec.decode(None)]]


def visible(plane: av.video.plane.VideoPlane) -> bytes:
    """Without what decoders leave at the end of each line."""
    data = bytes(plane)
    return b"".join(data[y * plane.line_size :][: plane.width] for y in range(plane.height))


@pytest.mark.parametrize("name", ENCODERS)
def test_there_and_back(name: str):
    """As many pictures as were sent, the very same pixels, and each frame's send time, in one packet."""
    codec_name = ENCODERS[name][0]
    frames = encoded(name)
    assert len(frames) == FRAMES
    stream, assembler = packetizer(codec_name), FrameAssembler(codec_name)
    starts = starts_key_frame(codec_name)
    assert starts is not None
    received, sequence, several = [], 65_500, 0
    for i, (frame, is_key) in enumerate(frames):
        send_time = SendTime(i, "q", i * 33_000_000, HERE)
        made = with_room(codec_name, frame)
        assert (made is not None) is (codec_name in HAS_ROOM)
        if made is not None:
            frame, at = made
            put(codec_name, frame, at, send_time)
        payloads = stream.packetize(frame)
        last = len(payloads) - 1
        several += last > 0
        assert starts(payloads[0], 0, len(payloads[0])) is is_key
        assert is_key or not any(starts(payload, 0, len(payload)) for payload in payloads)
        found = [find(codec_name, payload, j == last) for j, payload in enumerate(payloads)]
        assert [one for one in found if one is not None] == ([send_time] if made is not None else [])
        got = []
        for j, payload in enumerate(payloads):
            got += assembler.receive(sequence, i * 3000, j == last, payload)
            sequence += 1
        assert [(one.rtp_timestamp, one.is_key) for one in got] == [(i * 3000, is_key)]
        received += got
    assert several, "frames of several packets"
    assert sum(is_key for _, is_key in frames) == FRAMES // KEY_EVERY
    assert assembler.frames_incomplete == 0
    reference = decoded(codec_name, [frame for frame, _ in frames])
    assert len(reference) == FRAMES
    assert decoded(codec_name, [frame.data for frame in received]) == reference


@pytest.mark.parametrize("name", ENCODERS)
def test_begins_at_a_later_key_frame(name: str):
    """A receiver that comes late decodes all from the next key frame on."""
    codec_name = ENCODERS[name][0]
    stream, assembler = packetizer(codec_name), FrameAssembler(codec_name)
    packets = [
        (i, j == len(payloads) - 1, payload)
        for i, (frame, _) in enumerate(encoded(name))
        for payloads in [stream.packetize(frame)]
        for j, payload in enumerate(payloads)
    ]
    start = next(n for n, packet in enumerate(packets) if packet[0] == KEY_EVERY)
    got = [
        frame
        for n, (i, marker, payload) in enumerate(packets)
        if n >= start
        for frame in assembler.receive(n, i, marker, payload)
    ]
    assert len(got) == FRAMES - KEY_EVERY
    assert got[0].is_key
    assert len(decoded(codec_name, [frame.data for frame in got])) == FRAMES - KEY_EVERY


def test_h264_slices_are_one_picture():
    """Of a picture in several slices, each frame has the message once, in front."""
    for frame, is_key in encoded("H264 high"):
        made = with_room("H264", frame)
        assert made is not None
        kinds = [unit.kind for unit in units(made[0])]
        assert kinds[-4:] == [6, *[IDR_SLICE if is_key else 1] * 3]
