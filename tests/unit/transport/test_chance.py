"""Covers rtcctl/transport/chance.py."""

from __future__ import annotations

from rtcctl.transport.chance import _STREAMS, Chance


def test_tracks_that_come_and_go_take_no_memory() -> None:
    """However many a session has in its life, only as many are remembered as it could have at once; and for those
    chance goes on where it was."""
    chance = Chance(5)
    first = [chance.draw("mic") for _ in range(3)]
    for number in range(_STREAMS - 1):
        chance.draw(f"track {number}")
    assert chance.draw("mic") not in first
    chance.draw("one more")
    assert [chance.draw("mic") for _ in range(3)] == first
    assert len(chance._streams) == _STREAMS
