"""Workflow commands of GitHub Actions: annotations for what did not pass, masks for what must not be shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtcctl.report.figures import limit, observed
from rtcctl.results.check import Check, CheckStatus

if TYPE_CHECKING:
    from rtcctl.results.result import Result


def annotate(result: Result, command: str) -> list[str]:
    """An error for each check that failed or could not be measured, a warning for what passed only at a retry."""
    lines = []
    for check in result.checks:
        if check.status in (CheckStatus.FAILED, CheckStatus.INCONCLUSIVE):
            lines.append(_command("error", f"rtcctl {command}: {check.name}", _sentence(check)))
    attempts = max((check.attempts for check in result.checks), default=1)
    if not lines and result.failure is not None:
        text = " ".join(part for part in (result.failure.message, result.failure.hint) if part)
        lines.append(_command("error", f"rtcctl {command}", text))
    elif not lines and attempts > 1:
        lines.append(_command("warning", f"rtcctl {command}", f"passed only at attempt {attempts}"))
    if (ticket := getattr(result, "ticket", None)) is not None:
        lines.append(_command("notice", f"rtcctl {command}", f"ticket: {ticket}"))
    return lines


def masks(secrets: Iterable[str]) -> list[str]:
    """Commands that hide secrets in the log from here on."""
    return [f"::add-mask::{_data(secret)}" for secret in secrets if secret]


def _sentence(check: Check) -> str:
    figures = observed(check.observed, check.unit)
    limited = f" (limit {limit(check)})" if check.limit is not None else ""
    parts = (check.detail, f"measured {figures}{limited}" if check.observed is not None else "", check.hint)
    return f"{check.status.value}: " + "; ".join(part for part in parts if part)


def _command(name: str, title: str, text: str) -> str:
    return f"::{name} title={_property(title)}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
