"""TURN credentials against coturn behind the embedded server: they relay, they end, and a file of them stays fresh."""

from __future__ import annotations

import json
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rtcctl.journal import Journal
from rtcctl.ops.env import Env
from rtcctl.ops.turn import CredsRequest, creds
from rtcctl.ops.turn_revoke import RevokeRequest, revoke
from rtcctl.ops.turn_verify import is_taken
from rtcctl.realtime.profile import Profile
from rtcctl.results.check import CheckStatus
from rtcctl.results.turn import IceServer, TurnRevoke
from rtcctl.testing import Realtime, realtime_server
from tests.support.command import Home, drain
from tests.support.requirements import require, slow


@pytest.fixture(autouse=True)
def _coturn() -> None:
    require("turnserver", why="coturn is what relays behind the embedded server")


def made(home: Home, *options: str) -> dict[str, Any]:
    """The document of `turn creds`."""
    document: dict[str, Any] = home.run("turn", "creds", "--output", "json", *options).document
    return document


def server_of(document: dict[str, Any], scheme: str = "turn", transport: str = "udp") -> IceServer:
    """Its TURN server, by the URLs of one transport."""
    entry = document["ice_servers"][-1]
    urls = [url for url in entry["urls"] if url.startswith(f"{scheme}:") and url.endswith(f"={transport}")]
    assert urls, entry["urls"]
    return IceServer(tuple(urls), entry["username"], entry["credential"])


def profile_of(ready: dict[str, Any]) -> Profile:
    return Profile("local", ready["base_url"], ca_file=ready["ca_file"])


async def test_credentials_relay_until_they_are_revoked(home: Home) -> None:
    """Over UDP, TCP and TLS; the one beside it, of another identifier, goes on."""
    with home.dev() as server:
        profile = profile_of(server.ready)
        documents = [made(home, "--custom-identifier", name) for name in ("alice", "alice", "bob")]
        for scheme, transport in (("turn", "udp"), ("turn", "tcp"), ("turns", "tcp")):
            assert await is_taken(server_of(documents[0], scheme, transport), profile)
        done = home.run("turn", "revoke", "--custom-identifier", "alice", "--output", "json")
        assert done.status == 0, done.stderr
        assert "only the journal was looked at" in done.stderr
        usernames = [document["ice_servers"][-1]["username"] for document in documents]
        assert {c["username"] for c in done.document["credentials"]} == set(usernames[:2])
        for scheme, transport in (("turn", "udp"), ("turn", "tcp"), ("turns", "tcp")):
            taken = [await is_taken(server_of(document, scheme, transport), profile) for document in documents]
            assert taken == [False, False, True]
        listed = home.run("turn", "list", "--output", "json").document["credentials"]
        assert [record["username"] for record in listed] == usernames[2:]
        assert 3500 < listed[0]["remaining_s"] <= 3600


def test_list_needs_no_server(home: Home) -> None:
    """It is the journal; a table has names that `revoke` understands, JSON the whole ones."""
    assert "no live credentials" in home.run("turn", "list").stdout
    with home.dev():
        username = made(home, "--ttl", "10m")["ice_servers"][-1]["username"]
        made(home, "--ttl", "1s", "--custom-identifier", "soon over")
        shown = next(line.split()[0] for line in home.run("turn", "list").stdout.splitlines() if username[:8] in line)
        assert shown.endswith("…")
        revoked = home.run("turn", "revoke", shown, "--output", "json")
        assert revoked.document["credentials"][0]["username"] == username
        kept = made(home, "--ttl", "10m")["ice_servers"][-1]["username"]
    listed = home.run("turn", "list", "--output", "json").document["credentials"]
    assert [record["username"] for record in listed if record["custom_identifier"] is None] == [kept]
    rows = home.run("turn", "list", "--output", "csv").stdout.splitlines()
    assert rows[0].startswith("username,key_id,profile,issued_at,expires_at,remaining_s")


def test_verify_says_after_how_many_seconds(home: Home) -> None:
    """Either shape of `turn creds` gives the password; it appears nowhere."""
    with home.dev():
        for options in (("--output", "json"), ("--as", "ice-servers")):
            printed = home.run("turn", "creds", *options).stdout
            done = home.run("turn", "revoke", "--verify", "--ice-servers", "-", "--output", "json", stdin=printed)
            assert done.status == 0, done.stderr
            (credential,) = done.document["credentials"]
            (check,) = done.document["checks"]
            assert check["status"] == "passed"
            assert 0 <= credential["refused_after_s"] == check["observed"] < 5
            body = json.loads(printed)
            password = body.get("ice_servers", body.get("iceServers"))[-1]["credential"]
            assert password not in done.stdout + done.stderr
            # A refusal of what was refused before proves nothing.
            again = home.run("turn", "revoke", "--verify", "--ice-servers", "-", stdin=printed)
            assert again.status == 8
            assert "refused before it was revoked" in again.stdout


async def revoked_elsewhere(folder: Path, realtime: Realtime, at_hand: IceServer) -> TurnRevoke:
    """Revoke by another key, which does nothing; with a clock that runs ahead, for nobody waits a minute."""
    ahead = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    with realtime.app() as other, Journal.open(folder) as journal:
        env = Env(profile=other.profile, journal=journal, clock=lambda: time.monotonic() + ahead)
        request = RevokeRequest((str(at_hand.username),), verify=True, at_hand=(at_hand,))
        return await revoke(request, env, sleep=sleep)


async def test_verify_fails_for_a_credential_that_is_still_taken(tmp_path: Path) -> None:
    """Whatever the API has answered, a minute later it is a failed check."""
    with realtime_server() as realtime, Journal.open(tmp_path) as journal:
        made = await creds(CredsRequest(600), Env(profile=realtime.profile, journal=journal))
        result = await revoked_elsewhere(tmp_path / "other", realtime, made.ice_servers[-1])
    (check,) = result.checks
    assert (check.name, check.status, check.observed) == ("refused", CheckStatus.FAILED, None)
    assert result.exit_status == 3
    assert result.credentials[0].outcome == "revoked"


async def test_verify_without_a_server_that_answers_is_inconclusive(tmp_path: Path) -> None:
    """Nobody there is no refusal; it is revoked nevertheless."""
    with realtime_server() as realtime, closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"turn:127.0.0.1:{sock.getsockname()[1]}?transport=tcp"
        result = await revoked_elsewhere(tmp_path, realtime, IceServer((url,), "u", "password"))
    (check,) = result.checks
    assert check.status is CheckStatus.INCONCLUSIVE
    assert "could not be tried before it was revoked" in check.detail
    assert result.exit_status == 8
    assert result.credentials[0].outcome == "revoked"


def test_revoking_what_is_foreign_needs_a_yes(home: Home) -> None:
    """Without a terminal, exit 2, and nothing is revoked."""
    with home.dev():
        refused = home.run("turn", "revoke", "0" * 96)
        assert (refused.status, refused.stdout) == (2, "")
        assert "not issued from this machine" in refused.stderr
        assert home.run("turn", "revoke", "0" * 96, "--yes").status == 0


class Reader:
    """Reads a file again and again, as a product does that knows nothing of who writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.usernames: dict[str, float] = {}
        "When each was first seen."
        self.modes: set[int] = set()
        self.reads = 0
        self.error: Exception | None = None

    def look(self) -> None:
        text = self.path.read_text("utf-8")
        server = json.loads(text)["iceServers"][-1]
        assert server["credential"]
        self.usernames.setdefault(server["username"], time.monotonic())
        self.modes.add(stat.S_IMODE(self.path.stat().st_mode))
        self.reads += 1


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """In a thread of its own, while the body runs."""
    reader, over = Reader(path), threading.Event()

    def loop() -> None:
        while not over.wait(0.001):
            try:
                reader.look()
            except Exception as error:  # noqa: BLE001  # whatever it is, the test fails with it
                reader.error = error
                return

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield reader
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=slow)])
def test_a_file_stays_fresh(home: Home, signal_number: int) -> None:
    """Whoever reads it finds whole JSON, for its owner alone, and a credential that lives; being stopped is the end."""
    path = home.folder / "turn.json"
    with home.dev():
        with home.running("turn", "refresh", "turn.json", "--ttl", "2s", "--output", "jsonl") as command:
            events = [command.event("credentials_written")]
            with reading(path) as reader:
                events += [command.event("credentials_renewed") for _ in range(3)]
            assert command.stop(signal_number) == 0
            summary = json.loads(drain(command)[-1])
        assert reader.error is None
        assert reader.reads > 100
        assert reader.modes == {0o600}
        assert list(reader.usernames)[:3] == [event["username"] for event in events[:3]]
        for event, later in pairwise(events):
            assert later["expires_at"] - 2 < event["expires_at"], "the one before was still valid"
        assert (summary["event"], summary["interrupted"], summary["exit_status"]) == ("summary", True, 0)
        assert [entry.name for entry in home.folder.iterdir() if entry.name.endswith(".new")] == []
        assert len(home.run("turn", "list", "--output", "json").document["credentials"]) >= 1


def test_a_file_is_written_through_a_link_and_over_an_open_one(home: Home) -> None:
    """A link stays one; a file that others could read is for its owner alone afterwards."""
    real = home.folder / "real.env"
    real.write_text("old")
    real.chmod(0o644)
    (home.folder / "link.env").symlink_to(real)
    with home.dev(), home.running("turn", "refresh", "link.env", "--as", "env") as command:
        while "valid until" not in command.line():
            pass
        assert (home.folder / "link.env").is_symlink()
        assert stat.S_IMODE(real.stat().st_mode) == 0o600
        assert real.read_text().startswith("TURN_URLS=")
        assert command.stop() == 0


def test_no_credential_for_a_file_that_cannot_be_written(home: Home) -> None:
    """Not even root makes a file there."""
    with home.dev():
        refused = home.run("turn", "refresh", "/sys/kernel/turn.json")
        assert (refused.status, "cannot be written" in refused.stderr) == (2, True)
        assert home.run("turn", "list", "--output", "json").document["credentials"] == []


@slow
def test_an_outage_is_said_and_waited_out(home: Home) -> None:
    """The file is stale meanwhile, and gets right by itself."""
    with home.dev(), home.running("turn", "refresh", "turn.json", "--ttl", "1s", "--output", "jsonl") as command:
        command.event("credentials_written")
        assert home.run("fault", "set", "turn/generate-ice-servers=500").status == 0
        while "IS STALE" not in command.event("warning", timeout_s=60)["text"]:
            pass
        assert home.run("fault", "clear").status == 0
        command.event("credentials_renewed", timeout_s=60)
        assert command.stop() == 0
