"""Which profile a command uses, and where each of its settings comes from.

Flag, then `RTCCTL_PROFILE`, then credentials in the environment, then the project's file, then the user's file decide
which profile; all of it then comes from that one source. Nothing recognised at all means `local`, the embedded server
of this machine. Anything that looks like a mistake on the way to another profile is an error instead: a CI job whose
secret is missing must not pass because it has tested the embedded server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from rtcctl.config import environment, secretstore
from rtcctl.config.discovery import running_servers
from rtcctl.config.folders import state_dir
from rtcctl.config.profiles import Files
from rtcctl.config.rules import ENV, LOCAL, checked_api_base, is_unprotected
from rtcctl.errors import UsageError
from rtcctl.realtime.development import (
    ACCOUNT_PREFIX,
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_ACCOUNT_TOKEN,
    DEVELOPMENT_APP_ID,
    DEVELOPMENT_APP_SECRET,
    DEVELOPMENT_PORT,
    DEVELOPMENT_TURN_KEY_ID,
    DEVELOPMENT_TURN_KEY_TOKEN,
)
from rtcctl.realtime.profile import CLOUDFLARE_ACCOUNT_API_BASE, CLOUDFLARE_API_BASE, Profile

DEVELOPMENT_API_BASE = f"http://127.0.0.1:{DEVELOPMENT_PORT}/v1"
DEVELOPMENT_ACCOUNT_API_BASE = f"http://127.0.0.1:{DEVELOPMENT_PORT}{ACCOUNT_PREFIX}"

SETTINGS = tuple(f.name for f in fields(Profile) if f.name not in ("name", "is_embedded", "ca_file"))
"What a file can set."

DEFAULT = "default"
"Origin of a value that nobody set."


@dataclass(frozen=True, slots=True)
class Resolution:
    """A profile ready for use."""

    profile: Profile
    origins: dict[str, str] = field(default_factory=dict)
    "Setting of the profile → where it came from; settings without a value are absent."
    ignored: tuple[str, ...] = ()
    "Variables that are set and were not used."
    warnings: tuple[str, ...] = ()


def resolve(name: str | None = None, *, environ: Mapping[str, str] = os.environ, cwd: Path | None = None) -> Resolution:
    """The profile that a command is to use; `name` is that of `--profile`. Raises `UsageError`."""
    present = environment.present(environ)
    origin = "--profile"
    if name is None and environment.PROFILE in environ:
        name, origin = environ[environment.PROFILE], environment.PROFILE
    elif environ.get(environment.PROFILE) not in (None, name):
        present = (environment.PROFILE, *present)
    if name is not None:
        name = name.strip()
        if not name:
            raise UsageError(f"{origin} is empty.", hint="Name a profile, or leave it out: rtcctl config show")
        if name == ENV:
            return _from_environment(environ, origin)
        return _named(name, origin, environ, cwd, present)
    if not present:
        chosen = _chosen_by_files(Files.load(environ, cwd))
        return _named(*(chosen or (LOCAL, DEFAULT)), environ, cwd, ())
    values = environment.read(environ)
    if not any(name in values for family in environment.APP for name in family.variables.values()):
        # A TURN key or an account token alone: another tool's, when a file says which profile to use.
        chosen = _chosen_by_files(Files.load(environ, cwd))
        if chosen is not None:
            return _named(*chosen, environ, cwd, present)
    return _from_environment(environ, "environment")


def _chosen_by_files(files: Files) -> tuple[str, str] | None:
    if files.chosen is None and files.names:
        raise UsageError(
            f"No profile is chosen among {', '.join(files.names)}.",
            hint="rtcctl config use NAME, or --profile NAME (local for the embedded server)",
        )
    return files.chosen


def _named(
    name: str, origin: str, environ: Mapping[str, str], cwd: Path | None, ignored: tuple[str, ...]
) -> Resolution:
    if name == LOCAL:
        return _local(origin, environ, ignored)
    files = Files.load(environ, cwd)
    found = files.find(name)
    if found is None:
        raise files.unknown(name, origin)
    table, path = found
    values = {
        setting: (value, str(path) if setting in table.model_fields_set else DEFAULT)
        for setting in SETTINGS
        if (value := getattr(table, setting))
    }
    stored = secretstore.load(files.secrets_path, name, table.secret_bases(str(path)))
    return _resolution(name, origin, {**stored, **values}, ignored)


def _from_environment(environ: Mapping[str, str], origin: str) -> Resolution:
    values = environment.read(environ)
    families = [environment.choose(group, values) for group in (environment.APP, environment.TURN, environment.ACCOUNT)]
    used = {
        setting: name
        for family in families
        if family is not None
        for setting, name in family.variables.items()
        if name in values
    }
    if not used:
        raise UsageError(
            f"The environment holds no credentials for the profile {ENV} ({origin}).",
            hint="Set RTCCTL_APP_ID and RTCCTL_APP_SECRET.",
        )
    settings = {setting: (values[name], f"environment {name}") for setting, name in used.items()}
    # What says the same under another tool's name is not lost.
    same = {
        name
        for family in (*environment.APP, *environment.TURN, *environment.ACCOUNT)
        for setting, name in family.variables.items()
        if setting in settings and values.get(name) == settings[setting][0]
    }
    ignored = tuple(name for name in values if name not in same)
    return _resolution(ENV, origin, settings, ignored)


def _local(origin: str, environ: Mapping[str, str], ignored: tuple[str, ...]) -> Resolution:
    """The newest running embedded server; with none, the address and credentials that one would have by default."""
    servers = running_servers(state_dir(environ))
    if servers:
        server = servers[0]
        settings = {
            setting: (value, str(server.path))
            for setting, value in (
                ("api_base", server.base_url),
                ("app_id", server.app_id),
                ("app_secret", server.app_secret),
                ("turn_key_id", server.turn_key_id),
                ("turn_key_token", server.turn_key_token),
                ("ca_file", server.ca_file),
                ("account_id", server.account_id),
                ("account_token", server.account_token),
                ("account_api_base", server.account_api_base),
            )
            if value
        }
    else:
        settings = {
            setting: (value, DEFAULT)
            for setting, value in (
                ("api_base", DEVELOPMENT_API_BASE),
                ("app_id", DEVELOPMENT_APP_ID),
                ("app_secret", DEVELOPMENT_APP_SECRET),
                ("turn_key_id", DEVELOPMENT_TURN_KEY_ID),
                ("turn_key_token", DEVELOPMENT_TURN_KEY_TOKEN),
                ("account_id", DEVELOPMENT_ACCOUNT_ID),
                ("account_token", DEVELOPMENT_ACCOUNT_TOKEN),
                ("account_api_base", DEVELOPMENT_ACCOUNT_API_BASE),
            )
        }
    return _resolution(LOCAL, origin, settings, ignored)


def _resolution(
    name: str, origin: str, settings: Mapping[str, tuple[str, str]], ignored: tuple[str, ...]
) -> Resolution:
    defaults = {"api_base": (CLOUDFLARE_API_BASE, DEFAULT)}
    if "account_id" in settings:
        defaults["account_api_base"] = (CLOUDFLARE_ACCOUNT_API_BASE, DEFAULT)
    settings = {**defaults, **settings}
    values = {
        setting: checked_api_base(value, origin) if setting.endswith("api_base") else value
        for setting, (value, origin) in settings.items()
    }
    # No app of Cloudflare's has this id: the embedded server is the other end whatever the profile's name.
    is_embedded = name == LOCAL or values.get("app_id") == DEVELOPMENT_APP_ID
    profile = Profile(name=name, is_embedded=is_embedded, **values)
    warnings = tuple(
        f"The secrets of profile {name} travel unencrypted to {base}."
        for secret, base in (
            (profile.app_secret, profile.api_base),
            (profile.account_token, profile.account_api_base),
        )
        if secret and is_unprotected(base)
    )
    origins = {"name": origin} | {setting: settings[setting][1] for setting in SETTINGS if setting in settings}
    return Resolution(profile, origins, ignored, warnings)
