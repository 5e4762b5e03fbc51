"""What a person sees while a command runs: a few lines on stderr, drawn again with each event, gone at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TextIO

from rich.console import Console
from rich.live import Live as RichLive
from rich.text import Text

from rtcctl.report import figures
from rtcctl.report.layout import GAP, Cell, Line, Styled, display_width, draw, grid, known_grid, line
from rtcctl.report.table import STYLES
from rtcctl.report.tables.pieces import known, known_size, row_names
from rtcctl.results.check import CheckStatus
from rtcctl.results.event import CheckDone, Event, Interval, Progress
from rtcctl.results.track import SentStatistics
from rtcctl.results.turn import CredentialsFile

SHOWN_INTERVALS = 5
"Of a single track, a row each."

BARS = 20
"Intervals in a sparkline."

MIN_BARS = 10
"A long name of a track leaves room for these."

MIN_NAME = 8
"Columns that the name of a track has at least, however narrow the terminal is."


class Bar(NamedTuple):
    """An interval in a sparkline."""

    bitrate_bps: float | None
    is_lossy: bool
    "Something was lost, or nothing came at all."


@dataclass(slots=True)
class Track:
    """The newest intervals of a track, the last one in full."""

    intervals: list[Interval] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    freezes: int | None = None
    "Since the beginning."

    def add(self, interval: Interval) -> None:
        self.intervals = [*self.intervals, interval][-SHOWN_INTERVALS:]
        self.bars = [*self.bars, _bar(interval)][-BARS:]
        freezes = None if interval.received is None else interval.received.freezes
        if freezes is not None:
            self.freezes = (self.freezes or 0) + freezes


Key = tuple[bool, str, str | None, str]
"Whether it is sent, the session, the publisher's session, the name."


@dataclass(slots=True)
class State:
    """What has happened, as far as it is drawn."""

    step: str = ""
    checks: dict[str, CheckDone] = field(default_factory=dict)
    tracks: dict[Key, Track] = field(default_factory=dict)
    undrawn: set[Key] = field(default_factory=set)

    def add(self, event: Event) -> bool:
        """Take an event in; false when it changes nothing that is drawn."""
        if isinstance(event, Progress):
            self.step = event.text
        elif isinstance(event, CredentialsFile):
            valid, renewal = figures.moment(event.expires_at), figures.moment(event.renewal_at)
            self.step = f"{event.path} is valid until {valid}, next renewal {renewal}"
        elif isinstance(event, CheckDone):
            self.checks[event.name] = event
        elif isinstance(event, Interval):
            self.step = ""
            return self._add(event)
        else:
            return False
        return True

    def _add(self, interval: Interval) -> bool:
        """Tracks report one after the other; they are drawn with the last of them, or the first that reports again.

        Drawing with each would take the machine's time from what it measures, by the square of the tracks.
        """
        key = (interval.received is None, interval.session_id, interval.publisher_session_id, interval.track_name)
        self.tracks.setdefault(key, Track()).add(interval)
        is_round = key in self.undrawn or key == next(reversed(self.tracks))
        self.undrawn.add(key)
        if is_round:
            self.undrawn.clear()
        return is_round


def lines(state: State, width: int = 80) -> list[Line]:
    """What is drawn, from what has happened, so that a row is a line of the terminal."""
    drawn: list[Line] = []
    if state.checks:
        rows = [
            (check.name, Styled(check.status, STYLES[CheckStatus(check.status)]), Styled(check.detail, "dim"))
            for check in state.checks.values()
        ]
        drawn += grid(("check", "verdict", ""), rows)
    tracks = list(state.tracks.values())
    if len(tracks) == 1:
        drawn += _single(tracks[0], width)
    elif tracks:
        # Of what is sent, other things are known than of what arrives.
        for direction in (
            [track for track in tracks if track.intervals[-1].received is None],
            [track for track in tracks if track.intervals[-1].received is not None],
        ):
            drawn += _several(direction, width) if direction else []
    if state.step:
        drawn.append(line(Styled(f"… {state.step}", "cyan")))
    return drawn


def _single(track: Track, width: int) -> list[Line]:
    """The last intervals, one a row, and the sparkline."""
    rows = [{"time": figures.seconds(interval.elapsed_s), **_figures(interval)} for interval in track.intervals]
    last = track.intervals[-1].received
    parts = (
        None if last is None else known_size(last.width, last.height),
        None if not track.freezes else figures.amount(track.freezes, "freeze"),
    )
    text = ", ".join(part for part in parts if part)
    spark = Line((Styled("bitrate", "bold"), Styled("  "), *_sparkline(track.bars), Styled(f"  {text}")))
    return [*_fitting(rows, ("time", *_COLUMNS), width), spark]


def _several(tracks: Sequence[Track], width: int) -> list[Line]:
    """The newest interval of each track, a row each with its sparkline, which is as long as there is room for."""
    columns = tuple(name for name in _COLUMNS if name not in _OF_ONE)
    newest = [track.intervals[-1] for track in tracks]
    full_names = row_names([(interval.track_name, interval.mid) for interval in newest])
    longest = max(map(display_width, full_names))
    room = width - MIN_BARS - 2 * GAP
    rows = _fitting([_figures(interval) for interval in newest], columns, room - min(longest, MIN_NAME))
    used = sum(display_width(piece.text) for piece in rows[0].pieces)
    name_width = max(MIN_NAME, min(longest, room - used))
    names = _padded(["track", *(_shortened(name, name_width) for name in full_names)])
    bars = max(0, min(BARS, width - used - display_width(names[0]) - 2 * GAP))
    sparklines = [[], *(_sparkline(track.bars[-bars:]) if bars else [] for track in tracks)]
    between = Styled(" " * GAP)
    return [
        Line((Styled(name, "" if at else "bold"), between, *row.pieces, between, *sparkline))
        for at, (name, row, sparkline) in enumerate(zip(names, rows, sparklines, strict=True))
    ]


_COLUMNS = ("packets", "loss", "bitrate", "jitter", "rtt", "latency p95", "fps", "layer", "tone")

_OF_ONE = ("packets", "rtt", "tone")
"Columns that only a single track has."

_DISPENSABLE = ("packets", "rtt", "jitter", "tone", "latency p95", "layer", "fps")
"What is left out where the terminal is narrow, and in this order."


def _fitting(rows: Sequence[Mapping[str, Cell | None]], columns: Sequence[str], width: int) -> list[Line]:
    """As many of the columns as fit; each row is a line."""
    for dropped in range(len(_DISPENSABLE) + 1):
        names = [name for name in columns if name not in _DISPENSABLE[:dropped]]
        drawn = known_grid(names, [[row.get(name) for name in names] for row in rows], right=range(len(names)))
        if sum(display_width(piece.text) for piece in drawn[0].pieces) <= width:
            break
    return drawn


def _padded(texts: Sequence[str]) -> list[str]:
    width = max(map(display_width, texts))
    return [text + " " * (width - display_width(text)) for text in texts]


def _figures(interval: Interval) -> dict[str, Cell | None]:
    """The figures of an interval by the names of their columns; `None` for what is not known."""
    sent, received = interval.sent, interval.received
    if received is not None:
        latency = received.latency_ms
        return {
            "packets": figures.count(received.packets_received),
            "loss": _loss(received.fraction_lost),
            "bitrate": known(figures.bits_per_second, received.bitrate_bps),
            "jitter": known(figures.milliseconds, received.jitter_ms),
            "rtt": known(figures.milliseconds, received.rtt_ms),
            "latency p95": None if latency is None else figures.milliseconds(latency.p95),
            "fps": known(figures.frame_rate, received.frame_rate_hz),
            "layer": received.layer,
            "tone": known(figures.hertz, received.tone_hz),
        }
    if sent is None:
        return {}
    return {
        "packets": figures.count(sent.packets_sent),
        "loss": _loss(sent.fraction_lost),
        "bitrate": figures.bits_per_second(sent.bitrate_bps),
        "jitter": known(figures.milliseconds, sent.jitter_ms),
        "rtt": known(figures.milliseconds, sent.rtt_ms),
        "fps": _frame_rate_sent(sent),
    }


def _frame_rate_sent(sent: SentStatistics) -> str | None:
    """Of one layer, where there are several; of audio, whose packets are its frames, none."""
    if sent.frames_sent is None or sent.nominal_packets is not None or sent.interval_s <= 0:
        return None
    return figures.frame_rate(sent.frames_sent / max(1, len(sent.layers)) / sent.interval_s)


def _loss(fraction: float | None) -> Cell | None:
    return None if fraction is None else Styled(figures.percent(fraction), "red" if fraction > 0 else "")


def _bar(interval: Interval) -> Bar:
    sent, received = interval.sent, interval.received
    if received is not None:
        return Bar(received.bitrate_bps or 0.0, bool(received.packets_lost) or not received.packets_received)
    if sent is not None:
        return Bar(sent.bitrate_bps, bool(sent.packets_lost) or not sent.packets_sent)
    return Bar(None, False)


def _sparkline(bars: Sequence[Bar]) -> list[Styled]:
    """A piece per bar; red where something was lost or nothing came."""
    text = figures.sparkline([bar.bitrate_bps for bar in bars])
    return [Styled(char, "red" if bar.is_lossy else "cyan") for char, bar in zip(text, bars, strict=True)]


def _shortened(text: str, width: int) -> str:
    """The beginning of the text, in at most `width` columns."""
    text = figures.printable(text)
    if display_width(text) <= width:
        return text
    while text and display_width(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


class Live:
    """The display on a terminal. No thread: it is drawn when something happens."""

    def __init__(self, file: TextIO, *, colour: bool) -> None:
        self._state = State()
        self._console = Console(file=file, no_color=not colour, highlight=False, markup=False, emoji=False)
        self._live = RichLive(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def event(self, event: Event) -> None:
        """Draw what changed."""
        if self._state.add(event):
            width = self._console.width
            text = draw(lines(self._state, width), width=width, colour=not self._console.no_color)
            self._live.update(Text.from_ansi(text), refresh=True)

    def print(self, text: str) -> None:
        """A line above the display."""
        self._console.print(Text(text), soft_wrap=True)

    def clear(self) -> None:
        """Take it away until something happens: someone else writes to the terminal."""
        self._live.update(Text(""), refresh=True)

    def stop(self) -> None:
        """Take it away."""
        self._live.stop()
