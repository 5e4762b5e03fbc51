"""Opus packets: table of contents, frames, padding (RFC 6716 §3).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    | config  |s|1|1|V|P|  frames   | padding size… |    frames …   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                             … padding                         |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Only code 3 (drawn) can be padded; the others become code 3 by naming their frames: what follows the TOC byte of code
0, 1 and 2 is, byte for byte, what follows the padding size in code 3. Padding is always at the end, and decoders must
ignore what is in it (§3.2.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtcctl.errors import ParseError

MAX_FRAME_BYTES = 1275
MAX_PACKET_MS = 120

_VBR = 0x80
_PADDED = 0x40
_FRAME_COUNT = 0x3F

_SILK_MS = (10.0, 20.0, 40.0, 60.0)
_HYBRID_MS = (10.0, 20.0)
_CELT_MS = (2.5, 5.0, 10.0, 20.0)


@dataclass(frozen=True, slots=True)
class Toc:
    """The first byte of a packet (RFC 6716 §3.1)."""

    configuration: int
    "5 bit: mode, bandwidth and frame size."
    is_stereo: bool
    code: int
    "2 bit: one frame, two of equal size, two, or any number."

    @classmethod
    def parse(cls, packet: bytes) -> Toc:
        if not packet:
            raise ParseError("an Opus packet")
        return cls(packet[0] >> 3, bool(packet[0] & 4), packet[0] & 3)

    @property
    def mode(self) -> Literal["silk", "hybrid", "celt"]:
        if self.configuration < 12:
            return "silk"
        return "hybrid" if self.configuration < 16 else "celt"

    @property
    def frame_ms(self) -> float:
        """Duration of each frame."""
        if self.configuration < 12:
            return _SILK_MS[self.configuration % 4]
        return _HYBRID_MS[self.configuration % 2] if self.configuration < 16 else _CELT_MS[self.configuration % 4]


@dataclass(frozen=True, slots=True)
class OpusPacket:
    """A packet taken apart."""

    toc: Toc
    frames: tuple[bytes, ...]
    "An empty one is a lost or untransmitted frame (DTX)."
    padding: bytes = b""

    @classmethod
    def parse(cls, packet: bytes) -> OpusPacket:
        toc, count, is_vbr, start, end = _layout(packet)
        return cls(toc, _frames(packet, start, end, count, is_vbr), packet[end:])

    @property
    def duration_ms(self) -> float:
        return len(self.frames) * self.toc.frame_ms


def duration_ms(packet: bytes) -> float:
    """How much audio the packet holds."""
    return OpusPacket.parse(packet).duration_ms


def with_padding(packet: bytes, data: bytes) -> bytes:
    """The same frames with `data` as padding, in place of what padding there was."""
    OpusPacket.parse(packet)
    toc, count, is_vbr, start, end = _layout(packet)
    flags = count | (_VBR if is_vbr else 0) | (_PADDED if data else 0)
    head = bytes((toc.configuration << 3 | toc.is_stereo << 2 | 3, flags))
    return head + _padding_size(len(data)) + packet[start:end] + data


def padding_of(packet: bytes) -> bytes:
    """What is in the padding; empty without."""
    return OpusPacket.parse(packet).padding


def _padding_size(size: int) -> bytes:
    """Each byte of 255 stands for 254 and another byte to come (§3.2.5). Nothing is written for no padding."""
    if size == 0:
        return b""
    more, last = divmod(size - 1, 254)
    return b"\xff" * more + bytes((last + 1,))


def _layout(packet: bytes) -> tuple[Toc, int, bool, int, int]:
    """TOC, number of frames, whether they differ in size, and where their bytes begin and end."""
    toc = Toc.parse(packet)
    if toc.code != 3:
        return toc, 1 if toc.code == 0 else 2, toc.code == 2, 1, len(packet)
    if len(packet) < 2:
        raise ParseError("a frame count byte", offset=1)
    count = packet[1] & _FRAME_COUNT
    if count == 0 or count * toc.frame_ms > MAX_PACKET_MS:
        raise ParseError(f"one frame or more, of {MAX_PACKET_MS} ms in all", offset=1)
    start, padding = 2, 0
    if packet[1] & _PADDED:
        while True:
            if start >= len(packet):
                raise ParseError("the size of the padding", offset=start)
            size = packet[start]
            start += 1
            padding += 254 if size == 255 else size
            if size != 255:
                break
    end = len(packet) - padding
    if end < start:
        raise ParseError(f"{padding} bytes of padding", offset=start)
    return toc, count, bool(packet[1] & _VBR), start, end


def _frames(packet: bytes, start: int, end: int, count: int, is_vbr: bool) -> tuple[bytes, ...]:
    """Cut `count` frames out of `packet[start:end]`; sizes of all but the last come first (§3.2.1, §3.2.5)."""
    sizes: list[int] = []
    if is_vbr:
        for _ in range(count - 1):
            if start >= end or (packet[start] >= 252 and start + 1 >= end):
                raise ParseError("the size of a frame", offset=start)
            if packet[start] < 252:
                sizes.append(packet[start])
                start += 1
            else:
                sizes.append(packet[start] + 4 * packet[start + 1])
                start += 2
        sizes.append(end - start - sum(sizes))
    else:
        size, left = divmod(end - start, count)
        if left:
            raise ParseError(f"{count} frames of equal size", offset=start)
        sizes = [size] * count
    if min(sizes) < 0 or max(sizes) > MAX_FRAME_BYTES:
        raise ParseError(f"{count} frames of at most {MAX_FRAME_BYTES} bytes", offset=start)
    frames = []
    for size in sizes:
        frames.append(packet[start : start + size])
        start += size
    return tuple(frames)


__all__ = ["OpusPacket", "Toc", "duration_ms", "padding_of", "with_padding"]
