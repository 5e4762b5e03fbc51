"""Tables of `turn …`."""

from __future__ import annotations

from functools import singledispatch

from rtcctl.report import figures
from rtcctl.report.layout import Line, Styled, facts, line
from rtcctl.report.table import BLANK, values
from rtcctl.report.tables import turn_check
from rtcctl.results.result import Result
from rtcctl.results.turn import TurnCreds
from rtcctl.results.turn_check import TurnCheck


@singledispatch
def body(result: Result) -> list[Line]:
    """The lines of a result of this noun."""
    return values(result)


@body.register
def _(result: TurnCheck) -> list[Line]:
    return turn_check.body(result)


@body.register
def _(result: TurnCreds) -> list[Line]:
    """Every URL, with its credentials."""
    lines = facts(
        ("valid until", f"{figures.moment(result.expires_at)} ({figures.seconds(result.ttl_s)})"),
        ("identifier", result.custom_identifier),
    )
    for server in result.ice_servers:
        lines += [
            BLANK,
            *facts(
                *(("" if i else "URL", url) for i, url in enumerate(server.urls)),
                ("username", server.username),
                ("credential", server.credential),
            ),
        ]
    if not result.relays:
        lines += [BLANK, line(Styled(f"No URL is a TURN URL: nothing can be relayed{_why(result)}", "yellow"))]
    return lines


def _why(result: TurnCreds) -> str:
    if result.target is not None and result.target.embedded:
        return ", as coturn is not installed where `rtcctl dev` runs: apt install coturn"
    return " through these."
