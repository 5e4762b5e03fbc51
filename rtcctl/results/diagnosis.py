"""Result of `track diagnose`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackDiagnose(Result):
    """`track diagnose`: a check for each step from the publisher to the subscriber, and what follows from them."""

    schema: ClassVar[str] = "rtcctl.track.diagnose/1"

    subscriber_session_id: str
    publisher_session_id: str
    track_name: str
    failed_side: str | None = None
    "`publisher`, `subscriber`, `both`; `None` when nothing failed."
    failed_check: str | None = None
    "The first one on the way of the media."
    successor_id: str | None = None
    "The session in which the publisher goes on, as this machine knows."
    trial_session_id: str | None = None
    "Of our own pull; closed again."
    time_to_first_packet_ms: float | None = None
    "Of that pull; `None` when nothing came, or nobody could listen."
    verdict: str = ""
    next_commands: tuple[str, ...] = ()
