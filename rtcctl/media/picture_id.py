"""Picture numbers of VP8 and VP9 that go on across a change of simulcast layer.

Each encoder of a simulcast counts its pictures by itself, in the payload: PictureID (7 or 15 bits) and TL0PICIDX (8
bits: pictures of the lowest temporal layer). A receiver that is moved from one encoder to another would see them jump.
It reads from a jump that pictures are missing, and waits for them, or that a picture refers to one that it never had.
So a subscription shifts them: the first picture of the new layer, a key frame, gets the number after the newest one
sent, and those that follow keep their distance from it.

What is added stays the same until the next change, so that a retransmission is the same packet again:

    picture = locate("VP8")(buffer, at, end)       # of the packet as it came
    shift = shift_between(newest, picture)         # at a change of layer; `picture` is the first of the new one
    put_shifted(buffer, picture, shift)            # in place; absolute, so that subscriptions may share the buffer
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rtcctl.media.keyframe import Buffer

Shift = tuple[int, int]
"""What is added to PictureID and TL0PICIDX."""

NO_SHIFT: Shift = (0, 0)


class Picture(NamedTuple):
    """Where in a buffer a payload has its picture numbers, and what they are."""

    picture_id_at: int
    picture_id_bits: int
    "7 or 15; 0: there is none."
    picture_id: int
    tl0picidx_at: int
    "0: there is none (before it there is always something)."
    tl0picidx: int

    def shifted(self, shift: Shift) -> Picture:
        """The same, numbered as it is sent with that shift."""
        return self._replace(picture_id=self.picture_id + shift[0], tl0picidx=self.tl0picidx + shift[1])


Locate = Callable[[Buffer, int, int], Picture | None]
"""Finds the numbers in an RTP payload `buffer[at:end]`; None when it has none, or is malformed."""


def locate(codec_name: str) -> Locate | None:
    """The finder for payloads of that codec; None when it does not number its pictures in the payload descriptor."""
    return _LOCATE.get(codec_name.upper())


def _locate_vp8(buffer: Buffer, at: int, end: int) -> Picture | None:
    """RFC 7741 §4.2."""
    if end - at < 3 or not buffer[at] & 0x80:
        return None
    flags = buffer[at + 1]
    return _picture(buffer, at + 2, end, has_id=flags & 0x80 != 0, tl0_after=0 if flags & 0x40 else None)


def _locate_vp9(buffer: Buffer, at: int, end: int) -> Picture | None:
    """RFC 9628 §4.2: TL0PICIDX follows the layer indices, in non-flexible mode (F=0)."""
    if at >= end:
        return None
    flags = buffer[at]
    return _picture(buffer, at + 1, end, has_id=flags & 0x80 != 0, tl0_after=1 if flags & 0x30 == 0x20 else None)


def _picture(buffer: Buffer, at: int, end: int, *, has_id: bool, tl0_after: int | None) -> Picture | None:
    """The numbers from `at` on: first the picture id, then, `tl0_after` bytes later, TL0PICIDX."""
    if at >= end or not (has_id or tl0_after is not None):
        return None
    id_at, bits, value = at, 0, 0
    if has_id:
        bits, value = 7, buffer[at]
        at += 1
        if value & 0x80:
            if at >= end:
                return None
            bits, value = 15, (value & 0x7F) << 8 | buffer[at]
            at += 1
    if tl0_after is None:
        return Picture(id_at, bits, value, 0, 0)
    at += tl0_after
    return Picture(id_at, bits, value, at, buffer[at]) if at < end else None


_LOCATE: dict[str, Locate] = {"VP8": _locate_vp8, "VP9": _locate_vp9}


def shift_between(newest: Picture | None, first: Picture | None) -> Shift:
    """The shift that goes on at `first`, after `newest` was the last picture, as it was sent."""
    if newest is None or first is None:
        return NO_SHIFT
    return newest.picture_id + 1 - first.picture_id, newest.tl0picidx + 1 - first.tl0picidx


def put_shifted(buffer: bytearray | memoryview, picture: Picture, shift: Shift) -> None:
    """Write the numbers that `picture` was located with, shifted."""
    picture_id, tl0picidx = shift
    if picture.picture_id_bits:
        at = picture.picture_id_at
        value = picture.picture_id + picture_id
        if picture.picture_id_bits == 7:
            buffer[at] = value & 0x7F
        else:
            buffer[at] = 0x80 | value >> 8 & 0x7F
            buffer[at + 1] = value & 0xFF
    if picture.tl0picidx_at:
        buffer[picture.tl0picidx_at] = picture.tl0picidx + tl0picidx & 0xFF


__all__ = ["NO_SHIFT", "Locate", "Picture", "Shift", "locate", "put_shifted", "shift_between"]
