"""`turn creds` and `turn refresh`: lifetimes, when a file is renewed, and what happens while the API fails."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from rtcctl.errors import AuthError, NetworkError, UsageError
from rtcctl.ops.turn import CredsRequest, borrowed, creds
from rtcctl.ops.turn_refresh import MAX_PAUSE_S, RENEWED_AT, RefreshRequest, refresh
from rtcctl.results.turn import CredentialsFile, TurnCreds, TurnRefresh
from tests.unit.ops.turn_wire import EPOCH, WiredEnv, wired
from tests.unit.realtime.wire import json_reply

TTL_S = 100


def servers(username: str = "u") -> httpx.Response:
    turn = {"urls": ["turn:t:3478?transport=udp", "turn:t:53"], "username": username, "credential": "pw"}
    return json_reply(201, {"iceServers": [{"urls": ["stun:t:3478"]}, turn]})


def until(env: WiredEnv, seconds: float) -> Callable[[float], Awaitable[None]]:
    """Sleeping, until so much time has passed; then as a signal does it."""
    end = env.service.time.now + seconds

    async def sleep(for_s: float) -> None:
        assert for_s > 0
        if env.service.time.now >= end:
            raise asyncio.CancelledError
        await env.service.time.sleep(for_s)

    return sleep


async def run(env: WiredEnv, seconds: float, ttl_s: float = TTL_S) -> list[TurnCreds]:
    """What was written until the command was stopped."""
    written: list[TurnCreds] = []
    request = RefreshRequest(CredsRequest(ttl_s, "alice"), "turn.json", written.append)
    with pytest.raises(asyncio.CancelledError):
        await refresh(request, env, sleep=until(env, seconds))
    return written


@pytest.mark.parametrize("ttl_s", [0, 0.5, 1.5, -1, 172_801, float("nan"), float("inf")])
def test_lifetimes_that_cannot_be(ttl_s: float):
    """Refused, not rounded."""
    with pytest.raises(UsageError, match="from 1 s to 48 h"):
        CredsRequest(ttl_s)


@pytest.mark.parametrize("ttl_s", [1, 3600.0, 172_800])
def test_lifetimes_that_can_be(ttl_s: float):
    """One second to two days."""
    assert CredsRequest(ttl_s).ttl_s == ttl_s


async def test_creds_are_noted_without_their_password(tmp_path: Path):
    """With what they are listed and revoked by; port 53 is gone."""
    with wired(tmp_path, servers()) as env:
        result = await creds(CredsRequest(60, "alice"), env)
        (record,) = env.journal.turn_credentials(EPOCH)
        assert (record.username, record.key_id, record.profile) == ("u", "key", "test")
        assert (record.issued_at, record.expires_at, record.custom_identifier) == (EPOCH, EPOCH + 60, "alice")
        assert result.expires_at == EPOCH + 60
        assert [url for server in result.ice_servers for url in server.urls] == [
            "stun:t:3478",
            "turn:t:3478?transport=udp",
        ]
        with closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as database:
            assert "pw" not in database.execute("SELECT * FROM turn_credentials").fetchone()


async def test_the_file_is_renewed_before_its_credential_ends(tmp_path: Path):
    """Written at once, and each time between 75 and 85 % of the lifetime; each has a row in the journal."""
    with wired(tmp_path, *(servers(f"u{number}") for number in range(10))) as env:
        written = await run(env, 3.6 * TTL_S)
        made = [result.expires_at - TTL_S for result in written]
        assert made[0] == EPOCH
        gaps = [later - earlier for earlier, later in pairwise(made)]
        assert len(gaps) == 4
        assert all(RENEWED_AT[0] * TTL_S <= gap <= RENEWED_AT[1] * TTL_S + 0.001 for gap in gaps)
        assert len(set(gaps)) == len(gaps), "no two machines in step"
        assert len(env.journal.turn_credentials(EPOCH)) == 5
        events = [event for event in env.events if isinstance(event, CredentialsFile)]
        assert [event.event for event in events] == ["credentials_written"] + 4 * ["credentials_renewed"]
        assert isinstance(env.partial, TurnRefresh)
        assert (env.partial.renewals, env.partial.username) == (4, "u4")


async def test_a_suspended_machine_renews_when_it_wakes_up(tmp_path: Path):
    """The monotonic clock has not moved, the wall clock has."""
    with wired(tmp_path, servers()) as env:
        time = env.service.time
        before, slept = env.wallclock, 50_000.0
        env.wallclock = lambda: before() + (slept if time.now > 1030 else 0.0)
        written = await run(env, 65, ttl_s=3600)
        assert len(written) == 2


async def test_a_clock_that_is_set_back_delays_nothing(tmp_path: Path):
    """The lifetime at the service goes on."""
    with wired(tmp_path, servers()) as env:
        time = env.service.time
        before = env.wallclock
        env.wallclock = lambda: before() - (50_000.0 if time.now > 1010 else 0.0)
        written = await run(env, TTL_S)
        assert len(written) == 2


async def test_an_outage_is_waited_out(tmp_path: Path):
    """Said with each attempt, and loudly when the credential has ended; the pauses grow, up to a bound."""
    outage_ends = 1000.0 + 400

    def reply(_: httpx.Request) -> httpx.Response:
        now = env.service.time.now
        return httpx.Response(400) if 1000 < now < outage_ends else servers(f"u{now:.0f}")

    with wired(tmp_path, reply) as env:
        written = await run(env, 400 + 1.25 * MAX_PAUSE_S)
        assert len(written) == 2
        said = [text for text in env.said.splitlines() if text]
        assert "is valid for" in said[0]
        assert "turn.json IS STALE" in said[-1]
        assert "400" in said[-1]
        assert 8 < len(said) < 20
        assert env.partial is not None


async def test_a_refused_secret_ends_it_when_the_credential_has_ended(tmp_path: Path):
    """Not before: until then nothing is lost, and a refusal may be a mistake of the service."""

    def reply(_: httpx.Request) -> httpx.Response:
        return servers() if env.service.time.now == 1000 else httpx.Response(401)

    with wired(tmp_path, reply) as env:
        request = RefreshRequest(CredsRequest(TTL_S), "turn.json", lambda _: None)
        with pytest.raises(AuthError):
            await refresh(request, env, sleep=until(env, 1000))
        assert TTL_S <= env.service.time.now - 1000 < TTL_S + 1.25 * MAX_PAUSE_S
        assert "is valid for" in env.said


async def test_an_error_at_the_start_ends_it(tmp_path: Path):
    """There is nothing yet that could be kept."""
    with wired(tmp_path, httpx.Response(401)) as env:
        with pytest.raises(AuthError):
            await refresh(RefreshRequest(CredsRequest(TTL_S), "turn.json", lambda _: None), env, sleep=until(env, 1))
        assert env.partial is None


async def test_a_file_that_cannot_be_written_later_is_an_outage_too(tmp_path: Path):
    """A full disk passes; the credential that could not be written is revoked."""
    revoked: list[str] = []
    issued = 0

    def reply(request: httpx.Request) -> httpx.Response:
        nonlocal issued
        if request.url.path.endswith("/revoke"):
            revoked.append(request.url.path.split("/")[-2])
            return httpx.Response(204)
        issued += 1
        return servers(f"u{issued}")

    with wired(tmp_path, reply) as env:
        writes: list[float] = []

        def write(_: TurnCreds) -> None:
            writes.append(env.service.time.now)
            if len(writes) == 2:
                raise UsageError("turn.json cannot be written: No space left on device.")

        request = RefreshRequest(CredsRequest(TTL_S), "turn.json", write)
        with pytest.raises(asyncio.CancelledError):
            await refresh(request, env, sleep=until(env, TTL_S))
        assert len(writes) == 3
        assert "No space left on device" in env.said
        assert revoked == ["u2"]
        assert "u2" not in {record.username for record in env.journal.turn_credentials(env.wallclock())}


async def test_a_key_without_a_turn_server_has_nothing_to_keep(tmp_path: Path):
    """STUN alone is no credential."""
    request = RefreshRequest(CredsRequest(TTL_S), "turn.json", lambda _: None)
    with wired(tmp_path, json_reply(201, {"iceServers": [{"urls": ["stun:t:3478"]}]})) as env:
        sleep = until(env, 1)
        with pytest.raises(UsageError, match="nothing to keep fresh"):
            await refresh(request, env, sleep=sleep)


async def test_credentials_of_a_lost_connection_end_when_the_api_answers_again(tmp_path: Path):
    """Not behind the connection, when the API may be as dead as the path; they end at once in any other case."""
    waiting: list[Callable[[], Awaitable[None]]] = []
    with wired(tmp_path, servers("lost"), json_reply(204, None), servers("kept"), json_reply(204, None)) as env:
        with pytest.raises(NetworkError):
            async with borrowed(CredsRequest(TTL_S), env, later=waiting.append):
                raise NetworkError("lost", phase="media")
        assert [record.username for record in env.journal.turn_credentials(env.wallclock())] == ["lost"]
        (end,) = waiting
        await end()
        assert env.journal.turn_credentials(env.wallclock()) == ()
        with pytest.raises(UsageError):
            async with borrowed(CredsRequest(TTL_S), env, later=waiting.append):
                raise UsageError("a file ended")
        assert env.journal.turn_credentials(env.wallclock()) == ()
        assert len(waiting) == 1
