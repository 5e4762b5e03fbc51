"""SIGINT and SIGTERM at every stage of a command: it ends at once, with the status of the signal, and cleans up."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rtcctl.journal import Journal
from rtcctl.realtime.client import RealtimeClient
from rtcctl.testing import Realtime, realtime_server
from tests.support.command import Home, Running
from tests.support.open_sessions import holds_nothing

AT_ONCE = 4
ENDS_WITHIN_S = 8.0
"On a machine that starts others meanwhile; cleaning up has three."

STAGES = ("before", "while connecting", "running", "in an outage")
COMMANDS = {
    # The command, where it can be made to stand still, and the event with which it runs.
    "publish": (("track", "publish", "--name", "mic"), "tracks/new", "interval"),
    "subscribe": (("track", "subscribe", "{publisher}/mic", "--for", "60s"), "renegotiate", "interval"),
    "hold": (("session", "create", "--connect"), "", "connected"),
    "open": (("channel", "open", "--name", "chat"), "datachannels/new", "channel_published"),
    "listen": (("channel", "listen", "{publisher}/chat"), "datachannels/new", "connected"),
    "smoke": (("smoke", "--skip", "video,simulcast,turn", "--for", "60s"), "tracks/new", ""),
}


@dataclass(frozen=True)
class Case:
    command: str
    stage: str
    signal: signal.Signals

    def __str__(self) -> str:
        return f"{self.signal.name} to {self.command}, {self.stage}"


def cases() -> list[Case]:
    """Each command at each stage; with which signal alternates, unless there is time for both."""
    signals = (signal.SIGINT, signal.SIGTERM)
    both = bool(os.environ.get("RTCCTL_SLOW"))
    chosen = []
    for row, (name, (_, operation, event)) in enumerate(COMMANDS.items()):
        for column, stage in enumerate(STAGES):
            if (stage == "while connecting" and not operation) or (stage in STAGES[2:] and not event):
                continue
            if stage == "in an outage" and name == "listen":
                continue  # nobody publishes what it listens to
            chosen += [Case(name, stage, each) for each in (signals if both else signals[(row + column) % 2 :][:1])]
    return chosen


async def test_signals(tmp_path: Path):
    """Nothing is left open, in the service and in the journal, and nothing takes longer than cleaning up may."""
    wrong: list[str] = []
    room = asyncio.Semaphore(AT_ONCE)
    with realtime_server() as realtime:

        async def one(index: int, case: Case) -> None:
            async with room:
                with realtime.app() as app, app.peer() as peer:
                    publisher = await asyncio.to_thread(app.publish, peer, "mic")
                    home = Home(tmp_path / str(index))
                    home.folder.mkdir()
                    status, took_s, stderr = await asyncio.to_thread(end, app, home, case, publisher)
                    app.faults.clear()
                    expected = 128 + case.signal
                    left = await left_open(app, home)
                    if status != expected or took_s > ENDS_WITHIN_S or left or "Traceback" in stderr:
                        wrong.append(f"{case}: {status} after {took_s:.1f} s, open: {left}; {stderr}")

        async with asyncio.TaskGroup() as group:
            for index, case in enumerate(cases()):
                group.create_task(one(index, case))
        assert realtime.bugs == 0
    assert not wrong, "\n".join(wrong)


def end(app: Realtime, home: Home, case: Case, publisher: str) -> tuple[int, float, str]:
    """Run the command up to the stage, and send it the signal; its status, how long that took, and what it said."""
    words, operation, event = COMMANDS[case.command]
    arguments = [word.format(publisher=publisher) for word in words]
    hangs = {"before": "sessions/new", "while connecting": operation}.get(case.stage)
    if hangs is not None:
        app.faults.set(f"{hangs}=hang")
    with home.running(*arguments, "-o", "jsonl", environment=app.environment) as command:
        if hangs is not None:
            until(lambda: app.faults.list()[0].met > 0, command)
        else:
            session_id = command.event("session_created")["session_id"]
            command.event(event)
            if case.stage == "in an outage":
                app.faults.set("sessions/new=503")
                app.expire(session_id)
                command.event("connection_lost")
        started = time.monotonic()
        try:
            status = command.stop(case.signal)
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from None
        return status, time.monotonic() - started, command.stderr


def until(is_so: Callable[[], bool], command: Running) -> None:
    give_up_at = time.monotonic() + 20
    while not is_so():
        assert command.process.poll() is None, command.stderr
        assert time.monotonic() < give_up_at, "it never came so far"
        time.sleep(0.01)


async def left_open(app: Realtime, home: Home) -> list[str]:
    """Sessions that hold something, or that the journal takes to be open."""
    with Journal.open(home.state) as journal:
        known = journal.sessions(include_closed=True)
        left = [record.session_id for record in known if record.closed_at is None]
    async with RealtimeClient(app.profile, clock=time.monotonic, random=Random(1), deadline_s=20) as client:
        left += [record.session_id for record in known if not await holds_nothing(client, record.session_id)]
    return left
