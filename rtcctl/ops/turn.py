"""TURN: short-lived credentials."""

from __future__ import annotations

from dataclasses import dataclass

from rtcctl.errors import UsageError
from rtcctl.ops.env import Env
from rtcctl.ops.session import COMMAND_DEADLINE_S
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.turn import IceServer, TurnCreds

MAX_TTL_S = 172_800
"48 hours (Realtime docs: Limits)."


@dataclass(frozen=True, slots=True)
class CredsRequest:
    ttl_s: int = 3600
    custom_identifier: str | None = None
    keep_port_53: bool = False


def creds_calls(request: CredsRequest, key_id: str) -> tuple[ApiCall, ...]:
    """The API calls that `creds` makes; the path is below the API base, not below the app."""
    body: dict[str, object] = {"ttl": request.ttl_s}
    if request.custom_identifier is not None:
        body["customIdentifier"] = request.custom_identifier
    path = f"/turn/keys/{key_id}/credentials/generate-ice-servers"
    return (ApiCall("POST", path, body, secret="RTCCTL_TURN_KEY_TOKEN"),)


async def creds(request: CredsRequest, env: Env) -> TurnCreds:
    """Generate credentials from the profile's TURN key; the journal keeps the username, never the password.

    Port-53 URLs are dropped unless asked for: browsers block them, and they cost a gathering time-out.
    """
    from rtcctl.realtime.turn import TurnClient, without_port_53

    if not 1 <= request.ttl_s <= MAX_TTL_S:
        raise UsageError(
            f"A TURN credential can live from 1 s to 48 h, not {request.ttl_s} s.", hint="For example --ttl 1h."
        )
    if not (env.profile.turn_key_id and env.profile.turn_key_token):
        raise UsageError(
            f"Profile {env.profile.name} has no TURN key.",
            hint="Set RTCCTL_TURN_KEY_ID and RTCCTL_TURN_KEY_TOKEN, or: rtcctl config secret set turn --stdin",
        )
    issued_at = env.wallclock()
    async with TurnClient(env.profile, clock=env.clock, random=env.random, deadline_s=COMMAND_DEADLINE_S) as client:
        generated = await client.generate_ice_servers(request.ttl_s, request.custom_identifier)
    servers = tuple(
        IceServer(urls=tuple(server.urls), username=server.username, credential=server.credential)
        for server in (generated if request.keep_port_53 else without_port_53(generated))
    )
    username = next((server.username for server in servers if server.username), None)
    if username is not None:
        env.journal.turn_issued(
            username,
            key_id=env.profile.turn_key_id,
            profile=env.profile.name,
            issued_at=issued_at,
            expires_at=issued_at + request.ttl_s,
            custom_identifier=request.custom_identifier,
        )
    return TurnCreds(
        target=env.target,
        ice_servers=servers,
        ttl_s=request.ttl_s,
        expires_at=issued_at + request.ttl_s,
        relays=any(url.startswith(("turn:", "turns:")) for server in servers for url in server.urls),
        custom_identifier=request.custom_identifier,
    )
