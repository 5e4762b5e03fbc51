"""AV1 open bitstream units and the leb128 sizes in front of them (AV1 bitstream specification §4.10.5, §5.3).

     0 1 2 3 4 5 6 7
    +-+-+-+-+-+-+-+-+
    |0| kind  |X|S|0|     X: an extension byte follows, S: a size follows (of what is behind both)
    +-+-+-+-+-+-+-+-+

In a file or decoder every unit has its size; in RTP the payload says where a unit ends, so that it has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rtcctl.errors import ParseError

SEQUENCE_HEADER, TEMPORAL_DELIMITER, FRAME_HEADER, FRAME, TILE_LIST = 1, 2, 3, 6, 8
"obu_type (§6.2.2)."

_HAS_EXTENSION: Final = 0x04
_HAS_SIZE: Final = 0x02
_MAX_LEB128_BYTES: Final = 8


def leb128(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the high bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | value & 0x7F)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """The value at `at`, and where it ends. Raises `ParseError`."""
    value = 0
    for i in range(_MAX_LEB128_BYTES):
        if at + i >= len(data):
            break
        value |= (data[at + i] & 0x7F) << 7 * i
        if not data[at + i] & 0x80:
            return value, at + i + 1
    raise ParseError("a leb128 number", offset=at)


def kind_of(obu: bytes) -> int:
    """obu_type of a unit that is not empty."""
    return obu[0] >> 3 & 0x0F


def without_sizes(temporal_unit: bytes) -> Iterator[bytes]:
    """The units of a temporal unit, each without its size field. Raises `ParseError`."""
    at = 0
    while at < len(temporal_unit):
        header = temporal_unit[at]
        body = at + 1 + (header & _HAS_EXTENSION != 0)
        if body > len(temporal_unit):
            raise ParseError("an OBU extension", offset=at + 1)
        size, start = read_leb128(temporal_unit, body) if header & _HAS_SIZE else (len(temporal_unit) - body, body)
        if start + size > len(temporal_unit):
            raise ParseError(f"an OBU of {size} bytes", offset=start)
        yield bytes((header & ~_HAS_SIZE,)) + temporal_unit[at + 1 : body] + temporal_unit[start : start + size]
        at = start + size


def with_size(obu: bytes) -> bytes:
    """A unit without size field, with it."""
    body = 1 + (obu[0] & _HAS_EXTENSION != 0)
    return bytes((obu[0] | _HAS_SIZE,)) + obu[1:body] + leb128(len(obu) - body) + obu[body:]


__all__ = [
    "FRAME",
    "FRAME_HEADER",
    "SEQUENCE_HEADER",
    "TEMPORAL_DELIMITER",
    "TILE_LIST",
    "kind_of",
    "leb128",
    "read_leb128",
    "with_size",
    "without_sizes",
]
