"""Picture numbers across a change of simulcast layer; aiortc reads what we write."""

from __future__ import annotations

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.picture_id import NO_SHIFT, Picture, locate, put_shifted, shift_between

FILLER = b"\xff" * 12


def located(codec: str, payload: bytes) -> Picture | None:
    """In the middle of a buffer whose other bytes must not matter."""
    find = locate(codec)
    assert find is not None
    found = {find(FILLER + payload + rest, 12, 12 + len(payload)) for rest in (b"", b"\x00" * 9, FILLER)}
    (picture,) = found
    return picture


@pytest.mark.parametrize("codec", ["opus", "H264", "AV1", "H265"])
def test_codecs_without_picture_numbers(codec):
    """Only VP8 and VP9 number pictures in the payload descriptor."""
    assert locate(codec) is None


@pytest.mark.parametrize(
    ("codec", "payload", "expected"),
    [
        ("VP8", "90 80 07 00", Picture(14, 7, 7, 0, 0)),
        ("VP8", "90 80 81 02 00", Picture(14, 15, 0x102, 0, 0)),
        ("VP8", "90 e0 81 02 55 20 00", Picture(14, 15, 0x102, 16, 0x55)),
        ("VP8", "90 c0 07 55 00", Picture(14, 7, 7, 15, 0x55)),
        ("VP8", "90 40 55 00", Picture(14, 0, 0, 14, 0x55)),
        ("VP8", "90 20 00 00", None),
        ("VP8", "10 00 00 00", None),
        ("VP8", "", None),
        ("VP8", "90 80", None),
        ("VP8", "90 80 81", None),
        ("VP8", "90 c0 07", None),
        ("vp9", "88 07 00", Picture(13, 7, 7, 0, 0)),
        ("VP9", "88 81 02 00", Picture(13, 15, 0x102, 0, 0)),
        ("VP9", "a8 81 02 22 55", Picture(13, 15, 0x102, 16, 0x55)),
        ("VP9", "28 22 55 00", Picture(13, 0, 0, 14, 0x55)),
        ("VP9", "b8 81 02 22 55", Picture(13, 15, 0x102, 0, 0)),
        ("VP9", "08 00", None),
        ("VP9", "", None),
        ("VP9", "88", None),
        ("VP9", "88 81", None),
        ("VP9", "a8 81 02 22", None),
    ],
)
def test_locate(codec, payload, expected):
    """The numbers stand where the descriptor's flags put them; a payload that ends before them has none."""
    assert located(codec, bytes.fromhex(payload)) == expected


@pytest.mark.parametrize("codec", ["VP8", "VP9"])
@given(data=st.binary(max_size=30), at=st.integers(0, 40), size=st.integers(-2, 40), shift=st.integers(-(2**15), 2**15))
def test_random_bytes(codec, data, at, size, shift):
    """Whatever the bytes are, nothing outside the payload is read or written, and a shift can be undone."""
    find = locate(codec)
    assert find is not None
    end = min(at + size, len(data))
    picture = find(data, at, end)
    if picture is None:
        return
    buffer = bytearray(data)
    put_shifted(buffer, picture, (shift, shift))
    assert (buffer[:at], buffer[end:]) == (data[:at], data[end:])
    assert find(buffer, at, end) is not None
    put_shifted(buffer, picture, (0, 0))
    assert buffer == data


class Layer:
    """An encoder: a picture id and a TL0PICIDX that go up with each picture."""

    def __init__(self, picture_id: int, tl0picidx: int) -> None:
        self.picture_id = picture_id
        self.tl0picidx = tl0picidx

    def payload(self, ahead: int = 0) -> bytearray:
        """Of the picture `ahead`."""
        descriptor = VpxPayloadDescriptor(
            partition_start=1,
            partition_id=0,
            picture_id=(self.picture_id + ahead) % 2**15,
            tl0picidx=(self.tl0picidx + ahead) % 256,
            tid=(0, 1),
        )
        return bytearray(bytes(descriptor) + b"\x00")


def picture_of(payload: bytearray) -> Picture:
    find = locate("VP8")
    assert find is not None
    picture = find(payload, 0, len(payload))
    assert picture is not None
    return picture


def read(payload: bytearray) -> tuple[int, int]:
    descriptor, rest = VpxPayloadDescriptor.parse(bytes(payload))
    assert rest == b"\x00"
    assert descriptor.picture_id is not None
    assert descriptor.tl0picidx is not None
    return descriptor.picture_id, descriptor.tl0picidx


def test_numbers_go_on_across_switches():
    """A new layer begins with the next number, also across the wraps, and goes on from there."""
    full, half = Layer(32765, 254), Layer(9, 100)
    seen, shift, newest = [], NO_SHIFT, None
    for layer, pictures in ((full, range(2)), (half, range(2)), (full, range(9, 11))):
        for index in pictures:
            payload = layer.payload(index)
            picture = picture_of(payload)
            if index == pictures[0]:
                shift = shift_between(newest, picture)
            put_shifted(payload, picture, shift)
            newest = picture.shifted(shift)
            seen.append(read(payload))
    assert seen == [(32765, 254), (32766, 255), (32767, 0), (0, 1), (1, 2), (2, 3)]


def test_nothing_to_go_on_from():
    """Nothing is shifted before there is a reason to, or when a layer does not number its pictures."""
    picture = picture_of(Layer(200, 30).payload())
    assert shift_between(None, picture) == NO_SHIFT
    assert shift_between(picture, None) == NO_SHIFT


def test_subscriptions_share_a_buffer():
    """Numbers are written over whatever another subscription wrote."""
    payload = Layer(3000, 77).payload()
    picture = picture_of(payload)
    put_shifted(payload, picture, (101 - 3000, 2 - 77))
    assert read(payload) == (101, 2)
    put_shifted(payload, picture, NO_SHIFT)
    assert read(payload) == (3000, 77)


def test_short_picture_ids_and_missing_ones():
    """A layer with 7 bits goes on in 7 bits; what is not there is not written."""
    short = bytearray.fromhex("90 80 07 00")
    put_shifted(short, picture_of(short), (301 - 7, 5))
    assert short == bytes((0x90, 0x80, 301 & 0x7F, 0))
    only_tl0 = bytearray.fromhex("90 40 55 00")
    put_shifted(only_tl0, picture_of(only_tl0), (9, 1))
    assert only_tl0 == bytes.fromhex("90 40 56 00")
