"""`rtcctl.testing`, as the tests of somebody's application use it: real peers, real UDP, an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from rtcctl.errors import ApiError, NetworkError, RtcctlError, UsageError
from rtcctl.testing import AsyncPeer, Peer, Realtime, realtime_server

FINE = {"packets_lost": 0, "audio_gaps": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[Realtime]:
    """Shared, as by the fixture of the plugin: each test takes an app of it."""
    with realtime_server() as running:
        yield running


@pytest.fixture
def realtime(server: Realtime) -> Iterator[Realtime]:
    with server.app() as app:
        yield app


class Backend:
    """An application's backend, with a signalling of its own in front of the API."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._url = f"{environment['CALLS_API_URL']}/apps/{environment['CALLS_APP_ID']}"
        self._http = httpx.Client(headers={"Authorization": f"Bearer {environment['CALLS_APP_SECRET']}"}, timeout=20)

    def __enter__(self) -> Backend:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self._http.request(method, f"{self._url}/{path}", json=body)

    def new_session(self) -> str:
        return str(self.call("POST", "sessions/new").json()["sessionId"])

    def publish(self, session_id: str, offer: str, **mids: str | None) -> str:
        tracks = [{"location": "local", "mid": mid, "trackName": name} for name, mid in mids.items()]
        body = {"sessionDescription": {"type": "offer", "sdp": offer}, "tracks": tracks}
        return str(self.call("POST", f"sessions/{session_id}/tracks/new", body).json()["sessionDescription"]["sdp"])

    def pull(self, session_id: str, publisher: str, *names: str) -> Any:
        tracks = [{"location": "remote", "sessionId": publisher, "trackName": name} for name in names]
        return self.call("POST", f"sessions/{session_id}/tracks/new", {"tracks": tracks}).json()

    def renegotiate(self, session_id: str, answer: str) -> None:
        body = {"sessionDescription": {"type": "answer", "sdp": answer}}
        assert self.call("PUT", f"sessions/{session_id}/renegotiate", body).status_code == 200


@pytest.fixture
def backend(realtime: Realtime) -> Iterator[Backend]:
    with Backend(realtime.environment) as running:
        yield running


# --- peers


def test_a_backend_with_its_own_signalling(realtime: Realtime, backend: Backend) -> None:
    """Two tones go through it, and each is heard where it belongs."""
    with realtime.peer() as alice, realtime.peer() as bob:
        publisher, subscriber = backend.new_session(), backend.new_session()
        low, high = alice.publish_tone(440), alice.publish_tone(880)
        assert low.mid is None
        offer = alice.create_offer()
        alice.set_answer(backend.publish(publisher, offer, low=low.mid, high=high.mid))
        alice.wait_connected()
        pulled = backend.pull(subscriber, publisher, "low", "high")
        mids = {item["trackName"]: item["mid"] for item in pulled["tracks"]}
        backend.renegotiate(subscriber, bob.answer(pulled["sessionDescription"]["sdp"]))
        bob.assert_tone(440, mid=mids["low"])
        bob.assert_tone(880, mid=mids["high"])
        statistics = bob.statistics(mids["low"])
        with pytest.raises(UsageError, match="is not one m-section"):
            bob.statistics()
    assert statistics.tone_hz == pytest.approx(440, rel=0.01)
    assert statistics.packets_lost == 0
    assert [request.operation for request in realtime.requests] == [
        "sessions/new",
        "sessions/new",
        "tracks/new",
        "tracks/new",
        "renegotiate",
    ]
    assert all(not request.findings for request in realtime.requests)


def test_without_a_backend(realtime: Realtime) -> None:
    """Publish and subscribe in a line each; one peer is one session."""
    with realtime.peer() as alice, realtime.peer() as bob:
        session_id = realtime.publish(alice, "mic")
        assert realtime.publish(alice, "music", tone_hz=880) == session_id
        mid = realtime.subscribe(bob, session_id, "mic")
        bob.assert_tone(440, mid=mid)
        other = realtime.subscribe(bob, session_id, "music")
        assert other != mid
        bob.assert_tone(880, mid=other)


def test_patience_without_a_backend(realtime: Realtime) -> None:
    """A test of what fails need not wait for it."""
    with realtime.peer() as alice, realtime.peer() as bob:
        session_id = realtime.publish(alice, "mic")
        started = time.monotonic()
        with pytest.raises(ApiError, match="mike"):
            realtime.subscribe(bob, session_id, "mike", within=0.2)
        with realtime.faults("sessions/new=503"), realtime.peer() as carol:
            with pytest.raises(RtcctlError):
                realtime.publish(carol, "mic", within=0.2)
            with pytest.raises(RtcctlError):
                realtime.subscribe(carol, session_id, "mic", within=0.2)
        assert time.monotonic() - started < 3


async def test_under_asyncio(realtime: Realtime) -> None:
    """The same as coroutines; the test's own event loop goes on meanwhile."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.ensure_future(tick())
    async with realtime.async_peer() as alice, realtime.async_peer() as bob:
        session_id = await realtime.publish(alice, "mic", tone_hz=523)
        await realtime.subscribe(bob, session_id, "mic")
        await bob.assert_tone(523)
        assert (await bob.statistics()).packets_lost == 0
        with pytest.raises(AssertionError, match=r"mid 0: another tone: 52\d.\d Hz instead of 440 Hz"):
            await bob.assert_tone(440, within=0.6)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await bob.assert_silence()
    ticking.cancel()
    assert ticks > 20


async def test_a_backend_under_asyncio(realtime: Realtime, backend: Backend) -> None:
    """An async peer takes part in the signalling of others: offers, answers, receives, and is gone."""
    async with realtime.async_peer() as alice, realtime.async_peer() as bob, realtime.async_peer() as carol:
        publisher, subscriber, asking = (backend.new_session() for _ in range(3))
        sending = await alice.publish_tone(523)
        answer = await asyncio.to_thread(backend.publish, publisher, await alice.create_offer(), mic=sending.mid)
        await alice.set_answer(answer)
        await alice.wait_connected()
        pulled = await asyncio.to_thread(backend.pull, subscriber, publisher, "mic")
        backend.renegotiate(subscriber, await bob.answer(pulled["sessionDescription"]["sdp"]))
        await bob.wait_connected()
        receiving = await carol.receive()
        offer = {"type": "offer", "sdp": await carol.create_offer()}
        track = {"location": "remote", "sessionId": publisher, "trackName": "mic", "mid": receiving.mid}
        body = {"sessionDescription": offer, "tracks": [track]}
        said = await asyncio.to_thread(backend.call, "POST", f"sessions/{asking}/tracks/new", body)
        await carol.set_answer(said.json()["sessionDescription"]["sdp"])
        await bob.assert_tone(523, mid=pulled["tracks"][0]["mid"])
        await carol.assert_tone(523, mid=receiving.mid)
        await alice.vanish()
        await bob.assert_silence()
        await carol.assert_silence()
        assert backend.call("GET", f"sessions/{publisher}").json()["tracks"][0]["status"] == "active"


def test_under_trio(realtime: Realtime) -> None:
    """Nothing of asyncio is needed where the test is."""
    trio = pytest.importorskip("trio")

    async def run() -> None:
        async with realtime.async_peer() as alice, realtime.async_peer() as bob:
            session_id = await realtime.publish(alice, "mic")
            await realtime.subscribe(bob, session_id, "mic")
            await bob.assert_tone(440)
            with trio.move_on_after(0.1) as scope:
                await bob.assert_silence()
            assert scope.cancelled_caught

    trio.run(run)


def test_an_offer_of_the_client_to_receive(realtime: Realtime, backend: Backend) -> None:
    """`receive` makes an m-section; what comes is known by its mid."""
    with realtime.peer() as alice, realtime.peer() as bob:
        publisher, subscriber = realtime.publish(alice, "mic"), backend.new_session()
        media = bob.receive()
        offer = {"type": "offer", "sdp": bob.create_offer()}
        track = {"location": "remote", "sessionId": publisher, "trackName": "mic", "mid": media.mid}
        answer = backend.call(
            "POST", f"sessions/{subscriber}/tracks/new", {"sessionDescription": offer, "tracks": [track]}
        )
        bob.set_answer(answer.json()["sessionDescription"]["sdp"])
        bob.assert_tone(440, mid=media.mid)


def failure(check: Callable[[], None]) -> str:
    with pytest.raises(AssertionError) as caught:
        check()
    return str(caught.value)


def test_what_was_heard_instead(realtime: Realtime, backend: Backend) -> None:
    """A failed assertion says what is there, and ends with the calls and what is wrong with them."""
    with realtime.peer() as alice, realtime.peer() as bob, realtime.peer() as carol:
        text = failure(lambda: carol.assert_tone(440, within=0.1))
        assert text.startswith("No tone of 440 Hz within 0.1 s:\n  nothing is received: call receive()")
        assert "not connected: ICE has not begun: there was no complete exchange" in text
        assert text.endswith("Realtime API calls:\nThe API was not called.")
        session_id = realtime.publish(alice, "mic", tone_hz=700)
        mid = realtime.subscribe(bob, session_id, "mic")
        bob.assert_tone(700)
        text = failure(lambda: bob.assert_tone(440, within=0.6))
        assert f"mid {mid}: another tone: 700.0 Hz instead of 440 Hz" in text
        assert "not connected" not in text
        assert f"mid {mid}: a tone of 700.0 Hz" in failure(lambda: bob.assert_silence(within=0.4))
        text = failure(lambda: bob.assert_tone(700, mid="7", within=0.1))
        assert f"there is no mid 7 to receive, but {mid}" in text
        forgetful = backend.new_session()
        pulled = backend.pull(forgetful, session_id, "mic")
        assert pulled["requiresImmediateRenegotiation"]
        assert f"session {forgetful}: its offer was never answered" in failure(lambda: bob.assert_tone(1, within=0.1))
        backend.pull(backend.new_session(), session_id, "mike")
        with realtime.faults("loss=100%,direction=down"):
            bob.assert_silence()
            text = failure(lambda: bob.assert_tone(700, within=0.3))
        assert f"mid {mid}: no packets any more, after " in text
        assert "200 not_found_track_error\n" in text
        assert "tracks[0] of the answer: not_found_track_error" in text
        assert "The SFU has no media under that session and name." in text
        assert realtime.app_secret not in text
        assert "v=0" not in text
        alice.close()
        bob.close()
        assert "not connected: the connection was closed by the other side." in failure(
            lambda: bob.assert_tone(700, within=0.1)
        )


def test_a_connection_that_cannot_be_made(realtime: Realtime, backend: Backend) -> None:
    """It says which phase failed, by itself and in an assertion."""
    with realtime.peer() as alice:
        session_id = backend.new_session()
        sending = alice.publish_tone()
        alice.receive()
        answer = backend.publish(session_id, alice.create_offer(), mic=sending.mid)
        alice.set_answer(answer.replace("a=ice-pwd:", "a=ice-pwd:wrong"))
        with pytest.raises(NetworkError, match="ICE found no path"):
            alice.wait_connected(0.3)
        assert "not connected: ICE found no path: none of 127.0.0.1" in failure(
            lambda: alice.assert_tone(440, within=0.1)
        )


def test_a_connection_that_was_not_begun(realtime: Realtime) -> None:
    """Nobody's network is to blame while there has been no exchange."""
    with realtime.peer() as alice:
        for step in (alice.receive, alice.create_offer, alice.close):
            with pytest.raises(NetworkError, match="no complete exchange of offer and answer"):
                alice.wait_connected(0.1)
            step()


def test_what_a_peer_does_not_take(realtime: Realtime) -> None:
    """What came from the test or its backend is named, with a hint that is part of the error."""
    with realtime.peer() as alice:
        for mistake, said in (
            (lambda: alice.receive("text"), "A peer receives no 'text'."),
            (lambda: alice.set_answer(None), "An answer is SDP, a str, not NoneType."),  # type: ignore[arg-type]
            (lambda: alice.answer({}), "An offer is SDP, a str, not dict."),  # type: ignore[arg-type]
            (lambda: alice.publish_tone(30_000), "30000"),
        ):
            with pytest.raises(UsageError) as caught:
                mistake()
            assert said in str(caught.value)
            assert caught.value.__notes__ == [f"hint: {caught.value.hint}"]
        alice.publish_tone()
        alice.create_offer()
        with pytest.raises(ApiError, match="The given answer cannot be used"):
            alice.set_answer("hello")


def test_a_mid_may_be_a_number(realtime: Realtime) -> None:
    """Backends have it as one."""
    with realtime.peer() as alice, realtime.peer() as bob:
        mid: Any = int(realtime.subscribe(bob, realtime.publish(alice, "mic"), "mic"))
        bob.assert_tone(440, mid)
        assert bob.statistics(mid).packets_received


def test_a_lossy_path_still_has_its_tone(realtime: Realtime) -> None:
    """What is lost is counted, by the ledger too; the tone is heard nevertheless."""
    with realtime.peer() as alice, realtime.peer() as bob:
        session_id = realtime.publish(alice, "mic")
        with realtime.faults("loss=30%,seed=7,direction=down,track=mic"):
            realtime.subscribe(bob, session_id, "mic")
            for _ in range(3):
                bob.assert_tone(440)
            ledger = realtime.ledger
        assert {row.track for row in ledger.packets} >= {"mic"}
        assert {row.app_id for row in ledger.packets} == {realtime.app_id}
        assert any(row["fate"] == "dropped" for row in ledger.document()["packets"])
        assert (bob.statistics().packets_lost or 0) > 0
        assert len(ledger.requests) == len(realtime.requests)


# --- apps, requests, faults


def test_apps_do_not_see_each_other(server: Realtime, realtime: Realtime, backend: Backend) -> None:
    """Faults meet one app, requests and ledger are of one app, and closing ends it."""
    with server.app() as other, Backend(other.environment) as their:
        fault_id = realtime.faults.set("sessions/new=503,times=1")
        assert their.call("POST", "sessions/new").status_code == 201
        assert backend.call("POST", "sessions/new").status_code == 503
        (fault,) = realtime.faults.list()
        assert (fault.fault_id, fault.text, fault.met) == (fault_id, "sessions/new=503,times=1", 1)
        assert other.faults.list() == ()
        other.faults.clear(fault_id)
        assert len(realtime.faults.list()) == 1
        with other.faults("*=500"):
            assert their.call("GET", "sessions/x").status_code == 500
            assert backend.call("POST", "sessions/new").status_code == 201
        session_id = their.new_session()
        assert backend.call("GET", f"sessions/{session_id}").status_code == 410
        assert [request.status for request in other.requests] == [201, 500, 201]
        assert [request.status for request in realtime.requests] == [503, 201, 410]
        assert (realtime.requests[0].fault, realtime.requests[0].error_code) == (
            "sessions/new=503,times=1",
            "temporarily_unavailable_error",
        )
        other.close()
        assert their.call("POST", "sessions/new").status_code == 404
        assert len(other.requests) == 3
        assert len(realtime.requests) == 3


def test_turn_credentials_of_an_app(server: Realtime, realtime: Realtime) -> None:
    """Each app has a TURN key, whose requests are its own, and which its faults meet."""
    with server.app() as other, httpx.Client() as http:

        def generate(app: Realtime) -> int:
            return http.post(
                f"{app.base_url}/turn/keys/{app.turn_key_id}/credentials/generate-ice-servers",
                headers={"Authorization": f"Bearer {app.turn_key_token}"},
                json={"ttl": 60},
            ).status_code

        with realtime.faults("turn/generate-ice-servers=429"):
            assert (generate(realtime), generate(other)) == (429, 201)
        assert [request.operation for request in other.requests] == ["turn/generate-ice-servers"]
        assert [request.status for request in realtime.requests] == [429]


def test_what_is_wrong_with_a_request(realtime: Realtime, backend: Backend) -> None:
    """Body, answer and explanation are there; so is what names an app that there never was."""
    session_id = backend.new_session()
    backend.call("POST", f"sessions/{session_id}/tracks/new", {"tracks": [{"location": "local", "trackname": "mic"}]})
    wrong = dict.fromkeys(realtime.environment, "none") | {"CALLS_API_URL": realtime.base_url, "CALLS_APP_ID": "typo"}
    with Backend(wrong) as misled:
        misled.call("POST", "sessions/new")
    created, refused, strange = realtime.requests
    assert (created.json, created.answer["sessionId"], created.session_id) == (None, session_id, session_id)
    assert refused.json == {"tracks": [{"location": "local", "trackname": "mic"}]}
    assert refused.status == 400
    assert any("trackName" in str(finding) for finding in refused.findings)
    assert (strange.path, strange.status, strange.error_code) == ("/v1/apps/typo/sessions/new", 404, "not_found")
    assert strange.findings
    assert f"POST …/sessions/{session_id}/tracks/new  400 decoding_error\n" in realtime.told()


def test_anybodys_mistake_is_kept_when_another_app_closes(server: Realtime, realtime: Realtime) -> None:
    """A call that names no app there ever was is shown to all; whoever closes first takes nothing from the others."""
    misled = {"CALLS_API_URL": realtime.base_url, "CALLS_APP_ID": "typo", "CALLS_APP_SECRET": "none"}
    with server.app() as other, Backend(misled) as backend:
        said = backend.call("POST", "sessions/new").json()
        assert [request.answer for request in other.requests] == [said]
    assert [request.answer for request in other.requests] == [said]
    assert [request.answer for request in realtime.requests] == [said]


def test_environment(realtime: Realtime) -> None:
    """Every spelling that rtcctl itself reads."""
    environment = realtime.environment
    assert environment["RTCCTL_API_BASE"] == environment["SFU_API_BASE"] == environment["CALLS_API_URL"]
    assert environment["REALTIME_SFU_BEARER_TOKEN"] == environment["CALLS_APP_SECRET"] == realtime.app_secret
    assert environment["TURN_KEY_ID"] == environment["TURN_SERVICE_ID"] == realtime.turn_key_id
    assert environment["TURN_KEY_API_TOKEN"] == realtime.turn_key_token
    assert environment["RTCCTL_PROFILE"] == "env"
    assert all(environment.values())


# --- time


def eventually(is_so: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def test_unused_sessions_expire(realtime: Realtime, backend: Backend) -> None:
    """After two minutes, of which nobody waits for one."""
    session_id = backend.new_session()
    realtime.advance(119)
    assert backend.call("GET", f"sessions/{session_id}").status_code == 200
    realtime.advance(2)
    assert backend.call("GET", f"sessions/{session_id}").status_code == 410


def test_expire(realtime: Realtime, backend: Backend) -> None:
    """A session ends when the test says so; its peer is told by DTLS."""
    with realtime.peer() as alice, realtime.peer() as bob:
        publisher = realtime.publish(alice, "mic")
        realtime.subscribe(bob, publisher, "mic")
        bob.assert_tone(440)
        realtime.expire(publisher)
        assert backend.call("GET", f"sessions/{publisher}").status_code == 410
        bob.assert_silence()
        for gone in (publisher, "no session"):
            with pytest.raises(ValueError, match=f"there is no session '{gone}'"):
                realtime.expire(gone)


def test_who_lives_goes_on(realtime: Realtime, backend: Backend) -> None:
    """An hour passes for two peers and one without media; no packet is lost, late or heard as a gap."""
    with realtime.peer() as alice, realtime.peer() as bob, realtime.peer() as carol:
        publisher = realtime.publish(alice, "mic")
        realtime.subscribe(bob, publisher, "mic")
        idle = backend.new_session()
        sending = carol.publish_tone()
        carol.set_answer(backend.publish(idle, carol.create_offer(), muted=sending.mid))
        carol.wait_connected()
        bob.assert_tone(440)
        started = time.monotonic()
        realtime.advance(3600)
        assert time.monotonic() - started < 0.9, "nobody was waited for in vain"
        bob.assert_tone(440)
        statistics = bob.statistics()
        for session_id in (publisher, idle):
            assert backend.call("GET", f"sessions/{session_id}").status_code == 200
    assert {name: getattr(statistics, name) for name in FINE} == FINE
    assert statistics.latency_ms is not None
    assert statistics.latency_ms.p50 < 100


def test_a_publisher_that_vanished(realtime: Realtime, backend: Backend) -> None:
    """Its track is collected, its session gone, after 30 s and not before; nobody else's is."""
    with realtime.peer() as alice, realtime.peer() as bob:
        publisher = realtime.publish(alice, "mic")
        other = realtime.publish(bob, "mic")
        subscriber = backend.new_session()
        alice.vanish()
        realtime.advance(20)
        assert backend.call("GET", f"sessions/{publisher}").json()["tracks"][0]["status"] == "active"
        realtime.advance(10)
        assert backend.call("GET", f"sessions/{publisher}").status_code == 410
        assert backend.pull(subscriber, publisher, "mic")["tracks"][0]["errorCode"] == "not_found_track_error"
        assert backend.call("GET", f"sessions/{other}").json()["tracks"][0]["status"] == "active"


def test_a_track_that_is_silent(realtime: Realtime, backend: Backend) -> None:
    """A pull of it is held for 8 s, which pass at once; after 30 s it is collected, and its session lives."""
    with realtime.peer() as alice, ThreadPoolExecutor() as pool:
        publisher, subscriber = realtime.publish(alice, "mic"), backend.new_session()
        with realtime.faults("loss=100%,direction=up"):
            realtime.advance(3)
            held = pool.submit(backend.pull, subscriber, publisher, "mic")
            eventually(lambda: realtime.requests[-1].operation == "tracks/new")
            realtime.advance(7)
            assert not held.done()
            started = time.monotonic()
            realtime.advance(1)
            assert held.result(5)["tracks"][0]["errorCode"] == "empty_track_error"
            assert time.monotonic() - started < 2
            realtime.advance(30)
            (track,) = backend.call("GET", f"sessions/{publisher}").json()["tracks"]
            assert track["status"] == "inactive"


# --- the server


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("rtcctl")}


@pytest.mark.usefixtures("server")
def test_it_leaves_nothing() -> None:
    """No thread, and an error for whoever goes on using it; peers that were forgotten are closed."""
    before = set(threading.enumerate())
    with realtime_server(time_scale=0.5, faults=["sessions/new=500,times=1"]) as realtime:
        with Backend(realtime.environment) as backend:
            assert backend.call("POST", "sessions/new").status_code == 500
            forgotten = realtime.peer()
            forgotten.publish_tone()
            forgotten.create_offer()
        realtime.close()
        realtime.close()
    # Starlette's thread for plain functions is told to end, and nobody waits for it.
    eventually(lambda: set(threading.enumerate()) <= before)
    with pytest.raises(RuntimeError, match="has been closed"):
        forgotten.create_offer()
    assert [request.status for request in realtime.requests] == [500]


@pytest.mark.usefixtures("server")
def test_what_is_closed_begins_nothing() -> None:
    """Neither a peer, nor one of a server or an app that has ended: nobody would end what they begin."""
    before = threads()
    with realtime_server() as realtime:
        peer, other = realtime.peer(), realtime.app()
        peer.close()
        for again in (peer.publish_tone, peer.receive, peer.create_offer, lambda: realtime.publish(peer, "mic")):
            with pytest.raises(RuntimeError, match="This peer has been closed"):
                again()
        other.close()
        with pytest.raises(RuntimeError, match="has been closed"):
            other.peer()
        forgotten = realtime.app()
        assert realtime.requests == []
    with realtime_server() as never_had_peers:
        late = never_had_peers.app()
    for closed in (realtime, forgotten, never_had_peers, late):
        with pytest.raises(RuntimeError, match="has been closed"):
            closed.async_peer()
    assert threads() == before


def test_what_cannot_be_started() -> None:
    """An error of the server is that of the caller, and leaves no thread."""
    before = threads()
    with pytest.raises(Exception, match="nonsense"), realtime_server(faults=["nonsense"]):
        pass
    assert threads() == before


def test_a_wrong_fault(realtime: Realtime) -> None:
    """It says how one is written, and nothing is set."""
    with pytest.raises(ValueError, match="is not KEY=VALUE"):
        realtime.faults.set("nonsense")
    assert realtime.faults.list() == ()


def test_both_kinds_of_peers_can_do_the_same() -> None:
    """`AsyncPeer` has every method of `Peer`."""

    def methods(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert methods(Peer) == methods(AsyncPeer)
