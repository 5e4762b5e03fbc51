"""The client's half of offer and answer (RFC 8829), pure: what we offer, and what an answer or offer made of it.

M-sections keep their place for the life of a session; mids, payload types and header extension ids keep their meaning
(RFC 8829 §5.2.2, RFC 9143 §10.1.2). What one side offers, the other has answered in kind, so each `Section` remembers
what was agreed, and offers that again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from rtcctl.errors import ParseError
from rtcctl.media import extensions as ext
from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Candidate, Direction, MediaSection, Rid, SessionDescription, Setup, Simulcast, Source
from rtcctl.probe.transport import RemoteTransport

AUDIO = (
    Codec("opus", 111, 48_000, 2, "minptime=10;useinbandfec=1"),
    Codec("PCMU", 0, 8_000),
    Codec("PCMA", 8, 8_000),
)
_VIDEO_FEEDBACK = ("nack", "nack pli", "ccm fir", "transport-cc")
VIDEO = (
    Codec("VP8", 96, 90_000, 1, "", _VIDEO_FEEDBACK),
    *(
        Codec(
            "H264",
            payload_type,
            90_000,
            1,
            f"level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile_level_id}",
            _VIDEO_FEEDBACK,
        )
        for payload_type, mode, profile_level_id in (
            (102, 1, "42e01f"),
            (104, 1, "42001f"),
            (106, 1, "4d001f"),
            (112, 1, "64001f"),
            (116, 1, "640c1f"),
            (108, 0, "42e01f"),
            (114, 0, "42001f"),
        )
    ),
    Codec("VP9", 98, 90_000, 1, "profile-id=0", _VIDEO_FEEDBACK),
    Codec("AV1", 45, 90_000, 1, "", _VIDEO_FEEDBACK),
    Codec("H265", 49, 90_000, 1, "", _VIDEO_FEEDBACK),
)
"""What we can receive: everything is counted, whether it can be decoded or not. Each has RTX one payload type higher.

H.264 in each profile that browsers send (Chromium prefers Baseline): of another one nothing would be sent to us."""

_RECEIVED = {"audio": (ext.MID, ext.TRANSPORT_CC), "video": (ext.MID, ext.TRANSPORT_CC, ext.ABS_SEND_TIME)}
"Header extensions that we ask for where we receive."
_SENT = {"audio": (ext.MID,), "video": (ext.MID, ext.RID, ext.REPAIRED_RID)}
"Header extensions that we write. None for congestion control: a probe sends at the rate it was told."

APPLICATION = "application"
_KINDS = ("audio", "video", APPLICATION)
_NOT_TAKEN = ("red", "ulpfec", "flexfec-03")
"Media inside other packets, and repair that is not RTX: nothing of it would be counted."
_DATA_PROTOCOL = "UDP/DTLS/SCTP"
_DATA_FORMAT = "webrtc-datachannel"
SCTP_PORT = 5000
MAX_MESSAGE_BYTES = 262_144
"What we take in one message of a data channel (as browsers do)."
_DEFAULT_MAX_MESSAGE_BYTES = 65_536
"What the other end takes when it does not say (RFC 8841 §6.1)."


@dataclass(slots=True)
class Section:
    """One m-section of the session, as it stands for us."""

    mid: str
    kind: str
    direction: Direction
    "What we want of it."
    codecs: tuple[Codec, ...] = ()
    "Agreed on; before that, what we offer."
    extensions: dict[int, str] = field(default_factory=dict)
    "Likewise: id to URI."
    ssrcs: tuple[int, ...] = ()
    "Ours, of the media; each one's RTX is in `rtx_ssrcs`."
    rtx_ssrcs: tuple[int, ...] = ()
    rids: tuple[str, ...] = ()
    "Of our encodings, best first; empty without simulcast."
    remote_ssrcs: tuple[int, ...] = ()
    "Of the other end's media (not of its RTX)."
    remote_rtx_ssrcs: tuple[int, ...] = ()
    is_remote_sending: bool = False
    is_remote_receiving: bool = False
    is_rejected: bool = False
    is_agreed: bool = False

    def payload_type(self, codec: Codec) -> int | None:
        """Under which the agreed codecs carry this one."""
        return next((known.payload_type for known in self.codecs if known.is_same_codec(codec)), None)

    def rtx_payload_type(self, payload_type: int) -> int | None:
        """Of the retransmissions of this one (RFC 4588)."""
        return next((codec.payload_type for codec in self.codecs if codec.repairs == payload_type), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTransport:
    """What our descriptions say of our transport."""

    ufrag: str
    pwd: str = field(repr=False)
    fingerprint: str
    candidates: tuple[Candidate, ...]


def offered_codecs(codecs: Sequence[Codec], sections: Iterable[Section]) -> tuple[Codec, ...]:
    """These with RTX for video, under payload types that mean nothing else in the session."""
    taken: dict[int, Codec] = {codec.payload_type: codec for section in sections for codec in section.codecs}
    offered: list[Codec] = []

    def place(codec: Codec) -> Codec:
        same = next((number for number, known in taken.items() if known.is_same_codec(codec)), None)
        number = codec.payload_type if same is None else same
        if same is None and number in taken:
            free = (number for number in (*range(96, 128), *range(35, 64)) if number not in taken)
            number = next(free, -1)
            if number < 0:
                raise ParseError("a payload type that is free: the session has used all")
        placed = replace(codec, payload_type=number)
        taken.setdefault(number, placed)
        offered.append(placed)
        return placed

    for codec in codecs:
        placed = place(codec)
        if "nack" in codec.feedback:
            place(Codec("rtx", codec.payload_type + 1, codec.clock_rate_hz, 1, f"apt={placed.payload_type}"))
    return tuple(offered)


def offered_extensions(uris: Iterable[str], sections: Iterable[Section]) -> dict[int, str]:
    """Ids for these, the same as elsewhere in the session."""
    known = {identifier: uri for section in sections for identifier, uri in section.extensions.items()}
    chosen: dict[int, str] = {}
    for uri in uris:
        same = next((identifier for identifier, other in known.items() if other == uri), None)
        identifier = same or next((free for free in range(1, 15) if free not in known), 0)
        if not identifier:
            continue  # all ids are taken, and the media goes without
        known[identifier] = chosen[identifier] = uri
    return chosen


def receiving(kind: str, mid: str, sections: Sequence[Section]) -> Section:
    """A new m-section in which we receive."""
    codecs = offered_codecs(AUDIO if kind == "audio" else VIDEO, sections)
    extensions = offered_extensions(_RECEIVED[kind], sections)
    return Section(mid, kind, Direction.RECVONLY, codecs, extensions)


def sending(
    codec: Codec, mid: str, sections: Sequence[Section], *, kind: str, ssrcs: tuple[int, ...], rids: tuple[str, ...]
) -> Section:
    """A new m-section in which we send in this codec; video has an RTX SSRC after each of `ssrcs`."""
    if kind == "video":
        codec = replace(codec, feedback=_VIDEO_FEEDBACK[:3])
    codecs = offered_codecs((codec,), sections)
    uris = [uri for uri in _SENT[kind] if rids or uri == ext.MID]
    rtx_ssrcs = tuple(ssrc + 1 & 0xFFFFFFFF for ssrc in ssrcs) if kind == "video" else ()
    extensions = offered_extensions(uris, sections)
    return Section(mid, kind, Direction.SENDONLY, codecs, extensions, ssrcs, rtx_ssrcs, rids)


def description(
    sections: Sequence[Section], transport: LocalTransport, *, setup: Setup, session_id: int, version: int, cname: str
) -> str:
    """Our offer (`setup` actpass) or answer as SDP."""
    media = tuple(_written(section, transport, setup, cname) for section in sections)
    bundle = tuple(section.mid for section in sections if not section.is_rejected)
    return str(SessionDescription(media=media, bundle=bundle, session_id=session_id, version=version))


def _written(section: Section, transport: LocalTransport, setup: Setup, cname: str) -> MediaSection:
    common = {
        "mid": section.mid,
        "kind": section.kind,
        "port": 0 if section.is_rejected else 9,
        "ice_ufrag": transport.ufrag,
        "ice_pwd": transport.pwd,
        "fingerprints": (("sha-256", transport.fingerprint),),
        "setup": setup,
        "candidates": () if section.is_rejected else transport.candidates,
        "has_end_of_candidates": not section.is_rejected,
    }
    if section.kind == APPLICATION:
        return MediaSection(
            protocol=_DATA_PROTOCOL,
            formats=(_DATA_FORMAT,),
            sctp_port=SCTP_PORT,
            max_message_size=MAX_MESSAGE_BYTES,
            **common,  # type: ignore[arg-type]
        )
    direction = section.direction
    if section.is_agreed and setup is not Setup.ACTPASS:
        direction = Direction.of(
            sends=direction.sends and section.is_remote_receiving,
            receives=direction.receives and section.is_remote_sending,
        )
    sends = direction.sends and not section.is_rejected
    msid = f"{cname} {section.mid}" if sends else ""
    # Simulcast is told apart by rid alone, as browsers have it; otherwise SSRCs are named.
    names_ssrcs = sends and not section.rids
    ssrcs = (*section.ssrcs, *section.rtx_ssrcs) if names_ssrcs else ()
    return MediaSection(
        codecs=section.codecs,
        extensions=section.extensions,
        direction=Direction.INACTIVE if section.is_rejected else direction,
        rtcp_mux=True,
        rtcp_rsize=True,
        msid=msid,
        ssrcs=tuple(Source(ssrc, cname, msid) for ssrc in ssrcs),
        ssrc_groups=tuple(("FID", pair) for pair in zip(section.ssrcs, section.rtx_ssrcs, strict=False))
        if ssrcs
        else (),
        rids=tuple(Rid(rid, "send") for rid in section.rids) if sends else (),
        simulcast=Simulcast(send=tuple((rid,) for rid in section.rids)) if sends and section.rids else None,
        **common,  # type: ignore[arg-type]
    )


def parse(sdp: str) -> tuple[SessionDescription, RemoteTransport]:
    """A description of the other end's. Raises `ParseError` when it cannot be one of a WebRTC session."""
    remote = SessionDescription.parse(sdp)
    media = next((media for media in remote.media if not media.is_rejected), None)
    if media is None:
        raise ParseError("an m-section that is not rejected")
    if not media.ice_ufrag or not media.ice_pwd:
        raise ParseError("ICE credentials (a=ice-ufrag, a=ice-pwd)")
    if not media.fingerprints:
        raise ParseError("a=fingerprint")
    candidates = tuple(dict.fromkeys(c for media in remote.media for c in media.candidates))
    transport = RemoteTransport(media.ice_ufrag, media.ice_pwd, media.fingerprints, candidates, remote.is_ice_lite)
    return remote, transport


def agree_on_answer(sections: Sequence[Section], answer: SessionDescription) -> None:
    """Take the answer to an offer of all `sections`. Raises `ParseError` when it does not fit the offer."""
    if len(answer.media) != len(sections):
        raise ParseError(f"{len(sections)} m-sections, as in the offer, and not {len(answer.media)}")
    for section, media in zip(sections, answer.media, strict=True):
        if media.mid != section.mid or media.kind != section.kind:
            raise ParseError(f"m-section {section.mid} of {section.kind}, and not {media.mid} of {media.kind}")
        _agree(section, media)
        if section.rids and section.direction.sends:
            accepted = _accepted_rids(media)
            section.rids = tuple(rid for rid in section.rids if rid in accepted) if accepted else section.rids[:1]


def agree_on_offer(sections: list[Section], offer: SessionDescription) -> list[Section]:
    """Take an offer: known m-sections change, new ones are added to `sections` and returned.

    Raises `ParseError` when an m-section has gone or has become another.
    """
    if len(offer.media) < len(sections):
        raise ParseError(f"at least {len(sections)} m-sections, as before, and not {len(offer.media)}")
    added = []
    for index, media in enumerate(offer.media):
        if not media.mid:
            raise ParseError("a=mid in every m-section")
        if index < len(sections) and not _is_recycled(sections[index], media):
            section = sections[index]
            if media.kind != section.kind:
                raise ParseError(f"m-section {section.mid} of {section.kind}, and not of {media.kind}")
            section.mid = media.mid
        else:
            section = Section(media.mid, media.kind, Direction.RECVONLY)
            sections[index : index + 1] = [section]
            added.append(section)
        _agree(section, media)
        section.is_rejected |= media.kind not in _KINDS
        taken = {codec.payload_type for codec in section.codecs if codec.name.lower() not in _NOT_TAKEN}
        # And what repairs what is not taken.
        section.codecs = tuple(
            codec for codec in section.codecs if {codec.payload_type, codec.repairs or codec.payload_type} <= taken
        )
    return added


def _is_recycled(section: Section, media: MediaSection) -> bool:
    """Whether an m-section that was rejected has come back as another (RFC 8829 §5.2.2)."""
    return section.is_rejected and (section.mid, section.kind) != (media.mid, media.kind)


def max_message_bytes(description: SessionDescription) -> int:
    """Largest message of a data channel that the other end takes; 0 means any."""
    media = next((media for media in description.media if media.kind == APPLICATION), None)
    if media is None or media.max_message_size is None:
        return _DEFAULT_MAX_MESSAGE_BYTES
    return media.max_message_size


def _agree(section: Section, media: MediaSection) -> None:
    section.is_agreed = True
    section.is_rejected = media.is_rejected
    section.is_remote_sending = media.direction.sends and not media.is_rejected
    section.is_remote_receiving = media.direction.receives and not media.is_rejected
    if media.is_rejected or not media.is_rtp:
        return
    section.codecs = media.codecs
    section.extensions = dict(media.extensions)
    repairing = {ssrcs[1] for semantics, ssrcs in media.ssrc_groups if semantics == "FID" and len(ssrcs) == 2}
    section.remote_ssrcs = tuple(source.ssrc for source in media.ssrcs if source.ssrc not in repairing)
    section.remote_rtx_ssrcs = tuple(sorted(repairing))


def _accepted_rids(media: MediaSection) -> set[str]:
    if media.simulcast is None:
        return set()
    return {rid for alternatives in media.simulcast.recv for rid in alternatives}


__all__ = [
    "APPLICATION",
    "AUDIO",
    "VIDEO",
    "LocalTransport",
    "Section",
    "agree_on_answer",
    "agree_on_offer",
    "description",
    "max_message_bytes",
    "offered_codecs",
    "offered_extensions",
    "parse",
    "receiving",
    "sending",
]
