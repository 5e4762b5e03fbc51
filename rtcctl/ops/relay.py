"""Media through TURN alone: which servers, with which credentials, and whether it went there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rtcctl.errors import NetworkError, ParseError, UsageError
from rtcctl.media.server_url import ServerUrl
from rtcctl.ops.env import Env
from rtcctl.ops.turn import INSTALL_COTURN, MAX_TTL_S, CredsRequest, Later, borrowed, creds_calls
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.check import Check, CheckStatus
from rtcctl.units import Via

if TYPE_CHECKING:
    from rtcctl.probe.peer import ConnectionTiming
    from rtcctl.probe.turn.relay import RelaySettings, TurnServer
    from rtcctl.realtime.profile import Profile
    from rtcctl.results.turn import TurnCreds

MIN_TTL_S = 3600
"Of a credential for a run, which renews its allocations with it."
MARGIN_S = 600
"For what comes before and after the time that a run is to take."

SERVER_DEADLINE_S = 3.0
"For one URL in `check_servers`; all are asked at once."


@dataclass(frozen=True, slots=True)
class RelayPolicy:
    """All media through TURN, as with `iceTransportPolicy: "relay"`; `via`: through such servers alone."""

    via: Via | None = None

    def options(self) -> Sequence[str]:
        """As on a command line."""
        return ["--relay"] if self.via is None else ["--relay-via", self.via]


def calls(relay: RelayPolicy | None, for_s: float | None, profile: Profile) -> tuple[ApiCall, ...]:
    """The API calls that `settings` makes."""
    return () if relay is None else creds_calls(CredsRequest(_ttl_s(for_s)), profile)


@asynccontextmanager
async def settings(
    relay: RelayPolicy | None, env: Env, *, for_s: float | None, later: Later | None = None
) -> AsyncIterator[RelaySettings | None]:
    """What a peer needs to relay for `for_s` seconds (`None`: without an end), with credentials of its own.

    `later`: see `turn.borrowed`.
    Raises `UsageError` when the profile has no TURN key, nothing relays, or no URL is as `via` says.
    """
    if relay is None:
        yield None
        return
    async with generated(env, for_s=for_s, later=later) as all_there_are:
        yield chosen(relay, all_there_are)


@asynccontextmanager
async def generated(env: Env, *, for_s: float | None, later: Later | None = None) -> AsyncIterator[RelaySettings]:
    """All TURN URLs of new credentials, which end behind the body; none where the answer names none."""
    async with borrowed(CredsRequest(_ttl_s(for_s)), env, later=later) as made:
        yield _settings(made, env)


def _settings(made: TurnCreds, env: Env) -> RelaySettings:
    from rtcctl.probe.turn.relay import RelaySettings, TurnServer
    from rtcctl.probe.turn.tls import Trust

    servers = []
    for server in made.ice_servers:
        for text in server.urls:
            try:
                url = ServerUrl.parse(text)
            except ParseError:
                continue  # for others
            if url.is_turn:
                servers.append(TurnServer(url, server.username or "", server.credential or ""))
    trust = Trust(env.profile.ca_file)
    if any(server.url.protocol == "tls" for server in servers):
        _ = trust.context  # a file that cannot be read is said before anything is begun
    return RelaySettings(tuple(servers), trust)


def chosen(relay: RelayPolicy, settings: RelaySettings) -> RelaySettings:
    """Those that `via` allows. Raises `UsageError` when there are none."""
    if not settings.servers:
        raise UsageError(
            "The credentials of the TURN key name no TURN server, so nothing can be relayed.", hint=INSTALL_COTURN
        )
    via = relay.via
    if via is None:
        return settings
    servers = tuple(
        server
        for server in settings.servers
        if server.url.protocol == via.protocol and via.port in (None, server.url.port)
    )
    if not servers:
        known = ", ".join(server.url.text for server in settings.servers)
        raise UsageError(f"No TURN server is reached via {via}; there are {known}.")
    return replace(settings, servers=servers)


def check(relay: RelayPolicy | None, *timings: ConnectionTiming) -> tuple[Check, ...]:
    """Whether the selected paths are relayed ones, and as `via` says."""
    if relay is None:
        return ()
    wanted = "relay" if relay.via is None else f"relay {relay.via.protocol}"
    taken = [
        timing.candidate_type if timing.relay_protocol is None else f"{timing.candidate_type} {timing.relay_protocol}"
        for timing in timings
    ]
    wrong = [path for path in taken if path != wanted and not (relay.via is None and path.startswith("relay"))]
    status = CheckStatus.FAILED if wrong else CheckStatus.PASSED
    detail = "; ".join(dict.fromkeys(timing.candidate_pair for timing in timings))
    return (Check("relay", status, observed=(wrong or taken)[0], limit=wanted, detail=detail),)


async def check_servers(settings: RelaySettings, env: Env) -> Check:
    """Whether each URL relays: two allocations, and packets from one to the other."""
    from rtcctl.probe.turn.echo import round_trip

    async def measure(server: TurnServer) -> float | NetworkError:
        try:
            only = replace(settings, servers=(server,))
            return await round_trip(only, clock=env.clock, timeout_s=SERVER_DEADLINE_S)
        except NetworkError as error:
            return error

    urls = [server.url for server in settings.servers]
    measured = await asyncio.gather(*map(measure, settings.servers))
    protocols = [url.protocol for url in urls]
    worked, failed = [], []
    slowest_ms: float | None = None
    for url, outcome in zip(urls, measured, strict=True):
        if isinstance(outcome, NetworkError):
            failed.append(f"{url}: {outcome.message}")
            continue
        slowest_ms = outcome if slowest_ms is None else max(slowest_ms, outcome)
        name = url.protocol if protocols.count(url.protocol) == 1 else f"{url.protocol}:{url.port}"
        worked.append(f"{name} {outcome:.1f} ms")
    return Check(
        "turn",
        CheckStatus.FAILED if failed else CheckStatus.PASSED,
        observed=slowest_ms,
        unit="ms",
        detail="; ".join([*failed, *([", ".join(worked)] if worked else [])]),
    )


def _ttl_s(for_s: float | None) -> int:
    if for_s is None:
        return MAX_TTL_S
    return min(MAX_TTL_S, max(MIN_TTL_S, round(for_s) + MARGIN_S))
