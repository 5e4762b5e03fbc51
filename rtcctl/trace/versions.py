"""What a trace was made with."""

from __future__ import annotations

import platform
import ssl
from importlib.metadata import PackageNotFoundError, version

from rtcctl import __version__

PACKAGES = ("aiortc", "aioice", "av", "pylibsrtp", "pyopenssl", "cryptography", "httpx", "uvicorn", "uvloop")


def versions() -> dict[str, str]:
    """By name; packages that are not installed are left out."""
    found = {"rtcctl": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"OpenSSL": ssl.OPENSSL_VERSION, "platform": platform.platform()}
