"""Checks: a named condition with its limit and verdict. Exit status 3 and JUnit cases come from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rtcctl.errors import ExitStatus


class CheckStatus(StrEnum):
    """Verdict of a check. `inconclusive`: this machine could not measure it, so a gate fails and a pager retries."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    INCONCLUSIVE = "inconclusive"


class Bound(StrEnum):
    """How `limit` is meant: `observed` may be at most, must be at least, or should be about that much."""

    AT_MOST = "at-most"
    AT_LEAST = "at-least"
    ABOUT = "about"


@dataclass(frozen=True, slots=True)
class Check:
    """One condition. `observed` and `limit` are in `unit`; `None` means not measured, never zero."""

    name: str
    "Lower-case, hyphens."
    status: CheckStatus
    observed: float | str | None = None
    limit: float | str | None = None
    unit: str | None = None
    "`ms`, `ratio`, `hz`, `packets/s` … or `None` for a count or a text."
    detail: str = ""
    "One line for a person: what was seen."
    hint: str = ""
    "What to try next, when it did not pass."
    attempts: int = 1
    "How many attempts it took; above 1 a passed check is a warning."
    bound: Bound = Bound.AT_MOST


def exit_status_of(checks: Iterable[Check]) -> ExitStatus:
    """3 when a check failed, else 8 when one was inconclusive, else 0."""
    statuses = {check.status for check in checks}
    if CheckStatus.FAILED in statuses:
        return ExitStatus.CHECK_FAILED
    if CheckStatus.INCONCLUSIVE in statuses:
        return ExitStatus.INCONCLUSIVE
    return ExitStatus.OK
