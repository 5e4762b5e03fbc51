"""An operation's surroundings with TURN keys and analytics on a faked wire, and time that passes only in waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import httpx

from rtcctl.journal import Journal
from rtcctl.ops.env import Env
from rtcctl.realtime.analytics import AnalyticsClient
from rtcctl.realtime.turn import TurnClient
from rtcctl.results.event import Event
from tests.unit.realtime.wire import PROFILE, Service, Time

EPOCH = 1_795_000_000.0
"Of the wall clock when the monotonic one is at 1000."

WITH_ACCOUNT = replace(PROFILE, account_id="acc", account_token="account-token-5d20c8e6b93f")


@dataclass(slots=True)
class WiredEnv(Env):
    """Both clients speak to `service`."""

    service: Service = field(default_factory=lambda: Service(httpx.Response(500)))
    events: list[Event] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    def turn_client(self, *, deadline_s: float | None = None) -> TurnClient:
        return TurnClient(self.profile, **self._wire(deadline_s))

    def analytics_client(self, *, deadline_s: float | None = None) -> AnalyticsClient:
        return AnalyticsClient(self.profile, **self._wire(deadline_s))

    def _wire(self, deadline_s: float | None) -> dict[str, Any]:
        time = self.service.time
        return {
            "clock": time.clock,
            "random": Random(1),
            "deadline_s": deadline_s,
            "transport": self.service,
            "sleep": time.sleep,
        }

    @property
    def said(self) -> str:
        """The texts of all events that have one."""
        return "\n".join(str(getattr(event, "text", "")) for event in self.events)


@contextmanager
def wired(
    folder: Path, *replies: httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]
) -> Iterator[WiredEnv]:
    """Surroundings with an empty journal, where the service gives these replies in turn."""
    time = Time()
    service = Service(*replies, time=time, takes_s=0.0)
    with Journal.open(folder) as journal:
        env = WiredEnv(profile=PROFILE, journal=journal, clock=time.clock, random=Random(1), service=service)
        env.wallclock = lambda: EPOCH + time.now - 1000.0
        env.emit = env.events.append
        env.confirm = env.questions.append
        yield env
