"""The README's commands do what it says they do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from rtcctl.cli.tree import walk
from rtcctl.errors import ExitStatus
from tests.support.command import Home
from tests.support.plugin import WITH_PLUGIN
from tests.support.readme import missing_lines, python_blocks, run_examples
from tests.support.requirements import require

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_examples(home: Home):
    """Each example is run in order; it exits as written, and each line written below it comes out."""
    require("turnserver", why="examples of TURN relay")
    (servers,) = re.findall(r"^```json\n(.*nobody.*)\n```$", README, re.MULTILINE)
    (home.folder / "ice.json").write_text(servers)
    problems = []
    ran = 0
    for example, actual_status, printed, ids in run_examples(README, home):
        ran += 1
        status = 0
        if example.output and (match := re.fullmatch(r"\(exit (\d+)\)", example.output[-1])):
            status = int(match[1])
            example.output.pop()
        if actual_status != status:
            problems.append(f"$ {example.command}\n  exit {actual_status}, not {status}:\n{printed}")
        problems += [
            f"$ {example.command}\n  not printed: {line}\n  but:\n{printed}"
            for line in missing_lines(example, printed, ids)
        ]
    assert not problems, "\n".join(problems)
    assert ran >= 15


def test_python_examples(pytester: pytest.Pytester):
    """Each block of Python is a file of tests, which passes as it stands."""
    blocks = python_blocks(README)
    pytester.makepyfile(**{f"test_block_{number}": block for number, block in enumerate(blocks)})
    result = pytester.runpytest_subprocess("-W", "error", *WITH_PLUGIN, timeout=60)
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] == sum(block.count("def test_") for block in blocks) > 0


def test_every_command_has_an_example():
    """A command without an example in the README is not finished."""
    missing = [f"rtcctl {' '.join(node.path)}" for node in walk() if not node.children]
    assert [command for command in missing if command not in README] == []


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
