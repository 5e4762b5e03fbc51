"""H.264 as a source sends it: access units as a byte stream with 4-byte start codes (H.264 annex B), parameter sets in
front of each IDR picture."""

from __future__ import annotations

from collections.abc import Iterator

from rtcctl.errors import ParseError
from rtcctl.media.annexb import DELIMITER, IDR_SLICE, PPS, SEI, SLICE, SPS, START_CODE, nal_units

_B_SLICES = (1, 6)
"slice_type (H.264 table 7-6)."


def sized_units(data: bytes, size_bytes: int) -> Iterator[bytes]:
    """The NAL units of a sample of MP4 or Matroska."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + size_bytes], "big")
        at += size_bytes
        if at + size > len(data):
            raise ParseError(f"a NAL unit of {size} bytes", offset=at)
        if size:
            yield data[at : at + size]
        at += size


def from_configuration(extradata: bytes) -> bytes:
    """The parameter sets of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3), or of a byte stream, as one."""
    if extradata[:1] != b"\x01" or len(extradata) < 7:
        return b"".join(START_CODE + unit for unit in nal_units(extradata) if unit[0] & 0x1F in (SPS, PPS))
    units = []
    at = 5
    for mask in (0x1F, 0xFF):
        if at >= len(extradata):
            break
        count = extradata[at] & mask
        at += 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            units.append(extradata[at + 2 : at + 2 + size])
            at += 2 + size
    return b"".join(START_CODE + unit for unit in units if unit)


def profile_level_id(parameter_sets: bytes) -> str | None:
    """RFC 6184 §8.1: the three bytes behind the header of the first sequence parameter set."""
    for unit in nal_units(parameter_sets):
        if unit[0] & 0x1F == SPS and len(unit) >= 4:
            return unit[1:4].hex()
    return None


def has_b_slices(access_unit: bytes) -> bool:
    """Whether a picture refers to later ones, so that pictures are not shown in the order in which they come."""
    return any(unit[0] & 0x1F == SLICE and _slice_type(unit) in _B_SLICES for unit in nal_units(access_unit))


def without_sei(access_unit: bytes) -> bytes:
    """The other NAL units: what an encoder says of itself (SEI) is not for the wire."""
    return b"".join(START_CODE + unit for unit in nal_units(access_unit) if unit[0] & 0x1F != SEI)


def _slice_type(unit: bytes) -> int:
    """The second Exp-Golomb code of a slice header (§7.3.3, §9.1)."""
    bits = int.from_bytes(unit[1:12].ljust(11, b"\0"), "big")
    at = 88
    value = 0
    for _ in range(2):
        zeros = 0
        while at > 0 and not bits >> at - 1 & 1:
            at -= 1
            zeros += 1
        if at <= zeros:
            return -1
        at -= zeros + 1
        value = (bits >> at & (1 << zeros + 1) - 1) - 1
    return value


class AccessUnits:
    """Makes access units fit to be sent; remembers the parameter sets that came last.

    In a byte stream NAL units are separated by start codes; where the configuration is an
    AVCDecoderConfigurationRecord, each has its size in front (ISO/IEC 14496-15 §5.3.3).
    """

    def __init__(self, configuration: bytes = b"") -> None:
        self.parameter_sets = from_configuration(configuration)
        self._size_bytes = (configuration[4] & 3) + 1 if configuration[:1] == b"\x01" and len(configuration) > 6 else 0

    def fit(self, access_unit: bytes) -> tuple[bytes, bool]:
        """The same NAL units, with parameter sets if it is an IDR picture that has none; and whether it is one."""
        all_units = sized_units(access_unit, self._size_bytes) if self._size_bytes else nal_units(access_unit)
        units = [unit for unit in all_units if unit[0] & 0x1F != DELIMITER]
        kinds = {unit[0] & 0x1F for unit in units}
        is_key = IDR_SLICE in kinds
        if SPS in kinds:
            self.parameter_sets = b"".join(START_CODE + unit for unit in units if unit[0] & 0x1F in (SPS, PPS))
        elif is_key:
            return self.parameter_sets + b"".join(START_CODE + unit for unit in units), True
        return b"".join(START_CODE + unit for unit in units), is_key


__all__ = [
    "AccessUnits",
    "from_configuration",
    "has_b_slices",
    "profile_level_id",
    "sized_units",
    "without_sei",
]
