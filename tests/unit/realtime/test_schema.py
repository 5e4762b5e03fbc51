"""Bodies of the API: strict towards clients, lenient towards services, nothing but `SchemaError`."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ApiError, ParseError
from rtcctl.realtime import schema

MODELS = [
    value
    for value in vars(schema).values()
    if isinstance(value, type) and issubclass(value, schema.Wire) and value not in (schema.Wire, schema.Failable)
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["tracks", "sessionDescription", "mid", "sdp", "type", "id"]), inner)
    ),
    max_leaves=12,
)


def test_wire_names_are_camel_case_and_absent_fields_stay_absent():
    """snake_case inside, camelCase outside."""
    track = schema.TrackObject(location="remote", session_id="p", track_name="mic")
    assert track.to_wire() == {"location": "remote", "sessionId": "p", "trackName": "mic"}


def test_a_request_is_read_by_wire_names_only():
    """A server that took `track_name` would let through what production refuses."""
    assert schema.TrackObject.parse(b'{"track_name": "mic", "trackname": "mic"}').track_name is None


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        (schema.TracksRequest, b'{"tracks": [{"mid": 0}]}', "tracks.0.mid"),
        (schema.TracksRequest, b'{"tracks": [{"location": "here"}]}', "tracks.0.location"),
        (schema.TracksRequest, b'{"tracks": {}}', "tracks"),
        (schema.NewSessionRequest, b"{}", "sessionDescription"),
        (schema.NewSessionRequest, b'{"sessionDescription": {"type": "offer"}}', "sessionDescription.sdp"),
        (schema.CloseTracksRequest, b'{"tracks": []}', "force"),
        (schema.CloseTracksRequest, b'{"tracks": [], "force": "true"}', "force"),
        (schema.DataChannelsRequest, b'{"dataChannels": [{"maxRetransmits": -1}]}', "dataChannels.0.maxRetransmits"),
        (schema.TurnCredentialsRequest, b'{"ttl": "60"}', "ttl"),
        (schema.TracksRequest, b'{"tracks": [' + b"{}," * 200_000 + b"{}]}", "tracks"),
        (schema.CloseTracksRequest, b'{"force": true, "tracks": [' + b"{}," * 1000 + b"{}]}", "tracks"),
        (schema.TracksRequest, b"[]", ""),
        (schema.TracksRequest, b"", ""),
        (schema.TracksRequest, b"\xff", ""),
        (schema.TracksRequest, b"[" * 100_000, ""),
    ],
)
def test_a_wrong_request_names_its_field(model: type[schema.Wire], body: bytes, field: str):
    """Strict: no string becomes a number, and the error tells where."""
    with pytest.raises(schema.SchemaError) as caught:
        model.parse(body)
    assert caught.value.field == field


def test_errors_do_not_repeat_what_was_sent():
    """An SDP or a secret in a wrong place reaches no message."""
    with pytest.raises(schema.SchemaError) as caught:
        schema.TracksRequest.parse(b'{"tracks": [{"location": "s3cret"}]}')
    assert "s3cret" not in str(caught.value)


@given(st.binary(max_size=64) | json_values.map(lambda value: json.dumps(value).encode()))
def test_parse_raises_nothing_but_parse_errors(body: bytes):
    """Whatever a client sends."""
    for model in MODELS:
        with contextlib.suppress(ParseError):
            model.parse(body)


@given(json_values)
def test_read_raises_nothing_but_parse_errors(decoded: object):
    """Whatever a service answers."""
    for model in MODELS:
        with contextlib.suppress(ParseError):
            model.read(decoded)


optional_text = st.none() | st.text(max_size=8)
tracks = st.builds(
    schema.TrackObject,
    location=st.sampled_from([None, "local", "remote"]),
    mid=optional_text,
    session_id=optional_text,
    track_name=optional_text,
    bidirectional_media_stream=st.none() | st.booleans(),
    simulcast=st.none() | st.builds(schema.Simulcast, preferred_rid=optional_text),
)


@given(st.builds(schema.TracksRequest, tracks=st.none() | st.lists(tracks, max_size=3)))
def test_requests_survive_the_wire(request_: schema.TracksRequest):
    """What is written is read back as the same."""
    assert schema.TracksRequest.parse(json.dumps(request_.to_wire()).encode()) == request_


def test_answers_may_hold_what_we_do_not_know():
    """New keys and new words of a service break nobody."""
    answer = schema.TracksResponse.read(
        {"tracks": [{"mid": "0", "location": "elsewhere", "new": 1}], "requiresImmediateRenegotiation": False}
    )
    assert answer.tracks is not None
    assert answer.tracks[0].location == "elsewhere"


def test_sdp_and_credentials_are_not_in_repr():
    """No log shows them by accident."""
    assert "v=0" not in repr(schema.SessionDescription(type="offer", sdp="v=0"))
    assert "pw" not in repr(schema.IceServerObject(urls=["turn:a"], username="u", credential="pw"))


def test_an_items_error_names_its_object():
    """A 200 may hold an error per track."""
    item = schema.TrackResult(mid="", error_code="not_found_track_error", error_description="Track not found")
    with pytest.raises(ApiError, match=r"track p/mic: Track not found") as caught:
        item.raise_for_error("track p/mic")
    assert (caught.value.status, caught.value.code) == (200, "not_found_track_error")
    assert "publisher" in caught.value.hint
    schema.TrackResult(mid="0").raise_for_error("track p/mic")
