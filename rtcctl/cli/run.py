"""The runner: one operation, one event loop, one rendering, one exit status; and where every error ends.

Theory of operation. `guard` wraps the whole command line: an expected error becomes two lines on stderr (or one JSON
object) and its exit status, any other becomes "this is a bug" and 1. `run` is what a command calls: it resolves the
profile, builds the operation's surroundings and awaits it in the only event loop of the process. SIGINT, SIGTERM and
SIGHUP cancel the operation's task; its `finally` blocks close what it opened; what was measured until then is still
rendered, as interrupted, and the exit status is the signal's. A second signal ends the process at once; not SIGHUP,
since the end of a terminal is told twice, by its shell and by the kernel.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rtcctl.errors import ExitStatus, RtcctlError, UsageError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from pathlib import Path

    from rtcctl.cli.options import Common
    from rtcctl.cli.output import Output, Streams
    from rtcctl.cli.recording import Recording
    from rtcctl.config import Resolution
    from rtcctl.ops.env import Env
    from rtcctl.realtime.curl import ApiCall
    from rtcctl.realtime.profile import Profile
    from rtcctl.results.event import Event
    from rtcctl.results.result import Result
    from rtcctl.results.target import Target

Request = TypeVar("Request")

READER_GONE = 128 + 13
"As a shell reports a process that SIGPIPE ended: whoever read our output has left."

_SIGHUP = getattr(signal, "SIGHUP", None)
"Windows has none."


class Face(NamedTuple):
    """How an operation appears on the command line."""

    name: str
    "The command, as the journal and reports call it."
    calls: Callable[[Profile], Sequence[ApiCall]] | None = None
    "Its API calls, for `--curl`."
    text: Callable[[Any], str] | None = None
    "What is printed in place of the table."
    announce: tuple[type[Event], ...] = ()
    "Events that a table begins with, as soon as they happen."
    is_daemon: bool = False
    "Being stopped is its normal end."
    needs_profile: bool = True
    "It speaks to a Realtime."
    resolution: Resolution | None = None
    "Its profile, in place of the one that `--profile` names."
    around: Sequence[str] = ()
    "The command that it runs: stdout is that command's, whatever `--output`."
    is_raw: bool = False
    "stdout gets the bytes of messages and nothing else, whatever `--output`."
    yes: bool = False
    "Do not ask before ending something foreign."
    look: str = ""
    "The command that shows what it made, for when its result could not be said."
    leaves_ticket: bool = False
    "Where no trace is asked for, one is left when it fails."
    pcap: Path | None = None
    "File for the packets of its peers."


class Ending:
    """How an operation ended: with a result, an error, a signal, or a result and one of the others."""

    def __init__(self) -> None:
        self.result: Result | None = None
        self.error: RtcctlError | None = None
        self.signals: list[int] = []
        self.is_reader_gone = False


def run(operation: Callable[[Request, Env], Awaitable[Result]], request: Request, common: Common, face: Face) -> int:
    """Await `operation`, render what it returns, and return the exit status.

    An expected error is raised, after what was measured until then is rendered.
    """
    from rtcctl.cli.output import keep_secret
    from rtcctl.cli.recording import capturing, recording

    profile, warnings = _profile(common.profile, face)
    keep_secret(*profile.secrets)
    streams = open_streams(common)
    for text in warnings:
        streams.warn(text)
    if common.curl:
        return _print_calls(face, profile, streams)
    import asyncio

    from rtcctl import config
    from rtcctl.cli import reports
    from rtcctl.cli.impair import impairing
    from rtcctl.journal import Journal
    from rtcctl.ops.env import Env

    reports.check(common.reports)
    opened = ExitStack()
    impaired = opened.enter_context(impairing(common.impair, common.impair_ledger, streams))
    journal = Journal.open(config.state_dir(os.environ))
    if journal.unavailable and face.needs_profile:
        streams.warn(f"the journal cannot be used: {journal.unavailable}")
    env = Env(profile=profile, journal=journal, pid=os.getpid(), command=face.name, confirm=_confirmation(face.yes))
    env.impairing = impaired
    target = env.target if face.needs_profile else None
    tickets = config.state_dir(os.environ) / "tickets" if face.leaves_ticket else None
    ending = Ending()
    with recording(common.trace, tickets, streams, command=face.name, target=target) as recorded:
        with opened:
            env.recorder, env.tap = recorded.recorder, opened.enter_context(capturing(face.pcap, streams))
            output = _output(common, face, streams, target)
            if common.output == "table" and not face.around:
                streams.start_live()
            try:
                with asyncio.Runner(loop_factory=_loop_factory() if face.is_daemon else None) as runner:
                    runner.run(_supervise(operation, request, env, (recorded.event, output.event), ending))
            except KeyboardInterrupt:
                # Where the loop has no signal handlers (Windows), or while a question was being asked.
                ending.signals.append(signal.SIGINT)
            finally:
                streams.stop_live()
                journal.close()
        return _finish(ending, env, common, face, streams, output, recorded)


def _output(common: Common, face: Face, streams: Streams, target: Target | None) -> Output:
    """Where its events and its result go."""
    from rtcctl.cli.output import CommandOutput, RawOutput, open_output

    if face.around:
        return CommandOutput(streams, face.around)
    if face.is_raw:
        return RawOutput(streams)
    return open_output(common.output, streams, target, text=face.text, announce=face.announce, is_daemon=face.is_daemon)


def present(work: Callable[[Streams], Result], common: Common, face: Face) -> int:
    """Render what a command without a Realtime and without waiting returns."""
    from rtcctl.cli import reports
    from rtcctl.cli.output import open_output
    from rtcctl.cli.recording import recording

    streams = open_streams(common)
    if common.curl:
        return _print_calls(face, None, streams)
    reports.check(common.reports)
    with recording(common.trace, None, streams, command=face.name, target=None) as recorded:
        result = work(streams)
        status = int(result.exit_status)
        recorded.end(result, status, None, interrupted=False)
    open_output(common.output, streams, None, text=face.text).result(result, status)
    reports.write(result, common.reports, face.name, status, streams)
    return status


def open_streams(common: Common) -> Streams:
    """stdout and stderr as the options want them; with `--verbose`, log lines too."""
    from rtcctl.cli.output import Streams, mask

    if common.verbose:
        import logging

        from rtcctl.realtime.masking import without_credentials

        def masked(record: logging.LogRecord) -> bool:
            record.msg, record.args = without_credentials(mask(record.getMessage())), ()
            return True

        handler = logging.StreamHandler()
        handler.addFilter(masked)
        level = logging.DEBUG if common.verbose > 1 else logging.INFO
        logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", handlers=[handler])
    return Streams(colour=False if common.no_color else None, verbose=bool(common.verbose))


def _profile(name: str | None, face: Face) -> tuple[Profile, Sequence[str]]:
    """The profile to use, and what is to be said about it."""
    if not face.needs_profile:
        from rtcctl.realtime.profile import Profile

        return Profile(name="", api_base=""), ()
    from rtcctl import config

    resolution = face.resolution or config.resolve(name)
    return resolution.profile, said_of(resolution)


def said_of(resolution: Resolution) -> Sequence[str]:
    """What has to be said about how a profile was found: variables it ignores, dangers."""
    ignored = ", ".join(resolution.ignored)
    said = [f"profile {resolution.profile.name} is used as a whole; ignored: {ignored}"] if ignored else []
    return (*said, *resolution.warnings)


def _print_calls(face: Face, profile: Profile | None, streams: Streams) -> int:
    """The API calls as curl commands, with variables in place of secrets."""
    calls = face.calls(profile) if face.calls is not None and profile is not None else ()
    if not calls or profile is None:
        streams.out(f"# {face.name} makes no API call")
        return ExitStatus.OK
    from rtcctl.realtime.curl import curl_command

    for call in calls:
        streams.out(curl_command(call, profile))
    return ExitStatus.OK


async def _supervise(
    operation: Callable[[Request, Env], Awaitable[Result]],
    request: Request,
    env: Env,
    sinks: Sequence[Callable[[Event], None]],
    ending: Ending,
) -> None:
    """Run the operation in this task until it ends or a signal cancels it; how it ended goes into `ending`."""
    import asyncio

    task = asyncio.current_task()
    assert task is not None

    def emit(event: Event) -> None:
        if ending.is_reader_gone:
            return
        try:
            for sink in sinks:
                sink(event)
        except BrokenPipeError:
            ending.is_reader_gone = True
            task.cancel()

    env.emit = emit
    try:
        with _cancelled_by_signals(task, ending.signals):
            ending.result = await operation(request, env)
    except asyncio.CancelledError:
        if not (ending.signals or ending.is_reader_gone):
            raise
    except (RtcctlError, BaseExceptionGroup) as error:
        expected = _expected(error)
        if expected is None:
            raise
        ending.error = expected


@contextmanager
def _cancelled_by_signals(task: object, received: list[int]) -> Iterator[None]:
    """A signal cancels the task; a second one (but SIGHUP) ends the process as it would have without us."""
    import asyncio

    loop = asyncio.get_running_loop()
    assert isinstance(task, asyncio.Task)
    before: dict[int, Any] = {}

    def stop(signum: int) -> None:
        if received:
            return
        received.append(signum)
        for other in before:
            if other != _SIGHUP:
                loop.remove_signal_handler(other)
                signal.signal(other, signal.SIG_DFL)
        task.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, *([] if _SIGHUP is None else [_SIGHUP])):
        handler = signal.getsignal(signum)
        # A background job of a script has SIGINT ignored, what nohup runs SIGHUP, and that is meant.
        if handler is not signal.SIG_IGN:
            # Not on Windows, not in another thread: there Ctrl-C is a KeyboardInterrupt.
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(signum, stop, signum)
                before[signum] = handler
    try:
        yield
    finally:
        for handled, handler in before.items():
            loop.remove_signal_handler(handled)
            # What is left is to render, which a terminal that says it again does not cut short.
            signal.signal(handled, signal.SIG_IGN if handled == _SIGHUP and handled in received else handler)


def _expected(error: BaseException) -> RtcctlError | None:
    """The expected error that an exception is, or that a group of exceptions holds."""
    if isinstance(error, RtcctlError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _expected(inner)) is not None), None)
    return None


def _finish(
    ending: Ending, env: Env, common: Common, face: Face, streams: Streams, output: Output, recorded: Recording
) -> int:
    """Render what there is, write the reports, and return the exit status or raise the error."""
    from dataclasses import replace

    from rtcctl.cli import reports
    from rtcctl.results.result import Failure

    result, error = ending.result or env.partial, ending.error
    status = int(result.exit_status) if result is not None else int(ExitStatus.OK)
    failure = Failure.of(error) if error is not None else None
    if failure is not None:
        status = failure.exit_status
        result = replace(result, failure=failure) if result is not None else None
    if ending.signals:
        status = int(ExitStatus.OK) if face.is_daemon else 128 + ending.signals[0]
        result = replace(result, interrupted=True) if result is not None else None
    if ending.is_reader_gone:
        status = READER_GONE
    result = recorded.end(result, status, failure, interrupted=bool(ending.signals))
    if ending.is_reader_gone:
        _silence_stdout()
        return READER_GONE
    if result is not None:
        try:
            output.result(result, status)
        except (BrokenPipeError, UsageError):
            _tell_to_look(face, streams)
            raise
    reports.write(
        result if result is not None else reports.nothing(env.target, failure, interrupted=bool(ending.signals)),
        common.reports,
        face.name,
        status,
        streams,
    )
    if error is not None:
        raise error
    if ending.signals and result is None and not face.is_daemon:
        streams.err("interrupted before there was anything to report")
        _tell_to_look(face, streams)
    return status


def _tell_to_look(face: Face, streams: Streams) -> None:
    if face.look:
        streams.warn(f"{face.name} may have done it nevertheless: look with `{face.look}` before repeating it")


def _loop_factory() -> Callable[[], AbstractEventLoop] | None:
    """A faster loop for a server, where the extra `fast` is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _confirmation(yes: bool) -> Callable[[str], None]:
    """How an operation asks before it ends something foreign."""

    def confirm(question: str) -> None:
        if yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(question, hint="There is no terminal to ask on: add --yes if you mean it.")
        # The loop is not running while we wait, so Ctrl-C has to work as it does without one.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            sys.stderr.write(f"{question} [y/N] ")
            sys.stderr.flush()
            answer = sys.stdin.readline()
        finally:
            signal.signal(signal.SIGINT, before)
        if answer.strip().lower() not in ("y", "yes"):
            raise UsageError("Nothing was done.")

    return confirm


# -- where every error ends ------------------------------------------------------------------------------------------


def guard(action: Callable[[], object], arguments: Sequence[str]) -> int:
    """Do `action` and return its exit status; whatever it raises becomes a line on stderr and a status."""
    try:
        status = action()
        return status if isinstance(status, int) else int(ExitStatus.OK)
    except KeyboardInterrupt:
        return int(ExitStatus.INTERRUPTED)
    except (BrokenPipeError, SystemExit) as error:
        # Typer makes the one into the other, also where it is asked not to end the process.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        _silence_stdout()
        return READER_GONE
    except Exception as error:  # noqa: BLE001  # the last boundary: it becomes a line and an exit status
        from rtcctl.cli import failures

        return failures.report(error, arguments)


def _silence_stdout() -> None:
    """Let nothing complain at exit that the reader of stdout has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
