"""Result of `api METHOD PATH`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResponse(Result):
    """What the API answered, as it came."""

    schema: ClassVar[str] = "rtcctl.api/1"

    method: str
    path: str
    status: int
    body: Any
    ray: str | None = None
