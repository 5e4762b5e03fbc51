"""A UDP relay between one peer and the SFU that holds or drops RTP on its way down, and writes down what it did."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Address = tuple[str, int]


@dataclass(frozen=True)
class Entry:
    """What became of one RTP packet on its way to the subscriber."""

    ssrc: int
    sequence_number: int
    dropped: bool
    held_s: float
    "From its arrival here to its departure; 0 when dropped."


@dataclass
class Relay:
    """Passes everything on; RTP towards the peer is dropped where `drops` says so, else held for `hold_s`."""

    server: Address
    hold_s: float = 0.0
    drops: Callable[[int], bool] = lambda index: False
    "Told the index of an RTP packet, 0 for the first."
    ledger: list[Entry] = field(default_factory=list)
    port: int = 0
    _seen: int = 0
    _peer: Address | None = None
    _near: asyncio.DatagramTransport | None = None
    _far: asyncio.DatagramTransport | None = None

    def through(self, sdp: str) -> str:
        """The SFU's description with its candidate moved to this relay."""
        return re.sub(rf"(a=candidate:\S+ \d+ udp \d+) \S+ {self.server[1]} ", rf"\1 127.0.0.1 {self.port} ", sdp)

    def from_peer(self, data: bytes, address: Address) -> None:
        self._peer = address
        assert self._far is not None
        self._far.sendto(data)

    def from_server(self, data: bytes) -> None:
        is_rtp = len(data) >= 12 and 128 <= data[0] <= 191 and not 192 <= data[1] <= 223
        if not is_rtp:
            self._pass_on(data)
            return
        index, self._seen = self._seen, self._seen + 1
        if self.drops(index):
            self._write(data, dropped=True, held_s=0.0)
        elif self.hold_s:
            asyncio.get_running_loop().call_later(self.hold_s, self._release, data, time.monotonic())
        else:
            self._pass_on(data)
            self._write(data, dropped=False, held_s=0.0)

    def _release(self, data: bytes, arrived_at: float) -> None:
        self._pass_on(data)
        self._write(data, dropped=False, held_s=time.monotonic() - arrived_at)

    def _pass_on(self, data: bytes) -> None:
        if self._near is not None and self._peer is not None:
            self._near.sendto(data, self._peer)

    def _write(self, data: bytes, *, dropped: bool, held_s: float) -> None:
        ssrc, sequence_number = int.from_bytes(data[8:12], "big"), int.from_bytes(data[2:4], "big")
        self.ledger.append(Entry(ssrc, sequence_number, dropped, held_s))


class _Side(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._received(data, addr)


@asynccontextmanager
async def relay(
    server: Address, *, hold_s: float = 0.0, drops: Callable[[int], bool] | None = None
) -> AsyncIterator[Relay]:
    """A relay in front of `server`, on a free port of loopback."""
    loop = asyncio.get_running_loop()
    made = Relay(server, hold_s, drops or (lambda index: False))
    made._near, _ = await loop.create_datagram_endpoint(lambda: _Side(made.from_peer), local_addr=("127.0.0.1", 0))
    made._far, _ = await loop.create_datagram_endpoint(
        lambda: _Side(lambda data, address: made.from_server(data)), remote_addr=server
    )
    made.port = made._near.get_extra_info("sockname")[1]
    try:
        yield made
    finally:
        made._near.close()
        made._far.close()
        made._near = None
