"""What tests need around an allocation at a TURN server."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtcctl.media.server_url import ServerUrl
from rtcctl.media.turn import Address
from rtcctl.probe.turn.link import Link, connect_tcp, connect_udp, open_stream, resolve

TIMEOUT_S = 5.0


class Inbox:
    """What peers have sent."""

    def __init__(self) -> None:
        self._packets: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()

    def take(self, data: bytes, peer: Address) -> None:
        self._packets.put_nowait((data, peer))

    async def next(self) -> tuple[bytes, Address]:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._packets.get()


@contextmanager
def nothing_left() -> Iterator[None]:
    """No task and no file descriptor is left of what the body did."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(os.listdir("/proc/self/fd")) <= len(before)


async def link_to(text: str, authority: Path | None = None) -> Link:
    """The first address of a URL, by its protocol; `authority`: whom to trust besides the system's."""
    url = ServerUrl.parse(text)
    address = (await resolve(url))[0]
    if url.protocol == "udp":
        return await connect_udp(address)
    context = ssl.create_default_context(cafile=authority) if url.protocol == "tls" else None
    return await open_stream(await connect_tcp(address), url.host, context)
