"""What a soak is made of: the server in a process of its own, and what that one and this one hold.

Who comes and goes is in `crowd.py`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
LOOK_S = 3.0


class SoakedServer:
    """The process of `soaked_server.py`."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self.ready = ready
        self._questions, self._answers = process.stdin, process.stdout
        self._turn = asyncio.Lock()

    async def ask(self, **question: Any) -> dict[str, Any]:
        """One question, one answer; not to be cancelled in between."""
        async with self._turn:
            self._questions.write(json.dumps(question).encode() + b"\n")
            answer = await self._answers.readline()
        assert answer, "the server's process has ended"
        document: dict[str, Any] = json.loads(answer)
        return document


@asynccontextmanager
async def soaked_server(fault: str) -> AsyncIterator[SoakedServer]:
    """The server while the body runs; it must end well and complain of nothing."""
    command = (sys.executable, "-m", "tests.support.soaked_server", fault)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    try:
        ready = await process.stdout.readline()
        assert ready, "it does not start"
        yield SoakedServer(process, json.loads(ready))
    finally:
        _, errors = await process.communicate(b"")  # which closes its stdin
    assert not errors, errors.decode()
    assert process.returncode == 0


class Holdings:
    """How much both processes hold, again and again.

    What is in cycles is collected first. When Python does that by itself is a matter of how much lives: here it leaves
    a dead session, 40 KiB, until some hundreds of them wait, which is a saw and no growth.
    """

    def __init__(self, server: SoakedServer, started_at: float) -> None:
        self._server = server
        self._started_at = started_at
        self._rows: list[tuple[float, dict[str, float]]] = []

    async def watch(self, until: float) -> None:
        """Look every few seconds, by the loop's time."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            self._rows.append((loop.time() - self._started_at, await self.now()))
            await asyncio.sleep(LOOK_S)

    async def now(self) -> dict[str, float]:
        """All figures at this moment."""
        held = await self._server.ask(collected=True)
        gc.collect()
        row: dict[str, float] = {f"server: {name}": count for name, count in held.items()}
        row["peers: tasks"] = len(asyncio.all_tasks())
        for name, pid in (("server", self._server.pid), ("peers", os.getpid())):
            row |= {f"{name}: KiB": memory_kib(pid), f"{name}: descriptors": descriptors(pid)}
        return row

    def between(self, start_s: float, end_s: float) -> dict[str, float]:
        """The median of each, in a stretch of the time since the start."""
        rows = [row for at, row in self._rows if start_s <= at < end_s]
        return {name: median(row[name] for row in rows) for name in rows[0]}


def memory_kib(pid: int) -> int:
    """Its heap and stacks in RAM (Linux). Files that are mapped come and go as the machine likes, and are no leak."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:"))


def descriptors(pid: int) -> int:
    """Open files and sockets (Linux)."""
    return len(os.listdir(f"/proc/{pid}/fd"))
