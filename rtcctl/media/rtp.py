"""RTP packets (RFC 3550 §5.1) and their header extensions (RFC 8285).

     0                   1                   2                   3
    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    |                           timestamp                           |
    |                             SSRC                              |
    |                     CSRC (0 … 15 of them)                     |
    |      extension profile        |   length in 32-bit words      |   if X
    |                      extension data …                         |

`RtpHeader.parse` reads everything and is for endpoints and set-up; the forwarding path has `media/rewrite.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rtcctl.errors import ParseError

MIN_HEADER_SIZE = 12
"Bytes of a header without CSRCs and extension."
ONE_BYTE_PROFILE = 0xBEDE
TWO_BYTE_PROFILE = 0x1000
"The lowest four bits are for the application (RFC 8285 §4.3)."

_FIXED = struct.Struct("!BBHII")
_Data = bytes | bytearray | memoryview


def is_rtp(data: _Data) -> bool:
    """Whether a datagram of a multiplexed flow is RTP or RTCP (RFC 7983 §7)."""
    return len(data) >= 2 and 128 <= data[0] <= 191


def is_rtcp(data: _Data) -> bool:
    """Whether a datagram for which `is_rtp` holds is RTCP: packet types 192 … 223 (RFC 5761 §4)."""
    return len(data) >= 2 and 192 <= data[1] <= 223


@dataclass(frozen=True, slots=True)
class RtpHeader:
    """All of a packet but its payload."""

    payload_type: int
    "7 bit."
    sequence_number: int
    "16 bit."
    rtp_timestamp: int
    "32 bit, in units of the codec's clock rate."
    ssrc: int
    "32 bit."
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension_profile: int = 0
    "16 bit: 0xBEDE for one-byte elements, 0x100x for two-byte elements, 0 for none; others are kept as a whole."
    extensions: Mapping[int, bytes] = field(default_factory=dict)
    "Element id → value (RFC 8285); empty for a profile that RFC 8285 does not define."
    version: int = 2
    padding: bool = False
    header_size: int = MIN_HEADER_SIZE
    "Bytes before the payload."
    padding_size: int = 0
    "Bytes behind the payload, the count itself included."

    @classmethod
    def parse(cls, data: _Data) -> RtpHeader:
        """Parse the header of one RTP packet."""
        size = len(data)
        if size < MIN_HEADER_SIZE:
            raise ParseError("an RTP header of 12 bytes", offset=size)
        first, second, sequence_number, rtp_timestamp, ssrc = _FIXED.unpack_from(data)
        if first >> 6 != 2:
            raise ParseError("RTP version 2")
        header_size = MIN_HEADER_SIZE + 4 * (first & 0x0F)
        if size < header_size:
            raise ParseError(f"{first & 0x0F} CSRCs", offset=size)
        csrcs = struct.unpack_from(f"!{first & 0x0F}I", data, MIN_HEADER_SIZE)
        profile = 0
        extensions: dict[int, bytes] = {}
        if first & 0x10:
            if size < header_size + 4:
                raise ParseError("the header of an extension", offset=size)
            profile, words = struct.unpack_from("!HH", data, header_size)
            start = header_size + 4
            header_size = start + 4 * words
            if size < header_size:
                raise ParseError(f"{words} words of extension", offset=size)
            extensions = parse_extensions(profile, bytes(data[start:header_size]), offset=start)
        padding_size = 0
        if first & 0x20:
            padding_size = data[size - 1] if size > header_size else 0
            if not 0 < padding_size <= size - header_size:
                raise ParseError("a padding count between 1 and the size of what follows the header", offset=size - 1)
        return cls(
            second & 0x7F,
            sequence_number,
            rtp_timestamp,
            ssrc,
            bool(second & 0x80),
            csrcs,
            profile,
            extensions,
            first >> 6,
            bool(first & 0x20),
            header_size,
            padding_size,
        )


def parse_extensions(profile: int, data: bytes, *, offset: int = 0) -> dict[int, bytes]:
    """The elements of an extension block; `offset` is where it stood, for errors. The first of an id counts."""
    one_byte = profile == ONE_BYTE_PROFILE
    if not one_byte and profile & 0xFFF0 != TWO_BYTE_PROFILE:
        return {}
    elements: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if data[at] == 0:  # padding between elements
            at += 1
            continue
        if one_byte:
            element, size = data[at] >> 4, (data[at] & 0x0F) + 1
            if element in (0, 15):  # the rest is to be ignored (RFC 8285 §4.2)
                break
            at += 1
        else:
            if at + 1 >= len(data):
                raise ParseError("the length of an extension element", offset=offset + at + 1)
            element, size = data[at], data[at + 1]
            at += 2
        if at + size > len(data):
            raise ParseError(f"{size} bytes of extension element {element}", offset=offset + at)
        elements.setdefault(element, data[at : at + size])
        at += size
    return elements


def build_extensions(extensions: Mapping[int, bytes]) -> bytes:
    """An extension block with its 4-byte header: one-byte elements where all fit, else two-byte; empty for none."""
    if not extensions:
        return b""
    if all(1 <= element <= 14 and 1 <= len(value) <= 16 for element, value in extensions.items()):
        profile = ONE_BYTE_PROFILE
        body = b"".join(bytes([element << 4 | len(value) - 1]) + value for element, value in extensions.items())
    else:
        profile = TWO_BYTE_PROFILE
        body = b"".join(bytes([element, len(value)]) + value for element, value in extensions.items())
    body += bytes(-len(body) % 4)
    return struct.pack("!HH", profile, len(body) // 4) + body


def build_packet(
    payload: _Data,
    *,
    payload_type: int,
    sequence_number: int,
    rtp_timestamp: int,
    ssrc: int,
    marker: bool = False,
    csrcs: Sequence[int] = (),
    extensions: Mapping[int, bytes] | None = None,
    padding_size: int = 0,
) -> bytes:
    """A whole packet; `padding_size` bytes of padding (0 … 255) follow the payload."""
    block = build_extensions(extensions or {})
    first = 0x80 | bool(padding_size) << 5 | bool(block) << 4 | len(csrcs)
    header = _FIXED.pack(first, marker << 7 | payload_type, sequence_number, rtp_timestamp, ssrc)
    padding = bytes(padding_size - 1) + bytes([padding_size]) if padding_size else b""
    return header + struct.pack(f"!{len(csrcs)}I", *csrcs) + block + bytes(payload) + padding
