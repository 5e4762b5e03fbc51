"""What is wrong with a session description that a client wrote, as the SFU will see it (Realtime docs: Negotiation).

A description that does not parse is exactly the one that needs explaining, so its lines are looked at one by one, and
the parser has the last word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rtcctl.errors import ParseError
from rtcctl.media.sdp import SessionDescription
from rtcctl.realtime.explain.finding import Finding, shown

Role = Literal["offer", "answer"]

CODECS = {
    "audio": frozenset({"opus", "pcmu", "pcma"}),
    "video": frozenset({"h264", "h265", "vp8", "vp9", "av1"}),
}
"What the service forwards, in lower case (Realtime docs: Limits)."

_STATIC = {"0": "pcmu", "8": "pcma"}
"RFC 3551 §6: need no `a=rtpmap`."

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_WAYS = ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF")


@dataclass(slots=True)
class Section:
    """One m-section, read leniently: attributes by name, those of the session level where it has none."""

    kind: str
    port: str
    protocol: str
    formats: tuple[str, ...]
    line: int
    "Of the m-line, counted from 1."
    attributes: dict[str, list[str]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict, repr=False)
    "Where each of its attributes first stands."
    session: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def all(self, name: str) -> list[str]:
        return self.attributes.get(name) or self.session.get(name) or []

    def has(self, name: str) -> bool:
        return name in self.attributes

    def line_of(self, name: str) -> int:
        """Of that attribute; of the m-line where there is none."""
        return self.lines.get(name, self.line)

    @property
    def mid(self) -> str:
        return next(iter(self.attributes.get("mid", ())), "")

    @property
    def is_rejected(self) -> bool:
        return self.port == "0" and "bundle-only" not in self.attributes

    @property
    def direction(self) -> str:
        own = next((name for name in _DIRECTIONS if name in self.attributes), None)
        return own or next((name for name in _DIRECTIONS if name in self.session), "sendrecv")

    @property
    def sends(self) -> bool:
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        return self.direction in ("sendrecv", "recvonly")

    @property
    def codecs(self) -> tuple[str, ...]:
        """Names in lower case, in the order of the m-line."""
        names = {}
        for value in self.attributes.get("rtpmap", ()):
            payload_type, _, encoding = value.partition(" ")
            names[payload_type] = encoding.partition("/")[0].strip().lower()
        return tuple(names.get(number) or _STATIC.get(number, "") for number in self.formats)


def sections(text: str) -> tuple[list[Section], dict[str, list[str]]]:
    """The m-sections, and the attributes of the session level."""
    session: dict[str, list[str]] = {}
    found: list[Section] = []
    for number, line in enumerate(re.split(r"\r?\n", text), 1):
        if line.startswith("m="):
            words = line[2:].split()
            kind, port, protocol = [*words, "", "", ""][:3]
            found.append(Section(kind, port.partition("/")[0], protocol, tuple(words[3:]), number, {}, {}, session))
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            (found[-1].attributes if found else session).setdefault(name, []).append(value.strip())
            if found:
                found[-1].lines.setdefault(name, number)
    return found, session


def explain_sdp(text: str, role: Role) -> list[Finding]:
    """What is wrong with a client's offer or answer, the most telling first; empty when there is nothing."""
    findings = list(_of_the_text(text))
    if any(finding.is_error for finding in findings):
        return findings
    media, session = sections(text)
    if not media:
        return [
            *findings,
            Finding(
                "SDP",
                "it has no m-section",
                "Add a track, a transceiver or a data channel to the peer connection before it makes an offer",
            ),
        ]
    findings += _of_the_session(text, media, session, role)
    for index, section in enumerate(media):
        if not section.is_rejected:
            findings += _located(_of_a_section(_name(index, section), section, role), section.line)
    findings += _of_the_parser(text, findings)
    return findings


def _located(findings: Iterator[Finding], line: int | None) -> Iterator[Finding]:
    """The same, at this line where they name none themselves."""
    return (found if found.line is not None else found._replace(line=line) for found in findings)


def _line_of(text: str, beginning: str) -> int | None:
    lines = enumerate(re.split(r"\r?\n", text), 1)
    return next((number for number, line in lines if line.startswith(beginning)), None)


def _name(index: int, section: Section) -> str:
    mid = f", mid {shown(section.mid)}" if section.mid else ""
    kind = section.kind if section.kind in ("audio", "video", "application") else shown(section.kind)
    return f"m-section {index} ({kind}{mid})"


def _of_the_text(text: str) -> Iterator[Finding]:
    if not text.strip():
        yield Finding("SDP", "it is empty", "Send `localDescription.sdp` after `setLocalDescription()`")
        return
    if "\\r\\n" in text or ("\\n" in text and "\n" not in text.strip()):
        yield Finding(
            "SDP", "its line ends are the characters \\r\\n", "It was escaped twice: encode the body as JSON once"
        )
        return
    if not text.startswith("v=0"):
        yield Finding("SDP", "it does not begin with v=0", "Send the whole `sdp` of the description, as it is", line=1)
        return
    if not text.endswith("\n"):
        yield Finding(
            "SDP",
            "its last line has no end: CRLF is missing there",
            "Do not trim it: SDP ends with CRLF (RFC 8866 §5)",
            line=text.count("\n") + 1,
        )
    elif "\r\n" not in text:
        yield Finding(
            "SDP", "its lines end with LF alone", "SDP lines end with CRLF (RFC 8866 §5): pass it on as it is", False
        )


def _of_the_session(
    text: str, media: Sequence[Section], session: dict[str, list[str]], role: Role
) -> Iterator[Finding]:
    open_sections = [section for section in media if not section.is_rejected]
    if not open_sections:
        yield Finding("SDP", "every m-section is rejected (port 0)", "Nothing is left to connect with", False)
        return
    if "ice-lite" in session:
        yield Finding(
            "SDP",
            "its author is ICE-lite, as the SFU is: neither begins",
            "Unless it is the SFU's own, make the session with `sessions/new?thirdparty=true`: then the SFU begins",
            False,
            _line_of(text, "a=ice-lite"),
        )
    uses = Counter(section.mid for section in open_sections if section.mid)
    for mid in sorted(mid for mid, count in uses.items() if count > 1):
        second = [section for section in open_sections if section.mid == mid][1]
        hint = "Each has a mid of its own (RFC 9143 §7)"
        yield Finding("SDP", f"two m-sections have the mid {shown(mid)}", hint, line=second.line_of("mid"))
    bundles = [value.split()[1:] for value in session.get("group", ()) if value.split()[:1] == ["BUNDLE"]]
    bundled = {mid for bundle in bundles for mid in bundle}
    bundle_line = _line_of(text, "a=group:BUNDLE")
    if not all(section.mid for section in media):
        return  # that is said of the m-section, and the group cannot be right
    if not bundles and len(open_sections) > 1:
        yield Finding(
            "SDP",
            "it has no BUNDLE group, so only its first m-section has a transport",
            "Make the peer connection with `bundlePolicy: 'max-bundle'`",
            False,
        )
    for mid in sorted(bundled - {section.mid for section in media}):
        what = f"its BUNDLE group names the mid {shown(mid)}, which no m-section has"
        yield Finding("SDP", what, "Leave it out", line=bundle_line)
    for section in media:
        if section.mid in bundled and section.is_rejected:
            yield Finding(
                "SDP",
                f"its BUNDLE group names the mid {shown(section.mid)}, whose m-section is rejected (port 0)",
                "A rejected m-section leaves the group (RFC 9143 §7.3.3)",
                line=bundle_line,
            )
        elif bundles and section.mid not in bundled and not section.is_rejected:
            yield Finding(
                "SDP",
                f"the m-section with mid {shown(section.mid)} is outside of its BUNDLE group",
                "The SFU has one transport and rejects what would need another",
                False,
                section.line,
            )
    rtp = [section for section in open_sections if section.kind in CODECS]
    if role == "answer" and rtp and not any(section.receives or section.sends for section in rtp):
        yield Finding(
            "SDP",
            "no m-section sends or receives",
            "What the SFU offered is refused by this: answer it with `recvonly`, `sendonly` or `sendrecv`",
            False,
        )


def _of_a_section(where: str, section: Section, role: Role) -> Iterator[Finding]:
    at = section.line_of
    if not section.mid:
        yield Finding(where, "it has no a=mid", "Tracks are told apart by the mid of their m-section (RFC 9143)")
    for name in ("ice-ufrag", "ice-pwd", "fingerprint"):
        if not any(section.all(name)):
            yield Finding(
                where,
                f"it has no a={name}",
                "Send what the peer connection wrote after `setLocalDescription()`, not a template",
            )
    setup = next(iter(section.all("setup")), "")
    if role == "answer" and setup == "actpass":
        yield Finding(
            where,
            "a=setup:actpass stands in an answer",
            "An answer decides: active, or passive (RFC 8842)",
            line=at("setup"),
        )
    if setup == "holdconn":
        yield Finding(
            where,
            "a=setup:holdconn asks for no connection",
            "active, passive, or in an offer actpass",
            line=at("setup"),
        )
    if section.has("crypto"):
        yield Finding(
            where, "a=crypto offers keys in the SDP", "The SFU takes its keys from DTLS (RFC 5764)", False, at("crypto")
        )
    if section.kind == "application":
        if "DTLS/SCTP" not in section.protocol:
            yield Finding(
                where, "it is no data channel of DTLS/SCTP", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
            )
        return
    if section.kind not in CODECS:
        yield Finding(where, "the SFU has audio, video and application", "It is answered with port 0", False)
        return
    if section.protocol not in _WAYS:
        yield Finding(where, "its protocol has no DTLS", "m=… UDP/TLS/RTP/SAVPF, as browsers write it (RFC 5764)")
    if not section.has("rtcp-mux"):
        yield Finding(where, "it has no a=rtcp-mux", "The SFU has one port for RTP and RTCP (RFC 8858)", False)
    if not CODECS[section.kind].intersection(section.codecs):
        yield Finding(
            where,
            "it has no codec that the SFU forwards, so it is answered with port 0",
            f"{section.kind.capitalize()}: {', '.join(sorted(CODECS[section.kind]))}",
            False,
        )
    yield from _of_simulcast(where, section)


def _of_simulcast(where: str, section: Section) -> Iterator[Finding]:
    declared = [value.split() for value in section.attributes.get("rid", ())]
    sent = [words[0] for words in declared if words[1:2] == ["send"]]
    known = frozenset(sent)
    listed = [stream.split(",")[0].lstrip("~") for stream in _sent_streams(section)]
    if not listed:
        if len(sent) > 1:
            yield Finding(
                where,
                "it has rids, and no a=simulcast line",
                "Without it they are no simulcast (RFC 8853)",
                False,
                section.line_of("rid"),
            )
        return
    for rid in dict.fromkeys(listed):
        if rid not in known:
            yield Finding(
                where,
                f"a=simulcast names the rid {shown(rid)}, which no a=rid:… send declares",
                "Declare it",
                line=section.line_of("simulcast"),
            )
    ordered = sorted(listed)
    # Listed from best to worst, or as many browsers' examples do, from worst to best.
    if ordered not in (listed, listed[::-1]):
        names = ", ".join(shown(rid) for rid in ordered[:4])
        yield Finding(
            where,
            "its rids do not sort from best to worst",
            f"Subscribers fall back in the order a to z, here {names}: name the layers f, h, q, or a, b, c",
            False,
            section.line_of("simulcast"),
        )


def _sent_streams(section: Section) -> list[str]:
    for value in section.attributes.get("simulcast", ()):
        match = re.search(r"\bsend\s+(\S+)", value)
        if match:
            return match[1].split(";")
    return []


def _of_the_parser(text: str, before: Sequence[Finding]) -> Iterator[Finding]:
    """What only the parser notices."""
    if any(finding.is_error for finding in before):
        return
    try:
        SessionDescription.parse(text)
    except ParseError as exc:
        line = text.count("\n", 0, exc.offset) + 1
        what = f"{exc.expected} belongs there"
        yield Finding(f"SDP line {line}", what, "Send it as the peer connection wrote it", line=line)
