"""The account API as an ASGI application: what its server hears of it. What it answers is the contract's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from rtcctl.errors import UsageError
from rtcctl.server.account import AccountApi
from rtcctl.server.limits import Limits
from rtcctl.server.registry import App, Registry, TurnKey
from rtcctl.web.answer import json_answer
from tests.support.fake_endpoint import Clock, FakeEndpoint

CALLS = "/client/v4/accounts/account/calls"
TOKEN = "account-token-0123"


class Wallclock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 18, 11, 6, 40, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def api(
    wallclock: Wallclock | None = None, *, kind: type[Registry] = Registry
) -> AsyncIterator[tuple[httpx.AsyncClient, Registry]]:
    clock = Clock()
    endpoint = FakeEndpoint(clock)
    registry = kind(
        endpoint=endpoint,  # type: ignore[arg-type]
        candidates=endpoint.candidates,
        apps=[App("app", "secret-of-the-app")],
        turn_keys=[TurnKey("key", "token-of-the-key", "app")],
        limits=Limits(),
        clock=clock,
    )
    account = AccountApi(
        json_answer({"is_other": True}), registry, "account", TOKEN, wallclock=wallclock or Wallclock()
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    # A bug is an answer too.
    transport = httpx.ASGITransport(account, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server", headers=headers) as client:
        yield client, registry


async def test_what_was_there_before_dates_from_the_start() -> None:
    """Whole seconds; what is renamed keeps the date of its creation."""
    wallclock = Wallclock()
    async with api(wallclock) as (client, registry):
        wallclock.now += timedelta(seconds=5)
        (app,) = (await client.get(f"{CALLS}/apps")).json()["result"]
        assert app == {
            "uid": "app",
            "name": "",
            "created": "2026-11-18T11:06:40Z",
            "modified": "2026-11-18T11:06:40Z",
        }
        changed = (await client.put(f"{CALLS}/apps/app", json={"name": "one"})).json()["result"]
        assert changed == app | {"name": "one", "modified": "2026-11-18T11:06:45Z"}
        assert registry.apps["app"].modified == datetime(2026, 11, 18, 11, 6, 45, tzinfo=UTC)


@pytest.mark.parametrize("path", ["/client/v4", "/client/v4/", "/client/v4/user/tokens/verify"])
async def test_what_is_ours(path: str) -> None:
    """Everything below the prefix, and nothing beside it."""
    async with api() as (client, _):
        assert (await client.get(path)).json()["errors"] == [{"code": 7000, "message": "No route for that URI"}]
        assert (await client.get(path.replace("v4", "v40"))).json() == {"is_other": True}


async def test_requests_are_rows_of_the_ledger() -> None:
    """With operation, app, status and code; never with a secret that was shown."""
    async with api() as (client, registry):
        made = (await client.post(f"{CALLS}/apps", json={"name": "n"})).json()["result"]
        await client.get(f"{CALLS}/apps/nobody")
        await client.delete(f"{CALLS}/turn_keys/key")
        await client.get(f"{CALLS}/apps", headers={"Authorization": "Bearer wrong"})
        rows = [(r.operation, r.app_id, r.status, r.error_code) for r in registry.faults.ledger.requests]
        assert rows == [
            ("apps/create", "", 201, ""),
            ("apps/get", "nobody", 404, "7003"),
            ("turn_keys/delete", "", 200, ""),
            ("apps/list", "", 401, "10000"),
        ]
        assert made["secret"] not in str(registry.faults.ledger.document())
        assert not registry.faults.ledger.requests[0].answer


async def test_what_cannot_be_kept_is_not_done(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk is the server's, not the client's: 500, in the envelope, and why is logged."""

    def refuse(entry: object) -> None:
        raise UsageError("kept.toml cannot be written: No space left on device.")

    async with api() as (client, registry):
        registry.on_change = registry.on_remove = refuse
        for answer in (
            await client.post(f"{CALLS}/apps", json={"name": "n"}),
            await client.put(f"{CALLS}/apps/app", json={"name": "n"}),
            await client.delete(f"{CALLS}/apps/app"),
            await client.delete(f"{CALLS}/turn_keys/key"),
        ):
            assert answer.status_code == 500
            assert answer.json()["errors"][0]["message"] == "It could not be kept, so nothing was done"
        assert [(app.uid, app.name) for app in registry.apps.values()] == [("app", "")]
        assert list(registry.turn_keys) == ["key"]
    assert "No space left" in caplog.text


async def test_a_bug_is_in_the_envelope_too() -> None:
    """And says nothing of itself."""

    class Broken(Registry):
        @property
        def apps(self) -> Any:
            raise RuntimeError("a bug of ours")

    async with api(kind=Broken) as (client, _):
        answer = await client.get(f"{CALLS}/apps")
        assert (answer.status_code, answer.json()["success"]) == (500, False)
        assert "a bug" not in answer.text


async def test_a_client_of_one_app_cannot_take_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """No App Secret and no TURN key token is the account's, and no answer or log has one."""
    async with api() as (client, _):
        with caplog.at_level("INFO"):
            for secret in ("secret-of-the-app", "token-of-the-key", ""):
                answer = await client.get(f"{CALLS}/apps", headers={"Authorization": f"Bearer {secret}"})
                assert answer.status_code == 401
            shown = (await client.get(f"{CALLS}/turn_keys/key")).text + (await client.get(f"{CALLS}/apps/app")).text
        for secret in ("secret-of-the-app", "token-of-the-key", TOKEN):
            assert secret not in shown + caplog.text


async def test_a_body_that_is_on_its_way_at_the_end_is_answered() -> None:
    """408 in the envelope; nobody waits for it."""
    registry = Registry(endpoint=FakeEndpoint(Clock()), candidates=(), apps=(), limits=Limits(), clock=Clock())  # type: ignore[arg-type]
    account = AccountApi(json_answer({}), registry, "account", TOKEN)

    async def half() -> AsyncIterator[bytes]:
        yield b'{"name": '
        account.close()
        await asyncio.Event().wait()

    async with httpx.AsyncClient(transport=httpx.ASGITransport(account), base_url="http://server") as client:
        answer = await client.post(f"{CALLS}/apps", content=half(), headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()["success"]) == (408, False)
    assert registry.apps == {}
