"""`--trace DIR`, and the ticket that a failed `smoke` leaves: what a command's recorder is begun and ended with."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtcctl.errors import ExitStatus, RtcctlError

if TYPE_CHECKING:
    from rtcctl.cli.output import Streams
    from rtcctl.results.event import Event
    from rtcctl.results.result import Failure, Result
    from rtcctl.results.target import Target
    from rtcctl.trace.capture import Capture
    from rtcctl.trace.recorder import Recorder

_NO_TICKET = (ExitStatus.OK, ExitStatus.USAGE)
"Nothing failed, or nothing was tried."

_SAYS_SOMETHING = frozenset({"channel send", "channel listen", "turn revoke"})
"Commands whose arguments are messages, or half a credential."


class Recording:
    """The trace of one command, if there is one."""

    def __init__(self, streams: Streams, path: Path | None, *, is_ticket: bool) -> None:
        """`is_ticket`: it stays only when the command fails."""
        self.recorder: Recorder | None = None
        self._streams = streams
        self._path = path
        self._is_ticket = is_ticket
        self._is_ended = False
        self._trouble: OSError | None = None

    def begin(self, command: str, target: Target | None) -> None:
        """Open it. A folder that cannot be written is a warning."""
        assert self._path is not None
        try:
            self.recorder = _begun(self._path, self.cannot_write, command, target)
        except OSError as error:
            self.cannot_write(error)

    def cannot_write(self, error: OSError) -> None:
        """Of a trace it is said at once, of a ticket when there should be one."""
        self._trouble = error
        if not self._is_ticket:
            self._streams.warn(f"the trace {self._path} cannot be written: {error.strerror}")

    def event(self, event: Event) -> None:
        """Something happened."""
        if self.recorder is not None:
            from rtcctl.report import jsonl

            self.recorder.event(jsonl.as_object(event, None))

    def end(self, result: Result | None, status: int, failure: Failure | None, *, interrupted: bool) -> Result | None:
        """The command has ended; its result, which names the ticket where one is left."""
        self._is_ended = True
        if self.recorder is not None:
            from rtcctl.report import json

            self.recorder.end(
                exit_status=status,
                interrupted=interrupted,
                failure=None if failure is None else json.plain(failure),
                result=None if result is None else json.document(result, status),
            )
        return self._keep_ticket(result, status)

    def broke_down(self, error: BaseException) -> None:
        """The command has ended without a word of `end`; behind that, nothing is done."""
        if self._is_ended:
            return
        self._is_ended = True
        status = int(error.exit_status if isinstance(error, RtcctlError) else ExitStatus.BUG)
        if self.recorder is not None:
            import traceback

            where = traceback.extract_tb(error.__traceback__)
            self.recorder.end(
                exit_status=status,
                error=f"{type(error).__name__}: {error}",
                where=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in where],
            )
        self._keep_ticket(None, status)

    def _keep_ticket(self, result: Result | None, status: int) -> Result | None:
        """Leave the ticket and name it, or take it away where there is nothing to find out."""
        path = self._path
        if not self._is_ticket or path is None:
            return result
        from rtcctl.results.smoke import Smoke
        from rtcctl.trace.folder import forget_old_tickets

        if status in _NO_TICKET:
            shutil.rmtree(path, ignore_errors=True)
            return result
        if self._trouble is not None:
            self._streams.warn(f"there is no ticket, or half of one: {path}: {self._trouble.strerror}")
            return result
        with suppress(OSError):
            forget_old_tickets(path.parent)
        self._streams.err(f"ticket: {path} (to read it: rtcctl explain {shlex.quote(str(path))})")
        return replace(result, ticket=str(path)) if isinstance(result, Smoke) else result


@contextmanager
def recording(
    folder: Path | None, tickets: Path | None, streams: Streams, *, command: str, target: Target | None
) -> Iterator[Recording]:
    """Record into `folder`; where none is asked for into a new one below `tickets`, if the command leaves any.

    Raises `UsageError` for a folder that holds something else.
    """
    if folder is not None:
        from rtcctl.trace.folder import require_ours

        require_ours(folder)
    path = folder
    if folder is None and tickets is not None:
        from datetime import UTC, datetime

        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        path = tickets / f"{moment}Z-{command}-{os.getpid()}"
    running = Recording(streams, path, is_ticket=folder is None)
    if path is not None:
        running.begin(command, target)
    try:
        yield running
    except BaseException as error:
        running.broke_down(error)
        raise


def _begun(path: Path, on_trouble: Callable[[OSError], None], command: str, target: Target | None) -> Recorder:
    """A recorder with its first line. Raises `OSError`."""
    from rtcctl.cli.output import mask
    from rtcctl.report.json import plain
    from rtcctl.trace.folder import TraceFolder
    from rtcctl.trace.recorder import Recorder
    from rtcctl.trace.versions import versions

    folder = TraceFolder(path)
    started_at = time.time()
    recorder = Recorder(folder, clock=time.monotonic, mask=mask, on_trouble=on_trouble)
    recorder.begin(
        versions=versions(),
        command=command,
        arguments=_arguments(sys.argv[1:], command),
        target=plain(target),
        started_at=started_at,
        pid=os.getpid(),
    )
    return recorder


def _arguments(argv: Sequence[str], command: str) -> list[str]:
    """The command line, without what somebody says with it and without the command that it runs."""
    own = [*argv[: argv.index("--")], "--", "…"] if "--" in argv else list(argv)
    if command not in _SAYS_SOMETHING:
        return own
    words = command.split()
    return [*words, *(word if word.startswith("-") else "…" for word in own[len(words) :])]


@contextmanager
def capturing(path: Path | None, streams: Streams) -> Iterator[Capture | None]:
    """Write what passes into a capture file, if there is one; one that cannot be written any more is a warning.

    Raises `UsageError` where it cannot be made.
    """
    if path is None:
        yield None
        return
    from rtcctl.trace.capture import Capture

    def trouble(error: OSError) -> None:
        streams.warn(f"--pcap: {path} cannot be written any more: {error.strerror}")

    capture = Capture(path, wallclock_offset_s=time.time() - time.monotonic(), on_trouble=trouble)
    try:
        yield capture
    finally:
        capture.close()
