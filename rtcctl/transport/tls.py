"""A certificate for HTTPS of the embedded server, with an authority of its own.

Theory of operation. Browsers trust authorities, and Firefox takes none as a server's certificate: so there are two
certificates. The authority's key is thrown away when it has signed the server's: whoever trusts the authority trusts
that one certificate and nothing that could ever be made later, not even by us. Both end on the same day, and are made
anew together.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=397)
"Browsers refuse what is valid for longer than 398 days."
RENEWAL = datetime.timedelta(days=30)
"How long before its end a certificate is made anew."


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a server's certificate is, in PEM."""

    server: Path
    "Key and chain, for the server alone."
    authority: Path
    "What clients are to trust."


@dataclass(frozen=True, slots=True)
class Pem:
    """A server's key and chain, and the authority at the end of it."""

    server: str = field(repr=False)
    authority: str


@contextmanager
def temporary(names: Sequence[str], now: datetime.datetime) -> Iterator[TlsFiles]:
    """Files of a certificate that is needed while the body runs, and never again."""
    pem = generate(names, now)
    with tempfile.TemporaryDirectory(prefix="rtcctl-tls-") as folder:  # which its owner alone can read
        files = TlsFiles(server=Path(folder, "server.pem"), authority=Path(folder, "ca.pem"))
        files.server.write_text(pem.server, "ascii")
        files.authority.write_text(pem.authority, "ascii")
        yield files


def generate(names: Sequence[str], now: datetime.datetime) -> Pem:
    """For a server with these host names and addresses, from yesterday on (clocks differ)."""
    start = now - datetime.timedelta(days=1)
    end = start + LIFETIME
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    # Of two authorities with one name, some clients would try the wrong one.
    authority_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority_name = _name(f"rtcctl dev {authority_id.digest.hex()[:8]}")
    authority = (
        x509.CertificateBuilder(
            authority_name, authority_name, authority_key.public_key(), x509.random_serial_number(), start, end
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .add_extension(authority_id, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        x509.CertificateBuilder(
            authority_name, _name("rtcctl dev"), key.public_key(), x509.random_serial_number(), start, end
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pem(private.decode("ascii") + _pem(server) + _pem(authority), _pem(authority))


def authority_of(server: str, names: Sequence[str], now: datetime.datetime) -> str | None:
    """The authority (PEM) of a server's file; `None` where the file is not to be used any more, or is none."""
    try:
        key = serialization.load_pem_private_key(server.encode("ascii"), None)
        leaf, authority = x509.load_pem_x509_certificates(server.encode("ascii"))
        leaf.verify_directly_issued_by(authority)
        covered = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return None
    is_fit = (
        key.public_key() == leaf.public_key()
        and set(covered) >= {_general_name(name) for name in names}
        and leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc - RENEWAL
    )
    return _pem(authority) if is_fit else None


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
