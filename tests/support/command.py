"""The installed `rtcctl` command, run as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any, BinaryIO

RTCCTL = Path(sys.executable).parent / "rtcctl"


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        assert self.stdout, f"exit {self.status}, nothing on stdout; stderr:\n{self.stderr}"
        return json.loads(self.stdout)


class Home:
    """A user's folders of their own, so that nothing of the real user's is read or written."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.config = folder / "config.toml"
        self.folder = folder
        known = ("RTCCTL_", "CLOUDFLARE_", "REALTIME_", "CALLS_", "TURN_", "SFU_", "GITHUB_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(known)}
        self.environment |= {
            "RTCCTL_STATE_DIR": str(self.state),
            "RTCCTL_CONFIG": str(self.config),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "COLUMNS": "120",
            "NO_COLOR": "1",
        }

    def run(
        self,
        *arguments: str,
        timeout_s: float = 60,
        stdin: str | BinaryIO | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run a command to its end. `stdin`: what it reads there, or the file that it is; nothing by default."""
        source: dict[str, Any] = {"input": stdin or ""} if stdin is None or isinstance(stdin, str) else {"stdin": stdin}
        done = subprocess.run(
            [str(RTCCTL), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            **source,
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def running(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = (str(RTCCTL),),
    ) -> Iterator[Running]:
        """A command that goes on while the body runs; it is ended with SIGTERM if it has not ended."""
        process = subprocess.Popen(
            [*program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
        )
        running = Running(process)
        try:
            yield running
        finally:
            running.stop()

    @contextmanager
    def dev(self, *arguments: str, program: Sequence[str] = (str(RTCCTL),)) -> Iterator[Running]:
        """An embedded server on free ports, which the profile `local` of this home finds; ready when it yields."""
        with self.running("dev", "--port", "0", "--output", "jsonl", *arguments, program=program) as server:
            server.ready = server.event("server_ready")
            yield server


class Running:
    """A command that is running; its output is read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.ready: dict[str, Any] = {}
        self._lines: Queue[str | None] = Queue()
        self._errors: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        self._threads = (
            threading.Thread(target=self._read, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._errors.extend, args=(process.stderr,), daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Iterator[str]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put(None)

    def line(self, timeout_s: float = 20) -> str:
        """The next line of stdout; fails with stderr when the command ends or stays silent."""
        try:
            line = self._lines.get(timeout=timeout_s)
        except Empty:
            raise AssertionError(f"no line within {timeout_s} s; stderr:\n{self.stderr}") from None
        if line is None:
            raise AssertionError(f"ended with {self.process.wait(5)}; stderr:\n{self.stderr}")
        return line

    def event(self, name: str, timeout_s: float = 20) -> dict[str, Any]:
        """The next JSON line of that name; others are passed over."""
        while True:
            document: dict[str, Any] = json.loads(self.line(timeout_s))
            if document["event"] == name:
                return document

    def says(self, text: str, timeout_s: float = 20) -> None:
        """Wait until a line of stderr holds `text`."""
        deadline = time.monotonic() + timeout_s
        while text not in self.stderr:
            assert time.monotonic() < deadline, f"it does not say {text!r}; stderr:\n{self.stderr}"
            assert self.process.poll() is None, f"ended before it said {text!r}; stderr:\n{self.stderr}"
            time.sleep(0.01)

    @property
    def stderr(self) -> str:
        return "".join(self._errors)

    def stop(self, signal_number: int = signal.SIGTERM, timeout_s: float = 15) -> int:
        """Send a signal and wait for the end; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 30) -> int:
        """Wait for the end; the exit status."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not end within {timeout_s} s; stderr:\n{self.stderr}") from None
        for thread in self._threads:
            thread.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return status


def drain(command: Running) -> list[str]:
    """The lines of stdout that are left of a command that has ended."""
    lines = []
    while (line := command._lines.get(timeout=5)) is not None:
        lines.append(line)
    return lines
