"""Descriptions of a client, made to order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rtcctl.media.codec import Codec
from rtcctl.media.sdp import SDES_MID_URI, Direction, MediaSection, Setup
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import SessionDescription

OPUS = Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1")
FINGERPRINT = ":".join(["CD"] * 32)


def section(mid: str, direction: Direction = Direction.SENDRECV, **fields: Any) -> MediaSection:
    """An audio m-section as a client offers it."""
    defaults: dict[str, Any] = {
        "kind": "audio",
        "codecs": (OPUS,),
        "extensions": {4: SDES_MID_URI},
        "ice_ufrag": "ufrag",
        "ice_pwd": "password0123456789abcdef",
        "fingerprints": (("sha-256", FINGERPRINT),),
        "setup": Setup.ACTPASS,
        "rtcp_mux": True,
    }
    return MediaSection(mid=mid, direction=direction, **(defaults | fields))


def offer_of(*sections: MediaSection) -> SessionDescription:
    """A client's offer."""
    bundle = tuple(media.mid for media in sections if not media.is_rejected)
    return SessionDescription(type="offer", sdp=str(Sdp(media=sections, bundle=bundle)))


def answer_to(
    offer: Sdp, instead: Mapping[str, MediaSection] | None = None, *, setup: Setup = Setup.ACTIVE
) -> SessionDescription:
    """A client's answer that takes what is offered; `instead`: other m-sections by mid."""
    flipped = {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}
    sections = []
    for media in offer.media:
        own = section(
            media.mid, flipped.get(media.direction, media.direction), codecs=media.codecs, setup=setup, port=media.port
        )
        sections.append((instead or {}).get(media.mid, replace(own, kind=media.kind, extensions=media.extensions)))
    bundle = tuple(media.mid for media in sections if not media.is_rejected)
    return SessionDescription(type="answer", sdp=str(Sdp(media=tuple(sections), bundle=bundle)))
