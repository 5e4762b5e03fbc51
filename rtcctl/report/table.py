"""Results as tables for people: a pure function of the result, the width and whether there is colour.

One rendering per type of result, through `body`; a type without its own is shown as names and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import singledispatch

from rtcctl.report import figures
from rtcctl.report.figures import UNKNOWN
from rtcctl.report.layout import Line, Styled, draw, facts, grid, line
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.config import ConfigCheck
from rtcctl.results.dev import ServerReady
from rtcctl.results.event import Event, Published, SessionCreated
from rtcctl.results.result import Result
from rtcctl.results.session import SessionClose, SessionCreate, SessionGet, SessionList, SessionRecord
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
    lines: list[Line] = []
    if with_target and result.target is not None:
        lines += [_target(result.target), BLANK]
    lines += body(result)
    if result.failure is not None and not isinstance(result, Smoke | ConfigCheck):
        lines += [BLANK, line(Styled(f"ended by an error: {result.failure.message}", "red"))]
    if result.interrupted:
        lines += [BLANK, line(Styled("interrupted", "yellow"))]
    return draw(lines, width=width, colour=colour)


def render_event(event: Event, target: Target | None, *, width: int, colour: bool) -> str:
    """What a long-running command says as soon as it knows it."""
    lines = [] if target is None else [_target(target), BLANK]
    return draw([*lines, *opening(event)], width=width, colour=colour)


# -- the pieces ------------------------------------------------------------------------------------------------------

BLANK = Line()


def _target(target: Target) -> Line:
    parts = [target.profile, target.api_base, *([f"app {target.app_id}"] if target.app_id else [])]
    return line(Styled(" · ".join([*parts, "embedded"] if target.embedded else parts), "dim"))


def checks(checks: Sequence[Check]) -> list[Line]:
    """One row per check, with its verdict, what was measured, the limit and what was seen."""
    rows = []
    for check in checks:
        measured = figures.observed(check.observed, check.unit)
        verdict = Styled(check.status.value, STYLES[check.status])
        rows.append((check.name, verdict, measured, figures.limit(check), check.detail))
    return grid(("check", "verdict", "measured", "limit", ""), rows, right=(2, 3))


def _hints(checks: Sequence[Check]) -> list[Line]:
    """What to try for checks that did not pass."""
    hints = dict.fromkeys(check.hint for check in checks if check.hint and check.status is not CheckStatus.PASSED)
    return [line("hint: ", hint) for hint in hints]


def _verdict(result: Result) -> list[Line]:
    """The checks of a measurement, and what to try."""
    return [BLANK, *checks(result.checks), *_hints(result.checks)] if result.checks else []


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


def _sent(sent: SentStatistics | None) -> list[tuple[str, str]]:
    if sent is None:
        return []
    return [
        ("packets", f"{figures.count(sent.packets_sent)} sent of {figures.count(sent.nominal_packets)} nominal"),
        ("bitrate", figures.bits_per_second(sent.bitrate_bps)),
        ("loss to SFU", figures.percent(sent.fraction_lost)),
        ("jitter at SFU", figures.milliseconds(sent.jitter_ms)),
        ("round trip", figures.milliseconds(sent.rtt_ms)),
    ]


def _received(received: Subscribe | ReceivedStatistics | None) -> list[tuple[str, str]]:
    if received is None:
        return []
    by = f" ({received.rtt_source})" if received.rtt_ms is not None and received.rtt_source else ""
    return [
        ("packets", _packets(received)),
        ("loss", figures.percent(received.fraction_lost)),
        ("bitrate", figures.bits_per_second(received.bitrate_bps)),
        ("jitter", figures.milliseconds(received.jitter_ms)),
        ("round trip", figures.milliseconds(received.rtt_ms) + by),
        ("latency", _latency(received)),
        ("tone", _tone(received)),
    ]


def _packets(received: Subscribe | ReceivedStatistics) -> str:
    """`500 received, 0 lost`; what is not known is left out, but for the loss."""
    numbers = (
        (received.packets_received, "received"),
        (received.packets_lost, "lost"),
        (received.packets_recovered, "recovered"),
        (received.packets_duplicated, "duplicated"),
        (received.packets_reordered, "reordered"),
    )
    counts = ", ".join(f"{figures.count(number)} {word}" for number, word in numbers if number is not None)
    return counts if received.packets_lost is not None else f"{counts}, loss unknown"


def _latency(received: Subscribe | ReceivedStatistics) -> str:
    latency = received.latency_ms
    if latency is None:
        return UNKNOWN
    return ", ".join(f"{name} {figures.milliseconds(getattr(latency, name))}" for name in ("p50", "p95", "p99"))


def _tone(received: Subscribe | ReceivedStatistics) -> str:
    if received.tone_hz is None:
        return UNKNOWN
    parts = [figures.hertz(received.tone_hz)]
    if received.tone_level_db is not None:
        parts.append(figures.decibels(received.tone_level_db))
    if received.tone_snr_db is not None:
        parts.append(f"{figures.decibels(received.tone_snr_db)} above the rest")
    if received.audio_gaps is not None:
        parts.append(f"{received.audio_gaps} gaps")
    return ", ".join(parts)


def _status(status: str) -> Styled:
    return Styled(status, {"active": "green", "closed": "green", "failed": "bold red"}.get(status, "dim"))


def _tracks(tracks: Sequence[TrackState]) -> list[Line]:
    if not tracks:
        return [line(Styled("no tracks", "dim"))]
    return grid(
        ("mid", "location", "status", "publisher", "track"),
        [(t.mid, t.location, _status(t.status), t.session_id or "", t.track_name) for t in tracks],
    )


def _closed(tracks: Sequence[TrackClosed]) -> list[Line]:
    if not tracks:
        return [line(Styled("nothing was open", "dim"))]
    return grid(
        ("track", "mid", "outcome", ""),
        [
            (f"{t.session_id}/{t.track_name or UNKNOWN}", t.mid, _status(t.outcome), t.description or t.code or "")
            for t in tracks
        ],
    )


# -- events ----------------------------------------------------------------------------------------------------------


@singledispatch
def opening(event: Event) -> list[Line]:
    """How a long-running command begins."""
    raise NotImplementedError(f"no rendering for {type(event).__name__}")


@opening.register
def _(event: Published) -> list[Line]:
    return facts(("published", f"{event.session_id}/{event.track_name} (mid {event.mid})"))


@opening.register
def _(event: SessionCreated) -> list[Line]:
    return facts(("session", event.session_id))


@opening.register
def _(event: ServerReady) -> list[Line]:
    kind = " (fixed, for loopback only)" if event.development_credentials else ""
    return [
        *facts(
            ("API base", event.base_url),
            ("media", f"UDP {', '.join(event.media_addresses)}"),
            ("App ID", event.app_id),
            ("App Secret", event.app_secret + kind),
            ("TURN key", event.turn_key_id),
            ("TURN token", event.turn_key_token),
        ),
        BLANK,
        *(line(f"export {name}={value}") for name, value in event.environment),
        BLANK,
        line(Styled("Ctrl-C ends it. In another terminal: rtcctl smoke", "dim")),
    ]


# -- results ---------------------------------------------------------------------------------------------------------


@singledispatch
def body(result: Result) -> list[Line]:
    """The rendering of a result without its target: values as facts, lists as tables."""
    inherited = {field.name for field in fields(Result)}
    values = {f.name: getattr(result, f.name) for f in fields(result) if f.name not in inherited}
    lines = facts(*((_title(name), _text(value)) for name, value in values.items() if not isinstance(value, tuple)))
    for items in (value for value in values.values() if isinstance(value, tuple) and value):
        names = [f.name for f in fields(items[0]) if any(getattr(item, f.name) is not None for item in items)]
        rows = [[_text(getattr(item, name)) for name in names] for item in items]
        lines += [BLANK, *grid([_title(name) for name in names], rows)]
    return lines


def _title(name: str) -> str:
    return name.replace("_", " ").replace("api base", "API base").replace("app id", "App ID")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return UNKNOWN if value is None or value == "" else str(value)


@body.register
def _(result: Smoke) -> list[Line]:
    bad = [c for c in result.checks if c.status in (CheckStatus.FAILED, CheckStatus.INCONCLUSIVE)]
    is_good = not bad and result.failure is None
    lines = [*checks(result.checks), BLANK]
    if is_good and result.attempts > 1:
        lines.append(line(Styled(f"Passed only at attempt {result.attempts}.", "yellow")))
    lines.append(line(Styled(result.verdict, "bold green" if is_good else "bold red")))
    lines += _hints(result.checks)
    return lines + facts(*(("" if i else "next", command) for i, command in enumerate(result.next_commands)))


@body.register
def _(result: SessionCreate) -> list[Line]:
    return facts(
        ("session", result.session_id),
        ("correlation id", result.correlation_id),
        ("connection", _connection(result)),
        ("held", None if result.held_s is None else figures.seconds(result.held_s)),
    )


@body.register
def _(result: SessionGet) -> list[Line]:
    lines = [*facts(("session", result.session_id)), BLANK, *_tracks(result.tracks)]
    if result.data_channels:
        rows = [
            (str(c.id), c.location, _status(c.status), c.session_id or "", c.data_channel_name)
            for c in result.data_channels
        ]
        lines += [BLANK, *grid(("id", "location", "status", "publisher", "data channel"), rows)]
    return lines


@body.register
def _(result: SessionClose) -> list[Line]:
    lines = facts(
        ("session", result.session_id + (" (gone)" if result.gone else "")),
        ("stopped", None if result.stopped_pid is None else f"the probe that held it (process {result.stopped_pid})"),
    )
    return lines if result.gone else [*lines, BLANK, *_closed(result.tracks)]


@body.register
def _(result: SessionList) -> list[Line]:
    if not result.sessions:
        return [line(Styled("no sessions; make one with: rtcctl session create", "dim"))]
    rows = [
        (s.session_id, s.profile, figures.moment(s.created_at), _state(s), s.command, ", ".join(s.tracks))
        for s in result.sessions
    ]
    return grid(("session", "profile", "created", "state", "made by", "tracks"), rows)


def _state(session: SessionRecord) -> Styled:
    if session.closed_at is not None:
        return Styled("closed", "dim")
    return Styled("open") if session.pid is None else Styled(f"held by {session.pid}", "green")


@body.register
def _(result: Publish) -> list[Line]:
    is_detached = result.detached_pid is not None
    return [
        *facts(
            ("published", _track(result.track_name, result.session_id, result.mid, result.codec)),
            ("tone", None if result.tone_hz is None else figures.hertz(result.tone_hz)),
            ("connection", _connection(result)),
            ("sent for", None if result.sent is None else figures.seconds(result.duration_s)),
            *_sent(result.sent),
            ("process", f"{result.detached_pid}, runs on by itself" if is_detached else None),
            ("end it", f"rtcctl session close {result.session_id}" if is_detached else None),
        ),
        *_verdict(result),
    ]


@body.register
def _(result: Subscribe) -> list[Line]:
    first = result.time_to_first_packet_ms
    return [
        *facts(
            ("track", _track(result.track_name, result.publisher_session_id, result.mid, result.codec)),
            ("session", result.session_id),
            ("connection", _connection(result)),
            ("first packet", "never" if first is None else f"{figures.milliseconds(first)} after the pull"),
            ("measured", figures.seconds(result.duration_s)),
            *_received(result),
        ),
        *_verdict(result),
    ]


@body.register
def _(result: TrackList) -> list[Line]:
    return [*facts(("session", result.session_id)), BLANK, *_tracks(result.tracks)]


@body.register
def _(result: TrackClose) -> list[Line]:
    return _closed(result.tracks)


@body.register
def _(result: TrackWait) -> list[Line]:
    return facts(
        ("track", f"{result.session_id}/{result.track_name}"), ("there after", figures.seconds(result.waited_s))
    )


@body.register
def _(result: TurnCreds) -> list[Line]:
    lines = facts(
        ("valid until", f"{figures.moment(result.expires_at)} ({figures.seconds(result.ttl_s)})"),
        ("identifier", result.custom_identifier),
    )
    for server in result.ice_servers:
        lines += [
            BLANK,
            *facts(
                *(("" if i else "URL", url) for i, url in enumerate(server.urls)),
                ("username", server.username),
                ("credential", server.credential),
            ),
        ]
    if not result.relays:
        lines += [BLANK, line(Styled("No URL is a TURN URL: nothing can be relayed through these.", "yellow"))]
    return lines


@body.register
def _(result: SessionStats) -> list[Line]:
    lines = [*facts(("session", result.session_id)), BLANK, *_tracks(result.tracks)]
    for interval in result.intervals:
        publisher = f"{interval.publisher_session_id}/" if interval.publisher_session_id else ""
        process = "its process has ended" if interval.pid is None else f"by process {interval.pid}"
        lines += [
            BLANK,
            *facts(
                ("sends" if interval.sent else "receives", f"{publisher}{interval.track_name}"),
                ("measured", f"{figures.moment(interval.measured_at)}, {process}"),
                *_sent(interval.sent),
                *_received(interval.received),
            ),
        ]
    if not result.intervals:
        lines += [BLANK, line(Styled("no probe of this machine measures it", "dim"))]
    return lines


@body.register
def _(result: ConfigCheck) -> list[Line]:
    words = {True: Styled("accepted", "green"), False: Styled("refused", "bold red"), None: Styled(UNKNOWN)}
    rows = [(s.kind, words[s.accepted], s.origin or UNKNOWN, s.allows or s.detail) for s in result.secrets]
    lines = grid(("secret", "verdict", "from", "allows"), rows)
    if result.failure is not None and result.failure.hint:
        lines += [BLANK, line("hint: ", result.failure.hint)]
    return lines
