"""Table of a trace that was read back."""

from __future__ import annotations

from datetime import UTC, datetime

from rtcctl.report.layout import Line, Styled, facts, grid, line
from rtcctl.report.table import BLANK
from rtcctl.results.trace import TraceRead


def body(result: TraceRead) -> list[Line]:
    """What was run, what failed and when, the verdict, what to do."""
    started = datetime.fromtimestamp(result.started_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    status = "none: it did not end" if result.command_exit_status is None else str(result.command_exit_status)
    lines = facts(
        ("trace", result.folder),
        ("command", f"rtcctl {' '.join(result.arguments)}"),
        ("began", f"{started}, {result.duration_s:.1f} s"),
        ("exit status", status),
        ("recorded", f"{_counted(result.exchanges, 'API call')}, {_counted(result.peers, 'peer')}"),
        ("made with", ", ".join(result.versions[:4])),
        ("Cf-Ray", ", ".join(result.rays) or None),
    )
    if result.findings:
        rows = [(f"{f.at_s:.2f} s", f.where, Styled(f.what, "dim" if f.is_overcome else "")) for f in result.findings]
        lines += [BLANK, *grid(("at", "where", "what"), rows, right=(0,))]
    hints = dict.fromkeys(f.hint for f in result.findings if f.hint and not f.is_overcome)
    lines += [BLANK, *(line("hint: ", hint) for hint in hints)] if hints else []
    is_good = not any(not finding.is_overcome for finding in result.findings) and result.is_complete
    lines += [BLANK, line(Styled(result.verdict, "bold green" if is_good else "bold red"))]
    return lines + facts(*(("" if i else "next", command) for i, command in enumerate(result.next_commands)))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
