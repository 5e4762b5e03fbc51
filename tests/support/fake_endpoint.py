"""A data path without packets: what the server's signalling sees of one, told by the test what happens on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from rtcctl.media.codec import Codec
from rtcctl.server.connection import ConnectionState


class Clock:
    """Monotonic seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class FakeIncoming:
    def __init__(self, clock: Clock, codecs: Sequence[Codec]) -> None:
        self.codecs = tuple(codecs)
        self.last_packet_at: float | None = None
        self.is_closed = False
        self.waited_s: list[float] = []
        self._clock = clock

    def receive(self) -> None:
        """A packet arrives."""
        self.last_packet_at = self._clock()

    async def wait_media(self, timeout_s: float) -> bool:
        self.waited_s.append(timeout_s)
        await asyncio.sleep(0)
        return self.last_packet_at is not None

    def close(self) -> None:
        self.is_closed = True


class FakeOutgoing:
    def __init__(self, incoming: FakeIncoming, ssrc: int) -> None:
        self.incoming = incoming
        self.ssrc = ssrc
        self.cname = f"cname{ssrc}"
        self.negotiated: tuple[Codec, ...] | None = None
        "What the client agreed to; nothing is forwarded before."
        self.is_closed = False

    def negotiate(self, codecs: Sequence[Codec]) -> None:
        self.negotiated = tuple(codecs)

    def close(self) -> None:
        self.is_closed = True


class FakeConnection:
    def __init__(self, clock: Clock, number: int) -> None:
        self.ice_ufrag = f"ufrag{number}"
        self.ice_pwd = f"password{number}".ljust(24, "0")
        self.state = ConnectionState.NEW
        self.on_state: Callable[[ConnectionState], None] | None = None
        self.remotes: list[dict[str, Any]] = []
        self.published: list[tuple[dict[str, Any], FakeIncoming]] = []
        self.subscribed: list[tuple[dict[str, Any], FakeOutgoing]] = []
        self.waited_s: list[float] = []
        self.hold: asyncio.Event | None = None
        "Set by a test: `wait_connected` waits for it."
        self._clock = clock
        self._heard_at = clock()
        self._number = number

    @property
    def silent_s(self) -> float:
        return self._clock() - self._heard_at

    def hear(self) -> None:
        """An authenticated packet arrives."""
        self._heard_at = self._clock()

    def enter(self, state: ConnectionState) -> None:
        self.state = state
        if state is ConnectionState.CONNECTED:
            self.hear()
        if self.on_state:
            self.on_state(state)

    def set_remote(self, **remote: Any) -> None:
        self.remotes.append(remote)

    async def wait_connected(self, timeout_s: float) -> bool:
        self.waited_s.append(timeout_s)
        if self.hold is not None:
            await self.hold.wait()
        return self.state is ConnectionState.CONNECTED

    def publish(self, **options: Any) -> FakeIncoming:
        incoming = FakeIncoming(self._clock, options["codecs"])
        self.published.append((options, incoming))
        return incoming

    def subscribe(self, incoming: FakeIncoming, **options: Any) -> FakeOutgoing:
        outgoing = FakeOutgoing(incoming, 0x10000 * self._number + len(self.subscribed) + 1)
        self.subscribed.append((options, outgoing))
        return outgoing

    def close(self) -> None:
        if self.state is not ConnectionState.CLOSED:
            self.enter(ConnectionState.CLOSED)


class FakeEndpoint:
    fingerprint = ":".join(["AB"] * 32)
    port = 8610
    candidates = (("127.0.0.1", 8610),)

    def __init__(self, clock: Clock) -> None:
        self.connections: list[FakeConnection] = []
        self.on_error: Callable[[Any, BaseException], None] | None = None
        self._clock = clock

    def open(self) -> FakeConnection:
        connection = FakeConnection(self._clock, len(self.connections) + 1)
        self.connections.append(connection)
        return connection
