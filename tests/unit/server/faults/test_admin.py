"""The admin API: who is answered, and what can be done. As an ASGI application: the peer's address is the test's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from rtcctl.server.faults.admin import Admin
from rtcctl.server.faults.faults import Faults
from rtcctl.server.faults.ledger import Ledger
from rtcctl.web.answer import json_answer
from tests.support.impaired import FakeEndpoint
from tests.unit.server.faults.test_ledger import packet, request

FAULTS, LEDGER = "/rtcctl/faults", "/rtcctl/ledger"
HOST = "127.0.0.1:8610"


class Api:
    def __init__(self, base_url: str) -> None:
        self.faults = Faults(FakeEndpoint(), tuple, Ledger())  # type: ignore[arg-type]
        self.admin = Admin(json_answer({"is_app": True}), self.faults, base_url)

    async def ask(
        self,
        path: str = FAULTS,
        *,
        method: str = "GET",
        peer: tuple[str, int] | None = ("127.0.0.1", 5),
        headers: tuple[tuple[str, str], ...] = (),
        host: str | None = HOST,
        **options: Any,
    ) -> httpx.Response:
        """`headers` come behind the Host; as they are, not one for each name."""
        sent = [(name.encode(), value.encode()) for name, value in headers]
        sent += [] if host is None else [(b"host", host.encode())]

        async def with_headers(scope: Any, receive: Any, send: Any) -> None:
            scope["client"] = peer
            scope["headers"] = [*sent, *(pair for pair in scope["headers"] if pair[0] == b"content-length")]
            await self.admin(scope, receive, send)

        transport = httpx.ASGITransport(with_headers)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.request(method, path, **options)

    async def set(self, text: Any, **options: Any) -> httpx.Response:
        return await self.ask(method="POST", json={"fault": text}, **options)


@asynccontextmanager
async def api(base_url: str = f"http://{HOST}/v1") -> AsyncIterator[Api]:
    yield Api(base_url)


def refused(answer: httpx.Response) -> str:
    assert answer.status_code == 403
    document = answer.json()
    assert document["errorCode"] == "forbidden"
    return str(document["errorDescription"])


async def test_faults_are_set_listed_and_cleared() -> None:
    """By an id of its own each; what was set is written as it came."""
    async with api() as at:
        answer = await at.set("tracks/new=425,times=3")
        first = {"id": 1, "fault": "tracks/new=425,times=3", "is_media": False, "met": 0, "times": 3}
        assert (answer.status_code, answer.json()) == (201, first)
        second = {"id": 2, "fault": "loss=5%", "is_media": True, "met": 0, "times": None}
        assert (await at.set("loss=5%")).json() == second
        assert (await at.ask()).json() == {"faults": [first, second]}
        assert (await at.ask(method="HEAD")).status_code == 200
        assert (await at.ask(f"{FAULTS}/1", method="DELETE")).json() == {"faults": [first]}
        assert (await at.ask(f"{FAULTS}/1", method="DELETE")).status_code == 404
        assert (await at.set("loss=1%")).json()["id"] == 3
        assert len((await at.ask(method="DELETE")).json()["faults"]) == 2
        assert (await at.ask(method="DELETE")).json() == {"faults": []}
        assert at.faults.active == []


@pytest.mark.parametrize("name", ["0", "7", "x", "-1", "1.0", "²", "9" * 5000, "%2e"])
async def test_faults_that_are_not_there(name: str) -> None:
    """404, whatever stands for the id."""
    async with api() as at:
        await at.set("loss=5%")
        answer = await at.ask(f"{FAULTS}/{name}", method="DELETE")
        assert (answer.status_code, answer.json()["errorCode"]) == (404, "not_found")
        assert len(at.faults.active) == 1


async def test_a_fault_that_is_none() -> None:
    """400 with the words of the grammar, and nothing is set."""
    async with api() as at:
        answer = await at.set("loss=5")
        assert (answer.status_code, answer.json()) == (
            400,
            {"errorCode": "invalid_fault", "errorDescription": "loss: a ratio needs its unit: 5%"},
        )
        assert (await at.set("tracks/new=" + "4" * 5000)).status_code == 400
        assert (await at.set("")).status_code == 400
        assert at.faults.active == []


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "null", "1", '"loss=5%"', "{}", '{"fault": 5}', '{"fault": null}', '{"fault": ["loss=5%"]}'),
        *(b"\xff\xfe", "[" * 60_000, '{"fault": ' + "[" * 60_000, "1" * 5000, "loss=5%"),
    ],
)
async def test_bodies_that_say_nothing(content: str | bytes) -> None:
    """400 with what to send; deep JSON and long numbers, too."""
    async with api() as at:
        answer = await at.ask(method="POST", content=content)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "decoding_error")
        assert '{"fault": ' in answer.json()["errorDescription"]


async def test_a_body_that_is_too_large() -> None:
    """413, announced or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * 1024

    async with api() as at:
        for content in (b" " * 65_537, chunks()):
            assert (await at.ask(method="POST", content=content)).status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", FAULTS),
        ("PATCH", FAULTS),
        ("OPTIONS", FAULTS),
        ("POST", LEDGER),
        ("DELETE", LEDGER),
        ("GET", f"{FAULTS}/1"),
    ],
)
async def test_wrong_methods(method: str, path: str) -> None:
    """405 in JSON; a preflight allows nothing to anybody."""
    async with api() as at:
        answer = await at.ask(path, method=method)
        assert (answer.status_code, answer.json()["errorCode"]) == (405, "method_not_allowed")
        assert not any(name.startswith("access-control") for name in answer.headers)


async def test_other_paths() -> None:
    """What is below the prefix is the admin's, and 404 in JSON when it is nothing; the rest is the application's."""
    async with api() as at:
        for path in ("/rtcctl", "/rtcctl/", f"{FAULTS}/", f"{LEDGER}/x", "/rtcctl//faults"):
            answer = await at.ask(path)
            assert (answer.status_code, answer.json()["errorCode"]) == (404, "not_found")
        for path in ("/", "/v1/rtcctl/faults", "/rtcctlfaults", "/RTCCTL/faults"):
            assert (await at.ask(path, peer=("192.0.2.1", 5), host="elsewhere")).json() == {"is_app": True}
        assert refused(await at.ask("/rtcctl%2Ffaults", peer=("192.0.2.1", 5)))


async def test_the_ledger() -> None:
    """All of it, or of an app or a session."""
    async with api() as at:
        at.faults.ledger.packet(packet(session_id="a"))
        at.faults.ledger.packet(packet(session_id="b"))
        at.faults.ledger.request(request(app_id="app"))
        document = (await at.ask(LEDGER)).json()
        assert (len(document["packets"]), len(document["requests"])) == (2, 1)
        document = (await at.ask(f"{LEDGER}?session=a")).json()
        assert (len(document["packets"]), len(document["requests"])) == (1, 0)
        document = (await at.ask(f"{LEDGER}?app=app&session=")).json()
        assert (len(document["packets"]), len(document["requests"])) == (2, 1)


# --- who is answered


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
async def test_peers_on_loopback(peer: str) -> None:
    """All of IPv4's loopback network, IPv6's, and the former as the latter writes it."""
    async with api() as at:
        assert (await at.ask(peer=(peer, 5))).status_code == 200


@pytest.mark.parametrize(
    "peer",
    ["192.0.2.1", "10.0.0.1", "0.0.0.0", "::", "::2", "::ffff:192.0.2.1", "fe80::1%lo", "localhost", "", "unix:"],
)
async def test_other_peers(peer: str) -> None:
    """Whoever is not on this machine, or is nobody, is refused, with everything right besides."""
    async with api() as at:
        for options in ({}, {"path": LEDGER}, {"method": "DELETE"}):
            assert "loopback" in refused(await at.ask(peer=(peer, 5), **options))
        assert "loopback" in refused(await at.ask(peer=None))


@pytest.mark.parametrize("host", ["127.0.0.1:8610", "localhost:8610", "LocalHost:8610", "[::1]:8610"])
async def test_own_hosts(host: str) -> None:
    """The names of loopback, with the server's port."""
    async with api() as at:
        assert (await at.ask(host=host)).status_code == 200


async def test_a_loopback_address_of_its_own() -> None:
    """A server that listens on another one is asked under that."""
    async with api("http://127.0.0.2:8610/v1") as at:
        assert (await at.ask(host="127.0.0.2:8610")).status_code == 200
        refused(await at.ask(host="127.0.0.3:8610"))


@pytest.mark.parametrize(("scheme", "port", "other"), [("http", 80, 443), ("https", 443, 80)])
async def test_the_port_of_the_scheme(scheme: str, port: int, other: int) -> None:
    """Clients leave it out of Host and Origin: both spellings are own, foreign names and the other port are not."""
    for name in ("127.0.0.1", "localhost", "[::1]"):
        async with api(f"{scheme}://127.0.0.1:{port}/v1") as at:
            for host in (name, f"{name}:{port}"):
                assert (await at.set("loss=5%", host=host, headers=(("origin", f"{scheme}://{host}"),))).is_success
                assert "Origin" in refused(await at.ask(host=host, headers=(("origin", f"{scheme}://{name}:{other}"),)))
            for host in (f"{name}:{other}", "attacker.example", f"attacker.example:{port}", f"{name}:"):
                assert "Host" in refused(await at.ask(host=host))


@pytest.mark.parametrize(
    "host",
    [
        *("attacker.example", "attacker.example:8610", "127.0.0.1", "127.0.0.1:80", "localhost", "127.0.0.1:8610.evil"),
        *(
            "127.0.0.1:8610,127.0.0.1:8610",
            "user@127.0.0.1:8610",
            "localhost.:8610",
            "[::ffff:127.0.0.1]:8610",
            "",
            "é",
        ),
    ],
)
async def test_foreign_hosts(host: str) -> None:
    """A name that resolves to loopback is an attack (DNS rebinding)."""
    async with api() as at:
        assert "Host" in refused(await at.ask(host=host))
        assert "Host" in refused(await at.set("loss=5%", host=host))
        assert at.faults.active == []


async def test_no_host_or_two() -> None:
    """HTTP/1.0 may have none; two say nothing, even when both are right."""
    async with api() as at:
        assert "Host" in refused(await at.ask(host=None))
        for other in (HOST, "attacker.example"):
            assert "Host" in refused(await at.ask(headers=(("host", other),)))


@pytest.mark.parametrize(
    "origin", [f"http://{HOST}", "http://localhost:8610", "HTTP://LOCALHOST:8610", "http://[::1]:8610"]
)
async def test_own_origins(origin: str) -> None:
    """A page of the server itself may."""
    async with api() as at:
        assert (await at.set("loss=5%", headers=(("origin", origin),))).status_code == 201


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://localhost:5173",
        "http://attacker.example",
        f"https://{HOST}",
        f"http://{HOST}/",
        f"http://{HOST} x",
    ],
)
async def test_foreign_origins(origin: str) -> None:
    """Any other page of a browser on this machine may not, nor one without a name; not behind an own one either."""
    async with api() as at:
        own = ("origin", f"http://{HOST}")
        for headers in ((("origin", origin),), (own, ("origin", origin)), (("origin", origin), own)):
            assert "Origin" in refused(await at.set("loss=5%", headers=headers))
        assert at.faults.active == []


@pytest.mark.parametrize(
    "name",
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "cf-connecting-ip", "via"],
)
async def test_through_a_proxy(name: str) -> None:
    """Whoever is behind it is not on this machine, whatever it says of him."""
    async with api() as at:
        for value in ("127.0.0.1", ""):
            assert "proxy" in refused(await at.ask(headers=((name, value),)))
