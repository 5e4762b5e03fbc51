"""What the SFU accepts and says in SDP. Pure: descriptions in, descriptions or `Refusal` out.

The SFU bundles everything on one transport with RTCP multiplexed; it is ICE-lite, except towards a peer that is so
itself. What an offer holds beyond `codecs.py` and one SCTP association is answered with port 0, which takes the
m-section out of the BUNDLE group (RFC 9143 §7.3.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from rtcctl.errors import ParseError
from rtcctl.media.codec import Codec
from rtcctl.media.sdp import (
    Candidate,
    Direction,
    MediaSection,
    Rid,
    SessionDescription,
    Setup,
    Simulcast,
    Source,
)
from rtcctl.server.datachannels import MAX_MESSAGE_SIZE
from rtcctl.server.parameters import ReceiveParameters
from rtcctl.web.refusal import Refusal

DATA = "application"
"The kind of an m-section that carries data channels (RFC 8841 §4)."

_DATA_FORMAT = "webrtc-datachannel"
_DATA_PROTOCOL = "UDP/DTLS/SCTP"
_SCTP_PORT = 5000
"Ours, and what a description that names none means."
_MESSAGE_SIZE_DEFAULT_BYTES = 65_536
"RFC 8841 §6.1, when a description does not say."

_SECTIONS_MAX = 2048
"Beyond what any session may have: parsing as many as a body can hold would keep all other sessions waiting."
_MID_LENGTH_MAX = 255
"A mid must fit into a two-byte header extension (RFC 8285 §4.3)."
_SSRCS_MAX = 32
"Of an m-section: layers with their repair streams. What goes beyond is told by the mid in its packets."
_RIDS_MAX = 16
"Of an m-section."
_CANDIDATES_MAX = 32
"Of a peer that is ICE-lite: its addresses."


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTransport:
    """What each m-section of the SFU says of the one transport below all of them."""

    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprint: str
    candidates: tuple[tuple[str, int], ...]

    def carries(self, section: MediaSection, setup: Setup) -> MediaSection:
        """`section` with where it is carried; a rejected one needs no candidates."""
        candidates = () if section.is_rejected else self.candidates
        return replace(
            section,
            ice_ufrag=self.ice_ufrag,
            ice_pwd=self.ice_pwd,
            fingerprints=(("sha-256", self.fingerprint),),
            setup=setup,
            candidates=tuple(
                Candidate.host(address, port, index=index) for index, (address, port) in enumerate(candidates)
            ),
            has_end_of_candidates=not section.is_rejected,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTransport:
    """What the client's description says of it."""

    mid: str
    "Of the m-section that says it for all (RFC 9143 §7.2)."
    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprints: tuple[tuple[str, str], ...]
    setup: Setup
    candidates: tuple[Candidate, ...]
    is_ice_lite: bool

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where an ICE-lite peer can be reached by UDP, the best first. Names (RFC 8839 §5.1) are not resolved."""
        usable = []
        for candidate in self.candidates:
            if candidate.transport.lower() == "udp" and candidate.component == 1 and candidate.port:
                try:
                    ip_address(candidate.address)
                except ValueError:
                    continue
                usable.append(candidate)
        usable.sort(key=lambda candidate: -candidate.priority)
        return tuple(dict.fromkeys((candidate.address, candidate.port) for candidate in usable))[:_CANDIDATES_MAX]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentSource:
    """What the SFU says of what it sends on an m-section (RFC 5576, RFC 8830)."""

    ssrc: int
    rtx_ssrc: int | None
    cname: str
    stream: str
    "Id of the media stream; browsers keep the tracks of one stream in sync."

    @property
    def ssrcs(self) -> tuple[int, ...]:
        return (self.ssrc,) if self.rtx_ssrc is None else (self.ssrc, self.rtx_ssrc)


# --- what clients say


def parse(text: str) -> SessionDescription:
    """Parse SDP of a client and check what holds for offers and answers alike."""
    if text.count("\nm=") > _SECTIONS_MAX:
        raise unacceptable("SDP contains too many media sections")
    try:
        description = SessionDescription.parse(text)
    except ParseError as exc:
        reason = "missing termination at the end" if not text.endswith("\n") else str(exc)
        raise unacceptable(f"Unable to parse SDP: {reason}") from None
    if not description.media:
        raise unacceptable("SDP contains no media sections")
    sections = [section for section in description.media if not section.is_rejected]
    mids = [section.mid for section in sections]
    if any(not 0 < len(mid) <= _MID_LENGTH_MAX for mid in mids) or len(set(mids)) != len(mids):
        raise unacceptable("Each media section needs a mid of its own")
    ssrcs = [source.ssrc for section in sections for source in section.ssrcs]
    if len(set(ssrcs)) < len(ssrcs):
        raise unacceptable("Two media sections have the same SSRC")
    return description


def parse_offer(text: str, earlier: Sequence[MediaSection]) -> SessionDescription:
    """An offer that goes on where `earlier`, the m-sections agreed so far, ends (RFC 8829 §5.2.2)."""
    offer = parse(text)
    if len(offer.media) < len(earlier):
        raise unacceptable("The offer has fewer media sections than the session")
    for index, (known, section) in enumerate(zip(earlier, offer.media, strict=False)):
        if section.mid != known.mid and not (known.is_rejected or section.is_rejected):
            raise unacceptable(f"The order of media sections has changed: {known.mid!r} was at index {index}")
        if section.kind != known.kind and not known.is_rejected:
            raise unacceptable(f"The media section with mid {known.mid!r} has changed its kind")
    remote_transport(offer, Setup.ACTPASS)
    return offer


def parse_answer(text: str, offered: Sequence[MediaSection]) -> SessionDescription:
    """An answer to the m-sections that the SFU offered."""
    answer = parse(text)
    if len(answer.media) != len(offered):
        raise unacceptable("The answer does not have the media sections of the offer")
    for known, section in zip(offered, answer.media, strict=True):
        if section.kind != known.kind or (not section.is_rejected and section.mid != known.mid):
            raise unacceptable(f"The answer has another media section where mid {known.mid!r} was offered")
        if known.is_rejected and not section.is_rejected:
            raise unacceptable(f"The media section with mid {known.mid!r} was offered as rejected")
    remote_transport(answer, Setup.ACTIVE)
    return answer


def remote_transport(description: SessionDescription, default_setup: Setup) -> RemoteTransport | None:
    """The transport of the BUNDLE group, said by its first m-section; `None` when every m-section is rejected."""
    open_sections = [section for section in description.media if not section.is_rejected]
    if not open_sections:
        return None
    by_mid = {section.mid: section for section in open_sections}
    section = next((by_mid[mid] for mid in description.bundle if mid in by_mid), open_sections[0])
    for name, value in (("ice-ufrag", section.ice_ufrag), ("ice-pwd", section.ice_pwd)):
        if not value:
            raise Refusal(400, "decoding_error", f"SDP contains no {name}")
    if not section.fingerprints:
        raise Refusal(400, "decoding_error", "SDP contains no fingerprint")
    setup = section.setup or default_setup
    if setup is Setup.HOLDCONN or (setup is Setup.ACTPASS and default_setup is not Setup.ACTPASS):
        raise unacceptable(f"a=setup:{setup} is not acceptable here")
    return RemoteTransport(
        mid=section.mid,
        ice_ufrag=section.ice_ufrag,
        ice_pwd=section.ice_pwd,
        fingerprints=section.fingerprints,
        setup=setup,
        candidates=section.candidates,
        is_ice_lite=description.is_ice_lite,
    )


def is_carried(description: SessionDescription, section: MediaSection) -> bool:
    """Whether an m-section of a client is open and shares the one transport.

    Without a BUNDLE group only the first has a transport.
    """
    if section.is_rejected:
        return False
    if description.bundle:
        return section.mid in description.bundle
    return section is next(s for s in description.media if not s.is_rejected)


def is_data(section: MediaSection) -> bool:
    """Whether an m-section carries data channels (RFC 8841)."""
    return section.kind == DATA and "DTLS/SCTP" in section.protocol and section.formats == (_DATA_FORMAT,)


def data_limits(section: MediaSection) -> tuple[int, int]:
    """The SCTP port of the author of an m-section, and the longest message it takes, in bytes; 0 is any."""
    size = section.max_message_size
    return section.sctp_port or _SCTP_PORT, _MESSAGE_SIZE_DEFAULT_BYTES if size is None else size


def receive_parameters(
    section: MediaSection, codecs: tuple[Codec, ...], extensions: Mapping[str, int]
) -> ReceiveParameters:
    """What a client sends on an m-section of which `codecs` and `extensions` are agreed."""
    declared = [source.ssrc for source in section.ssrcs]
    pairs = [
        (semantics, ssrcs)
        for semantics, ssrcs in section.ssrc_groups
        if semantics in ("FID", "FEC-FR") and len(ssrcs) == 2 and set(ssrcs) <= set(declared)
    ]
    repairing = {repair for _, (_, repair) in pairs}
    ssrcs = tuple(ssrc for ssrc in declared if ssrc not in repairing)[: _SSRCS_MAX // 2]
    return ReceiveParameters(
        mid=section.mid,
        kind=section.kind,
        codecs=codecs,
        extensions=extensions,
        ssrcs=ssrcs,
        repaired_by={ssrc: repair for semantics, (ssrc, repair) in pairs if semantics == "FID" and ssrc in ssrcs},
        rids=simulcast_rids(section),
    )


def simulcast_rids(section: MediaSection) -> tuple[str, ...]:
    """The encodings that a client sends (RFC 8853 §5.2); of alternatives the first."""
    if section.simulcast is None:
        return ()
    sent = {rid.rid for rid in section.rids if rid.direction == "send"}
    first = (alternatives[0].removeprefix("~") for alternatives in section.simulcast.send)
    return tuple(dict.fromkeys(rid for rid in first if rid in sent))[:_RIDS_MAX]


# --- what the SFU says


def next_mid(used: Iterable[str]) -> str:
    """A decimal counter above the mids that either side has used; those that are no counters only must not be hit."""
    taken = set(used)
    number = 1 + max((int(mid) for mid in taken if mid.isascii() and mid.isdigit() and len(mid) < 10), default=-1)
    while str(number) in taken:
        number += 1
    return str(number)


def rejected(section: MediaSection, transport: LocalTransport, setup: Setup) -> MediaSection:
    """The m-section with port 0 (RFC 8829 §5.3.1). It needs no transport, but aiortc refuses one that names none."""
    refusal = MediaSection(
        kind=section.kind,
        mid=section.mid,
        port=0,
        protocol=section.protocol,
        codecs=section.codecs[:1],
        formats=section.formats,
        direction=Direction.INACTIVE,
        rtcp_mux=section.is_rtp,
    )
    return transport.carries(refusal, setup)


def media_section(
    *,
    kind: str,
    mid: str,
    direction: Direction,
    protocol: str,
    codecs: tuple[Codec, ...],
    extensions: Mapping[str, int],
    rids: tuple[str, ...] = (),
    source: SentSource | None = None,
) -> MediaSection:
    """An m-section of the SFU that carries media, or could. `rids`: of what it receives there.

    An answer repeats the `protocol` of the offer, whichever of the known spellings that is (RFC 8829 §5.1.2).
    """
    msid = f"{source.stream} {source.ssrc:08x}" if source else ""
    return MediaSection(
        kind=kind,
        mid=mid,
        protocol=protocol,
        codecs=codecs,
        direction=direction,
        extensions={identifier: uri for uri, identifier in extensions.items()},
        rids=tuple(Rid(rid, "recv") for rid in rids),
        simulcast=Simulcast(recv=tuple((rid,) for rid in rids)) if rids else None,
        msid=msid,
        # aiortc finds the receiver of an added m-section by `a=ssrc` alone.
        ssrcs=tuple(Source(ssrc, source.cname, msid) for ssrc in source.ssrcs) if source else (),
        ssrc_groups=(("FID", source.ssrcs),) if source and source.rtx_ssrc is not None else (),
        rtcp_mux=True,
        rtcp_rsize=True,
    )


def data_section(mid: str, protocol: str = _DATA_PROTOCOL) -> MediaSection:
    """The m-section of the SFU for data channels (RFC 8841)."""
    return MediaSection(
        kind=DATA,
        mid=mid,
        protocol=protocol,
        formats=(_DATA_FORMAT,),
        sctp_port=_SCTP_PORT,
        max_message_size=MAX_MESSAGE_SIZE,
    )


def unacceptable(description: str, *, subcode: str | None = None) -> Refusal:
    """406: the SDP, or the moment for it, is wrong."""
    return Refusal(406, "invalid_session_description", description, subcode=subcode)
