"""Measuring one delivery policy: a stream of numbered messages on a channel of its own, and what came of it.

Each message says which one it is, when it was sent by the monotonic clock, and on which boot of which machine:

      0       4               12              20
      ├───────┼───────────────┼───────────────┼──────┄
      counter   monotonic, ns   boot id hash    zeros

The brake. A path that is slower than the rate makes messages wait, here or at the SFU, and their latency is that of a
queue which grows for as long as we send. So the probe stops sending as soon as more than `MAX_WAITING_S` of messages
wait unsent here, or those that arrive are later by as much than the fastest was (`Tally.is_late`). What has not
arrived then is not lost but waiting, and the figures say that the path is slow.

A stall is something else: a reliable channel that waits for a lost packet is late as well, but nothing arrives
meanwhile, and then all at once.
"""

from __future__ import annotations

import asyncio
import math
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rtcctl.errors import NetworkError
from rtcctl.media.percentiles import Distribution
from rtcctl.ops import channels_media
from rtcctl.ops.channel_largest import largest_message
from rtcctl.ops.channels_media import ChannelRef, Delivery
from rtcctl.ops.env import Env
from rtcctl.ops.running import first_of
from rtcctl.results.channel import PathState, PolicyFigures
from rtcctl.results.result import Percentiles

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel, Message
    from rtcctl.probe.lag import LoopMonitor
    from rtcctl.probe.peer import Peer
    from rtcctl.realtime.client import RealtimeClient

HEADER = struct.Struct("!IQQ")

MAX_BEHIND_S = 0.2
"Messages that are due for longer are left out: a machine that is too slow stays below nominal, and never bursts."

MAX_WAITING_BYTES = 1 << 20
MAX_WAITING_S = 1.0
"Of messages that wait for the path; when there are more, it is slower than the rate."
MIN_WAITING_MESSAGES = 8
"So many may always wait: at low rates a few are a second's."

LATE_FOR_S = 0.5
"A burst that was held up is over sooner."
STALL_S = 0.75
"Without an arrival for longer, a loss is being repaired: SCTP waits a second before it sends again (RFC 9260 §16)."

STRAGGLERS_S = 5.0
"For the last of a reliable channel: a lost packet is sent again after a second, then after two."

UNRELIABLE_STRAGGLERS_S = 0.3

STILL_ARRIVING_S = 2.5
"A path on which nothing has arrived for longer is not slow."


@dataclass(frozen=True, slots=True)
class Stream:
    """What is sent. `for_s`: of each policy."""

    rate_hz: float
    size_bytes: int
    for_s: float

    @property
    def nominal(self) -> int:
        """Messages that are due."""
        return max(1, round(self.rate_hz * self.for_s))

    @property
    def max_waiting_bytes(self) -> float:
        """What may wait unsent."""
        waiting = max(self.rate_hz * MAX_WAITING_S, MIN_WAITING_MESSAGES)
        return min(MAX_WAITING_BYTES, waiting * self.size_bytes)


@dataclass(frozen=True, slots=True)
class Ends:
    """The two sessions between which it is measured."""

    client: RealtimeClient
    env: Env
    publisher: Peer
    publisher_session_id: str
    subscriber: Peer
    subscriber_session_id: str


class Tally:
    """What arrived of a stream of numbered messages, `rate_hz` of them a second."""

    def __init__(self, boot_id_hash: int, rate_hz: float) -> None:
        self._boot_id_hash = boot_id_hash
        self._max_gap_s = max(STALL_S, 2 / rate_hz)
        self._seen: set[int] = set()
        self._highest = -1
        self._changed = asyncio.Event()
        self._first_s = 0.0
        self._last_s = 0.0
        self._fastest_ms = math.inf
        self._late_since_s: float | None = None
        self.reordered = 0
        self.duplicated = 0
        self.latencies_ms = Distribution()
        self.is_late = False
        "For a while each message took longer by `MAX_WAITING_S` than the fastest did: they queue somewhere."

    async def wait_received(self, count: int) -> None:
        """Return once there are so many."""
        while self.received < count:
            self._changed.clear()
            await self._changed.wait()

    @property
    def received(self) -> int:
        """Each counted once."""
        return len(self._seen)

    @property
    def rate_hz(self) -> float | None:
        """Messages a second from the first to the last that arrived; `None` of fewer than two."""
        return (self.received - 1) / (self._last_s - self._first_s) if self._last_s > self._first_s else None

    def silent_s(self, monotonic_s: float) -> float:
        """Since the last arrival."""
        return monotonic_s - self._last_s if self._seen else math.inf

    def receive(self, data: bytes, monotonic_ns: int) -> None:
        """Take in a message; what is not ours is passed over."""
        if len(data) < HEADER.size:
            return
        counter, sent_ns, boot_id_hash = HEADER.unpack_from(data)
        if boot_id_hash != self._boot_id_hash:
            return
        if counter in self._seen:
            self.duplicated += 1
            return
        latency_ms = (monotonic_ns - sent_ns) / 1e6
        self._see_late(latency_ms, monotonic_ns / 1e9)
        self._seen.add(counter)
        self._changed.set()
        self.latencies_ms.add(latency_ms)
        if counter < self._highest:
            self.reordered += 1
        self._highest = max(self._highest, counter)

    def _see_late(self, latency_ms: float, arrived_s: float) -> None:
        is_after_gap = self.silent_s(arrived_s) > self._max_gap_s
        if not self._seen:
            self._first_s = arrived_s
        self._last_s = arrived_s
        self._fastest_ms = min(self._fastest_ms, latency_ms)
        if latency_ms - self._fastest_ms <= MAX_WAITING_S * 1000:
            self._late_since_s = None
        elif self._late_since_s is None or is_after_gap:
            self._late_since_s = arrived_s
        elif arrived_s - self._late_since_s >= LATE_FOR_S:
            self.is_late = True


async def measure(
    ends: Ends, name: str, delivery: Delivery, stream: Stream, lag: LoopMonitor
) -> tuple[PolicyFigures, str | None, int]:
    """Figures, why this machine could not measure them, and the largest message that the SFU says it takes."""
    from rtcctl.probe.boot import this_boot

    env = ends.env
    (out,) = await channels_media.publish(ends.client, env, ends.publisher, ends.publisher_session_id, [name], delivery)
    ref = ChannelRef(ends.publisher_session_id, name)
    (into,) = await channels_media.subscribe(
        ends.client, env, ends.subscriber, ends.subscriber_session_id, [ref], delivery
    )
    await _wait_passing(out, into)
    tally = Tally(this_boot(), stream.rate_hz)
    into.on_message = lambda message, arrival: tally.receive(_bytes(message), arrival.monotonic_ns)
    lag.reset()
    started = env.clock()
    sent, is_braked = 0, False

    async def send_all() -> None:
        nonlocal sent, is_braked
        sent, is_braked = await send(out, stream, tally, env)

    await first_of(
        sent=send_all(),
        publisher=_watch(ends.publisher, ends.publisher_session_id),
        subscriber=_watch(ends.subscriber, ends.subscriber_session_id),
    )
    ended = env.clock()
    await _stragglers(out, tally, sent, delivery, is_braked)
    saturated = lag.reason
    path = judge_path(
        tally,
        sent,
        delivery,
        is_braked=is_braked,
        waiting_bytes=out.buffered_bytes,
        monotonic_s=time.monotonic(),
    )
    figures = _figures(name, delivery, stream, tally, sent=sent, duration_s=ended - started, path=path)
    if tally.received and path is PathState.GOOD:
        figures = replace(figures, max_message_bytes=await largest_message(out, into, delivery))
    announced = out.max_message_bytes
    for peer, session_id, channel in (
        (ends.subscriber, ends.subscriber_session_id, into),
        (ends.publisher, ends.publisher_session_id, out),
    ):
        await channels_media.close(ends.client, session_id, {channel.id: name})
        peer.close_channel(channel)
    return figures, saturated, announced


def judge_path(
    tally: Tally, sent: int, delivery: Delivery, *, is_braked: bool, waiting_bytes: int, monotonic_s: float
) -> PathState:
    """How the path kept up with the rate, once stragglers have been waited for.

    On a reliable channel, what is missing after all is on its way for as long as others arrive. When they have ceased
    to, and there was more than the path had taken, it is not slow but carries nothing any more.
    """
    is_silent = tally.silent_s(monotonic_s) > STILL_ARRIVING_S
    if tally.received < sent and is_silent and is_braked and (delivery.is_reliable or waiting_bytes):
        return PathState.STALLED
    if tally.received < sent and delivery.is_reliable:
        return PathState.GOOD if is_silent else PathState.SLOW
    return PathState.SLOW if is_braked or tally.is_late else PathState.GOOD


def _figures(
    name: str, delivery: Delivery, stream: Stream, tally: Tally, *, sent: int, duration_s: float, path: PathState
) -> PolicyFigures:
    missing = sent - tally.received
    is_slow = path is PathState.SLOW
    is_known = not (is_slow and missing)
    rate_hz = tally.received / duration_s
    if is_slow:
        rate_hz = tally.rate_hz or 0.0
    latency = tally.latencies_ms.percentiles(50, 95, 99)
    return PolicyFigures(
        policy=name,
        delivery=str(delivery),
        duration_s=duration_s,
        messages_nominal=stream.nominal,
        messages_sent=sent,
        messages_received=tally.received,
        messages_lost=missing if is_known else None,
        messages_waiting=missing if is_slow else 0,
        fraction_lost=missing / sent if is_known and sent else None,
        messages_reordered=tally.reordered,
        messages_duplicated=tally.duplicated,
        rate_hz=rate_hz,
        bitrate_bps=rate_hz * stream.size_bytes * 8,
        latency_ms=None if latency is None else Percentiles(*latency),
        path=path,
    )


async def _watch(peer: Peer, session_id: str) -> None:
    from rtcctl.ops import media

    await media.watch(peer, None, what=f"session {session_id}", session_id=session_id)


async def _wait_passing(out: DataChannel, into: DataChannel) -> None:
    """Until a first message has come through: the SFU may open the way a moment after it has said so."""
    passed = asyncio.Event()
    into.on_message = lambda message, arrival: passed.set()
    for _ in range(20):
        out.send(b"\0")
        with suppress(TimeoutError):
            async with asyncio.timeout(0.25):
                await passed.wait()
                # Those that are still on their way are not ours to count: they are too short.
                return


async def send(out: DataChannel, stream: Stream, tally: Tally, env: Env) -> tuple[int, bool]:
    """Send each message when it is due, until the path turns out to be slower; how many, and whether it did."""
    from rtcctl.probe.boot import this_boot

    boot, padding = this_boot(), bytes(stream.size_bytes - HEADER.size)
    started, sent = env.clock(), 0
    for number in range(stream.nominal):
        due = started + number / stream.rate_hz
        late_s = env.clock() - due
        if late_s > MAX_BEHIND_S:
            continue
        if late_s < 0:
            await asyncio.sleep(-late_s)
        elif number % 64 == 0:
            await asyncio.sleep(0)
        if tally.is_late or out.buffered_bytes > stream.max_waiting_bytes:
            return sent, True
        out.send(HEADER.pack(sent, time.monotonic_ns(), boot) + padding)
        sent += 1
    await asyncio.sleep(max(0.0, started + stream.for_s - env.clock()))
    return sent, False


async def _stragglers(out: DataChannel, tally: Tally, sent: int, delivery: Delivery, is_braked: bool) -> None:
    """Wait for what is on its way."""
    is_patient = delivery.is_reliable or is_braked
    wait_s = STRAGGLERS_S if is_patient else UNRELIABLE_STRAGGLERS_S
    with suppress(TimeoutError, NetworkError):
        async with asyncio.timeout(wait_s):
            if is_patient:
                await out.drain(wait_s)
            await tally.wait_received(sent)


def _bytes(message: Message) -> bytes:
    return message.encode() if isinstance(message, str) else message
