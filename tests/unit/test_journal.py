"""What this machine created: kept by several processes at once, and never a reason to fail."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rtcctl.journal import COMPLETED_IDS, KEPT_S, SCHEMA_VERSION, Journal
from rtcctl.results.result import Percentiles
from rtcctl.results.session import SessionRecord
from rtcctl.results.track import LayerSent, LayerSwitch, ReceivedStatistics, SentStatistics

GONE = 2**22 + 1

SENT = SentStatistics(interval_s=1.0, packets_sent=50, bytes_sent=8000, nominal_packets=50, bitrate_bps=64000.0)
RECEIVED = ReceivedStatistics(
    interval_s=1.0, packets_received=49, bytes_received=7840, latency_ms=Percentiles(p50=1.0, p95=2.0, p99=3.0)
)


@pytest.fixture
def journal(tmp_path: Path):
    with Journal.open(tmp_path / "state") as journal:
        yield journal


def created(journal: Journal, session_id: str, *, at: float = 1000.0, pid: int | None = None) -> None:
    journal.session_created(
        session_id,
        profile="prod",
        api_base="https://x.example/v1",
        app_id="app",
        at=at,
        correlation_id="nightly",
        pid=pid,
        command="session create",
    )


def test_sessions_are_listed_newest_first(journal: Journal):
    """With everything that was noted."""
    created(journal, "a", at=1000.0)
    created(journal, "b", at=2000.0, pid=os.getpid())
    journal.track_published("a", "mic", "0", "audio", 1001.0)
    journal.track_published("a", "cam", "1", "video", 1002.0)
    first = SessionRecord(
        session_id="a",
        profile="prod",
        api_base="https://x.example/v1",
        app_id="app",
        created_at=1000.0,
        correlation_id="nightly",
        command="session create",
        tracks=("mic", "cam"),
    )
    assert [record.session_id for record in journal.sessions()] == ["b", "a"]
    assert journal.sessions()[1] == journal.session("a") == first
    assert journal.sessions()[0].pid == os.getpid()


def test_closed_sessions_are_listed_on_demand(journal: Journal):
    """`session_closed` is noted once; the first time is the right one."""
    created(journal, "a")
    journal.session_closed("a", 1100.0)
    journal.session_closed("a", 1200.0)
    assert journal.sessions() == ()
    (record,) = journal.sessions(include_closed=True)
    assert record.closed_at == 1100.0
    assert journal.session("a") == record


def test_what_was_not_created_here_is_not_known(journal: Journal):
    """A foreign session asks before it is closed."""
    assert journal.session("foreign") is None
    assert journal.holder("foreign") is None
    journal.session_closed("foreign", 1.0)
    journal.track_closed("foreign", "mic", 1.0)
    assert journal.sessions(include_closed=True) == ()


def test_the_journal_outlives_the_process(tmp_path: Path):
    """It is a file, private to its owner with all that stands beside it."""
    with Journal.open(tmp_path / "state") as journal:
        created(journal, "a")
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()} == {0o600}
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    with Journal.open(tmp_path / "state") as journal:
        assert journal.unavailable is None
        assert journal.session("a") is not None


# --- who holds a session


def test_the_holder_is_a_process_that_lives(journal: Journal):
    """A session whose process has ended is held by nobody."""
    created(journal, "mine", pid=os.getpid())
    created(journal, "dead", pid=GONE)
    created(journal, "nobody's")
    assert journal.holder("mine") == os.getpid()
    assert journal.holder("dead") is None
    assert journal.holder("nobody's") is None
    record = journal.session("dead")
    assert record is not None
    assert record.pid is None


def test_a_probe_that_joined_later_holds_it_too(journal: Journal):
    """`track publish SESSION` into one that `session create` made."""
    created(journal, "a")
    interval(journal, "a", sent=SENT)
    assert journal.holder("a") == os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_pid_that_came_round_holds_nothing(journal: Journal, tmp_path: Path):
    """Ending it would end somebody else's process."""
    created(journal, "a", pid=os.getpid())
    database = sqlite3.connect(tmp_path / "state" / "journal.sqlite3")
    database.execute("UPDATE sessions SET process = 'another boot:1'")
    database.commit()
    database.close()
    assert journal.holder("a") is None


# --- intervals


def interval(
    journal: Journal,
    session_id: str,
    *,
    publisher: str | None = None,
    pid: int | None = None,
    at: float = 1.0,
    sent: SentStatistics | None = None,
    received: ReceivedStatistics | None = None,
) -> None:
    journal.interval(
        session_id,
        track_name="mic",
        publisher_session_id=publisher,
        pid=pid or os.getpid(),
        at=at,
        sent=None if sent is None else asdict(sent),
        received=None if received is None else asdict(received),
    )


def test_the_last_interval_is_kept(journal: Journal):
    """Of each probe that publishes into the session, subscribes with it or subscribes to it; publishers first."""
    interval(journal, "p", at=1.0)
    interval(journal, "p", at=2.0, sent=SENT)
    interval(journal, "s", publisher="p", at=3.0, received=RECEIVED, pid=GONE)
    published, subscribed = journal.intervals("p")
    assert (published.sent, published.received, published.pid) == (SENT, None, os.getpid())
    assert published.publisher_session_id is None
    assert (subscribed.received, subscribed.sent, subscribed.pid) == (RECEIVED, None, None)
    assert journal.intervals("s") == (subscribed,)
    assert journal.intervals("other") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"interval_s": 1.0, "new_figure": 3}', None),
        ("[]", None),
        ("{", None),
        (
            '{"interval_s": 1, "packets_sent": 1, "bytes_sent": 1, "nominal_packets": 1, "bitrate_bps": 1, "new": 1}',
            SentStatistics(interval_s=1, packets_sent=1, bytes_sent=1, nominal_packets=1, bitrate_bps=1),
        ),
    ],
)
def test_figures_of_another_version_are_unknown(
    journal: Journal, tmp_path: Path, text: str, expected: SentStatistics | None
):
    """What is not known is dropped, and what is missing makes all of it unknown."""
    interval(journal, "p", sent=SENT)
    database = sqlite3.connect(tmp_path / "state" / "journal.sqlite3")
    database.execute("UPDATE intervals SET sent = ?", (text,))
    database.commit()
    database.close()
    assert journal.intervals("p")[0].sent == expected


def test_layers_and_percentiles_come_back_as_what_they_were(journal: Journal):
    """A session's statistics are drawn from them, by another process."""
    sent = replace(
        SENT,
        layers=(LayerSent(rid="h", width=1280, packets_sent=1, bytes_sent=2, frames_sent=1, bitrate_bps=3.0),),
    )
    received = replace(
        RECEIVED,
        picture_latency_ms=Percentiles(1.0, 2.0, 3.0),
        layer_switches=(LayerSwitch(at_s=1.0, previous=None, layer="h", took_ms=20.0),),
    )
    interval(journal, "p", sent=sent)
    interval(journal, "s", publisher="p", received=received)
    published, subscribed = journal.intervals("p")
    assert published.sent == sent
    assert subscribed.received == received


# --- TURN


def test_turn_usernames_are_kept_without_passwords(journal: Journal, tmp_path: Path):
    """To revoke them needs the username."""
    for _ in range(2):
        journal.turn_issued("u", key_id="k", profile="prod", issued_at=1.0, expires_at=61.0, custom_identifier="alice")
    database = sqlite3.connect(tmp_path / "state" / "journal.sqlite3")
    assert database.execute("SELECT * FROM turn_credentials").fetchall() == [("u", "k", "prod", 1.0, 61.0, "alice")]
    database.close()


def test_turn_credentials_that_live(journal: Journal):
    """Newest first; those that have ended, by themselves or by being revoked, are known by name alone."""
    for number, username in enumerate(("ended", "old", "revoked", "new")):
        journal.turn_issued(
            username,
            key_id="k",
            profile="prod",
            issued_at=1000.0 + number,
            expires_at=1001.0 if username == "ended" else 1100.0,
            custom_identifier="alice" if username == "old" else None,
        )
    journal.turn_revoked("revoked", 1010.0)
    journal.turn_revoked("ended", 1010.0)
    journal.turn_revoked("of nobody", 1010.0)
    live = journal.turn_credentials(1010.0)
    assert [(record.username, record.remaining_s, record.custom_identifier) for record in live] == [
        ("new", 90.0, None),
        ("old", 90.0, "alice"),
    ]
    ended = journal.turn_credential("revoked", 1020.0)
    assert ended is not None
    assert (ended.expires_at, ended.remaining_s, ended.issued_at) == (1010.0, 0.0, 1002.0)
    first = journal.turn_credential("ended", 1020.0)
    assert first is not None
    assert first.expires_at == 1001.0, "it had ended before it was revoked"
    assert journal.turn_credential("of nobody", 1020.0) is None


def test_turn_credentials_that_ended_long_ago_are_forgotten(journal: Journal):
    """Whoever issues one every second for a year has no file that grows."""
    for at in (0.0, KEPT_S + 1, KEPT_S + 2):
        journal.turn_issued(
            f"at {at}", key_id="k", profile="p", issued_at=at, expires_at=at + 1, custom_identifier=None
        )
    journal.turn_issued(
        "now", key_id="k", profile="p", issued_at=KEPT_S + 1.5, expires_at=2 * KEPT_S, custom_identifier=None
    )
    assert journal.turn_credential("at 0.0", 0.0) is None
    assert journal.turn_credential(f"at {KEPT_S + 1}", 0.0) is not None


# --- completion


def test_ids_for_completion(journal: Journal, tmp_path: Path):
    """Open sessions, newest first, one a line, bounded; no file is left half written."""
    for number in range(COMPLETED_IDS + 2):
        created(journal, f"s{number}", at=1000.0 + number)
    ids = (tmp_path / "state" / "ids").read_text().splitlines()
    assert len(ids) == COMPLETED_IDS
    assert ids[0] == f"s{COMPLETED_IDS + 1}"
    journal.session_closed(ids[0], 5000.0)
    assert (tmp_path / "state" / "ids").read_text().splitlines()[0] == f"s{COMPLETED_IDS}"
    assert not list((tmp_path / "state").glob(".ids*"))


# --- age


def test_old_entries_go(journal: Journal):
    """Longer than any session lives, then forgotten."""
    created(journal, "old", at=1000.0)
    journal.track_published("old", "mic", "0", "audio", 1000.0)
    interval(journal, "old", at=1000.0)
    created(journal, "new", at=1000.0 + KEPT_S + 1)
    assert [record.session_id for record in journal.sessions(include_closed=True)] == ["new"]
    assert journal.intervals("old") == ()


def test_closed_tracks_stay_with_their_session(journal: Journal):
    """The list says what was published."""
    created(journal, "a")
    journal.track_published("a", "mic", "0", "audio", 1.0)
    journal.track_closed("a", "mic", 2.0)
    record = journal.session("a")
    assert record is not None
    assert record.tracks == ("mic",)


# --- several processes


def test_several_processes_write_at_once(tmp_path: Path):
    """Nothing is lost, and the first to come makes the tables."""
    code = f"""
import os, sys
from pathlib import Path
from rtcctl.journal import Journal
with Journal.open(Path({str(tmp_path)!r})) as journal:
    for n in range(20):
        journal.session_created(f"{{sys.argv[1]}}-{{n}}", profile="p", api_base="b", app_id="a", at=1.0)
        assert journal.unavailable is None, journal.unavailable
"""
    children = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(3)]
    assert [child.wait(30) for child in children] == [0, 0, 0]
    with Journal.open(tmp_path) as journal:
        assert len(journal.sessions()) == 60


# --- when it cannot be used


def unusable(journal: Journal) -> str:
    """Everything can be called, nothing is raised, nothing is found; why."""
    created(journal, "a", pid=os.getpid())
    journal.session_closed("a", 1.0)
    journal.track_published("a", "mic", "0", "audio", 1.0)
    journal.track_closed("a", "mic", 1.0)
    interval(journal, "a", sent=SENT)
    journal.turn_issued("u", key_id="k", profile="p", issued_at=1.0, expires_at=2.0, custom_identifier=None)
    assert journal.sessions(include_closed=True) == journal.intervals("a") == ()
    assert journal.session("a") is None
    assert journal.holder("a") is None
    journal.turn_revoked("u", 1.0)
    assert journal.turn_credentials(0.0) == ()
    assert journal.turn_credential("u", 0.0) is None
    journal.close()
    journal.close()
    assert journal.unavailable is not None
    return journal.unavailable


def test_a_damaged_file(tmp_path: Path):
    """It is named, with what to do."""
    (tmp_path / "journal.sqlite3").write_bytes(b"this is no database" * 100)
    reason = unusable(Journal.open(tmp_path))
    assert "damaged" in reason
    assert "journal.sqlite3" in reason


def test_a_file_of_a_newer_version(tmp_path: Path):
    """It is left alone: this version would lose what it does not know."""
    Journal.open(tmp_path).close()
    database = sqlite3.connect(tmp_path / "journal.sqlite3")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    assert "newer rtcctl" in unusable(Journal.open(tmp_path))


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    """A file is in the way."""
    (tmp_path / "state").write_text("")
    assert "exists" in unusable(Journal.open(tmp_path / "state"))


def test_a_folder_in_place_of_the_file(tmp_path: Path):
    """The system's reason is given."""
    (tmp_path / "journal.sqlite3").mkdir()
    assert "directory" in unusable(Journal.open(tmp_path))


def test_a_table_that_is_gone(tmp_path: Path):
    """Found out only when it is used."""
    journal = Journal.open(tmp_path)
    assert journal.unavailable is None
    database = sqlite3.connect(tmp_path / "journal.sqlite3")
    for table in ("sessions", "tracks", "intervals", "turn_credentials"):
        database.execute(f"DROP TABLE {table}")
    database.close()
    assert "no such table" in unusable(journal)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("sessions", name) for name in ("session_id", "command", "created_at", "closed_at", "process", "pid")),
        *(("intervals", name) for name in ("track_name", "measured_at", "pid", "sent")),
        *(("turn_credentials", name) for name in ("username", "issued_at", "expires_at", "custom_identifier")),
        ("tracks", "track_name"),
    ],
)
@pytest.mark.parametrize("value", [b"\xff", "x", float("inf"), -1.0, 10**15, None], ids=repr)
def test_a_row_with_other_things_in_it(journal: Journal, tmp_path: Path, table: str, column: str, value: object):
    """From a hand, or a bad disk: what makes no sense is not there, all the rest is, and nothing is raised."""
    created(journal, "a", pid=os.getpid())
    journal.track_published("a", "mic", "0", "audio", 1.0)
    interval(journal, "a", sent=SENT)
    journal.turn_issued("u", key_id="k", profile="p", issued_at=1.0, expires_at=2.0, custom_identifier="c")
    created(journal, "b")
    database = sqlite3.connect(tmp_path / "state" / "journal.sqlite3")
    with suppress(sqlite3.IntegrityError):
        database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = 1", (value,))
        database.commit()
    database.close()
    assert "b" in [record.session_id for record in journal.sessions(include_closed=True)]
    for record in (*journal.sessions(include_closed=True), *filter(None, [journal.session("a")])):
        assert 0 <= record.created_at < 1e12
        assert {type(record.pid), type(record.closed_at)} <= {int, float, type(None)}
    for measured in journal.intervals("a"):
        assert measured.measured_at == 1.0
    for credential in (*journal.turn_credentials(0.0), *filter(None, [journal.turn_credential("u", 0.0)])):
        assert 0 <= credential.remaining_s < 1e12
    journal.holder("a")


def test_figures_of_another_kind_are_unknown(journal: Journal, tmp_path: Path):
    """A text where a number belongs, and JSON that is nested without end, too."""
    interval(journal, "p", sent=SENT)
    for text in (json.dumps({**asdict(SENT), "packets_sent": "many"}), "[" * 100_000, '{"layers": [{"rid": 1}]}'):
        database = sqlite3.connect(tmp_path / "state" / "journal.sqlite3")
        database.execute("UPDATE intervals SET sent = ?", (text,))
        database.commit()
        database.close()
        assert journal.intervals("p")[0].sent is None


def test_a_moment_of_trouble_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What was not noted is lost, what comes next is noted."""
    monkeypatch.setattr("rtcctl.journal.BUSY_TIMEOUT_S", 0.0)
    journal = Journal.open(tmp_path)
    other = sqlite3.connect(tmp_path / "journal.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    created(journal, "lost")
    assert journal.unavailable is not None
    assert "locked" in journal.unavailable
    other.execute("ROLLBACK")
    other.close()
    created(journal, "noted")
    assert journal.unavailable is None
    assert [record.session_id for record in journal.sessions()] == ["noted"]
    journal.close()


def test_a_name_that_is_no_text_is_not_noted(journal: Journal):
    """Arguments of a command line may be any bytes."""
    journal.track_published("a", "\udcff", "0", "audio", 1.0)
    assert journal.unavailable is not None
    assert journal.session("\udcff") is None


def test_it_is_light_to_import():
    """`session list` is the command people type most."""
    code = "import sys, rtcctl.journal; print({'pydantic', 'asyncio', 'httpx', 'rich', 'typer'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_where_a_publisher_goes_on(journal: Journal):
    """The last session of the chain, of the same app; a circle ends, and nobody replaces what was not replaced."""
    for session_id in ("a", "b", "c"):
        created(journal, session_id)
    here = {"api_base": "https://x.example/v1", "app_id": "app"}
    assert journal.successor("a", **here) is None
    journal.session_replaced("a", "b", 1000.0)
    assert journal.successor("a", **here) == "b"
    journal.session_replaced("b", "c", 1001.0)
    assert journal.successor("a", **here) == journal.successor("b", **here) == "c"
    assert journal.successor("c", **here) is None
    assert journal.successor("a", api_base="https://x.example/v1", app_id="another") is None
    assert journal.successor("a", api_base="https://y.example/v1", app_id="app") is None
    journal.session_replaced("c", "a", 1002.0)
    assert journal.successor("b", **here) == "a"
    assert journal.unavailable is None


def test_a_file_of_the_first_version_gets_what_came_later(tmp_path: Path):
    """What it held is still there."""
    with Journal.open(tmp_path) as journal:
        created(journal, "a")
    database = sqlite3.connect(tmp_path / "journal.sqlite3")
    database.execute("DROP TABLE successors")
    database.execute("PRAGMA user_version = 1")
    database.close()
    with Journal.open(tmp_path) as journal:
        created(journal, "b")
        journal.session_replaced("a", "b", 1000.0)
        assert journal.successor("a", api_base="https://x.example/v1", app_id="app") == "b"
        assert {record.session_id for record in journal.sessions()} == {"a", "b"}
