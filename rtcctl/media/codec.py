"""A codec as one m-section negotiates it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type of an m-section (RFC 8866 §6.6, §6.15; RFC 4585 §4.2)."""

    name: str
    "Encoding name as registered: `opus`, `PCMU`, `VP8`; compared without case."
    payload_type: int
    "7 bit, meaningful inside one m-section only."
    clock_rate_hz: int
    channels: int = 1
    parameters: str = ""
    "The `a=fmtp` value, as it stands."
    feedback: tuple[str, ...] = ()
    "`a=rtcp-fb` values: `nack`, `nack pli`, `transport-cc` …"

    def is_same_codec(self, other: Codec) -> bool:
        """Whether both name the same encoding, whatever their payload types and parameters."""
        return (
            self.name.lower() == other.name.lower()
            and self.clock_rate_hz == other.clock_rate_hz
            and self.channels == other.channels
        )
