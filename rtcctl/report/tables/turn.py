"""Tables of `turn …`."""

from __future__ import annotations

from rtcctl.report import figures
from rtcctl.report.layout import Line, Styled, facts, line
from rtcctl.report.table import BLANK
from rtcctl.results.turn import TurnCreds


def body(result: TurnCreds) -> list[Line]:
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
