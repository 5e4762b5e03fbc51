"""`rtcctl turn …`."""

# ruff: noqa: B008  # durations and ratios cannot change, so they may be defaults

from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli.main import NESTED, never_run
from rtcctl.cli.noun import CONTEXT, noun
from rtcctl.cli.options import Common, OutputFormat, Ttl, command
from rtcctl.cli.run import Face, run
from rtcctl.errors import UsageError
from rtcctl.report.turn import Shape
from rtcctl.units import Seconds

if TYPE_CHECKING:
    from rtcctl.ops.env import Env
    from rtcctl.ops.turn import CredsRequest
    from rtcctl.results.turn import TurnCreds

app = noun("Short-lived TURN credentials.")
app.command("key", help=NESTED["turn", "key"], context_settings=CONTEXT)(never_run)


@command(app)
def creds(
    common: Common,
    ttl: Ttl = Seconds(3600),
    as_: Annotated[
        Shape | None, typer.Option("--as", help="A shape to paste, in place of the table.", show_default=False)
    ] = None,
    custom_identifier: Annotated[
        str | None,
        typer.Option("--custom-identifier", metavar="TEXT", help="A label for analytics.", show_default=False),
    ] = None,
    keep_port_53: Annotated[bool, typer.Option("--keep-port-53", help="Keep URLs that browsers block.")] = False,
) -> int:
    """Make short-lived credentials from the profile's TURN key."""
    from rtcctl.ops import turn
    from rtcctl.report.turn import render

    if as_ is not None and common.output is not OutputFormat.TABLE:
        raise UsageError(
            f"--as and --output {common.output} exclude each other.", hint="--as ice-servers is JSON already."
        )
    request = turn.CredsRequest(round(ttl), custom_identifier, keep_port_53)
    face = Face(
        name="turn creds",
        calls=lambda profile: turn.creds_calls(request, profile.turn_key_id or "$RTCCTL_TURN_KEY_ID"),
        text=None if as_ is None else lambda result: render(result, as_),
    )
    return run(_creds, request, common, face)


async def _creds(request: "CredsRequest", env: "Env") -> "TurnCreds":
    """The operation; what it hands out is hidden in the log of a CI job first."""
    from rtcctl.cli.reports import hide_in_job_log
    from rtcctl.ops.turn import creds

    result = await creds(request, env)
    hide_in_job_log(server.credential for server in result.ice_servers if server.credential)
    return result
