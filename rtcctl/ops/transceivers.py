"""The m-sections of a peer that offers to receive."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rtcctl.errors import UsageError

if TYPE_CHECKING:
    from rtcctl.probe.peer import Peer

TRACKS_AT_ONCE = 64
"In one call (Realtime docs: Limits)."

MIN_POOL = 16
PEERS_TO_POOL = 1.5
"M-sections to an expected peer: each has sound and perhaps a picture."


class TransceiverPool:
    """The `recvonly` m-sections of a peer that offers, re-used when their tracks are closed.

    A browser never takes an m-section away, and a session with too many of them ends (410). So there are at most
    max(16, 1.5 × expected peers), and a new track takes one that is inactive, whatever else is true of it.
    """

    def __init__(self, peer: Peer, *, expected_peers: int = 1) -> None:
        self._peer = peer
        self.size = max(MIN_POOL, math.ceil(PEERS_TO_POOL * expected_peers))

    @property
    def tracks_at_once(self) -> int:
        """How many to pull in one call, so that m-sections of the kind that is not needed leave room for the others."""
        return self.size // 4

    def make_room(self, count: int) -> None:
        """Have `count` idle m-sections for sound and as many for pictures: a pull does not say what a track is.

        Raises `UsageError` when the pool has no room for them.
        """
        for kind in ("audio", "video"):
            idle = sum(receiver.kind == kind and receiver.is_free for receiver in self._peer.receivers)
            for _ in range(count - idle):
                if self._peer.sections >= self.size:
                    raise UsageError(
                        f"The pool of {self.size} m-sections has no room for {count} more tracks.",
                        hint="Close tracks that are not needed, or pull fewer at once.",
                    )
                self._peer.add_receiver(kind)
