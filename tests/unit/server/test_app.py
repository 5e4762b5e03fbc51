"""The HTTP face: authorisation, bodies, errors, CORS. Always JSON, and the words of the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from rtcctl.media.sdp import Candidate, Direction, Setup
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.server.app import RealtimeApi
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.limits import Limits
from rtcctl.server.registry import App, Registry, TurnKey
from rtcctl.server.turn import TurnService, server_url
from tests.support.fake_endpoint import Clock, FakeConnection, FakeEndpoint
from tests.support.sdp import answer_to, data, offer_of, section

SESSIONS = "/v1/apps/app/sessions"
CREDENTIALS = "/v1/turn/keys/key/credentials"
SECRET = {"Authorization": "Bearer secret"}
TOKEN = {"Authorization": "Bearer token"}


@asynccontextmanager
async def api(
    clock: Clock | None = None, endpoint: FakeEndpoint | None = None, **limits: Any
) -> AsyncIterator[httpx.AsyncClient]:
    clock = clock or Clock()
    endpoint = endpoint or FakeEndpoint(clock)
    turn = TurnService(["127.0.0.1"], 8610, clock=clock, is_available=False)
    registry = Registry(
        endpoint=endpoint,  # type: ignore[arg-type]
        candidates=endpoint.candidates,
        turn=turn,
        apps=[App("app", "secret"), App("other", "other-secret")],
        turn_keys=[TurnKey("key", "token")],
        limits=Limits(**limits),
        clock=clock,
    )
    transport = httpx.ASGITransport(RealtimeApi(registry, turn).asgi())
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client
    assert registry.bugs == 0
    registry.close()
    assert all(connection.state is ConnectionState.CLOSED for connection in endpoint.connections)


async def new_session(client: httpx.AsyncClient) -> str:
    answer = await client.post(f"{SESSIONS}/new", headers=SECRET)
    assert answer.status_code == 201
    return str(answer.json()["sessionId"])


def error(answer: httpx.Response) -> tuple[int, str, str]:
    document = answer.json()
    assert set(document) <= {"errorCode", "errorDescription", "errorSubcode"}
    return answer.status_code, document["errorCode"], document["errorDescription"]


async def test_new_session_without_a_body() -> None:
    """201 and an id of 32 lower-case hex characters; unknown query parameters and a bare `?` do not matter."""
    async with api() as client:
        for query in ("", "?", "?streamDebug", "?correlationId=a&thirdparty=false"):
            answer = await client.post(f"{SESSIONS}/new{query}", headers=SECRET)
            assert answer.status_code == 201
            assert set(answer.json()) == {"sessionId"}
            assert len(answer.json()["sessionId"]) == 32
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["vary"] == "Origin"


async def test_a_session_with_a_third_party() -> None:
    """`thirdparty=true`: the SFU controls ICE towards an ICE-lite server, and is not lite itself."""
    for query, is_third_party in (("thirdparty=true", True), ("thirdparty=false", False), ("", False)):
        endpoint = FakeEndpoint(Clock())
        async with api(endpoint=endpoint) as client:
            answer = await client.post(f"{SESSIONS}/new?{query}&correlationId=relay", headers=SECRET)
            tracks = [{"location": "local", "trackName": "voice", "kind": "audio", "bidirectionalMediaStream": True}]
            path = f"{SESSIONS}/{answer.json()['sessionId']}"
            answer = await client.post(f"{path}/tracks/new", headers=SECRET, json={"tracks": tracks})
            assert answer.json()["requiresImmediateRenegotiation"] is True
            offer = Sdp.parse(answer.json()["sessionDescription"]["sdp"])
            assert offer.is_ice_lite is not is_third_party
            assert offer.media[0].candidates
            assert offer.media[0].direction == "sendrecv"
            (connection,) = endpoint.connections
            assert connection.is_controlling is is_third_party
            lite = Sdp.parse(answer_to(offer, setup=Setup.PASSIVE).sdp)
            reachable = replace(lite.media[0], candidates=(Candidate.host("192.0.2.7", 3478),))
            answered = str(replace(lite, is_ice_lite=True, media=(reachable,)))
            body = {"sessionDescription": {"type": "answer", "sdp": answered}}
            assert (await client.put(f"{path}/renegotiate", headers=SECRET, json=body)).json() == {}
            reached = (("192.0.2.7", 3478),) if is_third_party else ()
            assert connection.remotes[0]["candidates"] == reached
            assert connection.remotes[0]["is_ice_lite"] is True


async def test_new_session_with_an_offer() -> None:
    """201 with an answer; tracks in the body are ignored; the content type does not matter."""
    async with api() as client:
        offer = offer_of(section("0", Direction.SENDONLY)).to_wire()
        answer = await client.post(
            f"{SESSIONS}/new",
            headers=SECRET | {"Content-Type": "text/plain;charset=UTF-8"},
            content=json.dumps({"sessionDescription": offer, "tracks": [{"x": 1}]}),
        )
        assert answer.status_code == 201
        assert answer.json()["sessionDescription"]["type"] == "answer"
        session_id = answer.json()["sessionId"]
        state = await client.get(f"{SESSIONS}/{session_id}", headers=SECRET)
        assert state.json() == {"tracks": [], "dataChannels": []}


@pytest.mark.parametrize(
    ("body", "description"),
    [
        ("{}", "Body JSON validation error: sessionDescription"),
        ('{"tracks": []}', "Body JSON validation error: sessionDescription"),
        ('{"sessionDescription": {"type": "offer"}}', "Body JSON validation error: sessionDescription"),
        ('{"sessionDescription": {"type": "rollback", "sdp": ""}}', "Body JSON validation error: sessionDescription"),
        ("{", "Failed to decode body as JSON"),
        ("[]", "Failed to decode body as JSON"),
        ("null", "Failed to decode body as JSON"),
        (b"\xff\xfe", "Failed to decode body as JSON"),
        ("[" * 100_000, "Failed to decode body as JSON"),
        ('{"sessionDescription": {"type": "offer", "sdp": "\\ud800"}}', "Failed to decode body as JSON"),
    ],
)
async def test_bad_bodies_of_sessions_new(body: str | bytes, description: str) -> None:
    """400 `decoding_error`, and no session is left behind."""
    async with api() as client:
        answer = await client.post(f"{SESSIONS}/new", headers=SECRET, content=body)
        assert error(answer) == (400, "decoding_error", description)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "description"),
    [
        ("POST", "tracks/new", "", 400, "Failed to decode body as JSON"),
        ("POST", "tracks/new", "{}", 400, "Body JSON validation error: tracks"),
        ("POST", "tracks/new", '{"tracks": {}}', 400, "Body JSON validation error: tracks"),
        ("POST", "tracks/new", '{"tracks": [{"location": 1}]}', 400, "JSON body validation error: 0"),
        ("POST", "tracks/new", '{"tracks": [{}, {"mid": 0}]}', 400, "JSON body validation error: 1"),
        (
            "POST",
            "tracks/new",
            '{"tracks": [{"location": "remote", "sessionId": "a", "trackname": "a"}]}',
            400,
            "JSON body validation error: 0",
        ),
        ("POST", "tracks/new", '{"tracks": []}', 406, "Expecting at least 1 track"),
        (
            "POST",
            "tracks/new",
            '{"tracks": [{"location": "local", "trackName": "a", "kind": "data"}]}',
            400,
            "JSON body validation error: 0",
        ),
        (
            "POST",
            "tracks/new",
            '{"tracks": [{"location": "local", "trackName": "a"}]}',
            400,
            "Body JSON validation error: sessionDescription",
        ),
        ("POST", "tracks/new", '{"autoDiscover": true}', 400, "Body JSON validation error: sessionDescription"),
        ("PUT", "tracks/update", "{}", 400, "Body JSON validation error: tracks"),
        ("PUT", "tracks/update", '{"tracks": [{"mid": "0"}]}', 400, "JSON body validation error: 0"),
        (
            "PUT",
            "tracks/update",
            '{"tracks": [{"location": "remote", "sessionId": "a", "trackName": "a"}]}',
            406,
            "tracks[0]: Missing mid in track",
        ),
        (
            "PUT",
            "tracks/update",
            '{"tracks": [{"simulcast": {"priorityOrdering": "best"}}]}',
            400,
            "JSON body validation error: 0",
        ),
        ("PUT", "tracks/close", '{"tracks": [{"mid": "0"}]}', 400, "Body JSON validation error: force"),
        ("PUT", "tracks/close", '{"force": true}', 400, "Body JSON validation error: tracks"),
        ("PUT", "tracks/close", '{"force": true, "tracks": []}', 406, "Expecting at least 1 track"),
        ("PUT", "tracks/close", '{"force": true, "tracks": [{}]}', 406, "tracks[0]: Missing mid in track"),
        ("PUT", "renegotiate", "{}", 400, "Body JSON validation error: sessionDescription"),
        ("POST", "datachannels/establish", "{}", 400, "Body JSON validation error: dataChannel"),
        ("POST", "datachannels/establish", '{"dataChannel": {}}', 400, "Body JSON validation error: dataChannel"),
        (
            "POST",
            "datachannels/establish",
            '{"dataChannel": {"location": "remote", "dataChannelName": "chat"}}',
            406,
            "Only the remote data channel server-events can be established",
        ),
        ("POST", "datachannels/new", "{}", 400, "Body JSON validation error: dataChannels"),
        ("PUT", "datachannels/update", "{}", 400, "Body JSON validation error: dataChannels"),
        ("PUT", "datachannels/close", "{}", 400, "Body JSON validation error: dataChannels"),
    ],
)
async def test_bad_bodies(method: str, path: str, body: str, status: int, description: str) -> None:
    """The words of the service, where they are known."""
    async with api() as client:
        session_id = await new_session(client)
        answer = await client.request(method, f"{SESSIONS}/{session_id}/{path}", headers=SECRET, content=body)
        assert error(answer)[0] == status
        assert error(answer)[2] == description


async def test_every_operation_on_tracks_and_channels() -> None:
    """Each path leads to its operation: publish, pull, update, close; establish, new, update, close."""
    endpoint = FakeEndpoint(Clock())
    async with api(endpoint=endpoint) as client:
        alice, bob = await new_session(client), await new_session(client)

        async def call(method: str, session_id: str, path: str, **body: Any) -> Any:
            answer = await client.request(method, f"{SESSIONS}/{session_id}/{path}", headers=SECRET, json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        offer = offer_of(section("0", Direction.SENDONLY), data("1")).to_wire()
        track = {"location": "local", "mid": "0", "trackName": "mic"}
        await call("POST", alice, "tracks/new", tracks=[track], sessionDescription=offer)
        endpoint.connections[0].enter(ConnectionState.CONNECTED)
        endpoint.connections[0].published[0].receive()
        channel = {"location": "remote", "dataChannelName": "server-events"}
        established = await call("POST", bob, "datachannels/establish", dataChannel=channel)
        assert established["requiresImmediateRenegotiation"] is True
        answer = answer_to(Sdp.parse(established["sessionDescription"]["sdp"])).to_wire()
        assert await call("PUT", bob, "renegotiate", sessionDescription=answer) == {}
        endpoint.connections[1].enter(ConnectionState.CONNECTED)
        pulled = {"location": "remote", "sessionId": alice, "trackName": "mic"}
        pull = await call("POST", bob, "tracks/new", tracks=[pulled])
        answer = answer_to(Sdp.parse(pull["sessionDescription"]["sdp"])).to_wire()
        await call("PUT", bob, "renegotiate", sessionDescription=answer)
        update = await call("PUT", bob, "tracks/update", tracks=[pulled | {"mid": "1"}])
        assert update == {
            "requiresImmediateRenegotiation": False,
            "tracks": [{"mid": "1", "sessionId": alice, "trackName": "mic"}],
        }
        chat = {"location": "local", "dataChannelName": "chat"}
        assert (await call("POST", alice, "datachannels/new", dataChannels=[chat]))["dataChannels"][0]["id"]
        chat = {"location": "remote", "sessionId": alice, "dataChannelName": "chat"}
        subscribed = (await call("POST", bob, "datachannels/new", dataChannels=[chat]))["dataChannels"][0]["id"]
        updated = await call("PUT", bob, "datachannels/update", dataChannels=[chat | {"canReply": True}])
        assert updated["dataChannels"][0]["canReply"] is True
        closed = await call("PUT", bob, "datachannels/close", dataChannels=[{"id": subscribed}])
        assert "errorCode" not in closed["dataChannels"][0]
        closed = await call("PUT", bob, "tracks/close", tracks=[{"mid": "1"}], force=True)
        assert closed["tracks"] == [{"mid": "1"}]


async def test_subcodes_are_on_the_wire() -> None:
    """An answer without an offer names `invalid_modification_stable`."""
    async with api() as client:
        session_id = await new_session(client)
        body = {"sessionDescription": {"type": "answer", "sdp": "v=0\r\n"}}
        answer = await client.put(f"{SESSIONS}/{session_id}/renegotiate", headers=SECRET, json=body)
        assert answer.json()["errorSubcode"] == "invalid_modification_stable"
        assert error(answer)[:2] == (406, "invalid_session_description")


@pytest.mark.parametrize(
    "header", [None, "", "secret", "Basic secret", "Bearer", "Bearer wrong", "Bearer token", "Bearer \u00e9"]
)
async def test_wrong_secrets(header: str | None) -> None:
    """401 on every path of the app, whether or not what is named exists."""
    async with api() as client:
        headers = [] if header is None else [(b"authorization", header.encode("utf-8"))]
        for method, path in (("POST", "new"), ("GET", "0" * 32), ("PUT", f"{'0' * 32}/tracks/close")):
            answer = await client.request(method, f"{SESSIONS}/{path}", headers=headers)
            assert error(answer)[:2] == (401, "unauthorized")


async def test_unknown_app_and_session() -> None:
    """An unknown app is 404, an unknown session 410; a session of another app is unknown."""
    async with api() as client:
        answer = await client.post("/v1/apps/nobody/sessions/new", headers=SECRET)
        assert error(answer)[:2] == (404, "not_found")
        session_id = await new_session(client)
        other = {"Authorization": "Bearer other-secret"}
        for path, headers in (
            (f"{SESSIONS}/{'0' * 32}", SECRET),
            (f"/v1/apps/other/sessions/{session_id}", other),
        ):
            assert error(await client.get(path, headers=headers)) == (
                410,
                "session_error",
                "Session appears to be disconnected. Please check if the PeerConnection is connected.",
            )


async def test_unknown_paths_and_methods() -> None:
    """404 and 405 are JSON too; `DELETE` of a session is 405; HEAD is GET without a body."""
    async with api() as client:
        session_id = await new_session(client)
        for path in ("/", "/v1", f"{SESSIONS}/{session_id}/", f"{SESSIONS}/{session_id}/datachannels/old"):
            assert error(await client.post(path, headers=SECRET))[:2] == (404, "not_found")
        answer = await client.delete(f"{SESSIONS}/{session_id}", headers=SECRET)
        assert error(answer)[0] == 405
        assert "GET" in answer.headers["allow"]
        head = await client.head(f"{SESSIONS}/{session_id}", headers=SECRET)
        assert head.status_code == 200


async def test_a_body_that_is_too_large() -> None:
    """413 above 1 MiB, announced or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(1025):
            yield b"x" * 1024

    async with api() as client:
        session_id = await new_session(client)
        path = f"{SESSIONS}/{session_id}/tracks/new"
        for content in (b"x" * ((1 << 20) + 1), chunks()):
            assert error(await client.post(path, headers=SECRET, content=content))[:2] == (413, "payload_too_large")


async def test_a_body_that_does_not_come() -> None:
    """408 after its time, and the connection is closed; no session is left behind."""

    async def silence() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with api(body_wait_s=0.01) as client:
        session_id = await new_session(client)
        for path in ("new", f"{session_id}/tracks/new"):
            answer = await client.post(f"{SESSIONS}/{path}", headers=SECRET, content=silence())
            assert error(answer)[:2] == (408, "request_timeout")
            assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("POST", "tracks/new", {"autoDiscover": True}),
        ("PUT", "tracks/update", {"tracks": [{"location": "remote", "sessionId": "a", "trackName": "a", "mid": "0"}]}),
        ("PUT", "tracks/close", {"force": True, "tracks": [{"mid": "0"}]}),
        ("PUT", "tracks/close", {"force": False, "tracks": [{"mid": "0"}]}),
        ("PUT", "renegotiate", {}),
    ],
)
async def test_a_session_that_ends_while_a_body_arrives(method: str, path: str, fields: dict[str, Any]) -> None:
    """410, and no transport is opened for it."""
    clock = Clock()
    body = {"sessionDescription": offer_of(section("0", Direction.SENDONLY)).to_wire()} | fields

    async def late() -> AsyncIterator[bytes]:
        clock.pass_by(121)
        yield json.dumps(body).encode()

    async with api(clock) as client:
        session_id = await new_session(client)
        answer = await client.request(method, f"{SESSIONS}/{session_id}/{path}", headers=SECRET, content=late())
        assert error(answer)[:2] == (410, "session_error")


async def test_a_session_that_ends_during_its_own_request() -> None:
    """The transport may refuse what it is told (another certificate): 410, not an answer that leads nowhere."""
    async with api() as client:
        offer = offer_of(section("0", Direction.SENDONLY)).to_wire()
        answer = await client.post(f"{SESSIONS}/new", headers=SECRET, json={"sessionDescription": offer})
        path = f"{SESSIONS}/{answer.json()['sessionId']}/renegotiate"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FakeConnection, "set_remote", lambda self, **_: self.close())
            answer = await client.put(path, headers=SECRET, json={"sessionDescription": offer})
        assert error(answer)[:2] == (410, "session_error")


async def test_too_many_requests() -> None:
    """The 51st request on a session within a second is 429."""
    async with api() as client:
        session_id = await new_session(client)
        for _ in range(50):
            assert (await client.get(f"{SESSIONS}/{session_id}", headers=SECRET)).status_code == 200
        answer = await client.get(f"{SESSIONS}/{session_id}", headers=SECRET)
        assert error(answer)[:2] == (429, "rate_limited")
        assert answer.headers["retry-after"] == "1"


async def test_cross_origin_access() -> None:
    """Every answer may be read by the page that asked, the errors too; preflights need no secret."""
    origin = {"Origin": "http://localhost:5173"}
    async with api() as client:
        for method, path, headers in (
            ("POST", f"{SESSIONS}/new", SECRET),
            ("POST", f"{SESSIONS}/new", {}),
            ("GET", "/nowhere", {}),
            ("DELETE", f"{SESSIONS}/x", SECRET),
        ):
            answer = await client.request(method, path, headers=headers | origin)
            assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
            assert answer.headers["vary"] == "Origin"
        asked = origin | {
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization,content-type,x-mine",
        }
        preflight = await client.options(f"{SESSIONS}/new", headers=asked)
        assert preflight.status_code == 204
        assert "PUT" in preflight.headers["access-control-allow-methods"]
        assert preflight.headers["access-control-allow-headers"] == "authorization,content-type,x-mine"
        assert "access-control-allow-origin" not in (await client.get("/nowhere")).headers


# --- TURN credentials


async def test_turn_credentials_name_our_own_stun() -> None:
    """Both shapes, 201, STUN only; body optional."""
    server = {"urls": ["stun:127.0.0.1:8610"]}
    async with api() as client:
        for content in ("", "{}", '{"ttl": 86400, "customIdentifier": "alice"}', '{"ttl": 172800}'):
            answer = await client.post(f"{CREDENTIALS}/generate-ice-servers", headers=TOKEN, content=content)
            assert (answer.status_code, answer.json()) == (201, {"iceServers": [server]})
            answer = await client.post(f"{CREDENTIALS}/generate", headers=TOKEN, content=content)
            assert (answer.status_code, answer.json()) == (201, {"iceServers": server})


@pytest.mark.parametrize("ttl", ["0", "-1", "172801", '"1"', "1.5", "1e99"])
async def test_turn_lifetimes(ttl: str) -> None:
    """Out of range, or no integer: 400."""
    async with api() as client:
        answer = await client.post(f"{CREDENTIALS}/generate", headers=TOKEN, content=f'{{"ttl": {ttl}}}')
        assert answer.status_code == 400


async def test_turn_secrets_and_keys() -> None:
    """An App Secret is no TURN key token; an unknown key is 404."""
    async with api() as client:
        for path in ("generate", "generate-ice-servers", "someone/revoke"):
            assert error(await client.post(f"{CREDENTIALS}/{path}", headers=SECRET))[:2] == (401, "unauthorized")
            answer = await client.post(f"/v1/turn/keys/none/credentials/{path}", headers=TOKEN)
            assert error(answer)[:2] == (404, "not_found")


async def test_turn_revoke() -> None:
    """204 without a body, also for a name that was never issued."""
    async with api() as client:
        answer = await client.post(f"{CREDENTIALS}/someone/revoke", headers=TOKEN)
        assert (answer.status_code, answer.content) == (204, b"")


def test_url_of_an_ipv6_address() -> None:
    """RFC 7064, RFC 7065: brackets."""
    assert server_url("stun", "::1", 3478) == "stun:[::1]:3478"
    assert server_url("turn", "::1", 3478, "tcp") == "turn:[::1]:3478?transport=tcp"


async def test_a_refused_offer_leaves_no_session() -> None:
    """`sessions/new` with SDP that cannot be: refused like elsewhere, in the words for SDP."""
    async with api() as client:
        for sdp, status, code in (
            ("v=0", 406, "invalid_session_description"),
            (offer_of(section("0", ice_ufrag="")).sdp, 400, "decoding_error"),
        ):
            body = {"sessionDescription": {"type": "offer", "sdp": sdp}}
            answer = await client.post(f"{SESSIONS}/new", headers=SECRET, json=body)
            assert error(answer)[:2] == (status, code)
            assert "sessionId" not in answer.json()


@pytest.mark.parametrize(
    ("path", "headers"),
    [(f"{SESSIONS}/new", SECRET), (f"{CREDENTIALS}/generate-ice-servers", TOKEN)],
    ids=["an app", "a TURN key"],
)
async def test_what_is_deleted_while_a_body_is_on_its_way_makes_nothing(path: str, headers: dict[str, str]) -> None:
    """404 as for any later request: no session in an app that is gone, and no credential of such a key."""
    clock = Clock()
    endpoint = FakeEndpoint(clock)
    turn = TurnService(["127.0.0.1"], 8610, clock=clock, is_available=False)
    registry = Registry(
        endpoint=endpoint,  # type: ignore[arg-type]
        candidates=endpoint.candidates,
        turn=turn,
        apps=[App("app", "secret")],
        turn_keys=[TurnKey("key", "token")],
        limits=Limits(),
        clock=clock,
    )

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        registry.remove_app("app")
        registry.remove_turn_key("key")
        yield b"}"

    transport = httpx.ASGITransport(RealtimeApi(registry, turn).asgi())
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        answer = await client.post(path, content=body(), headers=headers)
    assert answer.status_code == 404
