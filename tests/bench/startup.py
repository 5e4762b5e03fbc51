"""How long commands take to start, each as a ratio to `python -c pass` of the same run.

`python -m tests.bench startup [--rounds N]`. The commands take turns, so that a busy machine slows all of them; the
median of each is divided by the median of the empty Python.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMPLETIONS = Path(__file__).parents[2] / "completions"


@dataclass(frozen=True, slots=True)
class Row:
    """One promise: the command, what it may cost at most, and what it should."""

    name: str
    arguments: Sequence[str]
    at_least: float
    aim: float
    config: str = "none.toml"
    "The user's file of profiles, below the bench's folder."


ROWS = (
    Row("--version", ["--version"], 2, 1.3),
    Row("--help", ["--help"], 8, 5.5),
    Row("session --help", ["session", "--help"], 8, 5.5),
    Row("session list", ["session", "list"], 14, 10),
    Row("config show", ["config", "show"], 25, 19),
    Row("config show, of a file", ["config", "show", "--profile", "bench"], 25, 19, config="config.toml"),
    Row("session create (API)", ["session", "create"], 40, 28),
)

DEV = Row("dev, until it answers", ["dev", "--port", "0", "--output", "json"], 35, 26)
FIXTURE = Row("realtime, its first use", [], 40, 25)
"In a pytest that runs: what a project's first test waits for, imports included. Half a second is about 40."

_SINCE = "import time, pytest; started = time.perf_counter()"
_FIXTURE = f"""
{_SINCE}
from rtcctl.testing import realtime_server
with realtime_server() as server, server.app():
    print(time.perf_counter() - started)
"""
_PYTEST = "import time; started = time.perf_counter(); import pytest; print(time.perf_counter() - started)"
_PLUGIN = f"{_SINCE}; import rtcctl.pytest_plugin; print(time.perf_counter() - started)"
PLUGIN_AT_MOST = 0.01
"Of the time that pytest itself takes to import: less than a millisecond."


def main(argv: Sequence[str]) -> int:
    """Print a row per promise; the exit status is 1 when one is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each command runs (default 15)")
    rounds = parser.parse_args(argv).rounds
    program = _program()
    with tempfile.TemporaryDirectory() as folder, _api() as base:
        environment = _environment(Path(folder), base)
        Path(folder, "config.toml").write_text(f'[profiles.bench]\napi_base = "{base}"\napp_id = "bench"\n')
        runs: dict[str, Callable[[], float]] = {"pass": lambda: _timed([sys.executable, "-c", "pass"], environment)}
        for row in ROWS:
            used = {**environment, "RTCCTL_CONFIG": str(Path(folder, row.config))}
            runs[row.name] = partial(_timed, [*program, *row.arguments], used)
        runs[DEV.name] = lambda: _timed_until_ready([*program, *DEV.arguments], environment)
        for name, code in ((FIXTURE.name, _FIXTURE), ("pytest", _PYTEST), ("plugin", _PLUGIN)):
            runs[name] = partial(_told, code, environment)
        times = _take_turns(runs, rounds)
    unit = times["pass"]
    _line(f"python -c pass: {unit * 1000:.1f} ms (median of {rounds}); {' '.join(program)}")
    _line(f"{'command':24} {'ratio':>7} {'at most':>8} {'aim':>6}")
    broken = 0
    for row in (*ROWS, DEV, FIXTURE):
        ratio = times[row.name] / unit
        broken += ratio > row.at_least
        verdict = "BROKEN" if ratio > row.at_least else "aim reached" if ratio <= row.aim else ""
        _line(f"{row.name:24} {ratio:7.2f} {row.at_least:8g} {row.aim:6g}  {verdict}")
    share = times["plugin"] / times["pytest"]
    broken += share > PLUGIN_AT_MOST
    verdict = "  BROKEN" if share > PLUGIN_AT_MOST else ""
    _line(f"{'the plugin ÷ pytest':24} {share:7.2%} {PLUGIN_AT_MOST:8.0%}  ({times['plugin'] * 1000:.2f} ms){verdict}")
    if shutil.which("bash"):
        _line(f"{'TAB in bash':24} {_completion_ms():7.2f} ms, no Python started")
    return int(broken > 0)


def _program() -> list[str]:
    """The installed command beside this Python, else the module."""
    installed = Path(sys.executable).with_name("rtcctl")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "rtcctl"]


def _environment(folder: Path, base: str) -> Mapping[str, str]:
    """Nothing of the user's; the profile `env` of an API on loopback."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "SYSTEMROOT") if name in os.environ}
    return kept | {
        "HOME": str(folder),
        "RTCCTL_STATE_DIR": str(folder / "state"),
        "RTCCTL_CONFIG": str(folder / "none.toml"),
        "RTCCTL_API_BASE": base,
        "RTCCTL_APP_ID": "benchbenchbenchbenchbenchbench00",
        "RTCCTL_APP_SECRET": "bench-secret-of-an-app-that-is-not",
    }


def _take_turns(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median seconds of each; one round before them warms the caches."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            elapsed = run()
            if number:
                times[name].append(elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


def _timed(command: Sequence[str], environment: Mapping[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    elapsed = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode()}")
    return elapsed


def _timed_until_ready(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Until the first line of its document is written, which is when the server answers."""
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        elapsed = time.perf_counter() - started
        server.terminate()
        server.stdout.read()
    if not line:
        raise SystemExit(f"{' '.join(command)} ended with {server.returncode}")
    return elapsed


def _told(code: str, environment: Mapping[str, str]) -> float:
    """What a Python that runs this prints: seconds."""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _completion_ms() -> float:
    """One TAB in bash, milliseconds: the completion function a thousand times."""
    script = f"""
        source {COMPLETIONS / "rtcctl.bash"}
        COMP_WORDS=(rtcctl track subscribe --m) COMP_CWORD=3
        TIMEFORMAT=%R
        time for i in {{1..1000}}; do _rtcctl; done
    """
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    return float(done.stderr.strip())


@contextmanager
def _api() -> Iterator[str]:
    """An API that creates sessions and nothing else, so that only the client is measured; gives its base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.dumps({"sessionId": os.urandom(16).hex()}).encode()
            self.send_response(201)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
