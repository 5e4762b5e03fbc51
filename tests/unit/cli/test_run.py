"""The runner: results, errors, signals, and what is left of them on stdout and stderr."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from rtcctl.cli.options import Common, OutputFormat, Report, ReportFormat
from rtcctl.cli.output import keep_secret
from rtcctl.cli.run import Face, guard, run
from rtcctl.config import Resolution
from rtcctl.errors import ApiError, AuthError, DeadlineError, NetworkError, ParseError, UsageError
from rtcctl.ops.env import Env
from rtcctl.realtime.profile import Profile
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.event import Progress, Published, Warned
from rtcctl.results.result import Result

SECRET = "a-secret-that-must-never-be-shown"
PROFILE = Profile(name="test", api_base="http://127.0.0.1:1/v1", app_id="app", app_secret=SECRET)
FACE = Face(name="test thing", resolution=Resolution(PROFILE))

Operation = Callable[[None, Env], Awaitable[Result]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing(Result):
    schema: ClassVar[str] = "rtcctl.thing/1"

    value: str = ""


def _run(operation: Operation, *arguments: str, face: Face = FACE, **common: object) -> int:
    """The runner under the guard, as a command calls it."""
    options = Common(**common)  # type: ignore[arg-type]
    return guard(lambda: run(operation, None, options, face), ["--output", options.output, *arguments])


async def _good(_: None, env: Env) -> Thing:
    env.emit(Progress(text="working"))
    env.emit(Published(session_id="s", track_name="t", mid="0"))
    return Thing(target=env.target, value="fine")


def test_a_result_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    """With --output json stdout is exactly one document."""
    assert _run(_good, output=OutputFormat.JSON) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert list(document)[:4] == ["schema", "rtcctl_version", "target", "value"]
    assert list(document)[-1] == "exit_status"
    assert document["target"] == {
        "profile": "test",
        "api_base": "http://127.0.0.1:1/v1",
        "app_id": "app",
        "embedded": False,
    }
    assert not err


def test_json_lines_are_events_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """With --output jsonl each line is an event; progress, which is for people, is none."""
    assert _run(_good, output=OutputFormat.JSONL) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["published", "summary"]
    said = {"event": "published", "session_id": "s", "track_name": "t", "mid": "0"}
    assert events[0] == said | dict.fromkeys(("kind", "codec", "source", "tone_hz"))
    assert events[1]["value"] == "fine"
    assert events[1]["exit_status"] == 0


def test_a_table_begins_with_its_target(capsys: pytest.CaptureFixture[str]) -> None:
    """The first line tells the profile, the API base and the App ID."""
    assert _run(_good) == 0
    assert capsys.readouterr().out == "test · http://127.0.0.1:1/v1 · app app\n\nvalue  fine\n"


def test_what_is_announced_comes_first_and_the_target_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A long-running command says at once what a person needs to go on."""
    assert _run(_good, face=FACE._replace(announce=(Published,))) == 0
    assert capsys.readouterr().out == (
        "test · http://127.0.0.1:1/v1 · app app\n\npublished  s/t (mid 0)\n\nvalue  fine\n"
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [(CheckStatus.PASSED, 0), (CheckStatus.SKIPPED, 0), (CheckStatus.FAILED, 3), (CheckStatus.INCONCLUSIVE, 8)],
)
def test_checks_make_the_exit_status(status: CheckStatus, expected: int, capsys: pytest.CaptureFixture[str]) -> None:
    """3: measured and not good enough; 8: could not be measured."""

    async def operation(_: None, env: Env) -> Thing:
        return Thing(target=env.target, checks=(Check("loss", status),))

    assert _run(operation, output=OutputFormat.JSON) == expected
    assert json.loads(capsys.readouterr().out)["exit_status"] == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UsageError("no"), 2),
        (AuthError("no", status=401), 4),
        (ApiError("no", status=410), 5),
        (NetworkError("no", phase="tcp"), 6),
        (DeadlineError("no", awaited="x", after_s=1), 7),
        (ParseError("an answer"), 5),
        (ExceptionGroup("of a task group", [NetworkError("no", phase="ice")]), 6),
        (RuntimeError("no"), 1),
        (ExceptionGroup("of a task group", [RuntimeError("no")]), 1),
        (ModuleNotFoundError("No module named 'aiortc'", name="aiortc"), 2),
        (ModuleNotFoundError("No module named 'other'", name="other"), 1),
    ],
)
@pytest.mark.parametrize("output", [OutputFormat.TABLE, OutputFormat.JSON])
def test_errors_make_the_exit_status(
    error: Exception, expected: int, output: OutputFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each class of error has its status; the message goes to stderr and stdout stays empty."""

    async def operation(_: None, env: Env) -> Thing:
        raise error

    assert _run(operation, output=output) == expected
    out, err = capsys.readouterr()
    assert not out
    assert "Traceback" not in err
    if output == "json" and expected != 1:
        assert json.loads(err)["exit_status"] == expected
    else:
        assert err.startswith("error: ")


def test_a_bug_shows_where_it_happened_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """With --verbose there is a traceback, without values of variables and without secrets."""

    async def operation(_: None, env: Env) -> Thing:
        password = env.profile.app_secret
        raise RuntimeError(f"about {password}")

    assert _run(operation, "--verbose") == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert SECRET not in err


def test_a_missing_extra_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Without the media side, a command that needs it says what to install."""

    async def operation(_: None, env: Env) -> Thing:
        raise ModuleNotFoundError("No module named 'aiortc'", name="aiortc")

    _run(operation)
    assert "hint: pip install 'rtcctl[probe]'" in capsys.readouterr().err


def test_what_was_measured_before_an_error_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """An error in the middle leaves a complete document, with the error in it."""

    async def operation(_: None, env: Env) -> Thing:
        with env.keeping(lambda: Thing(target=env.target, value="half")):
            raise NetworkError("The connection was lost.", phase="media", hint="Look.")

    assert _run(operation, output=OutputFormat.JSON) == 6
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["value"] == "half"
    assert document["exit_status"] == 6
    assert document["failure"]["phase"] == "media"
    assert json.loads(err)["error"] == "The connection was lost."


@pytest.mark.parametrize(("signum", "expected"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_in_a_summary(signum: int, expected: int, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGHUP, SIGINT and SIGTERM cancel the operation, which cleans up; the summary says that it was interrupted."""
    steps: list[str] = []

    async def operation(_: None, env: Env) -> Thing:
        try:
            with env.keeping(lambda: Thing(target=env.target, value="half")):
                os.kill(os.getpid(), signum)
                await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")
        return Thing()

    before = signal.getsignal(signum)
    try:
        assert _run(operation, output=OutputFormat.JSON) == expected
    finally:
        signal.signal(signum, before)
    document = json.loads(capsys.readouterr().out)
    assert document["interrupted"] is True
    assert document["value"] == "half"
    assert document["exit_status"] == expected
    assert steps == ["cleaned up"]


def test_an_operation_that_ends_well_on_a_signal_was_interrupted_too(capsys: pytest.CaptureFixture[str]) -> None:
    """An operation may turn the cancellation into a result."""

    async def operation(_: None, env: Env) -> Thing:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return Thing(value="whole")
        return Thing()

    assert _run(operation, output=OutputFormat.JSON) == 143
    assert json.loads(capsys.readouterr().out)["interrupted"] is True


def test_a_daemon_that_is_stopped_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    """Being stopped is the normal end of `dev`."""

    async def operation(_: None, env: Env) -> Thing:
        env.emit(Published(session_id="s", track_name="t", mid="0"))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)
        return Thing()

    face = FACE._replace(is_daemon=True, announce=(Published,))
    assert _run(operation, output=OutputFormat.JSON, face=face) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "rtcctl.published/1"


def test_interrupted_before_anything_was_known(capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing to report that is said, and nothing else."""

    async def operation(_: None, env: Env) -> Thing:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
        return Thing()

    assert _run(operation) == 130
    out, err = capsys.readouterr()
    assert not out
    assert "interrupted" in err


@pytest.mark.parametrize("ends", ["interrupted", "unwritable"])
def test_what_may_have_been_made_is_not_passed_over(
    ends: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When its result cannot be said, where to look is."""

    async def operation(_: None, env: Env) -> Thing:
        if ends == "interrupted":
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        return Thing(target=env.target)

    with open("/dev/full", "w") as full:
        if ends == "unwritable":
            monkeypatch.setattr("sys.stdout", full)
        status = _run(operation, face=FACE._replace(look="rtcctl thing list"))
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
    assert status == (143 if ends == "interrupted" else 2)
    assert "look with `rtcctl thing list` before repeating it" in capsys.readouterr().err


def test_signal_handlers_are_put_back() -> None:
    """After a command Ctrl-C works as it did before it."""
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    _run(_good)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_background_job_keeps_ignoring_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    """`rtcctl … &` in a script has SIGINT ignored, and that is respected."""

    async def operation(_: None, env: Env) -> Thing:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.01)
        return Thing(value="went on")

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert _run(operation) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert "went on" in capsys.readouterr().out


@pytest.mark.parametrize("output", list(OutputFormat))
def test_no_secret_in_any_output(output: OutputFormat, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the operation says, its profile's secrets are masked: results, events, errors, reports."""
    report = tmp_path / "report.json"

    async def operation(_: None, env: Env) -> Thing:
        env.emit(Warned(text=f"warned of {SECRET}"))
        with env.keeping(lambda: Thing(target=env.target, value=SECRET)):
            raise ApiError(f"refused {SECRET}", hint=SECRET)

    assert _run(operation, output=output, reports=(Report(ReportFormat.JSON, report),)) == 5
    assert SECRET not in "".join(capsys.readouterr()) + report.read_text()


def test_secrets_are_masked_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Log lines of --verbose are masked like everything else."""
    import logging

    async def operation(_: None, env: Env) -> Thing:
        logging.getLogger("rtcctl.test").info("sending %s", SECRET)
        return Thing()

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        assert _run(operation, verbose=1) == 0
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    err = capsys.readouterr().err
    assert "INFO rtcctl.test: sending •••" in err


def test_reports_are_written_beside_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--report is repeatable and leaves stdout alone."""
    reports = tuple(Report(format_, tmp_path / format_) for format_ in ReportFormat)
    assert _run(_good, reports=reports) == 0
    assert all((tmp_path / format_).read_text() for format_ in ReportFormat)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(ReportFormat)


def test_a_report_tells_of_an_error_without_a_result(tmp_path: Path) -> None:
    """A job that reads only the report sees why there is nothing in it."""

    async def operation(_: None, env: Env) -> Thing:
        raise NetworkError("Nobody listens.", phase="tcp")

    path = tmp_path / "junit.xml"
    assert _run(operation, reports=(Report(ReportFormat.JUNIT, path),)) == 6
    assert 'message="Nobody listens."' in path.read_text()


def test_github_gets_annotations_and_a_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under GitHub Actions the table stays; failures are annotated, and the step summary has a table."""
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    async def operation(_: None, env: Env) -> Thing:
        return Thing(checks=(Check("loss", CheckStatus.FAILED, detail="too much"),))

    assert _run(operation) == 3
    out, err = capsys.readouterr()
    assert "value" in out
    assert "::error title=rtcctl test thing%3A loss::failed: too much" in err
    assert "| loss |" in summary.read_text()


def test_curl_prints_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """--curl prints the calls with variables for secrets; the operation does not run."""
    from rtcctl.realtime.curl import ApiCall

    async def operation(_: None, env: Env) -> Thing:
        raise AssertionError("it ran")

    face = FACE._replace(calls=lambda profile: (ApiCall("POST", "sessions/new"),))
    assert _run(operation, face=face, curl=True) == 0
    out = capsys.readouterr().out
    assert "--request POST http://127.0.0.1:1/v1/apps/app/sessions/new" in out
    assert "$RTCCTL_APP_SECRET" in out
    assert SECRET not in out


@pytest.mark.parametrize(("yes", "expected"), [(True, 0), (False, 2)])
def test_something_foreign_is_not_ended_without_a_word(
    yes: bool, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal, ending something foreign needs --yes."""

    async def operation(_: None, env: Env) -> Thing:
        env.confirm("End it?")
        return Thing()

    assert _run(operation, face=FACE._replace(yes=yes)) == expected
    assert yes or "--yes" in capsys.readouterr().err


def test_an_unusable_journal_is_a_warning(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command does not fail because its journal cannot be written."""
    state_dir.write_text("a file in place of the folder")
    assert _run(_good) == 0
    assert capsys.readouterr().err.startswith("warning: the journal cannot be used")


def test_ignored_variables_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A profile is one bundle: what the environment says besides is ignored aloud."""
    face = FACE._replace(resolution=Resolution(PROFILE, ignored=("RTCCTL_APP_ID",), warnings=("careful",)))
    assert _run(_good, face=face) == 0
    err = capsys.readouterr().err
    assert "warning: profile test is used as a whole; ignored: RTCCTL_APP_ID" in err
    assert "warning: careful" in err


def test_short_secrets_do_not_garble_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    """A "secret" of a few letters would mask the words of the output."""
    keep_secret("fine")
    assert _run(_good) == 0
    assert "fine" in capsys.readouterr().out
