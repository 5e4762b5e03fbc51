"""Covers rtcctl/server/datachannels.py and channel.py: whole sessions' channels, with aiortc as their clients."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtcctl.realtime.schema import DataChannelObject, DataChannelResult, DataChannelsRequest
from rtcctl.server.channel import Channel, DeliveryPolicy, Publication, Subscription
from rtcctl.server.datachannels import MAX_MESSAGE_SIZE, DataChannels
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.limits import Limits
from rtcctl.server.registry import App, Registry
from rtcctl.server.sctp import BUFFERED_BYTES_MAX, Association, Message
from rtcctl.web.refusal import Refusal
from tests.support.fake_endpoint import Clock, FakeEndpoint
from tests.support.sctp import Client, Link, settle, until

LIMITS = Limits(connect_wait_s=0.0)


class Member:
    """One session's channels, and the client at the other end of its link."""

    def __init__(self, world: World, name: str) -> None:
        self.channels = DataChannels(name, find=world.find, limits=world.limits, clock=world.clock)
        self.link = Link()

    @property
    def client(self) -> Client:
        return self.link.client

    @property
    def name(self) -> str:
        return self.channels.session_id

    async def attach(self) -> None:
        """A transport that is up."""
        self.channels.attach(self.link, sctp_port=5000, max_message_size=262_144)  # type: ignore[arg-type]
        await self.client.start()
        await until_attached(self.channels)
        await until(self.client.is_open)

    async def publish(self, name: str = "x", **options: Any) -> Any:
        """A publication, and the client's channel for it."""
        (result,) = await self.channels.new([local(name, **options)])
        return self.client.open(result.id or 0)

    async def subscribe(self, publisher: Member, name: str = "x", **options: Any) -> Received:
        """A subscription, with the client's channel for it and what comes there."""
        (result,) = await self.channels.new([remote(publisher.name, name, **options)])
        channel_id = result.id or 0
        return Received(channel_id, self.client.open(channel_id), self.client.messages[channel_id])

    def states(self) -> dict[int, str | None]:
        return {state.id or 0: state.status for state in self.channels.state()}


class Received:
    def __init__(self, channel_id: int, channel: Any, messages: list[str | bytes]) -> None:
        self.channel_id = channel_id
        self.channel = channel
        self.messages = messages


class World:
    """Sessions that find each other, and a clock that the test moves."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.clock = Clock()
        self.limits = limits
        self.members: dict[str, Member] = {}

    def find(self, session_id: str) -> DataChannels | None:
        member = self.members.get(session_id)
        return None if member is None else member.channels

    def join(self, name: str) -> Member:
        self.members[name] = Member(self, name)
        return self.members[name]

    async def attached(self, name: str) -> Member:
        member = self.join(name)
        await member.attach()
        return member


@asynccontextmanager
async def world(limits: Limits = LIMITS) -> AsyncIterator[World]:
    made = World(limits)
    yield made
    for member in made.members.values():
        member.channels.close()
        await member.client.stop()
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def until_attached(channels: DataChannels) -> None:
    """aiortc has been loaded, in its thread; it is imported here already, so that takes a moment at most."""
    async with asyncio.timeout(10):
        while channels._association is None:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0)


def local(name: str = "x", **options: Any) -> DataChannelObject:
    return DataChannelObject(location="local", data_channel_name=name, **options)


def remote(session_id: str, name: str = "x", **options: Any) -> DataChannelObject:
    return DataChannelObject(location="remote", session_id=session_id, data_channel_name=name, **options)


def close(*ids: int) -> list[DataChannelObject]:
    return [DataChannelObject(id=channel_id) for channel_id in ids]


def refused(expected_status: int, code: str, words: str = "") -> pytest.RaisesExc[Refusal]:
    return pytest.RaisesExc(
        Refusal, check=lambda exc: (exc.status, exc.code) == (expected_status, code) and words in exc.description
    )


# --- publishing and subscribing


async def test_one_publisher_and_many_subscribers() -> None:
    """Each message goes to every subscriber, in order and of its kind; ids are those of each session."""
    async with world() as sessions:
        alice, bob, carol = [await sessions.attached(name) for name in ("alice", "bob", "carol")]
        await carol.publish("other")
        channel = await alice.publish()
        received = [await member.subscribe(alice) for member in (bob, carol, alice)]
        assert [r.channel_id for r in received] == [1, 2, 2]
        sent = ["a", b"b", "", b"", "x" * MAX_MESSAGE_SIZE]
        for message in sent:
            channel.send(message)
        await until(lambda: all(len(r.messages) == len(sent) for r in received), turns=20_000)
        assert all(r.messages == sent for r in received)


async def test_results_and_state() -> None:
    """Items name what was asked for and the new id; `GET` has all of it, by id, with `server-events` as 0."""
    async with world() as sessions:
        alice, bob = sessions.join("alice"), await sessions.attached("bob")
        await alice.attach()
        assert alice.channels.is_attached
        for _ in range(2):
            assert alice.channels.establish() == DataChannelResult(data_channel_name="server-events", id=0)
        published = await alice.channels.new([local("x"), local("y", ordered=False, max_retransmits=0)])
        assert [r.to_wire() for r in published] == [
            {"location": "local", "dataChannelName": "x", "id": 1},
            {"location": "local", "dataChannelName": "y", "id": 2},
        ]
        assert [r.to_wire() for r in await bob.channels.new([remote("alice", "y", can_reply=True)])] == [
            {"location": "remote", "sessionId": "alice", "dataChannelName": "y", "canReply": True, "id": 1}
        ]
        assert [s.to_wire() for s in alice.channels.state()] == [
            {"location": "remote", "dataChannelName": "server-events", "id": 0, "status": "active"},
            {"location": "local", "dataChannelName": "x", "id": 1, "status": "active"},
            {"location": "local", "dataChannelName": "y", "id": 2, "status": "active"},
        ]
        assert [s.to_wire() for s in bob.channels.state()] == [
            {"location": "remote", "sessionId": "alice", "dataChannelName": "y", "id": 1, "status": "active"}
        ]


async def test_a_name_that_is_held() -> None:
    """The second publication of a name fails, also in one request, and when the client has closed its channel."""
    async with world() as sessions:
        alice = await sessions.attached("alice")
        first, second = await alice.channels.new([local(), local()])
        assert (first.error_code, second.error_code, second.id) == (None, "repeated_local_track_error", None)
        alice.client.open(first.id or 0).close()
        await until(lambda: alice.states() == {1: "inactive"})
        (again,) = await alice.channels.new([local()])
        assert again.error_code == "repeated_local_track_error"
        alice.channels.close_channels(close(1))
        (again,) = await alice.channels.new([local()])
        assert (again.error_code, again.id) == (None, 2)


async def test_what_is_not_there() -> None:
    """An unknown session, an unknown name and a publication that has ended are not found; others of the call work."""
    async with world() as sessions:
        alice, bob = await sessions.attached("alice"), await sessions.attached("bob")
        await alice.channels.new([local("x"), local("ended")])
        alice.client.open(2).close()
        await until(lambda: alice.states()[2] == "inactive")
        wanted = [remote("nobody"), remote("alice", "other"), remote("alice", "ended"), remote("alice")]
        results = await bob.channels.new(wanted)
        assert [r.error_code for r in results] == [*["not_found_track_error"] * 3, None]
        assert [r.id for r in results] == [None, None, None, 1]


@pytest.mark.parametrize(
    ("channels", "status", "code", "words"),
    [
        ([], 406, "invalid_params", "at least 1"),
        ([local()] * 65, 406, "invalid_params", "at most 64"),
        ([local("a"), remote("s")], 406, "invalid_params", "Pushing and Pulling"),
        ([local(max_retransmits=0, max_packet_life_time=0)], 406, "invalid_params", "exclude"),
        ([local("a"), local(max_retransmits=65_536)], 406, "invalid_params", "dataChannels[1]"),
        ([local("server-events")], 406, "invalid_params", "reserved"),
        ([local("a"), local("")], 400, "decoding_error", "JSON body validation error: 1"),
        ([DataChannelObject(data_channel_name="a")], 400, "decoding_error", "JSON body validation error: 0"),
        ([remote(""), remote("s", "")], 400, "decoding_error", "JSON body validation error: 0,1"),
    ],
)
async def test_requests_that_are_refused(channels: list[DataChannelObject], status: int, code: str, words: str) -> None:
    """A request that is wrong is refused as a whole, and leaves no trace."""
    async with world() as sessions:
        alice = await sessions.attached("alice")
        with refused(status, code, words):
            await alice.channels.new(channels)
        assert alice.channels.state() == []


async def test_without_a_transport() -> None:
    """425 without an m-section for data, and while the connection is not up; wrong requests are told at once."""
    async with world() as sessions:
        alice = sessions.join("alice")
        with refused(425, "session_error", "Session is not ready yet"):
            await alice.channels.new([local()])
        alice.link.state = ConnectionState.CONNECTING
        alice.channels.attach(alice.link, sctp_port=5000, max_message_size=0)  # type: ignore[arg-type]
        with refused(425, "session_error"):
            await alice.channels.new([local()])
        with refused(406, "invalid_params"):
            await alice.channels.new([])
        await until_attached(alice.channels)


async def test_a_transport_that_comes_while_a_request_waits() -> None:
    """The request goes on as soon as the m-section has been agreed."""
    async with world(Limits()) as sessions:
        alice = sessions.join("alice")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(alice.channels.new([local()]))
            await settle()
            assert not waiting.done()
            await alice.attach()
        assert waiting.result()[0].id == 1


async def test_a_session_that_ends_while_a_request_waits() -> None:
    """It is not held any longer."""

    async def end(member: Member) -> None:
        await settle()
        member.channels.close()

    async with world(Limits()) as sessions:
        alice = sessions.join("alice")
        refusal, _ = await asyncio.gather(alice.channels.new([local()]), end(alice), return_exceptions=True)
        assert isinstance(refusal, Refusal)
        assert refusal.status == 425
        assert not alice.channels.state()


async def test_a_request_that_is_held_when_its_session_goes() -> None:
    """It is answered with 410, as any on a session that is gone."""
    clock = Clock()
    endpoint = FakeEndpoint(clock)
    app = App("app", "secret")
    registry = Registry(
        endpoint=endpoint,  # type: ignore[arg-type]
        candidates=endpoint.candidates,
        apps=[app],
        limits=Limits(),
        clock=clock,
    )
    session = registry.new_session(app)

    async def end() -> None:
        await settle()
        session.close()

    request = DataChannelsRequest(data_channels=[local()])
    refusal, _ = await asyncio.gather(session.new_data_channels(request), end(), return_exceptions=True)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (410, "session_error")


async def test_channels_that_wait_for_the_association() -> None:
    """They are initializing until the client's SCTP is up, then active; one that was closed before is not opened."""
    async with world() as sessions:
        alice = sessions.join("alice")
        alice.channels.establish()
        alice.channels.attach(alice.link, sctp_port=5000, max_message_size=0)  # type: ignore[arg-type]
        await alice.channels.new([local("x"), local("y")])
        alice.channels.close_channels(close(2))
        assert alice.states() == {0: "initializing", 1: "initializing"}
        await until_attached(alice.channels)
        await alice.channels.new([local("z")])
        assert set(alice.states().values()) == {"initializing"}
        await alice.client.start()
        await until(lambda: set(alice.states().values()) == {"active"})
        assert alice.states().keys() == {0, 1, 3}


async def test_attaching_again() -> None:
    """Each re-offer attaches: that changes nothing while the association lives, and begins anew after its end."""
    async with world() as sessions:
        alice, bob = await sessions.attached("alice"), await sessions.attached("bob")
        channel = await alice.publish()
        received = await bob.subscribe(alice)
        alice.channels.attach(alice.link, sctp_port=5000, max_message_size=0)  # type: ignore[arg-type]
        channel.send("a")
        await until(lambda: received.messages == ["a"])
        await alice.client.stop()
        await until(lambda: alice.states() == {1: "inactive"})
        assert bob.states() == {1: "inactive"}
        alice.link.client = Client(alice.link)
        await alice.attach()
        alice.channels.close_channels(close(1))
        channel = await alice.publish()
        received = await bob.subscribe(alice)
        channel.send("b")
        await until(lambda: received.messages == ["b"])


# --- acknowledgements and replies


async def test_wait_for_ack() -> None:
    """Nothing is delivered before the subscriber's first message, which nobody gets; others are not held."""
    async with world() as sessions:
        alice, bob, carol = [await sessions.attached(name) for name in ("alice", "bob", "carol")]
        channel = await alice.publish()
        gated, free = await bob.subscribe(alice, wait_for_ack=True), await carol.subscribe(alice)
        channel.send("early")
        await until(lambda: free.messages == ["early"])
        await settle()
        assert gated.messages == []
        gated.channel.send("ack")
        await settle()
        channel.send("late")
        await until(lambda: gated.messages and len(free.messages) == 2)
        assert (gated.messages, alice.client.messages[1]) == (["late"], [])
        sessions.clock.pass_by(60)
        bob.channels.look_at_timers()
        assert bob.states() == {1: "active"}


async def test_an_ack_that_does_not_come() -> None:
    """After 30 s the subscription ends, and the client's channel closes; the publication goes on."""
    async with world() as sessions:
        alice, bob = await sessions.attached("alice"), await sessions.attached("bob")
        channel = await alice.publish()
        gated = await bob.subscribe(alice, wait_for_ack=True)
        sessions.clock.pass_by(29.9)
        bob.channels.look_at_timers()
        assert bob.states() == {1: "active"}
        sessions.clock.pass_by(0.1)
        bob.channels.look_at_timers()
        assert bob.states() == {1: "inactive"}
        await until(lambda: gated.channel.readyState == "closed")
        channel.send("x")
        await settle()
        assert gated.messages == []
        assert alice.states() == {1: "active"}


async def test_only_one_may_reply() -> None:
    """Messages of the one that holds `canReply` reach the publisher and nobody else; those of others nobody."""
    async with world() as sessions:
        alice, bob, carol = [await sessions.attached(name) for name in ("alice", "bob", "carol")]
        await alice.publish()
        replies = alice.client.messages[1]
        first, second = await bob.subscribe(alice, can_reply=True), await carol.subscribe(alice)
        first.channel.send("1")
        second.channel.send("no")
        await until(lambda: replies)
        second_again = await carol.subscribe(alice, can_reply=True)
        first.channel.send("no")
        second_again.channel.send("2")
        await until(lambda: len(replies) == 2)
        assert replies == ["1", "2"]
        assert (first.messages, second.messages, second_again.messages) == ([], [], [])


async def test_the_ack_comes_before_replies() -> None:
    """With both flags the first message is the acknowledgement and later ones are replies."""
    async with world() as sessions:
        alice, bob = await sessions.attached("alice"), await sessions.attached("bob")
        channel = await alice.publish()
        both = await bob.subscribe(alice, wait_for_ack=True, can_reply=True)
        for message in ("ack", "reply"):
            both.channel.send(message)
        await until(lambda: alice.client.messages[1])
        channel.send("x")
        await until(lambda: both.messages)
        assert alice.client.messages[1] == ["reply"]


async def test_update_grants_and_revokes() -> None:
    """By publisher and name; a grant takes it from the one before, a revocation leaves nobody."""
    async with world() as sessions:
        alice, bob, carol = [await sessions.attached(name) for name in ("alice", "bob", "carol")]
        await alice.publish()
        replies = alice.client.messages[1]
        first, second = await bob.subscribe(alice), await carol.subscribe(alice, can_reply=True)
        (granted,) = bob.channels.update([remote("alice", can_reply=True)])
        assert granted.to_wire() == {
            "location": "remote",
            "sessionId": "alice",
            "dataChannelName": "x",
            "canReply": True,
            "id": 1,
        }
        second.channel.send("no")
        first.channel.send("1")
        await until(lambda: replies == ["1"])
        (revoked,) = bob.channels.update([remote("alice", can_reply=False)])
        (unchanged,) = bob.channels.update([remote("alice")])
        assert (revoked.can_reply, unchanged.can_reply) == (False, False)
        first.channel.send("no")
        carol.channels.update([remote("alice", can_reply=False)])
        carol.channels.update([remote("alice", can_reply=True)])
        second.channel.send("2")
        await until(lambda: replies == ["1", "2"])


async def test_update_of_what_was_not_pulled() -> None:
    """Items that name no subscription of this session are not found; wrong requests are refused."""
    async with world() as sessions:
        alice, bob = await sessions.attached("alice"), await sessions.attached("bob")
        await alice.channels.new([local()])
        for wanted in (remote("alice"), remote("nobody"), remote("bob")):
            (result,) = bob.channels.update([wanted])
            assert (result.error_code, result.id) == ("not_found_track_error", None)
        with refused(406, "invalid_params"):
            alice.channels.update([local(can_reply=True)])
        with refused(406, "invalid_params", "at least 1"):
            alice.channels.update([])
        with refused(400, "decoding_error"):
            alice.channels.update([remote("")])


# --- ends


async def test_close() -> None:
    """By id, once; the client's channel closes, and a new one gets another id."""
    async with world() as sessions:
        alice, bob = await sessions.attached("alice"), await sessions.attached("bob")
        channel = await alice.publish()
        received = await bob.subscribe(alice)
        closed, unknown = bob.channels.close_channels(close(1, 9))
        assert closed.to_wire() == {"location": "remote", "sessionId": "alice", "dataChannelName": "x", "id": 1}
        assert unknown.to_wire() == {
            "id": 9,
            "errorCode": "close_track_error",
            "errorDescription": "Data channel doesn't exist or was already closed",
        }
        (again,) = bob.channels.close_channels(close(1))
        assert again.error_code == "close_track_error"
        await until(lambda: received.channel.readyState == "closed")
        channel.send("x")
        await settle()
        assert received.messages == []
        assert bob.channels.state() == []
        assert (await bob.subscribe(alice)).channel_id == 2
        with refused(406, "invalid_params", "dataChannels[0]: Missing id in data channel"):
            bob.channels.close_channels([local()])


@pytest.mark.parametrize("how", ["close", "client", "session"])
async def test_the_end_of_a_publication(how: str) -> None:
    """Closed by id, by its client or with its session: subscribers' channels are inactive, and close at the client."""
    async with world() as sessions:
        alice, bob = await sessions.attached("alice"), await sessions.attached("bob")
        channel = await alice.publish()
        received = await bob.subscribe(alice, can_reply=True)
        if how == "close":
            alice.channels.close_channels(close(1))
        elif how == "client":
            channel.close()
        else:
            alice.channels.close()
        await until(lambda: received.channel.readyState == "closed")
        assert bob.states() == {1: "inactive"}
        (result,) = bob.channels.update([remote("alice", can_reply=True)])
        assert result.error_code == "not_found_track_error"
        (closed,) = bob.channels.close_channels(close(1))
        assert closed.error_code is None


async def test_the_end_of_a_subscriber() -> None:
    """A client that closes its channel, and a session that ends, are served no more; nothing of them is kept."""
    async with world() as sessions:
        alice, bob, carol = [await sessions.attached(name) for name in ("alice", "bob", "carol")]
        channel = await alice.publish()
        received = await bob.subscribe(alice, can_reply=True)
        await carol.subscribe(alice)
        received.channel.close()
        await until(lambda: bob.states() == {1: "inactive"})
        carol.channels.close()
        channel.send("x")
        await settle()
        publication = alice.channels._publications["x"]
        assert not publication.subscriptions
        assert publication.replier is None


async def test_ids_run_out() -> None:
    """They are not used again, so a session has 65534 of them."""
    async with world() as sessions:
        alice = await sessions.attached("alice")
        alice.channels._last_id = 65_533
        with refused(406, "invalid_params"):
            await alice.channels.new([local("a"), local("b")])
        (last,) = await alice.channels.new([local("a")])
        assert last.id == 65_534
        with refused(406, "invalid_params"):
            await alice.channels.new([local("b")])


# --- a slow peer


def started(channel: Channel) -> Link:
    """The channel on an association of its own, whose peer is connected and then reads nothing."""
    link = Link()
    association = Association(
        "session=s",
        send=link.send_data,
        is_dtls_client=False,
        port=5000,
        max_message_size=0,
        max_received_size=MAX_MESSAGE_SIZE,
    )
    link.on_data = association.receive
    channel.start(association)
    return link


@pytest.mark.parametrize("policy", [DeliveryPolicy(), DeliveryPolicy(max_retransmits=0, ordered=False)], ids=str)
async def test_a_subscriber_that_does_not_read(policy: DeliveryPolicy, caplog: pytest.LogCaptureFixture) -> None:
    """A reliable subscription ends; on an unreliable one messages are dropped, and it goes on. Others are not held."""
    publication = Publication("alice", 1, "x", policy)
    slow, fast = [Subscription(name, 1, publication, policy, None) for name in ("slow", "fast")]
    links = {}
    for subscription in (slow, fast):
        links[subscription] = started(subscription)
        client = links[subscription].client
        await client.start()
        client.open(1)
        await until(lambda: subscription.status == "active")  # noqa: B023 (awaited at once)
    links[slow].is_deaf = True
    message = Message(53, bytes(MAX_MESSAGE_SIZE))
    sent = BUFFERED_BYTES_MAX // MAX_MESSAGE_SIZE + 50
    received = links[fast].client.messages[1]
    for number in range(sent):
        publication.receive(message)
        await until(lambda: len(received) > number)  # noqa: B023 (awaited at once)
    assert slow.status == ("inactive" if policy.is_reliable else "active")
    assert fast.status == "active"
    assert len([record for record in caplog.records if "too slow" in record.getMessage()]) == 1
    for link in links.values():
        await link.client.stop()


async def test_another_policy_than_the_publisher(caplog: pytest.LogCaptureFixture) -> None:
    """It is served, as the service does, and the log says that it is not right."""
    async with world() as sessions:
        alice, bob = await sessions.attached("alice"), await sessions.attached("bob")
        channel = await alice.publish(ordered=False)
        received = await bob.subscribe(alice)
        channel.send("x")
        await until(lambda: received.messages)
        assert "another delivery policy" in caplog.text


# --- aiortc


def test_aiortc_is_loaded_when_it_is_needed() -> None:
    """A server whose clients have no data channels never loads it."""
    code = "import sys, rtcctl.server.server; print(sorted({'aiortc', 'av', 'aioice'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_packets_that_come_while_aiortc_is_loaded() -> None:
    """The client's INIT is kept, so that it does not have to send it again; a flood of others is not."""
    async with world() as sessions:
        alice = sessions.join("alice")
        await alice.client.start()
        alice.channels.attach(alice.link, sctp_port=5000, max_message_size=0)  # type: ignore[arg-type]
        for number in range(1000):
            alice.channels._receive(bytes([number % 256]))
        await until_attached(alice.channels)
        await until(alice.client.is_open)


@pytest.mark.parametrize("says_abort", [True, False])
async def test_a_client_that_begins_sctp_anew(says_abort: bool) -> None:
    """A browser whose transport is replaced begins with another INIT: its channels go on, in both directions."""
    async with world() as sessions:
        alice, bob = [await sessions.attached(name) for name in ("alice", "bob")]
        channel = await alice.publish()
        received = await bob.subscribe(alice, can_reply=True)
        channel.send("before")
        await until(lambda: received.messages == ["before"])
        before = alice.channels._association
        alice.link.may_begin_anew = says_abort
        if says_abort:
            await alice.client.stop()
        alice.link.client = Client(alice.link)
        await alice.client.start()
        channel_id = channel.id or 0
        again = alice.client.open(channel_id)
        await until(alice.client.is_open)
        assert alice.channels._association is not before
        again.send("after")
        await until(lambda: received.messages == ["before", "after"])
        received.channel.send("heard")
        await until(lambda: alice.client.messages[channel_id] == ["heard"])
        assert set(alice.states().values()) == {"active"}
        await alice.client.stop()
