"""Data channels of two probes, one on each end of a loopback path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rtcctl.errors import NetworkError, UsageError
from rtcctl.probe.channels import DataChannel
from rtcctl.probe.peer import Peer


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[Peer, Peer]]:
    """`alice` offers an m-section for data channels to `bob`; connected."""
    async with Peer(include_loopback=True) as alice, Peer(include_loopback=True) as bob:
        alice.add_data_section()
        assert not alice.has_data_section
        await alice.set_answer(await bob.answer(await alice.create_offer()))
        assert alice.has_data_section
        assert bob.has_data_section
        await asyncio.gather(alice.wait_connected(10), bob.wait_connected(10))
        yield alice, bob


async def opened(*peers: Peer, channel_id: int = 7, max_retransmits: int | None = None) -> list[DataChannel]:
    channels = [peer.open_channel(channel_id, "chat", max_retransmits=max_retransmits) for peer in peers]
    for channel in channels:
        await channel.wait_open(10)
    return channels


async def test_messages_keep_their_kind_and_order():
    """Texts, bytes and empty ones of both kinds arrive once each, with the time at which their datagram was read."""
    messages: list[str | bytes] = ["zwölf", b"\x00\xff", "", b"", "x" * 50_000, bytes(50_000), *map(str, range(500))]
    heard: list[str | bytes] = []
    times: list[float] = []
    async with joined() as (alice, bob):
        ours, theirs = await opened(alice, bob)
        theirs.on_message = lambda message, arrival: (heard.append(message), times.append(arrival.now))[0]
        for message in messages:
            ours.send(message)
        assert ours.buffered_bytes > 0
        await ours.drain(10)
        assert ours.buffered_bytes == 0
        async with asyncio.timeout(5):
            while len(heard) < len(messages):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert heard == messages
    assert times == sorted(times)
    assert times[0] > 0


async def test_what_cannot_be_sent_is_refused():
    """Larger than the other end takes: usage. Over a channel that has ended: network, phase sctp."""
    async with joined() as (alice, bob):
        ours, theirs = await opened(alice, bob)
        assert ours.max_message_bytes == 262_144
        ours.send(bytes(262_144))
        with pytest.raises(UsageError, match="262145 bytes is too large for data channel chat"):
            ours.send("é" * 131_072 + "x")
        await ours.drain(10)
        theirs.close()
        async with asyncio.timeout(5):
            await ours.wait_closed()
        assert (ours.is_open, ours.is_closed) == (False, True)
        with pytest.raises(NetworkError) as ended:
            ours.send("late")
        assert ended.value.phase == "sctp"


async def test_an_id_is_taken_until_its_channel_is_closed():
    """Then another channel may have it, and what is said on it arrives."""
    async with joined() as (alice, bob):
        ours, theirs = await opened(alice, bob)
        with pytest.raises(UsageError, match="id 7 already"):
            alice.open_channel(7, "other")
        alice.close_channel(ours)
        async with asyncio.timeout(5):
            await theirs.wait_closed()
            await ours.wait_closed()
            while ours._channel.readyState != "closed":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        ours, theirs = await opened(alice, bob)
        heard = asyncio.get_running_loop().create_future()
        theirs.on_message = lambda message, arrival: heard.set_result(message)
        ours.send("again")
        async with asyncio.timeout(5):
            assert await heard == "again"


async def test_a_channel_that_nobody_answers_does_not_open():
    """An m-section that was never agreed on: `NetworkError`, phase sctp, naming the channel."""
    async with Peer(include_loopback=True) as alice:
        channel = alice.open_channel(1, "chat")
        with pytest.raises(NetworkError, match=r"Data channel chat \(id 1\) did not open") as problem:
            await channel.wait_open(0.1)
        assert problem.value.phase == "sctp"


async def test_the_end_of_the_connection_is_the_end_of_its_channels():
    """What has not left by then is said, and nobody waits for ever."""
    async with joined() as (alice, bob):
        (ours, _) = await opened(alice, bob)
        bob.vanish()
        ours.send("nobody hears")
        with pytest.raises(NetworkError, match="did not acknowledge"):
            await ours.drain(0.1)
        await alice.close()
        assert ours.is_closed
        with pytest.raises(NetworkError, match="is closed"):
            await ours.drain(0.1)


async def test_the_lean_peer_has_no_channels():
    """It says so, and which one has."""
    async with Peer(include_loopback=True, transport="lean") as peer:
        with pytest.raises(UsageError, match="carries no data channels"):
            peer.open_channel(1, "chat")
