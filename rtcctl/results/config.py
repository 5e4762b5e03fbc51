"""Results of `config …`."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of the profile in use; of a secret only whether it is there."""

    name: str
    value: str | None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileName:
    """One profile that a file defines, or that rtcctl brings along."""

    name: str
    api_base: str
    app_id: str
    used: bool
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigShow(Result):
    """`config show`: the profile in use, setting by setting, and the profiles there are."""

    schema: ClassVar[str] = "rtcctl.config.show/1"

    profile: str
    chosen_by: str
    "A flag, a variable, a file, or `default`."
    settings: tuple[Setting, ...]
    profiles: tuple[ProfileName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigPath(Result):
    """`config path`: the files and folders that are read and written."""

    schema: ClassVar[str] = "rtcctl.config.path/1"

    config: str
    project: str | None
    secrets: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigUse(Result):
    """`config use`: the profile that is used from now on, and the file that says so."""

    schema: ClassVar[str] = "rtcctl.config.use/1"

    profile: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One line to paste; `None`: a secret that was not asked for."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigEnv(Result):
    """`config env`: a profile as environment variables."""

    schema: ClassVar[str] = "rtcctl.config.env/1"

    profile: str
    variables: tuple[Variable, ...]
    names: str = "rtcctl"
    "Whose: `rtcctl`, `examples` or `meet`."


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretStored(Result):
    """`config secret set`: where the secret is now."""

    schema: ClassVar[str] = "rtcctl.config.secret.set/1"

    profile: str
    kind: str
    path: str
    "A file, or `keyring`."
