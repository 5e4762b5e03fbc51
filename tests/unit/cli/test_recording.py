"""`--trace`, `--pcap` and tickets, as the runner has them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from rtcctl.cli.options import Common
from rtcctl.cli.run import Face, guard, present, run
from rtcctl.config import Resolution
from rtcctl.errors import NetworkError, UsageError
from rtcctl.media.sdp import Candidate
from rtcctl.ops.env import Env
from rtcctl.realtime.profile import Profile
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.event import Warned
from rtcctl.results.result import Result
from rtcctl.results.smoke import Smoke
from rtcctl.trace.folder import PARTS, read_lines

SECRET = "a-secret-that-must-never-be-shown"
PROFILE = Profile(name="test", api_base="http://127.0.0.1:1/v1", app_id="app", app_secret=SECRET)
FACE = Face(name="smoke", resolution=Resolution(PROFILE), leaves_ticket=True)

Operation = Callable[[None, Env], Awaitable[Result]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing(Result):
    schema: ClassVar[str] = "rtcctl.thing/1"


def _run(operation: Operation, *, face: Face = FACE, **common: object) -> int:
    options = Common(**common)  # type: ignore[arg-type]
    return guard(lambda: run(operation, None, options, face), ["--output", options.output])


async def _good(_: None, env: Env) -> Smoke:
    env.emit(Warned(text=f"this holds {SECRET}"))
    return Smoke(target=env.target)


async def _failed(_: None, env: Env) -> Smoke:
    return Smoke(target=env.target, checks=(Check("loss", CheckStatus.FAILED),))


def _tickets() -> list[Path]:
    return sorted(Path(os.environ["RTCCTL_STATE_DIR"]).glob("tickets/*"))


def test_a_trace_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """How it was called, what it said, how it ended, and no secret."""
    monkeypatch.setattr(sys, "argv", ["rtcctl", "smoke", f"--x={SECRET}", "--", "command", "of", "another"])
    assert _run(_good, trace=tmp_path / "t") == 0
    begin, event, end = read_lines(tmp_path / "t")
    assert begin["arguments"] == ["smoke", "--x=•••", "--", "…"]
    assert begin["versions"]["rtcctl"]
    assert event["event"] == {"event": "warning", "text": "this holds •••"}
    assert (end["exit_status"], end["result"]["schema"], end["failure"]) == (0, "rtcctl.smoke/1", None)
    assert not _tickets()


def test_what_somebody_says_is_no_part_of_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Messages are arguments of `channel send`."""
    monkeypatch.setattr(sys, "argv", ["rtcctl", "channel", "send", "--name=chat", "the password is sesame"])
    assert _run(_good, face=FACE._replace(name="channel send"), trace=tmp_path / "t") == 0
    assert next(read_lines(tmp_path / "t"))["arguments"] == ["channel", "send", "--name=chat", "…"]


def test_a_failed_run_leaves_a_ticket_and_names_it(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """On stderr, in the JSON result and in reports; a run that passed, was misused, or has a trace leaves none."""
    assert _run(_failed, output="json") == 3
    (ticket,) = _tickets()
    out, err = capsys.readouterr()
    assert json.loads(out)["ticket"] == str(ticket)
    assert f"ticket: {ticket} (to read it: rtcctl explain {ticket})" in err
    assert [line["kind"] for line in read_lines(ticket)] == ["begin", "end"]

    async def misused(_: None, env: Env) -> Smoke:
        raise UsageError("wrong")

    assert _run(_good) == 0
    assert _run(misused) == 2
    assert _run(_failed, trace=tmp_path / "t") == 3
    assert _run(_failed, face=FACE._replace(leaves_ticket=False)) == 3
    assert _tickets() == [ticket]


def test_an_error_and_a_bug_leave_a_ticket(capsys: pytest.CaptureFixture[str]):
    """What ended the command is its last line; of a bug, where it happened."""

    async def unreachable(_: None, env: Env) -> Smoke:
        raise NetworkError("gone", phase="ice", hint="look")

    async def broken(_: None, env: Env) -> Smoke:
        raise KeyError(SECRET)

    assert _run(unreachable) == 6
    *_, end = read_lines(_tickets()[0])
    assert (end["exit_status"], end["failure"]["message"], end["failure"]["phase"]) == (6, "gone", "ice")
    for path in _tickets()[0].iterdir():
        path.unlink()
    _tickets()[0].rmdir()
    assert _run(broken) == 1
    *_, end = read_lines(_tickets()[0])
    assert end["error"] == "KeyError: '•••'"
    assert "test_recording.py" in end["where"][-1]
    assert "ticket: " in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody can write")
def test_a_folder_that_cannot_be_written_is_a_warning(capsys: pytest.CaptureFixture[str]):
    """The command ends as it would have."""
    assert _run(_good, trace=Path("/proc/trace")) == 0
    assert "warning: the trace /proc/trace cannot be written: " in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody can write")
def test_a_ticket_that_cannot_be_written_is_said_when_one_is_due(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """And not before: nobody has asked for it."""
    monkeypatch.setenv("RTCCTL_STATE_DIR", "/proc/state")
    assert _run(_good) == 0
    assert "ticket" not in capsys.readouterr().err
    assert _run(_failed) == 3
    assert "warning: there is no ticket, or half of one: /proc/state/tickets/" in capsys.readouterr().err


def test_a_folder_of_somebody_else_is_exit_2(tmp_path: Path):
    """Before anything is done."""
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "thesis.txt").write_text("x")
    assert _run(_good, trace=folder) == 2
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_command_that_speaks_to_nobody_has_a_trace(tmp_path: Path):
    """Its result and its status are all that there is."""
    assert present(lambda streams: Thing(), Common(trace=tmp_path / "t"), Face(name="config path")) == 0
    assert [line["kind"] for line in read_lines(tmp_path / "t")] == ["begin", "end"]


def test_packets_go_into_a_file(tmp_path: Path):
    """Of the operation's peers, in both directions; it is its owner's alone."""

    async def send(_: None, env: Env) -> Smoke:
        assert env.tap is not None
        pair = Candidate.host("192.0.2.1", 1), Candidate.host("192.0.2.2", 2)
        env.tap(b"\x80\x6f" + b"\0" * 10 + b"said", pair, is_sent=True, now=env.clock())
        env.tap(b"\x80\xc9" + b"\0" * 6, pair, is_sent=False, now=env.clock())
        return Smoke(target=env.target)

    path = tmp_path / "a.pcap"
    assert _run(send, face=FACE._replace(pcap=path)) == 0
    data = path.read_bytes()
    assert data[:4] == b"\xd4\xc3\xb2\xa1"
    assert len(data) == 24 + (16 + 28 + 12) + (16 + 28 + 8)
    assert b"said" not in data
    assert path.stat().st_mode & 0o777 == 0o600
    assert _run(_good, face=FACE._replace(pcap=tmp_path)) == 2


def test_nothing_is_recorded_unasked(tmp_path: Path):
    """Without `--trace` an operation has no recorder and no tap, so that nothing is paid for them."""
    seen = []

    async def look(_: None, env: Env) -> Smoke:
        seen.append((env.recorder, env.tap))
        return Smoke(target=env.target)

    assert _run(look, face=FACE._replace(leaves_ticket=False)) == 0
    assert seen == [(None, None)]
    assert not list(tmp_path.glob(f"**/{PARTS[0]}"))
