"""RTCP feedback messages: what a receiver asks of a sender (RFC 4585 §6, RFC 5104, REMB).

    |V=2|P| format  |  packet type  |  length                       |
    |                  SSRC of packet sender                        |
    |                  SSRC of media source                         |
    :            feedback control information (FCI)                 :

Congestion feedback for a whole transport has a file of its own, `rtcp_transport_cc`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from rtcctl.errors import ParseError
from rtcctl.media.rtcp_header import packet, parse_ssrc

TRANSPORT_FEEDBACK = 205
"Packet type of transport-layer feedback (RFC 4585 §6.2)."
PAYLOAD_FEEDBACK = 206
"Packet type of payload-specific feedback (RFC 4585 §6.3)."

FEEDBACK_GENERIC_NACK = 1
"Format of a transport-layer feedback message (RFC 4585 §6.2.1)."
FEEDBACK_PLI = 1
"Format of a payload-specific feedback message (RFC 4585 §6.3.1)."
FEEDBACK_FIR = 4
"Likewise (RFC 5104 §4.3.1)."
FEEDBACK_APPLICATION = 15
"Likewise: application layer feedback (RFC 4585 §6.4). Only REMB is known to us."

REMB = b"REMB"
"What tells REMB from other application layer feedback."

HEAD = struct.Struct("!LL")
"SSRC of the packet sender and of the media source."

_NACK = struct.Struct("!HH")
_FIR = struct.Struct("!LB3x")
_MANTISSA_BITS = 18
_EXPONENT_MAX = 63


def parse_head(body: bytes) -> tuple[int, int]:
    """SSRC of the packet sender and of the media source (RFC 4585 §6.1)."""
    return parse_ssrc(body, 0), parse_ssrc(body, 4)


@dataclass(frozen=True, slots=True)
class GenericNack:
    """Packets that `sender_ssrc` asks `media_ssrc` to send again (RFC 4585 §6.2.1)."""

    sender_ssrc: int
    media_ssrc: int
    sequence_numbers: tuple[int, ...]
    "Oldest first, so that neighbours share a word: a packet id and a bitmask of the 16 after it."

    @classmethod
    def parse(cls, body: bytes) -> GenericNack:
        sender_ssrc, media_ssrc = parse_head(body)
        numbers = []
        for packet_id, following in _NACK.iter_unpack(body[HEAD.size :]):
            numbers.append(packet_id)
            numbers += [packet_id + 1 + bit & 0xFFFF for bit in range(16) if following >> bit & 1]
        return cls(sender_ssrc, media_ssrc, tuple(numbers))

    def __bytes__(self) -> bytes:
        words: list[list[int]] = []
        for number in self.sequence_numbers:
            bit = (number - words[-1][0] - 1) & 0xFFFF if words else 16
            if bit < 16:
                words[-1][1] |= 1 << bit
            else:
                words.append([number, 0])
        body = HEAD.pack(self.sender_ssrc, self.media_ssrc) + b"".join(_NACK.pack(*word) for word in words)
        return packet(TRANSPORT_FEEDBACK, FEEDBACK_GENERIC_NACK, body)


@dataclass(frozen=True, slots=True)
class PictureLossIndication:
    """`sender_ssrc` asks `media_ssrc` for a key frame (RFC 4585 §6.3.1)."""

    sender_ssrc: int
    media_ssrc: int

    @classmethod
    def parse(cls, body: bytes) -> PictureLossIndication:
        return cls(*parse_head(body))

    def __bytes__(self) -> bytes:
        return packet(PAYLOAD_FEEDBACK, FEEDBACK_PLI, HEAD.pack(self.sender_ssrc, self.media_ssrc))


@dataclass(frozen=True, slots=True)
class FullIntraRequest:
    """`sender_ssrc` commands key frames (RFC 5104 §4.3.1). The media sources are in the entries."""

    sender_ssrc: int
    entries: tuple[tuple[int, int], ...]
    "One or more of (SSRC, sequence number of the command): 8 bit, a repetition has the same one."

    @classmethod
    def parse(cls, body: bytes) -> FullIntraRequest:
        sender_ssrc, _ = parse_head(body)
        size = len(body) - HEAD.size
        if size == 0 or size % _FIR.size:
            raise ParseError("one or more entries of 8 bytes", offset=HEAD.size)
        return cls(sender_ssrc, tuple(_FIR.iter_unpack(body[HEAD.size :])))

    def __bytes__(self) -> bytes:
        assert self.entries
        body = HEAD.pack(self.sender_ssrc, 0) + b"".join(_FIR.pack(*entry) for entry in self.entries)
        return packet(PAYLOAD_FEEDBACK, FEEDBACK_FIR, body)


@dataclass(frozen=True, slots=True)
class ReceiverEstimatedMaxBitrate:
    """REMB (draft-alvestrand-rmcat-remb-03 §2.2): what `sender_ssrc` believes that it can receive of all `ssrcs`."""

    sender_ssrc: int
    bitrate_bps: int
    "On the wire 18 bits times a power of two: written, it is rounded down to that."
    ssrcs: tuple[int, ...]
    "At most 255."

    @classmethod
    def parse(cls, body: bytes) -> ReceiverEstimatedMaxBitrate:
        sender_ssrc, _ = parse_head(body)
        start = HEAD.size + 8
        if body[HEAD.size : HEAD.size + 4] != REMB or len(body) < start:
            raise ParseError("REMB, a count and a bitrate", offset=HEAD.size)
        count, bitrate = body[start - 4], int.from_bytes(body[start - 3 : start])
        if len(body) != start + 4 * count:
            raise ParseError(f"{count} SSRCs", offset=start)
        ssrcs = tuple(parse_ssrc(body, start + 4 * i) for i in range(count))
        mantissa = bitrate & (1 << _MANTISSA_BITS) - 1
        return cls(sender_ssrc, mantissa << (bitrate >> _MANTISSA_BITS), ssrcs)

    def __bytes__(self) -> bytes:
        exponent = max(self.bitrate_bps.bit_length() - _MANTISSA_BITS, 0)
        assert self.bitrate_bps >= 0
        assert exponent <= _EXPONENT_MAX
        bitrate = exponent << _MANTISSA_BITS | self.bitrate_bps >> exponent
        head = HEAD.pack(self.sender_ssrc, 0) + REMB + bytes((len(self.ssrcs),)) + bitrate.to_bytes(3)
        body = head + b"".join(ssrc.to_bytes(4) for ssrc in self.ssrcs)
        return packet(PAYLOAD_FEEDBACK, FEEDBACK_APPLICATION, body)


__all__ = [
    "FEEDBACK_APPLICATION",
    "FEEDBACK_FIR",
    "FEEDBACK_GENERIC_NACK",
    "FEEDBACK_PLI",
    "HEAD",
    "PAYLOAD_FEEDBACK",
    "REMB",
    "TRANSPORT_FEEDBACK",
    "FullIntraRequest",
    "GenericNack",
    "PictureLossIndication",
    "ReceiverEstimatedMaxBitrate",
    "parse_head",
]
