"""How large the pictures of a stream are, from the RTP packet that starts a key frame.

Only the first packet is read, and of it only what says the size. Whatever the bytes are, the answer is a size or None:
a payload that is too short or makes no sense has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rtcctl.media.keyframe import Buffer

MAX_HEADER_BYTES = 512
"A header that goes on for longer is none: sequence parameters with all scaling lists stay below it."
MAX_SIZE = 0x10000
"Of a side, in pixels: VP9 and AV1 have 16 bits for one less."


def picture_size(codec_name: str, payload: Buffer) -> tuple[int, int] | None:
    """Width and height in pixels, of an RTP payload that starts a key frame; None: it does not say."""
    read = _READERS.get(codec_name.upper())
    if read is None:
        return None
    try:
        size = read(payload)
    except (_EndOfDataError, IndexError):
        return None
    if size is None or not (0 < size[0] <= MAX_SIZE and 0 < size[1] <= MAX_SIZE):
        return None
    return size


class _EndOfDataError(Exception):
    """The header is longer than the data."""


class _Bits:
    """Reads fields of bits, the most significant first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def read(self, bits: int) -> int:
        self._left -= bits
        if self._left < 0:
            raise _EndOfDataError
        return self._value >> self._left & ((1 << bits) - 1)

    def exp_golomb(self) -> int:
        """ue(v) of H.264 §9.1, uvlc() of AV1 §4.10.3."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32:
                raise _EndOfDataError
        return (1 << zeros) - 1 + self.read(zeros)

    def signed_exp_golomb(self) -> int:
        """se(v) of H.264 §9.1.1."""
        code = self.exp_golomb()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _bits(payload: Buffer, at: int, end: int | None = None) -> _Bits:
    limit = at + MAX_HEADER_BYTES
    return _Bits(bytes(payload[at : limit if end is None else min(end, limit)]))


def _read_vp8(payload: Buffer) -> tuple[int, int] | None:
    """RFC 7741 §4.2 (descriptor), RFC 6386 §9.1 (header of a key frame)."""
    first = payload[0]
    if first & 0x17 != 0x10:
        return None
    at = 1
    if first & 0x80:
        flags = payload[at]
        at += 1
        if flags & 0x80:
            at += 2 if payload[at] & 0x80 else 1
        at += (flags & 0x40 != 0) + (flags & 0x30 != 0)
    if payload[at] & 0x01 or bytes(payload[at + 3 : at + 6]) != b"\x9d\x01\x2a":
        return None
    # 14 bits each; the 2 above are how a player should scale it.
    width = payload[at + 6] | payload[at + 7] << 8
    height = payload[at + 8] | payload[at + 9] << 8
    return width & 0x3FFF, height & 0x3FFF


def _read_vp9(payload: Buffer) -> tuple[int, int] | None:
    """RFC 9628 §4.2: of the highest spatial layer, if the scalability structure (V=1, Y=1) has it; or of the frame."""
    first = payload[0]
    at = 1
    if not first & 0x08:
        return None
    if first & 0x80:
        at += 2 if payload[at] & 0x80 else 1
    if first & 0x20:
        at += 1 if first & 0x10 else 2
    if first & 0x50 == 0x50:
        # Reference indices, up to three of them, each of which says whether another follows.
        for _ in range(3):
            at += 1
            if not payload[at - 1] & 0x01:
                break
    if first & 0x02:
        structure = payload[at]
        at += 1
        if structure & 0x10:
            at += (structure >> 5) * 4
            width, height = payload[at] << 8 | payload[at + 1], payload[at + 2] << 8 | payload[at + 3]
            return width, height
        if structure & 0x08:
            pictures = payload[at]
            at += 1
            for _ in range(pictures):
                at += 1 + (payload[at] >> 2 & 0x03)
    return _read_vp9_header(_bits(payload, at))


_VP9_SYNC_CODE = 0x498342
_VP9_CS_RGB = 7


def _read_vp9_header(bits: _Bits) -> tuple[int, int] | None:
    """VP9 bitstream §6.2: uncompressed_header() of a key frame."""
    if bits.read(2) != 2:
        return None
    profile = bits.read(1) | bits.read(1) << 1
    if profile == 3:
        bits.read(1)
    is_shown_again, is_delta = bits.read(1), bits.read(1)
    bits.read(2)
    if is_shown_again or is_delta or bits.read(24) != _VP9_SYNC_CODE:
        return None
    if profile >= 2:
        bits.read(1)
    if bits.read(3) != _VP9_CS_RGB:
        bits.read(4 if profile & 1 else 1)
    elif profile & 1:
        bits.read(1)
    else:
        return None
    width = bits.read(16) + 1
    return width, bits.read(16) + 1


_H264_SPS, _H264_STAP_A = 7, 24


def _read_h264(payload: Buffer) -> tuple[int, int] | None:
    """RFC 6184 §5.6, §5.7.1: a sequence parameter set, alone or aggregated."""
    kind = payload[0] & 0x1F
    if kind == _H264_SPS:
        return _read_h264_sps(bytes(payload[1 : 1 + MAX_HEADER_BYTES]))
    if kind != _H264_STAP_A:
        return None
    at = 1
    while at + 2 < len(payload):
        end = at + 2 + (payload[at] << 8 | payload[at + 1])
        if end > at + 2 and payload[at + 2] & 0x1F == _H264_SPS:
            return _read_h264_sps(bytes(payload[at + 3 : min(end, at + 3 + MAX_HEADER_BYTES)]))
        at = end
    return None


_H264_PROFILES_WITH_CHROMA = (44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244)


def _read_h264_sps(data: bytes) -> tuple[int, int]:
    """H.264 §7.3.2.1.1, behind the NAL unit header; the emulation prevention of §7.4.1 is removed first."""
    bits = _Bits(data.replace(b"\0\0\3", b"\0\0"))
    profile = bits.read(8)
    bits.read(16)
    bits.exp_golomb()  # seq_parameter_set_id
    chroma_format, is_separate = 1, 0
    if profile in _H264_PROFILES_WITH_CHROMA:
        chroma_format = bits.exp_golomb()
        if chroma_format == 3:
            is_separate = bits.read(1)
        bits.exp_golomb()  # bit_depth_luma_minus8
        bits.exp_golomb()  # bit_depth_chroma_minus8
        bits.read(1)
        if bits.read(1):
            for number in range(12 if chroma_format == 3 else 8):
                if bits.read(1):
                    _skip_h264_scaling_list(bits, 16 if number < 6 else 64)
    bits.exp_golomb()  # log2_max_frame_num_minus4
    order_count_type = bits.exp_golomb()
    if order_count_type == 0:
        bits.exp_golomb()
    elif order_count_type == 1:
        bits.read(1)
        bits.exp_golomb()
        bits.exp_golomb()
        for _ in range(bits.exp_golomb()):
            bits.exp_golomb()
    bits.exp_golomb()  # max_num_ref_frames
    bits.read(1)
    width = (bits.exp_golomb() + 1) * 16
    map_units = bits.exp_golomb() + 1
    is_frame_only = bits.read(1)
    height = map_units * 16 * (2 - is_frame_only)
    if not is_frame_only:
        bits.read(1)
    bits.read(1)
    if bits.read(1):
        # §7.4.2.1.1: in units of chroma samples, and of pairs of lines where there are fields (table 6-1).
        has_chroma = chroma_format in (1, 2) and not is_separate
        unit_x = 2 if has_chroma else 1
        unit_y = (2 if has_chroma and chroma_format == 1 else 1) * (2 - is_frame_only)
        width -= (bits.exp_golomb() + bits.exp_golomb()) * unit_x
        height -= (bits.exp_golomb() + bits.exp_golomb()) * unit_y
    return width, height


def _skip_h264_scaling_list(bits: _Bits, size: int) -> None:
    """H.264 §7.3.2.1.1.1."""
    scale = 8
    for _ in range(size):
        scale = (scale + bits.signed_exp_golomb()) & 0xFF
        if scale == 0:
            return


_AV1_SEQUENCE_HEADER = 1


def _read_av1(payload: Buffer) -> tuple[int, int] | None:
    """AV1 RTP specification §4.4: the sequence header among the OBUs."""
    for at, end in _av1_elements(payload):
        header = payload[at]
        if header >> 3 & 0x0F != _AV1_SEQUENCE_HEADER:
            continue
        at += 2 if header & 0x04 else 1
        if header & 0x02:
            size, at = _leb128(payload, at)
            end = min(end, at + size)
        return _read_av1_sequence_header(_bits(payload, at, end))
    return None


def _av1_elements(payload: Buffer) -> Iterator[tuple[int, int]]:
    """Where the OBU elements begin and end. Each has its length in front, but for the last where W says how many."""
    count = payload[0] >> 4 & 0x03
    if payload[0] & 0x80:
        return
    at, number = 1, 1
    while at < len(payload):
        size = len(payload) - at
        if number != count:
            size, at = _leb128(payload, at)
        if size:
            yield at, min(at + size, len(payload))
        at += size
        number += 1


def _leb128(payload: Buffer, at: int) -> tuple[int, int]:
    """AV1 §4.10.5: the value, and where it ends."""
    value = 0
    for i in range(8):
        byte = payload[at + i]
        value |= (byte & 0x7F) << i * 7
        if byte < 0x80:
            return value, at + i + 1
    raise _EndOfDataError


def _read_av1_sequence_header(bits: _Bits) -> tuple[int, int]:
    """AV1 §5.5.1."""
    bits.read(4)
    if bits.read(1):  # reduced_still_picture_header
        bits.read(5)
    else:
        delay_bits = 0
        if bits.read(1):
            delay_bits = _read_av1_timing(bits)
        has_display_delay = bits.read(1)
        for _ in range(bits.read(5) + 1):
            bits.read(12)
            if bits.read(5) > 7:
                bits.read(1)
            if delay_bits and bits.read(1):
                bits.read(delay_bits * 2 + 1)
            if has_display_delay and bits.read(1):
                bits.read(4)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width = bits.read(width_bits) + 1
    return width, bits.read(height_bits) + 1


def _read_av1_timing(bits: _Bits) -> int:
    """AV1 §5.5.3, §5.5.4. How long the buffer delays of the operating points are; 0: they have none."""
    bits.read(64)
    if bits.read(1):
        bits.exp_golomb()
    if not bits.read(1):
        return 0
    delay_bits = bits.read(5) + 1
    bits.read(32 + 5 + 5)
    return delay_bits


_READERS: dict[str, Callable[[Buffer], tuple[int, int] | None]] = {
    "VP8": _read_vp8,
    "VP9": _read_vp9,
    "H264": _read_h264,
    "AV1": _read_av1,
}


__all__ = ["picture_size"]
