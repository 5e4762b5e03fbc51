"""What can go wrong, one class per thing the caller does differently, and the exit status of each."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses of the program. Codes are only added; an unknown code means failure."""

    OK = 0
    BUG = 1
    "An exception nobody expected: ours to mend."
    USAGE = 2
    "Flags, environment, files: the user can mend it."
    CHECK_FAILED = 3
    "Measured, and not good enough."
    AUTH = 4
    "Credentials were refused."
    API = 5
    "The Realtime API said no."
    NETWORK = 6
    "The API or the media path cannot be reached."
    DEADLINE = 7
    "What was awaited did not come in time."
    INCONCLUSIVE = 8
    "This machine could not send or measure properly: nothing is known."
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class RtcctlError(Exception):
    """Base of all expected errors: a message that names the object, and a hint that says what to try.

    `exit_status` belongs to the class; `hint` may be empty.
    """

    exit_status = ExitStatus.BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(RtcctlError):
    """Flags, environment or files are wrong; nothing was sent."""

    exit_status = ExitStatus.USAGE


class AuthError(RtcctlError):
    """The service refused the credentials (HTTP 401, 403)."""

    exit_status = ExitStatus.AUTH

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        code: str | None = None,
        ray: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.ray = ray


class ApiError(RtcctlError):
    """The Realtime API said no, for a request or for one item of it.

    `status` is the HTTP status (200 for an item's error), `code` the `errorCode`, `subcode` the undocumented
    `errorSubcode`, `description` the `errorDescription`, `request` the method and path, `ray` the Cf-Ray.
    """

    exit_status = ExitStatus.API

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        code: str | None = None,
        subcode: str | None = None,
        description: str | None = None,
        request: str | None = None,
        ray: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.subcode = subcode
        self.description = description
        self.request = request
        self.ray = ray
        self.retry_after_s = retry_after_s

    @property
    def is_gone(self) -> bool:
        """The session no longer exists (HTTP 410): make a new one, never retry."""
        return self.status == 410


class NetworkError(RtcctlError):
    """The API or the peer cannot be reached. `phase` is one of dns, tcp, tls, http, ice, dtls, media, sctp, turn.

    `is_unanswered`: a request had been sent, and its answer is lost: what it asks for may have been done.
    """

    exit_status = ExitStatus.NETWORK

    def __init__(self, message: str, *, phase: str, hint: str = "", is_unanswered: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.phase = phase
        self.is_unanswered = is_unanswered


class DeadlineError(RtcctlError):
    """`awaited` did not happen within `after_s` seconds. `is_unanswered`: as of a `NetworkError`."""

    exit_status = ExitStatus.DEADLINE

    def __init__(
        self, message: str, *, awaited: str, after_s: float, hint: str = "", is_unanswered: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.awaited = awaited
        self.after_s = after_s
        self.is_unanswered = is_unanswered


class InconclusiveError(RtcctlError):
    """This machine could not send or measure properly, so nothing is known about the service."""

    exit_status = ExitStatus.INCONCLUSIVE


class ParseError(ValueError):
    """Malformed input: what was expected, and at which offset (bytes, or characters of a text).

    Errors belong to the sender: every parser of hostile input raises this and nothing else.
    """

    def __init__(self, expected: str, *, offset: int = 0) -> None:
        super().__init__(f"expected {expected} at offset {offset}")
        self.expected = expected
        self.offset = offset
