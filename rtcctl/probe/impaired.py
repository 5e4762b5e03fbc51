"""The path of one peer as a bad access network makes it: packets are dropped, held, doubled on their way out and in.

Theory of operation
-------------------
It stands between the peer's transport and its sockets, or its relays, and is the same for both transports:

    SRTP, DTLS, ICE ──send──▶ up: lost? held? twice? ──▶ socket, relay
    SRTP, DTLS, ICE ◀── down: lost? held? twice? ◀──receive── socket, relay

Every datagram of the connection goes through it, STUN and handshakes too: what a peer measures is what it would measure
there. A packet is stamped with its arrival once it is let through, as if the network had held it. What a relay and its
server say to each other is not among them. Without an impairment of its way a packet passes, and is not written down.

With the end of the connection nothing is held any more. What is on its way out goes on at once, as a network does not
stop because a peer does: among it is the goodbye. What has come in is for nobody, and discarded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rtcctl.media.impair import DelayLine, Impairer, Impairment
from rtcctl.media.ledger import PacketRow, SeenNumbers, packet_kind
from rtcctl.transport.chance import Chance

_STREAMS = 256
"That have random numbers of their own; a sender may make SSRCs up without end."

Onward = Callable[[bytes], None]
"Where a packet goes that is let through."


class CallLater(Protocol):
    """As that of an event loop: in so many seconds."""

    def __call__(self, delay: float, callback: Callable[[], None], /) -> asyncio.TimerHandle: ...


@dataclass(slots=True)
class _Held:
    data: bytes
    onward: Onward
    row: PacketRow
    arrived_at: float


class ImpairedPath:
    """See the theory of operation. `impairments`: by way, `up` or `down`, each with its seed.

    `number`: of the peer among those of a command, which draw numbers of their own. `write` is given each row once what
    becomes of its packet is known. `call_later`: the running event loop's by default.
    """

    def __init__(
        self,
        impairments: Mapping[str, Impairment],
        *,
        number: int,
        app_id: str,
        clock: Callable[[], float],
        wallclock: Callable[[], float],
        write: Callable[[PacketRow], None],
        call_later: CallLater | None = None,
    ) -> None:
        self.session_id = ""
        "Of the API; for the rows."
        self.is_rtx: Callable[[int], bool] = lambda payload_type: False
        "Whether RTX has that payload type; the peer knows."
        self._app_id = app_id
        self._clock = clock
        self._wallclock = wallclock
        self._write = write
        self._call_later = call_later
        self._impairers = {
            way: Impairer(impairment, Chance(f"{impairment.seed} {number} {way}").draw)
            for way, impairment in impairments.items()
        }
        self._lines = {way: DelayLine[_Held]() for way in impairments}
        self._seen = SeenNumbers()
        self._streams: dict[tuple[str, int], int] = {}
        "The SSRCs of each way in the order in which they came: their own numbers are chance."
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        "When the timer that is set fires; there is never more than one."
        self._is_over = False

    def send(self, data: bytes, onward: Onward) -> None:
        """A datagram on its way out. `onward` is called now, later, twice, or never."""
        self._take(data, "up", onward)

    def receive(self, data: bytes, onward: Onward) -> None:
        """A datagram that has come in, likewise."""
        self._take(data, "down", onward)

    def close(self) -> None:
        """The connection has ended and said so; from now on everything passes."""
        for way, line in self._lines.items():
            for held in line.clear():
                if way == "up":
                    self._pass_on(held)
                elif held.row.fate == "held":
                    held.row.fate = "discarded"
                    self._write(held.row)
        self._impairers.clear()
        self._arm()

    def vanish(self) -> None:
        """Nothing is let through any more, in neither direction, as by a crash."""
        self._is_over = True
        self.close()

    # The way of a packet

    def _take(self, data: bytes, way: str, onward: Onward) -> None:
        impairer = self._impairers.get(way)
        if impairer is None or not data:
            if not self._is_over:
                onward(data)
            return
        now = self._clock()
        row = self._row(data, way)
        fate = impairer.decide(len(data), now, self._stream(row))
        row.reason = fate.reason
        if not fate.releases:
            row.fate = "dropped"
            self._write(row)
            return
        for release in fate.releases:
            self._lines[way].push(release + fate.late_s, _Held(data, onward, row, now))
        self._let_go(way)
        self._arm()

    def _arm(self) -> None:
        due = min((at for line in self._lines.values() if (at := line.get_timer()) is not None), default=None)
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = due, None
        if due is not None:
            if self._call_later is None:
                self._call_later = asyncio.get_running_loop().call_later
            self._timer = self._call_later(max(0.0, due - self._clock()), self._release)

    def _release(self) -> None:
        """The timer has fired."""
        self._due = self._timer = None
        for way in self._lines:
            self._let_go(way)
        self._arm()

    def _let_go(self, way: str) -> None:
        """Pass on what has been held long enough, in order."""
        while (held := self._lines[way].pop(self._clock())) is not None:
            self._pass_on(held)

    def _pass_on(self, held: _Held) -> None:
        row = held.row
        if self._is_over:
            return
        if row.fate == "held":  # else it is the second of two
            row.fate = "sent"
            row.held_s = max(0.0, self._clock() - held.arrived_at)
            self._write(row)
        held.onward(held.data)

    # What a packet is

    def _row(self, data: bytes, way: str) -> PacketRow:
        ssrc = sequence_number = payload_type = None
        kind = packet_kind(data)
        if kind == "rtp":
            ssrc, sequence_number = int.from_bytes(data[8:12], "big"), int.from_bytes(data[2:4], "big")
            payload_type = data[1] & 0x7F
            is_again = self._seen.has(way, ssrc, sequence_number)
            kind = "rtx" if self.is_rtx(payload_type) else "retransmission" if is_again else "original"
        elif kind == "rtcp":
            ssrc = int.from_bytes(data[4:8], "big")
        return PacketRow(
            at=self._wallclock(),
            app_id=self._app_id,
            session_id=self.session_id,
            direction=way,
            track="",
            kind=kind,
            ssrc=ssrc,
            sequence_number=sequence_number,
            size_bytes=len(data),
            payload_type=payload_type,
        )

    def _stream(self, row: PacketRow) -> str:
        """What draws random numbers of its own: when RTCP, STUN and retransmissions come is chance."""
        if row.sequence_number is None or row.ssrc is None:
            return row.kind
        key = row.direction, row.ssrc
        if key not in self._streams and len(self._streams) < _STREAMS:
            self._streams[key] = sum(way == row.direction for way, _ in self._streams)
        return f"{row.kind} {self._streams.get(key, _STREAMS)}"


class ImpairedTransport:
    """A datagram transport of asyncio whose packets take such a path; in all else it is the one that it stands for."""

    def __init__(self, transport: asyncio.DatagramTransport, path: ImpairedPath) -> None:
        self._transport = transport
        self._path = path

    def sendto(self, data: bytes, addr: Any = None) -> None:
        """Sent once the path lets it through, if the socket is open then."""

        def onward(held: bytes) -> None:
            if not self._transport.is_closing():
                self._transport.sendto(held, addr)

        self._path.send(bytes(data), onward)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
