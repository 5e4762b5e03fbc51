"""What all requests have in common: paths, secrets, bodies, headers (Realtime docs: API)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from rtcctl.media.sdp import Direction
from tests.contract.refusals import GONE, NOT_JSON, UNAUTHORIZED, UNKNOWN_APP, missing
from tests.contract.subject import subject
from tests.support.sdp import offer_of, section

OFFER = offer_of(section("0", Direction.SENDONLY)).to_wire()
SESSION = "0" * 32
OPERATIONS: tuple[tuple[str, str, Mapping[str, Any] | None], ...] = (
    # method, path below the session, a body that can be decoded
    ("POST", "tracks/new", {"tracks": [{"location": "remote", "sessionId": SESSION, "trackName": "mic"}]}),
    ("PUT", "tracks/update", {"tracks": [{"location": "remote", "sessionId": SESSION, "trackName": "x", "mid": "0"}]}),
    ("PUT", "tracks/close", {"tracks": [{"mid": "0"}], "force": True}),
    ("PUT", "renegotiate", {"sessionDescription": OFFER | {"type": "answer"}}),
    ("POST", "datachannels/establish", {"dataChannel": {"location": "remote", "dataChannelName": "server-events"}}),
    ("POST", "datachannels/new", {"dataChannels": [{"location": "local", "dataChannelName": "chat"}]}),
    (
        "PUT",
        "datachannels/update",
        {"dataChannels": [{"location": "remote", "sessionId": SESSION, "dataChannelName": "chat", "canReply": True}]},
    ),
    ("PUT", "datachannels/close", {"dataChannels": [{"id": 1}]}),
    ("GET", "", None),
)
"Of a session."


def requests(session_id: str) -> Iterator[tuple[str, str, Mapping[str, Any] | None]]:
    """The operations on a session, by method, path below the app, and body; and that which makes one."""
    yield "POST", "/sessions/new", None
    for method, path, body in OPERATIONS:
        yield method, f"/sessions/{session_id}/{path}".rstrip("/"), body


def check_headers(answer: httpx.Response) -> None:
    """JSON, whatever the status, and never cached for another origin."""
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert "origin" in answer.headers["vary"].lower()
    document = answer.json()
    assert isinstance(document, dict)
    if answer.status_code >= 400:
        assert document["errorCode"]
        assert document["errorDescription"]


def accepts(answer: httpx.Response) -> bool:
    """Whether a body was understood; what it asked for may be refused."""
    return answer.status_code != 400


# --- headers


async def test_every_answer_is_json() -> None:
    """With `vary: Origin`: success and failure, of each operation, for a good secret and for a wrong one."""
    async with subject() as service:
        session_id = await service.new_session()
        for method, path, body in requests(session_id):
            for secret in (None, "wrong"):
                answer = await service.call(method, path, body, secret=secret)
                check_headers(answer)
                assert accepts(answer)


async def test_paths_that_are_not_there() -> None:
    """There is no listing, and no redirect: JSON with 404, or 405 where another method would do."""
    async with subject() as service:
        for path in ("", "/", "/v1", "/apps/x", "/sessions", "/sessions/new/", "/sessions/x/tracks", "//", "/%00"):
            answer = await service.call("GET", path)
            assert answer.status_code in (404, 405), path
            if service.quirks.follows_assumptions:
                check_headers(answer)


async def test_methods() -> None:
    """`DELETE` of a session is 405, since sessions end by themselves; so is any method that an operation has not."""
    async with subject() as service:
        session_id = await service.new_session()
        answer = await service.call("DELETE", f"/sessions/{session_id}")
        assert answer.status_code == 405
        check_headers(answer)
        if service.quirks.follows_assumptions:
            for method, path, body in requests(session_id):
                for other in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {method}:
                    answer = await service.call(other, path, body)
                    # The id of a session may be any word, `new` too.
                    assert answer.status_code == (410 if (other, path) == ("GET", "/sessions/new") else 405)
                    check_headers(answer)
        assert (await service.get(session_id)).status_code == 200


async def test_pages_of_any_origin_may_ask() -> None:
    """Preflight, success and errors of each operation carry the CORS headers."""
    origin = {"Origin": "http://localhost:5173"}
    async with subject() as service:
        session_id = await service.new_session()
        for method, path, body in requests(session_id):
            asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"}
            preflight = await service.call("OPTIONS", path, headers=origin | asked)
            assert preflight.is_success
            assert method in preflight.headers["access-control-allow-methods"]
            assert preflight.headers["access-control-allow-headers"].lower() in ("*", "authorization")
            success = await service.call(method, path, body, headers=origin)
            failure = await service.call(method, path, body, headers=origin, secret="wrong")
            for answer in (preflight, success, failure):
                assert answer.headers["access-control-allow-origin"] in ("*", origin["Origin"])
                assert "origin" in answer.headers["vary"].lower()
        for method, path in (("GET", "/sessions"), ("DELETE", f"/sessions/{session_id}")):
            answer = await service.call(method, path, headers=origin)
            if service.quirks.follows_assumptions:
                assert answer.headers["access-control-allow-origin"] in ("*", origin["Origin"])


async def test_queries_are_ignored() -> None:
    """A bare `?`, what applications add, and what samples use for debugging."""
    async with subject() as service:
        plain = [await service.call(*request) for request in requests(await service.new_session())]
        for query in ("?", "?streamDebug", "?a=b&a=%00&thirdparty"):
            for request, expected in zip(requests(await service.new_session()), plain, strict=True):
                method, path, body = request
                answer = await service.call(method, f"{path}{query}", body)
                assert answer.status_code == expected.status_code, request


# --- bodies


async def test_any_content_type() -> None:
    """Browsers send JSON as text/plain, some clients name no type at all: each operation decodes it."""
    async with subject() as service:
        for content_type in ("text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "nonsense", None):
            headers = {"Content-Type": content_type} if content_type else {}
            content = json.dumps({"sessionDescription": OFFER})
            created = await service.call("POST", "/sessions/new", headers=headers, content=content)
            assert created.status_code == 201
            service.created.append(created.json()["sessionId"])
            for method, path, body in requests(await service.new_session()):
                if body is not None:
                    assert accepts(await service.call(method, path, headers=headers, content=json.dumps(body))), path


async def test_bodies_that_are_no_json() -> None:
    """400 `decoding_error`, of each operation that takes a body."""
    contents: tuple[str | bytes, ...] = ("", "{", "[", '"x', "[]", "null", b"\xff\xfe", "[" * 10_000)
    async with subject() as service:
        for content in contents:
            for method, path, body in requests(await service.new_session()):
                if body is not None:
                    service.check_refused(await service.call(method, path, content=content), NOT_JSON)


REQUIRED = {
    "tracks/new": "tracks",
    "tracks/update": "tracks",
    "tracks/close": "tracks",
    "renegotiate": "sessionDescription",
    "datachannels/establish": "dataChannel",
    "datachannels/new": "dataChannels",
    "datachannels/update": "dataChannels",
    "datachannels/close": "dataChannels",
}


async def test_fields_that_are_missing_or_of_another_type() -> None:
    """400 with the name of the field."""
    async with subject() as service:
        session_id = await service.new_session()
        for method, path, _ in OPERATIONS:
            if field := REQUIRED.get(path):
                for body in ({}, {field: 1}, {field: "x"}, {"unknown": []}):
                    answer = await service.call(method, f"/sessions/{session_id}/{path}", body)
                    service.check_refused(answer, missing(field))


# --- whom it is said to


async def test_wrong_secrets() -> None:
    """Refused by each operation, before anything else is looked at; a secret of another kind does not do either."""
    async with subject() as service:
        session_id = await service.new_session()
        for method, path, _ in requests(session_id):
            for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": service.app_secret}):
                answer = await service.call(method, path, content="{", headers=headers)
                assert answer.status_code in service.quirks.wrong_secret
                service.check_refused(answer, UNAUTHORIZED)
        if service.turn_key_token:
            service.check_refused(await service.call("GET", "/sessions/x", secret=service.turn_key_token), UNAUTHORIZED)


async def test_an_unknown_app() -> None:
    """404 `not_found`, or as if the secret were wrong; the code is never about a track."""
    async with subject() as service:
        for method, path, body in requests(SESSION):
            answer = await service.request(method, f"/apps/{'f' * 32}{path}", body)
            assert answer.status_code in service.quirks.unknown_app
            service.check_refused(answer, UNKNOWN_APP)


async def test_an_unknown_session() -> None:
    """410 `session_error` from each operation, like one that is gone; a bad body does not matter then."""
    async with subject() as service:
        if not service.quirks.answers_unknown_sessions:
            pytest.skip("this service lets requests to unknown sessions hang")
        for session_id in (SESSION, "x", "%F0%9F%8E%A4"):
            for method, path, body in requests(session_id):
                if path != "/sessions/new":
                    service.check_refused(await service.call(method, path, body), GONE)
                    service.check_refused(await service.call(method, path, content="{"), GONE)
