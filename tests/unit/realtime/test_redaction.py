"""What is left of an exchange that may be passed on."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.sdp import SessionDescription
from rtcctl.realtime.masking import MASK
from rtcctl.realtime.redaction import Redactor

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"
    "a=ice-ufrag:uF4g\r\na=ice-pwd:thepasswordoftheicesession\r\n"
    "a=fingerprint:sha-256 AA:BB\r\na=crypto:1 AES inline:thekeyofsdes\r\n"
    "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host ufrag uF4g\r\n"
)


def test_ice_credentials_go_and_the_rest_of_sdp_stays():
    """Password, user fragment (that of a candidate too) and SDES keys; addresses and fingerprints are needed."""
    redacted = Redactor().text(SDP)
    assert not any(secret in redacted for secret in ("uF4g", "thepassword", "thekeyofsdes"))
    assert "192.0.2.1 5000 typ host ufrag masked\r\n" in redacted
    assert "a=fingerprint:sha-256 AA:BB\r\n" in redacted
    assert redacted.count("\r\n") == SDP.count("\r\n")
    assert "thepassword" not in Redactor().text(json.dumps({"sdp": SDP}))
    redactor = Redactor()
    redactor.learn(SDP)
    assert redactor.text(SDP) == redacted


def test_a_token_goes_wherever_it_is():
    """A JSON Web Token under a name that nobody knows, and in the words of a service that says it back."""
    token = "eyJhbGciOiJFUzI1NiJ9.eyJyb29tIjoiYm9keSJ9.Ym9keS10b2tlbi1pcy1zZWNyZXQ"
    redactor = Redactor()
    redactor.learn({"sessionDescription": token})
    assert redactor.value({"sessionDescription": token, "said": f"bad: {token}."}) == {
        "sessionDescription": MASK,
        "said": f"bad: {MASK}.",
    }
    assert Redactor().text(f"cut {token[:30]}") == f"cut {MASK}"


def test_sdp_stays_sdp():
    """So that what is wrong with it can still be found, and nothing else is."""
    lines = (line for line in SDP.splitlines() if not line.startswith("a=crypto"))
    parsed = SessionDescription.parse(Redactor().text("".join(f"{line}\r\n" for line in lines)))
    assert parsed.media[0].ice_ufrag == "masked"
    assert len(parsed.media[0].ice_pwd) >= 22


@pytest.mark.parametrize(
    "value",
    [
        {"result": {"uid": "app", "secret": "S3CRET-value"}},
        {"result": {"uid": "turn", "key": "S3CRET-value"}},
        {"iceServers": [{"urls": ["turn:a"], "username": "S3CRET-value", "credential": "S3CRET-value"}]},
        {"app_secret": "S3CRET-value", "turn_key_token": "S3CRET-value", "wrong_password": "S3CRET-value"},
        {"environment": [["RTCCTL_APP_SECRET", "S3CRET-value"]]},
        {"variables": [{"name": "RTCCTL_TURN_KEY_TOKEN", "value": "S3CRET-value"}]},
        {"authorization": "S3CRET-value", "text": "Authorization: Bearer S3CRET-value"},
        {"endpoint": "wss://S3CRET-value@example.com/in?jwt=S3CRET-value&x=S3CRET-value#f"},
        "POST /turn/keys/id/credentials/S3CRET-value/revoke: 404",
    ],
)
def test_structure_tells_a_secret(value: object):
    """By the name of its field, its neighbour, or its place in a URL."""
    assert "S3CRET" not in json.dumps(Redactor().value(value))


def test_what_is_no_secret_stays():
    """Ids, names, numbers, correlation ids, and the transport of a TURN URL."""
    value = {
        "sessionId": "abc",
        "trackName": "mic",
        "turn_key_id": "id",
        "urls": ["turn:turn.example.com:3478?transport=udp"],
        "url": "https://example.com/v1/apps/a/sessions/new?correlationId=run-7",
        "secrets": [{"kind": "app"}],
        "at": 1.5,
        "none": None,
    }
    assert Redactor().value(value) == value


def test_what_was_found_once_is_masked_wherever_it_comes_again():
    """A credential that an answer has handed out is not in what is said of it later; a known secret is nowhere."""
    redactor = Redactor(also=lambda text: text.replace("known to the process", MASK))
    redactor.keep_secret("the App Secret")
    redactor.learn({"iceServers": [{"username": "1700000000:alice", "credential": "issued-credential"}], "sdp": SDP})
    said = "1700000000:alice issued-credential the App Secret known to the process thepasswordoftheicesession uF4g"
    assert redactor.text(said) == f"{MASK} {MASK} {MASK} {MASK} {MASK} uF4g"
    assert redactor.value({"the App Secret": 1}) == {MASK: 1}


@given(st.recursive(st.text() | st.integers() | st.none(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_any_json_is_redacted_to_json(value: object):
    """No value is too strange to be recorded."""
    redactor = Redactor()
    redactor.learn(value)
    json.dumps(redactor.value(value))


def test_depth_is_bounded():
    """An answer that is nested deeper than any that we know does not end the command."""
    value: object = "S3CRET"
    for _ in range(900):
        value = [value]
    redactor = Redactor()
    redactor.learn(value)
    assert "S3CRET" not in json.dumps(redactor.value(value))
