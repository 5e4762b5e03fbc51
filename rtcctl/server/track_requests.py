"""Whether the fields of a request on tracks fit together. Pure: requests in, `Refusal` in the service's words out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rtcctl.realtime.schema import TrackObject, TracksRequest
from rtcctl.web.refusal import Refusal


def tracks_to_add(request: TracksRequest, limit: int) -> Sequence[TrackObject]:
    """The tracks of `tracks/new`: all local or all remote; none when they are to be discovered."""
    if request.tracks is None:
        if request.auto_discover:
            _check_description(request)
            return ()
        raise missing("tracks")
    tracks = request.tracks
    if tracks or not request.auto_discover:
        check_count(tracks, limit)
    needs = {"local": ("track_name",), "remote": ("track_name", "session_id"), None: ("location",)}
    if request.session_description is not None:
        needs["local"] = ("track_name", "mid")
    _check_fields(tracks, [needs[track.location] for track in tracks])
    if len({track.location for track in tracks}) > 1:
        raise Refusal(406, "invalid_params", "Pushing and Pulling tracks in the same request is not supported")
    _check_unique("mid", [track.mid for track in tracks if track.mid])
    _check_unique("trackName", [track.track_name for track in tracks if track.location == "local"])
    if request.session_description is None and any(track.location == "local" for track in tracks):
        # Without an offer the SFU makes one, if it is told of what.
        if not any(track.kind for track in tracks):
            _check_description(request)
        _check_fields(tracks, [("kind",)] * len(tracks))
    if request.auto_discover:
        _check_description(request)
    return tracks


def tracks_to_update(request: TracksRequest, limit: int) -> Sequence[TrackObject]:
    """The tracks of `tracks/update`. Its offer, if there is one, means nothing."""
    if request.tracks is None:
        raise missing("tracks")
    check_count(request.tracks, limit)
    _check_fields(request.tracks, [("location", "track_name", "session_id")] * len(request.tracks))
    if any(track.location == "local" for track in request.tracks):
        raise Refusal(406, "invalid_params", "Only remote tracks can be updated")
    check_mids([track.mid for track in request.tracks])
    _check_unique("mid", [track.mid for track in request.tracks])
    return request.tracks


def check_count(tracks: Sequence[object], limit: int) -> None:
    """At least one, and not more than the service takes in one call."""
    if not tracks:
        raise Refusal(406, "invalid_params", "Expecting at least 1 track")
    if len(tracks) > limit:
        raise Refusal(406, "invalid_params", f"Expecting at most {limit} track in the request")


def check_mids(mids: Iterable[str | None]) -> None:
    """Each names an m-section."""
    for index, mid in enumerate(mids):
        if not mid:
            raise Refusal(406, "invalid_params", f"tracks[{index}]: Missing mid in track")


def missing(field: str) -> Refusal:
    """400: a field of the body is not there."""
    return Refusal(400, "decoding_error", f"Body JSON validation error: {field}")


def _check_description(request: TracksRequest) -> None:
    if request.session_description is None:
        raise missing("sessionDescription")


def _check_fields(tracks: Sequence[TrackObject], needs: Sequence[tuple[str, ...]]) -> None:
    wrong = [
        str(index)
        for index, (track, names) in enumerate(zip(tracks, needs, strict=True))
        if not all(getattr(track, name) for name in names)
    ]
    if wrong:
        raise Refusal(400, "decoding_error", f"JSON body validation error: {','.join(wrong)}")


def _check_unique(name: str, values: Sequence[str | None]) -> None:
    if len(set(values)) < len(values):
        raise Refusal(406, "invalid_params", f"Two tracks of the request have the same {name}")
