"""What becomes of requests that meet a fault, and what the ledger says of them; through the whole application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.server.app import RealtimeApi
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.faults.faults import Faults
from rtcctl.server.faults.grammar import OPERATIONS, has_items
from rtcctl.server.faults.ledger import RequestRow
from rtcctl.server.limits import Limits
from rtcctl.server.registry import App, Registry, TurnKey
from rtcctl.server.turn import TurnService
from tests.support.data_path import until
from tests.support.fake_endpoint import Clock, FakeEndpoint
from tests.support.sdp import answer_to, offer_of, section

SECRET = {"Authorization": "Bearer secret"}
TOKEN = {"Authorization": "Bearer token"}
SESSIONS = "/v1/apps/app/sessions"
CREDENTIALS = "/v1/turn/keys/key/credentials"
CALLS = {
    "sessions/new": ("POST", f"{SESSIONS}/new"),
    "sessions/get": ("GET", f"{SESSIONS}/{{session}}"),
    "tracks/new": ("POST", f"{SESSIONS}/{{session}}/tracks/new"),
    "tracks/update": ("PUT", f"{SESSIONS}/{{session}}/tracks/update"),
    "tracks/close": ("PUT", f"{SESSIONS}/{{session}}/tracks/close"),
    "renegotiate": ("PUT", f"{SESSIONS}/{{session}}/renegotiate"),
    "datachannels/establish": ("POST", f"{SESSIONS}/{{session}}/datachannels/establish"),
    "datachannels/new": ("POST", f"{SESSIONS}/{{session}}/datachannels/new"),
    "datachannels/update": ("PUT", f"{SESSIONS}/{{session}}/datachannels/update"),
    "datachannels/close": ("PUT", f"{SESSIONS}/{{session}}/datachannels/close"),
    "turn/generate-ice-servers": ("POST", f"{CREDENTIALS}/generate-ice-servers"),
    "turn/generate": ("POST", f"{CREDENTIALS}/generate"),
    "turn/revoke": ("POST", f"{CREDENTIALS}/someone/revoke"),
}
DEEP = "[" * 100_000
REMOTE = {"location": "remote", "sessionId": "nobody", "trackName": "mic"}


@dataclass
class Api:
    """The application, its faults and its ledger."""

    http: httpx.AsyncClient
    registry: Registry
    endpoint: FakeEndpoint

    @property
    def faults(self) -> Faults:
        return self.registry.faults

    @property
    def row(self) -> RequestRow:
        """The last request."""
        return self.faults.ledger.requests[-1]

    async def call(self, operation: str, session: str = "0" * 32, **options: Any) -> httpx.Response:
        method, path = CALLS[operation]
        headers = TOKEN if operation.startswith("turn/") else SECRET
        return await self.http.request(method, path.format(session=session), **{"headers": headers} | options)

    async def session(self) -> str:
        return str((await self.call("sessions/new")).json()["sessionId"])

    async def published(self, *names: str) -> str:
        """A session that is connected, with tracks of those names under the mids 0, 1 …"""
        session = await self.session()
        offer = offer_of(*(section(str(mid), Direction.SENDONLY) for mid in range(len(names)))).to_wire()
        tracks = [{"location": "local", "mid": str(mid), "trackName": name} for mid, name in enumerate(names)]
        answer = await self.call("tracks/new", session, json={"tracks": tracks, "sessionDescription": offer})
        assert answer.status_code == 200, answer.text
        connection = self.endpoint.connections[-1]
        connection.enter(ConnectionState.CONNECTED)
        for incoming in connection.published:
            incoming.receive()
        return session


@asynccontextmanager
async def api(*faults: str, keep_bodies: bool = False) -> AsyncIterator[Api]:
    clock = Clock()
    endpoint = FakeEndpoint(clock)
    turn = TurnService(["127.0.0.1"], 8610, clock=clock, is_available=False)
    registry = Registry(
        endpoint=endpoint,  # type: ignore[arg-type]
        candidates=endpoint.candidates,
        turn=turn,
        apps=[App("app", "secret"), App("other", "other-secret")],
        turn_keys=[TurnKey("key", "token", "app")],
        limits=Limits(),
        clock=clock,
    )
    for text in faults:
        registry.faults.set(text)
    asgi = RealtimeApi(registry, turn, keep_bodies=keep_bodies).asgi()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://server") as client:
        yield Api(client, registry, endpoint)
    assert registry.bugs == 0
    registry.close()


# --- a status


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_status_for_every_operation(operation: str) -> None:
    """The code of the service and a description that names the fault, in place of the work."""
    async with api(f"{operation}=503") as at:
        answer = await at.call(operation)
        assert answer.status_code == 503
        assert answer.json() == {
            "errorCode": "temporarily_unavailable_error",
            "errorDescription": f"Fault 1: {operation}=503",
        }
        assert answer.headers["content-type"] == "application/json"
        assert (at.row.operation, at.row.status, at.row.fault) == (operation, 503, f"{operation}=503")
        assert at.row.error_code == "temporarily_unavailable_error"
        assert not at.endpoint.connections
        for other in OPERATIONS:
            if other != operation:
                assert "Fault" not in (await at.call(other)).text
                assert at.row.fault == ""


async def test_any_operation() -> None:
    """`*` is all of them, and no path that is none."""
    async with api("*=500") as at:
        for operation in OPERATIONS:
            assert (await at.call(operation)).status_code == 500
        assert (await at.http.get("/nowhere", headers=SECRET)).status_code == 404
        assert at.row.operation == ""
        assert at.faults.active[0].met == len(OPERATIONS)


@pytest.mark.parametrize(
    ("written", "header"), [("1s", "1"), ("1500ms", "2"), ("1ms", "1"), ("0s", "0"), ("2m", "120")]
)
async def test_retry_after(written: str, header: str) -> None:
    """Whole seconds, and no fewer than were written."""
    async with api(f"sessions/new=429,retry-after={written}") as at:
        answer = await at.call("sessions/new")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, header)


@pytest.mark.parametrize("options", ["502", "429,body=html,retry-after=3s"])
async def test_answers_that_are_no_json(options: str) -> None:
    """What the front end of the service sends: HTML, and readable for browsers all the same."""
    async with api(f"sessions/new={options}") as at:
        answer = await at.call("sessions/new", headers=SECRET | {"Origin": "http://page"})
        assert answer.status_code == int(options[:3])
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["access-control-allow-origin"] == "http://page"
        assert ("retry-after" in answer.headers) == ("retry" in options)
        assert f"error code: {options[:3]}" in answer.text
        assert (at.row.status, at.row.error_code) == (int(options[:3]), "")


async def test_subcodes() -> None:
    """They are on the wire where the fault has one."""
    async with api("renegotiate=406", "sessions/get=400,subcode=special") as at:
        assert (await at.call("renegotiate")).json()["errorSubcode"] == "invalid_modification_have_local_offer"
        assert (await at.call("sessions/get")).json()["errorSubcode"] == "special"


# --- who is met


@pytest.mark.parametrize("action", ["503", "hang", "lost", "slow,for=1h", "expire", "track_error", "502"])
async def test_a_wrong_secret_stays_401(action: str) -> None:
    """Faults meet those alone who have the secret; unknown apps and keys stay 404. None of it counts."""
    async with api(f"*={action}") as at:
        for operation in OPERATIONS:
            wrong = {"Authorization": "Bearer wrong"}
            answer = await at.call(operation, headers=wrong)
            assert (answer.status_code, answer.json()["errorCode"]) == (401, "unauthorized")
            assert (await at.call(operation, headers={})).status_code == 401
            method, path = CALLS[operation]
            unknown = path.replace("/app/", "/nobody/").replace("/key/", "/nobody/").format(session="0" * 32)
            assert (await at.http.request(method, unknown, headers=SECRET)).status_code == 404
        assert (await at.http.options(f"{SESSIONS}/new")).status_code == 204
        assert (await at.http.delete(f"{SESSIONS}/x", headers=SECRET)).status_code == 405
        assert at.faults.active[0].requests == 0


async def test_head_is_get() -> None:
    """HEAD of a session meets the faults of GET."""
    async with api("sessions/get=410") as at:
        answer = await at.http.head(f"{SESSIONS}/{'0' * 32}", headers=SECRET)
        assert answer.status_code == 410
        assert at.row.method == "HEAD"


async def test_times_and_skip() -> None:
    """So many are let through, then so many are met, then it is over."""
    async with api("sessions/new=503,skip=2,times=3") as at:
        assert [(await at.call("sessions/new")).status_code for _ in range(7)] == [201, 201, 503, 503, 503, 201, 201]
        assert at.faults.active[0].document() == {
            "id": 1,
            "fault": "sessions/new=503,skip=2,times=3",
            "is_media": False,
            "met": 3,
            "times": 3,
        }


async def test_times_and_skip_at_once() -> None:
    """The same of requests that come together."""
    async with api("sessions/new=503,skip=5,times=10") as at, asyncio.TaskGroup() as group:
        tasks = [group.create_task(at.call("sessions/new")) for _ in range(40)]
        statuses = [(await task).status_code for task in tasks]
        assert (statuses.count(503), statuses.count(201)) == (10, 30)
        assert at.faults.active[0].met == 10


async def test_the_first_that_meets() -> None:
    """Of several faults one meets a request: the first that is not over, and lets nothing through."""
    async with api("sessions/new=500,times=1", "sessions/new=502,skip=1,times=1", "*=503") as at:
        assert [(await at.call("sessions/new")).status_code for _ in range(4)] == [500, 503, 502, 503]


async def test_whom_it_concerns() -> None:
    """An app, a session, a track, or all of them together."""
    async with api() as at:
        mine, other = await at.session(), await at.session()
        at.faults.set(f"*=503,app=app,session={mine}")
        assert (await at.call("sessions/get", mine)).status_code == 503
        assert (await at.call("sessions/get", other)).status_code == 200
        assert (await at.call("sessions/new")).status_code == 201
        assert (await at.call("turn/generate")).status_code == 201
        at.faults.clear()
        at.faults.set("sessions/new=503,app=other")
        assert (await at.call("sessions/new")).status_code == 201
        theirs = {"Authorization": "Bearer other-secret"}
        assert (await at.http.post("/v1/apps/other/sessions/new", headers=theirs)).status_code == 503


@pytest.mark.parametrize(
    ("selector", "tracks", "is_met"),
    [
        ("mic", [REMOTE], True),
        ("nobody/mic", [REMOTE], True),
        ("somebody/mic", [REMOTE], False),
        ("camera", [REMOTE], False),
        ("camera", [REMOTE, {"location": "remote", "trackName": "camera"}], True),
        ("{session}/voice", [{"location": "local", "trackName": "voice", "mid": "0"}], True),
        ("nobody/voice", [{"location": "local", "trackName": "voice", "mid": "0"}], False),
        ("mic", [], False),
        ("mic", "mic", False),
        ("mic", [1, None, "mic", ["mic"]], False),
        ("mic", [{"trackName": ["mic"], "sessionId": {}}], False),
    ],
)
async def test_requests_that_name_a_track(selector: str, tracks: Any, is_met: bool) -> None:
    """By name, or by the publisher's session and name; of a local track that is the request's own session."""
    async with api() as at:
        session = await at.session()
        at.faults.set(f"tracks/new=503,track={selector.format(session=session)}")
        answer = await at.call("tracks/new", session, json={"tracks": tracks})
        assert (answer.status_code == 503) is is_met


@pytest.mark.parametrize("content", ["", "{", "[]", "null", b"\xff\xfe", DEEP, '{"tracks": ' + DEEP, "1" * 5000])
@pytest.mark.parametrize(
    "fault", ["tracks/new=503", "tracks/new=track_error", "tracks/new=503,track=mic", "tracks/new=slow,for=0s"]
)
async def test_bodies_that_cannot_be_read(fault: str, content: str | bytes) -> None:
    """They are met like others when no track is asked for; else they are answered as without a fault."""
    async with api(fault) as at:
        session = await at.session()
        answer = await at.call("tracks/new", session, content=content)
        if "503" not in fault or "track=" in fault:
            assert (answer.status_code, answer.json()["errorDescription"]) == (400, "Failed to decode body as JSON")
        else:
            assert (answer.status_code, at.row.fault) == (503, fault)


async def test_a_body_that_is_too_large() -> None:
    """413, as without a fault; it is not counted."""
    async with api("*=503") as at:
        answer = await at.call("tracks/new", content=b"x" * ((1 << 20) + 1))
        assert (answer.status_code, answer.json()["errorCode"]) == (413, "payload_too_large")
        assert at.faults.active[0].requests == 0


# --- errors of items


async def test_some_items_fail() -> None:
    """Those that the fault names, each in its place; the others are done, and what they need is there."""
    async with api() as at:
        alice, bob = await at.published("mic", "camera", "screen"), await at.session()
        at.faults.set("tracks/new=not_found_track_error,track=camera")
        pulls = [
            {"location": "remote", "sessionId": alice, "trackName": name}
            for name in ("camera", "mic", "camera", "screen")
        ]
        document = (await at.call("tracks/new", bob, json={"tracks": pulls})).json()
        failure = {
            "mid": "",
            "sessionId": alice,
            "trackName": "camera",
            "errorCode": "not_found_track_error",
            "errorDescription": "Fault 1: tracks/new=not_found_track_error,track=camera",
        }
        assert [document["tracks"][i] for i in (0, 2)] == [failure, failure]
        assert [document["tracks"][i]["trackName"] for i in (1, 3)] == ["mic", "screen"]
        assert all("errorCode" not in document["tracks"][i] for i in (1, 3))
        assert document["requiresImmediateRenegotiation"] is True
        assert len(Sdp.parse(document["sessionDescription"]["sdp"]).media) == 2
        assert at.row.item_codes == ("not_found_track_error",) * 2
        assert (at.row.status, at.row.error_code) == (200, "")


async def test_a_local_item_by_its_session() -> None:
    """`SESSION/NAME` of a track that the request itself would publish."""
    async with api() as at:
        session = await at.session()
        at.faults.set(f"tracks/new=track_error,track={session}/mic")
        offer = offer_of(section("0", Direction.SENDONLY), section("1", Direction.SENDONLY)).to_wire()
        tracks = [{"location": "local", "mid": str(i), "trackName": name} for i, name in enumerate(("mic", "camera"))]
        document = (await at.call("tracks/new", session, json={"tracks": tracks, "sessionDescription": offer})).json()
        assert [track.get("errorCode") for track in document["tracks"]] == ["track_error", None]
        assert [(track["mid"], track["trackName"]) for track in document["tracks"]] == [("0", "mic"), ("1", "camera")]
        state = (await at.call("sessions/get", session)).json()
        assert [track["trackName"] for track in state["tracks"]] == ["camera"]


@pytest.mark.parametrize("operation", ["tracks/new", "tracks/update", "tracks/close"])
async def test_all_tracks_fail(operation: str) -> None:
    """Then nothing is done, and there is nothing to negotiate."""
    async with api(f"{operation}=200,code=brand_new_error,subcode=more") as at:
        item = {"location": "remote", "sessionId": "a", "trackName": "b", "mid": "0"}
        answer = await at.call(operation, await at.session(), json={"tracks": [item, item], "force": True})
        assert answer.status_code == 200
        failure = {
            "mid": "",
            "sessionId": "a",
            "trackName": "b",
            "errorCode": "brand_new_error",
            "errorDescription": f"Fault 1: {operation}=200,code=brand_new_error,subcode=more",
            "errorSubcode": "more",
        }
        assert answer.json() == {"requiresImmediateRenegotiation": False, "tracks": [failure, failure]}
        assert at.row.item_codes == ("brand_new_error",) * 2


@pytest.mark.parametrize("operation", ["datachannels/new", "datachannels/update", "datachannels/close"])
async def test_all_channels_fail(operation: str) -> None:
    """The same of data channels; what names them is repeated."""
    async with api(f"{operation}=repeated_local_track_error") as at:
        items = [{"location": "local", "dataChannelName": "chat"}, {"id": 7}]
        document = (await at.call(operation, await at.session(), json={"dataChannels": items})).json()
        failure = {
            "errorCode": "repeated_local_track_error",
            "errorDescription": f"Fault 1: {operation}=repeated_local_track_error",
        }
        assert document == {"dataChannels": [{"dataChannelName": "chat", **failure}, {"id": 7, **failure}]}


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if has_items(name)])
@pytest.mark.parametrize("track", ["mic", "\ud800"])
async def test_what_is_refused_before_items(operation: str, track: str) -> None:
    """A session that is gone, and a body that cannot be, are answered as without the fault."""

    async def ask() -> list[tuple[int, str]]:
        name = "trackName" if operation.startswith("tracks/") else "dataChannelName"
        item = {"location": "remote", "sessionId": "a", name: track, "mid": "0"}
        content = json.dumps({"tracks": [item], "dataChannels": [item], "dataChannel": item, "force": True})
        sessions = ["0" * 32] if track == "mic" else ["0" * 32, await at.session()]
        answers = [await at.call(operation, session, content=content) for session in sessions]
        return [(answer.status_code, answer.text) for answer in answers]

    async with api() as at:
        expected = await ask()
        at.faults.set(f"{operation}=track_error")
        assert await ask() == expected
        assert [status for status, _ in expected] == [410, 400][: len(expected)]


@pytest.mark.parametrize(
    "operation",
    ["sessions/new", "sessions/get", "renegotiate", "datachannels/establish", "turn/generate", "turn/revoke"],
)
async def test_a_200_that_failed(operation: str) -> None:
    """Where there are no items, the whole answer is an error under a 200."""
    async with api() as at:
        session = await at.session()
        at.faults.set(f"{operation}=retryable_transient_error")
        asked = {"dataChannel": {"location": "remote", "dataChannelName": "server-events"}}
        answer = await at.call(operation, session, json={"tracks": [REMOTE]} if operation == "renegotiate" else asked)
        assert answer.status_code == 200
        assert answer.json() == {
            "errorCode": "retryable_transient_error",
            "errorDescription": f"Fault 1: {operation}=retryable_transient_error",
        }
        assert at.row.error_code == "retryable_transient_error"


@pytest.mark.parametrize(
    ("tracks", "status"), [([], 406), ("mic", 400), ([1], 400), ([REMOTE, 1], 400), ([{"location": 1}, "x"], 400)]
)
async def test_items_that_are_none(tracks: Any, status: int) -> None:
    """What is no item is refused as without the fault, and so is no item at all."""
    async with api("tracks/new=track_error") as at:
        assert (await at.call("tracks/new", await at.session(), json={"tracks": tracks})).status_code == status


async def test_a_refusal_of_the_others() -> None:
    """When the rest of the request cannot be, that is the answer."""
    async with api("tracks/new=track_error,track=camera") as at:
        camera = REMOTE | {"trackName": "camera"}
        answer = await at.call("tracks/new", json={"tracks": [camera, REMOTE]})
        assert (answer.status_code, answer.json()["errorCode"]) == (410, "session_error")


# --- what is done besides


async def test_empty_mids() -> None:
    """The work is done, but the answer does not say where."""
    async with api("tracks/new=empty-mid,times=2,skip=1") as at:
        alice, bob = await at.published("mic"), await at.session()
        pull = {"location": "remote", "sessionId": alice, "trackName": "mic"}
        document = (await at.call("tracks/new", bob, json={"tracks": [pull]})).json()
        assert document["tracks"] == [{"mid": "", "sessionId": alice, "trackName": "mic"}]
        assert document["requiresImmediateRenegotiation"] is True
        answer = answer_to(Sdp.parse(document["sessionDescription"]["sdp"])).to_wire()
        assert (await at.call("renegotiate", bob, json={"sessionDescription": answer})).json() == {}
        assert (await at.call("tracks/new", json={"tracks": [pull]})).status_code == 410


async def test_slow_until_its_time() -> None:
    """The work is done later, and as it would have been."""
    async with api("sessions/new=slow,for=1ms") as at:
        assert (await at.call("sessions/new")).status_code == 201
        assert at.row.duration_ms is not None
        assert at.row.duration_ms >= 1


@pytest.mark.parametrize("how", ["clear", "close"])
async def test_slow_until_it_is_cleared(how: str) -> None:
    """A fault that is cleared holds nobody any more, and neither does a server that ends."""
    async with api("sessions/new=slow,for=1h") as at, asyncio.TaskGroup() as group:
        asked = [group.create_task(at.call("sessions/new")) for _ in range(3)]
        await until(lambda: at.faults.active[0].requests == 3)
        assert [(row.status, row.app_id, row.operation) for row in at.faults.ledger.requests] == [
            (None, "app", "sessions/new")
        ] * 3
        (at.faults.clear if how == "clear" else at.registry.close)()
        async with asyncio.timeout(5):
            assert [(await task).status_code for task in asked] == [201] * 3


async def test_expire_at_once() -> None:
    """The session has ended before the work: 410, and it stays gone."""
    async with api() as at:
        session = await at.published("mic")
        at.faults.set("tracks/new=expire,times=1")
        assert (await at.call("tracks/new", session, json={"tracks": [REMOTE]})).status_code == 410
        assert (await at.call("sessions/get", session)).status_code == 410
        assert at.endpoint.connections[0].state is ConnectionState.CLOSED


@pytest.mark.parametrize("after", ["", ",after=1ms"])
async def test_a_new_session_that_expires(after: str) -> None:
    """It is made, and gone when its time is over."""
    async with api(f"sessions/new=expire{after}") as at:
        session = await at.session()
        assert at.row.session_id == session
        await gone(at, session)


@pytest.mark.parametrize("content", ["{", '{"tracks": []}', '{"tracks": [{"location": "local", "kind": "audio"}]}'])
async def test_expire_later(content: str) -> None:
    """The work is done, or refused, and the session ends when its time is over."""
    async with api("tracks/new=expire,after=1ms") as at:
        session = await at.session()
        assert (await at.call("tracks/new", session, content=content)).status_code in (400, 406, 200)
        await gone(at, session)


async def test_a_session_that_would_have_expired() -> None:
    """A fault that is cleared before that time ends nothing any more."""
    async with api("sessions/new=expire,after=20ms,times=1", "sessions/new=expire,after=20ms") as at:
        kept, ended = await at.session(), await at.session()
        at.faults.clear(1)
        await gone(at, ended)
        assert (await at.call("sessions/get", kept)).status_code == 200


async def test_what_has_no_session_does_not_expire() -> None:
    """Requests for TURN credentials are none that `*=expire` meets, or counts."""
    async with api() as at:
        session = await at.session()
        at.faults.set("*=expire,times=1")
        for operation in OPERATIONS:
            if operation.startswith("turn/"):
                assert (await at.call(operation)).is_success
                assert at.row.fault == ""
        assert at.faults.active[0].met == 0
        assert (await at.call("sessions/get", session)).status_code == 410


async def gone(at: Api, session: str) -> None:
    """Wait for the end of a session, without a request to it that would be counted."""
    await until(lambda: session not in at.registry.app("app", SECRET["Authorization"]).sessions)
    assert (await at.call("sessions/get", session)).status_code == 410


async def test_the_session_of_another_app() -> None:
    """An id says nothing outside of its app: nobody else's session ends."""
    async with api("sessions/get=expire") as at:
        session = await at.session()
        theirs = {"Authorization": "Bearer other-secret"}
        path = f"/v1/apps/other/sessions/{session}"
        assert (await at.http.get(path, headers=theirs)).status_code == 410
        assert session in at.registry.app("app", SECRET["Authorization"]).sessions


@pytest.mark.parametrize("operation", ["turn/generate", "turn/generate-ice-servers"])
@pytest.mark.parametrize(
    ("body", "status", "ttl_s"),
    [
        ({}, 201, 10.0),
        (None, 201, 10.0),
        ({"ttl": 3600}, 201, 10.0),
        ({"ttl": 5}, 201, 5.0),
        ({"ttl": 0}, 400, None),
        ({"ttl": -1}, 400, None),
        ({"ttl": 172_801}, 400, None),
        ({"ttl": "long"}, 400, None),
        ({"ttl": {}}, 400, None),
        ({"ttl": [1]}, 400, None),
        ("ttl", 400, None),
    ],
)
async def test_short_lifetimes(operation: str, body: Any, status: int, ttl_s: float | None) -> None:
    """No longer than the fault has it; what is refused without a fault is refused with one."""
    async with api(f"{operation}=short-ttl") as at:
        assert (await at.call(operation, json=body)).status_code == status
        assert at.row.turn_ttl_s == ttl_s


# --- the ledger


async def test_requests_without_a_fault() -> None:
    """All are written down, whatever becomes of them: operation, app and session, client, status, codes."""
    async with api() as at:
        session = await at.session()
        made = at.row
        assert (made.operation, made.app_id, made.session_id, made.status) == ("sessions/new", "app", session, 201)
        assert (made.method, made.path, made.client) == ("POST", f"{SESSIONS}/new", "127.0.0.1:123")
        assert made.user_agent.startswith("python-httpx/")
        assert made.duration_ms is not None
        assert (made.fault, made.body, made.answer) == ("", b"", b"")
        await at.call("turn/generate", json={"ttl": 60})
        assert (at.row.app_id, at.row.session_id, at.row.turn_ttl_s) == ("app", "", 60)  # the key's
        await at.call("sessions/get", session, headers={})
        assert (at.row.session_id, at.row.status, at.row.error_code) == (session, 401, "unauthorized")
        await at.http.delete(f"{SESSIONS}/{session}", headers=SECRET)
        assert (at.row.session_id, at.row.status, at.row.error_code) == (session, 405, "method_not_allowed")
        await at.http.get("/nowhere", headers={"User-Agent": "x" * 1000})
        assert (at.row.operation, at.row.status, at.row.error_code) == ("", 404, "not_found")
        assert len(at.row.user_agent) == 200
        await at.http.post(CREDENTIALS.replace("/key/", "/nobody/") + "/generate", headers=TOKEN)
        assert (at.row.operation, at.row.app_id, at.row.status) == ("turn/generate", "", 404)
        assert at.faults.ledger.requests_seen == 6


async def test_a_row_is_complete_before_the_answer() -> None:
    """Whose request is being held can be seen while it is."""
    async with api("sessions/get=slow,for=1h") as at, asyncio.TaskGroup() as group:
        session = await at.session()
        task = group.create_task(at.call("sessions/get", session))
        await until(lambda: at.faults.active[0].requests)
        assert (at.row.app_id, at.row.session_id, at.row.fault) == ("app", session, "sessions/get=slow,for=1h")
        assert (at.row.status, at.row.duration_ms) == (None, None)
        at.faults.clear()
        assert (await task).status_code == 200


async def test_item_codes_of_a_long_answer() -> None:
    """However much SDP is in it."""
    filling = "x" * 200
    async with api() as at:
        session = await at.published(*(f"track{i}{filling}" for i in range(60)))
        pulling = await at.session()
        pulls = [{"location": "remote", "sessionId": session, "trackName": f"track{i}{filling}"} for i in range(60)]
        at.faults.set(f"tracks/new=track_error,track=track59{filling}")
        answer = await at.call("tracks/new", pulling, json={"tracks": pulls})
        assert len(answer.content) > 1 << 16
        assert at.row.item_codes == ("track_error",)


@pytest.mark.parametrize("fault", ["tracks/new=503", "tracks/new=track_error,track=mic", "sessions/get=503"])
async def test_what_was_said(fault: str) -> None:
    """Kept only where that was asked for: the bodies as they were sent and answered."""
    async with api(fault, keep_bodies=True) as at:
        session = await at.session()
        body = json.dumps({"tracks": [REMOTE, REMOTE | {"trackName": "camera"}]}).encode()
        answer = await at.call("tracks/new", session, content=body)
        assert (at.row.body, at.row.answer) == (body, answer.content)
        assert "REMOTE" not in repr(at.row)
