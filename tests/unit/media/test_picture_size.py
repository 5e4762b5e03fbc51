"""The size of pictures, from hand-made headers and from any bytes. Real encoders are in tests/unit/probe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.picture_size import MAX_HEADER_BYTES, picture_size

CODECS = ("VP8", "VP9", "H264", "AV1")


class BitWriter:
    """Fields of bits, the most significant first."""

    def __init__(self) -> None:
        self.bits = ""

    def put(self, value: int, bits: int) -> BitWriter:
        self.bits += f"{value:0{bits}b}"
        assert value < 1 << bits
        return self

    def ue(self, *values: int) -> BitWriter:
        for value in values:
            code = f"{value + 1:b}"
            self.bits += "0" * (len(code) - 1) + code
        return self

    def __bytes__(self) -> bytes:
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big")


sides = st.integers(1, 0x10000)


# -- VP8 -------------------------------------------------------------------------------------------------------------

VP8_KEY = bytes.fromhex("50 42 00 9d 01 2a 80 02 e0 41")  # 640x480; scaling bits in the height


@pytest.mark.parametrize(
    "descriptor", ["10", "90 80 07", "90 80 87 07", "90 f0 87 07 01 02", "90 e0 07 01 02", "90 10 01"]
)
def test_vp8(descriptor):
    """Behind a descriptor of any length; the scaling bits are no part of the size."""
    payload = bytes.fromhex(descriptor) + VP8_KEY
    assert picture_size("VP8", payload) == (640, 480)
    assert picture_size("vp8", memoryview(bytearray(payload + b"\xff" * 1000))) == (640, 480)
    assert all(picture_size("VP8", payload[:n]) is None for n in range(len(payload)))


@pytest.mark.parametrize(
    "payload",
    [
        b"\x00" + VP8_KEY,  # goes on with a frame
        b"\x11" + VP8_KEY,  # another partition
        b"\x10\x51" + VP8_KEY[1:],  # predicted
        b"\x10" + VP8_KEY.replace(b"\x9d\x01\x2a", b"\x9d\x01\x2b"),
        b"\x10" + VP8_KEY[:6] + b"\x00\x00\xe0\x01",  # width 0
    ],
)
def test_vp8_without_a_size(payload):
    """Not the start of a key frame."""
    assert picture_size("VP8", payload) is None


# -- VP9 -------------------------------------------------------------------------------------------------------------


def vp9_header(width: int, height: int, profile: int = 0, color_space: int = 2) -> bytes:
    bits = BitWriter().put(2, 2).put(profile & 1, 1).put(profile >> 1, 1)
    if profile == 3:
        bits.put(0, 1)
    bits.put(0, 1).put(0, 1).put(1, 1).put(0, 1).put(0x498342, 24)
    if profile >= 2:
        bits.put(0, 1)
    bits.put(color_space, 3)
    if color_space != 7:
        bits.put(0, 4 if profile & 1 else 1)
    elif profile & 1:
        bits.put(0, 1)
    return bytes(bits.put(width - 1, 16).put(height - 1, 16))


@given(sides, sides, st.sampled_from([(0, 2), (1, 2), (1, 7), (2, 1), (3, 1), (3, 7)]))
def test_vp9_header(width, height, form):
    """Every profile, of YUV and RGB."""
    assert picture_size("VP9", b"\x08" + vp9_header(width, height, *form)) == (width, height)


@pytest.mark.parametrize(
    ("descriptor", "expected"),
    [
        ("8c 07", (320, 180)),  # I
        ("8c 87 07", (320, 180)),
        ("ac 87 07 00 09", (320, 180)),  # I, L and TL0PICIDX
        ("bc 87 07 00", (320, 180)),  # flexible mode: no TL0PICIDX
        ("fc 87 07 00 03 05 06", (320, 180)),  # P: reference indices
        ("8a 87 07 18 01 40 00 b4 01 04 01", (320, 180)),  # V: one layer, a size and one picture with one reference
        ("8a 87 07 08 02 04 01 08 01 02", (320, 180)),  # no size: behind it is the header
        ("8a 87 07 00", (320, 180)),
        ("8a 87 07 30 01 40 00 b4 02 80 01 68", (640, 360)),  # two layers: the higher one
    ],
)
def test_vp9_descriptor(descriptor, expected):
    """The header of the frame is behind whatever fields there are; more than one layer is said by the structure."""
    assert picture_size("VP9", bytes.fromhex(descriptor) + vp9_header(320, 180)) == expected


@pytest.mark.parametrize("header", ["00 49 83 42", "86 00 49 83 42 00", "88 00", "82 49 83 43 00 00 00 00 00 00"])
def test_vp9_without_a_size(header):
    """No frame marker; a predicted frame; one that is shown again; no sync code."""
    assert picture_size("VP9", b"\x08" + bytes.fromhex(header) + bytes(20)) is None
    assert picture_size("VP9", b"\x00" + vp9_header(320, 180)) is None


# -- H.264 -----------------------------------------------------------------------------------------------------------


def escape(rbsp: bytes) -> bytes:
    """With emulation prevention (H.264 §7.4.1)."""
    out, zeros = bytearray(), 0
    for byte in rbsp:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def h264_sps(
    width_mbs: int,
    height_units: int,
    *,
    profile: int = 66,
    chroma: int = 1,
    order: int = 0,
    is_frame_only: bool = True,
    crop: tuple[int, int, int, int] | None = None,
    scaling: bool = False,
) -> bytes:
    bits = BitWriter().put(profile, 8).put(0, 8).put(31, 8).ue(0)
    if profile == 100:
        bits.ue(chroma)
        if chroma == 3:
            bits.put(0, 1)
        bits.ue(0, 0).put(0, 1).put(scaling, 1)
        if scaling:
            bits.put(1, 1).ue(*[0] * 16)  # all deltas are 0
            bits.put(1, 1).ue(16)  # -8: the scale is 0 at once
            bits.put(0, 10 if chroma == 3 else 6)
    bits.ue(0).ue(order)
    if order == 0:
        bits.ue(2)
    elif order == 1:
        bits.put(0, 1).ue(0, 0, 2, 5, 6)
    bits.ue(1).put(0, 1).ue(width_mbs - 1, height_units - 1).put(is_frame_only, 1)
    if not is_frame_only:
        bits.put(0, 1)
    bits.put(1, 1).put(crop is not None, 1).ue(*crop or ()).put(0, 1)
    return b"\x67" + escape(bytes(bits))


@pytest.mark.parametrize(
    ("sps", "expected"),
    [
        (h264_sps(40, 30), (640, 480)),
        (h264_sps(120, 68, crop=(0, 0, 0, 4)), (1920, 1080)),
        (h264_sps(120, 34, is_frame_only=False, crop=(0, 0, 0, 2)), (1920, 1080)),
        (h264_sps(20, 12, crop=(1, 2, 3, 4)), (314, 178)),
        (h264_sps(20, 12, profile=100, chroma=0, crop=(1, 2, 3, 4)), (317, 185)),
        (h264_sps(20, 12, profile=100, chroma=2, crop=(1, 2, 3, 4)), (314, 185)),
        (h264_sps(20, 12, profile=100, chroma=3, crop=(1, 2, 3, 4), scaling=True), (317, 185)),
        (h264_sps(20, 12, profile=100, scaling=True), (320, 192)),
        (h264_sps(20, 12, order=1), (320, 192)),
        (h264_sps(20, 12, order=2), (320, 192)),
        (h264_sps(20, 12, crop=(0, 160, 0, 0)), None),  # nothing is left
    ],
)
def test_h264(sps, expected):
    """Alone, or the second of an aggregation packet."""
    assert picture_size("H264", sps) == expected
    others = [b"\x09\xf0", sps, b"\x68\xce\x3c\x80"]
    aggregated = b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in others)
    assert picture_size("H264", aggregated) == expected


@given(st.integers(1, 512), st.integers(1, 512), st.sampled_from([0, 1, 2]), st.booleans())
def test_h264_any_size(width, height, order, scaling):
    """With emulation prevention where the fields need it."""
    sps = h264_sps(width, height, profile=100, order=order, scaling=scaling)
    assert picture_size("H264", sps) == (width * 16, height * 16)


def test_h264_emulation_prevention():
    """It is inside the fields that are read."""
    references = (1 << 24) - 1  # 24 zeros in a row
    bits = BitWriter().put(66, 8).put(0, 16).ue(0, 0, 0, 2, references).put(0, 1).ue(39, 29).put(0b1100, 4)
    assert b"\0\0\3" in escape(bytes(bits))
    assert picture_size("H264", b"\x67" + escape(bytes(bits))) == (640, 480)


@pytest.mark.parametrize(
    "payload", ["65 88 84 00", "41 9a 00", "7c 87 42 00 1f", "78 00 02 68 ce 00 00", "78 ff ff 67 42"]
)
def test_h264_without_a_size(payload):
    """No parameter set, or only the beginning of one."""
    assert picture_size("H264", bytes.fromhex(payload)) is None


# -- AV1 -------------------------------------------------------------------------------------------------------------


def av1_sequence_header(
    width: int, height: int, *, is_still: bool = False, timing: int = 0, points: int = 1, display_delay: bool = False
) -> bytes:
    """`timing`: 1 with timing_info, 2 with decoder_model_info as well."""
    bits = BitWriter().put(0, 3).put(is_still, 1).put(is_still, 1)
    if is_still:
        bits.put(8, 5)
    else:
        bits.put(timing > 0, 1)
        if timing:
            bits.put(1, 32).put(30, 32).put(1, 1).ue(5).put(timing > 1, 1)
            if timing > 1:
                bits.put(9, 5).put(1, 32).put(9, 5).put(9, 5)
        bits.put(display_delay, 1).put(points - 1, 5)
        for number in range(points):
            bits.put(0x101, 12).put(8 * number, 5)
            if number:
                bits.put(0, 1)
            if timing > 1:
                bits.put(1, 1).put(5, 10).put(6, 10).put(0, 1)
            if display_delay:
                bits.put(1, 1).put(3, 4)
    width_bits, height_bits = max(1, (width - 1).bit_length()), max(1, (height - 1).bit_length())
    bits.put(width_bits - 1, 4).put(height_bits - 1, 4).put(width - 1, width_bits).put(height - 1, height_bits)
    return bytes(bits)


@given(sides, sides, st.booleans(), st.integers(0, 2), st.integers(1, 3), st.booleans())
def test_av1(width, height, is_still, timing, points, display_delay):
    """Whatever fields are in front of the size."""
    header = av1_sequence_header(
        width, height, is_still=is_still, timing=timing, points=points, display_delay=display_delay
    )
    assert picture_size("AV1", b"\x18\x08" + header) == (width, height)


AV1_HEADER = av1_sequence_header(1280, 720)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x18\x08" + AV1_HEADER,  # W=1: the rest of the packet
        b"\x08" + bytes([len(AV1_HEADER) + 1]) + b"\x08" + AV1_HEADER + b"\x02\x30\x00",  # W=0: each with its length
        b"\x28" + bytes([len(AV1_HEADER) + 1]) + b"\x08" + AV1_HEADER + b"\x30\x00",  # W=2
        b"\x28\x02\x12\x00\x08" + AV1_HEADER,  # behind a temporal delimiter
        b"\x18\x0a" + bytes([len(AV1_HEADER)]) + AV1_HEADER,  # with a size of its own
        b"\x18\x0c\x00" + AV1_HEADER,  # with an extension
        b"\x18\x0e\x00" + bytes([len(AV1_HEADER) | 0x80, 0]) + AV1_HEADER,
    ],
)
def test_av1_aggregation(payload):
    """The sequence header among the OBUs of a packet."""
    assert picture_size("AV1", payload) == (1280, 720)


@pytest.mark.parametrize("payload", ["98 08 00", "18 30 00", "08 ff ff ff ff ff ff ff ff 01", "18 0a 01 00"])
def test_av1_without_a_size(payload):
    """Goes on with an OBU; another OBU; a length that never ends; an OBU that ends too early."""
    assert picture_size("AV1", bytes.fromhex(payload)) is None


# -- whatever arrives ------------------------------------------------------------------------------------------------


def test_other_codecs():
    """Nobody knows."""
    assert picture_size("opus", VP8_KEY) is None


@given(
    st.sampled_from(CODECS), st.sampled_from(["", "10", "08", "8a", "67", "78", "18", "08 01"]), st.binary(max_size=60)
)
def test_any_bytes(codec, start, rest):
    """A size, or None."""
    size = picture_size(codec, bytes.fromhex(start) + rest)
    assert size is None or all(1 <= side <= 0x10000 for side in size)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("filler", [b"\x00", b"\x01", b"\x10", b"\xff", b"\x55"])
def test_long_payloads(codec, filler):
    """Many bytes that say nothing."""
    for start in ("", "10", "08", "8a", "0a", "67 64 00 1f", "78 00 80 67", "18 08"):
        size = picture_size(codec, bytes.fromhex(start) + filler * MAX_HEADER_BYTES * 4)
        assert size is None or all(1 <= side <= 0x10000 for side in size)
