"""Result of `smoke`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rtcctl.results.result import Result

if TYPE_CHECKING:
    # Not to be made by commands that have no use for them: each of these classes costs milliseconds.
    from rtcctl.results.track import Publish, Subscribe


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke(Result):
    """`smoke`: one check per step of the path, and the verdict in a sentence."""

    schema: ClassVar[str] = "rtcctl.smoke/1"

    verdict: str = ""
    next_commands: tuple[str, ...] = ()
    session_ids: tuple[str, ...] = ()
    duration_s: float = 0.0
    attempts: int = 1
    publish: Publish | None = None
    subscribe: Subscribe | None = None
    ticket: str | None = None
    "Folder of the trace of a run that failed."
