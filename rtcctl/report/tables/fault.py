"""Tables of `fault …`."""

from __future__ import annotations

from functools import singledispatch

from rtcctl.report import figures
from rtcctl.report.figures import UNKNOWN
from rtcctl.report.layout import Line, Styled, grid, line
from rtcctl.report.table import BLANK, values
from rtcctl.results.fault import Fault, FaultClear, FaultLedger, FaultList, FaultSet
from rtcctl.results.result import Result

REQUESTS_SHOWN = 20


@singledispatch
def body(result: Result) -> list[Line]:
    """The lines of a result of this noun."""
    return values(result)


@body.register(FaultSet)
@body.register(FaultList)
def _(result: FaultSet | FaultList) -> list[Line]:
    return _faults(result.faults) or [line(Styled("no faults are set", "dim"))]


@body.register
def _(result: FaultClear) -> list[Line]:
    if not result.faults:
        return [line(Styled("no faults were set", "dim"))]
    return [line("cleared:"), *_faults(result.faults)]


def _faults(faults: tuple[Fault, ...]) -> list[Line]:
    if not faults:
        return []
    rows = [(str(fault.id), fault.fault, _met(fault)) for fault in faults]
    return grid(("id", "fault", "met"), rows, right=(0,))


def _met(fault: Fault) -> str:
    if fault.times is not None:
        return f"{fault.met:,} of {figures.amount(fault.times, 'request')}"
    return figures.amount(fault.met, "packet" if fault.is_media else "request")


@body.register
def _(result: FaultLedger) -> list[Line]:
    lines: list[Line] = []
    if result.streams:
        rows = [
            (
                stream.track or UNKNOWN,
                stream.session_id,
                stream.direction,
                str(stream.ssrc),
                figures.count(stream.originals),
                figures.count(stream.originals_dropped),
                figures.count(stream.retransmissions),
                figures.count(stream.retransmissions_dropped),
                figures.milliseconds(stream.held_ms),
            )
            for stream in result.streams
        ]
        header = ("track", "session", "way", "ssrc", "packets", "dropped", "again", "dropped", "held")
        lines += grid(header, rows, right=(3, 4, 5, 6, 7, 8))
    else:
        lines.append(line(Styled("no fault has looked at a packet", "dim")))
    lines += [BLANK, *_requests(result)]
    if result.packets_forgotten or result.requests_forgotten:
        forgotten = f"{result.packets_forgotten:,} packets and {result.requests_forgotten:,} requests"
        lines += [BLANK, line(Styled(f"older rows are not kept: {forgotten}", "yellow"))]
    return lines


def _requests(result: FaultLedger) -> list[Line]:
    if not result.requests:
        return [line(Styled("no requests yet", "dim"))]
    shown = result.requests[-REQUESTS_SHOWN:]
    rows = [
        (
            figures.moment(row["at"]),
            row["client"],
            row["session_id"] or UNKNOWN,
            row["operation"] or f"{row['method']} {row['path']}",
            str(row["status"] or UNKNOWN),
            row["error_code"] or " ".join(row["item_codes"]),
            row["fault"],
        )
        for row in shown
    ]
    lines = grid(("at", "from", "session", "operation", "status", "error", "fault"), rows)
    left_out = len(result.requests) - len(shown)
    return [*lines, line(Styled(f"and {left_out:,} before them", "dim"))] if left_out else lines
