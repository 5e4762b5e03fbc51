"""Tables of `app …` and `turn key …`."""

from __future__ import annotations

from rtcctl.report import figures
from rtcctl.report.figures import UNKNOWN
from rtcctl.report.layout import Line, Styled, facts, grid, line
from rtcctl.report.table import BLANK
from rtcctl.results.account import AppList, CreatedItem, OneItem, TurnKeyList


def body(result: AppList | TurnKeyList | OneItem) -> list[Line]:
    """One of them as facts, several as rows."""
    if isinstance(result, AppList | TurnKeyList):
        items = result.apps if isinstance(result, AppList) else result.turn_keys
        if not items:
            return [line(Styled("there is none", "dim"))]
        rows = [(i.id, i.name or UNKNOWN, _moment(i.created_at), _moment(i.modified_at)) for i in items]
        return grid(("id", "name", "created", "modified"), rows)
    is_app = result.schema.startswith("rtcctl.app.")
    created = result if isinstance(result, CreatedItem) else None
    modified = None if result.modified_at == result.created_at else _moment(result.modified_at)
    lines = facts(
        ("App ID" if is_app else "TURN key", result.id),
        ("name", result.name or UNKNOWN),
        ("created", _moment(result.created_at)),
        ("modified", modified),
        ("App Secret" if is_app else "TURN token", None if created is None else created.secret),
        ("stored in", None if created is None else created.stored_in),
        ("deleted", "yes" if ".delete/" in result.schema else None),
    )
    if created is not None and created.secret is not None:
        lines += [BLANK, line(Styled("The secret is shown this once.", "dim"))]
    if created is not None and created.usage:
        lines += [BLANK, *map(line, created.usage)]
    return lines


def _moment(at: float | None) -> str:
    return UNKNOWN if at is None else figures.moment(at)
