"""A tap gives the bytes that a socket would send: the same packets, one by one, with whom they are for."""

from __future__ import annotations

import socket

import pytest
from pylibsrtp._binding import ffi

from rtcctl.media.rtp import build_packet
from rtcctl.transport.srtp import PROFILES, SrtpKeys, SrtpSession
from rtcctl.transport.tap import Tap
from rtcctl.transport.udp import SLOTS, bind_udp

KEYS = [bytes([i]) * 28 for i in range(3)]
PACKET = build_packet(b"x" * 100, payload_type=1, sequence_number=2, rtp_timestamp=3, ssrc=4, extensions={4: b"0"})
MID_AT = 12 + 4 + 1
"Behind the fixed header and the heads of the extensions."


class Ends:
    """A socket and a tap, each with the same keys, and where the packets of the socket arrive."""

    def __init__(self, profile=PROFILES[0]):
        self.sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sink.bind(("127.0.0.1", 0))
        self.sink.settimeout(2)
        self.address = self.sink.getsockname()
        self.udp = bind_udp("127.0.0.1", 0)
        self.taken = []
        self.tap = Tap(self.udp, lambda data, addr: self.taken.append((data, addr)))
        self.sessions = []
        self.profile = profile

    def senders(self):
        """One session each: libsrtp remembers what it has sent."""
        sessions = [SrtpSession(SrtpKeys(self.profile, key, bytes(28))) for key in KEYS]
        self.sessions += sessions
        return [session.sender for session in sessions]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for session in self.sessions:
            session.close()
        self.udp.close()
        self.sink.close()

    def arrived(self, count):
        self.udp.flush()
        return [self.sink.recv(2048) for _ in range(count)]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.openssl_name.decode())
@pytest.mark.parametrize("packet", [PACKET, ffi.from_buffer(PACKET)], ids=["bytes", "pointer"])
def test_protected(profile, packet):
    """Of many targets each gets its own packet; one that libsrtp refuses is left out; more than a batch holds."""
    with Ends(profile) as ends:
        found = []
        for to in (ends.udp, ends.tap):
            name, keep = to.name_of(ends.address)
            to.put_protected(packet, len(PACKET), [(sender, name) for sender in ends.senders()])
            to.put_protected(b"\x80", 1, [(ends.senders()[0], name)])
            found.append(ends.arrived(3) if to is ends.udp else [data for data, _ in ends.taken])
            del keep
        assert found[0] == found[1]
        assert len(set(found[0])) == 3
        assert {addr for _, addr in ends.taken} == {ends.address}
        senders = ends.senders()
        ends.tap.put_protected(packet, len(PACKET), [(senders[0], ends.tap.name_of(ends.address)[0])] * (SLOTS + 1))
        assert len(ends.taken) == 3 + SLOTS + 1


def test_patched():
    """The same for packets that differ in some bytes; the packet itself stays as it was."""
    with Ends() as ends:
        memory = bytearray(PACKET)
        found = []
        for to in (ends.udp, ends.tap):
            name, keep = to.name_of(ends.address)
            targets = [(sender, name, mid) for sender, mid in zip(ends.senders(), (b"1", b"2", b"3"), strict=True)]
            to.put_patched(ffi.from_buffer(memory), len(memory), MID_AT, targets)
            found.append(ends.arrived(3) if to is ends.udp else [data for data, _ in ends.taken])
            del keep
        assert found[0] == found[1]
        assert bytes(memory) == PACKET
        receiver = SrtpSession(SrtpKeys(PROFILES[0], bytes(28), KEYS[1]))
        ends.sessions.append(receiver)
        assert receiver.unprotect_rtp(found[1][1]) == PACKET[:MID_AT] + b"2" + PACKET[MID_AT + 1 :]


def test_as_it_is():
    """RTCP comes encrypted; what is taken is a copy, which later packets leave alone."""
    with Ends() as ends:
        name, _ = ends.tap.name_of(ends.address)
        ends.tap.put(b"rtcp", name)
        ends.tap.put_protected(PACKET, len(PACKET), [(ends.senders()[0], name)])
        first = ends.taken[1][0]
        kept = bytes(first)
        ends.tap.put_protected(PACKET, len(PACKET), [(ends.senders()[1], name)])
        assert ends.taken[0] == (b"rtcp", ends.address)
        assert first == kept != ends.taken[2][0]


def test_names_and_flush():
    """A name is equal to no other, nor to a socket's; what came out of the tap into the socket's batch is flushed."""
    with Ends() as ends:
        assert ends.tap.name_of(ends.address)[0] != ends.tap.name_of(ends.address)[0]
        name, keep = ends.udp.name_of(ends.address)
        ends.udp.put(b"straight", name)
        ends.tap.flush()
        assert (ends.udp.count, ends.sink.recv(100)) == (0, b"straight")
        del keep
