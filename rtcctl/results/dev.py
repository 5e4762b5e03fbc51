"""Result and event of `dev`, the embedded server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rtcctl.results.event import Event
from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReady(Event):
    """The server answers. The command's purpose is to hand out its credentials, so they are shown."""

    event: ClassVar[str] = "server_ready"
    base_url: str
    app_id: str
    app_secret: str
    turn_key_id: str
    turn_key_token: str
    pid: int
    media_addresses: tuple[str, ...]
    "`ip:port` of each host candidate."
    development_credentials: bool
    "True for the fixed, public ones that only ever work on loopback."
    environment: tuple[tuple[str, str], ...]
    "Variables to paste, in order."


@dataclass(frozen=True, slots=True, kw_only=True)
class Dev(Result):
    """`dev`, when it has ended."""

    schema: ClassVar[str] = "rtcctl.dev/1"

    base_url: str
    served_s: float
