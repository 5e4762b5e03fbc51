"""Where results, events and errors go: stdout carries the result and nothing else, everything else goes to stderr.

One class per `--output`, with the same two verbs: an event happened, the result is there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from rtcctl.errors import UsageError
from rtcctl.realtime import masking

if TYPE_CHECKING:
    from rtcctl.report.live import Live
    from rtcctl.results.event import Event
    from rtcctl.results.result import Result
    from rtcctl.results.target import Target

UNWRAPPED_WIDTH = 240
"Columns when nobody looks: one row is one line, so that `grep` finds it whole."

HOME_AND_CLEAR = "\x1b[H\x1b[2J"

OUTAGE_EVENTS = frozenset({"connection_lost", "recovery_failed", "publisher_followed", "recovered"})
"See `results/outage.py`, which most commands have no use for."


_secrets: set[str] = set()
"Secrets that this process knows and must not show."


def keep_secret(*secrets: str) -> None:
    """Mask these from now on, wherever they would appear."""
    _secrets.update(secrets)


def mask(text: str) -> str:
    """The text without the secrets: the last line of defence, nothing should need it."""
    return masking.mask(text, _secrets) if _secrets else text


class Streams:
    """stdout and stderr with masking, and what is known about who reads them.

    `colour`: `None` follows the terminal and NO_COLOR.
    """

    def __init__(
        self,
        *,
        colour: bool | None = None,
        verbose: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.verbose = verbose
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self.is_terminal = self._out.isatty()
        wanted = (not os.environ.get("NO_COLOR") and not _is_dumb()) if colour is None else colour
        self.colour = wanted and self.is_terminal
        self.error_colour = wanted and self._err.isatty()
        self._live: Live | None = None
        for stream in (self._out, self._err):
            # A terminal that cannot show a character shows "?", and does not end the command.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")

    @property
    def width(self) -> int:
        """Columns of stdout."""
        return shutil.get_terminal_size().columns if self.is_terminal else UNWRAPPED_WIDTH

    def out(self, text: str, *, end: str = "\n") -> None:
        """Write to stdout, at once. Raises `UsageError` where it cannot be written, as on a full disk."""
        if self._live is not None and self.is_terminal:
            # Both are on the same screen.
            self._live.clear()
        try:
            self._out.write(mask(text) + end)
            self._out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"stdout cannot be written: {error.strerror}.") from error

    def out_bytes(self, data: bytes) -> None:
        """Write bytes of others to stdout, at once and as they are. Raises as `out` does."""
        if self._live is not None and self.is_terminal:
            self._live.clear()
        try:
            self._out.flush()
            self._out.buffer.write(data)
            self._out.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"stdout cannot be written: {error.strerror}.") from error

    def err(self, text: str) -> None:
        """Write a line to stderr, above the live display if there is one."""
        text = mask(text)
        if self._live is not None:
            self._live.print(text)
        else:
            self._err.write(text + "\n")
            self._err.flush()

    def warn(self, text: str) -> None:
        """Write a warning to stderr."""
        self.err(f"warning: {text}")

    def say(self, event: Event) -> None:
        """Tell a person what happens: drawn when someone looks, else only what matters."""
        from rtcctl.results.event import EmbeddedServerStarted, LayerChanged, Progress, Warned

        if isinstance(event, Warned):
            self.warn(event.text)
        elif isinstance(event, EmbeddedServerStarted):
            self.err(f"an embedded server was started for this run: {event.base_url}")
        elif isinstance(event, LayerChanged) and (self._live is not None or self.verbose):
            from rtcctl.report.figures import printable
            from rtcctl.report.tables.pieces import layer_change

            self.err(printable(layer_change(event)))
        elif event.event in OUTAGE_EVENTS:
            from rtcctl.report.figures import printable
            from rtcctl.report.tables.outages import happened

            self.err(printable(happened(event) or ""))
        elif self._live is not None:
            self._live.event(event)
        elif self.verbose and isinstance(event, Progress):
            self.err(f"… {event.text}")

    def start_live(self) -> None:
        """Draw events on stderr from now on, if a person looks."""
        if self._err.isatty() and not _is_dumb():
            from rtcctl.report.live import Live

            self._live = Live(self._err, colour=self.error_colour)

    def stop_live(self) -> None:
        """Take the live display away."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _is_dumb() -> bool:
    return os.environ.get("TERM") == "dumb"


class Output(Protocol):
    """What stdout gets of a running command."""

    def event(self, event: Event) -> None:
        """Something happened."""

    def result(self, result: Result, exit_status: int) -> None:
        """The command has ended with this."""


class TableOutput:
    """For people. `announce`: events it begins with as soon as they happen; a daemon has nothing more to say."""

    def __init__(
        self,
        streams: Streams,
        target: Target | None,
        *,
        announce: tuple[type[Event], ...] = (),
        is_daemon: bool = False,
    ) -> None:
        self.streams = streams
        self.target = target
        self.announce = announce
        self.is_daemon = is_daemon
        self._is_target_shown = False
        self._refreshed = 0

    def event(self, event: Event) -> None:
        from rtcctl.results.event import Refreshed

        if isinstance(event, self.announce):
            from rtcctl.report import table

            self.streams.out(
                table.render_event(
                    event,
                    None if self._is_target_shown else self.target,
                    width=self.streams.width,
                    colour=self.streams.colour,
                )
            )
            self._is_target_shown = True
        if isinstance(event, Refreshed):
            self._refresh(event.result)
        else:
            self.streams.say(event)

    def result(self, result: Result, exit_status: int) -> None:
        if self.is_daemon:
            return
        if self._refreshed and self.streams.is_terminal:
            # It is on the screen already; what is new is how it ended.
            self._refresh(result)
        else:
            self._show(result)

    def _refresh(self, result: Result) -> None:
        """In place of the one before on a terminal, else below it."""
        if self.streams.is_terminal:
            self.streams.out(HOME_AND_CLEAR, end="")
        elif self._refreshed:
            self.streams.out("")
        self._refreshed += 1
        self._show(result)

    def _show(self, result: Result) -> None:
        from rtcctl.report import table

        if self._is_target_shown:
            self.streams.out("")
        self.streams.out(
            table.render(
                result,
                width=self.streams.width,
                colour=self.streams.colour,
                with_target=not self._is_target_shown,
            )
        )


class TextOutput:
    """A text made to be pasted or piped, in place of the table."""

    def __init__(self, streams: Streams, text: Callable[[Any], str]) -> None:
        self.streams = streams
        self.text = text

    def event(self, event: Event) -> None:
        self.streams.say(event)

    def result(self, result: Result, exit_status: int) -> None:
        self.streams.out(self.text(result))


class DocumentOutput:
    """One document at the end (of a daemon: when it is ready). `render` and `render_event` give its text."""

    def __init__(
        self,
        streams: Streams,
        render: Callable[[Result, int], str],
        render_event: Callable[[Event], str],
        *,
        announce: tuple[type[Event], ...] = (),
    ) -> None:
        self.streams = streams
        self.render = render
        self.render_event = render_event
        self.announce = announce

    def event(self, event: Event) -> None:
        if isinstance(event, self.announce):
            self.streams.out(self.render_event(event))
        else:
            self.streams.say(event)

    def result(self, result: Result, exit_status: int) -> None:
        if not self.announce:
            self.streams.out(self.render(result, exit_status))


class CommandOutput:
    """stdout belongs to a command that is run: one line on stderr says what it is run against."""

    def __init__(self, streams: Streams, command: Sequence[str]) -> None:
        self.streams = streams
        self.command = command

    def event(self, event: Event) -> None:
        from rtcctl.results.dev import ServerReady

        if isinstance(event, ServerReady):
            # A script may be many lines; this is one.
            self.streams.err(f"serving {event.base_url} for: {' '.join(shlex.join(self.command).split())}")
        else:
            self.streams.say(event)

    def result(self, result: Result, exit_status: int) -> None:
        """Its result is what the command has written."""


class RawOutput:
    """The bytes of messages as they come, a line end after each text; a binary message is what was sent, exactly."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams

    def event(self, event: Event) -> None:
        from rtcctl.results.channel import MessageReceived

        if isinstance(event, MessageReceived):
            self.streams.out_bytes(event.data if event.base64 is not None else event.data + b"\n")
        else:
            self.streams.say(event)

    def result(self, result: Result, exit_status: int) -> None:
        """What was heard has been written."""


class LinesOutput:
    """JSON lines: one event a line as it happens, the summary last."""

    def __init__(self, streams: Streams, render: Callable[[Event, int | None], str]) -> None:
        self.streams = streams
        self.render = render

    def event(self, event: Event) -> None:
        from rtcctl.results.event import Progress

        if not isinstance(event, Progress):
            self.streams.out(self.render(event, None))

    def result(self, result: Result, exit_status: int) -> None:
        from rtcctl.results.event import Summary

        self.streams.out(self.render(Summary(result=result), exit_status))


def open_output(
    format_: str,
    streams: Streams,
    target: Target | None,
    *,
    text: Callable[[Any], str] | None = None,
    announce: tuple[type[Event], ...] = (),
    is_daemon: bool = False,
) -> Output:
    """The output of a format name."""
    if format_ == "jsonl":
        from rtcctl.report import jsonl

        return LinesOutput(streams, jsonl.render)
    if format_ in ("json", "csv"):
        from rtcctl.report import csv, json

        documents = json if format_ == "json" else csv
        return DocumentOutput(streams, documents.render, documents.render_event, announce=announce if is_daemon else ())
    if text is not None:
        return TextOutput(streams, text)
    return TableOutput(streams, target, announce=announce, is_daemon=is_daemon)
