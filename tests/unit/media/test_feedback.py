"""Feedback: NACK generation and answering, arrival times, key frame requests."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtcctl.media.feedback import KeyFrameRequests, NackGenerator, RetransmissionCache, TransportCcRecorder
from rtcctl.media.rtcp import GenericNack, TransportFeedback, parse_compound


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


@example([129] * 300)
@example([18] * 600)
@given(st.lists(st.integers(1, 400), max_size=100))
def test_what_is_asked_for_is_bounded(steps):
    """Whatever a publisher leaves out, a request fits a datagram, and the newest gap is asked for."""
    nacks = NackGenerator()
    nacks.receive(0, 0.0)
    number = 0
    for step in steps:
        number += step
        is_gap = nacks.receive(number & 0xFFFF, 0.0)
        assert is_gap == (1 < step <= 129)
    numbers = nacks.requests(0.0)
    assert len(bytes(GenericNack(1, 2, tuple(numbers)))) <= 1100
    if steps and 1 < steps[-1] <= 129:
        assert numbers[-1] == number - 1 & 0xFFFF


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


# -- arrival times ---------------------------------------------------------------------------------------------------


def recorded(recorder: TransportCcRecorder, *arrivals: tuple[int, float]) -> list[TransportFeedback]:
    """Feed (number, milliseconds) and drain, over the wire."""
    for number, ms in arrivals:
        recorder.receive(number, ms / 1000)
    assert recorder.pending == len(arrivals)
    feedbacks = recorder.feedback(1, 2)
    assert recorder.pending == 0
    assert all(len(bytes(feedback)) <= 1100 for feedback in feedbacks)
    assert all((feedback.sender_ssrc, feedback.media_ssrc) == (1, 2) for feedback in feedbacks)
    assert [parse_compound(bytes(feedback)) for feedback in feedbacks] == [[feedback] for feedback in feedbacks]
    return feedbacks


def arrivals_ms(feedback: TransportFeedback) -> dict[int, float]:
    return {number: feedback.reference_time * 64 + ticks / 4 for number, ticks in feedback.received}


def test_arrival_times():
    """What came is told with its time, what did not come between is told as missing."""
    (feedback,) = recorded(TransportCcRecorder(), (65534, 1000), (65535, 1001.25), (1, 1300), (2, 1299))
    assert (feedback.base_sequence, feedback.packet_count, feedback.feedback_count) == (65534, 5, 0)
    assert arrivals_ms(feedback) == {65534: 1000, 65535: 1001.25, 1: 1300, 2: 1299}


def test_feedback_goes_on_where_the_last_ended():
    """A loss between two feedback packets is in the second one; nothing new is nothing to say."""
    recorder = TransportCcRecorder()
    assert recorded(recorder) == []
    recorded(recorder, (10, 0), (11, 0))
    (feedback,) = recorded(recorder, (14, 5))
    assert (feedback.base_sequence, feedback.packet_count, feedback.feedback_count) == (12, 3, 1)
    assert arrivals_ms(feedback) == {14: 5}
    assert recorded(recorder) == []


def test_late_packets_are_reported_alone():
    """What was reported missing and comes is reported again without its neighbours; a duplicate counts once."""
    recorder = TransportCcRecorder()
    recorded(recorder, (10, 0), (20, 0))
    late, pair, new = recorded(recorder, (21, 4), (15, 5), (12, 6), (16, 7), (21, 8))
    assert (late.base_sequence, late.packet_count, arrivals_ms(late)) == (12, 1, {12: 6})
    assert (pair.base_sequence, pair.packet_count, arrivals_ms(pair)) == (15, 2, {15: 5, 16: 7})
    assert (new.base_sequence, new.packet_count, arrivals_ms(new)) == (21, 1, {21: 4})
    assert [feedback.feedback_count for feedback in (late, pair, new)] == [1, 2, 3]


def test_reordering_within_an_interval_is_no_loss():
    """Packets that overtook each other are in one feedback packet, also before the first number seen."""
    (feedback,) = recorded(TransportCcRecorder(), (1, 0), (65535, 1), (0, 2))
    assert (feedback.base_sequence, feedback.packet_count) == (65535, 3)


def test_a_pause_begins_a_new_packet():
    """A delta of more than 16 bits (8.2 s) cannot be written."""
    first, second = recorded(TransportCcRecorder(), (1, 0), (2, 9000), (4, 9001))
    assert (first.base_sequence, first.packet_count) == (1, 1)
    assert (second.base_sequence, second.packet_count, arrivals_ms(second)) == (2, 3, {2: 9000, 4: 9001})


def test_jumps_in_the_numbering():
    """Numbers that leap cost a few bytes each, and no packet reports more than 16 bits can count."""
    feedbacks = recorded(TransportCcRecorder(), *((30_000 * i & 0xFFFF, i) for i in range(40)))
    assert len(feedbacks) == 20
    assert sum(feedback.packet_count for feedback in feedbacks) == 30_000 * 39 + 1


def test_feedback_count_wraps():
    """8 bits count the feedback packets."""
    recorder = TransportCcRecorder()
    counts = [recorded(recorder, (i, 0))[0].feedback_count for i in range(258)]
    assert counts == [*range(256), 0, 1]


@given(
    st.integers(0, 0xFFFF),
    st.lists(st.lists(st.sampled_from((1, 1, 1, 2, 3, 8, 15, 40, 3000, 32_000)), max_size=400), max_size=5),
    st.integers(0, 2**32),
)
def test_every_packet_is_reported_exactly_once(start: int, batches: list[list[int]], seed: int):
    """Each packet that came is in one feedback packet, with its time to a quarter of a millisecond."""
    shuffle = random.Random(seed)
    recorder = TransportCcRecorder()
    number, now_ms, count, base = start, 5000.0, 0, start
    for batch in batches:
        arrivals, reported = [], []
        for step in batch:
            arrivals.append((number & 0xFFFF, now_ms := now_ms + shuffle.choice((0, 0.3, 1, 70, 300))))
            number += step
        if len(dict(arrivals)) < len(arrivals) or number - base > 0xFFFF:
            break
        for feedback in recorded(recorder, *arrivals):
            assert feedback.feedback_count == count & 0xFF
            assert feedback.base_sequence == base & 0xFFFF
            base, count = base + feedback.packet_count, count + 1
            reported += arrivals_ms(feedback).items()
        assert [n for n, _ in reported] == [n for n, _ in arrivals]
        assert all(0 <= came - said < 0.26 for (_, came), (_, said) in zip(arrivals, reported, strict=True))


def test_a_busy_transport_is_cut_into_datagrams():
    """However many packets have come, and whatever the pattern, feedback fits a datagram."""
    shuffle = random.Random(5)
    for step in (1, 2, 7, 8, 14, 15, 20):
        arrivals = [(i * step & 0xFFFF, i + shuffle.choice((0, 90))) for i in range(2000)]
        assert len(recorded(TransportCcRecorder(), *arrivals)) < 20


# -- key frame requests ----------------------------------------------------------------------------------------------


def test_one_request_for_many_wishes():
    """The first wish is asked for at once; those within the hold-off are part of it."""
    requests = KeyFrameRequests()
    assert requests.get_timer() is None
    assert not requests.handle_timer(0)
    assert requests.want(10.0)
    assert not requests.want(10.1)
    assert requests.get_timer() == 10.4
    requests.received(10.2)
    assert requests.get_timer() is None
    assert not requests.handle_timer(10.5)


def test_wish_after_a_key_frame_waits_for_the_hold_off():
    """Whoever comes just after a key frame gets the next one, asked for when the hold-off is over."""
    requests = KeyFrameRequests()
    requests.want(10.0)
    requests.received(10.1)
    assert not requests.want(10.2)
    assert requests.get_timer() == 10.4
    assert not requests.handle_timer(10.3)
    assert requests.handle_timer(10.4)


def test_unanswered_requests_are_repeated():
    """Without a key frame the request is repeated, at doubling distances up to two seconds, wishes or not."""
    requests = KeyFrameRequests(hold_off_s=0.4)
    assert requests.want(0.0)
    sent = [0.0]
    while (due := requests.get_timer()) is not None and due < 12:
        assert not requests.want(due - 0.01)
        assert requests.handle_timer(due)
        sent.append(due)
    assert sent == pytest.approx([0.0, 0.4, 1.2, 2.8, 4.8, 6.8, 8.8, 10.8])
    requests.received(10.9)
    assert not requests.want(11.0)
    assert requests.get_timer() == pytest.approx(11.3)
    assert requests.want(11.3)
    assert requests.get_timer() == pytest.approx(11.7)


def test_key_frame_nobody_asked_for():
    """It changes nothing: the next wish is asked for at once."""
    requests = KeyFrameRequests()
    requests.received(1.0)
    assert requests.want(1.1)
