"""The faults that are set in a running server: found for requests, and put on the paths of sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from rtcctl.server.faults import grammar
from rtcctl.server.faults.grammar import ApiFault, MediaFault
from rtcctl.server.faults.ledger import Ledger
from rtcctl.server.faults.path import ImpairedPath

if TYPE_CHECKING:
    from rtcctl.server.connection import Connection
    from rtcctl.server.endpoint import Endpoint


@dataclass(slots=True, eq=False)
class ActiveFault:
    """A fault that is set."""

    fault_id: int
    text: str
    "As it was written."
    fault: ApiFault | MediaFault
    requests: int = 0
    "How many requests it concerned, those it let through included."
    packets: int = 0
    "How many packets it has been applied to."
    cleared: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def met(self) -> int:
        """How many requests it has met, or packets, dropped or not."""
        fault = self.fault
        if isinstance(fault, MediaFault):
            return self.packets
        met = max(0, self.requests - fault.skip)
        return met if fault.times is None else min(met, fault.times)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        is_media = isinstance(self.fault, MediaFault)
        times = self.fault.times if isinstance(self.fault, ApiFault) else None
        return {"id": self.fault_id, "fault": self.text, "is_media": is_media, "met": self.met, "times": times}


class Faults:
    """`connections` are those of the server, with the ids of their app and session."""

    def __init__(
        self, endpoint: Endpoint, connections: Callable[[], Iterable[tuple[Connection, str, str]]], ledger: Ledger
    ) -> None:
        self.active: list[ActiveFault] = []
        self.ledger = ledger
        self._endpoint = endpoint
        self._connections = connections
        self._random: Random = SystemRandom()
        self._last_id = 0

    @property
    def has_api_faults(self) -> bool:
        """Whether requests have to be looked at."""
        return any(isinstance(active.fault, ApiFault) for active in self.active)

    def set(self, text: str) -> ActiveFault:
        """Add a fault. Raises `SpellingError`."""
        fault = grammar.parse(text)
        self._last_id += 1
        active = ActiveFault(self._last_id, text, fault)
        self.active.append(active)
        self._changed()
        return active

    def clear(self, fault_id: int | None = None) -> list[ActiveFault]:
        """Remove one fault, or all; those that were there."""
        gone = [active for active in self.active if fault_id in (None, active.fault_id)]
        self.active = [active for active in self.active if active not in gone]
        for active in gone:
            active.cleared.set()
        self._changed()
        return gone

    def attach(self, connection: Connection, app_id: str, session_id: str) -> None:
        """Put what concerns a session on its path; nothing, when nothing does."""
        faults = [
            active
            for active in self.active
            if isinstance(active.fault, MediaFault) and active.fault.concerned.includes(app_id, session_id)
        ]
        if connection.impaired is not None and faults:
            connection.impaired.set(faults)
        elif connection.impaired is not None or faults:
            path = (
                ImpairedPath(
                    self._endpoint,
                    connection,
                    faults,
                    self.ledger,
                    app_id=app_id,
                    session_id=session_id,
                    random=self._random,
                )
                if faults
                else None
            )
            connection.impair(path)

    def find(
        self, operation: str, app_id: str, session_id: str, tracks: Iterable[tuple[str, str]]
    ) -> ActiveFault | None:
        """The first fault that meets this request. `tracks`: publisher's session and name of those it is about."""
        tracks = list(tracks)
        for active in self.active:
            fault = active.fault
            if not isinstance(fault, ApiFault) or fault.operation not in (operation, grammar.ANY):
                continue
            if fault.action == "expire" and operation.startswith("turn/"):
                continue  # under `*`: there is no session to end
            if not fault.concerned.includes(app_id, session_id):
                continue
            if fault.concerned.track and not any(fault.concerned.includes_track(*track) for track in tracks):
                continue
            if fault.times is not None and active.requests >= fault.skip + fault.times:
                continue
            active.requests += 1
            if active.requests > fault.skip:
                return active
        return None

    def _changed(self) -> None:
        for connection, app_id, session_id in self._connections():
            self.attach(connection, app_id, session_id)
