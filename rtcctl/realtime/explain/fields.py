"""What each field of the API means, what it is called when it is misspelt, and which ones there never were.

The schema says which fields there are; this says it to people (Realtime docs: API).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

MEANINGS: Mapping[str, str] = {
    "adapterId": "Names a WebSocket adapter, to close it.",
    "autoDiscover": "The SFU names a track for each new sending m-section of the offer; then `tracks` is not needed.",
    "bidirectionalMediaStream": "Media flows both ways on this m-section: another track can be pulled into it.",
    "bytesProcessed": "What an adapter carried until it was closed; not the billed amount.",
    "canReply": "This subscriber's messages reach the publisher. One subscriber has it; a new grant takes it away.",
    "credential": "The password of the TURN credential.",
    "customIdentifier": "A label for analytics, for example a user id.",
    "dataChannel": "The one channel of `datachannels/establish`: location `remote`, name `server-events`.",
    "dataChannelName": "Names a channel inside its publisher's session.",
    "dataChannels": "The channels of a call: all published (`local`) or all subscribed to (`remote`).",
    "endpoint": "The `ws://` or `wss://` address that the SFU dials: public, without redirects.",
    "errorCode": "What went wrong, of the request or of this item. An item can fail inside a 200.",
    "errorDescription": "The same in words, which may change.",
    "errorSubcode": "Undocumented: which kind of `invalid_session_description` it is.",
    "force": "`true` closes without SDP; `false` needs your offer in `sessionDescription`. Required.",
    "iceServers": "For `RTCPeerConnection`: STUN and TURN URLs, with credentials.",
    "id": "Of a data channel in this session: `createDataChannel(name, {negotiated: true, id})`.",
    "inputCodec": "What an ingest adapter reads from the WebSocket: `pcm`.",
    "kind": "`audio` or `video`; required where the SFU makes the offer for a track of yours.",
    "location": "`local`: you publish it. `remote`: you subscribe to it. A call is all one or all the other.",
    "maxPacketLifeTime": "Milliseconds for which a message is sent again; excludes `maxRetransmits`.",
    "maxRetransmits": "How often a message is sent again; 0 is fire and forget. Excludes `maxPacketLifeTime`.",
    "mid": "Of the m-section in this session; always a string. `#name` names the one that carries your track `name`.",
    "mode": "Of an adapter; there is nothing to choose.",
    "ordered": "Whether messages keep their order; the publisher chooses, each subscriber repeats it.",
    "outputCodec": "What an egress adapter writes to the WebSocket: `pcm` or `jpeg`.",
    "preferredRid": "The simulcast layer to send to this subscriber.",
    "priorityOrdering": "`asciibetical`: may step down through the layers, a to z, when bandwidth is low.",
    "requiresImmediateRenegotiation": "The description in this answer is an offer: answer it through `renegotiate`.",
    "ridNotAvailable": "`asciibetical`: take the next layer, a to z, when the preferred one stops.",
    "sdp": "The description's text, with its CRLF at the end.",
    "sessionDescription": "An object with `type` (`offer` or `answer`) and `sdp`.",
    "sessionId": "Of the publisher, in a remote track or channel; your own session is the one in the URL.",
    "simulcast": "Which layer a subscriber wants. A publisher says it in its SDP alone.",
    "status": "`active`, `inactive`, of data channels also `initializing`. `active` does not prove that packets flow.",
    "trackName": "Names a track inside its publisher's session.",
    "tracks": "The tracks of a call, up to 64: all published or all subscribed to.",
    "ttl": "Seconds that the TURN credential lives, up to 172,800 (48 h).",
    "type": "`offer` or `answer`.",
    "urls": "Of a STUN or TURN server. Leave out those of port 53: browsers block it, and gathering waits for it.",
    "username": "Names the TURN credential, to revoke it.",
    "waitForAck": "Nothing is delivered to this subscriber before its first message, which must come within 30 s.",
}
"Field → what it means."

UNKNOWN_TO_THE_API: Mapping[str, str] = {
    "appid": "The app is named in the path.",
    "appsecret": "The App Secret goes into the header `Authorization: Bearer …`.",
    "candidate": "There is no trickle ICE: one description per exchange, with or without candidates.",
    "candidates": "There is no trickle ICE: one description per exchange, with or without candidates.",
    "codec": "Codecs are agreed in the SDP.",
    "correlationid": "It belongs into the query: sessions/new?correlationId=…",
    "fallbackstrategy": "It was called so until April 2025: `priorityOrdering` in `simulcast`.",
    "label": "A data channel is named by `dataChannelName`.",
    "muted": "Nobody is told: mute with `replaceTrack(null)` or `track.enabled = false`.",
    "name": "A track is named by `trackName`, a data channel by `dataChannelName`.",
    "offer": "The offer goes into `sessionDescription`, as `{type, sdp}`.",
    "peerconnection": "The service knows sessions only; the peer connection is yours.",
    "rid": "The layer is chosen by `preferredRid` in `simulcast`.",
    "ridunavailablestrategy": "It was called so until April 2025: `ridNotAvailable` in `simulcast`.",
    "sendencodings": "Simulcast is offered in the SDP: `addTransceiver(track, {sendEncodings})`.",
    "state": "A session has no state there: watch `connectionState` of the peer connection.",
    "thirdparty": "It belongs into the query: sessions/new?thirdparty=true",
    "trackid": "A track is named by `sessionId` and `trackName`; in its session also by `mid`.",
    "trickle": "There is no trickle ICE: one description per exchange.",
}
"Names that are often sent (in lower case, without separators) and are no fields, and what to do instead."


def plain_name(name: str) -> str:
    """Without case, underscores and dashes: what misspellings have in common with the right one."""
    return name.translate(_SEPARATORS).lower()


def right_spelling(name: str, known: Sequence[str]) -> str | None:
    """The one of `known` that was probably meant; `None` for another word, or where it is spelt right."""
    if name in known:
        return None
    by_plain_name = _by_plain_name(tuple(known))
    plain = plain_name(name)
    return by_plain_name.get(plain) or by_plain_name.get(plain.removesuffix("s")) or by_plain_name.get(f"{plain}s")


@lru_cache(maxsize=64)
def _by_plain_name(known: tuple[str, ...]) -> Mapping[str, str]:
    # The first of two that differ in nothing else is the usual one.
    return {plain_name(field): field for field in reversed(known)}


def meaning(name: str) -> str:
    """What a field means, however it is spelt; `""` where there is no such field."""
    field = name if name in MEANINGS else right_spelling(name, tuple(MEANINGS))
    return MEANINGS[field] if field else UNKNOWN_TO_THE_API.get(plain_name(name), "")


_SEPARATORS = {ord(char): None for char in "_- "}
