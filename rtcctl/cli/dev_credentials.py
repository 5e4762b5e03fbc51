"""The credentials of `rtcctl dev`: fixed ones on loopback, elsewhere made once and kept, or those of `--apps FILE`."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtcctl.errors import UsageError
from rtcctl.ops.dev import AppSecret, Credentials, TurnKeyToken
from rtcctl.realtime.development import (
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_ACCOUNT_TOKEN,
    DEVELOPMENT_APP_ID,
    DEVELOPMENT_APP_SECRET,
    DEVELOPMENT_TURN_KEY_ID,
    DEVELOPMENT_TURN_KEY_TOKEN,
)

if TYPE_CHECKING:
    from rtcctl.config.apps import AppsFile, ServedApp, ServedTurnKey

PUBLIC = frozenset({DEVELOPMENT_APP_SECRET, DEVELOPMENT_TURN_KEY_TOKEN, DEVELOPMENT_ACCOUNT_TOKEN})

_ACCOUNT_TOKEN_DIGITS = 40
"As long as Cloudflare's."


def credentials_of(
    host: str, state_dir: Path, secret: str | None, apps: Path, *, has_all_turn_keys: bool = False
) -> Credentials:
    """Those of the file of `--apps`, which names every app; without a TURN key in it, the TURN key stays what it is.

    `has_all_turn_keys`: then there is none.
    """
    from rtcctl.config.apps import AppsFile

    file = AppsFile.load(apps)
    if not is_loopback(host):
        _check_exposure(host, apps, file)
    first, keys = file.apps[0], file.turn_keys
    usual = credentials_for(host, state_dir, secret)
    if keys:
        usual = replace(usual, turn_key_id=keys[0].id, turn_key_token=keys[0].token)
    elif has_all_turn_keys:
        usual = replace(usual, turn_key_id="", turn_key_token="")
    return replace(
        usual,
        are_development=False,
        app_id=first.id,
        app_secret=first.secret,
        apps=tuple(AppSecret(app.id, app.secret, app.name, app.created, app.modified) for app in file.apps),
        turn_keys=tuple(TurnKeyToken(key.id, key.token, key.name, key.created, key.modified) for key in keys),
        apps_file=str(apps),
        is_turn_key_of_file=bool(keys) or has_all_turn_keys,
    )


def made_when_missing(path: Path, host: str, state_dir: Path, secret: str | None) -> Path:
    """The file of `--persist`, which is like that of `--apps`: made with the usual credentials, never written over.

    When all its apps were deleted, it gets the usual one: a server has one. It need not have a TURN key.
    """
    from rtcctl.config.apps import AppsFile, ServedApp, ServedTurnKey
    from rtcctl.config.folders import is_there

    if is_there(path):
        if not AppsFile.load(path, may_be_without_apps=True).apps:
            usual = credentials_for(host, state_dir, secret)
            AppsFile.put(path, ServedApp(id=usual.app_id, secret=usual.app_secret))
    else:
        usual = credentials_for(host, state_dir, secret)
        AppsFile(
            apps=[ServedApp(id=usual.app_id, secret=usual.app_secret)],
            turn_keys=[ServedTurnKey(id=usual.turn_key_id, token=usual.turn_key_token)],
        ).save(path)
    return path


def keep(path: Path, entry: AppSecret | TurnKeyToken) -> None:
    """Put what was added to the running server, or renamed, into the file of `--persist`."""
    from rtcctl.config.apps import AppsFile

    AppsFile.put(path, _served(entry))


def forget(path: Path, entry: AppSecret | TurnKeyToken) -> None:
    """Take what is removed from the running server out of the file of `--persist`."""
    from rtcctl.config.apps import AppsFile

    AppsFile.remove(path, _served(entry))


def _served(entry: AppSecret | TurnKeyToken) -> ServedApp | ServedTurnKey:
    from rtcctl.config.apps import ServedApp, ServedTurnKey

    about: dict[str, Any] = {"name": entry.name, "created": entry.created, "modified": entry.modified}
    if isinstance(entry, AppSecret):
        return ServedApp(id=entry.app_id, secret=entry.secret, **about)
    return ServedTurnKey(id=entry.key_id, token=entry.token, **about)


def _check_exposure(host: str, path: Path, file: AppsFile) -> None:
    """The development secrets are public: whoever reaches the server could use them."""
    from rtcctl.config.apps import entry_name

    entries = [("apps", number, app.id, app.secret) for number, app in enumerate(file.apps, 1)]
    entries += [("turn_keys", number, key.id, key.token) for number, key in enumerate(file.turn_keys, 1)]
    for table, number, identifier, value in entries:
        if value in PUBLIC:
            raise UsageError(
                f"{path}: {entry_name(table, number, identifier)} has a development secret, which everybody knows: "
                f"not on {host}.",
                hint="Listen on 127.0.0.1, or choose one, for example: openssl rand -hex 32",
            )


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
        from rtcctl.config.rules import MIN_SECRET, is_fit_secret

        if not is_fit_secret(secret):
            raise UsageError(
                "RTCCTL_DEV_SECRET is not fit to be a secret.",
                hint=f"At least {MIN_SECRET} printable ASCII characters, for example: openssl rand -hex 32",
            )
        return _named(secret, _derived(f"turn key {secret}"), _derived(f"account {secret}")[:_ACCOUNT_TOKEN_DIGITS])
    if is_loopback(host):
        return Credentials(
            DEVELOPMENT_APP_ID,
            DEVELOPMENT_APP_SECRET,
            DEVELOPMENT_TURN_KEY_ID,
            DEVELOPMENT_TURN_KEY_TOKEN,
            DEVELOPMENT_ACCOUNT_ID,
            DEVELOPMENT_ACCOUNT_TOKEN,
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


def _derived(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _named(app_secret: str, turn_key_token: str, account_token: str) -> Credentials:
    return Credentials(
        DEVELOPMENT_APP_ID,
        app_secret,
        DEVELOPMENT_TURN_KEY_ID,
        turn_key_token,
        DEVELOPMENT_ACCOUNT_ID,
        account_token,
    )


def _kept(path: Path) -> tuple[str, str, str]:
    """The generated secrets, made when first needed; readable by their owner only."""
    from rtcctl.config.folders import write_private

    try:
        if not path.exists():
            kept = {"app_secret": secrets.token_hex(32), "turn_key_token": secrets.token_hex(32)}
        else:
            kept = json.loads(path.read_text("ascii"))
        app_secret, turn_key_token = str(kept["app_secret"]), str(kept["turn_key_token"])
        if "account_token" not in kept:
            # New, or of before there was an account.
            kept["account_token"] = secrets.token_hex(_ACCOUNT_TOKEN_DIGITS // 2)
            write_private(path, json.dumps(kept))
        return app_secret, turn_key_token, str(kept["account_token"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"The kept secrets of the embedded server cannot be used: {path}: {error}.",
            hint="Remove the file, or set RTCCTL_DEV_SECRET.",
        ) from error
