"""Header rewriting in place: what the forwarding path does to a packet.

The payload never moves. A packet is received with `HEADROOM` bytes free in front of it; forwarding writes a new
header *directly before the payload*, over the old one, so that stripping the publisher's CSRCs and header extensions,
or putting in others, costs the same: one `pack_into`.

    |  headroom  | old header | csrcs | extensions | payload … |
                      | new header |   extensions  | payload … |

Numbering happens in two steps, each of which only ever moves forward, because SRTP must never protect two packets
under one number (RFC 3711 §9.1; with AES-GCM, RFC 7714 §9, that would give the key away):

- `StreamNumbering` turns the publisher's numbers into the track's own, continuous across a change of SSRC;
- `Numbering.offset` of a group of subscriptions turns those into what is on the wire, continuous across packets
  that the group does not get (a payload type which was not negotiated).
"""

from __future__ import annotations

import struct

from rtcctl.errors import ParseError
from rtcctl.media.rtp import build_extensions

HEADROOM = 320
"Bytes before a received packet: the largest header we write, with a mid of 255 bytes, has 12 + 4 + 2 + 255 + 3."

_FIXED = struct.Struct("!BBHII")
_EXTENSION_HEAD = struct.Struct("!HH")


def payload_offset(buffer: bytes | bytearray, start: int, end: int) -> int:
    """Where the payload of the RTP packet in `buffer[start:end]` begins (RFC 3550 §5.1)."""
    if end - start < 12 or buffer[start] >> 6 != 2:
        raise ParseError("an RTP header of version 2", offset=start)
    first = buffer[start]
    offset = start + 12 + 4 * (first & 0x0F)
    if first & 0x10:
        if offset + 4 > end:
            raise ParseError("the header of an extension", offset=end)
        offset += 4 + 4 * _EXTENSION_HEAD.unpack_from(buffer, offset)[1]
    if offset > end:
        raise ParseError("the end of the header inside the packet", offset=end)
    return offset


class StreamNumbering:
    """Sequence numbers and timestamps of a published track, continuous when the publisher changes its SSRC.

    The first source keeps its timestamps, and its numbers but for a shift into the first quarter of the cycle (see
    `start_offset`). After `switch`, the next packet follows the highest number so far, and its timestamp is that of the
    newest packet plus the time that has passed.
    """

    __slots__ = (
        "_clock_rate_hz", "_highest_in", "_is_switching", "_lowest", "_newest_at", "_newest_timestamp",
        "_offset", "_timestamp_offset", "highest",
    )  # fmt: skip

    def __init__(self, clock_rate_hz: int) -> None:
        self._clock_rate_hz = clock_rate_hz
        self._is_switching = True
        self._highest_in = 0
        self._lowest = 0
        self._offset = 0
        self._timestamp_offset = 0
        self._newest_at = 0.0
        self._newest_timestamp = 0
        self.highest = -1
        "Highest extended sequence number given out, -1 before the first packet."

    def switch(self) -> None:
        """The next packet comes from another source."""
        self._is_switching = True

    def number(self, sequence_number: int, rtp_timestamp: int, now: float) -> tuple[int, int] | None:
        """The track's extended sequence number and RTP timestamp of one packet.

        None for a packet from before a switch's first one: its number has been given out.
        """
        if self._is_switching:
            self._start_source(sequence_number, rtp_timestamp, now)
        ahead = (sequence_number - self._highest_in) & 0xFFFF
        if ahead < 0x8000:
            self._highest_in += ahead
            extended = self.highest = self._highest_in + self._offset
            timestamp = (rtp_timestamp + self._timestamp_offset) & 0xFFFFFFFF
            self._newest_at, self._newest_timestamp = now, timestamp
            return extended, timestamp
        extended = self._highest_in + ahead - 0x10000 + self._offset
        if extended < self._lowest:
            return None
        return extended, (rtp_timestamp + self._timestamp_offset) & 0xFFFFFFFF

    def timestamp_at(self, now: float) -> int:
        """The RTP timestamp that a packet made at `now` would have, by the newest packet and its arrival."""
        return (self._newest_timestamp + round((now - self._newest_at) * self._clock_rate_hz)) & 0xFFFFFFFF

    @property
    def timestamp_offset(self) -> int:
        """What is added to the publisher's timestamps, modulo 2**32."""
        return self._timestamp_offset

    def _start_source(self, sequence_number: int, rtp_timestamp: int, now: float) -> None:
        self._is_switching = False
        if self.highest < 0:
            # One cycle up, so that packets overtaken by the first one have numbers above zero.
            self._highest_in = sequence_number + 0x10000
            self._offset = -(sequence_number & 0xC000)
            return
        self._highest_in = sequence_number
        self._lowest = self.highest + 1
        self._offset = self._lowest - sequence_number
        # Never the same timestamp for two packets: at least one unit passes.
        timestamp = max(self.timestamp_at(now), self._newest_timestamp + 1)
        self._timestamp_offset = (timestamp - rtp_timestamp) & 0xFFFFFFFF


class Numbering:
    """What a group of subscriptions adds to the track's numbers to get those on the wire."""

    __slots__ = ("lowest", "offset")

    def __init__(self, offset: int, lowest: int) -> None:
        self.offset = offset
        "To add to the track's extended sequence number, modulo 2**16."
        self.lowest = lowest
        "Extended sequence number of the track below which nothing may be sent."

    def skip(self, extended_sequence: int, highest: int) -> None:
        """The group does not get this packet. A gap is left where later packets have gone out already."""
        if extended_sequence >= max(highest, self.lowest):
            self.offset -= 1
            self.lowest = extended_sequence + 1


def start_offset(extended_sequence: int) -> int:
    """The offset for a subscription whose first packet is this one.

    A receiver that misses the packets before a wrap counts its SRTP rollover from behind it and can decrypt nothing
    (RFC 3711 §3.3.1), so the first number is kept away from the end of the cycle.
    """
    return 0x8000 if extended_sequence & 0xFFFF >= 0xC000 else 0


class HeaderTemplate:
    """What the packets of a group of subscriptions have in common before the payload. Equal ones write the same."""

    __slots__ = ("_block", "_first_byte", "header_size", "ssrc")

    def __init__(self, ssrc: int, extensions: dict[int, bytes]) -> None:
        self.ssrc = ssrc
        self._block = build_extensions(extensions)
        self._first_byte = 0x90 if self._block else 0x80
        self.header_size = 12 + len(self._block)
        "Bytes."
        assert self.header_size <= HEADROOM

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeaderTemplate) and (self.ssrc, self._block) == (other.ssrc, other._block)

    def __hash__(self) -> int:
        return hash((self.ssrc, self._block))

    def write(
        self, buffer: bytearray, payload_at: int, first: int, second: int, sequence_number: int, rtp_timestamp: int
    ) -> int:
        """Write the header in front of `payload_at`; returns where it starts.

        `first` is the old first byte, of which only the padding bit survives; `second` the new marker and payload type.
        """
        start = payload_at - self.header_size
        _FIXED.pack_into(
            buffer, start, self._first_byte | first & 0x20, second, sequence_number, rtp_timestamp, self.ssrc
        )
        if self._block:
            buffer[start + 12 : payload_at] = self._block
        return start
