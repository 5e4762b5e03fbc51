"""The README's commands do what it says they do."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from rtcctl.errors import ExitStatus
from tests.support.command import Home
from tests.support.readme import Ids, console_blocks, missing_lines

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_tour(home: Home, tmp_path: Path):
    """Each example is run in order, against a server started as the tour starts it; each written line comes out."""
    ids = Ids()
    problems = []
    ran = 0
    with home.dev():
        for block in console_blocks(README):
            for example in block:
                if example.command == "rtcctl dev":
                    with home.running("dev", "--port", "0") as server:
                        printed = "".join(server.line() for _ in example.output)
                    problems += [
                        f"$ {example.command}\n  not printed: {m}" for m in missing_lines(example, printed, ids)
                    ]
                    ran += 1
                    continue
                arguments = shlex.split(ids.in_command(example.command), comments=True)
                assert arguments[0] == "rtcctl", f"the README's examples are rtcctl's: {example.command}"
                done = home.run(*arguments[1:])
                status = 0
                if example.output and (match := re.fullmatch(r"\(exit (\d+)\)", example.output[-1])):
                    status = int(match[1])
                    example.output.pop()
                if done.status != status:
                    problems.append(f"$ {example.command}\n  exit {done.status}: {done.stderr or done.stdout}")
                printed = done.stdout + done.stderr
                problems += [
                    f"$ {example.command}\n  not printed: {m}\n  but:\n{printed}"
                    for m in missing_lines(example, printed, ids)
                ]
                ran += 1
    assert not problems, "\n".join(problems)
    assert ran >= 10


def test_every_command_has_an_example(home: Home):
    """A command without an example in the README is not finished."""
    listing = home.run("completion", "bash").stdout
    assert listing
    from rtcctl.cli.completion import command_paths

    for path in command_paths():
        assert f"rtcctl {' '.join(path)}" in README, f"no example of rtcctl {' '.join(path)}"


def test_exit_codes_are_documented():
    """The table of exit statuses is the program's."""
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert documented == {int(status) for status in ExitStatus}


def test_install_lines_name_real_extras():
    """The two commands of the first screen name extras that exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = set(re.findall(r"'\.\[(\w+)\]'", README))
    assert {"probe", "test"} <= named
    assert named <= set(project["optional-dependencies"])


@pytest.mark.parametrize("line", ["pip install '.[probe]' && rtcctl smoke", "pip install '.[test]' && pytest"])
def test_the_two_commands_are_there_as_the_gate_runs_them(line: str):
    """What the gate runs is what the README says."""
    assert line in README
    assert line in (ROOT / ".ci" / "run").read_text("utf-8")
