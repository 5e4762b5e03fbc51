"""TURN: short-lived credentials. What ends them is in `turn_revoke`, what renews them in `turn_refresh`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from rtcctl.errors import NetworkError, RtcctlError, UsageError
from rtcctl.ops.env import Env
from rtcctl.ops.session import CLEAN_UP_DEADLINE_S, COMMAND_DEADLINE_S
from rtcctl.realtime.curl import ApiCall
from rtcctl.realtime.profile import Profile
from rtcctl.results.event import Warned
from rtcctl.results.turn import IceServer, TurnCreds

MAX_TTL_S = 172_800
"48 hours (Realtime docs: Limits)."

TURN_SECRET = "RTCCTL_TURN_KEY_TOKEN"

INSTALL_COTURN = "An embedded server relays where coturn is installed (apt install coturn, brew install coturn)."
"A hint where nothing relays."


@dataclass(frozen=True, slots=True)
class CredsRequest:
    """Raises `UsageError` for a lifetime that the service does not grant; it counts whole seconds."""

    ttl_s: float = 3600
    custom_identifier: str | None = None
    keep_port_53: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.ttl_s <= MAX_TTL_S or self.ttl_s % 1:
            raise UsageError(
                f"A TURN credential lives whole seconds, from 1 s to 48 h, not {self.ttl_s:g} s.",
                hint="For example --ttl 1h.",
            )


def key_in_path(profile: Profile) -> str:
    """The id of the TURN key in a call that is shown; where there is none, its variable."""
    return profile.turn_key_id or "$RTCCTL_TURN_KEY_ID"


def creds_calls(request: CredsRequest, profile: Profile) -> tuple[ApiCall, ...]:
    """The API calls that `creds` makes; the path is below the API base, not below the app."""
    body: dict[str, object] = {"ttl": round(request.ttl_s)}
    if request.custom_identifier is not None:
        body["customIdentifier"] = request.custom_identifier
    path = f"/turn/keys/{key_in_path(profile)}/credentials/generate-ice-servers"
    return (ApiCall("POST", path, body, secret=TURN_SECRET),)


async def creds(request: CredsRequest, env: Env) -> TurnCreds:
    """Generate credentials from the profile's TURN key; the journal keeps the username, never the password.

    Port-53 URLs are dropped unless asked for: browsers block them, and they cost a gathering time-out.
    """
    from rtcctl.realtime.turn import require_key, without_port_53

    require_key(env.profile)
    issued_at, ttl_s = env.wallclock(), round(request.ttl_s)
    async with env.turn_client(deadline_s=COMMAND_DEADLINE_S) as client:
        generated = await client.generate_ice_servers(ttl_s, request.custom_identifier)
    servers = tuple(
        IceServer(urls=tuple(server.urls), username=server.username, credential=server.credential)
        for server in (generated if request.keep_port_53 else without_port_53(generated))
    )
    made = TurnCreds(
        target=env.target,
        ice_servers=servers,
        ttl_s=ttl_s,
        expires_at=issued_at + ttl_s,
        relays=any(url.startswith(("turn:", "turns:")) for server in servers for url in server.urls),
        custom_identifier=request.custom_identifier,
    )
    if made.username is not None:
        env.journal.turn_issued(
            made.username,
            key_id=env.profile.turn_key_id,
            profile=env.profile.name,
            issued_at=issued_at,
            expires_at=made.expires_at,
            custom_identifier=request.custom_identifier,
        )
    return made


Later = Callable[[Callable[[], Awaitable[None]]], None]
"Takes what is to be done as soon as the API answers again."


@asynccontextmanager
async def borrowed(request: CredsRequest, env: Env, *, later: Later | None = None) -> AsyncIterator[TurnCreds]:
    """Credentials of a run of our own, which end with it: revoked behind the body. Where that fails, they expire.

    `later`: who sees to it when the body ends with a `NetworkError`, where the API may be as dead as the path.
    """
    made = await creds(request, env)
    is_lost = False
    try:
        yield made
    except NetworkError:
        is_lost = later is not None
        raise
    finally:
        if is_lost and later is not None:
            later(partial(end, made, env))
        else:
            await end(made, env)


async def end(made: TurnCreds, env: Env) -> None:
    """Revoke credentials that nobody has but us. Where that fails, they expire, and that is said."""
    if made.username is None:
        return
    try:
        async with env.turn_client(deadline_s=CLEAN_UP_DEADLINE_S) as client:
            await client.revoke(made.username)
        env.journal.turn_revoked(made.username, env.wallclock())
    except RtcctlError as error:
        env.emit(Warned(text=f"the TURN credential of this run was not revoked, it expires: {error.message}"))
