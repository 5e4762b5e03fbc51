"""Feedback between receiver and sender: repair by retransmission, congestion, key frames (RFC 4585).

All that counts packets counts in extended sequence numbers inside, so that a wrap is no special case.
"""

from __future__ import annotations

from collections.abc import Mapping

from rtcctl.media.rtcp_transport_cc import MAX_PACKET_COUNT, REFERENCE_TICKS, TICKS_PER_SECOND, TransportFeedback
from rtcctl.media.seqnum import SequenceUnwrapper

CachedPacket = tuple[int, int, int, int, bytes, Mapping[int, bytes], float]
"""Extended sequence number, first and second byte of the header, RTP timestamp, what followed the header, header
extensions, and when it was forwarded."""


_STATUSES_SIZE = 1080
"Bytes of a feedback packet for chunks and deltas: with header and SRTP, it fits wherever media does."


class RetransmissionCache:
    """The packets sent last, for answering NACKs. A ring: a packet is forgotten `capacity` numbers later."""

    __slots__ = ("_mask", "_ring")

    def __init__(self, capacity: int = 512) -> None:
        assert capacity & (capacity - 1) == 0, "a power of two"
        self._mask = capacity - 1
        self._ring: list[CachedPacket | None] = [None] * capacity

    def store(self, packet: CachedPacket) -> None:
        """Keep a packet, in place of the one `capacity` numbers before."""
        self._ring[packet[0] & self._mask] = packet

    def get(self, extended_sequence: int) -> CachedPacket | None:
        """The packet of that number, if it is still here."""
        packet = self._ring[extended_sequence & self._mask]
        return packet if packet is not None and packet[0] == extended_sequence else None


class NackGenerator:
    """Which packets to ask for again.

    A gap is asked for at once (over UDP a gap is loss far more often than reordering), then again each `retry_s`,
    `max_requests` times at most. A gap wider than `max_gap` packets is a pause or a restart and is not asked for. When
    more than `max_missing` are missing, only the newest gap is: requests must fit a datagram, and a publisher must not
    make us look through whatever it leaves out.
    """

    def __init__(
        self, *, retry_s: float = 0.1, max_requests: int = 5, max_gap: int = 128, max_missing: int = 256
    ) -> None:
        self.retry_s = retry_s
        "Seconds between two requests for one packet; a round trip or more."
        self._max_requests = max_requests
        self._max_gap = max_gap
        self._max_missing = max_missing
        self._highest: int | None = None
        self._missing: dict[int, tuple[float, int]] = {}
        "Extended sequence number → when to ask next, how often asked."

    def receive(self, sequence_number: int, now: float) -> bool:
        """Count one packet in, by its 16-bit number. True when there is something to ask for now."""
        highest = self._highest
        if highest is None:
            self._highest = sequence_number
            return False
        ahead = (sequence_number - highest) & 0xFFFF
        if ahead == 1:
            self._highest = highest + 1
            return False
        if ahead >= 0x8000 or not ahead:
            self._missing.pop(highest + ahead - 0x10000, None)
            return False
        self._highest = highest + ahead
        is_gap = ahead - 1 <= self._max_gap
        if not is_gap or len(self._missing) + ahead - 1 > self._max_missing:
            self._missing.clear()
        if not is_gap:
            return False
        self._missing.update((number, (now, 0)) for number in range(highest + 1, highest + ahead))
        return True

    def get_timer(self) -> float | None:
        """When to call `requests` next."""
        return min((due for due, _ in self._missing.values()), default=None)

    def requests(self, now: float) -> list[int]:
        """Drain what to ask for now: 16-bit numbers, oldest first."""
        due = sorted(number for number, (at, _) in self._missing.items() if at <= now)
        for number in due:
            count = self._missing[number][1] + 1
            if count >= self._max_requests:
                del self._missing[number]
            else:
                self._missing[number] = now + self.retry_s, count
        return [number & 0xFFFF for number in due]


class TransportCcRecorder:
    """When each packet of a transport came, for congestion feedback (`rtcp_transport_cc`).

    Feedback packets follow one another without a hole: each begins behind the last number reported, so that a packet is
    reported as not received once, as soon as a later one has come. If it comes after all, it is reported alone. (To
    report its neighbours again, as libwebrtc does, tells a sender nothing: it has forgotten those that arrived.)
    """

    __slots__ = ("_arrivals", "_feedback_count", "_next", "_numbers")

    def __init__(self) -> None:
        self._arrivals: list[tuple[int, float]] = []
        self._numbers = SequenceUnwrapper()
        self._next: int | None = None
        "The lowest extended number above all that were reported; None before the first."
        self._feedback_count = 0

    @property
    def pending(self) -> int:
        """Packets that came since the last `feedback`."""
        return len(self._arrivals)

    def receive(self, transport_sequence: int, now: float) -> None:
        """One packet came, by its 16-bit number. Done for every packet, so all work is left to `feedback`."""
        self._arrivals.append((transport_sequence, now))

    def feedback(self, sender_ssrc: int, media_ssrc: int) -> list[TransportFeedback]:
        """Drain: what came since the last call, in packets of at most 1,100 bytes."""
        arrivals: dict[int, int] = {}
        for number, now in self._arrivals:
            arrivals.setdefault(self._numbers.unwrap(number), int(now * TICKS_PER_SECOND))
        self._arrivals.clear()
        spans: list[tuple[int, list[tuple[int, int]]]] = []
        "Packets to be: the first number reported, and (number, ticks) of what came. Numbers are extended."
        size = previous = previous_ticks = 0
        for number, ticks in sorted(arrivals.items()):
            start = number if self._next is None else min(number, self._next)
            cost = _status_size(number - start)
            if (
                not spans
                or start != previous + 1
                or not -0x8000 <= ticks - previous_ticks <= 0x7FFF
                or number - spans[-1][0] >= MAX_PACKET_COUNT
                or size + cost > _STATUSES_SIZE
            ):
                spans.append((start, []))
                size = 0
            spans[-1][1].append((number, ticks))
            size += cost
            previous, previous_ticks = number, ticks
            if self._next is None or number >= self._next:
                self._next = number + 1
        return [self._packet(sender_ssrc, media_ssrc, *span) for span in spans]

    def _packet(
        self, sender_ssrc: int, media_ssrc: int, base: int, arrivals: list[tuple[int, int]]
    ) -> TransportFeedback:
        reference_time = arrivals[0][1] // REFERENCE_TICKS
        feedback_count = self._feedback_count
        self._feedback_count = feedback_count + 1 & 0xFF
        return TransportFeedback(
            sender_ssrc,
            media_ssrc,
            base & 0xFFFF,
            arrivals[-1][0] - base + 1,
            reference_time & 0xFF_FFFF,
            feedback_count,
            tuple((number & 0xFFFF, ticks - reference_time * REFERENCE_TICKS) for number, ticks in arrivals),
        )


def _status_size(gap: int) -> int:
    """At most so many bytes are needed for one packet that came and `gap` before it that did not.

    A delta has two; a chunk has two and covers seven packets or more, and most of a long gap is runs of 8,191.
    """
    return 8 + (gap >> 11) if gap else 3


class KeyFrameRequests:
    """When to ask the sender of a video stream for a key frame (PLI).

    However many subscribers want one, a request is sent at most each `hold_off_s`. While none comes, it is sent again,
    after twice the time each time, up to `max_interval_s`. A key frame that starts fulfils every wish.
    """

    __slots__ = ("_hold_off_s", "_interval_s", "_is_wanted", "_max_interval_s", "_next_at")

    def __init__(self, *, hold_off_s: float = 0.4, max_interval_s: float = 2.0) -> None:
        self._hold_off_s = hold_off_s
        self._max_interval_s = max_interval_s
        self._interval_s = hold_off_s
        "Seconds from the next request to the one after it, if that is needed."
        self._is_wanted = False
        self._next_at: float | None = None
        "When a request may be sent; None before the first."

    def want(self, now: float) -> bool:
        """A subscriber needs a key frame. True when a request is to be sent now."""
        self._is_wanted = True
        return self.handle_timer(now)

    def begin(self, now: float) -> None:
        """Another sender begins, as a rule with a key frame. `handle_timer` asks it when it does not."""
        self._is_wanted = True
        self._next_at = now
        self._interval_s = self._hold_off_s

    def forget(self) -> None:
        """Nobody wants one any more."""
        self._is_wanted = False

    def received(self, now: float) -> None:
        """A key frame has started."""
        self._is_wanted = False
        if self._next_at is not None:
            # The hold-off goes on from the last request, but not the patience that grew with the unanswered ones.
            self._next_at = min(self._next_at, now + self._hold_off_s)
        self._interval_s = self._hold_off_s

    def get_timer(self) -> float | None:
        """When to call `handle_timer`, while a wish is open."""
        return self._next_at if self._is_wanted else None

    def handle_timer(self, now: float) -> bool:
        """True when a request is to be sent now."""
        if not self._is_wanted or (self._next_at is not None and now < self._next_at):
            return False
        self._next_at = now + self._interval_s
        self._interval_s = min(2 * self._interval_s, self._max_interval_s)
        return True
