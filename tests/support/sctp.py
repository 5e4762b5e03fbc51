"""Clients of data channels without a network: aiortc's SCTP at the other end of a server's connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport, serialize_packet

from rtcctl.server.dtls_transport import ConnectionState


class Link:
    """A server's connection as its data channels see it, with the client's end. Packets take a turn of the event loop.

    On the server's side it has the interface of `Connection`; the client's is `client`.
    """

    def __init__(self) -> None:
        self.state = ConnectionState.CONNECTED
        self.is_dtls_client = False
        self.may_begin_anew = False
        self.on_data: Callable[[bytes], None] | None = None
        self.to_client: list[bytes] = []
        "All that the server has sent."
        self.is_deaf = False
        "Nothing reaches the client."
        self.client = Client(self)
        self._loop = asyncio.get_running_loop()

    async def wait_connected(self, timeout_s: float) -> bool:
        return self.state is ConnectionState.CONNECTED

    def send_data(self, data: bytes) -> None:
        self.to_client.append(data)
        if not self.is_deaf:
            self._loop.call_soon(self.client.receive, data)

    def send_to_server(self, data: bytes) -> None:
        self._loop.call_soon(lambda: self.on_data and self.on_data(data))


class Client:
    """aiortc's association, unchanged, on one end of a link."""

    state = "connected"
    _role = "client"

    def __init__(self, link: Link) -> None:
        self._link = link
        self._receiver: Any = None
        self.sctp = RTCSctpTransport(self)  # type: ignore[arg-type]
        self.messages: dict[int, list[str | bytes]] = {}

    async def start(self) -> None:
        await self.sctp.start(RTCSctpCapabilities(maxMessageSize=0), 5000)

    def receive(self, data: bytes) -> None:
        if self._receiver is not None:
            run(self._receiver._handle_data(data))

    def open(self, channel_id: int, **options: Any) -> RTCDataChannel:
        """A channel with `negotiated: true`; what comes on it is put into `messages`."""
        channel = RTCDataChannel(self.sctp, RTCDataChannelParameters(negotiated=True, id=channel_id, **options))
        received = self.messages.setdefault(channel_id, [])
        channel.on("message", received.append)
        return channel

    def send_raw(self, chunks: bytes, *, tag: int | None = None) -> None:
        """Chunks that aiortc did not make, in a packet with a right header."""
        tag = self.sctp._remote_verification_tag if tag is None else tag
        self._link.send_to_server(serialize_packet(5000, 5000, tag, chunks))  # type: ignore[arg-type]

    def is_open(self) -> bool:
        return self.sctp.state == "connected"

    async def stop(self) -> None:
        await self.sctp.stop()

    # What aiortc's association calls

    def _register_data_receiver(self, receiver: Any) -> None:
        self._receiver = receiver

    def _unregister_data_receiver(self, receiver: Any) -> None:
        self._receiver = None

    async def _send_data(self, data: bytes) -> None:
        self._link.send_to_server(data)


def run(coroutine: Any) -> None:
    """Run a coroutine of aiortc, none of which waits for anything here."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


async def until(condition: Callable[[], object], turns: int = 2_000) -> None:
    """Let the event loop turn, without time passing, until something is so."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not come about")


async def settle(turns: int = 50) -> None:
    """Let everything that is on its way arrive."""
    for _ in range(turns):
        await asyncio.sleep(0)
