"""What a certificate says of itself, trusted or not."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class CertificateDetails:
    """See the module."""

    names: tuple[str, ...]
    "Host names and addresses that it is for."
    issuer: str
    "Organisation and name of who signed it."
    not_after: datetime.datetime


def describe(der: bytes) -> CertificateDetails | None:
    """Read a certificate; `None` for what is none."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return CertificateDetails(_names(certificate), _issuer(certificate), certificate.not_valid_after_utc)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return tuple(str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
    return (
        *covered.get_values_for_type(x509.DNSName),
        *(str(address) for address in covered.get_values_for_type(x509.IPAddress)),
    )


def _issuer(certificate: x509.Certificate) -> str:
    parts = [
        str(attribute.value)
        for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
        for attribute in certificate.issuer.get_attributes_for_oid(kind)
    ]
    return " ".join(dict.fromkeys(parts)) or certificate.issuer.rfc4514_string()
