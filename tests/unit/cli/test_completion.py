"""Completion scripts: they are what the commands are, and they work in the real shells."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rtcctl.__main__ import main
from rtcctl.cli.main import NOUNS
from rtcctl.cli.shells import SHELLS, script
from rtcctl.cli.tree import walk
from tests.support.requirements import require

FOLDER = Path(__file__).parents[3] / "completions"

ZSH = r"""
# The completion system cannot run without a line editor, so what would be added is printed instead.
compadd() {
  while [[ $1 == -* && $1 != -- ]]; do
    case $1 in
      -V|-S) [[ $1 == -S ]] && suffix=$2; shift 2 ;;
      *) shift ;;
    esac
  done
  [[ $1 == -- ]] && shift
  for word in "$@"; do [[ $word == "$PREFIX"* ]] && print -r -- "$word$suffix"; done
}
_describe() {
  local name=${@[-1]}
  for word in "${(@P)name}"; do [[ ${word%%:*} == "$PREFIX"* ]] && print -r -- "${word%%:*}"; done
}
_files() { print FILES }
compset() { [[ $PREFIX == ${~2}* ]] || return 1; PREFIX=${PREFIX##${~2}} }
compdef() { : }
source @SCRIPT@
words=("$@") CURRENT=$# PREFIX=${@[-1]} suffix=
_rtcctl
"""


def _bash(words: Sequence[str]) -> list[str]:
    # Readline divides words at = too.
    typed = [part for word in words for part in (_divided(word) if word.startswith("--") else [word])]
    code = (
        f'source {FOLDER / SHELLS["bash"]}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rtcctl; '
        '[[ ${#COMPREPLY[@]} == 0 ]] || printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return _lines(["bash", "--norc", "-c", code, "bash", *typed])


def _divided(word: str) -> list[str]:
    name, equals, value = word.partition("=")
    return [part for part in (name, equals, value) if part]


def _zsh(words: Sequence[str]) -> list[str]:
    code = ZSH.replace("@SCRIPT@", str(FOLDER / SHELLS["zsh"]))
    return _lines(["zsh", "-f", "-c", code, "zsh", *words])


def _fish(words: Sequence[str]) -> list[str]:
    code = f"source {FOLDER / SHELLS['fish']}; complete -C (string join ' ' -- $argv)"
    lines = _lines(["fish", "--no-config", "-c", code, *words])
    return [line.partition("\t")[0] for line in lines]


def _lines(command: Sequence[str]) -> list[str]:
    """What a shell prints; nothing but the shell is in its PATH, so a completion that starts a program fails."""
    require(command[0], why="completions are tested in the real shells")
    program = shutil.which(command[0])
    assert program is not None
    environment = {name: value for name, value in os.environ.items() if name.startswith("RTCCTL_")}
    done = subprocess.run(
        [program, *command[1:]],
        env={**environment, "PATH": "/nowhere", "HOME": "/nowhere", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert not done.stderr
    return done.stdout.splitlines()


SHELL_FUNCTIONS = {"bash": _bash, "zsh": _zsh, "fish": _fish}


@pytest.fixture(params=SHELL_FUNCTIONS)
def complete(request: pytest.FixtureRequest) -> Callable[[Sequence[str]], list[str]]:
    """What a shell offers for the words of a command line, the last of which is being typed."""
    return SHELL_FUNCTIONS[request.param]


@pytest.fixture
def known(state_dir: Path) -> None:
    """Two sessions and two profiles."""
    state_dir.mkdir()
    (state_dir / "ids").write_text("abc123\nabd456\n")
    (state_dir / "profiles").write_text("production\nlocal\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_have_not_drifted(shell: str) -> None:
    """`completions/` is what `rtcctl completion` prints: when this fails, write it again."""
    assert (FOLDER / SHELLS[shell]).read_text("utf-8") == script(shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`rtcctl completion SHELL` prints it."""
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == script(shell)


def test_the_tree_is_whole() -> None:
    """Every noun is in the tree, and every command has --help."""
    nodes = {node.path: node for node in walk()}
    assert {path[0] for path in nodes if path} == set(NOUNS)
    assert all(any("--help" in option.names for option in node.options) for node in nodes.values())


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["rtcctl", ""], list(NOUNS)),
        (["rtcctl", "se"], ["session"]),
        (["rtcctl", "session", ""], ["create", "get", "close", "list"]),
        (["rtcctl", "config", "secret", ""], ["set"]),
        (["rtcctl", "turn", "k"], ["key"]),
        (["rtcctl", "turn", "key", ""], ["list", "create", "get", "update", "delete"]),
        (["rtcctl", "config", "secret", "set", "t"], ["turn"]),
        (["rtcctl", "session", "get", ""], ["abc123", "abd456"]),
        (["rtcctl", "session", "get", "abc"], ["abc123"]),
        (["rtcctl", "session", "get", "abc123", "--wa"], ["--watch"]),
        (["rtcctl", "session", "get", "--output", ""], ["table", "json", "jsonl", "csv"]),
        (["rtcctl", "session", "get", "-o", "js"], ["json", "jsonl"]),
        (["rtcctl", "session", "get", "--profile", "p"], ["production"]),
        (["rtcctl", "session", "list", "-"], None),
        (["rtcctl", "track", "subscribe", "abc"], ["abc123/"]),
        (["rtcctl", "track", "subscribe", "abc123/"], []),
        (["rtcctl", "smoke", "--on"], ["--only"]),
        (["rtcctl", "smoke", "--only", "lo"], ["loss"]),
        (["rtcctl", "smoke", "--report", "j"], ["junit:", "json:"]),
        (["rtcctl", "smoke", "--for", ""], []),
        (["rtcctl", "turn", "creds", "--as", ""], ["ice-servers", "env", "coturn", "js"]),
        (["rtcctl", "config", "env", "--as", ""], ["shell", "dotenv", "json"]),
        (["rtcctl", "api", "P"], ["POST", "PUT"]),
        (["rtcctl", "completion", ""], ["bash", "zsh", "fish"]),
        (["rtcctl", "nonsense", ""], None),
    ],
)
def test_what_is_offered(
    complete: Callable[[Sequence[str]], list[str]], words: Sequence[str], offered: list[str] | None
) -> None:
    """Commands, options, values and ids, in their order and without starting any program."""
    found = complete(words)
    if offered is None:
        # Something sensible, and no crash: fish leaves the order of options to itself.
        return
    assert sorted(found) == sorted(offered)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(("shell", "prefix"), [("bash", ""), ("zsh", ""), ("fish", "--output=")])
def test_a_value_after_an_equals_sign(shell: str, prefix: str) -> None:
    """`--output=js` is completed as `--output js` is."""
    found = SHELL_FUNCTIONS[shell](["rtcctl", "session", "list", "--output=js"])
    assert sorted(found) == [f"{prefix}json", f"{prefix}jsonl"]


def test_without_a_state_folder_nothing_is_offered(complete: Callable[[Sequence[str]], list[str]]) -> None:
    """On a fresh machine there are no ids, and no complaint."""
    assert complete(["rtcctl", "session", "get", ""]) == []
