"""Results of `turn creds`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True)
class IceServer:
    """One entry of `RTCConfiguration.iceServers`."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCreds(Result):
    """`turn creds`: short-lived credentials; the API names no expiry, so rtcctl adds it."""

    schema: ClassVar[str] = "rtcctl.turn.creds/1"

    ice_servers: tuple[IceServer, ...]
    ttl_s: int
    expires_at: float
    "Wall clock, seconds since the epoch."
    relays: bool
    "False when no URL is a TURN URL: nothing can be relayed."
    custom_identifier: str | None = None
