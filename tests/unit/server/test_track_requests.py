"""Requests whose fields do not fit together: refused in the words of the service where they are known."""

from __future__ import annotations

import pytest

from rtcctl.realtime.schema import SessionDescription, TrackObject, TracksRequest
from rtcctl.server import track_requests
from rtcctl.web.refusal import Refusal
from tests.support.world import World, close_request, refused
from tests.support.world import local as local_track
from tests.support.world import remote as remote_track

LIMIT = 64
OFFER = SessionDescription(type="offer", sdp="")


def local(**fields: object) -> TrackObject:
    return local_track(**fields)


def remote(**fields: object) -> TrackObject:
    return remote_track("s", "a", **fields)


@pytest.mark.parametrize(
    ("tracks", "status", "description"),
    [
        (None, 400, "Body JSON validation error: tracks"),
        ([], 406, "Expecting at least 1 track"),
        ([local()] * 65, 406, "Expecting at most 64 track in the request"),
        ([local(), remote()], 406, "Pushing and Pulling tracks in the same request is not supported"),
        ([local(mid=None), local(), local(track_name="")], 400, "JSON body validation error: 0,2"),
        ([local(), local(track_name="b")], 406, "Two tracks of the request have the same mid"),
        ([local(), local(mid="1")], 406, "Two tracks of the request have the same trackName"),
        ([remote(mid="1"), remote(mid="1")], 406, "Two tracks of the request have the same mid"),
        ([remote(session_id=None)], 400, "JSON body validation error: 0"),
        ([TrackObject(track_name="a", mid="0")], 400, "JSON body validation error: 0"),
    ],
)
def test_bad_tracks_new(tracks: list[TrackObject] | None, status: int, description: str) -> None:
    """With an offer."""
    with pytest.raises(Refusal) as caught:
        track_requests.tracks_to_add(TracksRequest(tracks=tracks, session_description=OFFER), LIMIT)
    assert (caught.value.status, caught.value.description) == (status, description)


@pytest.mark.parametrize(
    ("request_", "description"),
    [
        (TracksRequest(tracks=[local()]), "Body JSON validation error: sessionDescription"),
        (TracksRequest(auto_discover=True), "Body JSON validation error: sessionDescription"),
        (TracksRequest(auto_discover=True, tracks=[]), "Body JSON validation error: sessionDescription"),
        (
            TracksRequest(auto_discover=True, tracks=[local(kind="audio")]),
            "Body JSON validation error: sessionDescription",
        ),
        (
            TracksRequest(
                tracks=[local(kind="audio"), local(mid="1", track_name="b"), local(mid=None, track_name="c")]
            ),
            "JSON body validation error: 1,2",
        ),
        (TracksRequest(tracks=[local(kind="audio", track_name=None)]), "JSON body validation error: 0"),
    ],
)
def test_what_needs_an_offer(request_: TracksRequest, description: str) -> None:
    """Local tracks, unless each says its kind, so that the SFU can offer; and what is to be discovered."""
    with pytest.raises(Refusal) as caught:
        track_requests.tracks_to_add(request_, LIMIT)
    assert (caught.value.status, caught.value.code, caught.value.description) == (400, "decoding_error", description)


def test_what_is_taken() -> None:
    """Each flow of the service."""
    for request in (
        TracksRequest(tracks=[local(), local(mid="1", track_name="b")], session_description=OFFER),
        TracksRequest(tracks=[local(kind="audio", mid=None)], session_description=None),
        TracksRequest(tracks=[remote()] * LIMIT),
        TracksRequest(tracks=[remote(mid="0"), remote(mid="1")], session_description=OFFER),
    ):
        assert track_requests.tracks_to_add(request, LIMIT) == request.tracks
    for request in (
        TracksRequest(auto_discover=True, session_description=OFFER),
        TracksRequest(auto_discover=True, tracks=[], session_description=OFFER),
    ):
        assert list(track_requests.tracks_to_add(request, LIMIT)) == []


@pytest.mark.parametrize(
    ("tracks", "status", "description"),
    [
        (None, 400, "Body JSON validation error: tracks"),
        ([], 406, "Expecting at least 1 track"),
        ([remote(mid=str(n)) for n in range(65)], 406, "Expecting at most 64 track in the request"),
        ([remote(mid="0"), remote(mid="1", location=None)], 400, "JSON body validation error: 1"),
        ([remote(mid="0", session_id=None), remote(mid="1", track_name=None)], 400, "JSON body validation error: 0,1"),
        ([remote()], 406, "tracks[0]: Missing mid in track"),
        ([remote(mid="0"), remote(mid="")], 406, "tracks[1]: Missing mid in track"),
        ([remote(mid="0"), remote(mid="0")], 406, "Two tracks of the request have the same mid"),
        ([remote(mid="0", location="local")], 406, "Only remote tracks can be updated"),
    ],
)
def test_bad_tracks_update(tracks: list[TrackObject] | None, status: int, description: str) -> None:
    """A subscription is named by its mid, and by the track that it is to have."""
    with pytest.raises(Refusal) as caught:
        track_requests.tracks_to_update(TracksRequest(tracks=tracks), LIMIT)
    assert (caught.value.status, caught.value.description) == (status, description)


async def test_bad_close_requests() -> None:
    """The 406s that were seen live, word for word; an offer is needed without force."""
    session = World().session()
    with pytest.RaisesExc(Refusal, check=lambda exc: exc.description == "Expecting at least 1 track"):
        await session.close_tracks(close_request())
    with pytest.RaisesExc(Refusal, check=lambda exc: exc.description == "tracks[0]: Missing mid in track"):
        await session.close_tracks(close_request(""))
    with refused(406, "invalid_params"):
        await session.close_tracks(close_request(*["0"] * 65))
    with refused(400, "decoding_error"):
        await session.close_tracks(close_request("0", force=False))
