"""`rtcctl dev`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli.noun import noun
from rtcctl.cli.options import Common, command, typed
from rtcctl.cli.run import Face, open_streams, run
from rtcctl.units import Factor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from rtcctl.ops.dev import DevRequest
    from rtcctl.ops.env import Env
    from rtcctl.results.dev import Dev, ServerReady
    from rtcctl.transport.tls import TlsFiles

app = noun("Run an embedded Realtime server until interrupted.", has_verbs=False)


@command(app, profile=False)
def dev(
    common: Common,
    command_line: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND]...", help="After --: run this against the server, then stop.", show_default=False
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            min=0,
            max=65535,
            help="HTTP port, 0 for any free one; by default 8610, with COMMAND another if that is taken.",
            show_default=False,
        ),
    ] = None,
    udp_port: Annotated[
        int | None,
        typer.Option(
            "--udp-port", metavar="PORT", min=0, max=65535, help="Media port; by default as --port.", show_default=False
        ),
    ] = None,
    media_host: Annotated[
        list[str] | None,
        typer.Option(
            "--media-host",
            metavar="ADDRESS",
            help="Address for media, repeatable; on loopback also the one of the default route.",
            show_default=False,
        ),
    ] = None,
    announce: Annotated[
        list[str] | None,
        typer.Option(
            "--announce",
            metavar="IP",
            help="Address by which browsers elsewhere reach this host; repeatable.",
            show_default=False,
        ),
    ] = None,
    apps: Annotated[
        Path | None,
        typer.Option("--apps", metavar="FILE", help="TOML file of several apps, readable by you alone."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="FAULT", help="As rtcctl fault set takes it; repeatable.", show_default=False),
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", metavar="FILE", help="Write the ledger there at the end, as JSON."),
    ] = None,
    persist: Annotated[
        Path | None,
        typer.Option(
            "--persist",
            metavar="FILE",
            help="Keep apps and TURN keys in a file as that of --apps, made when missing.",
            show_default=False,
        ),
    ] = None,
    time_scale: Annotated[
        Factor,
        typer.Option(
            "--time-scale",
            parser=typed(Factor.parse),
            metavar="FACTOR",
            help="Multiply the timers of the service, not those of STUN, DTLS and RTCP.",
        ),
    ] = Factor(1),  # noqa: B008  # a default that prints as it is typed
    tls: Annotated[
        bool, typer.Option("--tls", help="HTTPS, with a certificate that is made once, kept, and trusted by rtcctl.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            help="Make session ids and names of discovered tracks the same in each run.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Run an embedded Realtime server until interrupted.

    Its credentials are fixed and public on loopback; elsewhere they are made once and kept, or RTCCTL_DEV_SECRET.
    With -- COMMAND, it runs the command with variables that point at the server, and ends with its exit status.
    """
    from functools import partial

    from rtcctl import config
    from rtcctl.cli.dev_credentials import credentials_for, credentials_of, forget, keep, made_when_missing
    from rtcctl.cli.output import keep_secret
    from rtcctl.config.tls import trusting
    from rtcctl.errors import UsageError
    from rtcctl.ops.dev import DevRequest
    from rtcctl.results.dev import ServerReady
    from rtcctl.server import coturn

    if not command_line and sys.argv[-1] == "--":  # which Typer does not tell
        raise UsageError("No command follows --.", hint="Is a variable empty? Without --, the server runs alone")
    for option, path in (("--apps", apps), ("--persist", persist)):
        if path == Path():
            raise UsageError(f"{option} names no file.", hint="Is a variable empty?")
    state_dir = config.state_dir(os.environ)
    secret = os.environ.get("RTCCTL_DEV_SECRET")
    if persist is not None:
        if apps is not None:
            raise UsageError(
                "--apps and --persist are two files of apps.", hint="--persist FILE reads what --apps does"
            )
        apps = made_when_missing(persist, host, state_dir, secret)
    if apps is None:
        credentials = credentials_for(host, state_dir, secret)
    else:
        credentials = credentials_of(host, state_dir, secret, apps, has_all_turn_keys=persist is not None)
        keep_secret(*credentials.hidden_secrets)
        if secret is not None and secret != credentials.app_secret:
            open_streams(common).warn(f"RTCCTL_DEV_SECRET is ignored: {apps} has the secrets of the apps")

    has_turn = coturn.is_installed()
    files = _certificate(host, state_dir, announce or (), media_host or ()) if tls or has_turn else None
    # Other programs are told whom to trust where they are to speak TLS with us, or where we run them.
    trust = trusting(files, os.environ) if files is not None and (tls or command_line) else {}

    def discoverable(ready: "ServerReady") -> "AbstractContextManager[object]":
        return config.announce_server(
            state_dir, ready, app_secret=credentials.app_secret, turn_key_token=credentials.turn_key_token
        )

    async def around(ready: "ServerReady") -> int:
        from rtcctl.cli.around import run_command
        from rtcctl.config import environment

        settings = {
            "api_base": ready.base_url,
            "app_id": credentials.app_id,
            "app_secret": credentials.app_secret,
            "turn_key_id": credentials.turn_key_id,
            "turn_key_token": credentials.turn_key_token,
            "account_id": credentials.account_id,
            "account_token": credentials.account_token,
            "account_api_base": ready.account_api_base,
        }
        return await run_command(command_line or (), {**os.environ, **environment.for_command(settings), **trust})

    request = DevRequest(
        credentials,
        host=host,
        port=port,
        udp_port=udp_port,
        media_hosts=tuple(media_host or ()),
        announce=tuple(announce or ()),
        time_scale=time_scale,
        faults=tuple(fault or ()),
        ledger=ledger,
        seed=seed,
        tls=files if tls else None,
        turn_tls=files if has_turn else None,
        on_change=None if persist is None else partial(keep, persist),
        on_remove=None if persist is None else partial(forget, persist),
        trust=tuple(trust.items()) if tls else (),
        discoverable=discoverable,
        around=around if command_line else None,
    )
    face = Face(
        name="dev",
        announce=(ServerReady,),
        is_daemon=not command_line,
        needs_profile=False,
        around=command_line or (),
    )
    return run(_dev, request, common, face)


def _certificate(host: str, state_dir: Path, announce: "Sequence[str]", media_hosts: "Sequence[str]") -> "TlsFiles":
    """For the name and addresses that it listens on, and those by which others reach it."""
    from datetime import UTC, datetime
    from ipaddress import ip_address

    from rtcctl.config.tls import kept_certificate
    from rtcctl.server import addresses

    address = addresses.resolve(host, "--host")
    names = {
        host,
        address,
        *(addresses.checked_announcement(text) for text in announce),
        *(addresses.checked_media_host(text) for text in media_hosts),
    }
    # `--host 0.0.0.0` is no name of anything.
    return kept_certificate(
        state_dir,
        [name for name in names if name != address or not ip_address(address).is_unspecified],
        datetime.now(UTC),
    )


async def _dev(request: "DevRequest", env: "Env") -> "Dev":
    """The operation; the secrets it hands out are hidden in the log of a CI job first, unless they are public."""
    from rtcctl.cli.dev_credentials import PUBLIC
    from rtcctl.cli.reports import hide_in_job_log
    from rtcctl.ops.dev import dev

    shown = (*request.credentials.shown_secrets, request.credentials.account_token)
    hide_in_job_log(secret for secret in shown if secret and secret not in PUBLIC)
    return await dev(request, env)
