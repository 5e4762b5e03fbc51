"""What comes over data channels while a command runs: told as events, counted, answered."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

from rtcctl.ops.env import Env
from rtcctl.results.channel import ChannelEnded, MessageReceived, Traffic

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel, Message
    from rtcctl.probe.transport import Arrival


class Inbox:
    """Messages of some channels in the order in which they came, and how many went which way."""

    def __init__(self, env: Env, *, count: int | None = None, reply: str | None = None) -> None:
        self._env = env
        self._count = count
        self._reply = reply
        self._queue: asyncio.Queue[MessageReceived] = asyncio.Queue()
        self._traffic: dict[DataChannel, list[int]] = {}
        self._owners: dict[DataChannel, str] = {}
        self._by_key: dict[object, DataChannel] = {}
        self._opened_at: dict[object, float] = {}
        self.heard = asyncio.Event()
        "Something has come."
        self.told = 0
        "Messages that were passed on as events."

    def attach(self, owner: str, channel: DataChannel, *, key: object = None) -> None:
        """Hear what comes on a channel that session `owner` publishes.

        `key`: what it is known by, its name unless said otherwise. It goes on with the counts of an earlier one, whose
        connection was lost.
        """
        key = channel.label if key is None else key
        opened_at = self._opened_at.setdefault(key, self._env.clock())
        previous = self._by_key.get(key)
        counts = [0, 0, 0, 0] if previous is None else self._traffic.pop(previous)
        if previous is not None:
            del self._owners[previous]
        self._by_key[key], self._owners[channel], self._traffic[channel] = channel, owner, counts

        def received(message: Message, arrival: Arrival) -> None:
            data = message.encode() if isinstance(message, str) else message
            counts[2] += 1
            counts[3] += len(data)
            self.heard.set()
            self._queue.put_nowait(
                MessageReceived(
                    session_id=owner,
                    channel=channel.label,
                    text=message if isinstance(message, str) else None,
                    base64=None if isinstance(message, str) else base64.b64encode(data).decode(),
                    size_bytes=len(data),
                    elapsed_s=max(0.0, arrival.now - opened_at),
                )
            )
            if self._reply is not None and channel.is_open:
                self.send(channel, self._reply)

        channel.on_message = received

    @property
    def channels(self) -> tuple[DataChannel, ...]:
        """Those that are heard now."""
        return tuple(self._traffic)

    def send(self, channel: DataChannel, message: Message) -> None:
        """Send, and count."""
        channel.send(message)
        counts = self._traffic[channel]
        counts[0] += 1
        counts[1] += len(message.encode() if isinstance(message, str) else message)

    async def tell(self) -> None:
        """Pass messages on as events; returns once there were `count` of them, if there is such a number."""
        while self._count is None or self.told < self._count:
            self._tell(await self._queue.get())

    def flush(self) -> None:
        """Pass on what has arrived and was not told yet, `count` at most in all."""
        while not self._queue.empty() and (self._count is None or self.told < self._count):
            self._tell(self._queue.get_nowait())

    async def ended(self) -> None:
        """Return once all channels have been closed, by the other side; each is said."""
        started = self._env.clock()

        async def one(channel: DataChannel) -> None:
            await channel.wait_closed()
            self.flush()
            self._env.emit(
                ChannelEnded(
                    session_id=self._owners[channel],
                    channel=channel.label,
                    elapsed_s=self._env.clock() - started,
                )
            )

        await asyncio.gather(*(one(channel) for channel in self._traffic))

    @property
    def traffic(self) -> tuple[Traffic, ...]:
        """How much went over each channel."""
        return tuple(
            Traffic(
                channel=channel.label,
                session_id=self._owners[channel],
                id=channel.id,
                messages_sent=counts[0],
                bytes_sent=counts[1],
                messages_received=counts[2],
                bytes_received=counts[3],
            )
            for channel, counts in self._traffic.items()
        )

    def _tell(self, message: MessageReceived) -> None:
        self.told += 1
        self._env.emit(message)
