"""JSON in every answer, errors too: the shapes that both HTTP services share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rtcctl.web.refusal import Refusal

ErrorHandler = Callable[[Request, Exception], Response]

_HTTP_ERRORS = {
    404: ("not_found", "There is no such path."),
    405: ("method_not_allowed", "This method is not supported; DELETE is reserved for WHIP and WHEP."),
}


def json_answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`document` as JSON in ASCII, so that text a client made up (a lone surrogate) cannot break the answer."""
    body = json.dumps(document, separators=(",", ":")).encode("ascii")
    return Response(body, status, headers, media_type="application/json")


def error_answer(
    status: int,
    code: str,
    description: str,
    *,
    subcode: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A request-level error."""
    document = {"errorCode": code, "errorDescription": description}
    if subcode:
        document["errorSubcode"] = subcode
    return json_answer(document, status, headers)


def _refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refusal)
    return error_answer(exc.status, exc.code, exc.description, subcode=exc.subcode, headers=exc.headers)


def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    code, description = _HTTP_ERRORS.get(exc.status_code, ("http_error", exc.detail))
    return error_answer(exc.status_code, code, description, headers=exc.headers)


def _bug(request: Request, exc: Exception) -> Response:
    return error_answer(500, "internal_error", "Backend error")


ERROR_HANDLERS: Mapping[Any, ErrorHandler] = {Refusal: _refused, HTTPException: _http_error, Exception: _bug}
"For `Starlette(exception_handlers=…)`."
