"""The Connection API, typed: paths and bodies of every operation, and one queue per session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from rtcctl.errors import ApiError, DeadlineError, UsageError
from rtcctl.realtime.client import RealtimeClient
from rtcctl.realtime.schema import AdapterObject, DataChannelObject, Simulcast, TrackObject
from tests.unit.realtime.wire import APP_SECRET, PROFILE, TURN_TOKEN, Service, client, json_reply

OFFER = {"type": "offer", "sdp": "v=0\r\n"}
ANSWER = {"type": "answer", "sdp": "v=0\r\n"}
REMOTE = TrackObject(location="remote", session_id="p", track_name="mic")
LOCAL = TrackObject(location="local", mid="0", track_name="mic")


async def sent(operation: Callable[[RealtimeClient], Awaitable[Any]], reply: object = None) -> tuple[str, str, Any]:
    """(method, path with query, body) of the one request that an operation makes."""
    service = Service(json_reply(200, {"sessionId": "s"} if reply is None else reply))
    async with client(service) as api:
        await operation(api)
    (request,) = service.requests
    assert request.headers["authorization"] == f"Bearer {APP_SECRET}"
    return request.method, request.url.raw_path.decode().removeprefix("/v1/apps/app/"), service.bodies[0]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (lambda api: api.new_session(), ("POST", "sessions/new", None)),
        (
            lambda api: api.new_session("v=0\r\n", correlation_id="a b&c", third_party=True),
            ("POST", "sessions/new?correlationId=a%20b%26c&thirdparty=true", {"sessionDescription": OFFER}),
        ),
        (lambda api: api.get_session("s"), ("GET", "sessions/s", None)),
        (
            lambda api: api.new_tracks("s", [LOCAL], offer="v=0\r\n"),
            (
                "POST",
                "sessions/s/tracks/new",
                {"tracks": [{"location": "local", "mid": "0", "trackName": "mic"}], "sessionDescription": OFFER},
            ),
        ),
        (
            lambda api: api.new_tracks("s", [], offer="v=0\r\n", auto_discover=True),
            ("POST", "sessions/s/tracks/new", {"sessionDescription": OFFER, "autoDiscover": True}),
        ),
        (
            lambda api: api.new_tracks("s", [REMOTE]),
            (
                "POST",
                "sessions/s/tracks/new",
                {"tracks": [{"location": "remote", "sessionId": "p", "trackName": "mic"}]},
            ),
        ),
        (
            lambda api: api.renegotiate("s", "v=0\r\n"),
            ("PUT", "sessions/s/renegotiate", {"sessionDescription": ANSWER}),
        ),
        (
            lambda api: api.update_tracks("s", [TrackObject(mid="3", simulcast=Simulcast(preferred_rid="h"))]),
            (
                "PUT",
                "sessions/s/tracks/update",
                {"tracks": [{"mid": "3", "simulcast": {"preferredRid": "h"}}]},
            ),
        ),
        (
            lambda api: api.close_tracks("s", ["0", "1"], force=True),
            ("PUT", "sessions/s/tracks/close", {"tracks": [{"mid": "0"}, {"mid": "1"}], "force": True}),
        ),
        (
            lambda api: api.close_tracks("s", ["0"], force=False, offer="v=0\r\n"),
            (
                "PUT",
                "sessions/s/tracks/close",
                {"tracks": [{"mid": "0"}], "force": False, "sessionDescription": OFFER},
            ),
        ),
        (
            lambda api: api.establish_data_channels("s"),
            (
                "POST",
                "sessions/s/datachannels/establish",
                {"dataChannel": {"location": "remote", "dataChannelName": "server-events"}},
            ),
        ),
        (
            lambda api: api.new_data_channels(
                "s", [DataChannelObject(location="local", data_channel_name="chat", max_retransmits=0)]
            ),
            (
                "POST",
                "sessions/s/datachannels/new",
                {"dataChannels": [{"location": "local", "dataChannelName": "chat", "maxRetransmits": 0}]},
            ),
        ),
        (
            lambda api: api.update_data_channels("s", [DataChannelObject(can_reply=False)]),
            ("PUT", "sessions/s/datachannels/update", {"dataChannels": [{"canReply": False}]}),
        ),
        (
            lambda api: api.close_data_channels("s", [2]),
            ("PUT", "sessions/s/datachannels/close", {"dataChannels": [{"id": 2}]}),
        ),
        (
            lambda api: api.new_adapters(
                [AdapterObject(location="local", track_name="in", endpoint="wss://e/", input_codec="pcm")]
            ),
            (
                "POST",
                "adapters/websocket/new",
                {"tracks": [{"location": "local", "trackName": "in", "endpoint": "wss://e/", "inputCodec": "pcm"}]},
            ),
        ),
        (
            lambda api: api.close_adapters(["a"]),
            ("POST", "adapters/websocket/close", {"tracks": [{"adapterId": "a"}]}),
        ),
        (
            lambda api: api.request("PUT", "sessions/s/renegotiate", {"x": 1}),
            ("PUT", "sessions/s/renegotiate", {"x": 1}),
        ),
    ],
)
async def test_operations(operation: Callable[[RealtimeClient], Awaitable[Any]], expected: tuple[str, str, Any]):
    """Method, path and body of each operation of the contract."""
    assert await sent(operation) == expected


async def test_answers_are_typed():
    """camelCase in, snake_case out."""
    reply = {
        "requiresImmediateRenegotiation": True,
        "tracks": [{"sessionId": "p", "trackName": "mic", "mid": "7"}],
        "sessionDescription": OFFER,
    }
    async with client(Service(json_reply(200, reply))) as api:
        answer = await api.new_tracks("s", [REMOTE])
    assert answer.tracks is not None
    assert (answer.tracks[0].session_id, answer.tracks[0].mid) == ("p", "7")
    assert answer.session_description is not None
    assert answer.session_description.sdp == "v=0\r\n"


async def test_an_answer_without_what_it_must_hold_is_an_api_error():
    """Something else answers at that address."""
    async with client(Service(json_reply(200, {"hello": "world"}))) as api:
        with pytest.raises(ApiError, match="sessionId") as caught:
            await api.new_session()
    assert "API base" in caught.value.hint


async def test_an_empty_answer_is_an_empty_object():
    """`renegotiate` answers `{}`; a gateway may make nothing of it."""
    async with client(Service(httpx.Response(200))) as api:
        assert (await api.renegotiate("s", "v=0\r\n")).session_description is None


async def test_item_errors_are_answers():
    """HTTP 200 with every item failed: the caller looks, and only failed items are its to repeat."""
    reply = {"tracks": [{"mid": "", "errorCode": "not_found_track_error"}], "requiresImmediateRenegotiation": False}
    service = Service(json_reply(200, reply))
    async with client(service) as api:
        answer = await api.new_tracks("s", [REMOTE])
    assert answer.tracks is not None
    assert answer.tracks[0].error_code == "not_found_track_error"
    assert len(service.requests) == 1


async def test_pulls_may_take_long():
    """A known but silent track is held by the SFU for about 8 s; a publish is not."""
    service = Service(json_reply(200, {}))
    async with client(service) as api:
        await api.new_tracks("s", [REMOTE])
        await api.new_tracks("s", [LOCAL])
    assert [request.extensions["timeout"]["read"] for request in service.requests] == [25, 12]


@pytest.mark.parametrize("session_id", ["", "a/b", "../x", "a b", "a?b", "x" * 129, "é"])
async def test_a_session_id_cannot_lead_elsewhere(session_id: str):
    """It is opaque, but it is one path segment."""
    service = Service(json_reply(200, {}))
    async with client(service) as api:
        with pytest.raises(UsageError, match="not a session id"):
            await api.get_session(session_id)
        with pytest.raises(UsageError, match="not a session id"):
            await api.new_tracks(session_id, [LOCAL])
    assert service.requests == []


@pytest.mark.parametrize(
    ("mids", "force", "said"), [([], True, "mid"), ([""], True, "mid"), (["0"], False, "needs an offer")]
)
async def test_impossible_closes_are_not_sent(mids: list[str], force: bool, said: str):
    """The empty mid of a failed pull closes nothing; a negotiated close has an offer."""
    service = Service(json_reply(200, {}))
    async with client(service) as api:
        with pytest.raises(UsageError, match=said):
            await api.close_tracks("s", mids, force=force)
    assert service.requests == []


async def test_without_an_app_nothing_is_sent():
    """A profile of a TURN key alone."""
    service = Service(json_reply(200, {}))
    async with client(service, profile=replace(PROFILE, app_id="")) as api:
        with pytest.raises(UsageError, match="no App ID"):
            await api.new_session()
    assert service.requests == []


async def test_any_call_takes_the_secret_that_its_path_needs():
    """`/turn/…` is not below the app."""
    service = Service(json_reply(201, {"iceServers": []}))
    async with client(service) as api:
        answer = await api.request("POST", "/turn/keys/key/credentials/generate", {"ttl": 60})
        assert api.last_round_trip_ms == pytest.approx(20)
        assert api.last_ray is None
    assert answer.status == 201
    assert service.requests[0].headers["authorization"] == f"Bearer {TURN_TOKEN}"
    assert service.requests[0].url.path == "/v1/turn/keys/key/credentials/generate"


# --- one queue per session


class Gate(Service):
    """Answers when told to."""

    def __init__(self) -> None:
        super().__init__(json_reply(200, {}))
        self.waiting: list[tuple[str, asyncio.Future[httpx.Response]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()
        self.waiting.append((request.url.path.removeprefix("/v1/apps/app/sessions/"), answer))
        return await answer

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.waiting]

    async def answer(self, body: object = None) -> None:
        """Answer the oldest request, and let everybody act on it."""
        _, future = self.waiting.pop(0)
        future.set_result(json_reply(200, body or {}))
        await settle()


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def test_changes_of_one_session_go_one_after_another():
    """An overlap would be 406; reading and other sessions do not wait."""
    gate = Gate()
    async with client(gate) as api, asyncio.TaskGroup() as group:
        for call in (
            api.new_tracks("s", [LOCAL]),
            api.update_tracks("s", [LOCAL]),
            api.get_session("s"),
            api.new_tracks("other", [LOCAL]),
        ):
            group.create_task(call)
        await settle()
        assert gate.paths == ["s/tracks/new", "s", "other/tracks/new"]
        await gate.answer()
        assert gate.paths == ["s", "other/tracks/new", "s/tracks/update"]
        for _ in range(3):
            await gate.answer()


async def test_a_change_lasts_until_the_sfus_offer_is_answered():
    """Forced closing is let through; the next change waits for `renegotiate`."""
    gate = Gate()
    async with client(gate) as api, asyncio.TaskGroup() as group:
        pull = group.create_task(api.new_tracks("s", [REMOTE]))
        await settle()
        await gate.answer({"requiresImmediateRenegotiation": True, "sessionDescription": OFFER})
        await pull
        group.create_task(api.new_data_channels("s", []))
        await settle()
        assert gate.paths == []
        group.create_task(api.close_tracks("s", ["0"], force=True))
        await settle()
        assert gate.paths == ["s/tracks/close"]
        await gate.answer()
        group.create_task(api.renegotiate("s", "v=0\r\n"))
        await settle()
        assert gate.paths == ["s/renegotiate"]
        await gate.answer()
        assert gate.paths == ["s/datachannels/new"]
        await gate.answer()


async def test_a_refused_answer_ends_the_negotiation():
    """The service then says itself whether an offer still waits."""
    service = Service(
        json_reply(200, {"requiresImmediateRenegotiation": True}),
        json_reply(406, {"errorCode": "invalid_session_description"}),
        json_reply(200, {}),
    )
    async with client(service) as api:
        await api.new_tracks("s", [REMOTE])
        with pytest.raises(ApiError):
            await api.renegotiate("s", "v=0\r\n")
        await api.new_tracks("s", [LOCAL])
    assert len(service.requests) == 3


async def test_an_unfinished_negotiation_is_named_at_the_deadline():
    """Instead of a 406 that names nothing."""
    service = Service(json_reply(200, {"requiresImmediateRenegotiation": True}), takes_s=9.99)
    async with client(service, deadline_s=10) as api:
        await api.new_tracks("s", [REMOTE])
        with pytest.raises(DeadlineError, match="earlier change of session s") as caught:
            await api.new_tracks("s", [LOCAL])
    assert "renegotiate" in caught.value.hint
    assert len(service.requests) == 1


async def test_a_failed_change_frees_the_queue():
    """The next one takes its turn."""
    service = Service(json_reply(400, {}), json_reply(200, {}))
    async with client(service) as api:
        with pytest.raises(ApiError):
            await api.new_tracks("s", [LOCAL])
        await api.new_tracks("s", [LOCAL])


async def test_a_client_that_lives_long_forgets_the_sessions_it_has_changed():
    """Of thousands nothing is left but those whose offer waits for its answer."""
    offered = {"requiresImmediateRenegotiation": True}
    service = Service(json_reply(200, {}), json_reply(400, {}), json_reply(200, offered), json_reply(200, {}))
    async with client(service) as api:
        await api.new_tracks("changed", [LOCAL])
        with pytest.raises(ApiError):
            await api.new_tracks("refused", [LOCAL])
        await api.new_tracks("offered", [REMOTE])
        assert list(api._queues) == ["offered"]
        await api.renegotiate("offered", "v=0\r\n")
        assert not api._queues
