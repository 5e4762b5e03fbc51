"""Opus packets as seen from outside: duration, and the padding that decoders skip (RFC 6716 §3).

    0 1 2 3 4 5 6 7
    | config  |s| c |      config: mode, bandwidth, frame size; s: stereo; c: how many frames follow

Code 3 carries a count of frames and, if its `p` bit is set, padding at the end of the packet, announced by length
bytes behind the count. Any packet can be written as code 3 without touching its frames.
"""

from __future__ import annotations

from rtcctl.errors import ParseError

_VARIABLE = 0x80
_PADDED = 0x40

_SILK_MS = (10.0, 20.0, 40.0, 60.0)
_HYBRID_MS = (10.0, 20.0)
_CELT_MS = (2.5, 5.0, 10.0, 20.0)


def duration_ms(packet: bytes) -> float:
    """Playing time of a packet (RFC 6716 §3.1, §3.2). Raises `ParseError` for an empty or overlong one."""
    if not packet:
        raise ParseError("an Opus packet of at least one byte")
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame_ms = _SILK_MS[config & 3]
    elif config < 16:
        frame_ms = _HYBRID_MS[config & 1]
    else:
        frame_ms = _CELT_MS[config & 3]
    if code == 3:
        if len(packet) < 2:
            raise ParseError("a frame count", offset=1)
        count = packet[1] & 0x3F
    else:
        count = 1 if code == 0 else 2
    if count == 0 or frame_ms * count > 120:
        raise ParseError("between one frame and 120 ms of them", offset=1)
    return frame_ms * count


def with_padding(packet: bytes, data: bytes) -> bytes:
    """The same frames with `data` as padding, in place of any padding there was (RFC 6716 §3.2.5).

    Raises `ParseError` if the packet is malformed.
    """
    if not packet:
        raise ParseError("an Opus packet of at least one byte")
    toc, code = packet[0], packet[0] & 3
    if code == 3:
        start, end = _frames_of_code_3(packet)
        count, frames = packet[1] & ~_PADDED, packet[start:end]
    else:
        # Code 2 is already laid out as code 3 with variable sizes: the length of the first frame, then both.
        count, frames = (1, 2, 2 | _VARIABLE)[code], packet[1:]
    if not data:
        return bytes((toc | 3, count)) + frames
    size = len(data)
    return bytes((toc | 3, count | _PADDED)) + b"\xff" * (size // 254) + bytes((size % 254,)) + frames + data


def padding_of(packet: bytes) -> bytes:
    """The padding of a packet, empty when it has none. Raises `ParseError` if the packet is malformed."""
    if not packet:
        raise ParseError("an Opus packet of at least one byte")
    if packet[0] & 3 != 3:
        return b""
    return packet[_frames_of_code_3(packet)[1] :]


def _frames_of_code_3(packet: bytes) -> tuple[int, int]:
    """Where the frames (with their lengths, if they vary) of a code 3 packet begin and end."""
    if len(packet) < 2:
        raise ParseError("a frame count", offset=1)
    start, padding = 2, 0
    if packet[1] & _PADDED:
        while True:
            if start >= len(packet):
                raise ParseError("a padding length", offset=start)
            value = packet[start]
            start += 1
            if value < 255:
                padding += value
                break
            padding += 254
    end = len(packet) - padding
    if end < start:
        raise ParseError(f"{padding} bytes of padding", offset=start)
    return start, end
