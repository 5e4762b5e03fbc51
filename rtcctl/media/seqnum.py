"""RTP sequence numbers: 16 bit on the wire, unwrapped to integers that only grow (RFC 3550 appendix A.1)."""

from __future__ import annotations


def is_newer16(a: int, b: int) -> bool:
    """Whether sequence number `a` comes after `b`, across the wrap (RFC 1982: less than half the circle ahead)."""
    return 0 < (a - b) & 0xFFFF < 0x8000


class SequenceUnwrapper:
    """Turns 16-bit sequence numbers into extended ones, each the nearest to the highest seen so far.

    The first one stays as it is; what precedes it across a wrap becomes negative.
    """

    __slots__ = ("_highest",)

    def __init__(self) -> None:
        self._highest: int | None = None

    @property
    def highest(self) -> int | None:
        """The highest extended sequence number so far; `None` before the first."""
        return self._highest

    def unwrap(self, sequence_number: int) -> int:
        """The extended sequence number; the highest is remembered."""
        highest = self._highest
        if highest is None:
            self._highest = sequence_number
            return sequence_number
        extended = highest + ((sequence_number - highest + 0x8000) & 0xFFFF) - 0x8000
        if extended > highest:
            self._highest = extended
        return extended
