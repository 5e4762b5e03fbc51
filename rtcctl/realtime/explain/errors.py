"""What an error of the Realtime API means for the one who reads it, and what to do next (Realtime docs: Error codes).

Codes are an open set: an unknown one falls back to its HTTP status, and an unknown status to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

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

RETRIED_ITEM_CODES = frozenset(
    {
        "not_found_track_error",
        "empty_track_error",
        "transport_unavailable_error",
        "retryable_transient_error",
        "temporarily_unavailable_error",
    }
)
"Item errors worth another try while the publisher is expected."

ITEM_CODES = (
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
)
"Of one track, channel or adapter inside an answer, whose status is 200 (of adapters also 503)."

CODES_OF_STATUS: Mapping[int, tuple[str, ...]] = {
    200: ITEM_CODES,
    400: ("decoding_error",),
    401: ("unauthorized",),
    404: ("not_found",),
    406: (
        "invalid_params",
        "invalid_session_description",
        "signaling_state_not_stable",
        *sorted(UNSTABLE_SIGNALLING - {"signaling_state_not_stable"}),
        "invalid_modification_stable",
    ),
    409: ("repeated_local_track_error", "signaling_state_not_stable"),
    410: ("session_error",),
    413: ("payload_too_large",),
    425: ("session_error",),
    429: ("rate_limited",),
    500: ("internal_error", "backend_error"),
    503: ("temporarily_unavailable_error", "retryable_transient_error", "transport_unavailable_error"),
}
"Codes that have been seen with a status, those of items with 200."

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

_BY_ACCOUNT_STATUS = {
    404: "Is the id right, and of this account? rtcctl app list and rtcctl turn key list show what there is.",
    429: "Too many requests: wait some minutes.",
}

_NO_ICE_CREDENTIALS = (
    "The SDP has no ICE credentials: send what the peer connection wrote after `setLocalDescription()`."
)
_RECEIVING_SECTIONS = "To subscribe with your own offer it needs a `recvonly` or `sendrecv` m-section for each track."
_OTHER_PEER_CONNECTION = (
    "The answer must be that of the peer connection which took the SFU's offer as its remote description."
)
_BY_DESCRIPTION = (
    # (what stands in it, what it means); the first that fits. Programs must not look at descriptions, people do.
    ("appears to be disconnected", _SESSION_GONE),
    ("is not ready yet", _NOT_CONNECTED),
    (
        "validation error: sessionDescription",
        "`sessionDescription` is missing or is no {type, sdp}. `sessions/new` takes no body at all, or an offer: `{}` "
        "is refused.",
    ),
    (
        "validation error: force",
        "`force` is required: `true` closes at once and without SDP, `false` needs your offer in `sessionDescription`.",
    ),
    ("validation error: tracks", "`tracks` is missing or is no list of objects; only `autoDiscover` goes without it."),
    ("validation error: dataChannel", "A data channel is described by `location` and `dataChannelName`, in quotes."),
    (
        "JSON body validation error: ",
        "The numbers say which tracks, from 0. Local ones need `location`, `mid` and `trackName`, remote ones "
        "`location`, `sessionId` and `trackName`: all strings, also the `mid`, spelt exactly so.",
    ),
    ("decode body as JSON", "The body is no JSON object: empty, cut off, encoded twice, or sent as a form?"),
    ("no ice-ufrag", _NO_ICE_CREDENTIALS),
    ("no ice-pwd", _NO_ICE_CREDENTIALS),
    ("no fingerprint", "The SDP has no a=fingerprint, so there can be no DTLS: is it a template?"),
    ("missing termination at the end", "SDP ends with CRLF: somebody trimmed it."),
    (
        "no media sections",
        "The offer was made before there was a track, a transceiver or a data channel: add one first.",
    ),
    (
        "does not send",
        "Publish from a `sendonly` or `sendrecv` transceiver: the offer says recvonly or inactive there.",
    ),
    ("there is no media section with mid", "`mid` is `transceiver.mid`, as a string, after `setLocalDescription()`."),
    (
        "Missing mid in track",
        "A track is closed by its `mid` in this session, not by its name. A pull that failed answers with an empty "
        "mid: never keep that one.",
    ),
    ("Expecting at most", "Too many in one call: 64 tracks, or 4 adapters. Use several calls, one after the other."),
    ("Expecting at least 1", "The list is empty: nothing is asked for."),
    ("Pushing and Pulling", "One call is all local or all remote: use two, one after the other."),
    (
        "no receiving transceiver",
        "`mid` names an m-section in which this session receives: one of an earlier pull, or `#name` for your own "
        "track published with `bidirectionalMediaStream`.",
    ),
    ("cannot receive", _RECEIVING_SECTIONS),
    ("media sections that can receive", _RECEIVING_SECTIONS),
    (
        "no supported codec",
        "Audio: opus, PCMU, PCMA. Video: H264, H265, VP8, VP9, AV1. The m-section has none of them.",
    ),
    (
        "can receive this",
        "The m-section is of the other kind, or its client did not agree to a codec that the publisher sends.",
    ),
    ("Only remote tracks", "What is published changes by the peer connection alone: `replaceTrack()`."),
    ("Only remote data channels", "Only a subscription has something to update: `canReply`."),
    (
        "can be established",
        "`establish` opens the transport by {location: 'remote', dataChannelName: 'server-events'}.",
    ),
    ("no application media section", "Call `createDataChannel()` before `createOffer()`, or send no description."),
    ("ttl must be", "`ttl` is in seconds: 86400 is a day, 172800 the most."),
    (
        "has changed",
        "M-sections keep their order, mid and kind from exchange to exchange: a session is for one peer connection "
        "only, and takes what that one wrote.",
    ),
    (
        "fewer media sections",
        "M-sections are never taken away, only rejected: is this the offer of another, or a new, peer connection? It "
        "needs a session of its own.",
    ),
    ("another media section where", _OTHER_PEER_CONNECTION),
    ("media sections of the offer", _OTHER_PEER_CONNECTION),
    ("needs a mid of its own", "Each m-section has an a=mid that no other has: send what the peer connection wrote."),
    ("the same SSRC", "Two m-sections of one peer connection never share an SSRC: was one of them copied?"),
    ("is not acceptable here", "a=setup: an offer says actpass, an answer active or passive (RFC 8842)."),
    (
        "not configured for simulcast",
        "Right after a pull the SFU says so until media flows: try again for some seconds. Else the publisher sends no "
        "simulcast: it needs `sendEncodings` with rids.",
    ),
)


def is_known_code(code: str) -> bool:
    """Whether something is known of it; more may exist."""
    return code in _BY_CODE


def hint_for(status: int, code: str | None = None, subcode: str | None = None, description: str | None = None) -> str:
    """What `code` (or `subcode`, which is more precise) means with this HTTP status and what to do; `""` if unknown.

    `status` is 200 for an item inside an answer. Of a refused request, `description` is more precise still.
    """
    if code is not None and (status, code) in _BY_STATUS_AND_CODE:
        return _BY_STATUS_AND_CODE[status, code]
    if subcode in _BY_CODE:
        return _BY_CODE[subcode]
    if code in _BY_CODE:
        return hint_for_description(description or "") or _BY_CODE[code]
    return _BY_STATUS.get(status, _SERVICE_TROUBLE if status >= 500 else "")


def hint_for_description(description: str) -> str:
    """What an `errorDescription` tells by itself; `""` if it is none of those that are known."""
    return next((hint for words, hint in _BY_DESCRIPTION if words in description), "")


def is_worth_retrying(status: int | None, code: str | None = None, subcode: str | None = None) -> bool | None:
    """Whether the same request may succeed a little later; `None` where that is not known."""
    if is_unstable_signalling(code, subcode) or code in RETRIED_ITEM_CODES:
        return True
    if code in ("update_track_error", "track_error", "not_found", "backend_error", "internal_error"):
        return None  # right after a pull, or after the app was made; the rest do not say why
    if status is not None and (status in (425, 429) or status >= 500):
        return True
    return False if code in _BY_CODE or (status is not None and 400 <= status < 500) else None


def account_hint_for(status: int) -> str:
    """What a refusal by the account API means, whose codes are numbers of another world; `""` if unknown."""
    return _BY_ACCOUNT_STATUS.get(status, _SERVICE_TROUBLE if status >= 500 else "")


def is_unstable_signalling(code: str | None, subcode: str | None) -> bool:
    """Whether another negotiation of the session was pending, so that the same request may be sent again."""
    return code in UNSTABLE_SIGNALLING or subcode in UNSTABLE_SIGNALLING
