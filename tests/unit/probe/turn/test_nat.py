"""NAT behaviour as a server with two addresses and two ports shows it (RFC 5780), for each kind of NAT before it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from typing import cast

import pytest

from rtcctl.media.stun import Attribute, Message, MessageClass, Method, mapped_address_value
from rtcctl.probe.turn import nat
from rtcctl.results.turn_check import NatReport

Address = tuple[str, int]

HOSTS = ("127.0.0.1", "127.0.0.2")
CHANGE_IP, CHANGE_PORT = 4, 2


class Server:
    """Answers at four transport addresses, through a NAT that maps and filters as it is told.

    `mapping`, `filtering`: the words of `NatReport`. `filtering` `None`: a server that answers from where it was asked,
    whatever it was asked for. `second_host`: whether the other address answers at all. `changes_host`: whether it says
    anything to a request for an answer from there.
    """

    def __init__(
        self, mapping: str, filtering: str | None, *, second_host: bool = True, changes_host: bool = True
    ) -> None:
        self._mapping = mapping
        self._filtering = filtering
        self._second_host = second_host
        self._changes_host = changes_host
        self.sockets: dict[Address, asyncio.DatagramTransport] = {}
        "By host and port: first and second host, first and second port."

    def asked(self, data: bytes, client: Address, at: Address) -> None:
        request = Message.parse(data)
        (first_host, first_port), (other_host, other_port) = next(iter(self.sockets)), list(self.sockets)[-1]
        if at[0] == other_host and not self._second_host:
            return
        flags = int.from_bytes(request.attributes.get(Attribute.CHANGE_REQUEST, bytes(4)))
        if flags & CHANGE_IP and not self._changes_host:
            return
        host = (other_host if at[0] == first_host else first_host) if flags & CHANGE_IP else at[0]
        port = (other_port if at[1] == first_port else first_port) if flags & CHANGE_PORT else at[1]
        source = at if self._filtering is None else (host, port)
        if self._filtering == "address-dependent" and source[0] != at[0]:
            return
        if self._filtering == "address-and-port-dependent" and source != at:
            return
        answer = Message(
            Method.BINDING,
            MessageClass.SUCCESS,
            request.transaction_id,
            {
                Attribute.XOR_MAPPED_ADDRESS: mapped_address_value(*self._mapped(client, at), request.transaction_id),
                Attribute.OTHER_ADDRESS: struct.pack("!xBH", 1, other_port) + ip_address(other_host).packed,
            },
        )
        self.sockets[source].sendto(bytes(answer), client)

    def _mapped(self, client: Address, at: Address) -> Address:
        """Where the client is seen at one of the four."""
        hosts = [host for host, _ in self.sockets]
        ports = {
            "endpoint-independent": 1000,
            "address-dependent": 1000 + hosts.index(at[0]),
            "address-and-port-dependent": 1000 + list(self.sockets).index(at),
        }
        return client if self._mapping == "no-nat" else ("203.0.113.1", ports[self._mapping])


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, server: Server, at: Address) -> None:
        self._server = server
        self._at = at

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._server.asked(data, addr, self._at)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Address]:
    """Where to ask it first."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        pairs = [_pair() for _ in range(2)]
        for at, sock in ((pair[i].getsockname(), pair[i]) for i in range(2) for pair in pairs):
            transport, _ = await loop.create_datagram_endpoint(lambda at=at: _Socket(server, at), sock=sock)
            stack.callback(transport.close)
            server.sockets[at] = cast(asyncio.DatagramTransport, transport)
        yield next(iter(server.sockets))


def _pair() -> tuple[socket.socket, socket.socket]:
    """The same free port at both hosts."""
    for _ in range(100):
        here, there = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
        here.bind((HOSTS[0], 0))
        try:
            there.bind((HOSTS[1], here.getsockname()[1]))
        except OSError:
            here.close()
            there.close()
        else:
            return here, there
    raise AssertionError(f"no port is free on both {' and '.join(HOSTS)}")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not answered on loopback is not going to be."""
    monkeypatch.setattr(nat, "_PAUSES_S", (0.2, 0.2))


@pytest.mark.parametrize("filtering", ["endpoint-independent", "address-dependent", "address-and-port-dependent", None])
@pytest.mark.parametrize(
    "mapping", ["no-nat", "endpoint-independent", "address-dependent", "address-and-port-dependent"]
)
async def test_each_kind_is_told(mapping: str, filtering: str | None) -> None:
    """By what it maps to, and what it lets through; of a server that answers from one place, filtering is not known."""
    async with serving(Server(mapping, filtering)) as first:
        assert await nat.nat_behaviour(first) == NatReport(mapping, filtering)  # type: ignore[arg-type]


async def test_what_is_not_answered_is_not_known() -> None:
    """The other address says nothing: any mapping is possible, but none at all is seen at the first."""
    async with serving(Server("address-dependent", None, second_host=False)) as first:
        assert await nat.nat_behaviour(first) == NatReport(None, None)
    async with serving(Server("no-nat", None, second_host=False)) as first:
        assert await nat.nat_behaviour(first) == NatReport("no-nat", None)


async def test_an_answer_from_where_it_was_asked_says_nothing_of_filtering() -> None:
    """Also when only the port was to be another one."""
    async with serving(Server("no-nat", None, changes_host=False)) as first:
        assert await nat.nat_behaviour(first) == NatReport("no-nat", None)


async def test_nobody_there() -> None:
    """No report at all."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind((HOSTS[0], 0))
        assert await nat.nat_behaviour(silent.getsockname()) is None
