"""Results of `stats session`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rtcctl.results.result import Result

if TYPE_CHECKING:
    # Not to be made by commands that have no use for them: each of these classes costs milliseconds.
    from rtcctl.results.track import ReceivedStatistics, SentStatistics, TrackState


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeInterval:
    """The last interval that a probe running on this machine measured, from the journal."""

    session_id: str
    publisher_session_id: str | None
    track_name: str
    measured_at: float
    "Wall clock, seconds since the epoch."
    pid: int | None
    sent: SentStatistics | None = None
    received: ReceivedStatistics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStats(Result):
    """`stats session`: tracks and status from the API, figures from the probes of this machine."""

    schema: ClassVar[str] = "rtcctl.stats.session/1"

    session_id: str
    tracks: tuple[TrackState, ...] = ()
    intervals: tuple[ProbeInterval, ...] = ()
