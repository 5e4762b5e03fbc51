"""`channel probe`: what each delivery policy does with a stream of messages, over two sessions of ours.

The policies are measured one after the other, each on a channel of its own, so that a retransmission of one does not
take the room of another: `channel_measure` does that, `channel_largest` finds out how large a message may be, and
`channel_judge` says whether that is good enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from rtcctl.errors import UsageError
from rtcctl.ops import channels_media
from rtcctl.ops.channel_judge import judge
from rtcctl.ops.channel_largest import LARGEST_DEADLINE_S
from rtcctl.ops.channel_measure import HEADER, STRAGGLERS_S, Ends, Stream, measure
from rtcctl.ops.channels_media import Delivery, establish_calls
from rtcctl.ops.env import Env
from rtcctl.ops.judge import of_each_track
from rtcctl.ops.session import COMMAND_DEADLINE_S, new_session
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.channel import ChannelProbe, PolicyFigures, PolicyMeasured
from rtcctl.results.check import Check
from rtcctl.results.event import Progress

POLICIES = {
    "chat": Delivery(),
    "game": Delivery(ordered=False, max_retransmits=0),
    "unordered": Delivery(ordered=False),
    "lifetime": Delivery(max_lifetime_ms=100),
}
"The profiles of the guide, and what lies between them."

MIN_SIZE_BYTES = HEADER.size
MAX_SIZE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """`for_s`: of each policy. Without `max_fraction_lost`, loss on unreliable channels is reported and not judged."""

    policies: tuple[str, ...] = tuple(POLICIES)
    rate_hz: float = 50.0
    size_bytes: int = 100
    for_s: float = 3.0
    max_fraction_lost: float | None = None
    max_latency_ms: Mapping[str, float] = field(default_factory=dict)
    "By percentile."


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
    """Measure each policy. Nothing arriving is a failed check, and so are loss on a reliable channel and what exceeds
    a limit; a machine or a path that is too slow for the rate makes them inconclusive."""
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
        ends = Ends(client, env, publisher, sessions[0], subscriber, sessions[1])
        stream = Stream(request.rate_hz, request.size_bytes, request.for_s)
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
                figures, saturated, announced = await measure(ends, name, POLICIES[name], stream, lag)
                measured.append(figures)
                judged = judge(
                    figures,
                    POLICIES[name],
                    saturated,
                    max_fraction_lost=request.max_fraction_lost,
                    max_latency_ms=request.max_latency_ms,
                )
                checks += [(name, check) for check in judged]
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
