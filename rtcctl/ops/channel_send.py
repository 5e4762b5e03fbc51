"""`channel send`: messages to the subscribers of a channel of ours, or to the publisher of another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from rtcctl.errors import DeadlineError, UsageError
from rtcctl.ops import channels_media
from rtcctl.ops.channel_inbox import Inbox
from rtcctl.ops.channel_session import Our, Run, close_calls, local, new_call
from rtcctl.ops.channels_media import RELIABLE, ChannelRef, Delivery, establish_calls, remote
from rtcctl.ops.env import Env
from rtcctl.ops.running import first_of
from rtcctl.ops.session import RECOVER_FOR_S
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.channel import ChannelSend
from rtcctl.results.event import Warned

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel, Message
    from rtcctl.probe.sources.feed import Feed

MAX_MESSAGE_BYTES = 16 * 1024
"About what the service carries (Realtime docs: DataChannels); larger ones are refused before anything is created."

BUFFERED_BYTES = 1_048_576
"What may wait here before `send` waits."

DRAIN_DEADLINE_S = 30.0
"From the last message to the SFU's acknowledgement of it."

LINGER_S = 0.5
"From the SFU's acknowledgement to closing: closing ends the channel for its subscribers as well."


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
    recover_for_s: float | None = RECOVER_FOR_S
    "`None`: an outage is the end."


def send_calls(request: SendRequest) -> tuple[ApiCall, ...]:
    """The API calls that `send` makes."""
    if request.to is not None:
        wanted = remote(request.to, request.delivery, can_reply=True).to_wire()
    else:
        wanted = local(request.name or "", request.delivery)
    return (*establish_calls(), new_call([wanted]), *close_calls())


async def send(request: SendRequest, env: Env) -> ChannelSend:
    """Send messages and return once the SFU has acknowledged them.

    What was on its way when a connection is lost is not sent again: whether it has arrived, nobody knows.
    """
    for index, message in enumerate(request.messages, 1):
        check_size(message, f"message {index}")
    run = Run(env, request.recover_for_s, request.delivery, Inbox(env))
    sending = _Sending(request, run.inbox)
    run.recovery.unacknowledged = lambda: sending.unacknowledged

    @asynccontextmanager
    async def connect() -> AsyncIterator[Our]:
        async with run.joined(wait_s=request.wait_s) as our:
            sending.channel = await _open(request, run, our)
            yield run.opened(our)

    async def hold(our: Our) -> None:
        ended = await first_of(
            sent=sending.all(), closed=our.ended(run.inbox), lost=our.watch(None), messages=run.inbox.tell()
        )
        if ended == "closed":
            assert sending.channel is not None
            await sending.channel.drain(0.0)  # says what is wrong

    try:
        with env.keeping(lambda: ChannelSend(**run.facts()) if run.our else None):
            await run.recovery.run(connect, hold)
        return ChannelSend(**run.facts())
    finally:
        await sending.close()


async def _open(request: SendRequest, run: Run, our: Our) -> DataChannel:
    """The channel to send on: its publisher's, or one of ours."""
    env, inbox = run.env, run.inbox
    if request.to is not None:
        (channel,) = await channels_media.subscribe(
            our.client,
            env,
            our.peer,
            our.session_id,
            [request.to],
            request.delivery,
            can_reply=True,
            wait_s=run.recovery.deadline_s if run.recovery.is_recovering else request.wait_s,
            follow=run.recovery.successor,
            prepare=lambda ref, opened: inbox.attach(ref.session_id, opened),
        )
        return channel
    assert request.name is not None
    (channel,) = await channels_media.publish(
        our.client, env, our.peer, our.session_id, [request.name], request.delivery
    )
    inbox.attach(our.session_id, channel)
    if not (run.our or request.delay_s or request.lines or request.every_s or request.hello_s):
        env.emit(
            Warned(
                text=f"nobody can have subscribed to {our.session_id}/{request.name} yet: "
                "--delay 10s gives them time, --wait-hello 30s waits for one that says so"
            )
        )
    return channel


class _Sending:
    """What has been sent, over one channel after the other, and what is next."""

    def __init__(self, request: SendRequest, inbox: Inbox) -> None:
        self.channel: DataChannel | None = None
        "Where to send now."
        self._request = request
        self._inbox = inbox
        self._has_begun = False
        self._taken = 0
        self._next: Message | None = None
        "Taken, and not sent yet."
        self._acknowledged = 0
        self._feed: Feed[bytes] | None = None

    @property
    def unacknowledged(self) -> int:
        """Messages that were sent and are not known to have reached the SFU."""
        self._look()
        return self._sent - self._acknowledged

    async def all(self) -> None:
        """Send what is left; returns once all of it is acknowledged. May be cancelled, and called again."""
        request, channel = self._request, self.channel
        assert channel is not None
        if not self._has_begun:
            await self._begin(channel)
        while (message := await self._peek()) is not None:
            if self._sent and request.every_s:
                await asyncio.sleep(request.every_s)
            check_size(message, f"message {self._taken}")
            await channel.drain(DRAIN_DEADLINE_S, down_to_bytes=BUFFERED_BYTES)
            self._look()
            self._inbox.send(channel, message)
            self._next = None
        await channel.drain(DRAIN_DEADLINE_S)
        self._look()
        await asyncio.sleep(LINGER_S)

    async def close(self) -> None:
        """Read no more."""
        if self._feed is not None:
            await self._feed.close()

    @property
    def _sent(self) -> int:
        return self._taken - (self._next is not None)

    def _look(self) -> None:
        if self.channel is not None and self.channel.is_drained:
            self._acknowledged = self._sent

    async def _begin(self, channel: DataChannel) -> None:
        """Wait for those who are to hear it."""
        request = self._request
        if request.hello_s is not None:
            try:
                async with asyncio.timeout(request.hello_s):
                    await self._inbox.heard.wait()
            except TimeoutError:
                raise DeadlineError(
                    f"No subscriber of data channel {channel.label} said anything within {request.hello_s:g} s.",
                    awaited=f"a subscriber of {channel.label}",
                    after_s=request.hello_s,
                    hint="Only one that may reply can be heard: "
                    "rtcctl channel listen SESSION/NAME --can-reply --hello hi",
                ) from None
        await asyncio.sleep(request.delay_s)
        self._has_begun = True

    async def _peek(self) -> Message | None:
        """The next message; `None` at the end."""
        if self._next is None and (message := await self._take()) is not None:
            self._next = message
            self._taken += 1
        return self._next

    async def _take(self) -> Message | None:
        messages = self._request.messages
        if self._taken < len(messages):
            return messages[self._taken]
        if self._request.lines is None:
            return None
        from rtcctl.probe.sources.feed import Feed
        from rtcctl.probe.sources.stdin import Pipe

        if self._feed is None:
            pipe = Pipe(self._request.lines)
            self._feed = Feed(_lines(pipe), name="stdin", depth=64, stop=pipe.stop)
        line = await self._feed.get()
        if line is None:
            if isinstance(problem := self._feed.problem, OSError):
                raise UsageError(f"Standard input cannot be read: {problem.strerror}.") from problem
            return None
        try:
            return line.decode()
        except UnicodeDecodeError:
            number = self._taken + 1 - len(messages)
            raise UsageError(
                f"Line {number} of standard input is not UTF-8 text.", hint="Bytes are sent from a --file."
            ) from None


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


def check_size(message: Message, what: str) -> None:
    """Raise `UsageError` for a message that is larger than the service carries."""
    size = len(message.encode()) if isinstance(message, str) else len(message)
    if size > MAX_MESSAGE_BYTES:
        raise UsageError(
            f"{what[0].upper()}{what[1:]} has {size:,} bytes: a data channel carries at most {MAX_MESSAGE_BYTES:,}.",
            hint="Send it in pieces.",
        )
