"""`rtcctl dev`."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli.noun import noun
from rtcctl.cli.options import Common, command
from rtcctl.cli.run import Face, run
from rtcctl.realtime.development import DEVELOPMENT_PORT

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rtcctl.ops.dev import DevRequest
    from rtcctl.ops.env import Env
    from rtcctl.results.dev import Dev, ServerReady

app = noun("Run an embedded Realtime server until interrupted.", has_verbs=False)


@command(app, profile=False)
def dev(
    common: Common,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="HTTP port; 0 takes any free one.")
    ] = DEVELOPMENT_PORT,
    udp_port: Annotated[
        int | None,
        typer.Option(
            "--udp-port", metavar="PORT", min=0, max=65535, help="Media port; by default as --port.", show_default=False
        ),
    ] = None,
    announce: Annotated[
        str | None,
        typer.Option(
            "--announce", metavar="IP", help="Address by which browsers elsewhere reach this host.", show_default=False
        ),
    ] = None,
) -> int:
    """Run an embedded Realtime server until interrupted.

    Its credentials are fixed and public on loopback; elsewhere they are made once and kept, or RTCCTL_DEV_SECRET.
    """
    from rtcctl import config
    from rtcctl.cli.dev_credentials import credentials_for
    from rtcctl.ops.dev import DevRequest
    from rtcctl.results.dev import ServerReady

    state_dir = config.state_dir(os.environ)

    def discoverable(ready: "ServerReady") -> "AbstractContextManager[object]":
        return config.announce_server(state_dir, ready)

    request = DevRequest(
        credentials_for(host, state_dir, os.environ.get("RTCCTL_DEV_SECRET")),
        host=host,
        port=port,
        udp_port=udp_port,
        announce=announce,
        discoverable=discoverable,
    )
    face = Face(name="dev", announce=(ServerReady,), is_daemon=True, needs_profile=False)
    return run(_dev, request, common, face)


async def _dev(request: "DevRequest", env: "Env") -> "Dev":
    """The operation; the secrets it hands out are hidden in the log of a CI job first, unless they are public."""
    from rtcctl.cli.reports import hide_in_job_log
    from rtcctl.ops.dev import dev

    if not request.credentials.are_development:
        hide_in_job_log((request.credentials.app_secret, request.credentials.turn_key_token))
    return await dev(request, env)
