"""JSON in every answer, errors too: the shapes that both HTTP services share.

What is refused is logged with what to do about it. The answer has the words of the service alone, the hint is ours.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rtcctl.realtime.explain.errors import hint_for, is_unstable_signalling
from rtcctl.web.refusal import Refusal

logger = logging.getLogger(__name__)

ErrorHandler = Callable[[Request, Exception], Response]

_HTTP_ERRORS = {
    404: ("not_found", "There is no such path."),
    405: ("method_not_allowed", "This method is not supported; DELETE is reserved for WHIP and WHEP."),
}

_MISTAKES = frozenset({400, 404, 405, 406})
"Statuses whose reason may be the request itself."
_EXPLAINED_BODY_BYTES = 1 << 16
"Larger ones are not looked at again: that would cost more than refusing them did."
_FINDINGS_SHOWN = 3
_PATH_SHOWN = 300
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


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


def log_item_errors(request: Request, document: Mapping[str, Any]) -> None:
    """Log the items of an answer that failed inside a 200, each with its hint."""
    for name in ("tracks", "dataChannels"):
        for index, item in enumerate(document.get(name) or ()):
            if code := item.get("errorCode"):
                hint = hint_for(200, code, item.get("errorSubcode"), item.get("errorDescription"))
                logger.info("%s 200 %s[%d] %s: %s", named(request), name, index, code, hint)


def _log(request: Request, status: int, code: str, description: str, subcode: str | None = None) -> None:
    """Log an error with its hint: no description (it may quote the client), no body, no secret."""
    if logger.isEnabledFor(logging.INFO):
        hint = _mistake(request, status, code, subcode) or hint_for(status, code, subcode, description)
        logger.info("%s %d %s: %s", named(request), status, subcode or code, hint)


def _mistake(request: Request, status: int, code: str, subcode: str | None) -> str:
    """What is wrong with the request itself, where that can be the reason."""
    body: bytes = getattr(request.state, "body", b"")
    is_of_the_moment = is_unstable_signalling(code, subcode) or subcode == "invalid_modification_stable"
    if status not in _MISTAKES or is_of_the_moment or len(body) > _EXPLAINED_BODY_BYTES:
        return ""
    from rtcctl.realtime.explain.request import explain_request

    findings = explain_request(request.method, request.scope["path"], body)
    return "; ".join(str(finding) for finding in findings[:_FINDINGS_SHOWN] if finding.is_error)


def named(request: Request) -> str:
    """Session, method and path, without the query; percent-encoded again, so that it stays one line."""
    session_id = str(request.path_params.get("session_id", ""))
    session = f"session={session_id} " if _ID.fullmatch(session_id) else ""
    return f"{session}{request.method} {quote(request.scope['path'][:_PATH_SHOWN])}"


def _refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refusal)
    _log(request, exc.status, exc.code, exc.description, exc.subcode)
    return error_answer(exc.status, exc.code, exc.description, subcode=exc.subcode, headers=exc.headers)


def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    code, description = _HTTP_ERRORS.get(exc.status_code, ("http_error", exc.detail))
    _log(request, exc.status_code, code, description)
    return error_answer(exc.status_code, code, description, headers=exc.headers)


def _bug(request: Request, exc: Exception) -> Response:
    return error_answer(500, "internal_error", "Backend error")


ERROR_HANDLERS: Mapping[Any, ErrorHandler] = {Refusal: _refused, HTTPException: _http_error, Exception: _bug}
"For `Starlette(exception_handlers=…)`."
