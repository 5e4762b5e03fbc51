"""How the NAT on the way behaves, where a STUN server helps to find out (RFC 5780)."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from contextlib import suppress
from typing import cast

from rtcctl.errors import ParseError
from rtcctl.media.stun import Attribute, Message, MessageClass, Method, is_stun
from rtcctl.probe.turn.link import Address
from rtcctl.results.turn_check import Filtering, Mapping, NatReport

_CHANGE_IP, _CHANGE_PORT = 4, 2
"Flags of CHANGE-REQUEST (RFC 5780 §7.2)."
_PAUSES_S = (0.25, 0.5, 1.0)
"Between requests; behind the last one, what was not answered is not going to be."


async def nat_behaviour(server: Address) -> NatReport | None:
    """Mapping (§4.3) and filtering (§4.4) as this machine meets them towards a server.

    `None` when the server has no other address to try, as most have not.
    """
    async with asyncio.timeout(sum(_PAUSES_S) * 6):
        family = socket.AF_INET6 if ":" in str(server[0]) else socket.AF_INET
        loop = asyncio.get_running_loop()
        anywhere = "::" if family == socket.AF_INET6 else "0.0.0.0"
        transport, client = await loop.create_datagram_endpoint(_Client, local_addr=(anywhere, 0), family=family)
        try:
            return await _behaviour(client, server)
        finally:
            transport.close()


async def _behaviour(client: _Client, server: Address) -> NatReport | None:
    first = await client.ask(server)
    if first is None:
        return None
    message, _ = first
    other, mapped = message.plain_address(Attribute.OTHER_ADDRESS), message.mapped_address
    if other is None or mapped is None or other[0] == server[0]:
        return None
    # Filtering first: a packet that we send to the other address opens the way back.
    filtering = await _filtering(client, server, other)
    second = await client.ask((other[0], server[1]))
    third = await client.ask(other)
    mapped_2nd, mapped_3rd = (None if answer is None else answer[0].mapped_address for answer in (second, third))
    mapping: Mapping | None = None
    if mapped == (client.local_address_towards(server), client.port):
        mapping = "no-nat"
    elif mapped_2nd == mapped:
        mapping = "endpoint-independent"
    elif mapped_2nd is not None and mapped_3rd is not None:
        mapping = "address-dependent" if mapped_3rd == mapped_2nd else "address-and-port-dependent"
    return NatReport(mapping, filtering)


async def _filtering(client: _Client, server: Address, other: Address) -> Filtering | None:
    """`None` when the server answers from where it was asked, instead of from elsewhere."""
    answer = await client.ask(server, _CHANGE_IP | _CHANGE_PORT)
    if answer is not None:
        return "endpoint-independent" if answer[1][0] == other[0] else None
    answer = await client.ask(server, _CHANGE_PORT)
    if answer is not None:
        return "address-dependent" if answer[1][:2] != server[:2] else None
    return "address-and-port-dependent"


class _Client(asyncio.DatagramProtocol):
    """A socket that is connected to nobody: answers may come from elsewhere than where requests went."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[bytes, asyncio.Future[tuple[Message, Address]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not is_stun(data):
            return
        future = self._waiting.get(data[8:20])
        with suppress(ParseError):
            message = Message.parse(data)
            if future is not None and not future.done() and message.message_class is MessageClass.SUCCESS:
                future.set_result((message, addr))

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def local_address_towards(self, server: Address) -> str:
        """Which of this machine's addresses packets to the server leave from."""
        family = socket.AF_INET6 if ":" in str(server[0]) else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(server[:2])
            return str(sock.getsockname()[0])

    async def ask(self, server: Address, change: int = 0) -> tuple[Message, Address] | None:
        """A binding request, repeated; the answer and where it came from, `None` when nobody answers."""
        assert self._transport is not None
        attributes: dict[int, bytes] = {Attribute.CHANGE_REQUEST: struct.pack("!I", change)} if change else {}
        request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(12), attributes)
        future = self._waiting[request.transaction_id] = asyncio.get_running_loop().create_future()
        try:
            for pause_s in _PAUSES_S:
                self._transport.sendto(bytes(request), server[:2])
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        return await asyncio.shield(future)
        finally:
            del self._waiting[request.transaction_id]
            future.cancel()
        return None
