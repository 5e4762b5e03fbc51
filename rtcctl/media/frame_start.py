"""Which RTP packet is the first one of a frame, by its payload.

Needed where the packet before it did not come: that may have been padding, which is sent between two frames, or the
beginning of this one. Whatever the bytes are, the answer is yes or no.

VP8 and VP9 say it in the payload descriptor. AV1 only says that an OBU goes on (then it is no start). H.264 and H.265
are read as far as the first slice, and a random access picture without its parameter sets is taken for one that lost
them.
"""

from __future__ import annotations

from rtcctl.media.keyframe import Buffer, KeyFrameTest

FrameTest = KeyFrameTest


def starts_frame(codec_name: str) -> FrameTest | None:
    """The test for payloads of that codec; None where we would not know."""
    return _TESTS.get(codec_name.upper())


def _is_vp8_start(buffer: Buffer, at: int, end: int) -> bool:
    """RFC 7741 §4.2: S=1 and PID=0."""
    return at < end and buffer[at] & 0x17 == 0x10


def _is_vp9_start(buffer: Buffer, at: int, end: int) -> bool:
    """RFC 9628 §4.2: the beginning (B=1) of a frame of the lowest spatial layer (SID, if L=1)."""
    if at >= end or not buffer[at] & 0x08:
        return False
    first = buffer[at]
    if not first & 0x20:
        return True
    at += 1
    if first & 0x80:
        if at >= end:
            return False
        at += 2 if buffer[at] & 0x80 else 1
    return at < end and not buffer[at] & 0x0E


_H264_SLICE, _H264_SEI, _H264_SPS, _H264_AUD, _H264_STAP_A, _H264_FU_A = 1, 6, 7, 9, 24, 28


def _is_h264_start(buffer: Buffer, at: int, end: int) -> bool:
    """RFC 6184 §5, H.264 §7.4.1.2.3: what an access unit may begin with; alone, aggregated or fragmented."""
    if end - at < 2:
        return False
    kind = buffer[at] & 0x1F
    if kind == _H264_STAP_A:
        return end - at >= 5 and _is_h264_unit_start(buffer[at + 3] & 0x1F, buffer[at + 4])
    if kind == _H264_FU_A:
        header = buffer[at + 1]
        return end - at >= 3 and header >= 0x80 and _is_h264_unit_start(header & 0x1F, buffer[at + 2])
    return _is_h264_unit_start(kind, buffer[at + 1])


def _is_h264_unit_start(kind: int, first: int) -> bool:
    # A slice begins with its first macroblock as an Exp-Golomb code: a set bit is number 0 (H.264 §7.3.3).
    return kind in (_H264_SEI, _H264_SPS, _H264_AUD) or (kind == _H264_SLICE and first >= 0x80)


_H265_LAST_TRAILING, _H265_VPS, _H265_AUD, _H265_PREFIX_SEI, _H265_AP, _H265_FU = 9, 32, 35, 39, 48, 49


def _is_h265_start(buffer: Buffer, at: int, end: int) -> bool:
    """RFC 7798 §4.4, H.265 §7.4.2.4.4; without DONL fields, as `sprop-max-don-diff` is 0 in WebRTC."""
    if end - at < 3:
        return False
    kind = buffer[at] >> 1 & 0x3F
    if kind == _H265_AP:
        return end - at >= 7 and _is_h265_unit_start(buffer[at + 4] >> 1 & 0x3F, buffer[at + 6])
    if kind == _H265_FU:
        header = buffer[at + 2]
        return end - at >= 4 and header >= 0x80 and _is_h265_unit_start(header & 0x3F, buffer[at + 3])
    return _is_h265_unit_start(kind, buffer[at + 2])


def _is_h265_unit_start(kind: int, first: int) -> bool:
    # A slice segment begins with first_slice_segment_in_pic_flag (H.265 §7.3.6.1).
    if kind in (_H265_VPS, _H265_AUD, _H265_PREFIX_SEI):
        return True
    return kind <= _H265_LAST_TRAILING and first >= 0x80


def _is_av1_start(buffer: Buffer, at: int, end: int) -> bool:
    """AV1 RTP specification §4.4: it continues no OBU (Z=0)."""
    return end - at >= 2 and not buffer[at] & 0x80


_TESTS: dict[str, FrameTest] = {
    "VP8": _is_vp8_start,
    "VP9": _is_vp9_start,
    "H264": _is_h264_start,
    "H265": _is_h265_start,
    "AV1": _is_av1_start,
}


__all__ = ["FrameTest", "starts_frame"]
