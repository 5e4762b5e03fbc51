"""A result as exactly one JSON document: `schema` first, then what made it and where, its fields, `exit_status`."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from rtcctl import __version__
from rtcctl.results.result import Result
from rtcctl.results.target import Target

if TYPE_CHECKING:
    from rtcctl.results.event import Event

DECIMALS = 6
"Below a microsecond, a millionth of a ratio: noise."

_LAST = ("checks", "failure", "interrupted")
"Fields of every result, after its own."


def render(result: Result, exit_status: int) -> str:
    """The document, indented for people: a program does not mind."""
    return json.dumps(document(result, exit_status), indent=2, ensure_ascii=False, allow_nan=False)


def render_event(event: Event) -> str:
    """The document of a daemon that is ready."""
    return json.dumps(
        {"schema": f"rtcctl.{event.event}/1", "rtcctl_version": __version__, **_own_fields(event)},
        indent=2,
        ensure_ascii=False,
        allow_nan=False,
    )


def document(result: Result, exit_status: int) -> dict[str, Any]:
    """The document as a dictionary, in its order."""
    own = _own_fields(result)
    target = own.pop("target")
    last = {name: own.pop(name) for name in _LAST}
    return {
        "schema": result.schema,
        "rtcctl_version": __version__,
        "target": target,
        **own,
        **last,
        "exit_status": exit_status,
    }


def plain(value: Any) -> Any:
    """A value as JSON knows it: dataclasses are objects, what is not a finite number is `null`."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return round(value, DECIMALS) if math.isfinite(value) else None
    if isinstance(value, Result):
        return {"schema": value.schema, **_own_fields(value)}
    if is_dataclass(value):
        return _own_fields(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _own_fields(value: Any) -> dict[str, Any]:
    own = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Target) and not value.impairment:
        del own["impairment"]  # hardly anybody uses it, and every document has a target
    return own
