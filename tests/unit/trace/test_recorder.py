"""What a recorder writes, where, and what happens when it cannot."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from rtcctl.errors import UsageError
from rtcctl.realtime.exchange import Exchange
from rtcctl.trace.folder import DUMP, PARTS, TraceFolder, forget_old_tickets, read_lines, require_ours
from rtcctl.trace.recorder import BODY_LIMIT, Recorder

TARGET = {"profile": "test", "api_base": "http://127.0.0.1:1/v1", "app_id": "app", "embedded": False}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def recorder(path: Path, clock: Clock | None = None, troubles: list[OSError] | None = None) -> Recorder:
    """One that has begun."""
    made = Recorder(
        TraceFolder(path),
        clock=clock or Clock(),
        mask=lambda text: text.replace("app-secret-0123", "•••"),
        on_trouble=[].append if troubles is None else troubles.append,
    )
    made.begin(
        versions={"rtcctl": "0.1", "OpenSSL": "OpenSSL 3"},
        command="track publish",
        arguments=["track", "publish", "--name=app-secret-0123"],
        target=TARGET,
        started_at=1700000000.0,
        pid=7,
    )
    return made


def exchange(**changes: object) -> Exchange:
    values = {
        "method": "POST",
        "url": "http://127.0.0.1:1/v1/apps/app/sessions/new",
        "attempt": 1,
        "status": 201,
        "answer_body": b'{"sessionId":"abc"}',
        "ray": "8f-FRA",
        "started_at": 100.5,
        "took_s": 0.0025,
    }
    return Exchange(**(values | changes))  # type: ignore[arg-type]


def test_lines_of_a_command(tmp_path: Path):
    """First with what and where, last how it ended; times count from the beginning; files are their owner's alone."""
    clock = Clock()
    made = recorder(tmp_path / "a" / "trace", clock)
    made.exchange(exchange())
    clock.now += 1.25
    made.event({"event": "message", "text": "hello", "base64": None, "size_bytes": 5})
    made.end(exit_status=0)
    begin, call, message, end = read_lines(tmp_path / "a" / "trace")
    assert list(begin)[:3] == ["kind", "schema", "at_s"]
    assert begin["arguments"] == ["track", "publish", "--name=•••"]
    assert begin["target"] == TARGET
    assert (call["at_s"], call["took_ms"], call["ray"], call["error"]) == (0.5, 2.5, "8f-FRA", None)
    assert call["answer_body"] == {"sessionId": "abc"}
    assert message["event"] == {"event": "message", "size_bytes": 5}, "what others said is left out"
    assert (end["kind"], end["at_s"], end["exit_status"]) == ("end", 1.25, 0)
    assert (tmp_path / "a" / "trace").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a" / "trace").iterdir()} == {0o600}


def test_a_credential_that_an_answer_hands_out_is_nowhere(tmp_path: Path):
    """Neither in that answer nor in any later line."""
    made = recorder(tmp_path / "t")
    made.exchange(exchange(answer_body=b'{"iceServers":[{"username":"17:alice-name","credential":"issued-0123"}]}'))
    made.exchange(exchange(url="http://h/turn/keys/k/credentials/17:alice-name/revoke", answer_body=b"issued-0123?"))
    made.note("description", peer=1, sdp="v=0\r\na=ice-pwd:passwordofice\r\n")
    made.event({"event": "warning", "text": "17:alice-name issued-0123 passwordofice app-secret-0123"})
    made.end(exit_status=0)
    text = "".join(path.read_text("utf-8") for path in (tmp_path / "t").iterdir())
    assert not any(secret in text for secret in ("alice-name", "issued-0123", "passwordofice", "app-secret-0123"))


def test_bodies_are_bounded(tmp_path: Path):
    """A large one is cut, and its size is told; what is no JSON is text."""
    made = recorder(tmp_path / "t")
    made.exchange(exchange(answer_body=json.dumps({"tracks": ["x" * 200_000]}).encode()))
    made.exchange(exchange(answer_body=b"<html>\xff"))
    large, html = [line for line in read_lines(tmp_path / "t") if line["kind"] == "exchange"]
    assert len(large["answer_body"]["cut"]) == BODY_LIMIT
    assert large["answer_body"]["characters"] > 200_000
    assert html["answer_body"] == "<html>\ufffd"


def test_the_beginning_and_the_newest_lines_stay(tmp_path: Path):
    """However long it runs, the folder has at most three parts, and reads in the order of time."""
    folder = TraceFolder(tmp_path / "t", part_bytes=2000)
    clock = Clock()
    made = Recorder(folder, clock=clock, mask=str, on_trouble=[].append)
    made.begin(versions={}, command="dev", arguments=[], target=None, started_at=0.0, pid=1)
    for number in range(200):
        made.note("event", event={"number": number, "text": "x" * 50})
        clock.now += 1
    numbers = [line["event"]["number"] for line in read_lines(folder.path) if line["kind"] == "event"]
    assert numbers == sorted(numbers)
    assert numbers[0] == 0
    assert numbers[-20:] == list(range(180, 200))
    assert sum(path.stat().st_size for path in folder.path.iterdir()) <= 6000
    assert {path.name for path in folder.path.iterdir()} == set(PARTS)


def test_what_was_cut_off_is_passed_over(tmp_path: Path):
    """A process that was killed in the middle of a line leaves all lines before it."""
    made = recorder(tmp_path / "t")
    with (tmp_path / "t" / PARTS[0]).open("ab") as file:
        file.write(b'{"kind": "exch\xc3')
    assert [line["kind"] for line in read_lines(tmp_path / "t")] == ["begin"]
    made.folder.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk needs /dev/full")
def test_a_full_disk_is_said_once(tmp_path: Path):
    """Whatever comes after it is not written, and nothing is raised."""
    troubles: list[OSError] = []
    made = recorder(tmp_path / "t", troubles=troubles)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, made.folder._file)
    os.close(full)
    made.exchange(exchange())
    made.event({"event": "warning", "text": "x"})
    made.end(exit_status=0)
    assert [error.strerror for error in troubles] == ["No space left on device"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path):
    """A file, or a folder with anything but a trace, is a usage error; an earlier trace is written over."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    (tmp_path / "namesake").mkdir()
    (tmp_path / "namesake" / PARTS[0]).write_text('{"traceEvents": []}\n')
    for name, said in (("file", "is a file"), ("other", "something else"), ("namesake", "something else")):
        with pytest.raises(UsageError, match=said):
            require_ours(tmp_path / name)
    (tmp_path / "empty").mkdir()
    require_ours(tmp_path / "empty")
    require_ours(tmp_path / "new")
    made = recorder(tmp_path / "ours")
    made.new_peer()
    made.end(exit_status=3)
    assert {path.name for path in (tmp_path / "ours").iterdir()} == {PARTS[0], DUMP}
    require_ours(tmp_path / "ours")
    recorder(tmp_path / "ours")
    assert [line["kind"] for line in read_lines(tmp_path / "ours")] == ["begin"]
    for name in ("other", "namesake", "empty", "file"):
        with pytest.raises(UsageError, match="is no trace"):
            list(read_lines(tmp_path / name))


def test_a_capture_beside_the_lines_is_welcome(tmp_path: Path):
    """`--pcap` into the folder of the trace: it is not in the way, neither of the dump nor of the next trace."""
    made = recorder(tmp_path / "t")
    made.new_peer()
    (tmp_path / "t" / "a.pcap").write_bytes(b"packets")
    made.end(exit_status=0)
    assert (tmp_path / "t" / DUMP).is_file()
    require_ours(tmp_path / "t")
    assert [line["kind"] for line in read_lines(tmp_path / "t")] == ["begin", "end"]
    (tmp_path / "t" / "note.txt").write_text("from the one who passed it on")
    assert len(list(read_lines(tmp_path / "t"))) == 2


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path):
    """Who can write into a shared folder cannot have another file written over."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / PARTS[0]).symlink_to(tmp_path / "victim")
    TraceFolder(tmp_path / "t").write("line")
    assert (tmp_path / "victim").read_text() == "precious"


def test_old_tickets_go(tmp_path: Path):
    """The newest stay."""
    for number in range(5):
        (tmp_path / f"2026010{number}T000000Z-smoke-1").mkdir()
    forget_old_tickets(tmp_path, keep=2)
    assert sorted(path.name[:8] for path in tmp_path.iterdir()) == ["20260103", "20260104"]


def test_log_lines_are_lines_of_the_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Those of the libraries below, masked; warnings still go to stderr, and afterwards all is as before."""
    root, aioice = logging.getLogger(), logging.getLogger("aioice.ice")
    handlers, root.handlers = root.handlers, []
    try:
        level = logging.getLogger("aioice").level
        made = recorder(tmp_path / "t")
        aioice.info("Check CandidatePair %s", "succeeded")
        aioice.warning("app-secret-0123 is there")
        aioice.debug("too much")
        made.end(exit_status=0)
        aioice.info("too late")
        assert (root.handlers, logging.getLogger("aioice").level) == ([], level)
    finally:
        root.handlers = handlers
    lines = [line for line in read_lines(tmp_path / "t") if line["kind"] == "log"]
    assert [(line["level"], line["text"]) for line in lines] == [
        ("INFO", "Check CandidatePair succeeded"),
        ("WARNING", "••• is there"),
    ]
    assert capsys.readouterr().err == "app-secret-0123 is there\n"
