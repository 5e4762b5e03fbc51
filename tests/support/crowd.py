"""A crowd: rooms of one publisher and some listeners each, who come and go in every way there is.

What each subscription reported is kept when it ends, with what the server's ledger says of the same packets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from rtcctl.ops import media
from rtcctl.ops.env import Env
from rtcctl.ops.media import Subscription
from rtcctl.ops.session import new_session
from rtcctl.ops.sources import Outgoing
from rtcctl.probe.peer import Peer
from rtcctl.probe.sources.pace import Pace
from rtcctl.probe.sources.tone import ToneSource
from rtcctl.realtime.client import RealtimeClient
from tests.support.command import Home
from tests.support.soak import SoakedServer

Transport = Literal["aiortc", "lean"]

AT_ONCE = 4
"Rooms that open or close at a time."
PATIENCE_S = 20.0


class SparseTone(ToneSource):
    """A tone of which a packet comes only so often: for the server and its figures it is one like any other."""

    def __init__(self, packet_s: float) -> None:
        super().__init__(440.0)
        self.pace = Pace(packet_s)
        self._samples_per_packet = round(packet_s * self.codec.clock_rate_hz)


@dataclass(frozen=True, slots=True)
class Ended:
    """A subscription, when it ended. Small: in half an hour there are thousands."""

    track: str
    by: str
    "How it ended."
    transport: Transport
    received: int
    lost: int | None
    lost_by_ledger: int
    "Of the same packets."
    absent: int
    "Of those, how many never came to the server."
    state: str
    "Of its peer, at the end."

    @property
    def is_true(self) -> bool:
        """Whether it reports what the ledger says."""
        return self.received > 0 and self.lost == self.lost_by_ledger


@dataclass
class Listener:
    peer: Peer
    session_id: str
    transport: Transport
    subscription: Subscription | None = None


@dataclass
class Room:
    number: int
    generation: int = 0
    "Of its publisher."
    publisher: Peer | None = None
    session_id: str = ""
    listeners: list[Listener] = field(default_factory=list)

    @property
    def track_name(self) -> str:
        """Another one for each publisher."""
        return f"room {self.number} #{self.generation}"


class Crowd:
    """See the module. In the rooms of `witnesses` one of the listeners has aiortc's transport."""

    def __init__(
        self,
        server: SoakedServer,
        env: Env,
        client: RealtimeClient,
        random: Random,
        *,
        witnesses: Collection[int],
        packet_s: float,
    ) -> None:
        self.rooms: list[Room] = []
        self.ended: list[Ended] = []
        self._server = server
        self._env = env
        self._client = client
        self._random = random
        self._witnesses = witnesses
        self._packet_s = packet_s
        self._changing: set[int] = set()

    # -- coming

    async def come(self, publishers: int, listeners: int) -> None:
        """Open the rooms."""
        waiting = iter(range(publishers))

        async def open_rooms() -> None:
            for number in waiting:
                room = Room(number)
                await self._publish(room)
                for place in range(listeners):
                    is_witness = place == 0 and number in self._witnesses
                    room.listeners.append(await self._listen(room, "aiortc" if is_witness else "lean"))
                self.rooms.append(room)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(open_rooms())

    async def _publish(self, room: Room) -> None:
        room.generation += 1
        room.publisher = Peer(clock=self._env.clock, include_loopback=True, transport="lean")
        room.session_id = await new_session(self._client, self._env)
        tone = Outgoing.of(room.track_name, SparseTone(self._packet_s))
        await media.publish(self._client, self._env, room.publisher, room.session_id, tone)

    async def _listen(self, room: Room, transport: Transport) -> Listener:
        peer = Peer(clock=self._env.clock, include_loopback=True, transport=transport)
        listener = Listener(peer, await new_session(self._client, self._env), transport)
        await self._pull(room, listener)
        return listener

    async def _pull(self, room: Room, listener: Listener) -> None:
        track = media.remote_track(room.session_id, room.track_name)
        (subscription,) = await media.subscribe(
            self._client, self._env, listener.peer, listener.session_id, track, wait_s=PATIENCE_S
        )
        await subscription.receiver.wait_first_packet(PATIENCE_S)
        listener.subscription = subscription

    # -- being there

    async def watch(self, until: float) -> None:
        """Measure each second, as `track subscribe` does."""
        while (now := self._env.clock()) < until:
            for room in self.rooms:
                for listener in room.listeners:
                    if listener.subscription is not None:
                        listener.subscription.receiver.interval(now)
            await asyncio.sleep(1)

    async def churn(self, until: float, *, per_s: float) -> None:
        """Let something happen in one of the rooms, again and again."""
        clock = self._env.clock
        while clock() < until:
            await asyncio.sleep(self._random.expovariate(per_s))
            room = self._random.choice([room for room in self.rooms if room.number not in self._changing])
            self._changing.add(room.number)
            try:
                await self._change(room)
            finally:
                self._changing.discard(room.number)

    async def _change(self, room: Room) -> None:
        place = self._random.randrange(len(room.listeners))
        listener = room.listeners[place]
        match self._random.choices(("close", "vanish", "pull again", "replace"), (4, 3, 2, 1))[0]:
            case "pull again":
                await self._close_track(listener, "pull again")
                await self._pull(room, listener)
            case "replace":
                await self._replace_publisher(room)
            case by:
                await self._leave(listener, by)
                room.listeners[place] = await self._listen(room, listener.transport)

    async def _replace_publisher(self, room: Room) -> None:
        """It goes in one way or the other, another one comes, and the same listeners pull its track."""
        assert room.publisher is not None
        if self._random.random() < 0.5:
            room.publisher.vanish()
        await room.publisher.close()
        for listener in room.listeners:
            await self._close_track(listener, "replace")
        await self._publish(room)
        for listener in room.listeners:
            await self._pull(room, listener)

    # -- going

    async def leave(self) -> None:
        """Everybody closes."""
        waiting = iter(self.rooms)

        async def close_rooms() -> None:
            for room in waiting:
                for listener in room.listeners:
                    await self._leave(listener, "close")
                assert room.publisher is not None
                await room.publisher.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(close_rooms())
        self.rooms.clear()

    async def _leave(self, listener: Listener, by: str) -> None:
        if by == "vanish":
            listener.peer.vanish()
        await self._measured(listener, by)
        await listener.peer.close()

    async def _close_track(self, listener: Listener, by: str) -> None:
        subscription = listener.subscription
        assert subscription is not None
        await self._client.close_tracks(listener.session_id, [subscription.mid], force=True)
        await self._measured(listener, by)
        subscription.receiver.release()

    async def _measured(self, listener: Listener, by: str) -> None:
        """The subscription has ended, or will in this moment."""
        subscription, listener.subscription = listener.subscription, None
        assert subscription is not None
        track = subscription.track_name
        statistics = subscription.receiver.statistics(self._env.clock())
        received, lost, state = statistics.packets_received, statistics.packets_lost, listener.peer.state
        ledger = await self._server.ask(stream=(listener.session_id, track, received))
        self.ended.append(Ended(track, by, listener.transport, received, lost, ledger["lost"], ledger["absent"], state))


async def kill_commands(home: Home, server: SoakedServer, until: float, *, every_s: float) -> int:
    """Publish and subscribe with the installed command, and kill both with -9; again and again. How often."""
    loop = asyncio.get_running_loop()
    environment = {f"RTCCTL_{name.upper()}": server.ready[name] for name in ("api_base", "app_id", "app_secret")}
    killed = 0
    while loop.time() + every_s < until:
        with home.running(
            "track", "publish", "--name", "killed", "--for", "60s", "--output", "jsonl", environment=environment
        ) as publishing:
            published = await asyncio.to_thread(publishing.event, "published")
            track = f"{published['session_id']}/killed"
            with home.running(
                "track", "subscribe", track, "--for", "60s", "--output", "jsonl", environment=environment
            ) as subscribing:
                await asyncio.to_thread(subscribing.event, "subscribed")
                for command in (subscribing, publishing):
                    command.process.kill()
                    killed += 1
        await asyncio.sleep(every_s)
    return killed
