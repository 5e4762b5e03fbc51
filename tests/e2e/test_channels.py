"""`rtcctl channel …` against `rtcctl dev`, with rtcctl and with headless Chromium at the other end."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from rtcctl.journal import Journal
from tests.support.browser import OpenPage
from tests.support.command import RTCCTL, Home, Running
from tests.support.participant import call, eventually


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Of the whole file, as the server is: each process costs a second."""
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[Running]:
    """The embedded server that the profile `local` of `home` finds."""
    with home.dev() as running:
        yield running


def test_texts_lines_and_files_reach_every_listener_in_order(home: Home, server: Running):
    """Arguments, files and stdin are sent in this order once somebody listens; `--count` ends a listener."""
    (home.folder / "data.bin").write_bytes(bytes(range(256)))
    arguments = ("--name", "chat", "--stdin", "--wait-hello", "20s", "hello", "--file", "data.bin", "-o", "jsonl")
    sender = subprocess.Popen(
        [str(RTCCTL), "channel", "send", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=home.folder,
        env=home.environment,
    )
    assert sender.stdin is not None
    assert sender.stdout is not None
    with sender:
        published = next(e for e in map(json.loads, sender.stdout) if e["event"] == "channel_published")
        channel = f"{published['session_id']}/chat"
        sender.stdin.write("first line\nzwölf\n")
        sender.stdin.close()
        hello = ("--can-reply", "--hello", "hi")
        with home.running("channel", "listen", channel, "--count", "4", "-o", "jsonl", *hello) as listener:
            messages = [listener.event("message") for _ in range(4)]
            summary = listener.event("summary")
            assert listener.wait() == 0
        said = [json.loads(line) for line in sender.stdout]
    assert sender.returncode == 0
    assert [message["text"] for message in messages] == ["hello", None, "first line", "zwölf"]
    assert base64.b64decode(messages[1]["base64"]) == bytes(range(256))
    assert [message["size_bytes"] for message in messages] == [5, 256, 10, 6]
    assert [message["channel"] for message in messages] == ["chat"] * 4
    assert (summary["ended_by"], summary["schema"]) == ("count", "rtcctl.channel.listen/1")
    assert summary["channels"][0]["bytes_received"] == 277
    assert next(event for event in said if event["event"] == "message")["text"] == "hi"
    assert (said[-1]["channels"][0]["messages_sent"], said[-1]["channels"][0]["bytes_sent"]) == (4, 277)


def test_what_a_pipe_sees(home: Home, server: Running):
    """`--raw` has the bytes and nothing else, a line end after each text."""
    data = bytes(range(256)) * 64
    (home.folder / "data.bin").write_bytes(data)
    arguments = ("--name", "f", "--wait-hello", "20s", "text", "--file", "data.bin", "-o", "jsonl")
    with home.running("channel", "send", *arguments) as sender:
        channel = f"{sender.event('channel_published')['session_id']}/f"
        done = subprocess.run(
            [str(RTCCTL), "channel", "listen", channel, "--count", "2", "--raw", "--can-reply", "--hello", "hi"],
            capture_output=True,
            cwd=home.folder,
            env=home.environment,
            timeout=20,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"text\n" + data


def test_a_publisher_hears_who_may_reply(home: Home, server: Running):
    """`send --to` reaches `channel open`, which ends when all of its channels are closed, by name and by id."""
    with home.running("channel", "open", "--name", "chat", "--name", "b", "-o", "jsonl") as publisher:
        published, other = (publisher.event("channel_published") for _ in range(2))
        session_id = published["session_id"]
        sent = home.run("channel", "send", "--to", f"{session_id}/chat", "question", "another", "-o", "json")
        assert sent.status == 0, sent.stderr
        assert sent.document["channels"][0]["messages_sent"] == 2
        assert [publisher.event("message")["text"] for _ in range(2)] == ["question", "another"]
        closed = home.run("channel", "close", f"{session_id}/chat", "-o", "json")
        assert closed.status == 0, closed.stderr
        assert [(c["id"], c["channel"], c["outcome"]) for c in closed.document["channels"]] == [
            (published["id"], "chat", "closed")
        ]
        assert publisher.event("channel_ended")["channel"] == "chat"
        assert home.run("channel", "close", session_id, "--id", str(other["id"])).status == 0
        summary = publisher.event("summary")
        assert publisher.wait() == 0
        assert [c["messages_received"] for c in summary["channels"]] == [2, 0]


def test_an_interrupted_publisher_takes_its_channels_away(home: Home, server: Running):
    """Ctrl-C: the result is printed, the channels are closed by the API, and the journal has nothing open."""
    with home.running("channel", "open", "--name", "a", "-o", "jsonl") as publisher:
        session_id = publisher.event("channel_published")["session_id"]
        assert publisher.stop(signal.SIGINT) == 130
        assert publisher.event("summary")["interrupted"] is True
    with urlopen(f"{server.ready['base_url'].removesuffix('/v1')}/rtcctl/ledger?session={session_id}") as answer:
        requests = json.load(answer)["requests"]
    assert [r["operation"] for r in requests if "datachannels" in r["operation"]] == [
        "datachannels/establish",
        "datachannels/new",
        "datachannels/close",
    ]
    with Journal.open(home.state) as journal:
        assert session_id in [session.session_id for session in journal.sessions(include_closed=True)]
        assert session_id not in [session.session_id for session in journal.sessions()]


def test_a_server_that_stops_is_6(tmp_path: Path):
    """Channels end with their connection, and that is an error; the result is still told."""
    home = Home(tmp_path)
    open_ = ("channel", "open", "--name", "chat", "--no-recover", "-o", "jsonl")
    with home.dev() as server, home.running(*open_) as publisher:
        publisher.event("channel_published")
        server.stop()
        summary = publisher.event("summary")
        assert publisher.wait() == 6
        assert summary["failure"]["phase"] == "media"


def test_a_detached_publisher_goes_on_until_its_session_is_closed(home: Home, server: Running):
    """It returns once the channel is open; a listener of its policy is updated; `session close` ends all of it."""
    policy = ("--unordered", "--max-lifetime", "200ms")
    opened = home.run("channel", "open", "--name", "state", *policy, "--detach", "-o", "json")
    assert opened.status == 0, opened.stderr
    session_id, pid = opened.document["session_id"], opened.document["detached_pid"]
    assert opened.document["delivery"] == "unordered, lifetime 200 ms"
    with home.running("channel", "listen", session_id, "state", *policy, "-o", "jsonl") as listener:
        subscribed = listener.event("channel_subscribed")
        subscriber, id_ = subscribed["session_id"], str(subscribed["id"])
        updated = home.run("channel", "update", subscriber, "--id", id_, "--can-reply", "-o", "json")
        assert updated.status == 0, updated.stderr
        assert (updated.document["publisher_session_id"], updated.document["can_reply"]) == (session_id, True)
        closed = home.run("session", "close", session_id, "-o", "json").document
        assert [(c["channel"], c["outcome"]) for c in closed["data_channels"]] == [("state", "closed")]
        assert closed["stopped_pid"] == pid
        assert listener.event("channel_ended")["channel"] == "state"
        assert listener.wait() == 0


def test_probe(home: Home, server: Running):
    """A row and checks per policy, and exit 0 of a good network: unless this machine is too busy to tell."""
    probed = home.run("channel", "probe", "--for", "500ms", "--policy", "chat", "--policy", "game", "-o", "json")
    assert probed.status in (0, 8), probed.stdout
    chat, game = probed.document["policies"]
    assert [chat["policy"], chat["messages_nominal"], chat["messages_lost"]] == ["chat", 25, 0]
    assert [game["policy"], game["messages_lost"], game["path"]] == ["game", 0, "good"]
    assert chat["max_message_bytes"] == probed.document["announced_max_message_bytes"] == 16384
    names = {check["name"] for check in probed.document["checks"]}
    assert names == {"sent chat", "received chat", "loss chat", "order chat", "sent game", "received game"}


def test_probe_of_a_network_that_loses(tmp_path: Path):
    """Fire and forget loses messages, more than is allowed; a reliable channel loses none, and waits longer."""
    home = Home(tmp_path)
    limits = ("--max-loss", "1%", "--max-latency", "p95=5s")
    arguments = ("--for", "500ms", "--rate", "100/s", "--policy", "chat", "--policy", "game", *limits, "-o", "json")
    with home.dev("--fault", "loss=10%,direction=down,seed=3"):
        probed = home.run("channel", "probe", *arguments)
    assert probed.status == 3, probed.stdout
    checks = {check["name"]: check for check in probed.document["checks"]}
    assert [checks[name]["status"] for name in ("loss chat", "latency chat", "loss game", "latency game")] == [
        *("passed", "passed", "failed", "passed")
    ]
    chat, game = probed.document["policies"]
    assert (chat["messages_lost"], chat["messages_reordered"]) == (0, 0)
    assert chat["latency_ms"]["p95"] > game["latency_ms"]["p95"]
    assert checks["loss game"]["limit"] == 0.01
    assert checks["loss game"]["observed"] == game["fraction_lost"] > 0.01


# -- Chromium at the other end -----------------------------------------------------------------------------------------


def test_chromium_hears_and_answers(home: Home, server: Running, chromium: OpenPage):
    """A browser subscribes to `channel open` and to `channel send`, with their policies; its replies arrive."""
    with call(server) as join:
        bob = join(chromium)
        bob.establish_channels()
        policy = ("--unordered", "--max-retransmits", "0")
        with home.running("channel", "open", "--name", "game", *policy, "-o", "jsonl") as publisher:
            alice = publisher.event("channel_published")["session_id"]
            subscribe(bob, alice, "game", ordered=False, maxRetransmits=0, canReply=True)
            bob.say("game", "from the browser", 300)
            assert publisher.event("message")["text"] == "from the browser"
            assert publisher.event("message")["size_bytes"] == 300
        arguments = ("--name", "chat", "--wait-hello", "20s", "one", "two", "--file", str(picture(home)), "-o", "jsonl")
        with home.running("channel", "send", *arguments) as sender:
            subscribe(bob, sender.event("channel_published")["session_id"], "chat", canReply=True)
            bob.say("chat", "hi")
            assert bob.hears("chat", 16384) == ["one", "two", 16384]
            assert sender.wait() == 0
        eventually(lambda: bob.channel_state("chat"), lambda state: state == "closed", what="its end is closed")


def test_chromium_is_heard_and_answered(home: Home, server: Running, chromium: OpenPage):
    """`channel listen` hears what a browser publishes after its acknowledgement, and `--reply` reaches the browser."""
    with call(server) as join:
        alice = join(chromium)
        alice.establish_channels()
        alice.open_channel("chat")
        flags = ("--wait-for-ack", "--can-reply", "--reply", "heard")
        with home.running(
            "channel", "listen", f"{alice.session_id}/chat", *flags, "--count", "3", "-o", "jsonl"
        ) as listener:
            listener.event("channel_subscribed")
            eventually(lambda: alice.say("chat", "hello") or alice.heard("chat"), bool, what="an answer")
            alice.say("chat", 16384, "end")
            sizes = [listener.event("message")["size_bytes"] for _ in range(3)]
            assert sizes[0] == 5
            assert listener.wait() == 0
        assert "heard" in alice.heard("chat")
        assert "ack" not in alice.heard("chat")


def picture(home: Home) -> Path:
    path = home.folder / "picture"
    path.write_bytes(bytes(16384))
    return path


def subscribe(who: Any, publisher_session_id: str, name: str, **fields: Any) -> None:
    """A browser subscribes to what one of ours publishes."""

    class Publisher:
        session_id = publisher_session_id

    who.open_channel(name, Publisher, **fields)
