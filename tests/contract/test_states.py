"""The states of a session, and what each operation does in them (Realtime docs: Negotiation, Error codes).

new ──▶ have-sfu-offer ──▶ stable ──▶ connected ◀──▶ disconnected ──▶ gone
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx

from rtcctl.media.sdp import Direction
from tests.contract.cases import all_pass
from tests.contract.lean import Lean, lean, remote, speaker
from tests.contract.refusals import BUSY, GONE, HAVE_LOCAL_OFFER, NO_OFFER, NOT_READY, Refused
from tests.contract.subject import Subject, subject
from tests.support.sdp import data

SILENT_S = 5.0
"Without a packet for this long a session is `disconnected`. A time of ICE: it is never scaled."


@dataclass(frozen=True, slots=True)
class Ok:
    """200. Its items have this error, or none."""

    item_error: str | None = None


Cell = Ok | Refused
OK = Ok()
NOT_OPEN = Ok("close_track_error")
LOST = replace(NOT_READY, elsewhere=((200, None),))
"425 or 200: the reference does not know."

TABLE: Mapping[str, tuple[Cell, ...]] = {
    # state: tracks/new and datachannels/establish, renegotiate, tracks/update and datachannels/new,
    # tracks/close with force and without, GET. Where they are 406 or 200 this is for the most part assumed.
    "new": (OK, NO_OFFER, NOT_READY, NOT_OPEN, NOT_OPEN, OK),
    "have-sfu-offer, not connected": (HAVE_LOCAL_OFFER, OK, HAVE_LOCAL_OFFER, OK, HAVE_LOCAL_OFFER, OK),
    "have-sfu-offer, connected": (HAVE_LOCAL_OFFER, OK, HAVE_LOCAL_OFFER, OK, HAVE_LOCAL_OFFER, OK),
    "stable, not connected": (NOT_READY, NO_OFFER, NOT_READY, OK, OK, OK),
    "connected": (OK, NO_OFFER, OK, OK, OK, OK),
    "disconnected": (LOST, NO_OFFER, NOT_READY, OK, OK, OK),
    "gone": (GONE, GONE, GONE, GONE, GONE, GONE),
}


@dataclass(slots=True)
class Client:
    """One whose session is in a state, and who knows a publisher of `mic`."""

    service: Subject
    publisher: Lean
    lean: Lean
    mid: str = "0"
    "Of its subscription."
    offer: Mapping[str, str] | None = None
    "Of the service, not answered yet."

    async def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        return await self.service.call(method, f"/sessions/{self.lean.session_id}/{path}", body)

    # Operations, by the columns of the table

    async def publish(self) -> httpx.Response:
        media = self.lean.add()
        track = {"location": "local", "mid": media.mid, "trackName": "own"}
        return await self.call("POST", "tracks/new", tracks=[track], sessionDescription=self.lean.offer)

    async def publish_by_sfu_offer(self) -> httpx.Response:
        track = {"location": "local", "kind": "audio", "trackName": "own", "bidirectionalMediaStream": True}
        return await self.call("POST", "tracks/new", tracks=[track])

    async def pull(self) -> httpx.Response:
        return await self.call("POST", "tracks/new", tracks=[remote(self.publisher, "mic")])

    async def pull_by_client_offer(self) -> httpx.Response:
        self.lean.add(Direction.RECVONLY)
        tracks = [remote(self.publisher, "mic")]
        return await self.call("POST", "tracks/new", tracks=tracks, sessionDescription=self.lean.offer)

    async def establish(self) -> httpx.Response:
        return await self.service.establish(self.lean.session_id)

    async def renegotiate(self) -> httpx.Response:
        if self.offer is not None:
            return await self.service.renegotiate(self.lean.session_id, self.lean.answer(self.offer))
        if not self.lean.sections:
            self.lean.add()
        stray = self.lean.offer | {"type": "answer"}
        return await self.service.renegotiate(self.lean.session_id, stray)

    async def update(self) -> httpx.Response:
        return await self.service.tracks_update(self.lean.session_id, remote(self.publisher, "mic", mid=self.mid))

    async def new_channel(self) -> httpx.Response:
        channel = {"location": "local", "dataChannelName": "chat"}
        return await self.call("POST", "datachannels/new", dataChannels=[channel])

    async def close_by_force(self) -> httpx.Response:
        return await self.service.close(self.lean.session_id, [self.mid])

    async def close_by_offer(self) -> httpx.Response:
        if not self.lean.sections:
            self.lean.add()
        offer = self.lean.offer
        return await self.service.close(self.lean.session_id, [self.mid], force=False, sessionDescription=offer)

    async def get(self) -> httpx.Response:
        return await self.service.get(self.lean.session_id)

    # The way into each state

    async def be_new(self) -> None:
        pass

    async def have_sfu_offer(self) -> None:
        document = (await self.pull()).json()
        self.offer, self.mid = document["sessionDescription"], document["tracks"][0]["mid"]

    async def be_stable(self) -> None:
        """With a subscription and a transport for data channels, whose answer the client never follows."""
        media = self.lean.add(Direction.RECVONLY)
        self.lean.sections.append(data("1", ice_ufrag=media.ice_ufrag, ice_pwd=media.ice_pwd))
        tracks = [remote(self.publisher, "mic")]
        document = await self.lean.new_tracks(tracks, self.lean.offer)
        self.lean.learn(document["sessionDescription"])

    async def be_connected(self) -> None:
        await self.be_stable()
        await self.lean.connect()

    async def have_sfu_offer_when_connected(self) -> None:
        await self.be_connected()
        await self.have_sfu_offer()

    async def be_disconnected(self) -> None:
        await self.be_connected()
        self.lean.vanish()
        vanished = time.monotonic()
        async with asyncio.timeout(SILENT_S + 10):
            while (await self.update()).status_code == 200:  # noqa: ASYNC110 (the service is asked)
                await asyncio.sleep(0.2)
        assert time.monotonic() - vanished > SILENT_S

    async def be_gone(self) -> None:
        await self.be_connected()
        self.lean.leave()
        await self.service.until_gone(self.lean.session_id)


Step = Callable[[Client], Awaitable[Any]]

COLUMNS: tuple[tuple[Step, ...], ...] = (
    (Client.publish, Client.publish_by_sfu_offer, Client.pull, Client.pull_by_client_offer, Client.establish),
    (Client.renegotiate,),
    (Client.update, Client.new_channel),
    (Client.close_by_force,),
    (Client.close_by_offer,),
    (Client.get,),
)
WAYS: Mapping[str, Step] = {
    "new": Client.be_new,
    "have-sfu-offer, not connected": Client.have_sfu_offer,
    "have-sfu-offer, connected": Client.have_sfu_offer_when_connected,
    "stable, not connected": Client.be_stable,
    "connected": Client.be_connected,
    "disconnected": Client.be_disconnected,
    "gone": Client.be_gone,
}


def check(service: Subject, answer: httpx.Response, expected: Cell) -> None:
    if isinstance(expected, Refused):
        if answer.status_code != 200 or (200, None) not in expected.elsewhere or service.quirks.follows_assumptions:
            service.check_refused(answer, expected)
        return
    document = answer.json()
    assert answer.status_code == 200, document
    assert not document.get("errorCode")
    if expected.item_error or "requiresImmediateRenegotiation" in document:
        for item in document.get("tracks", ()):
            service.check_item(item, expected.item_error)


async def check_row(state: str, service: Subject, publisher: Lean, stack: AsyncExitStack) -> list[Client]:
    """Each operation on a session of its own that has come into the state; the clients of these."""

    async def check_cell(operation: Step, expected: Cell) -> Client:
        client = Client(service, publisher, await stack.enter_async_context(lean(service)))
        await WAYS[state](client)
        check(service, await operation(client), expected)
        return client

    cells = [
        (operation, expected)
        for operations, expected in zip(COLUMNS, TABLE[state], strict=True)
        for operation in operations
    ]
    return await all_pass({operation.__name__: check_cell(operation, expected) for operation, expected in cells})


async def test_operations() -> None:
    """The table, all rows at once. That of `disconnected`, which takes its time, is in `test_timers.py`."""
    async with subject() as service, speaker(service, "mic") as publisher, AsyncExitStack() as stack:
        states = [state for state in TABLE if state != "disconnected"]
        await all_pass({state: check_row(state, service, publisher, stack) for state in states})


async def test_a_pending_offer_survives_what_is_refused() -> None:
    """Whatever is refused while it is unanswered, and a forced close, `renegotiate` takes the answer afterwards."""
    async with subject() as service, speaker(service, "mic") as publisher, lean(service) as made:
        client = Client(service, publisher, made)
        await client.have_sfu_offer()
        for refused in (client.pull, client.publish_by_sfu_offer, client.update, client.new_channel):
            service.check_refused(await refused(), HAVE_LOCAL_OFFER)
        check(service, await client.close_by_force(), OK)
        check(service, await client.renegotiate(), OK)
        made.learn(client.offer or {})
        await made.connect()
        document = await made.pull(publisher, "mic")
        assert "errorCode" not in document["tracks"][0]


async def test_one_request_at_a_time() -> None:
    """While one is held, a second mutation is refused; `GET` and a forced close are not, and the first succeeds."""
    async with (
        subject() as service,
        lean(service) as publisher,
        speaker(service, "mic") as other,
        lean(service) as made,
    ):
        publisher.add()
        await publisher.publish("late")
        client = Client(service, other, made)
        async with asyncio.TaskGroup() as group:
            held = group.create_task(made.new_tracks([remote(publisher, "late")]))
            # Until the service has it, the session is not busy.
            async with asyncio.timeout(10):
                while (answer := await client.update()).status_code == 425:
                    pass
            for operation in (client.update, client.pull, client.publish_by_sfu_offer, client.close_by_offer):
                service.check_refused(await operation(), BUSY)
            check(service, await client.get(), OK)
            check(service, await client.close_by_force(), NOT_OPEN)
            publisher.speak()
        service.check_refused(answer, BUSY)
        document = held.result()
        assert document["tracks"][0]["mid"]
        await made.accept(document["sessionDescription"])
