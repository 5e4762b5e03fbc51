"""Capture files, read back byte by byte."""

from __future__ import annotations

import struct

import pytest

from rtcctl.media import pcap
from rtcctl.media.rtcp import ReceiverReport, compound

RTP = struct.pack("!BBHIIHH4s", 0x90, 0x80 | 111, 7, 960, 0xCAFE, 0xBEDE, 1, b"\x10\x30\0\0") + b"what was said"


def test_the_file_header():
    """Little-endian microseconds, version 2.4, raw IP."""
    assert struct.unpack("<IHHiIII", pcap.FILE_HEADER) == (0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)


def test_rtp_is_cut_behind_its_extensions():
    """Headers stay, no byte of the payload does, and the record tells how long the packet was."""
    record = pcap.record(RTP, ("192.0.2.1", 4000), ("192.0.2.2", 5000), 1700000000.25)
    seconds, microseconds, kept, there_were = struct.unpack_from("<IIII", record)
    assert (seconds, microseconds) == (1700000000, 250000)
    assert there_were == 20 + 8 + len(RTP)
    assert kept == len(record) - 16 == 20 + 8 + 20
    ip, udp, rtp = record[16:36], record[36:44], record[44:]
    assert ip[0] == 0x45
    assert struct.unpack_from("!H", ip, 2) == (there_were,)
    assert ip[9] == 17
    assert (ip[12:16], ip[16:20]) == (bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
    assert sum(struct.unpack("!10H", ip)) % 0xFFFF == 0, "the header checksum"
    assert struct.unpack("!HHHH", udp) == (4000, 5000, 8 + len(RTP), 0)
    assert rtp == RTP[:20]
    assert b"said" not in record


def test_rtcp_is_kept_whole():
    """It carries no media."""
    packet = compound(ReceiverReport(0xCAFE))
    record = pcap.record(packet, ("192.0.2.1", 4000), ("192.0.2.2", 5000), 0.0)
    assert record.endswith(packet)
    kept, there_were = struct.unpack_from("<II", record, 8)
    assert kept == there_were


def test_ipv6_has_a_true_checksum():
    """Which UDP over IPv6 must have (RFC 8200 §8.1)."""
    record = pcap.record(RTP, ("2001:db8::1", 4000), ("2001:db8::2", 5000), 0.0)
    packet = record[16:]
    assert packet[0] >> 4 == 6
    size = struct.unpack_from("!H", packet, 4)[0]
    assert size == 8 + len(RTP)
    datagram = packet[40:48] + RTP
    pseudo = packet[8:40] + struct.pack("!II", size, 17) + datagram + b"\0" * (len(datagram) % 2)
    assert sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo)) % 0xFFFF == 0


@pytest.mark.parametrize("packet", [b"\x80", b"\x9f" * 12, b"", b"\x8f\x6f" + b"\0" * 10])
def test_what_is_no_rtp_keeps_twelve_bytes_at_most(packet: bytes):
    """A transport looks at nothing but the length; a record is whole whatever came."""
    record = pcap.record(packet, ("a-name.local", 1), ("192.0.2.2", 2), 0.0)
    kept, there_were = struct.unpack_from("<II", record, 8)
    assert kept == len(record) - 16 <= 28 + 12
    assert there_were == 28 + len(packet)
