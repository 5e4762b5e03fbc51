"""The credentials of `rtcctl dev`: fixed ones on loopback, elsewhere made once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path

from rtcctl.errors import UsageError
from rtcctl.ops.dev import Credentials
from rtcctl.realtime.development import (
    DEVELOPMENT_APP_ID,
    DEVELOPMENT_APP_SECRET,
    DEVELOPMENT_TURN_KEY_ID,
    DEVELOPMENT_TURN_KEY_TOKEN,
)

MIN_SECRET = 16
"Characters of RTCCTL_DEV_SECRET; it may be open to a network."


def credentials_for(host: str, state_dir: Path, secret: str | None) -> Credentials:
    """The credentials of a server on `host`; `secret` is RTCCTL_DEV_SECRET.

    With a secret of the user's, or on loopback, the ids are the documented ones. Elsewhere the secrets are generated
    and kept in `state_dir`, so that what was pasted yesterday works today.
    """
    if secret == DEVELOPMENT_APP_SECRET and not is_loopback(host):
        raise UsageError(
            f"RTCCTL_DEV_SECRET is the development secret, which everybody knows: not on {host}.",
            hint="Unset it, and one is made and kept; or choose one, for example: openssl rand -hex 32",
        )
    if secret is not None and secret != DEVELOPMENT_APP_SECRET:
        if len(secret) < MIN_SECRET or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise UsageError(
                "RTCCTL_DEV_SECRET is not fit to be a secret.",
                hint=f"At least {MIN_SECRET} printable ASCII characters, for example: openssl rand -hex 32",
            )
        return _named(secret, hashlib.sha256(f"turn key {secret}".encode("ascii")).hexdigest())
    if is_loopback(host):
        return Credentials(
            DEVELOPMENT_APP_ID,
            DEVELOPMENT_APP_SECRET,
            DEVELOPMENT_TURN_KEY_ID,
            DEVELOPMENT_TURN_KEY_TOKEN,
            are_development=True,
        )
    return _named(*_kept(state_dir / "dev-secrets.json"))


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's loopback."""
    from ipaddress import ip_address

    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _named(app_secret: str, turn_key_token: str) -> Credentials:
    return Credentials(DEVELOPMENT_APP_ID, app_secret, DEVELOPMENT_TURN_KEY_ID, turn_key_token, are_development=False)


def _kept(path: Path) -> tuple[str, str]:
    """The generated secrets, made when first needed; readable by their owner only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            made = {"app_secret": secrets.token_hex(32), "turn_key_token": secrets.token_hex(32)}
            unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                json.dump(made, file)
            unfinished.replace(path)
        kept = json.loads(path.read_text("ascii"))
        return str(kept["app_secret"]), str(kept["turn_key_token"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"The kept secrets of the embedded server cannot be used: {path}: {error}.",
            hint="Remove the file, or set RTCCTL_DEV_SECRET.",
        ) from error
