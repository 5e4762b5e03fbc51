"""What is wrong with the body of a request to the Realtime API; one function per operation (Realtime docs: API)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from rtcctl.realtime.explain.body_fields import (
    Findings,
    Object,
    count,
    description,
    flag,
    is_misspelt,
    items,
    one_of,
    text,
    unknown_fields,
)
from rtcctl.realtime.explain.finding import Finding, shown
from rtcctl.realtime.explain.sdp import Section

TRACKS_MAX = 64
"Per call (Realtime docs: Limits)."
ADAPTERS_MAX = 4
TTL_MAX_S = 172_800

TRACK = (
    "location",
    "mid",
    "sessionId",
    "trackName",
    "bidirectionalMediaStream",
    "kind",
    "simulcast",
)
SIMULCAST = ("preferredRid", "priorityOrdering", "ridNotAvailable")
CHANNEL = (
    "location",
    "sessionId",
    "dataChannelName",
    "ordered",
    "maxRetransmits",
    "maxPacketLifeTime",
    "waitForAck",
    "canReply",
    "id",
)
ADAPTER = ("location", "trackName", "endpoint", "sessionId", "inputCodec", "outputCodec", "mode")


# --- sessions


def new_session(body: Object) -> Findings:
    """`POST sessions/new`, where there is a body."""
    if body.get("sessionDescription") is None and not is_misspelt(body, "sessionDescription"):
        sent = "`{}` is sent" if not body else "the body has no `sessionDescription`"
        yield Finding("body", sent, "Send no body at all (Content-Length 0), or an offer in `sessionDescription`")
    if "tracks" in body:
        yield Finding(
            "tracks", "they are ignored here", "Publish through tracks/new once the session is connected", False
        )
    yield from unknown_fields("", body, ("sessionDescription", "tracks"))
    yield from description(body, "offer")[1]


def renegotiate(body: Object) -> Findings:
    """`PUT renegotiate`."""
    yield from unknown_fields("", body, ("sessionDescription",))
    yield from description(body, None, required=True)[1]
    value = body.get("sessionDescription")
    if isinstance(value, dict) and value.get("type") == "offer":
        yield Finding(
            "sessionDescription.type",
            "an offer restarts ICE here, which is not documented",
            "The answer to the SFU's offer has the type `answer`; for a dead connection make a new session",
            False,
        )


# --- tracks


def new_tracks(body: Object) -> Findings:
    """`POST tracks/new`."""
    yield from unknown_fields("", body, ("tracks", "sessionDescription", "autoDiscover"))
    yield from flag("", body, "autoDiscover")
    discovers = body.get("autoDiscover") is True
    tracks, wrong = items(body, "tracks", TRACKS_MAX, required=not discovers)
    yield from wrong
    media, wrong = description(body, "offer", required=discovers)
    yield from wrong
    has_offer = body.get("sessionDescription") is not None
    for index, track in enumerate(tracks):
        yield from _track(f"tracks[{index}]", track, has_offer=has_offer)
    yield from _together(tracks)
    if media:
        yield from _mids_in_the_offer(tracks, media)


def _track(where: str, track: Object, *, has_offer: bool) -> Findings:
    yield from unknown_fields(where, track, TRACK)
    yield from one_of(where, track, "location", ("local", "remote"), required=True)
    yield from flag(where, track, "bidirectionalMediaStream")
    yield from text(where, track, "trackName", "The name of the track in its publisher's session")
    location = track.get("location")
    if track.get("kind") == "data":
        yield Finding(f"{where}.kind", "a data channel is no track", "Use datachannels/new")
    else:
        yield from one_of(where, track, "kind", ("audio", "video"), required=location == "local" and not has_offer)
    if location == "local":
        mid = "The mid of its m-section in your offer: `transceiver.mid`, after `setLocalDescription()`"
        yield from text(where, track, "mid", mid, required=has_offer)
        if "simulcast" in track:
            hint = "A publisher's layers are in its SDP: `addTransceiver(track, {sendEncodings})`"
            yield Finding(f"{where}.simulcast", "it is a subscriber's choice", hint, False)
    else:
        yield from text(where, track, "mid", "Leave it out for a fresh m-section", required=False)
        publisher = "The id of the publisher's session: a track is named by session and name"
        yield from text(where, track, "sessionId", publisher, required=location == "remote")
        if re.fullmatch(r"(audio|video|data)_\d{10,}_[a-z0-9]+", str(track.get("trackName"))):
            hint = "The service knows tracks by the name that their publisher gave them, and by no id"
            yield Finding(f"{where}.trackName", "it looks like a `trackId` that a backend made up", hint, False)
        yield from _simulcast(where, track)


def _simulcast(where: str, track: Object) -> Findings:
    value = track.get("simulcast")
    where = f"{where}.simulcast"
    if value is None:
        return
    if not isinstance(value, dict):
        yield Finding(where, "it is no object", f"{{{', '.join(SIMULCAST)}}}")
        return
    yield from unknown_fields(where, value, SIMULCAST)
    yield from text(where, value, "preferredRid", "The rid of a layer, as in the publisher's SDP", required=False)
    for name in SIMULCAST[1:]:
        yield from one_of(where, value, name, ("none", "asciibetical"))
    if not value.get("preferredRid"):
        hint = "Say which layer: the defaults choose and change nothing"
        yield Finding(where, "no `preferredRid` is asked for", hint, False)


def _together(tracks: Sequence[Object]) -> Findings:
    """What cannot be in one call."""
    if _are_mixed(tracks):
        yield Finding(
            "tracks", "some are local, some remote", "Publish and subscribe in two calls, one after the other"
        )
    for name, wanted in (("mid", ("local", "remote")), ("trackName", ("local",))):
        values = [track.get(name) for track in tracks if track.get("location") in wanted]
        uses = Counter(value for value in values if isinstance(value, str) and value)
        for value, times in uses.items():
            if times > 1:
                yield Finding("tracks", f"{times} have the {name} {shown(value)}", f"Each has a {name} of its own")


def _are_mixed(entries: Sequence[Object]) -> bool:
    return all(any(entry.get("location") == location for entry in entries) for location in ("local", "remote"))


def _mids_in_the_offer(tracks: Sequence[Object], media: Sequence[Section]) -> Findings:
    by_mid = {section.mid: section for section in media if not section.is_rejected}
    for index, track in enumerate(tracks):
        mid = track.get("mid")
        if track.get("location") != "local" or not isinstance(mid, str) or not mid:
            continue
        where = f"tracks[{index}].mid"
        section = by_mid.get(mid)
        if section is None:
            mids = ", ".join(shown(known) for known in list(by_mid)[:8])
            yield Finding(where, f"the offer has no open m-section with the mid {shown(mid)}", f"It has: {mids}")
        elif not section.sends:
            hint = "Publish from `sendonly` or `sendrecv`: addTransceiver(track, {direction: 'sendonly'})"
            what = f"its m-section in the offer is {section.direction}: nothing is sent there"
            yield Finding(where, what, hint, line=section.line_of(section.direction))
        elif track.get("kind") in ("audio", "video") and track["kind"] != section.kind:
            hint = f"It is {shown(section.kind)}"
            yield Finding(f"tracks[{index}].kind", "its m-section is of another kind", hint, line=section.line)
    remote = [track for track in tracks if track.get("location") == "remote"]
    if remote and not any(section.receives for section in by_mid.values()):
        hint = "Offer `recvonly` m-sections, or leave the description out and answer the SFU's offer"
        yield Finding("sessionDescription", "no m-section of the offer receives", hint)


def update_tracks(body: Object) -> Findings:
    """`PUT tracks/update`."""
    yield from unknown_fields("", body, ("tracks", "sessionDescription"))
    tracks, wrong = items(body, "tracks", TRACKS_MAX)
    yield from wrong
    for index, track in enumerate(tracks):
        where = f"tracks[{index}]"
        yield from unknown_fields(where, track, TRACK)
        if track.get("location") == "local":
            hint = "What is published changes by the peer connection alone: `replaceTrack()`"
            yield Finding(f"{where}.location", "only subscriptions are updated", hint)
        yield from one_of(where, track, "location", ("local", "remote"), required=True)
        yield from text(where, track, "mid", "The mid at which you receive it, from the answer to the pull")
        yield from text(where, track, "sessionId", "The publisher's session")
        yield from text(where, track, "trackName", "The publisher's track")
        yield from _simulcast(where, track)


def close_tracks(body: Object) -> Findings:
    """`PUT tracks/close`."""
    yield from unknown_fields("", body, ("tracks", "sessionDescription", "force"))
    tracks, wrong = items(body, "tracks", TRACKS_MAX)
    yield from wrong
    force = body.get("force")
    if force is None and not is_misspelt(body, "force"):
        hint = "`true` closes at once, without SDP; `false` needs your offer in `sessionDescription`"
        yield Finding("force", "it is missing", hint)
    yield from flag("", body, "force")
    yield from description(body, "offer", required=force is False)[1]
    if force is True and body.get("sessionDescription") is not None:
        hint = "With `force: true` nothing is negotiated; for that, `force: false`"
        yield Finding("sessionDescription", "it is ignored", hint, False)
    for index, track in enumerate(tracks):
        where = f"tracks[{index}]"
        if not track.get("mid") and ("trackName" in track or "trackId" in track):
            yield Finding(where, "a track is closed by its mid, not by its name", "The mid of this session: GET it")
            continue
        hint = "The mid of this session. A pull that failed answered with an empty one, which is not to be kept"
        yield from text(where, track, "mid", hint)
        yield from unknown_fields(where, track, TRACK)


# --- data channels


def establish_channels(body: Object) -> Findings:
    """`POST datachannels/establish`."""
    channel = body.get("dataChannel", body.get("datachannel"))
    yield from unknown_fields("", body, ("dataChannel", "datachannel", "sessionDescription"))
    example = "{location: 'remote', dataChannelName: 'server-events'}"
    if channel is None:
        if not is_misspelt(body, "dataChannel"):
            yield Finding("dataChannel", "it is missing", example)
    elif not isinstance(channel, dict):
        yield Finding("dataChannel", "it is no object", example)
    else:
        yield from unknown_fields("dataChannel", channel, CHANNEL)
        yield from one_of("dataChannel", channel, "location", ("remote",), required=True)
        yield from one_of("dataChannel", channel, "dataChannelName", ("server-events",), required=True)
    media, wrong = description(body, "offer")
    yield from wrong
    if media and not any(section.kind == "application" for section in media):
        hint = "Call createDataChannel() before createOffer(), or leave the description out"
        yield Finding("sessionDescription", "the offer has no m=application section", hint)


def new_channels(body: Object) -> Findings:
    """`POST datachannels/new`."""
    yield from unknown_fields("", body, ("dataChannels",))
    channels, wrong = items(body, "dataChannels", TRACKS_MAX)
    yield from wrong
    for index, channel in enumerate(channels):
        yield from _channel(f"dataChannels[{index}]", channel)
    if _are_mixed(channels):
        yield Finding("dataChannels", "some are local, some remote", "Publish and subscribe in two calls")


def _channel(where: str, channel: Object) -> Findings:
    yield from unknown_fields(where, channel, CHANNEL)
    yield from one_of(where, channel, "location", ("local", "remote"), required=True)
    yield from text(where, channel, "dataChannelName", "The name of the channel in its publisher's session")
    yield from text(
        where, channel, "sessionId", "The publisher's session", required=channel.get("location") == "remote"
    )
    for name in ("ordered", "waitForAck", "canReply"):
        yield from flag(where, channel, name)
    for name in ("maxRetransmits", "maxPacketLifeTime"):
        yield from count(where, channel, name)
    if channel.get("maxRetransmits") is not None and channel.get("maxPacketLifeTime") is not None:
        yield Finding(where, "`maxRetransmits` and `maxPacketLifeTime` exclude each other", "Send one of them")
    if channel.get("dataChannelName") == "server-events":
        yield Finding(f"{where}.dataChannelName", "server-events is the SFU's", "datachannels/establish opens it")
    if channel.get("location") == "local":
        for name in ("waitForAck", "canReply"):
            if channel.get(name):
                yield Finding(f"{where}.{name}", "it is a subscriber's", "Send it with location `remote`", False)
    if "id" in channel:
        yield Finding(f"{where}.id", "the SFU gives the id", "Take the one from the answer", False)


def update_channels(body: Object) -> Findings:
    """`PUT datachannels/update`."""
    yield from unknown_fields("", body, ("dataChannels",))
    channels, wrong = items(body, "dataChannels", TRACKS_MAX)
    yield from wrong
    for index, channel in enumerate(channels):
        where = f"dataChannels[{index}]"
        yield from unknown_fields(where, channel, CHANNEL)
        yield from one_of(where, channel, "location", ("remote",), required=True)
        yield from text(where, channel, "sessionId", "The publisher's session")
        yield from text(where, channel, "dataChannelName", "The publisher's channel")
        yield from flag(where, channel, "canReply")


def close_channels(body: Object) -> Findings:
    """`PUT datachannels/close`."""
    yield from unknown_fields("", body, ("dataChannels",))
    channels, wrong = items(body, "dataChannels", TRACKS_MAX)
    yield from wrong
    for index, channel in enumerate(channels):
        where = f"dataChannels[{index}]"
        if channel.get("id") is None:
            yield Finding(f"{where}.id", "it is missing", "A channel is closed by its id in this session")
        yield from count(where, channel, "id")


# --- adapters


def new_adapters(body: Object) -> Findings:
    """`POST adapters/websocket/new`."""
    yield from unknown_fields("", body, ("tracks",))
    tracks, wrong = items(body, "tracks", ADAPTERS_MAX)
    yield from wrong
    for index, track in enumerate(tracks):
        where = f"tracks[{index}]"
        yield from unknown_fields(where, track, ADAPTER)
        yield from one_of(where, track, "location", ("local", "remote"), required=True)
        yield from text(where, track, "trackName", "The track to make, or to read")
        yield from text(where, track, "endpoint", "The wss:// address of your server")
        endpoint = track.get("endpoint")
        if isinstance(endpoint, str) and endpoint:
            yield from _endpoint(f"{where}.endpoint", endpoint)
        if track.get("location") == "local":
            yield from one_of(where, track, "inputCodec", ("pcm",), required=True)
        else:
            yield from one_of(where, track, "outputCodec", ("pcm", "jpeg"), required=track.get("location") == "remote")
            yield from text(
                where, track, "sessionId", "The publisher's session", required=track.get("location") == "remote"
            )


def _endpoint(where: str, endpoint: str) -> Findings:
    """Its address is not repeated: it may hold a token."""
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname or ""
    except ValueError:
        yield Finding(where, "it is no URL", "wss://host/path")
        return
    if parts.scheme not in ("ws", "wss") or not host:
        yield Finding(where, "it is no ws:// or wss:// URL", "The SFU dials a WebSocket")
    elif host == "localhost" or host.endswith(".localhost") or host.startswith("127.") or host == "::1":
        yield Finding(where, "it is on localhost", "The SFU dials it itself: give it a public host, or a tunnel")


def close_adapters(body: Object) -> Findings:
    """`POST adapters/websocket/close`."""
    yield from unknown_fields("", body, ("tracks",))
    tracks, wrong = items(body, "tracks", ADAPTERS_MAX)
    yield from wrong
    for index, track in enumerate(tracks):
        yield from unknown_fields(f"tracks[{index}]", track, ("adapterId",))
        yield from text(f"tracks[{index}]", track, "adapterId", "From the answer that made the adapter")


# --- TURN


def credentials(body: Object) -> Findings:
    """Both generators of TURN credentials."""
    yield from unknown_fields("", body, ("ttl", "customIdentifier"))
    ttl = body.get("ttl")
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int) or not 0 < ttl <= TTL_MAX_S):
        yield Finding("ttl", f"it is no whole number from 1 to {TTL_MAX_S}", "Seconds: 86400 is a day, 172800 the most")
    if not isinstance(body.get("customIdentifier", ""), str):
        yield Finding("customIdentifier", "it is no string", "Write it with quotes")
