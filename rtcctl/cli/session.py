"""`rtcctl session …`."""

from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli.noun import noun
from rtcctl.cli.options import (
    WATCH_S,
    Common,
    For,
    NoRecover,
    Pcap,
    RecoverFor,
    RelayOnly,
    RelayVia,
    SessionId,
    Watch,
    Yes,
    command,
    recovery_of,
    relay_of,
)
from rtcctl.cli.run import Face, present, run
from rtcctl.errors import UsageError

if TYPE_CHECKING:
    from rtcctl.cli.output import Streams
    from rtcctl.results.session import SessionList

app = noun("Create, read, close and list sessions.")


@command(app, probe=True)
def create(
    common: Common,
    connect: Annotated[bool, typer.Option("--connect", help="Connect a peer to it and hold it.")] = False,
    for_: For = None,
    correlation_id: Annotated[
        str | None,
        typer.Option("--correlation-id", metavar="TEXT", help="A label for diagnosis.", show_default=False),
    ] = None,
    relay: RelayOnly = False,
    relay_via: RelayVia = None,
    pcap: Pcap = None,
    recover_for: RecoverFor = None,
    no_recover: NoRecover = False,
) -> int:
    """Create a session; with --connect, hold it until Ctrl-C or --for."""
    from rtcctl.ops import session
    from rtcctl.ops.relay import calls
    from rtcctl.results.event import SessionCreated

    if for_ is not None and not connect:
        raise UsageError("--for is how long a connection is held.", hint="Add --connect.")
    if pcap is not None and not connect:
        raise UsageError("--pcap writes what a connection carries.", hint="Add --connect.")
    relayed = relay_of(relay, relay_via)
    if relayed is not None and not connect:
        raise UsageError("--relay is how a connection is made.", hint="Add --connect.")
    if common.impair and not connect:
        raise UsageError("--impair is how a connection behaves.", hint="Add --connect.")
    if (recover_for is not None or no_recover) and not connect:
        raise UsageError("Only a connection can be lost.", hint="Add --connect.")
    request = session.CreateRequest(
        connect=connect,
        for_s=for_,
        correlation_id=correlation_id,
        relay=relayed,
        recover_for_s=recovery_of(recover_for, no_recover),
    )
    face = Face(
        name="session create",
        calls=lambda profile: (*calls(relayed, for_, profile), *session.create_calls(request)),
        announce=(SessionCreated,) if connect else (),
        pcap=pcap,
    )
    return run(session.create, request, common, face)


@command(app)
def get(session_id: SessionId, common: Common, watch: Watch = False) -> int:
    """Show the tracks and data channels of a session."""
    from rtcctl.ops import session

    request = session.GetRequest(session_id, watch_s=WATCH_S if watch else None)
    return run(session.get, request, common, Face(name="session get", calls=lambda _: session.get_calls(request)))


@command(app)
def close(session_id: SessionId, common: Common, yes: Yes = False) -> int:
    """Close everything a session holds; ends the probe that holds it, too."""
    from rtcctl.ops import session

    request = session.CloseRequest(session_id)
    face = Face(name="session close", calls=lambda _: session.close_calls(request), yes=yes)
    return run(session.close, request, common, face)


@command(app, "list", profile=False)
def list_(
    common: Common,
    all_: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
) -> int:
    """List the sessions that this machine created.

    From the local journal: the API has no list.
    """

    def work(_: "Streams") -> "SessionList":
        # Not through an operation: nothing is waited for, and an event loop costs three empty Pythons to load.
        from rtcctl import config
        from rtcctl.journal import Journal
        from rtcctl.results.session import SessionList

        with Journal.open(config.state_dir()) as journal:
            if journal.unavailable:
                raise UsageError(f"The journal cannot be used: {journal.unavailable}.")
            return SessionList(sessions=journal.sessions(include_closed=all_))

    return present(work, common, Face(name="session list"))
