"""`channel probe`: what each delivery policy does with a stream of messages, over two sessions of ours.

Each message says which one it is, when it was sent by the monotonic clock, and on which boot of which machine:

      0       4               12              20
      ├───────┼───────────────┼───────────────┼──────┄
      counter   monotonic, ns   boot id hash    zeros

The policies are measured one after the other, each on a channel of its own, so that a retransmission of one does not
take the room of another. Then messages of growing size are sent: halving what is not known, since a message either
passes or does not.
"""

from __future__ import annotations

import asyncio
import math
import struct
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcctl.errors import NetworkError, UsageError
from rtcctl.ops import channels_media
from rtcctl.ops.channel_inbox import first_of
from rtcctl.ops.channels_media import ChannelRef, Delivery, establish_calls
from rtcctl.ops.env import Env
from rtcctl.ops.judge import MIN_SENT_RATIO, of_each_track
from rtcctl.ops.session import COMMAND_DEADLINE_S, new_session
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.channel import ChannelProbe, PolicyFigures, PolicyMeasured
from rtcctl.results.check import Bound, Check, CheckStatus
from rtcctl.results.event import Progress
from rtcctl.results.result import Percentiles

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel, Message
    from rtcctl.probe.peer import Peer
    from rtcctl.probe.transport import Arrival
    from rtcctl.realtime.client import RealtimeClient

POLICIES = {
    "chat": Delivery(),
    "game": Delivery(ordered=False, max_retransmits=0),
    "unordered": Delivery(ordered=False),
    "lifetime": Delivery(max_lifetime_ms=100),
}
"The profiles of the guide, and what lies between them."

HEADER = struct.Struct("!IQQ")
MIN_SIZE_BYTES = HEADER.size
MAX_SIZE_BYTES = 16 * 1024

MAX_BEHIND_S = 0.2
"Messages that are due for longer are left out: a machine that is too slow stays below nominal, and never bursts."

STRAGGLERS_S = 5.0
"For the last of a reliable channel: a lost packet is sent again after a second, then after two."

UNRELIABLE_STRAGGLERS_S = 0.3

LARGE_S = 3.0
"For one large message to arrive, with a packet of it sent again."

UNRELIABLE_LARGE_ATTEMPTS = 3
UNRELIABLE_LARGE_S = 0.3
"Where one lost packet loses the message, it is tried more often, and comes soon or never."

LARGEST_DEADLINE_S = 8.0
"For all of a policy."

LARGE_STEP_BYTES = 1024
"The largest message is found out as precisely as this."


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """`for_s`: of each policy."""

    policies: tuple[str, ...] = tuple(POLICIES)
    rate_hz: float = 50.0
    size_bytes: int = 100
    for_s: float = 3.0


def probe_calls(request: ProbeRequest) -> tuple[ApiCall, ...]:
    """The API calls that `probe` makes: both sessions, then each policy."""
    calls = [*establish_calls(), *establish_calls()]
    for name in request.policies:
        channel = {"dataChannelName": name} | POLICIES[name].wire()
        for end in ({"location": "local"}, {"location": "remote", "sessionId": "$PUBLISHER_SESSION_ID"}):
            body = {"dataChannels": [end | channel]}
            calls.append(ApiCall("POST", "sessions/$SESSION_ID/datachannels/new", body))
    close = {"dataChannels": [{"id": "$ID"}]}
    return (*calls, ApiCall("PUT", "sessions/$SESSION_ID/datachannels/close", close))


async def probe(request: ProbeRequest, env: Env) -> ChannelProbe:
    """Measure each policy. Nothing arriving is a failed check, and so is loss on a reliable channel."""
    from rtcctl.ops import media
    from rtcctl.probe.lag import LoopMonitor

    check_request(request)
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(media.open_peer(env))
        subscriber = await stack.enter_async_context(media.open_peer(env))
        lag = await stack.enter_async_context(LoopMonitor(clock=env.clock))
        duration_s = len(request.policies) * (request.for_s + STRAGGLERS_S + LARGEST_DEADLINE_S)
        client = await stack.enter_async_context(env.client(deadline_s=COMMAND_DEADLINE_S + duration_s))
        sessions = []
        for peer in (publisher, subscriber):
            sessions.append(await new_session(client, env))
            await stack.enter_async_context(channels_media.closing_at_end(env, sessions[-1]))
            await channels_media.establish(client, env, peer, sessions[-1])
        ends = _Ends(client, env, publisher, sessions[0], subscriber, sessions[1])
        measured: list[PolicyFigures] = []
        checks: list[tuple[str, Check]] = []
        announced: int | None = None

        def result() -> ChannelProbe:
            return ChannelProbe(
                target=env.target,
                publisher_session_id=sessions[0],
                subscriber_session_id=sessions[1],
                rate_hz=request.rate_hz,
                size_bytes=request.size_bytes,
                announced_max_message_bytes=announced,
                policies=tuple(measured),
                checks=of_each_track(checks),
            )

        with env.keeping(result):
            for name in request.policies:
                env.emit(Progress(text=f"measuring {name} ({POLICIES[name]})"))
                lag.reset()
                figures, announced = await _measure(ends, name, request)
                measured.append(figures)
                checks += [(name, check) for check in judge(figures, POLICIES[name], lag.reason)]
                env.emit(PolicyMeasured(figures=figures))
        return result()


def check_request(request: ProbeRequest) -> None:
    """Raise `UsageError` for what cannot be measured."""
    if not MIN_SIZE_BYTES <= request.size_bytes <= MAX_SIZE_BYTES:
        raise UsageError(
            f"A message of a probe has {MIN_SIZE_BYTES} to {MAX_SIZE_BYTES:,} bytes, not {request.size_bytes:,}.",
            hint="The first bytes say which message it is and when it was sent.",
        )
    for name in request.policies:
        if name not in POLICIES:
            raise UsageError(f"{name} is not a delivery policy.", hint=f"Policies: {', '.join(POLICIES)}.")
        if request.policies.count(name) > 1:
            raise UsageError(f"Policy {name} is named twice.")


@dataclass(frozen=True, slots=True)
class _Ends:
    client: RealtimeClient
    env: Env
    publisher: Peer
    publisher_session_id: str
    subscriber: Peer
    subscriber_session_id: str


class Tally:
    """What arrived of a stream of numbered messages."""

    def __init__(self, boot_id_hash: int) -> None:
        self._boot_id_hash = boot_id_hash
        self._seen: set[int] = set()
        self._highest = -1
        self._changed = asyncio.Event()
        self.reordered = 0
        self.duplicated = 0
        self.latencies_ms: list[float] = []

    async def wait_received(self, count: int) -> None:
        """Return once there are so many."""
        while self.received < count:
            self._changed.clear()
            await self._changed.wait()

    @property
    def received(self) -> int:
        """Each counted once."""
        return len(self._seen)

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
        self._seen.add(counter)
        self._changed.set()
        self.latencies_ms.append((monotonic_ns - sent_ns) / 1e6)
        if counter < self._highest:
            self.reordered += 1
        self._highest = max(self._highest, counter)


async def _measure(ends: _Ends, name: str, request: ProbeRequest) -> tuple[PolicyFigures, int]:
    """One policy; and the largest message that the SFU says it takes."""
    from rtcctl.probe.boot import this_boot

    delivery, env = POLICIES[name], ends.env
    (out,) = await channels_media.publish(ends.client, env, ends.publisher, ends.publisher_session_id, [name], delivery)
    ref = ChannelRef(ends.publisher_session_id, name)
    (into,) = await channels_media.subscribe(
        ends.client, env, ends.subscriber, ends.subscriber_session_id, [ref], delivery
    )
    await _wait_passing(out, into)
    tally = Tally(this_boot())
    into.on_message = lambda message, arrival: tally.receive(_bytes(message), arrival.monotonic_ns)
    started = env.clock()
    sent = 0

    async def send_all() -> None:
        nonlocal sent
        sent = await _send(out, request, env)

    await first_of(
        sent=send_all(),
        publisher=_watch(ends.publisher, ends.publisher_session_id),
        subscriber=_watch(ends.subscriber, ends.subscriber_session_id),
    )
    ended = env.clock()
    await _stragglers(out, tally, sent, delivery)
    figures = PolicyFigures(
        policy=name,
        delivery=str(delivery),
        duration_s=ended - started,
        messages_nominal=_nominal(request),
        messages_sent=sent,
        messages_received=tally.received,
        messages_lost=sent - tally.received,
        messages_reordered=tally.reordered,
        messages_duplicated=tally.duplicated,
        rate_hz=tally.received / (ended - started),
        bitrate_bps=tally.received * request.size_bytes * 8 / (ended - started),
        latency_ms=percentiles(tally.latencies_ms),
        max_message_bytes=await largest_message(out, into, delivery) if tally.received else None,
    )
    announced = out.max_message_bytes
    for peer, session_id, channel in (
        (ends.subscriber, ends.subscriber_session_id, into),
        (ends.publisher, ends.publisher_session_id, out),
    ):
        await channels_media.close(ends.client, session_id, {channel.id: name})
        peer.close_channel(channel)
    return figures, announced


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


async def _send(out: DataChannel, request: ProbeRequest, env: Env) -> int:
    """Send for `for_s`, each message when it is due; how many were sent."""
    from rtcctl.probe.boot import this_boot

    boot, padding = this_boot(), bytes(request.size_bytes - HEADER.size)
    started, sent = env.clock(), 0
    for number in range(_nominal(request)):
        due = started + number / request.rate_hz
        late_s = env.clock() - due
        if late_s > MAX_BEHIND_S:
            continue
        if late_s < 0:
            await asyncio.sleep(-late_s)
        elif number % 64 == 0:
            await asyncio.sleep(0)
        out.send(HEADER.pack(sent, time.monotonic_ns(), boot) + padding)
        sent += 1
    await asyncio.sleep(max(0.0, started + request.for_s - env.clock()))
    return sent


def _nominal(request: ProbeRequest) -> int:
    return max(1, round(request.rate_hz * request.for_s))


async def _stragglers(out: DataChannel, tally: Tally, sent: int, delivery: Delivery) -> None:
    """Wait for what is on its way."""
    wait_s = STRAGGLERS_S if delivery.is_reliable else UNRELIABLE_STRAGGLERS_S
    with suppress(TimeoutError, NetworkError):
        async with asyncio.timeout(wait_s):
            if delivery.is_reliable:
                await out.drain(wait_s)
            await tally.wait_received(sent)


async def largest_message(out: DataChannel, into: DataChannel, delivery: Delivery) -> int | None:
    """Largest message that arrives, of those that the SFU says it takes; `None` when even a small one does not."""
    low, high = 0, out.max_message_bytes
    size = high
    with suppress(TimeoutError, NetworkError):
        async with asyncio.timeout(LARGEST_DEADLINE_S):
            while high - low >= LARGE_STEP_BYTES or not low:
                if await _passes(out, into, size, delivery):
                    low = size
                else:
                    high = size - 1
                if high < 1 or low == out.max_message_bytes:
                    break
                size = (low + high + 1) // 2
    return low or None


async def _passes(out: DataChannel, into: DataChannel, size: int, delivery: Delivery) -> bool:
    attempts, wait_s = (1, LARGE_S) if delivery.is_reliable else (UNRELIABLE_LARGE_ATTEMPTS, UNRELIABLE_LARGE_S)
    arrived = asyncio.Event()

    def received(message: Message, arrival: Arrival) -> None:
        if len(message) == size:
            arrived.set()

    into.on_message = received
    for _ in range(attempts):
        out.send(bytes(size))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await arrived.wait()
                return True
    return False


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """Nearest rank; `None` of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Percentiles(*(ordered[math.ceil(percent * len(ordered) / 100) - 1] for percent in (50, 95, 99)))


def judge(figures: PolicyFigures, delivery: Delivery, saturated: str | None) -> list[Check]:
    """Whether enough was sent, whether it arrived, and whether the policy kept what it promises."""
    failed = CheckStatus.FAILED if saturated is None else CheckStatus.INCONCLUSIVE
    ratio = figures.messages_sent / figures.messages_nominal
    is_slow = ratio < MIN_SENT_RATIO or saturated is not None
    sent = Check(
        "sent",
        CheckStatus.INCONCLUSIVE if is_slow else CheckStatus.PASSED,
        observed=ratio,
        limit=MIN_SENT_RATIO,
        unit="ratio",
        bound=Bound.AT_LEAST,
        detail=f"{figures.messages_sent} of {figures.messages_nominal} messages"
        + ((": " + (saturated or "this machine is too slow to send at that rate")) if is_slow else ""),
        hint="Run it again on a machine with less to do." if is_slow else "",
    )
    received = Check(
        "received",
        CheckStatus.PASSED if figures.messages_received else CheckStatus.FAILED,
        observed=figures.messages_received,
        limit=1,
        unit="messages",
        bound=Bound.AT_LEAST,
        detail="" if figures.messages_received else "nothing arrived",
    )
    checks = [sent, received]
    if not figures.messages_received:
        return checks
    if delivery.is_reliable:
        lost = figures.messages_lost
        detail = f"{lost} of {figures.messages_sent} messages never arrived on a reliable channel" if lost else ""
        checks.append(
            Check(
                "loss", failed if lost else CheckStatus.PASSED, observed=lost, limit=0, unit="messages", detail=detail
            )
        )
    if delivery.ordered:
        wrong = figures.messages_reordered
        detail = f"{wrong} messages overtook others on an ordered channel" if wrong else ""
        checks.append(
            Check(
                "order",
                CheckStatus.FAILED if wrong else CheckStatus.PASSED,
                observed=wrong,
                limit=0,
                unit="messages",
                detail=detail,
            )
        )
    if figures.messages_duplicated:
        checks.append(
            Check("duplicates", CheckStatus.FAILED, observed=figures.messages_duplicated, limit=0, unit="messages")
        )
    return checks


def _bytes(message: Message) -> bytes:
    return message.encode() if isinstance(message, str) else message
