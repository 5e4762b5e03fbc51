"""`fault ledger` adds up what the server has written down."""

from __future__ import annotations

from typing import Any

from rtcctl.ops.fault import streams
from rtcctl.results.fault import Stream


def packet(sequence_number: int | None = 1, **overrides: Any) -> dict[str, Any]:
    row = {
        "session_id": "session",
        "direction": "up",
        "track": "mic",
        "kind": "original",
        "ssrc": 7,
        "sequence_number": sequence_number,
        "fate": "sent",
        "held_s": None,
    }
    return row | overrides


def test_streams() -> None:
    """Originals and retransmissions of each SSRC, each way, and how many of them were dropped; the median hold."""
    fates = (
        ("original", "sent", 0.01),
        ("original", "sent", 0.02),
        ("original", "dropped", None),
        ("original", "held", None),
        ("retransmission", "sent", 0.03),
        ("retransmission", "dropped", None),
        ("rtx", "dropped", None),
    )
    rows = [packet(kind=kind, fate=fate, held_s=held_s) for kind, fate, held_s in fates]
    rows += [
        packet(direction="down", fate="dropped"),
        packet(ssrc=8),
        packet(None, kind="rtcp"),
        packet(None, ssrc=None),
    ]
    first, down, other = streams(rows)
    assert first == Stream(
        session_id="session",
        direction="up",
        track="mic",
        ssrc=7,
        originals=4,
        originals_dropped=1,
        retransmissions=3,
        retransmissions_dropped=2,
        held_ms=20.0,
    )
    assert (down.direction, down.originals_dropped, down.held_ms) == ("down", 1, None)
    assert (other.ssrc, other.originals) == (8, 1)
