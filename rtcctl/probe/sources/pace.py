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

    async def tick(self, clock: Callable[[], float]) -> int:
        """Wait until the next tick is due; its number, from 0."""
        wait_s = self.wait_s(clock())
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        return self.take()

    def wait_s(self, now: float) -> float:
        """How long it is until the next tick is due; not above zero when it is. The first is due when this is asked."""
        if self.started_at is None:
            self.started_at = now
        behind_s = now - self.started_at - self._next * self._frame_s
        if behind_s > MAX_BEHIND_S:
            self._next += int(behind_s / self._frame_s + 1e-6)
        return -behind_s

    def take(self) -> int:
        """The tick that is due."""
        tick = self._next
        self._next += 1
        return tick

    def nominal(self, now: float) -> int:
        """How many ticks are due by `now`."""
        if self.started_at is None:
            return 0
        return max(0, int((now - self.started_at) / self._frame_s + 1e-6) + 1)


__all__ = ["MAX_BEHIND_S", "Pace"]
