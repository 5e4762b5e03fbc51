"""What is counted of the traffic through a relay."""

from __future__ import annotations

import time

from rtcctl.probe.turn.allocation import Allocation
from rtcctl.probe.turn.link import Link
from rtcctl.probe.turn.traffic import TrafficMeter


class Wire(Link):
    """A link that leads nowhere."""

    def send(self, frame: bytes) -> None:
        pass


async def test_where_nothing_was_sent_nothing_was_measured():
    """An allocation that has ended before the first packet: no share of nothing, and no percentiles."""
    async with Allocation(Wire(), "user", "password", lambda data, peer: None) as ended:
        traffic = await TrafficMeter(1000.0, clock=time.monotonic).run(ended, ("192.0.2.1", 1), 0.01)
    assert (traffic.packets_sent, traffic.packets_received, traffic.packets_lost) == (0, 0, 0)
    assert (traffic.fraction_lost, traffic.rtt_ms, traffic.jitter_ms, traffic.silent_after_s) == (None,) * 4
