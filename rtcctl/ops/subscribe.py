"""`track subscribe`: tracks of any publishers, received over one session as a browser would, measured and judged."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rtcctl.errors import UsageError
from rtcctl.ops import relay as relaying
from rtcctl.ops.env import Env
from rtcctl.ops.judge import check_content, check_loss, check_picture, check_received, of_each_track
from rtcctl.ops.relay import RelayPolicy
from rtcctl.ops.running import (
    INTERVAL_S,
    Flow,
    closing_at_end,
    each_interval,
    first_packet,
    received_interval,
    subscribe_result,
    subscribed_track,
)
from rtcctl.ops.session import COMMAND_DEADLINE_S, new_session
from rtcctl.ops.track import Layering, TrackRef, remote
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.check import Check
from rtcctl.results.track import ReceivedStatistics, Subscribe

if TYPE_CHECKING:
    from rtcctl.ops.media import Subscription


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
    made or is lost; nothing arriving is a failed check.
    """
    from rtcctl.ops import media
    from rtcctl.probe.lag import LoopMonitor

    async with AsyncExitStack() as stack:
        player = None
        if request.play_on is not None:
            from rtcctl.probe.sinks.play import Player

            player = stack.enter_context(Player(request.play_on))
        relays = await stack.enter_async_context(
            relaying.settings(request.relay, env, for_s=request.wait_s + request.for_s)
        )
        peer = await stack.enter_async_context(
            media.open_peer(env, relays=relays, verify=request.verify or player is not None, transport=request.peer)
        )
        peer.player = player
        lag = await stack.enter_async_context(LoopMonitor(clock=env.clock))
        async with env.client(deadline_s=request.wait_s + COMMAND_DEADLINE_S) as client:
            session_id = await new_session(client, env)
            await stack.enter_async_context(closing_at_end(env, session_id))
            simulcast = request.layering.simulcast()
            subscriptions = await media.subscribe(
                client,
                env,
                peer,
                session_id,
                *(media.remote_track(t.session_id, t.track_name, simulcast=simulcast) for t in request.tracks),
                wait_s=request.wait_s,
                pool=media.TransceiverPool(peer, expected_peers=len(request.tracks))
                if request.offered_by == "client"
                else None,
            )
        if request.tone_hz is not None and all(s.receiver.kind != "audio" for s in subscriptions):
            raise UsageError("None of these tracks is sound, so no tone can be heard.", hint="Leave --tone away.")
        flows = [Flow() for _ in subscriptions]

        def result() -> Subscribe:
            return _result(request, env, subscriptions, lag.reason)

        with env.keeping(result):
            await asyncio.gather(*(first_packet(subscription, env) for subscription in subscriptions))
            if any(subscription.receiver.first_packet_at is not None for subscription in subscriptions):
                lag.reset()
                await each_interval(
                    env,
                    peer,
                    request.for_s,
                    session_id,
                    lambda now: [
                        received_interval(subscription, env, flow, now)
                        for subscription, flow in zip(subscriptions, flows, strict=True)
                    ],
                    interval_s=request.interval_s,
                )
            for subscription in subscriptions:
                await subscription.receiver.drain()
        return result()


def _result(
    request: SubscribeRequest,
    env: Env,
    subscriptions: tuple[Subscription, ...],
    saturated: str | None,
) -> Subscribe:
    now = env.clock()
    figures = [subscription.receiver.statistics(now) for subscription in subscriptions]
    checks: list[tuple[str, Check]] = []
    for subscription, statistics in zip(subscriptions, figures, strict=True):
        judged = [
            check_received(statistics, silent_s=subscription.receiver.silent_s(now) or 0.0, saturated=saturated),
            *check_loss(statistics, request.max_fraction_lost, saturated),
        ]
        if request.verify and statistics.packets_received:
            busy = saturated or subscription.receiver.saturated(now)
            judged.append(_check_content(subscription, statistics, request, busy))
        checks += [(subscription.track_name, check) for check in judged]
    first, *rest = subscriptions
    return subscribe_result(
        env,
        first,
        figures[0],
        checks=(*relaying.check(request.relay, first.timing), *of_each_track(checks)),
        others=[subscribed_track(*pair) for pair in zip(rest, figures[1:], strict=True)],
    )


def _check_content(
    subscription: Subscription, statistics: ReceivedStatistics, request: SubscribeRequest, saturated: str | None
) -> Check:
    if subscription.receiver.kind == "video":
        return check_picture(statistics, saturated)
    return check_content(statistics, request.tone_hz, saturated)
