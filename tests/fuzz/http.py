"""Targets of what HTTP brings: bodies of requests and of answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import httpx

from rtcctl.errors import RtcctlError
from rtcctl.realtime import schema
from rtcctl.realtime.account import AccountClient
from rtcctl.realtime.analytics import AnalyticsClient
from rtcctl.realtime.client import RealtimeClient
from rtcctl.realtime.explain.errors import hint_for
from rtcctl.realtime.explain.ice_servers import explain_ice_servers
from rtcctl.realtime.explain.request import OPERATIONS, explain_request
from rtcctl.realtime.explain.sdp import explain_sdp
from rtcctl.realtime.http import Client
from rtcctl.realtime.masking import presentable
from rtcctl.realtime.turn import TurnClient, parse_pasted, without_port_53
from tests.fuzz.target import records, text
from tests.unit.realtime.wire import PROFILE, Service

REQUESTS = (
    schema.NewSessionRequest,
    schema.RenegotiateRequest,
    schema.TracksRequest,
    schema.CloseTracksRequest,
    schema.EstablishDataChannelsRequest,
    schema.DataChannelsRequest,
    schema.NewAdaptersRequest,
    schema.CloseAdaptersRequest,
    schema.TurnCredentialsRequest,
)


def bodies(data: bytes) -> None:
    """A body of a request: of every operation by its schema; one that is none is a `SchemaError`."""
    for request in REQUESTS:
        try:
            parsed = request.parse(data)
        except schema.SchemaError as error:
            assert len(str(error)) < 2000
            continue
        assert request.read(parsed.to_wire()) == parsed


def explanation(data: bytes) -> None:
    """A request (its first line is METHOD PATH), a description, an error, a list of servers: findings for a log."""
    head, _, body = data.partition(b"\n")
    method, _, path = text(head).partition(" ")
    findings = explain_request(method, path, body)
    for operation in OPERATIONS:
        findings += explain_request(operation.method, f"/v1/{operation.path}", body)
    for role in ("offer", "answer"):
        findings += explain_sdp(text(data), role)
    hint_for(400, text(head), text(body), text(data))
    try:
        decoded = json.loads(data)
    except (ValueError, RecursionError):
        decoded = None
    findings += explain_ice_servers(decoded)
    for finding in findings:
        assert str(finding).isprintable()
        assert len(str(finding)) < 2000
    presentable(text(data), ["secret-0123456789"])


def pasted(data: bytes) -> None:
    """ICE servers as people have them."""
    try:
        decoded = json.loads(data)
    except (ValueError, RecursionError):
        return
    without_port_53(parse_pasted(decoded))


STATUSES = (200, 201, 200, 400, 401, 406, 410, 425, 429, 500, 503, 520)


def answers(data: bytes) -> None:
    """What a service answers, perhaps with a header; errors are ours. The first byte says who asks; `*`: everybody."""
    asyncio.run(_answers(data[1:], ASKED if data[:1] == b"*" else [ASKED[(data or b"\0")[0] % len(ASKED)]]))


async def _answers(data: bytes, asked: Sequence[Ask]) -> None:
    replies = []
    for flags, content in records(data):
        headers = {}
        if flags & 0x80:
            value, _, content = content.partition(b"\n")
            headers[("Retry-After", "Cf-Ray", "Date", "Content-Type")[flags >> 4 & 3]] = value.decode("latin-1")
        try:
            replies.append(httpx.Response(STATUSES[(flags & 15) % 12], headers=headers, content=content))
        except ValueError:
            continue  # no header that could come
    if not replies:
        return
    for ask in asked:
        try:
            await ask(Service(*replies))
        except RtcctlError as error:
            assert PROFILE.app_secret not in str(error) + error.hint


_PROFILE = replace(
    PROFILE, account_id="acc", account_token="account-0123456789abcdef", account_api_base="http://api/v4"
)


Ask = Callable[[Service], Awaitable[object]]


def _asked(kind: type[Client], call: Callable[[Any], Awaitable[object]]) -> Ask:
    async def ask(service: Service) -> None:
        time = service.time
        async with kind(
            _PROFILE, clock=time.clock, random=Random(1), deadline_s=30, transport=service, sleep=time.sleep
        ) as client:
            await call(client)

    return ask


_MIC = schema.TrackObject(location="local", track_name="mic")
ASKED = (
    _asked(RealtimeClient, lambda client: client.new_session("v=0\r\n")),
    _asked(RealtimeClient, lambda client: client.get_session("s")),
    _asked(RealtimeClient, lambda client: client.new_tracks("s", [_MIC])),
    _asked(RealtimeClient, lambda client: client.close_tracks("s", ["0"], force=True)),
    _asked(RealtimeClient, lambda client: client.establish_data_channels("s")),
    _asked(TurnClient, lambda client: client.generate_ice_servers(60)),
    _asked(TurnClient, lambda client: client.revoke("user")),
    _asked(AccountClient, lambda client: client.list("apps")),
    _asked(AccountClient, lambda client: client.get("apps", "a")),
    _asked(AnalyticsClient, lambda client: client.turn_usernames("alice", since=0, until=1e9)),
)
"What is asked of a service, by every client."
