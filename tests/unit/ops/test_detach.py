"""What is told of a detached publisher that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtcctl.ops.detach import _child_error


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
