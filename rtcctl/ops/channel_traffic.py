"""`channel open`, `send` and `listen`: a session of ours whose peer publishes channels, or subscribes to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from rtcctl.errors import DeadlineError, UsageError
from rtcctl.ops import channels_media
from rtcctl.ops.channel_inbox import Inbox
from rtcctl.ops.channel_session import joined
from rtcctl.ops.channels_media import RELIABLE, ChannelRef, Delivery, establish_calls, remote
from rtcctl.ops.env import Env
from rtcctl.ops.running import first_of
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.channel import (
    ChannelListen,
    ChannelOpen,
    ChannelSend,
)
from rtcctl.results.check import Bound, Check, CheckStatus
from rtcctl.results.event import Warned

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel, Message

MAX_MESSAGE_BYTES = 16 * 1024
"About what the service carries (Realtime docs: DataChannels); larger ones are refused before anything is created."

BUFFERED_BYTES = 1_048_576
"What may wait here before `send` waits."

DRAIN_DEADLINE_S = 30.0
"From the last message to the SFU's acknowledgement of it."

LINGER_S = 0.5
"From the SFU's acknowledgement to closing: closing ends the channel for its subscribers as well."

ACKNOWLEDGEMENT = "ack"
"The SFU swallows it: the first message of a subscriber that waits for it to be delivered."


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """Publish `names` and hold them for `for_s` (`None`: until interrupted)."""

    names: tuple[str, ...]
    delivery: Delivery = RELIABLE
    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class SendRequest:
    """To the subscribers of a channel `name` of a session of ours, or to the publisher of `to`.

    `messages` are sent first, then what comes from `lines`, one message a line.
    """

    name: str | None = None
    to: ChannelRef | None = None
    messages: tuple[Message, ...] = ()
    lines: BinaryIO | None = None
    delivery: Delivery = RELIABLE
    every_s: float = 0.0
    delay_s: float = 0.0
    "From being published to the first message."
    hello_s: float | None = None
    "Begin when a subscriber that may reply has said something: at most so long, and `None`: without that."
    wait_s: float = 10.0
    "For the publisher, with `to`."


@dataclass(frozen=True, slots=True)
class ListenRequest:
    """`reply`: said to the publisher for each message that comes. `count`: end after so many messages."""

    channels: tuple[ChannelRef, ...]
    delivery: Delivery = RELIABLE
    wait_for_ack: bool = False
    can_reply: bool = False
    hello: str | None = None
    "Said to each publisher as soon as its channel is open."
    reply: str | None = None
    for_s: float | None = None
    wait_s: float = 10.0
    count: int | None = None


def open_calls(request: OpenRequest) -> tuple[ApiCall, ...]:
    """The API calls that `open` makes."""
    return (*establish_calls(), _new([_local(name, request.delivery) for name in request.names]), *_close())


def send_calls(request: SendRequest) -> tuple[ApiCall, ...]:
    """The API calls that `send` makes."""
    if request.to is not None:
        return (*establish_calls(), _new([remote(request.to, request.delivery, can_reply=True).to_wire()]), *_close())
    return (*establish_calls(), _new([_local(request.name or "", request.delivery)]), *_close())


def listen_calls(request: ListenRequest) -> tuple[ApiCall, ...]:
    """The API calls that `listen` makes."""
    wanted = [
        remote(ref, request.delivery, can_reply=request.can_reply, wait_for_ack=request.wait_for_ack).to_wire()
        for ref in request.channels
    ]
    return (*establish_calls(), _new(wanted), *_close())


def _local(name: str, delivery: Delivery) -> dict[str, Any]:
    return {"location": "local", "dataChannelName": name, "ordered": delivery.ordered} | delivery.wire()


def _new(channels: list[dict[str, Any]]) -> ApiCall:
    return ApiCall("POST", "sessions/$SESSION_ID/datachannels/new", {"dataChannels": channels})


def _close() -> tuple[ApiCall, ...]:
    body = {"dataChannels": [{"id": "$ID"}]}
    return (
        ApiCall("GET", "sessions/$SESSION_ID"),
        ApiCall("PUT", "sessions/$SESSION_ID/datachannels/close", body),
    )


async def open_(request: OpenRequest, env: Env) -> ChannelOpen:
    """Publish channels and hold them; what subscribers that may reply say is told as it comes."""
    check_names(request.names)
    async with joined(env) as our:
        channels = await channels_media.publish(
            our.client, env, our.peer, our.session_id, request.names, request.delivery
        )
        inbox = Inbox(env)
        for channel in channels:
            inbox.attach(our.session_id, channel)

        def result() -> ChannelOpen:
            return ChannelOpen(**our.facts(request.delivery, inbox))

        with env.keeping(result):
            await first_of(time=our.watch(request.for_s), closed=our.ended(inbox), messages=inbox.tell())
        return result()


async def send(request: SendRequest, env: Env) -> ChannelSend:
    """Send messages and return once the SFU has acknowledged them."""
    for index, message in enumerate(request.messages, 1):
        check_size(message, f"message {index}")
    ended_early = False
    async with joined(env) as our:
        inbox = Inbox(env)
        if request.to is not None:
            (channel,) = await channels_media.subscribe(
                our.client,
                env,
                our.peer,
                our.session_id,
                [request.to],
                request.delivery,
                can_reply=True,
                wait_s=request.wait_s,
                prepare=lambda ref, opened: inbox.attach(ref.session_id, opened),
            )
        else:
            assert request.name is not None
            (channel,) = await channels_media.publish(
                our.client, env, our.peer, our.session_id, [request.name], request.delivery
            )
            inbox.attach(our.session_id, channel)
            if not (request.delay_s or request.lines or request.every_s or request.hello_s):
                env.emit(
                    Warned(
                        text=f"nobody can have subscribed to {our.session_id}/{request.name} yet: "
                        "--delay 10s gives them time, --wait-hello 30s waits for one that says so"
                    )
                )

        def result() -> ChannelSend:
            return ChannelSend(**our.facts(request.delivery, inbox))

        with env.keeping(result):
            ended = await first_of(
                sent=_send_all(request, inbox, channel),
                closed=our.ended(inbox),
                lost=our.watch(None),
                messages=inbox.tell(),
            )
            ended_early = ended == "closed"
        if ended_early:
            await channel.drain(0.0)  # says what is wrong
        return result()


async def _send_all(request: SendRequest, inbox: Inbox, channel: DataChannel) -> None:
    if request.hello_s is not None:
        try:
            async with asyncio.timeout(request.hello_s):
                await inbox.heard.wait()
        except TimeoutError:
            raise DeadlineError(
                f"No subscriber of data channel {channel.label} said anything within {request.hello_s:g} s.",
                awaited=f"a subscriber of {channel.label}",
                after_s=request.hello_s,
                hint="Only one that may reply can be heard: rtcctl channel listen SESSION/NAME --can-reply --hello hi",
            ) from None
    await asyncio.sleep(request.delay_s)
    number = 0
    async for message in _messages(request):
        if number and request.every_s:
            await asyncio.sleep(request.every_s)
        number += 1
        check_size(message, f"message {number}")
        await channel.drain(DRAIN_DEADLINE_S, down_to_bytes=BUFFERED_BYTES)
        inbox.send(channel, message)
    await channel.drain(DRAIN_DEADLINE_S)
    await asyncio.sleep(LINGER_S)


async def _messages(request: SendRequest) -> AsyncIterator[Message]:
    for message in request.messages:
        yield message
    if request.lines is None:
        return
    from rtcctl.probe.sources.feed import Feed
    from rtcctl.probe.sources.stdin import Pipe

    pipe = Pipe(request.lines)
    feed: Feed[bytes] = Feed(_lines(pipe), name="stdin", depth=64, stop=pipe.stop)
    try:
        number = 0
        while (line := await feed.get()) is not None:
            number += 1
            try:
                yield line.decode()
            except UnicodeDecodeError:
                raise UsageError(
                    f"Line {number} of standard input is not UTF-8 text.", hint="Bytes are sent from a --file."
                ) from None
        if isinstance(feed.problem, OSError):
            raise UsageError(f"Standard input cannot be read: {feed.problem.strerror}.") from feed.problem
    finally:
        await feed.close()


def _lines(pipe: Any) -> Generator[bytes, None, None]:
    """Lines without their end; one that is longer than a message may be comes in pieces too large to be sent."""
    rest = b""
    try:
        for chunk in pipe.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.removesuffix(b"\r") for line in lines)
            if len(rest) > MAX_MESSAGE_BYTES:
                break
        if rest:
            yield rest
    finally:
        pipe.close()


async def listen(request: ListenRequest, env: Env) -> ChannelListen:
    """Tell each message as it comes, until `count`, `for_s`, the end of all channels, or an interruption."""
    if len(set(request.channels)) < len(request.channels):
        twice = next(ref for ref in request.channels if request.channels.count(ref) > 1)
        raise UsageError(f"Channel {twice} is named twice.", hint="One subscription hears everything.")
    async with joined(env, wait_s=request.wait_s) as our:
        inbox = Inbox(env, count=request.count, reply=request.reply)

        def prepare(ref: ChannelRef, channel: DataChannel) -> None:
            inbox.attach(ref.session_id, channel)

        channels = await channels_media.subscribe(
            our.client,
            env,
            our.peer,
            our.session_id,
            request.channels,
            request.delivery,
            can_reply=request.can_reply,
            wait_for_ack=request.wait_for_ack,
            wait_s=request.wait_s,
            prepare=prepare,
        )
        if request.wait_for_ack:
            for channel in channels:
                channel.send(ACKNOWLEDGEMENT)
        if request.hello is not None:
            for channel in channels:
                inbox.send(channel, request.hello)
        ended_by = ""

        def result() -> ChannelListen:
            return ChannelListen(
                **our.facts(request.delivery, inbox), ended_by=ended_by, checks=_check_count(request.count, inbox)
            )

        with env.keeping(result):
            ended_by = await first_of(count=inbox.tell(), closed=our.ended(inbox), time=our.watch(request.for_s))
            inbox.flush()
            if request.count is not None and inbox.told >= request.count:
                ended_by = "count"
            for channel in channels:
                if request.reply is not None and not channel.is_closed:
                    await channel.drain(DRAIN_DEADLINE_S)
        return result()


def _check_count(count: int | None, inbox: Inbox) -> tuple[Check, ...]:
    if count is None:
        return ()
    status = CheckStatus.PASSED if inbox.told >= count else CheckStatus.FAILED
    return (
        Check(
            "received",
            status,
            observed=inbox.told,
            limit=count,
            unit="messages",
            bound=Bound.AT_LEAST,
            hint="Is the delivery policy that of the publisher, and is something sent while we listen?",
        ),
    )


def check_names(names: Sequence[str]) -> None:
    """Raise `UsageError` for a name that is there twice, or that is taken by the service."""
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"A session publishes one data channel {name}, and it is named twice.",
                hint="Give each channel a name of its own.",
            )
        if name == channels_media.SERVER_EVENTS:
            raise UsageError(f"{name} is a name that the service keeps for itself.")


def check_size(message: Message, what: str) -> None:
    """Raise `UsageError` for a message that is larger than the service carries."""
    size = len(message.encode()) if isinstance(message, str) else len(message)
    if size > MAX_MESSAGE_BYTES:
        raise UsageError(
            f"{what[0].upper()}{what[1:]} has {size:,} bytes: a data channel carries at most {MAX_MESSAGE_BYTES:,}.",
            hint="Send it in pieces.",
        )
