"""One timer for many paces, in a time of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rtcctl.probe import ticker
from rtcctl.probe.ticker import running_ticker
from tests.support.wire import clock, run


def every(step_s: float, called: list[float]) -> Callable[[float], float]:
    def tick(now: float) -> float:
        called.append(now)
        return now + step_s

    return tick


def test_each_is_called_when_it_says():
    async def test() -> None:
        started_at = clock()
        fast, slow = [], []
        tasks = [asyncio.create_task(running_ticker().run(every(*of))) for of in ((0.02, fast), (0.05, slow))]
        await asyncio.sleep(0.111)
        assert fast == pytest.approx([started_at + n * 0.02 for n in range(6)])
        assert slow == pytest.approx([started_at + n * 0.05 for n in range(3)])
        tasks[0].cancel()
        await asyncio.sleep(0.1)
        assert len(fast) == 6
        assert len(slow) == 5
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not ticker._TICKERS, "nothing is kept of a loop in which nothing ticks"

    run(test())


def test_what_one_raises_is_its_own():
    async def test() -> None:
        called: list[float] = []
        other = asyncio.create_task(running_ticker().run(every(0.02, called)))

        def tick(now: float) -> float:
            if len(called) == 3:
                raise ValueError("broken")
            return now + 0.01

        with pytest.raises(ValueError, match="broken"):
            await running_ticker().run(tick)
        await asyncio.sleep(0.1)
        assert len(called) > 6
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)

    run(test())


def test_who_is_late_holds_up_nobody():
    """What is always due already is called once in a turn of the loop."""

    async def test() -> None:
        calls = 0

        def tick(now: float) -> float:
            nonlocal calls
            calls += 1
            return now - 1

        task = asyncio.create_task(running_ticker().run(tick))
        for turn in range(10):
            await asyncio.sleep(1e-6)
            assert calls <= 2 * (turn + 1)
        assert calls > 5
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(test())
