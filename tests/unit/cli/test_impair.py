"""`--impair` on every command that runs a peer: what is refused, and what is never written."""

from pathlib import Path

import pytest

from rtcctl.cli.main import main

NOBODY = "a" * 32
PROBES = (
    ("smoke",),
    ("session", "create", "--connect"),
    ("track", "publish", "--name", "mic"),
    ("track", "subscribe", f"{NOBODY}/mic"),
    ("channel", "open", "--name", "chat"),
    ("channel", "send", "--name", "chat", "hello"),
    ("channel", "listen", f"{NOBODY}/chat"),
    ("channel", "probe"),
)


@pytest.fixture(autouse=True)
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API of these tests cannot be reached, which would be 6."""
    for name, value in {"API_BASE": "http://127.0.0.1:1/v1", "APP_ID": "a", "APP_SECRET": "b" * 20}.items():
        monkeypatch.setenv(f"RTCCTL_{name}", value)


@pytest.mark.parametrize("command", PROBES, ids=" ".join)
def test_a_bad_spelling_is_2_with_the_right_one(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """On each of them."""
    assert main([*command, "--impair", "loss=5"]) == 2
    assert "a ratio needs its unit: 5%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--impair", "loss=1%", "--impair", "loss=2%"), "there are two for direction down; write them as one"),
        (("--impair", "loss=1%,direction=up", "--impair", "delay=1s,direction=both"), "two for direction up"),
        (("--impair-ledger", "packets.jsonl"), "--impair-ledger is what --impair has done"),
        (("--impair", "loss=0%", "--impair-ledger", "."), "--impair-ledger: . cannot be written: Is a directory"),
        (("--impair", "loss=0%", "--impair-ledger", "nowhere/x"), "nowhere/x cannot be written: No such file"),
    ],
)
def test_what_makes_no_sense_is_2(options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before any request."""
    assert main(["session", "create", "--connect", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_session_without_a_connection_has_no_packets(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing would be impaired."""
    assert main(["session", "create", "--impair", "loss=5%"]) == 2
    assert "Add --connect" in capsys.readouterr().err


def test_calls_are_printed_as_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    """No packet is sent by `--curl`, and no ledger written."""
    command = ["track", "publish", "--name", "mic", "--curl"]
    assert main(command) == 0
    calls = capsys.readouterr()
    assert main([*command, "--impair", "loss=5%", "--impair-ledger", "packets.jsonl"]) == 0
    assert capsys.readouterr() == calls
    assert not Path("packets.jsonl").exists()


def test_a_seed_that_was_drawn_is_said_although_nothing_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """So that the run can be repeated, seed and all; a seed that was given is not said again."""
    assert main(["session", "create", "--connect", "--impair", "loss=5%,direction=up"]) == 6
    said = capsys.readouterr().err
    assert "to repeat it: --impair 'loss=5%,direction=up,seed=" in said
    assert main(["session", "create", "--connect", "--impair", "loss=5%,seed=7"]) == 6
    assert "to repeat it" not in capsys.readouterr().err
