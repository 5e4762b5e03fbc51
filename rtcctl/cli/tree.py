"""The command tree as data: commands, options and what may be typed for them, read from the Typer apps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rtcctl.cli.main import HELP, NESTED, NOUNS, load

_KINDS = {
    "SESSION": "ids",
    "[SESSION]": "ids",
    "SESSION/TRACK...": "tracks",
    "SESSION/NAME...": "tracks",
    "PROFILE": "profiles",
    "FILE": "files",
    "DIR": "files",
    "WHAT": "files",
    "keyring|FILE": "files",
    "FORMAT:FILE": "reports",
    "CHECK": "checks",
}
"What is offered for a value, by its metavar; nothing for others."


class Values(NamedTuple):
    """What may be typed for an option or argument: words, or one of the kinds above."""

    words: tuple[str, ...] = ()
    kind: str = ""


class Option(NamedTuple):
    """`values` is `None` for a flag."""

    names: tuple[str, ...]
    help: str
    values: Values | None


class Node(NamedTuple):
    """A command, or a noun with `children`."""

    path: tuple[str, ...]
    help: str
    children: tuple[str, ...]
    options: tuple[Option, ...]
    argument: Values


def walk() -> Iterator[Node]:
    """Every command, the root first."""
    from typer.main import get_command

    from rtcctl.cli.main import root

    yield Node((), HELP, tuple(NOUNS), _options(get_command(root())), Values())
    for name in NOUNS:
        yield from _walk(get_command(load(name)), (name,))


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[Node]:
    from typer.main import get_command

    children: Mapping[str, Any] = getattr(command, "commands", {})
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    yield Node(
        path,
        _first_line(command.get_short_help_str(limit=100)),
        tuple(children),
        _options(command),
        _values(arguments[0]) if arguments else Values(),
    )
    for name, child in children.items():
        below = (*path, name)
        yield from _walk(get_command(load(*below)) if below in NESTED else child, below)


def _options(command: Any) -> tuple[Option, ...]:
    options = [
        Option(
            (*parameter.opts, *parameter.secondary_opts),
            _first_line(parameter.help or ""),
            None if parameter.is_flag or parameter.count else _values(parameter),
        )
        for parameter in command.params
        if parameter.param_type_name == "option"
    ]
    return (*options, Option(("-h", "--help"), "Show help", None))


def _values(parameter: Any) -> Values:
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return Values(tuple(str(getattr(choice, "value", choice)) for choice in choices))
    kind = _KINDS.get(parameter.metavar or "", "")
    if kind == "reports":
        from rtcctl.cli.options import ReportFormat

        return Values(tuple(f"{name}:" for name in ReportFormat), kind)
    if kind == "checks":
        from rtcctl.ops.smoke import CHECKS

        return Values(CHECKS)
    return Values((), kind)


def _first_line(text: str) -> str:
    return re.split(r"(?<=[^.])\.(?:\s|$)|\n", text, maxsplit=1)[0]
