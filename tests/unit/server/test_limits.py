"""What a time scale does to the service's timers, and what it leaves alone."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from rtcctl.server.dtls_transport import SILENCE_S
from rtcctl.server.limits import SHORTEST_DISCONNECTED_S, Limits

UNSCALED = {"tracks_per_request", "media_sections", "requests_per_second", "body_bytes", "turn_ttl_max", "body_wait_s"}


def test_a_scale_of_one_changes_nothing() -> None:
    """The defaults are the service's."""
    assert Limits().scaled(1.0) == Limits()


@pytest.mark.parametrize("factor", [0.001, 0.1, 0.5, 2.0, 1000.0])
def test_timers_are_multiplied(factor: float) -> None:
    """All but three: counts and guards stay, the sweep stays useful, and a live client stays alive."""
    before, after = asdict(Limits()), asdict(Limits().scaled(factor))
    for name, value in after.items():
        if name in UNSCALED:
            assert value == before[name]
        elif name not in ("disconnected_s", "sweep_s"):
            assert value == pytest.approx(before[name] * factor)
    assert {f.name for f in fields(Limits)} >= UNSCALED


@pytest.mark.parametrize(
    ("factor", "gone_after_s"), [(0.001, 10.0), (0.1, 10.0), (0.5, 15.0), (1.0, 30.0), (10.0, 300.0)]
)
def test_a_live_client_is_never_taken_for_gone(factor: float, gone_after_s: float) -> None:
    """Consent checks come up to 6 s apart, so no scale makes a session gone before 10 s of silence."""
    scaled = Limits().scaled(factor)
    assert scaled.disconnected_s == pytest.approx(gone_after_s)
    assert scaled.disconnected_s > SILENCE_S


def test_a_shorter_time_that_was_asked_for_is_kept() -> None:
    """Who sets 1 s means it; scaling makes it no longer."""
    assert Limits(disconnected_s=1.0).scaled(0.1).disconnected_s == 1.0
    assert Limits(disconnected_s=1.0).scaled(3.0).disconnected_s == 3.0
    assert SHORTEST_DISCONNECTED_S > 6.0


def test_the_sweep_follows_within_reason() -> None:
    """A short scale is looked at often enough to be exact, a tiny one does not spin, a long one is not neglected."""
    assert Limits().scaled(0.1).sweep_s == pytest.approx(0.05)
    assert Limits().scaled(0.001).sweep_s == pytest.approx(0.02)
    assert Limits().scaled(1000.0).sweep_s == pytest.approx(0.5)
