"""TURN credentials: both shapes of answers, and URLs that browsers block."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from random import Random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ApiError, AuthError, UsageError
from rtcctl.realtime.profile import Profile
from rtcctl.realtime.schema import IceServerObject, SchemaError
from rtcctl.realtime.turn import TurnClient, parse_ice_servers, parse_pasted, without_port_53
from tests.unit.realtime.wire import APP_SECRET, PROFILE, TURN_TOKEN, Service, json_reply

TURN = {"urls": ["turn:t:3478?transport=udp"], "username": "u", "credential": "c"}
STUN = {"urls": ["stun:t:3478"]}


def client(service: Service, profile: Profile = PROFILE) -> TurnClient:
    return TurnClient(profile, clock=service.time.clock, random=Random(1), transport=service, sleep=service.time.sleep)


async def test_credentials_are_asked_for_with_the_keys_own_token():
    """Not below the app, and not with the App Secret."""
    service = Service(json_reply(201, {"iceServers": [STUN, TURN]}))
    async with client(service) as turn:
        servers = await turn.generate_ice_servers(3600, "alice")
    assert [server.urls for server in servers] == [STUN["urls"], TURN["urls"]]
    assert (servers[1].username, servers[1].credential) == ("u", "c")
    (request,) = service.requests
    assert request.url.path == "/v1/turn/keys/key/credentials/generate-ice-servers"
    assert request.headers["authorization"] == f"Bearer {TURN_TOKEN}"
    assert service.bodies == [{"ttl": 3600, "customIdentifier": "alice"}]


async def test_revoking_names_the_user_in_the_path():
    """204 without a body is a success."""
    service = Service(httpx.Response(204))
    async with client(service) as turn:
        await turn.revoke("a/b")
    assert service.requests[0].url.raw_path == b"/v1/turn/keys/key/credentials/a%2Fb/revoke"
    assert service.requests[0].content == b""


async def test_an_app_secret_in_its_place_is_recognised():
    """Two secrets of the profile are the same value: one of them is in the wrong place."""
    service = Service(httpx.Response(401, text="no"))
    async with client(service, replace(PROFILE, turn_key_token=APP_SECRET)) as turn:
        with pytest.raises(AuthError) as caught:
            await turn.generate_ice_servers(60)
    assert "same value" in caught.value.hint
    assert APP_SECRET not in caught.value.hint + caught.value.message


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limited"), (410, "session_error")])
async def test_hints_are_not_about_sessions(status: int, code: str):
    """Credentials are of a key: there is no session to look at, or to send less to."""
    service = Service(json_reply(status, {"errorCode": code}))
    async with client(service) as turn:
        with pytest.raises(ApiError) as caught:
            await turn.generate_ice_servers(60)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert "session" not in caught.value.hint


async def test_without_a_key_nothing_is_sent():
    """The hint tells what to set."""
    service = Service(httpx.Response(500))
    async with client(service, replace(PROFILE, turn_key_id="")) as turn:
        with pytest.raises(UsageError, match="no TURN key"):
            await turn.generate_ice_servers(60)
    assert service.requests == []


async def test_an_answer_of_another_shape_is_an_api_error():
    """Named by its field."""
    service = Service(json_reply(201, {"username": "u"}))
    async with client(service) as turn:
        with pytest.raises(ApiError, match="iceServers"):
            await turn.generate_ice_servers(60)


@pytest.mark.parametrize(
    "body",
    [
        {"iceServers": [TURN]},
        {"iceServers": TURN},
        {"iceServers": {**TURN, "urls": TURN["urls"][0]}},
    ],
)
def test_both_shapes_become_the_same_list(body: object):
    """`generate` answers with one object; `urls` may be one string."""
    assert parse_ice_servers(body) == (IceServerObject(**TURN),)


@pytest.mark.parametrize(
    "body",
    [
        {"iceServers": [TURN], "iceTransportPolicy": "relay"},
        {"iceServers": TURN},
        [TURN],
        TURN,
        {**TURN, "urls": TURN["urls"][0]},
        {"schema": "rtcctl.turn.creds/1", "ice_servers": [TURN], "ttl_s": 60},
    ],
)
def test_servers_as_people_have_them(body: object):
    """What an API answers, what a page is configured with, and what `turn creds` prints."""
    assert parse_pasted(body) == (IceServerObject(**TURN),)


@pytest.mark.parametrize("body", [None, 1, "turn:t", {}, {"username": "u"}, [1]])
def test_what_is_no_list_of_servers(body: object):
    """A schema error, as elsewhere."""
    with pytest.raises(SchemaError):
        parse_pasted(body)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["iceServers", "urls"]), inner),
    )
)
def test_other_shapes_are_schema_errors(body: object):
    """Nothing else comes out of the parser."""
    with contextlib.suppress(SchemaError):
        parse_ice_servers(body)


def test_urls_of_port_53_go():
    """Chrome and Firefox block them; a server left without URLs goes too."""
    servers = [
        IceServerObject(urls=["stun:stun.cloudflare.com:53"]),
        IceServerObject(
            urls=[
                "turn:t:53?transport=udp",
                "turn:t:5349?transport=udp",
                "turns:t:443?transport=tcp",
                "turn:[2001:db8::53]:3478",
                "turn:[2001:db8::1]:53",
                "stun:t53",
            ],
            username="u",
            credential="c",
        ),
    ]
    (kept,) = without_port_53(servers)
    assert kept.urls == [
        "turn:t:5349?transport=udp",
        "turns:t:443?transport=tcp",
        "turn:[2001:db8::53]:3478",
        "stun:t53",
    ]
    assert kept.credential == "c"
    assert servers[1].urls[0].endswith("udp"), "the argument is left alone"


@pytest.mark.parametrize("key", ["credential", "password"])
def test_the_rest_convention_can_be_pasted(key: str):
    """What `turn creds --as coturn` writes, and what the draft calls the credential."""
    body = {"username": "u", key: "c", "ttl": 60, "uris": TURN["urls"]}
    assert parse_pasted(body) == (IceServerObject(**TURN),)
