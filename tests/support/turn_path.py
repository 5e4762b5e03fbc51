"""A UDP path to a TURN server that holds or drops packets of media on their way, and counts what it did.

It has a thread with an event loop of its own, so that it is no later than a network when the client's loop is busy.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from selectors import SelectSelector

Address = tuple[str, int]


@dataclass
class TurnPath:
    """Any number of clients, each with a socket of its own towards the server, as behind a NAT."""

    server: Address
    hold_s: float
    "Of every packet, each way."
    drops: Callable[[int], bool]
    "Told the index of channel data on its way to a client, 0 for the first."
    port: int = 0
    media_packets: int = 0
    media_dropped: int = 0
    _near: asyncio.DatagramTransport | None = None
    _far: dict[Address, asyncio.DatagramTransport] = field(default_factory=dict)

    async def to_server(self, data: bytes, client: Address) -> None:
        loop = asyncio.get_running_loop()
        if client not in self._far:
            self._far[client], _ = await loop.create_datagram_endpoint(
                lambda: _Side(lambda data, _: self.to_client(data, client)), remote_addr=self.server
            )
        loop.call_later(self.hold_s, self._far[client].sendto, data)

    def to_client(self, data: bytes, client: Address) -> None:
        if 0x40 <= data[0] <= 0x4F:
            index, self.media_packets = self.media_packets, self.media_packets + 1
            if self.drops(index):
                self.media_dropped += 1
                return
        assert self._near is not None
        asyncio.get_running_loop().call_later(self.hold_s, self._near.sendto, data, client)

    def close(self) -> None:
        for transport in (self._near, *self._far.values()):
            assert transport is not None
            transport.close()


class _Side(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Address], object]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._received(data, addr)


@contextmanager
def turn_path(
    server: Address, *, hold_s: float = 0.0, drops: Callable[[int], bool] = lambda index: False
) -> Iterator[TurnPath]:
    """A path to `server`, from a free port of loopback."""
    path = TurnPath(server, hold_s, drops)
    ready = threading.Event()
    ends: list[Callable[[], object]] = []

    async def serve() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            path._near, _ = await loop.create_datagram_endpoint(
                lambda: _Side(lambda data, client: group.create_task(path.to_server(data, client))),
                local_addr=("127.0.0.1", 0),
            )
            path.port = path._near.get_extra_info("sockname")[1]
            ends.append(lambda: loop.call_soon_threadsafe(over.set))
            ready.set()
            await over.wait()
            path.close()

    def run() -> None:
        # `epoll` waits for whole milliseconds, which would be added to each hold.
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SelectSelector())) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="turn path")
    thread.start()
    assert ready.wait(5)
    try:
        yield path
    finally:
        ends[0]()
        thread.join()
