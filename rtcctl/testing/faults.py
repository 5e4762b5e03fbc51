"""Faults of one app of a server that may have many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtcctl.server.faults.faults import ActiveFault
    from rtcctl.server.server import RealtimeServer
    from rtcctl.testing.threads import LoopThread

__tracebackhide__ = True  # pytest shows the line of the test


class Fault:
    """A fault that was set."""

    def __init__(self, active: ActiveFault, text: str) -> None:
        self._active = active
        self.text = text
        "As it was written."

    @property
    def fault_id(self) -> int:
        return self._active.fault_id

    @property
    def met(self) -> int:
        """How many requests it has met, or packets, dropped or not."""
        return self._active.met

    def __repr__(self) -> str:
        return f"<fault {self.fault_id}: {self.text}>"


class Faults:
    """What is done to the requests and packets of one app: `with realtime.faults("loss=30%"): …`."""

    def __init__(self, thread: LoopThread, server: RealtimeServer, app_id: str) -> None:
        self._thread = thread
        self._server = server
        self._app_id = app_id
        self._set: dict[int, Fault] = {}

    @contextmanager
    def __call__(self, text: str) -> Iterator[Fault]:
        """A fault while the body runs."""
        fault_id = self.set(text)
        try:
            yield self._set[fault_id]
        finally:
            self.clear(fault_id)

    def set(self, text: str) -> int:
        """Add a fault, as `rtcctl fault set` takes it; its id. Raises `SpellingError`, a `ValueError`."""
        active = self._thread.call(lambda: self._server.faults.set(f"{text},app={self._app_id}"))
        self._set[active.fault_id] = Fault(active, text)
        return active.fault_id

    def clear(self, fault_id: int | None = None) -> None:
        """Remove one fault, or all of this app; what is not there is none."""
        ids = list(self._set) if fault_id is None else [fault_id] if fault_id in self._set else []
        for one in ids:
            self._thread.call(lambda one=one: self._server.faults.clear(one))  # type: ignore[misc]
            del self._set[one]

    def list(self) -> tuple[Fault, ...]:
        """Those that are set."""
        return tuple(self._set.values())
