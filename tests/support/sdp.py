"""Descriptions of a client, made to order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rtcctl.media import extensions
from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Direction, MediaSection, Rid, Setup, Simulcast, Source
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import SessionDescription

OPUS = Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1")
FINGERPRINT = ":".join(["CD"] * 32)

VIDEO_FEEDBACK = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
VP8 = Codec("VP8", 96, 90000, feedback=VIDEO_FEEDBACK)
VP8_RTX = Codec("rtx", 97, 90000, parameters="apt=96")
H264 = Codec(
    "H264",
    108,
    90000,
    parameters="level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    feedback=VIDEO_FEEDBACK,
)
VP9 = Codec("VP9", 98, 90000, parameters="profile-id=0", feedback=VIDEO_FEEDBACK)
VIDEO_EXTENSIONS = {
    2: extensions.ABS_SEND_TIME,
    3: extensions.TRANSPORT_CC,
    4: extensions.MID,
    10: extensions.RID,
    11: extensions.REPAIRED_RID,
    13: extensions.VIDEO_ORIENTATION,
}


def section(mid: str, direction: Direction = Direction.SENDRECV, **fields: Any) -> MediaSection:
    """An audio m-section as a client offers it."""
    defaults: dict[str, Any] = {
        "kind": "audio",
        "codecs": (OPUS,),
        "extensions": {4: extensions.MID},
        "ice_ufrag": "ufrag",
        "ice_pwd": "password0123456789abcdef",
        "fingerprints": (("sha-256", FINGERPRINT),),
        "setup": Setup.ACTPASS,
        "rtcp_mux": True,
    }
    return MediaSection(mid=mid, direction=direction, **(defaults | fields))


def video(
    mid: str, direction: Direction = Direction.SENDONLY, *, rids: tuple[str, ...] = (), **fields: Any
) -> MediaSection:
    """A video m-section as a client offers it; `rids` are what it sends in a simulcast."""
    defaults: dict[str, Any] = {"kind": "video", "codecs": (VP8, VP8_RTX), "extensions": VIDEO_EXTENSIONS}
    if rids:
        defaults["rids"] = tuple(Rid(rid, "send") for rid in rids)
        defaults["simulcast"] = Simulcast(send=tuple((rid,) for rid in rids))
    return section(mid, direction, **(defaults | fields))


def data(mid: str, **fields: Any) -> MediaSection:
    """An m-section for data channels as a client offers it."""
    defaults: dict[str, Any] = {
        "kind": "application",
        "protocol": "UDP/DTLS/SCTP",
        "codecs": (),
        "extensions": {},
        "formats": ("webrtc-datachannel",),
        "sctp_port": 5000,
        "max_message_size": 262_144,
        "rtcp_mux": False,
    }
    return section(mid, **(defaults | fields))


def stopped(mid: str, **fields: Any) -> MediaSection:
    """One whose transceiver the client has stopped."""
    return section(mid, Direction.INACTIVE, port=0, **fields)


def offer_of(*sections: MediaSection) -> SessionDescription:
    """A client's offer."""
    bundle = tuple(media.mid for media in sections if not media.is_rejected)
    return SessionDescription(type="offer", sdp=str(Sdp(media=sections, bundle=bundle)))


def answer_to(
    offer: Sdp,
    instead: Mapping[str, MediaSection] | None = None,
    *,
    setup: Setup = Setup.ACTIVE,
    ssrcs: Mapping[str, int] | None = None,
) -> SessionDescription:
    """A client's answer that takes what is offered. By mid: other m-sections `instead`, `ssrcs` of what it sends."""
    flipped = {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}
    sections = []
    for media in offer.media:
        own = section(
            media.mid,
            flipped.get(media.direction, media.direction),
            kind=media.kind,
            codecs=media.codecs,
            extensions=media.extensions,
            setup=setup,
            port=media.port,
            protocol=media.protocol,
            formats=media.formats,
            sctp_port=media.sctp_port,
        )
        if ssrcs and media.mid in ssrcs:
            own = replace(own, ssrcs=(Source(ssrcs[media.mid], "cname"),))
        sections.append((instead or {}).get(media.mid, own))
    bundle = tuple(media.mid for media in sections if not media.is_rejected)
    return SessionDescription(type="answer", sdp=str(Sdp(media=tuple(sections), bundle=bundle)))
