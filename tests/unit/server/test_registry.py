"""Many sessions on a real endpoint: nothing of those that are gone stays behind."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from rtcctl.errors import UsageError
from rtcctl.media.sdp import Direction, Setup
from rtcctl.realtime.schema import TrackObject, TracksRequest
from rtcctl.server.endpoint import Endpoint
from rtcctl.server.limits import Limits
from rtcctl.server.registry import App, Registry, TurnKey
from rtcctl.server.session import Session
from rtcctl.server.turn import TurnService
from rtcctl.web.refusal import Refusal
from tests.support.data_path import members, until
from tests.support.fake_endpoint import Clock
from tests.support.sdp import offer_of, section

SESSIONS = 200


@asynccontextmanager
async def registry(clock: Clock) -> AsyncIterator[tuple[Registry, App, Endpoint]]:
    endpoint = Endpoint(random=random.Random(5), clock=clock)
    await endpoint.start(["127.0.0.1"], 0)
    app = App("app", "secret")
    limits = Limits(sweep_s=0.001)
    running = Registry(endpoint=endpoint, candidates=endpoint.candidates, apps=[app], limits=limits, clock=clock)
    try:
        yield running, app, endpoint
    finally:
        running.close()
        await endpoint.close()
    assert (running.bugs, endpoint.errors) == (0, 0)


async def publish(session: Session, setup: Setup) -> None:
    track = TrackObject(location="local", mid="0", track_name="mic")
    offer = offer_of(section("0", Direction.SENDONLY, setup=setup))
    await session.new_tracks(TracksRequest(tracks=[track], session_description=offer))


async def test_sessions_that_are_gone_are_forgotten() -> None:
    """Unused ones after 120 s, those that never connect 30 s after their exchange: no session, no transport, no key."""
    clock = Clock()
    async with registry(clock) as (running, app, endpoint):
        sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        for number in range(SESSIONS):
            session = running.new_session(app)
            sessions.add(session)
            if number % 2:
                await publish(session, Setup.ACTPASS if number % 4 == 1 else Setup.PASSIVE)
        assert len(endpoint._connections) == len(endpoint._by_ufrag) == SESSIONS // 2
        keeping_time = asyncio.ensure_future(running.keep_time())
        try:
            for passing_s, left in ((30.0, SESSIONS // 2), (90.0, 0)):
                clock.pass_by(passing_s)
                await until(lambda left=left: len(app.sessions) == left)
        finally:
            keeping_time.cancel()
            await asyncio.wait([keeping_time])
        assert not endpoint._connections
        assert not endpoint._by_ufrag
        assert not any(endpoint._by_addr.values())
        del session, keeping_time
        gc.collect()
        assert not sessions


async def test_requests_are_counted_by_session() -> None:
    """50 a second on each of many sessions; there is no limit for the app (Realtime docs: Limits)."""
    clock = Clock()
    async with registry(clock) as (running, app, _):
        sessions = [running.new_session(app) for _ in range(20)]
        for session in sessions * 50:
            running.session(app, session.session_id)
        with pytest.raises(Refusal) as caught:
            running.session(app, sessions[0].session_id)
        assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})


async def test_apps_find_their_own_sessions_only() -> None:
    """The same id asked for at another app is unknown there, and each secret opens its own app."""
    clock = Clock()
    endpoint = Endpoint(random=random.Random(5), clock=clock)
    apps = [App("one", "secret-of-one"), App("two", "secret-of-two")]
    running = Registry(endpoint=endpoint, candidates=(), apps=apps, limits=Limits(), clock=clock)
    session = running.new_session(apps[0])
    assert running.session(apps[0], session.session_id) is session
    with pytest.raises(Refusal) as caught:
        running.session(apps[1], session.session_id)
    assert caught.value.status == 410
    for app_id, secret, status in (
        ("one", "secret-of-one", None),
        ("two", "secret-of-one", 401),
        ("one", "", 401),
        ("three", "secret-of-one", 404),
    ):
        if status is None:
            assert running.app(app_id, f"Bearer {secret}") is apps[0]
            continue
        with pytest.raises(Refusal) as caught:
            running.app(app_id, f"Bearer {secret}")
        assert caught.value.status == status


async def test_what_is_added_is_served_once_it_is_noted() -> None:
    """Whoever keeps the list hears of it first, and what cannot be kept is not served either."""
    clock = Clock()
    endpoint = Endpoint(random=random.Random(5), clock=clock)
    apps, keys = [App("one", "secret-of-one")], [TurnKey("key", "token-of-key")]
    running = Registry(endpoint=endpoint, candidates=(), apps=apps, turn_keys=keys, limits=Limits(), clock=clock)
    running.add_app(App("two", "secret-of-two"))
    noted: list[object] = []
    running.on_change = noted.append
    running.add_app(app := App("three", "secret-of-three"))
    running.add_turn_key(key := TurnKey("more", "token-of-more"))
    assert noted == [app, key]
    assert running.app("three", "Bearer secret-of-three") is app
    assert running.turn_key("more", "Bearer token-of-more") is key
    for taken in (App("one", "secret-of-another"), App("four", "secret-of-one"), App("four", "token-of-key")):
        with pytest.raises(UsageError, match="in use") as caught:
            running.add_app(taken)
        assert taken.secret not in caught.value.message
    with pytest.raises(UsageError, match="in use"):
        running.add_turn_key(TurnKey("key", "token-of-another"))

    def refuse(added: object) -> None:
        raise UsageError("the disk is full")

    running.on_change = refuse
    with pytest.raises(UsageError, match="disk"):
        running.add_app(App("five", "secret-of-five"))
    with pytest.raises(Refusal):
        running.app("five", "Bearer secret-of-five")


async def test_what_is_changed_or_removed_is_noted_first() -> None:
    """An app keeps its sessions under another name, and ends with them; what cannot be kept is not done."""
    clock = Clock()
    async with registry(clock) as (running, app, _):
        running.add_app(other := App("other", "secret-of-other"))
        running.add_turn_key(key := TurnKey("key", "token-of-key", "app"))
        changed: list[object] = []
        removed: list[object] = []
        running.on_change, running.on_remove = changed.append, removed.append
        session = running.new_session(app)
        running.replace_app(renamed := replace(app, name="renamed"))
        running.replace_turn_key(renamed_key := replace(key, name="renamed"))
        assert changed == [renamed, renamed_key]
        assert running.session(running.app("app", "Bearer secret"), session.session_id) is session
        assert list(running.apps) == ["app", "other"]

        def refuse(entry: object) -> None:
            raise UsageError("the disk is full")

        running.on_change = running.on_remove = refuse
        for act in (
            lambda: running.replace_app(replace(renamed, name="more")),
            lambda: running.replace_turn_key(replace(key, name="more")),
            lambda: running.remove_app("app"),
            lambda: running.remove_turn_key("key"),
        ):
            with pytest.raises(UsageError, match="disk"):
                act()
        assert (running.apps["app"], running.turn_keys["key"]) == (renamed, renamed_key)
        running.on_remove = removed.append
        running.remove_app("app")
        assert session.is_gone
        assert list(running.turn_keys) == ["key"]
        running.remove_turn_key("key")
        assert removed == [renamed, renamed_key]
        assert (list(running.apps.values()), running.turn_keys) == ([other], {})


async def test_credentials_of_a_removed_turn_key_end() -> None:
    """Those of others live on."""
    clock = Clock()
    ended: list[str] = []

    class Service(TurnService):
        def revoke_all(self, key_id: str) -> None:
            ended.append(key_id)

    turn = Service(["127.0.0.1"], 3478, clock=clock, is_available=False)
    endpoint = Endpoint(random=random.Random(5), clock=clock)
    keys = [TurnKey("one", "token-of-one"), TurnKey("two", "token-of-two")]
    running = Registry(
        endpoint=endpoint, candidates=(), apps=[], turn_keys=keys, turn=turn, limits=Limits(), clock=clock
    )
    running.remove_turn_key("one")
    assert (ended, list(running.turn_keys)) == (["one"], ["two"])


async def test_a_bug_found_while_a_request_is_admitted() -> None:
    """It is counted and ends that session, as a bug anywhere else."""
    clock = Clock()
    endpoint = Endpoint(random=random.Random(5), clock=clock)
    app = App("app", "secret")
    running = Registry(endpoint=endpoint, candidates=(), apps=[app], limits=Limits(), clock=clock)
    session = running.new_session(app)
    session.publications["broken"] = None  # type: ignore[assignment]
    with pytest.raises(Refusal) as caught:
        running.session(app, session.session_id)
    assert caught.value.status == 500
    assert running.bugs == 1
    assert session.is_gone


async def test_a_publisher_that_is_gone_costs_its_subscribers_little() -> None:
    """They remember what they were subscribed to, but neither its packets nor its DTLS association."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        track = publisher.publish()
        subscriber.subscribe(track)
        publisher.peer.send_rtp(b"x", 1, 960)
        await until(lambda: subscriber.packets)
        assert track.layers[""].cached(track.layers[""].highest)
        publisher.connection.close()
        assert track.layers[""].cached(track.layers[""].highest) is None
        assert publisher.connection._dtls is None
