"""`turn check`: every URL of a list of STUN and TURN servers, all at once, the way clients use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from rtcctl.errors import UsageError
from rtcctl.ops.env import Env
from rtcctl.ops.turn import CredsRequest, borrowed, creds, creds_calls
from rtcctl.ops.turn_judge import Requirement, checks_of, judged, names, sentence
from rtcctl.realtime.curl import ApiCall
from rtcctl.realtime.profile import Profile
from rtcctl.results.event import Progress, Warned
from rtcctl.results.turn import IceServer
from rtcctl.results.turn_check import Before, TurnCheck, UrlReport

CREDENTIAL_TTL_S = 600
"Longer than any check."
SHORT_TTL_S = 2
"Of the credential that has to be refused when it is over; before, there is time to see that it is good."
MAX_URLS = 64


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """`ice_servers`: those to check, of `source`; without, new credentials of the profile's TURN key.

    `before`: what an earlier check found, by URL.
    """

    ice_servers: tuple[IceServer, ...] | None = None
    source: str = ""
    for_s: float = 5.0
    rate_hz: float = 50.0
    requirements: tuple[Requirement, ...] = (Requirement("all"),)
    max_fraction_lost: float = 0.02
    is_insecure: bool = False
    before: Mapping[str, Before] | None = None


def check_calls(request: CheckRequest, profile: Profile) -> tuple[ApiCall, ...]:
    """The API calls that `check` makes: a credential, and one that has to be refused later."""
    if request.ice_servers is not None:
        return ()
    return tuple(call for ttl in (CREDENTIAL_TTL_S, SHORT_TTL_S) for call in creds_calls(CredsRequest(ttl), profile))


async def check(request: CheckRequest, env: Env) -> TurnCheck:
    """Check all URLs. Raises `UsageError` for a list without URLs; what servers do is in the result."""
    async with _servers(request, env) as (servers, expired):
        return await _check(request, env, servers, expired)


async def _check(
    request: CheckRequest, env: Env, servers: tuple[IceServer, ...], expired: IceServer | None
) -> TurnCheck:
    from rtcctl.probe.lag import LoopMonitor
    from rtcctl.probe.turn.tls import Trust
    from rtcctl.probe.turn.url_check import Credential, Plan, check_url

    def credential(server: IceServer) -> Credential | None:
        return Credential(server.username, server.credential or "") if server.username is not None else None

    targets = list(dict.fromkeys((url, credential(server)) for server in servers for url in server.urls))
    if not targets:
        raise UsageError(f"There is no URL in {request.source}.", hint='For example [{"urls": "stun:HOST:3478"}]')
    if len(targets) > MAX_URLS:
        raise UsageError(f"{request.source} has {len(targets)} URLs; at most {MAX_URLS} are checked at once.")
    trust = Trust(env.profile.ca_file if request.ice_servers is None else "", is_insecure=request.is_insecure)
    _ = trust.context  # which cannot be made: said before anything is sent

    short_lived = None if expired is None else credential(expired)
    plan = Plan(request.for_s, request.rate_hz, trust, env.clock, short_lived, env.clock() + SHORT_TTL_S)

    done: dict[int, UrlReport] = {}

    def result(busy: str | None = None) -> TurnCheck:
        return _result(request, env, [done[index] for index in sorted(done)], busy)

    async def one(index: int, url: str, used: Credential | None) -> None:
        done[index] = await check_url(url, used, plan)
        env.emit(Progress(text=f"{len(done)} of {len(targets)} URLs checked"))

    env.emit(Progress(text=f"{len(targets)} URLs, {request.for_s:g} s of traffic each"))
    with env.keeping(result):
        async with LoopMonitor(clock=env.clock) as lag, asyncio.TaskGroup() as group:
            for index, (url, used) in enumerate(targets):
                group.create_task(one(index, url, used))
        return result(lag.reason)


def _result(request: CheckRequest, env: Env, reports: list[UrlReport], busy: str | None) -> TurnCheck:
    reports = [
        replace(
            judged(report, max_fraction_lost=request.max_fraction_lost, busy=busy),
            name=name,
            is_required=any(r.what != "any" and r.covers(report) for r in request.requirements),
            before=None if request.before is None else request.before.get(report.url),
        )
        for name, report in zip(names(reports), reports, strict=True)
    ]
    # Of a TURN key one that relays is expected; a list of one's own may be of STUN alone.
    checks = checks_of(reports, request.requirements, needs_turn=request.ice_servers is None)
    return TurnCheck(
        target=env.target if request.ice_servers is None else None,
        checks=checks,
        urls=tuple(reports),
        verdict=sentence(reports, checks),
        source=request.source or f"TURN key {env.profile.turn_key_id}",
    )


@asynccontextmanager
async def _servers(request: CheckRequest, env: Env) -> AsyncIterator[tuple[tuple[IceServer, ...], IceServer | None]]:
    """What to check, and a credential that is about to expire, where there is a key to make one with."""
    if request.ice_servers is not None:
        yield request.ice_servers, None
        return
    async with borrowed(CredsRequest(CREDENTIAL_TTL_S, keep_port_53=True), env) as made:
        if not made.relays:
            env.emit(Warned(text="the answer has no TURN URL: nothing can be relayed"))
            yield made.ice_servers, None
            return
        short = await creds(CredsRequest(SHORT_TTL_S, keep_port_53=True), env)
        yield made.ice_servers, next((server for server in short.ice_servers if server.username), None)
