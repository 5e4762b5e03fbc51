"""The server's data path on loopback with lean peers, all in the test's event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from rtcctl.media.codec import Codec
from rtcctl.media.extensions import MID
from rtcctl.media.rtcp import Packet
from rtcctl.media.rtp import RtpHeader
from rtcctl.media.simulcast import LayerPreference
from rtcctl.server.connection import Connection
from rtcctl.server.endpoint import Endpoint
from rtcctl.server.incoming import IncomingTrack
from rtcctl.server.outgoing import OutgoingTrack
from rtcctl.server.parameters import ReceiveParameters
from rtcctl.transport.dtls import Certificate
from tests.bench.load import LeanPeer

OPUS = (Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1", ("nack",)),)


@cache
def certificate() -> Certificate:
    """One for all peers: making one takes longer than a test."""
    return Certificate.generate()


@asynccontextmanager
async def endpoint(**options: Any) -> AsyncIterator[Endpoint]:
    """A running endpoint; a bug inside it, which it survives, fails the test here."""
    running = Endpoint(random=random.Random(7), **options)
    await running.start(["127.0.0.1"], 0)
    try:
        yield running
    finally:
        errors = running.errors
        await running.close()
        assert errors == 0


class Member:
    """A lean peer and the server's connection to it."""

    def __init__(self, endpoint: Endpoint, **options: Any) -> None:
        self.connection: Connection = endpoint.open()
        self.peer = LeanPeer(
            certificate(),
            ("127.0.0.1", endpoint.port),
            self.connection.ice_ufrag,
            self.connection.ice_pwd,
            (("sha-256", endpoint.fingerprint),),
            **options,
        )
        self.packets: list[bytes] = []
        self.rtcp: list[Packet] = []
        self.peer.on_rtp = self.packets.append
        self.peer.on_rtcp = self.rtcp.extend
        asyncio.get_running_loop().add_reader(self.peer.sock, self.peer.read)

    @property
    def headers(self) -> list[RtpHeader]:
        """Of the packets received."""
        return [RtpHeader.parse(packet) for packet in self.packets]

    @property
    def payloads(self) -> list[bytes]:
        """Of the packets received."""
        return [p[h.header_size : len(p) - h.padding_size] for p, h in zip(self.packets, self.headers, strict=True)]

    def describe(self, **overrides: Any) -> None:
        """Give the connection the peer's description."""
        self.connection.set_remote(**self.peer.description | overrides)

    async def connect(self) -> None:
        """Until both ends have keys."""
        self.describe()
        self.peer.check()
        assert await self.connection.wait_connected(5)
        await until(lambda: self.peer.srtp is not None)

    def publish(self, **overrides: Any) -> IncomingTrack:
        """A track of the peer's SSRC."""
        return self.connection.publish(self.parameters(**overrides))

    def parameters(self, **overrides: Any) -> ReceiveParameters:
        """Of a track of the peer's SSRC: audio, unless they say otherwise."""
        values = {"mid": "0", "kind": "audio", "codecs": OPUS, "ssrcs": (self.peer.ssrc,), "extensions": {MID: 4}}
        return ReceiveParameters(**values | overrides)

    def subscribe(
        self,
        incoming: IncomingTrack,
        *,
        mid: str = "7",
        codecs: Sequence[Codec] = OPUS,
        extensions: Mapping[str, int] | None = None,
        preference: LayerPreference | None = None,
    ) -> OutgoingTrack:
        """A negotiated subscription."""
        track = self.connection.sender(mid=mid, kind=incoming.kind, like=incoming)
        track.subscribe(incoming, preference)
        track.negotiate(codecs, extensions or {})
        return track

    def leave(self) -> None:
        """Close the peer's socket."""
        if self.peer.sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.peer.sock)
            self.peer.sock.close()


@dataclass
class Members:
    """Makes members and takes their sockets away at the end."""

    endpoint: Endpoint
    all: list[Member]

    def join(self, **options: Any) -> Member:
        """A member, not connected yet."""
        self.all.append(Member(self.endpoint, **options))
        return self.all[-1]

    async def connect(self, **options: Any) -> Member:
        """A connected member."""
        member = self.join(**options)
        await member.connect()
        return member


@asynccontextmanager
async def members(**options: Any) -> AsyncIterator[Members]:
    """An endpoint and those who connect to it."""
    async with endpoint(**options) as running:
        gathered = Members(running, [])
        try:
            yield gathered
        finally:
            for member in gathered.all:
                member.leave()


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Wait for what must happen."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.002)


async def settle() -> None:
    """Let everything that is on its way on loopback arrive."""
    for _ in range(5):
        await asyncio.sleep(0.005)
