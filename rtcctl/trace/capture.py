"""`--pcap`: the packets of peers, as they pass, into a capture file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from rtcctl.errors import UsageError
from rtcctl.media import pcap
from rtcctl.media.sdp import Candidate

_FLUSH_S = 1.0
"What a killed process loses at most."


class Capture:
    """A tap on peers (`probe.tapped.PacketTap`). A file that cannot be written any more is said once to `on_trouble`.

    `wallclock_offset_s`: what to add to the clock of the peers for seconds since the epoch.
    """

    def __init__(self, path: Path, *, wallclock_offset_s: float, on_trouble: Callable[[OSError], None]) -> None:
        """Raises `UsageError` where the file cannot be made."""
        self._offset_s = wallclock_offset_s
        self._on_trouble = on_trouble
        self._flushed_at = 0.0
        self._file: BinaryIO | None
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
            self._file = os.fdopen(os.open(path, flags, 0o600), "wb")
            self._file.write(pcap.FILE_HEADER)
        except OSError as error:
            raise UsageError(f"--pcap: {path} cannot be written: {error.strerror}.") from error

    def __call__(self, packet: bytes, pair: tuple[Candidate, Candidate], *, is_sent: bool, now: float) -> None:
        if self._file is None:
            return
        ours, theirs = ((candidate.address, candidate.port) for candidate in pair)
        source, destination = (ours, theirs) if is_sent else (theirs, ours)
        try:
            self._file.write(pcap.record(packet, source, destination, now + self._offset_s))
            if now - self._flushed_at > _FLUSH_S:
                self._flushed_at = now
                self._file.flush()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Write what is left."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self._give_up(error)
            self._file = None

    def _give_up(self, error: OSError) -> None:
        self._on_trouble(error)
        self._file = None
