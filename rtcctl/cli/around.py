"""A command that `rtcctl dev -- COMMAND…` runs: it has our terminal, and its end is ours.

Theory of operation. While the command runs, signals are for it. SIGTERM is passed on, and what has not ended some
seconds later, or at a second one, is killed. SIGQUIT and SIGHUP do the same, but that the end of a terminal, which is
told twice, kills nothing at once. Ctrl-C reaches it from the terminal as it reaches us, so it is passed on
only where no terminal has done so. Whatever else ends us (the server has broken down) ends the command first.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from rtcctl.errors import UsageError

_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one way to end a process

GRACE_S = 5.0
"How long a command may take to end after SIGTERM."


async def run_command(command: Sequence[str], environ: Mapping[str, str], *, grace_s: float = GRACE_S) -> int:
    """Run it to its end, with our stdin, stdout and stderr; returns its status as a shell does. Raises `UsageError`."""
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environ)
    except (OSError, ValueError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        raise UsageError(
            f"{command[0]!r} cannot be run: {reason}.", hint="What follows -- is a program with its arguments"
        ) from None
    with _signals_for(process, grace_s):
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                await _end(process, grace_s)
    return status if status >= 0 else 128 - status


async def _end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    _send(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        _send(process, _KILL)
        await process.wait()


@contextmanager
def _signals_for(process: asyncio.subprocess.Process, grace_s: float) -> Iterator[None]:
    """Pass signals on while the body runs. Afterwards they do nothing: all that is left is to leave."""
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def interrupt() -> None:
        if not _is_told_by_terminal():
            _send(process, signal.SIGINT)

    def terminate() -> None:
        _send(process, _KILL if timers else signal.SIGTERM)
        timers.append(loop.call_later(grace_s, partial(_send, process, _KILL)))

    def hang_up() -> None:
        if not timers:
            terminate()

    for name, handler in {"INT": interrupt, "TERM": terminate, "QUIT": terminate, "HUP": hang_up}.items():
        signum = getattr(signal, f"SIG{name}", None)  # Windows has half of them
        # A background job of a script has SIGINT ignored, what nohup runs SIGHUP, and so has the command then.
        if signum is not None and signal.getsignal(signum) is not signal.SIG_IGN:
            # Not on Windows, not in another thread.
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(signum, handler)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _send(process: asyncio.subprocess.Process, signum: signal.Signals) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(signum)


def _is_told_by_terminal() -> bool:
    """Whether Ctrl-C of a terminal reaches our process group, which is the command's too."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
