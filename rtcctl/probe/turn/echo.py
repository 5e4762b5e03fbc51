"""A few packets through a relay: the least that shows that a TURN server does what it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from rtcctl.errors import NetworkError
from rtcctl.media.turn import Address
from rtcctl.probe.turn.relay import Relay, Relays, RelaySettings
from rtcctl.probe.turn.traffic import TrafficMeter

_PACKETS = 5
_RATE_HZ = 100.0


async def round_trip(settings: RelaySettings, *, clock: Callable[[], float], timeout_s: float) -> float:
    """Milliseconds of a packet to a server (the first of `settings`) and back: the median of a few.

    It goes from one allocation to another one. `NetworkError` with the reason when there is no way.
    """
    meter = TrafficMeter(_RATE_HZ, clock=clock)

    def take(relay: Relay, data: bytes, addr: Address) -> None:
        meter.received(data, addr)

    server = settings.servers[0]
    silent = NetworkError(f"nothing came through it within {timeout_s:g} s", phase="turn")
    async with Relays(replace(settings, servers=(server, server))) as relays:
        try:
            async with asyncio.timeout(timeout_s):
                await relays.open(take)
                if len(relays.opened) < 2:
                    raise relays.failures[server.url.text]
                here, there = (relay.allocation for relay in relays.opened)
                await asyncio.gather(here.bind(there.relayed, timeout_s), there.bind(here.relayed, timeout_s))
                traffic = await meter.run(here, there.relayed, _PACKETS / _RATE_HZ)
        except TimeoutError:
            raise silent from None
    if traffic.rtt_ms is None:
        raise silent
    return traffic.rtt_ms.p50
