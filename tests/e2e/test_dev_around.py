"""`rtcctl dev -- COMMAND`: the server around a command, as a user runs it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shlex
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from rtcctl.cli import around
from rtcctl.config import environment
from tests.support.command import RTCCTL, Home

PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"
WAIT = """
import pathlib, signal, sys, time
def end(number, frame):
    print("told", number, flush=True)
    time.sleep(0.2)
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
print("waiting", flush=True)
time.sleep(60)
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def python(code: str) -> tuple[str, ...]:
    return ("--", sys.executable, "-c", code)


def taken_port() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


@pytest.mark.parametrize(
    ("code", "status"), [("pass", 0), ("raise SystemExit(42)", 42), ("raise SystemExit(255)", 255)]
)
def test_the_status_is_the_commands(home: Home, code: str, status: int):
    """Whatever it is, and whatever our own tables say."""
    assert home.run("dev", "--port", "0", *python(code)).status == status


def test_a_signal_that_ended_the_command_is_128_and_more(home: Home):
    """As a shell has it."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert home.run("dev", "--port", "0", *python(code)).status == 137


@pytest.mark.parametrize(("code", "status"), [(5, 5), (0, 2)])
def test_a_ledger_that_cannot_be_written_does_not_hide_the_status(home: Home, code: int, status: int):
    """It is said; where the command was content, it is the error."""
    replace = f"import os; os.unlink('ledger.json'); os.mkdir('ledger.json'); raise SystemExit({code})"
    done = home.run("dev", "--ledger", "ledger.json", "--port", "0", *python(replace))
    assert (done.status, done.stdout) == (status, "")
    assert "--ledger ledger.json cannot be written: Is a directory." in done.stderr


@pytest.mark.parametrize("output", ["table", "json", "jsonl", "csv"])
def test_stdin_and_stdout_are_the_commands_alone(home: Home, output: str):
    """Nothing of ours is on stdout whatever `--output`, and one line is on stderr."""
    code = "import sys; print(sys.stdin.read().upper())"
    done = home.run("dev", "--port", "0", "--output", output, *python(code), stdin="hello")
    assert (done.status, done.stdout) == (0, "HELLO\n")
    assert done.stderr.startswith("serving http://127.0.0.1:")
    assert done.stderr.rstrip().endswith(f"for: {shlex.join(python(code)[1:])}")
    assert len(done.stderr.splitlines()) == 1


def test_the_environment_names_the_server_for_every_tool(home: Home):
    """The variables of rtcctl, the official examples and orange/meet agree; what the user had set does not win."""
    mine = {
        "RTCCTL_PROFILE": "production",
        "RTCCTL_APP_ID": "mine",
        "SFU_API_BASE": "https://example.com",
        "OTHER": "x",
    }
    done = home.run("dev", "--port", "0", *python(PRINT_ENVIRONMENT), environment=mine)
    given = done.document
    assert (given["RTCCTL_PROFILE"], given["OTHER"]) == ("env", "x")
    for families in (environment.APP, environment.TURN):
        values = {tuple(given[name] for name in family.variables.values()) for family in families}
        assert len(values) == 1
    assert given["RTCCTL_API_BASE"].startswith("http://127.0.0.1:")
    assert given["RTCCTL_API_BASE"] in done.stderr


def test_rtcctl_as_the_command_meets_the_server(home: Home):
    """Even where another profile is chosen; it has nothing to say about the variables it does not need."""
    home.config.write_text(
        'profile = "staging"\n[profiles.staging]\napp_id = "a"\napp_secret = "not-this-secret-0123"\n'
    )
    home.config.chmod(0o600)
    done = home.run("dev", "--port", "0", "--", str(RTCCTL), "session", "create", "--output", "json")
    assert done.status == 0, done.stderr
    assert (done.document["target"]["profile"], done.document["target"]["embedded"]) == ("env", True)
    assert len(done.stderr.splitlines()) == 1


def test_apps_of_a_file_are_handed_to_the_command(home: Home):
    """The first one's secret, in its environment and nowhere else."""
    path = home.folder / "apps.toml"
    path.write_text(
        '[[apps]]\nid = "one"\nsecret = "secret-of-one-012345"\n[[apps]]\nid = "two"\nsecret = "secret-of-two-012345"\n'
    )
    path.chmod(0o600)
    done = home.run("dev", "--port", "0", "--verbose", "--apps", "apps.toml", *python(PRINT_ENVIRONMENT))
    assert (done.document["RTCCTL_APP_ID"], done.document["CALLS_APP_SECRET"]) == ("one", "secret-of-one-012345")
    assert "secret-of-two-012345" not in done.stdout
    assert "secret-of" not in done.stderr


@pytest.mark.parametrize("name", ["no-such-program-here", "/", ""])
def test_what_cannot_be_run_is_2_and_named(home: Home, name: str):
    """No traceback, and no server left."""
    done = home.run("dev", "--port", "0", "--", name)
    assert (done.status, done.stdout) == (2, "")
    assert f"error: '{name}' cannot be run: " in done.stderr
    assert "hint: " in done.stderr
    assert not list(home.state.glob("dev/*.json"))


def test_no_command_at_all_is_2(home: Home):
    """`dev -- $COMMAND` with an empty variable would serve for ever."""
    done = home.run("dev", "--port", "0", "--")
    assert (done.status, done.stdout) == (2, "")
    assert "error: No command follows --." in done.stderr


def test_a_taken_port_is_an_error_only_where_it_was_asked_for(home: Home):
    """The usual one is given up for any other when a command is told which; `--port` is meant."""
    with taken_port() as listener:
        done = home.run("dev", "--port", str(listener.getsockname()[1]), *python("pass"))
        assert done.status == 2
        assert "Cannot listen on TCP port" in done.stderr
    with home.running("dev", *python(WAIT)) as one, home.running("dev", *python(WAIT)) as other:
        # Whoever has 8610, if either: both run.
        assert (one.line(), other.line()) == ("waiting\n", "waiting\n")


@pytest.mark.parametrize(
    ("signum", "told"),
    [
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGHUP, signal.SIGTERM),
        (signal.SIGQUIT, signal.SIGTERM),
    ],
)
def test_signals_are_the_commands(home: Home, signum: signal.Signals, told: signal.Signals):
    """It is told once, may clean up, and its status is ours; nothing of ours is left."""
    with home.running("dev", "--port", "0", *python(WAIT)) as server:
        assert server.line() == "waiting\n"
        server.process.send_signal(signum)
        assert server.line() == f"told {int(told)}\n"
        if signum == signal.SIGHUP:  # as a terminal's shell and the kernel do
            server.process.send_signal(signum)
        assert server.wait() == 7
    assert not list(home.state.glob("dev/*.json"))


def test_a_command_that_does_not_end_is_killed(home: Home):
    """The second SIGTERM does not wait; nothing is left behind."""
    with home.running("dev", "--port", "0", *python(STUBBORN)) as server:
        pid = int(server.line())
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        os.kill(pid, 0)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(4) == 137
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(not os.environ.get("RTCCTL_SLOW"), reason="waits for 5 s; RTCCTL_SLOW=1 runs it")
def test_patience_with_a_command_has_an_end(home: Home):
    """One SIGTERM suffices in the end."""
    with home.running("dev", "--port", "0", *python(STUBBORN)) as server:
        server.line()
        assert server.stop(timeout_s=15) == 137


def test_ctrl_c_of_a_terminal_reaches_the_command_once(home: Home):
    """The terminal tells both of us: a second Ctrl-C from us would cut its clean-up short."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home.folder)
        os.execve(RTCCTL, [str(RTCCTL), "dev", "--port", "0", *python(WAIT)], home.environment)
    said = b""
    try:
        while b"\nwaiting\r\n" not in said:
            said += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        _, status = os.waitpid(pid, 0)
        said += os.read(terminal, 4096)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 7
    assert said.count(b"told 2") == 1


def test_an_error_before_the_command_is_json_only_where_we_are_asked_for_it(home: Home):
    """`--output json` after -- is the command's own option."""
    done = home.run("dev", "--port", "0", "--", "no-such-program-here", "--output", "json")
    assert done.stderr.splitlines()[-1].startswith("hint: ")
    done = home.run("dev", "--port", "0", "--output", "json", "--", "no-such-program-here")
    assert json.loads(done.stderr.splitlines()[-1])["exit_status"] == 2


@pytest.mark.parametrize("code", ["import time; time.sleep(60)", STUBBORN])
async def test_whatever_else_ends_us_ends_the_command(code: str, tmp_path: Path):
    """A server that breaks down cancels us: the command is told, in the end killed, and not left behind."""
    note = tmp_path / "pid"
    noting = f"import os, pathlib; pathlib.Path({str(note)!r}).write_text(str(os.getpid()))\n{code}"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await around.run_command([sys.executable, "-c", noting], os.environ, grace_s=0.3)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        asyncio.get_running_loop().remove_signal_handler(signum)
