"""Covers rtcctl/media/continuity.py."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.continuity import REORDER_FRAMES, Continuity, ContinuityStatistics

FRAME_S = 1 / 30


def fed(numbers: Iterable[int | None], *, start: float = 10.0, layer: str = "") -> Continuity:
    """Frames with these numbers, at 30 a second."""
    continuity = Continuity()
    for n, number in enumerate(numbers):
        continuity.frame_rendered(number, start + n * FRAME_S, layer)
    return continuity


def order(numbers: Iterable[int | None]) -> tuple[int, int, int]:
    """Missing, repeated, out of order."""
    totals = fed(numbers).totals(20.0)
    return totals.missing, totals.repeated, totals.out_of_order


def test_frames_in_order_are_all_there():
    """Nothing is missing, and the first number may be any."""
    totals = fed(range(700, 760)).totals(12.0)
    assert totals == ContinuityStatistics(interval_s=2.0, frames=60)
    assert totals.frame_rate_hz == 30


def test_before_the_first_frame_nothing_is_known():
    """No time has passed, and there is no rate."""
    continuity = Continuity()
    assert continuity.totals(5.0) == continuity.interval(6.0) == ContinuityStatistics()
    assert continuity.totals(5.0).frame_rate_hz is None


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1, 5, 6], (3, 0, 0)),
        ([0, 1, 1, 1, 2], (0, 2, 0)),
        ([0, 1, 3, 2, 4], (0, 0, 1)),
        ([0, 1, 3, 2, 2, 4], (0, 1, 1)),
        ([0, 4, 1, 2], (1, 0, 2)),
        ([(1 << 32) - 2, (1 << 32) - 1, 0, 1], (0, 0, 0)),
        ([(1 << 32) - 1, 2, 0], (1, 0, 1)),
    ],
)
def test_missing_repeated_and_late(numbers: list[int | None], expected: tuple[int, int, int]):
    """A late frame is missing no more; numbers wrap."""
    assert order(numbers) == expected


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [([0, None, 2], 0), ([0, None, 3], 1), ([0, None, None, None, 2, 3], 0), ([None, None, 5, 6], 0)],
)
def test_a_frame_that_cannot_be_read_excuses_one_number(numbers: list[int | None], missing: int):
    """It came, whichever it was."""
    totals = fed(numbers).totals(20.0)
    assert totals.missing == missing
    assert totals.frames == len(numbers)
    assert totals.frames_unnumbered == numbers.count(None)


def test_what_was_excused_does_not_come_late():
    """A number that an unreadable frame stood for is not counted back when it is seen after all."""
    assert order([0, None, 3, 2, 1]) == (0, 1, 1)


def test_a_source_that_begins_anew_misses_nothing():
    """A restart of the publisher, far below; just below it is the same source."""
    assert order([500, 501, 0, 1, 2]) == (0, 0, 0)
    assert order([REORDER_FRAMES, 0]) == (0, 1, 0)


def test_another_layer_has_its_own_numbers():
    """A switch of layers is no loss, whatever the numbers do."""
    continuity = fed(range(100, 110))
    continuity.frame_rendered(130, 11.0, "q")
    continuity.frame_rendered(131, 11.1, "q")
    continuity.frame_rendered(110, 11.2, "h")
    assert continuity.totals(12.0).missing == continuity.totals(12.0).repeated == 0


def test_a_freeze_is_a_frame_that_stands_too_long():
    """At 30 frames a second the limit is 183 ms; the whole duration counts."""
    continuity = fed(range(40), start=0.0)
    last = 39 * FRAME_S
    continuity.frame_rendered(40, last + 0.180)
    assert continuity.totals(5.0).freezes == 0
    continuity = fed(range(40), start=0.0)
    continuity.frame_rendered(40, last + 0.190)
    assert continuity.totals(5.0).freezes == 1
    assert continuity.totals(5.0).freeze_ms == pytest.approx(190)


def test_slow_frames_are_measured_by_their_own_rate():
    """At five frames a second it takes three durations (600 ms), and 350 ms are none."""
    for gap, freezes in ((0.35, 0), (0.59, 0), (0.61, 1)):
        continuity = Continuity()
        for n in range(20):
            continuity.frame_rendered(n, n * 0.2)
        continuity.frame_rendered(20, 19 * 0.2 + gap)
        assert continuity.totals(9.0).freezes == freezes


def test_the_average_is_of_the_last_thirty():
    """Frames that were slow long ago do not excuse one that is now."""
    continuity = Continuity()
    now = 0.0
    for number in range(60):
        now += 0.5 if number < 30 else FRAME_S
        continuity.frame_rendered(number, now)
    continuity.frame_rendered(60, now + 0.2)
    assert continuity.totals(now).freezes == 1


def test_a_first_pause_is_no_freeze():
    """Of one or two durations there is no average."""
    continuity = fed(range(2), start=0.0)
    continuity.frame_rendered(2, 3.0)
    assert continuity.totals(4.0).freezes == 0


def test_a_stream_that_stopped_is_no_freeze_yet():
    """As in webrtc-stats, the frame that ends it counts it; the rate falls meanwhile."""
    continuity = fed(range(30), start=0.0)
    assert continuity.totals(10.0).freezes == 0
    assert continuity.totals(10.0).frame_rate_hz == 3


def test_a_range_that_begins_anew_keeps_the_order():
    """What was left out before does not come back as negative; what is left out after counts."""
    continuity = fed([0, 1, 3])
    continuity.restart_range(11.0)
    continuity.frame_rendered(2, 11.0)
    continuity.frame_rendered(6, 11.0 + FRAME_S)
    totals = continuity.totals(12.0)
    assert (totals.frames, totals.missing, totals.interval_s) == (2, 2, 1.0)


@given(
    st.lists(st.tuples(st.none() | st.integers(0, 60), st.floats(0, 0.4), st.booleans()), max_size=80),
)
def test_intervals_add_up(frames: list[tuple[int | None, float, bool]]):
    """Whatever comes, the sum of the intervals is the total, and reading a total changes nothing."""
    continuity, now, intervals = Continuity(), 1.0, []
    for number, gap, is_read in frames:
        now += gap
        continuity.frame_rendered(number, now)
        if is_read:
            intervals.append(continuity.interval(now))
            continuity.totals(now)
    intervals.append(continuity.interval(now))
    total = continuity.totals(now)
    for name in ("frames", "frames_unnumbered", "missing", "repeated", "out_of_order", "freezes"):
        assert sum(getattr(interval, name) for interval in intervals) == getattr(total, name)
    assert sum(interval.freeze_ms for interval in intervals) == pytest.approx(total.freeze_ms)
    assert sum(interval.interval_s for interval in intervals) == pytest.approx(total.interval_s)
    assert total.missing >= 0
