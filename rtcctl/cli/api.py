"""`rtcctl api METHOD PATH`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtcctl.cli.noun import noun
from rtcctl.cli.options import Common, command
from rtcctl.cli.run import Face, run
from rtcctl.errors import UsageError

if TYPE_CHECKING:
    from rtcctl.results.api import ApiResponse

app = noun("Call any method of the API with the profile's credentials.", has_verbs=False)


class Method(StrEnum):
    """The methods that the API knows."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"


@command(app)
def api(
    method: Annotated[Method, typer.Argument(case_sensitive=False, metavar="METHOD", help="GET, POST or PUT.")],
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Below the app (sessions/new); below the API base with a leading /.")
    ],
    common: Common,
    input_: Annotated[
        str | None,
        typer.Option("--input", metavar="FILE", help="JSON body from a file, or - for stdin.", show_default=False),
    ] = None,
) -> int:
    """Call any method of the API with the profile's credentials.

    The answer's body is printed as it came; --output json wraps it.
    """
    from rtcctl.ops import api as operations

    if "://" in path or not path.isprintable() or " " in path:
        raise UsageError(f"{path!r} is not a path.", hint="For example: rtcctl api GET sessions/SESSION")
    request = operations.CallRequest(method.value, path, _body(input_))
    face = Face(name="api", calls=lambda _: operations.call_calls(request), text=_text)
    return run(operations.call, request, common, face)


def _text(result: "ApiResponse") -> str:
    """The body alone, so that it can be piped into another program."""
    import json

    return result.body if isinstance(result.body, str) else json.dumps(result.body, indent=2, ensure_ascii=False)


def _body(source: str | None) -> Any:
    """The decoded JSON of a file, or of stdin; no source is no body at all."""
    import json

    if source is None:
        return None
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
        return json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"--input {source} cannot be read: {reason}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--input {source} is not JSON: {error}.") from error
