"""`--report`: where it may be written, and where it must not do harm."""

import io
import os
from pathlib import Path
from typing import ClassVar

import pytest

from rtcctl.cli import reports
from rtcctl.cli.options import Report, ReportFormat
from rtcctl.cli.output import Streams
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.result import Result


class Thing(Result):
    schema: ClassVar[str] = "rtcctl.thing/1"


RESULT = Thing(checks=(Check("loss", CheckStatus.FAILED),))


def _write(path: Path | None) -> str:
    err = io.StringIO()
    wanted = [] if path is None else [Report(ReportFormat.JSON, path)]
    reports.write(RESULT, wanted, "thing", 3, Streams(out=io.StringIO(), err=err))
    return err.getvalue()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it names is replaced."""
    link = tmp_path / "latest.json"
    link.symlink_to(tmp_path / "today.json")
    _write(link)
    assert link.is_symlink()
    assert "rtcctl.thing/1" in (tmp_path / "today.json").read_text()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    """A device or a pipe (`junit:/dev/stderr`) is never replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        _write(pipe)
        assert b"rtcctl.thing/1" in os.read(reader, 100_000)
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_step_summary_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked for it: the command ends as it would have."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "nowhere" / "summary.md"))
    assert "warning: GITHUB_STEP_SUMMARY" in _write(None)
