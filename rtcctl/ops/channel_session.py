"""A session of ours with a transport for data channels: what `channel open`, `send` and `listen` have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtcctl.ops import channels_media
from rtcctl.ops.channel_inbox import Inbox
from rtcctl.ops.channels_media import Delivery
from rtcctl.ops.env import Env
from rtcctl.ops.judge import check_outages
from rtcctl.ops.recovery import Recovery
from rtcctl.ops.session import new_session
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.check import Check

if TYPE_CHECKING:
    from rtcctl.probe.peer import ConnectionTiming, Peer
    from rtcctl.realtime.client import RealtimeClient

AFTERMATH_S = 0.3
"From the end of all channels to that of their connection, when that is why they ended."


@dataclass(frozen=True, slots=True)
class Our:
    """Our end: a session with a transport for data channels."""

    env: Env
    client: RealtimeClient
    peer: Peer
    session_id: str
    timing: ConnectionTiming
    flowing_at: float | None = None
    frames_missed: Callable[[], int | None] | None = None

    async def watch(self, for_s: float | None) -> None:
        from rtcctl.ops import media

        await media.watch(self.peer, for_s, what=f"session {self.session_id}", session_id=self.session_id)

    async def ended(self, inbox: Inbox) -> None:
        """Return once the other side has closed all channels. When the connection ends with them, that is what is said.

        A server that stops closes both, one right after the other.
        """
        await inbox.ended()
        await self.watch(AFTERMATH_S)


class Run:
    """One command: its connections, one after the other, and what goes over their channels."""

    def __init__(self, env: Env, recover_for_s: float | None, delivery: Delivery, inbox: Inbox) -> None:
        self.env = env
        self.delivery = delivery
        self.inbox = inbox
        self.recovery = Recovery(env, recover_for_s, channels_media.closing_at_end)
        self.our: Our | None = None
        "The last connection whose channels were open."
        self._started = 0.0

    @asynccontextmanager
    async def joined(self, *, wait_s: float = 0.0) -> AsyncIterator[Our]:
        """A new session with a transport for data channels; all its channels are closed at the end."""
        from rtcctl.ops import media

        recovery, env = self.recovery, self.env
        async with (
            media.open_peer(env) as peer,
            env.client(deadline_s=recovery.deadline_s + (0.0 if recovery.is_recovering else wait_s)) as client,
        ):
            session_id = await new_session(client, env)
            async with recovery.holding(session_id):
                timing = await channels_media.establish(client, env, peer, session_id)
                yield Our(env, client, peer, session_id, timing)

    def opened(self, our: Our) -> Our:
        """The channels of a connection are open; who publishes may be followed there from the one before."""
        if self.our is None:
            self._started = self.env.clock()
        else:
            self.env.journal.session_replaced(self.our.session_id, our.session_id, self.env.wallclock())
        self.our = our
        return our

    def left_s(self, for_s: float | None) -> float | None:
        """Of `for_s` since the first connection; it is over then in any case."""
        if for_s is None:
            return None
        self.recovery.ends_at = self._started + for_s
        return max(0.0, self.recovery.ends_at - self.env.clock())

    def facts(self, checks: tuple[Check, ...] = ()) -> dict[str, Any]:
        """Fields of a result, once something has been open."""
        assert self.our is not None
        timing = self.our.timing
        return {
            "target": self.env.target,
            "session_id": self.our.session_id,
            "delivery": str(self.delivery),
            "channels": self.inbox.traffic,
            "candidate_pair": timing.candidate_pair,
            "relay_protocol": timing.relay_protocol,
            "url": timing.url,
            "ice_ms": timing.ice_ms,
            "dtls_ms": timing.dtls_ms,
            "duration_s": self.env.clock() - self._started,
            "outages": self.recovery.outages,
            "checks": (*checks, *check_outages(self.recovery.outages)),
        }


def local(name: str, delivery: Delivery) -> dict[str, Any]:
    """A channel to publish, as in a request."""
    return {"location": "local", "dataChannelName": name, "ordered": delivery.ordered} | delivery.wire()


def new_call(channels: list[dict[str, Any]]) -> ApiCall:
    """The call that makes channels."""
    return ApiCall("POST", "sessions/$SESSION_ID/datachannels/new", {"dataChannels": channels})


def close_calls() -> tuple[ApiCall, ...]:
    """The calls that close them."""
    body = {"dataChannels": [{"id": "$ID"}]}
    return (
        ApiCall("GET", "sessions/$SESSION_ID"),
        ApiCall("PUT", "sessions/$SESSION_ID/datachannels/close", body),
    )
