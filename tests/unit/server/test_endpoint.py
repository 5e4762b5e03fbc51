"""The server's UDP port: who is answered, who is heard, who is not. On real loopback sockets."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from rtcctl.errors import UsageError
from rtcctl.media.stun import Attribute, Message, MessageClass, Method
from rtcctl.server.connection import ConnectionState
from rtcctl.server.endpoint import Endpoint
from rtcctl.transport.dtls import Certificate
from tests.support.data_path import endpoint, members, settle, until


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


async def test_bug_closes_one_session():
    """An unexpected error closes the session it happened for, is told, and others go on."""
    running = Endpoint(random=random.Random(1))
    await running.start("127.0.0.1", 0)
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
            await Endpoint(random=random.Random(1)).start("127.0.0.1", running.port)
    with pytest.raises(UsageError):
        await Endpoint(random=random.Random(1)).start("127.0.0.1", 70000)


async def test_candidates():
    """A socket on one address has it as its candidate; on all addresses, the routed one and loopback."""
    async with endpoint() as running:
        assert running.candidates == (("127.0.0.1", running.port),)
    running = Endpoint(random=random.Random(1))
    await running.start("0.0.0.0", 0)
    assert ("127.0.0.1", running.port) == running.candidates[-1]
    assert all(host != "0.0.0.0" for host, _ in running.candidates)
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
