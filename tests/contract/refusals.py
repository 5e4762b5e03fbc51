"""How the service refuses a request: status, code and words (Realtime docs: Error codes).

Words in quotation marks in the documentation, or seen in answers of the live service, stand here as they are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """A request-level error."""

    status: int
    code: str
    words: str = ""
    "Part of the `errorDescription`."
    subcode: str | None = None
    "`errorSubcode`, which is not documented."
    elsewhere: tuple[tuple[int, str | None], ...] = ()
    "Status and code of which the reference does not know whether the service does not use them instead."


_UNSTABLE = (
    (406, "invalid_session_description"),
    (406, "signaling_state_not_stable"),
    (409, "signaling_state_not_stable"),
)

NOT_READY = Refused(
    425,
    "session_error",
    "Session is not ready yet. Please ensure the PeerConnection is connected before making this request",
)
GONE = Refused(
    410, "session_error", "Session appears to be disconnected. Please check if the PeerConnection is connected."
)
HAVE_LOCAL_OFFER = Refused(
    406, "invalid_session_description", subcode="invalid_modification_have_local_offer", elsewhere=_UNSTABLE
)
"An offer of the SFU is unanswered."
BUSY = Refused(406, "signaling_state_not_stable", elsewhere=_UNSTABLE)
"Another request on the session is in progress."
NO_OFFER = Refused(406, "invalid_session_description", subcode="invalid_modification_stable", elsewhere=_UNSTABLE)
"An answer, and nothing to answer."
UNAUTHORIZED = Refused(401, "unauthorized", elsewhere=((401, None), (403, "unauthorized"), (403, None)))
UNKNOWN_APP = Refused(404, "not_found", elsewhere=((401, "unauthorized"), (403, "unauthorized"), (404, None)))
NOT_JSON = Refused(400, "decoding_error", "Failed to decode body as JSON")
TOO_LARGE = Refused(413, "payload_too_large")
TOO_MANY_REQUESTS = Refused(429, "rate_limited", elsewhere=((429, None),))
"The code is made up: only that there is a limit is documented."
MIXED = Refused(406, "invalid_params", "Pushing and Pulling")
NO_TRACKS = Refused(406, "invalid_params", "Expecting at least 1 track")
TOO_MANY_TRACKS = Refused(406, "invalid_params", "Expecting at most 64 track in the request")
MISSING_MID = Refused(406, "invalid_params", "tracks[0]: Missing mid in track")
UNACCEPTABLE = Refused(406, "invalid_session_description")
"SDP that is well-formed and does not fit."
UNTERMINATED = Refused(406, "invalid_session_description", "missing termination at the end")


def missing(field: str) -> Refused:
    """A required field of the body is not there, or of another type."""
    return Refused(400, "decoding_error", f"Body JSON validation error: {field}")


def wrong_items(indexes: str) -> Refused:
    """Items of a list lack something."""
    return Refused(400, "decoding_error", f"JSON body validation error: {indexes}")


def missing_in_sdp(attribute: str) -> Refused:
    return Refused(400, "decoding_error", f"SDP contains no {attribute}")
