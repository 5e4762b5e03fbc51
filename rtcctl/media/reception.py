"""What became of the packets of one RTP stream, and what a receiver report says of it (RFC 3550 appendix A).

Theory of operation
-------------------
Sequence numbers are unwrapped; the *counted range* begins with the first packet, or where `restart_range` put it, and
ends at the highest sequence number received. Each number in it has one fate:

    arrives in order ───────────────────────────────────────────▶ received
    skipped ──▶ missing ──┬─ arrives by itself, in time ────────▶ received, reordered
                          ├─ arrives after a NACK, or as RTX ───▶ received, lost and recovered
                          ├─ arrives by itself, but too late ───▶ lost, late
                          └─ does not arrive ───────────────────▶ lost

Missing becomes lost when it has been missing for longer than the settle window, when it falls more than `max_misorder`
behind, or when the range ends. All that depends on arrivals and on `now` alone, never on when somebody looked. So
`packets_lost` only grows, and repair does not lower it. Until its fate is known a packet counts for nothing.

Appendix A.1 decides what belongs to the stream. A step ahead of less than `max_dropout` or back of less than
`max_misorder` does; after any other jump the stream is believed to have restarted once two packets in sequence say so,
and the range goes on from there. RFC 3550's numbers are those of appendix A.3: everything that arrives under the
stream's own SSRC counts, so repair and duplicates lower them.

A packet in order is the fast path: it moves the highest number and the jitter, and touches no counter. The counts of
received packets are what is left of the range when the exceptions are taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from rtcctl.media.clock import ntp_middle32, q16_from_seconds
from rtcctl.media.rtcp import ReportBlock

MAX_DROPOUT = 3000
"Sequence numbers that may be missing at once (appendix A.1: a minute at 50 packets/s)."
MAX_MISORDER = 1000
"How far behind a packet may come. Appendix A.1 has 100 for 2 s at 50 packets/s; video has up to ten times as many."
MIN_SEQUENTIAL = 1
"""Packets in sequence before a source is valid. Appendix A.1 has 2; ours is authenticated (SRTP), and with 2 a stream
that loses every second packet would never be measured."""
SETTLE_S = 1.0
MAX_STEP_S = 5.0
"A larger difference in transit is a new timeline of the sender, not jitter."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """Figures of the range, or of an interval of it. `None` where nothing was received: unknown is not 0."""

    interval_s: float
    packets_received: int
    "Distinct packets of the range that arrived in time or were repaired."
    bytes_received: int
    "RTP payload bytes of them."
    packets_lost: int | None
    "First transmissions that never arrived in time, before repair."
    packets_recovered: int | None
    "Of those, repaired by retransmission."
    packets_late: int | None
    "Of those, arrived after the settle window."
    packets_lost_rfc3550: int | None
    "As a receiver report counts them (appendix A.3); repair and duplicates lower it."
    packets_duplicated: int | None
    packets_reordered: int | None
    "First transmissions that arrived behind a higher sequence number, in time."
    fraction_lost: float | None
    "0…1: `packets_lost` over the first transmissions whose fate is known."
    jitter_ms: float | None
    "Interarrival jitter as it stands now (appendix A.8); `None` before the second packet."
    first_extended_sequence: int | None
    "Where the range begins, `None` before its first packet; meaningful relative to `highest_extended_sequence`."
    highest_extended_sequence: int | None


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counts since the range began, as of one moment."""

    now: float
    in_time: int = 0
    lost: int = 0
    recovered: int = 0
    late: int = 0
    lost_rfc3550: int = 0
    duplicated: int = 0
    reordered: int = 0
    bytes: int = 0


class ReceptionStatistics:
    """One SSRC at its receiver. `now` is monotonic seconds."""

    __slots__ = (
        "_arrived_at",
        "_asked",
        "_bad",
        "_base",
        "_behind",
        "_bytes",
        "_clock_rate_hz",
        "_duplicated",
        "_expected_closed",
        "_highest",
        "_is_started",
        "_jitter_rtp",
        "_last_sr_at",
        "_last_sr_ntp32",
        "_late",
        "_lost_closed",
        "_mark",
        "_max_dropout",
        "_max_misorder",
        "_max_step_rtp",
        "_min_sequential",
        "_missing",
        "_next16",
        "_probation",
        "_probation_next",
        "_range_first",
        "_range_rfc_lost",
        "_range_started_at",
        "_recovered",
        "_reordered",
        "_report_prior",
        "_report_start",
        "_rtp_timestamp",
        "_settle_s",
        "_skipped",
        "restarts",
    )

    def __init__(
        self,
        clock_rate_hz: int,
        *,
        settle_s: float = SETTLE_S,
        max_dropout: int = MAX_DROPOUT,
        max_misorder: int = MAX_MISORDER,
        min_sequential: int = MIN_SEQUENTIAL,
    ) -> None:
        assert 0 < max_misorder + max_dropout < 0x10000
        self._clock_rate_hz = clock_rate_hz
        self._settle_s = settle_s
        self._max_dropout = max_dropout
        self._max_misorder = max_misorder
        self._max_step_rtp = MAX_STEP_S * clock_rate_hz

        # Appendix A.1
        self._min_sequential = min_sequential
        self._probation = min_sequential
        self._probation_next = -1
        self._is_started = False
        self._bad = -1
        self._base = 0
        "Extended number of the first packet since the stream (re)started."
        self._highest = 0
        self._next16 = -1
        self._skipped = 0
        "Numbers that were not there when a higher one came: each lowers what a report calls received …"
        self._behind = 0
        "… and each packet that comes behind raises it, whatever it is."

        # Appendix A.8
        self._jitter_rtp = 0.0
        self._rtp_timestamp = 0
        self._arrived_at = 0.0

        # Fates
        self._missing: dict[int, float] = {}
        "Extended number → when it was first missed; ascending, none more than `max_misorder` behind."
        self._asked: set[int] = set()

        # The counted range
        self._range_first = 0
        self._range_started_at: float | None = None
        self._range_rfc_lost = 0
        self._expected_closed = 0
        "Of the stream before it restarted."
        self._lost_closed = 0
        self._recovered = 0
        self._late = 0
        self._duplicated = 0
        self._reordered = 0
        self._bytes = 0
        self._mark: _Counts | None = None

        # Reports
        self._report_start = (0, 0)
        self._report_prior = (0, 0)
        self._last_sr_ntp32 = 0
        self._last_sr_at = 0.0

        self.restarts = 0
        "How often the stream began anew (appendix A.1)."

    # -- packets -------------------------------------------------------------------------------------------------

    def receive(self, sequence_number: int, rtp_timestamp: int, payload_bytes: int, now: float) -> bool:
        """A packet under the stream's own SSRC. Returns whether it is new: no duplicate, and of this stream."""
        if sequence_number != self._next16:
            return self._receive_out_of_order(sequence_number, rtp_timestamp, payload_bytes, now)
        self._next16 = (sequence_number + 1) & 0xFFFF
        self._highest += 1
        self._bytes += payload_bytes
        # Appendix A.8, with the difference of two transits taken as that of arrivals less that of timestamps.
        deviation = (now - self._arrived_at) * self._clock_rate_hz - (rtp_timestamp - self._rtp_timestamp)
        if deviation < 0:
            deviation = -deviation
        if deviation < self._max_step_rtp:
            self._jitter_rtp += (deviation - self._jitter_rtp) * 0.0625
            self._rtp_timestamp = rtp_timestamp
            self._arrived_at = now
        else:
            self._update_jitter(rtp_timestamp, now)
        return True

    def receive_retransmission(self, sequence_number: int, payload_bytes: int, now: float) -> bool:
        """A packet that came as RTX (RFC 4588), with its original number. Returns whether it repaired a loss.

        RTX is a stream of its own: it changes neither the jitter nor the numbers of RFC 3550.
        """
        if not self._is_started:
            return False
        ahead = (sequence_number - self._highest) & 0xFFFF
        if 0 < ahead < self._max_dropout:
            # The original was the newest packet: nothing else has told of it yet.
            self._advance(ahead, now)
            self._missing[self._highest] = now
            self._skipped += 1
        extended = self._behind_highest(sequence_number)
        if extended is None or self._missing.pop(extended, None) is None:
            return False
        self._asked.discard(extended)
        if extended >= self._range_first:
            self._recovered += 1
            self._bytes += payload_bytes
        return True

    def restart_stream(self) -> None:
        """What comes next is the first packet of another stream, with which the range goes on: the SSRC has changed."""
        if self._is_started:
            self._close()
            self.restarts += 1
            self._is_started = False
            self._probation = self._min_sequential
            self._next16 = -1
            self._last_sr_ntp32 = 0

    def requested(self, sequence_number: int) -> None:
        """A NACK asked for this packet: if it still comes, it was lost and is recovered."""
        extended = self._behind_highest(sequence_number)
        if extended in self._missing:
            self._asked.add(extended)

    @property
    def arrived_at(self) -> float:
        """When the last packet came by itself: one that moved the jitter. 0 before the first one."""
        return self._arrived_at

    # -- reports -------------------------------------------------------------------------------------------------

    def sender_report(self, ntp_timestamp: int, now: float) -> None:
        """The sender's report arrived; the next report block answers it."""
        self._last_sr_ntp32 = ntp_middle32(ntp_timestamp)
        self._last_sr_at = now

    def report_block(self, ssrc: int, now: float) -> ReportBlock:
        """The block for the next report (appendix A.3): its fraction is over the time since the previous call."""
        skipped, behind = self._report_start
        expected = self._highest - self._base + 1 if self._is_started else 0
        lost = (self._skipped - skipped) - (self._behind - behind)
        expected_prior, lost_prior = self._report_prior
        self._report_prior = expected, lost
        expected_interval, lost_interval = expected - expected_prior, lost - lost_prior
        fraction_lost_q8 = 0
        if expected_interval > 0 and lost_interval > 0:
            fraction_lost_q8 = min((lost_interval << 8) // expected_interval, 0xFF)
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost_q8=fraction_lost_q8,
            packets_lost=max(-0x80_0000, min(lost, 0x7F_FFFF)),
            # Cycles are counted from the start, whatever number that had.
            highest_extended_sequence=(self._highest - (self._base & ~0xFFFF)) & 0xFFFF_FFFF,
            jitter_rtp=min(int(self._jitter_rtp), 0xFFFF_FFFF),
            last_sr_ntp32=self._last_sr_ntp32,
            delay_since_last_sr_q16=q16_from_seconds(now - self._last_sr_at) if self._last_sr_ntp32 else 0,
        )

    # -- the counted range ---------------------------------------------------------------------------------------

    def restart_range(self, now: float) -> None:
        """Count from the next packet in sequence on; what is missing until then belongs to the past."""
        self._range_first = self._highest + 1
        self._range_started_at = now
        self._range_rfc_lost = self._skipped - self._behind
        self._expected_closed = self._lost_closed = 0
        self._recovered = self._late = self._duplicated = self._reordered = self._bytes = 0
        self._mark = None

    def totals(self, now: float, *, is_final: bool = False) -> Reception:
        """Since the range began. `is_final`: the range ends here, and what is missing is lost."""
        started_at = now if self._range_started_at is None else self._range_started_at
        return self._between(_Counts(started_at), self._counts(now, is_final))

    def interval(self, now: float) -> Reception:
        """Since the previous call, or since the range began."""
        started_at = now if self._range_started_at is None else self._range_started_at
        counts = self._counts(now, False)
        reception = self._between(self._mark or _Counts(started_at), counts)
        self._mark = counts
        return reception

    # -- inside --------------------------------------------------------------------------------------------------

    def _receive_out_of_order(self, sequence_number: int, rtp_timestamp: int, payload_bytes: int, now: float) -> bool:
        """Everything but the next packet in sequence (appendix A.1, `update_seq`)."""
        if not self._is_started:
            return self._probe(sequence_number, rtp_timestamp, payload_bytes, now)
        ahead = (sequence_number - self._highest) & 0xFFFF
        if 0 < ahead < self._max_dropout:
            self._advance(ahead, now)
            self._bytes += payload_bytes
            self._update_jitter(rtp_timestamp, now)
            return True
        extended = self._behind_highest(sequence_number)
        if extended is not None:
            return self._receive_behind(extended, rtp_timestamp, payload_bytes, now)
        if sequence_number != self._bad:
            self._bad = (sequence_number + 1) & 0xFFFF
            return False
        self._close()
        self.restarts += 1
        self._start(((self._highest >> 16) + 1 << 16) | sequence_number, rtp_timestamp, payload_bytes, now)
        return True

    def _receive_behind(self, extended: int, rtp_timestamp: int, payload_bytes: int, now: float) -> bool:
        self._behind += 1
        missed_at = self._missing.pop(extended, None)
        is_counted = extended >= self._range_first
        if missed_at is None:
            if extended < self._base:
                # From before the first packet: part of the stream, and of no range.
                self._update_jitter(rtp_timestamp, now)
                return True
            self._duplicated += is_counted
            return False
        if extended in self._asked:
            # Its delay is that of the repair, no jitter of the path.
            self._asked.discard(extended)
            self._recovered += is_counted
        elif now - missed_at <= self._settle_s:
            self._update_jitter(rtp_timestamp, now)
            self._reordered += is_counted
        else:
            self._update_jitter(rtp_timestamp, now)
            self._late += is_counted
            return True
        if is_counted:
            self._bytes += payload_bytes
        return True

    def _probe(self, sequence_number: int, rtp_timestamp: int, payload_bytes: int, now: float) -> bool:
        """Before the source is valid: wait for `min_sequential` packets in sequence."""
        if sequence_number != self._probation_next:
            self._probation = self._min_sequential
        self._probation -= 1
        self._probation_next = (sequence_number + 1) & 0xFFFF
        if self._probation > 0:
            return False
        self._is_started = True
        if self._range_started_at is None:
            self._range_started_at = now
        self._start(sequence_number, rtp_timestamp, payload_bytes, now)
        return True

    def _start(self, extended: int, rtp_timestamp: int, payload_bytes: int, now: float) -> None:
        """Appendix A.1, `init_seq`."""
        self._base = self._range_first = self._highest = extended
        self._next16 = (extended + 1) & 0xFFFF
        self._bad = -1
        self._report_start = self._skipped, self._behind
        self._report_prior = 0, 0
        self._bytes += payload_bytes
        # A new stream has a new timeline: no jitter between the old one and this.
        self._rtp_timestamp = rtp_timestamp
        self._arrived_at = now

    def _close(self) -> None:
        """The stream ends here and begins anew."""
        self._expected_closed += self._highest - self._range_first + 1
        self._lost_closed += sum(extended >= self._range_first for extended in self._missing)
        self._missing.clear()
        self._asked.clear()

    def _advance(self, ahead: int, now: float) -> None:
        """The highest number moves `ahead`; what is skipped is missing."""
        first, self._highest = self._highest + 1, self._highest + ahead
        self._next16 = (self._highest + 1) & 0xFFFF
        self._skipped += ahead - 1
        oldest = self._highest - self._max_misorder + 1
        if first < oldest:
            self._lost_closed += oldest - first
            first = oldest
        self._missing.update(dict.fromkeys(range(first, self._highest), now))
        self._forget()

    def _forget(self) -> None:
        """What is too far behind to be accepted is lost for good."""
        oldest = self._highest - self._max_misorder + 1
        # One pass: the first key of a dictionary is found by going through all that were deleted before it.
        gone = list(takewhile(oldest.__gt__, self._missing))
        for extended in gone:
            del self._missing[extended]
            self._asked.discard(extended)
            self._lost_closed += extended >= self._range_first

    def _behind_highest(self, sequence_number: int) -> int | None:
        """The extended number of a packet that is not ahead, if it is near enough to be of this stream."""
        behind = (self._highest - sequence_number) & 0xFFFF
        return self._highest - behind if behind < self._max_misorder else None

    def _update_jitter(self, rtp_timestamp: int, now: float) -> None:
        """Appendix A.8, across the wrap of the timestamp."""
        step = ((rtp_timestamp - self._rtp_timestamp + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
        deviation = abs((now - self._arrived_at) * self._clock_rate_hz - step)
        if deviation < self._max_step_rtp:
            self._jitter_rtp += (deviation - self._jitter_rtp) * 0.0625
        self._rtp_timestamp = rtp_timestamp
        self._arrived_at = now

    def _counts(self, now: float, is_final: bool) -> _Counts:
        missing = lost = 0
        oldest = self._highest - self._max_misorder + 1
        for extended, missed_at in self._missing.items():
            if extended >= self._range_first:
                missing += 1
                lost += is_final or extended < oldest or now - missed_at > self._settle_s
        lost += self._lost_closed + self._recovered + self._late
        expected = self._expected_closed
        if self._is_started:
            expected += self._highest - self._range_first + 1
        return _Counts(
            now=now,
            in_time=expected - missing - self._lost_closed - self._recovered - self._late,
            lost=lost,
            recovered=self._recovered,
            late=self._late,
            lost_rfc3550=self._skipped - self._behind - self._range_rfc_lost,
            duplicated=self._duplicated,
            reordered=self._reordered,
            bytes=self._bytes,
        )

    def _between(self, before: _Counts, after: _Counts) -> Reception:
        in_time, lost = after.in_time - before.in_time, after.lost - before.lost
        recovered, late = after.recovered - before.recovered, after.late - before.late
        decided = in_time + lost
        # What was given up in an interval before may come in one that brings nothing else.
        is_known = decided > 0 or recovered > 0 or late > 0
        is_in_range = self._is_started and self._highest >= self._range_first
        has_jitter = self._highest > self._base or self._jitter_rtp > 0
        return Reception(
            interval_s=after.now - before.now,
            packets_received=in_time + recovered,
            bytes_received=after.bytes - before.bytes,
            packets_lost=lost if is_known else None,
            packets_recovered=recovered if is_known else None,
            packets_late=late if is_known else None,
            packets_lost_rfc3550=after.lost_rfc3550 - before.lost_rfc3550 if is_known else None,
            packets_duplicated=after.duplicated - before.duplicated if is_known else None,
            packets_reordered=after.reordered - before.reordered if is_known else None,
            fraction_lost=lost / decided if decided else None,
            jitter_ms=self._jitter_rtp * 1000 / self._clock_rate_hz if is_known and has_jitter else None,
            first_extended_sequence=self._range_first if is_in_range else None,
            highest_extended_sequence=self._highest if is_in_range else None,
        )


__all__ = ["Reception", "ReceptionStatistics"]
