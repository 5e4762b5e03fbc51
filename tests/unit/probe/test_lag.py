"""Covers rtcctl/probe/lag.py."""

from __future__ import annotations

import pytest

from rtcctl.probe.lag import MAX_LAG_MS, MAX_P99_MS, LoopMonitor


def recorded(*lags_ms: float) -> LoopMonitor:
    monitor = LoopMonitor(clock=lambda: 0.0)
    for lag_ms in lags_ms:
        monitor.record(lag_ms)
    return monitor


def test_nothing_measured_is_no_reason():
    """Before the first sample the machine is not accused."""
    monitor = recorded()
    assert (monitor.p99_ms, monitor.max_ms, monitor.reason) == (0.0, 0.0, None)


def test_p99_is_the_lag_that_one_sample_in_a_hundred_reaches():
    """The percentile is exact to the width of a bucket, 0.1 ms."""
    assert recorded(*range(100)).p99_ms == pytest.approx(98.1)
    assert recorded(*[1.0] * 990, *[70.0] * 10).p99_ms == pytest.approx(1.1)
    assert recorded(*[1.0] * 990, *[70.0] * 11).p99_ms == pytest.approx(70.1)


def test_a_machine_that_keeps_up_is_not_accused():
    """Single stalls below the limit, as on any shared machine, are let pass."""
    assert recorded(*[2.0] * 500, 120.0, 300.0).reason is None


def test_frequent_stalls_make_the_measurement_inconclusive():
    """More than one sample in a hundred above the limit is a reason, and names the figure."""
    reason = recorded(*[2.0] * 90, *[MAX_P99_MS + 30] * 10).reason
    assert reason is not None
    assert "80 ms" in reason


def test_one_long_standstill_makes_the_measurement_inconclusive():
    """A stall that may overflow socket buffers is a reason even when it is the only one."""
    reason = recorded(*[2.0] * 10_000, MAX_LAG_MS + 1).reason
    assert reason is not None
    assert "1001 ms" in reason


def test_reset_forgets():
    """What setting up cost says nothing about the measurement."""
    monitor = recorded(*[500.0] * 10)
    monitor.reset()
    assert monitor.reason is None
    assert monitor.max_ms == 0.0
