"""The variables rtcctl reads: its own, and those that other tools of Cloudflare Realtime already use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rtcctl.config.rules import ENV
from rtcctl.errors import UsageError

PROFILE = "RTCCTL_PROFILE"


@dataclass(frozen=True, slots=True)
class Family:
    """Variables that belong together: setting of a profile → variable. `optional` ones may be missing."""

    variables: dict[str, str]
    optional: frozenset[str] = field(default_factory=frozenset)


def _app(app_id: str, app_secret: str, api_base: str) -> Family:
    return Family({"app_id": app_id, "app_secret": app_secret, "api_base": api_base}, frozenset({"api_base"}))


# Ours first, then the official examples, then orange/meet. Of each tuple one family is used, whole.
APP = (
    _app("RTCCTL_APP_ID", "RTCCTL_APP_SECRET", "RTCCTL_API_BASE"),
    _app("REALTIME_SFU_APP_ID", "REALTIME_SFU_BEARER_TOKEN", "SFU_API_BASE"),
    _app("CALLS_APP_ID", "CALLS_APP_SECRET", "CALLS_API_URL"),
)
TURN = tuple(
    Family({"turn_key_id": id_, "turn_key_token": token})
    for id_, token in (
        ("RTCCTL_TURN_KEY_ID", "RTCCTL_TURN_KEY_TOKEN"),
        ("TURN_KEY_ID", "TURN_KEY_API_TOKEN"),
        ("TURN_SERVICE_ID", "TURN_SERVICE_TOKEN"),
    )
)
ACCOUNT = tuple(
    Family({"account_id": id_, "account_token": token, "account_api_base": base}, frozenset({"account_api_base"}))
    for id_, token, base in (
        ("RTCCTL_ACCOUNT_ID", "RTCCTL_ACCOUNT_TOKEN", "RTCCTL_ACCOUNT_API_BASE"),
        ("CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_BASE_URL"),
    )
)

CREDENTIALS = tuple(name for family in (*APP, *TURN, *ACCOUNT) for name in family.variables.values())
"Every variable that can be part of the profile `env`."


def present(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The credential variables that are there, empty ones too, in a fixed order."""
    return tuple(name for name in CREDENTIALS if name in environ)


def read(environ: Mapping[str, str]) -> dict[str, str]:
    """The credential variables with their values; raises `UsageError` for an empty one."""
    values = {name: environ[name].strip() for name in present(environ)}
    empty = [name for name, value in values.items() if not value]
    if empty:
        raise UsageError(
            f"{' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty.",
            hint="A secret that a CI job does not get is empty. Set it, unset it, or choose with --profile NAME.",
        )
    return values


def choose(families: tuple[Family, ...], values: Mapping[str, str]) -> Family | None:
    """The first family of which anything is set; raises `UsageError` when part of it is missing."""
    for family in families:
        there = [name for name in family.variables.values() if name in values]
        if not there:
            continue
        missing = [
            name for setting, name in family.variables.items() if name not in values and setting not in family.optional
        ]
        if missing:
            raise UsageError(
                f"{_listed(there)} set, but {_listed(missing)} not: they belong together.",
                hint="Set both, or unset them, or choose with --profile NAME.",
            )
        return family
    return None


def for_command(settings: Mapping[str, str]) -> dict[str, str]:
    """An app and, where settings have them, a TURN key and an account, by every name by which tools look for them.

    And the word that rtcctl uses them.
    """
    families = (
        *APP,
        *(TURN if settings.get("turn_key_id") else ()),
        *(ACCOUNT if "account_id" in settings else ()),
    )
    return {
        PROFILE: ENV,
        **{name: settings[setting] for family in families for setting, name in family.variables.items()},
    }


def _listed(names: list[str]) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"
