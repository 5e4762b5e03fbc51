"""What a profile may be called, and what an API base and a secret may look like."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from urllib.parse import urlsplit

from rtcctl.errors import UsageError

LOCAL = "local"
"The embedded server of this machine."
ENV = "env"
"What the environment alone gives."

MIN_SECRET = 16
"Characters of a secret that a user makes up for the embedded server, which may be open to a network."

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_name(name: str) -> str:
    """A name that a file may define; raises `UsageError`."""
    if name in (LOCAL, ENV):
        raise UsageError(f"{name} is a profile of rtcctl's own and cannot be defined.", hint="Choose another name.")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} cannot be the name of a profile.",
            hint="Up to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit.",
        )
    return name


def checked_api_base(text: str, origin: str) -> str:
    """An API base without trailing slash; raises `UsageError` that names `origin`."""
    text = text.strip().rstrip("/")
    problem = _problem(text)
    if problem:
        # The value is not repeated: a secret may have been put there by mistake.
        raise UsageError(
            f"The API base from {origin} {problem}.",
            hint="It looks like https://rtc.live.cloudflare.com/v1, without the app and without a query.",
        )
    return text


def _problem(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not host:
        return "is not an http or https URL"
    if not text.isascii() or not text.isprintable() or " " in text:
        return "holds characters that no URL has"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password"
    if parts.query or parts.fragment:
        return "has a query or a fragment"
    if "apps" in parts.path.split("/"):
        return "goes on with /apps, which rtcctl adds itself"
    return ""


def is_fit_secret(secret: str) -> bool:
    """Whether a made-up text can be a secret: it travels in an HTTP header."""
    return len(secret) >= MIN_SECRET and secret.isascii() and secret.isprintable() and " " not in secret


def is_unprotected(api_base: str) -> bool:
    """Whether a secret would travel in clear text over a network."""
    parts = urlsplit(api_base)
    host = parts.hostname or ""
    if parts.scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return False
    with suppress(ValueError):
        return not ipaddress.ip_address(host).is_loopback
    return True
