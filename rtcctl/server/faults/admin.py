"""The admin API: faults and the ledger of a running server, for this machine alone.

It has no secret, so what protects it is where it can be reached from: a peer on loopback, a `Host` that is the server's
own (a foreign name that resolves to loopback is an attack: DNS rebinding), an `Origin` that is the server's own or none
(else any page of a browser on this machine could set faults), and no proxy in between.
"""

from __future__ import annotations

import asyncio
import json
import re
from ipaddress import ip_address

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rtcctl.realtime.development import ADMIN_PREFIX as PREFIX
from rtcctl.server.faults.faults import Faults
from rtcctl.units import SpellingError
from rtcctl.web.answer import ERROR_HANDLERS, error_answer, json_answer
from rtcctl.web.body import read_body
from rtcctl.web.hosts import OwnHosts
from rtcctl.web.refusal import Refusal

_BODY_BYTES = 1 << 16
_PROXY_HEADERS = (b"forwarded", b"x-forwarded-", b"x-real-ip", b"cf-connecting-ip", b"via")
"Beginnings of names."
_ID = re.compile(r"[0-9]{1,15}")


class Admin:
    """An ASGI application that takes what is under `PREFIX` and gives the rest to `app`."""

    def __init__(self, app: ASGIApp, faults: Faults, base_url: str) -> None:
        self._app = app
        self._faults = faults
        self._own = OwnHosts(base_url)
        routes = [
            Route(f"{PREFIX}/faults", self._list, methods=["GET"]),
            Route(f"{PREFIX}/faults", self._set, methods=["POST"]),
            Route(f"{PREFIX}/faults", self._clear, methods=["DELETE"]),
            Route(f"{PREFIX}/faults/{{fault_id}}", self._clear, methods=["DELETE"]),
            Route(f"{PREFIX}/ledger", self._ledger, methods=["GET"]),
        ]
        self._admin = Starlette(routes=routes, exception_handlers=dict(ERROR_HANDLERS))
        self._admin.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path != PREFIX and not path.startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
        elif reason := self._refusal(scope):
            await error_answer(403, "forbidden", reason)(scope, receive, send)
        else:
            await self._admin(scope, receive, send)

    def _refusal(self, scope: Scope) -> str:
        """Why a request is refused; empty when it is not."""
        try:
            peer = ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return "The admin API answers peers on loopback only"
        if not (getattr(peer, "ipv4_mapped", None) or peer).is_loopback:
            return "The admin API answers peers on loopback only"
        if reason := self._own.refusal(scope):
            return f"The admin API {reason}"
        if any(name.startswith(_PROXY_HEADERS) for name, _ in scope["headers"]):
            return "The admin API does not answer through a proxy"
        return ""

    async def _list(self, request: Request) -> Response:
        return json_answer({"faults": [active.document() for active in self._faults.active]})

    async def _set(self, request: Request) -> Response:
        body = await read_body(request, _BODY_BYTES, asyncio.timeout(5))
        try:
            document = json.loads(body)
            text = document["fault"]
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Refusal(400, "decoding_error", 'Send {"fault": "tracks/new=425,times=3"}') from None
        try:
            return json_answer(self._faults.set(text).document(), 201)
        except SpellingError as error:
            raise Refusal(400, "invalid_fault", str(error)) from None

    async def _clear(self, request: Request) -> Response:
        named: str | None = request.path_params.get("fault_id")
        if named is None:
            cleared = self._faults.clear()
        elif not _ID.fullmatch(named) or not (cleared := self._faults.clear(int(named))):
            raise Refusal(404, "not_found", f"There is no fault {named[:20]}")
        return json_answer({"faults": [active.document() for active in cleared]})

    async def _ledger(self, request: Request) -> Response:
        asked = request.query_params
        packets_from, requests_from = (_index(asked.get(name, "0")) for name in ("packets_from", "requests_from"))
        page = self._faults.ledger.page(
            packets_from=packets_from,
            requests_from=requests_from,
            app_id=asked.get("app", ""),
            session_id=asked.get("session", ""),
        )
        return json_answer(page)


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise Refusal(400, "invalid_params", "packets_from and requests_from are whole numbers")
    return int(text)
