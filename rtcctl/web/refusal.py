"""A request that is answered with an error (Realtime docs: Error codes)."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):  # noqa: N818 - an answer that is meant, not a fault
    """`status` is the HTTP status, `code` the `errorCode`, `description` the `errorDescription`."""

    def __init__(
        self,
        status: int,
        code: str,
        description: str,
        *,
        subcode: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {description}")
        self.status = status
        self.code = code
        self.description = description
        self.subcode = subcode
        "Undocumented `errorSubcode`, which tells apart the kinds of `invalid_session_description`."
        self.headers = headers
