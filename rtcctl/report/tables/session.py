"""Tables of `session …`."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from rtcctl.report import figures
from rtcctl.report.layout import Line, Styled, facts, grid, line
from rtcctl.report.table import BLANK, values
from rtcctl.report.tables.outages import outages
from rtcctl.report.tables.pieces import closed_channels, closed_tracks, connection, status, tracks
from rtcctl.results.result import Result
from rtcctl.results.session import SessionClose, SessionCreate, SessionGet, SessionList, SessionRecord

if TYPE_CHECKING:
    from rtcctl.results.event import SessionCreated


@singledispatch
def body(result: Result) -> list[Line]:
    """The lines of a result of this noun."""
    return values(result)


@body.register
def _(result: SessionCreate) -> list[Line]:
    return [
        *facts(
            ("session", result.session_id),
            ("correlation id", result.correlation_id),
            ("connection", connection(result)),
            ("held", None if result.held_s is None else figures.seconds(result.held_s)),
        ),
        *outages(result.outages),
    ]


@body.register
def _(result: SessionGet) -> list[Line]:
    lines = [*facts(("session", result.session_id)), BLANK, *tracks(result.tracks)]
    if result.data_channels:
        rows = [
            (str(c.id), c.location, status(c.status), c.session_id or "", c.data_channel_name)
            for c in result.data_channels
        ]
        lines += [BLANK, *grid(("id", "location", "status", "publisher", "data channel"), rows)]
    return lines


@body.register
def _(result: SessionClose) -> list[Line]:
    lines = facts(
        ("session", result.session_id + (" (gone)" if result.gone else "")),
        ("stopped", None if result.stopped_pid is None else f"the probe that held it (process {result.stopped_pid})"),
    )
    if result.gone:
        return lines
    if result.tracks or not result.data_channels:
        lines += [BLANK, *closed_tracks(result.tracks)]
    return lines + ([BLANK, *closed_channels(result.data_channels)] if result.data_channels else [])


@body.register
def _(result: SessionList) -> list[Line]:
    if not result.sessions:
        return [line(Styled("no sessions; make one with: rtcctl session create", "dim"))]
    rows = [
        (s.session_id, s.profile, figures.moment(s.created_at), _state(s), s.command, ", ".join(s.tracks))
        for s in result.sessions
    ]
    return grid(("session", "profile", "created", "state", "made by", "tracks"), rows)


def _state(session: SessionRecord) -> Styled:
    if session.closed_at is not None:
        return Styled("closed", "dim")
    return Styled("open") if session.pid is None else Styled(f"held by {session.pid}", "green")


def opening(event: SessionCreated) -> list[Line]:
    """The session, as soon as it is known."""
    return facts(("session", event.session_id))
