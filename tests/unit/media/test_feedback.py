"""NACK generation and answering (RFC 4585 §6.2.1)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.feedback import NackGenerator, RetransmissionCache


def test_gap_is_asked_for_at_once_and_again():
    """A gap is asked for at once, then each retry interval, five times in all."""
    nacks = NackGenerator(retry_s=0.1, max_requests=3)
    assert not nacks.receive(65534, 0.0)
    assert not nacks.receive(65535, 0.0)
    assert nacks.receive(2, 0.0)
    assert nacks.get_timer() == 0.0
    assert nacks.requests(0.0) == [0, 1]
    assert nacks.requests(0.05) == []
    assert nacks.get_timer() == 0.1
    assert nacks.requests(0.1) == [0, 1]
    assert nacks.requests(0.2) == [0, 1]
    assert nacks.requests(9.9) == []
    assert nacks.get_timer() is None


def test_packet_that_comes_is_not_asked_for():
    """Late or retransmitted packets end the asking; duplicates change nothing."""
    nacks = NackGenerator()
    nacks.receive(1, 0.0)
    nacks.receive(4, 0.0)
    assert not nacks.receive(2, 0.0)
    assert not nacks.receive(4, 0.0)
    assert nacks.requests(0.0) == [3]


def test_wide_gap_is_a_restart():
    """A jump is not asked for."""
    nacks = NackGenerator(max_gap=10)
    nacks.receive(1, 0.0)
    assert not nacks.receive(1000, 0.0)
    assert nacks.requests(0.0) == []


@given(st.integers(0, 0xFFFF), st.sets(st.integers(1, 100), max_size=60))
def test_asks_for_exactly_what_is_missing(start, lost):
    """What is asked for is what did not come, nothing else."""
    nacks = NackGenerator()
    for i in range(102):
        if i not in lost:
            nacks.receive((start + i) & 0xFFFF, 0.0)
    assert nacks.requests(0.0) == [(start + i) & 0xFFFF for i in sorted(lost)]


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=200))
def test_cache_holds_the_newest_of_each_slot(numbers):
    """A packet is found until another takes its place, and never another in its stead."""
    cache = RetransmissionCache(64)
    slots = {}
    for number in numbers:
        cache.store((number, 0x80, 111, 0, b""))
        slots[number % 64] = number
    for number in range(4001):
        found = cache.get(number)
        assert (found is not None) == (slots.get(number % 64) == number)
        assert found is None or found[0] == number
