"""A capture file of RTP and RTCP as Wireshark reads it (draft-ietf-opsawg-pcap), without what people said and showed.

Packets are in the clear, in an IP and UDP header of their path, and RTP is cut behind its header and extensions: the
record keeps the length that the packet had. RTCP is kept as a whole.

    file     magic, version 2.4, time zone 0, 0, snapshot length, link type 101 (raw IP)
    record   seconds, microseconds, bytes kept, bytes there were
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from rtcctl.errors import ParseError
from rtcctl.media.rtp import RtpHeader, is_rtcp

FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)

_RECORD = struct.Struct("<IIII")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_UDP = struct.Struct("!HHHH")
_UDP_NUMBER, _HOPS = 17, 64

Address = tuple[str, int]


def record(packet: bytes, source: Address, destination: Address, wallclock: float) -> bytes:
    """A packet of RTP or RTCP, from one address to the other. `wallclock`: seconds since the epoch."""
    headers = _ip_and_udp(packet, source, destination)
    kept = headers + packet[: _kept_bytes(packet)]
    seconds, microseconds = divmod(round(wallclock * 1_000_000), 1_000_000)
    return _RECORD.pack(seconds & 0xFFFFFFFF, microseconds, len(kept), len(headers) + len(packet)) + kept


def _kept_bytes(packet: bytes) -> int:
    """How much of a packet is not what somebody said or showed."""
    if is_rtcp(packet):
        return len(packet)
    try:
        return RtpHeader.parse(packet).header_size
    except ParseError:
        return min(12, len(packet))


def _ip_and_udp(packet: bytes, source: Address, destination: Address) -> bytes:
    """The headers of a UDP datagram."""
    from_, to = _ip(source[0]), _ip(destination[0])
    size = _UDP.size + len(packet)
    if isinstance(from_, IPv4Address) and isinstance(to, IPv4Address):
        # Of UDP over IPv4, 0 says that there is no checksum (RFC 768).
        udp = _UDP.pack(source[1], destination[1], size, 0)
        fields = (0x45, 0, _IPV4.size + size, 0, 0x4000, _HOPS, _UDP_NUMBER)
        checksum = _checksum(_IPV4.pack(*fields, 0, from_.packed, to.packed))
        return _IPV4.pack(*fields, checksum, from_.packed, to.packed) + udp
    ends = _as_ipv6(from_) + _as_ipv6(to)
    udp = _UDP.pack(source[1], destination[1], size, 0)
    pseudo = ends + struct.pack("!II", size, _UDP_NUMBER)
    udp = _UDP.pack(source[1], destination[1], size, _checksum(pseudo + udp + packet) or 0xFFFF)
    return _IPV6.pack(0x60000000, size, _UDP_NUMBER, _HOPS, ends[:16], ends[16:]) + udp


def _ip(text: str) -> IPv4Address | IPv6Address:
    """A candidate's address; one that is a name (mDNS) has none."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return IPv4Address(0)


def _as_ipv6(address: IPv4Address | IPv6Address) -> bytes:
    """An IPv4 address at one end alone: where a name stands for the other (RFC 4291 §2.5.5.2)."""
    return address.packed if isinstance(address, IPv6Address) else b"\0" * 10 + b"\xff\xff" + address.packed


def _checksum(data: bytes) -> int:
    """Of the Internet (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
