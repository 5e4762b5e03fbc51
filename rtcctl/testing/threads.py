"""An event loop in a thread of its own, for those who have none, or another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context
from typing import Any, TypeVar

from rtcctl.errors import RtcctlError
from rtcctl.units import SpellingError

T = TypeVar("T")
Error = TypeVar("Error", bound=Exception)

__tracebackhide__ = True  # pytest shows the line of the test

CLOSED = "The Realtime of this test has been closed."


def as_shown(error: Error) -> Error:
    """An error that the test is to see: the hint is part of it, and the way to it through our code is not."""
    if hint := getattr(error, "hint", ""):
        error.add_note(f"hint: {hint}")
    return error.with_traceback(None)


class LoopThread:
    """Runs coroutines in one loop until it is closed; those that are left then are cancelled."""

    def __init__(self, name: str) -> None:
        # Here, where it is an error of the caller's that it cannot be made (no file descriptor is left, for one).
        # Sockets are watched by `add_reader`, which the default loop of Windows does not have.
        self._loop = asyncio.SelectorEventLoop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start it; cancelling the future cancels it."""
        if self._loop.is_closed():
            work.close()
            raise RuntimeError(CLOSED)
        # In a context of its own: the caller's may say that it runs under trio.
        return Context().run(asyncio.run_coroutine_threadsafe, work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result; an interruption of this thread ends it as well."""
        future = self.submit(work)
        try:
            return future.result()
        except (RtcctlError, SpellingError) as error:
            raise as_shown(error) from None
        finally:
            future.cancel()

    def call(self, function: Callable[[], T]) -> T:
        """What a plain function returns, called there."""

        async def called() -> T:
            return function()

        return self.run(called())

    def close(self) -> None:
        """End the loop and the thread; harmless the second time."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._wait())

    async def _wait(self) -> None:
        await self._stop.wait()
