"""The account API: apps and TURN keys (Realtime docs: API)."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.contract.subject import Subject, subject

UID = re.compile(r"[0-9a-f]{32}")
SECRET = re.compile(r"[0-9A-Za-z_-]{64}")
SECRETS = {"apps": "secret", "turn_keys": "key"}
COLLECTIONS = pytest.mark.parametrize("collection", SECRETS)
NO_SUCH = "0" * 32


@dataclass
class Account:
    """The account of a subject, and what was made in it."""

    service: Subject
    made: list[str] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **options: Any
    ) -> httpx.Response:
        """`path` below the account's `calls`."""
        account_id = options.pop("account_id", self.service.account_id)
        headers = {"Authorization": f"Bearer {token or self.service.account_token}"} | options.pop("headers", {})
        if body is not None:
            options["json"] = body
        url = f"{self.service.account_api_base}/accounts/{account_id}/calls/{path}"
        return await self.service.http.request(method, url, headers=headers, **options)

    async def make(self, collection: str, body: Any = None, **options: Any) -> dict[str, Any]:
        made = result(await self.ask("POST", collection, body, **options), 201)
        self.made.append(f"{collection}/{made['uid']}")
        return made


@asynccontextmanager
async def account() -> AsyncIterator[Account]:
    async with subject() as service:
        if not service.account_id:
            pytest.skip("no account: set RTCCTL_CONTRACT_ACCOUNT_ID and RTCCTL_CONTRACT_ACCOUNT_TOKEN")
        asked = Account(service)
        try:
            yield asked
        finally:
            for path in asked.made:
                await asked.ask("DELETE", path)


def result(answer: httpx.Response, status: int = 200) -> Any:
    """What a success has in its envelope."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    document = answer.json()
    assert (document["success"], document["errors"], document["messages"]) == (True, [], [])
    return document["result"]


def check_refused(answer: httpx.Response, *statuses: int) -> None:
    """An error in the envelope, with a code and a message."""
    assert answer.status_code in statuses, answer.text
    document = answer.json()
    assert document["success"] is False
    assert document.get("result") is None
    assert document["errors"]
    for error in document["errors"]:
        assert isinstance(error["code"], int)
        assert error["message"]


def moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    assert at.tzinfo is not None
    return at


@COLLECTIONS
async def test_the_five_operations(collection: str) -> None:
    """Create, get, list, update and delete, each with its status; the secret is in the answer to the first alone."""
    async with account() as asked:
        made = await asked.make(collection, {"name": "contract"})
        secret = made.pop(SECRETS[collection])
        assert UID.fullmatch(made["uid"])
        assert SECRET.fullmatch(secret)
        assert set(made) == {"uid", "name", "created", "modified"}
        assert made["name"] == "contract"
        assert abs((moment(made["created"]) - datetime.now(UTC)).total_seconds()) < 60
        path = f"{collection}/{made['uid']}"
        assert result(await asked.ask("GET", path)) == made
        assert made in result(await asked.ask("GET", collection))
        changed = result(await asked.ask("PUT", path, {"name": "renamed ⚗"}))
        assert changed == {**made, "name": "renamed ⚗", "modified": changed["modified"]}
        assert moment(changed["modified"]) >= moment(made["modified"])
        assert result(await asked.ask("GET", path)) == changed
        assert result(await asked.ask("DELETE", path)) == changed
        for method in ("GET", "PUT", "DELETE"):
            check_refused(await asked.ask(method, path, {"name": "x"} if method == "PUT" else None), 404)
        assert changed not in result(await asked.ask("GET", collection))


@COLLECTIONS
async def test_a_name_is_optional(collection: str) -> None:
    """Without one, and without a body, the name is empty; what is not said in an update stays."""
    async with account() as asked:
        assert (await asked.make(collection, {}))["name"] == ""
        if asked.service.quirks.follows_assumptions:
            assert (await asked.make(collection))["name"] == ""
            made = await asked.make(collection, content='{"name": "plain"}', headers={"Content-Type": "text/plain"})
            kept = result(await asked.ask("PUT", f"{collection}/{made['uid']}", {}))
            assert (kept["name"], kept["modified"]) == ("plain", made["modified"])


@COLLECTIONS
async def test_nobody_without_the_token(collection: str) -> None:
    """A missing or wrong token, an App Secret and a TURN key token too, is refused in the envelope."""
    async with account() as asked:
        service = asked.service
        for method, path in (
            ("GET", collection),
            ("POST", collection),
            ("GET", f"{collection}/{NO_SUCH}"),
            ("PUT", f"{collection}/{NO_SUCH}"),
            ("DELETE", f"{collection}/{NO_SUCH}"),
        ):
            for token in ("wrong", service.app_secret, service.turn_key_token):
                if token:
                    answer = await asked.ask(method, path, token=token)
                    check_refused(answer, *(service.quirks.wrong_secret | {400}))
            answer = await asked.ask(method, path, headers={"Authorization": ""})
            check_refused(answer, *(service.quirks.wrong_secret | {400}))
            if service.quirks.follows_assumptions:
                assert answer.status_code == 401


@COLLECTIONS
async def test_another_account(collection: str) -> None:
    """The token is for its own account; nothing is made in another."""
    async with account() as asked:
        for other in (NO_SUCH, "x"):
            for method in ("GET", "POST"):
                check_refused(await asked.ask(method, collection, account_id=other), 400, 403, 404)


@COLLECTIONS
async def test_what_is_not_there(collection: str) -> None:
    """404; an id of the other collection is none of this one."""
    async with account() as asked:
        other = next(name for name in SECRETS if name != collection)
        foreign = await asked.make(other, {"name": "contract"})
        for uid in (NO_SUCH, "x", foreign["uid"], "%00", "a" * 300):
            check_refused(await asked.ask("GET", f"{collection}/{uid}"), 400, 404)
            check_refused(await asked.ask("DELETE", f"{collection}/{uid}"), 400, 404)
        assert result(await asked.ask("GET", f"{other}/{foreign['uid']}"))["uid"] == foreign["uid"]


@COLLECTIONS
@pytest.mark.parametrize(
    "content",
    ["{", "[]", "1", '"name"', '{"name": 1}', '{"name": null}', '{"name": ["x"]}', "[" * 50_000, b"\xff\xfe\x00"],
    ids=lambda content: repr(content[:12]),
)
async def test_bodies_that_are_none(collection: str, content: str | bytes) -> None:
    """400 in the envelope, and nothing is made."""
    async with account() as asked:
        before = result(await asked.ask("GET", collection))
        check_refused(await asked.ask("POST", collection, content=content), 400)
        assert result(await asked.ask("GET", collection)) == before


async def test_names_that_cannot_be_kept() -> None:
    """A name is text for people: not longer than 256 characters, and without control characters."""
    async with account() as asked:
        if not asked.service.quirks.follows_assumptions:
            pytest.skip("what the service allows is not documented")
        for name in ("x" * 257, "a\nb", "\x00"):
            answer = await asked.ask("POST", "apps", {"name": name})
            check_refused(answer, 400)
            assert answer.json()["errors"][0]["source"] == {"pointer": "/name"}
        surrogate = await asked.ask("POST", "apps", content=json.dumps({"name": "\ud800"}))
        check_refused(surrogate, 400)
        check_refused(await asked.ask("POST", "apps", {"name": "x" * 100_000}), 413)
        for name in ("é" * 256, "👩\u200d💻", "می\u200cخواهم", "a\u00a0b"):
            assert (await asked.make("apps", {"name": name}))["name"] == name


async def test_other_methods_and_paths() -> None:
    """405 and 404, in the envelope; what is not the account API's stays the other API's."""
    async with account() as asked:
        for method, path in (("PATCH", "apps"), ("DELETE", "apps"), ("POST", f"apps/{NO_SUCH}")):
            check_refused(await asked.ask(method, path), 404, 405)
        check_refused(await asked.ask("GET", "rooms"), 404)
        if asked.service.quirks.follows_assumptions:
            service = asked.service
            outside = await service.http.get(service.account_api_base.replace("/client/", "/clients/"))
            assert outside.json()["errorCode"] == "not_found"


async def test_no_page_may_ask() -> None:
    """Without CORS: no preflight is answered, and no answer may be read by a page of another origin."""
    async with account() as asked:
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        preflight = await asked.ask("OPTIONS", "apps", headers=headers)
        answer = await asked.ask("GET", "apps", headers=headers)
        for each in (preflight, answer):
            assert each.headers.get("access-control-allow-origin") not in ("*", headers["Origin"])
        if asked.service.quirks.follows_assumptions:  # its token is public
            for foreign in ({"Host": "evil.example:1"}, {"Origin": "https://evil.example"}):
                refused = await asked.ask("POST", "apps", {"name": "x"}, headers=foreign)
                assert refused.status_code == 403
                assert refused.json()["success"] is False


async def until_known(asked: Account, method: str, path: str, secret: str, body: Any = None) -> httpx.Response:
    """The Connection API may not know what is new for a while."""
    deadline = time.monotonic() + 60
    while True:
        answer = await asked.service.request(method, path, body, secret=secret)
        if answer.status_code not in (401, 403, 404) or time.monotonic() > deadline:
            return answer
        assert not asked.service.quirks.follows_assumptions, answer.text
        await asyncio.sleep(2)


async def test_a_new_app_is_served_with_its_own_secret() -> None:
    """Sessions can be made in it, by nobody else's secret; when it is deleted they are gone."""
    async with account() as asked:
        service = asked.service
        made = await asked.make("apps", {"name": "contract"})
        path = f"/apps/{made['uid']}/sessions"
        answer = await until_known(asked, "POST", f"{path}/new", made["secret"])
        assert answer.status_code == 201, answer.text
        one = f"{path}/{answer.json()['sessionId']}"
        refused = await service.request("POST", f"{path}/new", secret=service.app_secret)
        assert refused.status_code in service.quirks.wrong_secret
        result(await asked.ask("DELETE", f"apps/{made['uid']}"))
        if service.quirks.follows_assumptions:
            gone = await service.request("GET", one, secret=made["secret"])
            assert (gone.status_code, gone.json()["errorCode"]) == (404, "not_found")
            assert (await service.call("POST", "/sessions/new")).status_code == 201


async def test_a_new_turn_key_issues_credentials() -> None:
    """By its own token; when it is deleted it issues none."""
    async with account() as asked:
        made = await asked.make("turn_keys", {"name": "contract"})
        path = f"/turn/keys/{made['uid']}/credentials/generate-ice-servers"
        answer = await until_known(asked, "POST", path, made["key"], {"ttl": 60})
        assert answer.status_code == 201, answer.text
        result(await asked.ask("DELETE", f"turn_keys/{made['uid']}"))
        if asked.service.quirks.follows_assumptions:
            refused = await asked.service.request("POST", path, {"ttl": 60}, secret=made["key"])
            assert (refused.status_code, refused.json()["errorCode"]) == (404, "not_found")
