"""Which packet starts a frame: hand-made payloads and random bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.frame_start import starts_frame
from rtcctl.media.keyframe import starts_key_frame

CASES = [
    ("VP8", "10 01", True),
    ("VP8", "90 80 07 01", True),
    ("VP8", "00 01", False),  # goes on
    ("VP8", "11 01", False),  # another partition
    ("VP9", "08", True),
    ("VP9", "48 00", True),  # predicted
    ("VP9", "04", False),  # the end
    ("VP9", "a8 87 07 00 00", True),  # I, L: spatial layer 0
    ("VP9", "a8 87 07 02 00", False),  # spatial layer 1
    ("VP9", "28 22 00", False),  # L without I
    ("VP9", "28", False),
    ("VP9", "a8", False),
    ("H264", "41 9a", True),  # a slice, from macroblock 0
    ("H264", "41 4a", False),  # from another
    ("H264", "67 42", True),  # SPS
    ("H264", "06 05", True),  # SEI
    ("H264", "09 f0", True),  # access unit delimiter
    ("H264", "68 ce", False),  # PPS: an SPS was in front
    ("H264", "65 88", False),  # IDR: parameter sets were in front
    ("H264", "78 00 02 67 42 00 02 68 ce", True),  # STAP-A
    ("H264", "78 00 02 68 ce", False),
    ("H264", "5c 81 9a", True),  # FU-A, start of a slice
    ("H264", "5c 01 9a", False),
    ("H264", "5c 41 9a", False),
    ("H264", "41", False),
    ("H265", "40 01 0c", True),  # VPS
    ("H265", "02 01 d0", True),  # TRAIL_R, first slice
    ("H265", "02 01 50", False),
    ("H265", "26 01 af", False),  # IDR
    ("H265", "60 01 00 04 40 01 0c 01", True),  # AP
    ("H265", "62 01 81 d0", True),  # FU, start
    ("H265", "62 01 01 d0", False),
    ("AV1", "10 32", True),
    ("AV1", "90 32", False),  # Z
    ("AV1", "10", False),
]


@pytest.mark.parametrize(("codec", "payload", "expected"), CASES)
def test_payload(codec, payload, expected):
    """In the middle of a buffer whose other bytes must not matter."""
    data = bytes.fromhex(payload)
    test = starts_frame(codec)
    assert test is not None
    for filler in (b"", b"\x00" * 20, b"\xff" * 20):
        assert test(b"\xff" * 20 + data + filler, 20, 20 + len(data)) is expected


def test_other_codecs():
    """Names have no case; audio has no frames in this sense."""
    assert starts_frame("vp8") is starts_frame("VP8") is not None
    assert starts_frame("opus") is None


@given(st.sampled_from(["VP8", "VP9", "AV1"]), st.binary(max_size=12))
def test_a_key_frame_is_a_frame(codec, payload):
    """Whatever the bytes: where these codecs start a key frame they start a frame."""
    test, key_test = starts_frame(codec), starts_key_frame(codec)
    assert test is not None
    assert key_test is not None
    assert test(payload, 0, len(payload)) >= key_test(payload, 0, len(payload))


@given(st.sampled_from(["VP8", "VP9", "H264", "H265", "AV1"]), st.binary(max_size=40), st.integers(0, 3))
def test_any_bytes(codec, payload, at):
    """Yes or no."""
    test = starts_frame(codec)
    assert test is not None
    assert test(payload, min(at, len(payload)), len(payload)) in (True, False)
