"""The account API: apps and TURN keys of a Cloudflare account, with the account's own token."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rtcctl.errors import ApiError
from rtcctl.realtime.http import Client, SecretKind
from rtcctl.realtime.profile import Profile

if TYPE_CHECKING:
    pass


class AccountClient(Client):
    """A client of one account."""

    def _at(self, profile: Profile) -> Profile:
        return replace(profile, api_base=profile.account_api_base)

    async def list_apps(self) -> list[dict[str, Any]]:
        """The SFU apps of the account; the list is not paginated and holds no secret."""
        url = f"{self.profile.account_api_base}/accounts/{quote(self.profile.account_id, safe='')}/calls/apps"
        answer = await self._api.call("GET", url, secret=SecretKind.ACCOUNT)
        result = answer.body.get("result") if isinstance(answer.body, dict) else None
        if not isinstance(result, list):
            raise ApiError(
                "The account API answered without a list of apps.", status=answer.status, request="GET calls/apps"
            )
        return result
