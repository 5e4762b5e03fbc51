"""DTLS-SRTP on memory buffers: two ends and a wire that loses, repeats and reorders."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from rtcctl.errors import NetworkError
from rtcctl.transport.dtls import MTU, Certificate, DtlsEndpoint, cut_flight, fingerprint
from rtcctl.transport.srtp import SrtpSession

CERTIFICATES = (Certificate.generate(), Certificate.generate())


def pair():
    return DtlsEndpoint(CERTIFICATES[0], is_server=True), DtlsEndpoint(CERTIFICATES[1], is_server=False)


def run(server, client, lose=lambda data: False):
    """Carry datagrams until both are silent; returns them all."""
    carried = []
    while True:
        flights = [(client, list(server.datagrams_to_send())), (server, list(client.datagrams_to_send()))]
        if not any(datagrams for _, datagrams in flights):
            return carried
        for receiver, datagrams in flights:
            for data in datagrams:
                carried.append(data)
                if not lose(data):
                    receiver.receive_datagram(data)


def test_handshake():
    """Both ends connect, know each other's certificate, and derive keys that fit."""
    server, client = pair()
    client.start()
    carried = run(server, client)
    assert server.is_connected
    assert client.is_connected
    assert all(len(data) <= MTU for data in carried)
    assert server.verify_fingerprint([("sha-256", CERTIFICATES[1].fingerprint)])
    assert client.verify_fingerprint([("SHA-256", CERTIFICATES[0].fingerprint.lower())])
    assert server.get_timer() is None or server.get_timer() > 0
    keys = server.export_srtp_keys(), client.export_srtp_keys()
    assert keys[0].profile.openssl_name == b"SRTP_AEAD_AES_128_GCM"
    assert (keys[0].local, keys[0].remote) == (keys[1].remote, keys[1].local)
    assert "local" not in repr(keys[0])
    ours, theirs = SrtpSession(keys[0]), SrtpSession(keys[1])
    packet = bytes([0x80, 111]) + bytes(30)
    assert theirs.unprotect_rtp(ours.protect_rtp(packet)) == packet
    for session in (ours, theirs):
        session.close()


@pytest.mark.parametrize(
    "named",
    [
        (),
        (("sha-256", CERTIFICATES[0].fingerprint),),
        (("md5", "00"),),
        (("sha-256", ""),),
        (("nonsense", CERTIFICATES[1].fingerprint),),
    ],
)
def test_wrong_fingerprint(named):
    """Another certificate than the description's is recognised, unknown and weak hash functions verify nothing."""
    server, client = pair()
    assert not server.verify_fingerprint((("sha-256", CERTIFICATES[1].fingerprint),)), "nobody there yet"
    client.start()
    run(server, client)
    assert not server.verify_fingerprint(named)
    assert server.verify_fingerprint((*named, ("sha-256", CERTIFICATES[1].fingerprint)))


def test_lost_flights_are_sent_again():
    """A handshake survives the loss of each of its datagrams, by the timer."""
    server, client = pair()
    client.start()
    seen = set()

    def lose_first_time(data):
        is_new = len(seen) < 3 and data not in seen
        seen.add(data)
        return is_new

    run(server, client, lose_first_time)
    assert not client.is_connected
    due = client.get_timer()
    assert due is not None
    assert 0 < due <= 1
    for _ in range(5):
        if client.is_connected and server.is_connected:
            break
        _sleep_until_due(client, server)
        client.handle_timer()
        server.handle_timer()
        run(server, client, lose_first_time)
    assert client.is_connected
    assert server.is_connected


def _sleep_until_due(*endpoints):
    # OpenSSL reads the clock itself, so this test alone has to wait for it.
    time.sleep(max((endpoint.get_timer() or 0) for endpoint in endpoints) + 0.01)


def test_repeated_datagrams():
    """A wire that doubles everything changes nothing."""
    server, client = pair()
    client.start()
    for _ in range(8):
        for receiver, sender in ((server, client), (client, server)):
            for data in sender.datagrams_to_send():
                receiver.receive_datagram(data)
                receiver.receive_datagram(data)
    assert server.is_connected
    assert client.is_connected


def test_application_data_and_close():
    """Data arrives whole; close_notify is told to the other side, and is final."""
    server, client = pair()
    client.start()
    run(server, client)
    client.send(b"hello")
    (datagram,) = client.datagrams_to_send()
    assert server.receive_datagram(datagram) == [b"hello"]
    client.close()
    (datagram,) = client.datagrams_to_send()
    assert server.receive_datagram(datagram) == []
    assert server.is_closed
    assert server.receive_datagram(datagram) == []
    assert server.get_timer() is None
    client.close()
    assert list(client.datagrams_to_send()) == []


def test_close_before_the_handshake():
    """Nothing is said to a peer that was never there."""
    server, _ = pair()
    server.close()
    assert list(server.datagrams_to_send()) == []


def handshake_with(server, context):
    """Let a bare OpenSSL client connect."""
    client = SSL.Connection(context, None)
    client.set_connect_state()
    for _ in range(6):
        with suppress(SSL.WantReadError):
            client.do_handshake()
        with suppress(SSL.WantReadError):
            server.receive_datagram(client.bio_read(4096))
        for data in server.datagrams_to_send():
            client.bio_write(data)


def test_peer_without_srtp():
    """A peer that does DTLS but no SRTP profile is an error of the network kind."""
    server, _ = pair()
    context = SSL.Context(SSL.DTLS_METHOD)
    context.use_certificate(CERTIFICATES[1].certificate)
    context.use_privatekey(CERTIFICATES[1].key)
    handshake_with(server, context)
    assert server.is_connected
    with pytest.raises(NetworkError, match="no SRTP profile") as caught:
        server.export_srtp_keys()
    assert caught.value.phase == "dtls"


def test_peer_without_certificate():
    """A client that shows no certificate is refused with an alert."""
    server, _ = pair()
    with pytest.raises(NetworkError, match="DTLS failed"):
        handshake_with(server, SSL.Context(SSL.DTLS_METHOD))
    assert list(server.datagrams_to_send()), "the alert"
    assert server.is_closed


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=5), st.integers(0, 1 << 30), st.floats(0, 0.3))
def test_noise(noise, seed, share):
    """Garbage and damaged records before and during a handshake break it at worst with a NetworkError."""
    server, client = pair()
    draw = random.Random(seed)
    client.start()
    try:
        for data in noise:
            server.receive_datagram(b"\x16" + data)
        for _ in range(6):
            for receiver, sender in ((server, client), (client, server)):
                for data in sender.datagrams_to_send():
                    damaged = bytearray(data)
                    if draw.random() < share:
                        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
                    receiver.receive_datagram(bytes(damaged))
    except NetworkError:
        return
    assert server.is_connected or share or noise


@given(st.lists(st.binary(max_size=1400), max_size=12))
def test_cut_flight(bodies):
    """A flight is cut between records only, nothing is lost, and no datagram holds more than fits or one record."""
    records = [bytes([22, 254, 253]) + bytes(8) + len(body).to_bytes(2, "big") + body for body in bodies]
    datagrams = cut_flight(b"".join(records))
    assert b"".join(datagrams) == b"".join(records)
    rest = list(records)
    for datagram in datagrams:
        own = [rest.pop(0)]
        while len(b"".join(own)) < len(datagram):
            own.append(rest.pop(0))
        assert b"".join(own) == datagram
        assert len(datagram) <= MTU or len(own) == 1


def test_fingerprint_format():
    """Upper-case bytes with colons."""
    assert fingerprint(b"", "sha-1").startswith("DA:39:A3")
    assert len(CERTIFICATES[0].fingerprint) == 95
