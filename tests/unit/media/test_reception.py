"""Reception statistics: equal to a naive recount, and to the code of RFC 3550 appendix A."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtcctl.media.reception import Reception, ReceptionStatistics

RATE_HZ = 48_000
SETTLE_S = 1.0
MISORDER = 16
DROPOUT = 50


def small() -> ReceptionStatistics:
    return ReceptionStatistics(RATE_HZ, settle_s=SETTLE_S, max_misorder=MISORDER, max_dropout=DROPOUT)


def feed(statistics: ReceptionStatistics, *numbers: int, now: float = 0.0, step_s: float = 0.02) -> float:
    """Packets of these numbers, each `step_s` after the other; returns the time of the last one."""
    for i, number in enumerate(numbers):
        statistics.receive(number & 0xFFFF, number * 960 & 0xFFFF_FFFF, 100, now + i * step_s)
    return now + (len(numbers) - 1) * step_s


# -- a naive recount -------------------------------------------------------------------------------------------------


@dataclass
class Naive:
    """Keeps everything, and counts from the definitions."""

    events: list[tuple[str, int, float]] = field(default_factory=list)
    "(`own`, `rtx` or `asked`; extended number; time), as far as they were near enough to be accepted."
    base: int | None = None
    highest: int = 0
    first: int = 0
    "Of the counted range."
    rfc_lost_before: int = 0

    def packet(self, kind: str, number: int, now: float) -> bool:
        """Whether the packet is new."""
        if self.base is None:
            if kind == "rtx":
                return False
            self.base = self.highest = self.first = number
        if number <= self.highest - MISORDER:
            return False
        seen = any(n == number and k != "asked" for k, n, _ in self.events)
        is_missing = self.base <= number <= self.highest and not seen and bool(self.events)
        if kind == "rtx" and number <= self.highest and not is_missing:
            return False
        self.events.append((kind, number, now))
        self.highest = max(self.highest, number)
        return not seen or number < self.base

    def asked(self, number: int, now: float) -> None:
        if self.base is not None and self.highest - MISORDER < number < self.highest:
            self.events.append(("asked", number, now))

    def rfc_lost(self) -> int:
        if self.base is None:
            return 0
        return self.highest - self.base + 1 - sum(kind == "own" for kind, _, _ in self.events)

    def restart_range(self) -> None:
        self.first = self.highest + 1 if self.base is not None else 0
        self.rfc_lost_before = self.rfc_lost()

    def count(self, now: float, *, is_final: bool) -> dict[str, int]:
        counts = dict.fromkeys(("received", "lost", "recovered", "late", "duplicated", "reordered"), 0)
        counts["rfc_lost"] = self.rfc_lost() - self.rfc_lost_before
        if self.base is None:
            return counts
        for number in range(self.first, self.highest + 1):
            self._count(number, now, is_final, counts)
        return counts

    def _count(self, number: int, now: float, is_final: bool, counts: dict[str, int]) -> None:
        mine = [(i, kind, at) for i, (kind, n, at) in enumerate(self.events) if n == number]
        arrivals = [(i, kind, at) for i, kind, at in mine if kind != "asked"]
        overtaken = [(i, at) for i, (kind, n, at) in enumerate(self.events) if kind != "asked" and n > number]
        counts["duplicated"] += sum(kind == "own" for _, kind, _ in arrivals[1:])
        if not arrivals:
            missed_at = overtaken[0][1]
            too_far = number <= self.highest - MISORDER
            counts["lost"] += is_final or too_far or now - missed_at > SETTLE_S
            return
        index, kind, at = arrivals[0]
        if kind == "rtx" or any(i < index for i, kind, _ in mine if kind == "asked"):
            counts["received"] += 1
            counts["lost"] += 1
            counts["recovered"] += 1
        elif not overtaken or overtaken[0][0] > index:
            counts["received"] += 1
        elif at - overtaken[0][1] <= SETTLE_S:
            counts["received"] += 1
            counts["reordered"] += 1
        else:
            counts["lost"] += 1
            counts["late"] += 1


STEPS = st.one_of(
    st.just(("own", 1)),
    st.tuples(st.just("own"), st.integers(1, 4)),
    st.tuples(st.just("own"), st.integers(-6, 0)),
    st.tuples(st.just("own"), st.integers(2, DROPOUT - 1)),
    st.tuples(st.just("rtx"), st.integers(-6, 2)),
    st.tuples(st.just("asked"), st.integers(-6, -1)),
    st.tuples(st.just("wait"), st.integers(1, 6)),
    st.just(("restart_range", 0)),
    st.just(("interval", 0)),
)


@settings(max_examples=400)
@given(st.integers(0, 0xFFFF), st.lists(STEPS, max_size=60), st.booleans())
@example(0, [("own", 1), ("own", -2), ("own", 3)], True)
@example(0, [("own", 1), ("own", 2), ("wait", 5), ("interval", 0), ("own", -1)], False)
@example(0, [("own", 1), ("own", 2), ("wait", 5), ("interval", 0), ("rtx", -1)], False)
def test_equals_a_naive_recount(first: int, steps: list[tuple[str, int]], is_final: bool):
    """Over any sequence of arrivals, requests and restarts the figures are what the definitions say."""
    statistics, naive = small(), Naive()
    now, highest = 0.0, first - 1
    summed: dict[str, int] = {}
    for kind, step in steps:
        number = highest + step
        if kind == "wait":
            now += step * 0.25
        elif kind == "own":
            assert statistics.receive(number & 0xFFFF, 0, 1, now) == naive.packet("own", number, now)
            highest = naive.highest
        elif kind == "rtx":
            is_new = naive.packet("rtx", number, now)
            assert statistics.receive_retransmission(number & 0xFFFF, 1, now) == is_new
            highest = naive.highest if naive.base is not None else highest
        elif kind == "asked":
            statistics.requested(number & 0xFFFF)
            naive.asked(number, now)
        elif kind == "restart_range":
            statistics.restart_range(now)
            naive.restart_range()
            summed = {}
        else:
            add(summed, figures(statistics.interval(now)))
    totals = statistics.totals(now, is_final=is_final)
    assert totals == statistics.totals(now, is_final=is_final)
    expected = naive.count(now, is_final=is_final)
    known = expected["received"] + expected["lost"] > 0
    assert (totals.packets_lost is not None) == known
    if known:
        assert figures(totals) == expected
        decided = expected["lost"] + expected["received"] - expected["recovered"]
        assert totals.fraction_lost == expected["lost"] / decided
        assert totals.bytes_received == totals.packets_received
    else:
        assert totals.packets_received == 0
    if not is_final and known:
        add(summed, figures(statistics.interval(now)))
        # An interval in which nothing was decided tells nothing, so duplicates alone are not in the sum.
        for name in ("received", "lost", "recovered", "late", "reordered"):
            assert summed[name] == expected[name]


def figures(reception: Reception) -> dict[str, int]:
    names = {
        "received": "packets_received",
        "lost": "packets_lost",
        "recovered": "packets_recovered",
        "late": "packets_late",
        "duplicated": "packets_duplicated",
        "reordered": "packets_reordered",
        "rfc_lost": "packets_lost_rfc3550",
    }
    return {name: getattr(reception, attribute) or 0 for name, attribute in names.items()}


def add(summed: dict[str, int], counts: dict[str, int]) -> None:
    for name, count in counts.items():
        summed[name] = summed.get(name, 0) + count


# -- the code of RFC 3550 --------------------------------------------------------------------------------------------


class Appendix:
    """`init_seq`, `update_seq` and the sums of appendices A.1 and A.3, word for word; jitter of A.8."""

    MAX_DROPOUT = 3000
    MAX_MISORDER = 100
    MIN_SEQUENTIAL = 2

    def __init__(self, number: int) -> None:
        self.init_seq(number)
        self.max_seq = (number - 1) & 0xFFFF
        self.probation = self.MIN_SEQUENTIAL

    def init_seq(self, number: int) -> None:
        self.base_seq = self.max_seq = number
        self.bad_seq = 0x10001
        self.cycles = self.received = self.received_prior = self.expected_prior = 0

    def update_seq(self, number: int) -> bool:
        udelta = (number - self.max_seq) & 0xFFFF
        if self.probation:
            if number == (self.max_seq + 1) & 0xFFFF:
                self.probation -= 1
                self.max_seq = number
                if self.probation == 0:
                    self.init_seq(number)
                    self.received += 1
                    return True
            else:
                self.probation = self.MIN_SEQUENTIAL - 1
                self.max_seq = number
            return False
        if udelta < self.MAX_DROPOUT:
            if number < self.max_seq:
                self.cycles += 0x10000
            self.max_seq = number
        elif udelta <= 0x10000 - self.MAX_MISORDER:
            if number != self.bad_seq:
                self.bad_seq = (number + 1) & 0xFFFF
                return False
            self.init_seq(number)
        self.received += 1
        return True

    def report(self) -> tuple[int, int, int]:
        """Fraction lost, cumulative lost, extended highest number."""
        if self.probation:
            return 0, 0, 0
        extended_max = self.cycles + self.max_seq
        expected = extended_max - self.base_seq + 1
        expected_interval = expected - self.expected_prior
        received_interval = self.received - self.received_prior
        self.expected_prior, self.received_prior = expected, self.received
        lost_interval = expected_interval - received_interval
        fraction = 0 if expected_interval == 0 or lost_interval <= 0 else (lost_interval << 8) // expected_interval
        return fraction, expected - self.received, extended_max


MOVES = st.one_of(
    st.just(1),
    st.integers(-5, 5),
    st.integers(-101, -98),
    st.integers(2990, 3010),
    st.integers(0, 0xFFFF),
)


@settings(max_examples=300)
@given(st.integers(0, 0xFFFF), st.lists(st.tuples(MOVES, st.booleans()), max_size=60))
@example(65_534, [(1, True)] * 4)
@example(100, [(1, True), (1, True), (20_000, False), (1, True), (1, True)])
def test_equals_the_code_of_appendix_a(first: int, moves: list[tuple[int, bool]]):
    """Probation, wrap, restart and the numbers of a report block are those of RFC 3550, at any time of asking."""
    statistics = ReceptionStatistics(RATE_HZ, max_misorder=100, min_sequential=2)
    appendix = Appendix(first)
    number = first
    for move, is_report_due in [(0, False), *moves]:
        number = (number + move) & 0xFFFF
        statistics.receive(number, 0, 100, 0.0)
        appendix.update_seq(number)
        if is_report_due:
            block = statistics.report_block(1, 0.0)
            assert (block.fraction_lost_q8, block.packets_lost, block.highest_extended_sequence) == appendix.report()


@given(
    st.integers(0, 0xFFFF_FFFF),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2000), st.integers(0, 4000)), min_size=1, max_size=80),
)
def test_jitter_equals_appendix_a8(first: int, packets: list[tuple[int, int, int]]):
    """Jitter is that of appendix A.8 over packets in any spacing, across the wrap of the timestamp."""
    statistics = ReceptionStatistics(RATE_HZ)
    timestamp, arrival, transit, jitter = first, 0, 0, 0.0
    sequence_number = 0
    for i, (skipped, sent, took) in enumerate(packets):
        sequence_number += 1 + skipped
        timestamp += sent
        arrival += took
        transit, previous = arrival - timestamp, transit
        if i:
            jitter += (abs(transit - previous) - jitter) / 16
        statistics.receive(sequence_number, timestamp & 0xFFFF_FFFF, 100, arrival / RATE_HZ)
    jitter_ms = statistics.totals(0.0, is_final=True).jitter_ms
    if len(packets) == 1:
        assert jitter_ms is None
    else:
        assert jitter_ms == pytest.approx(jitter / RATE_HZ * 1000, abs=1e-6)
        assert statistics.report_block(1, 0.0).jitter_rtp == pytest.approx(jitter, abs=1)


# -- one claim at a time ---------------------------------------------------------------------------------------------


def test_nothing_received_is_unknown():
    """Without a packet everything but the number of packets is `None`, and a report says nothing of loss."""
    statistics = small()
    for reception in (statistics.totals(5.0, is_final=True), statistics.interval(5.0)):
        assert reception.packets_received == reception.bytes_received == 0
        assert reception.packets_lost is None
        assert reception.packets_recovered is None
        assert reception.packets_lost_rfc3550 is None
        assert reception.packets_duplicated is None
        assert reception.packets_reordered is None
        assert reception.fraction_lost is None
        assert reception.jitter_ms is None
        assert reception.first_extended_sequence is None
        assert reception.highest_extended_sequence is None
    block = statistics.report_block(9, 5.0)
    assert (block.ssrc, block.packets_lost, block.fraction_lost_q8) == (9, 0, 0)


def test_an_interval_without_packets_is_unknown():
    """A stream that stops has not lost 0 packets."""
    statistics = small()
    now = feed(statistics, *range(50))
    assert statistics.interval(now).fraction_lost == 0.0
    silent = statistics.interval(now + 5)
    assert silent.packets_received == 0
    assert silent.packets_lost is None
    assert silent.fraction_lost is None
    assert silent.interval_s == 5.0


def test_reordering_is_no_loss():
    """A packet that comes late by itself is reordered, and lost at no time."""
    statistics = small()
    now = feed(statistics, 1, 2, 4)
    assert statistics.totals(now).packets_lost == 0
    feed(statistics, 3, 5, now=now)
    totals = statistics.totals(now, is_final=True)
    assert (totals.packets_lost, totals.packets_reordered, totals.packets_received) == (0, 1, 5)


def test_repair_does_not_lower_the_loss():
    """What was asked for, or comes as RTX, was lost and is recovered; RFC 3550 sees less loss, or the same."""
    asked, rtx = small(), small()
    for statistics in (asked, rtx):
        feed(statistics, 1, 2, 4, 5)
    asked.requested(3)
    feed(asked, 3, now=0.1)
    assert rtx.receive_retransmission(3, 100, 0.1)
    for statistics, rfc3550 in ((asked, 0), (rtx, 1)):
        totals = statistics.totals(0.1, is_final=True)
        assert (totals.packets_lost, totals.packets_recovered, totals.packets_received) == (1, 1, 5)
        assert totals.packets_lost_rfc3550 == rfc3550
        assert totals.fraction_lost == 0.2
        assert totals.bytes_received == 500


def test_retransmission_of_the_newest_packet():
    """When the newest packet is lost, its RTX is the first to tell; the original's place is kept."""
    statistics = small()
    feed(statistics, 1, 2)
    assert statistics.receive_retransmission(3, 100, 0.1)
    feed(statistics, 4, now=0.1)
    totals = statistics.totals(0.1, is_final=True)
    assert (totals.packets_lost, totals.packets_recovered, totals.packets_received) == (1, 1, 4)


def test_needless_retransmission_is_no_duplicate():
    """RTX of what was there (a bandwidth probe) changes nothing, nor does RTX before the first packet."""
    statistics = small()
    assert not statistics.receive_retransmission(1, 100, 0.0)
    feed(statistics, 1, 2)
    assert not statistics.receive_retransmission(2, 100, 0.1)
    totals = statistics.totals(0.1)
    assert (totals.packets_received, totals.packets_duplicated, totals.packets_recovered) == (2, 0, 0)


def test_duplicates():
    """A packet that comes twice is received once; in RFC 3550 it makes up for a lost one."""
    statistics = small()
    assert statistics.receive(1, 0, 100, 0.0)
    assert not statistics.receive(1, 0, 100, 0.0)
    feed(statistics, 3, 3)
    totals = statistics.totals(0.1, is_final=True)
    assert (totals.packets_received, totals.packets_duplicated, totals.bytes_received) == (2, 2, 200)
    assert (totals.packets_lost, totals.packets_lost_rfc3550) == (1, -1)


def test_missing_becomes_lost_when_settled():
    """A missing packet counts once it is older than the settle window, or when the range ends."""
    statistics = small()
    now = feed(statistics, 1, 3)
    assert statistics.totals(now + SETTLE_S).packets_lost == 0
    assert statistics.totals(now + SETTLE_S + 0.01).packets_lost == 1
    assert statistics.totals(now, is_final=True).packets_lost == 1


def test_what_comes_after_the_settle_window_stays_lost():
    """A packet that nobody could have used is late, not reordered, and the loss never shrinks."""
    statistics = small()
    now = feed(statistics, 1, 3)
    assert statistics.interval(now + 2).packets_lost == 1
    assert statistics.receive(2, 0, 100, now + 2)
    feed(statistics, 4, now=now + 2)
    assert statistics.interval(now + 2).packets_lost == 0
    totals = statistics.totals(now + 2)
    assert (totals.packets_lost, totals.packets_late, totals.packets_received) == (1, 1, 3)


def test_restarted_range():
    """Only what follows a restart counts: not the past, nor its packets that are still on their way."""
    statistics = small()
    now = feed(statistics, 1, 2, 4, 8)
    statistics.restart_range(now)
    assert statistics.totals(now).packets_lost is None
    feed(statistics, 7, 7, now=now)
    feed(statistics, 9, 11, now=now)
    totals = statistics.totals(now + 3)
    assert (totals.packets_received, totals.packets_lost, totals.packets_duplicated) == (2, 1, 0)
    assert totals.packets_lost_rfc3550 == -1
    assert totals.bytes_received == 200
    assert (totals.first_extended_sequence, totals.highest_extended_sequence) == (9, 11)
    assert totals.interval_s == 3.0


def test_a_range_may_be_restarted_before_the_first_packet():
    """Time runs from the restart, packets from the first one."""
    statistics = small()
    statistics.restart_range(10.0)
    feed(statistics, 500, 501, now=12.0)
    totals = statistics.totals(14.0)
    assert (totals.packets_received, totals.packets_lost, totals.interval_s) == (2, 0, 4.0)


def test_every_second_packet_lost():
    """A stream that never has two packets in sequence is measured all the same."""
    statistics = ReceptionStatistics(RATE_HZ)
    feed(statistics, *range(0, 200, 2))
    totals = statistics.totals(10.0, is_final=True)
    assert (totals.packets_received, totals.packets_lost) == (100, 99)


def test_a_burst_longer_than_the_memory():
    """What falls too far behind is lost for good, and is counted all the same."""
    statistics = small()
    feed(statistics, 1, 3, 3 + DROPOUT - 1)
    totals = statistics.totals(0.1)
    assert totals.packets_lost == 1 + DROPOUT - 2 - (MISORDER - 1)
    assert statistics.totals(0.1, is_final=True).packets_lost == 1 + DROPOUT - 2


def test_restart_of_the_stream():
    """Two packets in sequence after a far jump are a new start: the loss before it stays, the jump is none."""
    statistics = small()
    now = feed(statistics, 1, 3)
    assert not statistics.receive(40_000, 0, 100, now)
    assert statistics.receive(40_001, 0, 100, now)
    assert statistics.receive(40_002, 960, 100, now)
    assert statistics.restarts == 1
    totals = statistics.totals(now)
    assert (totals.packets_received, totals.packets_lost) == (4, 1)
    assert statistics.report_block(1, now).packets_lost == 0
    assert statistics.report_block(1, now).highest_extended_sequence == 40_002


def test_a_stray_packet_is_no_restart():
    """Packets from elsewhere that do not follow each other are not of this stream."""
    statistics = small()
    now = feed(statistics, 1, 2)
    assert not statistics.receive(40_000, 0, 100, now)
    feed(statistics, 3, now=now)
    assert not statistics.receive(50_000, 0, 100, now)
    assert not statistics.receive(40_001, 0, 100, now)
    assert statistics.restarts == 0
    assert statistics.totals(now, is_final=True).packets_received == 3


def test_a_new_timeline_is_no_jitter():
    """A sender whose timestamps begin anew has not been hours late."""
    statistics = small()
    now = feed(statistics, *range(20))
    statistics.receive(20, 3_000_000_000, 100, now + 0.02)
    statistics.receive(21, 3_000_000_960, 100, now + 0.04)
    jitter_ms = statistics.totals(now + 0.04).jitter_ms
    assert jitter_ms == pytest.approx(0.0, abs=1e-6)


def test_repair_is_no_jitter():
    """A packet that was asked for is late by the time of asking, which is not the path's."""
    statistics = small()
    now = feed(statistics, 0, 1, 2, 4, 5)
    before = statistics.totals(now).jitter_ms
    statistics.requested(3)
    statistics.receive(3, 3 * 960, 100, now + 0.4)
    assert statistics.totals(now + 0.4).jitter_ms == before


def test_report_answers_the_last_sender_report():
    """LSR is cut out of the sender report, DLSR is the time since it came (RFC 3550 §6.4.1)."""
    statistics = small()
    feed(statistics, 1, 2)
    assert statistics.report_block(1, 7.0).delay_since_last_sr_q16 == 0
    statistics.sender_report(0xB44D_B705_2000_0000, 7.0)
    block = statistics.report_block(1, 12.25)
    assert block.last_sr_ntp32 == 0xB705_2000
    assert block.delay_since_last_sr_q16 == 0x0005_4000


def test_before_the_first_packet():
    """A packet overtaken by the first one is of the stream, and of no range."""
    statistics = small()
    feed(statistics, 5)
    assert statistics.receive(4, 0, 100, 0.0)
    totals = statistics.totals(0.0)
    assert (totals.packets_received, totals.packets_reordered, totals.packets_duplicated) == (1, 0, 0)
