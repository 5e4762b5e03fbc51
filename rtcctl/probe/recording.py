"""What a peer tells a flight recorder: its descriptions, where its connection stands, its figures each second.

Nothing here is called for a packet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from rtcctl.probe.w3c_stats import reports

if TYPE_CHECKING:
    from rtcctl.probe.peer import Peer
    from rtcctl.probe.transport import Transport

SAMPLE_INTERVAL_S = 1.0


class Note(Protocol):
    """Writes a line of a kind."""

    def __call__(self, kind: str, **fields: Any) -> None: ...


class PeerRecording:
    """Of one peer, which has a number. As a context manager it samples the peer's figures."""

    def __init__(self, note: Note, number: int, clock: Callable[[], float], **facts: Any) -> None:
        self._note = note
        self._number = number
        self._clock = clock
        self._peer: Peer | None = None
        self._transport: Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        note("peer", peer=number, **facts)

    def joined(self, session_id: str) -> None:
        """The peer is that session's."""
        self._note("peer", peer=self._number, session_id=session_id)

    def described(self, side: Literal["local", "remote"], type_: Literal["offer", "answer"], sdp: str) -> None:
        """The peer has made a description, or was given one."""
        self._note("description", peer=self._number, side=side, type=type_, sdp=sdp)

    def changed(self, transport: Transport) -> None:
        """The connection stands elsewhere now."""
        self._transport = transport
        pair = transport.selected_pair
        self._note(
            "state",
            peer=self._number,
            state=str(transport.state),
            selected_pair=None if pair is None else [str(candidate) for candidate in pair],
        )

    def watch(self, peer: Peer) -> Self:
        """Sample this peer while the body runs."""
        self._peer = peer
        return self

    async def __aenter__(self) -> Self:
        self._arm()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._sample()
        # What closes from here on is closed by us.
        self._note("peer", peer=self._number, is_leaving=True)

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SAMPLE_INTERVAL_S, self._tick)

    def _tick(self) -> None:
        self._sample()
        self._arm()

    def _sample(self) -> None:
        assert self._peer is not None
        if found := reports(self._peer, self._transport, self._clock()):
            self._note("statistics", peer=self._number, reports=found)
