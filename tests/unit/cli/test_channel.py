"""What `rtcctl channel …` refuses before anything is created."""

from pathlib import Path

import pytest

from rtcctl.cli.main import main
from rtcctl.journal import Journal

NOBODY = "a" * 32


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("open", "--name", "chat", "--name", "chat"), "named twice"),
        (("open", "--name", "server-events"), "keeps for itself"),
        (("open", "--name", ""), "channel name is missing"),
        (("open", "--name", "a", "--max-retransmits", "0", "--max-lifetime", "1s"), "exclude each other"),
        (("open", "--name", "a", "--max-lifetime", "2m"), "65535 ms"),
        (("open", "--name", "a", "--max-retransmits", "-1"), "--max-retransmits"),
        (("send", "--name", "a", "fine", "x" * 16385), "Message 2 has 16,385 bytes"),
        (("send", "--name", "a", "--file", "large.bin"), "large.bin has 16,385 bytes"),
        (("send", "--name", "a", "--file", "absent.bin"), "absent.bin cannot be read"),
        (("send", "--name", "a"), "nothing to send"),
        (("send", "hello"), "where to send"),
        (("send", "--name", "a", b"caf\xe9".decode(errors="surrogateescape")), "not UTF-8"),
        (("send", "--name", "a", "--to", "s/a", "hello"), "where to send"),
        (("send", "--to", "s/a", "hello", "--wait-hello", "1s"), "--wait-hello"),
        (("send", "--to", "s", "hello"), "write SESSION/NAME"),
        (("listen", f"{NOBODY}/chat", f"{NOBODY}/chat"), "named twice"),
        (("listen", NOBODY), "write SESSION/NAME"),
        (("listen", f"{NOBODY}/chat", "--reply", "yes"), "--can-reply"),
        (("listen", f"{NOBODY}/chat", "--count", "0"), "--count"),
        (("update", NOBODY, "--id", "1"), "Nothing is to be changed"),
        (("update", NOBODY, "--id", "0", "--can-reply"), "--id"),
        (("close", f"{NOBODY}/a", f"{NOBODY}/b", "--id", "1"), "of one session"),
        (("close", NOBODY, "--id", "1"), "not created from this machine"),
        (("probe", "--size", "19B"), "20 to 16,384 bytes"),
        (("probe", "--rate", "50"), "50/s"),
        (("probe", "--policy", "chat", "--policy", "chat"), "named twice"),
    ],
)
def test_bad_input_is_2_and_creates_nothing(
    arguments: tuple[str, ...],
    said: str,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said before any request: the API of this test cannot be reached, which would be 6."""
    Path("large.bin").write_bytes(bytes(16385))
    for name, value in {"API_BASE": "http://127.0.0.1:1/v1", "APP_ID": "a", "APP_SECRET": "b" * 20}.items():
        monkeypatch.setenv(f"RTCCTL_{name}", value)
    assert main(["channel", *arguments]) == 2
    assert said in capsys.readouterr().err
    with Journal.open(state_dir) as journal:
        assert journal.sessions(include_closed=True) == ()


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        (("open", "--name", "a"), ["sessions/new", "establish", "renegotiate", "datachannels/new"]),
        (("send", "--to", f"{NOBODY}/a", "x"), ["sessions/new", "establish", "renegotiate", "datachannels/new"]),
        (("listen", f"{NOBODY}/a", "--wait-for-ack"), ["sessions/new", "establish", "renegotiate", "waitForAck"]),
        (("update", NOBODY, "--id", "1", "--can-reply"), [f"sessions/{NOBODY}", "datachannels/update", "canReply"]),
        (("close", f"{NOBODY}/a"), [f"sessions/{NOBODY}", "datachannels/close"]),
        (("close", NOBODY, "--id", "3"), ['"id": 3']),
        (("probe", "--policy", "game"), ["sessions/new", "maxRetransmits", "datachannels/close"]),
    ],
)
def test_curl_lists_the_calls(
    arguments: tuple[str, ...], paths: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order in which they are made, without making them."""
    for name, value in {"API_BASE": "http://127.0.0.1:1/v1", "APP_ID": "a", "APP_SECRET": "b" * 20}.items():
        monkeypatch.setenv(f"RTCCTL_{name}", value)
    assert main(["channel", *arguments, "--curl"]) == 0
    printed = capsys.readouterr().out
    at = [printed.index(path) for path in paths]
    assert at == sorted(at)
