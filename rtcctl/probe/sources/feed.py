"""A blocking iterator, read ahead in a thread of its own, for one asynchronous reader.

The thread is a daemon: whatever it waits for (a pipe that nobody closes, a camera), it never keeps the interpreter from
ending. `stop` is called to end such a wait early; without one, a thread that waits is left behind by `close`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from av.error import FFmpegError

from rtcctl.errors import ParseError, RtcctlError

T = TypeVar("T")

JOIN_S = 2.0
"How long `close` waits for the thread."


class Feed(Generic[T]):
    """What `items` yields, in order, at most `depth` of them ahead."""

    def __init__(
        self,
        items: Generator[T, None, None],
        *,
        name: str,
        depth: int,
        newest: bool = False,
        stop: Callable[[], None] | None = None,
    ) -> None:
        """With `newest`, the oldest makes room for what comes: for live sources, which cannot wait."""
        self._items = items
        self._depth = depth
        self._newest = newest
        self._stop = stop
        self._queue: deque[T] = deque()
        self._changed = threading.Condition()
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._has_ended = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.problem: FFmpegError | OSError | ParseError | RtcctlError | None = None
        "Why the items ended, when it was not their end."
        self.dropped = 0
        "Items that made room for newer ones."

    def start(self) -> None:
        """Begin to read ahead; only the first call does something."""
        if self._thread.ident is None and not self._is_closed:
            self._thread.start()

    async def ready(self) -> bool:
        """Wait until there is an item; False at the end."""
        self.start()
        while True:
            with self._changed:
                if self._queue:
                    return True
                if self._has_ended or self._is_closed:
                    return False
                loop = asyncio.get_running_loop()
                waiter = loop.create_future()
                self._waiter = loop, waiter
            await waiter

    async def get(self) -> T | None:
        """The next item; None at the end."""
        if not await self.ready():
            return None
        with self._changed:
            item = self._queue.popleft()
            self._changed.notify_all()
        return item

    def waiting(self) -> list[T]:
        """What is read and not taken."""
        with self._changed:
            return list(self._queue)

    async def close(self) -> None:
        """End the thread; safe to call again."""
        with self._changed:
            self._is_closed = True
            self._queue.clear()
            self._changed.notify_all()
            self._wake()
        if self._stop is not None:
            self._stop()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, JOIN_S)
        else:
            self._items.close()

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except (FFmpegError, OSError, ParseError, RtcctlError) as exc:
            self.problem = exc
        finally:
            with self._changed:
                self._has_ended = True
                self._wake()
            self._items.close()

    def _put(self, item: T) -> bool:
        with self._changed:
            while len(self._queue) >= self._depth and not self._is_closed:
                if self._newest:
                    self._queue.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if self._is_closed:
                return False
            self._queue.append(item)
            self._wake()
            return True

    def _wake(self) -> None:
        if self._waiter is None:
            return
        loop, waiter = self._waiter
        self._waiter = None
        # The loop may have ended while we read.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_finish, waiter)


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
