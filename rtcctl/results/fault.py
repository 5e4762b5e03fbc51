"""Results of `fault …`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault of an embedded server."""

    id: int
    fault: str
    "As it was written."
    is_media: bool
    "Whether it is about packets; else it is about requests."
    met: int
    "Requests that it has met, or packets, dropped or not."
    times: int | None = None
    "How many it meets; None for all."


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSet(Result):
    """`fault set`: the faults that were added."""

    schema: ClassVar[str] = "rtcctl.fault.set/1"

    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultList(Result):
    """`fault list`: those that are set."""

    schema: ClassVar[str] = "rtcctl.fault.list/1"

    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultClear(Result):
    """`fault clear`: those that were removed."""

    schema: ClassVar[str] = "rtcctl.fault.clear/1"

    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The RTP packets of one SSRC, one way, that a fault looked at."""

    session_id: str
    direction: str
    "`up` towards the server, `down` from it."
    track: str
    ssrc: int
    originals: int
    originals_dropped: int
    retransmissions: int
    "The same packet again, or as RTX (RFC 4588)."
    retransmissions_dropped: int
    held_ms: float | None
    "Median of what was really held; None when nothing got through."


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLedger(Result):
    """`fault ledger`: what was done to which packet, and what the API answered to whom."""

    schema: ClassVar[str] = "rtcctl.fault.ledger/1"

    packets_forgotten: int
    "Rows of packets that are not kept any more."
    requests_forgotten: int
    streams: tuple[Stream, ...]
    packets: tuple[dict[str, Any], ...]
    requests: tuple[dict[str, Any], ...]
