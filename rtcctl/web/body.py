"""Request bodies: bounded, and whatever their content type says (browsers send JSON as text/plain)."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

from rtcctl.web.refusal import Refusal


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body; raises `Refusal` with 413 as soon as it is known to be longer than the limit."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                raise _too_large(limit_bytes)
    except ClientDisconnect:
        raise Refusal(400, "decoding_error", "The body ended too early") from None
    return bytes(body)


def _too_large(limit_bytes: int) -> Refusal:
    return Refusal(413, "payload_too_large", f"The body is larger than {limit_bytes} bytes")
