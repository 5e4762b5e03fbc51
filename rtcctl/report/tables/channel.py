"""Tables of `channel …`."""

from __future__ import annotations

from functools import singledispatch

from rtcctl.report import figures
from rtcctl.report.figures import UNKNOWN
from rtcctl.report.layout import Line, Styled, facts, grid, known_grid, line
from rtcctl.report.table import BLANK, values, verdict
from rtcctl.report.tables.outages import outages
from rtcctl.report.tables.pieces import closed_channels, connection, known
from rtcctl.results.channel import (
    ChannelClose,
    ChannelListen,
    ChannelOpen,
    ChannelProbe,
    ChannelPublished,
    ChannelSend,
    ChannelUpdate,
    MessageReceived,
    PathState,
    PolicyFigures,
)
from rtcctl.results.result import Result

SHOWN_BYTES = 16
"Of a binary message."

_ENDINGS = {"count": "after that many messages", "closed": "closed by the publisher's side", "time": "after its time"}


@singledispatch
def body(result: Result) -> list[Line]:
    """The lines of a result of this noun."""
    return values(result)


@body.register
def _(result: ChannelOpen | ChannelSend | ChannelListen) -> list[Line]:
    rows = [
        (
            f"{traffic.session_id}/{traffic.channel}",
            str(traffic.id),
            figures.count(traffic.messages_sent),
            figures.count(traffic.bytes_sent),
            figures.count(traffic.messages_received),
            figures.count(traffic.bytes_received),
        )
        for traffic in result.channels
    ]
    if isinstance(result, ChannelOpen) and result.detached_pid is not None:
        return facts(
            *(("published", f"{t.session_id}/{t.channel} (id {t.id})") for t in result.channels),
            ("delivery", result.delivery),
            ("connection", connection(result)),
            ("process", f"{result.detached_pid}, runs on by itself"),
            ("end it", f"rtcctl session close {result.session_id}"),
        )
    ended_by = _ENDINGS.get(result.ended_by) if isinstance(result, ChannelListen) else None
    return [
        *facts(
            ("session", result.session_id),
            ("delivery", result.delivery),
            ("connection", connection(result)),
            ("open for", known(figures.seconds, result.duration_s)),
            ("ended", ended_by),
        ),
        BLANK,
        *grid(("channel", "id", "sent", "bytes", "received", "bytes"), rows, right=range(1, 6)),
        *outages(result.outages),
        *verdict(result),
    ]


@body.register
def _(result: ChannelUpdate) -> list[Line]:
    may = {True: "reaches its publisher", False: "is dropped", None: None}[result.can_reply]
    return facts(
        ("session", result.session_id),
        ("channel", f"{result.publisher_session_id}/{result.channel} (id {result.id})"),
        ("what it says", may),
    )


@body.register
def _(result: ChannelClose) -> list[Line]:
    return closed_channels(result.channels)


@body.register
def _(result: ChannelProbe) -> list[Line]:
    return [
        *facts(
            ("publisher", result.publisher_session_id),
            ("subscriber", result.subscriber_session_id),
            ("messages", f"{result.rate_hz:g}/s of {result.size_bytes:,} bytes"),
            ("SFU announces", known(_bytes, result.announced_max_message_bytes)),
            *((p.policy, p.delivery) for p in result.policies),
        ),
        *([BLANK, *policies(result.policies)] if result.policies else []),
        *verdict(result),
    ]


def policies(measured: tuple[PolicyFigures, ...]) -> list[Line]:
    """A row per delivery policy. Duplicates, and a path that did not keep up, have columns where there are some."""
    rows = [
        (
            p.policy,
            figures.count(p.messages_sent),
            figures.count(p.messages_received),
            figures.count(p.messages_lost),
            figures.count(p.messages_waiting) if p.path is PathState.SLOW else None,
            figures.count(p.messages_reordered),
            figures.count(p.messages_duplicated) if p.messages_duplicated else None,
            f"{p.rate_hz:.1f}/s",
            *(
                UNKNOWN if p.latency_ms is None else figures.milliseconds(getattr(p.latency_ms, name))
                for name in ("p50", "p95", "p99")
            ),
            figures.count(p.max_message_bytes),
            None if p.path is PathState.GOOD else str(p.path),
        )
        for p in measured
    ]
    header = (
        *("policy", "sent", "received", "lost", "waiting", "reordered", "duplicated", "rate", "p50", "p95", "p99"),
        *("largest", "path"),
    )
    return known_grid(header, rows, right=range(1, 12))


def _bytes(value: int) -> str:
    return f"messages of up to {value:,} bytes"


def opening(event: ChannelPublished | MessageReceived) -> list[Line]:
    """A channel, as soon as others can subscribe to it; a message, as soon as it has come."""
    if isinstance(event, ChannelPublished):
        return facts(("published", f"{event.session_id}/{event.channel} (id {event.id})"))
    if event.text is not None:
        return [line(text) for text in event.text.split("\n")]
    data = event.data
    more = " …" if len(data) > SHOWN_BYTES else ""
    return [line(Styled(f"<{figures.amount(len(data), 'byte')}> {data[:SHOWN_BYTES].hex(' ')}{more}", "dim"))]
