"""What an error of the Realtime API means for the one who reads it, and what to do next (Realtime docs: Error codes).

Codes are an open set: an unknown one falls back to its HTTP status, and an unknown status to nothing.
"""

from __future__ import annotations

UNSTABLE_SIGNALLING = frozenset(
    {
        "signaling_state_not_stable",
        "invalid_modification_have_local_offer",
        "invalid_modification_have_remote_offer",
        "invalid_modification_have_local_pranswer",
        "invalid_modification_have_remote_pranswer",
    }
)
"As code, or as subcode of `invalid_session_description`: another negotiation of the session is pending."

_NEGOTIATION_PENDING = (
    "Another negotiation of this session is not finished: answer the SFU's offer through `renegotiate` first, "
    "and send one change of a session at a time."
)
_SERVICE_TROUBLE = (
    "Trouble on the service's side. Try again in a while; https://www.cloudflarestatus.com tells of outages."
)
_NO_MEDIA = (
    "The SFU has no media under that session and name. Check both (case matters), that the publisher is connected, "
    "and that it is sending: a track appears only once its first packets have arrived."
)
_CREDENTIALS = "Check that the App ID and its App Secret belong together: rtcctl config check"
_SESSION_GONE = (
    "The session is gone (of a pull, it can also be the publisher's): it expired unused, lost its connection for 30 s, "
    "or ran out of m-sections. Make a new one, publish and subscribe again; retrying cannot help."
)
_NOT_CONNECTED = (
    "The session's connection is not up yet: finish the offer/answer exchange, then wait until ICE and DTLS are "
    "connected."
)

_BY_STATUS_AND_CODE: dict[tuple[int, str], str] = {
    (410, "session_error"): _SESSION_GONE,
    (425, "session_error"): _NOT_CONNECTED,
}

_BY_CODE: dict[str, str] = {
    # Of a request.
    "unauthorized": _CREDENTIALS,
    "not_found": (
        "The App ID is unknown here; this is never about a track. Check the App ID and the API base: "
        "rtcctl config show --origin. A new app can take a minute to be known everywhere."
    ),
    "decoding_error": (
        "The body could not be decoded: the description names the field. Usual causes: `{}` where no body belongs, a "
        "numeric `mid`, a missing `mid`, `force` or `sessionDescription`, `trackname` for `trackName`."
    ),
    "invalid_params": (
        "A value, a combination or a limit is wrong: at most 64 tracks a call, all local or all remote, no empty `mid`."
    ),
    "payload_too_large": "The body is too large: put fewer tracks into one call.",
    "session_error": "The session is not connected, or is gone: rtcctl session get SESSION",
    "invalid_session_description": (
        "The SDP was refused: it must end with CRLF, have m-sections, ICE credentials and a fingerprint, keep the "
        "order and mids of the exchange before, and be of the type that the moment asks for."
    ),
    "invalid_modification_stable": "An answer came although no offer was pending: do not send it again.",
    "rate_limited": "More than 50 requests a second on one session: slow down.",
    # Of one item.
    "not_found_track_error": _NO_MEDIA,
    "empty_track_error": (
        "The track is known but no packet of it came in time: is the publisher still sending, or muted? A new track on "
        "an m-section that was closed with `force` stays empty: publish it on a fresh one."
    ),
    "track_error": "The SFU does not say why. Look at both sessions: rtcctl session get SESSION",
    "repeated_local_track_error": "The session already holds a channel of that name: close its old id first.",
    "update_track_error": (
        "Nothing to update: the publisher sends no simulcast, or its media has not reached the subscriber yet "
        "(then try again for some seconds)."
    ),
    "close_track_error": "It is closed already, or was never there.",
    "websocket_localhost_not_allowed": "The SFU dials the endpoint itself: give it a public host, or a tunnel.",
    "websocket_handshake_failed": "The endpoint refused the WebSocket upgrade: check its path and token.",
    "websocket_connection_timeout": "The endpoint did not answer in time; redirects are not followed.",
    "adapter_not_found": "The adapter is closed already, or was never there.",
    # Of either.
    "retryable_transient_error": "It says of itself that it passes: try again.",
    "temporarily_unavailable_error": _SERVICE_TROUBLE,
    "transport_unavailable_error": "The SFU could not set up the media transport: try again, then look at the session.",
    "backend_error": "The service got no result in time: look at the session before repeating anything.",
    "internal_error": (
        "The service does not say why. Look at the session before repeating anything; an SDP that only looks like one "
        "is a known cause."
    ),
} | dict.fromkeys(UNSTABLE_SIGNALLING, _NEGOTIATION_PENDING)

_BY_STATUS: dict[int, str] = {
    400: _BY_CODE["decoding_error"],
    401: _CREDENTIALS,
    403: _CREDENTIALS,
    404: "Check App ID, key id and API base (it ends in /v1, without /apps): rtcctl config show --origin",
    405: "The API has no such method for this path; a session cannot be deleted, only its tracks closed.",
    406: "A parameter was refused, or another negotiation of this session is pending; the code tells which.",
    409: "It is there already: close it first.",
    410: _SESSION_GONE,
    413: _BY_CODE["payload_too_large"],
    425: _NOT_CONNECTED,
    429: _BY_CODE["rate_limited"],
}


def hint_for(status: int, code: str | None = None, subcode: str | None = None) -> str:
    """What `code` (or `subcode`, which is more precise) means with this HTTP status and what to do; `""` if unknown.

    `status` is 200 for an item inside an answer.
    """
    if code is not None and (status, code) in _BY_STATUS_AND_CODE:
        return _BY_STATUS_AND_CODE[status, code]
    for word in (subcode, code):
        if word in _BY_CODE:
            return _BY_CODE[word]
    return _BY_STATUS.get(status, _SERVICE_TROUBLE if status >= 500 else "")


def is_unstable_signalling(code: str | None, subcode: str | None) -> bool:
    """Whether another negotiation of the session was pending, so that the same request may be sent again."""
    return code in UNSTABLE_SIGNALLING or subcode in UNSTABLE_SIGNALLING
