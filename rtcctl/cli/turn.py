"""`rtcctl turn …`."""

# ruff: noqa: B008  # durations and ratios cannot change, so they may be defaults

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli.noun import noun
from rtcctl.cli.options import Common, For, MaxLoss, OutputFormat, Ttl, command, typed
from rtcctl.cli.run import Face, run
from rtcctl.errors import UsageError
from rtcctl.report.turn import Shape
from rtcctl.units import MessageRate, Ratio, Seconds

if TYPE_CHECKING:
    from rtcctl.ops.env import Env
    from rtcctl.ops.turn import CredsRequest
    from rtcctl.results.turn import TurnCreds

app = noun("TURN: credentials, and whether its servers relay.")


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


@command(app)
def check(
    common: Common,
    ice_servers: Annotated[
        Path | None,
        typer.Option(
            "--ice-servers",
            metavar="FILE",
            help="Check these servers, of any vendor (JSON; - is stdin), in place of the profile's.",
            show_default=False,
            allow_dash=True,
        ),
    ] = None,
    for_: For = Seconds(5),
    rate: Annotated[
        MessageRate,
        typer.Option("--rate", parser=typed(MessageRate.parse), metavar="N/s", help="Packets through each relay."),
    ] = MessageRate(50),
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="WHAT",
            help="all (but port 53), any, udp, tcp, tls or tls:443; repeatable, or a,b; by default all.",
            show_default=False,
        ),
    ] = None,
    max_loss: MaxLoss = Ratio(0.02),
    insecure: Annotated[bool, typer.Option("--insecure", help="Trust any certificate, and go on.")] = False,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare", metavar="FILE", help="Show what --output json said before beside it.", show_default=False
        ),
    ] = None,
) -> int:
    """Check every URL as a client uses it: name, connection, certificate, allocation, traffic.

    Each gets a verdict and a reason. Packets go through the relay and back to this machine. A wrong password must be
    refused; with the profile's TURN key, a credential that has expired, too.
    """
    from rtcctl.cli.turn_files import earlier, requirements, servers_of
    from rtcctl.ops import turn_check

    assert for_ is not None
    assert max_loss is not None
    request = turn_check.CheckRequest(
        ice_servers=None if ice_servers is None else servers_of(ice_servers),
        source="" if ice_servers is None else "stdin" if str(ice_servers) == "-" else str(ice_servers),
        for_s=for_,
        rate_hz=rate,
        requirements=requirements(require),
        max_fraction_lost=max_loss,
        is_insecure=insecure,
        before=None if compare is None else earlier(compare),
    )
    face = Face(
        name="turn check",
        calls=lambda profile: turn_check.check_calls(request, profile.turn_key_id or "$RTCCTL_TURN_KEY_ID"),
        needs_profile=ice_servers is None,
    )
    return run(turn_check.check, request, common, face)


async def _creds(request: "CredsRequest", env: "Env") -> "TurnCreds":
    """The operation; what it hands out is hidden in the log of a CI job first."""
    from rtcctl.cli.reports import hide_in_job_log
    from rtcctl.ops.turn import creds

    result = await creds(request, env)
    hide_in_job_log(server.credential for server in result.ice_servers if server.credential)
    return result
