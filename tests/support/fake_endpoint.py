"""A data path without packets: what the server's signalling sees of one, told by the test what happens on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rtcctl.media.codec import Codec
from rtcctl.media.simulcast import LayerPreference
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.parameters import ReceiveParameters
from rtcctl.server.waits import Waits


class Clock:
    """Monotonic seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class FakeIncoming:
    def __init__(self, clock: Clock, parameters: ReceiveParameters) -> None:
        self.parameters = parameters
        self.updates: list[ReceiveParameters] = []
        "What exchanges have changed since it was published."
        self.last_packet_at: float | None = None
        self.is_closed = False
        self.waited_s: list[float] = []
        self.subscriptions: list[FakeOutgoing] = []
        self._clock = clock

    @property
    def kind(self) -> str:
        return self.parameters.kind

    @property
    def codecs(self) -> tuple[Codec, ...]:
        return self.parameters.codecs

    @property
    def rids(self) -> tuple[str, ...]:
        return self.parameters.rids

    def receive(self) -> None:
        """A packet arrives, and goes on to all subscribers."""
        self.last_packet_at = self._clock()
        for outgoing in self.subscriptions:
            outgoing.has_media = True

    @property
    def silent_s(self) -> float | None:
        return None if self.last_packet_at is None else self._clock() - self.last_packet_at

    def age(self, seconds: float) -> None:
        if self.last_packet_at is not None:
            self.last_packet_at -= seconds

    async def wait_media(self, timeout_s: float) -> bool:
        self.waited_s.append(timeout_s)
        await asyncio.sleep(0)
        return self.last_packet_at is not None

    def update(self, parameters: ReceiveParameters) -> None:
        if parameters != self.parameters:
            self.parameters = parameters
            self.updates.append(parameters)

    def close(self) -> None:
        self.is_closed = True
        for outgoing in list(self.subscriptions):
            outgoing.unsubscribe()


class FakeOutgoing:
    def __init__(self, options: Mapping[str, Any], number: int) -> None:
        self.options = options
        "What the sender was made with."
        self.ssrc = number
        self.rtx_ssrc = number + 0x8000 if options["kind"] == "video" else None
        self.cname = f"cname{number}"
        self.source: FakeIncoming | None = None
        self.preference: LayerPreference | None = None
        self.has_media = False
        self.negotiated: tuple[Codec, ...] | None = None
        "What the client agreed to; nothing is forwarded before."
        self.extensions: Mapping[str, int] = {}
        self.is_closed = False

    @property
    def is_forwarding(self) -> bool:
        return self.source is not None and bool(self.negotiated) and not self.is_closed

    def subscribe(self, track: FakeIncoming, preference: LayerPreference) -> None:
        assert not self.is_closed
        assert not track.is_closed
        self.unsubscribe()
        self.source, self.preference = track, preference
        self.has_media = False
        track.subscriptions.append(self)

    def prefer(self, preference: LayerPreference) -> None:
        assert self.source
        self.preference = preference

    def unsubscribe(self) -> None:
        if self.source:
            self.source.subscriptions.remove(self)
            self.source = None

    def negotiate(self, codecs: Sequence[Codec], extensions: Mapping[str, int]) -> None:
        assert not self.is_closed
        self.negotiated = tuple(codecs)
        self.extensions = dict(extensions)

    def close(self) -> None:
        self.unsubscribe()
        self.is_closed = True


class FakeConnection:
    impaired = None

    def __init__(self, clock: Clock, number: int, *, is_controlling: bool) -> None:
        self.ice_ufrag = f"ufrag{number}"
        self.ice_pwd = f"password{number}".ljust(24, "0")
        self.is_controlling = is_controlling
        self.state = ConnectionState.NEW
        self.on_state: Callable[[ConnectionState], None] | None = None
        self.is_dtls_client = False
        self.on_data: Callable[[bytes], None] | None = None
        self.sent_data: list[bytes] = []
        self.remotes: list[dict[str, Any]] = []
        self.published: list[FakeIncoming] = []
        self.senders: list[FakeOutgoing] = []
        self.waited_s: list[float] = []
        self.hold: asyncio.Event | None = None
        "Set by a test: `wait_connected` waits for it."
        self._clock = clock
        self.last_packet_at = clock()
        self.is_there = True
        "Whether it answers when it is asked for a sign of life."
        self._number = number

    @property
    def silent_s(self) -> float:
        return self._clock() - self.last_packet_at

    def age(self, seconds: float) -> None:
        self.last_packet_at -= seconds

    def ask(self) -> None:
        if self.is_there:
            self.hear()

    def hear(self) -> None:
        """An authenticated packet arrives."""
        self.last_packet_at = self._clock()

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

    def publish(self, parameters: ReceiveParameters) -> FakeIncoming:
        incoming = FakeIncoming(self._clock, parameters)
        self.published.append(incoming)
        return incoming

    def sender(self, **options: Any) -> FakeOutgoing:
        outgoing = FakeOutgoing(options, 0x10000 * self._number + len(self.senders) + 1)
        self.senders.append(outgoing)
        return outgoing

    def send_data(self, data: bytes) -> None:
        self.sent_data.append(data)

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
        self.waits = Waits()

    def now(self) -> float:
        return self._clock()

    def expect_no_more(self) -> None:
        """Nobody answers later than at once."""

    def open(self, *, is_controlling: bool = False) -> FakeConnection:
        connection = FakeConnection(self._clock, len(self.connections) + 1, is_controlling=is_controlling)
        self.connections.append(connection)
        return connection
