"""Whether this machine keeps up: how late the event loop calls back while it measures.

A loop that comes late reads packets late, so its own latency and jitter are worth nothing, and when it comes very late
the kernel drops packets that the network delivered. Then a run is inconclusive (exit 8) and not a failure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self

SAMPLE_INTERVAL_S = 0.01
"Cheap: about 20 µs of CPU a sample, 0.2 % of a core."

MAX_P99_MS = 50.0
"""Stalls of more than two packets of audio, about once a second: jitter and latency would be the machine's. A single
stall among hundreds of samples moves a few packets only, and no loss comes of it: it is let pass."""

MAX_LAG_MS = 1000.0
"A single stall this long may overflow socket buffers."

BUCKETS_PER_MS = 10


class LoopMonitor:
    """Measures the lag of the running event loop from `__aenter__` to `__aexit__`.

    Lag is the time between when a callback was due and when it ran; the histogram has buckets of 0.1 ms up to
    `MAX_LAG_MS`, so memory is bounded however long it runs.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts = [0] * (int(MAX_LAG_MS) * BUCKETS_PER_MS + 1)
        self._samples = 0
        self._max_ms = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._arm()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._due = self._clock() + SAMPLE_INTERVAL_S
        self._timer = asyncio.get_running_loop().call_later(SAMPLE_INTERVAL_S, self._sample)

    def _sample(self) -> None:
        self.record(max(0.0, self._clock() - self._due) * 1000)
        self._arm()

    def record(self, lag_ms: float) -> None:
        """Count one sample."""
        self._max_ms = max(self._max_ms, lag_ms)
        self._counts[min(int(lag_ms * BUCKETS_PER_MS), len(self._counts) - 1)] += 1
        self._samples += 1

    def reset(self) -> None:
        """Forget what was measured: setting up costs more than measuring and says nothing about it."""
        self._counts = [0] * len(self._counts)
        self._samples = 0
        self._max_ms = 0.0

    @property
    def p99_ms(self) -> float:
        """99th percentile of the lag; 0 before the first sample."""
        rank = self._samples - self._samples // 100
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return (bucket + 1) / BUCKETS_PER_MS
        return 0.0

    @property
    def max_ms(self) -> float:
        """The longest lag."""
        return self._max_ms

    @property
    def reason(self) -> str | None:
        """Why nothing measured here means much, or `None` while the machine keeps up."""
        if self.p99_ms > MAX_P99_MS:
            return f"this machine is busy: 1 % of its event loop's timers ran {self.p99_ms:.0f} ms late or more"
        if self._max_ms > MAX_LAG_MS:
            return f"this machine is busy: its event loop stood still for {self._max_ms:.0f} ms"
        return None
