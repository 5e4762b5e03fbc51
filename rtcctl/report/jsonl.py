"""Events as JSON lines: one object a line, `event` first; the last one is the summary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rtcctl.report.json import document, plain
from rtcctl.results.event import Refreshed, Summary

if TYPE_CHECKING:
    from rtcctl.results.event import Event


def render(event: Event, exit_status: int | None = None) -> str:
    """One line. `exit_status` is the command's, for the summary."""
    return json.dumps(as_object(event, exit_status), ensure_ascii=False, allow_nan=False)


def as_object(event: Event, exit_status: int | None) -> dict[str, Any]:
    """The event as a dictionary, in its order."""
    if isinstance(event, Summary | Refreshed):
        status = event.result.exit_status if exit_status is None else exit_status
        return {"event": event.event, **document(event.result, int(status))}
    return {"event": event.event, **plain(event)}
