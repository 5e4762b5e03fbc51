"""What `track diagnose` finds out before it judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rtcctl.results.session import SessionGet
    from rtcctl.results.stats import ProbeInterval


@dataclass(frozen=True, slots=True)
class Absent:
    """A session that could not be read. `status` 410: it is gone, or never was; `None`: the API did not answer."""

    status: int | None


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two sessions, and what this machine knows of it."""

    session_id: str
    state: SessionGet | Absent
    is_ours: bool = False
    "This machine made the session, so its id is right."
    successor_id: str | None = None
    interval: ProbeInterval | None = None
    "The last that a probe of this machine measured of this very track."


@dataclass(frozen=True, slots=True)
class Trial:
    """A pull of the track into a session of our own.

    `outcome`: `heard` a packet; `silent`: pulled, none came within `waited_s`; `pulled`: nobody here can listen;
    `refused` with `code`; `unconnected`: it was pulled, but this machine could not connect; `unanswered`.
    """

    outcome: Literal["heard", "silent", "pulled", "refused", "unconnected", "unanswered"]
    session_id: str
    first_packet_ms: float | None = None
    waited_s: float = 0.0
    code: str | None = None
    detail: str = ""
    "Why, when it was refused or could not connect; what is missing to listen."


@dataclass(frozen=True, slots=True)
class Readiness:
    """How the subscriber's session took a request that changes nothing.

    `pending`: a negotiation is not finished; `unconnected`: 425.
    """

    outcome: Literal["ready", "pending", "unconnected", "gone", "unknown"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """`trial` and `readiness` are `None` where they were not asked for, which makes their checks skipped."""

    track_name: str
    publisher: Side
    subscriber: Side
    trial: Trial | None = None
    readiness: Readiness | None = None
    wallclock: float = 0.0
    "When the journal was read."
