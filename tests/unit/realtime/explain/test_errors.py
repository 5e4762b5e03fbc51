"""Each error code of the contract has a meaning; unknown ones fall back to their status."""

from __future__ import annotations

import pytest

from rtcctl.realtime.explain.errors import hint_for, is_unstable_signalling

CODES = [
    "unauthorized",
    "not_found",
    "decoding_error",
    "invalid_params",
    "payload_too_large",
    "session_error",
    "invalid_session_description",
    "signaling_state_not_stable",
    "invalid_modification_have_local_offer",
    "invalid_modification_have_remote_offer",
    "invalid_modification_have_local_pranswer",
    "invalid_modification_have_remote_pranswer",
    "invalid_modification_stable",
    "not_found_track_error",
    "empty_track_error",
    "track_error",
    "repeated_local_track_error",
    "update_track_error",
    "close_track_error",
    "websocket_localhost_not_allowed",
    "websocket_handshake_failed",
    "websocket_connection_timeout",
    "adapter_not_found",
    "retryable_transient_error",
    "temporarily_unavailable_error",
    "transport_unavailable_error",
    "backend_error",
    "internal_error",
]


@pytest.mark.parametrize("code", CODES)
def test_every_documented_code_has_a_hint(code: str):
    """The error table of the contract, row by row."""
    assert hint_for(200, code)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 409, 410, 413, 425, 429, 500, 502, 503, 599])
def test_every_documented_status_has_a_hint(status: int):
    """A body without a code, or no JSON at all."""
    assert hint_for(status)
    assert hint_for(status, "brand_new_error") == hint_for(status)


def test_one_code_of_two_statuses_is_told_apart():
    """`session_error` is "not yet" with 425 and "never again" with 410."""
    assert "not up yet" in hint_for(425, "session_error")
    assert "is gone" in hint_for(410, "session_error")


def test_the_subcode_is_more_precise_than_the_code():
    """`invalid_session_description` may only mean that another exchange is pending."""
    pending = hint_for(406, "invalid_session_description", "invalid_modification_have_local_offer")
    assert pending == hint_for(406, "signaling_state_not_stable")
    assert pending != hint_for(406, "invalid_session_description")


@pytest.mark.parametrize(
    ("status", "code", "description", "said"),
    [
        (400, "decoding_error", "Body JSON validation error: sessionDescription", "no body at all"),
        (400, "decoding_error", "Body JSON validation error: force", "`force` is required"),
        (400, "decoding_error", "Body JSON validation error: tracks", "`autoDiscover`"),
        (400, "decoding_error", "Body JSON validation error: dataChannel", "`dataChannelName`"),
        (400, "decoding_error", "JSON body validation error: 0,1", "also the `mid`"),
        (400, "decoding_error", "Failed to decode body as JSON", "no JSON object"),
        (400, "decoding_error", "SDP contains no ice-ufrag", "setLocalDescription()"),
        (400, "decoding_error", "SDP contains no ice-pwd", "setLocalDescription()"),
        (400, "decoding_error", "SDP contains no fingerprint", "a template"),
        (406, "invalid_session_description", "Unable to parse SDP: missing termination at the end", "trimmed"),
        (406, "invalid_session_description", "SDP contains no media sections", "before there was a track"),
        (406, "invalid_session_description", "tracks[0]: the media section with mid '0' does not send", "sendonly"),
        (406, "invalid_session_description", "tracks[0]: there is no media section with mid '9'", "transceiver.mid"),
        (406, "invalid_params", "tracks[0]: Missing mid in track", "not by its name"),
        (406, "invalid_params", "Expecting at most 64 track in the request", "several calls"),
        (406, "invalid_params", "Expecting at least 1 track", "empty"),
        (406, "invalid_params", "Pushing and Pulling tracks in the same request", "all local or all remote"),
        (406, "invalid_params", "tracks[0]: no receiving transceiver for mid '3'", "#name"),
        (406, "invalid_params", "tracks[0]: the media section with mid '1' cannot receive", "`recvonly`"),
        (406, "invalid_params", "The offer has 1 media sections that can receive, for 2 tracks", "`recvonly`"),
        (406, "invalid_session_description", "tracks[0]: no supported codec in the media section", "H265"),
        (406, "invalid_params", "No media section can receive this video track", "other kind"),
        (406, "invalid_params", "Only remote tracks can be updated", "replaceTrack()"),
        (406, "invalid_params", "Only remote data channels can be updated", "`canReply`"),
        (406, "invalid_params", "Only the remote data channel server-events can be established", "server-events"),
        (406, "invalid_session_description", "SDP contains no application media section", "createDataChannel()"),
        (400, "invalid_params", "ttl must be between 1 and 172800 seconds", "86400"),
        (406, "invalid_session_description", "The media section with mid '0' has changed its kind", "one peer"),
        (406, "invalid_session_description", "The order of media sections has changed: '0' was at 1", "one peer"),
        (406, "invalid_session_description", "The offer has fewer media sections than the session", "never taken"),
        (406, "invalid_session_description", "The answer has another media section where mid '0' was", "took the SFU"),
        (
            406,
            "invalid_session_description",
            "The answer does not have the media sections of the offer",
            "took the SFU",
        ),
        (406, "invalid_session_description", "Each media section needs a mid of its own", "a=mid"),
        (406, "invalid_session_description", "Two media sections have the same SSRC", "copied"),
        (406, "invalid_session_description", "a=setup:holdconn is not acceptable here", "actpass"),
        (200, "update_track_error", "The track is not configured for simulcast, no updates applicable.", "try again"),
    ],
)
def test_the_description_tells_which_mistake_it_is(status: int, code: str, description: str, said: str):
    """Where one code stands for many mistakes, people get the hint for theirs."""
    hint = hint_for(status, code, None, description)
    assert said in hint
    assert hint != hint_for(status, code)
    assert hint_for(status, code, None, "in other words") == hint_for(status, code)


def test_the_description_is_the_least_of_the_signs():
    """A subcode, and a code that says it all, go before it; of an unknown code nothing is guessed."""
    pending = "invalid_modification_have_local_offer"
    assert hint_for(406, "invalid_session_description", pending, "does not send") == hint_for(406, pending)
    assert "is gone" in hint_for(410, "session_error", None, "does not send")
    assert hint_for(200, "brand_new_error", None, "does not send") == ""


def test_nothing_is_said_about_what_is_not_known():
    """No invented advice."""
    assert hint_for(200, "brand_new_error") == ""
    assert hint_for(418) == ""


def test_unstable_signalling_is_known_by_code_or_subcode():
    """`invalid_modification_stable` is not one of them: an answer without an offer is never repeated."""
    assert is_unstable_signalling("signaling_state_not_stable", None)
    assert is_unstable_signalling("invalid_session_description", "invalid_modification_have_remote_offer")
    assert not is_unstable_signalling("invalid_session_description", "invalid_modification_stable")
