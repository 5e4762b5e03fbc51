"""The folder of a trace: whose it is, who may read it, how large it grows.

Lines go to `trace.jsonl` until that has `PART_BYTES`: how it began is never lost. What comes later goes to the next two
files in turn, the older of which is begun anew, so that the newest lines are there as well, and the whole is bounded.
Each line is one write to the kernel: a process that is killed leaves all that it had.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtcctl.errors import UsageError

SCHEMA = "rtcctl.trace/1"
DUMP = "webrtc_internals_dump.txt"
DETACHED = "detached"
"The trace of a process that goes on by itself, in a folder of its own."
PARTS = ("trace.jsonl", "trace-2.jsonl", "trace-3.jsonl")
PART_BYTES = 16 * 1024 * 1024

KEPT_TICKETS = 20

_BINARY: int = getattr(os, "O_BINARY", 0)
"Windows would change the ends of lines."

_OURS = frozenset({*PARTS, DUMP, DETACHED})
_BEGINNING = f'{{"kind": "begin", "schema": "{SCHEMA}"'


class TraceFolder:
    """A folder that takes the lines of one command."""

    def __init__(self, path: Path, *, part_bytes: int = PART_BYTES) -> None:
        """Raises `OSError` where it cannot be written."""
        self.path = path
        self._part_bytes = part_bytes
        self._part = 0
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        for name in (*PARTS, DUMP):
            (path / name).unlink(missing_ok=True)
        self._file = _create(path / PARTS[0])
        self._size = 0

    def write(self, line: str) -> None:
        """Add a line. Raises `OSError` as on a full disk."""
        data = line.encode("utf-8", "replace") + b"\n"
        if self._size and self._size + len(data) > self._part_bytes:
            os.close(self._file)
            self._part = 2 if self._part == 1 else 1
            self._file = _create(self.path / PARTS[self._part])
            self._size = 0
        if os.write(self._file, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += len(data)

    def write_dump(self, text: str) -> None:
        """Write the dump for viewers beside the lines. Raises `OSError`."""
        with open(_create(self.path / DUMP), "w", encoding="utf-8") as file:
            file.write(text)

    def close(self) -> None:
        os.close(self._file)


def _create(path: Path) -> int:
    """A file of ours alone, in place of one that was there."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)


def require_ours(path: Path) -> None:
    """Raise `UsageError` for what is no folder, or holds anything but a trace, which would be written over."""
    try:
        names = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise UsageError(f"{path} is a file; a trace is a folder.", hint="Name a new folder.") from None
    except OSError:
        return  # as unwritable as it is unreadable, and said to be when it is opened
    foreign = {name for name in names if name not in _OURS and not name.endswith(".pcap")}
    try:
        is_ours = not foreign and (PARTS[0] not in names or is_trace(path))
    except OSError:
        is_ours = False  # as it cannot be read
    if not is_ours:
        raise UsageError(
            f"The folder {path} holds something else than a trace of rtcctl.",
            hint="Name a new folder, an empty one, or that of an earlier trace, which is written over.",
        )


def is_trace(path: Path) -> bool:
    """Whether a folder is that of a trace, whatever else somebody has put there. Raises `OSError`."""
    if not (path / PARTS[0]).is_file():
        return False
    with (path / PARTS[0]).open("rb") as file:
        beginning = file.read(len(_BEGINNING)).decode("utf-8", "replace")
    return _BEGINNING.startswith(beginning)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a trace, oldest first; what a killed process left unfinished is passed over.

    Raises `UsageError` for what is no trace.
    """
    try:
        if not is_trace(path):
            raise UsageError(f"{path} is no trace of rtcctl.", hint="A trace is what --trace DIR writes.")
        yield from written_lines(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def written_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a trace, oldest first. Raises `OSError`."""
    first, *later = (path / name for name in PARTS)
    # The later parts take turns.
    for part in (first, *sorted(filter(Path.is_file, later), key=_began_at)):
        yield from _lines_of(part)


def _lines_of(part: Path) -> Iterator[dict[str, Any]]:
    with part.open("rb") as file:
        for data in file:
            try:
                line = json.loads(data)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict):
                yield line


def _began_at(part: Path) -> float:
    """When its first line was written; the times of the files are gone once a trace was copied."""
    at_s = next(_lines_of(part), {}).get("at_s")
    return at_s if isinstance(at_s, float | int) else 0.0


def forget_old_tickets(folder: Path, *, keep: int = KEPT_TICKETS) -> None:
    """Remove all but the newest tickets; their names begin with the time. Raises `OSError`."""
    for path in sorted(folder.iterdir())[:-keep]:
        shutil.rmtree(path, ignore_errors=True)
