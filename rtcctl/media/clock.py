"""Times on the wire: NTP timestamps and what RTCP cuts out of them (RFC 3550 §4, §6.4.1)."""

from __future__ import annotations

NTP_EPOCH_S = 2_208_988_800
"From 1900, where NTP begins, to 1970, where Unix does."

ROUNDING_Q16 = 66
"A round trip may come out this much below zero (1 ms): both ends round, and clocks are slewed."


def ntp_from_unix(wallclock: float) -> int:
    """64-bit NTP timestamp: seconds since 1900 in the upper half, fractions of 2⁻³² s in the lower."""
    return round((wallclock + NTP_EPOCH_S) * 0x1_0000_0000) & 0xFFFF_FFFF_FFFF_FFFF


def unix_from_ntp(ntp_timestamp: int) -> float:
    """Wallclock of an NTP timestamp; without the top bit it lies in the era from 2036 on (RFC 4330 §3)."""
    era = 0 if ntp_timestamp >> 63 else 1 << 64
    return (ntp_timestamp + era) / 0x1_0000_0000 - NTP_EPOCH_S


def ntp_middle32(ntp_timestamp: int) -> int:
    """The middle 32 bits, in units of 2⁻¹⁶ s: what a report block carries as LSR."""
    return ntp_timestamp >> 16 & 0xFFFF_FFFF


def q16_from_seconds(duration_s: float) -> int:
    """A duration in units of 2⁻¹⁶ s, as in DLSR; what does not fit into 32 bits (18 hours) is cut to them."""
    return min(max(round(duration_s * 0x1_0000), 0), 0xFFFF_FFFF)


def seconds_from_q16(duration_q16: int) -> float:
    """The reverse of `q16_from_seconds`."""
    return duration_q16 / 0x1_0000


def round_trip_s(ntp_timestamp: int, last_sr_ntp32: int, delay_since_last_sr_q16: int) -> float | None:
    """Round trip by a report block that arrived at `ntp_timestamp` (RFC 3550 §6.4.1: A − LSR − DLSR).

    `None` when the reporter had no sender report yet, or when its delay is longer than the whole way.
    """
    if last_sr_ntp32 == 0:
        return None
    elapsed = (ntp_middle32(ntp_timestamp) - last_sr_ntp32 - delay_since_last_sr_q16) & 0xFFFF_FFFF
    if elapsed & 0x8000_0000:
        return 0.0 if elapsed >= 0x1_0000_0000 - ROUNDING_Q16 else None
    return seconds_from_q16(elapsed)
