"""The account API, with the account's own token."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import httpx
import pytest

from rtcctl.errors import ApiError, AuthError, DeadlineError, NetworkError, UsageError
from rtcctl.realtime.account import AccountClient, AccountItem
from rtcctl.realtime.profile import Profile
from tests.unit.realtime.wire import PROFILE, Service, json_reply

TOKEN = "account-token-5d20c8e6b93f"
SECRET = "s" * 64
ACCOUNT = "http://127.0.0.1:1/client/v4/accounts/acc%2Fount/calls"
PROFILE_WITH_ACCOUNT = replace(
    PROFILE, account_id="acc/ount", account_token=TOKEN, account_api_base="http://127.0.0.1:1/client/v4"
)
APP = {"uid": "a", "name": "n", "created": "2026-11-18T11:06:40Z", "modified": "2026-11-18T11:06:41Z"}
ITEM = AccountItem("a", "n", 1_795_000_000.0, 1_795_000_001.0)


def client(service: Service, profile: Profile = PROFILE_WITH_ACCOUNT) -> AccountClient:
    return AccountClient(
        profile, clock=service.time.clock, random=Random(1), transport=service, sleep=service.time.sleep
    )


def enveloped(result: Any, status: int = 200) -> httpx.Response:
    return json_reply(status, {"success": True, "errors": [], "messages": [], "result": result})


def refusal(status: int, code: int, message: str) -> httpx.Response:
    errors = [{"code": code, "message": message}]
    return json_reply(status, {"success": False, "errors": errors, "messages": [], "result": None})


async def test_the_five_operations_of_apps():
    """Another base URL and another secret than the app's; bodies only where there is something to say."""
    replies = [enveloped([APP]), enveloped({**APP, "secret": SECRET}, 201), *[enveloped(APP)] * 3]
    service = Service(*replies)
    async with client(service) as account:
        assert await account.list("apps") == (ITEM,)
        assert await account.create("apps", "n") == replace(ITEM, secret=SECRET)
        assert await account.get("apps", "a/b") == ITEM
        assert await account.update("apps", "a", "m") == ITEM
        assert await account.delete("apps", "a") == ITEM
    assert [(request.method, str(request.url).removeprefix(ACCOUNT)) for request in service.requests] == [
        ("GET", "/apps"),
        ("POST", "/apps"),
        ("GET", "/apps/a%2Fb"),
        ("PUT", "/apps/a"),
        ("DELETE", "/apps/a"),
    ]
    assert service.bodies == [None, {"name": "n"}, None, {"name": "m"}, None]
    assert {request.headers["authorization"] for request in service.requests} == {f"Bearer {TOKEN}"}


async def test_the_token_of_a_turn_key_is_called_its_key():
    """And no `repr` shows it."""
    service = Service(enveloped({**APP, "key": SECRET}, 201))
    async with client(service) as account:
        made = await account.create("turn_keys", "n")
    assert made.secret == SECRET
    assert SECRET not in repr(made)
    assert str(service.requests[0].url) == f"{ACCOUNT}/turn_keys"


@pytest.mark.parametrize(
    ("reply", "kind", "code", "said"),
    [
        (refusal(401, 10000, "Authentication error"), AuthError, "10000", "Authentication error"),
        (refusal(403, 9109, "Unauthorized"), AuthError, "9109", "Unauthorized"),
        (refusal(404, 7003, "No such app"), ApiError, "7003", "No such app"),
        (refusal(200, 1, "It says so of itself"), ApiError, "1", "says so"),
        (json_reply(400, {"success": False, "errors": [], "result": None}), ApiError, "unknown", "400"),
    ],
)
async def test_refusals_have_their_code_and_message(reply: httpx.Response, kind: type, code: str, said: str):
    """Out of the envelope; no hint speaks of apps' secrets or sessions, and no token is in it."""
    async with client(Service(reply)) as account:
        with pytest.raises(kind, match=said) as caught:
            await account.get("apps", "a")
    assert caught.value.code == code
    assert "/v1" not in caught.value.hint
    assert TOKEN not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_only_what_reads_is_repeated(status: int):
    """A second creation would be a second app."""
    busy = refusal(status, 1, "busy")
    service = Service(busy, enveloped([APP]))
    async with client(service) as account:
        assert await account.list("apps") == (ITEM,)
    assert len(service.requests) == 2
    for act in (
        lambda account: account.create("apps", "n"),
        lambda account: account.update("apps", "a", "n"),
        lambda account: account.delete("apps", "a"),
    ):
        service = Service(busy)
        async with client(service) as account:
            with pytest.raises(ApiError, match="busy"):
                await act(account)
        assert len(service.requests) == 1


async def test_what_was_not_sent_is_sent_again():
    """Then nothing can have been made twice."""
    service = Service(httpx.ConnectTimeout("late"), enveloped({**APP, "secret": SECRET}, 201))
    async with client(service) as account:
        await account.create("apps", "n")
    assert len(service.requests) == 2


@pytest.mark.parametrize(("collection", "hint"), [("apps", "rtcctl app list"), ("turn_keys", "rtcctl turn key list")])
async def test_a_lost_answer_may_have_made_something(collection: Any, hint: str):
    """How to find out is said."""
    for lost, kind in ((httpx.ReadTimeout("late"), DeadlineError), (httpx.ReadError("gone"), NetworkError)):
        async with client(Service(lost)) as account:
            with pytest.raises(kind) as caught:
                await account.create(collection, "n")
            assert hint in caught.value.hint
            with pytest.raises(kind) as caught:
                await account.list(collection)
            assert "session" not in caught.value.hint


@pytest.mark.parametrize("result", [None, {}, "text", {"uid": 1}, {"uid": ""}])
async def test_an_answer_without_what_was_asked_for_is_an_api_error(result: Any):
    """Something else answers at that address."""
    async with client(Service(enveloped(result))) as account:
        for answer in (account.list("apps"), account.get("apps", "a")):
            with pytest.raises(ApiError, match="without a"):
                await answer
    async with client(Service(enveloped(APP, 201))) as account:
        with pytest.raises(ApiError, match="without the secret of a"):
            await account.create("apps", "n")


async def test_unknown_fields_do_not_matter():
    """A date that is none is not known."""
    async with client(Service(enveloped({"uid": "a", "name": None, "created": "soon", "more": 1}))) as account:
        assert await account.get("apps", "a") == AccountItem("a", "", None, None)


async def test_a_profile_without_an_account():
    """What to set is said, and nothing is sent."""
    service = Service(enveloped([]))
    async with client(service, PROFILE) as account:
        with pytest.raises(UsageError, match="no account") as caught:
            await account.list("apps")
    assert "RTCCTL_ACCOUNT_ID" in caught.value.hint
    assert not service.requests


async def test_a_code_that_is_the_status_is_said_once():
    """The embedded server has no other where Cloudflare's is not known."""
    async with client(Service(refusal(400, 400, "name must be a text"))) as account:
        with pytest.raises(ApiError, match="apps: 400: name must be a text"):
            await account.create("apps", "n")
