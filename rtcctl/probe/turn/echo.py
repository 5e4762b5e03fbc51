"""A few datagrams through a relay and back: the least that shows that a TURN server does what it is for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from rtcctl.errors import NetworkError
from rtcctl.media.turn import Address
from rtcctl.probe.turn.relay import Relay, Relays, RelaySettings

_COUNT = 3
"The quickest of so many is the path's; others wait for this process."
_AGAIN_S = 0.25
"A datagram may get lost."


async def round_trip(settings: RelaySettings, *, clock: Callable[[], float], timeout_s: float) -> float:
    """Seconds from one allocation to another one of the same server (the first of `settings`), and back.

    `NetworkError` with the reason when there is no way.
    """
    returned = asyncio.Event()
    returned_at: dict[bytes, float] = {}

    def take(relay: Relay, data: bytes, addr: Address) -> None:
        if relay is relays.opened[0]:
            returned_at.setdefault(data, clock())
            returned.set()
        else:
            relay.send(data, addr)

    server = settings.servers[0]
    async with Relays(replace(settings, servers=(server, server))) as relays:
        try:
            async with asyncio.timeout(timeout_s):
                await relays.open(take)
                if len(relays.opened) < 2:
                    raise relays.failures[server.url.text]
                here, there = (relay.allocation for relay in relays.opened)
                await asyncio.gather(here.bind(there.relayed, timeout_s), there.bind(here.relayed, timeout_s))
                quickest_s = math.inf
                for number in range(_COUNT):
                    payload = bytes([number])
                    while payload not in returned_at:
                        if here.error is not None:
                            raise here.error
                        sent_at = clock()
                        here.send(there.relayed, payload)
                        with suppress(TimeoutError):
                            async with asyncio.timeout(_AGAIN_S):
                                await returned.wait()
                        returned.clear()
                    quickest_s = min(quickest_s, returned_at[payload] - sent_at)
                return quickest_s
        except TimeoutError:
            raise NetworkError(f"nothing came through it within {timeout_s:g} s", phase="turn") from None
