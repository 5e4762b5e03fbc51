"""`rtcctl turn …`."""

# ruff: noqa: B008  # durations and ratios cannot change, so they may be defaults

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli.main import NESTED, never_run
from rtcctl.cli.noun import CONTEXT, noun
from rtcctl.cli.options import (
    Common,
    CustomIdentifier,
    For,
    MaxLoss,
    OutputFormat,
    Ttl,
    Yes,
    command,
    something,
    typed,
)
from rtcctl.cli.run import Face, present, run
from rtcctl.errors import UsageError
from rtcctl.report.turn import Shape
from rtcctl.units import MessageRate, Ratio, Seconds

if TYPE_CHECKING:
    from rtcctl.cli.output import Streams
    from rtcctl.journal import Journal
    from rtcctl.ops.env import Env
    from rtcctl.ops.turn import CredsRequest
    from rtcctl.results.turn import TurnCreds, TurnList

app = noun("TURN: credentials, keys, and whether its servers relay.")
app.command("key", help=NESTED["turn", "key"], context_settings=CONTEXT)(never_run)

KeepPort53 = Annotated[bool, typer.Option("--keep-port-53", help="Keep URLs that browsers block.")]


@command(app)
def creds(
    common: Common,
    ttl: Ttl = Seconds(3600),
    as_: Annotated[
        Shape | None, typer.Option("--as", help="A shape to paste, in place of the table.", show_default=False)
    ] = None,
    custom_identifier: CustomIdentifier = None,
    keep_port_53: KeepPort53 = False,
) -> int:
    """Make short-lived credentials from the profile's TURN key."""
    from rtcctl.ops import turn
    from rtcctl.report.turn import render

    if as_ is not None and common.output is not OutputFormat.TABLE:
        raise UsageError(
            f"--as and --output {common.output} exclude each other.", hint="--as ice-servers is JSON already."
        )
    request = turn.CredsRequest(ttl, custom_identifier, keep_port_53)
    face = Face(
        name="turn creds",
        calls=lambda profile: turn.creds_calls(request, profile),
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
        calls=lambda profile: turn_check.check_calls(request, profile),
        needs_profile=ice_servers is None,
    )
    return run(turn_check.check, request, common, face)


@command(app, "list", profile=False)
def list_(common: Common) -> int:
    """List the live credentials that this machine issued.

    From the local journal, which has no passwords: the API has no list.
    """

    def work(_: "Streams") -> "TurnList":
        # Not through an operation: nothing is waited for, and an event loop costs three empty Pythons to load.
        from rtcctl.results.turn import TurnList

        with _journal() as journal:
            if journal.unavailable:
                raise UsageError(f"The journal cannot be used: {journal.unavailable}.")
            return TurnList(credentials=journal.turn_credentials(time.time()))

    return present(work, common, Face(name="turn list"))


@command(app)
def revoke(
    common: Common,
    usernames: Annotated[
        list[str] | None,
        typer.Argument(
            parser=typed(something),
            metavar="[USERNAME]...",
            help="Of credentials; the beginning that `turn list` shows is enough.",
            show_default=False,
        ),
    ] = None,
    custom_identifier: CustomIdentifier = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Allocate until the server refuses; needs --ice-servers.")
    ] = False,
    ice_servers: Annotated[
        Path | None,
        typer.Option(
            "--ice-servers",
            metavar="FILE",
            help="The credentials with their passwords, as `turn creds` printed them, or - for stdin.",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
) -> int:
    """End credentials before their time: by user name, or all of --custom-identifier.

    Those are what the journal has and, with an account token, what TURN analytics has seen. Without either, the
    credentials of --ice-servers are revoked.
    """
    from rtcctl.cli.turn_files import servers_of
    from rtcctl.ops import turn_revoke

    at_hand = () if ice_servers is None else tuple(one for one in servers_of(ice_servers) if one.username)
    names = [str(name) for name in usernames or ()]
    if names and custom_identifier is not None:
        raise UsageError("USERNAME and --custom-identifier exclude each other.")
    if verify and not at_hand:
        raise UsageError(
            "--verify needs the password, which only you have: --ice-servers FILE.",
            hint="rtcctl turn creds --output json > creds.json; rtcctl turn revoke --verify --ice-servers creds.json",
        )
    if custom_identifier is None and not names:
        names = [server.username for server in at_hand if server.username]
        if not names:
            raise UsageError(
                "Nothing was named to revoke.", hint="Name USERNAME or --custom-identifier; see: rtcctl turn list"
            )
    else:
        with _journal() as journal:
            live = [record.username for record in journal.turn_credentials(time.time())]
        names = [turn_revoke.completed(name, live) for name in names]
    request = turn_revoke.RevokeRequest(tuple(names), custom_identifier, verify, at_hand)
    face = Face(
        name="turn revoke",
        calls=lambda profile: turn_revoke.revoke_calls(request, profile),
        yes=yes,
    )
    return run(turn_revoke.revoke, request, common, face)


@command(app)
def refresh(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written as a whole, for you alone (0600).")],
    common: Common,
    ttl: Ttl = Seconds(3600),
    as_: Annotated[Shape, typer.Option("--as", help="What is written.")] = Shape.ICE_SERVERS,
    custom_identifier: CustomIdentifier = None,
    keep_port_53: KeepPort53 = False,
) -> int:
    """Keep a file of valid credentials, until interrupted.

    It is written at once, and again after four fifths of --ttl. While the API fails it is tried again and again, and
    said: also that the file is stale.
    """
    from rtcctl.ops import turn, turn_refresh
    from rtcctl.results.turn import CredentialsWritten

    _check_writable(file)
    request = turn_refresh.RefreshRequest(
        turn.CredsRequest(ttl, custom_identifier, keep_port_53), str(file), lambda made: _write(file, made, as_)
    )
    face = Face(
        name="turn refresh",
        calls=lambda profile: turn.creds_calls(request.creds, profile),
        announce=(CredentialsWritten,),
        is_daemon=True,
    )
    return run(turn_refresh.refresh, request, common, face)


async def _creds(request: "CredsRequest", env: "Env") -> "TurnCreds":
    """The operation; what it hands out is hidden in the log of a CI job first."""
    from rtcctl.cli.reports import hide_in_job_log
    from rtcctl.ops.turn import creds

    result = await creds(request, env)
    hide_in_job_log(server.credential for server in result.ice_servers if server.credential)
    return result


def _journal() -> "Journal":
    from rtcctl import config
    from rtcctl.journal import Journal

    return Journal.open(config.state_dir())


def _check_writable(file: Path) -> None:
    """Before a credential is made for it. Raises `UsageError`."""
    from rtcctl.config.folders import require_writable

    if not file.parent.is_dir():
        raise UsageError(f"{file}: there is no folder {file.parent}.")
    if file.exists() and not file.is_file():
        raise UsageError(f"{file} is no file that could be replaced.")
    require_writable(file)


def _write(file: Path, made: "TurnCreds", shape: Shape) -> None:
    from rtcctl.config.folders import unwritable, write_private
    from rtcctl.report.turn import render

    try:
        write_private(file, render(made, shape) + "\n")
    except OSError as error:
        raise unwritable(file, error) from error
