"""Table of `track diagnose`."""

from __future__ import annotations

from rtcctl.report.layout import Line, Styled, facts, line
from rtcctl.report.table import BLANK, checks, hints
from rtcctl.results.diagnosis import TrackDiagnose


def body(result: TrackDiagnose) -> list[Line]:
    """Every step, the verdict, what to try next."""
    is_good = result.failed_side is None and result.failure is None
    return [
        *facts(
            ("track", f"{result.publisher_session_id}/{result.track_name}"),
            ("subscriber", result.subscriber_session_id),
        ),
        BLANK,
        *checks(result.checks),
        BLANK,
        line(Styled(result.verdict, "bold green" if is_good else "bold red")),
        *hints(result.checks),
        *facts(*(("" if i else "next", command) for i, command in enumerate(result.next_commands))),
    ]
