"""stdout and stderr, and the questions a person is asked."""

import errno
import io
import sys

import pytest

from rtcctl.cli.options import Common
from rtcctl.cli.output import HOME_AND_CLEAR, Streams, TableOutput
from rtcctl.cli.run import Face, guard, run
from rtcctl.config import Resolution
from rtcctl.errors import UsageError
from rtcctl.ops.env import Env
from rtcctl.realtime.profile import Profile
from rtcctl.results.event import EmbeddedServerStarted, LayerChanged, Progress, Published, Refreshed, Warned
from rtcctl.results.result import Result
from rtcctl.results.target import Target
from rtcctl.results.track import TrackWait


class Terminal(io.StringIO):
    """A text file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def _streams(**options: object) -> tuple[Streams, io.StringIO, io.StringIO]:
    out, err = Terminal(), Terminal()
    return Streams(out=out, err=err, **options), out, err  # type: ignore[arg-type]


def test_colour_follows_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colour on a terminal, none in a pipe, with NO_COLOR, with --no-color, or on a dumb terminal."""
    monkeypatch.setenv("TERM", "xterm")
    assert _streams()[0].colour
    assert not _streams(colour=False)[0].colour
    assert not Streams(out=io.StringIO(), err=io.StringIO()).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not _streams()[0].colour
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not _streams()[0].colour


def test_a_pipe_gets_unwrapped_lines() -> None:
    """A row of a table is one line for `grep`."""
    assert Streams(out=io.StringIO(), err=io.StringIO()).width > 200


def test_a_terminal_that_cannot_show_a_character() -> None:
    """In the C locale a dash becomes a question mark, not a crash."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    Streams(out=out, err=io.StringIO()).out("a – b")
    assert raw.getvalue() == b"a ? b\n"


def test_a_switch_of_layers_is_a_line_above_the_display() -> None:
    """It stays when the display is gone; without one nobody watches, and a table has it at the end."""
    changed = LayerChanged(session_id="s", track_name="cam\x1b[2J", layer="l", previous="h")
    streams, _, err = _streams(colour=False)
    streams.start_live()
    streams.say(changed)
    streams.stop_live()
    assert "cam\\x1b[2J: layer h → l" in err.getvalue()
    for verbose in (False, True):
        streams, _, err = _streams(verbose=verbose)
        streams.say(changed)
        assert ("layer h → l" in err.getvalue()) == verbose


def test_several_tracks_are_announced_below_one_target() -> None:
    """Each as soon as it is published."""
    streams, out, _ = _streams(colour=False)
    target = Target(profile="local", api_base="http://127.0.0.1:8610/v1", app_id="dev0", embedded=True)
    output = TableOutput(streams, target, announce=(Published,))
    for name in ("mic", "cam"):
        output.event(Published(session_id="s", track_name=name, mid="0"))
    assert out.getvalue().count("embedded") == 1
    assert out.getvalue().count("published") == 2


def test_what_is_said_without_a_display() -> None:
    """Warnings and the embedded server always, progress only with --verbose."""
    streams, out, err = _streams()
    for event in (Progress(text="step"), Warned(text="careful"), EmbeddedServerStarted(base_url="http://x")):
        streams.say(event)
    assert err.getvalue() == "warning: careful\nan embedded server was started for this run: http://x\n"
    streams, out, err = _streams(verbose=True)
    streams.say(Progress(text="step"))
    assert err.getvalue() == "… step\n"
    assert not out.getvalue()


def test_a_display_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that are drawn again have no place in a log."""
    monkeypatch.setenv("TERM", "xterm")
    streams, _, err = _streams()
    streams.start_live()
    streams.say(Progress(text="connecting"))
    streams.warn("careful")
    streams.stop_live()
    assert "connecting" in err.getvalue()
    assert "warning: careful" in err.getvalue()
    quiet = io.StringIO()
    streams = Streams(out=io.StringIO(), err=quiet)
    streams.start_live()
    streams.say(Progress(text="connecting"))
    streams.stop_live()
    assert not quiet.getvalue()


@pytest.mark.parametrize(("answer", "expected"), [("y\n", 0), ("yes\n", 0), ("\n", 2), ("n\n", 2), ("", 2)])
def test_a_person_is_asked(answer: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the question is asked, and only a yes is one."""
    err = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "dumb")

    async def operation(_: None, env: Env) -> Result:
        env.confirm("End it?")
        return TrackWait(session_id="s", track_name="t", waited_s=0)

    face = Face(name="test", resolution=Resolution(Profile(name="test", api_base="http://127.0.0.1:1/v1")))
    assert guard(lambda: run(operation, None, Common(), face), []) == expected
    assert "End it? [y/N]" in err.getvalue()


class FullDisk(io.StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_no_bug_of_ours() -> None:
    """What cannot be written is said, as an error of the user's."""
    with pytest.raises(UsageError, match="stdout cannot be written: No space left"):
        Streams(out=FullDisk(), err=io.StringIO()).out("text")


def test_the_display_makes_room_for_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one terminal, a line of the result does not run on behind what is being drawn."""
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    streams = Streams(out=screen, err=screen, colour=False)
    streams.start_live()
    streams.say(Progress(text="connecting"))
    streams.out("published")
    streams.stop_live()
    before, _, _ = screen.getvalue().partition("published")
    assert "connecting" in before
    assert not before.endswith("connecting")


@pytest.mark.parametrize(("out", "separator"), [(Terminal(), HOME_AND_CLEAR), (io.StringIO(), "\n")])
def test_a_watched_result_is_shown_once_when_it_ends(out: io.StringIO, separator: str) -> None:
    """Drawn in its place on a terminal, the last one too; in a pipe with a line between two."""
    output = TableOutput(Streams(out=out, err=io.StringIO(), colour=False), None)
    output.event(Refreshed(result=_WAITED))
    output.event(Refreshed(result=_WAITED))
    assert out.getvalue().count(separator + "track") == (2 if out.isatty() else 1)
    output.result(_WAITED, 130)
    if out.isatty():
        assert out.getvalue().rpartition(separator)[2].count("track ") == 1


_WAITED = TrackWait(session_id="s", track_name="mic", waited_s=1.0)
