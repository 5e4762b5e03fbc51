"""What this machine created: sessions, tracks, TURN credentials, and the last interval each running probe measured.

The API can list none of it, so every command notes what it makes in an SQLite file of the state folder, which several
processes write at once. The journal is a help, never a condition: where it cannot be used, `unavailable` says why,
writing does nothing and reading finds nothing. It holds no secret.

Beside it stands `ids`, the ids of open sessions, newest first, one a line: shells complete from it without Python.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from rtcctl.process import is_running, start_mark
from rtcctl.results.session import SessionRecord

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    # The figures of probes are many, and most commands have no use for them.
    from rtcctl.results.stats import ProbeInterval
    from rtcctl.results.track import ReceivedStatistics, SentStatistics
    from rtcctl.results.turn import TurnCredentialRecord

Statistics = TypeVar("Statistics", "SentStatistics", "ReceivedStatistics")

FILE_NAME = "journal.sqlite3"
BUSY_TIMEOUT_S = 2.0
"How long to wait for another process that is writing."
KEPT_S = 30 * 86_400.0
"Longer than any session lives."
COMPLETED_IDS = 200

_SCHEMAS = (
    """
CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,
    profile TEXT NOT NULL,
    api_base TEXT NOT NULL,
    app_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    closed_at REAL,
    correlation_id TEXT,
    command TEXT NOT NULL,
    pid INTEGER,
    process TEXT NOT NULL
);
CREATE TABLE tracks (
    session_id TEXT NOT NULL,
    track_name TEXT NOT NULL,
    mid TEXT NOT NULL,
    kind TEXT NOT NULL,
    published_at REAL NOT NULL,
    closed_at REAL,
    PRIMARY KEY (session_id, track_name)
);
CREATE TABLE intervals (
    session_id TEXT NOT NULL,
    track_name TEXT NOT NULL,
    publisher_session_id TEXT NOT NULL,
    pid INTEGER,
    process TEXT NOT NULL,
    measured_at REAL NOT NULL,
    sent TEXT,
    received TEXT,
    PRIMARY KEY (session_id, track_name, publisher_session_id)
);
CREATE INDEX intervals_by_publisher ON intervals (publisher_session_id);
CREATE TABLE turn_credentials (
    username TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    profile TEXT NOT NULL,
    issued_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    custom_identifier TEXT
);
""",
    """
CREATE TABLE successors (
    session_id TEXT PRIMARY KEY,
    successor_id TEXT NOT NULL,
    replaced_at REAL NOT NULL
);
""",
)
"What each version has added to the one before."
SCHEMA_VERSION = len(_SCHEMAS)


class Journal:
    """The journal of one user; open it with `Journal.open`, `close` it or use `with`."""

    def __init__(self, folder: Path, connection: sqlite3.Connection | None, unavailable: str | None) -> None:
        self._folder = folder
        self._connection = connection
        self.unavailable = unavailable
        "Why it cannot be used; `None` when it can."

    @classmethod
    def open(cls, state_dir: Path) -> Journal:
        """Open the journal of a state folder, making it if it is not there; never raises."""
        path = state_dir / FILE_NAME
        connection = None
        try:
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            # SQLite would make it readable for others; its side files take the mode of this one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            _prepare(connection)
        except (OSError, sqlite3.Error, _TooNewError) as exc:
            if connection is not None:
                connection.close()
            return cls(state_dir, None, _reason(state_dir, exc))
        return cls(state_dir, connection, None)

    def close(self) -> None:
        """May be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- writing

    def session_created(
        self,
        session_id: str,
        *,
        profile: str,
        api_base: str,
        app_id: str,
        at: float,
        correlation_id: str | None = None,
        pid: int | None = None,
        command: str = "",
    ) -> None:
        """Note a new session. `at`: wall clock; `pid`: the process that holds it, if one does."""
        mark = "" if pid is None else start_mark(pid)
        self._write(
            (
                "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?)",
                (session_id, profile, api_base, app_id, at, correlation_id, command, pid, mark),
            ),
            ("DELETE FROM sessions WHERE created_at < ?", (at - KEPT_S,)),
            ("DELETE FROM tracks WHERE published_at < ?", (at - KEPT_S,)),
            ("DELETE FROM intervals WHERE measured_at < ?", (at - KEPT_S,)),
            ("DELETE FROM successors WHERE replaced_at < ?", (at - KEPT_S,)),
            ("DELETE FROM turn_credentials WHERE expires_at < ?", (at - KEPT_S,)),
        )
        self._write_ids()

    def session_closed(self, session_id: str, at: float) -> None:
        """Note that everything the session held was closed, or that it is gone."""
        self._write(
            ("UPDATE sessions SET closed_at = ? WHERE session_id = ? AND closed_at IS NULL", (at, session_id)),
            ("UPDATE tracks SET closed_at = ? WHERE session_id = ? AND closed_at IS NULL", (at, session_id)),
        )
        self._write_ids()

    def session_replaced(self, session_id: str, successor_id: str, at: float) -> None:
        """Note that a publisher goes on in another session; those who subscribe to it may follow."""
        self._write(("INSERT OR REPLACE INTO successors VALUES (?, ?, ?)", (session_id, successor_id, at)))

    def track_published(self, session_id: str, track_name: str, mid: str, kind: str, at: float) -> None:
        """Note a published track."""
        self._write(
            ("INSERT OR REPLACE INTO tracks VALUES (?, ?, ?, ?, ?, NULL)", (session_id, track_name, mid, kind, at))
        )

    def track_closed(self, session_id: str, track_name: str, at: float) -> None:
        """Note that a published track was closed."""
        self._write(
            ("UPDATE tracks SET closed_at = ? WHERE session_id = ? AND track_name = ?", (at, session_id, track_name))
        )

    def interval(
        self,
        session_id: str,
        *,
        track_name: str,
        publisher_session_id: str | None,
        pid: int,
        at: float,
        sent: Mapping[str, Any] | None,
        received: Mapping[str, Any] | None,
    ) -> None:
        """Keep what a running probe measured last; the one before is forgotten."""
        row = (
            session_id,
            track_name,
            publisher_session_id or "",
            pid,
            start_mark(pid),
            at,
            None if sent is None else json.dumps(sent),
            None if received is None else json.dumps(received),
        )
        self._write(("INSERT OR REPLACE INTO intervals VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row))

    def turn_issued(
        self,
        username: str,
        *,
        key_id: str,
        profile: str,
        issued_at: float,
        expires_at: float,
        custom_identifier: str | None,
    ) -> None:
        """Note issued TURN credentials, without the password: the username is needed to revoke them."""
        row = (username, key_id, profile, issued_at, expires_at, custom_identifier)
        self._write(
            ("INSERT OR REPLACE INTO turn_credentials VALUES (?, ?, ?, ?, ?, ?)", row),
            ("DELETE FROM turn_credentials WHERE expires_at < ?", (issued_at - KEPT_S,)),
        )

    def turn_revoked(self, username: str, at: float) -> None:
        """Note that credentials have ended early. They are still known as ours when somebody revokes them again."""
        self._write(("UPDATE turn_credentials SET expires_at = MIN(expires_at, ?) WHERE username = ?", (at, username)))

    # --- reading

    def sessions(self, *, include_closed: bool = False) -> tuple[SessionRecord, ...]:
        """Sessions this machine created, newest first."""
        where = "" if include_closed else "WHERE closed_at IS NULL "
        rows = self._read(f"SELECT * FROM sessions {where}ORDER BY created_at DESC, rowid DESC")
        names: dict[str, list[str]] = {}
        for track in self._read("SELECT session_id, track_name FROM tracks ORDER BY published_at, rowid"):
            names.setdefault(track["session_id"], []).append(track["track_name"])
        return tuple(_session(row, tuple(names.get(row["session_id"], ()))) for row in rows)

    def session(self, session_id: str) -> SessionRecord | None:
        """One session, closed or not; `None` for one that was not created here."""
        rows = self._read("SELECT * FROM sessions WHERE session_id = ?", session_id)
        tracks = self._read(
            "SELECT track_name FROM tracks WHERE session_id = ? ORDER BY published_at, rowid", session_id
        )
        return _session(rows[0], tuple(track["track_name"] for track in tracks)) if rows else None

    def successor(self, session_id: str, *, api_base: str, app_id: str) -> str | None:
        """The session in which a publisher of this app goes on by now; `None` when it has not replaced this one."""
        rows = self._read(
            # UNION, not UNION ALL: each once, so that a circle would end.
            "WITH RECURSIVE later (session_id, replaced_at) AS ("
            "SELECT successor_id, replaced_at FROM successors WHERE session_id = ? "
            "UNION SELECT s.successor_id, s.replaced_at FROM successors s JOIN later USING (session_id)) "
            "SELECT session_id FROM later JOIN sessions USING (session_id) WHERE api_base = ? AND app_id = ? "
            "ORDER BY later.replaced_at DESC LIMIT 1",
            session_id,
            api_base,
            app_id,
        )
        return rows[0]["session_id"] if rows else None

    def intervals(self, session_id: str) -> tuple[ProbeInterval, ...]:
        """The last interval of each probe that publishes into the session or subscribes to it or for it.

        Publishers come first, so that a table that is watched keeps its order. `pid` is `None` when the probe no
        longer runs.
        """
        from rtcctl.results.stats import ProbeInterval
        from rtcctl.results.track import ReceivedStatistics, SentStatistics

        rows = self._read(
            "SELECT * FROM intervals WHERE session_id = ? OR publisher_session_id = ? "
            "ORDER BY COALESCE(publisher_session_id, '') <> '', measured_at DESC",
            session_id,
            session_id,
        )
        return tuple(
            ProbeInterval(
                session_id=row["session_id"],
                publisher_session_id=row["publisher_session_id"] or None,
                track_name=row["track_name"],
                measured_at=row["measured_at"],
                pid=row["pid"] if is_running(row["pid"] or 0, row["process"]) else None,
                sent=_statistics(SentStatistics, row["sent"]),
                received=_statistics(ReceivedStatistics, row["received"]),
            )
            for row in rows
        )

    def holder(self, session_id: str) -> int | None:
        """The process of this machine that keeps the session connected, if it still lives and is the same one."""
        rows = self._read(
            "SELECT pid, process, 0 AS age FROM sessions WHERE session_id = ? "
            "UNION ALL SELECT pid, process, -measured_at FROM intervals WHERE session_id = ? ORDER BY age",
            session_id,
            session_id,
        )
        return next((int(row["pid"]) for row in rows if is_running(row["pid"] or 0, row["process"])), None)

    def turn_credentials(self, now: float) -> tuple[TurnCredentialRecord, ...]:
        """TURN credentials that this machine issued and that live at `now` (wall clock), newest first."""
        rows = self._read(
            "SELECT * FROM turn_credentials WHERE expires_at > ? ORDER BY issued_at DESC, rowid DESC", now
        )
        return tuple(_turn_credential(row, now) for row in rows)

    def turn_credential(self, username: str, now: float) -> TurnCredentialRecord | None:
        """One of them, also when it has ended; `None` for one that was not issued here."""
        rows = self._read("SELECT * FROM turn_credentials WHERE username = ?", username)
        return _turn_credential(rows[0], now) if rows else None

    # --- how

    def _write(self, *statements: tuple[str, tuple[object, ...]]) -> None:
        """One transaction. A failure is noted in `unavailable`, not raised, and the next write tries again."""
        db = self._connection
        if db is None:
            return
        try:
            db.execute("BEGIN IMMEDIATE")
            for statement, parameters in statements:
                db.execute(statement, parameters)
            db.execute("COMMIT")
        except (sqlite3.Error, UnicodeError) as exc:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            self.unavailable = _reason(self._folder, exc)
        else:
            self.unavailable = None

    def _read(self, query: str, *parameters: object) -> list[sqlite3.Row]:
        if self._connection is None:
            return []
        try:
            return [row for row in self._connection.execute(query, parameters) if _is_sound(row)]
        except (sqlite3.Error, UnicodeError) as exc:
            self.unavailable = _reason(self._folder, exc)
            return []

    def _write_ids(self) -> None:
        """Renew the file that shells complete from; completion without it is poorer, nothing else."""
        if self.unavailable is not None:
            return
        rows = self._read(
            "SELECT session_id FROM sessions WHERE closed_at IS NULL ORDER BY created_at DESC, rowid DESC LIMIT ?",
            COMPLETED_IDS,
        )
        unfinished = self._folder / f".ids.{os.getpid()}.new"
        with suppress(OSError):
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{row['session_id']}\n" for row in rows)
            unfinished.replace(self._folder / "ids")


class _TooNewError(Exception):
    """The file was written by a later version of rtcctl, which knows things this one would lose."""


def _prepare(db: sqlite3.Connection) -> None:
    """Settings of the connection; tables, if the file is new."""
    db.row_factory = sqlite3.Row
    # Readers never wait for a writer, and losing the last second in a power cut is nothing.
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    if _version(db) < SCHEMA_VERSION:
        db.execute("BEGIN IMMEDIATE")
        for schema in _SCHEMAS[_version(db) :]:  # Another process may have been first.
            for statement in schema.split(";"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {max(_version(db), SCHEMA_VERSION)}")
        db.execute("COMMIT")
    if _version(db) > SCHEMA_VERSION:
        raise _TooNewError


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _reason(folder: Path, exc: Exception) -> str:
    path = folder / FILE_NAME
    match exc:
        case _TooNewError():
            return f"{path} was written by a newer rtcctl; update this one, or set RTCCTL_STATE_DIR"
        case OSError():
            return f"{path}: {exc.strerror}"
        case sqlite3.Error() if "not a database" in str(exc) or "malformed" in str(exc):
            return f"{path} is damaged ({exc}); move it away and a new one is made"
        case _:
            return f"{path}: {exc}"


def _session(row: sqlite3.Row, tracks: tuple[str, ...]) -> SessionRecord:
    return SessionRecord(
        session_id=row["session_id"],
        profile=row["profile"],
        api_base=row["api_base"],
        app_id=row["app_id"],
        created_at=row["created_at"],
        closed_at=row["closed_at"],
        correlation_id=row["correlation_id"],
        command=row["command"],
        pid=row["pid"] if is_running(row["pid"] or 0, row["process"]) else None,
        tracks=tracks,
    )


def _turn_credential(row: sqlite3.Row, now: float) -> TurnCredentialRecord:
    from rtcctl.results.turn import TurnCredentialRecord

    return TurnCredentialRecord(**row, remaining_s=max(0.0, row["expires_at"] - now))


def _statistics(kind: type[Statistics], text: str | None) -> Statistics | None:
    """What a probe wrote, perhaps of another version: unknown figures are dropped, and missing ones make it unknown."""
    if text is None:
        return None
    try:
        read: Statistics = _readers()[kind].validate_json(text)
        return read
    except ValueError:
        return None


@cache
def _readers() -> Mapping[type, TypeAdapter[Any]]:
    from pydantic import TypeAdapter

    from rtcctl.results.track import ReceivedStatistics, SentStatistics

    return {kind: TypeAdapter(kind) for kind in (SentStatistics, ReceivedStatistics)}


_MOMENTS = frozenset(
    {"created_at", "closed_at", "published_at", "measured_at", "issued_at", "expires_at", "replaced_at"}
)
_LAST_MOMENT = 250_000_000_000.0
"In the year 9892: what comes after it, no calendar knows."
_MAY_BE_NULL = frozenset({"closed_at", "correlation_id", "pid", "sent", "received", "custom_identifier"})


def _is_sound(row: sqlite3.Row) -> bool:
    """Whether each column has what is written there. SQLite takes anything anywhere, from a hand or a bad disk too."""
    return all(_is_fit(name, row[name]) for name in row.keys())  # noqa: SIM118 (a row iterates over its values)


def _is_fit(name: str, value: object) -> bool:
    if value is None:
        return name in _MAY_BE_NULL
    if name in _MOMENTS:
        return isinstance(value, float) and 0 <= value < _LAST_MOMENT
    if name == "age":
        return isinstance(value, int | float)
    return isinstance(value, int if name == "pid" else str)
