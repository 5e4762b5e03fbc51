"""Results as tables for people: a pure function of the result, the width and whether there is colour.

One rendering per type of result, through `body`; a type without its own is shown as names and values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import singledispatch
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rtcctl.report import figures
from rtcctl.report.figures import UNKNOWN, printable
from rtcctl.results.api import ApiResponse
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.config import ConfigCheck
from rtcctl.results.dev import ServerReady
from rtcctl.results.event import Event, Published, SessionCreated
from rtcctl.results.result import Result
from rtcctl.results.session import SessionClose, SessionCreate, SessionGet, SessionList
from rtcctl.results.smoke import Smoke
from rtcctl.results.stats import SessionStats
from rtcctl.results.target import Target
from rtcctl.results.track import (
    Publish,
    ReceivedStatistics,
    SentStatistics,
    Subscribe,
    TrackClose,
    TrackClosed,
    TrackList,
    TrackState,
    TrackWait,
)
from rtcctl.results.turn import TurnCreds

STYLES = {
    CheckStatus.PASSED: "green",
    CheckStatus.FAILED: "bold red",
    CheckStatus.SKIPPED: "dim",
    CheckStatus.INCONCLUSIVE: "yellow",
}


def render(result: Result, *, width: int, colour: bool, with_target: bool = True) -> str:
    """The table of a result; its first line is the target."""
    parts: list[RenderableType] = []
    if with_target and result.target is not None:
        parts += [_target(result.target), ""]
    parts += body(result)
    if result.failure is not None and not isinstance(result, Smoke | ConfigCheck):
        parts += ["", Text(f"ended by an error: {printable(result.failure.message)}", style="red")]
    if result.interrupted:
        parts += ["", Text("interrupted", style="yellow")]
    return _draw(parts, width, colour)


def render_event(event: Event, target: Target | None, *, width: int, colour: bool) -> str:
    """What a long-running command says as soon as it knows it."""
    parts: list[RenderableType] = [] if target is None else [_target(target), ""]
    parts += opening(event)
    return _draw(parts, width, colour)


def _draw(parts: Iterable[RenderableType], width: int, colour: bool) -> str:
    text = StringIO()
    console = Console(
        file=text,
        width=width,
        color_system="standard" if colour else None,
        force_terminal=colour,
        no_color=not colour,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )
    console.print(Group(*(Text(part) if isinstance(part, str) else part for part in parts)))
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip("\n").split("\n"))


# -- the pieces ------------------------------------------------------------------------------------------------------


def _target(target: Target) -> Text:
    parts = [target.profile, target.api_base, *([f"app {target.app_id}"] if target.app_id else [])]
    if target.embedded:
        parts.append("embedded")
    return Text(" · ".join(printable(part) for part in parts), style="dim")


def _grid(header: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Sequence[int] = ()) -> Table:
    """A table without lines; columns of figures to the right."""
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(header):
        is_last = index == len(header) - 1
        table.add_column(name, justify="right" if index in right else "left", no_wrap=not is_last, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    return table


def _facts(*facts: tuple[str, str | Text | None]) -> Table:
    """Names and values; a fact that is `None` is left out."""
    table = Table(box=None, show_header=False, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        if value is not None:
            table.add_row(name, value if isinstance(value, Text) else Text(printable(value)))
    return table


def _checks(checks: Sequence[Check]) -> Table:
    rows = []
    for check in checks:
        limit = figures.observed(check.limit, check.unit) if check.limit is not None else ""
        at_most = "≤ " if limit and check.unit in ("ms", "ratio") else ""
        measured = figures.observed(check.observed, check.unit) if check.observed is not None else UNKNOWN
        rows.append(
            (
                check.name,
                Text(check.status.value, style=STYLES[check.status]),
                measured,
                at_most + limit,
                check.detail or "",
            )
        )
    return _grid(("check", "verdict", "measured", "limit", ""), rows, right=(2, 3))


def _hints(checks: Sequence[Check]) -> list[RenderableType]:
    """What to try for checks that did not pass."""
    hints = dict.fromkeys(check.hint for check in checks if check.hint and check.status is not CheckStatus.PASSED)
    return [Text(f"hint: {printable(hint)}") for hint in hints]


def _connection(result: Publish | Subscribe | SessionCreate) -> str | None:
    if result.candidate_pair is None and result.ice_ms is None:
        return None
    return (
        f"{result.candidate_pair or UNKNOWN}, ICE {figures.milliseconds(result.ice_ms)}, "
        f"DTLS {figures.milliseconds(result.dtls_ms)}"
    )


def _track(track_name: str, session_id: str, mid: str | None, codec: str | None) -> str:
    known = ", ".join(part for part in (f"mid {mid}" if mid is not None else None, codec) if part)
    return f"{session_id}/{track_name}" + (f" ({known})" if known else "")


def _counts(numbers: Sequence[tuple[int | None, str]]) -> str:
    """`500 received, 0 lost`; what is not known is left out."""
    return ", ".join(f"{figures.count(number)} {word}" for number, word in numbers if number is not None)


def _packets_received(s: Subscribe | ReceivedStatistics) -> str:
    counts = _counts(
        (
            (s.packets_received, "received"),
            (s.packets_lost, "lost"),
            (s.packets_recovered, "recovered"),
            (s.packets_duplicated, "duplicated"),
            (s.packets_reordered, "reordered"),
        )
    )
    return counts if s.packets_lost is not None else f"{counts}, loss unknown"


def _round_trip(s: Subscribe | ReceivedStatistics) -> str:
    return figures.milliseconds(s.rtt_ms) + (f" ({s.rtt_source})" if s.rtt_ms is not None and s.rtt_source else "")


def _latency(s: Subscribe | ReceivedStatistics) -> str:
    if s.latency_ms is None:
        return UNKNOWN
    p = s.latency_ms
    return ", ".join(f"{name} {figures.milliseconds(getattr(p, name))}" for name in ("p50", "p95", "p99"))


def _tone(s: Subscribe | ReceivedStatistics) -> str:
    if s.tone_hz is None:
        return UNKNOWN
    parts = [figures.hertz(s.tone_hz)]
    if s.tone_level_db is not None:
        parts.append(figures.decibels(s.tone_level_db))
    if s.tone_snr_db is not None:
        parts.append(f"{figures.decibels(s.tone_snr_db)} above the rest")
    if s.audio_gaps is not None:
        parts.append(f"{s.audio_gaps} gaps")
    return ", ".join(parts)


# -- events ----------------------------------------------------------------------------------------------------------


@singledispatch
def opening(event: Event) -> list[RenderableType]:
    """How a long-running command begins."""
    raise NotImplementedError(f"no rendering for {type(event).__name__}")


@opening.register
def _(event: Published) -> list[RenderableType]:
    return [_facts(("published", f"{event.session_id}/{event.track_name} (mid {event.mid})"))]


@opening.register
def _(event: SessionCreated) -> list[RenderableType]:
    return [_facts(("session", event.session_id))]


@opening.register
def _(event: ServerReady) -> list[RenderableType]:
    kind = " (fixed, for loopback only)" if event.development_credentials else ""
    return [
        _facts(
            ("API base", event.base_url),
            ("media", f"UDP {', '.join(event.media_addresses)}"),
            ("App ID", event.app_id),
            ("App Secret", event.app_secret + kind),
            ("TURN key", event.turn_key_id),
            ("TURN token", event.turn_key_token),
        ),
        "",
        *(Text(f"export {name}={value}") for name, value in event.environment),
        "",
        Text("Ctrl-C ends it. In another terminal: rtcctl smoke", style="dim"),
    ]


# -- results ---------------------------------------------------------------------------------------------------------


@singledispatch
def body(result: Result) -> list[RenderableType]:
    """The rendering of a result without its target: values as facts, lists as tables."""
    inherited = {field.name for field in fields(Result)}
    values = {f.name: getattr(result, f.name) for f in fields(result) if f.name not in inherited}
    facts = [(_title(name), _text(value)) for name, value in values.items() if not isinstance(value, tuple)]
    parts: list[RenderableType] = [_facts(*facts)] if facts else []
    for items in (value for value in values.values() if isinstance(value, tuple) and value):
        names = [f.name for f in fields(items[0]) if any(getattr(item, f.name) is not None for item in items)]
        rows = [[_text(getattr(item, name)) for name in names] for item in items]
        parts += ["", _grid([_title(name) for name in names], rows)]
    return parts


def _title(name: str) -> str:
    return name.replace("_", " ").replace("api base", "API base").replace("app id", "App ID")


def _text(value: object) -> str:
    words = {None: UNKNOWN, True: "yes", False: "", "": UNKNOWN}
    return words[value] if value is None or value == "" or isinstance(value, bool) else str(value)


@body.register
def _(result: Smoke) -> list[RenderableType]:
    bad = [c for c in result.checks if c.status in (CheckStatus.FAILED, CheckStatus.INCONCLUSIVE)]
    is_good = not bad and result.failure is None
    parts: list[RenderableType] = [_checks(result.checks), ""]
    if is_good and result.attempts > 1:
        parts.append(Text(f"Passed only at attempt {result.attempts}.", style="yellow"))
    parts.append(Text(printable(result.verdict), style="bold green" if is_good else "bold red"))
    parts += _hints(result.checks)
    if result.next_commands:
        parts.append(_facts(*(("next" if i == 0 else "", command) for i, command in enumerate(result.next_commands))))
    return parts


@body.register
def _(result: SessionCreate) -> list[RenderableType]:
    return [
        _facts(
            ("session", result.session_id),
            ("correlation id", result.correlation_id),
            ("connection", _connection(result)),
            ("held", None if result.held_s is None else figures.seconds(result.held_s)),
        )
    ]


def _tracks(tracks: Sequence[TrackState]) -> RenderableType:
    if not tracks:
        return Text("no tracks", style="dim")
    return _grid(
        ("mid", "location", "status", "publisher", "track"),
        [(t.mid, t.location, _status(t.status), t.session_id or "", t.track_name) for t in tracks],
    )


def _status(status: str) -> Text:
    return Text(
        printable(status), style={"active": "green", "closed": "green", "failed": "bold red"}.get(status, "dim")
    )


@body.register
def _(result: SessionGet) -> list[RenderableType]:
    parts: list[RenderableType] = [_facts(("session", result.session_id)), "", _tracks(result.tracks)]
    if result.data_channels:
        parts += [
            "",
            _grid(
                ("id", "location", "status", "publisher", "data channel"),
                [
                    (str(c.id), c.location, _status(c.status), c.session_id or "", c.data_channel_name)
                    for c in result.data_channels
                ],
            ),
        ]
    return parts


def _closed(tracks: Sequence[TrackClosed]) -> RenderableType:
    if not tracks:
        return Text("nothing was open", style="dim")
    return _grid(
        ("track", "mid", "outcome", ""),
        [
            (f"{t.session_id}/{t.track_name or UNKNOWN}", t.mid, _status(t.outcome), t.description or t.code or "")
            for t in tracks
        ],
    )


@body.register
def _(result: SessionClose) -> list[RenderableType]:
    facts = _facts(
        ("session", result.session_id + (" (gone)" if result.gone else "")),
        ("stopped", None if result.stopped_pid is None else f"the probe that held it (process {result.stopped_pid})"),
    )
    return [facts] if result.gone else [facts, "", _closed(result.tracks)]


@body.register
def _(result: SessionList) -> list[RenderableType]:
    if not result.sessions:
        return [Text("no sessions; make one with: rtcctl session create", style="dim")]
    rows = [
        (
            s.session_id,
            s.profile,
            figures.moment(s.created_at),
            Text("closed", style="dim")
            if s.closed_at is not None
            else Text(f"held by {s.pid}" if s.pid is not None else "open", style="green" if s.pid is not None else ""),
            s.command,
            ", ".join(s.tracks),
        )
        for s in result.sessions
    ]
    return [_grid(("session", "profile", "created", "state", "made by", "tracks"), rows)]


@body.register
def _(result: Publish) -> list[RenderableType]:
    sent = result.sent
    return [
        _facts(
            ("published", _track(result.track_name, result.session_id, result.mid, result.codec)),
            ("tone", figures.hertz(result.tone_hz) if result.tone_hz is not None else None),
            ("connection", _connection(result)),
            ("process", None if result.detached_pid is None else f"{result.detached_pid}, runs on by itself"),
            ("published for", None if sent is None else figures.seconds(result.duration_s)),
            *_sent(sent),
            ("end it", f"rtcctl session close {result.session_id}" if result.detached_pid is not None else None),
        ),
        *_verdict(result),
    ]


def _sent(sent: SentStatistics | None) -> list[tuple[str, str | None]]:
    if sent is None:
        return []
    return [
        ("packets", f"{figures.count(sent.packets_sent)} sent of {figures.count(sent.nominal_packets)} nominal"),
        ("bitrate", figures.bits_per_second(sent.bitrate_bps)),
        ("loss to SFU", figures.percent(sent.fraction_lost)),
        ("jitter at SFU", figures.milliseconds(sent.jitter_ms)),
        ("round trip", figures.milliseconds(sent.rtt_ms)),
    ]


@body.register
def _(result: Subscribe) -> list[RenderableType]:
    first = result.time_to_first_packet_ms
    return [
        _facts(
            ("track", _track(result.track_name, result.publisher_session_id, result.mid, result.codec)),
            ("session", result.session_id),
            ("connection", _connection(result)),
            ("first packet", "never" if first is None else f"{figures.milliseconds(first)} after the pull"),
            ("measured", figures.seconds(result.duration_s)),
            ("packets", _packets_received(result)),
            ("loss", figures.percent(result.fraction_lost)),
            ("bitrate", figures.bits_per_second(result.bitrate_bps)),
            ("jitter", figures.milliseconds(result.jitter_ms)),
            ("round trip", _round_trip(result)),
            ("latency", _latency(result)),
            ("tone", _tone(result)),
        ),
        *_verdict(result),
    ]


def _verdict(result: Result) -> list[RenderableType]:
    """The checks of a measurement, and what to try."""
    return ["", _checks(result.checks), *_hints(result.checks)] if result.checks else []


@body.register
def _(result: TrackList) -> list[RenderableType]:
    return [_facts(("session", result.session_id)), "", _tracks(result.tracks)]


@body.register
def _(result: TrackClose) -> list[RenderableType]:
    return [_closed(result.tracks)]


@body.register
def _(result: TrackWait) -> list[RenderableType]:
    return [
        _facts(("track", f"{result.session_id}/{result.track_name}"), ("there after", figures.seconds(result.waited_s)))
    ]


@body.register
def _(result: TurnCreds) -> list[RenderableType]:
    rows = [
        (url, server.username or UNKNOWN, server.credential or UNKNOWN)
        for server in result.ice_servers
        for url in server.urls
    ]
    parts: list[RenderableType] = [
        _facts(
            ("valid until", f"{figures.moment(result.expires_at)} ({figures.seconds(result.ttl_s)})"),
            ("identifier", result.custom_identifier),
        ),
        "",
        *(
            _facts(
                *(("URL" if i == 0 else "", url) for i, url in enumerate(server.urls)),
                ("username", server.username),
                ("credential", server.credential),
            )
            for server in result.ice_servers
        ),
    ]
    if not result.relays:
        parts += ["", Text("No URL is a TURN URL: nothing can be relayed through these.", style="yellow")]
    return parts if rows else [*parts, Text("no ICE servers", style="dim")]


@body.register
def _(result: SessionStats) -> list[RenderableType]:
    parts: list[RenderableType] = [_facts(("session", result.session_id)), "", _tracks(result.tracks)]
    for interval in result.intervals:
        s = interval.sent
        r = interval.received
        publisher = f"{interval.publisher_session_id}/" if interval.publisher_session_id else ""
        held = "process ended" if interval.pid is None else f"process {interval.pid}"
        parts += [
            "",
            _facts(
                ("sends" if s else "receives", f"{publisher}{interval.track_name}"),
                ("measured", f"{figures.moment(interval.measured_at)}, {held}"),
                *_sent(s),
                *(
                    []
                    if r is None
                    else [
                        ("packets", _packets_received(r)),
                        ("loss", figures.percent(r.fraction_lost)),
                        ("bitrate", figures.bits_per_second(r.bitrate_bps)),
                        ("jitter", figures.milliseconds(r.jitter_ms)),
                        ("round trip", _round_trip(r)),
                        ("latency", _latency(r)),
                        ("tone", _tone(r)),
                    ]
                ),
            ),
        ]
    if not result.intervals:
        parts += ["", Text("no probe of this machine measures it", style="dim")]
    return parts


@body.register
def _(result: ConfigCheck) -> list[RenderableType]:
    words = {True: Text("accepted", style="green"), False: Text("refused", style="bold red"), None: Text(UNKNOWN)}
    rows = [(s.kind, words[s.accepted], s.origin or UNKNOWN, s.allows or s.detail) for s in result.secrets]
    parts: list[RenderableType] = [_grid(("secret", "verdict", "from", "allows"), rows)]
    if result.failure is not None and result.failure.hint:
        parts += ["", f"hint: {printable(result.failure.hint)}"]
    return parts


@body.register
def _(result: ApiResponse) -> list[RenderableType]:
    return [_facts(("status", str(result.status)), ("Cf-Ray", result.ray)), "", str(result.body)]
