"""Errors as a person, or a program, reads them: `error:` and `hint:` on stderr, or one JSON object."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from rtcctl.cli.output import mask
from rtcctl.errors import ApiError, ExitStatus, NetworkError, ParseError, RtcctlError, UsageError

EXTRA_MODULES = frozenset(
    {"aiortc", "aioice", "av", "OpenSSL", "cryptography", "pylibsrtp", "starlette", "uvicorn", "httptools"}
)
"What only `rtcctl[probe]` installs."

RETRYABLE_STATUSES = frozenset({425, 429})


def report(error: Exception, arguments: Sequence[str]) -> int:
    """Write an error to stderr, expected or not; returns its exit status."""
    expected = foreseen(error)
    if expected is None:
        return _report_bug(error, arguments)
    if wants_json(arguments):
        import json

        _write(json.dumps(as_object(expected), ensure_ascii=False))
    else:
        _write(f"error: {_one_line(expected.message)}")
        if expected.hint:
            _write(f"hint: {_one_line(expected.hint)}")
    return int(expected.exit_status)


def as_object(error: RtcctlError) -> dict[str, object]:
    """An error for programs; what does not apply is `null`."""
    status = getattr(error, "status", None)
    return {
        "error": error.message,
        "exit_status": int(error.exit_status),
        "status": status,
        "code": getattr(error, "code", None),
        "subcode": getattr(error, "subcode", None),
        "phase": getattr(error, "phase", None),
        "request": getattr(error, "request", None),
        "retryable": is_retryable(error),
        "gone": isinstance(error, ApiError) and error.is_gone,
        "ray": getattr(error, "ray", None),
        "hint": error.hint or None,
    }


def is_retryable(error: RtcctlError) -> bool:
    """Whether the same command may well succeed a little later."""
    if isinstance(error, ApiError):
        return error.status is not None and (error.status in RETRYABLE_STATUSES or error.status >= 500)
    return isinstance(error, NetworkError) or error.exit_status in (ExitStatus.DEADLINE, ExitStatus.INCONCLUSIVE)


def foreseen(error: Exception) -> RtcctlError | None:
    """The expected error that an exception is or stands for: of Typer, of a parser, of a missing extra."""
    if isinstance(error, RtcctlError):
        return error
    if isinstance(error, ParseError):
        return ApiError(f"The other side sent something malformed: {error}.", hint="Try again with --verbose.")
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] in EXTRA_MODULES:
        return UsageError(
            f"This command needs the media side of rtcctl, which is not installed ({error.name}).",
            hint="pip install 'rtcctl[probe]'",
        )
    import typer

    if isinstance(error, typer.Abort):
        return UsageError("Aborted.")
    if not isinstance(error, typer.TyperException):
        return None
    context: Any = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "rtcctl"
    message = error.format_message()
    if isinstance(error, typer.BadParameter) and error.message and error.param is not None:
        message = f"{error.param.get_error_hint(context)}: {error.message}".replace("'", "", 2)
    return UsageError(message, hint=f"{command} --help")


def _report_bug(error: Exception, arguments: Sequence[str]) -> int:
    """Write an exception nobody expected: one line, and with --verbose or RTCCTL_DEBUG where it came from."""
    _write(f"error: unexpected {type(error).__name__}: {_one_line(str(error))}")
    _write("hint: this is a bug in rtcctl; --verbose shows where it happened")
    if os.environ.get("RTCCTL_DEBUG") or any(argument in ("-v", "-vv", "--verbose") for argument in arguments):
        import traceback

        _write("".join(traceback.format_exception(error)).rstrip())
    return int(ExitStatus.BUG)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for JSON; looked up by hand, since it may be what could not be parsed."""
    for index, argument in enumerate(arguments):
        if argument == "--":
            # What follows is a command's own.
            return False
        name, _, value = argument.partition("=")
        if name in ("--output", "-o"):
            following = arguments[index + 1] if index + 1 < len(arguments) else ""
            if (value or following) in ("json", "jsonl"):
                return True
    return False


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _write(text: str) -> None:
    sys.stderr.write(mask(text) + "\n")
