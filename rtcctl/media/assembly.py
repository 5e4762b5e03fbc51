"""Frames out of RTP packets that come late, twice, out of order or not at all.

Theory of operation
-------------------

Packets are held by their extended sequence number from `_next` on, the first number of the frame being collected. The
packets from there up to `_scan` are all there and have one timestamp:

    … given out | _next ▓▓▓▓▓▓ _scan   ▓▓ ▓▓▓▓▓▓ ▓  _highest
                  the frame     missing  held

A frame is closed by its marker bit, or by a packet with another timestamp in the number after it. Its payloads are then
joined (`media/depacketization.py`), and it is given out, at once when nothing was missing.

A missing packet is waited for, and all that came after it waits too, so that frames come out in order. It is given up
as soon as the end of a later frame is there and either

- the newest packet is `REORDERING_PACKETS` ahead of it, which is also as far as packets may be reordered, or
- the ends of more than `WAITING_FRAMES` frames wait behind it: half a second at 30 frames a second, for a sender with
  few packets to a frame, whose repair would have come by then.

With it goes the frame it belongs to. What is missing between the end of one frame and the start of another is one frame
more, since how many it was cannot be known. All these count in `frames_incomplete`.

A stream seldom begins in the middle of a frame, but its first packets may be out of order. When the first frame lacks
its beginning, that is waited for too, until the end of one more frame is there: the stream did begin in the middle.

Packets without payload (padding on the media SSRC, as libwebrtc sends when there is no RTX) belong to no frame, but
they have numbers: hand them in, or they are missing.

What a sender may do to us: at most `HELD_PACKETS` are held, then the oldest frame goes. Packets before `_next` are late
or repeated, and dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rtcctl.media.depacketization import joiner

REORDERING_PACKETS: Final = 64
WAITING_FRAMES: Final = 16
FRESH_WAITING_FRAMES: Final = 1
HELD_PACKETS: Final = 4096

_AUDIO: Final = ("opus", "pcmu", "pcma")


@dataclass(frozen=True, slots=True)
class AssembledFrame:
    """One whole frame."""

    data: bytes
    "Opus packet, G.711 samples, VP8 or VP9 frame, H.264 access unit (annex B), AV1 temporal unit (OBUs with sizes)."
    rtp_timestamp: int
    "Of its packets, as given."
    is_key: bool
    "Whether a decoder can begin with it; audio: always."
    first_sequence: int
    "Extended sequence number of its first packet …"
    last_sequence: int
    "… and of its last."


class FrameAssembler:
    """Assembles the frames of one stream. Raises `KeyError` for a codec that is not known."""

    __slots__ = (
        "_highest",
        "_is_audio",
        "_is_continuous",
        "_is_fresh",
        "_is_gap_before",
        "_join",
        "_markers",
        "_next",
        "_packets",
        "_scan",
        "_timestamp",
        "frames_incomplete",
    )

    def __init__(self, codec_name: str) -> None:
        self.frames_incomplete = 0
        "Frames of which a packet never came, or came with something in it that makes no sense."
        self._join = joiner(codec_name)
        self._is_audio = codec_name.lower() in _AUDIO
        self._packets: dict[int, tuple[int, bool, bytes]] = {}
        "Extended sequence number → timestamp, whether it ends a frame, payload."
        self._markers: dict[int, int] = {}
        "Of the packets held that end a frame: extended sequence number → timestamp."
        self._next = self._scan = 0
        self._highest = 0
        self._timestamp = 0
        "Of the frame being collected, when there is a packet of it."
        self._is_fresh = True
        "Nothing was given out or up, so that the stream may yet turn out to have begun earlier."
        self._is_continuous = False
        "What was before `_next` is known: it belonged to another frame, or to none."
        self._is_gap_before = False
        "Before `_next` something is missing that may have been frames of which nothing came."

    def receive(self, extended_sequence: int, rtp_timestamp: int, marker: bool, payload: bytes) -> list[AssembledFrame]:
        """Take one packet; the frames that are whole now, in order."""
        packets = self._packets
        if self._is_fresh and (not packets or 0 < self._next - extended_sequence <= REORDERING_PACKETS):
            if not packets:
                self._highest = extended_sequence
            self._next = self._scan = extended_sequence
        if extended_sequence < self._next or extended_sequence in packets:
            return []
        ends = (marker or self._is_audio) and bool(payload)
        packets[extended_sequence] = rtp_timestamp, ends, payload
        if ends:
            self._markers[extended_sequence] = rtp_timestamp
        if extended_sequence > self._highest:
            self._highest = extended_sequence
        frames: list[AssembledFrame] = []
        self._collect(frames)
        while self._is_hopeless():
            self._give_up()
            self._collect(frames)
        return frames

    def _collect(self, frames: list[AssembledFrame]) -> None:
        """Close what can be closed."""
        packets = self._packets
        while (packet := packets.get(self._scan)) is not None:
            timestamp, ends, payload = packet
            if self._scan == self._next:
                if not payload:
                    del packets[self._scan]
                    self._next += 1
                    self._scan += 1
                    self._is_fresh = False
                    continue
                self._timestamp = timestamp
            elif timestamp != self._timestamp:
                self._close(frames)
                continue
            self._scan += 1
            if ends:
                self._close(frames)

    def _close(self, frames: list[AssembledFrame]) -> None:
        """Give out the packets from `_next` to before `_scan` as a frame, if they are one."""
        first, end = self._next, self._scan
        payloads = [payload for number in range(first, end) if (payload := self._packets[number][2])]
        joined = self._join(payloads)
        is_whole = joined is not None and (self._is_continuous or joined.is_start)
        if self._is_fresh and not is_whole:
            # What is missing in front may be late.
            self._next = self._scan = first - 1
            return
        for number in range(first, end):
            self._drop(number)
        self.frames_incomplete += (not is_whole) or self._is_gap_before
        if joined is not None and is_whole:
            frames.append(AssembledFrame(joined.data, self._timestamp, joined.is_key, first, end - 1))
        self._next = end
        self._is_fresh = self._is_gap_before = False
        self._is_continuous = True

    def _is_hopeless(self) -> bool:
        """Whether the packet of number `_scan` is not waited for any longer."""
        if len(self._packets) > HELD_PACKETS:
            return True
        has_begun = self._scan > self._next
        waiting = FRESH_WAITING_FRAMES if self._is_fresh and not has_begun else WAITING_FRAMES
        if self._highest - self._scan < REORDERING_PACKETS and len(self._markers) <= waiting:
            return False
        return any(not has_begun or timestamp != self._timestamp for timestamp in self._markers.values())

    def _give_up(self) -> None:
        """Go on behind the missing packet: with the frame that has the next one, or after the frame that has begun."""
        has_begun = self._scan > self._next
        self.frames_incomplete += has_begun
        self._is_fresh = self._is_continuous = self._is_gap_before = False
        before, has_ended = self._scan - 1, False
        for number in sorted(self._packets):
            timestamp, ends, _ = self._packets[number]
            if not has_begun or timestamp != self._timestamp or has_ended:
                self._is_continuous = has_begun and number == before + 1
                self._is_gap_before = not has_begun or (has_ended and number > before + 1)
                self._next = number
                break
            self._drop(number)
            before, has_ended = number, ends
            self._next = number + 1
        self._scan = self._next

    def _drop(self, number: int) -> None:
        self._markers.pop(number, None)
        del self._packets[number]


__all__ = ["HELD_PACKETS", "REORDERING_PACKETS", "WAITING_FRAMES", "AssembledFrame", "FrameAssembler"]
