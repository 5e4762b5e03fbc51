"""`rtcctl explain WHAT`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli.noun import noun
from rtcctl.cli.options import Common, command
from rtcctl.cli.run import Face, present
from rtcctl.errors import UsageError

if TYPE_CHECKING:
    from rtcctl.results.result import Result

app = noun("What an error code, a response, a request or an SDP means, and what to do next.", has_verbs=False)

MAX_BYTES = 4 * 1024 * 1024
"Far above any answer or description; what is larger is something else."


class As(StrEnum):
    """What a text can be."""

    REQUEST = "request"
    RESPONSE = "response"
    SDP = "sdp"
    OFFER = "offer"
    ANSWER = "answer"
    ICE_SERVERS = "ice-servers"


@command(app, profile=False)
def explain(
    common: Common,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHAT",
            help="A code, a status, a description, a field; a file, - for stdin; the folder of a trace.",
            show_default=False,
        ),
    ] = None,
    as_: Annotated[
        As | None, typer.Option("--as", help="What the text is, where it does not tell itself.", show_default=False)
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="'METHOD PATH'",
            help="The request whose body it is, as 'PUT tracks/close'.",
            show_default=False,
        ),
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Exit 3 for what is refused alone, not for what is accepted and odd.")
    ] = False,
) -> int:
    """What an error code, a response, a request or an SDP means, and what to do next.

    Exit 3 when a request, an SDP or a list of servers has a mistake.
    """
    if to is not None and as_ not in (None, As.REQUEST):
        raise UsageError("--to is for requests.", hint="Leave --as away.")
    return present(lambda _: _explained(what or [], as_, to, lenient), common, Face(name="explain"))


def _explained(words: list[str], as_: As | None, to: str | None, is_lenient: bool) -> "Result":
    from rtcctl.ops import explain as operations

    if len(words) == 1 and words[0] != "-" and _is_folder(words[0]):
        return _of_folder(Path(words[0]))
    found = _text(words, is_needed=to is None)
    if found is None:
        return operations.explain_words(operations.WordsRequest(tuple(words)))
    text, source = found
    request = operations.TextRequest(text, source, None if as_ is None else as_.value, to, is_lenient)
    return operations.explain_text(request)


def _is_folder(word: str) -> bool:
    try:
        return Path(word).is_dir()
    except (OSError, ValueError):
        return False


def _of_folder(path: Path) -> "Result":
    """What a trace says. Raises `UsageError` for another folder."""
    from rtcctl.trace.reading import read

    return read(path)


def _text(words: list[str], *, is_needed: bool) -> tuple[str, str] | None:
    """The text that is meant, and how it is called; `None` where the words mean themselves."""
    if words in ([], ["-"]):
        if sys.stdin.isatty() and not words:
            if is_needed:
                from rtcctl.ops.explain import RECOGNISED

                raise UsageError("Nothing is given to explain.", hint=RECOGNISED)
            return "", "a request without a body"
        return _decoded(sys.stdin.buffer.read(MAX_BYTES + 1), "stdin"), "stdin"
    word = " ".join(words)
    if word.lstrip().startswith(("{", "[", "HTTP/", "v=0")) or "\n" in word:
        return word, "the argument"
    path = Path(word)
    try:
        with path.open("rb") as file:
            return _decoded(file.read(MAX_BYTES + 1), word), word
    except ValueError:  # a name that no file can have
        return None
    except OSError as error:
        if not isinstance(error, FileNotFoundError) and path.exists():
            raise UsageError(f"{word} cannot be read: {error.strerror}.") from error
        if len(words) == 1 and (path.suffix in _SUFFIXES or "/" in word) and " " not in word:
            raise UsageError(f"There is no file {word}.") from None
        return None


_SUFFIXES = frozenset({".json", ".sdp", ".txt", ".http", ".log"})


def _decoded(data: bytes, source: str) -> str:
    if len(data) > MAX_BYTES:
        raise UsageError(f"{source} is larger than anything the API says ({MAX_BYTES // 1024 // 1024} MiB).")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is no text: not UTF-8 at byte {error.start}.") from error
