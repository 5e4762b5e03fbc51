"""Whole frames: equal to a naive recount, whatever is lost, late or padding; and bounded, whatever arrives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.frame_flow import GIVE_UP_S, WINDOW, FrameFlow

STEP_S = 1 / 30
STEP_RTP = 3000


@dataclass(frozen=True)
class Packet:
    number: int
    rtp_timestamp: int
    marker: bool
    is_key: bool
    is_start: bool


def video(
    *sizes: int,
    first: int = 1000,
    keys: tuple[int, ...] = (0,),
    padding: tuple[int, ...] = (),
    rtp_timestamp: int = 90_000,
) -> list[Packet]:
    """Frames of so many packets; behind those in `padding` two numbers are used for packets without payload."""
    packets = []
    for i, size in enumerate(sizes):
        for j in range(size):
            packets.append(Packet(first, rtp_timestamp + i * STEP_RTP, j == size - 1, i in keys and j == 0, j == 0))
            first += 1
        first += 2 * (i in padding)
    return packets


def feed(flow: FrameFlow, *packets: Packet, now: float = 0.0, tells: bool = True) -> bool:
    """All at one time. Returns whether the last one completed a frame."""
    is_complete = False
    for p in packets:
        is_complete = flow.receive(p.number, p.rtp_timestamp, p.marker, p.is_key, now, tells and p.is_start)
    return is_complete


def counts(flow: FrameFlow, now: float = 10.0) -> tuple[int, int, int]:
    """Received, key frames of them, incomplete."""
    totals = flow.totals(now)
    return totals.frames_received, totals.key_frames_received, totals.frames_incomplete


# -- one thing at a time ---------------------------------------------------------------------------------------------


def test_packets_in_order():
    """Each marker completes a frame, and nothing else does."""
    flow = FrameFlow()
    packets = video(3, 1, 2, keys=(0, 2))
    assert [feed(flow, p) for p in packets] == [p.marker for p in packets]
    assert counts(flow) == (3, 2, 0)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_frame_that_lost_a_packet(lost):
    """The first, one in the middle, or the one with the marker: that frame is incomplete, the next one is not."""
    flow = FrameFlow()
    packets = video(1, 3, 2)
    del packets[1 + lost]
    feed(flow, *packets)
    assert counts(flow, 0.0) == (2, 1, 0)
    assert counts(flow, GIVE_UP_S + 0.1) == (2, 1, 1)


def test_a_lost_first_packet_of_a_codec_that_does_not_tell():
    """Without `starts_frame` a hole may always be the beginning."""
    flow = FrameFlow()
    packets = video(1, 2, 2)
    del packets[1]
    feed(flow, *packets, tells=False)
    assert counts(flow) == (2, 1, 1)


def test_a_frame_of_which_nothing_came():
    """Nobody knows of it, and the next frame is whole."""
    flow = FrameFlow()
    packets = video(1, 3, 2)
    feed(flow, packets[0], *packets[4:])
    assert counts(flow) == (2, 1, 0)


def test_padding_between_frames():
    """Numbers that never come are no loss if the next packet says that it is the first."""
    flow = FrameFlow()
    feed(flow, *video(1, 2, 2, 1, padding=(0, 1, 2)))
    assert counts(flow) == (4, 1, 0)


def test_a_late_packet_completes_its_frame():
    """And counts when it comes."""
    flow = FrameFlow()
    packets = video(1, 3, 2)
    assert feed(flow, *packets[:2], *packets[3:])
    assert counts(flow, 0.0) == (2, 1, 0)
    assert feed(flow, packets[2], now=0.9)
    assert counts(flow) == (3, 1, 0)


def test_one_late_packet_completes_two_frames():
    """A marker that comes late ends its frame, and is what the frame behind it waited for."""
    flow = FrameFlow()
    packets = video(1, 2, 2)
    feed(flow, *packets[:2], *packets[3:], tells=False)
    assert counts(flow, 0.0) == (1, 1, 0)
    assert feed(flow, packets[2], tells=False)
    assert counts(flow) == (3, 1, 0)


def test_a_late_packet_begins_the_frame_that_is_open():
    """Its marker is still to come."""
    flow = FrameFlow()
    packets = video(1, 4)
    feed(flow, packets[0], *packets[2:4], packets[1])
    assert counts(flow, 0.0) == (1, 1, 0)
    assert feed(flow, packets[4])
    assert counts(flow) == (2, 1, 0)


def test_a_late_marker_before_the_frame_that_is_open():
    """The open frame has its beginning then."""
    flow = FrameFlow()
    packets = video(1, 1, 3)
    feed(flow, packets[0], *packets[2:4], packets[1], packets[4], tells=False)
    assert counts(flow) == (3, 1, 0)


def test_duplicates_count_once():
    """In whatever state their frame is."""
    flow = FrameFlow()
    packets = video(1, 3, 2)
    del packets[2]
    for p in packets:
        feed(flow, p, *packets[: packets.index(p) + 1])
    assert counts(flow) == (2, 1, 1)


def test_too_late():
    """What was given up stays given up, even when the rest comes, and all of it again."""
    flow = FrameFlow()
    packets = video(1, 3, 2)
    feed(flow, *packets[:2], *packets[3:])
    assert not feed(flow, packets[2], now=GIVE_UP_S + 0.1)
    feed(flow, *packets, now=GIVE_UP_S + 0.2)
    assert counts(flow) == (2, 1, 1)


def test_looking_changes_nothing():
    """The fate of a frame depends on when packets come, not on when somebody asks."""
    asked, unasked = FrameFlow(), FrameFlow()
    packets = video(1, 3, 2, 2)
    for at, packet in ((0.0, packets[0]), (0.1, packets[1]), (0.2, packets[3]), (1.25, packets[2]), (1.3, packets[4])):
        for flow in (asked, unasked):
            feed(flow, packet, now=at)
        for early in (0.0, 0.02, 0.04):
            asked.totals(at + early)
            asked.interval(at + early)
    assert counts(asked) == counts(unasked) == (1, 1, 1)


@pytest.mark.parametrize("behind", [WINDOW - 1, WINDOW])
def test_the_window(behind):
    """A frame is given up when so many packets came behind what it misses, however short that took."""
    flow = FrameFlow()
    packets = video(1, 2, *[1] * behind)
    feed(flow, packets[0], packets[2], *packets[3:])
    assert feed(flow, packets[1]) == (behind < WINDOW - 1)
    assert counts(flow)[2] == (behind >= WINDOW - 1)


def test_a_frame_larger_than_the_window():
    """It may have as many packets as it likes, and is repaired where the hole is near enough."""
    flow = FrameFlow()
    packets = video(1, 2000, 1)
    feed(flow, *packets[:1500], *packets[1501:])
    assert counts(flow, 0.0) == (2, 1, 0)
    assert not feed(flow, packets[1500], now=0.1) or counts(flow, 0.1)[0] == 3
    large = FrameFlow()
    feed(large, *packets[:1700], *packets[1701:])
    assert feed(large, packets[1700])
    assert counts(large) == (3, 1, 0)


@pytest.mark.parametrize("key", [0, 1, 2, 3])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (0, 2, 3, 1), (1, 0, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_any_packet_makes_it_a_key_frame(key, order):
    """Parameter sets and slices are packets of their own; whichever comes first or last."""
    flow = FrameFlow()
    before, *frame, after = video(1, 4, 1, keys=())
    frame[key] = replace(frame[key], is_key=True)
    feed(flow, before, *(frame[i] for i in order), after)
    assert counts(flow) == (3, 1, 0)


def test_two_frames_of_one_timestamp():
    """The marker is what ends a frame, on both sides of a packet that comes late."""
    packets = [Packet(1000 + i, 90_000, True, False, False) for i in range(4)]
    flow = FrameFlow()
    feed(flow, packets[0], *packets[2:], packets[1], tells=False)
    # Of the first we do not know the beginning, nor that of the second until the one in front of it is there.
    assert counts(flow, 0.5)[0] == 3
    flow = FrameFlow()
    feed(flow, packets[0], packets[3], packets[2], packets[1], tells=False)
    assert counts(flow, 0.5)[0] == 3


def test_a_frame_that_did_not_need_its_first_packet():
    """A delimiter in front of a slice that could begin the frame as well: it comes late, and changes nothing."""
    flow = FrameFlow()
    packets = video(1, 4, 1)
    packets[3] = replace(packets[3], is_start=True)
    feed(flow, packets[0], *packets[3:])
    assert counts(flow, 0.0) == (3, 1, 0)
    assert not feed(flow, packets[2], packets[1])
    assert counts(flow) == (3, 1, 0)


def test_what_was_given_up_is_no_beginning():
    """A late packet behind the start of its frame does not start another one, whatever timestamp it has."""
    flow = FrameFlow()
    packets = video(1, 3, 2)
    feed(flow, *packets[:2], *packets[3:])
    late = replace(packets[2], rtp_timestamp=1, marker=True)
    assert not feed(flow, late, now=GIVE_UP_S + 0.1)
    assert counts(flow)[0] == 2


def test_far_too_late_is_no_new_stream():
    """Retransmissions behind the window come in sequence, too."""
    flow = FrameFlow()
    feed(flow, *video(*[1] * 2000))
    feed(flow, *video(*[1] * 300, first=1000 + 2000 - WINDOW - 400, rtp_timestamp=1))
    assert counts(flow) == (2000, 1, 0)


def test_we_came_in_the_middle_of_a_frame():
    """What was under way is nobody's loss; what was there before us and comes late belongs to it."""
    flow = FrameFlow()
    packets = video(4, 2, keys=())
    feed(flow, *packets[2:])
    assert counts(flow) == (1, 0, 0)
    early = FrameFlow()
    feed(early, packets[2], packets[1], packets[3], packets[0], *packets[4:])
    assert counts(early) == (2, 0, 0)


def test_a_frame_without_its_marker():
    """Another timestamp follows, with nothing missing: the end was left out by the sender."""
    flow = FrameFlow()
    packets = video(1, 2)
    feed(flow, *packets[:2], Packet(1002, 1, True, False, True))
    assert counts(flow) == (2, 1, 1)


def test_the_stream_begins_anew():
    """Two packets in sequence far behind say so; one does not."""
    flow = FrameFlow()
    feed(flow, *video(1, 2, 2, first=100_000))
    feed(flow, video(1, first=10)[0], *video(2, first=100_005, keys=()))
    assert counts(flow) == (4, 1, 0)
    feed(flow, *video(1, 2, 2, first=50))
    assert counts(flow) == (4 + 2, 1, 0)


def test_a_jump_ahead():
    """What waited has nothing to wait for any more."""
    flow = FrameFlow()
    packets = video(1, 2)
    feed(flow, *packets[:2], *video(1, 1, first=10**9, rtp_timestamp=1))
    assert counts(flow, 0.0) == (3, 2, 1)
    feed(flow, *video(1, 1, first=10**9 + 5, rtp_timestamp=2))
    assert counts(flow, 0.0) == (5, 3, 1)


def test_the_newest_frame_is_under_way():
    """It may be slow: it is incomplete only when something is missing, or another one follows."""
    flow = FrameFlow()
    packets = video(1, 3, 1)
    feed(flow, *packets[:3])
    assert counts(flow, 5.0) == (1, 1, 0)
    feed(flow, packets[4], now=5.0)
    assert counts(flow, 7.0) == (2, 1, 1)


# -- the range -------------------------------------------------------------------------------------------------------


def test_nothing_came():
    """Unknown is not 0."""
    assert FrameFlow().totals(5.0).frame_rate_hz is None
    assert FrameFlow().interval(5.0).frame_rate_hz is None


def test_frame_rate_of_range_and_interval():
    """Frames over the time in which they came, to the end of it."""
    flow = FrameFlow()
    for i, packet in enumerate(video(*[1] * 60)):
        feed(flow, packet, now=i * STEP_S)
    assert flow.totals(2.0).frame_rate_hz == pytest.approx(30)
    first = flow.interval(2.0)
    assert (first.frames_received, first.frame_rate_hz, first.interval_s) == (60, pytest.approx(30), 2.0)
    stopped = flow.interval(3.0)
    assert (stopped.frames_received, stopped.frame_rate_hz, stopped.interval_s) == (0, 0.0, 1.0)
    assert flow.totals(3.0).frame_rate_hz == pytest.approx(20)


def test_restart_range():
    """Counts begin at 0; the frame that is under way, and what waits, go on."""
    flow = FrameFlow()
    packets = video(1, 3, 2, 2)
    feed(flow, *packets[:2], *packets[3:5], now=1.0)
    flow.restart_range(1.5)
    assert counts(flow, 1.5) == (0, 0, 0)
    feed(flow, *packets[5:], packets[2], now=1.75)
    assert counts(flow, 2.0) == (3, 0, 0)
    assert flow.totals(3.5).interval_s == 2.0


def test_freezes():
    """A frame that stood for 3 δ and for δ + 150 ms is one; a slower picture is not."""
    flow = FrameFlow()
    packets = iter(video(*[1] * 40))
    now = 0.0
    for gap in [0.02] * 10 + [0.16] + [0.02] * 10 + [0.2] + [0.02] * 5:
        now += gap
        feed(flow, next(packets), now=now)
    totals = flow.totals(now)
    assert (totals.freezes, totals.freeze_ms) == (1, pytest.approx(200))
    assert flow.interval(now).freezes == 1
    assert flow.interval(now).freezes == 0


# -- a naive recount -------------------------------------------------------------------------------------------------


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Packet], list[tuple[Packet, bool]]]:
    """What was sent, and what of it came in which order (and whether again).

    The first frame came in order, and the last one in the end.
    """
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=25))
    frames = st.sets(st.integers(0, len(sizes)))
    sent = video(2, *sizes, 1, keys=tuple(draw(frames)), padding=tuple(draw(frames)))
    delays = draw(st.lists(st.none() | st.integers(0, 12), min_size=len(sent) - 3, max_size=len(sent) - 3))
    delayed = zip([*delays, 12], sent[2:], strict=True)
    came = sorted((i + d, i, p) for i, (d, p) in enumerate(delayed) if d is not None)
    again = draw(st.sets(st.integers(0, len(came))))
    return sent, [(p, False) for p in sent[:2]] + [(p, n in again) for n, (_, _, p) in enumerate(came)]


@given(arrivals())
def test_recount(stream):
    """Frames of which all came, and of which some came; each is complete when its last packet came."""
    sent, came = stream
    flow = FrameFlow()
    seen: set[int] = set()
    whole: set[int] = set()
    for i, (packet, again) in enumerate(came):
        seen.add(packet.number)
        stamps = {p.rtp_timestamp for p in sent} - {p.rtp_timestamp for p in sent if p.number not in seen}
        assert feed(flow, packet, now=i * 0.001) == (stamps > whole)
        whole = stamps
        if again:
            assert not feed(flow, packet, now=i * 0.001)
    some = {p.rtp_timestamp for p, _ in came}
    keys = {p.rtp_timestamp for p in sent if p.is_key}
    assert counts(flow) == (len(whole), len(whole & keys), len(some - whole))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=25), st.randoms(use_true_random=False))
def test_all_came(sizes, order):
    """A codec that does not tell where frames start: all are complete once all came, in whatever order."""
    first, *rest = video(1, *sizes)
    order.shuffle(rest)
    flow = FrameFlow()
    feed(flow, first, *rest, tells=False)
    assert counts(flow) == (1 + len(sizes), 1, 0)


# -- whatever arrives ------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.integers(-3000, 3000) | st.integers(-(10**9), 10**9),
            st.integers(0, 3),
            st.booleans(),
            st.booleans(),
            st.floats(0, 0.6),
            st.booleans(),
        ),
        max_size=200,
    )
)
def test_any_numbers(packets):
    """No exception, and nothing negative."""
    flow = FrameFlow()
    now, number, completed = 0.0, 5000, 0
    for step, timestamp, marker, is_key, gap, is_start in packets:
        now += gap
        number += step if abs(step) > 2000 else step // 100
        completed += flow.receive(number, timestamp, marker, is_key, now, is_start)
    totals = flow.totals(now + 2)
    assert completed <= totals.frames_received <= len(packets)
    assert 0 <= totals.key_frames_received <= totals.frames_received
    assert 0 <= totals.frames_incomplete <= len(packets)


@pytest.mark.parametrize(
    "numbers",
    [
        range(0, 40_000, 2),
        [start + d for start in range(0, 20_000, 500) for d in range(500, 0, -2)],
        range(20_000),
        range(0, 20_000 * 600, 600),
        range(20_000, 0, -1),
        [n - n % 2 * 2000 for n in range(20_000)],
    ],
    ids=["every second", "descending", "no marker", "jumps", "backwards", "two streams"],
)
def test_memory_is_bounded(numbers):
    """By the window, within one moment."""
    flow = FrameFlow()
    for number in numbers:
        flow.receive(number, number * 7, False, False, 0.0)
        assert len(flow._waiting) <= 3 * WINDOW
        assert len(flow._by_first) <= 2 * WINDOW
        assert flow._missing.bit_length() <= 3 * WINDOW
        assert len(flow._given_up) <= WINDOW
