"""The API calls that `--curl` prints are those that are made."""

from __future__ import annotations

from rtcctl.ops import api, publish, session, subscribe, track
from rtcctl.ops.sources import parse
from rtcctl.realtime.curl import curl_command
from rtcctl.realtime.profile import Profile

PROFILE = Profile(name="test", api_base="https://example.org/v1", app_id="app")


def test_a_correlation_id_is_one_value():
    """What means something in a query is encoded, as the client does."""
    (call,) = session.create_calls(session.CreateRequest(correlation_id="a&b=c d"))
    assert "?correlationId=a%26b%3Dc%20d" in curl_command(call, PROFILE)


def test_the_turn_api_has_a_secret_of_its_own():
    """`api` presents the TURN key token below /turn/, and the App Secret elsewhere."""
    turn, app = (api.call_calls(api.CallRequest("GET", path))[0] for path in ("/turn/keys/x", "sessions/x"))
    assert (turn.secret, app.secret) == ("RTCCTL_TURN_KEY_TOKEN", "RTCCTL_APP_SECRET")


def test_publishing_on_a_session_looks_at_it_first():
    """A session that has a peer is refused, so it is read."""
    calls = publish.publish_calls(publish.PublishRequest((parse("mic=tone"), parse("cam=testsrc")), "S1"))
    assert [(call.method, call.path) for call in calls] == [
        ("GET", "sessions/S1"),
        ("POST", "sessions/S1/tracks/new"),
    ]
    assert [(item["mid"], item["trackName"]) for item in calls[1].body["tracks"]] == [("0", "mic"), ("1", "cam")]


def test_a_layer_is_asked_for_as_the_api_spells_it():
    """Only what was said is sent; who offers decides whether there is anything to renegotiate."""
    layering = track.Layering("h", rid_not_available="asciibetical")
    refs = (track.TrackRef("S1", "cam"),)
    _, pull, answer, _ = subscribe.subscribe_calls(subscribe.SubscribeRequest(refs, layering=layering))
    assert pull.body["tracks"][0]["simulcast"] == {"preferredRid": "h", "ridNotAvailable": "asciibetical"}
    assert answer.path.endswith("renegotiate")
    _, offered, _ = subscribe.subscribe_calls(subscribe.SubscribeRequest(refs, offered_by="client"))
    assert offered.body["sessionDescription"]["type"] == "offer"
    assert "simulcast" not in offered.body["tracks"][0]
    _, update = track.update_calls(track.UpdateRequest("S2", "3", layering))
    assert (update.method, update.path) == ("PUT", "sessions/S2/tracks/update")
    assert update.body["tracks"][0]["mid"] == "3"
