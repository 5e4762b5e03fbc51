"""Connections that are lost while commands hold them: what is said, how they go on, and what it cost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rtcctl.errors import ApiError, NetworkError, RtcctlError
from rtcctl.journal import Journal
from rtcctl.ops import channel_listen, channel_open, publish, session, sources, subscribe
from rtcctl.ops.channels_media import ChannelRef
from rtcctl.ops.env import Env
from rtcctl.ops.track import TrackRef
from rtcctl.probe.peer import Peer
from rtcctl.results.channel import ChannelPublished, ChannelSubscribed
from rtcctl.results.event import Connected, Event, Interval, Published
from rtcctl.results.outage import ConnectionLost, Outage, PublisherFollowed, Recovered
from rtcctl.results.result import Result
from rtcctl.testing import Realtime, realtime_server
from tests.support.command import Home, drain

E = TypeVar("E", bound=Event)

FOR_EVER_S = 60.0
PATIENCE_S = 20.0
"Of the test, on a machine that is busy."


@dataclass
class Running:
    """An operation that runs, and what it has said."""

    env: Env
    events: list[Event] = field(default_factory=list)
    task: asyncio.Task[Result] | None = None

    @classmethod
    def of(cls, realtime: Realtime, journal: Journal) -> Running:
        events: list[Event] = []
        return cls(Env(profile=realtime.profile, journal=journal, emit=events.append, pid=1), events)

    def start(self, work: Coroutine[Any, Any, Result]) -> None:
        self.task = asyncio.create_task(work)

    async def said(self, kind: type[E], is_it: Callable[[E], bool] = lambda event: True) -> E:
        """The first event of a kind, once it is there; what ended the operation before is raised."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and is_it(event):
                        return event
                assert self.task is not None
                if self.task.done():
                    raise AssertionError(f"ended before it said {kind.__name__}: {self.task.exception()}")
                await asyncio.sleep(0.02)

    async def peer(self, peers: list[Peer]) -> Peer:
        """The one that is connected, told by its path."""
        pair = next(event.candidate_pair for event in reversed(self.events) if isinstance(event, Connected))
        for peer in peers:
            with suppress(NetworkError):
                if (await peer.wait_connected(0.0)).candidate_pair == pair:
                    return peer
        raise AssertionError(f"nobody is connected by {pair}")

    async def ends_with(self) -> RtcctlError:
        """The error with which it ends."""
        assert self.task is not None
        with pytest.raises(RtcctlError) as ended:
            await asyncio.wait_for(self.task, PATIENCE_S)
        return ended.value

    async def stop(self) -> Any:
        """Interrupt it; the result of what it did until then."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        return self.env.partial


def publishing(env: Env, **options: Any) -> Coroutine[Any, Any, Result]:
    specs = (sources.parse("mic=tone:440"),)
    return publish.publish(publish.PublishRequest(specs, interval_s=0.2, **options), env)


def subscribing(env: Env, publisher: str, **options: Any) -> Coroutine[Any, Any, Result]:
    track = (TrackRef(publisher, "mic"),)
    request = subscribe.SubscribeRequest(track, for_s=FOR_EVER_S, interval_s=0.2, max_fraction_lost=None, **options)
    return subscribe.subscribe(request, env)


def holding(env: Env, **options: Any) -> Coroutine[Any, Any, Result]:
    return session.create(session.CreateRequest(connect=True, **options), env)


def opening(env: Env, **options: Any) -> Coroutine[Any, Any, Result]:
    return channel_open.open_(channel_open.OpenRequest(("chat",), **options), env)


def listening(env: Env, publisher: str, **options: Any) -> Coroutine[Any, Any, Result]:
    return channel_listen.listen(channel_listen.ListenRequest((ChannelRef(publisher, "chat"),), **options), env)


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> list[Peer]:
    """Those that are opened, in their order: a dead path is one from which a peer hears nothing any more."""
    opened: list[Peer] = []
    enter = Peer.__aenter__

    async def noted(peer: Peer) -> Peer:
        opened.append(peer)
        return await enter(peer)

    monkeypatch.setattr(Peer, "__aenter__", noted)
    return opened


async def test_outages(tmp_path: Path, peers: list[Peer]):
    """Each of these; they wait at the same time."""
    with realtime_server() as realtime, Journal.open(tmp_path / "here") as here:
        with realtime.app() as first, realtime.app() as second, realtime.app() as third:
            await asyncio.gather(
                a_path_that_comes_back(first, here, peers),
                a_path_that_does_not(second, here, peers),
                a_publisher_that_goes_elsewhere(third, here, tmp_path / "there"),
            )
        assert realtime.bugs == 0


async def a_path_that_comes_back(realtime: Realtime, journal: Journal, peers: list[Peer]) -> None:
    """No packet for 5 s is said at once; every command goes on in another session, with what was there before."""
    publisher, subscriber, holder, channel, listener = (Running.of(realtime, journal) for _ in range(5))
    publisher.start(publishing(publisher.env))
    published = await publisher.said(Published)
    subscriber.start(subscribing(subscriber.env, published.session_id))
    holder.start(holding(holder.env))
    channel.start(opening(channel.env))
    listener.start(listening(listener.env, (await channel.said(ChannelPublished)).session_id))
    await subscriber.said(Interval)
    await listener.said(ChannelSubscribed)
    await holder.said(Connected)
    all_of_them = {
        "publisher": publisher,
        "subscriber": subscriber,
        "holder": holder,
        "channel": channel,
        "listener": listener,
    }
    for running in all_of_them.values():
        (await running.peer(peers)).vanish()
    lost = {name: await running.said(ConnectionLost) for name, running in all_of_them.items()}
    for name, event in lost.items():
        assert event.silent_s is not None
        assert 4.9 < event.silent_s < 6.0, (name, event)
    outages = {name: (await running.said(Recovered)).outage for name, running in all_of_them.items()}
    count = len(subscriber.events)
    await subscriber.said(Interval, lambda event: subscriber.events.index(event) > count + 1)
    results = {name: await running.stop() for name, running in all_of_them.items()}
    for name, outage in outages.items():
        assert outage.session_id == lost[name].session_id, name
        assert outage.successor_id not in (None, outage.session_id), name
        assert outage.duration_s is not None
        assert outage.duration_s > 4.9, (name, outage)
        assert [o.session_id for o in results[name].outages] == [outage.session_id], name
        assert results[name].session_id == outage.successor_id
    sent, received = results["publisher"].sent, results["subscriber"]
    (outage,) = received.outages
    assert received.publisher_session_id == outages["publisher"].successor_id, "the subscriber has followed"
    # What was sent into the dark is told by the numbers in the media, and is no loss of the ranges that were counted.
    assert outage.frames_missed is not None
    assert received.packets_lost == 0
    on_its_way = 4
    assert abs(sent.packets_sent - received.packets_received - outage.frames_missed - before_it_came(received)) <= 60
    assert outage.frames_missed >= 5 * 50 - on_its_way
    # What was not due meanwhile is not missed by the check of the sender.
    assert sent.nominal_packets is not None
    assert sent.packets_sent >= 0.9 * sent.nominal_packets
    assert listener.env.partial.channels[0].session_id == outages["channel"].successor_id  # type: ignore[union-attr]


def before_it_came(received: Any) -> int:
    """About what was sent before the subscription."""
    return int(received.time_to_first_packet_ms / 20)


async def a_path_that_does_not(realtime: Realtime, journal: Journal, peers: list[Peer]) -> None:
    """It is over after `recover_for_s`, or at once without, with exit 6; what was measured is kept."""
    patient, hasty = Running.of(realtime, journal), Running.of(realtime, journal)
    patient.start(publishing(patient.env, recover_for_s=1.5))
    hasty.start(publishing(hasty.env, recover_for_s=None))
    for running in (patient, hasty):
        await running.said(Interval)
    realtime.faults.set("sessions/new=503")
    for running in (patient, hasty):
        (await running.peer(peers)).vanish()
    started = time.monotonic()
    error = await hasty.ends_with()
    assert isinstance(error, NetworkError)
    assert not any(isinstance(event, ConnectionLost) for event in hasty.events)
    error = await patient.ends_with()
    assert 5 < time.monotonic() - started < 16
    assert isinstance(error, NetworkError)
    assert "There was no other within 1.5 s" in error.message
    partial: Any = patient.env.partial
    (outage,) = partial.outages
    assert (outage.duration_s, outage.successor_id) == (None, None)
    assert partial.sent.packets_sent > 0
    assert next(check for check in partial.checks if check.name == "recovery").status == "failed"


async def a_publisher_that_goes_elsewhere(realtime: Realtime, here: Journal, folder: Path) -> None:
    """Subscribers of this machine follow over the connection that they have; others are told, with exit 5."""
    with Journal.open(folder) as there:
        publisher, near, far = (Running.of(realtime, journal) for journal in (here, here, there))
        publisher.start(publishing(publisher.env))
        published = await publisher.said(Published)
        near.start(subscribing(near.env, published.session_id))
        far.start(subscribing(far.env, published.session_id))
        await near.said(Interval)
        await far.said(Interval)
        realtime.expire(published.session_id)
        outage = (await publisher.said(Recovered)).outage
        followed = await near.said(PublisherFollowed)
        assert (followed.publisher_session_id, followed.successor_id) == (published.session_id, outage.successor_id)
        over: Outage = (await near.said(Recovered)).outage
        assert over.session_id == over.successor_id == followed.session_id, "its own session goes on"
        assert over.duration_s is not None
        assert over.duration_s < 10
        error = await far.ends_with()
        assert isinstance(error, ApiError)
        assert "publisher's session is gone" in error.message
        assert error.exit_status == 5
        received = await near.stop()
        assert received.publisher_session_id == outage.successor_id
        assert received.packets_lost == 0
        await publisher.stop()


def test_a_server_that_is_killed_and_comes_back(tmp_path: Path):
    """Killed under a publisher and a subscriber, back within 5 s on the same ports: media within 10 s of its return."""
    home = Home(tmp_path)
    with home.dev() as server:
        port = server.ready["base_url"].rpartition(":")[2].partition("/")[0]
        publish = ("track", "publish", "--name", "mic", "--interval", "200ms", "-o", "jsonl")
        with home.running(*publish) as publisher:
            session_id = publisher.event("published")["session_id"]
            subscribe = (
                "track",
                "subscribe",
                f"{session_id}/mic",
                "--for",
                "60s",
                "--interval",
                "200ms",
                "-o",
                "jsonl",
            )
            with home.running(*subscribe) as subscriber:
                subscriber.event("interval")
                server.process.kill()
                server.process.wait()
                lost = subscriber.event("connection_lost")
                assert lost["silent_s"] < 6
                with home.running("dev", "--port", port, "-o", "jsonl") as again:
                    again.event("server_ready")
                    back = time.monotonic()
                    outage = subscriber.event("recovered")["outage"]
                    while not subscriber.event("interval")["received"]["packets_received"]:
                        pass
                    assert time.monotonic() - back < 10
                    assert publisher.event("recovered")["outage"]["session_id"] == session_id
                    assert subscriber.stop() == 143
                    assert publisher.stop() == 143
                    summary = json.loads(drain(subscriber)[-1])
    assert summary["outages"] == [outage | {"frames_missed": summary["outages"][0]["frames_missed"]}]
    assert summary["publisher_session_id"] != session_id
    assert summary["outages"][0]["frames_missed"] > 0


async def test_a_given_session_that_is_gone_is_said_at_once(tmp_path: Path):
    """Nobody waits for a session that was named to come back, or publishes into another one unasked."""
    with realtime_server() as realtime:
        realtime.faults.set("sessions/get=410")
        with Journal.open(tmp_path) as journal:
            running = Running.of(realtime, journal)
            request = publish.PublishRequest((sources.parse("mic=tone:440"),), "0123456789abcdef0123456789abcdef")
            with pytest.raises(ApiError) as ended:
                await asyncio.wait_for(publish.publish(request, running.env), PATIENCE_S)
    assert ended.value.is_gone
    assert not running.events
