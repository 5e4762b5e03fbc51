"""Options and arguments: the same one has the same name, type and help everywhere.

Modules of commands carry no `from __future__ import annotations`: Typer would evaluate each annotation again.
"""

import inspect
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from rtcctl.cli import names
from rtcctl.cli.noun import CONTEXT
from rtcctl.errors import UsageError
from rtcctl.units import Hertz, PercentileLimit, Ratio, Seconds, SpellingError, Via

if TYPE_CHECKING:
    from rtcctl.ops.relay import RelayPolicy

T = TypeVar("T")
U = TypeVar("U")


class OutputFormat(StrEnum):
    """How stdout is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class ReportFormat(StrEnum):
    """What `--report` can write beside the output."""

    JUNIT = "junit"
    JSON = "json"
    MARKDOWN = "markdown"
    PROMETHEUS = "prometheus"


# Named tuples, not dataclasses: each of those costs a millisecond of every command's start.


class Report(NamedTuple):
    """One `--report FORMAT:FILE`."""

    format: ReportFormat
    path: Path

    def __str__(self) -> str:
        return f"{self.format}:{self.path}"


class Common(NamedTuple):
    """What every command takes; `command` adds these options to each."""

    output: OutputFormat = OutputFormat.TABLE
    reports: tuple[Report, ...] = ()
    curl: bool = False
    verbose: int = 0
    no_color: bool = False
    trace: Path | None = None
    profile: str | None = None
    impair: tuple[str, ...] = ()
    impair_ledger: Path | None = None


def typed(parse: Callable[[str], T]) -> Callable[[Any], T]:
    """A Typer parser from one that raises `SpellingError`; a default, already parsed, passes through."""

    def parser(value: Any) -> T:
        if not isinstance(value, str) or type(value) is not str:
            return value  # type: ignore[no-any-return]
        try:
            return parse(value)
        except SpellingError as error:
            raise typer.BadParameter(str(error)) from None

    return parser


def spelled(parse: Callable[[U], T], value: U) -> T:
    """What `parse` makes of arguments that only make sense together."""
    try:
        return parse(value)
    except SpellingError as error:
        raise UsageError(f"{error}.") from None


def longer_than_nothing(text: str) -> Seconds:
    """A duration above zero."""
    seconds = Seconds.parse(text)
    if seconds <= 0:
        raise SpellingError("it must last longer than nothing")
    return seconds


MIN_INTERVAL_S = 0.1
"Less is a few packets, of which nothing can be said."


def reporting_interval(text: str) -> Seconds:
    """How often a running probe reports."""
    seconds = Seconds.parse(text)
    if seconds < MIN_INTERVAL_S:
        raise SpellingError(f"an interval is at least {Seconds(MIN_INTERVAL_S)}, not {text}")
    return seconds


def report(text: str) -> Report:
    """`FORMAT:FILE`."""
    name, colon, path = text.partition(":")
    if name not in set(ReportFormat) or not colon or not path:
        known = ", ".join(ReportFormat)
        raise SpellingError(f"{text!r} is not FORMAT:FILE with a format of {known}; write for example junit:smoke.xml")
    return Report(ReportFormat(name), Path(path))


def something(text: str) -> str:
    """A text that is not empty: a variable of a CI job that is not set must not stand for all that have none."""
    if not text.strip():
        raise SpellingError("it is empty")
    return text


def comma_separated(values: list[str] | None) -> tuple[str, ...]:
    """A repeatable option whose values may hold several, separated by commas.

    Raises `SpellingError` for an empty one: a variable of a CI job that is not set must not choose everything.
    """
    parts = tuple(part.strip() for value in values or () for part in value.split(","))
    if "" in parts:
        raise SpellingError("an empty name is among the names")
    return parts


def impairment(text: str) -> str:
    """One `--impair`, as it was written: a seed that is not given is drawn when it runs."""
    from rtcctl.media.impair import parse_path

    parse_path(text)
    return text


def relay_of(is_relayed: bool, via: Via | None) -> "RelayPolicy | None":
    """What `--relay` and `--relay-via` say."""
    from rtcctl.ops.relay import RelayPolicy

    return RelayPolicy(via) if is_relayed or via is not None else None


def recovery_of(recover_for: Seconds | None, no_recover: bool) -> float | None:
    """What `--recover-for` and `--no-recover` say: for how long; `None`: not at all."""
    from rtcctl.ops.session import RECOVER_FOR_S

    if no_recover and recover_for is not None:
        raise UsageError("--recover-for and --no-recover exclude each other.", hint="Leave one of them away.")
    return None if no_recover else recover_for or RECOVER_FOR_S


WATCH_S = 1.0
"How often `--watch` draws again."

_option = partial(typer.Option, show_default=True)

SessionId = Annotated[
    str, typer.Argument(parser=typed(names.session_id), metavar="SESSION", help="Id of a session.", show_default=False)
]
TrackWords = Annotated[
    list[str],
    typer.Argument(metavar="SESSION/TRACK...", help="The track; SESSION TRACK works too.", show_default=False),
]
TrackName = Annotated[
    str,
    _option("--name", parser=typed(names.track_name), metavar="NAME", help="Name of the track.", show_default=False),
]
For = Annotated[
    Seconds | None,
    _option("--for", parser=typed(longer_than_nothing), metavar="DURATION", help="How long, for example 30s."),
]
Wait = Annotated[
    Seconds,
    _option("--wait", parser=typed(Seconds.parse), metavar="DURATION", help="How long to wait until it is there."),
]
Interval = Annotated[
    Seconds,
    _option(
        "--interval",
        parser=typed(reporting_interval),
        metavar="DURATION",
        help="How often figures are reported while it runs, at least 100ms.",
    ),
]
Ttl = Annotated[
    Seconds, _option("--ttl", parser=typed(longer_than_nothing), metavar="DURATION", help="How long they are valid.")
]
CustomIdentifier = Annotated[
    str | None,
    _option(
        "--custom-identifier",
        parser=typed(something),
        metavar="TEXT",
        help="A label of credentials, for analytics and to revoke them by.",
        show_default=False,
    ),
]
Tone = Annotated[
    Hertz, _option("--tone", parser=typed(Hertz.parse), metavar="HZ", help="Frequency of the tone to publish.")
]
MaxLoss = Annotated[
    Ratio | None,
    _option("--max-loss", parser=typed(Ratio.parse), metavar="RATIO", help="Largest share that may be lost, as 2%."),
]
MaxJitter = Annotated[
    Seconds,
    _option("--max-jitter", parser=typed(longer_than_nothing), metavar="DURATION", help="Largest jitter allowed."),
]
MaxRtt = Annotated[
    Seconds,
    _option("--max-rtt", parser=typed(longer_than_nothing), metavar="DURATION", help="Longest round trip allowed."),
]
MaxLatency = Annotated[
    list[PercentileLimit] | None,
    _option(
        "--max-latency",
        parser=typed(PercentileLimit.parse),
        metavar="p95=DURATION",
        help="Limit on one-way latency; repeatable for p50, p95, p99.",
        show_default=False,
    ),
]
RelayOnly = Annotated[bool, typer.Option("--relay", help="Send all media through TURN.")]
RelayVia = Annotated[
    Via | None,
    _option(
        "--relay-via",
        parser=typed(Via.parse),
        metavar="udp|tcp|tls[:PORT]",
        help="Send it through such TURN servers alone; fail when it went another way.",
        show_default=False,
    ),
]
Pcap = Annotated[
    Path | None,
    _option(
        "--pcap",
        metavar="FILE",
        help="Write the headers of RTP and RTCP packets, decrypted, for Wireshark.",
        show_default=False,
    ),
]
RecoverFor = Annotated[
    Seconds | None,
    _option(
        "--recover-for",
        parser=typed(longer_than_nothing),
        metavar="DURATION",
        help="How long to try for another connection when one is lost.  [default: 60s]",
        show_default=False,
    ),
]
NoRecover = Annotated[bool, typer.Option("--no-recover", help="End when a connection is lost, as for CI.")]
Impair = Annotated[
    list[str] | None,
    _option(
        "--impair",
        parser=typed(impairment),
        metavar="loss=5%,...",
        help="Do to this probe's packets what a bad network does: loss=5%, delay=40ms, jitter=10ms, reorder=1%, "
        "dup=0.1%, rate=2Mbps, seed=7, direction=up|down, separated by commas; once for each direction.",
        show_default=False,
    ),
]
ImpairLedger = Annotated[
    Path | None,
    _option(
        "--impair-ledger",
        metavar="FILE",
        help="Write what was done to which packet, as JSON lines.",
        show_default=False,
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Redraw every second until Ctrl-C.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before ending something foreign.")]

Output = Annotated[OutputFormat, _option("--output", "-o", help="Format of what is written to stdout.")]
Reports = Annotated[
    list[Report] | None,
    _option(
        "--report",
        parser=typed(report),
        metavar="FORMAT:FILE",
        help="Also write a junit, json, markdown or prometheus report; repeatable.",
        show_default=False,
    ),
]
ProfileName = Annotated[
    str | None, _option("--profile", "-p", metavar="PROFILE", help="Profile to use.", show_default=False)
]
Curl = Annotated[bool, typer.Option("--curl", help="Print the API calls as curl commands instead of making them.")]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Say more on stderr; repeatable.", show_default=False)
]
Trace = Annotated[
    Path | None,
    _option(
        "--trace",
        metavar="DIR",
        help="Write what is said and heard into a folder, without secrets, to be passed on.",
        show_default=False,
    ),
]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours (or set NO_COLOR).")]

_COMMON = {
    "profile": (ProfileName, None),
    "output": (Output, OutputFormat.TABLE),
    "report": (Reports, None),
    "curl": (Curl, False),
    "trace": (Trace, None),
    "verbose": (Verbose, 0),
    "no_color": (NoColor, False),
}

_PROBE = {"impair": (Impair, None), "impair_ledger": (ImpairLedger, None)}


def command(
    app: typer.Typer, name: str | None = None, *, profile: bool = True, probe: bool = False
) -> Callable[[Callable[..., int]], None]:
    """Register a command that takes `common: Common` and returns an exit status.

    Its options are its own parameters, then the common ones. `profile=False`: it speaks to no Realtime. `probe=True`:
    it runs a peer.
    """

    def register(function: Callable[..., int]) -> None:
        shared = {key: value for key, value in _COMMON.items() if profile or key != "profile"}
        shared = {**(_PROBE if probe else {}), **shared}
        signature = inspect.signature(function)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "common"]

        def invoke(**values: Any) -> int:
            common = {key: values.pop(key) for key in shared}
            reports = tuple(common.pop("report") or ())
            impair = tuple(common.pop("impair", None) or ())
            return function(**values, common=Common(**common, reports=reports, impair=impair))

        invoke.__name__ = function.__name__
        invoke.__doc__ = function.__doc__
        invoke.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[
                *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
                *(
                    inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
                    for key, (annotation, default) in shared.items()
                ),
            ]
        )
        app.command(name, context_settings=CONTEXT)(invoke)

    return register
