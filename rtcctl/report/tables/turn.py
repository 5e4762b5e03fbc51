"""Tables of `turn …`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

from rtcctl.report import figures
from rtcctl.report.figures import UNKNOWN
from rtcctl.report.layout import Line, Styled, facts, grid, line
from rtcctl.report.table import BLANK, values, verdict
from rtcctl.report.tables import turn_check
from rtcctl.report.tables.pieces import status
from rtcctl.results.result import Result
from rtcctl.results.turn import CredentialsWritten, TurnCreds, TurnList, TurnRefresh, TurnRevoke
from rtcctl.results.turn_check import TurnCheck

SHORTENED = 12
"Characters of a user name, of 96: enough to tell a million apart."


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


@body.register
def _(result: TurnList) -> list[Line]:
    if not result.credentials:
        return [line(Styled("no live credentials; make some with: rtcctl turn creds", "dim"))]
    names = shortened(credential.username for credential in result.credentials)
    rows = [
        (
            name,
            credential.key_id,
            credential.profile,
            credential.custom_identifier or UNKNOWN,
            figures.moment(credential.issued_at),
            figures.seconds(credential.remaining_s),
        )
        for name, credential in zip(names, result.credentials, strict=True)
    ]
    return grid(("username", "TURN key", "profile", "identifier", "issued", "ends in"), rows)


@body.register
def _(result: TurnRevoke) -> list[Line]:
    lines = facts(("identifier", result.custom_identifier))
    if not result.credentials:
        return [*lines, BLANK, line(Styled("nothing to revoke: no live credentials with this identifier", "yellow"))]
    names = shortened(credential.username for credential in result.credentials)
    rows = [
        (name, credential.source, status(credential.outcome), credential.description or "")
        for name, credential in zip(names, result.credentials, strict=True)
    ]
    return [*lines, *([BLANK] if lines else []), *grid(("username", "from", "outcome", ""), rows), *verdict(result)]


@body.register
def _(result: TurnRefresh) -> list[Line]:
    return facts(
        ("file", result.path),
        ("valid until", figures.moment(result.expires_at)),
        ("renewed", figures.amount(result.renewals, "time")),
    )


def opening(event: CredentialsWritten) -> list[Line]:
    """The file, as soon as it is written."""
    return facts(
        ("file", event.path),
        ("valid until", figures.moment(event.expires_at)),
        ("next renewal", figures.moment(event.renewal_at)),
    )


def shortened(usernames: Iterable[str]) -> list[str]:
    """The beginning of each, as long as it takes to tell them apart; what is short stays whole."""
    whole = list(usernames)
    length = SHORTENED
    while len({name[:length] for name in whole}) < len(set(whole)):
        length += 1
    return [name if len(name) <= length + 1 else f"{name[:length]}…" for name in whole]


def _why(result: TurnCreds) -> str:
    if result.target is not None and result.target.embedded:
        return ", as coturn is not installed where `rtcctl dev` runs: apt install coturn"
    return " through these."
