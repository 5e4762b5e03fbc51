"""Two SCTP associations of the probe without a network: what one sends takes a turn of the event loop to the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiortc.rtcsctptransport import RTCSctpCapabilities

from rtcctl.probe.aiortc_transport import Association


class _Dtls:
    """What aiortc's SCTP needs of a DTLS transport."""

    state = "connected"

    def __init__(self, role: str) -> None:
        self._role = role
        self.other: _Dtls | None = None
        self.is_cut = False
        "Nothing it sends arrives."
        self._receiver: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _register_data_receiver(self, receiver: Any) -> None:
        self._receiver = receiver

    def _unregister_data_receiver(self, receiver: Any) -> None:
        self._receiver = None

    async def _send_data(self, data: bytes) -> None:
        if not self.is_cut:
            asyncio.get_running_loop().call_soon(self.other.receive, data)  # type: ignore[union-attr]

    def receive(self, data: bytes) -> None:
        if self._receiver is not None:
            task = asyncio.get_running_loop().create_task(self._receiver._handle_data(data))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        task.result()  # an exception is the test's


class Side:
    """One end."""

    def __init__(self, role: str) -> None:
        self.dtls = _Dtls(role)
        self.association = Association(self.dtls)  # type: ignore[arg-type]


@asynccontextmanager
async def associations(*, max_message_bytes: int = 16_384) -> AsyncIterator[tuple[Side, Side]]:
    """Both ends, which have begun; neither leaves a task or a timer behind."""
    one, other = Side("client"), Side("server")
    one.dtls.other, other.dtls.other = other.dtls, one.dtls
    for side in (one, other):
        await side.association.start(RTCSctpCapabilities(maxMessageSize=max_message_bytes), 5000)
    try:
        yield one, other
    finally:
        for side in (one, other):
            await side.association.stop()
        for _ in range(10):
            await asyncio.sleep(0)
