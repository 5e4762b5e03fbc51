"""What every operation returns: a frozen dataclass with a schema name, a target and checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rtcctl.errors import ApiError, AuthError, ExitStatus, NetworkError, RtcctlError
from rtcctl.results.check import Check, exit_status_of
from rtcctl.results.target import Target


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that ended an operation after it had begun, kept beside what was measured until then."""

    exit_status: int
    message: str
    hint: str = ""
    status: int | None = None
    "HTTP status, when the API refused."
    code: str | None = None
    "`errorCode` of the API."
    phase: str | None = None
    "Where the network failed: dns, tcp, tls, http, ice, dtls, media."
    ray: str | None = None

    @classmethod
    def of(cls, error: RtcctlError) -> Failure:
        """What a result keeps of an error."""
        return cls(
            exit_status=int(error.exit_status),
            message=error.message,
            hint=error.hint,
            status=error.status if isinstance(error, ApiError | AuthError) else None,
            code=error.code if isinstance(error, ApiError | AuthError) else None,
            phase=error.phase if isinstance(error, NetworkError) else None,
            ray=error.ray if isinstance(error, ApiError | AuthError) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Base of all results. Within a schema version keys are only added; unknown is `None`."""

    schema: ClassVar[str]
    "For example `rtcctl.track.subscribe/1`."

    target: Target | None = None
    checks: tuple[Check, ...] = ()
    failure: Failure | None = None
    interrupted: bool = False

    @property
    def exit_status(self) -> int:
        """Of the failure that ended it, else of its checks (an interruption's own status is the runner's)."""
        if self.failure is not None:
            return self.failure.exit_status
        return exit_status_of(self.checks)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Median and tail of a distribution."""

    p50: float
    p95: float
    p99: float


__all__ = ["ExitStatus", "Failure", "Percentiles", "Result"]
