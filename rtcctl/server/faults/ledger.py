"""The ledger: what was done to which packet, and what the API answered to whom.

Packets are written down where a fault looks at them, dropped or not; everything is counted, and the newest rows are
kept. Requests are written down always. Nothing here is a secret: no body, no SDP, no header but the user agent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from rtcctl.media.ledger import PacketRow

Row = TypeVar("Row", "PacketRow", "RequestRow")

PACKETS_KEPT = 200_000
"About an hour of one tone."
REQUESTS_KEPT = 10_000
PAGE = 10_000
"Rows of each kind that are given out at once: some megabytes of JSON."


@dataclass(slots=True)
class RequestRow:
    """One request to the API."""

    at: float
    "Wall clock, seconds."
    client: str
    "Address and port."
    user_agent: str
    method: str
    path: str
    operation: str = ""
    app_id: str = ""
    session_id: str = ""
    "In the path; of `sessions/new`, the one that was made."
    status: int | None = None
    "None: there was no answer, yet or ever."
    error_code: str = ""
    item_codes: tuple[str, ...] = ()
    "Of the items that failed inside the answer."
    fault: str = ""
    "The one that met it."
    turn_ttl_s: float | None = None
    "Of the credentials that were asked for, as granted."
    duration_ms: float | None = None
    body: bytes = field(default=b"", repr=False)
    "What was sent and answered, for those who hold the server in their hands; never written out."
    answer: bytes = field(default=b"", repr=False)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in RequestRow.__slots__ if name not in ("body", "answer")}


@dataclass(slots=True)
class Ledger:
    """Filled by the server, read by whoever is allowed to see its faults."""

    packets: deque[PacketRow] = field(default_factory=lambda: deque(maxlen=PACKETS_KEPT))
    requests: deque[RequestRow] = field(default_factory=lambda: deque(maxlen=REQUESTS_KEPT))
    packets_seen: int = 0
    requests_seen: int = 0

    def packet(self, row: PacketRow) -> PacketRow:
        """Write a packet down."""
        self.packets.append(row)
        self.packets_seen += 1
        return row

    def request(self, row: RequestRow) -> RequestRow:
        """Write a request down."""
        self.requests.append(row)
        self.requests_seen += 1
        return row

    def page(
        self, *, packets_from: int = 0, requests_from: int = 0, app_id: str = "", session_id: str = ""
    ) -> dict[str, Any]:
        """Rows from a number on, in order, as JSON: of everybody, or of an app or a session.

        Rows are numbered from 0 for the life of the server, and the oldest are forgotten. `packets_next` and
        `requests_next` are where the next page begins; the last one is a page without rows.
        """

        def concerns(row: PacketRow | RequestRow) -> bool:
            return app_id in ("", row.app_id) and session_id in ("", row.session_id)

        packets, packets_next = _from(self.packets, self.packets_seen, packets_from)
        requests, requests_next = _from(self.requests, self.requests_seen, requests_from)
        return {
            "packets_forgotten": self.packets_seen - len(self.packets),
            "requests_forgotten": self.requests_seen - len(self.requests),
            "packets_next": packets_next,
            "requests_next": requests_next,
            "packets": [row.document() for row in packets if concerns(row)],
            "requests": [row.document() for row in requests if concerns(row)],
        }

    def document(self) -> dict[str, Any]:
        """All that is kept."""
        return {
            "schema": "rtcctl.ledger/1",
            "packets_forgotten": self.packets_seen - len(self.packets),
            "requests_forgotten": self.requests_seen - len(self.requests),
            "packets": [row.document() for row in self.packets],
            "requests": [row.document() for row in self.requests],
        }


def _from(rows: deque[Row], seen: int, wanted: int) -> tuple[list[Row], int]:
    """A page of rows from the one numbered `wanted`, and the number of the one after it."""
    oldest = seen - len(rows)
    first = max(wanted, oldest)
    page = list(islice(rows, first - oldest, first - oldest + PAGE))
    return page, first + len(page)


__all__ = ["Ledger", "PacketRow", "RequestRow"]
