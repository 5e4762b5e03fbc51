"""Session descriptions as WebRTC writes them (RFC 8866, RFC 8829): what negotiation needs, and nothing else.

Parsing is strict about what it keeps and silent about what it does not know. What the session level says for all
m-sections (ICE credentials, fingerprints, setup, direction) is handed down, so that a `MediaSection` is complete.
Writing is canonical: CRLF, port 9 where no default candidate is named, one attribute order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rtcctl.errors import ParseError
from rtcctl.media.codec import Codec
from rtcctl.media.sdp_attributes import (
    PRINTABLE,
    TOKEN,
    Attributes,
    Candidate,
    Direction,
    Rid,
    Setup,
    Simulcast,
    Source,
    extension,
    fingerprint,
    integer,
    rid_of,
    setup_of,
    sources_of,
    split_lines,
    ssrc_group,
)

__all__ = [
    "Candidate",
    "Direction",
    "MediaSection",
    "Rid",
    "SessionDescription",
    "Setup",
    "Simulcast",
    "Source",
]

_STATIC_PAYLOAD_TYPES = {
    0: Codec("PCMU", 0, 8000),
    8: Codec("PCMA", 8, 8000),
    9: Codec("G722", 9, 8000),
}
"Those of RFC 3551 §6 that may come without `a=rtpmap`."
_NO_FORMAT = "127"
"An m-line needs a format (RFC 8866 §9); this one, without `a=rtpmap`, means nothing to anybody."


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
        if self.is_rtp or self.direction is not Direction.SENDRECV:
            yield f"a={self.direction}"
        if self.msid:
            yield f"a=msid:{self.msid}"
        if self.rtcp_mux:
            yield "a=rtcp-mux"
        if self.rtcp_rsize:
            yield "a=rtcp-rsize"
        for codec in self.codecs:
            yield f"a=rtpmap:{codec.payload_type} {codec.rtpmap}"
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


def _parse(text: str) -> SessionDescription:
    if not text.endswith("\n"):
        raise ParseError("a line end after the last line", offset=len(text))
    lines = split_lines(text)
    kind, value, offset = next(lines)
    if (kind, value) != ("v", "0"):
        raise ParseError("v=0", offset=offset)
    session = level = Attributes()
    session_id = version = 0
    sections: list[tuple[str, int, Attributes]] = []
    for kind, value, offset in lines:
        if kind == "a":
            name, _, value = value.partition(":")
            level.add(name, value.strip(), offset + 3 + len(name))
        elif kind == "m":
            level = Attributes(session)
            sections.append((value, offset + 2, level))
        elif kind == "o":
            session_id, version = _origin(value, offset + 2)
    return SessionDescription(
        media=tuple(_media(value, offset, attributes) for value, offset, attributes in sections),
        bundle=_bundle(session),
        is_ice_lite=session.has("ice-lite"),
        session_id=session_id,
        version=version,
    )


def _origin(value: str, offset: int) -> tuple[int, int]:
    parts = value.split()
    if len(parts) != 6:
        raise ParseError("six fields of o=", offset=offset)
    return integer(parts[1], 2**64 - 1, offset), integer(parts[2], 2**64 - 1, offset)


def _bundle(session: Attributes) -> tuple[str, ...]:
    for value, offset in session.all("group"):
        semantics, *mids = value.split() or [""]
        if semantics == "BUNDLE":
            if not all(TOKEN.fullmatch(mid) for mid in mids):
                raise ParseError("mids of a BUNDLE group", offset=offset)
            return tuple(mids)
    return ()


def _media(value: str, offset: int, attributes: Attributes) -> MediaSection:
    parts = value.split()
    if len(parts) < 4 or not TOKEN.fullmatch(parts[0]) or not PRINTABLE.fullmatch(parts[2]):
        raise ParseError("m=<media> <port> <protocol> <formats>", offset=offset)
    kind, port, protocol, *formats = parts
    is_rtp = "RTP/" in protocol
    simulcast = next(iter(attributes.all("simulcast")), None)
    return MediaSection(
        kind=kind,
        mid=attributes.text("mid", TOKEN),
        port=integer(port.partition("/")[0], 0xFFFF, offset),
        protocol=protocol,
        codecs=_codecs(formats, offset, attributes) if is_rtp else (),
        formats=() if is_rtp else tuple(formats),
        direction=attributes.direction(),
        ice_ufrag=attributes.text("ice-ufrag", PRINTABLE),
        ice_pwd=attributes.text("ice-pwd", PRINTABLE),
        fingerprints=tuple(fingerprint(*item) for item in attributes.all_or_inherited("fingerprint")),
        setup=setup_of(attributes),
        candidates=tuple(Candidate.parse(*item) for item in attributes.all("candidate")),
        has_end_of_candidates=attributes.has("end-of-candidates"),
        is_bundle_only=attributes.has("bundle-only"),
        sctp_port=attributes.number("sctp-port", 0xFFFF),
        max_message_size=attributes.number("max-message-size", 2**64 - 1),
        extensions=dict(extension(*item) for item in attributes.all_or_inherited("extmap")),
        msid=" ".join(attributes.text("msid").split()),
        ssrcs=sources_of(attributes),
        ssrc_groups=tuple(ssrc_group(*item) for item in attributes.all("ssrc-group")),
        rids=tuple(rid_of(*item) for item in attributes.all("rid")),
        simulcast=Simulcast.parse(*simulcast) if simulcast else None,
        rtcp_mux=attributes.has("rtcp-mux"),
        rtcp_rsize=attributes.has("rtcp-rsize"),
    )


def _codecs(formats: list[str], offset: int, attributes: Attributes) -> tuple[Codec, ...]:
    maps = {payload_type: (value, at) for payload_type, value, at in _by_payload_type(attributes, "rtpmap")}
    parameters = {payload_type: value for payload_type, value, _ in _by_payload_type(attributes, "fmtp")}
    feedback: dict[int | None, list[str]] = {}
    for value, at in attributes.all("rtcp-fb"):
        number, _, name = value.partition(" ")
        payload_type = None if number == "*" else integer(number, 127, at)
        feedback.setdefault(payload_type, []).append(" ".join(name.split()))
    codecs: dict[int, Codec] = {}
    for text in formats:
        payload_type = integer(text, 127, offset)
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


def _by_payload_type(attributes: Attributes, name: str) -> Iterator[tuple[int, str, int]]:
    for value, offset in attributes.all(name):
        payload_type, _, rest = value.partition(" ")
        yield integer(payload_type, 127, offset), rest.strip(), offset


def _encoding(value: str, offset: int) -> tuple[str, int, int]:
    """`opus/48000/2`: name, clock rate in Hz, channels."""
    name, *numbers = value.split("/")
    if not TOKEN.fullmatch(name) or not 1 <= len(numbers) <= 2:
        raise ParseError("<encoding>/<clock rate>", offset=offset)
    clock_rate_hz, channels = (integer(number, 0xFFFFFFFF, offset) for number in (*numbers, "1")[:2])
    return name, clock_rate_hz, channels
