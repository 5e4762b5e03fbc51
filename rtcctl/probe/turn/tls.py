"""Connecting to a TURN server; over TLS also what its certificate tells, trusted or not."""

from __future__ import annotations

import datetime
import re
import socket
import ssl
from functools import cached_property

from rtcctl.errors import NetworkError, UsageError
from rtcctl.media.server_url import ServerUrl
from rtcctl.probe.turn.link import Address, Link, connect_tcp, connect_udp, open_stream
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


class Trust:
    """Whom to trust. `ca_file`: that authority alone, in place of the system's. `is_insecure`: anybody."""

    def __init__(self, ca_file: str = "", *, is_insecure: bool = False) -> None:
        self.is_insecure = is_insecure
        self._ca_file = ca_file

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Made once, as reading the system's authorities takes a while. `UsageError` where a file cannot be read."""
        if self.is_insecure:
            return _trusting()
        try:
            return ssl.create_default_context(cafile=self._ca_file or None)
        except OSError as exc:
            raise UsageError(f"The authority in {self._ca_file} cannot be read: {exc.strerror or exc}.") from exc


class UntrustedError(NetworkError):
    """The certificate is not to be trusted; `report` has what it says."""

    def __init__(self, where: str, report: TlsReport) -> None:
        super().__init__(f"The certificate of {where} is not trusted: {report.problem}.", phase="tls")
        self.report = report


async def connect(url: ServerUrl, address: Address, trust: Trust, *, timeout_s: float) -> Link:
    """A link to one of the addresses of a URL, over what the URL says.

    `NetworkError` with phase `udp`, `tcp` or `tls`; for a certificate, an `UntrustedError`.
    """
    if url.protocol == "udp":
        return await connect_udp(address)
    sock = await connect_tcp(address, timeout_s)
    if url.protocol == "tcp":
        return await open_stream(sock, url.host, None, timeout_s)
    link, _ = await open_tls(sock, address, url.host, trust, timeout_s=timeout_s)
    return link


async def open_tls(
    sock: socket.socket, address: Address, host: str, trust: Trust, *, timeout_s: float
) -> tuple[Link, TlsReport]:
    """TLS over a connection to `address`. `host` is what the certificate must be for.

    Raises `UntrustedError`, and `NetworkError` with phase `tls`.
    """
    try:
        link = await open_stream(sock, host, trust.context, timeout_s)
    except ssl.SSLCertVerificationError as exc:
        report = await _look(address, host, _problem(exc), timeout_s)
        raise UntrustedError(f"{host}:{address[1]}", report) from exc
    except ssl.SSLError as exc:
        reason = (exc.reason or "unknown reason").replace("_", " ").lower()
        if exc.reason in ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"):
            reason = "the server does not speak TLS on this port"
        raise NetworkError(f"The TLS handshake failed: {reason}.", phase="tls") from exc
    return link, _report(link, None, is_verified=not trust.is_insecure)


async def _look(address: Address, host: str, problem: str, timeout_s: float) -> TlsReport:
    """What a certificate says that is not trusted: it takes a second handshake, which asks for nothing."""
    try:
        link = await open_stream(await connect_tcp(address, timeout_s), host, _trusting(), timeout_s)
    except (NetworkError, ssl.SSLError):
        return TlsReport(None, (), None, None, False, problem, None)
    link.close()
    return _report(link, problem, is_verified=False)


def _report(link: Link, problem: str | None, *, is_verified: bool) -> TlsReport:
    assert link.tls is not None
    names: tuple[str, ...] = ()
    issuer = days_left = None
    details = None if describe is None else describe(link.tls.certificate_der)
    if details is not None:
        names, issuer = details.names, details.issuer
        days_left = (details.not_after - datetime.datetime.now(datetime.UTC)).total_seconds() / 86_400
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
