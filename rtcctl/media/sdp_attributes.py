"""What single lines and attributes of a session description say (RFC 8866 §5, §6); `sdp.py` puts them together.

Each reader takes a value with its offset in the text, so that an error can say where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rtcctl.errors import ParseError

TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")
"RFC 8866 §9, `token`."
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")
PRINTABLE = re.compile(r"[!-~]+")
_STREAM_ID = re.compile(r"~?[0-9A-Za-z_-]+")
_CONTENT = r"([a-z])=([^\x00-\x08\x0a-\x1f\x7f]*)"
_LINE = re.compile(_CONTENT + r"\r?\n")
_CUT_LINE = re.compile(_CONTENT)


class Direction(StrEnum):
    """Which way media flows, seen by the author of the description (RFC 8866 §6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> Direction:
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE


_DIRECTIONS = tuple(Direction)

_INHERITED_MAX = 256
"Lines of one name at the session level: as many as there are ids of header extensions."


class Setup(StrEnum):
    """Who opens the DTLS association (RFC 4145 §4, RFC 8842)."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"
    HOLDCONN = "holdconn"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An ICE candidate (RFC 8839 §5.1). `extensions` is whatever follows the type: `raddr 0.0.0.0 rport 0`."""

    foundation: str
    component: int
    transport: str
    priority: int
    address: str
    port: int
    type: str
    extensions: str = ""

    @classmethod
    def host(cls, address: str, port: int, *, index: int = 0) -> Candidate:
        """The `index`-th host candidate over UDP, of RTP and RTCP together (RFC 8445 §5.1.2.1)."""
        priority = (126 << 24) | ((0xFFFF - index) << 8) | 255
        return cls(str(index + 1), 1, "udp", priority, address, port, "host")

    @classmethod
    def parse(cls, value: str, offset: int = 0) -> Candidate:
        parts = value.split(" ", 8)
        if len(parts) < 8 or parts[6] != "typ":
            raise ParseError("a candidate", offset=offset)
        foundation, component, transport, priority, address, port, _, kind = parts[:8]
        for text in (foundation, transport, address, kind):
            if not PRINTABLE.fullmatch(text):
                raise ParseError("a candidate", offset=offset)
        return cls(
            foundation,
            integer(component, 256, offset),
            transport,
            integer(priority, 0xFFFFFFFF, offset),
            address,
            integer(port, 0xFFFF, offset),
            kind,
            parts[8].strip() if len(parts) == 9 else "",
        )

    def __str__(self) -> str:
        text = (
            f"{self.foundation} {self.component} {self.transport} {self.priority}"
            f" {self.address} {self.port} typ {self.type}"
        )
        return f"{text} {self.extensions}" if self.extensions else text


@dataclass(frozen=True, slots=True)
class Source:
    """One `a=ssrc` with what is said of it (RFC 5576 §4.1, §6.1)."""

    ssrc: int
    "32 bit."
    cname: str = ""
    msid: str = ""
    "Stream and track id, separated by a space."


@dataclass(frozen=True, slots=True)
class Rid:
    """One encoding of a simulcast (RFC 8851 §4). `direction` is `send` or `recv`."""

    rid: str
    direction: str
    restrictions: str = ""


@dataclass(frozen=True, slots=True)
class Simulcast:
    """Streams to send and to receive, each as its alternatives; `~` marks a paused one (RFC 8853 §5.1)."""

    send: tuple[tuple[str, ...], ...] = ()
    recv: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def parse(cls, value: str, offset: int = 0) -> Simulcast:
        words = value.split()
        lists: dict[str, tuple[tuple[str, ...], ...]] = {}
        for direction, streams in zip(words[::2], words[1::2], strict=False):
            alternatives = tuple(tuple(stream.split(",")) for stream in streams.split(";"))
            if direction in lists or not all(_STREAM_ID.fullmatch(rid) for stream in alternatives for rid in stream):
                raise ParseError("simulcast streams", offset=offset)
            lists[direction] = alternatives
        if len(words) not in (2, 4) or not lists.keys() <= {"send", "recv"}:
            raise ParseError("`send` or `recv` and a list of streams", offset=offset)
        return cls(lists.get("send", ()), lists.get("recv", ()))

    def __str__(self) -> str:
        lists = (("send", self.send), ("recv", self.recv))
        return " ".join(f"{name} {';'.join(','.join(s) for s in streams)}" for name, streams in lists if streams)


# --- reading


def split_lines(text: str) -> Iterator[tuple[str, str, int]]:
    """The type and the value of each line `x=…` of a text that ends in a line end, with the line's offset."""
    offset = 0
    while offset < len(text):
        # Not `finditer`, which goes on looking behind a line that is none: from each character to the end.
        line = _LINE.match(text, offset)
        if line is None:
            raise _malformed_line(text, offset)
        yield line[1], line[2], offset
        offset = line.end()


def _malformed_line(text: str, offset: int) -> ParseError:
    cut = _CUT_LINE.match(text, offset)
    if cut is None:
        return ParseError("a line of the form x=…", offset=offset)
    return ParseError("a line without control characters", offset=cut.end())


class Attributes:
    """The `a=` lines of one level: name to values with their offsets."""

    def __init__(self, inherited: Attributes | None = None) -> None:
        self._values: dict[str, list[tuple[str, int]]] = {}
        self._inherited: Mapping[str, Sequence[tuple[str, int]]] = inherited._values if inherited else {}

    def add(self, name: str, value: str, offset: int) -> None:
        self._values.setdefault(name, []).append((value, offset))

    def all(self, name: str) -> Sequence[tuple[str, int]]:
        return self._values.get(name, ())

    def all_or_inherited(self, name: str) -> Sequence[tuple[str, int]]:
        if own := self._values.get(name):
            return own
        inherited = self._inherited.get(name, ())
        if len(inherited) > _INHERITED_MAX:
            # Each m-section takes all of them over: thousands times thousands.
            raise ParseError(f"at most {_INHERITED_MAX} lines of a={name}", offset=inherited[_INHERITED_MAX][1])
        return inherited

    def has(self, name: str) -> bool:
        return name in self._values

    def first(self, name: str, pattern: re.Pattern[str] | None = None) -> tuple[str, int] | None:
        """The first value, from here or handed down; it must match the pattern."""
        values = self.all_or_inherited(name)
        if values and pattern and not pattern.fullmatch(values[0][0]):
            raise ParseError(f"a value of a={name}", offset=values[0][1])
        return values[0] if values else None

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        found = self.first(name, pattern)
        return found[0] if found else ""

    def number(self, name: str, maximum: int) -> int | None:
        values = self.all(name)
        return integer(values[0][0], maximum, values[0][1]) if values else None

    def direction(self) -> Direction:
        """That of an m-section, else the one handed down, else `sendrecv` (RFC 8866 §6.7)."""
        for level in (self._values, self._inherited):
            for direction in _DIRECTIONS:
                if direction in level:
                    return direction
        return Direction.SENDRECV


def setup_of(attributes: Attributes) -> Setup | None:
    """`a=setup`, if it is there."""
    found = attributes.first("setup")
    if found is None:
        return None
    try:
        return Setup(found[0])
    except ValueError:
        raise ParseError("a=setup:active, passive, actpass or holdconn", offset=found[1]) from None


def fingerprint(value: str, offset: int) -> tuple[str, str]:
    """`a=fingerprint` (RFC 8122 §5): hash function in lower case, upper-case hex with colons."""
    algorithm, _, digest = value.partition(" ")
    digest = digest.strip()
    if not TOKEN.fullmatch(algorithm) or not _FINGERPRINT.fullmatch(digest):
        raise ParseError("a hash function and hex with colons", offset=offset)
    return algorithm.lower(), digest.upper()


def extension(value: str, offset: int) -> tuple[int, str]:
    """`a=extmap` (RFC 8285 §5): id and URI."""
    identifier, _, rest = value.partition(" ")
    uri = rest.split(" ")[0]
    if not PRINTABLE.fullmatch(uri):
        raise ParseError("the URI of a header extension", offset=offset)
    number = integer(identifier.partition("/")[0], 0xFFFF, offset)
    return number, uri


def sources_of(attributes: Attributes) -> tuple[Source, ...]:
    """All `a=ssrc` lines, put together by SSRC."""
    said: dict[int, dict[str, str]] = {}
    for value, offset in attributes.all("ssrc"):
        number, _, attribute = value.partition(" ")
        name, _, content = attribute.partition(":")
        said.setdefault(integer(number, 0xFFFFFFFF, offset), {}).setdefault(name, " ".join(content.split()))
    return tuple(Source(ssrc, names.get("cname", ""), names.get("msid", "")) for ssrc, names in said.items())


def ssrc_group(value: str, offset: int) -> tuple[str, tuple[int, ...]]:
    """`a=ssrc-group` (RFC 5576 §4.2): semantics and SSRCs."""
    semantics, *ssrcs = value.split() or [""]
    if not TOKEN.fullmatch(semantics):
        raise ParseError("the semantics of an SSRC group", offset=offset)
    return semantics, tuple(integer(ssrc, 0xFFFFFFFF, offset) for ssrc in ssrcs)


def rid_of(value: str, offset: int) -> Rid:
    """`a=rid` (RFC 8851 §4)."""
    rid, _, rest = value.partition(" ")
    direction, _, restrictions = rest.strip().partition(" ")
    if not _STREAM_ID.fullmatch(rid) or direction not in ("send", "recv"):
        raise ParseError("a rid and its direction", offset=offset)
    return Rid(rid, direction, restrictions.strip())


def integer(text: str, maximum: int, offset: int) -> int:
    """A decimal of ASCII digits; `int` alone would take signs, underscores and the digits of other scripts."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or (number := int(text)) > maximum:
        raise ParseError(f"a number up to {maximum}", offset=offset)
    return number
