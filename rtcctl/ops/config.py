"""Profiles against the service: which secret is accepted, and for what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rtcctl.errors import AuthError, RtcctlError
from rtcctl.ops.env import Env
from rtcctl.ops.session import COMMAND_DEADLINE_S
from rtcctl.realtime.profile import Profile
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.config import ConfigCheck, SecretCheck
from rtcctl.results.result import Failure

KINDS = {"app": "App Secret", "turn": "TURN key token", "account": "account API token"}
"What each kind of secret is called; none can stand in for another (Realtime docs: API)."

ALLOWS = {
    "app": "sessions and tracks of this app",
    "turn": "TURN credentials of this key",
    "account": "apps and TURN keys of the account",
}


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """`origins`: where each setting of the profile came from, by its name in `Profile`."""

    origins: dict[str, str] = field(default_factory=dict)


async def check(request: CheckRequest, env: Env) -> ConfigCheck:
    """Try each secret of the profile for its purpose; a refused one is tried for the others, to find a swap.

    The App Secret is tried by creating a session that nobody connects (it expires by itself): the API has no call
    without an effect, and reading an unknown session may hang (Realtime docs: Observability).
    """
    rows: list[SecretCheck] = []
    checks: list[Check] = []
    failure: Failure | None = None
    for kind, (secret_name, try_it) in _TRIALS.items():
        secret: str = getattr(env.profile, secret_name)
        origin = request.origins.get(secret_name, "")
        if not secret or not _is_complete(env.profile, kind):
            missing = "not configured" if not secret else f"{KINDS[kind]} without its id"
            rows.append(SecretCheck(kind=kind, origin=origin, accepted=None, allows="", detail=missing))
            checks.append(Check(kind, CheckStatus.SKIPPED, detail=missing))
            continue
        try:
            await try_it(env)
        except AuthError as error:
            detail = await _explain_refusal(kind, secret, env) or error.message
            rows.append(SecretCheck(kind=kind, origin=origin, accepted=False, allows="", detail=detail))
            checks.append(Check(kind, CheckStatus.FAILED, detail=detail))
            failure = failure or replace(Failure.of(error), message=detail)
        except RtcctlError as error:
            rows.append(SecretCheck(kind=kind, origin=origin, accepted=None, allows="", detail=error.message))
            checks.append(Check(kind, CheckStatus.INCONCLUSIVE, detail=error.message))
            failure = failure or Failure.of(error)
        else:
            rows.append(SecretCheck(kind=kind, origin=origin, accepted=True, allows=ALLOWS[kind]))
            checks.append(Check(kind, CheckStatus.PASSED, detail=ALLOWS[kind]))
    return ConfigCheck(target=env.target, checks=tuple(checks), failure=failure, secrets=tuple(rows))


async def _try_app(env: Env) -> None:
    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        await client.new_session()


async def _try_turn(env: Env) -> None:
    async with env.turn_client(deadline_s=COMMAND_DEADLINE_S) as client:
        await client.generate_ice_servers(60, None)


async def _try_account(env: Env) -> None:
    async with env.account_client(deadline_s=COMMAND_DEADLINE_S) as client:
        await client.list("apps")


_TRIALS: dict[str, tuple[str, Callable[[Env], Awaitable[None]]]] = {
    "app": ("app_secret", _try_app),
    "turn": ("turn_key_token", _try_turn),
    "account": ("account_token", _try_account),
}


def _is_complete(profile: Profile, kind: str) -> bool:
    return bool({"app": profile.app_id, "turn": profile.turn_key_id, "account": profile.account_id}[kind])


async def _explain_refusal(kind: str, secret: str, env: Env) -> str | None:
    """If the refused secret of one kind is accepted as another kind, say so."""
    for other, (secret_name, try_it) in _TRIALS.items():
        if other == kind or not _is_complete(env.profile, other):
            continue
        try:
            await try_it(env.with_profile(_with_secret(env.profile, secret_name, secret)))
        except RtcctlError:
            continue
        return f"refused as {KINDS[kind]}: it is the {KINDS[other]}"
    return None


def _with_secret(profile: Profile, name: str, secret: str) -> Profile:
    changed: dict[str, Any] = {name: secret}
    return replace(profile, **changed)
