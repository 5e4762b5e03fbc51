"""A round trip over a data channel: from a publisher to a subscriber that may reply, and back."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from rtcctl.errors import NetworkError, RtcctlError
from rtcctl.ops import channels_media
from rtcctl.ops.channels_media import RELIABLE, ChannelRef
from rtcctl.ops.env import Env

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel, Message
    from rtcctl.probe.peer import Peer
    from rtcctl.probe.transport import Arrival
    from rtcctl.realtime.client import RealtimeClient

QUESTIONS = 5
ANSWER_DEADLINE_S = 5.0
"A lost packet of a reliable channel is sent again after a second, then after two."


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """`rtt_ms`: median, from sending a message to having its answer, through the SFU twice."""

    rtt_ms: float
    one_way_ms: float
    "Median, from the publisher to the subscriber."
    questions: int
    publisher_channel_id: int
    subscriber_channel_id: int


async def round_trip(
    client: RealtimeClient,
    env: Env,
    publisher_peer: Peer,
    publisher_session_id: str,
    subscriber_peer: Peer,
    subscriber_session_id: str,
) -> RoundTrip:
    """Ask `QUESTIONS` times over a reliable channel of its own, whose subscriber answers.

    The sessions may carry media already: the channel comes as one m-section more. It is closed at the end.
    Raises `ApiError` for what the API refuses, `NetworkError` (phase sctp) when no channel opens or no answer comes.
    """
    name = f"rtcctl-{env.random.getrandbits(32):08x}"
    ends: list[tuple[Peer, str, DataChannel]] = []
    await channels_media.establish(client, env, publisher_peer, publisher_session_id)
    await channels_media.establish(client, env, subscriber_peer, subscriber_session_id)
    try:
        (asking,) = await channels_media.publish(client, env, publisher_peer, publisher_session_id, [name], RELIABLE)
        ends.append((publisher_peer, publisher_session_id, asking))
        (answering,) = await channels_media.subscribe(
            client,
            env,
            subscriber_peer,
            subscriber_session_id,
            [ChannelRef(publisher_session_id, name)],
            RELIABLE,
            can_reply=True,
        )
        ends.append((subscriber_peer, subscriber_session_id, answering))
        trips = await _ask(asking, answering)
    finally:
        for peer, session_id, channel in reversed(ends):
            # What was found out is worth more than what cannot be cleaned up: the session's end does that.
            with suppress(RtcctlError):
                await channels_media.close(client, session_id, {channel.id: name})
            peer.close_channel(channel)
            env.journal.track_closed(session_id, name, env.wallclock())
    return RoundTrip(
        rtt_ms=median(there + back for there, back in trips),
        one_way_ms=median(there for there, _ in trips),
        questions=len(trips),
        publisher_channel_id=asking.id,
        subscriber_channel_id=answering.id,
    )


async def _ask(asking: DataChannel, answering: DataChannel) -> list[tuple[float, float]]:
    """Milliseconds there and back, of each question."""
    answers: asyncio.Queue[tuple[Message, int]] = asyncio.Queue()

    def answer(message: Message, arrival: Arrival) -> None:
        if isinstance(message, str):
            answering.send(json.dumps(json.loads(message) | {"heard_ns": arrival.monotonic_ns}))

    answering.on_message = answer
    asking.on_message = lambda message, arrival: answers.put_nowait((message, arrival.monotonic_ns))
    trips = []
    for number in range(QUESTIONS):
        asked_ns = time.monotonic_ns()
        asking.send(json.dumps({"question": number}))
        while True:
            try:
                async with asyncio.timeout(ANSWER_DEADLINE_S):
                    message, answered_ns = await answers.get()
            except TimeoutError:
                raise NetworkError(
                    f"No answer over data channel {asking.label} within {ANSWER_DEADLINE_S:.0f} s, "
                    f"after {number} of {QUESTIONS}.",
                    phase="sctp",
                    hint="The channel is open at both ends: the SFU does not pass its messages on.",
                ) from None
            said = json.loads(message)
            if said.get("question") == number:
                heard_ns = said["heard_ns"]
                trips.append(((heard_ns - asked_ns) / 1e6, (answered_ns - heard_ns) / 1e6))
                break
    return trips
