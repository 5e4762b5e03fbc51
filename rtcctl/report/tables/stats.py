"""Tables of `stats …`."""

from __future__ import annotations

from rtcctl.report import figures
from rtcctl.report.layout import Line, Styled, facts, line
from rtcctl.report.table import BLANK
from rtcctl.report.tables.pieces import layers_sent, received_facts, sent_facts, tracks
from rtcctl.results.stats import SessionStats


def body(result: SessionStats) -> list[Line]:
    """The session's tracks, and a block per probe that measures them."""
    lines = [*facts(("session", result.session_id)), BLANK, *tracks(result.tracks)]
    for interval in result.intervals:
        publisher = f"{interval.publisher_session_id}/" if interval.publisher_session_id else ""
        process = "its process has ended" if interval.pid is None else f"by process {interval.pid}"
        lines += [
            BLANK,
            *facts(
                ("sends" if interval.sent else "receives", f"{publisher}{interval.track_name}"),
                ("measured", f"{figures.moment(interval.measured_at)}, {process}"),
                *sent_facts(interval.sent),
                *received_facts(interval.received),
            ),
        ]
        if interval.sent is not None and interval.sent.layers:
            lines += layers_sent(interval.sent)
    if not result.intervals:
        lines += [BLANK, line(Styled("no probe of this machine measures it", "dim"))]
    return lines
