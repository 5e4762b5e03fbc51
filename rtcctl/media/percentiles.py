"""Percentiles of a measured quantity, in bounded memory.

The first 10,000 samples are kept as they are and percentiles of them are exact (nearest rank). With the next one all
become counts in buckets whose width grows with the value, as DDSketch does: a percentile is then off by at most 0.5 %
of its value, whatever the distribution and however many samples come. That needs no randomness, and counts add up.

         sample  ──▶  array (exact)  ── over 10,000 ──▶  {bucket: count}
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from itertools import accumulate

EXACT_SAMPLES = 10_000
"Some minutes of sound in 80 KB: a load test has thousands of receivers."
RELATIVE_ERROR = 0.005
SMALLEST = 1e-6
"Closer to zero is zero, once samples are in buckets."

_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GROWTH = math.log(_GROWTH)


class Distribution:
    """Collects samples of any unit and tells their percentiles."""

    __slots__ = ("_buckets", "_count", "_exact_samples", "_samples")

    def __init__(self, *, exact_samples: int = EXACT_SAMPLES) -> None:
        self._exact_samples = exact_samples
        self._samples = array("d")
        self._buckets: dict[int, int] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many samples there were."""
        return self._count

    @property
    def is_exact(self) -> bool:
        """Whether all samples are still kept."""
        return not self._buckets

    def add(self, value: float) -> None:
        """One more sample; finite."""
        assert math.isfinite(value)
        self._count += 1
        if self._buckets:
            self._count_in_bucket(value)
            return
        self._samples.append(value)
        if self._count > self._exact_samples:
            for sample in self._samples:
                self._count_in_bucket(sample)
            del self._samples[:]

    def clear(self) -> None:
        """Forget all samples."""
        self._samples = array("d")
        self._buckets = {}
        self._count = 0

    def percentiles(self, *ranks: float) -> tuple[float, ...] | None:
        """The smallest sample that `rank` per cent of all do not exceed, for each; `None` without samples."""
        if self._count == 0:
            return None
        places = [min(max(1, math.ceil(rank * self._count / 100)), self._count) for rank in ranks]
        if self._buckets:
            return tuple(self._at(place) for place in places)
        # Sorted but for what came since the last time, which is what timsort is quick at; order means nothing here.
        self._samples = array("d", sorted(self._samples))
        return tuple(self._samples[place - 1] for place in places)

    def _count_in_bucket(self, value: float) -> None:
        bucket = _bucket(value)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def _at(self, place: int) -> float:
        buckets = sorted(self._buckets)
        up_to = list(accumulate(self._buckets[bucket] for bucket in buckets))
        return _middle(buckets[bisect_left(up_to, place)])


def _bucket(value: float) -> int:
    """Number of the bucket, growing with the value; 0 holds zero, negative values mirror positive ones."""
    size = abs(value)
    if size < SMALLEST:
        return 0
    number = max(1, math.ceil(math.log(size / SMALLEST) / _LOG_GROWTH) + 1)
    return number if value > 0 else -number


def _middle(bucket: int) -> float:
    """The value whose relative distance to both ends of the bucket is the same."""
    if bucket == 0:
        return 0.0
    size = SMALLEST * _GROWTH ** (abs(bucket) - 1) * 2 / (1 + _GROWTH)
    return math.copysign(size, bucket)


__all__ = ["Distribution"]
