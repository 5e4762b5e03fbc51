"""Sequence numbers: order and unwrapping across the wrap."""

from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.seqnum import SequenceUnwrapper, is_newer16

NUMBERS = st.integers(0, 0xFFFF)


def test_newer_across_the_wrap():
    """0 follows 65535, and half the circle away is neither newer nor older."""
    assert is_newer16(0, 0xFFFF)
    assert not is_newer16(0xFFFF, 0)
    assert not is_newer16(7, 7)
    assert not is_newer16(0x8000, 0)
    assert not is_newer16(0, 0x8000)


@given(NUMBERS, NUMBERS)
def test_order_is_antisymmetric(a: int, b: int):
    """Of two different numbers one is newer, unless they face each other."""
    assert is_newer16(a, b) + is_newer16(b, a) == (a != b and (a - b) % 0x10000 != 0x8000)


@given(NUMBERS, st.lists(st.integers(-0x7FFF, 0x7FFF)))
def test_unwrapping_restores_what_was_sent(first: int, steps: list[int]):
    """Whatever comes within half the circle of the highest number is put where it was."""
    unwrapper = SequenceUnwrapper()
    assert unwrapper.highest is None
    assert unwrapper.unwrap(first) == first
    highest = first
    for step in steps:
        sent = highest + step
        assert unwrapper.unwrap(sent & 0xFFFF) == sent
        highest = max(highest, sent)
        assert unwrapper.highest == highest


def test_what_precedes_the_first_number_is_negative():
    """A stream that begins at 0 may be preceded by a late 65535."""
    unwrapper = SequenceUnwrapper()
    unwrapper.unwrap(0)
    assert unwrapper.unwrap(0xFFFF) == -1
    assert unwrapper.highest == 0
