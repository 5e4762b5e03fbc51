"""A codec as one m-section negotiates it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DISTINGUISHING = {
    "vp9": (("profile-id", "0"),),
    "av1": (("profile", "0"),),
    "h265": (("profile-id", "1"), ("tx-mode", "srst")),
}
"By encoding: `a=fmtp` parameters that make two codecs of one name different, with their defaults (RFC 9628, RFC 7798)."

_PROFILE_LEVEL_ID = re.compile(r"[0-9A-Fa-f]{6}")
_H264_DEFAULT = "42000a"
"RFC 6184 §8.1: without `profile-level-id`, Baseline at level 1."
_H264_PROFILES = (
    ("constrained baseline", 0x42, 0b0100_1111, 0b0100_0000),
    ("constrained baseline", 0x4D, 0b1000_1111, 0b1000_0000),
    ("constrained baseline", 0x58, 0b1100_1111, 0b1100_0000),
    ("baseline", 0x42, 0b0100_1111, 0b0000_0000),
    ("baseline", 0x58, 0b1100_1111, 0b1000_0000),
    ("main", 0x4D, 0b1010_1111, 0b0000_0000),
    ("extended", 0x58, 0b1100_1111, 0b0000_0000),
)
"RFC 6184 §8.1, table 5: profile, profile_idc, which bits of profile-iop count, and their values."


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type of an m-section (RFC 8866 §6.6, §6.15; RFC 4585 §4.2)."""

    name: str
    "Encoding name as registered: `opus`, `PCMU`, `VP8`; compared without case."
    payload_type: int
    "7 bit; means one thing in a whole BUNDLE group (RFC 9143 §10.1.2)."
    clock_rate_hz: int
    channels: int = 1
    parameters: str = ""
    "The `a=fmtp` value, as it stands."
    feedback: tuple[str, ...] = ()
    "`a=rtcp-fb` values: `nack`, `nack pli`, `transport-cc` …"

    @property
    def rtpmap(self) -> str:
        """The `a=rtpmap` value without the payload type: `opus/48000/2`, `VP8/90000` (RFC 8866 §6.6)."""
        return f"{self.name}/{self.clock_rate_hz}" + (f"/{self.channels}" if self.channels != 1 else "")

    @property
    def repairs(self) -> int | None:
        """Of RTX: the payload type that it sends again (RFC 4588 §8.6, `apt`); None for a codec of media."""
        value = self.parameter("apt") if self.name.lower() == "rtx" else ""
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 3 else None

    def parameter(self, name: str, default: str = "") -> str:
        """One `name=value` of the `a=fmtp` line; names are compared without case."""
        for part in self.parameters.split(";"):
            key, _, value = part.partition("=")
            if key.strip().lower() == name:
                return value.strip()
        return default

    def is_same_codec(self, other: Codec) -> bool:
        """Whether a decoder of one takes what an encoder of the other makes, whatever their payload types and levels.

        RTX codecs are told apart by what they repair, which only means something inside one numbering.
        """
        return (
            self.name.lower() == other.name.lower()
            and self.clock_rate_hz == other.clock_rate_hz
            and self.channels == other.channels
            and self._distinction() == other._distinction()
        )

    def _distinction(self) -> object:
        name = self.name.lower()
        if name == "rtx":
            return self.repairs
        if name == "h264":
            return self.parameter("packetization-mode", "0"), _h264_profile(
                self.parameter("profile-level-id", _H264_DEFAULT)
            )
        return tuple(self.parameter(key, default).lower() for key, default in _DISTINGUISHING.get(name, ()))


def _h264_profile(profile_level_id: str) -> object:
    """The profile of a `profile-level-id`; one that is malformed is the same as itself only."""
    if not _PROFILE_LEVEL_ID.fullmatch(profile_level_id):
        return profile_level_id
    profile_idc, profile_iop = int(profile_level_id[:2], 16), int(profile_level_id[2:4], 16)
    for name, idc, mask, bits in _H264_PROFILES:
        if profile_idc == idc and profile_iop & mask == bits:
            return name
    return profile_idc, profile_iop
