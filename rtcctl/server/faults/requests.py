"""Faults of the API: what becomes of a request that one of them meets; and the log of all requests."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rtcctl.server.faults.faults import ActiveFault
from rtcctl.server.faults.grammar import ApiFault, has_items
from rtcctl.server.faults.ledger import Ledger, RequestRow
from rtcctl.web.answer import json_answer
from rtcctl.web.refusal import Refusal

Handler = Callable[[Request], Awaitable[Response]]
ABORT = "rtcctl.abort"
"The ASGI extension that breaks the connection of a request."

BODY_KEPT = 1 << 16
_ITEMS = ("tracks", "dataChannels")
_HTML = "<html><head><title>{status}</title></head><body><center><h1>error code: {status}</h1></center></body></html>\n"


class RequestLog:
    """Wraps the whole application: each request is a row of the ledger. `keep_bodies`: what was said, too."""

    def __init__(self, app: ASGIApp, ledger: Ledger, *, keep_bodies: bool) -> None:
        self._app = app
        self._ledger = ledger
        self._keep_bodies = keep_bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        row = self._ledger.request(_row(scope))
        scope.setdefault("state", {})["row"] = row
        answer = bytearray()

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                row.status = message["status"]
            else:
                answer.extend(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            row.duration_ms = round((time.perf_counter() - started) * 1000, 3)
            parameters = scope.get("path_params", {})  # of a wrong method, too
            row.app_id = parameters.get("app_id", row.app_id)
            row.session_id = parameters.get("session_id", row.session_id)
            _note_answer(row, bytes(answer))
            if self._keep_bodies:
                row.body = scope["state"].get("body", b"")[:BODY_KEPT]
                row.answer = bytes(answer[:BODY_KEPT])


def _row(scope: Scope) -> RequestRow:
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    client = scope.get("client") or ("", 0)
    return RequestRow(
        at=time.time(),
        client=f"{client[0]}:{client[1]}",
        user_agent=agent.decode("latin-1")[:200],
        method=scope["method"],
        path=scope["path"][:500],
    )


def _note_answer(row: RequestRow, answer: bytes) -> None:
    if row.operation != "sessions/new" and b"errorCode" not in answer:
        return
    with suppress(ValueError):
        document = json.loads(answer)
        if isinstance(document, dict):
            row.error_code = document.get("errorCode", "")
            row.item_codes = tuple(item["errorCode"] for item in _items(document) if "errorCode" in item)
            row.session_id = row.session_id or document.get("sessionId", "")


def named_tracks(body: bytes, session_id: str) -> list[tuple[str, str]]:
    """What a request names: (publisher's session, name) of each item."""
    return [_track(item, session_id) for item in _items(_decoded(body))]


async def meet(
    active: ActiveFault,
    request: Request,
    body: bytes,
    handler: Handler,
    check: Callable[[], None],
    end_session: Callable[[str], object],
) -> Response:
    """The answer to a request that meets a fault; `body` has been read, `handler` would do the work.

    `check` raises the `Refusal` of a request before any of its items is looked at; `end_session` ends a session by its
    id.
    """
    fault = active.fault
    assert isinstance(fault, ApiFault)
    row: RequestRow = request.state.row
    row.fault = active.text

    async def work(content: bytes = body) -> Response:
        try:
            return await handler(with_body(request, content))
        finally:
            request.state.body = body  # what the client sent, whatever the handler was given

    match fault.action:
        case "status":
            return _refused(active, fault)
        case "code":
            return await _with_item_errors(fault, active, row, body, check, work)
        case "hang":
            await _until_let_go(request, active)
            return await _broken(request)
        case "slow":
            with suppress(TimeoutError):
                async with asyncio.timeout(fault.seconds):
                    await active.cleared.wait()
            return await work()
        case "lost":
            with suppress(Refusal):
                response = await work()
                row.session_id = row.session_id or _made_session(response)
            return await _broken(request)
        case "empty-mid":
            return _without_mids(await work())
        case "expire":
            return await _expiring(active, fault.seconds, request, work, end_session)
        case _:
            request.state.turn_ttl_limit_s = fault.seconds
            return await work()


def _refused(active: ActiveFault, fault: ApiFault) -> Response:
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(math.ceil(fault.retry_after_s))}
    if not fault.is_json:
        return Response(_HTML.format(status=fault.status), fault.status, headers, media_type="text/html")
    raise Refusal(fault.status, fault.code, _description(active), subcode=fault.subcode or None, headers=headers)


def _description(active: ActiveFault) -> str:
    return f"Fault {active.fault_id}: {active.text}"


async def _with_item_errors(
    fault: ApiFault,
    active: ActiveFault,
    row: RequestRow,
    body: bytes,
    check: Callable[[], None],
    work: Callable[[bytes], Awaitable[Response]],
) -> Response:
    """Items fail inside a 200, and the others are done; where there are no items, the whole is a 200 that failed."""
    failure = {"errorCode": fault.code, "errorDescription": _description(active)}
    failure |= {"errorSubcode": fault.subcode} if fault.subcode else {}
    asked = _decoded(body)
    name = next((name for name in _ITEMS if isinstance(asked.get(name), list)), None)
    if name is None or not has_items(row.operation):
        check()
        return json_answer(failure)
    failed = {}
    rest = []
    for index, item in enumerate(asked[name]):
        if isinstance(item, dict) and fault.concerned.includes_track(*_track(item, row.session_id)):
            is_pull = item.get("location") == "remote"
            failed[index] = {**({"mid": ""} if is_pull else {}), **_echo(item), **failure}
        else:
            rest.append(item)
    if rest or not failed:
        response = await work(json.dumps({**asked, name: rest}).encode())
        document = json.loads(bytes(response.body))
        if response.status_code >= 400 or name not in document:
            return response
    else:
        check()
        document = {"requiresImmediateRenegotiation": False, name: []} if name == "tracks" else {name: []}
    for index, item in failed.items():
        document[name].insert(index, item)
    return json_answer(document)


def _echo(item: dict[str, Any]) -> dict[str, Any]:
    """What answers repeat of an item."""
    is_pull = item.get("location") == "remote"
    keys = ("sessionId", "trackName", "dataChannelName", "id") + (() if is_pull else ("mid",))
    return {key: item[key] for key in keys if key in item}


async def _expiring(
    active: ActiveFault,
    after_s: float,
    request: Request,
    work: Callable[[], Awaitable[Response]],
    end_session: Callable[[str], object],
) -> Response:
    session_id = request.path_params.get("session_id")
    if session_id is not None and not after_s:
        end_session(session_id)
        return await work()

    def expire(session_id: str) -> None:
        if not active.cleared.is_set():
            end_session(session_id)

    try:
        response = await work()
        session_id = session_id or _made_session(response)
    finally:
        if session_id:
            asyncio.get_running_loop().call_later(after_s, expire, session_id)
    return response


def _made_session(response: Response) -> str:
    """The id in an answer to `sessions/new`; empty in others."""
    return str(_decoded(bytes(response.body)).get("sessionId", ""))


def _without_mids(response: Response) -> Response:
    with suppress(ValueError):
        document = json.loads(bytes(response.body))
        for item in _items(document):
            item["mid"] = ""
        return json_answer(document, response.status_code)
    return response


async def _until_let_go(request: Request, active: ActiveFault) -> None:
    """Until the client gives up, or the fault is cleared, or the server ends."""

    async def gives_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(gives_up()), group.create_task(active.cleared.wait())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


async def _broken(request: Request) -> Response:
    """Break the connection; what is returned reaches nobody."""
    request.scope["extensions"][ABORT]()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    request.state.row.status = None
    return _Nothing()


class _Nothing(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """There is nobody left to send to."""


def with_body(request: Request, body: bytes) -> Request:
    """The same request with a body that has yet to be read."""
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(parts, None) or await request.receive()

    return Request(request.scope, receive)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _items(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in _ITEMS:
        items = document.get(name)
        if isinstance(items, list):
            yield from (item for item in items if isinstance(item, dict))


def _track(item: dict[str, Any], session_id: str) -> tuple[str, str]:
    """The publisher's session, and the name."""
    return str(item.get("sessionId") or session_id), str(item.get("trackName") or item.get("dataChannelName") or "")
