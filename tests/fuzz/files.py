"""Targets of what a user writes, and of what a disk gives back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import keyring
import keyring.backends.null

from rtcctl.config import list_profiles, resolve, running_servers
from rtcctl.config.apps import AppsFile, ServedApp
from rtcctl.config.environment import CREDENTIALS, PROFILE
from rtcctl.config.profiles import add_profile, store_secret, use_profile
from rtcctl.errors import RtcctlError
from rtcctl.journal import FILE_NAME, Journal
from rtcctl.report import json as report_json
from rtcctl.report import table
from rtcctl.results.result import Result
from rtcctl.results.session import SessionList
from rtcctl.results.stats import SessionStats
from rtcctl.server.faults import grammar
from rtcctl.units import BitRate, Bytes, Factor, Hertz, MessageRate, PercentileLimit, Ratio, Seconds, SpellingError, Via
from tests.fuzz.target import records, text

SECRET = "secret-0123456789abcdef"
BOOKS = ("config.toml", "rtcctl.toml", "secrets.toml")
"Which file a record of `config` is, by its flags."


@contextmanager
def _folder() -> Iterator[Path]:
    # In memory where that is to be had: a fuzzer writes a thousand files a second.
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def config(data: bytes) -> None:
    """The user's file, the project's and that of secrets, whatever is in them, by all who read and edit them."""
    keyring.set_keyring(keyring.backends.null.Keyring())
    with _folder() as folder:
        for flags, content in records(data):
            path = folder / BOOKS[flags % 3]
            path.write_bytes(content)
            path.chmod(0o600)
        (folder / ".git").mkdir()
        environ = {"RTCCTL_CONFIG": str(folder / BOOKS[0]), "RTCCTL_STATE_DIR": str(folder / "state")}
        names: list[str] = []
        for read in (
            lambda: names.extend(profile.name for profile in list_profiles(environ=environ, cwd=folder)),
            lambda: resolve(environ=environ, cwd=folder),
            lambda: resolve(names[0] if names else "local", environ=environ, cwd=folder),
            lambda: resolve(names[-1] if names else "env", environ=environ, cwd=folder),
            lambda: use_profile(names[0] if names else "local", environ=environ, cwd=folder),
            lambda: add_profile("added", app_id="app", environ=environ),
            lambda: store_secret("added", "app", SECRET, environ=environ, cwd=folder),
            lambda: resolve("added", environ=environ, cwd=folder),
        ):
            _expect(read)


def _expect(call: object) -> None:
    """Errors of ours are as good as none; each operation is tried."""
    try:
        call()  # type: ignore[operator]
    except RtcctlError as error:
        assert SECRET not in str(error)
        assert SECRET not in error.hint


def apps(data: bytes) -> None:
    """The file of `dev --apps`: read, an app put in and taken out; what is left of it can still be read."""
    with _folder() as folder:
        path = folder / "apps.toml"
        path.write_bytes(data)
        path.chmod(0o600)
        before = AppsFile.load(path)
        added = ServedApp(id="added", secret=SECRET)
        AppsFile.put(path, added)
        assert added in AppsFile.load(path).apps
        AppsFile.remove(path, added)
        after = AppsFile.load(path, may_be_without_apps=True)
        assert [app for app in after.apps if app.id != "added"] == [app for app in before.apps if app.id != "added"]
        assert after.turn_keys == before.turn_keys


_VARIABLES = (PROFILE, *CREDENTIALS, "RTCCTL_STATE_DIR", "RTCCTL_CONFIG")


def environment(data: bytes) -> None:
    """Variables of any content: a record's flags say which one."""
    with _folder() as folder:
        environ = {"RTCCTL_STATE_DIR": str(folder), "RTCCTL_CONFIG": str(folder / "config.toml")}
        for flags, value in records(data):
            # The system ends them at a null byte.
            environ[_VARIABLES[flags % len(_VARIABLES)]] = os.fsdecode(value.partition(b"\0")[0])
        resolve(environ=environ, cwd=folder)


def discovery(data: bytes) -> None:
    """The files by which running servers are found: none is ours unless it says so."""
    with _folder() as folder:
        (folder / "dev").mkdir()
        for number, (_, content) in enumerate(records(data)):
            (folder / "dev" / f"{number}.json").write_bytes(content)
        for server in running_servers(folder):
            assert server.pid > 0
        resolve("local", environ={"RTCCTL_STATE_DIR": str(folder)}, cwd=folder)


# --- the journal


@cache
def _empty_journal() -> bytes:
    with _folder() as folder:
        Journal.open(folder).close()
        with closing(sqlite3.connect(folder / FILE_NAME)) as db:
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("PRAGMA page_size = 512")
            db.execute("VACUUM")
        return (folder / FILE_NAME).read_bytes()


TABLES = (("sessions", 10), ("tracks", 6), ("intervals", 8), ("turn_credentials", 6), ("successors", 3))


def journal(data: bytes) -> None:
    """Rows with anything in any column. A record: its flags say which table; see `_cells`."""
    with _folder() as folder:
        (folder / FILE_NAME).write_bytes(_empty_journal())
        with closing(sqlite3.connect(folder / FILE_NAME)) as db:
            for flags, row in records(data):
                table, columns = TABLES[flags % len(TABLES)]
                cells = [*_cells(row, columns), *[None] * columns][:columns]
                with suppress(sqlite3.IntegrityError):
                    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * columns)})", cells)
            db.commit()
        _read_journal(folder)


def _cells(row: bytes, columns: int) -> Iterator[object]:
    """A byte of kind, and for texts and blobs two of length: 0 NULL, 1 integer, 2 real, 3 text, 4 blob, else `s`."""
    at = 0
    while at < len(row):
        kind, at = row[at] % 6, at + 1
        if kind == 0:
            yield None
        elif kind in (1, 2):
            piece = row[at : at + 8].ljust(8, b"\0")
            yield struct.unpack("<q" if kind == 1 else "<d", piece)[0]
            at += 8
        elif kind in (3, 4):
            size = int.from_bytes(row[at : at + 2])
            piece = row[at + 2 : at + 2 + size]
            yield piece.decode("utf-8", "replace") if kind == 3 else piece
            at += 2 + size
        else:
            yield "s"


def journal_file(data: bytes) -> None:
    """The bytes of the database itself."""
    with _folder() as folder:
        (folder / FILE_NAME).write_bytes(data)
        _read_journal(folder)


def _read_journal(folder: Path) -> None:
    with Journal.open(folder) as opened:
        sessions = opened.sessions(include_closed=True)
        for record in sessions:
            opened.holder(record.session_id)
        opened.session("s")
        _render(SessionList(sessions=sessions))
        _render(SessionStats(session_id="s", intervals=opened.intervals("s")))
        opened.holder("s")
        successor = opened.successor("s", api_base="http://h/v1", app_id="a")
        assert successor is None or isinstance(successor, str)
        opened.turn_credentials(0.0)
        opened.turn_credential("s", 0.0)
        opened.session_created("s2", profile="p", api_base="b", app_id="a", at=1e9, pid=1)
        opened.session_closed("s", 1e9)
        opened.turn_revoked("s", 1e9)


def _render(result: Result) -> None:
    """What is read is shown, and as no other kind of value than commands show."""
    table.render(result, width=80, colour=False)
    report_json.render(result, 0)


# --- grammars

UNITS = (Seconds, Ratio, BitRate, Hertz, Factor, MessageRate, Bytes, PercentileLimit, Via)


def units(data: bytes) -> None:
    """What parses is written as something that parses to the same; the errors of the others show no way to crash."""
    typed = text(data)
    for kind in UNITS:
        try:
            value = kind.parse(typed)  # type: ignore[attr-defined]
        except SpellingError:
            continue
        if isinstance(value, float | int) and value >= 1e14:
            continue  # written in digits that nobody may type
        again = kind.parse(str(value))  # type: ignore[attr-defined]
        assert again == value or abs(again - value) <= 1e-6 * max(1.0, abs(value))


def faults(data: bytes) -> None:
    grammar.parse(text(data))
