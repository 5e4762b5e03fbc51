"""`sessions/new`, `GET` of a session, and what all requests have in common."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.peer import peer
from tests.contract.subject import subject
from tests.support.sdp import offer_of, section

OFFER = offer_of(section("0", Direction.SENDONLY)).to_wire()


async def test_a_session_without_a_body() -> None:
    """201 with an opaque id and nothing else."""
    async with subject() as service:
        answer = await service.call("POST", "/sessions/new?correlationId=contract")
        assert answer.status_code == 201
        assert set(answer.json()) == {"sessionId"}
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,128}", answer.json()["sessionId"])
        assert "origin" in answer.headers["vary"].lower()
        assert answer.headers["content-type"].startswith("application/json")
        state = await service.get(answer.json()["sessionId"])
        assert (state.status_code, state.json()) == (200, {"tracks": [], "dataChannels": []})


async def test_a_session_with_an_empty_object() -> None:
    """400: the most common first failure of HTTP wrappers."""
    async with subject() as service:
        answer = await service.call("POST", "/sessions/new", {})
        service.check_error(answer, 400, "decoding_error", "Body JSON validation error: sessionDescription")


async def test_a_session_with_an_offer_connects() -> None:
    """201 with an answer; the transport comes up with no track registered."""
    async with subject() as service, peer(service) as client:
        client.pc.addTransceiver("audio", "recvonly")
        offer = await client.offer()
        answer = await service.call("POST", "/sessions/new", {"sessionDescription": offer, "tracks": [{}]})
        assert answer.status_code == 201
        service.created.append(answer.json()["sessionId"])
        assert answer.json()["sessionDescription"]["type"] == "answer"
        await client.apply(answer.json()["sessionDescription"])
        await client.connected()
        assert (await service.get(answer.json()["sessionId"])).json()["tracks"] == []


async def test_sdp_in_answers() -> None:
    """ICE-lite, passive, one candidate per address and the end of candidates, bundled, RTCP multiplexed."""
    async with subject() as service:
        answer = await service.call("POST", "/sessions/new", {"sessionDescription": OFFER})
        service.created.append(answer.json()["sessionId"])
        sdp = Sdp.parse(answer.json()["sessionDescription"]["sdp"])
        (media,) = sdp.media
        assert sdp.is_ice_lite
        assert media.setup == "passive"
        assert media.candidates
        assert media.has_end_of_candidates
        assert media.rtcp_mux
        assert sdp.bundle == (media.mid,)
        assert (media.codecs[0].name.lower(), media.codecs[0].payload_type) == ("opus", 111)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain;charset=UTF-8", None])
async def test_any_content_type(content_type: str | None) -> None:
    """Browsers send JSON as text/plain, some clients name no type at all."""
    async with subject() as service:
        answer = await service.call(
            "POST",
            "/sessions/new",
            headers={"Content-Type": content_type} if content_type else {},
            content=json.dumps({"sessionDescription": OFFER}),
        )
        assert answer.status_code == 201
        service.created.append(answer.json()["sessionId"])


async def test_bodies_that_are_no_json() -> None:
    """400 `decoding_error`."""
    async with subject() as service:
        session_id = await service.new_session()
        for content in ("{", "[", '"x', "\xff"):
            answer = await service.call("POST", f"/sessions/{session_id}/tracks/new", content=content)
            service.check_error(answer, 400, "decoding_error")


async def test_wrong_secrets() -> None:
    """Refused on every operation, in JSON."""
    async with subject() as service:
        session_id = await service.new_session()
        for method, path in (
            ("POST", "/sessions/new"),
            ("GET", f"/sessions/{session_id}"),
            ("POST", f"/sessions/{session_id}/tracks/new"),
            ("PUT", f"/sessions/{session_id}/renegotiate"),
            ("PUT", f"/sessions/{session_id}/tracks/close"),
        ):
            answer = await service.call(method, path, secret="wrong")
            assert answer.status_code in service.quirks.wrong_secret
            if not service.quirks.reorders_words:
                service.check_error(answer, 401, "unauthorized")


async def test_an_unknown_app() -> None:
    """404 `not_found`, or as if the secret were wrong."""
    async with subject() as service:
        answer = await service.request("POST", f"/apps/{'0' * 32}/sessions/new")
        assert answer.status_code in service.quirks.unknown_app


async def test_an_unknown_session() -> None:
    """410 `session_error`: like one that is gone."""
    async with subject() as service:
        if not service.quirks.answers_unknown_sessions:
            pytest.skip("this service lets requests to unknown sessions hang")
        unknown = f"/sessions/{'0' * 32}"
        for method, path, body in (
            ("GET", unknown, None),
            ("POST", f"{unknown}/tracks/new", {"tracks": []}),
            ("PUT", f"{unknown}/renegotiate", {"sessionDescription": OFFER}),
            ("PUT", f"{unknown}/tracks/close", {"tracks": [{"mid": "0"}], "force": True}),
        ):
            answer = await service.call(method, path, body)
            service.check_error(answer, 410, "session_error", "Session appears to be disconnected.")


async def test_delete_is_not_supported() -> None:
    """405; sessions end by themselves."""
    async with subject() as service:
        session_id = await service.new_session()
        answer = await service.call("DELETE", f"/sessions/{session_id}")
        assert answer.status_code == 405


async def test_pages_of_any_origin_may_ask() -> None:
    """Preflight, answer and error carry the CORS headers."""
    origin = {"Origin": "http://localhost:5173"}
    async with subject() as service:
        preflight = await service.call(
            "OPTIONS", "/sessions/new", headers=origin | {"Access-Control-Request-Method": "POST"}
        )
        assert preflight.is_success
        assert "POST" in preflight.headers["access-control-allow-methods"]
        for secret in (service.app_secret, "wrong"):
            answer = await service.call("POST", "/sessions/new", secret=secret, headers=origin)
            assert answer.headers["access-control-allow-origin"] in ("*", origin["Origin"])
            assert answer.json()


async def test_the_rate_limit() -> None:
    """More than 50 requests per second on one session: 429."""
    async with subject() as service:
        if not service.quirks.limits_are_tested:
            pytest.skip("a real account is not run into its limits")
        session_id = await service.new_session()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(service.get(session_id)) for _ in range(150)]
        statuses = [task.result().status_code for task in asked]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 50


async def test_the_body_limit() -> None:
    """More than 1 MiB: 413 `payload_too_large`."""
    async with subject() as service:
        if not service.quirks.limits_are_tested:
            pytest.skip("the limit of the service is not known")
        session_id = await service.new_session()
        answer = await service.call("POST", f"/sessions/{session_id}/tracks/new", content=b" " * ((1 << 20) + 1))
        service.check_error(answer, 413, "payload_too_large")


async def test_an_unused_session_expires() -> None:
    """It is gone after its time, without ever having been used."""
    async with subject(unused_s=0.3) as service:
        if not service.quirks.limits_are_tested:
            pytest.skip("takes minutes")
        session_id = await service.new_session()
        await asyncio.sleep(0.5)
        service.check_error(await service.get(session_id), 410, "session_error")
