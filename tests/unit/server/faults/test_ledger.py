"""The ledger: rows as they are filled, the newest kept, everything counted, no secret in what is written out."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import fields

from rtcctl.server.faults.ledger import Ledger, PacketRow, RequestRow


def packet(number: int | None = 1, **overrides: object) -> PacketRow:
    values: dict[str, object] = {
        "at": 1e9,
        "app_id": "app",
        "session_id": "session",
        "direction": "up",
        "track": "mic",
        "kind": "original",
        "ssrc": 7,
        "sequence_number": number,
        "size_bytes": 100,
        "fate": "sent",
    }
    return PacketRow(**values | overrides)  # type: ignore[arg-type]


def request(**overrides: object) -> RequestRow:
    values: dict[str, object] = {"at": 1e9, "client": "", "user_agent": "", "method": "GET", "path": "/"}
    return RequestRow(**values | overrides)  # type: ignore[arg-type]


def test_rows_are_filled_later() -> None:
    """What is written down is the row itself: its fate comes when it is known."""
    ledger = Ledger()
    row = ledger.packet(packet(fate="held"))
    row.fate = "sent"
    asked = ledger.request(request())
    asked.status = 200
    document = ledger.document()
    assert document["packets"][0]["fate"] == "sent"
    assert document["requests"][0]["status"] == 200


def test_the_newest_are_kept() -> None:
    """What is forgotten is counted."""
    ledger = Ledger(packets=deque(maxlen=3), requests=deque(maxlen=2))
    for number in range(5):
        ledger.packet(packet(number))
        ledger.request(request(path=f"/{number}"))
    document = ledger.document()
    assert [row["sequence_number"] for row in document["packets"]] == [2, 3, 4]
    assert [row["path"] for row in document["requests"]] == ["/3", "/4"]
    assert (document["packets_forgotten"], document["requests_forgotten"]) == (2, 3)


def test_there_is_an_end() -> None:
    """A ledger that nobody reads does not grow for ever."""
    assert Ledger().packets.maxlen
    assert Ledger().requests.maxlen


def test_the_document() -> None:
    """JSON, with every field of a row but what was said."""
    ledger = Ledger()
    ledger.packet(packet())
    ledger.request(request(body=b"secret", answer=b"secret", item_codes=("track_error",)))
    document = ledger.document()
    text = json.dumps(document)
    assert document["schema"] == "rtcctl.ledger/1"
    assert set(document["packets"][0]) == {field.name for field in fields(PacketRow)}
    assert set(document["requests"][0]) == {field.name for field in fields(RequestRow)} - {"body", "answer"}
    assert "secret" not in text
    assert "secret" not in repr(ledger)
    assert json.loads(text)["requests"][0]["item_codes"] == ["track_error"]


def test_an_app_or_a_session() -> None:
    """What concerns one alone, in rows and sums."""
    ledger = Ledger()
    for app_id in ("a", "b"):
        for session_id in ("s", "t"):
            ledger.packet(packet(app_id=app_id, session_id=session_id))
            ledger.request(request(app_id=app_id, session_id=session_id))

    def found(**asked: str) -> list[tuple[int, int, int]]:
        document = ledger.document(**asked)
        return [(len(document["packets"]), len(document["requests"]), len(document["streams"]))]

    assert found() == [(4, 4, 4)]
    assert found(app_id="a") == [(2, 2, 2)]
    assert found(session_id="t") == [(2, 2, 2)]
    assert found(app_id="b", session_id="t") == [(1, 1, 1)]
    assert found(app_id="nobody") == [(0, 0, 0)]


def test_streams() -> None:
    """Originals and retransmissions of each SSRC, each way, and how many of them were dropped."""
    ledger = Ledger()
    for kind, fate in (
        ("original", "sent"),
        ("original", "dropped"),
        ("original", "held"),
        ("original", "discarded"),
        ("retransmission", "sent"),
        ("retransmission", "dropped"),
        ("rtx", "dropped"),
    ):
        ledger.packet(packet(kind=kind, fate=fate))
    ledger.packet(packet(direction="down"))
    ledger.packet(packet(ssrc=8))
    ledger.packet(packet(None, kind="rtcp", ssrc=9))
    ledger.packet(packet(None, kind="stun", ssrc=None))
    first, down, other = ledger.document()["streams"]
    assert first == {
        "app_id": "app",
        "session_id": "session",
        "direction": "up",
        "track": "mic",
        "ssrc": 7,
        "originals": 4,
        "originals_dropped": 1,
        "retransmissions": 3,
        "retransmissions_dropped": 2,
    }
    assert (down["direction"], down["originals"]) == ("down", 1)
    assert (other["ssrc"], other["originals"]) == (8, 1)
