"""What `--impair` and `--impair-ledger` say, of every command that runs a peer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rtcctl.errors import UsageError
from rtcctl.units import SpellingError

if TYPE_CHECKING:
    from rtcctl.cli.output import Streams
    from rtcctl.media.ledger import PacketRow
    from rtcctl.ops.impair import Impairing


@contextmanager
def impairing(texts: tuple[str, ...], path: Path | None, streams: "Streams") -> "Iterator[Impairing | None]":
    """What the options say; None without them. The ledger is open while the body runs. Raises `UsageError`."""
    if not texts:
        if path is not None:
            raise UsageError("--impair-ledger is what --impair has done.", hint="Add for example --impair loss=0%.")
        yield None
        return
    from random import SystemRandom

    from rtcctl.ops.impair import Impairing

    try:
        made = Impairing.parse(texts, SystemRandom())
    except SpellingError as error:
        raise UsageError(f"--impair: {error}.") from None
    if made.has_drawn:
        repeated = " ".join(f"--impair '{text}'" for text in made.texts)
        streams.err(f"to repeat it: {repeated}")
    if path is None:
        yield made
        return
    ledger = _Ledger(path, streams)
    made.write, made.ledger = ledger.write, str(path)
    try:
        yield made
    finally:
        ledger.close()


class _Ledger:
    """A file of JSON lines, complete even when the process is killed. A disk that is full ends no measurement."""

    def __init__(self, path: Path, streams: "Streams") -> None:
        self._path = path
        self._streams = streams
        try:
            self._file: TextIO | None = path.open("w", buffering=1, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--impair-ledger: {path} cannot be written: {error.strerror}.") from None

    def write(self, row: "PacketRow") -> None:
        """A line, and a warning when it is the first that cannot be written."""
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(row.document()) + "\n")
        except OSError as error:
            self._end(error)

    def close(self) -> None:
        """Write what is left."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self._end(error)

    def _end(self, error: OSError) -> None:
        self._file = None
        self._streams.warn(f"the ledger {self._path} is incomplete: {error.strerror}")
