"""Numbers as people read them: a few digits, the unit, a dash for what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rtcctl.results.check import Check

UNKNOWN = "–"

BARS = "▁▂▃▄▅▆▇█"


def milliseconds(value: float | None) -> str:
    """`0.42 ms`, `12.3 ms`, `250 ms`."""
    if value is None:
        return UNKNOWN
    return f"{_significant(value)} ms"


def percent(fraction: float | None) -> str:
    """`0 %`, `0.12 %`, `12.3 %`; what is there but too small to show is `<0.01 %`, never zero."""
    if fraction is None:
        return UNKNOWN
    value = fraction * 100
    if 0 < value < 0.01:
        return "<0.01 %"
    return f"{_significant(value)} %" if value % 1 else f"{value:.0f} %"


def bits_per_second(value: float | None) -> str:
    """`64.2 kbit/s`, `1.20 Mbit/s`."""
    if value is None:
        return UNKNOWN
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if abs(value) >= size:
            return f"{_significant(value / size)} {unit}"
    return f"{value:.0f} bit/s"


def hertz(value: float | None) -> str:
    """`440.0 Hz`."""
    return UNKNOWN if value is None else f"{value:.1f} Hz"


def decibels(value: float | None) -> str:
    """`-12 dB`."""
    return UNKNOWN if value is None else f"{value:.0f} dB"


def seconds(value: float | None) -> str:
    """`5.0 s`, `3 min 20 s`, `2 h 5 min`."""
    if value is None:
        return UNKNOWN
    if value < 120:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count(value: int | None) -> str:
    """`12,345`."""
    return UNKNOWN if value is None else f"{value:,}"


def amount(value: int, singular: str) -> str:
    """`1 freeze`, `2 freezes`, `1,200 gaps`."""
    return f"{count(value)} {singular}" + ("" if value == 1 else "s")


def size(width: int | None, height: int | None) -> str:
    """`1280x720`."""
    return UNKNOWN if width is None or height is None else f"{width}x{height}"


def frame_rate(value: float | None) -> str:
    """`29.9`, frames per second."""
    return UNKNOWN if value is None else f"{value:.1f}"


def moment(wallclock: float | None) -> str:
    """Seconds since the epoch as `2026-11-23 20:21:05Z`."""
    if wallclock is None:
        return UNKNOWN
    return datetime.fromtimestamp(wallclock, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def sparkline(values: Sequence[float | None]) -> str:
    """A bar per value, from 0 to the largest of them; a space for what is not known."""
    top = max((value for value in values if value is not None), default=0.0)
    return "".join(
        " " if value is None else BARS[round(value / top * (len(BARS) - 1)) if top > 0 else 0] for value in values
    )


def observed(value: float | str | None, unit: str | None) -> str:
    """What a check observed, or its limit, in its unit."""
    if value is None:
        return UNKNOWN
    if isinstance(value, str):
        return printable(value)
    match unit:
        case "ms":
            return milliseconds(value)
        case "ratio":
            return percent(value)
        case "hz":
            return hertz(value)
        case "s":
            return seconds(value)
        case "packets/s":
            return f"{value:.1f}/s"
        case None:
            return f"{value:,g}"
        case _:
            return f"{value:,g} {unit}"


def limit(check: Check) -> str:
    """The limit of a check as it was set, `≤ 30 ms`; nothing when there is none."""
    value = check.limit
    if value is None or isinstance(value, str):
        return printable(value or "")
    sign = {"at-most": "≤", "at-least": "≥", "about": "≈"}[check.bound]
    match check.unit:
        case "ms":
            return f"{sign} {value:g} ms"
        case "ratio":
            return f"{sign} {value * 100:g} %"
        case "hz":
            return f"{sign} {value:g} Hz"
        case None:
            return f"{sign} {value:,g}"
    return f"{sign} {observed(value, check.unit)}"


def printable(text: str) -> str:
    """Text of others as one line that cannot steer a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _significant(value: float) -> str:
    """Three digits, without an exponent."""
    magnitude = abs(value)
    if magnitude >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if magnitude >= 9.995 else f"{value:.2f}"
