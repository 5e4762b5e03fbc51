"""Repair by retransmission: what a receiver asks for, what a sender keeps (RFC 4585 §6.2.1).

Both count in extended sequence numbers inside, so that a wrap is no special case.
"""

from __future__ import annotations

CachedPacket = tuple[int, int, int, int, bytes]
"""Extended sequence number, first and second byte of the header, RTP timestamp, and what followed the header."""


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
    `max_requests` times at most. A gap wider than `max_gap` packets is a pause or a restart and is not asked for.
    """

    def __init__(self, *, retry_s: float = 0.1, max_requests: int = 5, max_gap: int = 128) -> None:
        self.retry_s = retry_s
        "Seconds between two requests for one packet; a round trip or more."
        self._max_requests = max_requests
        self._max_gap = max_gap
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
        if ahead - 1 > self._max_gap:
            self._missing.clear()
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
