"""How sessions and tracks are named on the command line: `SESSION`, `SESSION/TRACK`, `SESSION TRACK`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rtcctl.units import DISPLAY_NAME, SpellingError, is_display_name

_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
"Opaque; what Cloudflare's own samples accept."

MAX_TRACK_NAME_BYTES = 1024
"Far above anything seen; a longer one is a mistake in a script."


def session_id(text: str) -> str:
    """A session id as it is, if it can be one."""
    if _SESSION_ID.fullmatch(text):
        return text
    if not text:
        raise SpellingError("a session id is missing: it is empty")
    if "/" in text and _SESSION_ID.fullmatch(text.partition("/")[0]):
        raise SpellingError(f"a session is meant here, not a track: {text.partition('/')[0]}")
    raise SpellingError(f"{text!r} is not a session id (letters, digits, - and _)")


def uid(text: str) -> str:
    """The id of an app or a TURN key as it is, if it can be one."""
    if not _SESSION_ID.fullmatch(text):
        raise SpellingError(f"{text!r} is not an id (letters, digits, - and _)" if text else "an id is missing")
    return text


def display_name(text: str) -> str:
    """What an app or a TURN key is called by people."""
    if not text.strip():
        raise SpellingError("a name is missing: it is empty")
    if not is_display_name(text):
        raise SpellingError(f"a name is {DISPLAY_NAME}")
    return text


def track_name(text: str) -> str:
    """A track name as it is, if it can be one: anything printable, slashes and spaces too."""
    if not text.strip():
        raise SpellingError("a track name is missing: it is empty")
    if not text.isprintable():
        raise SpellingError(f"a track name has no control characters: {text!r}")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TRACK_NAME_BYTES:
        raise SpellingError(f"a track name has at most {MAX_TRACK_NAME_BYTES} bytes")
    return text


def tracks(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`SESSION/TRACK…`, or `SESSION TRACK` for one, as pairs. The first slash divides: names may hold more."""
    if len(words) == 2 and "/" not in words[0]:
        return ((session_id(words[0]), track_name(words[1])),)
    pairs = []
    for word in words:
        session, slash, name = word.partition("/")
        if not slash:
            raise SpellingError(f"{word!r} is not a track; write SESSION/TRACK")
        pairs.append((session_id(session), track_name(name)))
    if len(set(pairs)) != len(pairs):
        raise SpellingError("the same track is named twice")
    return tuple(pairs)


def channel_name(text: str) -> str:
    """The name of a data channel as it is, if it can be one."""
    try:
        return track_name(text)
    except SpellingError as error:
        raise SpellingError(str(error).replace("track name", "channel name", 1)) from None


def channels(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`SESSION/NAME…`, or `SESSION NAME` for one, as pairs."""
    if len(words) == 2 and "/" not in words[0]:
        return ((session_id(words[0]), channel_name(words[1])),)
    pairs = []
    for word in words:
        session, slash, name = word.partition("/")
        if not slash:
            raise SpellingError(f"{word!r} is not a data channel; write SESSION/NAME")
        pairs.append((session_id(session), channel_name(name)))
    return tuple(pairs)


def track(words: Sequence[str]) -> tuple[str, str]:
    """Exactly one track."""
    found = tracks(words)
    if len(found) != 1:
        raise SpellingError(f"one track is meant here, not {len(found)}")
    return found[0]
