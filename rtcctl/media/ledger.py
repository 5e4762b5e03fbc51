"""The ledger of packets: what one is, and what was done to it; in the same words at either end of a path."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

_REMEMBERED = 4096
"Numbers of each stream, to tell a retransmission from a packet that is late."
_STREAMS = 256
"Of which numbers are remembered: those that were there last. Anybody at a verified address may make SSRCs up."

_APPLICATION_DATA = 23
"Content type of a DTLS record (RFC 6347 §4.1): SCTP, which sends again what is lost, or does not, as it was told."


@dataclass(slots=True)
class PacketRow:
    """One packet, at the place where it was impaired: between the network and the sockets of the server, or a peer."""

    at: float
    "Wall clock, seconds: its arrival there."
    app_id: str
    session_id: str
    direction: str
    "`up` towards the server, `down` from it."
    track: str
    "Name of the track; empty for what belongs to none, and where tracks are not known."
    kind: str
    """`original`, `retransmission` (the same packet again), `rtx` (RFC 4588), `rtcp`, `data` (of data channels), `dtls`
    or `stun`."""
    ssrc: int | None
    sequence_number: int | None
    size_bytes: int
    payload_type: int | None = None
    fate: str = "held"
    "`held` (on its way still), `sent`, `dropped`, or `discarded`: held when its connection ended."
    reason: str = ""
    "`loss` or `rate` of what was dropped, `reorder` of what was overtaken, `dup` of what was sent twice."
    held_s: float | None = None
    "From its arrival to its departure, as it really was; None when there was none."

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in PacketRow.__slots__}


def packet_kind(data: bytes) -> str:
    """`rtp`, `rtcp`, `data`, `dtls` or `stun`, by the first bytes (RFC 7983 §7, RFC 5761 §4) of what is not empty."""
    if data[0] < 4:
        return "stun"
    if data[0] == _APPLICATION_DATA:
        return "data"
    if data[0] < 128 or len(data) < 12:
        return "dtls"
    return "rtcp" if 192 <= data[1] <= 223 else "rtp"


class SeenNumbers:
    """The numbers that each stream has used lately."""

    def __init__(self) -> None:
        self._streams: dict[tuple[str, int], _Seen] = {}

    def has(self, way: str, ssrc: int, number: int) -> bool:
        """Whether a stream has used it before; it has from now on."""
        key = way, ssrc
        seen = self._streams[key] = self._streams.pop(key) if key in self._streams else _Seen()
        if len(self._streams) > _STREAMS:
            del self._streams[next(iter(self._streams))]
        return seen.has(number)


class _Seen:
    """The numbers of one stream."""

    def __init__(self) -> None:
        self._order: deque[int] = deque(maxlen=_REMEMBERED)
        self._numbers: set[int] = set()

    def has(self, number: int) -> bool:
        if number in self._numbers:
            return True
        if len(self._order) == _REMEMBERED:
            self._numbers.discard(self._order[0])
        self._order.append(number)
        self._numbers.add(number)
        return False
