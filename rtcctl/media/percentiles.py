"""Percentiles of measurements, in bounded memory."""

from __future__ import annotations

import math

CAPACITY = 100_000
"Exact up to so many samples: half an hour of one audio track."


class Distribution:
    """Samples of one quantity. Beyond the capacity every second sample is kept, then every fourth, and so on."""

    __slots__ = ("_capacity", "_samples", "_seen", "_stride")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._samples: list[float] = []
        self._stride = 1
        self._seen = 0

    def add(self, value: float) -> None:
        """Count one sample in."""
        if self._seen % self._stride == 0:
            if len(self._samples) == self._capacity:
                del self._samples[1::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                self._samples.append(value)
        self._seen += 1

    def __len__(self) -> int:
        return self._seen

    def clear(self) -> None:
        """Forget all samples."""
        self._samples.clear()
        self._stride = 1
        self._seen = 0

    def percentiles(self, *ranks: float) -> tuple[float, ...] | None:
        """The values below which `ranks` per cent lie, by the nearest rank; `None` without samples."""
        if not self._samples:
            return None
        ordered = sorted(self._samples)
        size = len(ordered)
        return tuple(ordered[min(size - 1, max(0, math.ceil(rank / 100 * size) - 1))] for rank in ranks)
