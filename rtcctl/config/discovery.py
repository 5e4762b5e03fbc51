"""Running embedded servers of this machine, found through files: `<state>/dev/<pid>.json`, readable by their owner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rtcctl.config.folders import make_private_folder, unwritable, write_private
from rtcctl.process import is_running, start_mark

if TYPE_CHECKING:
    from rtcctl.results.dev import ServerReady


@dataclass(frozen=True, slots=True)
class RunningServer:
    """An embedded server whose process lives."""

    base_url: str
    app_id: str
    app_secret: str = field(repr=False)
    turn_key_id: str
    turn_key_token: str = field(repr=False)
    pid: int
    path: Path
    "Where it announces itself."
    ca_file: str = ""
    "The authority of its certificate, where it speaks HTTPS or TURN over TLS."
    account_id: str = ""
    account_token: str = field(default="", repr=False)
    account_api_base: str = ""


def running_servers(state_dir: Path) -> tuple[RunningServer, ...]:
    """Servers whose process lives, newest first. What cannot be read is not running."""
    found: list[tuple[int, RunningServer]] = []
    # The folder itself may be what cannot be read.
    with suppress(OSError):
        for path in (state_dir / "dev").glob("*.json"):
            with suppress(OSError):
                server = _read(path)
                if server is not None:
                    found.append((path.stat().st_mtime_ns, server))
    found.sort(key=lambda item: item[0], reverse=True)
    return tuple(server for _, server in found)


def _read(path: Path) -> RunningServer | None:
    try:
        data = json.loads(path.read_text("utf-8"))
        server = RunningServer(
            base_url=str(data["base_url"]),
            app_id=str(data["app_id"]),
            app_secret=str(data["app_secret"]),
            turn_key_id=str(data["turn_key_id"]),
            turn_key_token=str(data["turn_key_token"]),
            pid=int(data["pid"]),
            path=path,
            ca_file=str(data.get("ca_file") or ""),
            account_id=str(data.get("account_id") or ""),
            account_token=str(data.get("account_token") or ""),
            account_api_base=str(data.get("account_api_base") or ""),
        )
        mark = str(data.get("process", ""))
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return server if is_running(server.pid, mark) else None


@contextmanager
def announce_server(
    state_dir: Path, ready: ServerReady, *, app_secret: str | None = None, turn_key_token: str | None = None
) -> Iterator[Path]:
    """Make a server known to the profile `local` while the body runs. Raises `UsageError` where it cannot be.

    `app_secret` and `turn_key_token` are those that `ready` does not show.
    """
    folder = state_dir / "dev"
    path = folder / f"{ready.pid}.json"
    data = {
        "base_url": ready.base_url,
        "app_id": ready.app_id,
        "app_secret": ready.app_secret or app_secret,
        "turn_key_id": ready.turn_key_id,
        "turn_key_token": ready.turn_key_token or turn_key_token,
        "account_id": ready.account_id,
        "account_token": ready.account_token,
        "account_api_base": ready.account_api_base,
        "pid": ready.pid,
        "ca_file": ready.ca_file,
        "process": start_mark(ready.pid),
    }
    try:
        make_private_folder(state_dir)
        make_private_folder(folder)
        _remove_dead(folder)
        write_private(path, json.dumps(data, indent=2) + "\n")
    except OSError as exc:
        raise unwritable(path, exc) from exc
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink()


def _remove_dead(folder: Path) -> None:
    """What servers that were killed have left behind."""
    for path in folder.glob("*.json"):
        with suppress(OSError):
            if _read(path) is None:
                path.unlink()
