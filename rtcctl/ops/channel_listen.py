"""`channel listen`: a session of ours that subscribes to data channels and tells what comes over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rtcctl.errors import ApiError, DeadlineError, NetworkError, UsageError
from rtcctl.ops import channels_media
from rtcctl.ops.channel_inbox import Inbox
from rtcctl.ops.channel_send import DRAIN_DEADLINE_S
from rtcctl.ops.channel_session import Our, Run, close_calls, new_call
from rtcctl.ops.channels_media import RELIABLE, ChannelRef, Delivery, establish_calls, remote
from rtcctl.ops.env import Env
from rtcctl.ops.recovery import FOLLOW_EVERY_S
from rtcctl.ops.running import first_of
from rtcctl.ops.session import COMMAND_DEADLINE_S, RECOVER_FOR_S
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.channel import ChannelListen
from rtcctl.results.check import Bound, Check, CheckStatus
from rtcctl.results.outage import PublisherFollowed

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel

ACKNOWLEDGEMENT = "ack"
"The SFU swallows it: the first message of a subscriber that waits for it to be delivered."


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
    recover_for_s: float | None = RECOVER_FOR_S
    "`None`: an outage is the end."


def listen_calls(request: ListenRequest) -> tuple[ApiCall, ...]:
    """The API calls that `listen` makes."""
    wanted = [
        remote(ref, request.delivery, can_reply=request.can_reply, wait_for_ack=request.wait_for_ack).to_wire()
        for ref in request.channels
    ]
    return (*establish_calls(), new_call(wanted), *close_calls())


async def listen(request: ListenRequest, env: Env) -> ChannelListen:
    """Tell each message as it comes, until `count`, `for_s`, the end of all channels, or an interruption."""
    if len(set(request.channels)) < len(request.channels):
        twice = next(ref for ref in request.channels if request.channels.count(ref) > 1)
        raise UsageError(f"Channel {twice} is named twice.", hint="One subscription hears everything.")
    listening = _Listening(request, env)
    with env.keeping(listening.result):
        await listening.run.recovery.run(listening.connect, listening.hold)
    result = listening.result()
    assert result is not None, "it was held"
    return result


class _Listening:
    """The subscriptions of one command, over one connection after the other."""

    def __init__(self, request: ListenRequest, env: Env) -> None:
        self.request = request
        self.env = env
        self.inbox = Inbox(env, count=request.count, reply=request.reply)
        self.run = Run(env, request.recover_for_s, request.delivery, self.inbox)
        self._ended_by = ""
        self._publishers: dict[str, str] = {}
        "Sessions as they were named → where their publishers are."

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Our]:
        recovery = self.run.recovery
        async with self.run.joined(wait_s=self.request.wait_s) as our:
            wait_s = recovery.deadline_s if recovery.is_recovering else self.request.wait_s
            await self._subscribe(our, self.request.channels, wait_s)
            yield self.run.opened(our)

    async def hold(self, our: Our) -> None:
        """Until it is over; where a publisher goes on elsewhere, it is followed."""
        request, inbox = self.request, self.inbox
        while True:
            self._ended_by = await first_of(
                count=inbox.tell(), closed=our.ended(inbox), time=our.watch(self.run.left_s(request.for_s))
            )
            if self._ended_by != "closed" or not await self._follow(our):
                break
        inbox.flush()
        if request.count is not None and inbox.told >= request.count:
            self._ended_by = "count"
        for channel in inbox.channels:
            if request.reply is not None and not channel.is_closed:
                await channel.drain(DRAIN_DEADLINE_S)

    def result(self) -> ChannelListen | None:
        if self.run.our is None:
            return None
        checks = _check_count(self.request.count, self.inbox)
        return ChannelListen(**self.run.facts(checks), ended_by=self._ended_by)

    async def _subscribe(self, our: Our, refs: Sequence[ChannelRef], wait_s: float) -> None:
        request, inbox = self.request, self.inbox

        def prepare(ref: ChannelRef, channel: DataChannel) -> None:
            self._publishers[ref.session_id] = self.run.recovery.successor(ref.session_id)
            inbox.attach(self._publishers[ref.session_id], channel, key=ref)

        channels = await channels_media.subscribe(
            our.client,
            self.env,
            our.peer,
            our.session_id,
            refs,
            request.delivery,
            can_reply=request.can_reply,
            wait_for_ack=request.wait_for_ack,
            wait_s=wait_s,
            follow=self.run.recovery.successor,
            prepare=prepare,
        )
        for channel in channels:
            if request.wait_for_ack:
                channel.send(ACKNOWLEDGEMENT)
            if request.hello is not None:
                inbox.send(channel, request.hello)

    async def _follow(self, our: Our) -> bool:
        """Subscribe anew where a publisher of this machine has gone; false when none has."""
        if not self.run.recovery.is_on or not (moved := await self._moved(our)):
            return False
        for publisher in dict.fromkeys(ref.session_id for ref in moved):
            self.env.emit(
                PublisherFollowed(
                    session_id=our.session_id,
                    publisher_session_id=self._publishers[publisher],
                    successor_id=self.run.recovery.successor(publisher),
                )
            )
        async with self.env.client(deadline_s=self.run.recovery.deadline_s) as client:
            await self._subscribe(replace(our, client=client), moved, self.request.wait_s)
        return True

    async def _moved(self, our: Our) -> list[ChannelRef]:
        """The channels whose publishers go on elsewhere; waits for those that have lost a session and still run."""
        publishers = self._publishers
        left_s = [s for s in (self.request.recover_for_s, self.run.left_s(self.request.for_s)) if s is not None]
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left_s)):
                while True:
                    moved = [
                        ref
                        for ref in self.request.channels
                        if self.run.recovery.successor(ref.session_id) != publishers[ref.session_id]
                    ]
                    if moved or not any([await self._is_expected(publisher) for publisher in publishers.values()]):
                        return moved
                    await our.watch(FOLLOW_EVERY_S)
        return []

    async def _is_expected(self, publisher_session_id: str) -> bool:
        """Whether a process of this machine has held that session, runs on, and has lost it."""
        if self.env.journal.holder(publisher_session_id) is None:
            return False
        try:
            async with self.env.client(deadline_s=COMMAND_DEADLINE_S) as client:
                await client.get_session(publisher_session_id)
        except ApiError as error:
            return error.is_gone
        except (NetworkError, DeadlineError):
            return True
        return False


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
