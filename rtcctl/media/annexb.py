"""H.264 as a byte stream: NAL units behind start codes (H.264 annex B).

    00 00 00 01 | unit | 00 00 01 | unit | 00 …

A unit never contains 00 00 00, 00 00 01 or 00 00 02 (emulation prevention, §7.4.1) and never ends in zero, so that
zeros at its end belong to what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

START_CODE: Final = b"\x00\x00\x00\x01"
_PREFIX: Final = b"\x00\x00\x01"

SLICE, SLICE_PARTITION_A, IDR_SLICE, SEI, SPS, PPS, DELIMITER = 1, 2, 5, 6, 7, 8, 9
"nal_unit_type (H.264 table 7-1)."


class Unit(NamedTuple):
    """Where a NAL unit is in a byte stream."""

    code_at: int
    "Of its start code, three or four bytes."
    start: int
    end: int
    kind: int
    "nal_unit_type, 5 bit."

    @property
    def is_coded_picture(self) -> bool:
        """Whether it is a slice, or a partition of one."""
        return 1 <= self.kind <= 5


def units(stream: bytes | bytearray) -> Iterator[Unit]:
    """The units of a byte stream that are not empty; none when there is no start code."""
    code = stream.find(_PREFIX)
    while code >= 0:
        start = code + len(_PREFIX)
        following = stream.find(_PREFIX, start)
        end = len(stream) if following < 0 else following
        while end > start and not stream[end - 1]:
            end -= 1
        if end > start:
            yield Unit(code - (code > 0 and not stream[code - 1]), start, end, stream[start] & 0x1F)
        code = following


def nal_units(stream: bytes | bytearray) -> Iterator[bytes]:
    """The same, as they are, without start codes."""
    return (bytes(stream[unit.start : unit.end]) for unit in units(stream))


def starts_picture(slice_unit: bytes) -> bool:
    """Whether a slice is the first of its picture: first_mb_in_slice is an Exp-Golomb code, a set bit is 0 (§7.3.3)."""
    return len(slice_unit) > 1 and slice_unit[1] >= 0x80


__all__ = [
    "DELIMITER",
    "IDR_SLICE",
    "PPS",
    "SEI",
    "SLICE",
    "SLICE_PARTITION_A",
    "SPS",
    "START_CODE",
    "Unit",
    "nal_units",
    "starts_picture",
    "units",
]
