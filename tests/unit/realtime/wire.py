"""The wire and the clock, faked: a Realtime that answers from a script, and time that passes only in waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import httpx

from rtcctl.realtime.client import RealtimeClient
from rtcctl.realtime.profile import Profile

APP_SECRET = "app-secret-7f3a9c51d2e84b60"
TURN_TOKEN = "turn-token-91be44d07c2a4f1e"

PROFILE = Profile(
    name="test",
    api_base="http://127.0.0.1:8610/v1",
    app_id="app",
    app_secret=APP_SECRET,
    turn_key_id="key",
    turn_key_token=TURN_TOKEN,
)

Reply = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Time:
    """Seconds that pass while somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class Service(httpx.AsyncBaseTransport):
    """Gives the replies in turn, the last one again and again, and keeps the requests."""

    def __init__(self, *replies: Reply, time: Time | None = None, takes_s: float = 0.02) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []
        self.time = time or Time()
        self.takes_s = takes_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        self.time.now += self.takes_s
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, httpx.Response):
            # A response can be read once.
            return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)
        return reply(request)

    @property
    def bodies(self) -> list[Any]:
        """The decoded bodies of the requests; `None` where there was none."""
        return [json.loads(request.content) if request.content else None for request in self.requests]


def client(service: Service, *, profile: Profile = PROFILE, deadline_s: float | None = None) -> RealtimeClient:
    """A client whose wire and time are the service's."""
    return RealtimeClient(
        profile,
        clock=service.time.clock,
        random=Random(1),
        deadline_s=deadline_s,
        transport=service,
        sleep=service.time.sleep,
    )


def json_reply(status: int, body: Any, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})
