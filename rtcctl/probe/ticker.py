"""One timer of the event loop for everything that happens at a steady pace in it.

A timer for each packet costs more than protecting the packet: the loop makes an object, sorts it in by comparing in
Python, and runs it in a context. Here a packet costs one step in a heap of floats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count

_NEXT_TURN_S = 1e-6
"Later: what is late already waits for that, until the loop has had its turn."


class Ticker:
    """Of one event loop, while there is something to call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._order = count()
        self._due: list[tuple[float, int, Callable[[float], float], asyncio.Future[None]]] = []
        "A heap; the number settles ties."
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, tick: Callable[[float], float]) -> None:
        """Call `tick` with the loop's time: now, and whenever it says, until this is cancelled.

        It returns the time at which it is due next. What it raises ends it, and is raised here.
        """
        ended = self._loop.create_future()
        heappush(self._due, (self._loop.time(), next(self._order), tick, ended))
        self._arm()
        try:
            await ended
        finally:
            self._due = [entry for entry in self._due if entry[3] is not ended]
            heapify(self._due)
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            self._timer = self._loop.call_at(self._due[0][0], self._fire)
        else:
            _TICKERS.pop(self._loop, None)

    def _fire(self) -> None:
        """Everything that is due now, once."""
        now = self._loop.time()
        due = self._due
        while due and due[0][0] <= now:
            _, order, tick, ended = due[0]
            try:
                next_at = tick(now)
            except Exception as error:  # noqa: BLE001  # it is told whoever runs it
                heappop(due)
                if not ended.done():
                    ended.set_exception(error)
                continue
            heapreplace(due, (next_at if next_at > now else now + _NEXT_TURN_S, order, tick, ended))
        self._arm()


_TICKERS: dict[asyncio.AbstractEventLoop, Ticker] = {}


def running_ticker() -> Ticker:
    """That of the running event loop."""
    loop = asyncio.get_running_loop()
    ticker = _TICKERS.get(loop)
    if ticker is None:
        ticker = _TICKERS[loop] = Ticker(loop)
    return ticker


__all__ = ["Ticker", "running_ticker"]
