"""Outages: a line each while they happen, and a table of them at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rtcctl.report import figures
from rtcctl.report.layout import Line, known_grid
from rtcctl.report.table import BLANK
from rtcctl.results.event import Event
from rtcctl.results.outage import ConnectionLost, Outage, PublisherFollowed, Recovered, RecoveryFailed


def outages(all_: Sequence[Outage]) -> list[Line]:
    """A row each below a blank line; nothing where there was none."""
    if not all_:
        return []
    rows = [
        (
            figures.seconds(outage.started_s),
            "not over" if outage.duration_s is None else figures.seconds(outage.duration_s),
            _cost(outage),
            _whither(outage),
            outage.reason,
        )
        for outage in all_
    ]
    return [BLANK, *known_grid(("outage at", "length", "cost", "then", "reason"), rows, right=(0, 1))]


def happened(event: Event) -> str | None:
    """What is said of it on the spot; `None` for what is no such event."""
    match event:
        case ConnectionLost():
            return f"lost: {event.reason}"
        case RecoveryFailed():
            return f"attempt {event.attempt}: {event.reason} Again in {figures.seconds(event.pause_s)}."
        case PublisherFollowed():
            return f"followed: {event.publisher_session_id} → {event.successor_id}"
        case Recovered(outage=outage):
            length = "" if outage.duration_s is None else f" after {figures.seconds(outage.duration_s)}"
            cost = "" if (text := _cost(outage)) is None else f", {text}"
            return f"recovered{length}{cost}: session {outage.successor_id}"
        case _:
            return None


def _cost(outage: Outage) -> str | None:
    parts = (
        None if outage.frames_missed is None else f"{figures.count(outage.frames_missed)} missed",
        None
        if outage.messages_unacknowledged is None
        else f"{figures.count(outage.messages_unacknowledged)} unacknowledged",
    )
    return ", ".join(part for part in parts if part is not None) or None


def _whither(outage: Outage) -> str | None:
    if outage.successor_id is None:
        return None
    return "same session" if outage.successor_id == outage.session_id else outage.successor_id
