"""`--report FORMAT:FILE`, and what GitHub Actions gets without being asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rtcctl.cli.output import mask
from rtcctl.errors import UsageError
from rtcctl.results.result import Failure, Result

if TYPE_CHECKING:
    from rtcctl.cli.options import Report
    from rtcctl.cli.output import Streams
    from rtcctl.results.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class NoResult(Result):
    """Stands in reports for a command that ended before it had a result."""

    schema: ClassVar[str] = "rtcctl.error/1"


def nothing(target: Target | None, failure: Failure | None, *, interrupted: bool) -> NoResult:
    """What a report says of a command without a result: why."""
    return NoResult(target=target, failure=failure, interrupted=interrupted)


def check(reports: Sequence[Report]) -> None:
    """Refuse a report that cannot be written now, rather than after the measurement."""
    for report in reports:
        folder = report.path.parent
        if not folder.is_dir():
            raise UsageError(f"--report {report}: there is no folder {folder}.")
        if report.path.is_dir() or not os.access(report.path if report.path.exists() else folder, os.W_OK):
            raise UsageError(f"--report {report}: {report.path} cannot be written.")


def write(result: Result, reports: Sequence[Report], command: str, exit_status: int, streams: Streams) -> None:
    """Write the reports that were asked for; under GitHub Actions annotate failures and add to the step summary."""
    for report in reports:
        _replace(report.path, mask(render(report.format, result, command, exit_status)))
    if _is_github() and (result.checks or result.failure):
        from rtcctl.report import github, markdown

        for line in github.annotate(result, command):
            streams.err(line)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            try:
                with open(summary, "a", encoding="utf-8") as file:
                    file.write(mask(markdown.render(result, command, exit_status)) + "\n")
            except OSError as error:
                # Nobody asked for it, so it does not change how the command ends.
                streams.warn(f"GITHUB_STEP_SUMMARY {summary} cannot be written: {error.strerror}")


def hide_in_job_log(secrets: Iterable[str]) -> None:
    """Under GitHub Actions, have secrets that are about to be printed masked in the log."""
    if _is_github():
        from rtcctl.report import github

        for line in github.masks(secrets):
            sys.stderr.write(line + "\n")
        sys.stderr.flush()


def _is_github() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def render(format_: str, result: Result, command: str, exit_status: int) -> str:
    """The text of a report."""
    from rtcctl.report import json, junit, markdown, prometheus

    if format_ == "json":
        return json.render(result, exit_status) + "\n"
    if format_ == "junit":
        return junit.render(result, command) + "\n"
    if format_ == "markdown":
        return markdown.render(result, command, exit_status) + "\n"
    return prometheus.render(result, command, exit_status)


def _replace(path: Path, text: str) -> None:
    """Write a file as a whole: who reads it meanwhile (a Prometheus collector) sees the old one or the new one.

    A device or a pipe is written into, and what a symbolic link names is replaced, not the link.
    """
    if path.exists() and not path.is_file():
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
        return
    path = path.resolve()
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
