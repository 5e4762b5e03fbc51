"""Data channels by operations, in front of a server in this process."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from rtcctl.errors import ApiError, DeadlineError, UsageError
from rtcctl.journal import Journal
from rtcctl.ops import (
    channel,
    channel_listen,
    channel_measure,
    channel_open,
    channel_probe,
    channel_send,
    media,
    sources,
)
from rtcctl.ops.channel_listen import ListenRequest
from rtcctl.ops.channel_open import OpenRequest
from rtcctl.ops.channel_probe import ProbeRequest
from rtcctl.ops.channel_send import SendRequest
from rtcctl.ops.channels_media import ChannelRef, Delivery
from rtcctl.ops.env import Env
from rtcctl.ops.round_trip import QUESTIONS, round_trip
from rtcctl.ops.session import new_session
from rtcctl.ops.sources import open_tracks
from rtcctl.probe.peer import Peer
from rtcctl.realtime.client import RealtimeClient
from rtcctl.results.channel import ChannelEnded, ChannelPublished, ChannelSubscribed, MessageReceived, PathState
from rtcctl.results.check import CheckStatus
from rtcctl.results.event import Event
from rtcctl.testing import Realtime, realtime_server

E = TypeVar("E", bound=Event)


@asynccontextmanager
async def call(server: Realtime, folder: Path) -> AsyncIterator[tuple[RealtimeClient, Env, Peer, str, Peer, str]]:
    """Two peers, each with a session."""
    with Journal.open(folder) as journal:
        env = Env(profile=server.profile, journal=journal)
        async with env.client() as client, media.open_peer(env) as alice, media.open_peer(env) as bob:
            yield client, env, alice, await new_session(client, env), bob, await new_session(client, env)


@pytest.fixture(scope="module")
def server() -> Iterator[Realtime]:
    with realtime_server() as running:
        yield running
        assert running.bugs == 0


@asynccontextmanager
async def world(server: Realtime, folder: Path) -> AsyncIterator[tuple[Env, list[Event]]]:
    """The surroundings of operations, and what they have said."""
    events: list[Event] = []
    with Journal.open(folder) as journal:
        yield Env(profile=server.profile, journal=journal, emit=events.append), events


async def event(events: list[Event], kind: type[E]) -> E:
    """The first one of a kind, once it is there."""
    async with asyncio.timeout(10):
        while not (found := [e for e in events if isinstance(e, kind)]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found[0]


async def test_round_trip_beside_audio(server: Realtime, tmp_path: Path):
    """The channel joins sessions that carry a tone already, which goes on; it is closed at the end."""
    async with call(server, tmp_path) as (client, env, alice, alice_id, bob, bob_id):
        (track,) = await open_tracks((sources.parse("mic=tone:440"),))
        await media.publish(client, env, alice, alice_id, track)
        (subscription,) = await media.subscribe(
            client, env, bob, bob_id, media.remote_track(alice_id, "mic"), wait_s=5.0
        )
        await subscription.receiver.wait_first_packet(5.0)
        for _ in range(2):
            trip = await round_trip(client, env, alice, alice_id, bob, bob_id)
            assert trip.questions == QUESTIONS
            assert 0 < trip.one_way_ms < trip.rtt_ms < 200
        before = subscription.receiver.statistics(env.clock()).packets_received
        await asyncio.sleep(0.2)
        after = subscription.receiver.statistics(env.clock())
        assert after.packets_received >= before + 5
        assert after.packets_lost == 0
        for session_id in (alice_id, bob_id):
            state = await client.get_session(session_id)
            assert [channel.data_channel_name for channel in state.data_channels or ()] == ["server-events"]


async def test_replies_acknowledgements_and_the_right_to_reply(server: Realtime, tmp_path: Path):
    """With both flags the first message is the acknowledgement, which nobody hears; an update takes the right away."""
    async with world(server, tmp_path) as (env, events), asyncio.TaskGroup() as group:
        opened = group.create_task(channel_open.open_(OpenRequest(("chat",), for_s=60.0), env))
        published = await event(events, ChannelPublished)
        ref = ChannelRef(published.session_id, "chat")
        heard = group.create_task(
            channel_listen.listen(
                ListenRequest((ref,), wait_for_ack=True, can_reply=True, hello="hello", for_s=60.0), env
            )
        )
        subscribed = await event(events, ChannelSubscribed)
        assert (await event(events, MessageReceived)).text == "hello"
        for can_reply in (False, True):
            updated = await channel.update(channel.UpdateRequest(subscribed.session_id, subscribed.id, can_reply), env)
            assert (updated.can_reply, updated.publisher_session_id) == (can_reply, published.session_id)
        with pytest.raises(UsageError, match="published there"):
            await channel.update(channel.UpdateRequest(published.session_id, published.id, True), env)
        with pytest.raises(ApiError, match="no data channel 77") as absent:
            await channel.update(channel.UpdateRequest(subscribed.session_id, 77, True), env)
        assert f"{subscribed.id} (chat)" in absent.value.hint
        with pytest.raises(ApiError, match="no data channel other"):
            await channel.close(channel.CloseRequest((ref, ChannelRef(published.session_id, "other"))), env)
        assert not [e for e in events if isinstance(e, ChannelEnded)]
        closed = await channel.close(channel.CloseRequest((ref,)), env)
        assert [(c.channel, c.outcome) for c in closed.channels] == [("chat", "closed")]
    assert (heard.result().ended_by, heard.result().checks) == ("closed", ())
    (traffic,) = opened.result().channels
    assert (traffic.messages_received, traffic.bytes_received) == (1, 5)


async def test_a_listener_answers_until_it_has_heard_enough(server: Realtime, tmp_path: Path):
    """What is sent once a subscriber has said hello arrives whole and in order, much more than fits at once."""
    messages = tuple(bytes([number % 256]) * 16384 for number in range(80))
    async with world(server, tmp_path) as (env, events), asyncio.TaskGroup() as group:
        sent = group.create_task(channel_send.send(SendRequest("bulk", messages=messages, hello_s=10.0), env))
        ref = ChannelRef((await event(events, ChannelPublished)).session_id, "bulk")
        heard = group.create_task(
            channel_listen.listen(ListenRequest((ref,), can_reply=True, hello="go", reply="+", count=80), env)
        )
    received = [e.data for e in events if isinstance(e, MessageReceived) and e.base64 is not None]
    assert received == list(messages)
    assert heard.result().ended_by == "count"
    assert heard.result().checks[0].status is CheckStatus.PASSED
    assert sent.result().channels[0].bytes_sent == 80 * 16384
    # The hello and an answer to each; the last ones may be cut off by the end of the sender.
    assert 40 < sent.result().channels[0].messages_received <= 81


async def test_too_few_messages_fail(server: Realtime, tmp_path: Path):
    """`count` with `for_s`: fewer are a failed check. A subscriber of another policy is not refused."""
    async with world(server, tmp_path) as (env, events), asyncio.TaskGroup() as group:
        opened = group.create_task(channel_open.open_(OpenRequest(("chat",)), env))
        ref = ChannelRef((await event(events, ChannelPublished)).session_id, "chat")
        result = await channel_listen.listen(ListenRequest((ref,), Delivery(ordered=False), for_s=0.2, count=1), env)
        opened.cancel()
    assert (result.ended_by, result.exit_status) == ("time", 3)
    assert env.partial is not None
    assert env.journal.sessions() == ()


async def test_what_fails_later_leaves_nothing(server: Realtime, tmp_path: Path):
    """Too large a line, one that is not text, nobody who says hello, nobody who publishes: said, and cleaned up."""
    async with world(server, tmp_path) as (env, _):
        before = len(server.requests)
        with pytest.raises(UsageError, match=r"Message 2 has .* at most 16,384"):
            await channel_send.send(SendRequest("a", lines=io.BytesIO(b"fine\n" + b"x" * 20_000)), env)
        with pytest.raises(UsageError, match="Line 2 of standard input is not UTF-8"):
            await channel_send.send(SendRequest("a", lines=io.BytesIO(b"fine\n\xff\xfe\n")), env)
        with pytest.raises(DeadlineError, match="No subscriber of data channel a said anything"):
            await channel_send.send(SendRequest("a", messages=("x",), hello_s=0.1), env)
        nobody = ChannelRef("a" * 32, "chat")
        with pytest.raises(ApiError, match=str(nobody)) as refused:
            await channel_listen.listen(ListenRequest((nobody,), wait_s=0.3), env)
        assert refused.value.code == "not_found_track_error"
        assert env.journal.sessions() == ()
        operations = [r.operation for r in server.requests[before:]]
        assert operations.count("datachannels/new") >= 4
        assert operations.count("datachannels/close") == 3


@pytest.mark.parametrize(("direction", "policy"), [("up", "chat"), ("down", "game")])
async def test_a_path_that_is_slower_than_the_rate(
    server: Realtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str, policy: str
):
    """The probe stops sending. Nothing is lost, late or too large by that: it is inconclusive, and says why."""
    monkeypatch.setattr(channel_measure, "STRAGGLERS_S", 1.5)
    async with world(server, tmp_path) as (env, _):
        with server.app() as app, app.faults(f"rate=40kbps,direction={direction}"):
            limits = {"max_fraction_lost": 0.0, "max_latency_ms": {"p95": 1.0}}
            request = ProbeRequest((policy,), rate_hz=200, for_s=6.0, **limits)  # type: ignore[arg-type]
            result = await channel_probe.probe(request, env.with_profile(app.profile))
    (figures,) = result.policies
    assert (figures.path, figures.messages_lost, figures.fraction_lost) == (PathState.SLOW, None, None)
    assert figures.messages_sent == figures.messages_received + figures.messages_waiting < figures.messages_nominal
    assert figures.rate_hz < 60
    checks = {check.name: check for check in result.checks}
    assert result.exit_status == 8
    assert {checks[name].status for name in ("sent", "loss", "latency")} == {CheckStatus.INCONCLUSIVE}
    assert "the path carries about" in checks["sent"].detail or "machine is busy" in checks["sent"].detail
