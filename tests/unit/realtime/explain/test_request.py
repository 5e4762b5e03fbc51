"""Mistakes in requests, one by one, as the service refuses or misunderstands them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.realtime.explain.finding import Finding
from rtcctl.realtime.explain.request import OPERATIONS, explain_request

SESSION = f"/v1/apps/app/sessions/{'a' * 32}"
PUBLISHER = "b" * 32
VECTORS = Path(__file__).parents[3] / "vectors" / "sdp"


def described(name: str, kind: str = "offer") -> dict[str, str]:
    return {"type": kind, "sdp": (VECTORS / f"{name}.sdp").read_bytes().decode("utf-8")}


OFFER = described("chromium-publish-audio")
RECVONLY = described("chromium-recvonly")
ANSWER = described("chromium-answer", "answer")
LOCAL = {"location": "local", "mid": "0", "trackName": "mic"}
REMOTE = {"location": "remote", "sessionId": PUBLISHER, "trackName": "mic"}


def explained(method: str, path: str, body: Any = None) -> list[Finding]:
    return explain_request(method, path, None if body is None else json.dumps(body))


def without(item: dict[str, Any], name: str, **fields: Any) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != name} | fields


GOOD: list[tuple[str, str, Any]] = [
    ("POST", "/v1/apps/app/sessions/new", None),
    ("POST", "/v1/apps/app/sessions/new?correlationId=a", None),
    ("POST", "https://rtc.live.cloudflare.com/v1/apps/app/sessions/new?", None),
    ("post", "sessions/new", {"sessionDescription": OFFER}),
    ("GET", SESSION, None),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [LOCAL], "sessionDescription": OFFER}),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [without(LOCAL, "mid", kind="audio")]}),
    ("POST", f"{SESSION}/tracks/new", {"autoDiscover": True, "sessionDescription": OFFER}),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE, REMOTE | {"trackName": "cam", "mid": "#mine"}]}),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE], "sessionDescription": RECVONLY}),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [REMOTE | {"simulcast": {"preferredRid": "h", "priorityOrdering": "asciibetical"}}]},
    ),
    ("PUT", f"{SESSION}/tracks/update", {"tracks": [REMOTE | {"mid": "1"}]}),
    ("PUT", f"{SESSION}/tracks/close", {"tracks": [{"mid": "0"}], "force": True}),
    ("PUT", f"{SESSION}/tracks/close", {"tracks": [{"mid": "0"}], "force": False, "sessionDescription": OFFER}),
    ("PUT", f"{SESSION}/renegotiate", {"sessionDescription": ANSWER}),
    (
        "POST",
        f"{SESSION}/datachannels/establish",
        {"dataChannel": {"location": "remote", "dataChannelName": "server-events"}},
    ),
    (
        "POST",
        f"{SESSION}/datachannels/establish",
        {
            "datachannel": {"location": "remote", "dataChannelName": "server-events"},
            "sessionDescription": described("chromium-publish-simulcast-datachannel"),
        },
    ),
    (
        "POST",
        f"{SESSION}/datachannels/new",
        {"dataChannels": [{"location": "local", "dataChannelName": "a", "ordered": False, "maxRetransmits": 0}]},
    ),
    (
        "POST",
        f"{SESSION}/datachannels/new",
        {
            "dataChannels": [
                {"location": "remote", "sessionId": PUBLISHER, "dataChannelName": "a", "canReply": True},
                {"location": "remote", "sessionId": PUBLISHER, "dataChannelName": "b", "waitForAck": True},
            ]
        },
    ),
    (
        "PUT",
        f"{SESSION}/datachannels/update",
        {
            "dataChannels": [
                {"location": "remote", "sessionId": PUBLISHER, "dataChannelName": "a", "canReply": False},
            ]
        },
    ),
    ("PUT", f"{SESSION}/datachannels/close", {"dataChannels": [{"id": 2}]}),
    (
        "POST",
        "/v1/apps/app/adapters/websocket/new",
        {
            "tracks": [
                {"location": "local", "trackName": "a", "endpoint": "wss://example.com/?t=1", "inputCodec": "pcm"},
                {
                    "location": "remote",
                    "trackName": "a",
                    "sessionId": PUBLISHER,
                    "endpoint": "wss://example.com/",
                    "outputCodec": "jpeg",
                },
            ]
        },
    ),
    ("POST", "/v1/apps/app/adapters/websocket/close", {"tracks": [{"adapterId": "x"}]}),
    ("POST", "/v1/turn/keys/key/credentials/generate", None),
    ("POST", "/v1/turn/keys/key/credentials/generate-ice-servers", {"ttl": 86400, "customIdentifier": "alice"}),
    ("POST", "/v1/turn/keys/key/credentials/user%2Fname/revoke", None),
]


@pytest.mark.parametrize(("method", "path", "body"), GOOD)
def test_good_requests(method: str, path: str, body: Any) -> None:
    """Nothing is found in what the service takes."""
    assert explained(method, path, body) == []


def test_every_operation_is_among_the_good_ones() -> None:
    """So that none is left out above."""
    paths = {(method.upper(), path.partition("?")[0].rpartition("/")[2]) for method, path, _ in GOOD}
    for operation in OPERATIONS:
        last = operation.path.rpartition("/")[2]
        assert (operation.method, "a" * 32 if last == "{session}" else last) in paths


BAD: list[tuple[str, str, Any, str, str]] = [
    # Paths and methods
    ("POST", "/apps/app/sessions/new", None, "path", "does not begin with /v1"),
    ("POST", "/v1/apps/app/apps/app/sessions/new", None, "path", "App ID is in the path twice"),
    ("POST", "/v1/apps/app/sessions", None, "path", "no list of sessions"),
    ("POST", f"{SESSION}/tracks", None, "path", "publishes and subscribes"),
    ("POST", f"{SESSION}/tracks/new/", None, "path", "no slash at the end"),
    ("POST", f"{SESSION}/tracks/publish", None, "path", "`local`"),
    ("PUT", f"{SESSION}/tracks/change", None, "path", "tracks/update"),
    ("DELETE", f"{SESSION}/tracks/0", None, "path", "no path of its own"),
    ("POST", f"{SESSION}/datachannels", None, "path", "establish"),
    ("POST", f"{SESSION}/candidates", None, "path", "no trickle"),
    ("POST", f"{SESSION}/startRecording", None, "path", "records and streams nothing"),
    ("POST", f"{SESSION}/close", None, "path", "cannot be deleted"),
    ("POST", "/v1/apps/app/turn/credentials", None, "path", "TURN key's token"),
    ("POST", "/v1/turn/keys/key/credentials", None, "path", "generate-ice-servers"),
    ("GET", "/", None, "path", "/v1/apps/APP"),
    ("GET", "", None, "path", "/v1/apps/APP"),
    ("DELETE", SESSION, None, "method", "close its tracks"),
    ("POST", f"{SESSION}/renegotiate", {}, "method", "It takes PUT"),
    ("PUT", f"{SESSION}/tracks/new", {}, "method", "It takes POST"),
    ("PUT", "/v1/apps/app/adapters/websocket/close", {}, "method", "It takes POST"),
    ("GET", "/v1/apps/app/sessions/new", None, "method", "It takes POST"),
    # Bodies
    ("POST", f"{SESSION}/tracks/new", None, "body", "there is none"),
    ("POST", f"{SESSION}/tracks/new", [], "body", "no object"),
    ("POST", f"{SESSION}/tracks/new", '{"tracks": []}', "body", "encoded as JSON twice"),
    # sessions/new
    ("POST", "sessions/new", {}, "body", "no body at all"),
    ("POST", "sessions/new", {"tracks": [LOCAL]}, "body", "no body at all"),
    ("POST", "sessions/new", {"sessiondescription": OFFER}, "sessiondescription", "`sessionDescription`"),
    ("POST", "sessions/new", {"offer": OFFER}, "body", "no body at all"),
    ("POST", "sessions/new", {"sessionDescription": OFFER["sdp"]}, "sessionDescription", "no object"),
    ("POST", "sessions/new", {"sessionDescription": ANSWER}, "sessionDescription.type", "an answer is not expected"),
    ("POST", "sessions/new", {"sessionDescription": {"sdp": OFFER["sdp"]}}, "sessionDescription.type", "missing"),
    ("POST", "sessions/new", {"sessionDescription": {"type": "offer"}}, "sessionDescription.sdp", "missing"),
    (
        "POST",
        "sessions/new",
        {"sessionDescription": OFFER | {"type": "pranswer"}},
        "sessionDescription.type",
        "it cannot be 'pranswer'",
    ),
    (
        "POST",
        "sessions/new",
        {"sessionDescription": OFFER | {"sdp": OFFER["sdp"].strip()}},
        "sessionDescription.sdp: SDP",
        "CRLF",
    ),
    # renegotiate
    ("PUT", f"{SESSION}/renegotiate", {}, "sessionDescription", "type: 'answer'"),
    ("PUT", f"{SESSION}/renegotiate", {"sessionDescription": 1}, "sessionDescription", "no object"),
    # tracks/new
    ("POST", f"{SESSION}/tracks/new", {}, "tracks", "it is missing"),
    ("POST", f"{SESSION}/tracks/new", {"track": [LOCAL]}, "track", "`tracks`"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": LOCAL}, "tracks", "no list"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": []}, "tracks", "empty"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": ["mic"]}, "tracks[0]", "no object"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE] * 65}, "tracks", "there are 65"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [without(REMOTE, "location")]}, "tracks[0].location", "missing"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"location": "there"}]}, "tracks[0].location", "'there'"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"location": [1]}]}, "tracks[0].location", "known words"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [without(REMOTE, "sessionId")]}, "tracks[0].sessionId", "missing"),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [without(REMOTE, "trackName", trackname="mic")]},
        "tracks[0].trackname",
        "The field is `trackName`",
    ),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"trackName": ""}]}, "tracks[0].trackName", "empty"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"mid": 0}]}, "tracks[0].mid", 'Write "0", with quotes'),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"mid": True}]}, "tracks[0].mid", "no string"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"kind": "data"}]}, "tracks[0].kind", "datachannels/new"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"simulcast": "h"}]}, "tracks[0].simulcast", "no object"),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [REMOTE | {"simulcast": {"preferredRid": "h", "priorityOrdering": "best"}}]},
        "tracks[0].simulcast.priorityOrdering",
        "it cannot be 'best'",
    ),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [REMOTE | {"bidirectionalMediaStream": "true"}]},
        "tracks[0].bidirectionalMediaStream",
        "neither true nor false",
    ),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [LOCAL]}, "tracks[0].kind", "missing"),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [without(LOCAL, "mid")], "sessionDescription": OFFER},
        "tracks[0].mid",
        "transceiver.mid",
    ),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [LOCAL | {"mid": "7"}], "sessionDescription": OFFER},
        "tracks[0].mid",
        "It has: '0'",
    ),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [LOCAL], "sessionDescription": RECVONLY},
        "tracks[0].mid",
        "recvonly: nothing is sent",
    ),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [LOCAL | {"kind": "video"}], "sessionDescription": OFFER},
        "tracks[0].kind",
        "It is 'audio'",
    ),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [REMOTE], "sessionDescription": OFFER},
        "sessionDescription",
        "no m-section of the offer receives",
    ),
    ("POST", f"{SESSION}/tracks/new", {"autoDiscover": True}, "sessionDescription", "missing"),
    ("POST", f"{SESSION}/tracks/new", {"autoDiscover": "yes", "tracks": [REMOTE]}, "autoDiscover", "neither true"),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [LOCAL, LOCAL | {"trackName": "b"}], "sessionDescription": OFFER},
        "tracks",
        "2 have the mid '0'",
    ),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [without(LOCAL, "mid", kind="audio")] * 2},
        "tracks",
        "2 have the trackName 'mic'",
    ),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [LOCAL, REMOTE], "sessionDescription": described("chromium-reoffer-stopped")},
        "tracks",
        "some are local, some remote",
    ),
    # tracks/update
    ("PUT", f"{SESSION}/tracks/update", {"tracks": [REMOTE]}, "tracks[0].mid", "missing"),
    (
        "PUT",
        f"{SESSION}/tracks/update",
        {"tracks": [REMOTE | {"location": "local", "mid": "0"}]},
        "tracks[0].location",
        "replaceTrack()",
    ),
    # tracks/close
    ("PUT", f"{SESSION}/tracks/close", {"tracks": [{"mid": "0"}]}, "force", "missing"),
    ("PUT", f"{SESSION}/tracks/close", {"tracks": [{"mid": "0"}], "force": 1}, "force", "neither true"),
    ("PUT", f"{SESSION}/tracks/close", {"tracks": [{"trackName": "mic"}], "force": True}, "tracks[0]", "by its mid"),
    ("PUT", f"{SESSION}/tracks/close", {"tracks": [{"mid": ""}], "force": True}, "tracks[0].mid", "not to be kept"),
    ("PUT", f"{SESSION}/tracks/close", {"tracks": [{"mid": "0"}], "force": False}, "sessionDescription", "missing"),
    ("PUT", f"{SESSION}/tracks/close", {"tracks": [{"mid": "0"}], "Force": True}, "Force", "`force`"),
    # data channels
    ("POST", f"{SESSION}/datachannels/establish", {}, "dataChannel", "server-events"),
    ("POST", f"{SESSION}/datachannels/establish", {"dataChannel": "x"}, "dataChannel", "no object"),
    (
        "POST",
        f"{SESSION}/datachannels/establish",
        {"dataChannel": {"location": "remote", "dataChannelName": "chat"}},
        "dataChannel.dataChannelName",
        "server-events",
    ),
    (
        "POST",
        f"{SESSION}/datachannels/establish",
        {"data_channel": {"location": "remote", "dataChannelName": "server-events"}},
        "data_channel",
        "`dataChannel`",
    ),
    (
        "POST",
        f"{SESSION}/datachannels/establish",
        {"dataChannel": {"location": "remote", "dataChannelName": "server-events"}, "sessionDescription": OFFER},
        "sessionDescription",
        "no m=application",
    ),
    ("POST", f"{SESSION}/datachannels/new", {"dataChannels": []}, "dataChannels", "empty"),
    (
        "POST",
        f"{SESSION}/datachannels/new",
        {"dataChannels": [{"location": "remote", "dataChannelName": "a"}]},
        "dataChannels[0].sessionId",
        "missing",
    ),
    (
        "POST",
        f"{SESSION}/datachannels/new",
        {
            "dataChannels": [
                {"location": "local", "dataChannelName": "a", "maxRetransmits": 1, "maxPacketLifeTime": 100}
            ]
        },
        "dataChannels[0]",
        "exclude each other",
    ),
    (
        "POST",
        f"{SESSION}/datachannels/new",
        {"dataChannels": [{"location": "local", "dataChannelName": "a", "maxRetransmits": -1}]},
        "dataChannels[0].maxRetransmits",
        "no whole number",
    ),
    (
        "POST",
        f"{SESSION}/datachannels/new",
        {"dataChannels": [{"location": "local", "dataChannelName": "server-events"}]},
        "dataChannels[0].dataChannelName",
        "establish",
    ),
    (
        "POST",
        f"{SESSION}/datachannels/new",
        {
            "dataChannels": [
                {"location": "local", "dataChannelName": "a"},
                {"location": "remote", "dataChannelName": "a", "sessionId": PUBLISHER},
            ]
        },
        "dataChannels",
        "some are local",
    ),
    (
        "PUT",
        f"{SESSION}/datachannels/update",
        {"dataChannels": [{"location": "local", "dataChannelName": "a", "sessionId": PUBLISHER}]},
        "dataChannels[0].location",
        "One of: remote",
    ),
    ("PUT", f"{SESSION}/datachannels/close", {"dataChannels": [{"dataChannelName": "a"}]}, "dataChannels[0].id", "id"),
    ("PUT", f"{SESSION}/datachannels/close", {"dataChannels": [{"id": "2"}]}, "dataChannels[0].id", "no whole number"),
    # adapters
    (
        "POST",
        "/v1/apps/app/adapters/websocket/new",
        {"tracks": [{"location": "local", "trackName": "a", "endpoint": "wss://a.example"}]},
        "tracks[0].inputCodec",
        "pcm",
    ),
    (
        "POST",
        "/v1/apps/app/adapters/websocket/new",
        {"tracks": [{"location": "local", "trackName": "a", "endpoint": "https://a.example", "inputCodec": "pcm"}]},
        "tracks[0].endpoint",
        "ws://",
    ),
    (
        "POST",
        "/v1/apps/app/adapters/websocket/new",
        {"tracks": [{"location": "local", "trackName": "a", "endpoint": "ws://localhost:1", "inputCodec": "pcm"}]},
        "tracks[0].endpoint",
        "public host",
    ),
    (
        "POST",
        "/v1/apps/app/adapters/websocket/new",
        {"tracks": [{"location": "local", "trackName": "a", "endpoint": "ws://[", "inputCodec": "pcm"}]},
        "tracks[0].endpoint",
        "no URL",
    ),
    ("POST", "/v1/apps/app/adapters/websocket/new", {"tracks": [{}] * 5}, "tracks", "there are 5"),
    ("POST", "/v1/apps/app/adapters/websocket/close", {"tracks": [{}]}, "tracks[0].adapterId", "missing"),
    # TURN
    ("POST", "/v1/turn/keys/key/credentials/generate", {"ttl": 864000}, "ttl", "from 1 to 172800"),
    ("POST", "/v1/turn/keys/key/credentials/generate", {"ttl": "60"}, "ttl", "from 1 to 172800"),
    ("POST", "/v1/turn/keys/key/credentials/generate", {"customIdentifier": 7}, "customIdentifier", "no string"),
]


@pytest.mark.parametrize(("method", "path", "body", "where", "what"), BAD)
def test_bad_requests(method: str, path: str, body: Any, where: str, what: str) -> None:
    """The mistake is among the errors, where it is, with what to do."""
    found = [finding for finding in explained(method, path, body) if finding.is_error]
    assert any(finding.where == where and what in str(finding) for finding in found), list(map(str, found))
    assert all(finding.hint for finding in found)


IGNORED: list[tuple[str, str, Any, str, str]] = [
    (
        "POST",
        "sessions/new",
        {"sessionDescription": OFFER, "tracks": [LOCAL]},
        "tracks",
        "Publish through tracks/new",
    ),
    ("POST", "sessions/new", {"sessionDescription": OFFER, "correlationId": "x"}, "correlationId", "into the query"),
    ("PUT", f"{SESSION}/renegotiate", {"sessionDescription": OFFER}, "sessionDescription.type", "restarts ICE"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"trackId": "x"}]}, "tracks[0].trackId", "by `sessionId`"),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"x\ny": 1}]}, "tracks[0].'x\\ny'", "Leave it out"),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [REMOTE | {"trackname": "mic"}]},
        "tracks[0].trackname",
        "it is ignored",
    ),
    ("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"simulcast": {}}]}, "tracks[0].simulcast", "which layer"),
    (
        "POST",
        f"{SESSION}/tracks/new",
        {"tracks": [LOCAL | {"simulcast": {"preferredRid": "h"}}], "sessionDescription": OFFER},
        "tracks[0].simulcast",
        "sendEncodings",
    ),
    (
        "PUT",
        f"{SESSION}/tracks/close",
        {"tracks": [{"mid": "0"}], "force": True, "sessionDescription": OFFER},
        "sessionDescription",
        "`force: false`",
    ),
    (
        "POST",
        f"{SESSION}/datachannels/new",
        {"dataChannels": [{"location": "local", "dataChannelName": "a", "id": 3, "canReply": True}]},
        "dataChannels[0].canReply",
        "subscriber's",
    ),
    (
        "POST",
        f"{SESSION}/datachannels/new",
        {"dataChannels": [{"location": "local", "dataChannelName": "a", "id": 3}]},
        "dataChannels[0].id",
        "the SFU gives the id",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "where", "what"), IGNORED)
def test_what_is_accepted_and_means_something_else(method: str, path: str, body: Any, where: str, what: str) -> None:
    """A warning, and no error."""
    found = explained(method, path, body)
    assert any(finding.where == where and what in str(finding) for finding in found), list(map(str, found))
    assert not any(finding.is_error for finding in found)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"\xff\xfe", "no JSON"),
        ("{", "at character 1"),
        ("force=true", "no form"),
        ("[" * 100_000, "nested too deeply"),
        (f'{{"tracks": {"9" * 5000}}}', "no JSON"),
        ("   ", "there is none"),
        (b'{"force": true, "tracks": [{"mid": "0"}]}', ""),
    ],
)
def test_bodies_as_they_come(body: bytes | str, what: str) -> None:
    """Bytes and text, whole or not."""
    findings = explain_request("PUT", f"{SESSION}/tracks/close", body)
    assert what in str(findings[0]) if what else not findings


def test_errors_come_first() -> None:
    """Whoever shows one shows the one that matters."""
    findings = explained("POST", f"{SESSION}/tracks/new", {"x": 1, "tracks": [REMOTE | {"y": 1, "mid": 1}]})
    assert [finding.is_error for finding in findings] == [True, False, False]


def test_findings_repeat_no_secret() -> None:
    """Neither an endpoint, nor SDP where a word belongs, nor a long text."""
    endpoint = "wss://localhost/token-0123456789"
    adapter = {"location": OFFER["sdp"], "trackName": "x" * 999, "endpoint": endpoint, "inputCodec": "pcm"}
    said = " ".join(
        map(
            str,
            [
                *explained("POST", "/v1/apps/app/adapters/websocket/new", {"tracks": [adapter]}),
                *explained("POST", f"{SESSION}/tracks/new", {"tracks": [REMOTE | {"kind": OFFER["sdp"]}]}),
                *explained("POST", f"{SESSION}/tracks/new", {"tracks": [{"mid": "m" * 999} | REMOTE] * 2}),
            ],
        )
    )
    assert "token-0123456789" not in said
    assert "v=0" not in said
    assert "m" * 50 not in said


def test_many_fields_cost_little() -> None:
    """Of an object with thousands of fields only some are looked at."""
    findings = explained("POST", f"{SESSION}/tracks/new", {"tracks": [{f"field{i}": 1 for i in range(5000)}]})
    assert len(findings) < 80


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(OFFER),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["tracks", "sessionDescription", "type", "sdp", "mid", "location", "force", "dataChannels", "id", "ttl"]
            )
            | st.text(max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(OPERATIONS), JSON)
def test_any_body_is_explained(operation: Any, body: Any) -> None:
    """Nothing raises, every finding stays one line."""
    path = operation.path.replace("{", "").replace("}", "")
    for finding in explain_request(operation.method, f"/v1/{path}", json.dumps(body)):
        assert str(finding).isprintable()
        assert len(str(finding)) < 500


@given(st.text(max_size=60))
def test_any_path_is_explained(path: str) -> None:
    """Nothing raises."""
    for finding in explain_request("POST", path):
        assert str(finding).isprintable()
