"""What a peer needs below its media: ICE, DTLS and SRTP as one thing that carries RTP and RTCP.

`Peer` negotiates, sends and measures above this protocol and knows no transport. There are two: `aiortc_transport` (the
default, and the independent witness, since it shares no line with the embedded server) and `lean` (on the server's own
parts, many times cheaper, for load and broadcast).

    NEW ──start──▶ CHECKING ──a path is selected──▶ HANDSHAKING ──keys, fingerprint──▶ CONNECTED
     │                │                                  │                                │
     │                ├──── no path ─────────────────────┼──── wrong certificate ─────────┼─ no consent ──▶ FAILED
     └────────────────┴──── close, or a close_notify of the peer ─────────────────────────┴───────────────▶ CLOSED

FAILED and CLOSED are final, but that a FAILED transport can be closed. The listener is told of each change after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from rtcctl.media.sdp import Candidate

if TYPE_CHECKING:
    from rtcctl.probe.turn.relay import Relays

FIRST_CONSENT_S = 0.25
"From being connected to the first consent check: early, because it is the first measurement of the round trip, too."

CONSENT_INTERVAL_S = 2.0
"Between two consent checks, ±20 %: two of them fit into the five seconds of silence that make an outage."

CONSENT_TIMEOUT_S = 30.0
"Without an answer for this long, consent to send is over (RFC 7675 §5.1), and the connection has FAILED."


@dataclass(slots=True)
class Arrival:
    """When a datagram was read from its socket. Not frozen: one is made for each packet."""

    now: float
    "Clock of the peer, seconds."
    monotonic_ns: int
    "CLOCK_MONOTONIC, comparable with the send time in the packets."


@dataclass(frozen=True, slots=True)
class RemoteTransport:
    """What a session description says of its author's transport."""

    ufrag: str
    pwd: str
    fingerprints: tuple[tuple[str, str], ...]
    "Hash function and value (RFC 8122 §5)."
    candidates: tuple[Candidate, ...]
    is_ice_lite: bool


class Listener(Protocol):
    """What is told of each packet; `Peer` is one. Calls come in the order of arrival, on the event loop."""

    def datagram_received(self, arrival: Arrival) -> None:
        """Something of any kind arrived: RTP, RTCP, STUN, DTLS, or garbage; but no refusal of a STUN request.

        Who says 401 to a consent check is not the peer: a server, perhaps, that was started anew and knows nobody.
        """

    def rtp_received(self, packet: bytes, arrival: Arrival) -> None:
        """An RTP packet came through SRTP; nothing but its length (12 bytes or more) has been looked at."""

    def rtcp_received(self, data: bytes, arrival: Arrival) -> None:
        """A compound RTCP packet came through SRTCP; it is not parsed."""

    def round_trip_measured(self, rtt_ms: float) -> None:
        """A consent check was answered."""

    def state_changed(self) -> None:
        """`Transport.state` is another one now."""


class TransportState(StrEnum):
    """See the theory of operation."""

    NEW = "new"
    CHECKING = "checking"
    HANDSHAKING = "handshaking"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


class Transport(Protocol):
    """See the theory of operation."""

    @property
    def state(self) -> TransportState:
        """Where it stands."""

    @property
    def checking_at(self) -> float | None:
        """Clock, when connectivity checks began."""

    @property
    def nominated_at(self) -> float | None:
        """Clock, when a path was selected."""

    @property
    def connected_at(self) -> float | None:
        """Clock, when the handshake was complete and the certificate the right one."""

    async def gather(self) -> None:
        """Open sockets and collect candidates. What is below may be read after it; only the first call does something.

        `NetworkError` with phase `ice` when no socket can be opened, with phase `turn` when no relay can. No address
        at all is no error: no candidates.
        """

    @property
    def ufrag(self) -> str:
        """Ours (RFC 8445 §5.3)."""

    @property
    def pwd(self) -> str:
        """Ours."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of our certificate, as a description writes it."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Ours, best first."""

    def start(self, remote: RemoteTransport, *, is_dtls_server: bool) -> None:
        """Connect, in the background, after `gather`. Only the first call does something."""

    def send_rtp(self, packet: bytes) -> None:
        """Protect and send an RTP packet; silently nothing unless CONNECTED."""

    def send_rtcp(self, packet: bytes) -> None:
        """The same for a compound RTCP packet."""

    @property
    def selected_pair(self) -> tuple[Candidate, Candidate] | None:
        """Our candidate and the peer's of the selected path; it stays after the end."""

    @property
    def relays(self) -> Relays | None:
        """What everything goes through, where that is TURN alone."""

    def vanish(self) -> None:
        """Be gone without a goodbye, as by a crash: nothing is sent or heard any more, what is open stays so."""

    async def close(self) -> None:
        """Say close_notify where there is somebody to hear it, release everything; harmless the second time."""
