"""A probe that runs: what it reports each interval, when media stops, and what it leaves behind when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from rtcctl.errors import RtcctlError
from rtcctl.ops.env import Env
from rtcctl.ops.judge import MAX_SILENCE_S
from rtcctl.ops.session import CLEAN_UP_DEADLINE_S, close_held
from rtcctl.results.check import Check
from rtcctl.results.event import FirstPacket, Interval, LayerChanged, Warned
from rtcctl.results.outage import Outage
from rtcctl.results.track import ReceivedStatistics, Subscribe, SubscribedTrack

if TYPE_CHECKING:
    from rtcctl.ops.media import Publication, Subscription
    from rtcctl.probe.peer import Peer

INTERVAL_S = 1.0
"How often a running probe reports, unless told otherwise."

EARLY_S = 0.001
"A timer may be this early."

FIRST_PACKET_DEADLINE_S = 5.0
"From connected to the first RTP packet; nothing by then is a failed check, not a wait without end."


def sent_interval(publication: Publication, env: Env, started: float, now: float) -> Interval:
    """What a publication sent since it was last asked; the journal notes it."""
    sent = publication.sender.interval(now)
    env.journal.interval(
        publication.session_id,
        track_name=publication.track.track_name,
        publisher_session_id=None,
        pid=env.pid,
        at=env.wallclock(),
        sent=asdict(sent),
        received=None,
    )
    return Interval(
        session_id=publication.session_id,
        track_name=publication.track.track_name,
        mid=publication.mid,
        elapsed_s=now - started,
        sent=sent,
    )


async def each_interval(
    env: Env,
    peer: Peer,
    session_id: str,
    intervals: Callable[[float], Iterable[Interval]],
    *,
    started: float,
    for_s: float | None,
    interval_s: float = INTERVAL_S,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Emit `intervals(now)` each `interval_s` until `for_s` after `started` (`None`: for ever), or `is_over` says so.

    `started` is on the clock, and may be long ago. An outage is a `NetworkError`.
    """
    from rtcctl.ops.media import watch

    end = None if for_s is None else started + for_s
    while True:
        due = next_due(started, env.clock(), interval_s)
        await watch(
            peer,
            max(0.0, (due if end is None else min(due, end)) - env.clock()),
            what=f"session {session_id}",
            session_id=session_id,
        )
        now = env.clock()
        if now >= due - EARLY_S:
            for interval in intervals(now):
                env.emit(interval)
        if is_over() or (end is not None and now >= end - EARLY_S):
            return


def next_due(started: float, now: float, interval_s: float) -> float:
    """When to report next. A machine that was late reports once, not once for each interval that it has missed."""
    return started + (int((now - started + EARLY_S) / interval_s) + 1) * interval_s


@asynccontextmanager
async def closing_at_end(env: Env, session_id: str) -> AsyncIterator[None]:
    """Close what the session holds when the body ends, however it ends; what cannot be closed is said, not raised."""
    try:
        yield
    finally:
        try:
            async with env.client(deadline_s=CLEAN_UP_DEADLINE_S) as client:
                closed = await close_held(client, env, session_id)
            for track in closed or ():
                if track.outcome == "failed":
                    env.emit(Warned(text=f"mid {track.mid} of session {session_id} is still open: {track.code}"))
        except RtcctlError as error:
            env.emit(Warned(text=f"session {session_id} could not be cleaned up: {error.message}"))
        env.journal.session_closed(session_id, env.wallclock())


async def first_of(**works: Coroutine[Any, Any, None]) -> str:
    """Run all until one is done, and end the others; the name of the first in their order. Raises what it raised."""
    tasks = {name: asyncio.ensure_future(work) for name, work in works.items()}
    try:
        await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        for name, task in tasks.items():
            if task.done():
                task.result()
                return name
        raise AssertionError("one is done")
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def first_packet(subscription: Subscription, env: Env) -> None:
    """Wait for the first RTP packet, at most `FIRST_PACKET_DEADLINE_S`, and say when it came."""
    receiver = subscription.receiver
    with suppress(TimeoutError):
        await receiver.wait_first_packet(FIRST_PACKET_DEADLINE_S)
    if receiver.first_packet_at is not None:
        env.emit(
            FirstPacket(
                session_id=subscription.session_id,
                time_to_first_packet_ms=(receiver.first_packet_at - subscription.requested_at) * 1000,
            )
        )


class Flow:
    """When media last arrived, to the interval: a connection can live on (STUN, RTCP) while its publisher is gone."""

    def __init__(self) -> None:
        self._arrived_at: float | None = None
        self._is_said = False

    def note(self, packets_received: int, now: float) -> str | None:
        """Take an interval in; once for each silence, what is to be said of it."""
        if packets_received or self._arrived_at is None:
            self._arrived_at, self._is_said = now, False
        if self._is_said or self.silent_s(now) < MAX_SILENCE_S:
            return None
        self._is_said = True
        return f"no media for {self.silent_s(now):.0f} s: its publisher has stopped sending, or is gone"

    def silent_s(self, now: float) -> float:
        """Seconds since media arrived; 0 before any interval was over."""
        return 0.0 if self._arrived_at is None else now - self._arrived_at


def received_interval(subscription: Subscription, env: Env, flow: Flow, now: float) -> Interval:
    """What a subscription received since it was last asked; the journal notes it, and a silence is said."""
    first = subscription.receiver.first_packet_at
    received = subscription.receiver.interval(now)
    for switch in received.layer_switches or ():
        env.emit(
            LayerChanged(
                session_id=subscription.session_id,
                track_name=subscription.track_name,
                layer=switch.layer,
                previous=switch.previous,
                width=switch.width,
                height=switch.height,
                took_ms=switch.took_ms,
            )
        )
    if warning := flow.note(received.packets_received, now):
        env.emit(Warned(text=f"{subscription.publisher_session_id}/{subscription.track_name}: {warning}"))
    env.journal.interval(
        subscription.session_id,
        track_name=subscription.track_name,
        publisher_session_id=subscription.publisher_session_id,
        pid=env.pid,
        at=env.wallclock(),
        sent=None,
        received=asdict(received),
    )
    return Interval(
        session_id=subscription.session_id,
        track_name=subscription.track_name,
        publisher_session_id=subscription.publisher_session_id,
        mid=subscription.mid,
        elapsed_s=0.0 if first is None else now - first,
        received=received,
    )


def subscribed_track(subscription: Subscription, statistics: ReceivedStatistics) -> SubscribedTrack:
    """What one subscription received, flat."""
    receiver = subscription.receiver
    figures = _figures(statistics)
    duration_s = figures.pop("interval_s")
    return SubscribedTrack(
        publisher_session_id=subscription.publisher_session_id,
        track_name=subscription.track_name,
        mid=subscription.mid,
        kind=receiver.kind,
        codec=receiver.codec,
        duration_s=duration_s,
        time_to_first_packet_ms=_after_ms(subscription.requested_at, receiver.first_packet_at),
        time_to_first_frame_ms=_after_ms(subscription.requested_at, receiver.first_frame_at),
        **figures,
    )


def subscribe_result(
    env: Env,
    subscription: Subscription,
    statistics: ReceivedStatistics,
    *,
    checks: tuple[Check, ...],
    others: Sequence[SubscribedTrack] = (),
    outages: tuple[Outage, ...] = (),
) -> Subscribe:
    """The result of what a subscription received, and those that share its connection; its own figures are flat."""
    track = subscribed_track(subscription, statistics)
    timing = subscription.timing
    return Subscribe(
        target=env.target,
        session_id=subscription.session_id,
        candidate_pair=timing.candidate_pair,
        candidate_type=timing.candidate_type,
        relay_protocol=timing.relay_protocol,
        url=timing.url,
        ice_ms=timing.ice_ms,
        dtls_ms=timing.dtls_ms,
        tracks=(track, *others),
        outages=outages,
        checks=checks,
        **_figures(track),
    )


def _figures(values: ReceivedStatistics | SubscribedTrack) -> dict[str, Any]:
    """Field by field; unlike those of `asdict`, what is nested stays what it is."""
    return {field.name: getattr(values, field.name) for field in fields(values)}


def _after_ms(requested_at: float, at: float | None) -> float | None:
    return None if at is None else (at - requested_at) * 1000
