"""What is told of a detached publisher that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtcctl.errors import ExitStatus
from rtcctl.ops.detach import _child_error, _events


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            'warning: x\n{"error": "nobody listens", "exit_status": 6, "hint": "rtcctl dev"}\n',
            "nobody listens",
            "rtcctl dev",
        ),
        ('{"error": "nobody listens", "hint": null}\n', "nobody listens", ""),
        ("error: unexpected ValueError: x\nhint: a bug\n", "unexpected ValueError: x", ""),
        ("", "The detached publisher ended with status 6.", ""),
    ],
)
def test_the_error_of_the_child_is_ours(said: str, message: str, hint: str, tmp_path: Path):
    """Its message, its hint and its exit status, whichever way it put them."""
    path = tmp_path / "child.err"
    path.write_text(said)
    error = _child_error(path, 6)
    assert (error.message, error.hint, error.exit_status) == (message, hint, 6)


def test_a_child_that_ended_is_never_a_success():
    """An error has a status that says so, also where the child had none to give."""
    path = Path("/dev/null")
    assert _child_error(path, 0).exit_status is ExitStatus.BUG
    assert _child_error(path, -9).exit_status is ExitStatus.BUG


def test_events_are_read_while_they_are_written(tmp_path: Path):
    """A line that is not whole yet is left for the next time, wherever it was cut; U+2028 is no line end of JSON's."""
    path = tmp_path / "child.jsonl"
    path.write_bytes('{"event": "published", "track_name": "a\u2028b"}\n{"track_name": "é'.encode()[:-1])
    assert _events(path) == [{"event": "published", "track_name": "a\u2028b"}]
