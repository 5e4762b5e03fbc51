"""Tables of `config …`."""

from __future__ import annotations

from functools import singledispatch

from rtcctl.report.figures import UNKNOWN
from rtcctl.report.layout import Line, Styled, grid, line
from rtcctl.report.table import BLANK, values
from rtcctl.results.config import ConfigCheck
from rtcctl.results.result import Result


@singledispatch
def body(result: Result) -> list[Line]:
    """The lines of a result of this noun."""
    return values(result)


@body.register
def _(result: ConfigCheck) -> list[Line]:
    words = {True: Styled("accepted", "green"), False: Styled("refused", "bold red"), None: Styled(UNKNOWN)}
    rows = [(s.kind, words[s.accepted], s.origin or UNKNOWN, s.allows or s.detail) for s in result.secrets]
    lines = grid(("secret", "verdict", "from", "allows"), rows)
    if result.failure is not None and result.failure.hint:
        lines += [BLANK, line("hint: ", result.failure.hint)]
    return lines
