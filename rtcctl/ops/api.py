"""Any call of the API with the profile's credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtcctl.ops.env import Env
from rtcctl.ops.session import COMMAND_DEADLINE_S
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.api import ApiResponse


@dataclass(frozen=True, slots=True)
class CallRequest:
    """`path` is below the app (`sessions/new`), or below the API base when it starts with `/`.

    `body`: decoded JSON, `None` for no body at all.
    """

    method: str
    path: str
    body: Any = None


def call_calls(request: CallRequest) -> tuple[ApiCall, ...]:
    """The API call that `call` makes."""
    # As the client does: the TURN credential API has a secret of its own.
    secret = "RTCCTL_TURN_KEY_TOKEN" if request.path.startswith("/turn/") else "RTCCTL_APP_SECRET"
    return (ApiCall(request.method, request.path, request.body, secret=secret),)


async def call(request: CallRequest, env: Env) -> ApiResponse:
    """Make one call and return the answer as it came; an HTTP status of 400 or more is an `ApiError`."""
    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        answer = await client.request(request.method, request.path, request.body)
    return ApiResponse(
        target=env.target,
        method=request.method,
        path=request.path,
        status=answer.status,
        body=answer.body,
        ray=answer.ray,
    )
