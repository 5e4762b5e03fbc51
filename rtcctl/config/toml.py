"""TOML, written: the standard library only reads it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def dump(data: Mapping[str, Any]) -> str:
    """`data` as a TOML document, which `tomllib.loads` reads back as the same."""
    return "".join(_table((), data)).lstrip("\n")


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> list[str]:
    """Plain values first, then the tables inside: TOML wants it so."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = []
    if path and (plain or not inner):
        lines.append(f"\n[{'.'.join(_key(part) for part in path)}]\n")
    lines += [f"{_key(key)} = {_value(value)}\n" for key, value in plain.items()]
    for key, value in inner.items():
        lines += _table((*path, key), value)
    return lines


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _string(value)
        case int() | float():
            return repr(value)
        case datetime() | date() | time():
            return value.isoformat()
        case list():
            return f"[{', '.join(_value(item) for item in value)}]"
        case Mapping():
            return f"{{{', '.join(f'{_key(k)} = {_value(v)}' for k, v in value.items())}}}"
    raise TypeError(f"TOML has no {type(value).__name__}")


def with_top_level(text: str, key: str, value: str) -> str:
    """The document with `key = value` at its top; comments and order of the rest stay as they are."""
    expected = {**tomllib.loads(text), key: value}
    line = f"{key} = {_string(value)}"
    edited, count = re.subn(rf"(?m)^{re.escape(key)}[ \t]*=.*$", lambda _: line, text, count=1)
    return _edited(edited if count else f"{line}\n{text}", expected)


def with_table(text: str, path: tuple[str, ...], table: Mapping[str, str]) -> str:
    """The document with `table` at `path`, in place of what is there."""
    expected = tomllib.loads(text)
    place = expected
    for part in path[:-1]:
        place = place.setdefault(part, {})
    is_new = path[-1] not in place
    place[path[-1]] = dict(table)
    appended = text + ("\n" if text and not text.endswith("\n") else "") + "".join(_table(path, table))
    return _edited(appended if is_new else "", expected)


def with_value(text: str, path: tuple[str, ...], key: str, value: str) -> str:
    """The document with `key = value` in the table at `path`, which is there and has no such key."""
    expected = tomllib.loads(text)
    place = expected
    for part in path:
        place = place[part]
    place[key] = value
    header = re.escape(f"[{'.'.join(_key(part) for part in path)}]")
    line = f"{key} = {_string(value)}\n"
    edited = re.sub(rf"(?m)^({header}[^\n]*)\n?", lambda found: f"{found[1]}\n{line}", text, count=1)
    return _edited(edited, expected)


def _edited(text: str, expected: Mapping[str, Any]) -> str:
    """`text` if it says what is expected, else all of it written anew, without its comments."""
    try:
        if text and tomllib.loads(text) == expected:
            return text.lstrip("\n")
    except tomllib.TOMLDecodeError:
        pass
    return dump(expected)
