"""A session of ours with a transport for data channels: what `channel open`, `send` and `listen` have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtcctl.ops import channels_media
from rtcctl.ops.channel_inbox import Inbox
from rtcctl.ops.channels_media import Delivery
from rtcctl.ops.env import Env
from rtcctl.ops.session import COMMAND_DEADLINE_S, new_session

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
    connected_at: float

    async def watch(self, for_s: float | None) -> None:
        from rtcctl.ops import media

        await media.watch(self.peer, for_s, what=f"session {self.session_id}", session_id=self.session_id)

    async def ended(self, inbox: Inbox) -> None:
        """Return once the other side has closed all channels. When the connection ends with them, that is what is said.

        A server that stops closes both, one right after the other.
        """
        await inbox.ended()
        await self.watch(AFTERMATH_S)

    def facts(self, delivery: Delivery, inbox: Inbox) -> dict[str, Any]:
        """Fields of a result."""
        return {
            "target": self.env.target,
            "session_id": self.session_id,
            "delivery": str(delivery),
            "channels": inbox.traffic,
            "candidate_pair": self.timing.candidate_pair,
            "relay_protocol": self.timing.relay_protocol,
            "url": self.timing.url,
            "ice_ms": self.timing.ice_ms,
            "dtls_ms": self.timing.dtls_ms,
            "duration_s": self.env.clock() - self.connected_at,
        }


@asynccontextmanager
async def joined(env: Env, *, wait_s: float = 0.0) -> AsyncIterator[Our]:
    """A new session with a transport for data channels; all its channels are closed at the end."""
    from rtcctl.ops import media

    async with (
        media.open_peer(env) as peer,
        env.client(deadline_s=wait_s + COMMAND_DEADLINE_S) as client,
    ):
        session_id = await new_session(client, env)
        async with channels_media.closing_at_end(env, session_id):
            timing = await channels_media.establish(client, env, peer, session_id)
            yield Our(env, client, peer, session_id, timing, env.clock())
