"""The embedded server as a part of a program: ports, exposure, shutdown."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time
from contextlib import closing
from dataclasses import dataclass

import httpx
import pytest

from rtcctl.errors import UsageError
from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.development import (
    DEVELOPMENT_ACCOUNT_TOKEN,
    DEVELOPMENT_APP_SECRET,
    DEVELOPMENT_TURN_KEY_TOKEN,
)
from rtcctl.server.addresses import default_route
from rtcctl.server.limits import Limits
from rtcctl.server.registry import App, TurnKey
from rtcctl.server.server import RealtimeServer
from rtcctl.server.session import Session
from tests.support.data_path import until
from tests.support.lean_session import LeanSession, client_of, lean_session
from tests.support.sdp import offer_of, section

OFFER = offer_of(section("0", Direction.SENDONLY)).to_wire()


@dataclass(frozen=True)
class OwnCredentials:
    app_id: str = "own"
    app_secret: str = "a secret of my own"
    turn_key_id: str = "own-key"
    turn_key_token: str = "a token of my own"
    account_id: str = "own-account"
    account_token: str = "an account token of my own"


def client(server: RealtimeServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"{server.base_url}/apps/{server.app_id}/",
        headers={"Authorization": f"Bearer {server.app_secret}"},
        timeout=15,
        trust_env=False,
    )


async def binding(host: str, port: int) -> tuple[str, int]:
    """Ask for a STUN binding; where the answer came from."""
    loop = asyncio.get_running_loop()
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.setblocking(False)
        await loop.sock_sendto(sock, b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!", (host, port))
        async with asyncio.timeout(5):
            answer, address = await loop.sock_recvfrom(sock, 1500)
    assert answer[:2] == b"\x01\x01"
    assert answer[8:20] == b"transaction!"
    return address[:2]


async def test_a_free_port_is_one_number() -> None:
    """Port 0: TCP and UDP have the same number, unless somebody else has the UDP port; it is in URL and candidate."""
    are_one = []
    for _ in range(3):
        async with RealtimeServer.run("127.0.0.1", 0) as server:
            are_one.append(server.port == server.udp_port)
            assert server.base_url == f"http://127.0.0.1:{server.port}/v1"
            assert server.candidates[0] == ("127.0.0.1", server.udp_port)
    assert any(are_one)


async def test_an_udp_port_of_its_own() -> None:
    """`udp_port` may be any."""
    async with RealtimeServer.run("127.0.0.1", 0, udp_port=0) as server:
        assert server.udp_port
        assert server.candidates[0] == ("127.0.0.1", server.udp_port)


async def test_ports_in_use() -> None:
    """A clear error before anything is served; nothing stays bound."""
    async with RealtimeServer.run("127.0.0.1", 0) as server:
        with pytest.raises(UsageError, match=f"TCP port {server.port}"):
            async with RealtimeServer.run("127.0.0.1", server.port):
                pass
        with pytest.raises(UsageError, match=f"UDP port {server.udp_port}"):
            async with RealtimeServer.run("127.0.0.1", 0, udp_port=server.udp_port):
                pass
    async with RealtimeServer.run("127.0.0.1", server.port, udp_port=server.udp_port) as again:
        assert (again.port, again.udp_port) == (server.port, server.udp_port)


async def test_impossible_addresses() -> None:
    """No such port, no such host: usage errors."""
    for host, port in (("127.0.0.1", 70000), ("127.0.0.1", -1), ("no.such.host.invalid", 0), ("192.0.2.1", 0)):
        with pytest.raises(UsageError):
            async with RealtimeServer.run(host, port, credentials=OwnCredentials()):
                pass


async def test_the_development_secret_stays_on_loopback() -> None:
    """Elsewhere it is refused with a hint; with a secret of one's own it is not."""
    with pytest.raises(UsageError, match="public") as caught:
        async with RealtimeServer.run("0.0.0.0", 0):
            pass
    assert "RTCCTL_DEV_SECRET" in caught.value.hint
    public = OwnCredentials(account_token=DEVELOPMENT_ACCOUNT_TOKEN)
    with pytest.raises(UsageError, match="public"):
        async with RealtimeServer.run("0.0.0.0", 0, credentials=public):
            pass
    async with RealtimeServer.run("0.0.0.0", 0, credentials=OwnCredentials()) as server:
        assert server.base_url.startswith("http://127.0.0.1:")
        assert ("127.0.0.1", server.udp_port) in server.candidates


async def test_announced_addresses_are_the_first_candidates() -> None:
    """For containers and phones: the addresses that others see, in their order, and still our own."""
    async with (
        RealtimeServer.run(
            "127.0.0.1", 0, media_hosts=["127.0.0.1"], announce=["198.51.100.7", "2001:db8::7"]
        ) as server,
        client(server) as http,
    ):
        answer = await http.post("sessions/new", json={"sessionDescription": OFFER})
        (media,) = Sdp.parse(answer.json()["sessionDescription"]["sdp"]).media
        assert [(candidate.address, candidate.port) for candidate in media.candidates] == [
            ("198.51.100.7", server.udp_port),
            ("2001:db8::7", server.udp_port),
            ("127.0.0.1", server.udp_port),
        ]
        priorities = [candidate.priority for candidate in media.candidates]
        assert priorities == sorted(priorities, reverse=True)


async def test_media_is_where_browsers_are() -> None:
    """By default on loopback and on the address of the default route, if this machine has one."""
    async with RealtimeServer.run("127.0.0.1", 0) as server:
        expected = ["127.0.0.1", *([routed] if (routed := default_route(4)) else [])]
        assert server.candidates == tuple((address, server.udp_port) for address in expected)
        for address in expected:
            assert (await binding(address, server.udp_port)) == (address, server.udp_port)


async def test_several_media_hosts() -> None:
    """A socket on each, all on one port; each answers from the address it was asked at."""
    hosts = ["127.0.0.3", "127.0.0.2"]
    async with RealtimeServer.run("127.0.0.1", 0, media_hosts=hosts) as server:
        assert server.candidates == tuple((host, server.udp_port) for host in hosts)
        for host in hosts:
            assert (await binding(host, server.udp_port)) == (host, server.udp_port)


async def test_a_media_host_that_is_not_ours() -> None:
    """A usage error that names it; nothing stays bound."""
    async with RealtimeServer.run("127.0.0.1", 0) as free:
        port = free.port
    for hosts in (["198.51.100.99"], ["127.0.0.1", "198.51.100.99"], ["224.0.0.1"], ["no.such.host.invalid"]):
        with pytest.raises(UsageError, match=f"--media-host {hosts[-1]}|{hosts[-1]!r}"):
            async with RealtimeServer.run("127.0.0.1", port, media_hosts=hosts):
                pass
    async with RealtimeServer.run("127.0.0.1", port, udp_port=port):
        pass


async def test_a_used_port_on_the_routed_address_is_no_obstacle() -> None:
    """That address is a convenience: media goes on with loopback alone. Where it was asked for, it is an error."""
    routed = default_route(4)
    if routed is None:
        pytest.skip("this machine has no default route")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind((routed, 0))
        port = other.getsockname()[1]
        async with RealtimeServer.run("127.0.0.1", 0, udp_port=port) as server:
            assert server.candidates == (("127.0.0.1", port),)
        with pytest.raises(UsageError, match=f"UDP port {port} of {routed}"):
            async with RealtimeServer.run("127.0.0.1", 0, udp_port=port, media_hosts=["127.0.0.1", routed]):
                pass


async def test_ipv6() -> None:
    """On ::1 the base URL has brackets, and the candidate is IPv6."""
    try:
        with closing(socket.socket(socket.AF_INET6)) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with RealtimeServer.run("::1", 0) as server, client(server) as http:
        assert server.base_url.startswith("http://[::1]:")
        assert (await http.post("sessions/new")).status_code == 201
        assert server.candidates[0] == ("::1", server.udp_port)
        assert all(":" in address for address, _ in server.candidates)
    async with RealtimeServer.run("127.0.0.1", 0, media_hosts=["127.0.0.1", "::1"]) as server:
        assert [address for address, _ in server.candidates] == ["127.0.0.1", "::1"]
        for address in ("127.0.0.1", "::1"):
            assert (await binding(address, server.udp_port)) == (address, server.udp_port)


async def test_apps_are_isolated() -> None:
    """The secret of one app is 401 on another; its sessions are unknown there, and nobody there can pull its tracks."""
    one, other = App("one", "secret-of-the-one"), App("other", "secret-of-the-other")
    async with (
        RealtimeServer.run("127.0.0.1", 0, apps=[one, other], limits=Limits().scaled(0.1)) as server,
        client_of(server, "one", one.secret) as http,
        client_of(server, "other", other.secret) as foreign,
        lean_session(http) as publisher,
        lean_session(http) as friend,
        lean_session(foreign) as stranger,
    ):
        await publisher.publish("mic")
        publisher.say(3)
        for method, path in (("GET", ""), ("POST", "/tracks/new"), ("PUT", "/tracks/close"), ("PUT", "/renegotiate")):
            session = f"sessions/{publisher.session_id}{path}"
            assert (await foreign.request(method, session)).status_code == 410
            answer = await foreign.request(method, f"{http.base_url}{session}")
            assert (answer.status_code, answer.json()["errorCode"]) == (401, "unauthorized")
        assert "errorCode" not in await friend.pull(publisher, "mic")
        track = {"location": "remote", "sessionId": publisher.session_id, "trackName": "mic"}
        answer = await stranger.call("POST", "/tracks/new", {"tracks": [track]})
        assert answer.json()["requiresImmediateRenegotiation"] is False
        assert answer.json()["tracks"][0]["errorCode"] == "not_found_track_error"
        assert server.registry.bugs == 0


async def test_participants_that_come_and_go_leave_nothing() -> None:
    """In a room where each has left that the one after it was subscribed to, those who left are forgotten."""

    def alive() -> int:
        gc.collect()
        return sum(type(thing) is Session for thing in gc.get_objects())

    async with RealtimeServer.run("127.0.0.1", 0) as server, client_of(server) as http:
        before = None
        for _ in range(8):
            answer = await http.post("sessions/new")
            session = LeanSession(http, answer.json()["sessionId"])
            await session.publish("mic")
            session.say()
            if before is not None:
                await session.pull(before, "mic")
                before.say(3)
                await until(lambda session=session: session.packets)
                before.leave()
            before = session
        await until(lambda: alive() <= 2)
        assert before is not None
        before.leave()


async def test_turn_keys_besides_the_first() -> None:
    """Each with its own token only."""
    keys = [TurnKey("second", "token-of-the-second")]
    async with RealtimeServer.run("127.0.0.1", 0, turn_keys=keys) as server, client(server) as http:
        for key_id, token, status in (
            ("second", "token-of-the-second", 201),
            ("second", server.turn_key_token, 401),
            (server.turn_key_id, server.turn_key_token, 201),
            (server.turn_key_id, "token-of-the-second", 401),
        ):
            url = f"{server.base_url}/turn/keys/{key_id}/credentials/generate"
            answer = await http.post(url, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status


async def test_development_secrets_of_other_apps_stay_on_loopback() -> None:
    """Whichever app or TURN key has them."""
    for more in (
        {"apps": [App("dev", DEVELOPMENT_APP_SECRET)]},
        {"turn_keys": [TurnKey("dev", DEVELOPMENT_TURN_KEY_TOKEN)]},
    ):
        with pytest.raises(UsageError, match="public"):
            async with RealtimeServer.run("0.0.0.0", 0, credentials=OwnCredentials(), **more):
                pass


async def test_it_ends_quickly_whatever_is_open(caplog: pytest.LogCaptureFixture) -> None:
    """Idle connections, a request that is being held, and one whose body never comes: closed within 2 s."""
    caplog.set_level(logging.ERROR)
    async with RealtimeServer.run("127.0.0.1", 0, limits=Limits(connect_wait_s=60)) as server, client(server) as http:
        session_id = (await http.post("sessions/new", json={"sessionDescription": OFFER})).json()["sessionId"]
        track = {"location": "local", "mid": "0", "trackName": "mic"}
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST /v1/apps/{server.app_id}/sessions/new HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
        writer.write(f"{head}Authorization: Bearer {server.app_secret}\r\n\r\n{{".encode())
        async with asyncio.TaskGroup() as group:
            held = group.create_task(
                http.post(f"sessions/{session_id}/tracks/new", json={"tracks": [track], "sessionDescription": OFFER})
            )
            await asyncio.sleep(0.2)
            started = time.monotonic()
            server.registry.close()
            answer = await held
        assert answer.status_code == 410
    assert time.monotonic() - started < 2
    await server.wait_closed()
    writer.close()
    assert not caplog.records


async def test_errors_of_the_body_leave_as_they_are() -> None:
    """Not inside an exception group."""
    with pytest.raises(KeyError, match="mine"):
        async with RealtimeServer.run("127.0.0.1", 0):
            raise KeyError("mine")


async def test_cancelling_ends_it() -> None:
    """As Ctrl-C does; the ports are free afterwards."""
    ready: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with RealtimeServer.run("127.0.0.1", 0) as server:
            ready.set_result((server.port, server.udp_port))
            await server.wait_closed()

    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve())
        port, udp_port = await ready
        serving.cancel()
    assert serving.cancelled()
    async with RealtimeServer.run("127.0.0.1", port, udp_port=udp_port):
        pass


async def test_answers_are_quick() -> None:
    """No request waits for a delayed acknowledgement (40 ms each)."""
    async with RealtimeServer.run("127.0.0.1", 0) as server, client(server) as http:
        await http.post("sessions/new")
        started = time.monotonic()
        for _ in range(50):
            await http.post("sessions/new")
        assert time.monotonic() - started < 1.5


async def test_garbage_on_the_http_port() -> None:
    """What is no HTTP is answered or dropped, and the server goes on."""
    async with RealtimeServer.run("127.0.0.1", 0) as server, client(server) as http:
        for garbage in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"\x00" * 70_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(garbage)
            writer.write_eof()
            async with asyncio.timeout(5):
                await reader.read()
            writer.close()
        assert (await http.post("sessions/new")).status_code == 201


async def test_plain_stun() -> None:
    """The address that the TURN credential endpoints name answers binding requests."""
    async with RealtimeServer.run("127.0.0.1", 0) as server:
        assert await binding("127.0.0.1", server.udp_port) == ("127.0.0.1", server.udp_port)
