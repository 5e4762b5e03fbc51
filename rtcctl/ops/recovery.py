"""What a running command does when its session or its connection is lost: it makes another one, within a time.

Theory of operation. A command that holds a connection says how one is made (`connect`) and what is done over it
(`hold`); `Recovery.run` does both, again and again:

    connect ──▶ hold ──▶ over
       ▲          │ no packet for 5 s, closed, failed, 410: an outage begins, and is said
       └─ pause ◀─┘ … which ends with the next `hold`, or, when `within_s` is over, with an error

A connection is never mended (Realtime docs: an ICE restart is not documented, a new session is): another peer joins
another session, and what was published and pulled is published and pulled anew. Sources go on as if nothing had
happened, and so do figures: what is not sent meanwhile was not due, what was sent and did not arrive is the outage's.

Before the first connection there is no outage, and only that is tried again of which the service says that another
session or another moment helps: 410, codes that pass, and a request whose answer was lost.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from rtcctl.errors import ApiError, DeadlineError, NetworkError, RtcctlError
from rtcctl.ops.env import Env, discard
from rtcctl.ops.media import SILENT_PUBLISHER_CODES
from rtcctl.ops.session import COMMAND_DEADLINE_S
from rtcctl.realtime.explain.errors import RETRIED_ITEM_CODES
from rtcctl.results.outage import ConnectionLost, Outage, Recovered, RecoveryFailed

if TYPE_CHECKING:
    from rtcctl.probe.peer import Peer

FIRST_PAUSE_S = 1.0
"Between two attempts; each is twice as long as the one before, ± 25 %."
FOLLOW_EVERY_S = 0.5
"How often the journal is asked where a publisher is that is not heard any more."
MAX_PAUSE_S = 2.0
"While a connection is missing: whoever waits for media is not to wait for us."
MAX_DOUBLINGS = 10
"Of a pause: a number does not hold those of hours."
MAX_TRIES = 5
"Of what passes by itself, before there is a connection."

TRANSIENT_CODES = RETRIED_ITEM_CODES - SILENT_PUBLISHER_CODES
"Of an item that another moment may help (Realtime docs: Error codes)."


class Connection(Protocol):
    """What a command holds; see `media.Held`."""

    @property
    def peer(self) -> Peer: ...

    @property
    def session_id(self) -> str: ...

    @property
    def flowing_at(self) -> float | None: ...

    @property
    def frames_missed(self) -> Callable[[], int | None] | None: ...


C = TypeVar("C", bound=Connection)


@dataclass(slots=True)
class _Lost:
    """An outage that is not over."""

    error: RtcctlError
    session_id: str
    at: float
    "Clock, when the last packet came."
    give_up_at: float
    messages_unacknowledged: int | None = None


class Recovery:
    """Of one command. `within_s`: for how long another connection is tried for; `None`: an outage is the end.

    `closing` closes what a session holds at the end of its body. `ends_at`, on the clock, is when the command is over
    in any case.
    """

    def __init__(
        self,
        env: Env,
        within_s: float | None,
        closing: Callable[[Env, str], AbstractAsyncContextManager[None]],
    ) -> None:
        self._env = env
        self._within_s = within_s
        self._closing = closing
        self._started = env.clock()
        self._lost: _Lost | None = None
        self._tries = 0
        self._connected_at = 0.0
        self._given_up_at: float | None = None
        self._left: list[Callable[[], Awaitable[None]]] = []
        "What ends that which was lost: sessions and credentials, which expire by themselves if nobody ends them."
        self._outages: list[Outage] = []
        self._missed: dict[int, Callable[[], int | None]] = {}
        self.ends_at: float | None = None
        self.unacknowledged: Callable[[], int | None] = lambda: None
        "How many messages are sent and not known to have arrived."

    @property
    def is_on(self) -> bool:
        """Whether an outage is anything but the end."""
        return self._within_s is not None

    @property
    def deadline_s(self) -> float:
        """What making a connection may take from now on."""
        if self._lost is not None:
            return max(0.0, self._give_up_at(self._lost) - self._env.clock())
        return COMMAND_DEADLINE_S if self._within_s is None else max(COMMAND_DEADLINE_S, self._within_s)

    @property
    def is_recovering(self) -> bool:
        """Whether there was a connection, and is none."""
        return self._lost is not None

    @property
    def outages(self) -> tuple[Outage, ...]:
        """All, with what is known of them by now."""
        past = [
            replace(outage, frames_missed=self._missed[index]()) if index in self._missed else outage
            for index, outage in enumerate(self._outages)
        ]
        return (*past, *([self._outage(self._lost)] if self._lost is not None else []))

    def successor(self, publisher_session_id: str) -> str:
        """The session in which that publisher is by now, as far as this machine knows; without recovery, that one."""
        found = self._env.successor(publisher_session_id) if self.is_on else None
        return publisher_session_id if found is None else found

    async def run(
        self, connect: Callable[[], AbstractAsyncContextManager[C]], hold: Callable[[C], Awaitable[None]]
    ) -> None:
        """Connect and hold until `hold` returns. Raises what ends the command; after an outage, a `NetworkError`."""
        connection: C | None = None
        try:
            while True:
                connection = None
                try:
                    async with AsyncExitStack() as stack:
                        connection = await self._connected(stack, connect)
                        try:
                            await hold(connection)
                        except RtcctlError as error:
                            self._see(error, connection)  # before anything is torn down, which may take its time
                            raise
                        return
                except RtcctlError as error:
                    pause_s = self._take(error, has_held=connection is not None)
                await asyncio.sleep(pause_s)
        finally:
            await self._close_left()

    @asynccontextmanager
    async def holding(self, session_id: str) -> AsyncIterator[None]:
        """Close what the session holds when the body ends; if it is lost, as soon as somebody answers."""
        is_lost = False
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._leave, session_id, lambda: is_lost)
            try:
                yield
            except RtcctlError as error:
                is_lost = _is_outage(error) or (isinstance(error, DeadlineError) and error.is_unanswered)
                raise

    def later(self, end: Callable[[], Awaitable[None]]) -> None:
        """Have that done as soon as somebody answers, at the latest at the end; it has a deadline of its own."""
        self._left.append(end)

    async def _leave(self, session_id: str, is_lost: Callable[[], bool]) -> None:
        if is_lost():
            self.later(partial(self._close, replace(self._env, emit=discard), session_id))
            return
        # With those that are left: who interrupts a recovery waits for one deadline, not for one after the other.
        await asyncio.gather(self._close(self._env, session_id), self._close_left())

    def note(self, outage: Outage, frames_missed: Callable[[], int | None] | None = None) -> None:
        """An outage that is over. `frames_missed`: what is to be asked for it, since it may be known later."""
        if frames_missed is not None:
            self._missed[len(self._outages)] = frames_missed
            outage = replace(outage, frames_missed=frames_missed())
        self._outages.append(outage)
        self._env.emit(Recovered(outage=outage))

    def _restored(self, connection: Connection) -> None:
        """Media flows again."""
        lost, self._lost = self._lost, None
        if lost is not None:
            flowing_at = self._env.clock() if connection.flowing_at is None else connection.flowing_at
            outage = replace(
                self._outage(lost),
                successor_id=connection.session_id,
                duration_s=flowing_at - lost.at,
                attempts=self._tries + 1,
            )
            self.note(outage, connection.frames_missed)
        self._tries = 0
        self._connected_at = self._env.clock()

    def elapsed_s(self, at: float) -> float:
        """From the start of the command."""
        return max(0.0, at - self._started)

    # -- how ----------------------------------------------------------------------------------------------------------

    async def _connected(self, stack: AsyncExitStack, connect: Callable[[], AbstractAsyncContextManager[C]]) -> C:
        after_s = self.deadline_s if self._lost is not None else None
        try:
            async with asyncio.timeout(after_s):
                connection = await stack.enter_async_context(connect())
        except TimeoutError:
            assert after_s is not None
            raise DeadlineError(
                f"There was no other connection within {after_s:.3g} s.", awaited="a connection", after_s=after_s
            ) from None
        self._restored(connection)
        await self._close_left()
        return connection

    def _see(self, error: RtcctlError, connection: Connection) -> None:
        """What held has ended with that: where it is an outage, it begins."""
        if self._within_s is None or not _is_outage(error):
            return
        now, heard_at = self._env.clock(), connection.peer.last_packet_at
        self._lost = _Lost(error, connection.session_id, now if heard_at is None else heard_at, now + self._within_s)
        self._lost.messages_unacknowledged = self.unacknowledged()
        self._tries = 0
        silent_s = None if heard_at is None else now - heard_at
        self._env.emit(ConnectionLost(session_id=connection.session_id, reason=error.message, silent_s=silent_s))

    def _take(self, error: RtcctlError, *, has_held: bool) -> float:
        """Seconds until the next attempt. Raises what ends the command."""
        lost = self._lost
        if self._within_s is None or (has_held and lost is None):
            raise error
        now = self._env.clock()
        # One that ends as soon as it is made is not to be made without a pause.
        pause_s = max(0.0, self._connected_at + FIRST_PAUSE_S - now)
        if not has_held:
            self._tries += 1
            doubled = 2 ** min(self._tries - 1, MAX_DOUBLINGS)
            pause_s = FIRST_PAUSE_S * doubled * self._env.random.uniform(0.75, 1.25)
        if lost is not None:
            if not _may_pass(error):
                raise error
            pause_s, give_up_at = min(pause_s, MAX_PAUSE_S), self._give_up_at(lost)
        else:
            if self._tries >= _tries_before(error):
                raise error
            give_up_at = self._given_up_at = self._given_up_at or now + self._within_s
        if isinstance(error, ApiError) and error.retry_after_s is not None:
            pause_s = max(pause_s, error.retry_after_s)
        if now + pause_s >= give_up_at:
            raise self._given_up(error)
        if not has_held:
            self._env.emit(RecoveryFailed(reason=error.message, attempt=self._tries, pause_s=pause_s))
        return pause_s

    def _give_up_at(self, lost: _Lost) -> float:
        return lost.give_up_at if self.ends_at is None else min(lost.give_up_at, self.ends_at)

    def _outage(self, lost: _Lost) -> Outage:
        return Outage(
            reason=lost.error.message,
            session_id=lost.session_id,
            started_s=self.elapsed_s(lost.at),
            attempts=self._tries,
            messages_unacknowledged=lost.messages_unacknowledged,
        )

    def _given_up(self, last: RtcctlError) -> RtcctlError:
        assert self._within_s is not None
        lost = self._lost
        if isinstance(last, ApiError) and last.code in SILENT_PUBLISHER_CODES:
            last.hint = (
                "If its publisher goes on in another session, subscribe to that: only one of this machine and profile "
                "is followed."
            )
            return last
        if lost is not None and lost.give_up_at > self._give_up_at(lost):
            text = f"{lost.error.message} The time was over before there was another connection."
        elif lost is not None:
            text = (
                f"{lost.error.message} There was no other within {self._within_s:g} s; the last attempt: {last.message}"
            )
        else:
            text = f"No session could be had within {self._within_s:g} s; the last attempt: {last.message}"
        phase = next((e.phase for e in (last, lost and lost.error) if isinstance(e, NetworkError)), "http")
        return NetworkError(text, phase=phase, hint=last.hint or (lost.error.hint if lost is not None else ""))

    async def _close_left(self) -> None:
        """What was lost may still be there, and its service back."""
        left, self._left = self._left, []
        # At the same time: each has its own deadline, and notes in the journal that it is over.
        await asyncio.gather(*(end() for end in left))

    async def _close(self, env: Env, session_id: str) -> None:
        async with self._closing(env, session_id):
            pass


def _is_gone(error: RtcctlError) -> bool:
    return isinstance(error, ApiError) and error.is_gone


def _is_outage(error: RtcctlError) -> bool:
    """Whether what held is lost."""
    return isinstance(error, NetworkError) or _is_gone(error)


def _tries_before(error: RtcctlError) -> float:
    """How often another session is tried where there was none before: 1 is once."""
    if isinstance(error, NetworkError | DeadlineError):
        return 2 if error.is_unanswered else 1
    if _is_gone(error):
        return math.inf
    # What a whole request was refused with has been tried often enough by the client.
    is_passing_item = isinstance(error, ApiError) and error.status == 200 and error.code in TRANSIENT_CODES
    return MAX_TRIES if is_passing_item else 1


def _may_pass(error: RtcctlError) -> bool:
    """Whether an error may be that of a service, or of a network, that comes back."""
    if isinstance(error, NetworkError | DeadlineError):
        return True
    if not isinstance(error, ApiError):
        return False
    status = error.status or 0
    return error.is_gone or status >= 425 or error.code in RETRIED_ITEM_CODES
