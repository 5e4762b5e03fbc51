"""One attempt of a request to the HTTPS API, as it is told to whoever records it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What was asked and what came back. Headers are left out, and so is the secret; bodies are as they were."""

    method: str
    url: str
    attempt: int
    "From 1; the same request is sent again where that is safe."
    request_body: Any = None
    "Decoded JSON."
    status: int | None = None
    "`None`: there was no answer."
    answer_body: bytes = b""
    ray: str | None = None
    "Cf-Ray, Cloudflare's id of the request."
    retry_after: str | None = None
    started_at: float
    "Clock of the client."
    took_s: float
    error: str = ""
    "Why there was no answer."


OnExchange = Callable[[Exchange], None]
