"""A data channel of a peer, over aiortc's SCTP association (RFC 8831, RFC 8832).

Theory of operation. The id comes from the Realtime API, so channels are *negotiated*: no OPEN message is sent, and a
channel is open as soon as the association is. It stays so until either end resets the stream (RFC 6525), or the
association ends.

    connecting ──association is up──▶ open ──reset, abort, end of the connection──▶ closed

A message that is sent goes through two places: what waits here because the association has no room (`buffered_bytes`),
and what is on its way until the other end, which is the SFU and not a subscriber, has acknowledged it. `drain` waits
for both.

Private names of aiortc are read here and in `aiortc_transport.py` only; a test pins them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpTransport

from rtcctl.errors import NetworkError, UsageError
from rtcctl.probe.transport import Arrival

Message = str | bytes

POLL_S = 0.005
"aiortc tells nobody that a message was acknowledged."

UNLIMITED_BYTES = 262_144
"Taken as the largest message where the other end says that any is welcome (as browsers do)."


class DataChannel:
    """See the module. `arrival`: of the datagram that is being handled."""

    def __init__(
        self,
        sctp: RTCSctpTransport,
        channel_id: int,
        label: str,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_lifetime_ms: int | None = None,
        arrival: Callable[[], Arrival],
    ) -> None:
        self.id = channel_id
        self.label = label
        self.on_message: Callable[[Message, Arrival], None] | None = None
        "Called for each message; what comes while there is none is lost."
        self._arrival = arrival
        # Typed as anything: what is read of it is private.
        self._sctp: Any = sctp
        self._changed = asyncio.Event()
        try:
            self._channel = RTCDataChannel(
                sctp,
                RTCDataChannelParameters(
                    label=label,
                    id=channel_id,
                    negotiated=True,
                    ordered=ordered,
                    maxRetransmits=max_retransmits,
                    maxPacketLifeTime=max_lifetime_ms,
                ),
            )
        except ValueError as error:
            raise UsageError(f"Data channel {label} cannot have id {channel_id}: {error}.") from error
        self._channel.on("open", self._changed.set)
        self._channel.on("close", self._changed.set)
        self._channel.on("message", self._received)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._channel.readyState == "open"

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self._channel.readyState in ("closing", "closed")

    @property
    def max_message_bytes(self) -> int:
        """Largest message that the other end takes (`a=max-message-size`, RFC 8841 §6)."""
        return int(self._sctp._remote_max_message_size) or UNLIMITED_BYTES

    @property
    def buffered_bytes(self) -> int:
        """What was sent and has not left yet."""
        return self._channel.bufferedAmount

    @property
    def is_drained(self) -> bool:
        """Whether the other end has acknowledged all that was sent; not so once the channel has ended before it did."""
        return self._is_drained(None)

    async def wait_open(self, timeout_s: float) -> None:
        """Wait for the association. Raises `NetworkError` with phase `sctp` when there is none in time, or no more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not (self.is_open or self.is_closed):
                    self._changed.clear()
                    await self._changed.wait()
        if not self.is_open:
            what = "was closed by the other side" if self.is_closed else f"did not open within {timeout_s:.0f} s"
            raise NetworkError(
                f"Data channel {self.label} (id {self.id}) {what}.",
                phase="sctp",
                hint="ICE and DTLS are up. Does the session's description have an m-section for data channels?",
            )

    async def wait_closed(self) -> None:
        """Return when either end has closed it."""
        while not self.is_closed:
            self._changed.clear()
            await self._changed.wait()

    def send(self, message: Message) -> None:
        """Send, or queue where the association has no room.

        Raises `UsageError` for a message larger than the other end takes, `NetworkError` when the channel is not open.
        """
        size = len(message.encode()) if isinstance(message, str) else len(message)
        if size > self.max_message_bytes:
            raise UsageError(
                f"A message of {size} bytes is too large for data channel {self.label}: "
                f"the SFU takes at most {self.max_message_bytes}.",
                hint="Send it in pieces.",
            )
        if not self.is_open:
            raise self._ended()
        self._channel.send(message)

    async def drain(self, timeout_s: float, *, down_to_bytes: int | None = None) -> None:
        """Wait until the other end has acknowledged all that was sent; or until no more than so many bytes wait here.

        An unreliable message that was given up counts as done. Raises `NetworkError` (phase sctp) when that does not
        happen in time, or cannot happen any more.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._is_drained(down_to_bytes):
                    if self.is_closed:
                        raise self._ended()
                    await asyncio.sleep(POLL_S)
        if not self._is_drained(down_to_bytes):
            raise NetworkError(
                f"Data channel {self.label} (id {self.id}): the SFU did not acknowledge everything "
                f"within {timeout_s:.0f} s.",
                phase="sctp",
            )

    def close(self) -> None:
        """End it, in both directions; harmless the second time."""
        self._channel.close()

    def _is_drained(self, down_to_bytes: int | None) -> bool:
        if down_to_bytes is not None:
            return self.buffered_bytes <= down_to_bytes
        return not (self.buffered_bytes or self._sctp._outbound_queue or self._sctp._sent_queue)

    def _ended(self) -> NetworkError:
        return NetworkError(
            f"Data channel {self.label} (id {self.id}) is closed.",
            phase="sctp",
            hint="By the other side, through the API, or because its session has ended.",
        )

    def _received(self, message: Message) -> None:
        if self.on_message is not None:
            self.on_message(message, self._arrival())


__all__ = ["DataChannel", "Message"]
