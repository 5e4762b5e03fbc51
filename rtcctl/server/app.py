"""The Realtime HTTPS API as an ASGI application: paths, authorisation, bodies. What they mean is in `session.py`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from rtcctl.realtime.schema import (
    CloseTracksRequest,
    DataChannelsRequest,
    EstablishDataChannelsRequest,
    NewSessionRequest,
    NewSessionResponse,
    RenegotiateRequest,
    RenegotiateResponse,
    SchemaError,
    TracksRequest,
    TurnCredentialsRequest,
    Wire,
)
from rtcctl.server.faults.ledger import RequestRow
from rtcctl.server.faults.requests import Handler, RequestLog, meet, named_tracks, with_body
from rtcctl.server.registry import App, Registry, TurnKey
from rtcctl.server.session import Session, gone
from rtcctl.server.turn import DEFAULT_TTL_S, TurnService, as_one, check_lifetime
from rtcctl.web.answer import ERROR_HANDLERS, json_answer, log_item_errors
from rtcctl.web.body import BodyReader
from rtcctl.web.cors import Cors
from rtcctl.web.refusal import Refusal

logger = logging.getLogger(__name__)
RequestBody = TypeVar("RequestBody", bound=Wire)

_SESSION = "/v1/apps/{app_id}/sessions/{session_id}"
_CREDENTIALS = "/v1/turn/keys/{key_id}/credentials"
_SEVERAL: Mapping[str, type[Wire]] = {
    "tracks/new": TracksRequest,
    "tracks/update": TracksRequest,
    "tracks/close": CloseTracksRequest,
    "datachannels/establish": EstablishDataChannelsRequest,
    "datachannels/new": DataChannelsRequest,
    "datachannels/update": DataChannelsRequest,
    "datachannels/close": DataChannelsRequest,
}
"Operations that answer item by item, and what they are asked."


class RealtimeApi:
    """The handlers. `keep_bodies`: in the ledger of requests."""

    def __init__(self, registry: Registry, turn: TurnService, *, keep_bodies: bool = False) -> None:
        self._registry = registry
        self._turn = turn
        self._keep_bodies = keep_bodies
        self._bodies = BodyReader(registry.limits.body_bytes, registry.limits.body_wait_s)

    def asgi(self) -> ASGIApp:
        routes = [
            self._route("sessions/new", "/v1/apps/{app_id}/sessions/new", "POST", self.new_session),
            self._route("sessions/get", _SESSION, "GET", self.get_session),
            self._route("tracks/new", f"{_SESSION}/tracks/new", "POST", self.new_tracks),
            self._route("tracks/update", f"{_SESSION}/tracks/update", "PUT", self.update_tracks),
            self._route("tracks/close", f"{_SESSION}/tracks/close", "PUT", self.close_tracks),
            self._route(
                "datachannels/establish",
                f"{_SESSION}/datachannels/establish",
                "POST",
                self.establish_data_channels,
            ),
            self._route("datachannels/new", f"{_SESSION}/datachannels/new", "POST", self.new_data_channels),
            self._route("datachannels/update", f"{_SESSION}/datachannels/update", "PUT", self.update_data_channels),
            self._route("datachannels/close", f"{_SESSION}/datachannels/close", "PUT", self.close_data_channels),
            self._route("renegotiate", f"{_SESSION}/renegotiate", "PUT", self.renegotiate),
            self._route(
                "turn/generate-ice-servers",
                f"{_CREDENTIALS}/generate-ice-servers",
                "POST",
                self.generate_ice_servers,
            ),
            self._route("turn/generate", f"{_CREDENTIALS}/generate", "POST", self.generate),
            self._route("turn/revoke", f"{_CREDENTIALS}/{{username}}/revoke", "POST", self.revoke),
        ]
        app = Starlette(routes=routes, exception_handlers=dict(ERROR_HANDLERS))
        # A redirect to the same path with or without a slash would be an answer without JSON.
        app.router.redirect_slashes = False
        return Cors(RequestLog(app, self._registry.faults.ledger, keep_bodies=self._keep_bodies))

    def _route(self, operation: str, path: str, method: str, handler: Handler) -> Route:
        """One operation of the API, where faults can meet its requests."""
        faults = self._registry.faults

        async def endpoint(request: Request) -> Response:
            row: RequestRow = request.state.row
            row.operation = operation
            parameters = request.path_params
            row.app_id = parameters.get("app_id") or self._registry.app_of_key(parameters.get("key_id", ""))
            row.session_id = request.path_params.get("session_id", "")
            return await (self._faulty(operation, request, handler) if faults.has_api_faults else handler(request))

        return Route(path, endpoint, methods=[method])

    async def _faulty(self, operation: str, request: Request, handler: Handler) -> Response:
        """Faults meet those alone who have the secret."""
        parameters = request.path_params
        authorization = request.headers.get("authorization", "")
        app_id, session_id = parameters.get("app_id", ""), parameters.get("session_id", "")
        if app_id:
            self._registry.app(app_id, authorization)
        else:
            app_id = self._registry.turn_key(parameters["key_id"], authorization).app_id
        body = await self._bodies.read(request)
        active = self._registry.faults.find(operation, app_id, session_id, named_tracks(body, session_id))
        if active is None:
            return await handler(with_body(request, body))
        check = partial(self._check, operation, request, body)
        return await meet(active, request, body, handler, check, partial(self._registry.end_session, app_id))

    def _check(self, operation: str, request: Request, body: bytes) -> None:
        """Refuse what the service refuses before it looks at items."""
        if operation in _SEVERAL:
            self._registry.session(self._app(request), request.path_params["session_id"])
            _parse(_SEVERAL[operation], body)

    def close(self) -> None:
        """Answer the requests whose bodies are still on their way."""
        self._bodies.close()

    # --- sessions

    async def new_session(self, request: Request) -> Response:
        self._app(request)
        body = await self._bodies.read(request)
        # Again, since it may be deleted while a body is on its way.
        app = self._app(request)
        # Decoded before the session exists, so that a bad request leaves none behind.
        offer = _parse(NewSessionRequest, body).session_description if body else None
        session = self._registry.new_session(
            app,
            is_third_party=request.query_params.get("thirdparty", "").lower() in ("true", "1"),
            correlation_id=request.query_params.get("correlationId"),
        )
        answer = None
        try:
            if offer is not None:
                with session.boundary(self._registry.count_bug):
                    answer = session.connect(offer)
        except Refusal:
            session.close()
            raise
        logger.info("session=%s created, correlation_id=%r", session.session_id, session.correlation_id)
        created = NewSessionResponse(session_id=session.session_id, session_description=answer)
        return json_answer(created.to_wire(), 201)

    async def get_session(self, request: Request) -> Response:
        session = self._registry.session(self._app(request), request.path_params["session_id"])
        with session.boundary(self._registry.count_bug):
            return json_answer(session.state().to_wire())

    async def new_tracks(self, request: Request) -> Response:
        return await self._mutate(request, TracksRequest, lambda session, body: session.new_tracks(body))

    async def update_tracks(self, request: Request) -> Response:
        return await self._mutate(request, TracksRequest, lambda session, body: session.update_tracks(body))

    async def close_tracks(self, request: Request) -> Response:
        return await self._mutate(request, CloseTracksRequest, lambda session, body: session.close_tracks(body))

    async def renegotiate(self, request: Request) -> Response:
        async def renegotiated(session: Session, body: RenegotiateRequest) -> Wire:
            return RenegotiateResponse(session_description=await session.renegotiate(body.session_description))

        return await self._mutate(request, RenegotiateRequest, renegotiated)

    async def establish_data_channels(self, request: Request) -> Response:
        return await self._mutate(
            request, EstablishDataChannelsRequest, lambda session, body: session.establish_data_channels(body)
        )

    async def new_data_channels(self, request: Request) -> Response:
        return await self._mutate(request, DataChannelsRequest, lambda session, body: session.new_data_channels(body))

    async def update_data_channels(self, request: Request) -> Response:
        return await self._mutate(
            request, DataChannelsRequest, lambda session, body: session.update_data_channels(body)
        )

    async def close_data_channels(self, request: Request) -> Response:
        return await self._mutate(request, DataChannelsRequest, lambda session, body: session.close_data_channels(body))

    # --- TURN credentials

    async def generate_ice_servers(self, request: Request) -> Response:
        return json_answer({"iceServers": await self._issue(request)}, 201)

    async def generate(self, request: Request) -> Response:
        return json_answer({"iceServers": as_one(await self._issue(request))}, 201)

    async def revoke(self, request: Request) -> Response:
        """Whether or not such a credential was ever issued: revoking is idempotent."""
        key = self._turn_key(request)
        self._turn.revoke(key.key_id, request.path_params["username"])
        return Response(status_code=204)

    async def _issue(self, request: Request) -> list[dict[str, Any]]:
        key = self._turn_key(request)
        body = await self._bodies.read(request)
        asked = _parse(TurnCredentialsRequest, body or b"{}")
        check_lifetime(asked, self._registry.limits)
        ttl_s: float = DEFAULT_TTL_S if asked.ttl is None else asked.ttl
        # Of a fault; what the client is told does not change.
        ttl_s = min(ttl_s, getattr(request.state, "turn_ttl_limit_s", ttl_s))
        row: RequestRow = request.state.row
        row.turn_ttl_s = ttl_s
        servers = await self._turn.issue(key.key_id, ttl_s, asked.custom_identifier)
        try:
            self._turn_key(request)
        except Refusal:  # it was deleted while the body was on its way, or coturn was starting
            self._turn.revoke_all(key.key_id)
            raise
        return servers

    def _turn_key(self, request: Request) -> TurnKey:
        return self._registry.turn_key(request.path_params["key_id"], request.headers.get("authorization", ""))

    # --- what all share

    def _app(self, request: Request) -> App:
        return self._registry.app(request.path_params["app_id"], request.headers.get("authorization", ""))

    async def _mutate(
        self,
        request: Request,
        kind: type[RequestBody],
        operation: Callable[[Session, RequestBody], Awaitable[Wire]],
    ) -> Response:
        app = self._app(request)
        content = await self._bodies.read(request)
        # Only now, since a session may end while a body is on its way.
        session = self._registry.session(app, request.path_params["session_id"])
        body = _parse(kind, content)
        with session.boundary(self._registry.count_bug):
            answer = await operation(session, body)
            if session.is_gone:
                raise gone()
        document = answer.to_wire()
        log_item_errors(request, document)
        return json_answer(document)


def _parse(kind: type[RequestBody], body: bytes) -> RequestBody:
    """The body, whatever its content type; raises `Refusal` with 400 in the words of the service."""
    try:
        return kind.parse(body)
    except SchemaError as exc:
        field, *path = exc.field.split(".")
        if not field:
            raise Refusal(400, "decoding_error", "Failed to decode body as JSON") from None
        if path and path[0].isdigit():
            raise Refusal(400, "decoding_error", f"JSON body validation error: {path[0]}") from None
        raise Refusal(400, "decoding_error", f"Body JSON validation error: {field}") from None
