"""`rtcctl track diagnose`."""

from typing import Annotated

import typer

from rtcctl.cli import names
from rtcctl.cli.options import Common, spelled, typed
from rtcctl.cli.run import Face, run


def diagnose(
    subscriber: Annotated[
        str,
        typer.Argument(
            parser=typed(names.session_id),
            metavar="SUBSCRIBER_SESSION",
            help="Session that should receive the track.",
            show_default=False,
        ),
    ],
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="PUBLISHER_SESSION/TRACK", help="The track; SESSION TRACK works too.", show_default=False
        ),
    ],
    common: Common,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Ask the subscriber's session for nothing: only read it.")
    ] = False,
) -> int:
    """Say which side of a subscription failed, and why."""
    from rtcctl.ops import diagnose as diagnosing
    from rtcctl.ops.track import TrackRef

    track = TrackRef(*spelled(names.track, words))
    request = diagnosing.DiagnoseRequest(subscriber, track, read_only)
    face = Face(name="track diagnose", calls=lambda _: diagnosing.diagnose_calls(request))
    return run(diagnosing.diagnose, request, common, face)
