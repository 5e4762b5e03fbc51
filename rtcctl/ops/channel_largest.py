"""The largest message that passes over a channel: halving what is not known, since each either passes or does not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from rtcctl.errors import NetworkError
from rtcctl.ops.channels_media import Delivery

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel, Message
    from rtcctl.probe.transport import Arrival

LARGE_S = 3.0
"For one large message to arrive, with a packet of it sent again."

UNRELIABLE_LARGE_ATTEMPTS = 3
UNRELIABLE_LARGE_S = 0.3
"Where one lost packet loses the message, it is tried more often, and comes soon or never."

LARGEST_DEADLINE_S = 8.0
"For all of a policy."

LARGE_STEP_BYTES = 1024
"The largest message is found out as precisely as this."


async def largest_message(out: DataChannel, into: DataChannel, delivery: Delivery) -> int | None:
    """Largest message that arrives, of those that the SFU says it takes; `None` when even a small one does not."""
    low, high = 0, out.max_message_bytes
    size = high
    with suppress(TimeoutError, NetworkError):
        async with asyncio.timeout(LARGEST_DEADLINE_S):
            while high - low >= LARGE_STEP_BYTES or not low:
                if await _passes(out, into, size, delivery):
                    low = size
                else:
                    high = size - 1
                if high < 1 or low == out.max_message_bytes:
                    break
                size = (low + high + 1) // 2
    return low or None


async def _passes(out: DataChannel, into: DataChannel, size: int, delivery: Delivery) -> bool:
    attempts, wait_s = (1, LARGE_S) if delivery.is_reliable else (UNRELIABLE_LARGE_ATTEMPTS, UNRELIABLE_LARGE_S)
    arrived = asyncio.Event()

    def received(message: Message, arrival: Arrival) -> None:
        if len(message) == size:
            arrived.set()

    into.on_message = received
    for _ in range(attempts):
        out.send(bytes(size))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await arrived.wait()
                return True
    return False
