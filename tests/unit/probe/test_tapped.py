"""The tap between a peer and its transport."""

from __future__ import annotations

from typing import Any

from rtcctl.media.sdp import Candidate
from rtcctl.probe.peer import Peer
from rtcctl.probe.tapped import TappedListener, TappedOutlet
from rtcctl.probe.transport import Arrival, Listener, Transport

OURS, THEIRS, ELSEWHERE = (Candidate.host(f"192.0.2.{number}", number) for number in (1, 2, 3))
RTP, RTCP = b"\x80\x6f" + b"\0" * 10, b"\x80\xc9" + b"\0" * 6


class FakeTransport:
    """Remembers what it was given to send."""

    def __init__(self) -> None:
        self.selected_pair: tuple[Candidate, Candidate] | None = None
        self.sent: list[bytes] = []

    def send_rtp(self, packet: bytes) -> None:
        self.sent.append(packet)

    send_rtcp = send_rtp


class FakeListener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *values: self.told.append((name, values[0] if values else None))


def test_both_sides_are_told_what_the_tap_takes():
    """Packets in both directions, between the addresses of the path that is selected, as soon as one is."""
    taken: list[tuple[bytes, tuple[Candidate, Candidate], bool, float]] = []

    def tap(packet: bytes, pair: tuple[Candidate, Candidate], *, is_sent: bool, now: float) -> None:
        taken.append((packet, pair, is_sent, now))

    transport, inner = FakeTransport(), FakeListener()
    listener = TappedListener(inner, tap)
    outlet = listener.outlet = TappedOutlet(transport, tap, lambda: 7.0)  # type: ignore[arg-type]
    arrival = Arrival(5.0, 0)
    listener.rtp_received(RTP, arrival)
    outlet.send_rtp(RTP)
    assert not taken, "there is no path yet"
    transport.selected_pair = OURS, THEIRS
    listener.state_changed()
    listener.rtp_received(RTP, arrival)
    listener.rtcp_received(RTCP, arrival)
    outlet.send_rtcp(RTCP)
    transport.selected_pair = OURS, ELSEWHERE
    outlet.send_rtp(RTP)
    listener.round_trip_measured(1.5)
    outlet.send_rtp(RTP)
    assert taken == [
        (RTP, (OURS, THEIRS), False, 5.0),
        (RTCP, (OURS, THEIRS), False, 5.0),
        (RTCP, (OURS, THEIRS), True, 7.0),
        (RTP, (OURS, THEIRS), True, 7.0),
        (RTP, (OURS, ELSEWHERE), True, 7.0),
    ]
    assert transport.sent == [RTP, RTCP, RTP, RTP]
    assert [name for name, _ in inner.told] == [
        "rtp_received",
        "state_changed",
        "rtp_received",
        "rtcp_received",
        "round_trip_measured",
    ]


def test_without_a_tap_nothing_stands_between():
    """The transport has the peer for its listener, and the peer sends to the transport itself."""
    listeners: list[Listener] = []

    def make(listener: Listener) -> Transport:
        listeners.append(listener)
        return FakeTransport()  # type: ignore[return-value]

    peer = Peer(include_loopback=True, transport=make)
    assert peer._open() is peer._outlet
    assert listeners == [peer]
