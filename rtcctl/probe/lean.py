"""A transport on the server's own parts: one socket, ICE by `media`, DTLS and SRTP by `transport`, no task at all.

It costs a packet a fraction of what aiortc's does, so that one core carries hundreds of peers. It is no witness: the
embedded server has the same code below its tracks. What needs one takes `aiortc_transport`.

Theory of operation
-------------------
The states are those of `transport.TransportState`. Everything happens in callbacks of the event loop, in three of them:
a datagram has arrived, the one timer has fired, or the peer sends something. After each mutation of the ICE agent or of
DTLS, `_advance` takes their events, sends what they have to send, and sets the timer anew. RTP and RTCP touch neither.

With the first path that is answered the socket is connected to it (`datagrams`). A peer that controls ICE may change
the path, and its requests come from elsewhere then: towards such a one the socket stays unconnected.

What the peer may do to us: before a path is selected, what any ICE agent lets it. DTLS is taken from addresses alone
that a check has verified; media must pass SRTP. FAILED: no candidate answers (40 s), the certificate is another one
than the description names, DTLS fails, or consent is lost (30 s). CLOSED: it says close_notify. Garbage is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from rtcctl.errors import NetworkError, ParseError
from rtcctl.media.ice import Address, AddressExpired, RemoteAddressSelected
from rtcctl.media.ice_controlling import IceControllingAgent
from rtcctl.media.sdp import Candidate
from rtcctl.media.stun import BINDING_ERROR, Message, is_stun
from rtcctl.probe.datagrams import Datagrams
from rtcctl.probe.impaired import ImpairedPath
from rtcctl.probe.transport import (
    CONSENT_INTERVAL_S,
    FIRST_CONSENT_S,
    Arrival,
    Listener,
    RemoteTransport,
    TransportState,
)
from rtcctl.probe.turn.datagrams import RelayedDatagrams
from rtcctl.probe.turn.relay import Relays
from rtcctl.transport.dtls import Certificate, DtlsEndpoint
from rtcctl.transport.srtp import SrtpSession

logger = logging.getLogger(__name__)

_CHECKS_S = 40.0
"""Without a path for this long there is none: the last candidate is given up 39.5 s after its first check (RFC 8489
§6.2.1). An ICE-lite peer is given up with the last of them, as it checks nothing itself."""
_SHORTEST_WAIT_S = 0.005
"Of the timer: OpenSSL calls its own due a little before it is."
_CONSENT_S = (0.8 * CONSENT_INTERVAL_S, 1.2 * CONSENT_INTERVAL_S)


class LeanTransport:
    """See the theory of operation, and `transport.Transport`, which this is one of."""

    def __init__(
        self,
        listener: Listener,
        *,
        clock: Callable[[], float],
        include_loopback: bool,
        host: str | None = None,
        relays: Relays | None = None,
        impaired: ImpairedPath | None = None,
    ) -> None:
        """`host`: the address of this machine to use, and no other. `relays`: to use, and nothing else.

        `impaired`: what everything goes through, out and in.
        """
        self.state = TransportState.NEW
        self.checking_at: float | None = None
        self.nominated_at: float | None = None
        self.connected_at: float | None = None
        self.selected_pair: tuple[Candidate, Candidate] | None = None
        self._listener = listener
        self._clock = clock
        self._include_loopback = include_loopback
        self._host = host
        self._loop: asyncio.AbstractEventLoop | None = None
        "Of `gather`."
        self.relays = relays
        take = self._received if impaired is None else self._impaired_received
        self._datagrams = Datagrams(take) if relays is None else RelayedDatagrams(take, self._path_lost, relays)
        self._send: Callable[[bytes, Address], None] = self._datagrams.send
        self._send_to_peer: Callable[[bytes | memoryview], None] = self._datagrams.send_to_peer
        self._impaired = impaired
        if impaired is not None:
            self._send = self._impaired_send
            self._send_to_peer = lambda data: impaired.send(bytes(data), self._datagrams.send_to_peer)
        self._view = self._datagrams.buffer.view
        self._pointer = self._datagrams.buffer.datagram
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        "Nothing is sent or heard any more: failed, closed, or vanished."
        self._agent = IceControllingAgent(
            secrets.token_hex(4),
            secrets.token_hex(16),
            tie_breaker=secrets.randbits(64),
            new_transaction_id=lambda: secrets.token_bytes(12),
            consent_s=_CONSENT_S,
            first_consent_s=FIRST_CONSENT_S,
        )
        self._remote: RemoteTransport | None = None
        self._dtls: DtlsEndpoint | None = None
        self._srtp: SrtpSession | None = None
        "None before the certificate was seen to be the right one, and after the end."

    # -- what a peer uses ----------------------------------------------------------------------------------------

    @property
    def ufrag(self) -> str:
        return self._agent.ufrag

    @property
    def pwd(self) -> str:
        return self._agent.pwd

    @property
    def fingerprint(self) -> str:
        return _certificate().fingerprint

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return self._datagrams.candidates

    @property
    def packets_dropped(self) -> int:
        """Datagrams that the kernel did not take: its buffer was full, or there was no way."""
        return self._datagrams.packets_dropped

    async def gather(self) -> None:
        if self._loop is None and not self._is_over:
            self._loop = asyncio.get_running_loop()
            await self._datagrams.open(self._host, include_loopback=self._include_loopback)

    def start(self, remote: RemoteTransport, *, is_dtls_server: bool) -> None:
        if self.state is not TransportState.NEW or self._is_over:
            return
        assert self._loop is not None, "gather() comes first"
        self._remote = remote
        self._dtls = DtlsEndpoint(_certificate(), is_server=is_dtls_server)
        now = self.checking_at = self._clock()
        self._set_state(TransportState.CHECKING)
        targets = sorted(filter(self._datagrams.is_reachable, remote.candidates), key=lambda c: -c.priority)
        self._agent.set_remote(remote.ufrag, remote.pwd, [(c.address, c.port) for c in targets], now)
        self._advance(now)

    def send_rtp(self, packet: bytes) -> None:
        if self._srtp is not None:
            protected = self._srtp.protect_rtp_kept(packet)
            if protected is not None:
                self._send_to_peer(protected)

    def send_rtcp(self, packet: bytes) -> None:
        if self._srtp is not None:
            protected = self._srtp.protect_rtcp(packet)
            if protected is not None:
                self._send_to_peer(protected)

    def vanish(self) -> None:
        self._is_over = True
        if self._impaired is not None:
            self._impaired.vanish()
        self._datagrams.fall_silent()
        self._drop_keys()
        self._cancel_timer()

    async def close(self) -> None:
        if self.state is not TransportState.CLOSED:
            self._end(TransportState.CLOSED, "by us")
            await self._datagrams.close()

    # -- what arrives --------------------------------------------------------------------------------------------

    def _received(self, size: int, addr: Address | None) -> None:
        """A datagram is in the buffer; `addr` is `None` for one from the selected address."""
        arrival = Arrival(self._clock(), time.monotonic_ns())
        view = self._view
        if size < 2:
            self._listener.datagram_received(arrival)
            return
        first = view[0]
        if first != BINDING_ERROR[0] or view[1] != BINDING_ERROR[1]:
            self._listener.datagram_received(arrival)
        if 128 <= first <= 191:
            srtp = self._srtp
            if srtp is None:
                return
            if 192 <= view[1] <= 223:
                size = srtp.unprotect_rtcp_in_place(self._pointer, size)
                if size >= 0:
                    self._listener.rtcp_received(bytes(view[:size]), arrival)
            else:
                size = srtp.unprotect_rtp_in_place(self._pointer, size)
                if size >= 0:
                    self._listener.rtp_received(bytes(view[:size]), arrival)
            return
        data = bytes(view[:size])
        source = addr or self._agent.selected
        if source is None or self._is_over:
            return
        if 20 <= first <= 63:
            self._dtls_received(data, source, arrival.now)
        elif is_stun(data):
            self._stun_received(data, source, arrival.now)

    def _stun_received(self, data: bytes, addr: Address, now: float) -> None:
        try:
            message = Message.parse(data)
        except ParseError:
            return
        self._agent.receive_message(message, addr, now)
        self._advance(now)

    def _dtls_received(self, data: bytes, addr: Address, now: float) -> None:
        if self._dtls is None or addr not in self._agent.addresses:
            return
        try:
            self._dtls.receive_datagram(data)
        except NetworkError as exc:
            self._end(TransportState.FAILED, str(exc))
            return
        if self._dtls.is_connected and self._srtp is None:
            self._finish_handshake(self._dtls, now)
        if self._dtls is not None and self._dtls.is_closed:
            self._end(TransportState.CLOSED, "by the peer")
        self._advance(now)

    # -- where packets are impaired ------------------------------------------------------------------------------

    def _impaired_send(self, data: bytes, addr: Address) -> None:
        assert self._impaired is not None
        self._impaired.send(data, lambda held: self._datagrams.send(held, addr))

    def _impaired_received(self, size: int, addr: Address | None) -> None:
        """As `_received`, of what the path lets through, with the relay that brought it."""
        assert self._impaired is not None
        heard: Any = self._datagrams.heard

        def deliver(data: bytes) -> None:
            self._datagrams.heard = heard
            self._view[: len(data)] = data
            self._received(len(data), addr)

        self._impaired.receive(bytes(self._view[:size]), deliver)

    # -- connecting ----------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Something was told to ICE or DTLS: send, react, set the timer."""
        while self._agent.round_trips_s:
            self._listener.round_trip_measured(self._agent.round_trips_s.popleft() * 1000)
        # Before anything is sent: a nomination goes the way that was selected, and by no other relay.
        while not self._is_over and (event := self._agent.next_event()) is not None:
            match event:
                case RemoteAddressSelected(addr):
                    self._select(addr, now)
                case AddressExpired() if self._agent.selected is None and self.nominated_at is not None:
                    self._end(TransportState.FAILED, "consent is lost")
        for data, addr in self._agent.datagrams_to_send(now):
            self._send(data, addr)
        self._send_dtls()
        self._set_timer(now)

    def _select(self, addr: Address, now: float) -> None:
        """Send to `addr` from now on."""
        assert self._remote is not None
        assert self._dtls is not None
        ours = self._datagrams.select(addr, may_connect=self._agent.is_controlling)
        self.selected_pair = ours, _candidate_of(addr, self._remote.candidates)
        if self.nominated_at is None:
            self.nominated_at = now
            if not self._dtls.is_server:
                self._dtls.start()
            self._set_state(TransportState.HANDSHAKING)

    def _finish_handshake(self, dtls: DtlsEndpoint, now: float) -> None:
        assert self._remote is not None
        self._send_dtls()  # the last flight, before anything else is said
        if not dtls.verify_fingerprint(self._remote.fingerprints):
            self._end(TransportState.FAILED, "the peer's certificate is not the one in its description")
            return
        try:
            self._srtp = SrtpSession(dtls.export_srtp_keys())
        except NetworkError as exc:
            self._end(TransportState.FAILED, str(exc))
            return
        self.connected_at = now
        self._set_state(TransportState.CONNECTED)

    def _send_dtls(self) -> None:
        if self._dtls is not None and self._agent.selected is not None:
            for datagram in self._dtls.datagrams_to_send():
                self._send(datagram, self._agent.selected)

    # -- the timer -----------------------------------------------------------------------------------------------

    def _set_timer(self, now: float) -> None:
        self._cancel_timer()
        if self._is_over or self._dtls is None:
            return
        waits = [self._dtls.get_timer()]
        agent_due = self._agent.get_timer()
        if agent_due is not None:
            waits.append(agent_due - now)
        elif self.state is TransportState.CHECKING:
            waits.append(self._patience_s(now))
        wait_s = min((wait for wait in waits if wait is not None), default=None)
        if wait_s is not None:
            assert self._loop is not None
            self._timer = self._loop.call_later(max(wait_s, _SHORTEST_WAIT_S), self._handle_timer)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _handle_timer(self) -> None:
        assert self._dtls is not None
        now = self._clock()
        dtls_wait_s = self._dtls.get_timer()
        if dtls_wait_s is not None and dtls_wait_s <= 0:
            try:
                self._dtls.handle_timer()
            except NetworkError as exc:
                self._end(TransportState.FAILED, str(exc))
                return
        self._agent.handle_timer(now)
        is_checking = self.state is TransportState.CHECKING
        if is_checking and self._agent.get_timer() is None and self._patience_s(now) <= 0:
            self._end(TransportState.FAILED, "no candidate answers")
        self._advance(now)

    def _patience_s(self, now: float) -> float:
        """For how long to wait for the peer's checks when ours are at an end."""
        assert self._remote is not None
        assert self.checking_at is not None
        return 0.0 if self._remote.is_ice_lite else self.checking_at + _CHECKS_S - now

    # -- the end -------------------------------------------------------------------------------------------------

    def _end(self, state: TransportState, reason: str) -> None:
        """Say goodbye where there is somebody to hear it, and release everything."""
        logger.debug("the connection is %s: %s", state, reason)
        self._is_over = True
        if self._dtls is not None:
            self._dtls.close()
            self._send_dtls()
            self._dtls = None
        if self._impaired is not None:
            self._impaired.close()
        self._datagrams.release()
        self._drop_keys()
        self._cancel_timer()
        self._set_state(state)

    def _path_lost(self, error: NetworkError) -> None:
        """The relay is no more, and the path with it."""
        if not self._is_over:
            self._end(TransportState.FAILED, str(error))

    def _drop_keys(self) -> None:
        if self._srtp is not None:
            self._srtp.close()
            self._srtp = None

    def _set_state(self, state: TransportState) -> None:
        if state is not self.state:
            self.state = state
            self._listener.state_changed()


@cache
def _certificate() -> Certificate:
    """One for all peers of the process: making one takes longer than a handshake."""
    return Certificate.generate()


def _candidate_of(addr: Address, candidates: Sequence[Candidate]) -> Candidate:
    """The candidate at an address, or one that nobody has named: peer-reflexive (RFC 8445 §7.2.5.3.1)."""
    host, port = addr[:2]
    for candidate in candidates:
        if (candidate.address, candidate.port) == (host, port):
            return candidate
    priority = (110 << 24) | (0xFFFF << 8) | 255
    return Candidate("prflx", 1, "udp", priority, host, port, "prflx")
