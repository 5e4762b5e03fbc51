"""What is said of a trace: where it failed first, and why."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtcctl.errors import UsageError
from rtcctl.report import table
from rtcctl.trace.folder import SCHEMA, TraceFolder
from rtcctl.trace.reading import read

URL = "http://127.0.0.1:1/v1/apps/app/sessions/abc/tracks/new"
BEGIN = {
    "kind": "begin",
    "schema": SCHEMA,
    "at_s": 0.0,
    "versions": {"rtcctl": "0.1"},
    "command": "track subscribe",
    "arguments": ["track", "subscribe", "abc/mic"],
    "target": {"profile": "staging", "api_base": "http://127.0.0.1:1/v1", "app_id": "app", "embedded": False},
    "started_at": 1700000000.0,
    "pid": 7,
}


def written(path: Path, *lines: dict[str, Any], **begin: Any) -> Path:
    folder = TraceFolder(path)
    for line in (BEGIN | begin, *lines):
        folder.write(json.dumps(line))
    folder.close()
    return path


def call(at_s: float, status: int | None, answer: object = None, **more: object) -> dict[str, Any]:
    usual = {"method": "POST", "url": URL, "attempt": 1, "request_body": None, "ray": "8f-FRA", "error": None}
    return {"kind": "exchange", "at_s": at_s, "status": status, "answer_body": answer, "took_ms": 1.0} | usual | more


def state(at_s: float, name: str) -> dict[str, Any]:
    return {"kind": "state", "at_s": at_s, "peer": 1, "state": name, "selected_pair": None}


def end(at_s: float, status: int, **more: object) -> dict[str, Any]:
    return {"kind": "end", "at_s": at_s, "exit_status": status} | more


def test_a_refusal_is_explained_and_comes_first(tmp_path: Path):
    """The service's words, what its code means, the Cf-Ray; how the command ended follows from it."""
    refused = {"errorCode": "unauthorized", "errorDescription": "no such secret"}
    failure = {"exit_status": 4, "message": "POST …: 401 unauthorized", "hint": "Check the secret."}
    trace = written(tmp_path / "t", call(0.2, 401, refused), end(0.3, 4, failure=failure))
    result = read(trace)
    assert (
        result.verdict
        == "The first failure, after 0.2 s: POST sessions/abc/tracks/new: 401 unauthorized: no such secret"
    )
    assert "config check" in result.findings[0].hint
    assert (result.command_exit_status, result.is_complete, result.rays) == (4, True, ("8f-FRA",))
    assert result.next_commands == ("rtcctl config check --profile staging",)
    assert [finding.where for finding in result.findings] == ["POST sessions/abc/tracks/new", "the command"]


def test_an_error_of_one_item_is_a_failure(tmp_path: Path):
    """A 200 may hold one per track."""
    item = {"trackName": "mic", "errorCode": "not_found_track_error", "errorDescription": "Track not found"}
    result = read(written(tmp_path / "t", call(0.2, 200, {"tracks": [item]}), end(0.3, 5)))
    assert "200 not_found_track_error of mic: Track not found" in result.verdict
    assert "that it is sending" in result.findings[0].hint


def test_what_was_overcome_is_not_the_failure(tmp_path: Path):
    """A call that went well when it was sent again, and warnings, are told and not blamed."""
    busy = call(0.2, 503, {"errorCode": "backend_error"})
    warned = {"kind": "event", "at_s": 0.4, "event": {"event": "warning", "text": "slow"}}
    result = read(written(tmp_path / "t", busy, call(1.2, 200, {"tracks": []}, attempt=2), warned, end(2.0, 0)))
    assert result.verdict == "Nothing failed."
    assert [(f.is_overcome, f.where) for f in result.findings] == [
        (True, "POST sessions/abc/tracks/new, attempt 1"),
        (True, "warning"),
    ]
    assert result.next_commands == ()


def test_a_command_that_ended_well_has_no_failure(tmp_path: Path):
    """What it asked after the end of a session may well be refused."""
    result = read(written(tmp_path / "t", call(0.2, 410, {"errorCode": "session_error"}), end(2.0, 0)))
    assert (result.verdict, result.findings[0].is_overcome) == ("Nothing failed.", True)


def test_a_mistake_of_the_request_is_found(tmp_path: Path):
    """What the explanations know of bodies is said beside what the service says."""
    body = {"tracks": [{"location": "remote", "sessionId": "p", "trackname": "mic"}]}
    result = read(written(tmp_path / "t", call(0.2, 400, {"errorCode": "decoding_error"}, request_body=body)))
    assert any("trackName" in finding.hint or "trackName" in finding.what for finding in result.findings)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("checking", "failed", "closed"), "no connection: it failed while checking"),
        (("checking", "handshaking", "closed"), "no connection: it got as far as handshaking"),
        (("checking", "handshaking", "connected", "failed"), "the connection failed"),
        (("checking", "handshaking", "connected", "closed"), "the connection was closed by the other side"),
    ],
)
def test_a_connection_that_fails(tmp_path: Path, states: tuple[str, ...], said: str):
    """How far it got tells where to look."""
    lines = [state(0.1 * number, name) for number, name in enumerate(states, 1)]
    result = read(written(tmp_path / "t", *lines, end(9.0, 6)))
    assert said in result.verdict
    assert "peer 1" in result.verdict


def test_closing_in_the_end_is_no_failure(tmp_path: Path):
    """Neither of a connection that was up, nor of one that nobody began."""
    leaving = {"kind": "peer", "at_s": 0.5, "peer": 1, "is_leaving": True}
    up = [state(0.1, "checking"), state(0.2, "connected"), leaving, state(0.6, "closed")]
    assert read(written(tmp_path / "t", *up, end(1.0, 0))).verdict == "Nothing failed."
    assert read(written(tmp_path / "t", leaving, state(0.6, "closed"), end(1.0, 0))).verdict == "Nothing failed."


def test_an_outage_that_was_recovered_from(tmp_path: Path):
    """Whatever failed in it is told and not blamed; without a recovery it is the failure."""

    def said(at_s: float, **event: object) -> dict[str, Any]:
        return {"kind": "event", "at_s": at_s, "event": event}

    up = [state(0.1, "checking"), state(0.2, "connected")]
    lost = [
        state(5.0, "closed"),
        said(5.1, event="connection_lost", session_id="abc", reason="closed by the other side", silent_s=0.1),
        call(5.2, None, error="refused"),
        said(5.3, event="recovery_failed", attempt=1, reason="nobody listens", pause_s=1.0),
    ]
    recovered = said(7.0, event="recovered", outage={"session_id": "abc", "duration_s": 2.0})
    late = call(8.0, 401, {"errorCode": "unauthorized"}, method="PUT")
    result = read(written(tmp_path / "recovered", *up, *lost, recovered, late, end(9.0, 4)))
    assert "after 8.0 s" in result.verdict
    assert [finding.where for finding in result.findings] == [
        "peer 1",
        "session abc",
        "POST sessions/abc/tracks/new",
        "recovery",
        "PUT sessions/abc/tracks/new",
    ]
    left = call(7.1, 410, {"errorCode": "session_error"}, method="PUT")
    result = read(written(tmp_path / "left", *up, *lost, recovered, left, late, end(9.0, 4)))
    assert "after 8.0 s" in result.verdict, "what was lost was not there to be closed any more"
    result = read(written(tmp_path / "lost", *up, *lost, end(9.0, 6)))
    assert result.verdict == "The first failure, after 5.0 s: peer 1: the connection was closed by the other side"


def test_checks_that_did_not_pass(tmp_path: Path):
    """Each as it was said, in the order of time; the result's own where the command says none meanwhile."""
    said = {
        "kind": "event",
        "at_s": 3.0,
        "event": {"event": "check", "name": "loss", "status": "failed", "detail": "9 %"},
    }
    assert "check loss: failed: 9 %" in read(written(tmp_path / "t", said, end(4.0, 3))).verdict
    checks = [{"name": "received", "status": "inconclusive", "detail": "busy", "hint": ""}]
    result = read(written(tmp_path / "t", end(4.0, 8, result={"checks": checks, "next_commands": ["rtcctl x"]})))
    assert "check received: inconclusive: busy" in result.verdict
    assert result.next_commands == ("rtcctl x",)


def test_a_command_that_was_killed(tmp_path: Path):
    """It says so, and what had failed until then."""
    result = read(written(tmp_path / "t", call(0.2, 201, {"sessionId": "abc"}), state(0.4, "checking")))
    assert (result.is_complete, result.command_exit_status) == (False, None)
    assert result.verdict.startswith("It was killed, or still runs: its last line is of 0.4 s. ")
    bug = read(written(tmp_path / "t", end(0.5, 1, error="KeyError: 'x'")))
    assert "the command: KeyError: 'x'" in bug.verdict


def test_what_is_no_trace(tmp_path: Path):
    """A folder of something else, and none at all."""
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match="is no trace"):
            read(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 600) | st.floats(0, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = (
    *("at_s", "peer", "state", "session_id", "method", "url", "attempt", "status", "request_body", "answer_body"),
    *("ray", "error", "event", "exit_status", "failure", "result", "target", "versions", "arguments", "is_leaving"),
)
HOSTILE = st.fixed_dictionaries(
    {"kind": st.sampled_from(("begin", "exchange", "peer", "state", "event", "end", "log"))},
    optional=dict.fromkeys(FIELDS, JSON),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(HOSTILE, max_size=3),
    st.dictionaries(st.sampled_from(("versions", "command", "arguments", "target", "started_at", "at_s")), JSON),
)
def test_a_trace_that_somebody_has_edited(tmp_path: Path, lines: list[dict[str, Any]], begin: dict[str, Any]):
    """It comes from anybody: an error that says so, or what can be read of it, and a table."""
    good = (call(0.2, 503), state(0.4, "checking"), end(1.0, 6))
    with suppress(UsageError):
        table.render(read(written(tmp_path / "t", *good, *lines, **begin)), width=100, colour=False)
