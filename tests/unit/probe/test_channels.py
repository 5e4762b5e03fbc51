"""Covers rtcctl/probe/channels.py: channels between two associations, without a network."""

from __future__ import annotations

import asyncio
import inspect
import struct
from typing import Any

import pytest
from aiortc import rtcsctptransport as aiortc

from rtcctl.errors import NetworkError, UsageError
from rtcctl.probe.aiortc_transport import Association
from rtcctl.probe.channels import UNLIMITED_BYTES, DataChannel
from rtcctl.probe.transport import Arrival
from tests.support.associations import Side, associations

ARRIVAL = Arrival(1.0, 2)


def channel(side: Side, id_: int, label: str, **policy: Any) -> DataChannel:
    return DataChannel(side.association, id_, label, arrival=lambda: ARRIVAL, **policy)


async def until(condition, turns: int = 5_000) -> None:
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not come about")


async def opened(one: Side, other: Side, **policy: Any) -> tuple[DataChannel, DataChannel]:
    """The same channel at both ends, open."""
    near, far = (channel(side, 7, "chat", **policy) for side in (one, other))
    await near.wait_open(5)
    await far.wait_open(5)
    return near, far


def heard(end: DataChannel) -> list[str | bytes]:
    messages: list[str | bytes] = []
    end.on_message = lambda message, arrival: messages.append(message)
    return messages


@pytest.mark.parametrize(
    "policy",
    [{}, {"ordered": False}, {"ordered": False, "max_retransmits": 0}, {"max_lifetime_ms": 200}],
    ids=str,
)
async def test_messages_go_both_ways_as_they_are(policy: dict[str, object]):
    """Text stays text and binary stays binary, the empty ones too, whatever the delivery policy."""
    messages = ["hello", b"\0\xff", "", b"", "ü音", b"x" * 16_384]
    async with associations() as (one, other):
        near, far = await opened(one, other, **policy)
        for sender, receiver in ((near, far), (far, near)):
            received = heard(receiver)
            for message in messages:
                sender.send(message)
            await until(lambda received=received: len(received) == len(messages))
            assert received == messages


async def test_a_channel_may_be_made_before_and_after_the_association_is_up():
    """Both are open; what comes is told with the arrival that is asked for."""
    async with associations() as (one, other):
        near, _ = await opened(one, other)
        late, far = channel(one, 8, "late"), channel(other, 8, "late")
        assert late.is_open
        await late.wait_open(0)
        seen: list[tuple[str | bytes, Arrival]] = []
        far.on_message = lambda *told: seen.append(told)
        late.send("x")
        await until(lambda: seen)
        assert seen == [("x", ARRIVAL)]
        assert near.id == 7


async def test_a_message_that_is_too_large_is_refused_before_it_is_sent():
    """The limit is the other end's, in bytes of UTF-8, and the error names both numbers."""
    async with associations(max_message_bytes=1000) as (one, other):
        near, far = await opened(one, other)
        received = heard(far)
        assert near.max_message_bytes == 1000
        for message in ("x" * 1001, b"x" * 1001, "ü" * 501):
            with pytest.raises(UsageError, match=r"100[12] bytes"):
                near.send(message)
        near.send("ü" * 500)
        await until(lambda: received)
        assert received == ["ü" * 500]


async def test_no_limit_takes_anything():
    """`max-message-size: 0` (RFC 8841 §6)."""
    async with associations(max_message_bytes=0) as (one, other):
        near, far = await opened(one, other)
        received = heard(far)
        assert near.max_message_bytes == UNLIMITED_BYTES
        near.send(b"x" * 200_000)
        await until(lambda: received, turns=100_000)
        assert received == [b"x" * 200_000]


async def test_drain_returns_when_everything_is_acknowledged():
    """Not before: nothing is on its way any more, and everything has arrived."""
    async with associations() as (one, other):
        near, far = await opened(one, other)
        received = heard(far)
        for number in range(200):
            near.send(f"{number}")
        assert near.buffered_bytes
        await near.drain(5)
        assert len(received) == 200
        assert not one.association._sent_queue


async def test_what_is_not_acknowledged_is_a_network_error():
    """The path is cut: `drain` says so, in the phase SCTP."""
    async with associations() as (one, other):
        near, _ = await opened(one, other)
        one.dtls.is_cut = True
        near.send("into the void")
        with pytest.raises(NetworkError, match="did not acknowledge") as caught:
            await near.drain(0.05)
        assert caught.value.phase == "sctp"


async def test_a_channel_that_does_not_open_is_a_network_error():
    """Nobody answers: the wait ends, and sending says that it is not open."""
    async with associations() as (one, _):
        one.dtls.is_cut = True
        one.association._set_state(one.association.State.COOKIE_WAIT)
        waiting = channel(one, 7, "chat")
        with pytest.raises(NetworkError, match="did not open within") as caught:
            await waiting.wait_open(0)
        assert caught.value.phase == "sctp"
        with pytest.raises(NetworkError):
            waiting.send("x")


async def test_the_other_side_closes():
    """A reset of its stream ends a channel, and only that one; sending and waiting say that it is closed."""
    async with associations() as (one, other):
        near, far = await opened(one, other)
        side = channel(one, 9, "side"), channel(other, 9, "side")
        far.close()
        await until(lambda: near.is_closed and far.is_closed)
        await near.wait_closed()
        with pytest.raises(NetworkError, match="closed by the other side"):
            await near.wait_open(5)
        with pytest.raises(NetworkError, match="is closed"):
            near.send("x")
        near.close()
        received = heard(side[1])
        side[0].send("still here")
        await until(lambda: received)


async def test_an_association_that_ends_ends_its_channels():
    """An ABORT of the other side."""
    async with associations() as (one, other):
        near, _ = await opened(one, other)
        await other.association.stop()
        await until(lambda: near.is_closed)


async def test_what_strangers_may_send_ends_nothing():
    """Text that is no UTF-8 and channels in band are dropped; what follows arrives."""
    open_message = struct.pack("!BBHLHH", 3, 0, 0, 0, 1, 0) + b"x"
    async with associations() as (one, other):
        near, far = await opened(one, other)
        received = heard(far)
        await one.association._send(7, aiortc.WEBRTC_STRING, b"\xff\xfe")
        for stream_id in (7, 7, 11):
            await one.association._send(stream_id, aiortc.WEBRTC_DCEP, open_message)
        await one.association._send(7, aiortc.WEBRTC_DCEP, b"\x02")
        near.send("after")
        await until(lambda: received)
        assert received == ["after"]
        assert 11 not in other.association._data_channels


@pytest.mark.parametrize("name", ["_data_channel_queue", "_outbound_queue", "_sent_queue", "_remote_max_message_size"])
async def test_private_names_of_aiortc(name: str):
    """What channels.py reads is still there."""
    async with associations() as (one, _):
        assert hasattr(one.association, name)


def test_private_methods_of_aiortc():
    """What it overrides is still called the same, with the same arguments."""
    ours, theirs = Association._receive, aiortc.RTCSctpTransport._receive
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
