"""Covers rtcctl/ops/recovery.py: when another connection is tried for, how often, for how long, and what is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from rtcctl.errors import ApiError, AuthError, DeadlineError, NetworkError, RtcctlError, UsageError
from rtcctl.journal import Journal
from rtcctl.ops.env import Env
from rtcctl.ops.media import Held
from rtcctl.ops.recovery import FIRST_PAUSE_S, MAX_TRIES, Recovery
from rtcctl.realtime.profile import Profile
from rtcctl.results.event import Event
from rtcctl.results.outage import ConnectionLost, Recovered, RecoveryFailed
from tests.support.simulated_time import SimulatedLoop, simulate

LOST = NetworkError("The connection was lost.", phase="media", hint="Is it running?")
UNREACHABLE = NetworkError("Nobody listens.", phase="tcp")
GONE = ApiError("410", status=410, code="session_error")
BUSY = ApiError("503", status=503)
TRANSIENT = ApiError("passes", status=200, code="retryable_transient_error")
NO_TRACK = ApiError("no such track", status=200, code="not_found_track_error")
UNANSWERED = DeadlineError("no answer", awaited="the answer", after_s=12, is_unanswered=True)


@dataclass
class Story:
    """What becomes of each connection: an error in place of it, or how long it holds and how that ends (`None`: well).

    The last part is told again and again.
    """

    parts: Sequence[RtcctlError | tuple[float, RtcctlError | None]]
    within_s: float | None = 60.0
    ends_after_s: float | None = None
    events: list[tuple[float, Event]] = field(default_factory=list)
    attempts: list[float] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    error: RtcctlError | None = None
    ended_s: float = 0.0
    recovery: Any = None

    def run(self, folder: Path) -> Story:
        simulate(lambda loop: self._run(loop, folder))
        return self

    async def _run(self, loop: SimulatedLoop, folder: Path) -> None:
        started = loop.time()

        def now() -> float:
            return loop.time() - started

        with Journal.open(folder) as journal:
            env = Env(
                Profile(name="test", api_base="http://127.0.0.1:1/v1"),
                journal,
                clock=loop.time,
                random=Random(1),
                emit=lambda event: self.events.append((now(), event)),
            )
            recovery = self.recovery = Recovery(env, self.within_s, self._closing)
            if self.ends_after_s is not None:
                recovery.ends_at = started + self.ends_after_s

            @asynccontextmanager
            async def connect() -> AsyncIterator[Held]:
                index = len(self.attempts)
                self.attempts.append(now())
                part = self.parts[min(index, len(self.parts) - 1)]
                async with recovery.holding(f"s{index}"):
                    if isinstance(part, RtcctlError):
                        raise part
                    # A peer that hears something until it is lost, five seconds before that is noticed.
                    yield Held(SimpleNamespace(last_packet_at=loop.time() + part[0] - 5), f"s{index}")  # type: ignore[arg-type]

            async def hold(held: Held) -> None:
                part = self.parts[min(len(self.attempts), len(self.parts)) - 1]
                assert not isinstance(part, RtcctlError)
                await asyncio.sleep(part[0])
                if part[1] is not None:
                    raise part[1]

            try:
                await recovery.run(connect, hold)
            except RtcctlError as error:
                self.error = error
            self.ended_s = now()

    @asynccontextmanager
    async def _closing(self, env: Env, session_id: str) -> AsyncIterator[None]:
        yield
        self.closed.append(session_id)

    def said(self, kind: type[Event]) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]


def test_a_connection_that_holds(tmp_path: Path):
    """Nothing is said, and its session is closed at the end."""
    story = Story([(10, None)]).run(tmp_path)
    assert (story.error, story.ended_s, story.events, story.closed) == (None, 10, [], ["s0"])


def test_an_outage_is_said_at_once_and_ends_with_the_next_connection(tmp_path: Path):
    """The first attempt is made at once; the length is from the last packet on; what was lost is closed then."""
    story = Story([(10, LOST), (10, None)]).run(tmp_path)
    assert story.error is None
    assert story.attempts == [0, 10]
    (lost,) = story.said(ConnectionLost)
    assert (lost.session_id, lost.reason, lost.silent_s) == ("s0", LOST.message, 5)
    (recovered,) = story.said(Recovered)
    outage = recovered.outage
    assert (outage.session_id, outage.successor_id, outage.attempts) == ("s0", "s1", 1)
    assert (outage.started_s, outage.duration_s) == (5, 5)
    assert story.recovery.outages == (outage,)
    assert story.closed == ["s0", "s1"]


def test_attempts_come_soon_and_not_too_often(tmp_path: Path):
    """After a second, then after two at most, give or take a quarter; each is said with its reason."""
    story = Story([(10, LOST), UNREACHABLE, BUSY, GONE, NO_TRACK, TRANSIENT, UNANSWERED, (1, None)]).run(tmp_path)
    assert story.error is None
    pauses = [after - before for before, after in zip(story.attempts[1:], story.attempts[2:], strict=False)]
    assert 0.75 <= pauses[0] <= 1.25
    assert all(1.5 <= pause <= 2.5 or pause == 2 for pause in pauses[1:])
    assert len(story.said(RecoveryFailed)) == 6
    (recovered,) = story.said(Recovered)
    assert recovered.outage.attempts == 7


def test_it_is_given_up_after_its_time(tmp_path: Path):
    """With exit 6, the first reason and the last, and the outage among those that are told, without a length."""
    story = Story([(10, LOST), UNREACHABLE], within_s=20).run(tmp_path)
    assert isinstance(story.error, NetworkError)
    assert story.error.exit_status == 6
    assert "There was no other within 20 s" in story.error.message
    assert LOST.message in story.error.message
    assert UNREACHABLE.message in story.error.message
    assert 27 < story.ended_s <= 30
    (outage,) = story.recovery.outages
    assert (outage.duration_s, outage.successor_id) == (None, None)


def test_a_new_connection_that_hangs_is_given_up_too(tmp_path: Path):
    """What is being made when the time is over is made no more."""

    async def run(loop: SimulatedLoop) -> float:
        with Journal.open(tmp_path) as journal:
            env = Env(Profile(name="t", api_base="http://127.0.0.1:1/v1"), journal, clock=loop.time)

            @asynccontextmanager
            async def closing(env: Env, session_id: str) -> AsyncIterator[None]:
                yield

            recovery, count = Recovery(env, 20.0, closing), 0

            @asynccontextmanager
            async def connect() -> AsyncIterator[Held]:
                nonlocal count
                count += 1
                if count > 1:
                    await asyncio.sleep(3600)
                yield Held(SimpleNamespace(last_packet_at=None), "s")  # type: ignore[arg-type]

            async def hold(held: Held) -> None:
                await asyncio.sleep(FIRST_PAUSE_S)
                raise LOST

            with pytest.raises(NetworkError, match="There was no other connection within 20 s"):
                await recovery.run(connect, hold)
            return loop.time() - 1000

    assert simulate(run) == pytest.approx(20 + FIRST_PAUSE_S)


def test_the_end_of_the_command_is_the_end_of_the_outage(tmp_path: Path):
    """`--for` is not prolonged by looking for a connection."""
    story = Story([(10, LOST), UNREACHABLE], ends_after_s=12).run(tmp_path)
    assert isinstance(story.error, NetworkError)
    assert "The time was over" in story.error.message
    assert story.ended_s <= 12


def test_without_recovery_an_outage_is_the_end(tmp_path: Path):
    """The error is the outage's own, and no event tells of recovering."""
    story = Story([(10, LOST)], within_s=None).run(tmp_path)
    assert (story.error, story.attempts, story.events) == (LOST, [0], [])
    assert story.closed == ["s0"]


@pytest.mark.parametrize(
    "error", [UsageError("a file ended"), AuthError("refused"), ApiError("406", status=406, code="invalid_params")]
)
def test_what_no_other_session_helps_against_is_raised(error: RtcctlError, tmp_path: Path):
    """While it holds, and while another one is being made."""
    assert Story([(10, error)]).run(tmp_path).error is error
    assert Story([(10, LOST), error]).run(tmp_path).error is error


@pytest.mark.parametrize(
    ("error", "attempts", "status"),
    [
        (UNREACHABLE, 1, 6),
        (BUSY, 1, 5),
        (ApiError("503", status=503, code="temporarily_unavailable_error"), 1, 5),
        (NO_TRACK, 1, 5),
        (AuthError("refused"), 1, 4),
        (UNANSWERED, 2, 7),
        (TRANSIENT, MAX_TRIES, 5),
    ],
)
def test_before_the_first_connection_less_is_tried_again(
    error: RtcctlError, attempts: int, status: int, tmp_path: Path
):
    """What the client has tried often enough is not tried again; a lost answer once, what passes five times."""
    story = Story([error]).run(tmp_path)
    assert story.error is error
    assert (len(story.attempts), story.error.exit_status) == (attempts, status)
    assert not story.said(ConnectionLost)


def test_a_session_that_is_gone_at_once_is_replaced_until_the_time_is_over(tmp_path: Path):
    """410 before anything was connected: another session, after 1, 2, 4 … s; then exit 6."""
    story = Story([GONE, GONE, (5, None)]).run(tmp_path)
    assert story.error is None
    assert story.recovery.outages == ()
    story = Story([GONE], within_s=20).run(tmp_path)
    assert isinstance(story.error, NetworkError)
    assert len(story.attempts) == 5
    assert story.ended_s < 20


def test_a_publisher_that_stays_away_is_an_error_of_the_api(tmp_path: Path):
    """Our connection could be had: exit 5, with what is known of publishers elsewhere."""
    story = Story([(10, LOST), NO_TRACK], within_s=10).run(tmp_path)
    assert isinstance(story.error, ApiError)
    assert story.error.code == NO_TRACK.code
    assert "only one of this machine" in story.error.hint


def test_what_fails_for_another_reason_is_closed_while_it_is_connected(tmp_path: Path):
    """A session that still holds is closed by its own connection, and only one that is lost later."""
    order: list[str] = []

    async def run(loop: SimulatedLoop, error: RtcctlError) -> None:
        with Journal.open(tmp_path) as journal:
            env = Env(Profile(name="t", api_base="http://127.0.0.1:1/v1"), journal, clock=loop.time)

            @asynccontextmanager
            async def closing(env: Env, session_id: str) -> AsyncIterator[None]:
                yield
                order.append("closed")

            recovery = Recovery(env, None, closing)

            @asynccontextmanager
            async def connect() -> AsyncIterator[Held]:
                try:
                    async with recovery.holding("s"):
                        yield Held(SimpleNamespace(last_packet_at=None), "s")  # type: ignore[arg-type]
                finally:
                    order.append("disconnected")

            async def hold(held: Held) -> None:
                raise error

            with pytest.raises(type(error)):
                await recovery.run(connect, hold)

    def running(error: RtcctlError) -> Callable[[SimulatedLoop], Awaitable[None]]:
        return lambda loop: run(loop, error)

    simulate(running(UsageError("a file ended")))
    assert order == ["closed", "disconnected"]
    order.clear()
    simulate(running(LOST))
    assert order == ["disconnected", "closed"]


def test_a_connection_that_ends_at_once_is_not_made_without_a_pause(tmp_path: Path):
    """One session a second at most, whatever becomes of each."""
    story = Story([(0.1, LOST), (0.1, LOST), (0.1, LOST), (5, None)]).run(tmp_path)
    assert story.error is None
    assert story.attempts == [0, 1, 2, 3]


def test_the_service_says_how_long_to_wait(tmp_path: Path):
    """Its `Retry-After` is longer than our pause; where it is longer than the time left, that is over at once."""
    patient = ApiError("429", status=429, retry_after_s=7)
    story = Story([(10, LOST), patient, (1, None)]).run(tmp_path)
    assert story.attempts == [0, 10, 17]
    story = Story([(10, LOST), ApiError("429", status=429, retry_after_s=90)]).run(tmp_path)
    assert (story.attempts, story.ended_s) == ([0, 10], 10)
    assert isinstance(story.error, NetworkError)


def test_it_is_tried_for_hours(tmp_path: Path):
    """Pauses do not grow beyond what a number holds."""
    story = Story([(10, LOST), UNREACHABLE], within_s=3 * 3600).run(tmp_path)
    assert len(story.attempts) > 1100
    assert isinstance(story.error, NetworkError)


class SlowToClose(Story):
    """A service that does not answer: closing takes its whole deadline."""

    @asynccontextmanager
    async def _closing(self, env: Env, session_id: str) -> AsyncIterator[None]:
        yield
        await asyncio.sleep(3)
        self.closed.append(session_id)


def test_what_was_lost_is_closed_with_what_is_left(tmp_path: Path):
    """At the end of a recovery that fails, one deadline passes for all sessions, and each is closed."""
    story = SlowToClose([(10, LOST), (0, LOST), AuthError("401")]).run(tmp_path)
    assert isinstance(story.error, AuthError)
    assert sorted(story.closed) == ["s0", "s1", "s2"]
    assert story.ended_s == story.attempts[-1] + 3


def test_what_is_left_for_later_is_done_with_the_next_connection(tmp_path: Path):
    """And at the end, if there is none."""
    done: list[float] = []

    async def run(loop: SimulatedLoop, *, comes_back: bool) -> None:
        with Journal.open(tmp_path) as journal:
            env = Env(Profile(name="t", api_base="http://127.0.0.1:1/v1"), journal, clock=loop.time)

            @asynccontextmanager
            async def closing(env: Env, session_id: str) -> AsyncIterator[None]:
                yield

            recovery, count = Recovery(env, 10.0, closing), 0

            async def end() -> None:
                done.append(loop.time() - 1000)

            @asynccontextmanager
            async def connect() -> AsyncIterator[Held]:
                nonlocal count
                count += 1
                if count > 1 and not (comes_back and loop.time() > 1007):
                    raise UNREACHABLE
                yield Held(SimpleNamespace(last_packet_at=None), "s")  # type: ignore[arg-type]

            async def hold(held: Held) -> None:
                await asyncio.sleep(5)
                if count == 1:
                    recovery.later(end)
                    raise LOST

            try:
                await recovery.run(connect, hold)
            except NetworkError:
                assert not comes_back

    simulate(lambda loop: run(loop, comes_back=True))
    assert len(done) == 1
    assert 7 < done[0] < 10
    simulate(lambda loop: run(loop, comes_back=False))
    assert len(done) == 2
    assert 10 < done[1] <= 15
