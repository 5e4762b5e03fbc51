"""The account API: apps and TURN keys of a Cloudflare account, with the account's own token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from rtcctl.errors import ApiError
from rtcctl.realtime.http import HttpApi, SecretKind
from rtcctl.realtime.profile import Profile

if TYPE_CHECKING:
    import httpx


class AccountClient:
    """A client of one account; `async with` it. Raises `AuthError`, `ApiError`, `NetworkError`, `DeadlineError`."""

    def __init__(
        self,
        profile: Profile,
        *,
        clock: Callable[[], float],
        random: Random,
        deadline_s: float | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.profile = profile
        self._api = HttpApi(
            replace(profile, api_base=profile.account_api_base),
            clock=clock,
            random=random,
            deadline_s=deadline_s,
            transport=transport,
            sleep=sleep,
        )

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._api.__aexit__(exc_type, exc, traceback)

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
