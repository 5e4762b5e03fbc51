"""RTP payload formats, receiving side: the payloads of one frame become the frame again.

A joiner is given payloads with consecutive numbers and one timestamp. It returns what they make, or `None` when they
are no whole frame: the first or the last piece of something is missing, or the bytes make no sense.

Whether packets are missing *in front* is not always to be seen. `is_start` says that, by what they contain, nothing is:

    VP8, VP9   the descriptor says so
    H.264      a picture begins with its first macroblock, and one that needs parameter sets has them
    AV1        it begins with what a temporal unit begins with; a hidden frame before it would go unnoticed
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from rtcctl.errors import ParseError
from rtcctl.media import annexb, obu


class Joined(NamedTuple):
    """A frame as decoders take it."""

    data: bytes
    is_key: bool
    is_start: bool
    "Whether nothing of it can be missing in front."


Join = Callable[[list[bytes]], Joined | None]


def joiner(codec_name: str) -> Join:
    """Raises `KeyError` for a codec that is not known."""
    return _JOINERS[codec_name.lower()]


def _join_audio(payloads: list[bytes]) -> Joined | None:
    return Joined(b"".join(payloads), True, True) if any(payloads) else None


# -- VP8, RFC 7741 §4.2 ----------------------------------------------------------------------------------------------


def _join_vp8(payloads: list[bytes]) -> Joined | None:
    pieces = []
    for i, payload in enumerate(payloads):
        at = _vp8_descriptor_size(payload)
        # S=1 and PID=0 start a frame, and nothing else does.
        if at >= len(payload) or (payload[0] & 0x17 == 0x10) != (i == 0):
            return None
        pieces.append(payload[at:])
    data = b"".join(pieces)
    return Joined(data, not data[0] & 0x01, True) if data else None


def _vp8_descriptor_size(payload: bytes) -> int:
    if not payload or not payload[0] & 0x80:
        return 1
    flags = payload[1] if len(payload) > 1 else 0
    size = 2
    if flags & 0x80:
        size += 2 if len(payload) > 2 and payload[2] & 0x80 else 1
    return size + (flags & 0x40 != 0) + (flags & 0x30 != 0)


# -- VP9, RFC 9628 §4.2 ----------------------------------------------------------------------------------------------


def _join_vp9(payloads: list[bytes]) -> Joined | None:
    """One picture, which may have several layer frames, each with its beginning and its end."""
    pieces = []
    is_open = False
    for payload in payloads:
        at = _vp9_descriptor_size(payload)
        if at >= len(payload) or (payload[0] & 0x08 != 0) is is_open:
            return None
        is_open = not payload[0] & 0x04
        pieces.append(payload[at:])
    if is_open or not pieces:
        return None
    first = payloads[0]
    spatial_layer = 0
    if first[0] & 0x20:
        at = 1 if not first[0] & 0x80 else 3 if first[1] & 0x80 else 2
        spatial_layer = first[at] >> 1 & 7
    return Joined(b"".join(pieces), not first[0] & 0x40 and not spatial_layer, not spatial_layer)


def _vp9_descriptor_size(payload: bytes) -> int:
    """Of a descriptor that is cut off: some size that is not less than that of the payload."""
    try:
        flags = payload[0]
        size = 1
        if flags & 0x80:
            size += 2 if payload[1] & 0x80 else 1
        if flags & 0x20:
            size += 1 if flags & 0x10 else 2
        if flags & 0x50 == 0x50:
            # Up to three reference indices, each of which says whether another follows.
            for _ in range(3):
                size += 1
                if not payload[size - 1] & 0x01:
                    break
        return size + _vp9_structure_size(payload, size) if flags & 0x02 else size
    except IndexError:
        return len(payload)


def _vp9_structure_size(payload: bytes, at: int) -> int:
    """The scalability structure: resolutions of the layers, and which pictures refer to which (§4.2.1)."""
    flags = payload[at]
    size = 1
    if flags & 0x10:
        size += 4 * ((flags >> 5) + 1)
    if flags & 0x08:
        pictures = payload[at + size]
        size += 1
        for _ in range(pictures):
            size += 1 + (payload[at + size] >> 2 & 3)
    return size


# -- H.264, RFC 6184 §5.6 – §5.8 -------------------------------------------------------------------------------------

_STAP_A: Final = 24
_FU_A: Final = 28


def _join_h264(payloads: list[bytes]) -> Joined | None:
    units: list[bytes] = []
    fragments: list[bytes] = []
    for payload in payloads:
        if not payload:
            return None
        kind = payload[0] & 0x1F
        if kind == _FU_A:
            if len(payload) < 3 or (payload[1] & 0x80 != 0) != (not fragments):
                return None
            if not fragments:
                fragments.append(bytes((payload[0] & 0xE0 | payload[1] & 0x1F,)))
            fragments.append(payload[2:])
            if payload[1] & 0x40:
                units.append(b"".join(fragments))
                fragments = []
        elif fragments:
            return None
        elif kind == _STAP_A:
            at = 1
            while at < len(payload):
                size = int.from_bytes(payload[at : at + 2])
                unit = payload[at + 2 : at + 2 + size]
                if not size or len(unit) < size:
                    return None
                units.append(unit)
                at += 2 + size
        elif 1 <= kind < _STAP_A:
            units.append(payload)
        else:
            return None
    if fragments or not units:
        return None
    kinds = [unit[0] & 0x1F for unit in units]
    first_slice = next((unit for unit, kind in zip(units, kinds, strict=True) if 1 <= kind <= 5), b"")
    has_parameters = annexb.SPS in kinds
    has_idr = annexb.IDR_SLICE in kinds
    is_start = annexb.starts_picture(first_slice) and (has_parameters or not has_idr)
    data = b"".join(part for unit in units for part in (annexb.START_CODE, unit))
    return Joined(data, has_idr or has_parameters, is_start)


# -- AV1, AV1 RTP specification §4.4 ---------------------------------------------------------------------------------

_DELIMITER: Final = obu.with_size(bytes((obu.TEMPORAL_DELIMITER << 3,)))
_LEADING: Final = (obu.SEQUENCE_HEADER, obu.FRAME_HEADER, obu.FRAME)


def _join_av1(payloads: list[bytes]) -> Joined | None:
    units: list[bytes] = []
    fragments: list[bytes] = []
    try:
        for payload in payloads:
            if not payload or (payload[0] & 0x80 != 0) != bool(fragments):
                return None
            elements = _av1_elements(payload)
            for i, element in enumerate(elements):
                fragments.append(element)
                if i < len(elements) - 1 or not payload[0] & 0x40:
                    units += obu.without_sizes(b"".join(fragments))
                    fragments = []
    except ParseError:
        return None
    units = [unit for unit in units if obu.kind_of(unit) not in (obu.TEMPORAL_DELIMITER, obu.TILE_LIST)]
    if fragments or not units:
        return None
    is_key = payloads[0][0] & 0x08 != 0
    return Joined(_DELIMITER + b"".join(map(obu.with_size, units)), is_key, obu.kind_of(units[0]) in _LEADING)


def _av1_elements(payload: bytes) -> list[bytes]:
    """The OBUs, or parts of them, in a payload. Raises `ParseError`."""
    count = payload[0] >> 4 & 3
    elements: list[bytes] = []
    at = 1
    while at < len(payload):
        if count and len(elements) == count - 1:
            size = len(payload) - at
        else:
            size, at = obu.read_leb128(payload, at)
        if not size or at + size > len(payload):
            raise ParseError(f"an OBU element of {size} bytes", offset=at)
        elements.append(payload[at : at + size])
        at += size
    if not elements or (count and len(elements) != count):
        raise ParseError(f"{count or 'some'} OBU elements", offset=len(payload))
    return elements


_JOINERS: dict[str, Join] = {
    "opus": _join_audio,
    "pcmu": _join_audio,
    "pcma": _join_audio,
    "vp8": _join_vp8,
    "vp9": _join_vp9,
    "h264": _join_h264,
    "av1": _join_av1,
}


__all__ = ["Join", "Joined", "joiner"]
