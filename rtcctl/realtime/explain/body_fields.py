"""Fields of JSON bodies looked at leniently: whether they are there, and of the right kind.

Each function yields what is wrong with one field. What a client sent is repeated only where it is a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from rtcctl.realtime.explain.fields import UNKNOWN_TO_THE_API, plain_name, right_spelling
from rtcctl.realtime.explain.finding import Finding, shown
from rtcctl.realtime.explain.sdp import Role, Section, explain_sdp, sections

Object = Mapping[str, Any]
Findings = Iterator[Finding]


_FIELDS_MAX = 50
"Of one object: no more are looked at, whoever sends them."


def decoded(body: bytes | str | None) -> Object | Finding:
    """The object in a body, or why there is none."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
    if not text.strip():
        return Finding("body", "there is none", "Send a JSON object")
    try:
        decoded = json.loads(text)
    except RecursionError:
        return Finding("body", "it is nested too deeply", "Send a JSON object")
    except ValueError as exc:
        position = f" at character {exc.pos}" if isinstance(exc, json.JSONDecodeError) else ""
        return Finding("body", f"it is no JSON{position}", "Send a JSON object, and say so once: no form, no query")
    if isinstance(decoded, str):
        return Finding("body", "it is a string", "It was encoded as JSON twice: once is enough")
    if not isinstance(decoded, dict):
        return Finding("body", "it is no object", "Send a JSON object")
    return decoded


def unknown_fields(where: str, item: Object, known: Sequence[str]) -> Findings:
    """Fields that this object does not have; the service passes over them without a word."""
    prefix = f"{where}." if where else ""
    for name in islice(item, _FIELDS_MAX):
        if name in known:
            continue
        right = right_spelling(name, known)
        if right is not None and right not in item:
            yield Finding(f"{prefix}{_name(name)}", "it is not spelt like this", f"The field is `{right}`")
        else:
            hint = UNKNOWN_TO_THE_API.get(plain_name(name), "Leave it out")
            yield Finding(f"{prefix}{_name(name)}", "there is no such field, it is ignored", hint, False)


def _name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) else shown(name)


def is_misspelt(item: Object, name: str) -> bool:
    """Whether a field is there, but under a name that the service does not know."""
    return any(right_spelling(other, (name,)) is not None for other in islice(item, _FIELDS_MAX))


def text(where: str, item: Object, name: str, hint: str, *, required: bool = True) -> Findings:
    """A field that is a string with something in it."""
    value = item.get(name)
    path = f"{where}.{name}"
    if value is None:
        if required and not is_misspelt(item, name):
            yield Finding(path, "it is missing", hint)
    elif not isinstance(value, str):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        yield Finding(path, "it is no string", f'Write "{value}", with quotes' if is_number else hint)
    elif not value and required:
        yield Finding(path, "it is empty", hint)


def flag(where: str, item: Object, name: str) -> Findings:
    """A field that is true or false, if it is there."""
    value = item.get(name)
    if value is not None and not isinstance(value, bool):
        yield Finding(f"{where}.{name}" if where else name, "it is neither true nor false", "Write it without quotes")


def count(where: str, item: Object, name: str) -> Findings:
    """A field that is a number of something, if it is there."""
    value = item.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        yield Finding(f"{where}.{name}", "it is no whole number from 0 up", "Write it without quotes and fraction")


def one_of(where: str, item: Object, name: str, words: Sequence[str], *, required: bool = False) -> Findings:
    """A field that is one of these words."""
    value = item.get(name)
    if value is None:
        if required and not is_misspelt(item, name):
            yield Finding(f"{where}.{name}", "it is missing", f"One of: {', '.join(words)}")
    elif value not in words:
        # A text that is no word may be anything, an SDP too.
        is_word = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{0,20}", value)
        what = f"it cannot be {shown(value)}" if is_word else "it is none of the known words"
        yield Finding(f"{where}.{name}", what, f"One of: {', '.join(words)}")


def items(body: Object, name: str, limit: int, *, required: bool = True) -> tuple[list[Object], list[Finding]]:
    """The objects of a list, and what is wrong with the list itself."""
    items = body.get(name)
    if items is None:
        missing = required and not is_misspelt(body, name)
        return [], [Finding(name, "it is missing", f"Send a list of one to {limit}")] if missing else []
    if not isinstance(items, list):
        return [], [Finding(name, "it is no list", f"Send a list of one to {limit}, also for one")]
    findings = []
    if not items and required:
        findings.append(Finding(name, "it is empty", "Expecting at least 1"))
    if len(items) > limit:
        findings.append(Finding(name, f"there are {len(items)} in it", f"At most {limit} a call: use several calls"))
    findings += [
        Finding(f"{name}[{index}]", "it is no object", "Send an object for each")
        for index, item in enumerate(items[:limit])
        if not isinstance(item, dict)
    ]
    return [item if isinstance(item, dict) else {} for item in items[:limit]], findings


def description(body: Object, role: Role | None, *, required: bool = False) -> tuple[list[Section], list[Finding]]:
    """The m-sections of the `sessionDescription`, and what is wrong with it. `role` `None` allows both."""
    value = body.get("sessionDescription")
    where = "sessionDescription"
    if value is None:
        missing = required and not is_misspelt(body, where)
        return [], [Finding(where, "it is missing", f"{{type: '{role or 'answer'}', sdp: …}}")] if missing else []
    if not isinstance(value, dict):
        return [], [Finding(where, "it is no object", "{type, sdp}, as `pc.localDescription` is")]
    findings = [
        *unknown_fields(where, value, ("type", "sdp")),
        *text(where, value, "sdp", "Send `localDescription.sdp`"),
        *one_of(where, value, "type", ("offer", "answer"), required=True),
    ]
    kind, sdp = value.get("type"), value.get("sdp")
    if role is not None and kind in ("offer", "answer") and kind != role:
        hint = (
            "An answer goes to `renegotiate`" if role == "offer" else "Your own offers go to tracks/new or tracks/close"
        )
        findings.append(Finding(f"{where}.type", f"an {kind} is not expected here", hint))
    if not isinstance(sdp, str) or not sdp:
        return [], findings
    as_role: Role = "answer" if kind == "answer" else "offer"
    findings += [found._replace(where=f"{where}.sdp: {found.where}") for found in explain_sdp(sdp, as_role)]
    return sections(sdp)[0], findings
