"""A tap on what a peer sends and hears, in the clear: after SRTP was taken off, and before it is put on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rtcctl.media.sdp import Candidate
from rtcctl.probe.transport import Arrival, Listener, Transport


class PacketTap(Protocol):
    """Takes a packet of RTP or RTCP. `pair`: our candidate and the peer's, between which it travels."""

    def __call__(self, packet: bytes, pair: tuple[Candidate, Candidate], *, is_sent: bool, now: float) -> None: ...


class Outlet(Protocol):
    """What sends of a transport, tapped or not."""

    def send_rtp(self, packet: bytes) -> None:
        """See `Transport.send_rtp`."""

    def send_rtcp(self, packet: bytes) -> None:
        """See `Transport.send_rtcp`."""


class TappedListener:
    """Tells the tap of what arrives, then the listener."""

    def __init__(self, listener: Listener, tap: PacketTap) -> None:
        self._listener = listener
        self._tap = tap
        self.outlet: TappedOutlet | None = None
        self.datagram_received = listener.datagram_received

    def rtp_received(self, packet: bytes, arrival: Arrival) -> None:
        self._take(packet, arrival)
        self._listener.rtp_received(packet, arrival)

    def rtcp_received(self, data: bytes, arrival: Arrival) -> None:
        self._take(data, arrival)
        self._listener.rtcp_received(data, arrival)

    def round_trip_measured(self, rtt_ms: float) -> None:
        self._look_at_path()
        self._listener.round_trip_measured(rtt_ms)

    def state_changed(self) -> None:
        self._look_at_path()
        self._listener.state_changed()

    def _take(self, packet: bytes, arrival: Arrival) -> None:
        if self.outlet is not None and self.outlet.pair is not None:
            self._tap(packet, self.outlet.pair, is_sent=False, now=arrival.now)

    def _look_at_path(self) -> None:
        # Asking costs too much for each packet, and paths change rarely.
        if self.outlet is not None:
            self.outlet.pair = self.outlet.transport.selected_pair


class TappedOutlet:
    """What sends of a transport: tells the tap, then the transport."""

    def __init__(self, transport: Transport, tap: PacketTap, clock: Callable[[], float]) -> None:
        self.transport = transport
        self.pair: tuple[Candidate, Candidate] | None = None
        self._tap = tap
        self._clock = clock

    def send_rtp(self, packet: bytes) -> None:
        self._take(packet)
        self.transport.send_rtp(packet)

    def send_rtcp(self, packet: bytes) -> None:
        self._take(packet)
        self.transport.send_rtcp(packet)

    def _take(self, packet: bytes) -> None:
        if self.pair is not None:
            self._tap(packet, self.pair, is_sent=True, now=self._clock())
