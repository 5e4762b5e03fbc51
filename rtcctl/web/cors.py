"""Cross-origin access for browser apps (WHATWG Fetch §3.2): on every answer, the errors too."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS"),
    (b"access-control-max-age", b"86400"),
)


class Cors:
    """Wraps a whole application. `vary: Origin` is always there; the origin is allowed by echoing it.

    Credentials travel in `Authorization`, never in cookies, so any origin may ask: what counts is the secret.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [(b"vary", b"Origin")]
        asked = dict(scope["headers"])
        if b"origin" in asked:
            headers.append((b"access-control-allow-origin", asked[b"origin"]))
        if scope["method"] == "OPTIONS":
            headers.append((b"access-control-allow-headers", asked.get(b"access-control-request-headers", b"*")))
            await send({"type": "http.response.start", "status": 204, "headers": [*headers, *_PREFLIGHT]})
            await send({"type": "http.response.body", "body": b""})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)
