"""Whether whole frames of video arrive, and how smoothly, without a look into them.

Theory of operation
-------------------
A frame is a run of packets with one RTP timestamp, of which the last has the marker. It is complete when no number in
the run is missing, and its first packet is known to be the first: the one before it came, and belongs to another
frame; or did not come (yet), and the payload says so (`starts_frame`). The latter matters where padding leaves holes
between frames: a packet without payload is no part of a frame, and the caller does not pass it on. A packet that lacks
the one before it, and is not known to start a frame, waits for it.

    in order ──▶ the newest frame, *open* ──┬─ marker, nothing missing ──▶ complete
                                            └─ a hole, or no beginning ──▶ a *part*, which waits
    late (reordered, RTX) ──▶ joined with the parts before and behind it ─▶ complete, or goes on waiting
    a part that waited for 1 s, or fell 512 packets behind ──────────────▶ its frame is incomplete, once

What was given up counts as never received. So each frame has one fate, which depends on arrivals and `now` alone. The
frame that was under way when we came is nobody's loss, and the newest one, of which nothing is missing so far, is still
under way. A frame of which nothing came is not known here.

A packet in order is the fast path: it compares the number and the timestamp, and that is all until the marker. The
numbers that are missing are bits of an integer, counted from `_base`.

All complete frames count for freezes and frame rate, when they become complete.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from rtcctl.media.freezes import FreezeDetector
from rtcctl.media.reception import MAX_MISORDER

WINDOW = 512
"How many packets late one may be."
GIVE_UP_S = 1.0
"How long a frame waits for what is missing."

_ALL_MISSING = (1 << WINDOW) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCounts:
    """Of the range, or of an interval of it."""

    interval_s: float = 0.0
    frames_received: int = 0
    "Complete ones."
    key_frames_received: int = 0
    "Of those."
    frames_incomplete: int = 0
    "Given up: some of their packets came, and some did not."
    freezes: int = 0
    freeze_ms: float = 0.0
    "Durations of the frames that stood too long."
    frame_rate_hz: float | None = None
    "Of complete frames; None before anything came."


@dataclass(slots=True, eq=False)
class _Part:
    """Packets in sequence, of one frame, next to something that is missing."""

    first: int
    last: int
    rtp_timestamp: int
    is_start: bool
    is_end: bool
    is_key: bool
    missed_at: float
    is_waiting: bool = True


class FrameFlow:
    """One stream of video at its receiver. `now` is monotonic seconds."""

    __slots__ = (
        "_base",
        "_by_first",
        "_by_last",
        "_first",
        "_freeze_s",
        "_freezes",
        "_frozen",
        "_given_up",
        "_incomplete",
        "_is_key",
        "_is_start",
        "_key_received",
        "_mark",
        "_missing",
        "_origin",
        "_received",
        "_restart_at",
        "_rtp_timestamp",
        "_started_at",
        "_waiting",
        "next_sequence",
    )

    def __init__(self) -> None:
        self.next_sequence: int | None = None
        "A packet with this number is in order: it needs no `starts_frame`."
        self._restart_at: int | None = None
        "A second packet far behind, with this number, and the stream begins anew (RFC 3550 appendix A.1)."
        self._origin = 0
        "The first number of the stream."

        # The open frame
        self._rtp_timestamp = -1
        "-1: none is."
        self._first = 0
        self._is_start = False
        self._is_key = False

        # What waits
        self._base = 0
        self._missing = 0
        self._by_first: dict[int, _Part] = {}
        self._by_last: dict[int, _Part] = {}
        self._waiting: deque[_Part] = deque()
        "In the order of `missed_at`, with some that wait no more."
        self._given_up: dict[int, None] = {}
        "RTP timestamps."

        # Counts
        self._freezes = FreezeDetector()
        self._received = 0
        self._key_received = 0
        self._incomplete = 0
        self._frozen = 0
        self._freeze_s = 0.0
        self._started_at: float | None = None
        self._mark: tuple[float, int, int, int, int, float] | None = None

    # -- packets -------------------------------------------------------------------------------------------------

    def receive(
        self,
        extended_sequence: int,
        rtp_timestamp: int,
        marker: bool,
        starts_key_frame: bool,
        now: float,
        starts_frame: bool = False,
    ) -> bool:
        """A packet with payload. Returns whether it made at least one frame complete.

        `starts_frame`, of `media/frame_start.py`, is looked at unless the packet has the `next_sequence`. Where the
        codec does not tell, True takes holes between two frames for padding, and False for lost packets.
        """
        if extended_sequence != self.next_sequence:
            return self._receive_out_of_order(
                extended_sequence, rtp_timestamp, marker, starts_key_frame, now, starts_frame
            )
        self.next_sequence = extended_sequence + 1
        if rtp_timestamp != self._rtp_timestamp:
            if self._rtp_timestamp >= 0:
                self._leave_open(extended_sequence - 1, False, now)
            self._rtp_timestamp = rtp_timestamp
            self._first = extended_sequence
            self._is_start = True
            self._is_key = starts_key_frame
        elif starts_key_frame:
            self._is_key = True
        return marker and self._end_open(extended_sequence, now)

    def restart_stream(self, now: float) -> None:
        """The numbers of what comes next have nothing to do with those that came: what waits is given up."""
        if self.next_sequence is None:
            return
        self._move_base(self.next_sequence - 1 - WINDOW)
        if self._rtp_timestamp >= 0:
            self._leave_open(self.next_sequence - 1, False, now)
        for part in self._waiting:
            self._abandon(part)
        self._waiting.clear()
        self.next_sequence = None

    # -- the counted range ---------------------------------------------------------------------------------------

    def restart_range(self, now: float) -> None:
        """Count anew from here; a frame that is under way counts when it is complete."""
        self._give_up(now)
        self._received = self._key_received = self._incomplete = self._frozen = 0
        self._freeze_s = 0.0
        self._started_at = now
        self._mark = None

    def totals(self, now: float) -> FrameCounts:
        """Since the first packet, or since `restart_range`."""
        self._give_up(now)
        return self._since(now, None)

    def interval(self, now: float) -> FrameCounts:
        """Since the previous call, or since the range began."""
        self._give_up(now)
        counts = self._since(now, self._mark)
        if self._started_at is not None:
            self._mark = (
                now,
                self._received,
                self._key_received,
                self._incomplete,
                self._frozen,
                self._freeze_s,
            )
        return counts

    def _since(self, now: float, mark: tuple[float, int, int, int, int, float] | None) -> FrameCounts:
        started_at = now if self._started_at is None else self._started_at
        since, received, key_received, incomplete, frozen, freeze_s = mark or (started_at, 0, 0, 0, 0, 0.0)
        interval_s = max(0.0, now - since)
        received = self._received - received
        return FrameCounts(
            interval_s=interval_s,
            frames_received=received,
            key_frames_received=self._key_received - key_received,
            frames_incomplete=self._incomplete - incomplete,
            freezes=self._frozen - frozen,
            freeze_ms=(self._freeze_s - freeze_s) * 1000,
            frame_rate_hz=received / interval_s if interval_s > 0 else None,
        )

    # -- inside --------------------------------------------------------------------------------------------------

    def _receive_out_of_order(
        self, number: int, rtp_timestamp: int, marker: bool, is_key: bool, now: float, is_start: bool
    ) -> bool:
        """Everything but the next packet in sequence."""
        if self._started_at is None:
            self._started_at = now
        if self.next_sequence is None:
            return self._begin(number, rtp_timestamp, marker, is_key, now, is_start)
        self._give_up(now)
        ahead = number - self.next_sequence
        if ahead > 0:
            if self._rtp_timestamp >= 0:
                self._leave_open(self.next_sequence - 1, False, now)
            self._skip(number)
            return self._open(number, rtp_timestamp, marker, is_key, now, is_start)
        if ahead >= -WINDOW:
            offset = number - self._base
            if offset < 0 or not self._missing >> offset & 1:
                return False
            self._missing ^= 1 << offset
            return self._receive_late(number, rtp_timestamp, marker, is_key, now, is_start)
        if ahead < -MAX_MISORDER:
            if number == self._restart_at:
                return self._begin(number, rtp_timestamp, marker, is_key, now, is_start)
            self._restart_at = number + 1
        return False

    def _begin(self, number: int, rtp_timestamp: int, marker: bool, is_key: bool, now: float, is_start: bool) -> bool:
        """The first packet of the stream; those before it may still come."""
        if self.next_sequence is not None:
            self._move_base(self.next_sequence - 1 - WINDOW)
            if self._rtp_timestamp >= 0:
                self._leave_open(self.next_sequence - 1, False, now)
        for part in self._waiting:
            self._abandon(part)
        self._waiting.clear()
        self._given_up.clear()
        self._restart_at = None
        self._origin = number
        self._base = number - WINDOW
        self._missing = _ALL_MISSING
        return self._open(number, rtp_timestamp, marker, is_key, now, is_start or is_key)

    def _skip(self, number: int) -> None:
        """What is between the highest number and this one is missing."""
        assert self.next_sequence is not None
        self._move_base(number - WINDOW)
        first = max(self.next_sequence, self._base)
        self._missing |= ((1 << number - first) - 1) << first - self._base

    def _move_base(self, base: int) -> None:
        if base > self._base:
            self._missing >>= base - self._base
            self._base = base

    # -- the open frame ------------------------------------------------------------------------------------------

    def _open(self, number: int, rtp_timestamp: int, marker: bool, is_key: bool, now: float, is_start: bool) -> bool:
        self.next_sequence = number + 1
        self._rtp_timestamp = rtp_timestamp
        self._first = number
        self._is_start = is_start
        self._is_key = is_key
        return marker and self._end_open(number, now)

    def _end_open(self, last: int, now: float) -> bool:
        """Its marker came."""
        if not self._is_start:
            self._leave_open(last, True, now)
            return False
        rtp_timestamp, self._rtp_timestamp = self._rtp_timestamp, -1
        return self._complete(rtp_timestamp, self._is_key, now)

    def _leave_open(self, last: int, is_end: bool, now: float) -> None:
        """Something is missing: it waits."""
        self._give_up(now)
        self._wait(_Part(self._first, last, self._rtp_timestamp, self._is_start, is_end, self._is_key, now))
        self._rtp_timestamp = -1

    def _complete(self, rtp_timestamp: int, is_key: bool, now: float) -> bool:
        if rtp_timestamp in self._given_up:
            return False
        self._received += 1
        if is_key:
            self._key_received += 1
        if (stood_s := self._freezes.frame(now)) is not None:
            self._frozen += 1
            self._freeze_s += stood_s
        return True

    # -- what waits ----------------------------------------------------------------------------------------------

    def _receive_late(
        self, number: int, rtp_timestamp: int, marker: bool, is_key: bool, now: float, is_start: bool
    ) -> bool:
        """A packet that was missing: it joins what is on both sides of it."""
        before = self._by_last.get(number - 1)
        if before is not None and before.rtp_timestamp == rtp_timestamp and not before.is_end:
            part = before
            self._leave(part)
            part.last = number
            part.is_end = marker
            part.is_key |= is_key
        else:
            part = _Part(number, number, rtp_timestamp, is_start or self._is_received(number - 1), marker, is_key, now)
        if number + 1 == self.next_sequence:
            after = None
        elif self._rtp_timestamp >= 0 and self._first == number + 1:
            if not marker and self._rtp_timestamp == rtp_timestamp:
                # The open frame begins earlier.
                self._first = part.first
                self._is_start = part.is_start
                self._is_key |= part.is_key
                part.is_waiting = False
                return False
            self._is_start = True
            after = None
        else:
            after = self._by_first.get(number + 1)
            if after is None and not marker and self._is_received(number + 1):
                # In front of a frame that did not need it.
                part.is_waiting = False
                return False
        is_complete = False
        if after is not None:
            self._leave(after)
            if not marker and after.rtp_timestamp == rtp_timestamp:
                part.last = after.last
                part.is_end = after.is_end
                part.is_key |= after.is_key
                after.is_waiting = False
            else:
                after.is_start = True
                is_complete = self._wait_or_complete(after, now, is_new=False)
        return self._wait_or_complete(part, now, is_new=part is not before) or is_complete

    def _wait_or_complete(self, part: _Part, now: float, *, is_new: bool) -> bool:
        if part.is_start and part.is_end:
            part.is_waiting = False
            return self._complete(part.rtp_timestamp, part.is_key, now)
        if is_new:
            self._wait(part)
        else:
            self._by_first[part.first] = self._by_last[part.last] = part
        return False

    def _wait(self, part: _Part) -> None:
        self._by_first[part.first] = self._by_last[part.last] = part
        self._waiting.append(part)

    def _leave(self, part: _Part) -> None:
        del self._by_first[part.first], self._by_last[part.last]

    def _is_received(self, number: int) -> bool:
        """Whether it came and was not given up."""
        assert self.next_sequence is not None
        offset = number - self._base
        return offset >= 0 and number < self.next_sequence and not self._missing >> offset & 1

    def _give_up(self, now: float) -> None:
        """What waited for too long."""
        waiting = self._waiting
        if not waiting:
            return
        assert self.next_sequence is not None
        oldest = self.next_sequence - WINDOW
        self._move_base(oldest - 1)
        while waiting and (
            not waiting[0].is_waiting or waiting[0].last + 1 < oldest or now - waiting[0].missed_at > GIVE_UP_S
        ):
            self._abandon(waiting.popleft())

    def _abandon(self, part: _Part) -> None:
        if not part.is_waiting:
            return
        part.is_waiting = False
        self._leave(part)
        first = max(part.first, self._base)
        if part.last >= first:
            self._missing |= ((1 << part.last + 1 - first) - 1) << first - self._base
        is_cut_off = not part.is_start and part.first <= self._origin
        if part.rtp_timestamp in self._given_up:
            return
        self._given_up[part.rtp_timestamp] = None
        if len(self._given_up) > WINDOW:
            del self._given_up[next(iter(self._given_up))]
        self._incomplete += not is_cut_off


__all__ = ["FrameCounts", "FrameFlow"]
