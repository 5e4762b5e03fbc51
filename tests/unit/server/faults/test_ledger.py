"""The ledger: rows as they are filled, the newest kept, everything counted, no secret in what is written out."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import fields

import pytest

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
    """What concerns one alone."""
    ledger = Ledger()
    for app_id in ("a", "b"):
        for session_id in ("s", "t"):
            ledger.packet(packet(app_id=app_id, session_id=session_id))
            ledger.request(request(app_id=app_id, session_id=session_id))

    def found(**asked: str) -> tuple[int, int]:
        page = ledger.page(packets_from=0, requests_from=0, **asked)
        return len(page["packets"]), len(page["requests"])

    assert found() == (4, 4)
    assert found(app_id="a") == (2, 2)
    assert found(session_id="t") == (2, 2)
    assert found(app_id="b", session_id="t") == (1, 1)
    assert found(app_id="nobody") == (0, 0)


def test_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each begins where the one before ended, also when older rows were forgotten in between; the last is empty."""
    monkeypatch.setattr("rtcctl.server.faults.ledger.PAGE", 2)
    ledger = Ledger(packets=deque(maxlen=4))
    for number in range(3):
        ledger.packet(packet(number))

    def read(start: int) -> tuple[list[int], int]:
        page = ledger.page(packets_from=start)
        return [row["sequence_number"] for row in page["packets"]], page["packets_next"]

    assert read(0) == ([0, 1], 2)
    assert read(2) == ([2], 3)
    assert read(3) == ([], 3)
    for number in range(3, 10):
        ledger.packet(packet(number))
    assert read(3) == ([6, 7], 8)
    assert read(8) == ([8, 9], 10)
    assert read(1000) == ([], 1000)
