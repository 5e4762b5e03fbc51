"""What a person sees while a command runs: a few lines on stderr, drawn again with each event, gone at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from rtcctl.report import figures
from rtcctl.report.figures import UNKNOWN, printable
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


def draw(state: State) -> RenderableType:
    """The lines, from what has happened."""
    parts: list[RenderableType] = []
    if state.checks:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for check in state.checks.values():
            style = STYLES.get(CheckStatus(check.status), "")
            table.add_row(check.name, Text(check.status, style=style), Text(printable(check.detail), style="dim"))
        parts.append(table)
    if state.intervals:
        parts.append(_intervals(state.intervals))
    if state.step:
        parts.append(Text(f"… {printable(state.step)}", style="cyan"))
    return Group(*parts)


def _intervals(intervals: list[Interval]) -> Table:
    """The last seconds, one a row."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("time", "packets", "lost", "bitrate", "jitter", "round trip", "latency p95", "tone"):
        table.add_column(name, justify="right")
    for interval in intervals:
        sent, received = interval.sent, interval.received
        if received is not None:
            latency = received.latency_ms
            cells = (
                figures.count(received.packets_received),
                figures.count(received.packets_lost),
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
                UNKNOWN,
                UNKNOWN,
            )
        else:
            continue
        table.add_row(figures.seconds(interval.elapsed_s), *cells)
    return table


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
            self._live.update(draw(self._state), refresh=True)

    def print(self, text: str) -> None:
        """A line above the display."""
        self._console.print(Text(text), soft_wrap=True)

    def stop(self) -> None:
        """Take it away."""
        self._live.stop()
