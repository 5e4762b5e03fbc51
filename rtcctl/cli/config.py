"""`rtcctl config …`."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli.noun import noun
from rtcctl.cli.options import Common, command
from rtcctl.cli.run import Face, present, run, said_of
from rtcctl.report.variables import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtcctl.cli.output import Streams
    from rtcctl.config import Resolution
    from rtcctl.realtime.curl import ApiCall
    from rtcctl.realtime.profile import Profile
    from rtcctl.results.config import ConfigEnv, ConfigPath, ConfigShow, ConfigUse, SecretStored

app = noun("Profiles and secrets.")
secret_app = noun("Secrets of profiles.")
app.add_typer(secret_app, name="secret")

NewName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the profile.", show_default=False)]


class SecretKind(StrEnum):
    """The secrets that a profile can have; none can stand in for another."""

    APP = "app"
    TURN = "turn"
    ACCOUNT = "account"


class VariableNames(StrEnum):
    """Whose names variables have."""

    RTCCTL = "rtcctl"
    EXAMPLES = "examples"
    MEET = "meet"


@command(app, profile=False)
def add(
    name: NewName,
    common: Common,
    from_env: Annotated[bool, typer.Option("--from-env", help="Take everything from the environment.")] = False,
    app_id: Annotated[
        str | None, typer.Option("--app-id", metavar="ID", help="App ID; asked for without it.", show_default=False)
    ] = None,
    api_base: Annotated[
        str | None,
        typer.Option("--api-base", metavar="URL", help="API base; Cloudflare's without it.", show_default=False),
    ] = None,
    turn_key_id: Annotated[
        str | None, typer.Option("--turn-key-id", metavar="ID", help="Id of a TURN key.", show_default=False)
    ] = None,
    account_id: Annotated[
        str | None, typer.Option("--account-id", metavar="ID", help="Account ID.", show_default=False)
    ] = None,
) -> int:
    """Add a profile: ask for its secrets, verify them against the API, store them.

    Secrets are asked for without echo and are never options; --from-env takes them from RTCCTL_APP_SECRET and so on.
    """
    from rtcctl.cli import new_profile
    from rtcctl.config import Resolution

    new_profile.require_new(name)
    given = new_profile.Given(app_id=app_id, api_base=api_base, turn_key_id=turn_key_id, account_id=account_id)
    profile = new_profile.from_environment(name, given) if from_env else new_profile.ask(name, given)
    origins = dict.fromkeys(("app_secret", "turn_key_token", "account_token"), "environment" if from_env else "asked")
    return run(new_profile.verify_and_store, origins, common, _check_face("config add", Resolution(profile, origins)))


@command(app, profile=False)
def use(name: NewName, common: Common) -> int:
    """Choose the profile to use where neither flag nor environment says."""

    def work(streams: "Streams") -> "ConfigUse":
        from rtcctl import config
        from rtcctl.results.config import ConfigUse

        return ConfigUse(profile=name, path=str(config.use_profile(name)))

    return present(work, common, Face(name="config use"))


@command(app)
def show(
    common: Common,
    origin: Annotated[bool, typer.Option("--origin", help="Where each value comes from.")] = False,
) -> int:
    """Show the profile in use, and the ones there are."""

    def work(streams: "Streams") -> "ConfigShow":
        from rtcctl import config
        from rtcctl.results.config import ConfigShow, ProfileName, Setting

        resolution = _resolve(common, streams)
        profile = resolution.profile
        settings = [
            Setting(
                name=key,
                value=("set" if key in _SECRETS else value) if (value := _value(profile, key)) else None,
                origin=resolution.origins.get(key) if origin else None,
            )
            for key in _VARIABLES
        ]
        known = config.list_profiles()
        _note_names([profile.name for profile in known])
        return ConfigShow(
            profile=profile.name,
            chosen_by=resolution.origins["name"],
            settings=tuple(settings),
            profiles=tuple(
                ProfileName(name=k.name, api_base=k.api_base, app_id=k.app_id, used=k.is_chosen, origin=k.origin)
                for k in known
            ),
        )

    return present(work, common, Face(name="config show"))


@command(app)
def check(common: Common) -> int:
    """Try each secret of the profile: accepted, and for what?"""
    from rtcctl import config
    from rtcctl.ops import config as operations

    resolution = config.resolve(common.profile)
    request = operations.CheckRequest(resolution.origins)
    return run(operations.check, request, common, _check_face("config check", resolution))


@command(app)
def env(
    common: Common,
    as_: Annotated[Shape, typer.Option("--as", help="Lines to eval, lines of .env and .dev.vars, or JSON.")] = (
        Shape.SHELL
    ),
    names: Annotated[
        VariableNames,
        typer.Option("--names", help="Whose: rtcctl's, the official examples', orange/meet's."),
    ] = VariableNames.RTCCTL,
    with_secrets: Annotated[bool, typer.Option("--with-secrets", help="Print the secrets too.")] = False,
) -> int:
    """Print the profile as environment variables, to eval or to paste.

    A secret that is not asked for is a comment, and absent from JSON.
    """
    from functools import partial

    from rtcctl.errors import UsageError
    from rtcctl.report.variables import render

    if as_ is not Shape.SHELL and common.output != "table":
        raise UsageError(f"--as and --output {common.output} exclude each other.", hint="--as json is JSON already.")

    def work(streams: "Streams") -> "ConfigEnv":
        from rtcctl.cli.reports import hide_in_job_log
        from rtcctl.results.config import ConfigEnv, Variable

        profile = _resolve(common, streams).profile
        if with_secrets:
            hide_in_job_log(profile.secrets)
        variables = [
            Variable(name=name, value=value if with_secrets or key not in _SECRETS else None)
            for key, name in _names_of(names).items()
            if (value := _value(profile, key))
        ]
        # Of a server with HTTP alone it is that of `turns:`, and no bundles were written for other programs.
        if profile.ca_file and profile.api_base.startswith("https:"):
            from rtcctl.config.tls import trust_variables

            trust = trust_variables(Path(profile.ca_file))
            variables += [Variable(name=name, value=value) for name, value in trust.items() if Path(value).exists()]
        return ConfigEnv(profile=profile.name, variables=tuple(variables), names=names)

    return present(work, common, Face(name="config env", text=partial(render, as_)))


@command(app, profile=False)
def path(common: Common) -> int:
    """Show the files and folders that are read and written."""

    def work(streams: "Streams") -> "ConfigPath":
        from rtcctl import config
        from rtcctl.config.folders import secrets_path
        from rtcctl.results.config import ConfigPath

        project = config.project_path()
        return ConfigPath(
            config=str(config.config_path()),
            project=None if project is None else str(project),
            secrets=str(secrets_path()),
            state=str(config.state_dir()),
        )

    return present(work, common, Face(name="config path"))


@command(secret_app, "set")
def set_(
    kind: Annotated[SecretKind, typer.Argument(metavar="KIND", help="app, turn or account.")],
    common: Common,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the secret from standard input.")] = False,
) -> int:
    """Store a secret of a profile in the keyring, or in a file that only you can read."""

    def work(streams: "Streams") -> "SecretStored":
        from rtcctl import config
        from rtcctl.cli.new_profile import ask_secret
        from rtcctl.results.config import SecretStored

        name = common.profile or _resolve(common, streams).profile.name
        secret = sys.stdin.readline() if stdin else ask_secret(f"{kind} secret of profile {name}")
        return SecretStored(profile=name, kind=kind, path=config.store_secret(name, kind, secret))

    return present(work, common, Face(name="config secret set"))


_VARIABLES = {
    "api_base": "RTCCTL_API_BASE",
    "app_id": "RTCCTL_APP_ID",
    "app_secret": "RTCCTL_APP_SECRET",
    "turn_key_id": "RTCCTL_TURN_KEY_ID",
    "turn_key_token": "RTCCTL_TURN_KEY_TOKEN",
    "account_id": "RTCCTL_ACCOUNT_ID",
    "account_token": "RTCCTL_ACCOUNT_TOKEN",
    "account_api_base": "RTCCTL_ACCOUNT_API_BASE",
}
"Setting of a profile and its variable."

_SECRETS = ("app_secret", "turn_key_token", "account_token")


def _names_of(whose: VariableNames) -> dict[str, str]:
    """Setting of a profile and its variable; other tools know no account."""
    from rtcctl.config import environment

    if whose is VariableNames.RTCCTL:
        return _VARIABLES
    at = list(VariableNames).index(whose)
    return environment.APP[at].variables | environment.TURN[at].variables


def _value(profile: "Profile", key: str) -> str:
    """A setting of the profile; what is about its account is nothing where it has none."""
    value: str = getattr(profile, key) if profile.account_id or key != "account_api_base" else ""
    return value


def _resolve(common: Common, streams: "Streams") -> "Resolution":
    """The profile to use; what has to be said about it goes to stderr."""
    from rtcctl import config

    resolution = config.resolve(common.profile)
    for text in said_of(resolution):
        streams.warn(text)
    return resolution


def _check_face(name: str, resolution: "Resolution") -> Face:
    return Face(name=name, calls=_check_calls, resolution=resolution)


def _check_calls(profile: "Profile") -> "Sequence[ApiCall]":
    from rtcctl.ops import session, turn

    creds = turn.creds_calls(turn.CredsRequest(ttl_s=60), profile) if profile.turn_key_id else ()
    return (*session.create_calls(session.CreateRequest()), *creds)


def _note_names(names: "Sequence[str]") -> None:
    """Keep the names where shells complete from; completion without them is poorer, nothing else."""
    from contextlib import suppress

    from rtcctl import config
    from rtcctl.config.folders import write_private

    with suppress(OSError):
        write_private(config.state_dir(os.environ) / "profiles", "".join(f"{name}\n" for name in (*names, "local")))
