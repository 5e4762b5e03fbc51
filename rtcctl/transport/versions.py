"""What encrypts media."""

from __future__ import annotations

from OpenSSL import SSL


def openssl() -> str:
    """The OpenSSL that DTLS uses, which is not the one that Python was built with."""
    return SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii", "replace")
