"""Results as tables for people: a pure function of the result, the width and whether there is colour.

One rendering per type of result, in `tables/`; a type without its own is shown as names and values. Only the noun that
is drawn is loaded: the types of all results together cost more start-up than two empty Pythons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rtcctl.report import figures
from rtcctl.report.figures import UNKNOWN
from rtcctl.report.layout import Line, Styled, draw, facts, grid, line
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.result import Result
from rtcctl.results.target import Target

if TYPE_CHECKING:
    from rtcctl.results.event import Event

STYLES = {
    CheckStatus.PASSED: "green",
    CheckStatus.FAILED: "bold red",
    CheckStatus.SKIPPED: "dim",
    CheckStatus.INCONCLUSIVE: "yellow",
}

_NOUNS = frozenset(
    {"smoke", "session", "track", "channel", "turn", "stats", "config", "fault", "account", "explain", "trace"}
)
"Nouns that have a module in `tables/`: the first word of their results' schemas."

_ACCOUNT = ("rtcctl.app.", "rtcctl.turn.key.")
"Beginnings of the schemas of what the account has, which one module draws."

_OPENINGS = {
    "published": "track",
    "session_created": "session",
    "channel_published": "channel",
    "message": "channel",
    "server_ready": "dev",
    "credentials_written": "turn",
}
"Events that a command can begin with, and the noun that draws them."

_TELL_THEMSELVES = frozenset({"rtcctl.smoke/1", "rtcctl.config.check/1"})
"Results whose own rendering tells of the error that ended them."


def render(result: Result, *, width: int, colour: bool, with_target: bool = True) -> str:
    """The table of a result; its first line is the target."""
    lines: list[Line] = []
    if with_target and result.target is not None:
        lines += [_target(result.target), BLANK]
    lines += _body(result)
    if result.failure is not None and result.schema not in _TELL_THEMSELVES:
        lines += [BLANK, line(Styled(f"ended by an error: {result.failure.message}", "red"))]
    if result.interrupted:
        lines += [BLANK, line(Styled("interrupted", "yellow"))]
    return draw(lines, width=width, colour=colour)


def render_event(event: Event, target: Target | None, *, width: int, colour: bool) -> str:
    """What a long-running command says as soon as it knows it."""
    lines = [] if target is None else [_target(target), BLANK]
    opening = import_module(f"rtcctl.report.tables.{_OPENINGS[event.event]}").opening
    return draw([*lines, *opening(event)], width=width, colour=colour)


def _body(result: Result) -> list[Line]:
    noun = result.schema.removeprefix("rtcctl.").partition("/")[0].partition(".")[0]
    if result.schema.startswith(_ACCOUNT):
        noun = "account"
    if noun not in _NOUNS:
        return values(result)
    body: Any = import_module(f"rtcctl.report.tables.{noun}").body
    lines: list[Line] = body(result)
    return lines


# -- the pieces ------------------------------------------------------------------------------------------------------

BLANK = Line()


def _target(target: Target) -> Line:
    parts = [target.profile, target.api_base, *([f"app {target.app_id}"] if target.app_id else [])]
    parts += ["embedded"] if target.embedded else []
    impaired = f" · impaired: {' '.join(target.impairment)}" if target.impairment else ""
    return line(Styled(" · ".join(parts), "dim"), Styled(impaired, "yellow"))


def checks(judged: Sequence[Check]) -> list[Line]:
    """One row per check, with its verdict, what was measured, the limit and what was seen."""
    rows = []
    for check in judged:
        measured = figures.observed(check.observed, check.unit)
        verdict = Styled(check.status.value, STYLES[check.status])
        rows.append((check.name, verdict, measured, figures.limit(check), check.detail))
    return grid(("check", "verdict", "measured", "limit", ""), rows, right=(2, 3))


def hints(judged: Sequence[Check]) -> list[Line]:
    """What to try for checks that did not pass."""
    hints = dict.fromkeys(check.hint for check in judged if check.hint and check.status is not CheckStatus.PASSED)
    return [line("hint: ", hint) for hint in hints]


def verdict(result: Result) -> list[Line]:
    """The checks of a measurement, and what to try."""
    return [BLANK, *checks(result.checks), *hints(result.checks)] if result.checks else []


def values(result: Result) -> list[Line]:
    """Any result: values as facts, lists as tables."""
    inherited = {field.name for field in fields(Result)}
    values = {f.name: getattr(result, f.name) for f in fields(result) if f.name not in inherited}
    lines = facts(*((_title(name), _text(value)) for name, value in values.items() if not isinstance(value, tuple)))
    for items in (value for value in values.values() if isinstance(value, tuple) and value):
        names = [f.name for f in fields(items[0]) if any(getattr(item, f.name) is not None for item in items)]
        rows = [[_text(getattr(item, name)) for name in names] for item in items]
        lines += [BLANK, *grid([_title(name) for name in names], rows)]
    return lines


def _title(name: str) -> str:
    return name.replace("_", " ").replace("api base", "API base").replace("app id", "App ID")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return UNKNOWN if value is None or value == "" else str(value)
