"""Many commands, each in a process of its own that is forked from one which has loaded rtcctl.

Starting Python and loading a command takes half a second, forking some 20 ms. What each process starts is noted: its
command line, by Python's audit events.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

LOADED = (
    "rtcctl.cli",
    "rtcctl.config",
    "rtcctl.journal",
    "rtcctl.ops",
    "rtcctl.probe",
    "rtcctl.realtime",
    "rtcctl.report",
)
OTHERS = (
    "anyio._backends._asyncio",
    "xml.etree.ElementTree",
    "rich.console",
    "rich.table",
    "rich.live",
    "keyring.core",
)
AT_ONCE = 8


@dataclass(frozen=True)
class Command:
    """One to run."""

    arguments: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    stdin: str = ""
    "What it reads there."
    stop_after_s: float = 20.0
    "When it gets SIGTERM, if it has not ended."


@dataclass(frozen=True)
class Ended:
    """One that has run."""

    arguments: tuple[str, ...]
    status: int
    "The exit status; negative for a signal, as `subprocess` has it."
    stdout: str
    stderr: str
    started: tuple[tuple[str, ...], ...]
    "Command lines of the processes that it started …"
    given: tuple[tuple[str, ...], ...]
    "… and what it put into the environment of each, `NAME=VALUE`, that was not in its own."


class Forker:
    """The process that is forked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, commands: Sequence[Command]) -> list[Ended]:
        """Run them, some at a time; what each said, in their order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        work = [(c.arguments, str(c.cwd), dict(c.environment), c.stdin, c.stop_after_s) for c in commands]
        self._process.stdin.write(json.dumps(work) + "\n")
        self._process.stdin.flush()
        answers = json.loads(self._process.stdout.readline())
        return [
            Ended(
                command.arguments,
                status,
                stdout,
                stderr,
                tuple(tuple(line) for line, _ in started),
                tuple(tuple(added) for _, added in started),
            )
            for command, (status, stdout, stderr, started) in zip(commands, answers, strict=True)
        ]


@contextmanager
def forker() -> Iterator[Forker]:
    """One that is ready when it is first asked."""
    command = [sys.executable, "-m", "tests.support.forked"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Forker(process)
        assert process.stdin is not None
        process.stdin.close()


def _serve() -> None:
    for name in LOADED:
        package = import_module(name)
        for module in walk_packages(getattr(package, "__path__", ()), f"{name}."):
            import_module(module.name)
    for name in OTHERS:
        import_module(name)
    gc.freeze()  # what is loaded stays shared: its pages need not be copied for each child
    for line in sys.stdin:
        with tempfile.TemporaryDirectory() as folder:
            json.dump(_run(Path(folder), json.loads(line)), sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()


def _run(folder: Path, commands: list[Any]) -> list[tuple[int, str, str, list[Any]]]:
    waiting, running, statuses = list(enumerate(commands)), dict[int, int](), dict[int, int]()
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number, command = waiting.pop(0)
            running[_fork(folder, number, *command)] = number
        pid, status = os.wait()
        if pid in running:
            statuses[running.pop(pid)] = os.waitstatus_to_exitcode(status)
    return [_ended(folder, number, statuses[number]) for number in sorted(statuses)]


def _fork(
    folder: Path,
    number: int,
    arguments: list[str],
    cwd: str,
    environment: dict[str, str],
    stdin: str,
    stop_after_s: float,
) -> int:
    (folder / f"{number}.in").write_text(stdin, "utf-8")
    pid = os.fork()
    if pid:
        return pid
    for descriptor, (end, flags) in enumerate((("in", os.O_RDONLY), ("out", os.O_WRONLY), ("err", os.O_WRONLY))):
        os.dup2(os.open(folder / f"{number}.{end}", flags | os.O_CREAT, 0o600), descriptor)
    started = os.open(folder / f"{number}.started", os.O_WRONLY | os.O_CREAT, 0o600)

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if event in ("subprocess.Popen", "os.posix_spawn", "os.exec"):
            line = [os.fsdecode(part) for part in args[1]]
            given = [f"{name}={value}" for name, value in (args[-1] or {}).items() if os.environ.get(name) != value]
            os.write(started, json.dumps([line, given]).encode() + b"\n")

    sys.addaudithook(hear)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, stop_after_s)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode, encoding="utf-8") for n, mode in enumerate("rww"))
    sys.argv = ["rtcctl", *arguments]
    sys.path += filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    from rtcctl.__main__ import main

    status = 1
    try:
        status = main()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _ended(folder: Path, number: int, status: int) -> tuple[int, str, str, list[Any]]:
    stdout, stderr = ((folder / f"{number}.{end}").read_text("utf-8", errors="replace") for end in ("out", "err"))
    started = (folder / f"{number}.started").read_text("utf-8").splitlines()
    return status, stdout, stderr, [json.loads(line) for line in started]


if __name__ == "__main__":
    _serve()
