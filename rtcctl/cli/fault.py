"""`rtcctl fault …`."""

from typing import Annotated

import typer

from rtcctl.cli import names
from rtcctl.cli.noun import noun
from rtcctl.cli.options import Common, command, typed
from rtcctl.cli.run import Face, run

app = noun("Faults in a running embedded server, and the ledger of what they did.")


@command(app, "set")
def set_(
    faults: Annotated[
        list[str], typer.Argument(metavar="FAULT...", help="For example tracks/new=425,times=3.", show_default=False)
    ],
    common: Common,
) -> int:
    """Add faults to the running server.

    Of the API: OPERATION=ACTION, where OPERATION is sessions/new, sessions/get, tracks/new, tracks/update,
    tracks/close, renegotiate, datachannels/establish|new|update|close, turn/generate-ice-servers, turn/generate,
    turn/revoke or *, and ACTION is a status (400 to 599), an error code of items (empty_track_error), hang, slow
    (for=3s), lost, empty-mid, expire (after=5s) or short-ttl (ttl=10s); a status takes code=, subcode=,
    retry-after=2s and body=html|json. times=3 meets the first three requests, skip=1 lets one through before.

    Of media: loss=5%, delay=40ms, jitter=10ms, reorder=1%, dup=0.1%, rate=2Mbps, any of them, with
    direction=up|down and seed=7.

    Both take session=ID, track=NAME (or SESSION/NAME) and app=ID, and concern everybody without them.
    """
    from rtcctl.ops import fault

    request = fault.SetRequest(tuple(faults))
    return run(fault.set_faults, request, common, Face(name="fault set", calls=lambda _: fault.set_calls(request)))


@command(app, "list")
def list_(common: Common) -> int:
    """List the faults that are set, and how many requests or packets each has met."""
    from rtcctl.ops import fault

    face = Face(name="fault list", calls=lambda _: fault.list_calls())
    return run(fault.list_faults, fault.ListRequest(), common, face)


@command(app)
def clear(
    common: Common,
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]...", help="As fault list shows them.", show_default=False)
    ] = None,
) -> int:
    """Remove faults: all, or those with these ids."""
    from rtcctl.ops import fault

    request = fault.ClearRequest(tuple(ids or ()))
    return run(fault.clear, request, common, Face(name="fault clear", calls=lambda _: fault.clear_calls(request)))


@command(app)
def ledger(
    common: Common,
    session: Annotated[
        str | None,
        typer.Option(
            "--session", parser=typed(names.session_id), metavar="SESSION", help="Of one session.", show_default=False
        ),
    ] = None,
) -> int:
    """Show what was done to which packet, and what the API answered to whom.

    The table adds the packets of each stream up; --output json has every one of them.
    """
    from rtcctl.ops import fault

    request = fault.LedgerRequest(session or "")
    return run(fault.ledger, request, common, Face(name="fault ledger", calls=lambda _: fault.ledger_calls(request)))
