"""`python -m tests.support.soaked_server FAULT`: an embedded server in its own process, which tells what it holds.

So its memory and sockets can be measured from outside. It reads questions as lines of JSON and answers each with a line
(`Questions.answer`); it ends when there are no more.

The server's ledger keeps the newest packets only. Its rows are read as they come, and of each stream is kept what its
receiver can know: how many packets had left before one that did not.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from array import array
from collections import Counter
from itertools import islice
from typing import Any

from rtcctl.probe.lag import LoopMonitor
from rtcctl.server.faults import ledger as ledgers
from rtcctl.server.faults.ledger import Ledger
from rtcctl.server.limits import Limits
from rtcctl.server.server import RealtimeServer
from tests.support.hostile import remembered

LIMITS = Limits(disconnected_s=15.0)
"Who vanishes is gone soon, so that within a minute as many go as come."
ROWS_KEPT, REQUESTS_KEPT = 50_000, 1_000
"By the ledger, which is full then before anything is measured; seconds, where it is read four times in each."
READ_S = 0.25
_FORGOTTEN_S = 30.0
"Streams that nobody has asked for, such as those to peers that are gone."


class Stream:
    """The packets of one track on their way to one session."""

    def __init__(self) -> None:
        self.sent = 0
        self.lost_after = array("I")
        "For each packet that did not leave: how many had left before it."
        self.absent = 0
        "Of those, how many the server never had."
        self.last_number: int | None = None
        self.noted_at = 0.0


class Streams:
    """What the ledger says of each stream since it began, or was last taken."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._read = 0
        self._streams: dict[tuple[str, str], Stream] = {}

    async def keep_reading(self) -> None:
        """Before rows are forgotten."""
        while True:
            await asyncio.sleep(READ_S)
            self.read()

    def read(self) -> None:
        """Take in what is new."""
        now = time.monotonic()
        new = self._ledger.packets_seen - self._read
        assert new <= len(self._ledger.packets), "rows were forgotten before they were read"
        self._read += new
        for row in reversed(list(islice(reversed(self._ledger.packets), new))):
            if row.kind != "original":
                continue
            key = row.session_id, row.track
            if (stream := self._streams.get(key)) is None:
                stream = self._streams[key] = Stream()
            number = row.sequence_number
            assert number is not None
            if stream.last_number is not None and (gap := (number - stream.last_number - 1) & 0xFFFF):
                stream.absent += gap
                stream.lost_after.extend([stream.sent] * gap)
            stream.last_number, stream.noted_at = number, now
            if row.fate == "sent":
                stream.sent += 1
            else:
                stream.lost_after.append(stream.sent)
        self._streams = {key: one for key, one in self._streams.items() if now - one.noted_at < _FORGOTTEN_S}

    def take(self, session_id: str, track: str, received: int) -> dict[str, int]:
        """What was lost between the first packet that left and the one numbered `received`; then it begins anew."""
        self.read()
        stream = self._streams.pop((session_id, track), None) or Stream()
        lost = sum(0 < before < received for before in stream.lost_after)
        return {"sent": stream.sent, "lost": lost, "absent": stream.absent}


class Questions:
    """What can be asked."""

    def __init__(self, server: RealtimeServer, streams: Streams, monitor: LoopMonitor) -> None:
        self._server = server
        self._streams = streams
        self._monitor = monitor

    async def answer(self, question: dict[str, Any]) -> Any:
        match question:
            case {"stream": [session_id, track, received]}:
                return self._streams.take(session_id, track, received)
            case {"advance": seconds}:
                await self._server.advance(seconds)
                return {}
            case {"objects": _}:
                return objects()
            case {"collected": _}:
                gc.collect()
                return self._holdings()
        return {"lag": lag(self._monitor)}

    def _holdings(self) -> dict[str, Any]:
        registry = self._server.registry
        (app,) = registry.apps.values()
        endpoint = registry._endpoint
        return {
            "tasks": len(asyncio.all_tasks()),
            "sessions": len(app.sessions),
            "publications": sum(len(session.publications) for session in app.sessions.values()),
            **{f"endpoint.{name}": count for name, count in remembered(endpoint).items()},
            "bugs": registry.bugs,
            "packets_dropped": endpoint.packets_dropped,
        }


def lag(monitor: LoopMonitor) -> str:
    """How late the event loop was, and what that means."""
    figures = f"{monitor.p99_ms:.0f} ms at the 99th percentile, {monitor.max_ms:.0f} ms at most"
    return f"{figures} ({monitor.reason})" if monitor.reason else figures


def objects() -> dict[str, int]:
    """Living objects of rtcctl's classes, by class. Takes some tenths of a second."""
    gc.collect()
    kinds = Counter(type(thing) for thing in gc.get_objects())
    return {f"{kind.__module__}.{kind.__qualname__}": n for kind, n in kinds.items() if _is_ours(kind)}


def _is_ours(kind: type) -> bool:
    return str(kind.__module__).startswith("rtcctl.")


async def main(fault: str) -> None:
    ledgers.PACKETS_KEPT, ledgers.REQUESTS_KEPT = ROWS_KEPT, REQUESTS_KEPT
    loop = asyncio.get_running_loop()
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    async with (
        RealtimeServer.run("127.0.0.1", 0, limits=LIMITS, faults=(fault,)) as server,
        LoopMonitor() as monitor,
        asyncio.TaskGroup() as group,
    ):
        streams = Streams(server.ledger)
        reading = group.create_task(streams.keep_reading())
        questions = Questions(server, streams, monitor)
        say({"api_base": server.base_url, "app_id": server.app_id, "app_secret": server.app_secret})
        while line := await asked.readline():
            say(await questions.answer(json.loads(line)))
        reading.cancel()


def say(document: Any) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
