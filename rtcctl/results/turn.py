"""Results and events of `turn creds | list | revoke | refresh`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from rtcctl.results.event import Event
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

    @property
    def username(self) -> str | None:
        """Of the credential; `None` where no server takes one."""
        return next((server.username for server in self.ice_servers if server.username), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCredentialRecord:
    """A credential that this machine issued, from the journal, which does not know its password."""

    username: str
    key_id: str
    profile: str
    issued_at: float
    "Wall clock, seconds since the epoch; so is the next."
    expires_at: float
    "When it ends or has ended, by itself or by being revoked."
    remaining_s: float
    custom_identifier: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnList(Result):
    """`turn list`: the local journal (the API has no list)."""

    schema: ClassVar[str] = "rtcctl.turn.list/1"

    credentials: tuple[TurnCredentialRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedCredential:
    """What became of one credential that was to be revoked."""

    username: str
    source: str
    "Who knew it: `journal`, `analytics`, or nobody but the `caller`."
    outcome: str
    "`revoked`, `failed`, or `pending` when the command was interrupted before."
    custom_identifier: str | None = None
    refused_after_s: float | None = None
    "From the API's answer to the server's refusal, with `--verify`."
    description: str | None = None
    "Why it failed."


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRevoke(Result):
    """`turn revoke`.

    `analytics` is `asked`, `not-configured`, `not-served`, `failed`, or `None` where it was not needed.
    """

    schema: ClassVar[str] = "rtcctl.turn.revoke/1"

    credentials: tuple[RevokedCredential, ...] = ()
    custom_identifier: str | None = None
    analytics: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsFile(Event):
    """What `turn refresh` has put into its file."""

    path: str
    username: str
    expires_at: float
    "Wall clock, seconds since the epoch; so is the next."
    renewal_at: float
    "When the next ones are asked for."


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsWritten(CredentialsFile):
    """The first ones: from now on the file can be used."""

    event: ClassVar[str] = "credentials_written"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsRenewed(CredentialsFile):
    """Those before are still valid, for a fifth of their lifetime."""

    event: ClassVar[str] = "credentials_renewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRefresh(Result):
    """`turn refresh`, when it was stopped."""

    schema: ClassVar[str] = "rtcctl.turn.refresh/1"

    path: str
    username: str
    "Of the credential that the file holds."
    expires_at: float
    "Of the same; wall clock, seconds since the epoch."
    renewals: int = 0
    "How often the file was replaced since it was first written."
