"""What is made of the messages that arrive, and when a probe stops sending."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rtcctl.journal import Journal
from rtcctl.ops import channel_measure
from rtcctl.ops.channel_measure import HEADER, Stream, Tally, judge_path, send
from rtcctl.ops.channel_probe import POLICIES
from rtcctl.ops.env import Env
from rtcctl.realtime.profile import Profile
from rtcctl.results.channel import PathState

BOOT = 0x1234


def message(counter: int, sent_ns: int = 0, boot: int = BOOT, size: int = 100) -> bytes:
    return HEADER.pack(counter, sent_ns, boot).ljust(size, b"\0")


def test_each_message_counts_once_whatever_the_order():
    """Late ones are reordered, second ones duplicates without a latency, and what is not ours is passed over."""
    tally = Tally(BOOT, 50.0)
    for counter in (0, 2, 1, 1, 5, 3, 4):
        tally.receive(message(counter, sent_ns=1_000_000), 3_500_000)
    tally.receive(message(9, boot=BOOT + 1), 0)
    tally.receive(message(9)[:19], 0)
    tally.receive(b"", 0)
    assert (tally.received, tally.reordered, tally.duplicated) == (6, 3, 1)
    assert len(tally.latencies_ms) == 6
    assert tally.latencies_ms.percentiles(0, 100) == (2.5, 2.5)
    assert tally.rate_hz is None


async def test_waiting_for_so_many():
    """Returns as soon as they are there, and at once when they have been."""
    tally = Tally(BOOT, 50.0)
    waiting = asyncio.ensure_future(tally.wait_received(2))
    for counter in range(2):
        assert not waiting.done()
        tally.receive(message(counter), 0)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert waiting.done()
    await tally.wait_received(1)


def tallied(arrivals: list[float], rate_hz: float = 50.0) -> Tally:
    """Messages sent at the rate from 0, which arrived at these times (in seconds)."""
    tally = Tally(BOOT, rate_hz)
    for number, arrived_s in enumerate(arrivals):
        tally.receive(message(number, round(number / rate_hz * 1e9)), round(arrived_s * 1e9))
    return tally


@pytest.mark.parametrize(
    ("arrivals", "is_late"),
    [
        ([0.01 + n / 50 for n in range(200)], False),
        ([5.0 + n / 50 for n in range(200)], False),
        ([0.01 + n / 40 for n in range(200)], False),
        ([0.01 + n / 25 for n in range(50)], False),
        ([0.01 + n / 25 for n in range(80)], True),
        ([0.01] + [3.0 + n / 5000 for n in range(149)], False),
        ([0.01] + [2.0] * 90 + [2.5] * 10 + [4.5] * 50 + [6.5] * 20, False),
    ],
    ids=["even", "far", "a-little-slow", "slow-and-short", "slow", "a-stall", "stalls"],
)
def test_a_queue_is_told_from_distance_and_from_stalls(arrivals: list[float], is_late: bool):
    """Latency that grows while messages go on arriving, and not one that was long from the start or a moment's."""
    assert tallied(arrivals).is_late is is_late


def test_what_a_path_carries():
    """From the first arrival to the last."""
    assert tallied([1.0 + n / 20 for n in range(101)]).rate_hz == pytest.approx(20)


@pytest.mark.parametrize(
    ("policy", "arrivals", "sent", "is_braked", "waiting", "now", "expected"),
    [
        ("chat", [0.1, 0.2], 2, False, 0, 0.3, PathState.GOOD),
        ("chat", [0.1, 0.2], 2, True, 0, 0.3, PathState.SLOW),
        ("chat", [0.1, 0.2], 3, False, 0, 5.2, PathState.GOOD),
        ("chat", [0.1, 0.2], 3, False, 0, 1.0, PathState.SLOW),
        ("chat", [0.1, 0.2], 9, True, 0, 1.0, PathState.SLOW),
        ("chat", [0.1, 0.2], 9, True, 0, 5.2, PathState.STALLED),
        ("chat", [], 9, True, 0, 5.2, PathState.STALLED),
        ("game", [0.1, 0.2], 3, False, 0, 0.5, PathState.GOOD),
        ("game", [0.1, 0.2], 9, True, 0, 5.2, PathState.SLOW),
        ("game", [0.1, 0.2], 9, True, 100, 5.2, PathState.STALLED),
    ],
)
def test_slow_or_stalled(
    policy: str, arrivals: list[float], sent: int, is_braked: bool, waiting: int, now: float, expected: PathState
):
    """What is missing of a reliable channel while others arrive is on its way; after that it is lost."""
    state = judge_path(
        tallied(arrivals),
        sent,
        POLICIES[policy],
        is_braked=is_braked,
        waiting_bytes=waiting,
        monotonic_s=now,
    )
    assert state is expected


class Pipe:
    """A channel that lets everything wait, or nothing."""

    def __init__(self, *, holds: bool) -> None:
        self.holds = holds
        self.buffered_bytes = 0
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        self.buffered_bytes += self.holds * len(data)


@pytest.mark.parametrize(
    ("stream", "holds", "expected"),
    [
        (Stream(1000.0, 100, 0.2), False, (200, False)),
        (Stream(20.0, 100, 1.5), True, (21, True)),
        (Stream(2000.0, 16384, 0.5), True, (65, True)),
        (Stream(7.0, 100, 1.5), True, (9, True)),
    ],
    ids=["goes", "a-second-waits", "a-mebibyte-waits", "eight-may-wait"],
)
async def test_the_brake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: Stream, holds: bool, expected: tuple[int, bool]
):
    """No more is sent once more than a second's messages, or a mebibyte, wait unsent."""
    monkeypatch.setattr(channel_measure, "MAX_BEHIND_S", 10.0)
    pipe: Any = Pipe(holds=holds)
    with Journal.open(tmp_path) as journal:
        env = Env(Profile(name="test", api_base="http://127.0.0.1:1/v1"), journal)
        assert await send(pipe, stream, Tally(BOOT, stream.rate_hz), env) == expected
    assert len(pipe.sent) == expected[0]


async def test_what_is_late_brakes(tmp_path: Path):
    """A queue behind the SFU is nothing that waits here."""
    pipe: Any = Pipe(holds=False)
    tally = tallied([0.01 + n / 25 for n in range(80)])
    with Journal.open(tmp_path) as journal:
        env = Env(Profile(name="test", api_base="http://127.0.0.1:1/v1"), journal)
        assert await send(pipe, Stream(50.0, 100, 3.0), tally, env) == (0, True)
