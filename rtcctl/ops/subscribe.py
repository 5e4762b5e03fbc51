"""`track subscribe`: tracks of any publishers, received over one session as a browser would, measured and judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from rtcctl.errors import ApiError, DeadlineError, NetworkError, RtcctlError, UsageError
from rtcctl.ops import relay as relaying
from rtcctl.ops.env import Env
from rtcctl.ops.judge import (
    MAX_SILENCE_S,
    check_content,
    check_loss,
    check_outages,
    check_picture,
    check_received,
    of_each_track,
)
from rtcctl.ops.media import SILENCE_S, Held
from rtcctl.ops.recovery import FOLLOW_EVERY_S, Recovery
from rtcctl.ops.relay import RelayPolicy
from rtcctl.ops.running import (
    FIRST_PACKET_DEADLINE_S,
    INTERVAL_S,
    Flow,
    closing_at_end,
    each_interval,
    first_of,
    first_packet,
    received_interval,
    subscribe_result,
    subscribed_track,
)
from rtcctl.ops.session import COMMAND_DEADLINE_S, RECOVER_FOR_S, new_session
from rtcctl.ops.track import Layering, TrackRef, remote
from rtcctl.ops.transceivers import TransceiverPool
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.check import Check
from rtcctl.results.event import Interval
from rtcctl.results.outage import Outage, PublisherFollowed
from rtcctl.results.track import ReceivedStatistics, Subscribe

if TYPE_CHECKING:
    from rtcctl.ops.media import Subscription
    from rtcctl.probe.lag import LoopMonitor
    from rtcctl.probe.sinks.play import Player
    from rtcctl.realtime.schema import TrackObject

ASK_EVERY_S = 5.0
"How often the API is asked whether its session is gone."


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    tracks: tuple[TrackRef, ...]
    for_s: float = 10.0
    wait_s: float = 10.0
    max_fraction_lost: float | None = 0.02
    "`None`: loss is reported, not judged."
    layering: Layering = field(default_factory=Layering)
    verify: bool = False
    "Decode, and judge what is heard and seen."
    tone_hz: float | None = None
    "The tone that `verify` expects; `None`: any."
    play_on: str | None = None
    "Sound device to play on."
    interval_s: float = INTERVAL_S
    offered_by: Literal["sfu", "client"] = "sfu"
    peer: Literal["aiortc", "lean"] = "aiortc"
    relay: RelayPolicy | None = None
    "All media through TURN."
    recover_for_s: float | None = RECOVER_FOR_S
    "`None`: an outage is the end."


def subscribe_calls(request: SubscribeRequest) -> tuple[ApiCall, ...]:
    """The API calls that `subscribe` makes."""
    tracks = [remote(track, request.layering) for track in request.tracks]
    close = ApiCall("PUT", "sessions/$SESSION_ID/tracks/close", {"tracks": [{"mid": "$MID"}], "force": True})
    if request.offered_by == "client":
        body = {"sessionDescription": {"type": "offer", "sdp": "$OFFER_SDP"}, "tracks": tracks}
        return (ApiCall("POST", "sessions/new"), ApiCall("POST", "sessions/$SESSION_ID/tracks/new", body), close)
    return (
        ApiCall("POST", "sessions/new"),
        ApiCall("POST", "sessions/$SESSION_ID/tracks/new", {"tracks": tracks}),
        ApiCall(
            "PUT",
            "sessions/$SESSION_ID/renegotiate",
            {"sessionDescription": {"type": "answer", "sdp": "$ANSWER_SDP"}},
        ),
        close,
    )


async def subscribe(request: SubscribeRequest, env: Env) -> Subscribe:
    """Subscribe to tracks and measure what arrives for `for_s` seconds from the first packet.

    Raises `ApiError` when nobody publishes one of them within `wait_s`, `NetworkError` when the connection cannot be
    made, or is lost and does not come back; nothing arriving is a failed check.
    """
    from rtcctl.probe.lag import LoopMonitor

    async with AsyncExitStack() as stack:
        player = None
        if request.play_on is not None:
            from rtcctl.probe.sinks.play import Player

            player = stack.enter_context(Player(request.play_on))
        lag = await stack.enter_async_context(LoopMonitor(clock=env.clock))
        run = _Run(request, env, lag, player)
        stack.callback(run.close)
        with env.keeping(run.result):
            await run.recovery.run(run.connect, run.hold)
        result = run.result()
        assert result is not None, "it was held"
        return result


class _Run:
    """The subscriptions of one command, over one connection after the other."""

    def __init__(self, request: SubscribeRequest, env: Env, lag: LoopMonitor, player: Player | None) -> None:
        self.request = request
        self.env = env
        self.recovery = Recovery(env, request.recover_for_s, closing_at_end)
        self._lag = lag
        self._player = player
        self._subscriptions: list[Subscription] = []
        self._flows: list[Flow] = []
        self._pool: TransceiverPool | None = None
        self._started: float | None = None
        "Clock, when the first packet had come."

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Held]:
        """Another peer in another session, with all tracks pulled; after an outage, once media flows again."""
        from rtcctl.ops import media

        request, env, recovery = self.request, self.env, self.recovery
        async with AsyncExitStack() as stack:
            wait_s = recovery.deadline_s if recovery.is_recovering else request.wait_s
            relays = await stack.enter_async_context(
                relaying.settings(request.relay, env, for_s=request.wait_s + request.for_s, later=recovery.later)
            )
            verify = request.verify or self._player is not None
            peer = await stack.enter_async_context(
                media.open_peer(env, relays=relays, verify=verify, transport=request.peer, keeps_media=True)
            )
            peer.player = self._player
            if request.offered_by == "client":
                self._pool = TransceiverPool(peer, expected_peers=len(request.tracks))
            async with env.client(deadline_s=wait_s + COMMAND_DEADLINE_S) as client:
                session_id = await new_session(client, env)
                await stack.enter_async_context(recovery.holding(session_id))
                subscriptions = await media.subscribe(
                    client,
                    env,
                    peer,
                    session_id,
                    *(self._wanted(track.session_id, track.track_name) for track in request.tracks),
                    wait_s=wait_s,
                    pool=self._pool,
                    follow=self.recovery.successor,
                    previous=self._subscriptions,
                )
            if request.tone_hz is not None and all(s.receiver.kind != "audio" for s in subscriptions):
                raise UsageError("None of these tracks is sound, so no tone can be heard.", hint="Leave --tone away.")
            self._subscriptions = list(subscriptions)
            self._flows = self._flows or [Flow() for _ in subscriptions]
            held = Held(peer, session_id)
            if recovery.is_recovering:
                held = replace(held, flowing_at=await self._flowing(), frames_missed=_missed(subscriptions))
            yield held

    async def hold(self, held: Held) -> None:
        """Measure until the time is over."""
        if self._started is None:
            await asyncio.gather(*(first_packet(subscription, self.env) for subscription in self._subscriptions))
            if all(subscription.receiver.first_packet_at is None for subscription in self._subscriptions):
                return
            self._lag.reset()
            self._started = self.env.clock()
            self.recovery.ends_at = self._started + self.request.for_s
        await first_of(
            time=each_interval(
                self.env,
                held.peer,
                held.session_id,
                self._intervals,
                started=self._started,
                for_s=self.request.for_s,
                interval_s=self.request.interval_s,
            ),
            followed=self._follow(held),
        )
        for subscription in self._subscriptions:
            await subscription.receiver.drain()

    def result(self) -> Subscribe | None:
        """What has arrived until now; `None` before anything was subscribed to."""
        if not self._subscriptions:
            return None
        return _result(self.request, self.env, self._subscriptions, self._lag.reason, self.recovery.outages)

    def close(self) -> None:
        """Let go of decoders: no connection does, since another one may come."""
        for subscription in self._subscriptions:
            subscription.receiver.close()

    # -- how ----------------------------------------------------------------------------------------------------------

    def _wanted(self, publisher_session_id: str, track_name: str) -> TrackObject:
        from rtcctl.ops import media

        return media.remote_track(publisher_session_id, track_name, simulcast=self.request.layering.simulcast())

    def _intervals(self, now: float) -> list[Interval]:
        return [
            received_interval(subscription, self.env, flow, now)
            for subscription, flow in zip(self._subscriptions, self._flows, strict=True)
        ]

    async def _flowing(self) -> float:
        """Clock, when the first packet of any track came. Raises `NetworkError` when none does."""
        receivers = [subscription.receiver for subscription in self._subscriptions]
        outcomes = await asyncio.gather(
            *(receiver.wait_first_packet(FIRST_PACKET_DEADLINE_S) for receiver in receivers), return_exceptions=True
        )
        came = [at for at in outcomes if isinstance(at, float)]
        if not came:
            raise NetworkError(
                f"Subscribed to again, but nothing arrived in {FIRST_PACKET_DEADLINE_S:.0f} s.", phase="media"
            )
        return min(came)

    async def _follow(self, held: Held) -> None:
        """Pull tracks that are silent from the session in which their publisher goes on, if there is one.

        Raises `ApiError` when a publisher's session is gone, and nobody of this machine is about to replace it.
        """
        asked_at: dict[int, float] = {}
        while self.recovery.is_on:
            await asyncio.sleep(FOLLOW_EVERY_S)
            for index, subscription in enumerate(self._subscriptions):
                now, publisher = self.env.clock(), subscription.publisher_session_id
                silent_s = subscription.receiver.silent_s(now) or 0.0
                if silent_s < MAX_SILENCE_S:
                    continue
                if (successor := self.recovery.successor(publisher)) != publisher:
                    await self._pull_anew(held, index, successor)
                elif silent_s >= SILENCE_S and now >= asked_at.get(index, 0.0) + ASK_EVERY_S:
                    asked_at[index] = now
                    await self._require_publisher(subscription)
        await asyncio.Event().wait()

    async def _require_publisher(self, subscription: Subscription) -> None:
        publisher = subscription.publisher_session_id
        if self.env.journal.holder(publisher) is not None:
            return  # it runs, and knows
        try:
            async with self.env.client(deadline_s=COMMAND_DEADLINE_S) as client:
                await client.get_session(publisher)
        except ApiError as error:
            if not error.is_gone:
                return
            raise ApiError(
                f"Media of {publisher}/{subscription.track_name} has stopped: its publisher's session is gone.",
                hint="It has ended, or goes on in another session: only one of this machine and profile is followed.",
                status=200,
                code="not_found_track_error",
                request=error.request,
                ray=error.ray,
            ) from error
        except (NetworkError, DeadlineError):
            return  # of our own connection something comes still

    async def _pull_anew(self, held: Held, index: int, successor: str) -> None:
        """One track from another session, over the same connection. What is not there yet is left for the next time."""
        from rtcctl.ops import media

        env, before = self.env, self._subscriptions[index]
        silent_since = env.clock() - (before.receiver.silent_s(env.clock()) or 0.0)
        async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
            try:
                (subscription,) = await media.subscribe(
                    client,
                    env,
                    held.peer,
                    held.session_id,
                    self._wanted(successor, before.track_name),
                    wait_s=0.0,
                    pool=self._pool,
                    previous=[before],
                )
            except (ApiError, NetworkError, DeadlineError) as error:
                if isinstance(error, ApiError) and error.is_gone:
                    raise
                return
            self._subscriptions[index] = subscription
            with suppress(TimeoutError):
                await subscription.receiver.wait_first_packet(FIRST_PACKET_DEADLINE_S)
            with suppress(RtcctlError):
                await client.close_tracks(held.session_id, [before.mid], force=True)
                before.receiver.release()
        env.emit(
            PublisherFollowed(
                session_id=held.session_id, publisher_session_id=before.publisher_session_id, successor_id=successor
            )
        )
        went_on_at = subscription.receiver.went_on_at
        if went_on_at is None:
            return  # that session may be lost already, and the next one ends the outage
        self.recovery.note(
            Outage(
                reason=f"The publisher has replaced its session {before.publisher_session_id} by {successor}.",
                session_id=held.session_id,
                successor_id=held.session_id,
                started_s=self.recovery.elapsed_s(silent_since),
                duration_s=went_on_at - silent_since,
                attempts=1,
            ),
            _missed([subscription]),
        )


def _missed(subscriptions: Sequence[Subscription]) -> Callable[[], int | None]:
    """What tells the frames that the last interruption of these has cost, as soon as it is known."""
    # Asked for now: the receiver itself may carry another track by then.
    asked = [ask for s in subscriptions if (ask := s.receiver.last_missed) is not None]

    def missed() -> int | None:
        counts = [count for ask in asked if (count := ask()) is not None]
        return sum(counts) if counts else None

    return missed


def _result(
    request: SubscribeRequest,
    env: Env,
    subscriptions: Sequence[Subscription],
    saturated: str | None,
    outages: tuple[Outage, ...],
) -> Subscribe:
    now = env.clock()
    figures = [subscription.receiver.statistics(now) for subscription in subscriptions]
    checks: list[tuple[str, Check]] = []
    for subscription, statistics in zip(subscriptions, figures, strict=True):
        receiver = subscription.receiver
        missed = sum(count or 0 for count in receiver.frames_missed) if receiver.kind == "audio" else 0
        judged = [
            check_received(statistics, silent_s=receiver.silent_s(now) or 0.0, saturated=saturated),
            *check_loss(statistics, request.max_fraction_lost, saturated, missed=missed),
        ]
        if request.verify and statistics.packets_received:
            busy = saturated or receiver.saturated(now)
            judged.append(_check_content(subscription, statistics, request, busy))
        checks += [(subscription.track_name, check) for check in judged]
    first, *rest = subscriptions
    return subscribe_result(
        env,
        first,
        figures[0],
        checks=(*relaying.check(request.relay, first.timing), *of_each_track(checks), *check_outages(outages)),
        others=[subscribed_track(*pair) for pair in zip(rest, figures[1:], strict=True)],
        outages=outages,
    )


def _check_content(
    subscription: Subscription, statistics: ReceivedStatistics, request: SubscribeRequest, saturated: str | None
) -> Check:
    if subscription.receiver.kind == "video":
        return check_picture(statistics, saturated)
    return check_content(statistics, request.tone_hz, saturated)
