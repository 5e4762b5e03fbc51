"""Allocations at a real coturn: over UDP, TCP and TLS, what works and how each thing that does not is told."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rtcctl.errors import NetworkError
from rtcctl.media.server_url import ServerUrl
from rtcctl.media.stun import Method
from rtcctl.probe.turn.allocation import Allocation, RefusedError, UnansweredError
from rtcctl.probe.turn.link import NotTurnError, connect_tcp, connect_udp, open_stream, resolve
from tests.support.allocations import TIMEOUT_S, Inbox, link_to, nothing_left
from tests.support.coturn import OTHER_PASSWORD, OTHER_USERNAME, TurnServer, certificate, coturn

PROTOCOLS = ("udp", "tcp", "tls")


@asynccontextmanager
async def allocation_at(
    server: TurnServer, protocol: str, inbox: Inbox, username: str = "", password: str = ""
) -> AsyncIterator[Allocation]:
    link = await link_to(server.url(protocol), server.authority)
    async with Allocation(
        link,
        username or server.username,
        password or server.password,
        inbox.take,
        clock=asyncio.get_running_loop().time,
    ) as allocation:
        yield allocation
    # What is closed is gone in a round of the loop; over TLS the two ends say good-bye first.
    for _ in range(200 if protocol == "tls" else 3):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_allocation(protocol: str):
    """Where the server sees us, the relayed address, and what the server calls itself; nothing is left of it."""
    async with coturn() as server:
        with nothing_left():
            async with allocation_at(server, protocol, Inbox()) as allocation:
                mapped, rtt_s = await allocation.binding(TIMEOUT_S)
                assert 0 < rtt_s < TIMEOUT_S
                allocated = await allocation.allocate(TIMEOUT_S)
                assert allocated.mapped == mapped
                assert allocated.relayed == allocation.relayed
                assert allocated.relayed[0] == "127.0.0.1"
                assert allocated.lifetime_s == 600
                assert "coturn" in allocation.software.lower()
                assert allocation.is_alive
                await allocation.binding(TIMEOUT_S)
            assert not allocation.is_alive
            assert allocation.error is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("username", "password"), [("alice", "wrong"), ("nobody", "wonderland")])
async def test_wrong_credentials_are_refused(protocol: str, username: str, password: str):
    """401, at once, for a wrong password and for a user who is unknown; nothing is left of it."""
    async with coturn() as server:
        with nothing_left():
            async with allocation_at(server, protocol, Inbox(), username, password) as allocation:
                with pytest.raises(RefusedError, match="refused allocate: 401") as caught:
                    await allocation.allocate(TIMEOUT_S)
                assert (caught.value.code, caught.value.method) == (401, Method.ALLOCATE)
                assert password not in caught.value.message
                assert not allocation.is_alive


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_two_allocations_relay_to_each_other(protocol: str):
    """Every packet arrives as it was sent, of any size, with the other's relayed address as its sender."""
    sizes = (0, 1, 2, 3, 4, 5, 1000, 1199, 1200)
    async with coturn() as server:
        with nothing_left():
            to_alice, to_bob = Inbox(), Inbox()
            async with (
                allocation_at(server, protocol, to_alice) as alice,
                allocation_at(server, protocol, to_bob, OTHER_USERNAME, OTHER_PASSWORD) as bob,
            ):
                for allocation in (alice, bob):
                    await allocation.allocate(TIMEOUT_S)
                await alice.bind(bob.relayed, TIMEOUT_S)
                await bob.bind(alice.relayed, TIMEOUT_S)
                for size in sizes:
                    data = bytes([size % 251]) * size
                    alice.send(bob.relayed, data)
                    assert await to_bob.next() == (data, alice.relayed)
                    bob.send(alice.relayed, memoryview(data))
                    assert await to_alice.next() == (data, bob.relayed)


async def test_what_is_sent_before_the_channel_is_there_waits_for_it():
    """In order."""
    async with coturn() as server:
        to_alice, to_bob = Inbox(), Inbox()
        async with allocation_at(server, "udp", to_alice) as alice, allocation_at(server, "tcp", to_bob) as bob:
            await asyncio.gather(alice.allocate(TIMEOUT_S), bob.allocate(TIMEOUT_S))
            await bob.bind(alice.relayed, TIMEOUT_S)
            for number in range(5):
                alice.send(bob.relayed, bytes([number]))
            assert [(await to_bob.next())[0][0] for _ in range(5)] == [0, 1, 2, 3, 4]


async def test_another_port_of_a_peer_is_heard_and_answered():
    """As ICE does with a peer whose NAT has a port for each destination: it comes from one that nobody has named."""
    loop = asyncio.get_running_loop()
    inbox = Inbox()
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.4", 0))
        sock.setblocking(False)
        async with coturn() as server, allocation_at(server, "udp", inbox) as allocation:
            await allocation.allocate(TIMEOUT_S)
            await allocation.bind(("127.0.0.4", 9), TIMEOUT_S)
            sock.sendto(b"hello", allocation.relayed)
            assert await inbox.next() == (b"hello", sock.getsockname())
            allocation.send(sock.getsockname(), b"you")
            async with asyncio.timeout(TIMEOUT_S):
                assert await loop.sock_recvfrom(sock, 100) == (b"you", allocation.relayed)


@pytest.mark.parametrize(
    ("line", "code"), [("user-quota=1", 486), ("total-quota=1", 486), ("alternate-server=127.0.0.2:3479", 300)]
)
async def test_a_refusal_has_the_servers_code(line: str, code: int):
    """A quota that is reached, and a server that sends elsewhere, which is named."""
    async with coturn(line) as server, allocation_at(server, "udp", Inbox()) as first:
        if code == 486:
            await first.allocate(TIMEOUT_S)
        async with allocation_at(server, "udp", Inbox()) as second:
            with pytest.raises(RefusedError) as caught:
                await second.allocate(TIMEOUT_S)
            assert caught.value.code == code
            assert ("127.0.0.2:3479" in caught.value.message) == (code == 300)


async def test_a_peer_that_is_denied_is_refused_and_another_is_not():
    """403 is about the peer; the allocation goes on."""
    async with coturn("denied-peer-ip=127.0.0.3") as server, allocation_at(server, "udp", Inbox()) as allocation:
        await allocation.allocate(TIMEOUT_S)
        with pytest.raises(RefusedError) as caught:
            await allocation.bind(("127.0.0.3", 9), TIMEOUT_S)
        assert (caught.value.code, caught.value.method) == (403, Method.CHANNEL_BIND)
        await allocation.bind(("127.0.0.4", 9), TIMEOUT_S)
        assert allocation.is_alive


async def test_a_peer_that_is_denied_is_not_asked_for_with_each_packet():
    """One request for all that is sent to it within some seconds; and one when it is asked for by name."""
    peer = ("127.0.0.3", 9)
    async with coturn("denied-peer-ip=127.0.0.3") as server, allocation_at(server, "udp", Inbox()) as allocation:
        await allocation.allocate(TIMEOUT_S)
        for _ in range(20):
            allocation.send(peer, b"x")
            await asyncio.sleep(0.01)
        assert "403" in allocation.refusals[peer].message
        assert server.log.count("CHANNEL_BIND processed, error 403") == 1
        with pytest.raises(RefusedError):
            await allocation.bind(peer, TIMEOUT_S)


async def test_a_nonce_that_ends_is_replaced():
    """coturn's 438 is answered with the new nonce, and nobody notices."""
    async with coturn("stale-nonce=1") as server, allocation_at(server, "udp", Inbox()) as allocation:
        await allocation.allocate(TIMEOUT_S)
        await asyncio.sleep(2.1)  # what is waited for is the passing of time
        await allocation.bind(("127.0.0.4", 9), TIMEOUT_S)
        assert "error 438" in server.log


# -- servers that are not there, or are something else -----------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["tcp", "tls"])
async def test_a_server_that_is_killed_ends_the_allocation(protocol: str):
    """`on_end` says so once, what is waited for fails with the same, and sending is harmless."""
    async with coturn() as server:
        with nothing_left():
            ends: asyncio.Queue[NetworkError] = asyncio.Queue()
            async with allocation_at(server, protocol, Inbox()) as allocation:
                allocation.on_end = ends.put_nowait
                await allocation.allocate(TIMEOUT_S)
                server.kill()
                async with asyncio.timeout(TIMEOUT_S):
                    error = await ends.get()
                assert (error.phase, "closed the connection" in error.message) == ("turn", True)
                assert allocation.error is error
                assert not allocation.is_alive
                with pytest.raises(NetworkError, match="closed the connection"):
                    await allocation.bind(("127.0.0.4", 9), TIMEOUT_S)
                allocation.send(("127.0.0.4", 9), b"x")
            assert ends.empty()


async def test_a_server_that_is_killed_does_not_answer_over_udp():
    """Nothing tells us; what is asked next is not answered."""
    async with coturn() as server:
        with nothing_left():
            async with allocation_at(server, "udp", Inbox()) as allocation:
                await allocation.allocate(TIMEOUT_S)
                server.kill()
                with pytest.raises(UnansweredError, match=r"channel bind request within 0\.3 s"):
                    await allocation.bind(("127.0.0.4", 9), 0.3)
                with pytest.raises(UnansweredError, match="binding request"):
                    await allocation.binding(0.3)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_port_that_is_closed(protocol: str):
    """TCP says so when it connects; UDP does not answer."""
    with nothing_left():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM) as sock:
            sock.bind(("127.0.0.1", 0))  # and nobody listens
            if protocol == "udp":
                port = sock.getsockname()[1]
                sock.close()
                link = await connect_udp(("127.0.0.1", port))
                async with Allocation(link, "alice", "wonderland", Inbox().take) as allocation:
                    with pytest.raises(UnansweredError, match=r"allocate request within 0\.3 s"):
                        await allocation.allocate(0.3)
            else:
                with pytest.raises(NetworkError, match="did not accept a TCP connection: Connection refused") as caught:
                    await connect_tcp(sock.getsockname())
                assert caught.value.phase == "tcp"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("name", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ("expired", "certificate has expired"),
        ("authority", "unable to get local issuer certificate|self-signed certificate in certificate chain"),
    ],
)
async def test_a_certificate_that_is_not_to_be_trusted(wrong: str, reason: str, tmp_path: Path):
    """For another name, past its end, or of an authority that nobody knows: as `ssl` says it."""
    names = ("turn.example.org",) if wrong == "name" else ("127.0.0.1",)
    made_at = datetime.now(UTC) - timedelta(days=500 if wrong == "expired" else 0)
    files = certificate(tmp_path / "tls", *names, now=made_at)
    async with coturn(files=files) as server:
        with nothing_left():
            authority = None if wrong == "authority" else files.authority
            with pytest.raises(ssl.SSLCertVerificationError, match=reason):
                await link_to(server.url("tls"), authority)
            await asyncio.sleep(0.05)


@asynccontextmanager
async def tcp_server(answer: bytes | None) -> AsyncIterator[int]:
    """Accepts connections, and says `answer` when it is spoken to, or nothing at all; its port."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if answer is not None and await reader.read(1000):
            writer.write(answer)
            await writer.drain()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in writers:
            writer.close()
    await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",
        b"\0\0\x12\x04\0\0\0\0\0",
    ],
)
async def test_a_server_of_another_protocol_is_recognised(answer: bytes):
    """HTTP, SSH, TLS or HTTP/2 where TURN was expected: not a silence, but somebody else, and what he said."""
    with nothing_left():
        async with tcp_server(answer) as port:
            link = await open_stream(await connect_tcp(("127.0.0.1", port)), "", None)
            async with Allocation(link, "alice", "wonderland", Inbox().take) as allocation:
                with pytest.raises(NotTurnError, match="not as a TURN server") as caught:
                    await allocation.allocate(TIMEOUT_S)
                assert ("400 Bad Request" in caught.value.message) == answer.startswith(b"HTTP")


async def test_a_silent_server_is_waited_for_so_long_and_no_longer():
    """It accepts connections and says nothing: TURN and TLS both give up."""
    with nothing_left():
        async with tcp_server(None) as port:
            link = await open_stream(await connect_tcp(("127.0.0.1", port)), "", None)
            async with Allocation(link, "alice", "wonderland", Inbox().take) as allocation:
                with pytest.raises(UnansweredError, match=r"allocate request within 0\.2 s"):
                    await allocation.allocate(0.2)
            sock = await connect_tcp(("127.0.0.1", port))
            with pytest.raises(NetworkError, match=r"did not finish the TLS handshake within 0\.2 s") as caught:
                await open_stream(sock, "127.0.0.1", ssl.create_default_context(), timeout_s=0.2)
            assert caught.value.phase == "tls"


async def test_tls_where_there_is_none():
    """A server that speaks plain TURN on the port breaks the handshake off, or answers nonsense."""
    async with coturn() as server:
        with nothing_left():
            sock = await connect_tcp(("127.0.0.1", server.port))
            with pytest.raises((ssl.SSLError, NetworkError)):
                await open_stream(sock, "127.0.0.1", ssl.create_default_context(), timeout_s=1)
            await asyncio.sleep(0.01)


async def test_a_name_that_does_not_exist():
    """The phase is dns."""
    with pytest.raises(NetworkError, match=r"no\.such\.host\.invalid cannot be resolved") as caught:
        await resolve(ServerUrl.parse("turn:no.such.host.invalid"))
    assert caught.value.phase == "dns"
