"""What a running probe says: how often, of media that stops, and at the end."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtcctl.journal import Journal
from rtcctl.ops.env import Env
from rtcctl.ops.running import Flow, each_interval, next_due, subscribe_result, subscribed_track
from rtcctl.probe.peer import ConnectionTiming
from rtcctl.realtime.profile import Profile
from rtcctl.results.event import Event, Interval
from rtcctl.results.result import Percentiles
from rtcctl.results.track import LayerSwitch, ReceivedStatistics


@dataclass
class Clock:
    """One that only moves when it is told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class Times:
    """A peer that stays connected; the clock moves on by `steps` whenever it is waited for."""

    def __init__(self, clock: Clock, steps: list[float]) -> None:
        self._clock = clock
        self._steps = iter(steps)

    async def wait_lost(self, silence_s: float) -> None:
        self._clock.now += next(self._steps)
        raise TimeoutError


async def reported(path: Path, steps: list[float], *, for_s: float, interval_s: float) -> list[float]:
    """When two tracks reported."""
    clock, said = Clock(), list[Event]()
    with Journal.open(path) as journal:
        env = Env(Profile(name="test", api_base="http://127.0.0.1:1/v1"), journal, clock=clock, emit=said.append)
        await each_interval(
            env,
            Times(clock, steps),  # type: ignore[arg-type]
            "s",
            lambda now: [Interval(session_id="s", track_name=name, elapsed_s=now - 100) for name in ("a", "b")],
            started=clock.now,
            for_s=for_s,
            interval_s=interval_s,
        )
    return [round(event.elapsed_s, 3) for event in said if isinstance(event, Interval)]


@pytest.mark.parametrize(
    ("steps", "for_s", "interval_s", "expected"),
    [
        ([0.5, 0.5], 1.0, 0.5, [0.5, 1.0]),
        ([1.0, 0.5], 1.5, 1.0, [1.0]),
        ([0.1] * 10, 1.0, 0.1, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        # Woken for nothing.
        ([0.3, 0.7], 1.0, 1.0, [1.0]),
    ],
)
async def test_each_track_reports_each_interval(
    tmp_path: Path, steps: list[float], for_s: float, interval_s: float, expected: list[float]
):
    """As often as was asked for."""
    times = await reported(tmp_path, steps, for_s=for_s, interval_s=interval_s)
    assert times == [time for time in expected for _ in ("a", "b")]


@pytest.mark.parametrize(
    ("now", "due"), [(100.0, 100.1), (100.0995, 100.2), (100.1, 100.2), (100.45, 100.5), (100.09, 100.1)]
)
def test_a_late_machine_reports_once(now: float, due: float):
    """Not once for each interval it has missed; a timer that was a little early has not missed its own."""
    assert next_due(100.0, now, 0.1) == pytest.approx(due)


def test_all_that_was_received_is_in_the_result(tmp_path: Path):
    """Flat for the first track, and again among all of them, nested values as what they are."""
    statistics = ReceivedStatistics(
        interval_s=10.0,
        packets_received=500,
        bytes_received=80_000,
        latency_ms=Percentiles(1.0, 2.0, 3.0),
        freezes=0,
        layer="h",
        layer_switches=(LayerSwitch(at_s=0.0, previous=None, layer="h"),),
    )
    timing = ConnectionTiming(20.0, 8.0, "a → b relay/udp via turn:c (udp)", "relay", "udp", "turn:c")
    subscriptions = [
        SimpleNamespace(
            session_id="s",
            publisher_session_id="p",
            track_name=name,
            mid=mid,
            requested_at=1.0,
            receiver=SimpleNamespace(
                codec="VP8/90000", kind="video", first_packet_at=first_packet_at, first_frame_at=first_frame_at
            ),
            timing=timing,
        )
        for name, mid, first_packet_at, first_frame_at in (("cam", "0", 1.5, 1.75), ("screen", "1", None, None))
    ]
    other = subscribed_track(subscriptions[1], statistics)  # type: ignore[arg-type]
    with Journal.open(tmp_path) as journal:
        result = subscribe_result(
            Env(Profile(name="test", api_base="http://127.0.0.1:1/v1"), journal),
            subscriptions[0],  # type: ignore[arg-type]
            statistics,
            others=[other],
            checks=(),
        )
    first = result.tracks[0]
    assert [track.track_name for track in result.tracks] == ["cam", "screen"]
    assert (result.time_to_first_packet_ms, result.time_to_first_frame_ms) == (500, 750)
    assert (result.kind, result.candidate_type, result.relay_protocol, result.url) == (
        "video",
        "relay",
        "udp",
        "turn:c",
    )
    assert other.time_to_first_packet_ms is None
    assert result.latency_ms == Percentiles(1.0, 2.0, 3.0)
    assert result.layer_switches == statistics.layer_switches
    assert result.duration_s == 10.0
    assert {f.name: getattr(first, f.name) for f in fields(first)} == {
        f.name: getattr(result, f.name) for f in fields(first)
    }


def test_a_silence_is_said_once_and_counted_to_the_end():
    """Two seconds without a packet are said; what comes again ends the silence."""
    flow = Flow()
    assert flow.silent_s(9.0) == 0
    said = [flow.note(packets, float(second)) for second, packets in enumerate([50, 50, 0, 0, 0, 0], 1)]
    assert [text is not None for text in said] == [False, False, False, True, False, False]
    assert "no media for 2 s" in (said[3] or "")
    assert flow.silent_s(6.5) == 4.5
    assert flow.note(50, 7.0) is None
    assert flow.silent_s(7.0) == 0
