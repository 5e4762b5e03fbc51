"""Result of reading a trace back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFinding:
    """Something that went wrong."""

    at_s: float
    "Since the command began."
    where: str
    "The API call, the peer, the check."
    what: str
    hint: str = ""
    is_overcome: bool = False
    "It was tried again, and went well then; or it is a warning."


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRead(Result):
    """What a trace says: what was run, where it failed first and why, what to do next.

    `target` is that of the command. The exit status is that of reading, which went well.
    """

    schema: ClassVar[str] = "rtcctl.trace.read/1"

    folder: str
    command: str
    arguments: tuple[str, ...]
    started_at: float
    "Wall clock, seconds since the epoch."
    duration_s: float
    "Up to the last line."
    is_complete: bool
    "False: the command was killed, or still runs."
    command_exit_status: int | None = None
    verdict: str = ""
    "The first failure in a sentence."
    exchanges: int = 0
    "API calls, each attempt."
    peers: int = 0
    session_ids: tuple[str, ...] = ()
    rays: tuple[str, ...] = ()
    "Cf-Ray of calls that failed: what Cloudflare's support asks for."
    findings: tuple[TraceFinding, ...] = ()
    next_commands: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    "What it was made with, as `aiortc 1.16.0`."
