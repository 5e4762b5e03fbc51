"""RTCP reports and compounds (RFC 3550 §6), parsed and written.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P|  count  |  packet type  |  length in words, minus one   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

A compound is valid when the versions are 2, the lengths add up, and only its last packet is padded (appendix A.2).
Reduced-size RTCP (RFC 5506) may begin with any packet. What we have no use for is kept as `Unknown`. Feedback messages
are in `rtcp_feedback` and `rtcp_transport_cc`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from rtcctl.errors import ParseError
from rtcctl.media.rtcp_feedback import (
    FEEDBACK_APPLICATION,
    FEEDBACK_FIR,
    FEEDBACK_GENERIC_NACK,
    FEEDBACK_PLI,
    HEAD,
    PAYLOAD_FEEDBACK,
    REMB,
    TRANSPORT_FEEDBACK,
    FullIntraRequest,
    GenericNack,
    PictureLossIndication,
    ReceiverEstimatedMaxBitrate,
)
from rtcctl.media.rtcp_header import HEADER, packet, parse_ssrc
from rtcctl.media.rtcp_transport_cc import FEEDBACK_TRANSPORT_CC, TransportFeedback

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203

SDES_CNAME = 1

_SENDER_INFO = struct.Struct("!LQLLL")
_REPORT_BLOCK = struct.Struct("!LLLLLL")
_SSRC = struct.Struct("!L")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """One source inside a sender or receiver report (RFC 3550 §6.4.1)."""

    ssrc: int
    fraction_lost_q8: int
    "Packets lost since the previous report, in 1/256 of those expected (8 bit)."
    packets_lost: int
    "Since the start; 24 bit, signed: duplicates can make it negative."
    highest_extended_sequence: int
    "32 bit: cycles in the upper half, highest sequence number in the lower."
    jitter_rtp: int
    "Interarrival jitter in units of the RTP clock (appendix A.8)."
    last_sr_ntp32: int = 0
    "LSR: the middle 32 bits of the last sender report's NTP timestamp; 0 when there was none."
    delay_since_last_sr_q16: int = 0
    "DLSR: from that report's arrival to this one's departure, in 2⁻¹⁶ s."

    @classmethod
    def parse(cls, data: bytes, offset: int = 0) -> ReportBlock:
        if len(data) < offset + _REPORT_BLOCK.size:
            raise ParseError("a report block of 24 bytes", offset=offset)
        ssrc, lost, highest, jitter, last_sr, delay = _REPORT_BLOCK.unpack_from(data, offset)
        packets_lost = lost & 0xFF_FFFF
        if packets_lost & 0x80_0000:
            packets_lost -= 0x100_0000
        return cls(ssrc, lost >> 24, packets_lost, highest, jitter, last_sr, delay)

    def __bytes__(self) -> bytes:
        assert 0 <= self.fraction_lost_q8 <= 0xFF
        assert -0x80_0000 <= self.packets_lost <= 0x7F_FFFF
        return _REPORT_BLOCK.pack(
            self.ssrc,
            self.fraction_lost_q8 << 24 | self.packets_lost & 0xFF_FFFF,
            self.highest_extended_sequence,
            self.jitter_rtp,
            self.last_sr_ntp32,
            self.delay_since_last_sr_q16,
        )


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR (RFC 3550 §6.4.1): what `ssrc` sent, which wallclock its RTP clock belongs to, and what it received."""

    ssrc: int
    ntp_timestamp: int
    "Wallclock, 64 bit (`clock.ntp_from_unix`)."
    rtp_timestamp: int
    "The same instant in units of the RTP clock."
    packet_count: int
    "RTP packets sent since the start, modulo 2³²."
    octet_count: int
    "RTP payload bytes sent since the start, modulo 2³²."
    reports: tuple[ReportBlock, ...] = ()
    profile_extension: bytes = b""
    "Whatever follows the blocks (§6.4.3), in words of four bytes."

    @classmethod
    def parse(cls, body: bytes, count: int) -> SenderReport:
        if len(body) < _SENDER_INFO.size:
            raise ParseError("24 bytes of sender information")
        ssrc, ntp, rtp, packets, octets = _SENDER_INFO.unpack_from(body)
        return cls(ssrc, ntp, rtp, packets, octets, *_parse_reports(body, _SENDER_INFO.size, count))

    def __bytes__(self) -> bytes:
        info = _SENDER_INFO.pack(
            self.ssrc,
            self.ntp_timestamp,
            self.rtp_timestamp,
            self.packet_count & 0xFFFF_FFFF,
            self.octet_count & 0xFFFF_FFFF,
        )
        body = info + b"".join(map(bytes, self.reports)) + self.profile_extension
        return packet(SENDER_REPORT, len(self.reports), body)


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR (RFC 3550 §6.4.2): what `ssrc` received."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()
    profile_extension: bytes = b""

    @classmethod
    def parse(cls, body: bytes, count: int) -> ReceiverReport:
        return cls(parse_ssrc(body, 0), *_parse_reports(body, _SSRC.size, count))

    def __bytes__(self) -> bytes:
        body = _SSRC.pack(self.ssrc) + b"".join(map(bytes, self.reports)) + self.profile_extension
        return packet(RECEIVER_REPORT, len(self.reports), body)


@dataclass(frozen=True, slots=True)
class SourceChunk:
    """What is said of one source (RFC 3550 §6.5): `items` of (type, value)."""

    ssrc: int
    items: tuple[tuple[int, bytes], ...]

    def __bytes__(self) -> bytes:
        items = b"".join(bytes((type_, len(value))) + value for type_, value in self.items)
        return _SSRC.pack(self.ssrc) + items + bytes(4 - len(items) % 4)


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES (RFC 3550 §6.5)."""

    chunks: tuple[SourceChunk, ...]

    @classmethod
    def of(cls, ssrc: int, cname: str) -> SourceDescription:
        """With nothing but a CNAME, all that WebRTC sends (RFC 8834 §4.8)."""
        return cls((SourceChunk(ssrc, ((SDES_CNAME, cname.encode()),)),))

    @property
    def cnames(self) -> dict[int, str]:
        """CNAME by SSRC."""
        return {
            chunk.ssrc: value.decode(errors="replace")
            for chunk in self.chunks
            for type_, value in chunk.items
            if type_ == SDES_CNAME
        }

    @classmethod
    def parse(cls, body: bytes, count: int) -> SourceDescription:
        # Bytes after the last chunk are ignored: aiortc terminates its only chunk with a word too many.
        chunks, offset = [], 0
        for _ in range(count):
            ssrc = parse_ssrc(body, offset)
            items, offset = _parse_items(body, offset + _SSRC.size)
            chunks.append(SourceChunk(ssrc, items))
        return cls(tuple(chunks))

    def __bytes__(self) -> bytes:
        return packet(SOURCE_DESCRIPTION, len(self.chunks), b"".join(map(bytes, self.chunks)))


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE (RFC 3550 §6.6)."""

    ssrcs: tuple[int, ...]
    reason: bytes = b""
    "At most 255 bytes of text."

    @classmethod
    def parse(cls, body: bytes, count: int) -> Goodbye:
        ssrcs = tuple(parse_ssrc(body, 4 * i) for i in range(count))
        offset = 4 * count
        reason = b""
        if offset < len(body):
            reason = body[offset + 1 : offset + 1 + body[offset]]
            if len(reason) < body[offset]:
                raise ParseError(f"a reason of {body[offset]} bytes", offset=offset + 1)
        return cls(ssrcs, reason)

    def __bytes__(self) -> bytes:
        text = bytes((len(self.reason),)) + self.reason if self.reason else b""
        body = b"".join(map(_SSRC.pack, self.ssrcs)) + text + bytes(-len(text) % 4)
        return packet(GOODBYE, len(self.ssrcs), body)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A packet that is kept as it came, without its padding."""

    packet_type: int
    count: int
    "The five bits of the header: a count, a subtype or a feedback format."
    body: bytes

    def __bytes__(self) -> bytes:
        return packet(self.packet_type, self.count, self.body)


Packet = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Goodbye
    | GenericNack
    | PictureLossIndication
    | FullIntraRequest
    | ReceiverEstimatedMaxBitrate
    | TransportFeedback
    | Unknown
)

_COUNTED: dict[int, Callable[[bytes, int], Packet]] = {
    SENDER_REPORT: SenderReport.parse,
    RECEIVER_REPORT: ReceiverReport.parse,
    SOURCE_DESCRIPTION: SourceDescription.parse,
    GOODBYE: Goodbye.parse,
}
_FORMATTED: dict[tuple[int, int], Callable[[bytes], Packet]] = {
    (TRANSPORT_FEEDBACK, FEEDBACK_GENERIC_NACK): GenericNack.parse,
    (TRANSPORT_FEEDBACK, FEEDBACK_TRANSPORT_CC): TransportFeedback.parse,
    (PAYLOAD_FEEDBACK, FEEDBACK_PLI): PictureLossIndication.parse,
    (PAYLOAD_FEEDBACK, FEEDBACK_FIR): FullIntraRequest.parse,
}
_REMB = (PAYLOAD_FEEDBACK, FEEDBACK_APPLICATION, REMB)
"Other application layer feedback is its application's."


def parse_compound(data: bytes | bytearray | memoryview) -> list[Packet]:
    """All packets of one datagram, or `ParseError`."""
    data = bytes(data)
    if not data:
        raise ParseError("an RTCP packet")
    packets: list[Packet] = []
    offset = 0
    while offset < len(data):
        start = offset
        if len(data) < start + HEADER.size:
            raise ParseError("an RTCP header of 4 bytes", offset=start)
        first, packet_type, length = HEADER.unpack_from(data, start)
        if first >> 6 != 2:
            raise ParseError("RTCP version 2", offset=start)
        offset = start + 4 * (length + 1)
        if offset > len(data):
            raise ParseError(f"{4 * (length + 1)} bytes of RTCP", offset=start)
        end = offset
        count = first & 0x1F
        if first & 0x20:
            # libwebrtc pads congestion feedback, and only that, up to a word, wherever in the compound it stands.
            is_lax = (packet_type, count) == (TRANSPORT_FEEDBACK, FEEDBACK_TRANSPORT_CC)
            end -= _padding_size(data, start, offset, is_lax)
        body = data[start + HEADER.size : end]
        try:
            if counted := _COUNTED.get(packet_type):
                packets.append(counted(body, count))
            elif formatted := _FORMATTED.get((packet_type, count)):
                packets.append(formatted(body))
            elif (packet_type, count, body[HEAD.size : HEAD.size + 4]) == _REMB:
                packets.append(ReceiverEstimatedMaxBitrate.parse(body))
            else:
                packets.append(Unknown(packet_type, count, body))
        except ParseError as error:
            raise ParseError(error.expected, offset=start + HEADER.size + error.offset) from None
    return packets


def compound(*packets: Packet) -> bytes:
    """One datagram of several packets."""
    return b"".join(map(bytes, packets))


def _padding_size(data: bytes, start: int, end: int, is_lax: bool) -> int:
    """By the last byte of a packet with the padding bit. Unless lax, it must be the last one, and padded by words."""
    if end != len(data) and not is_lax:
        raise ParseError("padding on the last packet only", offset=start)
    size = data[end - 1]
    if size == 0 or (size % 4 and not is_lax) or size > end - start - HEADER.size:
        raise ParseError("the size of the padding", offset=end - 1)
    return size


def _parse_reports(body: bytes, offset: int, count: int) -> tuple[tuple[ReportBlock, ...], bytes]:
    end = offset + count * _REPORT_BLOCK.size
    blocks = tuple(ReportBlock.parse(body, at) for at in range(offset, end, _REPORT_BLOCK.size))
    return blocks, body[end:]


def _parse_items(body: bytes, offset: int) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """Items of a chunk up to its null byte, and where the next chunk begins (on a word boundary)."""
    items = []
    while offset < len(body) and body[offset]:
        if offset + 1 >= len(body):
            raise ParseError("the length of a source description item", offset=offset + 1)
        type_, size = body[offset], body[offset + 1]
        value = body[offset + 2 : offset + 2 + size]
        if len(value) < size:
            raise ParseError(f"a source description item of {size} bytes", offset=offset + 2)
        items.append((type_, value))
        offset += 2 + size
    if offset >= len(body):
        raise ParseError("a null byte after the source description items", offset=offset)
    return tuple(items), offset + 4 - offset % 4


__all__ = [
    "SDES_CNAME",
    "FullIntraRequest",
    "GenericNack",
    "Goodbye",
    "Packet",
    "PictureLossIndication",
    "ReceiverEstimatedMaxBitrate",
    "ReceiverReport",
    "ReportBlock",
    "SenderReport",
    "SourceChunk",
    "SourceDescription",
    "TransportFeedback",
    "Unknown",
    "compound",
    "parse_compound",
]
