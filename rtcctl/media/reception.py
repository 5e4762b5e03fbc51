"""What arrived of one RTP stream: loss, repair, order, jitter (RFC 3550 appendix A).

Theory of operation. In order, a packet costs a comparison and a few additions. A gap puts the skipped numbers into
`missing`; a number that comes after all leaves it again, as *reordered* if it came by itself, as *recovered* if it was
asked for (`asked`) or came as a retransmission. A number that is neither new nor missing is a *duplicate*. So, over
the counted range from its first packet to the highest number:

    expected = received + missing          packets_lost = missing + recovered
                                           packets_lost_rfc3550 = missing - duplicated

There is no probation (A.1): SRTP has authenticated the source. A jump of 3,000 or more is believed when the next
packet follows it: the source has restarted, and what it skipped was never sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rtcctl.media.clock import q16_from_seconds
from rtcctl.media.rtcp import ReportBlock

MAX_DROPOUT = 3000
MAX_MISORDER = 100
MAX_MISSING = 8192
"Older gaps are lost for good; a packet that fills one later counts as a duplicate."


@dataclass(frozen=True, slots=True)
class Reception:
    """Figures of one range or interval. `None` where nothing was received to measure by."""

    interval_s: float
    packets_received: int
    "Without duplicates."
    bytes_received: int
    "RTP payload."
    packets_lost: int | None
    "First transmissions that never arrived, before repair."
    packets_recovered: int | None
    packets_lost_rfc3550: int | None
    packets_duplicated: int | None
    packets_reordered: int | None
    fraction_lost: float | None
    "0…1: packets_lost over packets expected."
    jitter_ms: float | None


@dataclass(slots=True)
class _Counts:
    """Running totals; a range or an interval is the difference of two of them."""

    received: int = 0
    bytes: int = 0
    expected: int = 0
    missing: int = 0
    recovered: int = 0
    duplicated: int = 0
    reordered: int = 0


class ReceptionStatistics:
    """Counts one stream in. One instance per SSRC; retransmissions (RTX) are counted under the original's."""

    __slots__ = (
        "_asked",
        "_bad_sequence",
        "_base",
        "_before",
        "_bytes",
        "_clock_rate_hz",
        "_duplicated",
        "_highest",
        "_interval",
        "_interval_at",
        "_jitter_rtp",
        "_last_arrival",
        "_last_timestamp",
        "_missing",
        "_range",
        "_range_at",
        "_received",
        "_recovered",
        "_reordered",
        "_report",
        "_sender_report",
        "_sender_report_at",
        "_settled_missing",
        "first_arrival",
        "last_arrival",
    )

    def __init__(self, clock_rate_hz: int) -> None:
        self._clock_rate_hz = clock_rate_hz
        self._base: int | None = None
        "First extended number since the start, or since the source's last restart."
        self._highest = -1
        self._before = 0
        "Numbers expected before the source's last restart."
        self._bad_sequence: int | None = None
        self._received = 0
        self._bytes = 0
        self._duplicated = 0
        self._reordered = 0
        self._recovered = 0
        self._missing: dict[int, None] = {}
        self._settled_missing = 0
        self._asked: set[int] = set()
        self._jitter_rtp = 0.0
        self._last_arrival = 0.0
        self._last_timestamp = 0
        self._range = _Counts()
        self._range_at: float | None = None
        self._interval = _Counts()
        self._interval_at: float | None = None
        self._report = (0, 0)
        "Expected and received at the last report block."
        self._sender_report = 0
        self._sender_report_at: float | None = None
        self.first_arrival: float | None = None
        self.last_arrival: float | None = None

    # -- input ---------------------------------------------------------------------------------------------------

    def receive(
        self,
        sequence_number: int,
        rtp_timestamp: int,
        payload_size: int,
        now: float,
        *,
        is_retransmission: bool = False,
    ) -> int | None:
        """Count one packet in and return its extended sequence number; `None` if it was not believed (A.1)."""
        highest = self._highest
        step = (sequence_number - highest) & 0xFFFF
        if step == 1 and self._base is not None and not is_retransmission:  # the fast path: next in order
            highest += 1
            self._highest = highest
        else:
            placed = self._place(sequence_number, step, is_retransmission)
            if placed is None:
                return None
            highest, is_new = placed
            if not is_new:
                return highest
        self._received += 1
        self._bytes += payload_size
        if self.last_arrival is None:
            self.first_arrival = now
            self._range_at = self._range_at if self._range_at is not None else now
            self._interval_at = self._interval_at if self._interval_at is not None else now
        elif not is_retransmission:
            elapsed = (rtp_timestamp - self._last_timestamp) & 0xFFFFFFFF
            if elapsed & 0x80000000:
                elapsed -= 0x100000000
            deviation = (now - self._last_arrival) * self._clock_rate_hz - elapsed
            self._jitter_rtp += (abs(deviation) - self._jitter_rtp) / 16
        if not is_retransmission:
            self._last_arrival = now
            self._last_timestamp = rtp_timestamp
        self.last_arrival = now
        return highest

    def _place(self, sequence_number: int, step: int, is_retransmission: bool) -> tuple[int, bool] | None:
        """The extended number of a packet that is not simply the next one, and whether it is new."""
        if self._base is None:
            if is_retransmission:
                return None
            self._base = self._highest = sequence_number
            return sequence_number, True
        highest = self._highest
        if 0 < step < MAX_DROPOUT:
            extended = highest + step
            self._skip(highest + 1, extended)
            self._highest = extended
            return extended, True
        extended = highest + step - (0x10000 if step else 0)
        if step == 0 or step > 0x10000 - MAX_MISORDER or extended in self._missing:
            return extended, self._fill(extended, is_retransmission)
        if is_retransmission:
            return None
        if sequence_number != self._bad_sequence:
            self._bad_sequence = (sequence_number + 1) & 0xFFFF
            return None
        # Two in a row: the source has restarted.
        self._bad_sequence = None
        self._before += highest - self._base + 1
        base = (highest & ~0xFFFF) + 0x10000 + sequence_number
        self._settled_missing += len(self._missing)
        self._missing.clear()
        self._asked.clear()
        self._base = self._highest = base
        return base, True

    def _skip(self, first: int, end: int) -> None:
        """Numbers that have not come yet."""
        missing = self._missing
        for number in range(first, end):
            missing[number] = None
        while len(missing) > MAX_MISSING:
            oldest = next(iter(missing))
            del missing[oldest]
            self._asked.discard(oldest)
            self._settled_missing += 1

    def _fill(self, extended: int, is_retransmission: bool) -> bool:
        """A packet from behind the highest: whether it was missing."""
        if extended not in self._missing:
            assert self._base is not None
            if extended >= self._base:
                self._duplicated += 1
            return False
        del self._missing[extended]
        if is_retransmission or extended in self._asked:
            self._asked.discard(extended)
            self._recovered += 1
        else:
            self._reordered += 1
        return True

    def asked(self, extended_sequences: Iterable[int]) -> None:
        """These were asked for by NACK: if they come now, it is by repair."""
        self._asked.update(number for number in extended_sequences if number in self._missing)

    def sender_report(self, ntp_middle32: int, now: float) -> None:
        """A sender report of this source came; report blocks refer to it."""
        self._sender_report = ntp_middle32
        self._sender_report_at = now

    # -- output --------------------------------------------------------------------------------------------------

    @property
    def highest(self) -> int | None:
        """Highest extended sequence number."""
        return None if self._base is None else self._highest

    @property
    def packets_received(self) -> int:
        """Since the start, without duplicates."""
        return self._received

    @property
    def jitter_ms(self) -> float | None:
        """Interarrival jitter (A.8); `None` before the second packet."""
        return None if self._received < 2 else self._jitter_rtp / self._clock_rate_hz * 1000

    def report_block(self, ssrc: int, now: float) -> ReportBlock:
        """The block for the next report; its fraction covers what came since the previous call (A.3)."""
        expected = self._expected()
        received = self._received + self._duplicated
        expected_before, received_before = self._report
        self._report = expected, received
        expected_interval = expected - expected_before
        lost_interval = expected_interval - (received - received_before)
        fraction = min(255, (lost_interval << 8) // expected_interval) if expected_interval and lost_interval > 0 else 0
        since = 0 if self._sender_report_at is None else q16_from_seconds(now - self._sender_report_at)
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost_q8=fraction,
            packets_lost=max(-0x800000, min(0x7FFFFF, expected - received)),
            highest_extended_sequence=max(0, self._highest) & 0xFFFFFFFF,
            jitter_rtp=int(self._jitter_rtp) & 0xFFFFFFFF,
            last_sr_ntp32=self._sender_report,
            delay_since_last_sr_q16=since,
        )

    def restart_range(self, now: float) -> None:
        """Count anew from the next packet; report blocks are not affected."""
        self._settled_missing += len(self._missing)
        self._missing.clear()
        self._asked.clear()
        self._range = self._interval = self._counts()
        self._range_at = self._interval_at = now

    def totals(self, now: float) -> Reception:
        """Figures of the counted range, from its first packet (or its restart) until now."""
        return self._difference(self._range, self._range_at, now)

    def interval(self, now: float) -> Reception:
        """Figures since the previous call."""
        reception = self._difference(self._interval, self._interval_at, now)
        self._interval = self._counts()
        self._interval_at = now
        return reception

    def _expected(self) -> int:
        return self._before + (0 if self._base is None else self._highest - self._base + 1)

    def _counts(self) -> _Counts:
        return _Counts(
            received=self._received,
            bytes=self._bytes,
            expected=self._expected(),
            missing=len(self._missing) + self._settled_missing,
            recovered=self._recovered,
            duplicated=self._duplicated,
            reordered=self._reordered,
        )

    def _difference(self, start: _Counts, started_at: float | None, now: float) -> Reception:
        counts = self._counts()
        interval_s = 0.0 if started_at is None else max(0.0, now - started_at)
        received = counts.received - start.received
        expected = counts.expected - start.expected
        if received == 0 and expected == 0:
            return Reception(interval_s, 0, 0, None, None, None, None, None, None, None)
        recovered = counts.recovered - start.recovered
        duplicated = counts.duplicated - start.duplicated
        missing = counts.missing - start.missing
        # A gap of the interval before that was filled in this one is no negative loss.
        lost = max(0, missing + recovered)
        return Reception(
            interval_s=interval_s,
            packets_received=received,
            bytes_received=counts.bytes - start.bytes,
            packets_lost=lost,
            packets_recovered=recovered,
            packets_lost_rfc3550=missing - duplicated,
            packets_duplicated=duplicated,
            packets_reordered=counts.reordered - start.reordered,
            fraction_lost=min(1.0, lost / expected) if expected > 0 else None,
            jitter_ms=self.jitter_ms,
        )
