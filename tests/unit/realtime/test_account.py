"""The account API, with the account's own token."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from rtcctl.errors import ApiError
from rtcctl.realtime.account import AccountClient
from tests.unit.realtime.wire import PROFILE, Service, json_reply

PROFILE_WITH_ACCOUNT = replace(
    PROFILE,
    account_id="acc/ount",
    account_token="account-token-5d20c8e6b93f",
    account_api_base="http://127.0.0.1:1/client/v4",
)


def client(service: Service) -> AccountClient:
    return AccountClient(
        PROFILE_WITH_ACCOUNT,
        clock=service.time.clock,
        random=Random(1),
        transport=service,
        sleep=service.time.sleep,
    )


async def test_apps_are_listed_with_the_account_token():
    """Another base URL and another secret than the app's."""
    service = Service(json_reply(200, {"success": True, "errors": [], "result": [{"uid": "a", "name": "n"}]}))
    async with client(service) as account:
        assert await account.list_apps() == [{"uid": "a", "name": "n"}]
    (request,) = service.requests
    assert str(request.url) == "http://127.0.0.1:1/client/v4/accounts/acc%2Fount/calls/apps"
    assert request.headers["authorization"] == "Bearer account-token-5d20c8e6b93f"


async def test_an_answer_without_a_list_is_an_api_error():
    """Something else answers at that address."""
    async with client(Service(json_reply(200, {}))) as account:
        with pytest.raises(ApiError, match="without a list"):
            await account.list_apps()
