"""Table of `explain`."""

from __future__ import annotations

from rtcctl.report.layout import Line, Styled, facts, grid, known_grid, line
from rtcctl.report.table import BLANK
from rtcctl.results.explain import Explain, Meaning

_AGAIN = {True: "the same request may succeed a little later", False: "the same request will fail again"}


def body(result: Explain) -> list[Line]:
    """What it is, what it means, what is wrong with it, what to do next."""
    inferred = " (by its fields; --to says another)" if result.is_endpoint_inferred else ""
    lines = facts(
        ("source", None if result.kind in ("code", "status", "field", "description") else result.source),
        ("is", _kind(result)),
        ("for", None if result.endpoint is None else f"{result.endpoint}{inferred}"),
        ("ray", result.ray),
    )
    for meaning in result.meanings:
        lines += [BLANK, *_meaning(meaning)] if lines else _meaning(meaning)
    if result.sections:
        lines += [BLANK, *_sections(result)]
    if result.mistakes:
        rows = [
            row
            for mistake in result.mistakes
            for row in (
                (
                    Styled("refused", "bold red") if mistake.is_refused else Styled("accepted", "yellow"),
                    mistake.where + (f" (line {mistake.line})" if mistake.line else ""),
                    mistake.what,
                ),
                ("", "", Styled(f"→ {mistake.hint}", "cyan")),
            )
        ]
        lines += [BLANK, *grid(("", "where", "mistake"), rows)]
    if result.verdict:
        lines += [BLANK, line(Styled(result.verdict, "bold red" if result.exit_status else "bold green"))]
    commands = facts(*(("" if i else "next", command) for i, command in enumerate(result.next_commands)))
    return [*lines, BLANK, *commands] if commands else lines


def _kind(result: Explain) -> str | None:
    names = {
        "response": "an answer of the API",
        "request": "a request",
        "sdp": f"a session description, read as an {result.role}",
        "ice-servers": "a list of STUN and TURN servers",
    }
    return names.get(result.kind)


def _meaning(meaning: Meaning) -> list[Line]:
    codes = [str(code) for code in (meaning.status, meaning.code, meaning.subcode) if code is not None]
    return facts(
        (meaning.where, " ".join(codes) or None),
        ("says", meaning.description),
        ("means" if codes or meaning.description else meaning.where, meaning.meaning),
        ("again", None if meaning.is_worth_retrying is None else _AGAIN[meaning.is_worth_retrying]),
    )


def _sections(result: Explain) -> list[Line]:
    rows = [
        (
            str(section.line),
            section.kind,
            section.mid,
            section.direction or None,
            " ".join(section.rids) or None,
            " ".join(section.codecs) or None,
        )
        for section in result.sections
    ]
    return known_grid(("line", "m-section", "mid", "direction", "rids", "codecs"), rows, right=(0,))
