"""The official OpenAPI file as a generator of requests: whatever it allows, and what it does not, gets a JSON answer.

`RTCCTL_OPENAPI` names the file, which is Cloudflare's document and no part of this project.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rtcctl.server.limits import Limits
from rtcctl.server.server import RealtimeServer

OPENAPI = os.environ.get("RTCCTL_OPENAPI")
OPERATIONS = (
    "/apps/{appId}/sessions/new",
    "/apps/{appId}/sessions/{sessionId}",
    "/apps/{appId}/sessions/{sessionId}/tracks/new",
    "/apps/{appId}/sessions/{sessionId}/tracks/close",
    "/apps/{appId}/sessions/{sessionId}/renegotiate",
)
"Those that the embedded server has."

if OPENAPI is None:
    pytest.skip("RTCCTL_OPENAPI does not name the official OpenAPI file", allow_module_level=True)

# Imported here since it takes a second, and only this module needs it.
import schemathesis  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

schema = schemathesis.openapi.from_path(OPENAPI).include(path=list(OPERATIONS))


@contextmanager
def server_in_a_thread() -> Iterator[RealtimeServer]:
    """schemathesis is synchronous, so the server has a loop and a thread of its own."""
    started = threading.Event()
    running: list[RealtimeServer] = []
    loop = asyncio.new_event_loop()
    ending = asyncio.Event()

    async def serve() -> None:
        limits = Limits(connect_wait_s=0.05, media_wait_s=0.05, requests_per_second=100_000)
        async with RealtimeServer.run("127.0.0.1", 0, limits=limits) as server:
            running.append(server)
            started.set()
            await ending.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(10)
        yield running[0]
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(10)
    assert running[0].registry.bugs == 0


@pytest.fixture(scope="module")
def server() -> Iterator[RealtimeServer]:
    """One server for all generated requests: what one leaves behind, the next meets."""
    with server_in_a_thread() as running:
        yield running


@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_request_is_answered(case: schemathesis.Case, server: RealtimeServer) -> None:
    """No 5xx, always JSON, always `vary: Origin`; to an existing session and to none; wrong methods too."""
    case.path_parameters["appId"] = server.app_id
    headers = {"Authorization": f"Bearer {server.app_secret}"}
    if "sessionId" in case.path_parameters and len(str(case.path_parameters["sessionId"])) % 2:
        case.path_parameters["sessionId"] = new_session(server)
    answer = case.call(base_url=server.base_url, headers=headers)
    assert answer.status_code < 500, answer.text
    assert answer.headers["vary"] == ["Origin"]
    if case.method in ("HEAD", "OPTIONS"):
        return
    document = answer.json()
    if answer.status_code >= 400:
        assert document["errorCode"]
        assert document["errorDescription"]


def new_session(server: RealtimeServer) -> str:
    import httpx

    answer = httpx.post(
        f"{server.base_url}/apps/{server.app_id}/sessions/new",
        headers={"Authorization": f"Bearer {server.app_secret}"},
        trust_env=False,
    )
    return str(answer.json()["sessionId"])
