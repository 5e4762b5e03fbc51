"""The certificate of `rtcctl dev --tls`: made when first needed and kept, so that trust given yesterday works today."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rtcctl.config.folders import make_private_folder, require_private, unwritable, write_private

if TYPE_CHECKING:
    from rtcctl.transport.tls import TlsFiles

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"What every certificate is for."

_SYSTEMS = tuple(
    map(
        Path,
        (
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/ca-bundle.pem",
            "/etc/ssl/cert.pem",
        ),
    )
)
"Where systems keep the authorities that they trust: Debian, Fedora, SUSE, Alpine and macOS."


def kept_certificate(state_dir: Path, names: Sequence[str], now: datetime) -> TlsFiles:
    """The files of a server's certificate for loopback and these names; renewed near its end, or when damaged.

    Raises `UsageError` where they cannot be kept.
    """
    from rtcctl.transport import tls

    others = sorted(set(names) - set(LOOPBACK))
    # A server elsewhere must not take away the trust that was given to the one on loopback.
    kind = hashlib.sha256("\n".join(others).encode()).hexdigest()[:12] if others else "localhost"
    folder = state_dir / "dev" / "tls" / kind
    files = tls.TlsFiles(server=folder / "server.pem", authority=folder / "ca.pem")
    wanted = (*LOOPBACK, *others)
    try:
        for each in (state_dir, state_dir / "dev", folder.parent, folder):
            make_private_folder(each)
        if files.server.exists():
            require_private(files.server)
        authority = tls.authority_of(_text(files.server), wanted, now)
        if authority is None:
            made = tls.generate(wanted, now)
            write_private(files.server, made.server)
            authority = made.authority
        if _text(files.authority) != authority:
            write_private(files.authority, authority)
    except OSError as exc:
        raise unwritable(folder, exc) from exc
    return files


def trusting(files: TlsFiles, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables by which other programs trust the server, and whom they trusted before.

    All but Node's name what is trusted in place of the system's own, so they get a bundle of both.
    """
    bundle, extra = _bundles(files.authority)
    authority = _text(files.authority)
    trusted = next((text for path in _trusted(environ) if path != bundle and (text := _text(path))), "")
    added = _text(Path(environ.get("NODE_EXTRA_CA_CERTS", "")))
    try:
        for path, others in ((bundle, trusted), (extra, added)):
            # The user's variables may be those of an earlier run.
            write_private(path, others if authority in others else f"{others.rstrip()}\n{authority}".lstrip())
    except OSError as exc:
        raise unwritable(bundle.parent, exc) from exc
    return trust_variables(files.authority)


def trust_variables(authority: Path) -> dict[str, str]:
    """Those variables; what they name is beside the authority since `trusting` wrote it."""
    bundle, extra = _bundles(authority)
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    return {**dict.fromkeys(names, str(bundle)), "NODE_EXTRA_CA_CERTS": str(extra)}


def _bundles(authority: Path) -> tuple[Path, Path]:
    return authority.with_name("bundle.pem"), authority.with_name("node.pem")


def _trusted(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where the authorities are that programs trust without us: the user's own, the system's, or Mozilla's."""
    if "SSL_CERT_FILE" in environ:
        yield Path(environ["SSL_CERT_FILE"])
    yield Path(ssl.get_default_verify_paths().openssl_cafile)
    yield from _SYSTEMS
    import certifi

    yield Path(certifi.where())


def _text(path: Path) -> str:
    """What a file says; nothing where there is none."""
    try:
        return path.read_text("utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""
