"""Variables as lines to paste: for a shell, for a `.env` file, as JSON."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from rtcctl.errors import UsageError

if TYPE_CHECKING:
    from rtcctl.results.config import ConfigEnv

_UNWRITABLE = re.compile(r"[\\$`\x00-\x1f\x7f]")
"""What readers of `.env` files disagree on: they expand variables in any quotes, or only in some (`dotenv-expand`), and
undo escapes in double quotes (python-dotenv) or leave them (npm's dotenv, which is wrangler's)."""


class Shape(StrEnum):
    """What `config env --as` can write."""

    SHELL = "shell"
    DOTENV = "dotenv"
    JSON = "json"


def render(shape: Shape, result: ConfigEnv) -> str:
    """The variables in that shape. Raises `UsageError` for a value that cannot be written in it."""
    if shape is Shape.JSON:
        # What was not asked for is absent: `null` is no value of a variable.
        known = {variable.name: variable.value for variable in result.variables if variable.value is not None}
        return json.dumps(known, indent=2)
    line: Callable[[str, str], str] = _export if shape is Shape.SHELL else _dotenv
    prefix = "export " if shape is Shape.SHELL else ""
    return "\n".join(
        f"# {prefix}{variable.name}=… (--with-secrets prints it)"
        if variable.value is None
        else line(variable.name, variable.value)
        for variable in result.variables
    )


def _export(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _dotenv(name: str, value: str) -> str:
    """A line that dotenv, python-dotenv, wrangler and a shell read alike."""
    quote = "'" if '"' in value else '"'
    if quote in value or _UNWRITABLE.search(value):
        raise UsageError(
            f"The value of {name} has characters that readers of .env files do not agree on: "
            "both kinds of quotes, a backslash, $, ` or a line break.",
            hint="Use --as json, or another value",
        )
    return f"{name}={quote}{value}{quote}"
