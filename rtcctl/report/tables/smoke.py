"""Table of `smoke`."""

from __future__ import annotations

from rtcctl.report.layout import Line, Styled, facts, line
from rtcctl.report.table import BLANK, checks, hints
from rtcctl.results.check import CheckStatus
from rtcctl.results.smoke import Smoke


def body(result: Smoke) -> list[Line]:
    """Every check, the verdict, what to try next."""
    bad = [c for c in result.checks if c.status in (CheckStatus.FAILED, CheckStatus.INCONCLUSIVE)]
    is_good = not bad and result.failure is None
    lines = [*checks(result.checks), BLANK]
    if is_good and result.attempts > 1:
        lines.append(line(Styled(f"Passed only at attempt {result.attempts}.", "yellow")))
    lines.append(line(Styled(result.verdict, "bold green" if is_good else "bold red")))
    lines += hints(result.checks)
    return lines + facts(*(("" if i else "next", command) for i, command in enumerate(result.next_commands)))
