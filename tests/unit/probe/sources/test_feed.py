"""Covers rtcctl/probe/sources/feed.py."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

from rtcctl.errors import UsageError
from rtcctl.probe.sources.feed import Feed


def counting(
    end: int, closed: threading.Event | None = None, fourth: threading.Event | None = None
) -> Generator[int, None, None]:
    """Says when it was asked for a fourth item after the first, and when it was closed."""
    try:
        for number in range(end):
            if number == 4 and fourth is not None:
                fourth.set()
            yield number
    finally:
        if closed is not None:
            closed.set()


async def test_items_come_in_order_and_end():
    """All of them, and then None, as often as one asks."""
    feed = Feed(counting(100), name="test", depth=3)
    assert [await feed.get() for _ in range(102)] == [*range(100), None, None]
    await feed.close()


async def test_reading_ahead_is_bounded():
    """The thread waits while `depth` items are there, and closing ends it and what it reads."""
    closed, fourth = threading.Event(), threading.Event()
    feed = Feed(counting(10**9, closed, fourth), name="test", depth=3)
    assert await feed.get() == 0
    await asyncio.to_thread(fourth.wait, 30)
    assert feed.waiting() == [1, 2, 3]
    await feed.close()
    assert closed.is_set()
    assert await feed.get() is None
    await feed.close()


async def test_only_the_newest():
    """A live source does not wait: the oldest goes, and is counted."""
    closed = threading.Event()
    feed = Feed(counting(100, closed), name="test", depth=2, newest=True)
    feed.start()
    await asyncio.to_thread(closed.wait, 30)
    assert feed.dropped == 98
    assert [await feed.get(), await feed.get(), await feed.get()] == [98, 99, None]
    await feed.close()


async def test_why_it_ended():
    """An expected error is the end, and is kept; what came before it is given out."""

    def failing() -> Generator[int, None, None]:
        yield 1
        raise UsageError("broken")

    feed = Feed(failing(), name="test", depth=3)
    assert [await feed.get(), await feed.get()] == [1, None]
    assert isinstance(feed.problem, UsageError)
    await feed.close()


async def test_a_feed_that_never_began():
    """Closing it closes what it would have read, and nothing starts afterwards."""
    items = counting(5)
    feed = Feed(items, name="test", depth=3)
    await feed.close()
    assert await feed.get() is None
    assert next(items, None) is None


async def test_who_waits_when_it_is_closed():
    """A reader that waits for an item gets None."""
    go = threading.Event()

    def slow() -> Generator[int, None, None]:
        go.wait(30)
        yield 1

    feed = Feed(slow(), name="test", depth=1, stop=go.set)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(feed.get())
        await asyncio.sleep(0)
        await feed.close()
    assert waiting.result() is None
