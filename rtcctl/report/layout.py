"""Lines and columns of text, with colours: what a table needs, drawn without loading a library for it.

A terminal library costs as much start-up as three empty Pythons, and every command would pay.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rtcctl.report.figures import printable

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
"SGR parameters (ECMA-48 §8.3.117)."

GAP = 2
"Columns between columns."

MIN_WRAPPED = 20
"In fewer columns wrapping helps nobody: the terminal may break the line."


class Styled(NamedTuple):
    """A piece of one line. `style`: words of `_CODES`, separated by spaces."""

    text: str
    style: str = ""


class Line(NamedTuple):
    """One line; only its last piece is ever wrapped, under itself."""

    pieces: tuple[Styled, ...] = ()


Cell = str | Styled


def line(*cells: Cell) -> Line:
    """A line of pieces; text of others cannot steer the terminal."""
    return Line(tuple(_styled(cell) for cell in cells))


def grid(header: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Sequence[int] = ()) -> list[Line]:
    """Columns with a header; those in `right` are aligned to the right."""
    return _columns([[Styled(name, "bold") for name in header], *(list(row) for row in rows)], right)


def known_grid(
    header: Sequence[str], rows: Iterable[Sequence[Cell | None]], *, right: Sequence[int] = ()
) -> list[Line]:
    """A grid in which what is `None` is empty, and a column in which everything is `None` is left out."""
    table = [list(row) for row in rows]
    shown = [i for i in range(len(header)) if any(row[i] is not None for row in table)]
    return grid(
        [header[i] for i in shown],
        [["" if (cell := row[i]) is None else cell for i in shown] for row in table],
        right=[at for at, i in enumerate(shown) if i in right],
    )


def facts(*items: tuple[str, Cell | None]) -> list[Line]:
    """Names and values; an item whose value is `None` is left out."""
    return _columns([[Styled(name, "bold"), value] for name, value in items if value is not None], ())


def draw(lines: Iterable[Line], *, width: int, colour: bool) -> str:
    """The text of the lines, without trailing spaces."""
    return "\n".join(text for item in lines for text in _drawn(item, width, colour))


def display_width(text: str) -> int:
    """Columns of a terminal that the text takes (Unicode Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _styled(cell: Cell) -> Styled:
    return Styled(printable(cell)) if isinstance(cell, str) else Styled(printable(cell.text), cell.style)


def _columns(rows: Sequence[Sequence[Cell]], right: Sequence[int]) -> list[Line]:
    cells = [[_styled(cell) for cell in row] for row in rows]
    widths = [max(display_width(cell.text) for cell in column) for column in zip(*cells, strict=True)]
    return [
        Line(tuple(_padded(cell, widths[i], i in right, i == len(row) - 1) for i, cell in enumerate(row)))
        for row in cells
    ]


def _padded(cell: Styled, width: int, is_right: bool, is_last: bool) -> Styled:
    space = " " * (width - display_width(cell.text))
    text = space + cell.text if is_right else cell.text if is_last else cell.text + space
    return Styled(text if is_last else text + " " * GAP, cell.style)


def _drawn(item: Line, width: int, colour: bool) -> list[str]:
    if not item.pieces:
        return [""]
    *before, last = item.pieces
    indent = sum(display_width(piece.text) for piece in before)
    texts = [last.text]
    if indent + display_width(last.text) > width and width - indent >= MIN_WRAPPED:
        texts = textwrap.wrap(last.text, width - indent, break_long_words=False, break_on_hyphens=False) or [""]
    first = "".join(_coloured(piece, colour) for piece in (*before, Styled(texts[0], last.style)))
    rest = [" " * indent + _coloured(Styled(text, last.style), colour) for text in texts[1:]]
    return [text.rstrip() for text in (first, *rest)]


def _coloured(piece: Styled, colour: bool) -> str:
    """Padding stays outside of the colour, so that trailing spaces can be taken away."""
    codes = ";".join(_CODES[word] for word in piece.style.split())
    text = piece.text.strip(" ")
    if not colour or not codes or not text:
        return piece.text
    before, _, after = piece.text.partition(text)
    return f"{before}\x1b[{codes}m{text}\x1b[0m{after}"
