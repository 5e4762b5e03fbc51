"""The shape of SCTP packets (RFC 9260 §3): what must hold before an implementation acts on one.

    common header, 12 bytes: ports, verification tag, checksum
    chunk:     type (8) | flags (8) | length (16, with these four bytes, without padding) | value | padding to 4
    parameter: type (16) | length (16, likewise) | value | padding to 4

An implementation that trusts lengths can be made to loop for ever (a parameter of length 0) or for minutes (gap blocks
that overlap), by anybody who has a data channel. What the chunks mean, and whether the checksum is right, is not
looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from struct import Struct

from rtcctl.errors import ParseError


class ChunkType(IntEnum):
    """RFC 9260 §3.2, RFC 6525 §3.1, RFC 3758 §3.2."""

    DATA = 0
    INIT = 1
    INIT_ACK = 2
    SACK = 3
    HEARTBEAT = 4
    HEARTBEAT_ACK = 5
    ABORT = 6
    SHUTDOWN = 7
    ERROR = 9
    RE_CONFIG = 130
    FORWARD_TSN = 192


HEADER_SIZE = 12
"Bytes of the common header."
CHUNK_HEADER_SIZE = 4

_CHUNK = Struct("!BBH")
_PARAMETER = Struct("!HH")
_SACK = Struct("!LLHH")
_GAP = Struct("!HH")

_FIXED_SIZES: Mapping[int, int] = {
    ChunkType.DATA: 13,  # a DATA chunk without user data is an error (RFC 9260 §3.3.1)
    ChunkType.INIT: 16,
    ChunkType.INIT_ACK: 16,
    ChunkType.SACK: 12,
    ChunkType.SHUTDOWN: 4,
    ChunkType.FORWARD_TSN: 4,
}
"Bytes of a chunk's value that are always there."
_WITH_PARAMETERS: Mapping[int, int] = {
    ChunkType.INIT: 16,
    ChunkType.INIT_ACK: 16,
    ChunkType.HEARTBEAT: 0,
    ChunkType.HEARTBEAT_ACK: 0,
    ChunkType.ABORT: 0,
    ChunkType.ERROR: 0,
    ChunkType.RE_CONFIG: 0,
}
"Where in the value a list of parameters, or of error causes, begins."
_RECONFIGURATION_SIZES = {13: 12, 14: 4, 15: 8, 16: 8, 17: 8, 18: 8}
"Bytes of the value of each re-configuration parameter, without the list of streams (RFC 6525 §4)."


def check_packet(data: bytes) -> None:
    """ParseError unless every chunk is whole, as long as its type needs, and free of what no sender may write."""
    offset = HEADER_SIZE
    if len(data) < HEADER_SIZE + CHUNK_HEADER_SIZE:
        raise ParseError("a header and a chunk", offset=len(data))
    while offset + CHUNK_HEADER_SIZE <= len(data):
        kind, _, length = _CHUNK.unpack_from(data, offset)
        end = offset + length
        if length < CHUNK_HEADER_SIZE or end > len(data):
            raise ParseError("a chunk inside the packet", offset=offset)
        if kind == ChunkType.INIT and (offset != HEADER_SIZE or end + -length % 4 < len(data)):
            raise ParseError("an INIT alone in its packet", offset=offset)
        _check_chunk(data, kind, offset + CHUNK_HEADER_SIZE, end)
        offset = end + -length % 4


def _check_chunk(data: bytes, kind: int, start: int, end: int) -> None:
    if end - start < _FIXED_SIZES.get(kind, 0):
        raise ParseError(f"a longer chunk of type {kind}", offset=start)
    if kind == ChunkType.SACK:
        _check_gaps(data, start, end)
    elif kind == ChunkType.FORWARD_TSN and (end - start) % 4:
        raise ParseError("whole pairs of stream and sequence number", offset=start)
    elif (first := _WITH_PARAMETERS.get(kind)) is not None:
        for parameter, value, size in _parameters(data, start + first, end):
            if kind == ChunkType.RE_CONFIG and size < _RECONFIGURATION_SIZES.get(parameter, 0):
                raise ParseError(f"a longer parameter of type {parameter}", offset=value)
            if kind == ChunkType.RE_CONFIG and parameter in (13, 14) and size % 2:
                raise ParseError("whole stream numbers", offset=value)


def _check_gaps(data: bytes, start: int, end: int) -> None:
    """Gap blocks ascend and are apart (RFC 9260 §3.3.4), so that they name each TSN once."""
    _, _, gaps, duplicates = _SACK.unpack_from(data, start)
    if _SACK.size + 4 * (gaps + duplicates) > end - start:
        raise ParseError("room for the blocks that are announced", offset=start)
    previous = 0
    for offset in range(start + _SACK.size, start + _SACK.size + 4 * gaps, 4):
        first, last = _GAP.unpack_from(data, offset)
        if not previous < first <= last:
            raise ParseError("gap blocks in ascending order", offset=offset)
        previous = last


def _parameters(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Type, offset and size of each parameter's value."""
    while start + _PARAMETER.size <= end:
        kind, length = _PARAMETER.unpack_from(data, start)
        if length < _PARAMETER.size or start + length > end:
            raise ParseError("a parameter inside its chunk", offset=start)
        yield kind, start + _PARAMETER.size, length - _PARAMETER.size
        start += length + -length % 4
