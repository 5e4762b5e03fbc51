"""DTLS-SRTP on memory buffers (RFC 5764, RFC 8842): OpenSSL does the protocol, this is the pump around it.

OpenSSL's memory BIO is a stream: it knows no datagram boundaries. So each received datagram is fed alone and used up
before the next, and each flight is taken out whole and cut at the record boundaries into datagrams that fit the path.
The retransmission timer belongs to the caller, who asks `get_timer` and calls `handle_timer`.

No certificate is trusted by a chain; the fingerprint in the session description says whose it must be, and
`verify_fingerprint` compares. Until that was done, nothing that came through is known to be from the peer.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from rtcctl.errors import NetworkError
from rtcctl.transport.srtp import PROFILES, SrtpKeys, SrtpProfile

MTU = 1200
"Bytes of UDP payload in a datagram of a handshake; passes every path that carries IPv6."

_DTLS_1_2 = 0xFEFD
_RECORD_HEADER_SIZE = 13
_HASHES = {"sha-1", "sha-224", "sha-256", "sha-384", "sha-512"}
"Hash functions of RFC 8122 §5 that we can check; MD5 and MD2 are refused."


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate with its key, and the OpenSSL context that all sessions of a process share."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def generate(cls) -> Certificate:
        """A fresh P-256 certificate, valid for 30 days from yesterday (clocks differ)."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rtcctl")])
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(yesterday)
            .not_valid_after(yesterday + datetime.timedelta(days=31))
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 as a session description writes it (RFC 8122 §5)."""
        return fingerprint(self.certificate.public_bytes(serialization.Encoding.DER), "sha-256")

    @cached_property
    def context(self) -> SSL.Context:
        """The OpenSSL context: DTLS 1.2, forward secrecy, client certificates demanded, SRTP profiles offered."""
        context = SSL.Context(SSL.DTLS_METHOD)
        # DTLS 1.3 changes the record header by which flights are cut.
        context.set_max_proto_version(_DTLS_1_2)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(self.certificate)
        context.use_privatekey(self.key)
        context.set_cipher_list(b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES")
        context.set_tlsext_use_srtp(b":".join(profile.openssl_name for profile in PROFILES))
        return context


def fingerprint(der: bytes, algorithm: str) -> str:
    """A certificate's fingerprint: upper-case hexadecimal bytes with colons."""
    return hashlib.new(algorithm.replace("-", ""), der).digest().hex(":").upper()


class DtlsEndpoint:
    """One side of one DTLS association. Feed datagrams, drain datagrams, mind the timer."""

    def __init__(self, certificate: Certificate, *, is_server: bool) -> None:
        self._ssl = SSL.Connection(certificate.context, None)
        self._ssl.set_ciphertext_mtu(MTU)
        if is_server:
            self._ssl.set_accept_state()
        else:
            self._ssl.set_connect_state()
        self.is_server = is_server
        self.is_connected = False
        "The handshake is complete."
        self.is_closed = False
        "The peer or we have said close_notify."
        self._outbox: deque[bytes] = deque()

    def start(self) -> None:
        """Begin the handshake: the client's first flight."""
        self._advance()

    def receive_datagram(self, data: bytes | memoryview) -> list[bytes]:
        """Feed one datagram; returns the application data in it.

        NetworkError when the handshake or the association has failed. Records that do not belong are dropped, as
        RFC 6347 §4.1.2.7 wants it.
        """
        if self.is_closed:
            return []
        self._ssl.bio_write(bytes(data))
        return self._advance()

    def datagrams_to_send(self) -> Iterator[bytes]:
        """Drain what is to be sent."""
        while self._outbox:
            yield self._outbox.popleft()

    def get_timer(self) -> float | None:
        """Seconds until `handle_timer` is due; None when nothing waits to be sent again."""
        return self._ssl.DTLSv1_get_timeout() if not self.is_closed else None

    def handle_timer(self) -> None:
        """Send the last flight again (RFC 6347 §4.2.4). NetworkError when OpenSSL has given up."""
        try:
            self._ssl.DTLSv1_handle_timeout()
        except SSL.Error as exc:
            raise _failure(exc) from exc
        self._collect()

    def send(self, data: bytes) -> None:
        """Send application data, at most one record."""
        self._ssl.send(data)
        self._collect()

    def verify_fingerprint(self, fingerprints: Iterable[tuple[str, str]]) -> bool:
        """Whether the peer's certificate is one that the session description named (RFC 8122 §5)."""
        certificate = self._ssl.get_peer_certificate()
        if certificate is None:
            return False
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        return any(
            fingerprint(der, algorithm.lower()) == value.strip().upper()
            for algorithm, value in fingerprints
            if algorithm.lower() in _HASHES
        )

    def export_srtp_keys(self) -> SrtpKeys:
        """The SRTP profile that was agreed and both directions' keys (RFC 5764 §4.2)."""
        name = self._ssl.get_selected_srtp_profile()
        profile = next((p for p in PROFILES if p.openssl_name == name), None)
        if profile is None:
            raise NetworkError("the peer agreed to no SRTP profile", phase="dtls")
        size = profile.key_size + profile.salt_size
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * size, None)
        client, server = _split_keys(material, profile)
        return SrtpKeys(profile, server, client) if self.is_server else SrtpKeys(profile, client, server)

    def close(self) -> None:
        """Say close_notify; drain once more after this."""
        if not self.is_closed:
            self.is_closed = True
            if self.is_connected:
                with suppress(SSL.Error):  # when there is nothing to say any more
                    self._ssl.shutdown()
                self._collect()

    def _advance(self) -> list[bytes]:
        received: list[bytes] = []
        try:
            if not self.is_connected:
                self._ssl.do_handshake()
                self.is_connected = True
            while True:
                received.append(self._ssl.recv(1 << 14))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.is_closed = True
        except SSL.Error as exc:
            self._collect()  # the alert that says why
            self.is_closed = True
            raise _failure(exc) from exc
        self._collect()
        return received

    def _collect(self) -> None:
        flight = bytearray()
        while True:
            try:
                flight += self._ssl.bio_read(1 << 14)
            except SSL.WantReadError:
                break
        self._outbox.extend(cut_flight(bytes(flight)))


def is_client_hello(data: bytes) -> bool:
    """Whether a datagram begins a handshake: a record of epoch 0 with the first message of a client (RFC 6347 §4.2)."""
    return len(data) > _RECORD_HEADER_SIZE and data[0] == 22 and data[3:5] == b"\0\0" and data[13] == 1


def cut_flight(flight: bytes, mtu: int = MTU) -> list[bytes]:
    """Cut a flight into datagrams of whole records (RFC 6347 §4.1.1), as many in each as fit `mtu` bytes."""
    datagrams: list[bytes] = []
    start = end = 0
    while end < len(flight):
        size = _RECORD_HEADER_SIZE + int.from_bytes(flight[end + 11 : end + 13], "big")
        if end > start and end + size - start > mtu:
            datagrams.append(flight[start:end])
            start = end
        end += size
    if end > start:
        datagrams.append(flight[start:end])
    return datagrams


def _split_keys(material: bytes, profile: SrtpProfile) -> tuple[bytes, bytes]:
    """Client's and server's master key with salt: key, key, salt, salt (RFC 5764 §4.2)."""
    key, salt = profile.key_size, profile.salt_size
    salts = material[2 * key :]
    return material[:key] + salts[:salt], material[key : 2 * key] + salts[salt:]


def _failure(exc: SSL.Error) -> NetworkError:
    reasons = exc.args[0] if exc.args and isinstance(exc.args[0], list) else []
    reason = reasons[-1][-1] if reasons else type(exc).__name__
    return NetworkError(f"DTLS failed: {reason}", phase="dtls", hint="is this the peer that made the description?")
