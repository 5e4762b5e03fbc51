"""The header that every RTCP packet begins with (RFC 3550 §6.4), and the SSRC that most go on with."""

from __future__ import annotations

import struct

from rtcctl.errors import ParseError

HEADER = struct.Struct("!BBH")
"Version, padding bit and count; packet type; length in words, minus one."

MAX_COUNT = 31
"The count field has five bits."

_SSRC = struct.Struct("!L")


def packet(packet_type: int, count: int, body: bytes) -> bytes:
    """One packet, without padding. `count` is the number of blocks, or the format of a feedback message."""
    assert count <= MAX_COUNT
    assert len(body) % 4 == 0
    return HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body


def parse_ssrc(body: bytes, offset: int) -> int:
    """The SSRC at `offset` of a packet's body."""
    if len(body) < offset + _SSRC.size:
        raise ParseError("an SSRC", offset=offset)
    ssrc: int = _SSRC.unpack_from(body, offset)[0]
    return ssrc


__all__ = ["HEADER", "MAX_COUNT", "packet", "parse_ssrc"]
