"""Each error code of the contract has a meaning; unknown ones fall back to their status."""

from __future__ import annotations

import pytest

from rtcctl.realtime.explain import hint_for, is_unstable_signalling

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


def test_nothing_is_said_about_what_is_not_known():
    """No invented advice."""
    assert hint_for(200, "brand_new_error") == ""
    assert hint_for(418) == ""


def test_unstable_signalling_is_known_by_code_or_subcode():
    """`invalid_modification_stable` is not one of them: an answer without an offer is never repeated."""
    assert is_unstable_signalling("signaling_state_not_stable", None)
    assert is_unstable_signalling("invalid_session_description", "invalid_modification_have_remote_offer")
    assert not is_unstable_signalling("invalid_session_description", "invalid_modification_stable")
