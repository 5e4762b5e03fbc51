"""TURN credential endpoints (Realtime docs: Generate credentials)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.contract.refusals import NOT_JSON, UNAUTHORIZED, Refused
from tests.contract.subject import Subject, subject

GENERATORS = ("generate-ice-servers", "generate")
DAY_S = 86_400
OUT_OF_RANGE = Refused(400, "invalid_params", elsewhere=((400, None), (201, None)))
"It may also be cut to what is allowed."
UNKNOWN_KEY = Refused(404, "not_found", elsewhere=((404, None), (401, "unauthorized"), (401, None), (403, None)))


@asynccontextmanager
async def turn_key() -> AsyncIterator[Subject]:
    async with subject() as service:
        if not service.turn_key_id:
            pytest.skip("no TURN key: set RTCCTL_CONTRACT_TURN_KEY_ID and RTCCTL_CONTRACT_TURN_KEY_TOKEN")
        yield service


async def call(service: Subject, operation: str, body: Any = None, **options: Any) -> httpx.Response:
    path = f"/turn/keys/{service.turn_key_id}/credentials/{operation}"
    return await service.request("POST", path, body, **{"secret": service.turn_key_token} | options)


def check_servers(service: Subject, answer: httpx.Response, kind: type) -> None:
    """201, and servers for an `RTCPeerConnection`, in a list or as one object."""
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    servers = answer.json()["iceServers"]
    assert isinstance(servers, kind)
    for server in servers if isinstance(servers, list) else [servers]:
        assert all(url.startswith(("stun:", "turn:", "turns:")) for url in server["urls"])
        is_stun = all(url.startswith("stun:") for url in server["urls"])
        assert is_stun or (server["username"] and server["credential"])
        assert is_stun or not service.quirks.stun_only


async def test_generate() -> None:
    """A list of servers in the newer shape, one object in the older; the lifetime is up to two days."""
    async with turn_key() as service:
        for operation, kind in zip(GENERATORS, (list, dict), strict=True):
            for body in (
                {"ttl": 60},
                {"ttl": DAY_S},
                {"ttl": 2 * DAY_S, "customIdentifier": "contract", "unknown": 1},
            ):
                check_servers(service, await call(service, operation, body), kind)
            plain = {"content": json.dumps({"ttl": 60}), "headers": {"Content-Type": "text/plain"}}
            check_servers(service, await call(service, operation, **plain), kind)
            if service.quirks.follows_assumptions:
                check_servers(service, await call(service, operation, {}), kind)
                check_servers(service, await call(service, operation), kind)


async def test_lifetimes_and_bodies_that_cannot_be() -> None:
    """400: more than two days, nothing, and what is no number or no JSON."""
    async with turn_key() as service:
        for operation in GENERATORS:
            for ttl in (0, -1, 2 * DAY_S + 1, 864_000):
                service.check_refused(await call(service, operation, {"ttl": ttl}), OUT_OF_RANGE)
            for body in ({"ttl": "60"}, {"ttl": 60, "customIdentifier": 1}):
                service.check_error(await call(service, operation, body), 400, "decoding_error")
            service.check_refused(await call(service, operation, content="{"), NOT_JSON)


async def test_secrets() -> None:
    """The key's own token and no other: not the secret of an app, and not for another key."""
    async with turn_key() as service:
        for operation in (*GENERATORS, f"{'0' * 96}/revoke"):
            for secret in (service.app_secret, "wrong"):
                answer = await call(service, operation, {"ttl": 60}, secret=secret)
                assert answer.status_code in service.quirks.wrong_secret
                service.check_refused(answer, UNAUTHORIZED)
            path = f"/turn/keys/{'f' * 32}/credentials/{operation}"
            answer = await service.request("POST", path, {"ttl": 60}, secret=service.turn_key_token)
            service.check_refused(answer, UNKNOWN_KEY)


async def test_revoke() -> None:
    """204 without a body, whether or not there is such a credential."""
    async with turn_key() as service:
        for _ in range(2):
            answer = await call(service, f"{'0' * 96}/revoke")
            assert (answer.status_code, answer.content) == (204, b"")


async def test_pages_of_any_origin_may_ask() -> None:
    """CORS as everywhere, on errors too."""
    origin = {"Origin": "http://localhost:5173"}
    async with turn_key() as service:
        for secret in (service.turn_key_token, "wrong"):
            answer = await call(service, GENERATORS[0], {"ttl": 60}, secret=secret, headers=origin)
            if service.quirks.follows_assumptions:
                assert answer.headers["access-control-allow-origin"] in ("*", origin["Origin"])
                assert "origin" in answer.headers["vary"].lower()
