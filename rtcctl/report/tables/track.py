"""Tables of `track …`."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from rtcctl.report import figures
from rtcctl.report.layout import Line, facts
from rtcctl.report.table import BLANK, values, verdict
from rtcctl.report.tables.outages import outages
from rtcctl.report.tables.pieces import (
    closed_tracks,
    connection,
    known,
    layer_switches,
    layers_sent,
    received_facts,
    reference,
    sent_facts,
    tracks,
)
from rtcctl.report.tables.tracks import several_published, several_subscribed
from rtcctl.results.result import Result
from rtcctl.results.track import (
    Publish,
    Subscribe,
    TrackClose,
    TrackList,
    TrackUpdate,
    TrackWait,
)

if TYPE_CHECKING:
    from rtcctl.results.event import Published


@singledispatch
def body(result: Result) -> list[Line]:
    """The lines of a result of this noun."""
    return values(result)


@body.register
def _(result: Publish) -> list[Line]:
    if len(result.tracks) > 1:
        return [*several_published(result), *outages(result.outages), *verdict(result)]
    is_detached = result.detached_pid is not None
    layers = () if result.sent is None else result.sent.layers
    return [
        *facts(
            ("published", reference(result.track_name, result.session_id, result.mid, result.codec)),
            ("source", result.source),
            ("connection", connection(result)),
            ("sent for", None if result.sent is None else figures.seconds(result.duration_s)),
            *sent_facts(result.sent),
            ("process", f"{result.detached_pid}, runs on by itself" if is_detached else None),
            ("end it", f"rtcctl session close {result.session_id}" if is_detached else None),
        ),
        *([BLANK, *layers_sent(result.sent)] if result.sent is not None and layers else []),
        *outages(result.outages),
        *verdict(result),
    ]


@body.register
def _(result: Subscribe) -> list[Line]:
    if len(result.tracks) > 1:
        return [*several_subscribed(result), *outages(result.outages), *verdict(result)]
    first = result.time_to_first_packet_ms
    frame = known(figures.milliseconds, result.time_to_first_frame_ms)
    switches = layer_switches(result.layer_switches)
    return [
        *facts(
            ("track", reference(result.track_name, result.publisher_session_id, result.mid, result.codec)),
            ("session", result.session_id),
            ("connection", connection(result)),
            ("first packet", "never" if first is None else f"{figures.milliseconds(first)} after the pull"),
            ("first frame", None if frame is None else f"{frame} after the pull"),
            ("measured", figures.seconds(result.duration_s)),
            *received_facts(result),
        ),
        *([BLANK, *switches] if switches else []),
        *outages(result.outages),
        *verdict(result),
    ]


@body.register
def _(result: TrackUpdate) -> list[Line]:
    return facts(
        ("session", result.session_id),
        ("mid", result.mid),
        ("track", result.track_name),
        ("layer", result.preferred_rid),
        ("ordering", result.priority_ordering),
        ("not available", result.rid_not_available),
    )


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


def opening(event: Published) -> list[Line]:
    """The track, as soon as others can subscribe to it."""
    return facts(("published", f"{event.session_id}/{event.track_name} (mid {event.mid})"))
