"""`config add`: what a person, or the environment, says of a new profile; verified, then stored."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rtcctl.errors import UsageError
from rtcctl.realtime.profile import CLOUDFLARE_API_BASE, Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rtcctl.ops.env import Env
    from rtcctl.results.config import ConfigCheck

_KINDS = {"app": "app_secret", "turn": "turn_key_token", "account": "account_token"}


@dataclass(frozen=True, slots=True)
class Given:
    """What the options say; `None` is asked for, or left out."""

    app_id: str | None = None
    api_base: str | None = None
    turn_key_id: str | None = None
    account_id: str | None = None


def require_new(name: str) -> None:
    """Raise `UsageError` for a name that cannot be used, before anything is asked."""
    from rtcctl import config
    from rtcctl.config.rules import checked_name

    checked_name(name)
    path = str(config.config_path())
    if any(known.name == name and known.origin == path for known in config.list_profiles()):
        raise UsageError(f"{path} already has a profile {name}.", hint="Choose another name.")


def from_environment(name: str, given: Given) -> Profile:
    """The profile that the environment's credentials make; options replace what is no secret."""
    from rtcctl import config

    profile = replace(config.resolve("env").profile, name=name, is_embedded=False)
    chosen = {key: value for key in Given.__slots__ if (value := getattr(given, key)) is not None}
    return replace(profile, **chosen)


def ask(name: str, given: Given) -> Profile:
    """The profile that a person at the terminal describes."""
    require_terminal("--from-env takes everything from the environment.")
    app_id = given.app_id or _ask_text("App ID")
    profile = Profile(
        name=name,
        api_base=(given.api_base or CLOUDFLARE_API_BASE).rstrip("/"),
        app_id=app_id,
        app_secret=ask_secret("App Secret"),
        turn_key_id=given.turn_key_id if given.turn_key_id is not None else _ask_text("TURN key id (may be empty)"),
        account_id=given.account_id or "",
    )
    if profile.turn_key_id:
        profile = replace(profile, turn_key_token=ask_secret("TURN key token"))
    if profile.account_id:
        profile = replace(profile, account_token=ask_secret("Account API token"))
    return profile


async def verify_and_store(origins: Mapping[str, str], env: Env) -> ConfigCheck:
    """Try the secrets; store the profile and them, unless one is refused or the service cannot be asked."""
    from rtcctl import config
    from rtcctl.ops.config import CheckRequest, check
    from rtcctl.results.event import Warned

    profile = env.profile
    if not (profile.app_id and profile.app_secret):
        raise UsageError("A profile needs an App ID and an App Secret.")
    result = await check(CheckRequest(dict(origins)), env)
    if result.failure is not None:
        env.emit(Warned(text=f"profile {profile.name} was not stored"))
        return result
    config.add_profile(
        profile.name,
        app_id=profile.app_id,
        api_base=profile.api_base,
        turn_key_id=profile.turn_key_id,
        account_id=profile.account_id,
        account_api_base=profile.account_api_base,
    )
    if [known.name for known in config.list_profiles() if known.is_chosen] == [profile.name]:
        env.emit(Warned(text=f"profile {profile.name} is used from now on; `rtcctl config use` chooses another one"))
    stored = {
        kind: config.store_secret(profile.name, kind, secret)
        for kind, key in _KINDS.items()
        if (secret := getattr(profile, key))
    }
    rows = tuple(replace(row, origin=stored.get(row.kind, row.origin)) for row in result.secrets)
    return replace(result, secrets=rows)


def ask_secret(what: str) -> str:
    """Ask for a secret without echo."""
    require_terminal("Give the secret on standard input, with --stdin.")
    from getpass import getpass

    try:
        return getpass(f"{what}: ", stream=sys.stderr).strip()
    except EOFError:
        raise UsageError(f"No {what} was given.") from None


def _ask_text(what: str) -> str:
    sys.stderr.write(f"{what}: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def require_terminal(hint: str) -> None:
    """Raise `UsageError` when there is nobody to ask."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("There is no terminal to ask on.", hint=hint)
