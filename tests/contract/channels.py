"""Data channels of a client's peer connection, as an application opens them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from aiortc import RTCDataChannel

from tests.contract.peer import Peer, peer
from tests.contract.subject import Subject

SERVER_EVENTS = {"location": "remote", "dataChannelName": "server-events"}


class Channel:
    """A client's end of a channel, with what has come."""

    def __init__(self, channel: RTCDataChannel) -> None:
        self.channel = channel
        self.messages: list[str | bytes] = []
        channel.on("message", self.messages.append)

    @property
    def id(self) -> int:
        assert self.channel.id is not None
        return self.channel.id

    async def send(self, *messages: str | bytes) -> None:
        await until(lambda: self.channel.readyState == "open")
        for message in messages:
            self.channel.send(message)

    async def receives(self, *messages: str | bytes) -> None:
        """Wait for as many messages as these, which they have to be."""
        await until(lambda: len(self.messages) >= len(messages))
        assert self.messages == [*messages]


async def call(member: Peer, operation: str, *channels: dict[str, Any]) -> httpx.Response:
    """`datachannels/new`, `update` or `close` on the session of `member`."""
    path = f"/sessions/{member.session_id}/datachannels/{operation}"
    return await member.subject.call("POST" if operation == "new" else "PUT", path, {"dataChannels": list(channels)})


async def items(member: Peer, operation: str, *channels: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of an answer that is 200."""
    answer = await call(member, operation, *channels)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert not document.get("errorCode"), document
    result: list[dict[str, Any]] = document["dataChannels"]
    assert len(result) == len(channels)
    return result


def local(name: str = "x", **options: Any) -> dict[str, Any]:
    return {"location": "local", "dataChannelName": name} | options


def remote(publisher: Peer, name: str = "x", **options: Any) -> dict[str, Any]:
    return {"location": "remote", "sessionId": publisher.session_id, "dataChannelName": name} | options


async def open_channel(member: Peer, wanted: dict[str, Any]) -> Channel:
    """Publish or subscribe, and open the client's end with the id that comes back."""
    (item,) = await items(member, "new", wanted)
    assert "errorCode" not in item, item
    policy = {key: wanted[key] for key in ("ordered", "maxRetransmits", "maxPacketLifeTime") if key in wanted}
    channel = member.pc.createDataChannel(wanted["dataChannelName"], negotiated=True, id=item["id"], **policy)
    return Channel(channel)


async def states(member: Peer) -> dict[str, str]:
    """Status by name of the session's channels, without `server-events`."""
    document = (await member.subject.get(member.session_id)).json()
    channels = document["dataChannels"]
    return {c["dataChannelName"]: c["status"] for c in channels if c["dataChannelName"] != "server-events"}


@asynccontextmanager
async def member(subject: Subject) -> AsyncIterator[Peer]:
    """A session that is connected and has a transport for data channels, established by an offer of the client."""
    async with peer(subject) as made:
        made.pc.createDataChannel("server-events", negotiated=True, id=0)
        answer = await subject.call(
            "POST",
            f"/sessions/{made.session_id}/datachannels/establish",
            {"dataChannel": SERVER_EVENTS, "sessionDescription": await made.offer()},
        )
        assert answer.status_code == 200, answer.text
        await made.apply(answer.json()["sessionDescription"])
        await made.connected()
        yield made


async def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)
