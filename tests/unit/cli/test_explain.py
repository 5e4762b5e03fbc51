"""`rtcctl explain`: files, stdin and words, its outputs and exit statuses."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from rtcctl.__main__ import main


def give(monkeypatch: pytest.MonkeyPatch, data: bytes, *, is_terminal: bool = False) -> None:
    """Put this on stdin."""
    stdin = io.TextIOWrapper(io.BytesIO(data))
    stdin.isatty = lambda: is_terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", stdin)


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_stdin(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is piped is explained; a mistake is exit 3, with its field and what to do."""
    give(monkeypatch, b"{}")
    assert main(["explain", *arguments]) == 3
    out, err = capsys.readouterr()
    assert "`{}` is sent" in out
    assert "no body at all" in out
    assert not err


def test_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name, CRLF kept; a byte order mark is no mistake."""
    good = tmp_path / "body.json"
    good.write_bytes(b'\xef\xbb\xbf{"tracks": [{"mid": "0"}], "force": true}')
    assert main(["explain", str(good)]) == 0
    sdp = tmp_path / "offer"
    sdp.write_bytes(b"v=0\r\ns=-\r\n")
    assert main(["explain", str(sdp)]) == 3
    assert "no m-section" in capsys.readouterr().out


@pytest.mark.parametrize("output", ["json", "jsonl", "csv"])
def test_outputs(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each format has it, the exit status too."""
    assert main(["explain", '{"tracks": [{"mid": 0}], "force": true}', "--output", output]) == 3
    out = capsys.readouterr().out
    assert "with quotes" in out
    if output != "csv":
        document = json.loads(out)
        assert (document["schema"], document["exit_status"]) == ("rtcctl.explain/1", 3)
        assert document["mistakes"][0]["where"] == "tracks[0].mid"


def test_a_report_for_ci(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is a failed case."""
    assert main(["explain", "{}", "--report", f"junit:{tmp_path / 'lint.xml'}"]) == 3
    assert "<failure" in (tmp_path / "lint.xml").read_text("utf-8")
    capsys.readouterr()


def test_an_operation_without_a_body(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--to` alone is a request too, on a terminal and with an empty stdin; `sessions/new` takes none."""
    for is_terminal in (True, False):
        give(monkeypatch, b"", is_terminal=is_terminal)
        assert main(["explain", "--to", "POST sessions/new"]) == 0
        assert main(["explain", "--to", "DELETE sessions/x"]) == 3
    assert "reserved for WHIP" in capsys.readouterr().out


def test_words_need_no_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    """A status with its code, a description as it was printed."""
    assert main(["explain", "410", "session_error"]) == 0
    assert main(["explain", "Body", "JSON", "validation", "error:", "force"]) == 0
    out = capsys.readouterr().out
    assert "is gone" in out
    assert "`force` is required" in out


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ([], b"", "Nothing is given to explain."),
        (["nonsense"], b"", "'nonsense' is no file, and not recognised."),
        (["offer.sdp"], b"", "There is no file offer.sdp."),
        (["{tracks: []}"], b"", "it is no JSON at line 1"),
        (["-"], b"\xff\xfe", "not UTF-8 at byte 0"),
        (["-"], b"x" * (4 * 1024 * 1024 + 1), "larger than anything the API says"),
        (["."], b"", "is no trace of rtcctl"),
        (["a\0b"], b"", "not recognised"),
        (["406", "--as", "response", "--to", "tracks/new"], b"", "--to is for requests."),
    ],
)
def test_what_is_not_recognised(
    arguments: list[str],
    stdin: bytes,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2, and what can be explained."""
    give(monkeypatch, stdin, is_terminal=not stdin)
    assert main(["explain", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
