"""Requests that the service holds, each for so long at most; the time they have left can pass on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Waits:
    """All that are under way in one server."""

    def __init__(self) -> None:
        self._timeouts: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """`asyncio.timeout`, on the service's time."""
        async with asyncio.timeout(seconds) as timeout:
            self._timeouts.add(timeout)
            try:
                yield
            finally:
                self._timeouts.discard(timeout)

    def advance(self, seconds: float) -> None:
        """Each has that much less left."""
        for timeout in self._timeouts:
            due = timeout.when()
            if due is not None and not timeout.expired():
                timeout.reschedule(due - seconds)
