"""How a peer and an API session are joined for data channels: establish, publish, subscribe, close.

The transport comes first: `datachannels/establish` makes the SFU offer an m-section, which is answered through
`renegotiate`. Then `datachannels/new` names a channel and tells its id, under which our end is opened (negotiated:
nothing in-band ever reaches anybody; Realtime docs: DataChannels).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtcctl.errors import ApiError, DeadlineError, NetworkError, RtcctlError
from rtcctl.ops.env import Env
from rtcctl.ops.media import CONNECT_DEADLINE_S, attempts, wait_connected
from rtcctl.ops.reconciliation import renegotiate
from rtcctl.ops.session import CLEAN_UP_DEADLINE_S
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.channel import ChannelClosed, ChannelPublished, ChannelSubscribed
from rtcctl.results.event import Progress, Warned

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel
    from rtcctl.probe.peer import ConnectionTiming, Peer
    from rtcctl.realtime.client import RealtimeClient
    from rtcctl.realtime.schema import DataChannelObject, DataChannelResult

SERVER_EVENTS = "server-events"
"The reserved channel, id 0, that brings the transport up."

KIND = "data"
"Of a channel among the tracks in the journal."


@dataclass(frozen=True, slots=True)
class Delivery:
    """In which order, and how often or how long each message is tried; without a limit: reliably."""

    ordered: bool = True
    max_retransmits: int | None = None
    max_lifetime_ms: int | None = None

    @property
    def is_reliable(self) -> bool:
        """Nothing may be missing."""
        return self.max_retransmits is None and self.max_lifetime_ms is None

    def wire(self) -> dict[str, Any]:
        """As in a request; what is default is left out."""
        named = {
            "ordered": None if self.ordered else False,
            "maxRetransmits": self.max_retransmits,
            "maxPacketLifeTime": self.max_lifetime_ms,
        }
        return {name: value for name, value in named.items() if value is not None}

    def __str__(self) -> str:
        parts = ["ordered" if self.ordered else "unordered"]
        if self.max_retransmits is not None:
            parts.append(f"{self.max_retransmits} retransmits")
        if self.max_lifetime_ms is not None:
            parts.append(f"lifetime {self.max_lifetime_ms} ms")
        return ", ".join(parts if len(parts) > 1 else [*parts, "reliable"])


RELIABLE = Delivery()


@dataclass(frozen=True, slots=True)
class ChannelRef:
    """A channel as the grammar spells it: `SESSION/NAME`."""

    session_id: str
    name: str

    def __str__(self) -> str:
        return f"{self.session_id}/{self.name}"


def establish_calls() -> tuple[ApiCall, ...]:
    """The API calls that make a session with a transport for data channels."""
    body = {"dataChannel": {"location": "remote", "dataChannelName": SERVER_EVENTS}}
    answer = {"sessionDescription": {"type": "answer", "sdp": "$ANSWER_SDP"}}
    return (
        ApiCall("POST", "sessions/new"),
        ApiCall("POST", "sessions/$SESSION_ID/datachannels/establish", body),
        ApiCall("PUT", "sessions/$SESSION_ID/renegotiate", answer),
    )


async def establish(client: RealtimeClient, env: Env, peer: Peer, session_id: str) -> ConnectionTiming:
    """Bring the transport for data channels up, on a new session or on one that carries media already."""
    if not peer.has_data_section:
        peer.belongs_to(session_id)
        answer = await client.establish_data_channels(session_id)
        answer.raise_for_error(f"data channels of session {session_id}")
        if answer.session_description is None:
            raise ApiError("The API established data channels but gave no description.", status=200)
        await renegotiate(client, session_id, await peer.answer(answer.session_description.sdp))
    return await wait_connected(peer, env, session_id)


async def publish(
    client: RealtimeClient, env: Env, peer: Peer, session_id: str, names: Sequence[str], delivery: Delivery
) -> tuple[DataChannel, ...]:
    """Publish channels in one call; all are open when it returns."""
    from rtcctl.realtime.schema import DataChannelObject

    env.emit(Progress(text=f"publishing {', '.join(names)}"))
    wanted = [
        DataChannelObject(
            location="local",
            data_channel_name=name,
            ordered=delivery.ordered,
            max_retransmits=delivery.max_retransmits,
            max_packet_life_time=delivery.max_lifetime_ms,
        )
        for name in names
    ]
    items = _items(await _made(client, session_id, wanted), len(names))
    for name, item in zip(names, items, strict=True):
        item.raise_for_error(f"data channel {name}")
    channels = tuple(_open(peer, _id(item, name), name, delivery) for name, item in zip(names, items, strict=True))
    for channel in channels:
        await channel.wait_open(CONNECT_DEADLINE_S)
        env.journal.track_published(session_id, channel.label, str(channel.id), KIND, env.wallclock())
        env.emit(ChannelPublished(session_id=session_id, channel=channel.label, id=channel.id))
    return channels


async def subscribe(
    client: RealtimeClient,
    env: Env,
    peer: Peer,
    session_id: str,
    refs: Sequence[ChannelRef],
    delivery: Delivery,
    *,
    can_reply: bool = False,
    wait_for_ack: bool = False,
    wait_s: float = 0.0,
    follow: Callable[[str], str] = str,
    prepare: Callable[[ChannelRef, DataChannel], None] = lambda ref, channel: None,
) -> tuple[DataChannel, ...]:
    """Subscribe to channels, those that nobody publishes yet again and again for `wait_s`; all are open at the end.

    `follow` tells the session in which a publisher is by now, and is asked before each attempt. `prepare` is called
    with each channel before a message can come. Raises `ApiError` naming the first channel that could not be had.
    """
    env.emit(Progress(text=f"waiting for {', '.join(map(str, refs))}"))
    opened: dict[ChannelRef, DataChannel] = {}
    publishers: dict[ChannelRef, str] = {}
    async for attempt in attempts(env, wait_s):
        pending = [ref for ref in refs if ref not in opened]
        publishers |= {ref: follow(ref.session_id) for ref in pending}
        wanted = [
            remote(ChannelRef(publishers[ref], ref.name), delivery, can_reply=can_reply, wait_for_ack=wait_for_ack)
            for ref in pending
        ]
        with attempt:
            made = await _made(client, session_id, wanted)
        if attempt.is_over:
            continue
        for ref, item in zip(pending, _items(made, len(pending)), strict=True):
            with attempt:
                item.raise_for_error(f"data channel {ref}")
                channel = opened[ref] = _open(peer, _id(item, ref.name), ref.name, delivery)
                prepare(ref, channel)
        if len(opened) == len(refs):
            break
    for ref in refs:
        channel = opened[ref]
        await channel.wait_open(CONNECT_DEADLINE_S)
        env.emit(
            ChannelSubscribed(
                session_id=session_id, publisher_session_id=publishers[ref], channel=ref.name, id=channel.id
            )
        )
    return tuple(opened[ref] for ref in refs)


async def _made(
    client: RealtimeClient, session_id: str, wanted: Sequence[DataChannelObject]
) -> Sequence[DataChannelResult] | None:
    """Make channels; where the answer is lost, the session tells the ids of those that were made."""
    from rtcctl.realtime.schema import DataChannelResult

    try:
        return (await client.new_data_channels(session_id, wanted)).data_channels
    except (NetworkError, DeadlineError) as error:
        if not error.is_unanswered:
            raise
        held = (await client.get_session(session_id)).data_channels or ()
        made = [
            DataChannelResult(id=channel.id)
            for want in wanted
            for channel in held
            if channel.data_channel_name == want.data_channel_name
            and channel.location == want.location
            and (want.location == "local" or channel.session_id == want.session_id)
        ]
        if len(made) == len(wanted):
            return made
        if made:
            raise
        return (await client.new_data_channels(session_id, wanted)).data_channels


def remote(
    ref: ChannelRef, delivery: Delivery, *, can_reply: bool = False, wait_for_ack: bool = False
) -> DataChannelObject:
    """A channel to subscribe to. The publisher's delivery policy has to be repeated."""
    from rtcctl.realtime.schema import DataChannelObject

    return DataChannelObject(
        location="remote",
        session_id=ref.session_id,
        data_channel_name=ref.name,
        ordered=delivery.ordered,
        max_retransmits=delivery.max_retransmits,
        max_packet_life_time=delivery.max_lifetime_ms,
        can_reply=can_reply or None,
        wait_for_ack=wait_for_ack or None,
    )


async def close(client: RealtimeClient, session_id: str, ids: dict[int, str | None]) -> tuple[ChannelClosed, ...]:
    """Close channels of one session by their ids (with their names); absent ones count as closed."""
    outcomes: list[ChannelClosed] = []
    numbers = list(ids)
    for start in range(0, len(numbers), 64):
        answer = await client.close_data_channels(session_id, numbers[start : start + 64])
        for item in answer.data_channels or ():
            code = item.error_code
            outcomes.append(
                ChannelClosed(
                    session_id=session_id,
                    id=-1 if item.id is None else item.id,
                    channel=ids.get(-1 if item.id is None else item.id),
                    outcome="closed" if not code else "already-closed" if code == "close_track_error" else "failed",
                    code=code,
                    description=item.error_description,
                )
            )
    return tuple(outcomes)


@asynccontextmanager
async def closing_at_end(env: Env, session_id: str) -> AsyncIterator[None]:
    """Close all channels of a session of ours when the body ends, however it ends; failures are said, not raised.

    Publications are not collected by the SFU's media timer: what is left open keeps its name taken.
    """
    try:
        yield
    finally:
        try:
            async with env.client(deadline_s=CLEAN_UP_DEADLINE_S) as client:
                for outcome in await close_held(client, session_id):
                    if outcome.outcome == "failed":
                        env.emit(Warned(text=f"channel {outcome.id} of session {session_id} is still open"))
        except RtcctlError as error:
            env.emit(Warned(text=f"session {session_id} could not be cleaned up: {error.message}"))
        env.journal.session_closed(session_id, env.wallclock())


async def close_held(client: RealtimeClient, session_id: str) -> tuple[ChannelClosed, ...]:
    """Close every data channel that a session holds; none when it is gone (410)."""
    try:
        state = await client.get_session(session_id)
        held = {
            channel.id: channel.data_channel_name
            for channel in state.data_channels or ()
            if channel.id and channel.data_channel_name != SERVER_EVENTS
        }
        return await close(client, session_id, held) if held else ()
    except ApiError as error:
        if error.is_gone:
            return ()
        raise


def _items(items: Iterable[DataChannelResult] | None, count: int) -> list[DataChannelResult]:
    found = list(items or ())
    if len(found) != count:
        raise ApiError("The API answered without saying what became of each data channel.", status=200)
    return found


def _id(item: DataChannelResult, name: str) -> int:
    if item.id is None:
        raise ApiError(f"The API accepted data channel {name} but gave it no id.", status=200)
    return item.id


def _open(peer: Peer, channel_id: int, name: str, delivery: Delivery) -> DataChannel:
    return peer.open_channel(
        channel_id,
        name,
        ordered=delivery.ordered,
        max_retransmits=delivery.max_retransmits,
        max_lifetime_ms=delivery.max_lifetime_ms,
    )
