"""Tables of `track …`."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from rtcctl.report import figures
from rtcctl.report.layout import Line, facts
from rtcctl.report.table import BLANK, values, verdict
from rtcctl.report.tables.pieces import closed_tracks, connection, received_facts, sent_facts, tracks
from rtcctl.results.result import Result
from rtcctl.results.track import Publish, Subscribe, TrackClose, TrackList, TrackWait

if TYPE_CHECKING:
    from rtcctl.results.event import Published


@singledispatch
def body(result: Result) -> list[Line]:
    """The lines of a result of this noun."""
    return values(result)


@body.register
def _(result: Publish) -> list[Line]:
    is_detached = result.detached_pid is not None
    return [
        *facts(
            ("published", _track(result.track_name, result.session_id, result.mid, result.codec)),
            ("tone", None if result.tone_hz is None else figures.hertz(result.tone_hz)),
            ("connection", connection(result)),
            ("sent for", None if result.sent is None else figures.seconds(result.duration_s)),
            *sent_facts(result.sent),
            ("process", f"{result.detached_pid}, runs on by itself" if is_detached else None),
            ("end it", f"rtcctl session close {result.session_id}" if is_detached else None),
        ),
        *verdict(result),
    ]


@body.register
def _(result: Subscribe) -> list[Line]:
    first = result.time_to_first_packet_ms
    return [
        *facts(
            ("track", _track(result.track_name, result.publisher_session_id, result.mid, result.codec)),
            ("session", result.session_id),
            ("connection", connection(result)),
            ("first packet", "never" if first is None else f"{figures.milliseconds(first)} after the pull"),
            ("measured", figures.seconds(result.duration_s)),
            *received_facts(result),
        ),
        *verdict(result),
    ]


@body.register
def _(result: TrackList) -> list[Line]:
    return [*facts(("session", result.session_id)), BLANK, *tracks(result.tracks)]


@body.register
def _(result: TrackClose) -> list[Line]:
    return closed_tracks(result.tracks)


@body.register
def _(result: TrackWait) -> list[Line]:
    return facts(
        ("track", f"{result.session_id}/{result.track_name}"), ("there after", figures.seconds(result.waited_s))
    )


def _track(track_name: str, session_id: str, mid: str | None, codec: str | None) -> str:
    known = ", ".join(part for part in (f"mid {mid}" if mid is not None else None, codec) if part)
    return f"{session_id}/{track_name}" + (f" ({known})" if known else "")


def opening(event: Published) -> list[Line]:
    """The track, as soon as others can subscribe to it."""
    return facts(("published", f"{event.session_id}/{event.track_name} (mid {event.mid})"))
