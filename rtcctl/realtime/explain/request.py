"""What is wrong with a request to the Realtime API, as the service will see it (Realtime docs: API).

Bodies are looked at as JSON, not through the schema: a body that the schema refuses is the one to explain. What is
found is fit for a log: fields, mids and kinds, no SDP, no secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from rtcctl.realtime.explain import bodies
from rtcctl.realtime.explain.body_fields import Findings, Object, decoded
from rtcctl.realtime.explain.finding import Finding, shown

_PATH_MAX = 2048
"Characters: three ids, and whatever else."


def explain_request(method: str, path: str, body: bytes | str | None = None) -> list[Finding]:
    """What is wrong, errors first; empty when there is nothing to say.

    `path` as it is sent (`/v1/apps/…`), whole URLs and what follows the app (`sessions/new`) work too.
    """
    # A longer path than any, as only somebody sends who wants us to look for long.
    findings = list(_explained(method.upper(), path[:_PATH_MAX], body))
    return sorted(findings, key=lambda finding: not finding.is_error)


def _explained(method: str, path: str, body: bytes | str | None) -> Findings:
    segments = _segments(path)
    is_whole = segments[:1] == [""]
    segments = segments[1:] if is_whole else segments
    if segments[:1] == ["v1"]:
        segments = segments[1:]
    elif is_whole and segments[:1] in (["apps"], ["turn"]):
        yield Finding("path", "it does not begin with /v1", "The API base ends in /v1, and the path follows it")
    if segments[:1] not in (["apps"], ["turn"]):
        segments = ["apps", "APP", *segments]
    found = [operation for operation in OPERATIONS if operation.is_at(segments)]
    if not found:
        yield _unknown_path(segments)
        return
    operation = next((operation for operation in found if operation.method == method), None)
    if operation is None:
        yield _wrong_method(method, segments, [right.method for right in found])
    elif operation.check is not None and not (operation.may_be_empty and not (body or "").strip()):
        content = decoded(body)
        if isinstance(content, Finding):
            yield content
        else:
            yield from operation.check(content)


def _segments(path: str) -> list[str]:
    """The parts of a path, of a whole URL too; the first is empty where it begins with a slash."""
    if "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
    return [unquote(segment) for segment in re.split(r"[?#]", path, maxsplit=1)[0].split("/")]


_SESSION_ENDS = "A session cannot be deleted: close its tracks, and it is gone 30 s after its connection"

_NO_PATHS = (
    (r"^apps/[^/]+/apps(/|$)", "The App ID is in the path twice: the API base ends in /v1, without /apps"),
    (r"/(sessions|keys)/.*/$", "There is no slash at the end"),
    (r"^apps/[^/]+/turn(/|$)", "POST /v1/turn/keys/KEY/credentials/generate-ice-servers, with the TURN key's token"),
    (r"^apps/[^/]+/sessions$", "POST sessions/new makes a session; there is no list of sessions"),
    (r"/sessions/[^/]+/tracks$", "POST tracks/new publishes and subscribes; GET of the session lists its tracks"),
    (r"/tracks/change$", "It is called tracks/update since April 2025"),
    (r"/tracks/(pull|push|publish|subscribe|add)$", "POST tracks/new publishes (`local`) and subscribes (`remote`)"),
    (r"/tracks/", "Operations are tracks/new, tracks/update and tracks/close; a track has no path of its own"),
    (r"/datachannels(/|$)", "Operations are datachannels/establish, new, update and close"),
    (r"/credentials(/|$)", "Operations are generate-ice-servers, generate and USERNAME/revoke"),
    (r"/(candidates?|ice|trickle)$", "There is no trickle ICE: one description per exchange"),
    (r"(?i)record|stream|rtmp|hls", "The SFU records and streams nothing: subscribe, and do it there"),
    (r"/sessions/[^/]+/(close|leave|end|delete)$", _SESSION_ENDS),
)
"What is often tried, and what it is instead."


def _unknown_path(segments: Sequence[str]) -> Finding:
    path = "/".join(segments)
    hint = next((hint for pattern, hint in _NO_PATHS if re.search(pattern, path)), None)
    return Finding(
        "path", "the API has no such path", hint or "It is /v1/apps/APP/sessions/…, or /v1/turn/keys/KEY/credentials/…"
    )


def _wrong_method(method: str, segments: Sequence[str], rights: Sequence[str]) -> Finding:
    if method == "DELETE" and segments[2:3] == ["sessions"]:
        return Finding("method", "DELETE is reserved for WHIP and WHEP", _SESSION_ENDS)
    return Finding("method", f"{shown(method)} is not for this path", f"It takes {' or '.join(rights)}")


class Operation(NamedTuple):
    """One operation of the API; `path` is below /v1."""

    method: str
    path: str
    check: Callable[[Object], Findings] | None = None
    "Who looks at its body; `None`: it has none."
    may_be_empty: bool = False

    def is_at(self, segments: Sequence[str]) -> bool:
        """Whether its path is this one."""
        parts = self.path.split("/")
        return len(parts) == len(segments) and all(
            part == segment or (part[0] == "{" and segment not in ("", "new"))
            for part, segment in zip(parts, segments, strict=True)
        )


_SESSION = "apps/{app}/sessions/{session}"
OPERATIONS = (
    Operation("POST", "apps/{app}/sessions/new", bodies.new_session, may_be_empty=True),
    Operation("GET", _SESSION),
    Operation("POST", f"{_SESSION}/tracks/new", bodies.new_tracks),
    Operation("PUT", f"{_SESSION}/tracks/update", bodies.update_tracks),
    Operation("PUT", f"{_SESSION}/tracks/close", bodies.close_tracks),
    Operation("PUT", f"{_SESSION}/renegotiate", bodies.renegotiate),
    Operation("POST", f"{_SESSION}/datachannels/establish", bodies.establish_channels),
    Operation("POST", f"{_SESSION}/datachannels/new", bodies.new_channels),
    Operation("PUT", f"{_SESSION}/datachannels/update", bodies.update_channels),
    Operation("PUT", f"{_SESSION}/datachannels/close", bodies.close_channels),
    Operation("POST", "apps/{app}/adapters/websocket/new", bodies.new_adapters),
    Operation("POST", "apps/{app}/adapters/websocket/close", bodies.close_adapters),
    Operation("POST", "turn/keys/{key}/credentials/generate-ice-servers", bodies.credentials, may_be_empty=True),
    Operation("POST", "turn/keys/{key}/credentials/generate", bodies.credentials, may_be_empty=True),
    Operation("POST", "turn/keys/{key}/credentials/{username}/revoke"),
)
