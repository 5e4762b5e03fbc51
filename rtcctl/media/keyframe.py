"""Which RTP packet starts a key frame: where a subscriber can begin, or change to another layer.

Only the headers in front of the coded picture are read, in place. Whatever the bytes are, the answer is yes or no: a
payload that is too short or makes no sense starts nothing.

A frame may have several starts in this sense (H.264 parameter sets in one packet, the IDR slice in the next). All are
true, since with any of them a decoder may have all that it needs; the first one that comes is the place to begin.
"""

from __future__ import annotations

from collections.abc import Callable

Buffer = bytes | bytearray | memoryview
KeyFrameTest = Callable[[Buffer, int, int], bool]
"""Of an RTP payload `buffer[at:end]`."""


def starts_key_frame(codec_name: str) -> KeyFrameTest | None:
    """The test for payloads of that codec; None where there are no key frames, or where we would not know one."""
    return _TESTS.get(codec_name.upper())


def _is_vp8_start(buffer: Buffer, at: int, end: int) -> bool:
    """RFC 7741 §4.2, §4.3: the start of partition 0 (S=1, PID=0), whose first byte says P=0."""
    if at >= end or buffer[at] & 0x17 != 0x10:
        return False
    first = buffer[at]
    at += 1
    if first & 0x80:
        if at >= end:
            return False
        flags = buffer[at]
        at += 1
        if flags & 0x80:
            if at >= end:
                return False
            at += 2 if buffer[at] & 0x80 else 1
        at += (flags & 0x40 != 0) + (flags & 0x30 != 0)
    return at < end and not buffer[at] & 0x01


def _is_vp9_start(buffer: Buffer, at: int, end: int) -> bool:
    """RFC 9628 §4.2: the beginning (B=1) of a frame without inter-picture prediction (P=0), in spatial layer 0."""
    if at >= end or buffer[at] & 0x48 != 0x08:
        return False
    first = buffer[at]
    at += 1
    if first & 0x80:
        if at >= end:
            return False
        at += 2 if buffer[at] & 0x80 else 1
    return at < end and not (first & 0x20 and buffer[at] & 0x0E)


_H264_IDR, _H264_SPS, _H264_STAP_A, _H264_FU_A = 5, 7, 24, 28


def _is_h264_start(buffer: Buffer, at: int, end: int) -> bool:
    """RFC 6184 §5: parameter sets, or the first slice of an IDR picture; alone, aggregated or fragmented."""
    if end - at < 2:
        return False
    kind = buffer[at] & 0x1F
    if kind == _H264_STAP_A:
        at += 1
        while end - at >= 4:
            size = buffer[at] << 8 | buffer[at + 1]
            if size >= 2 and _is_h264_unit_start(buffer[at + 2] & 0x1F, buffer[at + 3]):
                return True
            at += 2 + size
        return False
    if kind == _H264_FU_A:
        header = buffer[at + 1]
        return end - at >= 3 and header >= 0x80 and _is_h264_unit_start(header & 0x1F, buffer[at + 2])
    return _is_h264_unit_start(kind, buffer[at + 1])


def _is_h264_unit_start(kind: int, first: int) -> bool:
    # A slice begins with its first macroblock as an Exp-Golomb code: a set bit is number 0 (H.264 §7.3.3).
    return kind == _H264_SPS or (kind == _H264_IDR and first >= 0x80)


_H265_IRAP, _H265_VPS, _H265_SPS, _H265_AP, _H265_FU = range(16, 24), 32, 33, 48, 49


def _is_h265_start(buffer: Buffer, at: int, end: int) -> bool:
    """RFC 7798 §4.4: parameter sets, or the first slice of a random access picture; alone, aggregated or fragmented.

    Without DONL fields, as `sprop-max-don-diff` is 0 in WebRTC.
    """
    if end - at < 3:
        return False
    kind = buffer[at] >> 1 & 0x3F
    if kind == _H265_AP:
        at += 2
        while end - at >= 5:
            size = buffer[at] << 8 | buffer[at + 1]
            if size >= 3 and _is_h265_unit_start(buffer[at + 2] >> 1 & 0x3F, buffer[at + 4]):
                return True
            at += 2 + size
        return False
    if kind == _H265_FU:
        header = buffer[at + 2]
        return end - at >= 4 and header >= 0x80 and _is_h265_unit_start(header & 0x3F, buffer[at + 3])
    return _is_h265_unit_start(kind, buffer[at + 2])


def _is_h265_unit_start(kind: int, first: int) -> bool:
    # A slice segment begins with first_slice_segment_in_pic_flag (H.265 §7.3.6.1).
    return kind in (_H265_VPS, _H265_SPS) or (kind in _H265_IRAP and first >= 0x80)


def _is_av1_start(buffer: Buffer, at: int, end: int) -> bool:
    """AV1 RTP specification §4.4: the first packet of a coded video sequence (N=1), which continues nothing (Z=0)."""
    return end - at >= 2 and buffer[at] & 0x88 == 0x08


_TESTS: dict[str, KeyFrameTest] = {
    "VP8": _is_vp8_start,
    "VP9": _is_vp9_start,
    "H264": _is_h264_start,
    "H265": _is_h265_start,
    "AV1": _is_av1_start,
}


__all__ = ["Buffer", "KeyFrameTest", "starts_key_frame"]
