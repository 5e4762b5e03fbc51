"""What an exchange has agreed about one m-section: the signalling says it, the data path goes by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rtcctl.media.codec import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveParameters:
    """What a client sends on one m-section. All numbers are the client's."""

    mid: str
    kind: str
    "`audio` or `video`."
    codecs: tuple[Codec, ...]
    "In order of preference; `rtx` ones among them name the codec they repair by `apt` (RFC 4588 §8.6)."
    extensions: Mapping[str, int] = field(default_factory=dict)
    "RTP header extensions: URI to id (RFC 8285)."
    ssrcs: tuple[int, ...] = ()
    repaired_by: Mapping[int, int] = field(default_factory=dict)
    "SSRC of a source to that of its retransmissions (RFC 5576 §4.2, `FID`)."
    rids: tuple[str, ...] = ()
    "Simulcast encodings in the order of the offer (RFC 8853); none without simulcast."
