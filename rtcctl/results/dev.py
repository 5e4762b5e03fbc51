"""Result and event of `dev`, the embedded server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rtcctl.results.event import Event
from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True)
class ServedApp:
    """An app of the server, without its secret."""

    app_id: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReady(Event):
    """The server answers. The command's purpose is to hand out its credentials, so they are shown.

    Those that the user keeps in a file of their own (`--apps`) are `None` here.
    """

    event: ClassVar[str] = "server_ready"
    base_url: str
    app_id: str
    "Of the first app, which is that of the profile `local`."
    app_secret: str | None
    turn_key_id: str
    turn_key_token: str | None
    pid: int
    media_addresses: tuple[str, ...]
    "`ip:port` of each candidate, best first."
    development_credentials: bool
    "True for the fixed, public ones that only ever work on loopback."
    environment: tuple[tuple[str, str], ...]
    "Variables to paste, in order; none when their secrets are not shown."
    apps: tuple[ServedApp, ...] = ()
    "All of them."
    apps_file: str | None = None
    "Where their secrets are, when they are the user's own."
    time_scale: float = 1.0
    "What the timers of the service are multiplied by."
    seed: int | None = None
    "Of session ids and names of discovered tracks."
    account_id: str
    account_token: str
    account_api_base: str
    ca_file: str | None = None
    "The authority to trust, for HTTPS and for TURN over TLS; none where it speaks neither."
    turn: str | None = None
    "What relays: `coturn`. `None`: nothing does, as it is not installed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Dev(Result):
    """`dev`, when it has ended."""

    schema: ClassVar[str] = "rtcctl.dev/1"

    base_url: str
    served_s: float
    command_status: int | None = None
    "Of the command that it was run around; 128 + n when signal n ended that."

    @property
    def exit_status(self) -> int:
        """That of the command, where the server did not fail."""
        return self.failure.exit_status if self.failure is not None else self.command_status or 0
