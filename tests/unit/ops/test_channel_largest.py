"""How the largest message is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rtcctl.ops import channel_largest
from rtcctl.ops.channel_largest import largest_message
from rtcctl.ops.channel_probe import POLICIES
from rtcctl.probe.transport import Arrival


class Wire:
    """Both ends of a channel that passes messages of some sizes only."""

    def __init__(self, passes: Callable[[int], bool], *, announced: int) -> None:
        self.passes = passes
        self.max_message_bytes = announced
        self.tried: list[int] = []
        self.on_message: Any = None

    def send(self, message: bytes) -> None:
        self.tried.append(len(message))
        if self.passes(len(message)):
            self.on_message(message, Arrival(0.0, 0))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_largest, "LARGE_S", 0.01)
    monkeypatch.setattr(channel_largest, "UNRELIABLE_LARGE_S", 0.01)


@pytest.mark.parametrize(
    ("limit", "announced"), [(10**9, 262_144), (10**9, 16_384), (16_384, 262_144), (5_000, 16_384), (700, 16_384)]
)
async def test_the_largest_message_is_found(limit: int, announced: int):
    """To the kilobyte, in a bounded number of attempts; more than the SFU says it takes is not tried."""
    wire: Any = Wire(lambda size: size <= limit, announced=announced)
    found = await largest_message(wire, wire, POLICIES["chat"])
    largest = min(limit, announced)
    assert found is not None
    assert max(0, largest - 1024) < found <= largest
    assert len(wire.tried) <= 12
    assert max(wire.tried) == announced


async def test_nothing_passes():
    """`None`, and no waiting for ever."""
    wire: Any = Wire(lambda size: False, announced=16_384)
    assert await largest_message(wire, wire, POLICIES["chat"]) is None


async def test_a_large_message_may_be_lost_once_on_an_unreliable_channel():
    """It is tried again before it counts as too large."""
    wire: Any = Wire(lambda size: len(wire.tried) > 1, announced=16_384)
    assert await largest_message(wire, wire, POLICIES["game"]) == 16_384
