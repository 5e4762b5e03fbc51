"""Runs the `console` blocks of a Markdown file and compares what comes out with what is written.

Numbers differ from run to run, and so do ids: a number matches any number, an id of 32 hex digits matches any id, as
does the user name of a TURN credential, and the one that came out is used wherever the text names its id later.

`python -m tests.support.readme README.md` writes what the commands print now.
"""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.command import Home, Running

_ID = re.compile(r"\b(?:[0-9a-f]{96}|[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{12}(?=…))")
"Of a session, an app, a TURN credential (whole, or as tables shorten it), or a secret, which are longer."
_TOKEN = re.compile(rf"{_ID.pattern}|(?<=by rtcctl dev )[0-9a-f]{{8}}|\d+(?:\.\d+)?")
"Those, the name of an authority, and numbers."


@dataclass
class Example:
    """One `$ command` of a block and the output written below it; `...` stands for lines left out."""

    command: str
    output: list[str] = field(default_factory=list)


def console_blocks(markdown: str) -> Iterator[list[Example]]:
    """The examples of each ```` ```console ```` block."""
    for block in re.findall(r"^```console\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL):
        examples: list[Example] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                examples.append(Example(line[2:]))
            elif examples:
                examples[-1].output.append(line)
        yield examples


def python_blocks(markdown: str) -> list[str]:
    """The source of each ```` ```python ```` block."""
    return re.findall(r"^```python\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)


class Ids:
    """Which id of the text stands for which id of this run."""

    def __init__(self) -> None:
        self._actual: dict[str, str] = {}

    def in_command(self, command: str) -> str:
        """The command with this run's ids."""
        return _ID.sub(lambda match: self._actual.get(match[0], match[0]), command)

    def learn(self, written: str, actual: str) -> None:
        """Pair the ids of two lines that match."""
        for one, other in zip(_ID.findall(written), _ID.findall(actual), strict=True):
            self._actual.setdefault(one, other)


_FROM_REPORTS = re.compile(r"(loss to SFU|jitter at SFU|rtt) ")
"Lines of what receiver reports tell: whether one has come yet is a matter of the second it was asked in."


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers or the dash of an unknown one, ids, widths, rules of tables.

    Whether a round trip is by RTCP or by STUN is a matter of the second it was asked in.
    """
    line = re.sub(r"[─━═│┃|+┌┐└┘├┤┬┴┼-]+", " ", line)
    line = _TOKEN.sub("#", line)
    line = re.sub(r"# ms\b|–", "#", line)
    line = re.sub(r"\bby (rtcp|stun)\b", "by #", line)
    return re.sub(r"\s+", " ", line).strip()


def missing_lines(example: Example, actual: str, ids: Ids) -> list[str]:
    """Lines of the text that this run did not print, in order; learns the ids of those it did."""
    rest = iter(actual.splitlines())
    missing = []
    for written in example.output:
        if written.strip() in ("", "...") or not shape(written):
            continue
        for line in rest:
            if shape(line) == shape(written):
                ids.learn(written, line)
                break
        else:
            if not _FROM_REPORTS.match(written):
                missing.append(written)
            rest = iter(actual.splitlines())
    return missing


def run_examples(markdown: str, home: Home) -> Iterator[tuple[Example, int, str, Ids]]:
    """Run the examples in order against a server of this home: (example, exit status, what came out, ids so far)."""
    ids = Ids()
    with home.dev():
        for block in console_blocks(markdown):
            for example in block:
                arguments = shlex.split(ids.in_command(example.command))
                assert arguments[0] == "rtcctl", f"the examples are rtcctl's: {example.command}"
                if arguments[1:] == ["dev"] or arguments[1:3] == ["turn", "refresh"]:
                    options = ["--port", "0"] if arguments[1:] == ["dev"] else []
                    with home.running(*arguments[1:], *options) as command:
                        text, status = "".join(lines_until(example.output[-1], command)), 0
                else:
                    done = home.run(*arguments[1:])
                    text, status = done.stdout + done.stderr, done.status
                yield example, status, text.replace(str(home.folder), "~"), ids


def lines_until(written: str, command: Running) -> Iterator[str]:
    """What a command that goes on prints, up to a line that matches: how many there are depends on the machine."""
    while True:
        line = command.line()
        yield line
        if shape(line) == shape(written):
            return


def rewrite(path: Path) -> None:
    """Write what the examples print now below each of them; the port of the server is written as the usual one."""
    markdown = path.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for example, status, text, ids in run_examples(markdown, Home(Path(folder))):
            missing_lines(example, text, ids)
            if example.command == "rtcctl dev":
                continue
            before = "\n".join([f"$ {example.command}", *example.output])
            text = re.sub(r"((?:http://|→ |stun:)127\.0\.0\.1:)\d+", r"\g<1>8610", text)
            after = "\n".join([f"$ {ids.in_command(example.command)}", *text.rstrip("\n").splitlines()])
            if status:
                after += f"\n(exit {status})"
            assert before in markdown
            markdown = markdown.replace(before, after, 1)
    path.write_text(markdown, "utf-8")


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]))
