"""Profiles in files: find, list, add, choose, and give one its secrets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtcctl.config import secretstore
from rtcctl.config.folders import (
    config_path,
    is_there,
    project_path,
    require_private,
    require_writable,
    secrets_path,
    state_dir,
    unwritable,
    write_private,
)
from rtcctl.config.rules import ENV, LOCAL, checked_api_base, checked_name
from rtcctl.errors import UsageError
from rtcctl.realtime.profile import CLOUDFLARE_ACCOUNT_API_BASE, CLOUDFLARE_API_BASE

if TYPE_CHECKING:
    from rtcctl.config.tables import ProfilesFile, ProfileTable


@dataclass(frozen=True, slots=True)
class KnownProfile:
    """A profile that a file defines, without its secrets."""

    name: str
    api_base: str
    app_id: str
    origin: str
    "The file."
    is_chosen: bool
    "Used when neither flag nor environment says otherwise."


@dataclass(frozen=True, slots=True)
class Layer:
    """One file; `None` where there is none."""

    path: Path
    file: ProfilesFile | None

    @property
    def chosen(self) -> str | None:
        """The profile it says to use."""
        return self.file.profile if self.file is not None else None

    @property
    def profiles(self) -> Mapping[str, ProfileTable]:
        return self.file.profiles if self.file is not None else {}


@dataclass(frozen=True, slots=True)
class Files:
    """The user's file and the project's."""

    user: Layer
    project: Layer
    secrets_path: Path

    @classmethod
    def load(cls, environ: Mapping[str, str], cwd: Path | None) -> Files:
        """Raises `UsageError` for what cannot be read or is wrong."""
        user = _layer(config_path(environ))
        project = project_path(cwd)
        if project is not None and user.file is not None and project.resolve() == user.path.resolve():
            project = None
        return cls(user, _layer(project) if project else Layer(Path("rtcctl.toml"), None), secrets_path(environ))

    @property
    def chosen(self) -> tuple[str, str] | None:
        """(profile, the file that says so): the project's word goes before the user's."""
        for layer in (self.project, self.user):
            if layer.chosen is not None:
                if not layer.chosen.strip():
                    raise UsageError(f"{layer.path}: profile is empty.", hint="Name a profile, or take the line out.")
                return layer.chosen, str(layer.path)
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """Every profile that a file defines."""
        return tuple(sorted({*self.user.profiles, *self.project.profiles}))

    def find(self, name: str) -> tuple[ProfileTable, Path] | None:
        """The definition of a profile and its file.

        Both files may define it only if they agree: else the project's would direct the user's secrets elsewhere, or
        pair an App ID of one with the secret of the other.
        """
        ours, theirs = self.user.profiles.get(name), self.project.profiles.get(name)
        if ours is not None and theirs is not None:
            for setting in ("api_base", "app_id", "turn_key_id", "account_id", "account_api_base"):
                if getattr(ours, setting) != getattr(theirs, setting):
                    raise UsageError(
                        f"Profile {name} is defined by {self.user.path} and by {self.project.path}, with another "
                        f"{setting}: secrets of the one are not used for the other.",
                        hint="Rename one of them, or take it out.",
                    )
        if ours is not None:
            return ours, self.user.path
        return (theirs, self.project.path) if theirs is not None else None

    def unknown(self, name: str, origin: str) -> UsageError:
        """The error for a profile that nobody defines."""
        known = ", ".join((*self.names, LOCAL, ENV))
        return UsageError(
            f"There is no profile {name!r} ({origin}).", hint=f"Known: {known}. Add one: rtcctl config add NAME"
        )


def _layer(path: Path) -> Layer:
    # Nothing there, nothing loaded: reading costs more than most commands do.
    if not is_there(path):
        return Layer(path, None)
    from rtcctl.config.tables import ProfilesFile

    file = ProfilesFile.load(path)
    if any(table.has_secrets for table in file.profiles.values()):
        require_private(path)
    return Layer(path, file)


def list_profiles(*, environ: Mapping[str, str] = os.environ, cwd: Path | None = None) -> tuple[KnownProfile, ...]:
    """What the files define, by name."""
    files = Files.load(environ, cwd)
    chosen = files.chosen
    known = []
    for name in files.names:
        found = files.find(name)
        assert found is not None
        table, path = found
        known.append(
            KnownProfile(
                name=name,
                api_base=table.api_base,
                app_id=table.app_id,
                origin=str(path),
                is_chosen=chosen is not None and chosen[0] == name,
            )
        )
    return tuple(known)


def add_profile(
    name: str,
    *,
    app_id: str,
    api_base: str = CLOUDFLARE_API_BASE,
    turn_key_id: str = "",
    account_id: str = "",
    account_api_base: str = CLOUDFLARE_ACCOUNT_API_BASE,
    replace: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Define a profile in the user's file; the first one is chosen too. Returns the file.

    Secrets are stored apart, by `store_secret`. Raises `UsageError`.
    """
    from rtcctl.config import toml

    checked_name(name)
    table = {
        "api_base": checked_api_base(api_base, "--api-base"),
        "app_id": app_id.strip(),
        "turn_key_id": turn_key_id.strip(),
        "account_id": account_id.strip(),
    }
    if account_id.strip() and account_api_base != CLOUDFLARE_ACCOUNT_API_BASE:
        table["account_api_base"] = checked_api_base(account_api_base, "the account API's base")
    layer = _layer(config_path(environ))
    if name in layer.profiles and not replace:
        raise UsageError(f"{layer.path} already has a profile {name}.", hint="Choose another name.")
    text = _text(layer.path)
    text = toml.with_table(text, ("profiles", name), {key: value for key, value in table.items() if value})
    if not layer.profiles and layer.chosen is None:
        text = toml.with_top_level(text, "profile", name)
    _write(layer.path, text)
    _write_names((*layer.profiles, name), environ)
    return layer.path


def use_profile(name: str, *, environ: Mapping[str, str] = os.environ, cwd: Path | None = None) -> Path:
    """Choose a profile in the user's file. Returns the file; raises `UsageError`."""
    from rtcctl.config import toml

    files = Files.load(environ, cwd)
    if name == ENV:
        raise UsageError(
            "The profile env needs no choosing: it is used when the environment holds credentials.",
            hint="Set RTCCTL_APP_ID and RTCCTL_APP_SECRET.",
        )
    if name != LOCAL and files.find(name) is None:
        raise files.unknown(name, "config use")
    _write(files.user.path, toml.with_top_level(_text(files.user.path), "profile", name))
    _write_names(files.user.profiles, environ)
    return files.user.path


def store_secret(
    profile: str,
    kind: str,
    secret: str,
    *,
    environ: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
) -> str:
    """Keep a secret of a profile for its API base: in the keyring, else in a 0600 file. Returns where.

    `kind` is `app`, `turn` or `account`. Raises `UsageError`.
    """
    if kind not in secretstore.KINDS:
        raise UsageError(f"{kind!r} is no kind of secret.", hint=f"Kinds: {', '.join(secretstore.KINDS)}.")
    secret = secret.strip()
    if not secret:
        raise UsageError("The secret is empty.", hint="Give it on standard input, or when asked.")
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise UsageError("The secret holds spaces or characters that no secret has.", hint="Was more copied with it?")
    files = Files.load(environ, cwd)
    found = files.find(profile)
    if found is None:
        if profile in (LOCAL, ENV):
            raise UsageError(
                f"The profile {profile} keeps no secrets of its own.",
                hint="Add a profile first: rtcctl config add NAME",
            )
        raise files.unknown(profile, "config secret set")
    table, path = found
    if getattr(table, secretstore.KINDS[kind]):
        raise UsageError(f"{path} itself holds this secret.", hint="Change it there, or take it out first.")
    api_base = table.secret_bases(str(path))[kind]
    return secretstore.store(files.secrets_path, profile, kind, secret, api_base)


_IDS = {"app": "app_id", "turn": "turn_key_id"}


def require_free(profile: str, kind: str, *, environ: Mapping[str, str] = os.environ, cwd: Path | None = None) -> None:
    """Raise `UsageError` unless `fill` could give the profile its first app (`app`) or TURN key (`turn`) now."""
    files = Files.load(environ, cwd)
    found = files.find(profile)
    if found is None and profile not in (LOCAL, ENV):
        raise files.unknown(profile, "--profile")
    if found is None or found[1] != files.user.path:
        raise UsageError(
            f"Profile {profile} is not of {files.user.path}, so it cannot be given what is new.",
            hint="--secret-to FILE, or a profile of yours: rtcctl config add NAME",
        )
    table, path = found
    stored = secretstore.load(files.secrets_path, profile, table.secret_bases(str(path)))
    secret = secretstore.KINDS[kind]
    if getattr(table, _IDS[kind]) or getattr(table, secret) or secret in stored:
        what = {"app": "an app", "turn": "a TURN key"}[kind]
        raise UsageError(
            f"Profile {profile} has {what} already, whose secret would be lost.",
            hint="--secret-to FILE, or a profile without one.",
        )
    require_writable(files.user.path)
    require_writable(files.secrets_path)


def fill(
    profile: str,
    kind: str,
    identifier: str,
    secret: str,
    *,
    environ: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
) -> str:
    """Give a profile of the user's file its app or TURN key. Returns where the secret is; raises `UsageError`."""
    from rtcctl.config import toml

    require_free(profile, kind, environ=environ, cwd=cwd)
    origin = store_secret(profile, kind, secret, environ=environ, cwd=cwd)
    path = config_path(environ)
    _write(path, toml.with_value(_text(path), ("profiles", profile), _IDS[kind], identifier))
    return origin


def _write_names(names: Iterable[str], environ: Mapping[str, str]) -> None:
    """Renew the plain file that shells complete profile names from; without it completion is poorer, nothing else."""
    with suppress(OSError):
        write_private(state_dir(environ) / "profiles", "".join(f"{name}\n" for name in sorted({*names, LOCAL, ENV})))


def _text(path: Path) -> str:
    return path.read_text("utf-8") if is_there(path) else ""


def _write(path: Path, text: str) -> None:
    import tomllib

    tomllib.loads(text)  # What is written can be read again.
    try:
        write_private(path, text)
    except OSError as exc:
        raise unwritable(path, exc) from exc
