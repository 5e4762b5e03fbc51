"""Paced traffic from one allocation to another: what a call would meet on its way through the relay.

Both allocations are ours and at one server, so a packet goes client, relay, relay, client: one round trip to it,
timed by one clock, with no third party that would have to echo. A NAT on the way is no matter: the relay knows our
address from the allocation.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Callable

from rtcctl.media.percentiles import Distribution
from rtcctl.media.turn import Address
from rtcctl.probe.turn.allocation import Allocation
from rtcctl.results.result import Percentiles
from rtcctl.results.turn_check import RelayTraffic

PACKET_SIZE = 160
"Bytes: 20 ms of Opus at 64 kbit/s."
LATE_S = 1.0
"How long to wait for the last packets, at least."
_SILENT_PACKETS = 3
SILENCE_S = 1.0
"No packet for so long before the end: the relay has fallen silent."

_PACKET = struct.Struct("!8sI")


class TrafficMeter:
    """Sends numbered packets and counts what arrives. `received` is the `take` of the receiving allocation."""

    def __init__(self, rate_hz: float, *, clock: Callable[[], float]) -> None:
        self._rate_hz = rate_hz
        self._clock = clock
        self._run = secrets.token_bytes(8)
        "Tells our packets from another run's."
        self._sent_at: list[float] = []
        self._arrived: set[int] = set()
        self._last_arrival = 0.0
        self._rtt_ms = Distribution()
        self._transit_s: float | None = None
        self._jitter_s: float | None = None
        self._all_arrived = asyncio.Event()
        self._expected = 0

    def received(self, data: bytes, peer: Address) -> None:
        now = self._clock()
        if len(data) != PACKET_SIZE:
            return
        run, number = _PACKET.unpack_from(data)
        if run != self._run or number in self._arrived or number >= len(self._sent_at):
            return
        self._arrived.add(number)
        self._last_arrival = now
        transit_s = now - self._sent_at[number]
        self._rtt_ms.add(transit_s * 1000)
        if self._transit_s is not None:
            deviation = abs(transit_s - self._transit_s)
            self._jitter_s = (self._jitter_s or 0.0) + (deviation - (self._jitter_s or 0.0)) / 16
        self._transit_s = transit_s
        if len(self._arrived) == self._expected:
            self._all_arrived.set()

    async def run(self, sender: Allocation, peer: Address, for_s: float) -> RelayTraffic:
        """Send to `peer` for so long, wait for what is late, and count; less when an allocation ends meanwhile.

        Both ends must be bound to each other.
        """
        loop = asyncio.get_running_loop()
        start, started = loop.time(), self._clock()
        packets = max(2, round(for_s * self._rate_hz))
        filling = secrets.token_bytes(PACKET_SIZE - _PACKET.size)
        for number in range(packets):
            due = start + number / self._rate_hz
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not sender.is_alive:
                break
            self._sent_at.append(self._clock())
            sender.send(peer, _PACKET.pack(self._run, number) + filling)
        self._expected = len(self._sent_at)
        ended = self._clock()
        if len(self._arrived) < self._expected and sender.is_alive:
            slowest = self._rtt_ms.percentiles(100)
            patience_s = max(LATE_S, 2 * slowest[0] / 1000 if slowest is not None else 0.0)
            try:
                async with asyncio.timeout(patience_s):
                    await self._all_arrived.wait()
            except TimeoutError:
                pass  # lost
        return self._counted(started, ended)

    def _counted(self, started: float, ended: float) -> RelayTraffic:
        sent, received = len(self._sent_at), len(self._arrived)
        rtt = self._rtt_ms.percentiles(50, 95, 99)
        silent_after_s = None
        # At a low rate a second without a packet is nothing.
        if self._arrived and ended - self._last_arrival > max(SILENCE_S, _SILENT_PACKETS / self._rate_hz):
            silent_after_s = self._last_arrival - started
        return RelayTraffic(
            rate_hz=self._rate_hz,
            packets_sent=sent,
            packets_received=received,
            packets_lost=sent - received,
            fraction_lost=(sent - received) / sent if sent else None,
            rtt_ms=None if rtt is None else Percentiles(*rtt),
            jitter_ms=None if self._jitter_s is None else self._jitter_s * 1000,
            silent_after_s=silent_after_s,
        )
