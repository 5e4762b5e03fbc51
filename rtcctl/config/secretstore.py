"""Secrets that rtcctl keeps for its user: in the OS keyring, or where there is none in `secrets.toml` (0600).

Each is stored with the API base it belongs to and is handed out for that one only, so that a project's file that gives
a profile's name another host gets nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rtcctl.config.folders import is_there, require_private, unwritable, write_private
from rtcctl.errors import UsageError

if TYPE_CHECKING:
    import keyring.backend

KINDS: Mapping[str, str] = {"app": "app_secret", "turn": "turn_key_token", "account": "account_token"}
"What `config secret set` calls a secret → the setting of the profile."

KEYRING = "keyring"
"Origin of a secret that the OS keeps."

_SERVICE = "rtcctl"


def load(path: Path, profile: str, api_bases: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """setting → (secret, origin) of a profile; `api_bases`: where the profile sends each kind of secret.

    Raises `UsageError`, also when a secret was stored for another place.
    """
    if not is_there(path):
        return {}
    require_private(path)
    from rtcctl.config.tables import SecretsFile

    found: dict[str, tuple[str, str]] = {}
    for kind, stored in SecretsFile.load(path).root.get(profile, {}).items():
        if kind not in KINDS:
            raise UsageError(f"{path}: {profile}.{kind} is no kind of secret.", hint=f"Kinds: {', '.join(KINDS)}.")
        if stored.api_base != api_bases[kind]:
            raise UsageError(
                f"The {kind} secret of profile {profile} was stored for {stored.api_base}, but the profile now points "
                f"to {api_bases[kind]}: it is not sent there.",
                hint=f"If that is meant: rtcctl config secret set {kind} --stdin --profile {profile}",
            )
        if stored.keyring:
            found[KINDS[kind]] = (_from_keyring(profile, kind), KEYRING)
        else:
            found[KINDS[kind]] = (stored.secret, str(path))
    return found


def store(path: Path, profile: str, kind: str, secret: str, api_base: str) -> str:
    """Keep a secret and return its origin. Raises `UsageError`."""
    from rtcctl.config import toml
    from rtcctl.config.tables import SecretsFile

    known = SecretsFile.load(path).model_dump(exclude_defaults=True)
    in_keyring = _to_keyring(profile, kind, secret)
    entry: dict[str, object] = {"api_base": api_base, **({"keyring": True} if in_keyring else {"secret": secret})}
    known.setdefault(profile, {})[kind] = entry
    try:
        write_private(path, toml.dump(known))
    except OSError as exc:
        raise unwritable(path, exc) from exc
    return KEYRING if in_keyring else str(path)


def _backend() -> keyring.backend.KeyringBackend | None:
    """The OS keyring, if there is one worth the name: the null backend takes everything and keeps nothing."""
    import keyring

    backend = keyring.get_keyring()
    return backend if backend.priority >= 1 else None


def _to_keyring(profile: str, kind: str, secret: str) -> bool:
    try:
        backend = _backend()
        if backend is None:
            return False
        backend.set_password(_SERVICE, f"{profile}/{kind}", secret)
        # A keyring without a session to unlock it can take a secret and lose it.
        return backend.get_password(_SERVICE, f"{profile}/{kind}") == secret
    except Exception:  # noqa: BLE001  # backends raise what they like, and nobody shows a new secret again
        return False


def _from_keyring(profile: str, kind: str) -> str:
    reason = "it is not there"
    try:
        backend = _backend()
        secret = backend.get_password(_SERVICE, f"{profile}/{kind}") if backend is not None else None
        if backend is None:
            reason = "this session has no keyring"
        if secret:
            return secret
    except Exception as exc:  # noqa: BLE001  # as above
        reason = type(exc).__name__
    raise UsageError(
        f"The {kind} secret of profile {profile} is in the OS keyring, but cannot be read: {reason}.",
        hint=f"Unlock the keyring, or store it again: rtcctl config secret set {kind} --stdin --profile {profile}",
    )
