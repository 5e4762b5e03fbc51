"""The random numbers of a path with faults: what becomes of one stream does not depend on what else comes."""

from __future__ import annotations

from random import Random

_STREAMS = 2048
"Whose numbers go on where they were: more than a session can have at a time."


class Chance:
    """Random numbers, a sequence for each stream; the same for the same `seed`."""

    def __init__(self, seed: int | str) -> None:
        self._seed = seed
        self._streams: dict[str, Random] = {}

    def draw(self, stream: str) -> float:
        """0 ≤ x < 1."""
        if stream not in self._streams:
            self._streams[stream] = Random(f"{self._seed} {stream}")
            if len(self._streams) > _STREAMS:
                del self._streams[next(iter(self._streams))]
        return self._streams[stream].random()
