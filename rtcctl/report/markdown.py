"""A result as Markdown, for a step summary or a comment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rtcctl.report.figures import limit, observed, printable
from rtcctl.results.check import CheckStatus
from rtcctl.results.smoke import Smoke

if TYPE_CHECKING:
    from rtcctl.results.result import Result

MARKS = {
    CheckStatus.PASSED: "✅ passed",
    CheckStatus.FAILED: "❌ failed",
    CheckStatus.SKIPPED: "➖ skipped",
    CheckStatus.INCONCLUSIVE: "⚠️ inconclusive",
}

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def render(result: Result, command: str, exit_status: int) -> str:
    """Title, target, checks, verdict."""
    lines = [f"### rtcctl {command}: {'passed' if exit_status == 0 else f'exit status {exit_status}'}", ""]
    if result.target is not None:
        target = result.target
        embedded = ", embedded server" if target.embedded else ""
        impaired = f", impaired: {_text(' '.join(target.impairment))}" if target.impairment else ""
        where = f"{_text(target.profile)}, {_text(target.api_base)}, app {_text(target.app_id)}"
        lines += [f"Profile {where}{embedded}{impaired}", ""]
    if result.checks:
        lines += ["| check | verdict | measured | limit | |", "| --- | --- | ---: | ---: | --- |"]
        for check in result.checks:
            measured = observed(check.observed, check.unit)
            again = f" (attempt {check.attempts})" if check.attempts > 1 else ""
            cells = (check.name, MARKS[check.status] + again, measured, limit(check), check.detail)
            lines.append("| " + " | ".join(_text(cell) for cell in cells) + " |")
        lines.append("")
    if result.failure is not None:
        lines += [f"**{_text(result.failure.message)}**", ""]
        if result.failure.hint:
            lines += [_text(result.failure.hint), ""]
    if isinstance(result, Smoke):
        lines += [_text(result.verdict), ""]
        lines += [f"- `{printable(command).replace('`', '')}`" for command in result.next_commands]
        if result.ticket:
            lines += ["", f"Ticket: `{printable(result.ticket).replace('`', '')}`"]
    if result.interrupted:
        lines.append("Interrupted.")
    return "\n".join(lines).rstrip()


def _text(text: str) -> str:
    """Text of others that stays text."""
    return _SPECIAL.sub(r"\\\1", printable(text))
