"""Results of `config check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretCheck:
    """One secret of a profile: where it came from, whether the service takes it, and what it allows."""

    kind: str
    "`app`, `turn` or `account`."
    origin: str
    "For example `environment RTCCTL_APP_SECRET`, `keyring`, a file."
    accepted: bool | None
    "`None`: not configured, or the service could not be asked."
    allows: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigCheck(Result):
    """`config check`: one row per secret."""

    schema: ClassVar[str] = "rtcctl.config.check/1"

    secrets: tuple[SecretCheck, ...] = ()
