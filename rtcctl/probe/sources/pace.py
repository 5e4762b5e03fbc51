"""When the frames of a source of constant rate are due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MAX_BEHIND_S = 0.1
"What is more than this late is left out: the source stays below nominal and says so, and never bursts."


class Pace:
    """Ticks of `frame_s` from the first call on. A little late is made good at once, a lot is left out."""

    def __init__(self, frame_s: float) -> None:
        self._frame_s = frame_s
        self._next = 0
        self.started_at: float | None = None
        "Clock, when the first tick was due."
        self.due_at = float("-inf")
        "Clock, when the next one is."

    async def tick(self, clock: Callable[[], float]) -> int:
        """Wait until the next tick is due; its number, from 0."""
        wait_s = self.due_at - (now := clock())
        if wait_s > 0:
            await asyncio.sleep(wait_s)
            now = clock()
        return self.take(now)

    def take(self, now: float) -> int:
        """The tick that is due; the first one is when this is called first."""
        tick = self._next
        started_at = self.started_at
        if started_at is None:
            started_at = self.started_at = self.due_at = now
        elif now - self.due_at > MAX_BEHIND_S:
            tick += int((now - self.due_at) / self._frame_s + 1e-6)
        self._next = tick + 1
        self.due_at = started_at + self._next * self._frame_s
        return tick

    def nominal(self, now: float) -> int:
        """How many ticks are due by `now`."""
        if self.started_at is None:
            return 0
        return max(0, int((now - self.started_at) / self._frame_s + 1e-6) + 1)


__all__ = ["MAX_BEHIND_S", "Pace"]
