"""What the SFU accepts and says in SDP. Pure: descriptions in, descriptions or `Refusal` out.

The SFU bundles everything on one ICE-lite transport with RTCP multiplexed. Which codecs it speaks is one table; what an
offer holds beyond it is answered with port 0, which takes the m-section out of the BUNDLE group (RFC 9143 §7.3.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rtcctl.errors import ParseError
from rtcctl.media.codec import Codec
from rtcctl.media.sdp import (
    SDES_MID_URI,
    Candidate,
    Direction,
    MediaSection,
    SessionDescription,
    Setup,
    Source,
)
from rtcctl.web.refusal import Refusal

CODECS: Mapping[str, tuple[Codec, ...]] = {
    "audio": (
        Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1", ("nack",)),
        Codec("PCMU", 0, 8000),
        Codec("PCMA", 8, 8000),
    ),
}
"By kind, what the SFU forwards: payload type and parameters of its own offers, and the feedback it understands."

_DYNAMIC_PAYLOAD_TYPES = (*range(96, 128), *range(35, 64))
"RFC 3551 §3, in the order in which they are handed out; 64–95 would look like RTCP (RFC 5761 §4)."

_MID_EXTENSION_ID = 4
"In the SFU's own offers, when the client has not used another: what Chromium gives it."

_EXTENSION_IDS = range(1, 256)
"What fits into a header (RFC 8285 §4.3); offers may name more, for which there is no room yet."

_MID_LENGTH_MAX = 255
"A mid must fit into a two-byte header extension (RFC 8285 §4.3)."


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTransport:
    """What each m-section of the SFU says of the one transport below all of them."""

    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprint: str
    candidates: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTransport:
    """What the client's description says of it."""

    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprints: tuple[tuple[str, str], ...]
    setup: Setup


def parse(text: str) -> SessionDescription:
    """Parse SDP of a client and check what holds for offers and answers alike."""
    try:
        description = SessionDescription.parse(text)
    except ParseError as exc:
        reason = "missing termination at the end" if not text.endswith("\n") else str(exc)
        raise unacceptable(f"Unable to parse SDP: {reason}") from None
    if not description.media:
        raise unacceptable("SDP contains no media sections")
    mids = [section.mid for section in description.media if not section.is_rejected]
    if any(not 0 < len(mid) <= _MID_LENGTH_MAX for mid in mids) or len(set(mids)) != len(mids):
        raise unacceptable("Each media section needs a mid of its own")
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
    ssrcs = [source.ssrc for section in offer.media if not section.is_rejected for source in section.ssrcs]
    if len(set(ssrcs)) < len(ssrcs):
        raise unacceptable("Two media sections have the same SSRC")
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
    section = next((s for s in open_sections if is_bundled(description, s)), open_sections[0])
    for name, value in (("ice-ufrag", section.ice_ufrag), ("ice-pwd", section.ice_pwd)):
        if not value:
            raise Refusal(400, "decoding_error", f"SDP contains no {name}")
    if not section.fingerprints:
        raise Refusal(400, "decoding_error", "SDP contains no fingerprint")
    setup = section.setup or default_setup
    if setup is Setup.HOLDCONN or (setup is Setup.ACTPASS and default_setup is not Setup.ACTPASS):
        raise unacceptable(f"a=setup:{setup} is not acceptable here")
    return RemoteTransport(
        ice_ufrag=section.ice_ufrag,
        ice_pwd=section.ice_pwd,
        fingerprints=section.fingerprints,
        setup=setup,
    )


def is_bundled(description: SessionDescription, section: MediaSection) -> bool:
    """Whether an m-section of a client shares the one transport; without a BUNDLE group only the first has one."""
    if description.bundle:
        return section.mid in description.bundle
    return section is next((s for s in description.media if not s.is_rejected), None)


def accepted_codecs(section: MediaSection) -> tuple[Codec, ...]:
    """The codecs of a client's m-section that the SFU forwards, as the client numbers and parametrises them."""
    accepted = []
    for codec in section.codecs:
        known = _known(section.kind, codec)
        if known is not None:
            accepted.append(replace(codec, feedback=tuple(f for f in codec.feedback if f in known.feedback)))
    return tuple(accepted)


def offered_codecs(kind: str, codecs: Iterable[Codec], taken: Mapping[int, Codec]) -> tuple[Codec, ...]:
    """`codecs` as the SFU offers them to a client.

    Inside a BUNDLE group a payload type means one thing (RFC 9143 §10.1.2): what the client has numbered keeps its
    number, and `taken`, all the numbers it has used, are not given to others.
    """
    offered: dict[int, Codec] = {}
    for codec in codecs:
        known = _known(kind, codec)
        if known is None or any(known.is_same_codec(other) for other in offered.values()):
            continue
        used = {**taken, **offered}
        same = next((number for number, other in taken.items() if other.is_same_codec(known)), None)
        free = (number for number in (known.payload_type, *_DYNAMIC_PAYLOAD_TYPES) if number not in used)
        payload_type = same if same is not None else next(free, None)
        if payload_type is not None:
            offered[payload_type] = replace(known, payload_type=payload_type)
    return tuple(offered.values())


def mid_extension_id(extensions: Mapping[int, str]) -> int | None:
    """The id that a client has given the mid extension, if it can be used."""
    return next((i for i, uri in extensions.items() if uri == SDES_MID_URI and i in _EXTENSION_IDS), None)


def offered_mid_extension_id(known: Mapping[int, str]) -> int | None:
    """The id for the mid extension in an offer of the SFU, given all the ids that the client has used.

    `None` when the client has used them all.
    """
    free = (i for i in (_MID_EXTENSION_ID, *_EXTENSION_IDS) if i not in known)
    return mid_extension_id(known) or next(free, None)


def next_mid(used: Iterable[str]) -> str:
    """A decimal counter above the mids that either side has used; those that are no counters only must not be hit."""
    taken = set(used)
    number = 1 + max((int(mid) for mid in taken if mid.isascii() and mid.isdigit() and len(mid) < 10), default=-1)
    while str(number) in taken:
        number += 1
    return str(number)


def rejected(section: MediaSection, transport: LocalTransport, setup: Setup) -> MediaSection:
    """The m-section with port 0 (RFC 8829 §5.3.1). It needs no transport, but aiortc refuses one that names none."""
    return MediaSection(
        kind=section.kind,
        mid=section.mid,
        port=0,
        protocol=section.protocol,
        codecs=section.codecs[:1],
        formats=section.formats,
        direction=Direction.INACTIVE,
        ice_ufrag=transport.ice_ufrag,
        ice_pwd=transport.ice_pwd,
        fingerprints=(("sha-256", transport.fingerprint),),
        setup=setup,
        rtcp_mux=True,
    )


def accepted(
    *,
    kind: str,
    mid: str,
    direction: Direction,
    protocol: str,
    codecs: tuple[Codec, ...],
    extension_id: int | None,
    transport: LocalTransport,
    setup: Setup,
    msid: str = "",
    ssrc: int | None = None,
    cname: str = "",
) -> MediaSection:
    """An m-section of the SFU that carries media, or could. `ssrc` and `cname`: of what it sends there.

    An answer repeats the `protocol` of the offer, whichever of the known spellings that is (RFC 8829 §5.1.2).
    """
    return MediaSection(
        kind=kind,
        mid=mid,
        protocol=protocol,
        codecs=codecs,
        direction=direction,
        ice_ufrag=transport.ice_ufrag,
        ice_pwd=transport.ice_pwd,
        fingerprints=(("sha-256", transport.fingerprint),),
        setup=setup,
        candidates=tuple(
            Candidate.host(address, port, index=index) for index, (address, port) in enumerate(transport.candidates)
        ),
        has_end_of_candidates=True,
        extensions={} if extension_id is None else {extension_id: SDES_MID_URI},
        msid=msid,
        ssrcs=() if ssrc is None else (Source(ssrc, cname, msid),),
        rtcp_mux=True,
        rtcp_rsize=True,
    )


def describe(sections: Sequence[MediaSection], *, session_id: int, version: int) -> SessionDescription:
    """All m-sections of the SFU as one description."""
    return SessionDescription(
        media=tuple(sections),
        bundle=tuple(section.mid for section in sections if not section.is_rejected),
        is_ice_lite=True,
        session_id=session_id,
        version=version,
    )


def unacceptable(description: str, *, subcode: str | None = None) -> Refusal:
    """406: the SDP, or the moment for it, is wrong."""
    return Refusal(406, "invalid_session_description", description, subcode=subcode)


def _known(kind: str, codec: Codec) -> Codec | None:
    return next((known for known in CODECS.get(kind, ()) if known.is_same_codec(codec)), None)
