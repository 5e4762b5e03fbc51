"""API calls as curl commands: what a shell makes of them is the call, and no secret is in them."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import UsageError
from rtcctl.realtime.curl import ApiCall, curl_command
from tests.unit.realtime.wire import APP_SECRET, PROFILE, TURN_TOKEN


def test_a_call_without_a_body_sends_none():
    """`{}` would be refused, and so is Content-Length: 2."""
    assert curl_command(ApiCall("POST", "sessions/new"), PROFILE) == (
        "curl --silent --show-error --request POST http://127.0.0.1:8610/v1/apps/app/sessions/new \\\n"
        '  --header "Authorization: Bearer $RTCCTL_APP_SECRET"'
    )


def test_placeholders_expand_and_nothing_else_does():
    """A track may be called `$HOME`; the session id is known only when the first call has been answered."""
    call = ApiCall("PUT", "sessions/$SESSION_ID/tracks/close", {"tracks": [{"mid": "$MID"}], "name": "$HOME `x` 'y'"})
    command = curl_command(call, PROFILE)
    assert '/sessions/"$SESSION_ID"/tracks/close' in command
    assert '"$MID"' in command
    words = shlex.split(command.replace(" \\\n", " "))
    assert json.loads(words[words.index("--data-raw") + 1]) == call.body


def test_a_path_with_a_slash_is_below_the_api_base():
    """TURN credentials are not below an app, and take another secret."""
    call = ApiCall("POST", "/turn/keys/key/credentials/generate-ice-servers", {"ttl": 60}, "RTCCTL_TURN_KEY_TOKEN")
    command = curl_command(call, PROFILE)
    assert "http://127.0.0.1:8610/v1/turn/keys/key/" in command
    assert "$RTCCTL_TURN_KEY_TOKEN" in command
    assert APP_SECRET not in command
    assert TURN_TOKEN not in command


@pytest.mark.parametrize("path", ["https://elsewhere.example/x", "//elsewhere.example/x"])
def test_a_path_cannot_lead_to_another_host(path: str):
    """The secret goes with the request."""
    with pytest.raises(UsageError, match="not a path"):
        ApiCall("GET", path).url(PROFILE)


def test_a_url_inside_a_query_is_no_url_of_ours():
    """Only the path decides the host."""
    assert ApiCall("POST", "sessions/new?correlationId=http://x y").url(PROFILE).endswith("=http://x%20y")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_any_text_survives_the_shell(text: str):
    """Whatever is in a track name, the shell hands it to curl as it is."""
    command = curl_command(ApiCall("POST", "sessions/s/tracks/new", {"trackName": text}), PROFILE)
    words = shlex.split(command.replace(" \\\n", " "))
    assert json.loads(words[words.index("--data-raw") + 1]) == {"trackName": text}


def test_a_profile_with_an_authority_of_its_own() -> None:
    """curl is told whom to trust, too, where there is TLS."""
    plain = replace(PROFILE, ca_file="/a folder/ca.pem")
    secure = replace(plain, api_base="https://127.0.0.1:8610/v1")
    assert "--cacert '/a folder/ca.pem'" in curl_command(ApiCall("POST", "sessions/new"), secure)
    assert "--cacert" not in curl_command(ApiCall("POST", "sessions/new"), plain)
