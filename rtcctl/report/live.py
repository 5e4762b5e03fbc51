"""What a person sees while a command runs: a few lines on stderr, drawn again with each event, gone at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console
from rich.live import Live as RichLive
from rich.text import Text

from rtcctl.report import figures
from rtcctl.report.layout import Line, Styled, draw, grid, line
from rtcctl.report.table import STYLES
from rtcctl.results.check import CheckStatus
from rtcctl.results.event import CheckDone, Event, Interval, Progress

SHOWN_INTERVALS = 5


@dataclass(slots=True)
class State:
    """What has happened, as far as it is drawn."""

    step: str = ""
    checks: dict[str, CheckDone] = field(default_factory=dict)
    intervals: list[Interval] = field(default_factory=list)

    def add(self, event: Event) -> bool:
        """Take an event in; false when it changes nothing that is drawn."""
        if isinstance(event, Progress):
            self.step = event.text
        elif isinstance(event, CheckDone):
            self.checks[event.name] = event
        elif isinstance(event, Interval):
            self.step = ""
            self.intervals = [*self.intervals, event][-SHOWN_INTERVALS:]
        else:
            return False
        return True


def lines(state: State) -> list[Line]:
    """What is drawn, from what has happened."""
    drawn: list[Line] = []
    if state.checks:
        rows = [
            (check.name, Styled(check.status, STYLES[CheckStatus(check.status)]), Styled(check.detail, "dim"))
            for check in state.checks.values()
        ]
        drawn += grid(("check", "verdict", ""), rows)
    if state.intervals:
        drawn += _intervals(state.intervals)
    if state.step:
        drawn.append(line(Styled(f"… {state.step}", "cyan")))
    return drawn


def _intervals(intervals: list[Interval]) -> list[Line]:
    """The last seconds, one a row."""
    rows = []
    for interval in intervals:
        sent, received = interval.sent, interval.received
        cells: tuple[str, ...]
        if received is not None:
            latency = received.latency_ms
            cells = (
                figures.count(received.packets_received),
                figures.percent(received.fraction_lost),
                figures.bits_per_second(received.bitrate_bps),
                figures.milliseconds(received.jitter_ms),
                figures.milliseconds(received.rtt_ms),
                figures.milliseconds(None if latency is None else latency.p95),
                figures.hertz(received.tone_hz),
            )
        elif sent is not None:
            cells = (
                figures.count(sent.packets_sent),
                figures.percent(sent.fraction_lost),
                figures.bits_per_second(sent.bitrate_bps),
                figures.milliseconds(sent.jitter_ms),
                figures.milliseconds(sent.rtt_ms),
            )
        else:
            continue
        rows.append((figures.seconds(interval.elapsed_s), *cells))
    header: tuple[str, ...] = ("time", "packets", "loss", "bitrate", "jitter", "round trip", "latency p95", "tone")
    # A publisher knows neither how old its packets arrive nor what is heard.
    header = header[: max(map(len, rows), default=0)]
    return grid(header, rows, right=range(len(header)))


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
            text = draw(lines(self._state), width=width, colour=not self._console.no_color)
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
