"""The account API: the apps and TURN keys that are served, for whoever has the account's token (Realtime docs: API).

As `api.cloudflare.com` it answers without CORS, and on loopback, where its token is public, to its own Host and Origin
alone: no page of a browser can use it, whatever token it knows. Codes are numbers; those of Cloudflare's API where they
are known, the HTTP status where they are not.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rtcctl.errors import UsageError
from rtcctl.realtime.development import ACCOUNT_PREFIX as PREFIX
from rtcctl.server.faults.ledger import RequestRow
from rtcctl.server.faults.requests import RequestLog
from rtcctl.server.registry import App, Registry, TurnKey
from rtcctl.units import DISPLAY_NAME, is_display_name
from rtcctl.web.answer import json_answer, named
from rtcctl.web.body import BodyReader
from rtcctl.web.hosts import OwnHosts
from rtcctl.web.refusal import Refusal

logger = logging.getLogger(__name__)

_BODY_BYTES = 1 << 16

Handler = Callable[["_Collection", Request], Awaitable[Response]]


class _Collection:
    """The apps, or the TURN keys."""

    def __init__(self, registry: Registry, name: str) -> None:
        self.name = name
        "In paths."
        self.is_apps = name == "apps"
        self.parameter = "app_id" if self.is_apps else "key_id"
        self._registry = registry

    @property
    def entries(self) -> Mapping[str, App] | Mapping[str, TurnKey]:
        return self._registry.apps if self.is_apps else self._registry.turn_keys

    def find(self, request: Request) -> App | TurnKey:
        """The one that the path names; raises `Refusal` with 404."""
        entry = self.entries.get(request.path_params[self.parameter])
        if entry is None:
            what = "app" if self.is_apps else "TURN key"
            raise Refusal(404, "7003", f"There is no such {what}, perhaps your object identifier is invalid?")
        return entry

    def create(self, name: str, now: datetime) -> tuple[App | TurnKey, dict[str, str]]:
        """A new one, which is served from now on, and its secret as the answer shows it, once."""
        uid, secret = secrets.token_hex(16), secrets.token_hex(32)
        if self.is_apps:
            app = App(uid, secret, name=name, created=now, modified=now)
            self._registry.add_app(app)
            return app, {"secret": secret}
        key = TurnKey(uid, secret, name=name, created=now, modified=now)
        self._registry.add_turn_key(key)
        return key, {"key": secret}

    def replace(self, entry: App | TurnKey) -> None:
        if isinstance(entry, App):
            self._registry.replace_app(entry)
        else:
            self._registry.replace_turn_key(entry)

    def remove(self, entry: App | TurnKey) -> None:
        if isinstance(entry, App):
            self._registry.remove_app(entry.app_id)
        else:
            self._registry.remove_turn_key(entry.key_id)


class AccountApi:
    """An ASGI application that takes what is under `PREFIX` and gives the rest to `app`."""

    def __init__(
        self,
        app: ASGIApp,
        registry: Registry,
        account_id: str,
        token: str,
        *,
        own_hosts: OwnHosts | None = None,
        keep_bodies: bool = False,
        wallclock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`own_hosts`: those that alone are answered to. `keep_bodies`: in the ledger; they may hold secrets then."""
        self._app = app
        self._registry = registry
        self._account_id = account_id
        self._token = token
        self._own_hosts = own_hosts
        self._bodies = BodyReader(_BODY_BYTES, registry.limits.body_wait_s)
        self._wallclock = wallclock
        self._started = self._now()
        routes = []
        for collection in (_Collection(registry, "apps"), _Collection(registry, "turn_keys")):
            path = f"{PREFIX}/accounts/{{account_id}}/calls/{collection.name}"
            one = f"{path}/{{{collection.parameter}}}"
            routes += [
                self._route(collection, "list", path, "GET", self._list),
                self._route(collection, "create", path, "POST", self._create),
                self._route(collection, "get", one, "GET", self._get),
                self._route(collection, "update", one, "PUT", self._update),
                self._route(collection, "delete", one, "DELETE", self._delete),
            ]
        starlette = Starlette(
            routes=routes,
            exception_handlers={
                Refusal: _refused,
                HTTPException: _http_error,
                UsageError: _not_kept,
                Exception: _bug,
            },
        )
        starlette.router.redirect_slashes = False
        self._account = RequestLog(starlette, registry.faults.ledger, keep_bodies=keep_bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        is_ours = path == PREFIX or path.startswith(f"{PREFIX}/")
        await (self._account if is_ours else self._app)(scope, receive, send)

    def _route(self, collection: _Collection, verb: str, path: str, method: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            row: RequestRow = request.state.row
            row.operation = f"{collection.name}/{verb}"
            self._authorize(request)
            return await handler(collection, request)

        return Route(path, endpoint, methods=[method])

    def close(self) -> None:
        """Answer the requests whose bodies are still on their way."""
        self._bodies.close()

    def _authorize(self, request: Request) -> None:
        if self._own_hosts is not None and (reason := self._own_hosts.refusal(request.scope)):
            raise Refusal(403, "403", f"The account API of this server {reason}")
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(presented.strip().encode(), self._token.encode()):
            raise Refusal(401, "10000", "Authentication error")
        if request.path_params["account_id"] != self._account_id:
            raise Refusal(403, "9109", "Unauthorized to access requested resource")

    # --- the five operations of each collection

    async def _list(self, collection: _Collection, request: Request) -> Response:
        return _answer([self._document(entry) for entry in collection.entries.values()])

    async def _create(self, collection: _Collection, request: Request) -> Response:
        name = await self._name(request)
        entry, secret = collection.create(name or "", self._now())
        return _answer({**self._document(entry), **secret}, 201)

    async def _get(self, collection: _Collection, request: Request) -> Response:
        return _answer(self._document(collection.find(request)))

    async def _update(self, collection: _Collection, request: Request) -> Response:
        collection.find(request)
        name = await self._name(request)
        # Only now, since it may be deleted while a body is on its way.
        entry = collection.find(request)
        if name is not None:
            entry = replace(entry, name=name, created=entry.created or self._started, modified=self._now())
            collection.replace(entry)
        return _answer(self._document(entry))

    async def _delete(self, collection: _Collection, request: Request) -> Response:
        entry = collection.find(request)
        collection.remove(entry)
        return _answer(self._document(entry))

    # --- what they share

    def _now(self) -> datetime:
        return self._wallclock().replace(microsecond=0)

    async def _name(self, request: Request) -> str | None:
        """`name` of the body; `None` where it says nothing. Raises `Refusal` with 400."""
        body = await self._bodies.read(request)
        try:
            document = json.loads(body or b"{}")
            if not isinstance(document, dict):
                raise TypeError
        except (ValueError, TypeError, RecursionError):
            raise Refusal(400, "6007", "Malformed JSON in request body") from None
        name = document.get("name", "")
        if not isinstance(name, str) or not is_display_name(name):
            raise Refusal(400, "400", f"name must be {DISPLAY_NAME}", subcode="/name")
        return name if "name" in document else None

    def _document(self, entry: App | TurnKey) -> dict[str, Any]:
        created = entry.created or self._started
        return {
            "uid": entry.uid,
            "name": entry.name,
            "created": _rfc3339(created),
            "modified": _rfc3339(entry.modified or created),
        }


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _answer(result: Any, status: int = 200) -> Response:
    return json_answer({"success": True, "errors": [], "messages": [], "result": result}, status)


def _error(
    request: Request,
    status: int,
    code: int,
    message: str,
    *,
    pointer: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    logger.info("%s %d %d: %s", named(request), status, code, message)
    row: RequestRow = request.state.row
    row.error_code = str(code)
    error: dict[str, Any] = {"code": code, "message": message}
    if pointer:
        error["source"] = {"pointer": pointer}
    return json_answer({"success": False, "errors": [error], "messages": [], "result": None}, status, headers)


def _refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refusal)
    # What reads bodies says why in the words of the other API.
    code = int(exc.code) if exc.code.isdigit() else exc.status
    return _error(request, exc.status, code, exc.description, pointer=exc.subcode or "", headers=exc.headers)


def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == HTTPStatus.NOT_FOUND:
        return _error(request, 404, 7000, "No route for that URI")
    return _error(request, exc.status_code, exc.status_code, exc.detail, headers=exc.headers)


def _not_kept(request: Request, exc: Exception) -> Response:
    """The file of `--persist` cannot be written: nothing was done."""
    assert isinstance(exc, UsageError)
    logger.error("%s: %s", named(request), exc.message)
    return _error(request, 500, 500, "It could not be kept, so nothing was done")


def _bug(request: Request, exc: Exception) -> Response:
    return _error(request, 500, 500, "Internal error")
