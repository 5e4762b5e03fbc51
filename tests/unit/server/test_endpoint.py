"""The server's UDP port: who is answered, who is heard, who is not. On real loopback sockets."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys

import pytest

from rtcctl.errors import UsageError
from rtcctl.media.stun import Attribute, Message, MessageClass, Method
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.endpoint import Endpoint
from rtcctl.transport.dtls import Certificate
from tests.support.data_path import Members, endpoint, members, settle, until


@pytest.fixture
def stranger():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


async def ask(stranger, running, data, timeout_s=2):
    stranger.sendto(data, ("127.0.0.1", running.port))
    async with asyncio.timeout(timeout_s):
        return await asyncio.get_running_loop().sock_recv(stranger, 2048)


def request(attributes=None, method=Method.BINDING):
    return Message(method, MessageClass.REQUEST, bytes(12), attributes or {})


async def test_stun_server(stranger):
    """A plain Binding request is answered with the address it came from, with a FINGERPRINT if it had one."""
    async with endpoint() as running:
        answer = Message.parse(await ask(stranger, running, bytes(request())))
        assert answer.mapped_address == stranger.getsockname()
        assert not answer.has_fingerprint
        answer = Message.parse(await ask(stranger, running, bytes(request().with_fingerprint())))
        assert answer.has_fingerprint


@pytest.mark.parametrize(
    ("attributes", "code"), [({Attribute.USERNAME: b"nobody:x"}, 401), ({0x7001: b""}, 420)], ids=str
)
async def test_stun_errors(stranger, attributes, code):
    """Unknown names and unknown attributes get their error."""
    async with endpoint() as running:
        assert Message.parse(await ask(stranger, running, bytes(request(attributes)))).error_code == code


async def test_noise(stranger):
    """Random bytes, and what begins like a protocol, are dropped without a trace; sessions go on."""
    draw = random.Random(1)
    async with members() as gathered:
        member = await gathered.connect()
        for first in (0, 1, 20, 22, 63, 64, 128, 144, 191, 200, 255):
            for size in (0, 1, 3, 11, 12, 20, 100, 1400, 2000, 9000):
                data = bytes([first]) + draw.randbytes(size)
                stranger.sendto(data, ("127.0.0.1", gathered.endpoint.port))
                member.peer.send(data)
            await asyncio.sleep(0)
        stranger.sendto(b"", ("127.0.0.1", gathered.endpoint.port))
        await settle()
        assert member.connection.state is ConnectionState.CONNECTED
        assert (await gathered.connect()).connection.state is ConnectionState.CONNECTED


async def test_a_session_is_fed_from_verified_addresses_only(stranger):
    """A valid SRTP packet of the session, sent from elsewhere, does not reach it."""
    async with members() as gathered:
        member = await gathered.connect()
        track = member.publish()
        there = member.peer.srtp.protect_rtp(
            b"\x80\x6f\0\1" + bytes(4) + member.peer.ssrc.to_bytes(4, "big") + b"payload"
        )
        stranger.sendto(there, ("127.0.0.1", gathered.endpoint.port))
        await settle()
        assert track.last_packet_at is None
        member.peer.send(there)
        await until(lambda: track.last_packet_at is not None)


async def test_address_that_another_session_verifies():
    """A port that is used again belongs to the session that verified it last; the other one sends nothing there."""
    async with members() as gathered:
        first = await gathered.connect()
        second = gathered.join()
        second.describe()
        second.peer.server, reused = first.peer.server, first.peer.sock
        asyncio.get_running_loop().remove_reader(reused)
        asyncio.get_running_loop().remove_reader(second.peer.sock)
        second.peer.sock.close()
        second.peer.sock = reused
        asyncio.get_running_loop().add_reader(reused, second.peer.read)
        second.peer.check()
        assert await second.connection.wait_connected(5)
        assert first.connection.name is None


async def test_several_addresses():
    """One socket for each address, on one port; a session answers where it was asked, and may move between them."""
    running = Endpoint(random=random.Random(1))
    await running.start(["127.0.0.1", "127.0.0.2", "::1"], 0)
    try:
        port = running.port
        assert running.candidates == (("127.0.0.1", port), ("127.0.0.2", port), ("::1", port))
        gathered = Members(running, [])
        publisher, subscriber = await gathered.connect(), gathered.join()
        subscriber.peer.server = ("127.0.0.2", port)
        await subscriber.connect()
        incoming = publisher.publish()
        subscriber.subscribe(incoming)
        publisher.peer.send_rtp(b"one", 1, 1)
        await until(lambda: subscriber.payloads == [b"one"])
        assert subscriber.connection.udp.address == ("127.0.0.2", port)
        subscriber.peer.server = ("127.0.0.1", port)
        subscriber.peer.check()
        await until(lambda: subscriber.connection.udp.address == ("127.0.0.1", port))
        publisher.peer.send_rtp(b"two", 2, 2)
        await until(lambda: subscriber.payloads == [b"one", b"two"])
        for member in gathered.all:
            member.leave()
    finally:
        await running.close()
    assert running.errors == 0


async def test_connections_to_another_server():
    """A controlling connection checks the candidates of an ICE-lite server; two of them to one server do not mix."""
    async with endpoint() as ours, endpoint() as theirs, asyncio.TaskGroup() as group:
        pairs = [(ours.open(is_controlling=True), theirs.open()) for _ in range(2)]
        for asking, answering in pairs:
            answering.set_remote(
                ice_ufrag=asking.ice_ufrag,
                ice_pwd=asking.ice_pwd,
                fingerprints=[("sha-256", ours.fingerprint)],
                setup="actpass",
            )
            asking.set_remote(
                ice_ufrag=answering.ice_ufrag,
                ice_pwd=answering.ice_pwd,
                fingerprints=[("sha-256", theirs.fingerprint)],
                setup="passive",
                candidates=[("::1", 9), ("name.local", 9), *theirs.candidates],
                is_ice_lite=True,
            )
            assert asking.is_dtls_client
        connected = [group.create_task(side.wait_connected(5)) for pair in pairs for side in pair]
        assert all([await task for task in connected])
        assert [asking.udp.address[1] == ours.port for asking, _ in pairs] == [False, False]
        pairs[0][0].close()
        await until(lambda: pairs[0][1].state is ConnectionState.CLOSED)
        assert pairs[1][1].state is ConnectionState.CONNECTED


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit to lower")
async def test_no_socket_for_another_connection():
    """A connection that gets no socket is no connection: nothing of it is left."""
    import resource

    async with endpoint() as running:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
        try:
            with pytest.raises(UsageError):
                running.open(is_controlling=True)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert (running._connections, running._by_ufrag) == (set(), {})


async def test_bug_closes_one_session():
    """An unexpected error closes the session it happened for, is told, and others go on."""
    running = Endpoint(random=random.Random(1))
    await running.start(["127.0.0.1"], 0)
    told = []
    running.on_error = lambda connection, error: told.append((connection, error))
    broken, healthy = running.open(), running.open()

    def explode(state):
        raise RuntimeError("a bug of whoever listens")

    broken.on_state = explode
    with pytest.raises(RuntimeError):
        broken.set_remote(ice_ufrag="a", ice_pwd="b", fingerprints=(), setup="active")
    broken.deadline = 0
    broken.handle_timer = explode
    await until(lambda: told)
    assert told[0][0] is broken
    assert isinstance(told[0][1], RuntimeError)
    assert running.errors == 1
    assert broken.state is ConnectionState.CLOSED
    assert healthy.state is ConnectionState.NEW
    await running.close()
    assert healthy.state is ConnectionState.CLOSED


async def test_port_in_use():
    """A used port is the user's to mend, and named."""
    async with endpoint() as running:
        with pytest.raises(UsageError, match=f"UDP port {running.port}"):
            await Endpoint(random=random.Random(1)).start(["127.0.0.1"], running.port)
    with pytest.raises(UsageError):
        await Endpoint(random=random.Random(1)).start(["127.0.0.1"], 70000)


async def test_candidates():
    """One per address, in the order they were given, all on one port."""
    running = Endpoint(random=random.Random(1))
    await running.start(["127.0.0.2", "127.0.0.1"], 0)
    assert running.candidates == (("127.0.0.2", running.port), ("127.0.0.1", running.port))
    await running.close()


async def test_an_address_that_cannot_be_bound_leaves_nothing_bound():
    """The others are let go, so that fewer can be tried."""
    running = Endpoint(random=random.Random(1))
    for port in (0, 0):
        with pytest.raises(UsageError, match=r"192\.0\.2\.99"):
            await running.start(["127.0.0.1", "192.0.2.99"], port)
    await running.start(["127.0.0.1"], 0)
    assert len(running.candidates) == 1
    await running.close()


async def test_idle_endpoint_has_no_timer():
    """Without connections nothing ticks."""
    async with endpoint() as running:
        assert running._timer is None
        connection = running.open()
        connection.close()
        await until(lambda: running._timer is None)


async def test_fingerprint():
    """The fingerprint is that of the certificate which peers see."""
    async with members() as gathered:
        assert gathered.endpoint.fingerprint == gathered.endpoint.certificate.fingerprint
        member = await gathered.connect()
        assert member.peer.dtls.verify_fingerprint([("sha-256", gathered.endpoint.fingerprint)])
        assert not member.peer.dtls.verify_fingerprint([("sha-256", Certificate.generate().fingerprint)])
