"""Batches of UDP packets on loopback: a socket is what this module is about, so these tests open some."""

from __future__ import annotations

import socket
import sys

import pytest

from rtcctl.media.rtp import build_packet
from rtcctl.transport.srtp import PROFILES, SrtpKeys, SrtpSession
from rtcctl.transport.udp import SLOT_SIZE, SLOTS, MmsgUdpSocket, UdpSocket, bind_udp


def plain_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return UdpSocket(sock)


@pytest.fixture(params=["sendto", "sendmmsg"])
def udp(request):
    if request.param == "sendmmsg" and sys.platform != "linux":
        pytest.skip("sendmmsg is Linux's")
    udp = plain_socket() if request.param == "sendto" else bind_udp("127.0.0.1", 0)
    assert isinstance(udp, MmsgUdpSocket) == (request.param == "sendmmsg")
    yield udp
    udp.close()


@pytest.fixture
def sink():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(2)
        yield sock


def test_batch(udp, sink):
    """More packets than a batch has slots arrive all, in order, with their sizes."""
    name, keep = udp.name_of(sink.getsockname())
    packets = [bytes([i % 256]) * (1 + i) for i in range(SLOTS + 7)]
    for data in packets:
        udp.put(data, name)
    assert udp.count == 7
    udp.flush()
    assert udp.count == 0
    assert [sink.recv(2048) for _ in packets] == packets
    assert udp.packets_dropped == 0
    del keep


def test_a_packet_that_no_slot_holds(udp, sink):
    """It is dropped and counted; its neighbours in the batch stay what they are."""
    name, keep = udp.name_of(sink.getsockname())
    udp.put(b"before", name)
    udp.put(bytes(SLOT_SIZE + 1), name)
    udp.put(bytes(SLOT_SIZE), name)
    udp.flush()
    assert [sink.recv(9000) for _ in range(2)] == [b"before", bytes(SLOT_SIZE)]
    assert udp.packets_dropped == 1
    del keep


def test_protected_copies(udp, sink):
    """Each target gets the packet under its own keys; one that libsrtp refuses is left out."""
    keys = [bytes([i]) * 28 for i in range(3)]
    senders = [SrtpSession(SrtpKeys(PROFILES[0], key, bytes(28))) for key in keys]
    receivers = [SrtpSession(SrtpKeys(PROFILES[0], bytes(28), key)) for key in keys]
    name, keep = udp.name_of(sink.getsockname())
    packet = build_packet(b"x" * 100, payload_type=1, sequence_number=2, rtp_timestamp=3, ssrc=4)
    udp.put_protected(packet, len(packet), [(sender.sender, name) for sender in senders] * SLOTS)
    udp.put_protected(b"\x80", 1, [(senders[0].sender, name)])
    udp.flush()
    assert [receivers[i % 3].unprotect_rtp(sink.recv(2048)) for i in range(3)] == [packet] * 3
    for _ in range(3 * (SLOTS - 1)):
        sink.recv(2048)
    sink.setblocking(False)
    with pytest.raises(BlockingIOError):
        sink.recv(2048)
    for session in senders + receivers:
        session.close()
    del keep


def test_packets_the_kernel_refuses(udp, sink):
    """A packet without a way is dropped and counted; the ones around it go."""
    good, keep = udp.name_of(sink.getsockname())
    bad, keep_bad = udp.name_of(("255.255.255.255", 9))  # broadcast is not permitted
    for name in (good, bad, good, bad):
        udp.put(b"data", name)
    udp.flush()
    assert udp.packets_dropped == 2
    assert [sink.recv(100), sink.recv(100)] == [b"data"] * 2
    udp.send(b"data", ("255.255.255.255", 9))
    assert udp.packets_dropped == 3
    del keep, keep_bad


def test_close_sends_what_is_left(sink):
    """What was put before the end goes out."""
    udp = bind_udp("127.0.0.1", 0)
    name, keep = udp.name_of(sink.getsockname())
    udp.put(b"last", name)
    udp.close()
    assert sink.recv(100) == b"last"
    del keep


def test_port_in_use(udp):
    """A used port is an OSError, and nothing is left open."""
    with pytest.raises(OSError, match="in use"):
        bind_udp(*udp.address)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6():
    """The same over IPv6."""
    try:
        udp = bind_udp("::1", 0)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sink:
        sink.bind(("::1", 0))
        sink.settimeout(2)
        name, keep = udp.name_of(sink.getsockname())
        udp.put(b"six", name)
        udp.flush()
        assert sink.recv(100) == b"six"
        del keep
    udp.close()
