"""One class per thing the caller does differently, each with its exit status."""

from __future__ import annotations

import pytest

from rtcctl.errors import (
    ApiError,
    AuthError,
    DeadlineError,
    ExitStatus,
    InconclusiveError,
    NetworkError,
    ParseError,
    RtcctlError,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("m"), 2),
        (AuthError("m", status=401, code="unauthorized", ray="r"), 4),
        (ApiError("m"), 5),
        (NetworkError("m", phase="dns"), 6),
        (DeadlineError("m", awaited="a", after_s=1.0), 7),
        (InconclusiveError("m"), 8),
        (RtcctlError("m"), 1),
    ],
)
def test_exit_statuses(error: RtcctlError, status: int):
    """Codes are only added: scripts branch on these."""
    assert error.exit_status == status
    assert (str(error), error.message, error.hint) == ("m", "m", "")


def test_the_whole_table():
    """A changed number is a broken script."""
    assert {status.name: int(status) for status in ExitStatus} == {
        "OK": 0,
        "BUG": 1,
        "USAGE": 2,
        "CHECK_FAILED": 3,
        "AUTH": 4,
        "API": 5,
        "NETWORK": 6,
        "DEADLINE": 7,
        "INCONCLUSIVE": 8,
        "HUNG_UP": 129,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_gone_is_410_and_nothing_else():
    """Make a new session, never retry."""
    assert ApiError("m", status=410).is_gone
    assert not ApiError("m", status=404).is_gone
    assert not ApiError("m").is_gone


def test_a_parse_error_names_expectation_and_offset():
    """It is the sender's fault, and a ValueError for who does not know us."""
    error = ParseError("12 bytes", offset=3)
    assert str(error) == "expected 12 bytes at offset 3"
    assert (error.expected, error.offset) == ("12 bytes", 3)
    assert isinstance(error, ValueError)
    assert not isinstance(error, RtcctlError)
