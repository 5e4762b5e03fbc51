"""Where the API is, and why it cannot be reached: name, connection and TLS told apart."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from rtcctl.errors import NetworkError, UsageError
from rtcctl.realtime.lean_httpx import httpx
from rtcctl.realtime.masking import presentable

CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host and port of an API base."""

    host: str
    port: int
    is_tls: bool

    @classmethod
    def of(cls, api_base: str) -> Endpoint:
        """Raises `UsageError` for what is no http or https URL."""
        try:
            parts = urlsplit(api_base)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError(
                f"The API base {presentable(api_base, ())} is not an http or https URL.",
                hint="For example https://rtc.live.cloudflare.com/v1",
            )
        is_tls = parts.scheme == "https"
        return cls(host, port or (443 if is_tls else 80), is_tls)

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine itself, by name or address."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False


def explain_connect_failure(exc: Exception, endpoint: Endpoint) -> tuple[NetworkError, bool]:
    """The error behind httpx's one, and whether another attempt would meet it again."""
    where = f"{endpoint.host}:{endpoint.port}"
    for cause in _causes(exc):
        match cause:
            case ssl.SSLCertVerificationError():
                return (
                    NetworkError(
                        f"The TLS certificate of {where} is not trusted: {cause.verify_message}.",
                        phase="tls",
                        hint="For a private certificate authority set SSL_CERT_FILE to its certificate. Otherwise "
                        "somebody else answers under that name: check the API base.",
                    ),
                    True,
                )
            case ssl.SSLError():
                return (
                    NetworkError(
                        f"TLS with {where} failed: {getattr(cause, 'reason', None) or 'unknown reason'}.",
                        phase="tls",
                        hint="Does it speak https at all? An http API base starts with http://.",
                    ),
                    True,
                )
            case socket.gaierror():
                return (
                    NetworkError(
                        f"The name {endpoint.host} cannot be resolved: {cause.strerror}.",
                        phase="dns",
                        hint="Is this machine online, and the API base right? rtcctl config show --origin",
                    ),
                    cause.errno != socket.EAI_AGAIN,
                )
            case ConnectionRefusedError() if endpoint.is_loopback:
                return (
                    NetworkError(
                        f"No Realtime server listens on {where}.", phase="tcp", hint="Start one with `rtcctl dev`."
                    ),
                    True,
                )
            case ConnectionRefusedError():
                return (
                    NetworkError(
                        f"{where} refused the connection: nothing listens on that port.",
                        phase="tcp",
                        hint="Is the API base right? rtcctl config show --origin",
                    ),
                    False,
                )
    if isinstance(exc, httpx.ConnectTimeout):
        error = NetworkError(
            f"{where} did not accept a connection within {CONNECT_TIMEOUT_S:.0f} s.",
            phase="tcp",
            hint="Is a firewall in between, or a proxy needed (HTTPS_PROXY)?",
        )
        return error, False
    reasons = [cause.strerror for cause in _causes(exc) if isinstance(cause, OSError) and cause.strerror]
    reason = reasons[-1] if reasons else "the connection was closed"
    error = NetworkError(
        f"{where} cannot be reached: {reason}.", phase="tcp", hint="Is this machine online, and the API base right?"
    )
    return error, False


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exceptions behind `exc`, outermost first; several attempts on several addresses come as a group."""
    seen: set[int] = set()
    queue: list[BaseException] = [exc]
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            queue.extend(current.exceptions)
        queue.extend(cause for cause in (current.__cause__, current.__context__) if cause is not None)
