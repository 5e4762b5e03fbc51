"""Congestion feedback for a whole transport (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

    |V=2|P|  fmt=15 |    PT=205     |           length              |
    |                     SSRC of packet sender                     |
    |                      SSRC of media source                     |
    |      base sequence number     |      packet status count      |
    |                 reference time (24)           | fb pkt. count |
    |          packet chunk         |         packet chunk …        :
    :  receive delta | receive delta | …              zero padding  |

A *chunk* gives the status of consecutive packets, in one of three forms:

    |0| S |        length (13)      |   run: `length` packets of status S
    |1|0|      14 × 1 bit           |   vector: 0 not received, 1 small delta
    |1|1|       7 × 2 bits          |   vector of S

    S = 0 not received, 1 received with a small delta (8 bit), 2 received with a large one (16 bit, signed), 3 reserved

The deltas of the received packets follow, each in ticks of 250 µs since the received packet before it in the order of
sequence numbers, the first one since the reference time.

Only received packets cost us anything: a dozen bytes can say that 65,535 packets did not come, and a datagram holds
many such messages.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from rtcctl.errors import ParseError
from rtcctl.media.rtcp_feedback import HEAD, TRANSPORT_FEEDBACK, parse_head
from rtcctl.media.rtcp_header import packet

FEEDBACK_TRANSPORT_CC = 15
"Format of a transport-layer feedback message."
TICKS_PER_SECOND = 4000
"Arrival times count ticks of 250 µs."
REFERENCE_TICKS = 256
"Reference times count 64 ms."
MAX_PACKET_COUNT = 0xFFFF

_FIXED = struct.Struct("!HHL")
_CHUNK = struct.Struct("!H")
_LARGE_DELTA = struct.Struct("!h")

_NOT_RECEIVED, _SMALL, _LARGE, _RESERVED = range(4)
_RUN_MAX = 0x1FFF


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """Which packets of a transport came, and when."""

    sender_ssrc: int
    media_ssrc: int
    base_sequence: int
    "16 bit: the transport-wide number of the first packet reported."
    packet_count: int
    "16 bit: how many packets from the base on are reported, received or not; at least 1."
    reference_time: int
    "24 bit: multiples of 64 ms on the clock of the packet's sender."
    feedback_count: int
    "8 bit: one more with each feedback packet, so that losing one is noticed."
    received: tuple[tuple[int, int], ...]
    "(sequence number, arrival in ticks of 250 µs since the reference time), in the order of numbers from the base on."

    @classmethod
    def parse(cls, body: bytes) -> TransportFeedback:
        sender_ssrc, media_ssrc = parse_head(body)
        at = HEAD.size + _FIXED.size
        if len(body) < at:
            raise ParseError("8 bytes of base, count and reference time", offset=HEAD.size)
        base, count, reference = _FIXED.unpack_from(body, HEAD.size)
        if not count:
            raise ParseError("the status of one packet or more", offset=HEAD.size + 2)
        runs, at = _parse_chunks(body, at, count)
        received = []
        number, ticks = base, 0
        for status, length in runs:
            if status != _NOT_RECEIVED:
                for i in range(length):
                    if at + status > len(body):
                        raise ParseError(f"a receive delta of {status} bytes", offset=at)
                    ticks += body[at] if status == _SMALL else _LARGE_DELTA.unpack_from(body, at)[0]
                    at += status
                    received.append((number + i & 0xFFFF, ticks))
            number += length
        return cls(sender_ssrc, media_ssrc, base, count, reference >> 8, reference & 0xFF, tuple(received))

    def __bytes__(self) -> bytes:
        assert 0 < self.packet_count <= MAX_PACKET_COUNT
        statuses = bytearray(self.packet_count)
        deltas = bytearray()
        for (_, before), (number, ticks) in pairwise(((0, 0), *self.received)):
            delta = ticks - before
            is_small = 0 <= delta <= 0xFF
            statuses[number - self.base_sequence & 0xFFFF] = _SMALL if is_small else _LARGE
            deltas += bytes((delta,)) if is_small else _LARGE_DELTA.pack(delta)
        body = HEAD.pack(self.sender_ssrc, self.media_ssrc)
        body += _FIXED.pack(self.base_sequence, self.packet_count, self.reference_time << 8 | self.feedback_count)
        body += _chunks(bytes(statuses)) + deltas
        # Zeros without the padding bit: that one is for the last packet of a compound only.
        return packet(TRANSPORT_FEEDBACK, FEEDBACK_TRANSPORT_CC, body + bytes(-len(body) % 4))


def _parse_chunks(body: bytes, at: int, count: int) -> tuple[list[tuple[int, int]], int]:
    """The statuses of `count` packets as (status, length) runs, and where the deltas begin."""
    runs: list[tuple[int, int]] = []
    while count > 0:
        if at + _CHUNK.size > len(body):
            raise ParseError(f"a chunk for {count} more packets", offset=at)
        (chunk,) = _CHUNK.unpack_from(body, at)
        at += _CHUNK.size
        if not chunk & 0x8000:
            parsed = [(chunk >> 13, chunk & _RUN_MAX)]
        elif chunk & 0x4000:
            parsed = [(chunk >> shift & 3, 1) for shift in range(12, -1, -2)]
        else:
            parsed = [(chunk >> shift & 1, 1) for shift in range(13, -1, -1)]
        for status, length in parsed:
            # What a chunk says beyond the last packet means nothing.
            length = min(length, count)
            if status == _RESERVED and length:
                raise ParseError("a packet status that is not reserved", offset=at - _CHUNK.size)
            runs.append((status, length))
            count -= length
    return runs, at


def _chunks(statuses: bytes) -> bytes:
    """Packet chunks, each covering as many packets as one can, which gives the fewest."""
    chunks = bytearray()
    at = 0
    while at < len(statuses):
        window = statuses[at : at + 14]
        run = _run_length(window)
        if run == len(window):
            run = _run_length(statuses[at : at + _RUN_MAX])
        if run >= 14 or run == len(window) or (run >= 7 and _LARGE in window):
            chunk, size = window[0] << 13 | run, run
        elif _LARGE in window:
            chunk, size = 0xC000 | _bits(window[:7].ljust(7, b"\0"), 2), 7
        else:
            chunk, size = 0x8000 | _bits(window.ljust(14, b"\0"), 1), 14
        chunks += _CHUNK.pack(chunk)
        at += size
    return bytes(chunks)


def _run_length(statuses: bytes) -> int:
    """How many of the first one there are in front."""
    return len(statuses) - len(statuses.lstrip(statuses[:1]))


def _bits(statuses: bytes, width: int) -> int:
    value = 0
    for status in statuses:
        value = value << width | status
    return value


__all__ = [
    "FEEDBACK_TRANSPORT_CC",
    "MAX_PACKET_COUNT",
    "REFERENCE_TICKS",
    "TICKS_PER_SECOND",
    "TransportFeedback",
]
