"""Peers of tests: what `testing/core.py` does, for those who call it from another thread or another event loop.

They know nothing of the API: offers and answers go through whatever backend is under test. `Peer` waits, `AsyncPeer`
awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar

from rtcctl.errors import RtcctlError
from rtcctl.testing.core import Core, Media
from rtcctl.testing.threads import LoopThread, as_shown

if TYPE_CHECKING:
    from rtcctl.results.track import ReceivedStatistics

T = TypeVar("T")

__tracebackhide__ = True  # pytest shows the line of the test


class Peer:
    """A peer; its methods wait. `with realtime.peer() as peer: …`."""

    def __init__(self, thread: LoopThread, core: Core) -> None:
        self._thread = thread
        self.core = core

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do that among the peers."""
        return self._thread.run(work)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def publish_tone(self, frequency_hz: float = 440.0) -> Media:
        """Send a tone on an m-section of its own; its mid is known after the next offer."""
        return self.do(self.core.publish_tone(frequency_hz))

    def receive(self, kind: str = "audio") -> Media:
        """An m-section to receive on; its mid is known after the next offer."""
        return self.do(self.core.receive(kind))

    def create_offer(self) -> str:
        """The SDP of an offer with all candidates."""
        return self.do(self.core.create_offer())

    def set_answer(self, sdp: str) -> None:
        """Take the answer to that; connecting begins."""
        self.do(self.core.set_answer(sdp))

    def answer(self, offer: str) -> str:
        """Take an offer; the SDP of the answer. Connecting begins."""
        return self.do(self.core.answer(offer))

    def wait_connected(self, timeout: float = 10.0) -> None:
        """Until ICE and DTLS are there. Raises `NetworkError` that says what did not work."""
        self.do(self.core.wait_connected(timeout))

    def statistics(self, mid: str | None = None) -> ReceivedStatistics:
        """Loss, jitter, round trip, latency and tone of what has arrived; without `mid` there is one track."""
        return self.do(self.core.statistics(mid))

    def assert_tone(self, frequency_hz: float, mid: str | None = None, within: float = 5.0) -> None:
        """Wait until this very tone is heard, on any m-section or on that one. Gaps are not judged."""
        if problem := self.do(self.core.missing_tone(frequency_hz, mid, within)):
            raise AssertionError(problem)

    def assert_silence(self, mid: str | None = None, within: float = 5.0) -> None:
        """Wait until no tone has been heard for half a second: nothing arrives, or nothing is in it."""
        if problem := self.do(self.core.audible_tone(mid, within)):
            raise AssertionError(problem)

    def vanish(self) -> None:
        """Be gone without a goodbye, as by a crash or a dead network: nothing is sent or heard any more."""
        self.do(self.core.vanish())

    def close(self) -> None:
        """Say goodbye and end; harmless the second time."""
        self.do(self.core.close())


class AsyncPeer:
    """A peer whose methods are coroutines, of asyncio or trio. `async with realtime.async_peer() as peer: …`."""

    def __init__(self, thread: LoopThread, core: Core) -> None:
        self._thread = thread
        self.core = core

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do that among the peers."""
        try:
            return await self._done(self._thread.submit(work))
        except RtcctlError as error:
            raise as_shown(error) from None

    async def _done(self, future: Future[T]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            import anyio.to_thread  # which httpx brings

            try:
                return await anyio.to_thread.run_sync(future.result, abandon_on_cancel=True)
            finally:
                future.cancel()
        return await asyncio.wrap_future(future)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def publish_tone(self, frequency_hz: float = 440.0) -> Media:
        """See `Peer`, of which these are the coroutines."""
        return await self.do(self.core.publish_tone(frequency_hz))

    async def receive(self, kind: str = "audio") -> Media:
        return await self.do(self.core.receive(kind))

    async def create_offer(self) -> str:
        return await self.do(self.core.create_offer())

    async def set_answer(self, sdp: str) -> None:
        await self.do(self.core.set_answer(sdp))

    async def answer(self, offer: str) -> str:
        return await self.do(self.core.answer(offer))

    async def wait_connected(self, timeout: float = 10.0) -> None:
        await self.do(self.core.wait_connected(timeout))

    async def statistics(self, mid: str | None = None) -> ReceivedStatistics:
        return await self.do(self.core.statistics(mid))

    async def assert_tone(self, frequency_hz: float, mid: str | None = None, within: float = 5.0) -> None:
        if problem := await self.do(self.core.missing_tone(frequency_hz, mid, within)):
            raise AssertionError(problem)

    async def assert_silence(self, mid: str | None = None, within: float = 5.0) -> None:
        if problem := await self.do(self.core.audible_tone(mid, within)):
            raise AssertionError(problem)

    async def vanish(self) -> None:
        await self.do(self.core.vanish())

    async def close(self) -> None:
        await self.do(self.core.close())
