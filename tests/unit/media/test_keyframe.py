"""Which packet starts a key frame: hand-made payloads, random bytes, and real encoders."""

from __future__ import annotations

import fractions
import re

import av
import pytest
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.keyframe import starts_key_frame

CODECS = ("VP8", "VP9", "H264", "H265", "AV1")


def is_start(codec: str, payload: bytes) -> bool:
    """The test, on a payload in the middle of a buffer whose other bytes must not matter."""
    test = starts_key_frame(codec)
    assert test is not None
    verdicts = {
        test(kind(b"\xff" * 20 + payload + filler), 20, 20 + len(payload))
        for kind in (bytes, bytearray, memoryview)
        for filler in (b"", b"\x00" * 20, b"\xff" * 20)
    }
    (verdict,) = verdicts
    return verdict


@pytest.mark.parametrize("codec", ["opus", "PCMU", "PCMA", "rtx", "red", "telephone-event", "unknown"])
def test_codecs_without_key_frames(codec):
    """Where every packet can be the first there is nothing to test."""
    assert starts_key_frame(codec) is None


def test_codec_names_have_no_case():
    """Encoding names compare without case."""
    assert starts_key_frame("vp8") is starts_key_frame("VP8")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("10 00", True),  # S=1, PID=0; P=0
        ("10 01", False),  # P=1: predicted
        ("00 00", False),  # S=0: goes on with a partition
        ("11 00", False),  # PID=1: another partition
        ("30 00", True),  # N=1
        ("18 00", True),  # a reserved bit
        ("90 80 07 00", True),  # I: picture id of 7 bits
        ("90 80 87 07 00", True),  # of 15 bits
        ("90 80 87 07 01", False),
        ("90 f0 87 07 01 02 00", True),  # I L T K
        ("90 e0 07 01 02 01", False),
        ("90 40 01 00", True),  # L
        ("90 10 01 00", True),  # K
        ("90 00 00", True),  # X without anything
        *(("10", False), ("90", False), ("90 80", False), ("90 80 87", False), ("90 f0 87 07 01 02", False)),
    ],
)
def test_vp8(payload, expected):
    """RFC 7741: the first packet of partition 0 of a frame that is not predicted."""
    assert is_start("VP8", bytes.fromhex(payload)) is expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("08 00", True),  # B=1, P=0, no layers
        ("0c 00", True),  # and the end of the frame
        ("48 00", False),  # P=1
        ("00 00", False),  # B=0
        ("88 07 00", True),  # I: picture id of 7 bits
        ("88 87 07 00", True),  # of 15 bits
        ("a8 87 07 00 01", True),  # I L: layer 0, then TL0PICIDX
        ("a8 87 07 01 01", True),  # D=1 in layer 0
        ("a8 87 07 02 01", False),  # spatial layer 1
        ("a8 07 02 01", False),
        ("28 20 01", True),  # L: temporal layer 1
        ("b8 87 07 00", True),  # F: flexible mode has no TL0PICIDX
        ("b8 87 07 04", False),
        ("aa 87 07 10 01 18", True),  # V: scalability structure behind
        *(("08", False), ("88", False), ("88 87 07", False), ("a8 87 07", False)),
    ],
)
def test_vp9(payload, expected):
    """RFC 9628: the first packet of a frame of spatial layer 0 that is not predicted from another picture."""
    assert is_start("VP9", bytes.fromhex(payload)) is expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("67 42", True),  # SPS
        ("68 ce", False),  # PPS
        ("65 88", True),  # IDR, first macroblock 0
        ("65 40", False),  # IDR, a later slice
        ("61 88", False),  # not IDR
        ("78 0002 6742 0002 68ce", True),  # STAP-A: SPS, PPS
        ("78 0002 0910 0002 6588", True),  # access unit delimiter, IDR
        ("78 0002 0910 0002 6188", False),
        ("78 0000 0001 09 0002 6588", True),  # empty and tiny units
        ("78 0009 6742", True),  # longer than the packet
        ("78 0009 6188 0002 6588", False),
        ("7c 85 88", True),  # FU-A: start of an IDR
        ("7c 85 40", False),
        ("7c 05 88", False),  # FU-A: goes on
        ("7c 81 88", False),  # start of something else
        *(("67", False), ("65", False), ("78", False), ("78 00", False), ("78 0002 67", False), ("7c 85", False)),
    ],
)
def test_h264(payload, expected):
    """RFC 6184: SPS or the first IDR slice, alone, in STAP-A or as the start of an FU-A."""
    assert is_start("H264", bytes.fromhex(payload)) is expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("4001 0c", True),  # VPS
        ("4201 01", True),  # SPS
        ("4401 c0", False),  # PPS
        ("2601 af", True),  # IDR_W_RADL, first slice
        ("2601 2f", False),  # a later one
        ("2001 80", True),  # BLA
        ("2a01 80", True),  # CRA
        ("0201 d0", False),  # TRAIL_R
        ("3001 80", False),  # 24: reserved, not random access
        ("6001 0003 40010c 0003 42010c", True),  # AP: VPS, SPS
        ("6001 0003 460150 0003 2601af", True),  # delimiter, IDR
        ("6001 0003 460150 0003 0201d0", False),
        ("6001 0000 0003 2601af", True),
        ("6001 0009 2601af", True),
        ("6201 93 80", True),  # FU: start of an IDR
        ("6201 93 40", False),
        ("6201 13 80", False),  # goes on
        ("6201 81 80", False),  # start of something else
        *(("4001", False), ("6001 00", False), ("6001 0003 4001", False), ("6201 93", False)),
    ],
)
def test_h265(payload, expected):
    """RFC 7798: VPS, SPS or the first slice of a random access picture, alone, in an AP or as the start of an FU."""
    assert is_start("H265", bytes.fromhex(payload)) is expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("08 0a", True),  # N=1
        ("18 0a", True),  # W=1
        ("58 0a", True),  # Y=1
        ("10 0a", False),  # N=0
        ("88 0a", False),  # Z=1 with N=1 makes no sense
        *(("08", False),),
    ],
)
def test_av1(payload, expected):
    """The first packet of a coded video sequence."""
    assert is_start("AV1", bytes.fromhex(payload)) is expected


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(max_size=60), at=st.integers(0, 70), size=st.integers(-2, 60))
def test_random_bytes(codec, data, at, size):
    """Whatever the bytes are there is an answer, and it does not look beyond the end."""
    test = starts_key_frame(codec)
    assert test is not None
    end = min(at + size, len(data))
    verdict = test(data, at, end)
    assert isinstance(verdict, bool)
    assert verdict == test(data[: max(end, 0)], at, end)


def frames(count: int, *, width: int = 320, height: int = 240):
    """Noise, which makes frames of several packets."""
    for i in range(count):
        frame = av.VideoFrame(width, height, "yuv420p")
        for k, plane in enumerate(frame.planes):
            plane.update(bytes((x * (i + 3) * (k + 1) ^ x >> 7) & 0xFF for x in range(plane.buffer_size)))
        frame.pts, frame.time_base = i * 3000, fractions.Fraction(1, 90_000)
        yield frame


@pytest.mark.parametrize(("codec", "encoder"), [("VP8", Vp8Encoder()), ("H264", H264Encoder())])
def test_encoders(codec: str, encoder: Encoder):
    """The first packet of each key frame of a real encoder is a start, and no packet of another frame is."""
    encoder.target_bitrate = 2_000_000
    several = 0
    for i, frame in enumerate(frames(8)):
        is_key_frame = i in (0, 5)
        payloads, _ = encoder.encode(frame, force_keyframe=is_key_frame)
        starts = [is_start(codec, payload) for payload in payloads]
        assert starts[:1] == [is_key_frame]
        assert is_key_frame or not any(starts)
        several += len(payloads) > 1
    assert several


def test_h265_encoder():
    """The units of x265: parameter sets and the first slice of a random access picture, nothing of the others."""
    codec = av.CodecContext.create("libx265", "w")
    codec.width, codec.height, codec.pix_fmt = 320, 240, "yuv420p"
    codec.time_base = codec.framerate = fractions.Fraction(1, 30)
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "keyint=4:slices=2:log-level=none"}
    packets = [packet for frame in [*frames(8), None] for packet in codec.encode(frame)]
    assert sum(packet.is_keyframe for packet in packets) == 2
    for packet in packets:
        units = re.split(b"\x00\x00\x00?\x01", bytes(packet))[1:]
        starts = [is_start("H265", unit) for unit in units]
        kinds = [unit[0] >> 1 for unit in units]
        assert any(starts) == packet.is_keyframe
        # VPS, SPS and one of the two slices; PPS and SEI start nothing.
        assert not packet.is_keyframe or starts.count(True) == 1 + kinds.count(32) + kinds.count(33)
