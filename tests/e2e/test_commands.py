"""The commands it is known by, against `rtcctl dev`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command import RTCCTL, Home, drain


def wait_until(condition, timeout_s: float = 10.0) -> None:
    """Poll a fact of another process that offers nothing to wait on."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_publish_and_subscribe(home: Home):
    """A tone published by one process is measured by another: no loss, the tone, the one-way latency."""
    with (
        home.dev(),
        home.running("track", "publish", "--name", "mic", "--tone", "440", "--output", "jsonl") as publisher,
    ):
        published = publisher.event("published")
        assert set(published) >= {"event", "session_id", "track_name", "mid"}
        track = f"{published['session_id']}/mic"
        done = home.run("track", "subscribe", track, "--for", "2s", "--verify", "--output", "json")
        assert done.status == 0, done.stderr
        result = done.document
        assert result["packets_lost"] == 0
        assert result["packets_received"] >= 90
        assert result["tone_hz"] == pytest.approx(440, rel=0.01)
        assert 0 < result["latency_ms"]["p50"] < 50
        assert result["time_to_first_packet_ms"] > 0
        assert {check["name"]: check["status"] for check in result["checks"]} == {
            "received": "passed",
            "loss": "passed",
            "content": "passed",
        }
        separate = home.run("track", "subscribe", published["session_id"], "mic", "--for", "1s")
        assert separate.status == 0, separate.stderr
        interval = publisher.event("interval")
        assert interval["sent"]["packets_sent"] > 0
        assert publisher.stop(signal.SIGINT) == 130
    summary = json.loads([line for line in drain(publisher) if '"summary"' in line][-1])
    assert summary["interrupted"] is True
    assert summary["sent"]["packets_sent"] > 100


def test_subscribe_to_nobody_is_5_within_the_wait(home: Home):
    """A track that nobody publishes: a clear error that says what to check."""
    with home.dev():
        started = time.monotonic()
        done = home.run("track", "subscribe", f"{'a' * 32}/mic", "--wait", "1s")
        assert time.monotonic() - started < 8
    assert done.status == 5, done.stderr
    assert "mic" in done.stderr
    assert "hint:" in done.stderr


def test_no_server_is_6_with_a_hint(home: Home):
    """Nothing listens: the hint says how to start a server."""
    done = home.run(
        "session",
        "create",
        environment={
            "RTCCTL_API_BASE": "http://127.0.0.1:1/v1",
            "RTCCTL_APP_ID": "a",
            "RTCCTL_APP_SECRET": "b" * 20,
        },
    )
    assert done.status == 6
    assert "rtcctl dev" in done.stderr


def test_a_server_that_dies_under_a_subscriber_is_6(home: Home):
    """No packet of any kind for 5 s: it is said, what was measured is still printed, and the status is 6."""
    publish = ("track", "publish", "--name", "mic", "--no-recover", "--output", "jsonl")
    with home.dev() as server, home.running(*publish) as publisher:
        published = publisher.event("published")
        track = f"{published['session_id']}/mic"
        subscribe = ("track", "subscribe", track, "--for", "60s", "--no-recover", "--output", "jsonl")
        with home.running(*subscribe) as subscriber:
            subscriber.event("interval")
            server.process.kill()
            killed = time.monotonic()
            assert subscriber.wait(15) == 6
            assert time.monotonic() - killed < 12
            document = json.loads(drain(subscriber)[-1])
            assert document["event"] == "summary"
            assert document["packets_received"] > 0
            assert document["failure"]["phase"] == "media"
            assert "5 s" in subscriber.stderr
            assert f"rtcctl session get {document['session_id']}" in subscriber.stderr
        assert publisher.wait(15) == 6


def test_a_publisher_that_dies_fails_its_subscriber_with_3(home: Home):
    """The connection lives on and nothing that came was lost: it is said, and it is not good enough."""
    with home.dev(), home.running("track", "publish", "--name", "mic", "--output", "jsonl") as publisher:
        track = f"{publisher.event('published')['session_id']}/mic"
        with home.running("track", "subscribe", track, "--for", "4s", "--output", "jsonl") as subscriber:
            subscriber.event("interval")
            publisher.process.kill()
            assert "no media for 2 s" in subscriber.event("warning")["text"]
            summary = subscriber.event("summary")
            assert subscriber.wait() == 3, subscriber.stderr
        received = next(check for check in summary["checks"] if check["name"] == "received")
        assert received["status"] == "failed"
        assert "media stopped" in received["detail"]


def test_a_session_has_one_peer(home: Home):
    """A second publisher is refused a session that is held, before it takes the connection away."""
    with home.dev(), home.running("track", "publish", "--name", "mic", "--output", "jsonl") as publisher:
        session_id = publisher.event("published")["session_id"]
        done = home.run("track", "publish", session_id, "--name", "other", "--for", "1s")
        assert done.status == 2
        assert f"process {publisher.process.pid}" in done.stderr
        publisher.event("interval")


def test_sessions_create_get_list_close(home: Home):
    """A session is created without a body, read, listed from the journal, and closed."""
    with home.dev():
        created = home.run("session", "create", "--correlation-id", "nightly", "--output", "json")
        assert created.status == 0, created.stderr
        session_id = created.document["session_id"]
        assert home.run("session", "get", session_id, "--output", "json").document["tracks"] == []
        listed = home.run("session", "list", "--output", "json").document["sessions"]
        assert [(s["session_id"], s["correlation_id"]) for s in listed] == [(session_id, "nightly")]
        assert home.run("session", "close", session_id).status == 0
        assert home.run("session", "list", "--output", "json").document["sessions"] == []


def test_session_create_connect_holds_it(home: Home):
    """`--connect` joins a peer with one recvonly m-section and holds it for `--for`."""
    with home.dev():
        done = home.run("session", "create", "--connect", "--for", "1s", "--output", "json")
        assert done.status == 0, done.stderr
        assert done.document["connected"] is True
        assert done.document["ice_ms"] > 0
        assert done.document["candidate_pair"]


def test_detached_publisher_goes_on_until_the_session_is_closed(home: Home):
    """`--detach` returns once media flows; the track can be subscribed to; `session close` ends the process. What is
    done to its packets is done in that process, which writes the ledger."""
    ledger = home.folder / "up.jsonl"
    impaired = ("--impair", "dup=1%,direction=up,seed=7", "--impair-ledger", str(ledger))
    with home.dev():
        done = home.run("track", "publish", "--name", "mic", "--detach", *impaired, "--output", "json")
        assert done.status == 0, done.stderr
        session_id, pid = done.document["session_id"], done.document["detached_pid"]
        what = {"kind": "audio", "codec": "opus/48000/2", "source": "tone 440 Hz", "tone_hz": 440}
        assert what.items() <= done.document.items()
        try:
            assert home.run("track", "wait", f"{session_id}/mic").status == 0
            assert home.run("track", "subscribe", f"{session_id}/mic", "--for", "1s").status == 0
            stats = home.run("stats", "session", session_id, "--output", "json").document
            assert [t["track_name"] for t in stats["tracks"]] == ["mic"]
            assert any(interval["sent"] and interval["sent"]["packets_sent"] > 0 for interval in stats["intervals"])
            closed = home.run("session", "close", session_id, "--output", "json").document
            assert [track["outcome"] for track in closed["tracks"]] == ["closed"]
            assert (closed["gone"], closed["stopped_pid"]) == (False, pid)
            wait_until(lambda: not Path(f"/proc/{pid}").exists())
            rows = [json.loads(line) for line in ledger.read_text().splitlines()]
            assert {(row["session_id"], row["direction"]) for row in rows} == {(session_id, "up")}
            assert {"stun", "dtls", "original", "rtcp"} <= {row["kind"] for row in rows}
            assert done.document["target"]["impairment"] == ["dup=1%,direction=up,seed=7"]
        finally:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)


def test_track_list_and_close_by_name(home: Home):
    """The API closes by mid; the command closes by name."""
    with home.dev(), home.running("track", "publish", "--name", "mic", "--output", "jsonl") as publisher:
        session_id = publisher.event("published")["session_id"]
        publisher.event("interval")
        listed = home.run("track", "list", session_id, "--output", "json").document["tracks"]
        assert [(t["track_name"], t["location"], t["status"]) for t in listed] == [("mic", "local", "active")]
        closed = home.run("track", "close", f"{session_id}/mic", "--output", "json")
        assert closed.status == 0, closed.stderr
        assert [t["outcome"] for t in closed.document["tracks"]] == ["closed"]
        again = home.run("track", "close", f"{session_id}/mic")
        assert again.status == 5
        assert "mic" in again.stderr


def test_closing_a_foreign_session_needs_yes(home: Home, tmp_path: Path):
    """What the journal did not create is not ended without a word: no terminal, no --yes, exit 2."""
    with home.dev() as server:
        session_id = home.run("session", "create", "--output", "json").document["session_id"]
        (tmp_path / "other").mkdir()
        stranger = Home(tmp_path / "other")
        environment = dict(server.ready["environment"])
        refused = stranger.run("session", "close", session_id, environment=environment)
        assert refused.status == 2
        assert "--yes" in refused.stderr
        assert stranger.run("session", "close", session_id, "--yes", environment=environment).status == 0


def test_turn_creds_in_every_shape(home: Home):
    """Each shape is what its consumer pastes; without coturn the embedded server names its own STUN address alone."""
    has_coturn = shutil.which("turnserver") is not None
    with home.dev():
        servers = json.loads(home.run("turn", "creds", "--as", "ice-servers").stdout)["iceServers"]
        assert servers[0]["urls"][0].startswith("stun:127.0.0.1:")
        assert len(servers) == 1 + has_coturn
        assert home.run("turn", "creds", "--as", "js").stdout.startswith("const pc = new RTCPeerConnection({")
        assert home.run("turn", "creds", "--as", "env").stdout.startswith("TURN_URLS=")
        rest = json.loads(home.run("turn", "creds", "--as", "coturn", "--ttl", "2m").stdout)
        assert rest["ttl"] == 120
        assert rest["credential"] == rest["password"]
        assert all(url.startswith("turn") for url in rest["uris"])
        assert bool(rest["username"]) == bool(rest["credential"]) == bool(rest["uris"]) == has_coturn
        for ttl in ("49h", "500ms", "1500ms", "0s"):
            assert home.run("turn", "creds", "--ttl", ttl).status == 2
        document = home.run("turn", "creds", "--ttl", "10m", "--output", "json").document
        assert document["ttl_s"] == 600
        assert document["relays"] is has_coturn
        assert 590 < document["expires_at"] - time.time() <= 600


def test_api_any_call(home: Home):
    """`rtcctl api` makes any call of the contract and shows the answer as it came."""
    with home.dev():
        made = home.run("api", "POST", "sessions/new")
        assert made.status == 0, made.stderr
        session_id = json.loads(made.stdout)["sessionId"]
        assert json.loads(home.run("api", "GET", f"sessions/{session_id}").stdout)["tracks"] == []
        refused = home.run("api", "POST", "sessions/new", "--input", "-", stdin="{}")
        assert refused.status == 5
        assert "sessionDescription" in refused.stderr
        assert home.run("api", "POST", "sessions/new", "--input", "-", stdin="{").status == 2


def test_curl_prints_the_call_without_the_secret(home: Home):
    """`--curl` prints the call instead of making it; the secret is a variable."""
    with home.dev() as server:
        done = home.run("session", "create", "--curl")
        assert done.status == 0
        assert done.stdout.startswith("curl ")
        assert "$RTCCTL_APP_SECRET" in done.stdout
        assert server.ready["app_secret"] not in done.stdout
        assert home.run("session", "list", "--output", "json").document["sessions"] == []


def test_dev_ends_with_0_on_both_signals(home: Home):
    """A daemon that is stopped has done its job."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with home.dev() as server:
            started = time.monotonic()
            assert server.stop(number) == 0
            assert time.monotonic() - started < 5
            assert not list((home.state / "dev").glob("*.json"))


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(
    ("arguments", "status"), [("--version", 0), ("session list", 0), ("dev --port 0 -- true", 0), ("nonsense", 2)]
)
def test_stdout_and_stderr_may_be_closed(home: Home, closed: str, arguments: str, status: int):
    """Whoever closes them does not want to read, as with /dev/null: no traceback, and the status is what it was."""
    done = subprocess.run(
        ["sh", "-c", f"exec {RTCCTL} {arguments} {closed}"],
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


@pytest.mark.parametrize("arguments", [("session", "list"), ("config", "path"), ("session", "--help")], ids=" ".join)
def test_a_reader_that_has_gone(home: Home, arguments: tuple[str, ...]):
    """As a shell reports a process that SIGPIPE ended, and without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [RTCCTL, *arguments],
        env=home.environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_stdin_may_be_closed(home: Home):
    """Nothing is read then, as from /dev/null."""
    done = subprocess.run(
        ["sh", "-c", f"exec {RTCCTL} turn check --ice-servers - <&-"],
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "--ice-servers - is not JSON" in done.stderr


def test_dev_with_a_port_in_use_is_a_clear_error(home: Home):
    """A second server on the same port says so."""
    with home.dev() as server:
        port = server.ready["base_url"].rsplit(":", 1)[1].split("/")[0]
        done = home.run("dev", "--port", port)
    assert done.status == 2
    assert port in done.stderr


def test_dev_refuses_other_addresses_with_the_development_secret(home: Home):
    """Beyond loopback the secret is generated and kept, never the public one."""
    with home.dev("--host", "0.0.0.0") as server:
        first = server.ready["app_secret"]
        assert server.ready["development_credentials"] is False
        assert not first.startswith("dev-secret")
    with home.dev("--host", "0.0.0.0") as server:
        assert server.ready["app_secret"] == first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("smoke", "--loud"), "--loud"),
        (("smoke", "--max-loss", "2"), "2%"),
        (("smoke", "--for", "5"), "5s"),
        (("smoke", "--for", "soon"), "soon"),
        (("track", "publish", "--name", ""), "name"),
        (("track", "subscribe", "only-a-session"), "SESSION/TRACK"),
        (("track", "publish", "--name", "mic", "--tone", "-3"), "tone"),
        (("session", "get"), "SESSION"),
        (("nonsense",), "nonsense"),
        (("session", "get", "x", "--profile", "missing"), "missing"),
        (("api", "BREW", "sessions/new"), "BREW"),
    ],
)
def test_bad_input_is_2_and_names_it(home: Home, arguments: tuple[str, ...], said: str):
    """A user's mistake: one message that names it, exit status 2, no traceback."""
    done = home.run(*arguments)
    assert done.status == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
