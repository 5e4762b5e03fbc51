"""How many requests a session may get (Realtime docs: Limits)."""

from __future__ import annotations

from collections.abc import Callable

from rtcctl.web.refusal import Refusal


class RequestRate:
    """A token bucket that holds what comes in within a second."""

    def __init__(self, requests_per_second: int, clock: Callable[[], float]) -> None:
        self._limit = requests_per_second
        self._clock = clock
        self._tokens = float(requests_per_second)
        self._tokens_at = clock()

    def count(self) -> None:
        """Count one request; raises `Refusal` with 429 above the rate."""
        now = self._clock()
        self._tokens = min(float(self._limit), self._tokens + (now - self._tokens_at) * self._limit)
        self._tokens_at = now
        if self._tokens < 1:
            # The code is our own: only the status is documented.
            description = f"More than {self._limit} requests per second"
            raise Refusal(429, "rate_limited", description, headers={"Retry-After": "1"})
        self._tokens -= 1
