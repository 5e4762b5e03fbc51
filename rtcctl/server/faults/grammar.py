"""How a fault is written: the same in `rtcctl dev --fault`, in `rtcctl fault set` and in tests.

    tracks/new=425,times=3                      the API: OPERATION=ACTION, then options
    loss=5%,delay=40ms,direction=down,seed=7    media: impairments (`media/impair.py`), then where

Both take `app=`, `session=` and `track=`, which say whom it concerns; without them it concerns everybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rtcctl.media.impair import KEYS, Impairment, pairs
from rtcctl.realtime.explain.errors import is_known_code
from rtcctl.units import Seconds, SpellingError

OPERATIONS = (
    "sessions/new",
    "sessions/get",
    "tracks/new",
    "tracks/update",
    "tracks/close",
    "renegotiate",
    "datachannels/establish",
    "datachannels/new",
    "datachannels/update",
    "datachannels/close",
    "turn/generate-ice-servers",
    "turn/generate",
    "turn/revoke",
)
ANY = "*"
"In the place of an operation: all of them."

ACTIONS = ("hang", "slow", "lost", "empty-mid", "expire", "short-ttl")
"""Besides a status and an error code. `hang`: no answer at all. `slow`: later, after `for`. `lost`: the work is done,
but the connection breaks instead of the answer. `empty-mid`: done, but the answer's mids are empty. `expire`: the
session ends, at once or `after`. `short-ttl`: TURN credentials live no longer than `ttl`."""

_DEFAULT_SLOW_S = 3.0
_DEFAULT_TTL_S = 10.0
_CODE = re.compile(r"[a-z0-9][a-z0-9_]{0,79}")
"What error codes look like, as an open set (Realtime docs: Error codes)."
_STATUS = re.compile(r"[0-9]{1,15}")
_NAME = re.compile(r"[\x21-\x2b\x2d-\x7e][\x20-\x2b\x2d-\x7e]{0,255}")
"An id or a track name, without commas."
_CODES = {
    400: "decoding_error",
    401: "unauthorized",
    403: "unauthorized",
    404: "not_found",
    406: "signaling_state_not_stable",
    409: "repeated_local_track_error",
    410: "session_error",
    413: "payload_too_large",
    425: "session_error",
    429: "rate_limited",
    503: "temporarily_unavailable_error",
    500: "internal_error",
}
"What the service says with a status, where the fault does not say."
_EDGE = frozenset({502, 504, *range(520, 531)})
"Statuses that come from the front end of the service, whose answers are no JSON."
_ITEM_OPERATIONS = frozenset(name for name in OPERATIONS if name.split("/")[0] in ("tracks", "datachannels"))
_OPTIONS = {
    "status": ("code", "subcode", "retry-after", "body"),
    "code": (),
    "slow": ("for",),
    "expire": ("after",),
    "short-ttl": ("ttl",),
}
"Options of the actions, besides those that all have."
_COMMON = ("times", "skip", "app", "session", "track")
_MEDIA = (*KEYS, "direction", "app", "session", "track")
"Keys of a fault of media."
_NAMING = frozenset({"tracks/new", "tracks/update", "datachannels/new", "datachannels/update", ANY})
"Operations whose requests name tracks, or data channels."


@dataclass(frozen=True, slots=True)
class Concerned:
    """Whom a fault concerns; an empty field is everybody."""

    app_id: str = ""
    session_id: str = ""
    "The one whose request, or whose packets, are meant."
    track: str = ""
    "`NAME`, or `SESSION/NAME` with the session of its publisher."

    def includes(self, app_id: str, session_id: str) -> bool:
        """Whether this is about a session; `track` is not looked at."""
        return self.app_id in ("", app_id) and self.session_id in ("", session_id)

    def includes_track(self, publisher: str, name: str) -> bool:
        """Whether this is about a track."""
        return self.track in ("", name, f"{publisher}/{name}")


@dataclass(frozen=True, slots=True)
class ApiFault:
    """What is done to requests of an operation."""

    operation: str
    action: str
    "`status`, `code` (an item error inside a 200), or one of `ACTIONS`."
    concerned: Concerned
    status: int = 200
    code: str = ""
    subcode: str = ""
    is_json: bool = True
    retry_after_s: float | None = None
    seconds: float = 0.0
    "Of `slow`, `expire` and `short-ttl`."
    times: int | None = None
    "How many requests it meets; None for all."
    skip: int = 0
    "How many requests are let through before."


@dataclass(frozen=True, slots=True)
class MediaFault:
    """What is done to packets."""

    impairment: Impairment
    concerned: Concerned
    directions: frozenset[str] = field(default_factory=lambda: frozenset({"up", "down"}))
    "`up` is towards the server."


def parse(text: str) -> ApiFault | MediaFault:
    """Raises `SpellingError` that names what is wrong and shows how it is written."""
    options = pairs(text, _EXAMPLES)
    first = next(iter(options))
    if first in OPERATIONS or first == ANY:
        return _api_fault(first, options)
    if first not in _MEDIA:
        raise SpellingError(
            f"{first!r} is neither an operation of the API ({', '.join((*OPERATIONS, ANY))}), "
            f"nor anything that can be done to media ({', '.join(_MEDIA)})"
        )
    return _media_fault(options)


_EXAMPLES = "tracks/new=425,times=3 or loss=5%,delay=40ms,direction=down"


def _media_fault(options: dict[str, str]) -> MediaFault:
    for key in options:
        if key not in _MEDIA:
            raise SpellingError(f"{key!r} is nothing that can be done to media; there are {', '.join(_MEDIA)}")
    if not any(key in options for key in KEYS if key != "seed"):
        raise SpellingError(f"nothing is done to media; write for example {_EXAMPLES}")
    impairment = Impairment.take(options)
    direction = options.pop("direction", "both")
    if direction not in ("up", "down", "both"):
        raise SpellingError(f"direction: {direction!r} is neither up (towards the server), down nor both")
    directions = frozenset({"up", "down"} if direction == "both" else {direction})
    return MediaFault(impairment, _concerned(options), directions)


def _api_fault(operation: str, options: dict[str, str]) -> ApiFault:
    what = options.pop(operation)
    if _STATUS.fullmatch(what):
        action, status, code = "status", int(what), ""
        if not (400 <= status <= 599 or status == 200):
            raise SpellingError(f"{what} is no status of a fault: 400 to 599, or 200 with code=")
    elif what in ACTIONS:
        action, status, code = what, 200, ""
    elif is_known_code(what):
        action, status, code = "code", 200, what
    else:
        actions = ", ".join(ACTIONS)
        raise SpellingError(f"{what!r} is neither a status, nor an error code that is known, nor one of {actions}")
    for key in options:
        if key not in (*_COMMON, *_OPTIONS.get(action, ())):
            known = ", ".join((*_OPTIONS.get(action, ()), *_COMMON))
            raise SpellingError(f"{key!r} does not go with {operation}={what}; options there: {known}")
    if action == "status":
        code = _matched(options, "code", _CODE) or _CODES.get(status, "backend_error" if status >= 500 else "")
        if status == 200:
            action = "code"
            for key in ("retry-after", "body"):
                if key in options:
                    raise SpellingError(f"{key!r} does not go with {operation}=200, whose items fail")
        if not code:
            raise SpellingError(f"code: what the service says with {status} is not known; add code=")
    _check_fits(operation, action, what)
    _check_concerned(operation, options)
    form = options.get("body", "html" if status in _EDGE else "json")
    if form not in ("json", "html"):
        raise SpellingError(f"body: {form!r} is neither json nor html")
    unstable = "invalid_modification_have_local_offer" if code == "signaling_state_not_stable" else ""
    return ApiFault(
        operation,
        action,
        _concerned(options),
        status=status,
        code=code,
        subcode=_matched(options, "subcode", _CODE) or (unstable if status == 406 else ""),
        is_json=form == "json",
        retry_after_s=_seconds(options, "retry-after", None),
        seconds=_seconds_of(action, options),
        times=_count(options, "times", least=1),
        skip=_count(options, "skip", least=0) or 0,
    )


def _check_fits(operation: str, action: str, what: str) -> None:
    if action == "short-ttl" and operation not in ("turn/generate-ice-servers", "turn/generate"):
        raise SpellingError(f"{what} is about TURN credentials: turn/generate-ice-servers={what}")
    if action == "empty-mid" and operation not in ("tracks/new", "tracks/update"):
        raise SpellingError(f"{what} is about tracks: tracks/new={what}")
    if action == "expire" and operation.startswith("turn/"):
        raise SpellingError(f"{what} is about sessions: sessions/new={what}")


def _check_concerned(operation: str, options: Mapping[str, str]) -> None:
    """What a request does not say, it cannot be chosen by: such a fault would meet none."""
    if "track" in options and operation not in _NAMING:
        raise SpellingError(f"track: requests of {operation} name none")
    if "session" in options and (operation == "sessions/new" or operation.startswith("turn/")):
        raise SpellingError(f"session: requests of {operation} are of none")


def _seconds_of(action: str, options: dict[str, str]) -> float:
    match action:
        case "slow":
            return _seconds(options, "for", _DEFAULT_SLOW_S) or 0.0
        case "expire":
            return _seconds(options, "after", 0.0) or 0.0
        case "short-ttl":
            return _seconds(options, "ttl", _DEFAULT_TTL_S) or 0.0
        case _:
            return 0.0


def _concerned(options: dict[str, str]) -> Concerned:
    return Concerned(*(_matched(options, key, _NAME) for key in ("app", "session", "track")))


def _matched(options: dict[str, str], key: str, pattern: re.Pattern[str]) -> str:
    value = options.get(key, "")
    if value and not pattern.fullmatch(value):
        raise SpellingError(f"{key}: {value!r} is none")
    return value


def _seconds(options: dict[str, str], key: str, default: float | None) -> float | None:
    if key not in options:
        return default
    try:
        return float(Seconds.parse(options[key]))
    except SpellingError as error:
        raise SpellingError(f"{key}: {error}") from None


def _count(options: dict[str, str], key: str, *, least: int) -> int | None:
    if key not in options:
        return None
    text = options[key]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise SpellingError(f"{key}: {text!r} is not a whole number, at least {least}")
    return int(text)


def has_items(operation: str) -> bool:
    """Whether its answers have items, each of which can fail by itself."""
    return operation in _ITEM_OPERATIONS
