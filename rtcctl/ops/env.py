"""What the world gives to an operation: API client, profile, journal, clocks, randomness, a sink for events.

An operation opens nothing else and prints nothing, so a test can call it with a clock and a client of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random, SystemRandom
from typing import TYPE_CHECKING, TypeVar

from rtcctl.realtime.profile import Profile
from rtcctl.results.event import Event
from rtcctl.results.result import Result
from rtcctl.results.target import Target

if TYPE_CHECKING:
    from rtcctl.journal import Journal
    from rtcctl.ops.impair import Impairing
    from rtcctl.probe.tapped import PacketTap
    from rtcctl.realtime.account import AccountClient
    from rtcctl.realtime.admin import AdminClient
    from rtcctl.realtime.analytics import AnalyticsClient
    from rtcctl.realtime.client import RealtimeClient
    from rtcctl.realtime.http import Client
    from rtcctl.realtime.turn import TurnClient
    from rtcctl.trace.recorder import Recorder

    AnyClient = TypeVar("AnyClient", bound=Client)


def discard(event: Event) -> None:
    """An event sink that listens to nobody."""


def agree(question: str) -> None:
    """A confirmation that is always given; the command line replaces it by one that asks."""


@dataclass(slots=True)
class Env:
    """Everything an operation may use of its surroundings."""

    profile: Profile
    journal: Journal
    clock: Callable[[], float] = time.monotonic
    "Monotonic seconds."
    wallclock: Callable[[], float] = time.time
    "Seconds since the epoch."
    random: Random = field(default_factory=SystemRandom)
    emit: Callable[[Event], None] = discard
    confirm: Callable[[str], None] = agree
    "Asks before something foreign is ended; raises `UsageError` when it is not confirmed."
    pid: int = 0
    "Process id to write into the journal."
    command: str = ""
    "The command as it is named in the journal, for example `track publish`."
    impairing: Impairing | None = None
    "What is done to the packets of our peers; None: nothing."
    partial: Result | None = None
    "What was known when the operation ended early; the runner renders it beside the error."
    recorder: Recorder | None = None
    "Writes down what is said and heard; `None`: nobody does, and nothing is paid for it."
    tap: PacketTap | None = None
    "Is told of each packet of peers."

    @property
    def target(self) -> Target:
        """What results say they speak about."""
        p = self.profile
        impairment = () if self.impairing is None else self.impairing.texts
        return Target(p.name, p.api_base, p.app_id, embedded=p.is_embedded, impairment=impairment)

    def client(self, *, deadline_s: float | None = None) -> RealtimeClient:
        """A client of the Realtime API for this profile; `async with` it.

        `deadline_s`: seconds from now after which no attempt starts and no request waits any longer.
        """
        from rtcctl.realtime.client import RealtimeClient

        return self._client(RealtimeClient, deadline_s)

    def turn_client(self, *, deadline_s: float | None = None) -> TurnClient:
        """A client of the profile's TURN key."""
        from rtcctl.realtime.turn import TurnClient

        return self._client(TurnClient, deadline_s)

    def analytics_client(self, *, deadline_s: float | None = None) -> AnalyticsClient:
        """A client of the analytics of the profile's account."""
        from rtcctl.realtime.analytics import AnalyticsClient

        return self._client(AnalyticsClient, deadline_s)

    def account_client(self, *, deadline_s: float | None = None) -> AccountClient:
        """A client of the profile's account."""
        from rtcctl.realtime.account import AccountClient

        return self._client(AccountClient, deadline_s)

    def admin_client(self, *, deadline_s: float | None = None) -> AdminClient:
        """A client of the admin API of the embedded server that the profile names."""
        from rtcctl.realtime.admin import AdminClient

        return self._client(AdminClient, deadline_s)

    def _client(self, kind: type[AnyClient], deadline_s: float | None) -> AnyClient:
        recorder = self.recorder
        if recorder is not None:
            recorder.keep_secret(*self.profile.secrets)
        return kind(
            self.profile,
            clock=self.clock,
            random=self.random,
            deadline_s=deadline_s,
            on_exchange=None if recorder is None else recorder.exchange,
        )

    def successor(self, session_id: str) -> str | None:
        """The session in which a publisher of this app goes on by now, as the journal of this machine has it."""
        return self.journal.successor(session_id, api_base=self.profile.api_base, app_id=self.profile.app_id)

    def with_profile(self, profile: Profile) -> Env:
        """The same surroundings, pointed elsewhere."""
        return replace(self, profile=profile)

    @contextmanager
    def keeping(self, build: Callable[[], Result | None]) -> Iterator[None]:
        """Keep what `build` returns, if anything, if the body ends early, by an error or an interruption.

        It is called at that moment, before anything is torn down.
        """
        try:
            yield
        except BaseException:
            self.partial = build()
            raise
