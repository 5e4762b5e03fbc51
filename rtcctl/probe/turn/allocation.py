"""An allocation at a TURN server: `media.turn` over a link, in an event loop."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from rtcctl.errors import NetworkError, ParseError
from rtcctl.media.stun import Attribute, Message, MessageClass, Method, is_stun
from rtcctl.media.turn import (
    Address,
    Allocated,
    ChannelBound,
    DataReceived,
    Refused,
    State,
    TimedOut,
    TurnClient,
)
from rtcctl.probe.turn.link import Link

_BINDING_PAUSE_S = 0.5
"From one binding request to the next, doubling (RFC 8489 §6.2.1)."
_QUEUED_PACKETS = 64
"For a peer whose channel is not bound yet; more are dropped, as on any path."

_REFUSED_S = 3.0
"For so long a peer that was refused is not asked for again, whatever is sent to it."


class RefusedError(NetworkError):
    """The server answered, and said no; `code` is that of RFC 8656 §19 or RFC 8489 §18.4."""

    def __init__(self, refused: Refused) -> None:
        to = f" (try {refused.alternate[0]}:{refused.alternate[1]})" if refused.alternate else ""
        said = f"{refused.code} {refused.reason}".strip()
        super().__init__(f"The TURN server refused {refused.method.name.lower()}: {said}{to}.", phase="turn")
        self.code = refused.code
        self.method = refused.method


class UnansweredError(NetworkError):
    """Nothing came back in time."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The TURN server did not answer {what}.", phase="turn")


class Allocation:
    """One allocation; use it as an async context manager. It ends with its link, which it closes.

    `take` is called with each packet of a peer, and where that peer is. `clock`: the event loop's.
    """

    def __init__(
        self,
        link: Link,
        username: str,
        password: str,
        take: Callable[[bytes, Address], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.error: NetworkError | None = None
        "Why it ended, unless it was us."
        self.on_end: Callable[[NetworkError], None] | None = None
        self._link = link
        self._take = take
        self._clock = clock
        self._client = TurnClient(
            username, password, is_reliable=link.is_reliable, new_transaction_id=lambda: secrets.token_bytes(12)
        )
        self._waiting: dict[object, asyncio.Future[object]] = {}
        "By what is waited for: a method, a peer or a transaction id."
        self.refusals: dict[Address, NetworkError] = {}
        "Peers that the server does not relay to, and why."
        self._refused_until: dict[Address, float] = {}
        self._queued: dict[Address, list[bytes]] = {}
        "Packets for peers whose channels are not bound yet."
        self._timer: asyncio.TimerHandle | None = None
        self._is_silent = False
        link.on_frame = self._received
        link.on_lost = self._failed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await self.wait_closed()

    @property
    def relayed(self) -> Address:
        """Where others reach us."""
        assert self._client.relayed is not None, "allocate() comes first"
        return self._client.relayed

    @property
    def software(self) -> str:
        """What the server calls itself; empty when it does not say."""
        return self._client.software

    @property
    def trouble(self) -> NetworkError | None:
        """Why it ended, or why it seems that it has: nobody listens at the server's port any more."""
        if self.error is None and self._link.last_error is not None:
            reason = self._link.last_error.strerror or "there is no way"
            return NetworkError(f"The TURN server cannot be reached: {reason}.", phase="turn")
        return self.error

    @property
    def is_alive(self) -> bool:
        """Whether it relays."""
        return self._client.state is State.ALLOCATED and self.error is None

    async def binding(self, timeout_s: float) -> tuple[Address | None, float]:
        """Ask where the server sees us (RFC 8489 §3), before or after allocating; that, and seconds of round trip.

        Each transmission is a transaction of its own, so that the answer tells which one it is to.
        """
        future = asyncio.get_running_loop().create_future()
        sent_at: dict[bytes, float] = {}
        give_up_at, pause_s = self._clock() + timeout_s, _BINDING_PAUSE_S
        try:
            while not future.done():
                left_s = give_up_at - self._clock()
                if left_s <= 0 or isinstance(self._link.last_error, ConnectionRefusedError):
                    raise UnansweredError("a binding request")
                request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(12)).with_fingerprint()
                self._wait_for(request.transaction_id, future)
                sent_at[request.transaction_id] = self._clock()
                self._link.send(bytes(request))
                await asyncio.wait({future}, timeout=left_s if self._link.is_reliable else min(left_s, pause_s))
                pause_s *= 2
            answer = future.result()
        finally:
            for transaction_id in sent_at:
                self._waiting.pop(transaction_id, None)
            future.cancel()
        arrived_at = self._clock()
        assert isinstance(answer, Message)
        if answer.message_class is MessageClass.ERROR:
            raise RefusedError(Refused(Method.BINDING, answer.error_code or 0, answer.error_reason))
        mapped = answer.mapped_address or answer.plain_address(Attribute.MAPPED_ADDRESS)
        return mapped, arrived_at - sent_at[answer.transaction_id]

    async def allocate(self, timeout_s: float) -> Allocated:
        """Ask for a relayed address. `RefusedError`, `UnansweredError`, or the `NetworkError` of a link that broke."""
        future = self._wait_for(Method.ALLOCATE)
        self._client.allocate(self._clock())
        self._advance()
        allocated = await self._answer(future, timeout_s, "an allocate request")
        assert isinstance(allocated, Allocated)
        return allocated

    async def bind(self, peer: Address, timeout_s: float) -> None:
        """A permission and a channel for a peer. Raises as `allocate` does."""
        if self._client.is_bound(peer):
            return
        future = self._wait_for(peer)
        self._client.bind(peer, self._clock())
        self._advance()
        await self._answer(future, timeout_s, "a channel bind request")

    def send(self, peer: Address, data: bytes | memoryview) -> None:
        """Send to a peer through the relay; without a channel yet, one is asked for and the packet waits for it."""
        if self._is_silent:
            return
        if self._client.is_bound(peer):
            self._link.send(self._client.data_for(peer, data))
            return
        if not self.is_alive or self._clock() < self._refused_until.get(peer, 0.0):
            return
        queue = self._queued.setdefault(peer, [])
        if len(queue) < _QUEUED_PACKETS:
            queue.append(bytes(data))
        self._client.bind(peer, self._clock())
        self._advance()

    def fall_silent(self) -> None:
        """Neither send nor hear any more, not even a goodbye; the link stays open until `close`."""
        self._is_silent = True
        self._link.on_frame = _ignore
        self._cancel_timer()

    async def wait_closed(self) -> None:
        """Until the link is closed, after `close`."""
        await self._link.wait_closed()

    def close(self) -> None:
        """Give the address back, and end. Harmless the second time."""
        self._client.release(self._clock())
        for frame in self._client.datagrams_to_send(self._clock()):
            if not self._is_silent:
                self._link.send(frame)
        self._cancel_timer()
        self._link.close()
        for future in self._waiting.values():
            future.cancel()

    # -- the loop ------------------------------------------------------------------------------------------------

    def _wait_for(self, what: object, future: asyncio.Future[object] | None = None) -> asyncio.Future[object]:
        future = future or asyncio.get_running_loop().create_future()
        self._waiting[what] = future
        if self.error is not None:
            future.set_exception(self.error)
        return future

    async def _answer(self, future: asyncio.Future[object], timeout_s: float, what: str) -> object:
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise UnansweredError(f"{what} within {timeout_s:g} s") from None

    def _received(self, frame: bytes) -> None:
        now = self._clock()
        if not is_stun(frame):
            # Channel data changes nothing that is due.
            self._client.receive_datagram(frame, now)
            self._take_events()
            return
        future = self._waiting.get(frame[8:20])
        if future is None:
            self._client.receive_datagram(frame, now)
            self._advance()
        elif not future.done():
            with suppress(ParseError):
                future.set_result(Message.parse(frame))

    def _advance(self) -> None:
        now = self._clock()
        for frame in self._client.datagrams_to_send(now):
            self._link.send(frame)
        self._take_events()
        self._set_timer(now)

    def _take_events(self) -> None:
        while (event := self._client.next_event()) is not None:
            match event:
                case DataReceived(peer, data):
                    self._take(data, peer)
                case Allocated():
                    self._tell(Method.ALLOCATE, event)
                case ChannelBound(peer):
                    self.refusals.pop(peer, None)
                    self._tell(peer, None)
                    for data in self._queued.pop(peer, ()):
                        self._link.send(self._client.data_for(peer, data))
                case Refused(method, peer=peer):
                    self._tell_error(peer or method, RefusedError(event))
                case TimedOut(method, peer):
                    self._tell_error(peer or method, UnansweredError(f"a {method.name.lower()} request"))

    def _tell(self, what: object, value: object) -> None:
        future = self._waiting.pop(what, None)
        if future is not None and not future.done():
            future.set_result(value)

    def _tell_error(self, what: object, error: NetworkError) -> None:
        if isinstance(what, tuple):
            self._queued.pop(what, None)
            self.refusals[what] = error
            self._refused_until[what] = self._clock() + _REFUSED_S
        future = self._waiting.pop(what, None)
        if future is not None and not future.done():
            future.set_exception(error)
        elif what == Method.REFRESH:
            self._failed(error)

    def _failed(self, error: NetworkError) -> None:
        """It is over, and it was not us."""
        if self.error is not None:
            return
        self.error = error
        self._cancel_timer()
        self._link.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waits sees it; nobody has to
        self._waiting.clear()
        if self.on_end is not None:
            self.on_end(error)

    def _set_timer(self, now: float) -> None:
        self._cancel_timer()
        due = self._client.get_timer()
        if due is not None and self.error is None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._handle_timer)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _handle_timer(self) -> None:
        if self._client.state is State.ALLOCATING and isinstance(self._link.last_error, ConnectionRefusedError):
            # Nobody listens, and there is nothing yet that would be worth waiting for the server's return.
            assert self.trouble is not None
            self._failed(self.trouble)
            return
        self._client.handle_timer(self._clock())
        self._advance()


def _ignore(_: bytes) -> None:
    """For who has fallen silent."""
