"""Results of `app …` and `turn key …`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountItem:
    """An app or a TURN key of the account, without its secret."""

    id: str
    "App ID, or TURN key id."
    name: str
    created_at: float | None
    "Wall clock, seconds since the epoch."
    modified_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppList(Result):
    """`app list`."""

    schema: ClassVar[str] = "rtcctl.app.list/1"

    apps: tuple[AccountItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnKeyList(Result):
    """`turn key list`."""

    schema: ClassVar[str] = "rtcctl.turn.key.list/1"

    turn_keys: tuple[AccountItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OneItem(Result):
    """One app or TURN key, as `AccountItem`."""

    id: str
    name: str
    created_at: float | None
    modified_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppGet(OneItem):
    """`app get`."""

    schema: ClassVar[str] = "rtcctl.app.get/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnKeyGet(OneItem):
    """`turn key get`."""

    schema: ClassVar[str] = "rtcctl.turn.key.get/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppUpdate(OneItem):
    """`app update`: what it is now."""

    schema: ClassVar[str] = "rtcctl.app.update/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnKeyUpdate(OneItem):
    """`turn key update`: what it is now."""

    schema: ClassVar[str] = "rtcctl.turn.key.update/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppDelete(OneItem):
    """`app delete`: what it was."""

    schema: ClassVar[str] = "rtcctl.app.delete/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnKeyDelete(OneItem):
    """`turn key delete`: what it was."""

    schema: ClassVar[str] = "rtcctl.turn.key.delete/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedItem(OneItem):
    """A new app or TURN key. The command's purpose is to hand out its secret, which is shown this once."""

    secret: str | None = field(repr=False)
    "The App Secret, or the token of the TURN key; `None` when it was stored."
    stored_in: str | None = None
    "`keyring`, or a file."
    usage: tuple[str, ...] = ()
    "Lines by which it is used from where it was stored."


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCreate(CreatedItem):
    """`app create`."""

    schema: ClassVar[str] = "rtcctl.app.create/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnKeyCreate(CreatedItem):
    """`turn key create`."""

    schema: ClassVar[str] = "rtcctl.turn.key.create/1"
