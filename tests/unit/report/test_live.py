"""What a person sees while a command runs."""

import re
from dataclasses import replace
from io import StringIO

import pytest

from rtcctl.report.layout import display_width, draw
from rtcctl.report.live import Live, State, lines
from rtcctl.results.event import CheckDone, Interval, Progress, SessionCreated
from tests.unit.report.samples import RECEIVED, RECEIVED_VIDEO, SENT, SENT_SIMULCAST, WRITTEN


def _drawn(state: State) -> str:
    return draw(lines(state), width=120, colour=False)


def test_the_step_that_runs_is_shown() -> None:
    """Checks that are done, with their verdicts, and the step that runs."""
    state = State()
    assert state.add(Progress(text="subscribe"))
    assert state.add(CheckDone(name="api", status="passed", detail="secret accepted"))
    assert _drawn(state) == "check  verdict\napi    passed   secret accepted\n… subscribe"


def test_a_file_of_credentials_is_a_line() -> None:
    """Until when it is valid, and when it is renewed."""
    state = State()
    assert state.add(WRITTEN)
    text = "… turn.json is valid until 2026-11-18 12:06:40Z, next renewal 2026-11-18 11:54:40Z"
    assert _drawn(state) == text


def received(state: State, second: int, track_name: str = "t", **figures: object) -> bool:
    """An interval of a track; whether it is drawn."""
    return state.add(
        Interval(
            session_id="s",
            publisher_session_id="p",
            track_name=track_name,
            elapsed_s=float(second),
            received=replace(RECEIVED, **figures),  # type: ignore[arg-type]
        )
    )


def test_the_last_seconds_are_shown() -> None:
    """One row a second, the newest five, and a bar for each of the last twenty."""
    state = State()
    for second in range(1, 26):
        received(state, second, bitrate_bps=64_000.0 if second % 2 else 32_000.0)
    rows = _drawn(state).splitlines()
    assert len(rows) == 7
    assert rows[0].split() == "time packets loss bitrate jitter rtt latency p95 tone".split()  # noqa: SIM905
    assert rows[-2].startswith("25.0 s")
    assert "440.0 Hz" in rows[-2]
    assert rows[-1] == "bitrate  " + "▅█" * 10


def test_a_bar_with_loss_is_red() -> None:
    """And so is one in which nothing came."""
    state = State()
    for second, (lost, packets) in enumerate([(0, 50), (1, 49), (0, 0), (0, 50)]):
        received(state, second, packets_lost=lost, packets_received=packets)
    drawn = draw(lines(state), width=80, colour=True).splitlines()[-1]
    assert re.findall(r"\x1b\[(3[16])m.\x1b\[0m", drawn) == ["36", "31", "31", "36"]


def test_pictures_have_their_own_columns() -> None:
    """Frames per second and the layer in the rows, the size and all freezes beside the sparkline."""
    state = State()
    for second in (1, 2):
        state.add(Interval(session_id="s", track_name="cam", elapsed_s=float(second), received=RECEIVED_VIDEO))
    rows = _drawn(state).splitlines()
    assert rows[0].split()[-2:] == ["fps", "layer"]
    assert rows[2].split()[-2:] == ["29.8", "l"]
    assert rows[3] == "bitrate  ██  320x180, 2 freezes"


def test_several_tracks_have_a_row_each() -> None:
    """With the newest figures and a sparkline; what is sent and what is received apart."""
    state = State()
    for second in (1, 2):
        received(state, second, "mic")
        state.add(Interval(session_id="s", track_name="cam", elapsed_s=float(second), received=RECEIVED_VIDEO, mid="1"))
        state.add(Interval(session_id="s", track_name="mic", elapsed_s=float(second), sent=SENT))
    rows = _drawn(state).splitlines()
    assert [row.split()[0] for row in rows] == ["track", "mic", "track", "mic", "cam"]
    assert rows[1].endswith("██")
    assert "64.0 kbit/s" in rows[1]
    assert rows[4].endswith("29.8      l  ██")


def test_tracks_of_one_name_are_told_apart() -> None:
    """Publishers choose their names themselves."""
    state = State()
    for publisher, mid in (("a", "0"), ("b", "3")):
        state.add(
            Interval(
                session_id="s",
                publisher_session_id=publisher,
                track_name="mic",
                mid=mid,
                elapsed_s=1.0,
                received=RECEIVED,
            )
        )
    assert [row[:11] for row in _drawn(state).splitlines()[1:]] == ["mic (mid 0)", "mic (mid 3)"]


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("names", [["mic"], ["mic", "a-very-long-name-of-a-track-of-somebody"], ["音声" * 20, "b"]])
def test_a_row_is_a_line_of_the_terminal(width: int, names: list[str]) -> None:
    """A line that the terminal breaks would stay when the display is drawn again."""
    state = State()
    for second in range(30):
        for name in names:
            state.add(
                Interval(
                    session_id="s",
                    track_name=name,
                    elapsed_s=7300.0 + second,
                    received=replace(RECEIVED_VIDEO, tone_hz=440.0),
                )
            )
    drawn = draw(lines(state, width), width=width, colour=False)
    assert max(map(display_width, drawn.splitlines())) <= width


def test_tracks_are_drawn_once_an_interval() -> None:
    """Not with each of them, which would take the time of the machine that measures; and not never, when one ends."""
    state = State()
    for name in ("a", "b", "c"):
        received(state, 1, name)
    assert [received(state, 2, name) for name in ("a", "b", "c")] == [False, False, True]
    assert sum(received(state, second, name) for second in range(3, 9) for name in ("a", "b")) >= 3


def test_a_publisher_has_rows_too() -> None:
    """What was sent, and what the SFU says of it."""
    state = State()
    state.add(Interval(session_id="s", track_name="t", elapsed_s=1.0, sent=SENT))
    assert "64.0 kbit/s" in _drawn(state)
    assert "tone" not in _drawn(state)
    assert "fps" not in _drawn(state)


def test_frames_that_are_sent_are_those_of_a_layer() -> None:
    """447 in three layers and five seconds are 29.8 a second."""
    state = State()
    state.add(Interval(session_id="s", track_name="t", elapsed_s=1.0, sent=SENT_SIMULCAST))
    assert "29.8" in _drawn(state)


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
