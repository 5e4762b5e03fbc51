"""Results as CSV with a header: a row per item of a list, else one row of figures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from rtcctl.report.json import plain
from rtcctl.results.check import Check

if TYPE_CHECKING:
    from rtcctl.results.event import Event
    from rtcctl.results.result import Result

_ITEMS = {
    "rtcctl.smoke/1": "checks",
    "rtcctl.session.get/1": "tracks",
    "rtcctl.session.list/1": "sessions",
    "rtcctl.session.close/1": "tracks",
    "rtcctl.track.list/1": "tracks",
    "rtcctl.track.close/1": "tracks",
    "rtcctl.channel.open/1": "channels",
    "rtcctl.channel.send/1": "channels",
    "rtcctl.channel.listen/1": "channels",
    "rtcctl.channel.close/1": "channels",
    "rtcctl.channel.probe/1": "policies",
    "rtcctl.stats.session/1": "tracks",
    "rtcctl.turn.creds/1": "ice_servers",
    "rtcctl.turn.check/1": "urls",
    "rtcctl.turn.list/1": "credentials",
    "rtcctl.turn.revoke/1": "credentials",
    "rtcctl.turn.key.list/1": "turn_keys",
    "rtcctl.app.list/1": "apps",
    "rtcctl.config.check/1": "secrets",
    "rtcctl.config.show/1": "settings",
    "rtcctl.config.list/1": "profiles",
    "rtcctl.fault.set/1": "faults",
    "rtcctl.fault.list/1": "faults",
    "rtcctl.fault.clear/1": "faults",
    "rtcctl.fault.ledger/1": "streams",
}
"Results that are lists, and the field that holds the items."

_TRACKS = frozenset({"rtcctl.track.publish/1", "rtcctl.track.subscribe/1"})
"Results with a row per track, in which the figures of a track take the place of the first one's."

_LEFT_OUT = frozenset({"checks", "failure", "outages", "target"})
"Of a result that is one row."


def render(result: Result, exit_status: int) -> str:
    """Header and rows. The exit status is the process's, and has no column."""
    items = _ITEMS.get(result.schema)
    if result.schema in _TRACKS:
        return _tracks(result)
    if items is None:
        flat = _flat({key: value for key, value in plain(result).items() if key not in _LEFT_OUT})
        return _write(flat.keys(), [flat])
    values = getattr(result, items)
    names = [field.name for field in fields(values[0] if values else _item_type(result, items))]
    rows = [_flat(plain(value)) for value in values]
    return _write(_columns(names, rows), rows)


def render_event(event: Event) -> str:
    """Header and one row."""
    flat = _flat(plain(event))
    return _write(flat.keys(), [flat])


def _tracks(result: Any) -> str:
    """The same columns however many tracks there are."""
    left_out = _LEFT_OUT | {"tracks"}
    shared = {key: value for key, value in plain(result).items() if key not in left_out}
    rows = [_flat(shared | plain(track)) for track in result.tracks] or [_flat(shared)]
    return _write(_columns(shared, rows), rows)


def _columns(names: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """The columns of fields; of one that is an object in some row, those of the object."""
    if not rows:
        return list(names)
    return list(
        dict.fromkeys(
            name
            for field in names
            for row in rows
            for name in row
            if name.partition(".")[0] == field
            and not any(other.startswith(f"{name}.") for row in rows for other in row)
        )
    )


def _item_type(result: Result, name: str) -> type:
    """What the tuple in a field would hold, so that an empty list has its header too."""
    from rtcctl.results import channel, track

    # Results name what they hold in annotations alone.
    names = vars(track) | vars(channel) | {"Check": Check}
    hints = get_type_hints(type(result), localns=names)
    item: type = get_args(hints[name])[0]
    return item


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as `outer.inner`, lists as words, lists of objects as JSON."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            flat[prefix + key] = json.dumps(value, ensure_ascii=False)
        elif isinstance(value, list):
            flat[prefix + key] = " ".join(str(item) for item in value)
        else:
            flat[prefix + key] = {True: "true", False: "false"}[value] if isinstance(value, bool) else value
    return flat


def _write(names: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")
