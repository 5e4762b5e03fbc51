"""A probe that runs: what it reports each second, when media stops, and what it leaves behind when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from rtcctl.errors import RtcctlError
from rtcctl.ops.env import Env
from rtcctl.ops.judge import MAX_SILENCE_S
from rtcctl.ops.session import CLEAN_UP_DEADLINE_S, close_held
from rtcctl.results.check import Check
from rtcctl.results.event import FirstPacket, Interval, Warned
from rtcctl.results.track import ReceivedStatistics, Subscribe

if TYPE_CHECKING:
    from rtcctl.ops.media import Publication, Subscription
    from rtcctl.probe.peer import Peer

INTERVAL_S = 1.0
"How often a running probe reports."

FIRST_PACKET_DEADLINE_S = 5.0
"From connected to the first RTP packet; nothing by then is a failed check, not a wait without end."


async def report_sent(publication: Publication, env: Env, peer: Peer, for_s: float | None, started: float) -> None:
    """Emit what was sent each second, into the journal too, until `for_s` is over."""

    def interval(now: float) -> Interval:
        sent = publication.sender.interval(now)
        env.journal.interval(
            publication.session_id,
            track_name=publication.track_name,
            publisher_session_id=None,
            pid=env.pid,
            at=env.wallclock(),
            sent=asdict(sent),
            received=None,
        )
        return Interval(
            session_id=publication.session_id,
            track_name=publication.track_name,
            elapsed_s=now - started,
            sent=sent,
        )

    await each_interval(env, peer, for_s, publication.session_id, interval)


async def each_interval(
    env: Env, peer: Peer, for_s: float | None, session_id: str, interval: Callable[[float], Interval]
) -> None:
    """Emit `interval(now)` each second until `for_s` is over (`None`: for ever); an outage is a `NetworkError`."""
    from rtcctl.ops.media import watch

    started = env.clock()
    tick = 0
    while True:
        tick += 1
        due = started + tick * INTERVAL_S
        end = None if for_s is None else started + for_s
        await watch(
            peer,
            max(0.0, (due if end is None else min(due, end)) - env.clock()),
            what=f"session {session_id}",
            session_id=session_id,
        )
        now = env.clock()
        if now >= due - 0.001:
            env.emit(interval(now))
        if end is not None and now >= end - 0.001:
            return


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


async def report_received(subscription: Subscription, env: Env, peer: Peer, for_s: float, flow: Flow) -> None:
    """Emit what arrived each second, into the journal too, until `for_s` is over."""
    first = subscription.receiver.first_packet_at
    assert first is not None

    def interval(now: float) -> Interval:
        received = subscription.receiver.interval(now)
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
            elapsed_s=now - first,
            received=received,
        )

    await each_interval(env, peer, for_s, subscription.session_id, interval)


def subscribe_result(
    env: Env,
    subscription: Subscription,
    statistics: ReceivedStatistics,
    *,
    first_packet_at: float | None,
    checks: tuple[Check, ...],
) -> Subscribe:
    """The flat result of what a subscription received."""
    figures = asdict(statistics)
    duration_s = figures.pop("interval_s")
    figures["latency_ms"] = statistics.latency_ms
    return Subscribe(
        target=env.target,
        session_id=subscription.session_id,
        publisher_session_id=subscription.publisher_session_id,
        track_name=subscription.track_name,
        mid=subscription.mid,
        codec=subscription.receiver.codec,
        candidate_pair=subscription.timing.candidate_pair,
        ice_ms=subscription.timing.ice_ms,
        dtls_ms=subscription.timing.dtls_ms,
        duration_s=duration_s,
        time_to_first_packet_ms=(
            None if first_packet_at is None else (first_packet_at - subscription.requested_at) * 1000
        ),
        checks=checks,
        **figures,
    )
