"""Every fault that the embedded server can produce × what runs: it recovers, or says clearly why not, and is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rtcctl.errors import ExitStatus, RtcctlError
from rtcctl.journal import Journal
from rtcctl.ops import channel_open, publish, smoke, sources, subscribe
from rtcctl.ops.env import Env
from rtcctl.ops.track import TrackRef
from rtcctl.realtime.client import RealtimeClient
from rtcctl.results.event import Event, SessionCreated
from rtcctl.results.result import Result
from rtcctl.server.faults import grammar
from rtcctl.testing import Realtime, realtime_server
from rtcctl.units import SpellingError
from tests.support.open_sessions import holds_nothing
from tests.support.requirements import slow

RECOVER_FOR_S = 8.0
BUSY_S = 5.0
"What a command takes longer on a machine that is busy with the others."
AT_ONCE = 16
"Cells that run at the same time: most of them wait."


@dataclass
class Cell:
    """One command against one app whose service is broken in one way."""

    realtime: Realtime
    env: Env
    events: list[Event]
    fault: str
    result: Result | None = None
    error: RtcctlError | None = None
    took_s: float = 0.0

    def break_it(self) -> None:
        """From now on the service is as the fault says."""
        self.realtime.faults.set(self.fault)

    @property
    def status(self) -> int:
        """The exit status. That this machine is busy with the other cells is not the service's doing."""
        if self.error is not None:
            return int(self.error.exit_status)
        assert self.result is not None
        status = int(self.result.exit_status)
        return 0 if status == ExitStatus.INCONCLUSIVE else status

    def said(self) -> str:
        checks = () if self.result is None else self.result.checks
        failed = ", ".join(f"{check.name} {check.detail}" for check in checks if check.status == "failed")
        return f"{self.status} after {self.took_s:.1f} s: {self.error or failed}"


async def publishing(cell: Cell, *, for_s: float) -> Result:
    cell.break_it()
    specs = (sources.parse("mic=tone:440"),)
    return await publish.publish(
        publish.PublishRequest(specs, for_s=for_s, interval_s=0.25, recover_for_s=RECOVER_FOR_S), cell.env
    )


async def subscribing(cell: Cell, *, for_s: float) -> Result:
    async with cell.realtime.async_peer() as peer:
        publisher = await cell.realtime.publish(peer, "mic")
        cell.break_it()
        request = subscribe.SubscribeRequest(
            (TrackRef(publisher, "mic"),), for_s=for_s, wait_s=3.0, interval_s=0.25, max_fraction_lost=None
        )
        return await subscribe.subscribe(request, cell.env)


async def opening(cell: Cell, *, for_s: float) -> Result:
    cell.break_it()
    request = channel_open.OpenRequest(("chat",), for_s=for_s, recover_for_s=RECOVER_FOR_S)
    return await channel_open.open_(request, cell.env)


async def smoking(cell: Cell, *, for_s: float) -> Result:
    cell.break_it()
    request = smoke.SmokeRequest(for_s=for_s, skip=("video", "simulcast", "turn"))
    return await smoke.smoke(request, cell.env)


COMMANDS: Mapping[str, Callable[..., Awaitable[Result]]] = {
    "publish": publishing,
    "subscribe": subscribing,
    "channel": opening,
    "smoke": smoking,
}


@asynccontextmanager
async def cell(realtime: Realtime, folder: Path, fault: str) -> AsyncIterator[Cell]:
    """A cell, its fault set; nothing may be open at its end."""
    events: list[Event] = []
    with realtime.app() as app, Journal.open(folder) as journal:
        at = Cell(app, Env(profile=app.profile, journal=journal, emit=events.append), events, fault)
        yield at
        app.faults.clear()
        async with RealtimeClient(app.profile, clock=time.monotonic, random=at.env.random, deadline_s=20) as client:
            for created in (event for event in events if isinstance(event, SessionCreated)):
                assert await holds_nothing(client, created.session_id), f"{fault}: {created.session_id} holds something"
        assert journal.sessions() == (), f"{fault}: a session is open in the journal"


async def end_of(at: Cell, command: str, for_s: float) -> None:
    """Run a command in its cell, to its end."""
    started = time.monotonic()
    try:
        at.result = await COMMANDS[command](at, for_s=for_s)
    except RtcctlError as error:
        at.error = error
    at.took_s = time.monotonic() - started


@dataclass(frozen=True)
class Fault:
    """`ends`: the exit status of each command that it concerns; 0 is that it recovers, or does not mind."""

    text: str
    ends: Mapping[str, int] = field(default_factory=dict)
    within_s: float = 10.0
    for_s: float = 1.0
    "How long the command is to run."


def everywhere(status: int) -> dict[str, int]:
    return dict.fromkeys(COMMANDS, status)


QUICK = (
    # Refused for good: said at once.
    Fault("sessions/new=401", everywhere(4), 3),
    Fault("sessions/new=404", everywhere(5), 3),
    Fault("tracks/new=406,code=invalid_params", {"publish": 5, "smoke": 5}, 4),
    Fault("tracks/new=413", {"publish": 5, "smoke": 5}, 4),
    Fault("datachannels/new=409", {"channel": 5, "smoke": 5}, 6),
    # Passes: the same request again, when the service says.
    Fault("sessions/new=503,times=1", everywhere(0)),
    Fault("sessions/new=502,times=1", everywhere(0)),
    Fault("tracks/new=425,times=1", {"publish": 0, "smoke": 0}),
    Fault("tracks/new=429,times=1,retry-after=1s", {"publish": 0, "smoke": 0}),
    Fault("tracks/new=406,times=2", {"publish": 0, "smoke": 0}),
    Fault("datachannels/new=500,times=1", {"channel": 0, "smoke": 0}),
    # Gone: another session.
    Fault("tracks/new=410,times=1", {"publish": 0, "smoke": 5}),
    Fault("datachannels/establish=410,times=1", {"channel": 0}),
    Fault("datachannels/new=410,times=1", {"channel": 0}),
    Fault("renegotiate=410,times=1", {"channel": 0, "subscribe": 0}),
    # Items that pass.
    Fault("tracks/new=retryable_transient_error,times=1", {"publish": 0}),
    Fault("tracks/new=transport_unavailable_error,times=1", {"publish": 0}),
    # The answer is lost: it is looked for, and what was not done is done.
    Fault("sessions/new=lost,times=1", {"publish": 0, "channel": 0, "smoke": 6}),
    Fault("tracks/new=lost,times=1", {"publish": 0}),
    Fault("renegotiate=lost,times=1", {"subscribe": 0, "channel": 0}),
    Fault("datachannels/establish=lost,times=1", {"channel": 0}),
    Fault("datachannels/new=lost,times=1", {"channel": 0}),
    Fault("tracks/new=empty-mid", {"publish": 0}),
    Fault("tracks/new=slow,for=1s", {"publish": 0, "smoke": 0}),
    # The session ends under what runs.
    Fault("sessions/new=expire,after=1s,times=1", {"publish": 0, "subscribe": 0, "channel": 0}, for_s=4.0),
    # Media: what is bad is measured, and nothing ends for it.
    Fault("loss=20%,seed=1", {"publish": 0, "subscribe": 0, "channel": 0, "smoke": 3}),
    Fault("delay=40ms,jitter=10ms", {"publish": 0, "subscribe": 0, "channel": 0}),
)


SLOW = (
    # Not over within what is tried: the service's own word, or that there was no session.
    Fault("sessions/new=503", everywhere(5), 25),
    Fault("tracks/new=429,retry-after=1s", {"publish": 5, "smoke": 5}, 25),
    Fault("tracks/new=retryable_transient_error", {"publish": 6}, 25),
    Fault("tracks/new=410", {"publish": 6}, 20),
    Fault("datachannels/new=410", {"channel": 6}, 20),
    Fault("tracks/new=406,code=signaling_state_not_stable", {"publish": 5}, 10),
    Fault("tracks/new=not_found_track_error", {"subscribe": 5}, 20),
    Fault("tracks/new=empty_track_error,times=2", {"subscribe": 0}),
    Fault("tracks/new=temporarily_unavailable_error,times=1", {"subscribe": 0, "publish": 0}),
    # No answer at all, once: asked for again after the time that an answer may take.
    Fault("sessions/new=hang,times=1", {"publish": 0, "subscribe": 0, "channel": 0}, 40),
    Fault("tracks/new=hang,times=1", {"publish": 0}, 40),
    Fault("renegotiate=hang,times=1", {"channel": 0}, 40),
    Fault("datachannels/new=hang,times=1", {"channel": 0}, 40),
    Fault("sessions/get=hang", {"publish": 0, "subscribe": 0, "channel": 0}, 25),
    # Media that never arrives.
    Fault("loss=100%,direction=down", {"publish": 0, "subscribe": 3}, 15),
    Fault("rate=20kbps", {"publish": 0, "subscribe": 0}, 15),
)
"Those that have to be waited for."


async def run_all(faults: tuple[Fault, ...], folder: Path) -> None:
    """All cells, `AT_ONCE` at the same time; what is wrong with any of them."""
    wrong: list[str] = []
    room = asyncio.Semaphore(AT_ONCE)

    async def one(index: int, fault: Fault, command: str, expected: int) -> None:
        async with room, cell(realtime, folder / f"{index}-{command}", fault.text) as at:
            await end_of(at, command, fault.for_s)
            assert at.realtime.faults.list()[0].met, f"{fault.text} × {command} has met nothing"
            if at.status != expected or at.took_s > fault.within_s + fault.for_s + BUSY_S:
                wrong.append(f"{fault.text} × {command}: {at.said()}")

    with realtime_server() as realtime:
        before = len(asyncio.all_tasks())
        async with asyncio.TaskGroup() as group:
            for index, fault in enumerate(faults):
                for command, expected in fault.ends.items():
                    group.create_task(one(index, fault, command, expected))
        assert not wrong, "\n".join(wrong)
        assert len(asyncio.all_tasks()) == before
        assert realtime.bugs == 0


async def test_faults_that_pass_and_faults_that_do_not(tmp_path: Path):
    """Each has the exit status that it should have, within its time, and leaves nothing open."""
    await run_all(QUICK, tmp_path)


@slow
async def test_faults_that_last(tmp_path: Path):
    """The same of those that have to be waited for."""
    await run_all(SLOW, tmp_path)


STATUSES = (400, 401, 403, 404, 406, 409, 410, 413, 425, 429, 500, 502, 503)
CODES = (
    "not_found_track_error",
    "empty_track_error",
    "track_error",
    "repeated_local_track_error",
    "update_track_error",
    "close_track_error",
    "retryable_transient_error",
    "temporarily_unavailable_error",
    "transport_unavailable_error",
    "internal_error",
    "backend_error",
)
MEDIA = ("loss=5%", "loss=50%", "loss=100%", "delay=200ms,jitter=50ms", "reorder=10%", "dup=10%", "rate=30kbps")
AT_ONCE_OF_ALL = 64
LONGEST_S = 75.0
"Two answers that never come, and what is tried after them."


def every_fault() -> Iterator[str]:
    """All that the grammar takes, twice each; media in each direction."""
    for operation in grammar.OPERATIONS:
        for action in (*STATUSES, *CODES, *grammar.ACTIONS):
            text = f"{operation}={action},times=2"
            with suppress(SpellingError):
                grammar.parse(text)
                if not operation.startswith("turn/"):
                    yield text
    for media in MEDIA:
        yield from (f"{media},direction={direction},seed=1" for direction in ("up", "down", "both"))


@slow
@pytest.mark.timeout(1800)
async def test_every_fault_has_an_end(tmp_path: Path):
    """Each fault × each command: it recovers or ends with a clear error, in time, and nothing is left open."""
    wrong: list[str] = []
    room = asyncio.Semaphore(AT_ONCE_OF_ALL)
    met = 0

    async def one(name: str, text: str, command: str) -> None:
        nonlocal met
        async with room:
            try:
                async with cell(realtime, tmp_path / name, text) as at:
                    await asyncio.wait_for(end_of(at, command, 1.0), LONGEST_S)
                    met += bool(at.realtime.faults.list()[0].met)
                    is_clear = at.error is None or (at.error.message and at.error.exit_status != ExitStatus.BUG)
                    if at.status not in (0, 3, 4, 5, 6, 7) or not is_clear:
                        wrong.append(f"{text} × {command}: {at.said()}")
            except (AssertionError, TimeoutError) as error:
                wrong.append(f"{text} × {command}: {type(error).__name__}: {error}")

    with realtime_server() as realtime:
        before = len(asyncio.all_tasks())
        async with asyncio.TaskGroup() as group:
            for index, text in enumerate(every_fault()):
                for command in COMMANDS:
                    group.create_task(one(f"{index}-{command}", text, command))
        assert not wrong, "\n".join(wrong)
        assert len(asyncio.all_tasks()) == before
        assert realtime.bugs == 0
    assert met > 300, "most of them are met by somebody"
