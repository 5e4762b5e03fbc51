"""Refusals are logged with what to do about them; nothing of what a client sent is, but names."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rtcctl.web import answer
from rtcctl.web.answer import ERROR_HANDLERS, json_answer, log_item_errors
from rtcctl.web.body import read_body
from rtcctl.web.refusal import Refusal
from tests.support.sdp import offer_of, section

SESSION = f"/v1/apps/app/sessions/{'a' * 32}"
OFFER = offer_of(section("0")).to_wire()


@asynccontextmanager
async def service(outcome: Exception | dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    """A service that reads the body and then always ends so."""
    import asyncio

    async def ends(request: Request) -> Response:
        await read_body(request, 1 << 20, asyncio.timeout(5))
        if isinstance(outcome, Exception):
            raise outcome
        log_item_errors(request, outcome)
        return json_answer(outcome)

    routes = [Route("/v1/apps/{app_id}/sessions/{session_id}/tracks/new", ends, methods=["POST"])]
    app = Starlette(routes=routes, exception_handlers=dict(ERROR_HANDLERS))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, answer.__name__)


async def refused(refusal: Exception, body: Any, path: str = f"{SESSION}/tracks/new") -> httpx.Response:
    async with service(refusal) as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await client.post(path, content=content, headers={"Authorization": "Bearer secret-of-the-app"})


async def test_a_mistake_is_logged_where_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """Session, method, path, status and code, then the very field; the answer has the service's words alone."""
    refusal = Refusal(400, "decoding_error", "JSON body validation error: 0")
    body = {"tracks": [{"location": "local", "mid": 0, "trackName": "mic"}], "sessionDescription": OFFER}
    response = await refused(refusal, body)
    assert response.json() == {"errorCode": "decoding_error", "errorDescription": "JSON body validation error: 0"}
    assert caplog.messages == [
        f"session={'a' * 32} POST {SESSION}/tracks/new 400 decoding_error: "
        'tracks[0].mid: it is no string. Write "0", with quotes'
    ]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            Refusal(410, "session_error", "Session appears to be disconnected."),
            "410 session_error: The session is gone",
        ),
        (Refusal(425, "session_error", "Session is not ready yet."), "425 session_error: The session's connection"),
        (Refusal(429, "rate_limited", "More than 50 requests per second"), "429 rate_limited: More than 50"),
        (Refusal(401, "unauthorized", "The secret is missing"), "401 unauthorized: Check that the App ID"),
        (
            Refusal(406, "invalid_session_description", "x", subcode="invalid_modification_have_local_offer"),
            "406 invalid_modification_have_local_offer: Another negotiation",
        ),
        (Refusal(406, "signaling_state_not_stable", "x"), "406 signaling_state_not_stable: Another negotiation"),
        (
            Refusal(406, "invalid_session_description", "x", subcode="invalid_modification_stable"),
            "406 invalid_modification_stable: An answer came",
        ),
    ],
)
async def test_what_is_not_about_the_request_is_not_explained_by_it(
    refusal: Refusal, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when the body has a mistake that was not reached."""
    await refused(refusal, {"tracks": [{"mid": 0}]})
    assert said in caplog.text


async def test_a_good_request_gets_the_hint_of_its_code(caplog: pytest.LogCaptureFixture) -> None:
    """What only the state of the session tells is said by code and description."""
    track = {"location": "remote", "sessionId": "b", "trackName": "mic", "mid": "9"}
    await refused(
        Refusal(406, "invalid_params", "tracks[0]: no receiving transceiver for mid '9'"), {"tracks": [track]}
    )
    assert "406 invalid_params: `mid` names an m-section in which this session receives" in caplog.text


async def test_a_large_body_is_not_looked_at_again(caplog: pytest.LogCaptureFixture) -> None:
    """The hint is that of the description."""
    body = b'{"tracks": [' + b" " * (1 << 16) + b"]}"
    await refused(Refusal(406, "invalid_params", "Expecting at least 1 track"), body)
    assert "406 invalid_params: The list is empty" in caplog.text


async def test_wrong_paths_and_methods(caplog: pytest.LogCaptureFixture) -> None:
    """They never reach the service, and are explained all the same; in one line whatever is in them."""
    async with service({}) as client:
        assert (await client.delete(f"{SESSION}/tracks/new")).status_code == 405
        assert (await client.post(f"{SESSION}/tracks%0AINFO%20forged")).status_code == 404
        assert (await client.get("/v1/" + "x" * 5000)).status_code == 404
    assert "405 method_not_allowed: method: DELETE is reserved" in caplog.messages[0]
    assert "tracks%0AINFO%20forged 404 not_found: path: the API has no such path" in caplog.messages[1]
    assert all(len(message) < 700 and message.isprintable() for message in caplog.messages)


async def test_items_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """Inside a 200, each with its hint; those that did not fail are not mentioned."""
    document = {
        "tracks": [
            {"mid": "0"},
            {"errorCode": "not_found_track_error", "errorDescription": "Track not found", "mid": ""},
        ],
        "dataChannels": [{"errorCode": "repeated_local_track_error"}],
    }
    async with service(document) as client:
        assert (await client.post(f"{SESSION}/tracks/new")).json() == document
    assert len(caplog.messages) == 2
    assert "200 tracks[1] not_found_track_error: The SFU has no media" in caplog.messages[0]
    assert "200 dataChannels[0] repeated_local_track_error: The session already holds" in caplog.messages[1]


async def test_no_secret_and_no_sdp(caplog: pytest.LogCaptureFixture) -> None:
    """Of a refused body only names are logged, of the headers nothing."""
    broken = {"type": "offer", "sdp": OFFER["sdp"].strip()}
    for refusal in (
        Refusal(406, "invalid_session_description", f"Unable to parse SDP: {OFFER['sdp']}"),
        RuntimeError(),
    ):
        await refused(
            refusal, {"sessionDescription": broken, "autoDiscover": True}, f"{SESSION}/tracks/new?token=query"
        )
    assert "CRLF is missing" in caplog.text
    for hidden in ("secret-of-the-app", "v=0", "ice-pwd", "query"):
        assert hidden not in caplog.text


async def test_without_a_listener_nothing_is_explained(caplog: pytest.LogCaptureFixture) -> None:
    """At the usual level refusing costs nothing more."""
    caplog.set_level(logging.WARNING, answer.__name__)
    response = await refused(Refusal(400, "decoding_error", "Failed to decode body as JSON"), b"{")
    assert response.status_code == 400
    assert not caplog.messages
