"""`explain`: each known mistake is found where it is; what is right has none; what is unknown is not guessed."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import UsageError
from rtcctl.ops.explain import TextRequest, WordsRequest, explain_text, explain_words
from rtcctl.realtime.explain.errors import CODES_OF_STATUS, is_known_code
from rtcctl.results.explain import Explain

VECTORS = Path(__file__).parents[2] / "vectors" / "sdp"
PUBLISHER = "b" * 32


def vector(name: str) -> str:
    return (VECTORS / f"{name}.sdp").read_bytes().decode("utf-8")


AUDIO = vector("chromium-publish-audio")
SIMULCAST = vector("chromium-publish-simulcast-datachannel")
OFFER = {"type": "offer", "sdp": AUDIO}
RECVONLY = {"type": "offer", "sdp": vector("chromium-recvonly")}
REMOTE = {"location": "remote", "sessionId": PUBLISHER, "trackName": "mic"}


def explained(content: Any, **options: Any) -> Explain:
    text = content if isinstance(content, str) else json.dumps(content)
    return explain_text(TextRequest(text, "stdin", **options))


def unsorted_rids() -> str:
    text = SIMULCAST.replace("send f;h;q", "send high;med;low")
    for short, long in (("f", "high"), ("h", "med"), ("q", "low")):
        text = text.replace(f"a=rid:{short} send", f"a=rid:{long} send")
    return text


MISTAKES: list[tuple[Any, str | None, str, int | None, str]] = [
    # (what is given, the operation that is inferred, where, line, what to do)
    ({}, "POST sessions/new", "body", None, "no body at all"),
    (
        {"tracks": [{"location": "remote", "sessionId": PUBLISHER, "trackname": "mic"}]},
        "POST sessions/SESSION/tracks/new",
        "tracks[0].trackname",
        None,
        "The field is `trackName`",
    ),
    (
        {"sessionDescription": OFFER, "tracks": [{"location": "local", "trackName": "mic"}]},
        "POST sessions/SESSION/tracks/new",
        "tracks[0].mid",
        None,
        "transceiver.mid",
    ),
    ({"tracks": [{"mid": "0"}]}, "PUT sessions/SESSION/tracks/close", "force", None, "`true` closes at once"),
    (
        {"tracks": [{"trackName": "mic"}], "force": True},
        "PUT sessions/SESSION/tracks/close",
        "tracks[0]",
        None,
        "The mid of this session",
    ),
    (
        {"sessionDescription": OFFER, "tracks": [{"location": "local", "mid": 0, "trackName": "mic"}]},
        "POST sessions/SESSION/tracks/new",
        "tracks[0].mid",
        None,
        'Write "0", with quotes',
    ),
    (
        {"sessionDescription": RECVONLY, "tracks": [{"location": "local", "mid": "0", "trackName": "mic"}]},
        "POST sessions/SESSION/tracks/new",
        "tracks[0].mid",
        21,
        "sendonly",
    ),
    (
        {"sessionDescription": OFFER, "tracks": [REMOTE]},
        "POST sessions/SESSION/tracks/new",
        "sessionDescription",
        None,
        "recvonly",
    ),
    (AUDIO.rstrip(), None, "SDP", AUDIO.count("\n"), "CRLF"),
    (AUDIO[: AUDIO.index("m=audio")], None, "SDP", None, "Add a track"),
    (unsorted_rids(), None, "m-section 1 (video, mid '1')", 162, "a to z"),
    ([{"urls": "stun:stun.cloudflare.com:53"}], None, "iceServers[0].urls[0]", None, "leave it out"),
    ({"iceServers": [{"urls": ["stun:a.example:53"]}]}, None, "iceServers[0].urls[0]", None, "leave it out"),
    ({"ttl": 864_000}, "POST turn/keys/KEY/credentials/generate-ice-servers", "ttl", None, "172800 the most"),
    ({"dataChannels": [{"id": "2"}]}, "PUT sessions/SESSION/datachannels/close", "dataChannels[0].id", None, "quotes"),
    (
        {"dataChannels": [{"location": "remote", "dataChannelName": "a"}]},
        "POST sessions/SESSION/datachannels/new",
        "dataChannels[0].sessionId",
        None,
        "publisher",
    ),
    (
        {"dataChannel": {"location": "remote", "dataChannelName": "chat"}},
        "POST sessions/SESSION/datachannels/establish",
        "dataChannel.dataChannelName",
        None,
        "server-events",
    ),
    (
        {"tracks": [REMOTE | {"mid": "1", "location": "local", "simulcast": {"preferredRid": "h"}}]},
        "PUT sessions/SESSION/tracks/update",
        "tracks[0].location",
        None,
        "replaceTrack()",
    ),
    ({"tracks": [{"adapterId": 5}]}, "POST adapters/websocket/close", "tracks[0].adapterId", None, "quotes"),
    (
        {"tracks": [{"location": "local", "trackName": "a", "endpoint": "ws://localhost/", "inputCodec": "pcm"}]},
        "POST adapters/websocket/new",
        "tracks[0].endpoint",
        None,
        "public host",
    ),
    (
        {"sessionDescription": {"type": "answer", "sdp": AUDIO.rstrip()}},
        "PUT sessions/SESSION/renegotiate",
        "sessionDescription.sdp: SDP",
        AUDIO.count("\n"),
        "CRLF",
    ),
    ({"sessionDescription": AUDIO}, "POST sessions/new", "sessionDescription", None, "{type, sdp}"),
    ({"type": "answer", "sdp": AUDIO}, None, "m-section 0 (audio, mid '0')", 15, "active, or passive"),
    (json.dumps(json.dumps({"force": True, "tracks": [{"mid": "0"}]})), None, "body", None, "once is enough"),
    (
        "POST /v1/apps/a/sessions/new HTTP/1.1\r\nHost: x\r\n\r\n{}",
        "POST /v1/apps/a/sessions/new",
        "body",
        None,
        "no",
    ),
    ("POST /v1/apps/a/sessions/new\nX-App-ID: a\n\n", "POST /v1/apps/a/sessions/new", "X-App-ID", None, "in the path"),
    (
        "POST /v1/apps/a/sessions/new\nAuthorization: Bearer eyJh.eyJz.c2ln\n\n",
        "POST /v1/apps/a/sessions/new",
        "Authorization",
        None,
        "App Secret alone",
    ),
]


@pytest.mark.parametrize(("content", "endpoint", "where", "line", "hint"), MISTAKES)
def test_known_mistakes(content: Any, endpoint: str | None, where: str, line: int | None, hint: str) -> None:
    """Found without being told what it is: where, which line of the SDP, what to do; and the status is 3."""
    result = explained(content)
    assert result.exit_status == 3
    if endpoint is not None:
        assert result.endpoint == endpoint
    found = [(mistake.where, mistake.line) for mistake in result.mistakes if hint in mistake.hint]
    assert (where, line) in found, result.mistakes


GUIDE = [
    # (--to, body, where, what to do): the calls of the API that some backends have in front of the service.
    ("POST /apps/APP/turn/credentials", None, "path", "POST /v1/turn/keys/KEY/credentials/generate-ice-servers"),
    (None, {"tracks": [{"trackName": "audio_microphone_main"}]}, "force", "`true` closes at once"),
    (None, {"tracks": [{"trackName": "audio_microphone_main"}]}, "tracks[0]", "The mid of this session"),
    (
        None,
        {
            "sessionDescription": OFFER,
            "tracks": [{"location": "local", "trackName": "audio_microphone_main"}],
        },
        "tracks[0].mid",
        "transceiver.mid",
    ),
    (
        None,
        {"sessionDescription": RECVONLY, "tracks": [{"location": "remote", "trackName": "mic"}]},
        "tracks[0].sessionId",
        "publisher's session",
    ),
    (
        None,
        {
            "sessionDescription": RECVONLY,
            "tracks": [REMOTE | {"trackName": "audio_1750898103624_wq3osnko4"}],
        },
        "tracks[0].trackName",
        "by no id",
    ),
    (
        "POST sessions/new",
        {"sessionDescription": {"type": "offer", "sdp": AUDIO[: AUDIO.index("m=audio")]}},
        "sessionDescription.sdp: SDP",
        "Add a track",
    ),
    ("POST sessions/SESSION/startRecording", {}, "path", "do it there"),
]


@pytest.mark.parametrize(("to", "body", "where", "hint"), GUIDE)
def test_the_dialect_of_backends(to: str | None, body: Any, where: str, hint: str) -> None:
    """Each call that the service refuses, or understands otherwise, is recognised and explained."""
    result = explained("" if body is None else body, to=to)
    assert result.exit_status == 3
    assert any(mistake.where == where and hint in mistake.hint for mistake in result.mistakes), result.mistakes


@pytest.mark.parametrize(
    ("answer", "where", "said"),
    [
        ({"trackId": "audio_1750898092128_v4cn3hopb", "sessionDescription": OFFER}, "trackId", "`trackName`"),
        ({"sessionId": "s", "status": "connected", "tracks": [{"status": "x"}]}, "status", "connectionState"),
        ({"username": "1:u", "credential": "secret-of-turn", "ttl": 3600}, "credential", "iceServers"),
    ],
)
def test_answers_of_backends(answer: Any, where: str, said: str) -> None:
    """They are recognised too, and none of their values is repeated."""
    result = explained(answer)
    assert (result.kind, result.exit_status) == ("response", 0)
    assert any(meaning.where == where and said in meaning.meaning for meaning in result.meanings)
    assert "secret-of-turn" not in str(result)


@pytest.mark.parametrize(
    "content",
    [
        OFFER,
        AUDIO,
        json.dumps(AUDIO),
        vector("chromium-answer"),
        {"sessionDescription": OFFER},
        {"tracks": [REMOTE]},
        {"tracks": [{"mid": "0"}], "force": True},
        {"sessionDescription": {"type": "answer", "sdp": vector("chromium-answer")}},
        [{"urls": ["stun:stun.cloudflare.com:3478"]}],
    ],
)
def test_what_is_right(content: Any) -> None:
    """No mistake, status 0, whatever shape it comes in."""
    result = explained(content)
    assert result.mistakes == ()
    assert (result.exit_status, result.verdict) == (0, "No mistake is found.")


def test_an_sdp_is_shown_section_by_section() -> None:
    """Its lines, mids, directions, layers and codecs; as an offer or an answer, by what it says of DTLS."""
    result = explained(SIMULCAST)
    assert result.role == "offer"
    assert [(s.line, s.kind, s.mid, s.direction, s.rids) for s in result.sections] == [
        (8, "audio", "0", "sendonly", ()),
        (39, "video", "1", "sendonly", ("f", "h", "q")),
        (163, "application", "2", "", ()),
    ]
    assert "opus" in result.sections[0].codecs
    assert explained(vector("chromium-answer")).role == "answer"
    assert explained(AUDIO, as_="answer").exit_status == 3


def test_lenient() -> None:
    """What is accepted is still said, and is no failure; what is refused is."""
    servers = [{"urls": "stun:a.example:53"}]
    assert explained(servers).exit_status == 3
    lenient = explained(servers, is_lenient=True)
    assert (lenient.exit_status, len(lenient.mistakes)) == (0, 1)
    assert explained({}, is_lenient=True).exit_status == 3


ANSWERS: list[tuple[str, str, bool | None, str]] = [
    # (text, what it is about, whether to try again, what it means)
    ('{"errorCode":"decoding_error","errorDescription":"validation error: force"}', "request", False, "force"),
    (
        '{"errorCode":"session_error","errorDescription":"Session is not ready yet. Please ensure …"}',
        "request",
        True,
        "not up yet",
    ),
    (
        '{"errorCode":"session_error","errorDescription":"Session appears to be disconnected. …"}',
        "request",
        False,
        "is gone",
    ),
    (
        'HTTP/2 200\r\n\r\n{"tracks":[{"mid":"0"},{"mid":"","errorCode":"not_found_track_error"}]}',
        "tracks[1]",
        True,
        "no media",
    ),
    ('HTTP/2 200\n\n{"errorCode":"internal_error"}', "request", None, "whatever the status says"),
    ('HTTP/1.1 200 OK\r\nX: y\r\n\r\nHTTP/2 410\r\n\r\n{"errorCode":"session_error"}', "request", False, "is gone"),
    (
        'HTTP/2 406\n\n{"errorCode":"x_y","errorSubcode":"invalid_modification_have_local_offer"}',
        "request",
        True,
        "Another negotiation",
    ),
    ("HTTP/2 502\n\n<html>", "request", True, "no JSON"),
    ("HTTP/2 401\n\n", "request", False, "belong together"),
    ('HTTP/2 403\n\n{"success":false,"errors":[{"code":10000,"message":"no"}]}', "request", False, "account API token"),
    ('HTTP/2 404\n\n{"success":false,"errors":[]}', "request", False, "of this account"),
    ('HTTP/2 429\nRetry-After: 3\n\n{"errorCode":"rate_limited"}', "Retry-After", None, "3 s"),
    (
        '{"requiresImmediateRenegotiation":true,"tracks":[],"sessionDescription":{"type":"offer"}}',
        "sessionDescription",
        None,
        "PUT renegotiate",
    ),
    (
        '{"requiresImmediateRenegotiation":false,"sessionDescription":{"type":"answer"}}',
        "sessionDescription",
        None,
        "nothing to renegotiate",
    ),
    ('HTTP/2 201\n\n{"sessionId":"a"}', "sessionId", None, "no transport yet"),
    ('{"requiresImmediateRenegotiation":false,"tracks":[{"mid":""}]}', "tracks[0].mid", None, "empty mid"),
    ('{"tracks":[{"mid":"0","status":"inactive"}],"dataChannels":[]}', "tracks[0].status", None, "its publication"),
    ('HTTP/2 201\n\n{"iceServers":[{"urls":["stun:a:53"]}]}', "iceServers[0].urls[0]", None, "port 53"),
    ('{"errorCode":"brand_new_error"}', "request", None, "open set"),
]


@pytest.mark.parametrize(("text", "where", "is_worth_retrying", "said"), ANSWERS)
def test_answers(text: str, where: str, is_worth_retrying: bool | None, said: str) -> None:
    """Errors of a request and of its items, and what comes next when it went well; never status 3."""
    result = explained(text)
    assert (result.kind, result.exit_status) == ("response", 0)
    found = [meaning for meaning in result.meanings if meaning.where == where]
    assert [meaning.is_worth_retrying for meaning in found] == [is_worth_retrying], result.meanings
    assert said in found[0].meaning


def test_the_ray_is_kept_and_secrets_are_not() -> None:
    """What support asks for is there; a description that repeats an SDP or a token does not."""
    body = {"errorCode": "internal_error", "errorDescription": f"Bearer abcdefghijk and {AUDIO}"}
    result = explained(f"HTTP/2 500\nCf-Ray: 8f00-AMS\n\n{json.dumps(body)}")
    assert result.ray == "8f00-AMS"
    assert "abcdefghijk" not in str(result)
    assert "ice-pwd" not in str(result)


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (("not_found_track_error",), "code", "no media under that session and name"),
        (("invalid_modification_have_local_offer",), "code", "Another negotiation"),
        (("425", "session_error"), "code", "not up yet"),
        (("406",), "status", "A parameter was refused"),
        (("200",), "status", "inside a 200"),
        (("201",), "status", "makes a second one"),
        (("Body", "JSON", "validation", "error:", "force"), "description", "`force` is required"),
        (("mid",), "field", "always a string"),
        (("trackId",), "field", "`trackName`"),
    ],
)
def test_words(words: tuple[str, ...], kind: str, said: str) -> None:
    """Codes, statuses, descriptions and fields mean themselves."""
    result = explain_words(WordsRequest(words))
    assert (result.kind, result.exit_status, result.checks) == (kind, 0, ())
    assert said in result.meanings[0].meaning


def test_one_code_of_two_statuses() -> None:
    """Both are told; of a status, codes that mean the same are told once."""
    found = explain_words(WordsRequest(("session_error",))).meanings
    assert {(m.status, m.is_worth_retrying) for m in found} == {(410, False), (425, True)}
    of_406 = explain_words(WordsRequest(("406",))).meanings
    assert len({m.meaning for m in of_406}) == len(of_406)
    assert "signaling_state_not_stable" in {m.code for m in of_406}


def test_every_code_of_a_status_is_known() -> None:
    """The table of statuses and that of meanings do not drift apart."""
    assert all(is_known_code(code) for codes in CODES_OF_STATUS.values() for code in codes)


@pytest.mark.parametrize("words", [("nonsense",), ("418",), ("999",), ("mid", "force"), ("406", "410"), ("",)])
def test_unknown_words(words: tuple[str, ...]) -> None:
    """Nothing is guessed: what can be explained is said."""
    with pytest.raises(UsageError) as error:
        explain_words(WordsRequest(words))
    assert "What can be explained" in error.value.hint


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "nothing in stdin"),
        ("  \n", {}, "nothing in stdin"),
        ("hello", {}, "not recognised."),
        ('{"tracks": [', {}, "line 1, column 13"),
        ("{tracks: []}", {}, "line 1, column 2"),
        ("[" * 100_000, {}, "nested too deeply"),
        ("7", {}, "not recognised."),
        ("[1]", {}, "not recognised."),
        ('{"what": 1}', {}, "for which operation"),
        ("[1]", {"as_": "request"}, "for which operation"),
        ('{"type": "offer", "sdp": 5}', {}, "no string"),
        ("{}", {"to": "tracks/nowhere"}, "no METHOD PATH"),
        ("{}", {"to": "5 %"}, "no METHOD PATH"),
        ("{}", {"to": " "}, "no METHOD PATH"),
    ],
)
def test_unknown_texts(text: str, options: dict[str, Any], message: str) -> None:
    """The same of texts; where it broke off is said."""
    with pytest.raises(UsageError) as error:
        explained(text, **options)
    assert message in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    ("to", "endpoint"),
    [
        ("PUT tracks/close", "PUT sessions/SESSION/tracks/close"),
        ("tracks/close", "PUT sessions/SESSION/tracks/close"),
        ("put /v1/apps/a/sessions/b/tracks/close", "PUT /v1/apps/a/sessions/b/tracks/close"),
        ("renegotiate", "PUT sessions/SESSION/renegotiate"),
        ("sessions/new?thirdparty=true", "POST sessions/new?thirdparty=true"),
    ],
)
def test_the_operation_that_is_named(to: str, endpoint: str) -> None:
    """As people write it, with the method or without where there is one alone."""
    result = explained({"nothing": 1}, to=to)
    assert (result.endpoint, result.is_endpoint_inferred) == (endpoint, False)


BEGINNINGS = ["", "HTTP/2 200\n", "POST x\n", '{"tracks":', '{"errorCode":', "v=0\r\n", "["]


@given(st.sampled_from(BEGINNINGS), st.text(max_size=60))
def test_any_text_is_explained_or_refused(beginning: str, rest: str) -> None:
    """Nothing raises but `UsageError`."""
    with suppress(UsageError):
        assert explained(beginning + rest).source == "stdin"
