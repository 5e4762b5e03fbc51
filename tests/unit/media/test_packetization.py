"""RTP payloads of frames: the bytes that the payload formats ask for, and nothing lost (see also test_assembly.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media import annexb
from rtcctl.media.keyframe import starts_key_frame
from rtcctl.media.packetization import packetizer
from rtcctl.media.picture_id import locate

VIDEO = ("VP8", "VP9", "H264", "AV1")
SPS, PPS, SEI = b"\x67\x42\xe0\x1f\x8c", b"\x68\xce\x3c\x80", b"\x06\x05\x01\x42\x80"
CODE = annexb.START_CODE


def idr(size: int) -> bytes:
    return b"\x65\x88" + b"\x11" * (size - 2)


def obu(kind: int, body: bytes) -> bytes:
    """With a size field."""
    size = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 0x7F | 0x80, len(body) >> 7))
    return bytes((kind << 3 | 2,)) + size + body


DELIMITER, SEQUENCE = obu(2, b""), obu(1, b"\x00\x01\x02\x03")


def is_key(codec: str, payload: bytes) -> bool:
    test = starts_key_frame(codec)
    assert test is not None
    return test(payload, 0, len(payload))


@pytest.mark.parametrize("codec", ["opus", "PCMU", "pcma"])
def test_audio_is_the_payload(codec: str):
    """RFC 7587 §4.2, RFC 3551 §4.5.14."""
    assert packetizer(codec).packetize(b"\xfc" * 2000) == [b"\xfc" * 2000]
    assert packetizer(codec).packetize(b"") == []


def test_names():
    """Without case, and only what is known."""
    assert type(packetizer("vp8")) is type(packetizer("VP8"))
    with pytest.raises(KeyError):
        packetizer("theora")


@pytest.mark.parametrize("codec", VIDEO)
def test_nothing_of_nothing(codec: str):
    """An empty frame takes no packet, and no picture id."""
    stream = packetizer(codec)
    assert stream.packetize(b"") == []
    if codec in ("VP8", "VP9"):
        assert stream.packetize(b"\x80\x00") == packetizer(codec).packetize(b"\x80\x00")


def test_vp8():
    """X and I are set, S on the first, the picture id is the same in all packets of a frame."""
    stream = packetizer("VP8")
    assert stream.packetize(b"\x10" + b"a" * 9) == [b"\x90\x80\x80\x00" + b"\x10" + b"a" * 9]
    payloads = stream.packetize(b"\x11" * 200, 100)
    assert [payload[:4] for payload in payloads] == [b"\x90\x80\x80\x01", b"\x80\x80\x80\x01", b"\x80\x80\x80\x01"]
    assert sorted(map(len, payloads)) == [70, 71, 71]


def test_vp9():
    """I is set, P where the picture is predicted, B and E at the ends."""
    stream = packetizer("VP9")
    assert stream.packetize(b"\x82" + b"a" * 9) == [b"\x8c\x80\x00" + b"\x82" + b"a" * 9]
    assert stream.packetize(b"\x86") == [b"\xcc\x80\x01\x86"]
    heads = [payload[:3] for payload in stream.packetize(b"\x86" * 250, 100)]
    assert heads == [b"\xc8\x80\x02", b"\xc0\x80\x02", b"\xc4\x80\x02"]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (0b1000_0010, True),  # profile 0
        (0b1000_0110, False),  # inter
        (0b1000_1000, False),  # shows an existing frame
        (0b1010_0010, True),  # profile 1
        (0b1011_0001, True),  # profile 3, which has a reserved bit
        (0b1011_0011, False),
        (0b1011_0100, False),
        (0b1001_0010, True),  # profile 2
    ],
)
def test_vp9_key_frames(first: int, expected: bool):
    """By the uncompressed header."""
    (payload,) = packetizer("VP9").packetize(bytes((first, 0x49, 0x83, 0x42)))
    assert is_key("VP9", payload) is expected


@pytest.mark.parametrize("codec", ["VP8", "VP9"])
def test_picture_ids_count_frames(codec: str):
    """15 bits, one more each, round and round."""
    stream, find = packetizer(codec), locate(codec)
    assert find is not None
    numbers = []
    for _ in range(0x8000 + 2):
        (payload,) = stream.packetize(b"\x01")
        picture = find(payload, 0, len(payload))
        assert picture is not None
        assert picture.picture_id_bits == 15
        numbers.append(picture.picture_id)
    assert numbers == [*range(0x8000), 0, 1]


def test_h264_parameter_sets_go_together():
    """Delimiter dropped; small units in a STAP-A with the highest nal_ref_idc; the slice in FU-As."""
    stream = packetizer("H264")
    payloads = stream.packetize(b"\0\0\1\x09\x10" + b"\0\0\1".join((b"", SPS, PPS, SEI, idr(2000))))
    assert payloads[0] == b"\x78" + b"".join(len(nal).to_bytes(2) + nal for nal in (SPS, PPS, SEI))
    assert [payload[:2] for payload in payloads[1:]] == [b"\x7c\x85", b"\x7c\x45"]
    assert b"".join(payload[2:] for payload in payloads[1:]) == idr(2000)[1:]
    assert [is_key("H264", payload) for payload in payloads] == [True, True, False]


def test_h264_single_unit():
    """What is alone is sent as it is: because nothing else is there, or does not fit."""
    stream = packetizer("H264")
    assert stream.packetize(CODE + idr(1180)) == [idr(1180)]
    assert stream.packetize(CODE + SEI + CODE + idr(1175)) == [SEI, idr(1175)]
    assert stream.packetize(CODE + idr(1170) + CODE + SEI)[0] == b"\x78\x04\x92" + idr(1170) + b"\x00\x05" + SEI
    assert len(stream.packetize(CODE + idr(1171) + CODE + SEI)) == 2
    assert stream.packetize(CODE + SEI + CODE + b"\x41\x9a") == [b"\x58\x00\x05" + SEI + b"\x00\x02\x41\x9a"]


def test_h264_without_start_codes():
    """AVCC or noise is refused rather than sent."""
    with pytest.raises(ParseError, match="annex B"):
        packetizer("H264").packetize(b"\x00\x00\x00\x05" + SPS)


def test_av1():
    """Delimiter dropped, sizes taken out, W counts, N on the first packet of a sequence."""
    stream = packetizer("AV1")
    frame = obu(6, b"\x10" * 20)
    assert stream.packetize(DELIMITER + SEQUENCE + frame) == [
        b"\x28" + b"\x05" + b"\x08\x00\x01\x02\x03" + b"\x30" + b"\x10" * 20
    ]
    assert stream.packetize(DELIMITER + frame) == [b"\x10\x30" + b"\x10" * 20]
    # Four or more have no W, and all of them sizes.
    assert stream.packetize(frame * 4) == [b"\x00" + (b"\x15\x30" + b"\x10" * 20) * 4]
    # The last may be without a size in the frame.
    assert stream.packetize(DELIMITER + b"\x30" + b"\x10" * 20) == [b"\x10\x30" + b"\x10" * 20]
    # The extension stays.
    assert stream.packetize(b"\x36\x48\x03abc") == [b"\x10\x34\x48abc"]


def test_av1_fragments():
    """Y where the last OBU goes on, Z where the first does, N once."""
    payloads = packetizer("AV1").packetize(DELIMITER + SEQUENCE + obu(6, bytes(250)), 100)
    assert [payload[0] for payload in payloads] == [0x68, 0xD0, 0x90]
    assert [is_key("AV1", payload) for payload in payloads] == [True, False, False]


@pytest.mark.parametrize("frame", [b"\x32", b"\x32\x05ab", b"\x36", b"\x32" + b"\xff" * 9])
def test_av1_cut_off(frame: bytes):
    """What ends too early is refused."""
    with pytest.raises(ParseError):
        packetizer("AV1").packetize(frame)


@pytest.mark.parametrize("codec", VIDEO)
@given(frame=st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda data: CODE + data)))
def test_random_frames(codec: str, frame: bytes):
    """Payloads that fit, or a ParseError."""
    try:
        payloads = packetizer(codec).packetize(frame, 100)
    except ParseError:
        assert codec in ("H264", "AV1")
        return
    assert all(0 < len(payload) <= 100 for payload in payloads)


@pytest.mark.parametrize("codec", VIDEO)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=8), max_size=st.integers(100, 300))
def test_sizes(codec: str, sizes: list[int], max_size: int):
    """No payload is larger than asked for, whatever the frame is made of."""
    units = {"H264": lambda n: CODE + b"\x41" * n, "AV1": lambda n: obu(6, bytes(n))}.get(codec, bytes)
    payloads = packetizer(codec).packetize(b"".join(units(size) for size in sizes), max_size)
    assert payloads
    assert max(map(len, payloads)) <= max_size


def test_av1_no_tiny_fragments():
    """What is left of a packet is not worth it."""
    first, second = obu(6, b"\x10" * 87), obu(6, b"\x20" * 87)
    assert [payload[0] for payload in packetizer("AV1").packetize(first + second, 100)] == [0x10, 0x10]
