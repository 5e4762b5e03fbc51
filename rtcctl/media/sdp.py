"""Session descriptions as WebRTC writes them (RFC 8866, RFC 8829): what negotiation needs, and nothing else.

Parsing is strict about what it keeps and silent about what it does not know. What the session level says for all
m-sections (ICE credentials, fingerprints, setup, direction) is handed down, so that a `MediaSection` is complete.
Writing is canonical: CRLF, port 9 where no default candidate is named, one attribute order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from rtcctl.errors import ParseError
from rtcctl.media.codec import Codec

SDES_MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
"Header extension that carries the mid (RFC 8843 §15)."

_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")
"RFC 8866 §9, `token`."
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")
_PRINTABLE = re.compile(r"[!-~]+")
_STREAM_ID = re.compile(r"~?[0-9A-Za-z_-]+")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_STATIC_PAYLOAD_TYPES = {
    0: Codec("PCMU", 0, 8000),
    8: Codec("PCMA", 8, 8000),
    9: Codec("G722", 9, 8000),
}
"Those of RFC 3551 §6 that may come without `a=rtpmap`."
_NO_FORMAT = "127"
"An m-line needs a format (RFC 8866 §9); this one, without `a=rtpmap`, means nothing to anybody."


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
            if not _PRINTABLE.fullmatch(text):
                raise ParseError("a candidate", offset=offset)
        return cls(
            foundation,
            _integer(component, 256, offset),
            transport,
            _integer(priority, 0xFFFFFFFF, offset),
            address,
            _integer(port, 0xFFFF, offset),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSection:
    """One m-section, complete: what the session level says for all stands here too."""

    kind: str
    "`audio`, `video`, `application` …"
    mid: str = ""
    port: int = 9
    "0: rejected or stopped. 9: no default candidate (RFC 8840 §4.1.1)."
    protocol: str = "UDP/TLS/RTP/SAVPF"
    codecs: tuple[Codec, ...] = ()
    "In order of preference. Empty in an m-section that is not RTP."
    formats: tuple[str, ...] = ()
    "The formats of an m-section that is not RTP: `webrtc-datachannel`."
    direction: Direction = Direction.SENDRECV
    ice_ufrag: str = ""
    ice_pwd: str = field(default="", repr=False)
    fingerprints: tuple[tuple[str, str], ...] = ()
    "Hash function in lower case, and upper-case hex with colons."
    setup: Setup | None = None
    candidates: tuple[Candidate, ...] = ()
    has_end_of_candidates: bool = False
    extensions: dict[int, str] = field(default_factory=dict)
    "RTP header extensions: id to URI (RFC 8285 §5)."
    msid: str = ""
    "Stream and track id, separated by a space (RFC 8830)."
    ssrcs: tuple[Source, ...] = ()
    ssrc_groups: tuple[tuple[str, tuple[int, ...]], ...] = ()
    "Semantics (`FID`: original and its RTX) and SSRCs (RFC 5576 §4.2)."
    rids: tuple[Rid, ...] = ()
    simulcast: Simulcast | None = None
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    is_bundle_only: bool = False
    sctp_port: int | None = None
    max_message_size: int | None = None

    @property
    def is_rtp(self) -> bool:
        return "RTP/" in self.protocol

    @property
    def is_rejected(self) -> bool:
        """Refused by an answer, or stopped by its owner (RFC 8829 §5.2.2)."""
        return self.port == 0 and not self.is_bundle_only

    def extension_id(self, uri: str) -> int | None:
        """The id under which this header extension was negotiated."""
        return next((identifier for identifier, known in self.extensions.items() if known == uri), None)

    def _lines(self) -> Iterator[str]:
        formats = " ".join([str(codec.payload_type) for codec in self.codecs] if self.is_rtp else self.formats)
        yield f"m={self.kind} {self.port} {self.protocol} {formats or _NO_FORMAT}"
        yield "c=IN IP4 0.0.0.0"
        if self.is_rtp:
            yield "a=rtcp:9 IN IP4 0.0.0.0"
        for candidate in self.candidates:
            yield f"a=candidate:{candidate}"
        if self.has_end_of_candidates:
            yield "a=end-of-candidates"
        if self.ice_ufrag:
            yield f"a=ice-ufrag:{self.ice_ufrag}"
        if self.ice_pwd:
            yield f"a=ice-pwd:{self.ice_pwd}"
        for algorithm, value in self.fingerprints:
            yield f"a=fingerprint:{algorithm} {value}"
        if self.setup:
            yield f"a=setup:{self.setup}"
        if self.mid:
            yield f"a=mid:{self.mid}"
        if self.is_bundle_only:
            yield "a=bundle-only"
        if self.sctp_port is not None:
            yield f"a=sctp-port:{self.sctp_port}"
        if self.max_message_size is not None:
            yield f"a=max-message-size:{self.max_message_size}"
        yield from self._source_lines()

    def _source_lines(self) -> Iterator[str]:
        for identifier, uri in self.extensions.items():
            yield f"a=extmap:{identifier} {uri}"
        yield f"a={self.direction}"
        if self.msid:
            yield f"a=msid:{self.msid}"
        if self.rtcp_mux:
            yield "a=rtcp-mux"
        if self.rtcp_rsize:
            yield "a=rtcp-rsize"
        for codec in self.codecs:
            channels = f"/{codec.channels}" if codec.channels != 1 else ""
            yield f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate_hz}{channels}"
            for feedback in codec.feedback:
                yield f"a=rtcp-fb:{codec.payload_type} {feedback}"
            if codec.parameters:
                yield f"a=fmtp:{codec.payload_type} {codec.parameters}"
        for rid in self.rids:
            yield f"a=rid:{rid.rid} {rid.direction}{' ' if rid.restrictions else ''}{rid.restrictions}"
        if self.simulcast:
            yield f"a=simulcast:{self.simulcast}"
        for semantics, ssrcs in self.ssrc_groups:
            yield f"a=ssrc-group:{semantics} {' '.join(map(str, ssrcs))}"
        for source in self.ssrcs:
            if source.cname or not source.msid:
                yield f"a=ssrc:{source.ssrc} cname:{source.cname}"
            if source.msid:
                yield f"a=ssrc:{source.ssrc} msid:{source.msid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """A whole description. Two that parse to equal values negotiate the same."""

    media: tuple[MediaSection, ...] = ()
    bundle: tuple[str, ...] = ()
    "Mids of the BUNDLE group (RFC 9143); empty when there is none."
    is_ice_lite: bool = False
    session_id: int = 0
    "Of the `o=` line; 63 bit (RFC 8829 §5.2.1)."
    version: int = 0
    "Of the `o=` line; grows with every description of the session."

    @classmethod
    def parse(cls, text: str) -> SessionDescription:
        """Parse a description with CRLF or LF line ends; the last line must be ended too."""
        return _parse(text)

    def __str__(self) -> str:
        return "".join(f"{line}\r\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield "v=0"
        yield f"o=- {self.session_id} {self.version} IN IP4 127.0.0.1"
        yield "s=-"
        yield "t=0 0"
        if self.bundle:
            yield f"a=group:BUNDLE {' '.join(self.bundle)}"
        if self.is_ice_lite:
            yield "a=ice-lite"
        yield "a=msid-semantic: WMS *"
        for section in self.media:
            yield from section._lines()


class _Attributes:
    """The `a=` lines of one level: name to values with their offsets."""

    def __init__(self, inherited: _Attributes | None = None) -> None:
        self._values: dict[str, list[tuple[str, int]]] = {}
        self._inherited = inherited

    def add(self, name: str, value: str, offset: int) -> None:
        self._values.setdefault(name, []).append((value, offset))

    def all(self, name: str) -> list[tuple[str, int]]:
        return self._values.get(name, [])

    def all_or_inherited(self, name: str) -> list[tuple[str, int]]:
        return self.all(name) or (self._inherited.all(name) if self._inherited else [])

    def has(self, name: str) -> bool:
        return name in self._values

    def first(self, name: str, pattern: re.Pattern[str] | None = None) -> tuple[str, int] | None:
        """The first value, from here or handed down; it must match the pattern."""
        found = next(iter(self.all_or_inherited(name)), None)
        if found and pattern and not pattern.fullmatch(found[0]):
            raise ParseError(f"a value of a={name}", offset=found[1])
        return found

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        found = self.first(name, pattern)
        return found[0] if found else ""

    def number(self, name: str, maximum: int) -> int | None:
        found = next(iter(self.all(name)), None)
        return _integer(found[0], maximum, found[1]) if found else None


def _parse(text: str) -> SessionDescription:
    if not text.endswith("\n"):
        raise ParseError("a line end after the last line", offset=len(text))
    lines = _split(text)
    first, offset = next(lines)
    if first != "v=0":
        raise ParseError("v=0", offset=offset)
    session = level = _Attributes()
    session_id = version = 0
    sections: list[tuple[str, int, _Attributes]] = []
    for line, offset in lines:
        match line[:2]:
            case "a=":
                name, _, value = line[2:].partition(":")
                level.add(name, value.strip(), offset + 3 + len(name))
            case "m=":
                level = _Attributes(session)
                sections.append((line[2:], offset + 2, level))
            case "o=":
                session_id, version = _origin(line[2:], offset + 2)
    return SessionDescription(
        media=tuple(_media(value, offset, attributes) for value, offset, attributes in sections),
        bundle=_bundle(session),
        is_ice_lite=session.has("ice-lite"),
        session_id=session_id,
        version=version,
    )


def _split(text: str) -> Iterator[tuple[str, int]]:
    offset = 0
    for line in text[:-1].split("\n"):
        content = line.removesuffix("\r")
        if len(content) < 2 or content[1] != "=" or not "a" <= content[0] <= "z":
            raise ParseError("a line of the form x=…", offset=offset)
        if control := _UNPRINTABLE.search(content):
            raise ParseError("a line without control characters", offset=offset + control.start())
        yield content, offset
        offset += len(line) + 1


def _origin(value: str, offset: int) -> tuple[int, int]:
    parts = value.split()
    if len(parts) != 6:
        raise ParseError("six fields of o=", offset=offset)
    return _integer(parts[1], 2**64 - 1, offset), _integer(parts[2], 2**64 - 1, offset)


def _bundle(session: _Attributes) -> tuple[str, ...]:
    for value, offset in session.all("group"):
        semantics, *mids = value.split() or [""]
        if semantics == "BUNDLE":
            if not all(_TOKEN.fullmatch(mid) for mid in mids):
                raise ParseError("mids of a BUNDLE group", offset=offset)
            return tuple(mids)
    return ()


def _media(value: str, offset: int, attributes: _Attributes) -> MediaSection:
    parts = value.split()
    if len(parts) < 4 or not _TOKEN.fullmatch(parts[0]) or not _PRINTABLE.fullmatch(parts[2]):
        raise ParseError("m=<media> <port> <protocol> <formats>", offset=offset)
    kind, port, protocol, *formats = parts
    is_rtp = "RTP/" in protocol
    simulcast = next(iter(attributes.all("simulcast")), None)
    return MediaSection(
        kind=kind,
        mid=attributes.text("mid", _TOKEN),
        port=_integer(port.partition("/")[0], 0xFFFF, offset),
        protocol=protocol,
        codecs=_codecs(formats, offset, attributes) if is_rtp else (),
        formats=() if is_rtp else tuple(formats),
        direction=_direction(attributes),
        ice_ufrag=attributes.text("ice-ufrag", _PRINTABLE),
        ice_pwd=attributes.text("ice-pwd", _PRINTABLE),
        fingerprints=tuple(_fingerprint(*item) for item in attributes.all_or_inherited("fingerprint")),
        setup=_setup(attributes),
        candidates=tuple(Candidate.parse(*item) for item in attributes.all("candidate")),
        has_end_of_candidates=attributes.has("end-of-candidates"),
        is_bundle_only=attributes.has("bundle-only"),
        sctp_port=attributes.number("sctp-port", 0xFFFF),
        max_message_size=attributes.number("max-message-size", 2**64 - 1),
        extensions=dict(_extension(*item) for item in attributes.all_or_inherited("extmap")),
        msid=" ".join(attributes.text("msid").split()),
        ssrcs=_sources(attributes),
        ssrc_groups=tuple(_ssrc_group(*item) for item in attributes.all("ssrc-group")),
        rids=tuple(_rid(*item) for item in attributes.all("rid")),
        simulcast=Simulcast.parse(*simulcast) if simulcast else None,
        rtcp_mux=attributes.has("rtcp-mux"),
        rtcp_rsize=attributes.has("rtcp-rsize"),
    )


def _direction(attributes: _Attributes) -> Direction:
    for level in (attributes.has, lambda name: bool(attributes.all_or_inherited(name))):
        for direction in Direction:
            if level(direction):
                return direction
    return Direction.SENDRECV


def _setup(attributes: _Attributes) -> Setup | None:
    found = attributes.first("setup")
    if found is None:
        return None
    if found[0] not in list(Setup):
        raise ParseError("a=setup:active, passive, actpass or holdconn", offset=found[1])
    return Setup(found[0])


def _fingerprint(value: str, offset: int) -> tuple[str, str]:
    algorithm, _, digest = value.partition(" ")
    digest = digest.strip()
    if not _TOKEN.fullmatch(algorithm) or not _FINGERPRINT.fullmatch(digest):
        raise ParseError("a hash function and hex with colons", offset=offset)
    return algorithm.lower(), digest.upper()


def _extension(value: str, offset: int) -> tuple[int, str]:
    identifier, _, rest = value.partition(" ")
    uri = rest.split(" ")[0]
    if not _PRINTABLE.fullmatch(uri):
        raise ParseError("the URI of a header extension", offset=offset)
    number = _integer(identifier.partition("/")[0], 0xFFFF, offset)
    return number, uri


def _codecs(formats: list[str], offset: int, attributes: _Attributes) -> tuple[Codec, ...]:
    maps = {payload_type: (value, at) for payload_type, value, at in _by_payload_type(attributes, "rtpmap")}
    parameters = {payload_type: value for payload_type, value, _ in _by_payload_type(attributes, "fmtp")}
    feedback: dict[int | None, list[str]] = {}
    for value, at in attributes.all("rtcp-fb"):
        number, _, name = value.partition(" ")
        payload_type = None if number == "*" else _integer(number, 127, at)
        feedback.setdefault(payload_type, []).append(" ".join(name.split()))
    codecs: dict[int, Codec] = {}
    for text in formats:
        payload_type = _integer(text, 127, offset)
        if payload_type in codecs:
            raise ParseError("different payload types", offset=offset)
        if payload_type in maps:
            name, rate_hz, channels = _encoding(*maps[payload_type])
        elif static := _STATIC_PAYLOAD_TYPES.get(payload_type):
            name, rate_hz, channels = static.name, static.clock_rate_hz, static.channels
        else:
            continue
        codecs[payload_type] = Codec(
            name,
            payload_type,
            rate_hz,
            channels,
            parameters.get(payload_type, ""),
            tuple(filter(None, (*feedback.get(payload_type, ()), *feedback.get(None, ())))),
        )
    return tuple(codecs.values())


def _by_payload_type(attributes: _Attributes, name: str) -> Iterator[tuple[int, str, int]]:
    for value, offset in attributes.all(name):
        payload_type, _, rest = value.partition(" ")
        yield _integer(payload_type, 127, offset), rest.strip(), offset


def _encoding(value: str, offset: int) -> tuple[str, int, int]:
    """`opus/48000/2`: name, clock rate in Hz, channels."""
    name, *numbers = value.split("/")
    if not _TOKEN.fullmatch(name) or not 1 <= len(numbers) <= 2:
        raise ParseError("<encoding>/<clock rate>", offset=offset)
    clock_rate_hz, channels = (_integer(number, 0xFFFFFFFF, offset) for number in (*numbers, "1")[:2])
    return name, clock_rate_hz, channels


def _sources(attributes: _Attributes) -> tuple[Source, ...]:
    said: dict[int, dict[str, str]] = {}
    for value, offset in attributes.all("ssrc"):
        number, _, attribute = value.partition(" ")
        name, _, content = attribute.partition(":")
        said.setdefault(_integer(number, 0xFFFFFFFF, offset), {}).setdefault(name, " ".join(content.split()))
    return tuple(Source(ssrc, names.get("cname", ""), names.get("msid", "")) for ssrc, names in said.items())


def _ssrc_group(value: str, offset: int) -> tuple[str, tuple[int, ...]]:
    semantics, *ssrcs = value.split() or [""]
    if not _TOKEN.fullmatch(semantics):
        raise ParseError("the semantics of an SSRC group", offset=offset)
    return semantics, tuple(_integer(ssrc, 0xFFFFFFFF, offset) for ssrc in ssrcs)


def _rid(value: str, offset: int) -> Rid:
    rid, _, rest = value.partition(" ")
    direction, _, restrictions = rest.strip().partition(" ")
    if not _STREAM_ID.fullmatch(rid) or direction not in ("send", "recv"):
        raise ParseError("a rid and its direction", offset=offset)
    return Rid(rid, direction, restrictions.strip())


def _integer(text: str, maximum: int, offset: int) -> int:
    """A decimal of ASCII digits; `int` alone would take signs, underscores and the digits of other scripts."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or (number := int(text)) > maximum:
        raise ParseError(f"a number up to {maximum}", offset=offset)
    return number
