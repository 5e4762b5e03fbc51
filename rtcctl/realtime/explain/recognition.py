"""What a text is that somebody wants explained, and for which operation a body is meant.

Both are told by what stands in it; where that is not enough, nothing is guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rtcctl.realtime.explain import http_message
from rtcctl.realtime.explain.body_fields import Object, is_misspelt
from rtcctl.realtime.explain.request import OPERATIONS

Kind = Literal["request", "response", "sdp", "ice-servers"]

_SDP = re.compile(r"\s*(?:v=\d|[a-z]=\S.*\n[a-z]=)")
"Also one whose beginning was cut off."


class Recognised(NamedTuple):
    """`content`: the decoded JSON, or `None` where it is none."""

    kind: Kind
    content: Any = None


def recognise(text: str) -> Recognised | None:
    """What the text is; `None` where it cannot be told."""
    start = text.lstrip()
    if http_message.is_response(start):
        return Recognised("response")
    if http_message.is_request(start):
        return Recognised("request")
    if _SDP.match(start):
        return Recognised("sdp")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, str):
        # A body that was encoded twice; an SDP is also pasted as the string that it is in JSON.
        inner = recognise(content)
        return Recognised("sdp", content) if inner is not None and inner.kind == "sdp" else inner
    if isinstance(content, list):
        is_servers = any(isinstance(item, dict) and "urls" in item for item in content)
        return Recognised("ice-servers", content) if is_servers else None
    if not isinstance(content, dict):
        return None
    return Recognised(_kind_of(content), content)


def _kind_of(content: Object) -> Kind:
    if content.keys() <= {"type", "sdp"} and "sdp" in content:
        return "sdp"
    if "iceServers" in content or "urls" in content:
        return "ice-servers"
    if _is_response(content):
        return "response"
    return "request"


_OF_RESPONSES = frozenset({"errorCode", "errorDescription", "errorSubcode", "requiresImmediateRenegotiation"})


def _is_response(content: Object) -> bool:
    items = [item for name in ("tracks", "dataChannels") for item in _objects(content.get(name))]
    if _OF_RESPONSES & content.keys() or any(_OF_RESPONSES & item.keys() for item in items):
        return True
    if items and all("status" in item for item in items):
        return True
    if isinstance(content.get("success"), bool) and "errors" in content:
        return True  # of the account API
    # `username` alone would be a list's server; together with the rest it is what a backend answers.
    return "trackId" in content or "credential" in content or ("sessionId" in content and "tracks" not in content)


def _objects(items: object) -> list[Object]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


_SESSION = "sessions/SESSION"


def endpoint_of(body: Any) -> str | None:
    """Method and path of the operation that a body is for; `None` where it cannot be told."""
    if not isinstance(body, dict):
        return None
    if not body:
        return "POST sessions/new"  # no other takes an empty object, and this is the mistake that everybody makes
    if _has(body, "force"):
        return f"PUT {_SESSION}/tracks/close"
    if _has(body, "autoDiscover"):
        return f"POST {_SESSION}/tracks/new"
    if _has(body, "dataChannels"):
        # In the plural and in the singular: what stands there tells which is meant.
        channels = next(value for name, value in body.items() if "hannel" in name.lower())
        if isinstance(channels, dict):
            return f"POST {_SESSION}/datachannels/establish"
        return _of_channels(_objects(channels))
    if _has(body, "tracks"):
        named = next((name for name in body if name.lower() in ("tracks", "track")), "")
        return _of_tracks(_objects(body[named] if named else None))
    if _has(body, "ttl") or _has(body, "customIdentifier"):
        return "POST turn/keys/KEY/credentials/generate-ice-servers"
    described = body.get("sessionDescription")
    if isinstance(described, dict) and described.get("type") == "answer":
        return f"PUT {_SESSION}/renegotiate"
    if _has(body, "sessionDescription") or "offer" in body:
        return "POST sessions/new"
    return None


def _has(body: Object, name: str) -> bool:
    return name in body or is_misspelt(body, name)


def _of_tracks(tracks: Sequence[Object]) -> str:
    names = {name for track in tracks for name in track}
    if "adapterId" in names:
        return "POST adapters/websocket/close"
    if names & {"endpoint", "inputCodec", "outputCodec"}:
        return "POST adapters/websocket/new"
    if tracks and names <= {"mid", "trackName", "trackId"}:
        return f"PUT {_SESSION}/tracks/close"  # the only one without `location`
    if "simulcast" in names and all(track.get("mid") for track in tracks):
        return f"PUT {_SESSION}/tracks/update"
    return f"POST {_SESSION}/tracks/new"


def _of_channels(channels: Sequence[Object]) -> str:
    if channels and all("id" in channel and "location" not in channel for channel in channels):
        return f"PUT {_SESSION}/datachannels/close"
    return f"POST {_SESSION}/datachannels/new"


_BELOW_A_SESSION = ("tracks/", "datachannels/", "renegotiate")


def endpoint(spelled: str) -> str | None:
    """Method and path as people write them: `PUT tracks/close`, `tracks/close`; `None` where that is neither.

    What is below a session may be named without it.
    """
    method, _, path = spelled.strip().rpartition(" ")
    method, path = method.strip().upper(), path.strip()
    if not path or (method and not method.isalpha()):
        return None
    if path.startswith(_BELOW_A_SESSION):
        path = f"{_SESSION}/{path}"
    if not method:
        segments = path.partition("?")[0].split("/")
        found = next(
            (each.method for each in OPERATIONS if each.is_at(segments) or each.is_at(["apps", "APP", *segments])), None
        )
        if found is None:
            return None
        method = found
    return f"{method} {path}"


def role_of(sdp: str) -> Literal["offer", "answer"]:
    """By what it says about DTLS: only an offer leaves open who begins, and only an answer decides (RFC 8842)."""
    return "answer" if re.search(r"^a=setup:(?:active|passive)\s*$", sdp, re.MULTILINE) else "offer"


def described(content: Mapping[str, Any]) -> str:
    """The SDP in a body or an answer; empty where there is none."""
    value = content.get("sessionDescription")
    sdp = value.get("sdp") if isinstance(value, dict) else None
    return sdp if isinstance(sdp, str) else ""
