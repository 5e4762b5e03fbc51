"""Faults of the API that need a real connection: no answer, a lost one, and the end of the server meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import httpx
import pytest

from rtcctl.server.server import RealtimeServer
from tests.support.data_path import until
from tests.support.lean_session import client_of


@asynccontextmanager
async def serving(*faults: str) -> AsyncIterator[tuple[RealtimeServer, httpx.AsyncClient]]:
    async with RealtimeServer.run("127.0.0.1", 0, faults=faults) as server, client_of(server) as http:
        yield server, http
        assert server.registry.bugs == 0


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Until the connection ends, however it does."""
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""


def raw(server: RealtimeServer, path: str = "/sessions/new", method: str = "POST", version: str = "1.1") -> bytes:
    """A request as it is on the wire."""
    return (
        f"{method} /v1/apps/{server.app_id}{path} HTTP/{version}\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {server.app_secret}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


async def test_an_answer_that_is_lost() -> None:
    """The connection breaks without an answer, but the work is done; the ledger knows what was made."""
    async with serving("sessions/new=lost,times=1") as (server, http):
        with pytest.raises(httpx.TransportError):
            await http.post("sessions/new")
        row = server.ledger.requests[-1]
        await until(lambda: row.duration_ms is not None)
        assert (row.operation, row.fault, row.status) == ("sessions/new", "sessions/new=lost,times=1", None)
        assert (await http.get(f"sessions/{row.session_id}")).status_code == 200
        assert (await http.post("sessions/new")).status_code == 201


async def test_a_refusal_that_is_lost() -> None:
    """Whatever the answer would have been."""
    async with serving("*=lost") as (server, http):
        for call in (http.get(f"sessions/{'0' * 32}"), http.put(f"sessions/{'0' * 32}/renegotiate", content="{")):
            with pytest.raises(httpx.TransportError):
                await call
        assert (await http.post("sessions/new", headers={"Authorization": "Bearer wrong"})).status_code == 401
        assert [row.status for row in server.ledger.requests] == [None, None, 401]


async def test_a_connection_that_was_used_before() -> None:
    """On one that is kept alive, the answers before are whole; the one behind is not begun."""
    async with serving("sessions/new=lost,skip=1,times=1") as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with closing(writer):
            writer.write(raw(server))
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
            assert answer.startswith(b"HTTP/1.1 201")
            assert b"sessionId" in await reader.readexactly(int(length.partition(b":")[2]))
            writer.write(raw(server) * 2)
            assert await read_all(reader) == b""
            await until(lambda: server.ledger.requests[-1].duration_ms is not None)
        assert [row.status for row in server.ledger.requests] == [201, None]


async def test_a_client_that_gives_up_on_several() -> None:
    """The first of those it has sent hangs no longer than it is there."""
    async with serving("sessions/new=hang") as (server, _):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with closing(writer):
            writer.write(raw(server) * 3)
            await until(lambda: server.ledger.requests)
        await until(lambda: server.ledger.requests[0].duration_ms is not None)
        assert len(server.ledger.requests) == 1


@pytest.mark.parametrize("action", ["hang", "slow,for=1h"])
async def test_a_client_that_gives_up(action: str) -> None:
    """It hears nothing until it goes; others are answered meanwhile."""
    async with serving(f"sessions/new={action},times=1") as (server, http):
        with pytest.raises(httpx.ReadTimeout):
            await http.post("sessions/new", timeout=0.05)
        row = server.ledger.requests[0]
        assert (await http.post("sessions/new")).status_code == 201
        if action == "hang":
            await until(lambda: row.duration_ms is not None)
        assert row.status is None


async def test_a_hang_that_is_cleared() -> None:
    """The connection breaks: there is no answer to give any more."""
    async with serving("sessions/new=hang") as (server, http), asyncio.TaskGroup() as group:

        async def asks() -> None:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):  # and no time-out
                await http.post("sessions/new")

        for _ in range(3):
            group.create_task(asks())
        await until(lambda: server.faults.active[0].requests == 3)
        server.faults.clear()
    assert [row.status for row in server.ledger.requests] == [None] * 3


@pytest.mark.parametrize("action", ["hang", "slow,for=1h"])
async def test_a_server_that_ends_meanwhile(action: str) -> None:
    """It ends at once, with requests that hang or wait, and with a client that does not go."""
    connections = []
    async with RealtimeServer.run("127.0.0.1", 0, faults=[f"sessions/new={action}"]) as server:
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(raw(server))
            connections.append((reader, writer))
        await until(lambda: server.faults.active[0].requests == 3)
        started = time.monotonic()
    assert time.monotonic() - started < 0.8, "it did not wait for the shutdown timeout of a second"
    for reader, writer in connections:
        answer = await read_all(reader)
        assert answer[:12] == (b"" if action == "hang" else b"HTTP/1.1 201")
        writer.close()
    assert server.registry.bugs == 0


async def test_expiry_does_not_outlive_the_server() -> None:
    """A session that would end later ends with the server."""
    async with serving("sessions/new=expire,after=1h") as (_, http):
        session_id = (await http.post("sessions/new")).json()["sessionId"]
        assert (await http.get(f"sessions/{session_id}")).status_code == 200


async def test_no_body_to_head() -> None:
    """HTML in answer to HEAD has its headers alone, and the connection goes on."""
    async with serving("sessions/get=502") as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with closing(writer):
            for _ in range(2):
                writer.write(raw(server, f"/sessions/{'0' * 32}", "HEAD"))
                answer = await reader.readuntil(b"\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 502")
                assert b"text/html" in answer


async def test_the_admin_api_on_a_real_connection() -> None:
    """Set, met, listed, cleared, with the server's own Host; HTTP/1.0 without one is refused."""
    async with (
        serving() as (server, http),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}/rtcctl/", trust_env=False) as admin,
    ):
        assert (await admin.post("faults", json={"fault": "sessions/new=425,times=1"})).status_code == 201
        assert (await http.post("sessions/new")).status_code == 425
        assert (await http.post("sessions/new")).status_code == 201
        assert (await admin.get("faults")).json()["faults"] == [
            {"id": 1, "fault": "sessions/new=425,times=1", "is_media": False, "met": 1, "times": 1}
        ]
        rows = (await admin.get("ledger")).json()["requests"]
        assert [(row["status"], row["error_code"]) for row in rows] == [(425, "session_error"), (201, "")]
        assert (await admin.delete("faults/1")).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with closing(writer):
            writer.write(b"GET /rtcctl/faults HTTP/1.0\r\n\r\n")
            assert (await read_all(reader)).startswith(b"HTTP/1.1 403")
