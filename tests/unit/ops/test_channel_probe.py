"""What `channel probe` makes of what arrived."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rtcctl.errors import UsageError
from rtcctl.ops.channel_probe import HEADER, POLICIES, ProbeRequest, Tally, check_request, judge, percentiles
from rtcctl.results.channel import PolicyFigures
from rtcctl.results.check import CheckStatus, exit_status_of
from rtcctl.results.result import Percentiles

FINE = PolicyFigures(
    policy="chat",
    delivery="",
    duration_s=1.0,
    messages_nominal=100,
    messages_sent=100,
    messages_received=100,
    messages_lost=0,
    messages_reordered=0,
    messages_duplicated=0,
    rate_hz=100.0,
    bitrate_bps=80_000.0,
)
BOOT = 0x1234


def message(counter: int, sent_ns: int = 0, boot: int = BOOT, size: int = 100) -> bytes:
    return HEADER.pack(counter, sent_ns, boot).ljust(size, b"\0")


def test_each_message_counts_once_whatever_the_order():
    """Late ones are reordered, second ones duplicates without a latency, and what is not ours is passed over."""
    tally = Tally(BOOT)
    for counter in (0, 2, 1, 1, 5, 3, 4):
        tally.receive(message(counter, sent_ns=1_000_000), 3_500_000)
    tally.receive(message(9, boot=BOOT + 1), 0)
    tally.receive(message(9)[:19], 0)
    tally.receive(b"", 0)
    assert (tally.received, tally.reordered, tally.duplicated) == (6, 3, 1)
    assert tally.latencies_ms == [2.5] * 6


async def test_waiting_for_so_many():
    """Returns as soon as they are there, and at once when they have been."""
    tally = Tally(BOOT)
    waiting = asyncio.ensure_future(tally.wait_received(2))
    for counter in range(2):
        assert not waiting.done()
        tally.receive(message(counter), 0)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert waiting.done()
    await tally.wait_received(1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([3.0], Percentiles(3.0, 3.0, 3.0)),
        (list(map(float, range(100, 0, -1))), Percentiles(50.0, 95.0, 99.0)),
        ([1.0] * 199 + [9.0], Percentiles(1.0, 1.0, 1.0)),
        ([1.0] * 98 + [9.0] * 2, Percentiles(1.0, 1.0, 9.0)),
    ],
)
def test_percentiles(values: list[float], expected: Percentiles | None):
    """By nearest rank: the smallest value that so many percent do not exceed."""
    assert percentiles(values) == expected


@pytest.mark.parametrize(
    ("policy", "changes", "saturated", "status", "bad"),
    [
        ("chat", {}, None, 0, set()),
        ("game", {}, None, 0, set()),
        ("chat", {"messages_lost": 1, "messages_received": 99}, None, 3, {"loss"}),
        ("game", {"messages_lost": 60, "messages_received": 40}, None, 0, set()),
        ("lifetime", {"messages_lost": 60, "messages_received": 40}, None, 0, set()),
        ("chat", {"messages_reordered": 1}, None, 3, {"order"}),
        ("lifetime", {"messages_reordered": 1}, None, 3, {"order"}),
        ("unordered", {"messages_reordered": 50}, None, 0, set()),
        ("game", {"messages_duplicated": 1}, None, 3, {"duplicates"}),
        ("game", {"messages_lost": 100, "messages_received": 0}, None, 3, {"received"}),
        ("chat", {"messages_sent": 94, "messages_received": 94}, None, 8, {"sent"}),
        ("chat", {"messages_sent": 95, "messages_received": 95}, None, 0, set()),
        ("chat", {"messages_lost": 1, "messages_received": 99}, "this machine is busy", 8, {"sent", "loss"}),
        ("chat", {}, "this machine is busy", 8, {"sent"}),
    ],
)
def test_what_is_good_enough(policy: str, changes: dict[str, int], saturated: str | None, status: int, bad: set[str]):
    """Each policy is held to what it promises; a machine that could not send or keep up knows nothing."""
    checks = judge(replace(FINE, **changes), POLICIES[policy], saturated)
    assert exit_status_of(checks) == status
    assert {check.name for check in checks if check.status is not CheckStatus.PASSED} == bad


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ProbeRequest(size_bytes=19), "20 to 16,384"),
        (ProbeRequest(size_bytes=16385), "20 to 16,384"),
        (ProbeRequest(("chat", "polite")), "polite is not a delivery policy"),
        (ProbeRequest(("chat", "chat")), "chat is named twice"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(request_: ProbeRequest, said: str):
    """With what would make sense."""
    with pytest.raises(UsageError, match=said):
        check_request(request_)
