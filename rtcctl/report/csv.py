"""Results as CSV with a header: a row per item of a list, else one row of figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rtcctl.report.json import plain
from rtcctl.results.session import SessionGet, SessionList
from rtcctl.results.smoke import Smoke

if TYPE_CHECKING:
    from rtcctl.results.event import Event
    from rtcctl.results.result import Result

_ITEMS = ("sessions", "tracks", "secrets", "profiles", "settings", "variables")
"Fields that make a list result."

_LEFT_OUT = frozenset({"checks", "failure", "publish", "subscribe", "intervals", "data_channels"})
"Nested lists and results: they have no place in a row."


def render(result: Result, exit_status: int) -> str:
    """Header and rows; `exit_status` is no figure of the result, and left to the caller."""
    return _write(rows(result))


def render_event(event: Event) -> str:
    """Header and one row."""
    return _write([_flat(plain(event))])


def rows(result: Result) -> list[dict[str, Any]]:
    """A row per item: of a smoke run its checks, of a list its items, of anything else the result itself."""
    data = plain(result)
    if isinstance(result, Smoke):
        return [_flat(check) for check in data["checks"]]
    for name in _ITEMS:
        if name in data and isinstance(data[name], list):
            return [_flat(item) for item in data[name]] or [dict.fromkeys(_item_columns(result, name))]
    return [_flat({key: value for key, value in data.items() if key not in _LEFT_OUT})]
