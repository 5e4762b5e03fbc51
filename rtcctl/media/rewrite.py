"""Header rewriting in place: what the forwarding path does to a packet.

The payload never moves. A packet is received with `HEADROOM` bytes free in front of it; forwarding writes a new
header *directly before the payload*, over the old one, so that stripping the publisher's CSRCs and header extensions,
or putting in others, costs the same: one `pack_into`.

    |  headroom  | old header | csrcs | extensions | payload … |
                      | new header |   extensions  | payload … |

Numbering happens in two steps, each of which only ever moves forward, because SRTP must never protect two packets
under one number (RFC 3711 §9.1; with AES-GCM, RFC 7714 §9, that would give the key away):

- `StreamNumbering` turns the publisher's numbers into the encoding's own, continuous across a change of SSRC, and
  gives each of them out once, whatever the publisher repeats;
- `Numbering.offset` of a group of subscriptions turns those into what is on the wire, continuous across packets
  that the group does not get (a payload type which was not negotiated), and across changes of layer and source.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping
from types import MappingProxyType

from rtcctl.errors import ParseError
from rtcctl.media.rtp import ONE_BYTE_PROFILE, build_extensions, parse_extensions

HEADROOM = 320
"""Bytes before a received packet. What is written has 12 bytes, the old extensions under other ids, which may become
two-byte elements (one byte more for each of at most 14), a mid of up to 255 bytes, and the time of sending."""

NO_ELEMENTS: Mapping[int, bytes] = MappingProxyType({})
"Of a packet without header extensions that matter."

_WINDOW = 1024
"Numbers that are looked back, a power of two. libsrtp takes no older packet from a publisher."

MAX_STEP = 0x4000
"Between two numbers on the wire. From half a cycle on, SRTP takes a step ahead for one back (RFC 3711 §3.3.1)."

_FIXED = struct.Struct("!BBHII")
_EXTENSION_HEAD = struct.Struct("!HH")
_ONE_BYTE = ONE_BYTE_PROFILE.to_bytes(2, "big")
_ONE_BYTE_HEADS = tuple(bytes((value,)) for value in range(256))
_PADDING = (b"", bytes(3), bytes(2), bytes(1))
"For a length of this remainder."


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

    A number that was given out is never given again. That a publisher's SRTP accepts nothing twice is not enough: what
    was lost may come as RTX and then late after all, and a new DTLS association begins to count anew. A packet from
    further back than SRTP allows is such a beginning, and as good as a change of source.
    """

    __slots__ = (
        "_clock_rate_hz", "_given_out", "_highest_in", "_is_switching", "_lowest", "_newest_at", "_newest_timestamp",
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
        self._given_out = array("q", [-1]) * _WINDOW
        "A ring: the newest number with each remainder."
        self.highest = -1
        "Highest extended sequence number given out, -1 before the first packet."

    def switch(self) -> None:
        """The next packet comes from another source."""
        self._is_switching = True

    def number(self, sequence_number: int, rtp_timestamp: int, now: float) -> tuple[int, int] | None:
        """The track's extended sequence number and RTP timestamp of one packet.

        None when that number has been given out, or may have been because it is from before a switch.
        """
        behind = (self._highest_in - sequence_number) & 0xFFFF
        if self._is_switching or _WINDOW <= behind <= 0x8000:
            self._start_source(sequence_number, rtp_timestamp, now)
            behind = 0xFFFF
        timestamp = (rtp_timestamp + self._timestamp_offset) & 0xFFFFFFFF
        if behind > 0x8000:
            self._highest_in += 0x10000 - behind
            extended = self.highest = self._highest_in + self._offset
            self._newest_at, self._newest_timestamp = now, timestamp
        else:
            extended = self.highest - behind
            if extended < self._lowest or self._given_out[extended % _WINDOW] == extended:
                return None
        self._given_out[extended % _WINDOW] = extended
        return extended, timestamp

    def timestamp_at(self, now: float) -> int:
        """The RTP timestamp that a packet made at `now` would have, by the newest packet and its arrival."""
        return (self._newest_timestamp + round((now - self._newest_at) * self._clock_rate_hz)) & 0xFFFFFFFF

    @property
    def newest_timestamp(self) -> int:
        """Of the packet with the highest number."""
        return self._newest_timestamp

    @property
    def timestamp_offset(self) -> int:
        """What is added to the publisher's timestamps, modulo 2**32."""
        return self._timestamp_offset

    def _start_source(self, sequence_number: int, rtp_timestamp: int, now: float) -> None:
        self._is_switching = False
        if self.highest < 0:
            # One cycle up, so that packets overtaken by the first one have numbers above zero.
            self._highest_in = sequence_number - 1 + 0x10000
            self._offset = -(sequence_number & 0xC000)
            return
        self._highest_in = sequence_number - 1
        self._lowest = self.highest + 1
        self._offset = self._lowest - sequence_number
        # Never the same timestamp for two packets: at least one unit passes.
        elapsed = max(round((now - self._newest_at) * self._clock_rate_hz), 1)
        self._timestamp_offset = (self._newest_timestamp + elapsed - rtp_timestamp) & 0xFFFFFFFF


class Numbering:
    """What a group of subscriptions adds to an encoding's numbers to get those on the wire."""

    __slots__ = ("highest_out", "lowest", "offset")

    def __init__(self, offset: int, lowest: int) -> None:
        self.offset = offset
        "To add to the encoding's extended sequence number; the lower 16 bits of the sum are on the wire."
        self.lowest = lowest
        "Extended sequence number of the encoding below which nothing may be sent."
        self.highest_out = lowest + offset - 1
        "The highest sum so far, -1 when the encoding had not begun."

    def close_gap(self, extended_sequence: int) -> int:
        """The number of this packet, when between it and the one before more are missing than `MAX_STEP` allows."""
        self.lowest = extended_sequence
        self.offset = self.highest_out + 1 - extended_sequence
        return self.highest_out + 1

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
    """What the packets of a group of subscriptions have in common before the payload.

    `forwarded`: header extension ids, the publisher's to the subscriber's. The subscriber's ids of what every packet
    gets, where they are given: `abs_send_time_id`, the time of sending, and `mid_id`, the m-section. Mids are the only
    thing in which equal templates differ, not in length: they are at `mid_offset` of what was written.
    """

    __slots__ = (
        "_abs_send_time_id",
        "_forwarded",
        "_has_extensions",
        "_is_one_byte",
        "_mid_id",
        "_prefix",
        "mid",
        "ssrc",
    )

    def __init__(
        self,
        ssrc: int,
        forwarded: Mapping[int, int] | None = None,
        abs_send_time_id: int | None = None,
        mid_id: int | None = None,
        mid: bytes = b"",
    ) -> None:
        self.ssrc = ssrc
        self.mid = b"" if mid_id is None else mid
        self._forwarded = tuple(sorted((forwarded or {}).items()))
        self._abs_send_time_id = abs_send_time_id
        self._mid_id = mid_id
        self._has_extensions = bool(self._forwarded) or abs_send_time_id is not None or mid_id is not None
        always = {i: v for i, v in ((mid_id, self.mid), (abs_send_time_id, bytes(3))) if i is not None}
        ids = *always, *(to for _, to in self._forwarded)
        self._is_one_byte = max(ids, default=0) <= 14 and all(0 < len(v) <= 16 for v in always.values())
        "The common case, but for what a publisher may say in more than 16 bytes."
        self._prefix = b""
        "Then, what every packet has, up to the time of sending."
        if self._is_one_byte:
            self._prefix = b"".join(_ONE_BYTE_HEADS[i << 4 | len(v) - 1] + v for i, v in always.items())
            self._prefix = self._prefix[: None if abs_send_time_id is None else -3]

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two templates equal."""
        return self.ssrc, self._forwarded, self._abs_send_time_id, self._mid_id, len(self.mid)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeaderTemplate) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @staticmethod
    def mid_offset(buffer: bytes | bytearray, start: int) -> int:
        """Where the mid is in a header that was written at `start` with one: behind the head of the first element."""
        return start + (17 if buffer[start + 12] == _ONE_BYTE[0] else 18)

    def write(
        self,
        buffer: bytearray,
        payload_at: int,
        first: int,
        second: int,
        sequence_number: int,
        rtp_timestamp: int,
        elements: Mapping[int, bytes] = NO_ELEMENTS,
        sent_at: float = 0.0,
    ) -> int:
        """Write the header in front of `payload_at`; returns where it starts.

        `first` is the old first byte, of which only the padding bit survives; `second` the new marker and payload type;
        `elements` the old header extensions, `sent_at` seconds of any clock that does not jump.
        """
        if self._has_extensions:
            block = self._block(elements, sent_at)
            if block:
                start = payload_at - 12 - len(block)
                _FIXED.pack_into(buffer, start, 0x90 | first & 0x20, second, sequence_number, rtp_timestamp, self.ssrc)
                buffer[start + 12 : payload_at] = block
                return start
        start = payload_at - 12
        _FIXED.pack_into(buffer, start, 0x80 | first & 0x20, second, sequence_number, rtp_timestamp, self.ssrc)
        return start

    def header(
        self,
        first: int,
        second: int,
        sequence_number: int,
        rtp_timestamp: int,
        elements: Mapping[int, bytes] = NO_ELEMENTS,
        sent_at: float = 0.0,
    ) -> bytes:
        """The same as bytes of their own."""
        block = self._block(elements, sent_at) if self._has_extensions else b""
        first = first & 0x20 | (0x90 if block else 0x80)
        return _FIXED.pack(first, second, sequence_number, rtp_timestamp, self.ssrc) + block

    def _block(self, elements: Mapping[int, bytes], sent_at: float) -> bytes:
        time = b"" if self._abs_send_time_id is None else (int(sent_at * 0x40000) & 0xFFFFFF).to_bytes(3, "big")
        if self._is_one_byte:
            body = self._prefix + time
            for of, to in self._forwarded:
                if (value := elements.get(of)) is not None:
                    if not 0 < len(value) <= 16:
                        break
                    body += _ONE_BYTE_HEADS[to << 4 | len(value) - 1] + value
            else:
                body += _PADDING[len(body) & 3]
                return _EXTENSION_HEAD.pack(ONE_BYTE_PROFILE, len(body) >> 2) + body if body else b""
        always = ((self._mid_id, self.mid), (self._abs_send_time_id, time))
        chosen = {to: elements[of] for of, to in self._forwarded if of in elements}
        return build_extensions({**{i: value for i, value in always if i is not None}, **chosen})


def read_extensions(buffer: bytes | bytearray, start: int, payload_at: int) -> dict[int, bytes]:
    """The header extension elements, by id, of the packet at `start` whose payload is at `payload_at` (RFC 8285).

    The caller knows that the packet has the extension bit. ParseError when the elements do not fit.
    """
    at = start + 12 + 4 * (buffer[start] & 0x0F)
    profile = _EXTENSION_HEAD.unpack_from(buffer, at)[0]
    return parse_extensions(profile, bytes(buffer[at + 4 : payload_at]), offset=at + 4)
