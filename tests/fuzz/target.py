"""What a target is, and how bytes become what it is fed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rtcctl.errors import ParseError

VECTORS = Path(__file__).parents[1] / "vectors"


@dataclass(frozen=True)
class Target:
    """Something that is given hostile bytes. Any exception but the allowed ones is a bug, and so is much time."""

    name: str
    "Of its folder under `tests/vectors`, too."
    run: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...] = (ParseError,)

    def __call__(self, data: bytes) -> bool:
        """Whether it was taken, and not refused."""
        try:
            self.run(data)
        except self.allowed:
            return False
        return True

    @property
    def vectors(self) -> list[Path]:
        """The files of its corpus."""
        return [path for path in sorted((VECTORS / self.name).iterdir()) if path.name != "README.md"]


_RECORD = struct.Struct("!BH")


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """A conversation out of one file: a byte of flags, a length of 16 bits, and so many bytes; the last may be short.

    Whatever the bytes are, they are some conversation.
    """
    at = 0
    while at + _RECORD.size <= len(data):
        flags, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        yield flags, data[at : at + size]
        at += size


def conversation(parts: Iterable[tuple[int, bytes]]) -> bytes:
    """What `records` reads back."""
    return b"".join(_RECORD.pack(flags, len(data)) + data for flags, data in parts)


def text(data: bytes) -> str:
    """As text that came from outside; every byte is some character, lone surrogates among them."""
    return data.decode("utf-8", errors="surrogateescape")


STEPS_S = (0.0, 0.001, 0.02, 0.25, 1.0, 6.0, 40.0, 700.0)
"How much time passes before a record, by three bits of its flags."
