"""Data channels: publish and subscribe, acknowledge, reply, close, and every error (Realtime docs: DataChannels)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.channels import Channel, call, items, local, member, open_channel, remote, states, until
from tests.contract.peer import peer, publisher
from tests.contract.subject import subject

LARGEST = 16 * 1024
"Bytes that the service carries in a message."


# --- messages


async def test_one_publisher_and_many_subscribers() -> None:
    """Text and binary messages of up to 16 KiB reach all subscribers, in order and of their kind."""
    async with subject() as service, member(service) as alice, member(service) as bob, member(service) as carol:
        published = await open_channel(alice, local())
        received = [await open_channel(who, remote(alice)) for who in (bob, carol)]
        for channel in received:
            await until(lambda channel=channel: channel.channel.readyState == "open")
        sent = ["text", b"\x00binary\xff", "", b"", "é" * (LARGEST // 2), bytes(LARGEST)]
        await published.send(*sent)
        for channel in received:
            await channel.receives(*sent)
        assert published.messages == []


@pytest.mark.parametrize(
    "policy",
    [{"ordered": False}, {"ordered": False, "maxRetransmits": 0}, {"maxPacketLifeTime": 500}],
    ids=lambda policy: ",".join(policy),
)
async def test_delivery_policies(policy: dict[str, Any]) -> None:
    """What publisher, subscriber and both browsers say alike is served."""
    async with subject() as service, member(service) as alice, member(service) as bob:
        published = await open_channel(alice, local(**policy))
        received = await open_channel(bob, remote(alice, **policy))
        await until(lambda: received.channel.readyState == "open")
        await published.send(*map(str, range(20)))
        await until(lambda: len(received.messages) == 20)
        assert sorted(received.messages, key=int) == list(map(str, range(20)))


async def test_messages_that_are_too_large() -> None:
    """The client refuses to send them, because the description names the limit; those that follow arrive."""
    async with subject() as service, member(service) as alice, member(service) as bob:
        published = await open_channel(alice, local())
        received = await open_channel(bob, remote(alice))
        if service.quirks.limits_are_tested:
            await until(lambda: published.channel.readyState == "open")
            with pytest.raises(ValueError, match="only supports messages up to 16384 bytes"):
                published.channel.send(bytes(LARGEST + 1))
        await published.send("next")
        await received.receives("next")


async def test_subscribers_are_heard_by_nobody() -> None:
    """Channels go one way: what a subscriber sends is dropped."""
    async with subject() as service, member(service) as alice, member(service) as bob, member(service) as carol:
        published = await open_channel(alice, local())
        first, second = await open_channel(bob, remote(alice)), await open_channel(carol, remote(alice))
        await first.send("no")
        await second.send("no")
        await published.send("x")
        await first.receives("x")
        await second.receives("x")
        assert published.messages == []


async def test_in_band_channels_reach_nobody() -> None:
    """A channel that the client opens without `negotiated` does no harm to one that was."""
    async with subject() as service, member(service) as alice, member(service) as bob:
        published = await open_channel(alice, local())
        received = await open_channel(bob, remote(alice))
        alice.pc.createDataChannel("in band")
        await published.send("x")
        await received.receives("x")


async def test_a_session_that_subscribes_to_itself() -> None:
    """Publisher and subscriber may be one; the ids differ."""
    async with subject() as service, member(service) as alice:
        published = await open_channel(alice, local())
        received = await open_channel(alice, remote(alice))
        assert published.id != received.id
        await published.send("x")
        await received.receives("x")


async def test_the_reserved_channel() -> None:
    """`server-events` opens with id 0; what a client says there does no harm, and nothing is said to it."""
    async with subject() as service, peer(service) as alice:
        document = (await service.establish(alice.session_id)).json()
        assert document["dataChannel"] == {"dataChannelName": "server-events", "id": 0}
        await service.renegotiate(alice.session_id, await alice.answer(document["sessionDescription"]))
        await alice.connected()
        events = Channel(alice.pc.createDataChannel("server-events", negotiated=True, id=0))
        await events.send("hello", b"\x00")
        published = await open_channel(alice, local())
        received = await open_channel(alice, remote(alice))
        await until(lambda: received.channel.readyState == "open")
        await published.send("x")
        await received.receives("x")
        assert events.messages == []


async def test_names_belong_to_their_session() -> None:
    """Two sessions publish under one name; a subscriber has both, told apart by the publisher."""
    async with subject() as service, member(service) as alice, member(service) as bob, member(service) as carol:
        first, second = await open_channel(alice, local()), await open_channel(bob, local())
        from_first, from_second = await open_channel(carol, remote(alice)), await open_channel(carol, remote(bob))
        assert from_first.id != from_second.id
        await until(lambda: from_first.channel.readyState == from_second.channel.readyState == "open")
        await first.send("of alice")
        await second.send("of bob")
        await from_first.receives("of alice")
        await from_second.receives("of bob")


# --- what the answers say


async def test_items_and_state() -> None:
    """Items echo location, publisher and name, and bring an id of this session; `GET` lists them."""
    async with subject() as service, member(service) as alice, member(service) as bob:
        first, second = await items(alice, "new", local("a"), local("b"))
        assert (first["location"], first["dataChannelName"]) == ("local", "a")
        assert 0 < first["id"] < second["id"] < 65_535
        (item,) = await items(bob, "new", remote(alice, "b", canReply=True))
        assert (item["location"], item["sessionId"], item["dataChannelName"]) == ("remote", alice.session_id, "b")
        assert item["id"] > 0
        document = (await service.get(bob.session_id)).json()
        listed = [c for c in document["dataChannels"] if c["dataChannelName"] == "b"]
        assert listed == [
            {
                "location": "remote",
                "sessionId": alice.session_id,
                "dataChannelName": "b",
                "id": item["id"],
                "status": listed[0]["status"],
            }
        ]
        assert listed[0]["status"] in ("active", "initializing")


async def test_some_of_the_channels_are_there() -> None:
    """Items fail one by one: unknown session, unknown name, another's name; the rest works."""
    async with subject() as service, member(service) as alice, member(service) as bob:
        await items(alice, "new", local("x"))
        results = await items(
            bob, "new", {**remote(alice), "sessionId": "0" * 32}, remote(alice, "other"), remote(bob), remote(alice)
        )
        assert [item.get("errorCode") for item in results] == [*["not_found_track_error"] * 3, None]
        assert all(item["errorDescription"] for item in results[:3])


async def test_a_name_that_is_held() -> None:
    """`repeated_local_track_error` until the first of the name is closed; the client's `close` is not that."""
    async with subject() as service, member(service) as alice:
        published = await open_channel(alice, local())
        (item,) = await items(alice, "new", local())
        assert item["errorCode"] == "repeated_local_track_error"
        published.channel.close()
        await until(lambda: published.channel.readyState == "closed")
        (item,) = await items(alice, "new", local())
        assert item["errorCode"] == "repeated_local_track_error"
        await items(alice, "close", {"id": published.id})
        assert (await open_channel(alice, local())).id != published.id


# --- acknowledgements and replies


async def test_wait_for_ack() -> None:
    """Delivery begins with the subscriber's first message, which nobody gets."""
    async with subject() as service, member(service) as alice, member(service) as bob, member(service) as carol:
        published = await open_channel(alice, local())
        gated = await open_channel(bob, remote(alice, waitForAck=True))
        free = await open_channel(carol, remote(alice))
        await published.send("early")
        await free.receives("early")
        assert gated.messages == []
        await gated.send("ack")
        await _flows(published, gated)
        assert published.messages == []


async def _flows(published: Channel, received: Channel) -> None:
    """Wait until messages come through; when an acknowledgement has been taken is not told."""
    async with asyncio.timeout(15):
        while not received.messages:
            await published.send("x")
            await asyncio.sleep(0.02)


async def test_an_ack_that_does_not_come() -> None:
    """After 30 s the subscription ends, for the client too."""
    async with subject(ack_wait_s=1.0) as service, member(service) as alice, member(service) as bob:
        await open_channel(alice, local())
        gated = await open_channel(bob, remote(alice, waitForAck=True))
        await until(lambda: gated.channel.readyState == "closed", 35 * service.quirks.time_scale + 5)
        assert (await states(bob)).get("x", "inactive") == "inactive"


async def test_replies() -> None:
    """One subscriber may reply, to the publisher only; a new grant replaces the old one without a word."""
    async with subject() as service, member(service) as alice, member(service) as bob, member(service) as carol:
        published = await open_channel(alice, local())
        first = await open_channel(bob, remote(alice, canReply=True))
        second = await open_channel(carol, remote(alice))
        await first.send("1")
        await published.receives("1")
        (item,) = await items(carol, "update", remote(alice, canReply=True))
        assert (item["id"], item["canReply"], item["sessionId"]) == (second.id, True, alice.session_id)
        await first.send("no")
        await second.send("2")
        await published.receives("1", "2")
        (item,) = await items(carol, "update", remote(alice, canReply=False))
        assert item["canReply"] is False
        await second.send("no")
        await items(bob, "update", remote(alice, canReply=True))
        await first.send("3")
        await published.receives("1", "2", "3")
        assert first.messages == second.messages == []


async def test_the_ack_comes_before_replies() -> None:
    """With both flags the first message is the acknowledgement, later ones are replies."""
    async with subject() as service, member(service) as alice, member(service) as bob:
        published = await open_channel(alice, local())
        both = await open_channel(bob, remote(alice, waitForAck=True, canReply=True))
        await both.send("ack", "reply")
        await published.receives("reply")
        await _flows(published, both)


async def test_update_of_what_was_not_pulled() -> None:
    """The item fails."""
    async with subject() as service, member(service) as alice, member(service) as bob:
        await items(alice, "new", local())
        (item,) = await items(bob, "update", remote(alice, canReply=True))
        assert item["errorCode"] == "not_found_track_error"


# --- ends


async def test_close() -> None:
    """By id of this session; the other subscriber goes on; the second time the item fails."""
    async with subject() as service, member(service) as alice, member(service) as bob, member(service) as carol:
        published = await open_channel(alice, local())
        first, second = await open_channel(bob, remote(alice)), await open_channel(carol, remote(alice))
        (item,) = await items(bob, "close", {"id": first.id})
        assert (item["id"], item["dataChannelName"]) == (first.id, "x")
        assert "errorCode" not in item
        await until(lambda: first.channel.readyState == "closed")
        await published.send("x")
        await second.receives("x")
        assert first.messages == []
        again, unknown = await items(bob, "close", {"id": first.id}, {"id": 60_000})
        assert {again["errorCode"], unknown["errorCode"]} == {"close_track_error"}
        assert (again["id"], unknown["id"]) == (first.id, 60_000)


async def test_the_end_of_a_publication() -> None:
    """Its subscribers' channels are inactive, and it is not found any more."""
    async with subject() as service, member(service) as alice, member(service) as bob:
        published = await open_channel(alice, local())
        received = await open_channel(bob, remote(alice))
        await items(alice, "close", {"id": published.id})
        await until(lambda: received.channel.readyState == "closed")
        assert await states(bob) == {"x": "inactive"}
        (item,) = await items(bob, "new", remote(alice))
        assert item["errorCode"] == "not_found_track_error"


async def test_the_end_of_a_publisher() -> None:
    """Publications go with their session."""
    async with subject() as service, member(service) as bob:
        async with member(service) as alice:
            await open_channel(alice, local())
            await open_channel(bob, remote(alice))
        async with asyncio.timeout(40):
            while await states(bob) != {"x": "inactive"}:  # noqa: ASYNC110 (the service is asked)
                await asyncio.sleep(0.1)
        (item,) = await items(bob, "new", remote(alice))
        assert item["errorCode"] == "not_found_track_error"


# --- errors of a request


async def test_bodies_that_cannot_be_decoded() -> None:
    """400 for what is missing or of another type, with the field or the item in the description."""
    async with subject() as service, member(service) as alice:
        path = f"/sessions/{alice.session_id}/datachannels"
        for operation, method in (("new", "POST"), ("update", "PUT"), ("close", "PUT")):
            answer = await service.call(method, f"{path}/{operation}", {})
            service.check_error(answer, 400, "decoding_error", "Body JSON validation error: dataChannels")
        for wrong in (
            {"dataChannelName": "x"},
            {"location": "local"},
            {"location": "remote", "dataChannelName": "x"},
            {"location": "remote", "sessionId": alice.session_id},
            local(ordered="yes"),
            local(maxRetransmits=-1),
        ):
            service.check_error(
                await call(alice, "new", local("ok"), wrong), 400, "decoding_error", "JSON body validation error: 1"
            )
        service.check_error(await call(alice, "close", {"id": "2"}), 400, "decoding_error")
        assert await states(alice) == {}


async def test_parameters_that_are_wrong() -> None:
    """406 for directions that are mixed, limits that exclude each other, too many items, none, and a missing id."""
    async with subject() as service, member(service) as alice:
        service.check_error(
            await call(alice, "new", local(), remote(alice)), 406, "invalid_params", "Pushing and Pulling"
        )
        service.check_error(
            await call(alice, "new", local(maxRetransmits=1, maxPacketLifeTime=1)), 406, "invalid_params"
        )
        service.check_error(await call(alice, "new", *[local(str(i)) for i in range(65)]), 406, "invalid_params")
        for operation in ("new", "update", "close"):
            service.check_error(await call(alice, operation), 406, "invalid_params")
        service.check_error(await call(alice, "close", {}), 406, "invalid_params")
        service.check_error(await call(alice, "update", local()), 406, "invalid_params")
        assert await states(alice) == {}


async def test_states_in_which_channels_cannot_be_made() -> None:
    """425 on a session without a transport, 406 while an offer of the SFU is unanswered, 410 on one that is gone."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        service.check_error(await call(bob, "new", local()), 425, "session_error", "Session is not ready yet")
        track = {"location": "remote", "sessionId": alice.session_id, "trackName": "mic"}
        await service.tracks_new(bob.session_id, tracks=[track])
        for operation in ("new", "update"):
            service.check_error(await call(bob, operation, remote(alice)), 406, "invalid_session_description")
        (item,) = await items(bob, "close", {"id": 5})
        assert item["errorCode"] == "close_track_error"
        if service.quirks.answers_unknown_sessions:
            bob.session_id = "0" * 32
            for operation in ("new", "update", "close"):
                service.check_error(await call(bob, operation, {"id": 1}), 410, "session_error")
