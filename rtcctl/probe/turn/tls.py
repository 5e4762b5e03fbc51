"""The TLS handshake with a TURN server, and what its certificate tells, trusted or not."""

from __future__ import annotations

import datetime
import re
import socket
import ssl
from dataclasses import dataclass

from rtcctl.errors import NetworkError
from rtcctl.probe.turn.link import Address, Link, connect_tcp, open_stream
from rtcctl.results.turn_check import TlsReport

try:
    from rtcctl.transport.certificate import describe
except ImportError:  # cryptography comes with an extra; without it the certificate is verified, but not described
    describe = None  # type: ignore[assignment]

_INTERCEPTORS = re.compile(
    r"zscaler|netskope|palo ?alto|fortinet|fortigate|check ?point|blue ?coat|symantec web|websense|forcepoint|"
    r"cisco umbrella|opendns|sophos|mcafee web|skyhigh|watchguard|sonicwall|barracuda|untangle|smoothwall|"
    r"lightspeed|securly|kaspersky|eset ssl|bitdefender|avast|avg technologies|adguard|mitmproxy|charles proxy|"
    r"fiddler|burp|cloudflare for teams|gateway ca - cloudflare",
    re.IGNORECASE,
)
"Products that open TLS on the way, as they name themselves in the certificates that they make."

_WORDS = {
    "certificate has expired": "certificate has expired",
    "certificate is not yet valid": "certificate is not valid yet",
    "self-signed certificate": "certificate is signed by itself",
    "self-signed certificate in certificate chain": "certificate is signed by an authority that is not trusted here",
    "unable to get local issuer certificate": "certificate is signed by an authority that is not trusted here",
    "unable to verify the first certificate": "certificate comes without its chain",
}
"OpenSSL's reasons in words."


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to trust. `ca_file`: that authority alone, in place of the system's. `is_insecure`: anybody."""

    ca_file: str = ""
    is_insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """Raises `OSError` where the file cannot be read."""
        if self.is_insecure:
            return _trusting()
        return ssl.create_default_context(cafile=self.ca_file or None)


class UntrustedError(NetworkError):
    """The certificate is not to be trusted; `report` has what it says."""

    def __init__(self, report: TlsReport) -> None:
        super().__init__(f"TLS: {report.problem}.", phase="tls")
        self.report = report


async def open_tls(
    sock: socket.socket, address: Address, host: str, trust: Trust, wallclock: float, *, timeout_s: float
) -> tuple[Link, TlsReport]:
    """TLS over a connection to `address`. `host` is what the certificate must be for, `wallclock` today.

    Raises `UntrustedError`, and `NetworkError` with phase `tls`.
    """
    try:
        link = await open_stream(sock, host, trust.context(), timeout_s)
    except ssl.SSLCertVerificationError as exc:
        problem = _problem(exc)
        raise UntrustedError(await _look(address, host, problem, wallclock, timeout_s)) from exc
    except ssl.SSLError as exc:
        reason = (exc.reason or "unknown reason").replace("_", " ").lower()
        if exc.reason in ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"):
            reason = "the server does not speak TLS on this port"
        raise NetworkError(f"The TLS handshake failed: {reason}.", phase="tls") from exc
    return link, _report(link, None, wallclock, is_verified=not trust.is_insecure)


async def _look(address: Address, host: str, problem: str, wallclock: float, timeout_s: float) -> TlsReport:
    """What a certificate says that is not trusted: it takes a second handshake, which asks for nothing."""
    try:
        link = await open_stream(await connect_tcp(address, timeout_s), host, _trusting(), timeout_s)
    except (NetworkError, ssl.SSLError):
        return TlsReport(None, (), None, None, False, problem, None)
    link.close()
    return _report(link, problem, wallclock, is_verified=False)


def _report(link: Link, problem: str | None, wallclock: float, *, is_verified: bool) -> TlsReport:
    assert link.tls is not None
    names: tuple[str, ...] = ()
    issuer = days_left = None
    details = None if describe is None else describe(link.tls.certificate_der)
    if details is not None:
        names, issuer = details.names, details.issuer
        today = datetime.datetime.fromtimestamp(wallclock, datetime.UTC)
        days_left = (details.not_after - today).total_seconds() / 86_400
    intercepted = _INTERCEPTORS.search(issuer or "")
    return TlsReport(
        version=link.tls.version,
        names=names,
        issuer=issuer,
        days_left=days_left,
        is_verified=is_verified,
        problem=problem,
        intercepted_by=issuer if intercepted else None,
    )


def _problem(exc: ssl.SSLCertVerificationError) -> str:
    message = exc.verify_message or str(exc)
    if "mismatch" in message:
        return "certificate is for another name"
    return _WORDS.get(message, f"certificate is not trusted ({message})")


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
