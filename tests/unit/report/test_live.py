"""What a person sees while a command runs."""

from io import StringIO

from rtcctl.report.layout import draw
from rtcctl.report.live import Live, State, lines
from rtcctl.results.event import CheckDone, Interval, Progress, SessionCreated
from tests.unit.report.samples import RECEIVED, SENT


def _drawn(state: State) -> str:
    return draw(lines(state), width=120, colour=False)


def test_the_step_that_runs_is_shown() -> None:
    """Checks that are done, with their verdicts, and the step that runs."""
    state = State()
    assert state.add(Progress(text="subscribe"))
    assert state.add(CheckDone(name="api", status="passed", detail="secret accepted"))
    assert _drawn(state) == "check  verdict\napi    passed   secret accepted\n… subscribe"


def test_the_last_seconds_are_shown() -> None:
    """One row a second, the newest five."""
    state = State()
    for second in range(1, 8):
        state.add(Interval(session_id="s", track_name="t", elapsed_s=float(second), received=RECEIVED))
    rows = _drawn(state).splitlines()
    assert len(rows) == 6
    assert rows[0].split() == "time packets loss bitrate jitter round trip latency p95 tone".split()  # noqa: SIM905
    assert rows[-1].startswith("7.0 s")
    assert "440.0 Hz" in rows[-1]


def test_a_publisher_has_rows_too() -> None:
    """What was sent, and what the SFU says of it."""
    state = State()
    state.add(Interval(session_id="s", track_name="t", elapsed_s=1.0, sent=SENT))
    assert "64.0 kbit/s" in _drawn(state)
    assert "tone" not in _drawn(state)


def test_what_is_not_drawn_changes_nothing() -> None:
    """An event that nobody draws is no reason to draw."""
    assert not State().add(SessionCreated(session_id="s"))


def test_the_display_goes_away() -> None:
    """Lines printed meanwhile stay."""
    file = StringIO()
    live = Live(file, colour=False)
    live.event(Progress(text="connecting"))
    live.print("warning: something")
    live.stop()
    assert "warning: something" in file.getvalue()
