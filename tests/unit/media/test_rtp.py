"""RTP headers (RFC 3550 §5.1, RFC 8285)."""

from __future__ import annotations

import struct

import pytest
from aiortc.rtp import RtpPacket, unpack_header_extensions
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.rtp import RtpHeader, build_extensions, build_packet, is_rtcp, is_rtp, parse_extensions

values16 = st.integers(0, 0xFFFF)
values32 = st.integers(0, 0xFFFFFFFF)
one_byte = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=4)
two_byte = st.dictionaries(st.integers(1, 255), st.binary(max_size=255), max_size=4)
fields = st.fixed_dictionaries(
    {
        "payload_type": st.integers(0, 127),
        "sequence_number": values16,
        "rtp_timestamp": values32,
        "ssrc": values32,
        "marker": st.booleans(),
        "csrcs": st.lists(values32, max_size=15),
        "extensions": one_byte | two_byte,
        "padding_size": st.integers(0, 255),
    }
)
SAMPLE = build_packet(
    b"payload",
    payload_type=111,
    sequence_number=7,
    rtp_timestamp=960,
    ssrc=0xDECAFBAD,
    csrcs=(1, 2),
    extensions={1: b"\x11", 4: b"mid"},
    padding_size=4,
)


@given(st.binary(max_size=100), fields)
def test_round_trip(payload, values):
    """What was built is what is parsed, and the payload lies where the header says."""
    packet = build_packet(payload, **values)
    header = RtpHeader.parse(packet)
    assert header.csrcs == tuple(values.pop("csrcs"))
    for name, value in values.items():
        assert getattr(header, name) == value
    assert packet[header.header_size : len(packet) - header.padding_size] == payload
    assert header.padding == bool(header.padding_size)


@given(st.binary(max_size=60), fields)
def test_agrees_with_aiortc(payload, values):
    """aiortc reads the same from the same bytes."""
    packet = build_packet(payload, **values)
    theirs = RtpPacket.parse(packet)
    ours = RtpHeader.parse(packet)
    assert theirs.payload == payload
    assert (theirs.sequence_number, theirs.timestamp, theirs.ssrc) == (
        ours.sequence_number,
        ours.rtp_timestamp,
        ours.ssrc,
    )
    assert (theirs.payload_type, bool(theirs.marker)) == (ours.payload_type, ours.marker)
    if values["extensions"]:
        block = packet[12 + 4 * len(ours.csrcs) + 4 : ours.header_size]
        assert dict(unpack_header_extensions(ours.extension_profile, block)) == ours.extensions


@given(st.integers(0, len(SAMPLE)), st.binary(max_size=60))
def test_noise(cut, noise):
    """A valid beginning with anything behind it parses or is a ParseError."""
    packet = SAMPLE[:cut] + noise
    try:
        header = RtpHeader.parse(packet)
    except ParseError:
        return
    assert header.header_size + header.padding_size <= len(packet)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (SAMPLE[:11], "12 bytes"),
        (b"\x40" + SAMPLE[1:], "version 2"),
        (b"\x8f" + SAMPLE[1:40], "15 CSRCs"),
        (b"\x90" + SAMPLE[1:13], "header of an extension"),
        (b"\x90" + SAMPLE[1:12] + b"\xbe\xde\0\2" + bytes(4), "2 words"),
        (b"\xa0" + SAMPLE[1:12], "padding count"),
        (b"\xa0" + SAMPLE[1:12] + b"\0", "padding count"),
        (b"\xa0" + SAMPLE[1:12] + b"\2", "padding count"),
        (b"\x90" + SAMPLE[1:12] + b"\xbe\xde\0\1\x1f\0\0\0", "16 bytes of extension element 1"),
        (b"\x90" + SAMPLE[1:12] + b"\x10\0\0\1\1\3\0\0", "3 bytes of extension element 1"),
        (b"\x90" + SAMPLE[1:12] + b"\x10\0\0\1\0\0\0\1", "length of an extension element"),
    ],
)
def test_malformed(packet, expected):
    """Each way to be malformed is named."""
    with pytest.raises(ParseError, match=expected):
        RtpHeader.parse(packet)


def test_extension_rules():
    """Padding between elements, the reserved id 15, the first of an id, and foreign profiles (RFC 8285 §4.2)."""
    assert parse_extensions(0xBEDE, b"\0\x10a\0\x20b\0") == {1: b"a", 2: b"b"}
    assert parse_extensions(0xBEDE, b"\x10a\xf0\xff\xff") == {1: b"a"}
    assert parse_extensions(0xBEDE, b"\x10a\x01\xff\xff\x20b") == {1: b"a"}, "an id of 0 is padding, or the end"
    assert parse_extensions(0xBEDE, b"\x10a\x10b") == {1: b"a"}
    assert parse_extensions(0x1234, b"\xff\xff") == {}
    assert parse_extensions(0x100F, b"\1\0\2\1x") == {1: b"", 2: b"x"}
    assert build_extensions({}) == b""
    assert build_extensions({15: b"a"})[:2] == b"\x10\x00"


@pytest.mark.parametrize("packet_type", range(192, 224))
def test_demultiplexing(packet_type):
    """RTCP's packet types are told from RTP's payload types (RFC 5761 §4), both from DTLS and STUN (RFC 7983)."""
    rtcp = struct.pack("!BBH", 0x80, packet_type, 0)
    assert is_rtp(rtcp)
    assert is_rtcp(rtcp)
    assert not is_rtcp(SAMPLE)
    assert not is_rtp(b"\x16\xfe")
    assert not is_rtp(b"")
    assert not is_rtcp(b"\x80")
