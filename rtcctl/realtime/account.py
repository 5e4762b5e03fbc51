"""The account API: apps and TURN keys of a Cloudflare account, with the account's own token."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from rtcctl.errors import ApiError, UsageError
from rtcctl.realtime.http import ApiAnswer, Client, SecretKind
from rtcctl.realtime.profile import Profile

Collection = Literal["apps", "turn_keys"]
"As paths have it."

_SECRETS: dict[Collection, str] = {"apps": "secret", "turn_keys": "key"}


@dataclass(frozen=True, slots=True)
class AccountItem:
    """An app or a TURN key as the account API describes it."""

    uid: str
    name: str
    created_at: float | None
    "Wall clock, seconds since the epoch."
    modified_at: float | None
    secret: str = field(default="", repr=False)
    "In the answer to its creation, and never again."


class AccountClient(Client):
    """A client of one account."""

    def _at(self, profile: Profile) -> Profile:
        return replace(profile, api_base=profile.account_api_base)

    async def list(self, collection: Collection) -> tuple[AccountItem, ...]:
        """All there are; the list is not paginated and holds no secret."""
        answer, result = await self._call("GET", collection)
        if not isinstance(result, list):
            raise _unlike(f"a list of {collection}", answer)
        return tuple(_item(one, collection, answer) for one in result)

    async def create(self, collection: Collection, name: str) -> AccountItem:
        """A new one, with its secret, which is shown this once."""
        answer, result = await self._call("POST", collection, body={"name": name})
        item = _item(result, collection, answer)
        if not item.secret:
            raise _unlike(f"the {_SECRETS[collection]} of {item.uid}", answer)
        return item

    async def get(self, collection: Collection, uid: str) -> AccountItem:
        answer, result = await self._call("GET", collection, uid)
        return _item(result, collection, answer)

    async def update(self, collection: Collection, uid: str, name: str) -> AccountItem:
        """Give it another name."""
        answer, result = await self._call("PUT", collection, uid, {"name": name})
        return _item(result, collection, answer)

    async def delete(self, collection: Collection, uid: str) -> AccountItem:
        """End it; what it was."""
        answer, result = await self._call("DELETE", collection, uid)
        return _item(result, collection, answer)

    async def _call(
        self, method: str, collection: Collection, uid: str = "", body: Any = None
    ) -> tuple[ApiAnswer, Any]:
        """The answer, and what its envelope holds. Only what reads is repeated: a second creation is a second app."""
        path = account_path(self.profile, collection, uid)
        url = f"{self.profile.account_api_base}{path}"
        answer = await self._api.call(method, url, body, secret=SecretKind.ACCOUNT, repeats_busy=method == "GET")
        return answer, answer.body.get("result") if isinstance(answer.body, dict) else None


def account_path(profile: Profile, collection: Collection, uid: str = "") -> str:
    """Below the account API's base. Raises `UsageError` where the profile has no account."""
    if not profile.account_id:
        raise UsageError(
            f"Profile {profile.name} has no account.",
            hint="Set RTCCTL_ACCOUNT_ID and RTCCTL_ACCOUNT_TOKEN, or account_id in the profile, and: "
            "rtcctl config secret set account --stdin",
        )
    path = f"/accounts/{quote(profile.account_id, safe='')}/calls/{collection}"
    return f"{path}/{quote(uid, safe='')}" if uid else path


def _item(result: Any, collection: Collection, answer: ApiAnswer) -> AccountItem:
    uid = result.get("uid") if isinstance(result, dict) else None
    if not isinstance(uid, str) or not uid:
        raise _unlike("a uid", answer)
    return AccountItem(
        uid,
        str(result.get("name") or ""),
        _moment(result.get("created")),
        _moment(result.get("modified")),
        str(result.get(_SECRETS[collection]) or ""),
    )


def _moment(text: object) -> float | None:
    """RFC 3339 as seconds since the epoch; `None` for what is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def _unlike(what: str, answer: ApiAnswer) -> ApiError:
    return ApiError(
        f"The account API answered without {what}.", status=answer.status, request="calls/…", ray=answer.ray
    )
