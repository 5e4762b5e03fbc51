"""`channel open`: a session of ours that publishes data channels and holds them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rtcctl.errors import UsageError
from rtcctl.ops import channels_media
from rtcctl.ops.channel_inbox import Inbox
from rtcctl.ops.channel_session import Our, Run, close_calls, local, new_call
from rtcctl.ops.channels_media import RELIABLE, Delivery, establish_calls
from rtcctl.ops.env import Env
from rtcctl.ops.running import first_of
from rtcctl.ops.session import RECOVER_FOR_S
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.channel import ChannelOpen


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """Publish `names` and hold them for `for_s` (`None`: until interrupted)."""

    names: tuple[str, ...]
    delivery: Delivery = RELIABLE
    for_s: float | None = None
    recover_for_s: float | None = RECOVER_FOR_S
    "`None`: an outage is the end."


def open_calls(request: OpenRequest) -> tuple[ApiCall, ...]:
    """The API calls that `open` makes."""
    return (*establish_calls(), new_call([local(name, request.delivery) for name in request.names]), *close_calls())


async def open_(request: OpenRequest, env: Env) -> ChannelOpen:
    """Publish channels and hold them; what subscribers that may reply say is told as it comes."""
    check_names(request.names)
    run = Run(env, request.recover_for_s, request.delivery, Inbox(env))

    @asynccontextmanager
    async def connect() -> AsyncIterator[Our]:
        async with run.joined() as our:
            channels = await channels_media.publish(
                our.client, env, our.peer, our.session_id, request.names, request.delivery
            )
            for channel in channels:
                run.inbox.attach(our.session_id, channel)
            yield run.opened(our)

    async def hold(our: Our) -> None:
        await first_of(
            time=our.watch(run.left_s(request.for_s)), closed=our.ended(run.inbox), messages=run.inbox.tell()
        )

    with env.keeping(lambda: ChannelOpen(**run.facts()) if run.our else None):
        await run.recovery.run(connect, hold)
    return ChannelOpen(**run.facts())


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
