"""What a delivery policy promises, and what is asked of it, against what came of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rtcctl.ops.channel_judge import judge
from rtcctl.ops.channel_probe import POLICIES
from rtcctl.results.channel import PathState, PolicyFigures
from rtcctl.results.check import Check, CheckStatus, exit_status_of
from rtcctl.results.result import Percentiles

FINE = PolicyFigures(
    policy="chat",
    delivery="",
    duration_s=1.0,
    messages_nominal=100,
    messages_sent=100,
    messages_received=100,
    messages_lost=0,
    fraction_lost=0.0,
    messages_reordered=0,
    messages_duplicated=0,
    rate_hz=100.0,
    bitrate_bps=80_000.0,
    latency_ms=Percentiles(1.0, 20.0, 30.0),
)
BUSY = "this machine is busy"
LOST_1: dict[str, Any] = {"messages_lost": 1, "messages_received": 99, "fraction_lost": 0.01}
LOST_60: dict[str, Any] = {"messages_lost": 60, "messages_received": 40, "fraction_lost": 0.6}
LOST_ALL: dict[str, Any] = {
    "messages_lost": 100,
    "messages_received": 0,
    "fraction_lost": 1.0,
    "latency_ms": None,
}
WAITING: dict[str, Any] = {
    "messages_sent": 60,
    "messages_received": 50,
    "messages_lost": None,
    "messages_waiting": 10,
    "fraction_lost": None,
    "path": PathState.SLOW,
    "rate_hz": 12.34,
}
ALL_SENT_BELOW: dict[str, Any] = {"messages_sent": 94, "messages_received": 94}
STALLED: dict[str, Any] = LOST_60 | {"messages_sent": 90, "messages_lost": 50, "path": PathState.STALLED}


def judged(policy: str, changes: dict[str, Any], saturated: str | None = None, **limits: Any) -> dict[str, Check]:
    return {check.name: check for check in judge(replace(FINE, **changes), POLICIES[policy], saturated, **limits)}


def not_passed(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if check.status is not CheckStatus.PASSED}


@pytest.mark.parametrize(
    ("policy", "changes", "saturated", "status", "bad"),
    [
        ("chat", {}, None, 0, set()),
        ("game", {}, None, 0, set()),
        ("chat", LOST_1, None, 3, {"loss"}),
        ("game", LOST_60, None, 0, set()),
        ("lifetime", LOST_60, None, 0, set()),
        ("chat", {"messages_reordered": 1}, None, 3, {"order"}),
        ("lifetime", {"messages_reordered": 1}, None, 3, {"order"}),
        ("unordered", {"messages_reordered": 50}, None, 0, set()),
        ("game", {"messages_duplicated": 1}, None, 3, {"duplicates"}),
        ("game", LOST_ALL, None, 3, {"received"}),
        ("chat", ALL_SENT_BELOW, None, 8, {"sent"}),
        ("chat", {"messages_sent": 95, "messages_received": 95}, None, 0, set()),
        ("chat", ALL_SENT_BELOW | {"messages_lost": 1, "messages_received": 93}, None, 8, {"sent", "loss"}),
        ("chat", LOST_1, BUSY, 8, {"sent", "loss"}),
        ("chat", {}, BUSY, 8, {"sent"}),
        ("chat", WAITING, None, 8, {"sent", "loss"}),
        ("game", WAITING, None, 8, {"sent"}),
        ("chat", {"path": PathState.SLOW}, None, 8, {"sent"}),
        ("chat", STALLED, None, 3, {"sent", "loss"}),
    ],
)
def test_promises(policy: str, changes: dict[str, Any], saturated: str | None, status: int, bad: set[str]):
    """Each policy is held to what it promises; a machine or a path that could not keep up knows nothing."""
    checks = judged(policy, changes, saturated)
    assert exit_status_of(checks.values()) == status
    assert not_passed(checks) == bad


@pytest.mark.parametrize(
    ("policy", "changes", "limit", "saturated", "status"),
    [
        ("game", LOST_1, 0.01, None, "passed"),
        ("game", LOST_1, 0.0, None, "failed"),
        ("lifetime", LOST_60, 0.01, None, "failed"),
        ("game", LOST_60, 0.01, BUSY, "inconclusive"),
        ("game", LOST_1, 0.01, BUSY, "passed"),
        ("game", LOST_60 | {"messages_nominal": 200}, 0.01, None, "inconclusive"),
        ("game", WAITING, 0.5, None, "inconclusive"),
        ("game", STALLED, 0.5, None, "failed"),
        ("chat", LOST_1, 0.5, None, "failed"),
        ("unordered", LOST_1, 0.5, None, "failed"),
    ],
)
def test_loss_against_its_limit(policy: str, changes: dict[str, Any], limit: float, saturated: str | None, status: str):
    """A reliable channel may lose nothing, whatever the limit; the others may lose as much, if anybody can tell."""
    assert judged(policy, changes, saturated, max_fraction_lost=limit)["loss"].status == status


@pytest.mark.parametrize(
    ("changes", "limits", "saturated", "expected"),
    [
        ({}, {"p95": 20.0}, None, ("passed", 20.0, 20.0)),
        ({}, {"p50": 1.0, "p99": 29.0}, None, ("failed", 30.0, 29.0)),
        ({}, {"p99": 29.0}, BUSY, ("inconclusive", 30.0, 29.0)),
        (ALL_SENT_BELOW, {"p99": 29.0}, None, ("inconclusive", 30.0, 29.0)),
        (WAITING, {"p95": 1000.0}, None, ("inconclusive", 20.0, 1000.0)),
    ],
)
def test_latency_against_its_limits(
    changes: dict[str, Any], limits: dict[str, float], saturated: str | None, expected: tuple[str, float, float]
):
    """Judged where a limit was given. What a slow path has delivered was in front of the queue: it passes nothing."""
    check = judged("game", changes, saturated, max_latency_ms=limits)["latency"]
    assert (check.status, check.observed, check.limit) == expected
    assert "latency" not in judged("game", LOST_ALL, max_latency_ms=limits)


def test_why_nothing_can_be_said():
    """The path and its rate in words, or the machine, which comes first."""
    slow = judged("chat", WAITING, max_latency_ms={"p95": 1.0})
    assert slow["sent"].detail == "60 of 100 messages: the path carries about 12 messages a second"
    assert "--rate" in slow["sent"].hint
    assert slow["loss"].detail == (
        "10 of 60 messages were still on their way; the path carries about 12 messages a second"
    )
    assert slow["latency"].detail.endswith("; the path carries about 12 messages a second")
    assert "less than one message" in judged("chat", WAITING | {"rate_hz": 0.4})["sent"].detail
    assert judged("chat", WAITING, BUSY)["sent"].detail.endswith(f": {BUSY}")
    assert "too slow to send" in judged("chat", ALL_SENT_BELOW)["sent"].detail
    assert "ceased to carry" in judged("chat", STALLED)["sent"].detail
