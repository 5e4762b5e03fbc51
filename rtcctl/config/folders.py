"""Where files live, and how private ones are written."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rtcctl.errors import UsageError

PROJECT_FILE = "rtcctl.toml"


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the journal and of running servers: `RTCCTL_STATE_DIR`, or the platform's."""
    chosen = _override("RTCCTL_STATE_DIR", environ)
    if chosen is not None:
        return chosen
    from platformdirs import user_state_path

    return user_state_path("rtcctl", appauthor=False)


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's file of profiles: `RTCCTL_CONFIG`, or the platform's."""
    chosen = _override("RTCCTL_CONFIG", environ)
    if chosen is not None:
        return chosen
    from platformdirs import user_config_path

    return user_config_path("rtcctl", appauthor=False) / "config.toml"


def secrets_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The file of stored secrets, beside the user's file."""
    return config_path(environ).with_name("secrets.toml")


def project_path(cwd: Path | None = None) -> Path | None:
    """The nearest `rtcctl.toml` from `cwd` upwards, inside the project: up to the folder that holds `.git`."""
    folder = (cwd or Path.cwd()).resolve()
    for candidate in (folder, *folder.parents):
        path = candidate / PROJECT_FILE
        if path.is_file():
            return path
        if (candidate / ".git").exists():
            return None
    return None


def _override(variable: str, environ: Mapping[str, str]) -> Path | None:
    value = environ.get(variable)
    if value is None:
        return None
    if not value.strip():
        raise UsageError(f"{variable} is empty.", hint=f"Unset {variable}, or let it name a path.")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise UsageError(f"{variable}: there is no such user: {value}", hint="Write the whole path.") from None


def make_private_folder(folder: Path) -> None:
    """Make a folder, if it is not there, that only its owner can enter. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, as a whole or not at all. Raises `OSError`.

    A symbolic link stays one: people keep their configuration in repositories.
    """
    with suppress(FileNotFoundError):
        path.stat()  # of a loop of links, resolve() tells in its own way, or not at all
    path = path.resolve()
    make_private_folder(path.parent)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def require_writable(path: Path) -> None:
    """Raise `UsageError` when a private file could not be written there; tried, since permissions alone do not tell."""
    try:
        with suppress(FileNotFoundError):
            path.stat()  # as `write_private`
        path = path.resolve()
        make_private_folder(path.parent)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as exc:
        raise unwritable(path, exc) from exc


def is_there(path: Path) -> bool:
    """Whether there is something to read; raises `UsageError` where that cannot be told."""
    try:
        return path.exists()
    except OSError as exc:
        raise unreadable(path, exc) from exc


def unreadable(path: Path, exc: Exception) -> UsageError:
    """The error for a file that cannot be read as TOML."""
    if isinstance(exc, OSError):
        return UsageError(f"{path} cannot be read: {exc.strerror}.", hint="Check the file and its permissions.")
    # The decoder's message holds the position, never the text.
    return UsageError(f"{path} is not TOML: {exc}.", hint="Mend it, or move it away and use: rtcctl config add NAME")


def unwritable(path: Path, exc: OSError) -> UsageError:
    """The error for a file that cannot be written."""
    return UsageError(f"{path} cannot be written: {exc.strerror}.", hint="Check the folder and its permissions.")


def require_private(path: Path) -> None:
    """Refuse a file with secrets that others can read (Windows has no such bits), and what is no file (a pipe is)."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "device"
        raise UsageError(f"{path} is a {kind}, not a file.", hint="Move it away, or name another path")
    if os.name != "posix":
        return
    mode = stat.S_IMODE(mode)
    if mode & 0o077:
        raise UsageError(f"{path} holds secrets and can be read by others (mode {mode:04o}).", hint=f"chmod 600 {path}")
