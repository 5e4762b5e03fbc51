"""Request bodies: bounded, and whatever their content type says (browsers send JSON as text/plain)."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from rtcctl.web.refusal import Refusal


async def read_body(request: Request, limit_bytes: int, timeout: asyncio.Timeout) -> bytes:
    """The whole body, which is kept as `request.state.body`, to explain a refusal by.

    Raises `Refusal` with 413 as soon as it is known to be longer than the limit, with 408 when the time is over.
    """
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    try:
        async with timeout:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes)
    except TimeoutError:
        # RFC 9110 §15.5.9: what is left of the body cannot be told from a next request.
        raise Refusal(
            408, "request_timeout", "The body did not come in time", headers={"Connection": "close"}
        ) from None
    except ClientDisconnect:
        raise Refusal(400, "decoding_error", "The body ended too early") from None
    content = bytes(body)
    request.state.body = content
    return content


def _too_large(limit_bytes: int) -> Refusal:
    return Refusal(413, "payload_too_large", f"The body is larger than {limit_bytes} bytes")


class BodyReader:
    """Reads the bodies of one API's requests; at its end, those that are still on their way are answered (408)."""

    def __init__(self, limit_bytes: int, wait_s: float) -> None:
        self._limit_bytes = limit_bytes
        self._wait_s = wait_s
        self._reading: set[asyncio.Timeout] = set()

    async def read(self, request: Request) -> bytes:
        """As `read_body`."""
        timeout = asyncio.timeout(self._wait_s)
        self._reading.add(timeout)
        try:
            return await read_body(request, self._limit_bytes, timeout)
        finally:
            self._reading.discard(timeout)

    def close(self) -> None:
        """No body is waited for any more."""
        for timeout in self._reading:
            timeout.reschedule(0)
