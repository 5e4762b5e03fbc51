"""An event loop whose time passes only while it waits: nothing takes longer than the work that is done."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class _Skipping(selectors.DefaultSelector):
    """Where others wait, this one lets the time of the loop jump."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None:
            self.now += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """See the module. It opens no socket but the loop's own, with which it wakes itself."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


def simulate(work: Callable[[SimulatedLoop], Awaitable[T]]) -> T:
    """Run it in simulated time, from 1000 s on."""

    async def begin() -> T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        return await work(loop)

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(begin())
