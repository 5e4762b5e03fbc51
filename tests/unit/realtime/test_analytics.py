"""Analytics by GraphQL: what is asked, and errors that come with a 200."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from rtcctl.errors import ApiError, AuthError, RtcctlError
from rtcctl.realtime.analytics import ROWS_MAX, AnalyticsClient
from tests.unit.realtime.wire import PROFILE, Service, json_reply

ACCOUNT_TOKEN = "account-token-5d20c8e6b93f"
ACCOUNT = replace(
    PROFILE,
    account_id="acc",
    account_token=ACCOUNT_TOKEN,
    account_api_base="https://api.example/client/v4",
)


def client(service: Service) -> AnalyticsClient:
    return AnalyticsClient(
        ACCOUNT, clock=service.time.clock, random=Random(1), transport=service, sleep=service.time.sleep
    )


def answer(*usernames: str) -> dict[str, Any]:
    rows = [{"dimensions": {"username": name}} for name in usernames]
    return {"data": {"viewer": {"accounts": [{"callsTurnUsageAdaptiveGroups": rows}]}}, "errors": None}


async def ask(service: Service) -> tuple[str, ...]:
    async with client(service) as analytics:
        return await analytics.turn_usernames("alice", since=1_795_000_000.9, until=1_795_172_800.0)


async def test_the_user_names_of_an_identifier():
    """One query with the account's token, for one key and identifier; each name once, and none that is empty."""
    service = Service(json_reply(200, answer("u1", "u2", "", "u1")))
    assert await ask(service) == ("u1", "u2")
    (request,) = service.requests
    assert str(request.url) == "https://api.example/client/v4/graphql"
    assert request.headers["authorization"] == f"Bearer {ACCOUNT_TOKEN}"
    (body,) = service.bodies
    assert body["variables"] == {
        "accountTag": "acc",
        "keyId": "key",
        "customIdentifier": "alice",
        "from": "2026-11-18T11:06:40Z",
        "to": "2026-11-20T11:06:40Z",
    }
    assert "callsTurnUsageAdaptiveGroups" in body["query"]
    assert f"limit: {ROWS_MAX}" in body["query"]


async def test_an_account_that_is_not_there_has_no_names():
    """An empty list of accounts is an answer."""
    assert await ask(Service(json_reply(200, {"data": {"viewer": {"accounts": []}}}))) == ()


@pytest.mark.parametrize(
    ("errors", "kind", "said"),
    [
        ([{"message": "not authorized for that account"}], AuthError, "not authorized"),
        ([{"message": "no", "extensions": {"code": "authz"}}], AuthError, "no"),
        ([{"message": "unknown field", "path": ["viewer"], "extensions": None}], ApiError, "unknown field"),
        ([{}], ApiError, "does not say why"),
        ("?", ApiError, "does not say why"),
    ],
)
async def test_errors_come_with_a_200(errors: object, kind: type[RtcctlError], said: str):
    """They are no less errors; what is not authorized is a matter of the token."""
    with pytest.raises(kind, match=said):
        await ask(Service(json_reply(200, {"data": None, "errors": errors})))


async def test_an_error_does_not_repeat_the_token():
    """Whatever the service says."""
    service = Service(json_reply(200, {"errors": [{"message": f"bad token {ACCOUNT_TOKEN}"}]}))
    with pytest.raises(ApiError) as caught:
        await ask(service)
    assert ACCOUNT_TOKEN not in caught.value.message


@pytest.mark.parametrize("body", [None, [], {}, {"data": None}, {"data": {"viewer": {"accounts": [{}]}}}])
async def test_an_answer_of_another_shape_is_an_api_error(body: object):
    """Never "nobody has relayed"."""
    with pytest.raises(ApiError, match="without the data"):
        await ask(Service(json_reply(200, body)))
