"""The send time in coded frames: room made, filled in place, found in one packet, and not found where it is not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media import annexb
from rtcctl.media.opus import OpusPacket, with_padding
from rtcctl.media.packetization import packetizer
from rtcctl.media.sendtime import STAMP_BYTES, SendTime, boot_id_hash, find, with_room
from tests.support.sources import put

U64 = st.integers(0, (1 << 64) - 1)
RIDS = st.text("ABXYZabxyz019-_", max_size=4)
SEND_TIMES = st.builds(SendTime, st.integers(0, (1 << 32) - 1), RIDS, U64, st.integers(1, (1 << 64) - 1))
OPUS = b"\xfc" + bytes(range(80))
HERE = boot_id_hash(b"d1f3ab6e-8a5e-4c0e-9a55-1c3d5b4f9a70")
SOME = SendTime(7, "hi", 1_000_000_007, HERE)
ZEROS_AND_ONES = SendTime(0, "", 0, 1)
"In which emulation prevention would be needed everywhere."

SPS, PPS, IDR, SLICE = b"\x67\x42\xe0\x1f\x8c", b"\x68\xce\x3c\x80", b"\x65\x88" + b"\x11" * 90, b"\x61\xe0\x42\x42"


def stream(*nals: bytes, code: bytes = annexb.START_CODE) -> bytes:
    return b"".join(code + nal for nal in nals)


def stamped(codec: str, frame: bytes, send_time: SendTime) -> bytearray:
    made = with_room(codec, frame)
    assert made is not None
    buffer, at = made
    size = len(buffer)
    put(codec, buffer, at, send_time)
    assert len(buffer) == size
    return buffer


@given(SEND_TIMES)
def test_round_trip(send_time: SendTime):
    """24 bytes hold all of it."""
    assert len(bytes(send_time)) == STAMP_BYTES
    assert SendTime.parse(bytes(send_time)) == send_time


@given(st.sampled_from(["opus", "VP8", "H264"]), SEND_TIMES, SEND_TIMES)
def test_put_in_place_and_found(codec: str, first: SendTime, second: SendTime):
    """What was put last is found in one payload, and in one only."""
    frame = {"opus": OPUS, "VP8": b"\x10" + b"\xaa" * 3000, "H264": stream(SPS, PPS, IDR * 30)}[codec]
    made = with_room(codec, frame)
    assert made is not None
    buffer, at = made
    for send_time in (first, second):
        put(codec, buffer, at, send_time)
        payloads = packetizer(codec).packetize(buffer)
        found = [find(codec, payload, i == len(payloads) - 1) for i, payload in enumerate(payloads)]
        assert [send_time for send_time in found if send_time is not None] == [send_time]


@given(SEND_TIMES)
def test_opus_is_what_it_was(send_time: SendTime):
    """The audio does not change."""
    assert OpusPacket.parse(bytes(stamped("opus", OPUS, send_time))).frames == OpusPacket.parse(OPUS).frames


@pytest.mark.parametrize("size", [1, 1000, 1176, 1177, 1179, 1180, 1199, 1200, 1201, 2330, 2353, 2400, 50_000])
def test_vp8_room_is_never_split(size: int):
    """However the frame's size and the packets' go together."""
    payloads = packetizer("VP8").packetize(stamped("VP8", b"\x10" * size, SOME))
    assert find("VP8", payloads[-1], True) == SOME
    assert find("VP8", payloads[-1], False) is None


@pytest.mark.parametrize("code", [b"\x00\x00\x01", b"\x00\x00\x00\x01"])
@pytest.mark.parametrize("before", [(), (SPS, PPS), (b"\x09\x10", SPS, PPS, b"\x06\x05\x01\x42\x80")])
def test_h264_message_is_in_front_of_the_first_slice(code: bytes, before: tuple[bytes, ...]):
    """Behind delimiter and parameter sets, as the standard orders units (H.264 §7.4.1.2.3), and the others stay."""
    frame = stream(*before, IDR, IDR, code=code)
    buffer = bytes(stamped("H264", frame, ZEROS_AND_ONES))
    nals = [buffer[unit.start : unit.end] for unit in annexb.units(buffer)]
    message = nals.pop(len(before))
    assert nals == [*before, IDR, IDR]
    assert message[:3] == b"\x06\x05\x40"
    assert len(message) == 3 + 64 + 1
    assert message[-1] == 0x80
    assert 0 not in message, "nothing for emulation prevention to do"
    assert buffer.replace(annexb.START_CODE + message, b"") == frame


@pytest.mark.parametrize("frame", [stream(SLICE), stream(SPS, PPS, SLICE), stream(SPS, PPS, IDR * 30)])
def test_h264_alone_and_aggregated(frame: bytes):
    """Wherever the packetiser puts the message."""
    payloads = packetizer("H264").packetize(stamped("H264", frame, SOME))
    assert find("h264", payloads[0], len(payloads) == 1) == SOME
    message = next(unit for unit in annexb.units(stamped("H264", frame, SOME)) if unit.kind == annexb.SEI)
    alone = bytes(stamped("H264", frame, SOME)[message.start : message.end])
    assert find("H264", alone, False) == SOME
    assert find("H264", alone[:-10], False) is None


@pytest.mark.parametrize(
    ("codec", "frame"),
    [
        *((codec, b"\x00\x00\x00\x01\x65\x88") for codec in ("PCMU", "PCMA", "VP9", "AV1", "unknown")),
        ("opus", b""),
        ("opus", b"\xff\x00"),
        ("VP8", b""),
        ("H264", b""),
        ("H264", b"\x65\x88"),
        ("H264", stream(SPS, PPS)),
    ],
)
def test_no_room(codec: str, frame: bytes):
    """Codecs without a place for it, and what is no frame."""
    assert with_room(codec, frame) is None


@given(st.one_of(st.binary(max_size=60), SEND_TIMES.map(bytes), st.binary(min_size=24, max_size=24)))
def test_parse_takes_24_bytes(data: bytes):
    """Other sizes, foreign rids and boot 0 are refused."""
    is_rid = re.fullmatch(rb"[A-Za-z0-9_-]*\0*", data[4:8]) is not None
    if len(data) == STAMP_BYTES and is_rid and any(data[16:]):
        assert bytes(SendTime.parse(data)) == data
    else:
        with pytest.raises(ParseError):
            SendTime.parse(data)


@given(
    st.sampled_from(["opus", "VP8", "H264", "VP9", "PCMU", "what"]),
    st.one_of(
        st.binary(max_size=100),
        st.binary(max_size=100).map(lambda data: bytes((0x06, 5, 64)) + data),
        st.binary(min_size=24, max_size=40).map(lambda data: b"\xff\x41\x18" + data),
    ),
    st.booleans(),
)
def test_noise_has_no_send_time_of_ours(codec: str, payload: bytes, marker: bool):
    """Whatever the bytes are there is an answer, and it is never taken for this machine's."""
    send_time = find(codec, payload, marker)
    assert send_time is None or send_time.boot_id_hash != HERE
    assert send_time is None or codec in ("opus", "VP8", "H264")


@given(st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_damaged_message(at: int, garbage: bytes):
    """A message of ours with damage in it: the send time, another one, or none; never an exception."""
    (payload,) = packetizer("H264").packetize(stamped("H264", stream(SPS, PPS, SLICE), SOME))
    damaged = payload[:at] + garbage + payload[at + len(garbage) :]
    assert isinstance(find("H264", damaged, True), SendTime | None)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        OPUS,
        with_padding(OPUS, bytes(23)),
        with_padding(OPUS, bytes(24)),
        with_padding(OPUS, bytes(SOME) + b"\0"),
        with_padding(OPUS, bytes(SOME))[1:],
        b"\xfb\x41",
        b"\xff\x01\x18" + bytes(SOME),  # not padded
        b"\xff\x40\x18" + bytes(SOME),  # no frame
        b"\xfe\x41\x18" + bytes(SOME),  # code 2
    ],
)
def test_other_opus_packets(packet: bytes):
    """No padding, other people's padding (zeros, other sizes) and what is no Opus packet say nothing."""
    assert find("opus", packet, False) is None


@pytest.mark.parametrize("rid", [b"hi\0x", b"\0hi\0", b"a b\0", b"\xff\xfe\xfd\xfc", b"a\n\0\0"])
def test_foreign_rid(rid: bytes):
    """What cannot be a rid tells other people's bytes from ours."""
    data = bytes(SOME)
    assert find("VP8", b"\x90\x80\x07" + data, True) == SOME
    assert find("VP8", b"\x90\x80\x07" + data[:4] + rid + data[8:], True) is None


def test_rid_that_does_not_fit():
    """Nobody hands in more than four characters."""
    with pytest.raises(AssertionError):
        bytes(SendTime(0, "hello", 0, HERE))


def test_boot_id_hash():
    """Equal for one boot, different for another, and 64 bits."""
    assert boot_id_hash(b"one") == boot_id_hash(b"one") != boot_id_hash(b"two")
    assert 0 < HERE < 1 << 64
