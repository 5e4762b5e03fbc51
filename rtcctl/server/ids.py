"""Ids of sessions and names of discovered tracks."""

from __future__ import annotations

from random import Random, SystemRandom
from uuid import UUID


class Ids:
    """Unpredictable, or with a `seed` the same ones in the same order in each run, so that logs can be compared.

    Nothing that protects is drawn here. ICE credentials, SSRCs, DTLS keys and TURN credentials stay unpredictable
    whatever the seed: they keep strangers on the same network out of a session, and peers check that they are fresh.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._random = SystemRandom() if seed is None else Random(seed)

    def session_id(self) -> str:
        """32 hex digits."""
        return f"{self._random.getrandbits(128):032x}"

    def track_name(self) -> str:
        """A version 4 UUID, as the service names what it discovers."""
        return str(UUID(int=self._random.getrandbits(128), version=4))
