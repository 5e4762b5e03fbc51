"""TURN credentials are ended before their time, and on request it is tried whether the servers know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import quote

from rtcctl.errors import ApiError, AuthError, NetworkError, RtcctlError, UsageError
from rtcctl.ops.env import Env
from rtcctl.ops.session import COMMAND_DEADLINE_S
from rtcctl.ops.turn import MAX_TTL_S, TURN_SECRET, key_in_path
from rtcctl.ops.turn_verify import VERIFY_DEADLINE_S, is_taken, refused_after
from rtcctl.realtime.curl import ACCOUNT_TOKEN, ApiCall
from rtcctl.realtime.profile import Profile
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.event import Progress, Warned
from rtcctl.results.turn import IceServer, RevokedCredential, TurnRevoke

T = TypeVar("T")

AT_ONCE = 8
"Requests, when there are many to revoke."

SHORTEST = 8
"Characters of a shortened user name; fewer are a slip of the hand."


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """Credentials by name, or all with an identifier.

    `at_hand`: credentials whose passwords the caller knows; with `verify`, those of them that are revoked are tried.
    """

    usernames: tuple[str, ...] = ()
    custom_identifier: str | None = None
    verify: bool = False
    at_hand: tuple[IceServer, ...] = ()


def revoke_calls(request: RevokeRequest, profile: Profile) -> tuple[ApiCall, ...]:
    """The API calls that `revoke` makes."""
    names = [quote(name, safe="") for name in request.usernames] or ["$TURN_USERNAME"]
    asked = []
    if request.custom_identifier is not None and _has_analytics(profile):
        from rtcctl.realtime.analytics import PATH, TURN_USERNAMES, turn_usernames_variables

        variables = turn_usernames_variables(profile, request.custom_identifier, "$FROM", "$TO")
        body = {"query": TURN_USERNAMES, "variables": variables}
        asked = [ApiCall("POST", PATH, body, secret=ACCOUNT_TOKEN)]
    credentials = f"/turn/keys/{key_in_path(profile)}/credentials"
    revoked = [ApiCall("POST", f"{credentials}/{name}/revoke", secret=TURN_SECRET) for name in names]
    return (*asked, *revoked)


def completed(text: str, usernames: Iterable[str]) -> str:
    """The user name that `text` is the beginning of, as `turn list` shows them; else `text`, which may be foreign."""
    beginning = text.removesuffix("…")
    names = tuple(usernames)
    if text in names or len(beginning) < SHORTEST:
        return text
    matching = [name for name in names if name.startswith(beginning)]
    if len(matching) > 1:
        raise UsageError(f"{text} is the beginning of {len(matching)} user names.", hint="Write more of it.")
    if not matching and beginning != text:
        raise UsageError(f"{text} is the beginning of no live user name.", hint="Look at: rtcctl turn list")
    return matching[0] if matching else text


async def revoke(
    request: RevokeRequest, env: Env, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> TurnRevoke:
    """Revoke, and with `verify` allocate until each is refused.

    What is not in the journal is asked about first. When one of several fails, the others are revoked nevertheless; the
    first error is raised when that is done. `sleep` is for tests.
    """
    from rtcctl.realtime.turn import require_key

    require_key(env.profile)
    search = _Search(env, request.custom_identifier)
    if request.custom_identifier is None:
        targets = [_named(username, env) for username in dict.fromkeys(request.usernames)]
    else:
        targets = await search.run()
    tried = _to_try(request, targets) if request.verify else {}
    _ask_about_foreign(targets, env)

    outcomes = list(targets)
    checks: list[Check] = []

    def result() -> TurnRevoke:
        return TurnRevoke(
            target=env.target,
            credentials=tuple(outcomes),
            custom_identifier=request.custom_identifier,
            analytics=search.state,
            checks=tuple(checks),
        )

    with env.keeping(result):
        before = await _each(tried, lambda server: _before(server, env))
        revoked_at, errors = await _revoke_all(outcomes, env)

        async def verified(server: IceServer) -> Check:
            name = str(server.username)
            return await _verified(server, before[name], revoked_at[name], env, sleep)

        verdicts = await _each({name: server for name, server in tried.items() if name in revoked_at}, verified)
        for i, credential in enumerate(outcomes):
            check = verdicts.get(credential.username)
            if check is not None:
                checks.append(check if len(tried) == 1 else replace(check, name=f"refused {credential.username}"))
                if isinstance(check.observed, float):
                    outcomes[i] = replace(credential, refused_after_s=check.observed)
        for error in (*errors, search.error):
            if error is not None:
                raise error
    return result()


# -- which ------------------------------------------------------------------------------------------------------------


def _named(username: str, env: Env) -> RevokedCredential:
    """One that the caller names. The API answers 204 for another key's credential, too, and does nothing."""
    record = env.journal.turn_credential(username, env.wallclock())
    if record is None:
        return RevokedCredential(username=username, source="caller", outcome="pending")
    if record.key_id != env.profile.turn_key_id:
        raise UsageError(
            f"{username} is of TURN key {record.key_id} (profile {record.profile}), "
            f"and profile {env.profile.name} has another key.",
            hint=f"Add --profile {record.profile}",
        )
    return RevokedCredential(
        username=username, source="journal", outcome="pending", custom_identifier=record.custom_identifier
    )


def _has_analytics(profile: Profile) -> bool:
    return bool(profile.account_id and profile.account_token)


class _Search:
    """The credentials of an identifier: those of the journal, and those that analytics has seen relaying.

    A credential lives two days at most, so that what relayed before has ended.
    """

    def __init__(self, env: Env, custom_identifier: str | None) -> None:
        self.state: str | None = None
        "See `TurnRevoke.analytics`."
        self.error: RtcctlError | None = None
        self._env = env
        self._custom_identifier = custom_identifier

    async def run(self) -> list[RevokedCredential]:
        journal = self._in_journal()
        seen = [name for name in await self._in_analytics() if name not in journal]
        sources = {**dict.fromkeys(journal, "journal"), **dict.fromkeys(seen, "analytics")}
        return [
            RevokedCredential(
                username=username, source=source, outcome="pending", custom_identifier=self._custom_identifier
            )
            for username, source in sources.items()
        ]

    def _in_journal(self) -> Sequence[str]:
        profile = self._env.profile
        live = [
            record
            for record in self._env.journal.turn_credentials(self._env.wallclock())
            if record.custom_identifier == self._custom_identifier
        ]
        others = [record for record in live if record.key_id != profile.turn_key_id]
        if others:
            names = ", ".join(dict.fromkeys(record.profile for record in others))
            self._say(f"{len(others)} more with this identifier are of other TURN keys (--profile {names})")
        return [record.username for record in live if record.key_id == profile.turn_key_id]

    async def _in_analytics(self) -> Sequence[str]:
        env = self._env
        if not _has_analytics(env.profile):
            self.state = "not-configured"
            self._say("only the journal was looked at: asking TURN analytics needs an account id and its API token")
            return ()
        from rtcctl.realtime.analytics import ROWS_MAX

        assert self._custom_identifier is not None
        now = env.wallclock()
        try:
            async with env.analytics_client(deadline_s=COMMAND_DEADLINE_S) as client:
                names = await client.turn_usernames(self._custom_identifier, since=now - MAX_TTL_S, until=now)
        except RtcctlError as error:
            if isinstance(error, ApiError) and error.status == 404:
                self.state = "not-served"
                self._say("only the journal was looked at: this Realtime serves no TURN analytics")
                return ()
            self.state, self.error = "failed", error
            self._say(f"only the journal was looked at: {error.message}")
            return ()
        self.state = "asked"
        if len(names) >= ROWS_MAX:
            self._say(f"TURN analytics names {ROWS_MAX:,} user names at most: there may be more")
        own = (env.journal.turn_credential(name, now) for name in names)
        # What the journal knows to have ended needs no revoking, and no question.
        ended = {record.username for record in own if record is not None and record.remaining_s <= 0}
        return [name for name in names if name not in ended]

    def _say(self, text: str) -> None:
        self._env.emit(Warned(text=text))


def _to_try(request: RevokeRequest, targets: Sequence[RevokedCredential]) -> Mapping[str, IceServer]:
    """The credentials at hand that are among those to revoke."""
    wanted = {target.username for target in targets}
    tried = {server.username: server for server in request.at_hand if server.username in wanted and server.credential}
    if not tried:
        raise UsageError(
            "None of the credentials at hand is among those to revoke, so nothing could be verified.",
            hint="--ice-servers takes what `rtcctl turn creds --output json` printed when it made them.",
        )
    return {name: server for name, server in tried.items() if name is not None}


def _ask_about_foreign(targets: Sequence[RevokedCredential], env: Env) -> None:
    foreign = [target.username for target in targets if target.source != "journal"]
    if len(foreign) == 1:
        env.confirm(f"Credential {foreign[0]} was not issued from this machine. Revoke it?")
    elif foreign:
        env.confirm(f"{len(foreign)} of {len(targets)} credentials were not issued from this machine. Revoke them?")


# -- doing it ---------------------------------------------------------------------------------------------------------


async def _revoke_all(outcomes: list[RevokedCredential], env: Env) -> tuple[Mapping[str, float], Sequence[RtcctlError]]:
    """Revoke each of them, and put down what became of it; when the API had answered, and what went wrong."""
    revoked_at: dict[str, float] = {}
    errors: list[RtcctlError] = []
    for_all: list[RtcctlError] = []
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(i: int) -> None:
        target = outcomes[i]
        async with turns:
            try:
                if for_all:
                    raise for_all[0]
                await client.revoke(target.username)
            except RtcctlError as error:
                if _concerns_all(error):
                    for_all.append(error)
                errors.append(error)
                outcomes[i] = replace(target, outcome="failed", description=error.message)
                return
            revoked_at[target.username] = env.clock()
            env.journal.turn_revoked(target.username, env.wallclock())
            unknown = "the API does not say whether it existed" if target.source == "caller" else None
            outcomes[i] = replace(target, outcome="revoked", description=unknown)

    async with env.turn_client() as client, asyncio.TaskGroup() as group:
        for i in range(len(outcomes)):
            group.create_task(one(i))
    return revoked_at, errors


def _concerns_all(error: RtcctlError) -> bool:
    """A refused secret, or no way to the API: found out once, not once for each."""
    return isinstance(error, AuthError) or (isinstance(error, NetworkError) and error.phase != "http")


async def _before(server: IceServer, env: Env) -> str | None:
    """Why a refusal later would prove nothing; `None` when the credential works now."""
    env.emit(Progress(text="allocating with the credential before it is revoked"))
    try:
        return None if await is_taken(server, env.profile) else "it was refused before it was revoked, too"
    except NetworkError as error:
        return f"it could not be tried before it was revoked: {error.message}"


async def _verified(
    server: IceServer, before: str | None, since: float, env: Env, sleep: Callable[[float], Awaitable[None]]
) -> Check:
    """Allocate until the server refuses."""
    if before is not None:
        return Check("refused", CheckStatus.INCONCLUSIVE, limit=VERIFY_DEADLINE_S, unit="s", detail=before)
    env.emit(Progress(text="revoked; allocating until the server refuses"))
    after_s = await refused_after(lambda: is_taken(server, env.profile), since, clock=env.clock, sleep=sleep)
    if after_s is None:
        return Check(
            "refused",
            CheckStatus.FAILED,
            limit=VERIFY_DEADLINE_S,
            unit="s",
            detail="the TURN server did not refuse it in all that time",
            hint="Is it another service's credential? Those of the key are refused within seconds.",
        )
    return Check(
        "refused",
        CheckStatus.PASSED,
        observed=after_s,
        limit=VERIFY_DEADLINE_S,
        unit="s",
        detail=f"the TURN server refused it {after_s:.2f} s after it was revoked",
    )


async def _each(servers: Mapping[str, IceServer], what: Callable[[IceServer], Awaitable[T]]) -> dict[str, T]:
    """At the same time."""
    found: dict[str, T] = {}

    async def one(name: str, server: IceServer) -> None:
        found[name] = await what(server)

    async with asyncio.TaskGroup() as group:
        for name, server in servers.items():
            group.create_task(one(name, server))
    return found
