"""Dispatch, help, and what a command line that makes no sense is told."""

import json
import re
import subprocess
import sys

import pytest
from typer.main import get_command

from rtcctl.__main__ import main
from rtcctl.cli.main import NESTED, NOUNS, load
from rtcctl.cli.tree import Node, walk

NODES = tuple(walk())


COMMANDS = tuple(node for node in NODES if node.path)


@pytest.mark.parametrize("name", NOUNS)
def test_the_table_of_nouns_tells_the_truth(name: str) -> None:
    """The root's help of a noun is the help that its module has."""
    app = load(name)
    assert app.info.help == NOUNS[name]
    short = get_command(app).get_short_help_str(limit=200)
    assert short.rstrip(".") == NOUNS[name].rstrip(".")


@pytest.mark.parametrize("node", NODES, ids=lambda node: " ".join(node.path) or "root")
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_works_everywhere(node: Node, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command answers -h and --help with its usage, on stdout."""
    assert main([*node.path, flag]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: {' '.join(('rtcctl', *node.path))}")
    assert not err


@pytest.mark.parametrize("node", COMMANDS, ids=lambda node: " ".join(node.path))
def test_every_command_and_option_has_a_help(node: Node) -> None:
    """Nothing has to be guessed."""
    assert node.help
    assert all(option.help for option in node.options)


def test_the_same_option_has_the_same_help_and_values_everywhere() -> None:
    """One thing, one name: an option that two commands share means the same in both."""
    shared = {"--profile", "--output", "--report", "--curl", "--verbose", "--no-color", "--for", "--wait", "--max-loss"}
    seen: dict[str, object] = {}
    for node in NODES:
        for option in node.options:
            for name in shared & set(option.names):
                assert seen.setdefault(name, option) == option


@pytest.mark.parametrize("node", [n for n in COMMANDS if not n.children and n.path != ("completion",)], ids=str)
def test_every_command_has_curl_output_and_reports(node: Node) -> None:
    """What is common is common to all."""
    names = {name for option in node.options for name in option.names}
    assert {"--curl", "--output", "--report", "--verbose", "--no-color"} <= names


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["--version", "--help"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The front door and the real one say the same."""
    assert main(arguments) == 0
    assert re.fullmatch(r"rtcctl \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["sesion"], "No such command 'sesion'. Did you mean 'session'?", "rtcctl --help"),
        (["session", "gett", "x"], "No such command 'gett'. Did you mean 'get'?", "rtcctl session --help"),
        (["session", "list", "--al"], "No such option: --al", "rtcctl session list --help"),
        (["session", "get"], "Missing argument 'SESSION'.", "rtcctl session get --help"),
        (["session", "get", ""], "SESSION: a session id is missing: it is empty", "rtcctl session get --help"),
        (["session", "get", "a/b"], "SESSION: a session is meant here, not a track: a", "rtcctl session get --help"),
        (["track", "subscribe", "a"], "'a' is not a track; write SESSION/TRACK.", ""),
        (["track", "wait", "a/b", "c/d"], "one track is meant here, not 2.", ""),
        (["track", "publish"], "The track has no name.", "Add --name"),
        (
            ["track", "publish", "--name", ""],
            "--name: a track name is missing: it is empty",
            "rtcctl track publish --help",
        ),
        (
            ["track", "subscribe", "a/b", "--for", "30"],
            "--for: a duration needs its unit: 30s (or 30ms, 30m, 30h)",
            "rtcctl track subscribe --help",
        ),
        (
            ["track", "subscribe", "a/b", "--for", "0s"],
            "--for: it must last longer than nothing",
            "rtcctl track subscribe --help",
        ),
        (["smoke", "--max-loss", "2"], "--max-loss: a ratio needs its unit: 2%", "rtcctl smoke --help"),
        (["smoke", "--only", "nothing", "--embedded"], "There is no check 'nothing'.", "Checks: api, turn, session,"),
        (["smoke", "--embedded", "--profile", "x"], "--embedded and --profile exclude each other.", ""),
        (["session", "create", "--for", "5s"], "--for is how long a connection is held.", "Add --connect."),
        (["track", "close", "a", "b", "--all"], "--all takes one session.", "rtcctl track close SESSION --all"),
        (["turn", "creds", "--as", "js", "--output", "csv"], "--as and --output csv exclude each other.", ""),
        (["config", "env", "--as", "json", "--output", "csv"], "--as and --output csv exclude each other.", ""),
        (["turn", "creds", "--ttl", "49h"], "A TURN credential lives whole seconds, from 1 s to 48 h", "For example"),
        (["turn", "creds", "--ttl", "500ms", "--curl"], "A TURN credential lives whole seconds", "For example"),
        (["turn", "creds", "--custom-identifier", ""], "--custom-identifier: it is empty", "rtcctl turn creds --help"),
        (["turn", "revoke"], "Nothing was named to revoke.", "Name USERNAME"),
        (["turn", "revoke", ""], "[USERNAME]...: it is empty", "rtcctl turn revoke --help"),
        (
            ["turn", "revoke", "--custom-identifier", ""],
            "--custom-identifier: it is empty",
            "rtcctl turn revoke --help",
        ),
        (["turn", "revoke", "a", "--custom-identifier", "b"], "USERNAME and --custom-identifier exclude", ""),
        (["turn", "revoke", "a", "--verify"], "--verify needs the password", "rtcctl turn creds --output json"),
        (["turn", "revoke", "--ice-servers", "absent.json"], "--ice-servers absent.json cannot be read", ""),
        (["turn", "refresh", "absent/turn.json"], "absent/turn.json: there is no folder absent.", ""),
        (["turn", "refresh", "/dev/null"], "/dev/null is no file that could be replaced.", ""),
        (["api", "DELETE", "x"], "METHOD: 'DELETE' is not one of", "rtcctl api --help"),
        (["api", "GET", "https://example.com/x"], "'https://example.com/x' is not a path.", "For example:"),
        (["api", "POST", "x", "--input", "absent.json"], "--input absent.json cannot be read", ""),
        (["--profile", "x", "session", "list"], "The command comes first", "rtcctl session list --profile x"),
        (["session", "list", "--report", "junit"], "--report: 'junit' is not FORMAT:FILE", "rtcctl session list"),
        (["session", "list", "--report", "json:absent/x"], "--report json:absent/x: there is no folder absent.", ""),
        (["session", "get", "abc", "--profile", "absent"], "There is no profile 'absent'", ""),
        (["dev", "--announce", "here"], "--announce takes an IP address, not 'here'.", ""),
        (["config", "add", "x"], "There is no terminal to ask on.", "--from-env"),
        (["completion", "tcsh"], "SHELL: 'tcsh' is not one of", "rtcctl completion --help"),
    ],
)
def test_mistakes_are_exit_2_and_one_line(
    arguments: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake of the user ends with 2, one line that names it and one that helps; stdout stays empty."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert lines[0].startswith(f"error: {message}")
    assert not hint or lines[1].startswith(f"hint: {hint}")
    assert len(lines) <= 2
    assert not out


@pytest.mark.parametrize("arguments", [[], ["session"]])
def test_a_noun_alone_shows_its_help_and_is_no_success(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that forgot the verb notices."""
    assert main(arguments) == 2
    assert "Usage: rtcctl" in "".join(capsys.readouterr())


def test_json_asked_for_gets_errors_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --output json an error is one JSON object on stderr, that of a line that cannot be parsed too."""
    assert main(["smoke", "--output", "json", "--max-loss", "2"]) == 2
    out, err = capsys.readouterr()
    error = json.loads(err)
    assert error["exit_status"] == 2
    assert error["error"] == "--max-loss: a ratio needs its unit: 2%"
    assert {"status", "code", "phase", "retryable", "gone", "ray", "hint"} <= set(error)
    assert not out


@pytest.mark.parametrize("arguments", [["--help"], ["session", "--help"], ["smoke", "--help"], ["track", "bad"]])
def test_help_and_mistakes_load_nothing_heavy(arguments: list[str]) -> None:
    """`rtcctl --help` loads neither HTTP, nor schemas, nor media, nor an event loop, nor a table library."""
    code = (
        "import sys; from rtcctl.__main__ import main; main(sys.argv[1:]); "
        "sys.stderr.write('LOADED ' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.rpartition("LOADED ")[2].split())
    assert not loaded & {"httpx", "pydantic", "aiortc", "av", "asyncio", "rich", "click", "dataclasses", "sqlite3"}


def test_the_front_door_loads_almost_nothing() -> None:
    """`--version` is answered before Typer, or even argparse or re, is imported."""
    code = (
        "import sys; before = set(sys.modules); from rtcctl.__main__ import main; main(['--version']); "
        "sys.stderr.write(' '.join(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stderr.split()) <= {"rtcctl", "rtcctl.__main__", "__future__"}


def test_session_list_needs_neither_loop_nor_schemas() -> None:
    """The journal alone answers `session list`."""
    code = (
        "import sys; from rtcctl.__main__ import main; main(['session', 'list']); "
        "sys.stderr.write('LOADED ' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "no sessions; make one with: rtcctl session create\n"
    loaded = set(done.stderr.rpartition("LOADED ")[2].split())
    assert not loaded & {"httpx", "pydantic", "asyncio", "rich", "ssl"}


def test_a_noun_inside_a_noun_is_loaded_when_it_is_named() -> None:
    """`turn creds` does not pay for `turn key`, whose help `turn --help` has all the same."""
    code = "import sys; from rtcctl.__main__ import main; main(sys.argv[1:])"
    code += "; print('rtcctl.cli.turn_key' in sys.modules)"

    def said(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    assert said("turn", "creds", "--help").endswith("False\n")
    assert said("turn", "key", "--help").endswith("True\n")
    assert re.search(r"^  key +The TURN keys of the account", said("turn", "--help"), re.MULTILINE)


def test_the_nouns_inside_nouns_have_their_own_help() -> None:
    """The help of the outer noun says what the inner one says of itself."""
    for path, help_ in NESTED.items():
        assert load(*path).info.help == help_
