"""The path between one peer and the server while media faults concern it: packets are dropped, held, doubled.

Theory of operation
-------------------
The faults stand between the network and the server's sockets: what is lost on the way up was never decrypted, what is
lost on the way down was encrypted and counted as sent. RTP, RTCP and the packets of data channels meet everything that
a fault says. STUN and the rest of DTLS are held as media is, so that round trips are those of one network, but never
dropped: sessions can always be set up.
A fault of one track concerns the RTP of that track, and nothing else.

Several faults are one behind the other, in the order in which they were set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from rtcctl.media.impair import DelayLine, Impairer, Impairment
from rtcctl.media.ledger import PacketRow, SeenNumbers, packet_kind
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.faults.grammar import MediaFault
from rtcctl.server.faults.ledger import Ledger
from rtcctl.transport.chance import Chance
from rtcctl.transport.tap import Tap

if TYPE_CHECKING:
    from rtcctl.server.connection import Connection
    from rtcctl.server.endpoint import Endpoint
    from rtcctl.server.faults.faults import ActiveFault
    from rtcctl.transport.udp import Address, UdpSocket


@dataclass(slots=True)
class _Held:
    data: bytes
    path: Address
    row: PacketRow
    arrived_at: float
    is_up: bool


_DROPPED = frozenset({"rtp", "rtcp", "data"})
"Kinds that a fault may drop."


class ImpairedPath:
    """See the theory of operation. `faults` concern the session of `connection`; there is at least one."""

    def __init__(
        self,
        endpoint: Endpoint,
        connection: Connection,
        faults: Sequence[ActiveFault],
        ledger: Ledger,
        *,
        app_id: str,
        session_id: str,
        random: Random,
    ) -> None:
        self._endpoint = endpoint
        self._connection = connection
        self._ledger = ledger
        self._app_id = app_id
        self._session_id = session_id
        self._random = random
        self._impairers: dict[str, list[tuple[ActiveFault, Impairer]]] = {}
        self._lines = {"up": DelayLine[_Held](), "down": DelayLine[_Held]()}
        self._seen = SeenNumbers()
        self._taps: dict[int, Tap] = {}
        self._due: float | None = None
        "When the timer that is set fires; there is never more than one."
        self._timer: asyncio.TimerHandle | None = None
        self.set(faults)

    def set(self, faults: Sequence[ActiveFault]) -> None:
        """These from now on. Those that were there go on where they are; what is held keeps its time."""
        known = {(active, way): impairer for way, pairs in self._impairers.items() for active, impairer in pairs}
        self._impairers = {
            way: [
                (active, known.get((active, way)) or self._impairer(fault.impairment))
                for active in faults
                if isinstance(fault := active.fault, MediaFault) and way in fault.directions
            ]
            for way in ("up", "down")
        }

    def _impairer(self, impairment: Impairment) -> Impairer:
        seed = self._random.getrandbits(64) if impairment.seed is None else impairment.seed
        return Impairer(impairment, Chance(seed).draw)

    # What the connection uses

    def socket(self, udp: UdpSocket, number: int) -> Tap:
        """What stands for one of the server's sockets, which has that number."""
        tap = self._taps.get(number)
        if tap is None:
            tap = self._taps[number] = Tap(udp, lambda data, addr: self._take(data, (*addr, number), is_up=False))
        return tap

    def send(self, data: bytes, path: Address) -> None:
        """A datagram of STUN or DTLS, on its way down."""
        self._take(data, path, is_up=False)

    def receive(self, data: bytes, path: Address, now: float) -> None:
        """Any datagram, on its way up."""
        self._take(data, path, is_up=True, now=now)

    def release_all(self) -> None:
        """No fault concerns this path any more: what is held goes on at once."""
        for way in ("down", "up"):  # what the connection says to the latter comes after the former
            for held in self._lines[way].clear():
                self._pass_on(held)
        self._arm()

    def close(self) -> None:
        """The connection has ended: what is held belongs to nobody, but for what DTLS has said to the peer before it
        says goodbye, which is not understood without it.
        """
        for held in (*self._lines["up"].clear(), *self._lines["down"].clear()):
            if held.row.kind in ("dtls", "data") and not held.is_up:
                self._pass_on(held)
            else:
                self._discard(held)
        self._arm()
        # The connection is in a cycle, and may wait long to be collected: the large parts go now.
        self._impairers = {"up": [], "down": []}
        self._seen = SeenNumbers()
        self._taps.clear()

    # The way of a packet

    def _take(self, data: bytes, path: Address, *, is_up: bool, now: float | None = None) -> None:
        way = "up" if is_up else "down"
        now = self._endpoint.now() if now is None else now
        kind = packet_kind(data)
        row = self._row(data, kind, way)
        faults = self._impairers[way]
        if any(active.fault.concerned.track for active, _ in faults):
            publisher, name = (None, None) if kind != "rtp" else self._track(data, way)
            faults = [
                pair
                for pair in faults
                if not (concerned := pair[0].fault.concerned).track
                or (name is not None and publisher is not None and concerned.includes_track(publisher, name))
            ]
        if not faults:
            self._pass_on(_Held(data, path, row, now, is_up))
            return
        # When RTCP, messages and retransmissions come is chance: what else is lost must not depend on it.
        stream = f"{row.kind} {row.track}" if kind in _DROPPED else None
        copies = [(now, 0.0)]
        reasons = []
        for active, impairer in faults:
            active.packets += bool(copies)
            after = []
            for at, late_s in copies:
                fate = impairer.decide(len(data), at, stream)
                after += [(release, late_s + fate.late_s) for release in fate.releases]
                if fate.reason:
                    reasons.append(fate.reason)
            copies = after
        row.reason = "+".join(dict.fromkeys(reasons))
        self._ledger.packet(row)
        if not copies:
            row.fate = "dropped"
            return
        for release, late_s in copies:
            self._lines[way].push(release + late_s, _Held(data, path, row, now, is_up))
        self._let_go(way)
        self._arm()

    def _arm(self) -> None:
        due = min((at for line in self._lines.values() if (at := line.get_timer()) is not None), default=None)
        if due != self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = None if due is None else self._endpoint.call_at(due, self._release)

    def _release(self) -> None:
        """The timer has fired."""
        self._due = self._timer = None
        for way in self._lines:
            self._let_go(way)
        self._arm()

    def _let_go(self, way: str) -> None:
        """Pass on what has been held long enough, in order."""
        while (held := self._lines[way].pop(self._endpoint.now())) is not None:
            self._pass_on(held)

    def _discard(self, held: _Held) -> None:
        if held.row.fate != "sent":  # the other one of two
            held.row.fate = "discarded"

    def _pass_on(self, held: _Held) -> None:
        if self._connection.state is ConnectionState.CLOSED:
            self._discard(held)  # what went before it has ended the connection
            return
        row = held.row
        if row.fate != "sent":
            row.fate = "sent"
            row.held_s = max(0.0, self._endpoint.now() - held.arrived_at)
        if held.is_up:
            self._endpoint.deliver(self._connection, held.data, held.path)
        else:
            self._endpoint.send(held.data, held.path)

    # What a packet is

    def _row(self, data: bytes, kind: str, way: str) -> PacketRow:
        ssrc = sequence_number = payload_type = None
        track = ""
        if kind == "rtp":
            ssrc, sequence_number = int.from_bytes(data[8:12], "big"), int.from_bytes(data[2:4], "big")
            track = self._track(data, way)[1] or ""
            payload_type = data[1] & 0x7F
            is_again = self._seen.has(way, ssrc, sequence_number)
            kind = "rtx" if self._is_rtx(data, ssrc, way) else "retransmission" if is_again else "original"
        elif kind == "rtcp" and len(data) >= 8:
            ssrc = int.from_bytes(data[4:8], "big")
        return PacketRow(
            at=self._endpoint.wallclock(),
            app_id=self._app_id,
            session_id=self._session_id,
            direction=way,
            track=track,
            kind=kind,
            ssrc=ssrc,
            sequence_number=sequence_number,
            size_bytes=len(data),
            payload_type=payload_type,
        )

    def _is_rtx(self, data: bytes, ssrc: int, way: str) -> bool:
        return self._connection.is_rtx_to(ssrc) if way == "down" else self._connection.is_rtx_from(ssrc, data)

    def _track(self, data: bytes, way: str) -> tuple[str | None, str | None]:
        """Session of the publisher, and name; None for a packet of no track."""
        ssrc = int.from_bytes(data[8:12], "big")
        track = self._connection.track_to(ssrc) if way == "down" else self._connection.track_from(ssrc, data)
        return (None, None) if track is None else (track.session_id, track.track_name)
