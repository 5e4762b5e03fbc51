"""aiortc's ICE, DTLS, SRTP and SCTP as a transport: the independent witness, which shares no line with the server.

Only aiortc's transports are used (the objects of ORTC), not its peer connection: that decodes and encodes per track,
forgets MIDs, loses re-used m-sections and renumbers payload types when it offers again. This is the one file of the
probe that knows private names of aiortc and aioice, the one to read when either is upgraded; a test pins them. What is
mended here from the outside:

- aiortc never gathers a loopback address, so it has no candidate at all where only `lo` is up;
- it starts the clock of an arriving packet after queues and decryption: here each datagram is stamped as it is read;
- aioice knows one TURN server, trusts the system's authorities alone, and takes TLS over UDP for UDP: relays are ours;
- consent is asked for every five seconds, which is too rare for "no packet for five seconds is an outage", and answers
  that take longer than a second are no consent;
- who is cancelled while aioice closes a connection never hears of it;
- on a data channel, text that is no UTF-8, and a channel that is opened in band twice, end the whole connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

from aioice.candidate import Candidate as IceCandidate
from aioice.ice import StunProtocol
from aioice.stun import Class
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport, RTCSctpTransport
from aiortc.exceptions import InvalidStateError
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceParameters
from aiortc.rtcsctptransport import WEBRTC_DCEP, WEBRTC_STRING, RTCSctpCapabilities

from rtcctl.media.sdp import Candidate
from rtcctl.media.stun import BINDING_ERROR
from rtcctl.probe.impaired import ImpairedPath, ImpairedTransport
from rtcctl.probe.transport import (
    CONSENT_INTERVAL_S,
    CONSENT_TIMEOUT_S,
    FIRST_CONSENT_S,
    Arrival,
    Listener,
    RemoteTransport,
    TransportState,
)
from rtcctl.probe.turn.relay import Relay, Relays

logger = logging.getLogger(__name__)

LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")

_ENDED = (TransportState.FAILED, TransportState.CLOSED)


class AiortcTransport:
    """See the module and `transport.Transport`. To be made in a running event loop."""

    def __init__(
        self,
        listener: Listener,
        *,
        clock: Callable[[], float],
        include_loopback: bool,
        relays: Relays | None = None,
        impaired: ImpairedPath | None = None,
    ) -> None:
        """`relays`: to use, and nothing else. `impaired`: what everything goes through, out and in."""
        self.relays = relays
        self._impaired = impaired
        self._listener = listener
        self._clock = clock
        self._include_loopback = include_loopback
        certificate = RTCCertificate.generateCertificate()
        # Without an explicit list aiortc asks a public STUN server.
        self._gatherer = RTCIceGatherer(iceServers=[])
        # Typed as anything: what is read and replaced here is private.
        self._ice: Any = RTCIceTransport(self._gatherer)
        self._dtls: Any = RTCDtlsTransport(self._ice, [certificate])
        self._sctp: RTCSctpTransport | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_gathered = False
        self._is_closed = False
        self._pair: tuple[Candidate, Candidate] | None = None
        self.state = TransportState.NEW
        self.candidates: tuple[Candidate, ...] = ()
        self.checking_at: float | None = None
        self.nominated_at: float | None = None
        self.connected_at: float | None = None
        self.arrival = Arrival(0.0, 0)
        "Of the datagram that is being handled."
        digests = certificate.getFingerprints()
        self.fingerprint: str = next(f.value for f in digests if f.algorithm == "sha-256")
        self._tap()

    # -- ours and theirs -----------------------------------------------------------------------------------------

    @property
    def ufrag(self) -> str:
        return str(self._ice._connection.local_username)

    @property
    def pwd(self) -> str:
        return str(self._ice._connection.local_password)

    @property
    def selected_pair(self) -> tuple[Candidate, Candidate] | None:
        pair = self._ice._connection._nominated.get(1)
        if pair is not None:
            self._pair = _candidate(pair.local_candidate), _candidate(pair.remote_candidate)
        return self._pair

    @property
    def sctp(self) -> RTCSctpTransport:
        """The SCTP association over this transport, made on first use."""
        if self._sctp is None:
            self._sctp = Association(self._dtls)
        return self._sctp

    # -- connecting ----------------------------------------------------------------------------------------------

    async def gather(self) -> None:
        if not self._is_gathered:
            self._is_gathered = True
            await self._gatherer.gather()
            self.candidates = tuple(_candidate(candidate) for candidate in self._ice._connection.local_candidates)

    def start(self, remote: RemoteTransport, *, is_dtls_server: bool) -> None:
        if self._task is None and self.state is TransportState.NEW:
            self.checking_at = self._clock()
            self._become(TransportState.CHECKING)
            work = self._connect(remote, is_dtls_server)
            self._task = asyncio.get_running_loop().create_task(work)

    async def start_sctp(self, port: int, max_message_size: int) -> None:
        """Open the association with the other end's SCTP port; only the first call does."""
        await self.sctp.start(RTCSctpCapabilities(maxMessageSize=max_message_size), port)

    async def _connect(self, remote: RemoteTransport, is_dtls_server: bool) -> None:
        ice, dtls, connection = self._ice, self._dtls, self._ice._connection
        # An ICE-lite server never checks; towards a full agent a conflict of roles resolves itself (RFC 8445 §7.3.1.1).
        connection.ice_controlling = True
        try:
            for candidate in remote.candidates:
                with suppress(ValueError):  # one that aioice cannot read may be followed by one that it can
                    await connection.add_remote_candidate(_ice_candidate(candidate))
            await connection.add_remote_candidate(None)
            await ice.start(
                RTCIceParameters(usernameFragment=remote.ufrag, password=remote.pwd, iceLite=remote.is_ice_lite)
            )
            if ice.state != "completed":
                self._become(TransportState.FAILED)
                return
            self.nominated_at = self._clock()
            self._become(TransportState.HANDSHAKING)
            dtls._set_role("server" if is_dtls_server else "client")
            fingerprints = [RTCDtlsFingerprint(algorithm=name, value=value) for name, value in remote.fingerprints]
            await dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
            if dtls.state != "connected":
                self._become(TransportState.FAILED)
                return
        except (ConnectionError, InvalidStateError, OSError):
            self._become(TransportState.FAILED)
            return
        self.connected_at = self._clock()
        self._become(TransportState.CONNECTED)
        dtls.on("statechange", self._dtls_changed)
        ice.on("statechange", self._ice_changed)

    def _dtls_changed(self) -> None:
        if self._dtls.state in ("closed", "failed"):
            self._become(TransportState.CLOSED)

    def _ice_changed(self) -> None:
        if self._ice.state == "failed":
            self._become(TransportState.FAILED)  # consent has expired

    def _become(self, state: TransportState) -> None:
        if self.state is not state and self.state not in _ENDED:
            self.state = state
            self._listener.state_changed()

    # -- packets -------------------------------------------------------------------------------------------------

    def send_rtp(self, packet: bytes) -> None:
        if self.state is TransportState.CONNECTED:
            self._send(self._dtls._tx_srtp.protect, packet)

    def send_rtcp(self, packet: bytes) -> None:
        if self.state is TransportState.CONNECTED:
            self._send(self._dtls._tx_srtp.protect_rtcp, packet)

    def _send(self, protect: Callable[[bytes], bytes], packet: bytes) -> None:
        sending = self._ice._send(protect(packet))
        try:
            sending.send(None)  # aioice awaits nothing in there
        except StopIteration:
            return
        except ConnectionError:
            return  # the path is going away, and the state will say so
        finally:
            sending.close()

    # -- the end -------------------------------------------------------------------------------------------------

    def vanish(self) -> None:
        if self._impaired is not None:
            self._impaired.vanish()
        for protocol in self._ice._connection._protocols:
            protocol.transport = _Mute(protocol.transport)
            protocol.datagram_received = lambda data, address: None
        if self.relays is not None:
            self.relays.fall_silent()

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        us = asyncio.current_task()
        cancelled = 0 if us is None else us.cancelling()
        tasks = {self._task, self._dtls._task} - {None, us}
        # Each of these is done whatever becomes of the one before, even when closing is cancelled.
        async with AsyncExitStack() as stack:
            if self.relays is not None:
                stack.push_async_callback(self.relays.wait_closed)
                stack.callback(self.relays.close)
            stack.push_async_callback(self._wait_for, tasks)
            stack.callback(self._become, TransportState.CLOSED)
            stack.push_async_callback(self._ice.stop)
            if self._impaired is not None:
                stack.callback(self._impaired.close)
            stack.push_async_callback(self._dtls.stop)
            if self._sctp is not None:
                await self._sctp.stop()
        if us is not None and us.cancelling() > cancelled:
            raise asyncio.CancelledError

    async def _wait_for(self, tasks: set[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Where a path was selected in the very moment of closing, aioice has begun to ask for consent after the end.
        consent = self._ice._connection._query_consent_task
        if consent is not None:
            consent.cancel()
            await asyncio.gather(consent, return_exceptions=True)

    # -- between aiortc's transport and the sockets below it -----------------------------------------------------

    def _tap(self) -> None:
        ice, dtls, connection, listener = self._ice, self._dtls, self._ice._connection, self._listener
        clock, include_loopback, impaired = self._clock, self._include_loopback, self._impaired
        arrival = self.arrival

        def stamp(protocol: Any) -> None:
            handle = protocol.datagram_received

            def datagram_received(data: bytes, address: tuple[Any, ...]) -> None:
                nonlocal arrival
                arrival = Arrival(clock(), time.monotonic_ns())
                if data[:2] != BINDING_ERROR:
                    listener.datagram_received(arrival)
                handle(data, address)

            protocol.datagram_received = datagram_received
            if impaired is not None:
                protocol.transport = ImpairedTransport(protocol.transport, impaired)
                protocol.datagram_received = lambda data, address: impaired.receive(
                    data, lambda held: datagram_received(held, address)
                )

        gather, relays = connection.get_component_candidates, self.relays

        async def get_component_candidates(
            component: int, addresses: list[str], timeout: int = 5
        ) -> list[IceCandidate]:
            if relays is not None:
                return await _relayed(relays, connection, stamp)
            # Loopback goes first: pairs of equal priority are checked in the order in which they were gathered.
            wanted = [*LOOPBACK_ADDRESSES, *addresses] if include_loopback else addresses
            candidates: list[IceCandidate] = await gather(component, wanted, timeout)
            for protocol in connection._protocols:
                stamp(protocol)
            return candidates

        def data_received(data: bytes, component: int) -> None:
            if not data:
                return  # anybody can send one, and aiortc would end the connection when it looks at the first byte
            # The queue's second field is the component, which nobody reads: it carries the arrival instead.
            connection._queue.put_nowait((data, arrival))

        async def receive() -> bytes:
            data, self.arrival = await connection.recvfrom()
            return data  # type: ignore[no-any-return]

        async def handle_rtp_data(data: bytes, arrival_time_ms: int) -> None:
            listener.rtp_received(data, self.arrival)

        async def handle_rtcp_data(data: bytes) -> None:
            listener.rtcp_received(data, self.arrival)

        connection.get_component_candidates = get_component_candidates
        connection.data_received = data_received
        connection.query_consent = lambda: _query_consent(connection, listener, clock)
        ice._recv = receive
        dtls._handle_rtp_data = handle_rtp_data
        dtls._handle_rtcp_data = handle_rtcp_data


async def _relayed(relays: Relays, connection: Any, stamp: Callable[[Any], None]) -> list[IceCandidate]:
    """Open the relays, each as what aioice has a socket for."""
    protocols: dict[Relay, StunProtocol] = {}

    def take(relay: Relay, data: bytes, addr: tuple[str, int]) -> None:
        protocols[relay].datagram_received(data, addr)

    await relays.open(take)
    for relay in relays.opened:
        protocol = protocols[relay] = StunProtocol(connection)
        protocol.local_candidate = _ice_candidate(relay.candidate)
        protocol.connection_made(_RelayTransport(relay, protocol))
        stamp(protocol)
        connection._protocols.append(protocol)
    return [protocol.local_candidate for protocol in protocols.values()]


class _RelayTransport(asyncio.DatagramTransport):
    """A relay as the datagram transport of an aioice protocol."""

    def __init__(self, relay: Relay, protocol: StunProtocol) -> None:
        super().__init__()
        self._relay = relay
        self._protocol = protocol
        relay.allocation.on_end = protocol.connection_lost

    def sendto(self, data: Any, addr: Any = None) -> None:
        self._relay.send(data, addr)

    def is_closing(self) -> bool:
        return not self._relay.allocation.is_alive

    def close(self) -> None:
        self._relay.allocation.close()
        # Which aioice waits for, and takes a second time.
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


class Association(RTCSctpTransport):
    """aiortc's SCTP, which no message of a stranger ends."""

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if pp_id == WEBRTC_DCEP:
            return  # channels in band (RFC 8832) reach nobody on Realtime
        if pp_id == WEBRTC_STRING:
            try:
                data.decode()
            except UnicodeDecodeError:
                logger.warning("data channel %s: a text that is no UTF-8 is dropped", stream_id)
                return
        await super()._receive(stream_id, pp_id, data)


class _Mute:
    """A datagram transport that sends nothing."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def sendto(self, data: bytes, address: object = None) -> None:
        """Nowhere."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Consent:
    """Consent to send on the nominated pair (RFC 7675), and the round trip of each request for it.

    An answer may take as long as consent lasts: on a path with long queues all of them are late.
    """

    def __init__(self, connection: Any, listener: Listener, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._listener = listener
        self._clock = clock
        self._answered_at = clock()
        self._requests: deque[_ConsentRequest] = deque()

    @property
    def is_lost(self) -> bool:
        return self._clock() - self._answered_at >= CONSENT_TIMEOUT_S

    def ask(self) -> None:
        """Ask anew; requests that are too old are given up."""
        now = self._clock()
        while self._requests and now - self._requests[0].asked_at >= CONSENT_TIMEOUT_S:
            self._requests.popleft().give_up()
        for pair in list(self._connection._nominated.values()):
            self._requests.append(_ConsentRequest(self, self._connection, pair, now))

    def answered(self, asked_at: float) -> None:
        self._answered_at = self._clock()
        self._listener.round_trip_measured((self._answered_at - asked_at) * 1000)


class _ConsentRequest:
    """Sent once; in place of a transaction of aioice's, which would not wait for long."""

    def __init__(self, consent: Consent, connection: Any, pair: Any, now: float) -> None:
        self.asked_at = now
        self._consent = consent
        self._key = connection.remote_password.encode()
        self._transactions = pair.protocol.transactions
        request = connection.build_request(pair, nominate=False)
        request.add_message_integrity(self._key)
        self._id = request.transaction_id
        self._transactions[self._id] = self
        pair.protocol.send_stun(request, pair.remote_addr)

    def response_received(self, message: Any, addr: tuple[str, int]) -> None:
        """aioice calls this with whatever bears our transaction id."""
        if message.message_class == Class.RESPONSE and message.check_message_integrity(self._key):
            self.give_up()
            self._consent.answered(self.asked_at)

    def give_up(self) -> None:
        """Wait no longer."""
        self._transactions.pop(self._id, None)


async def _query_consent(connection: Any, listener: Listener, clock: Callable[[], float]) -> None:
    """Ask for consent until it is lost."""
    consent = Consent(connection, listener, clock)
    pause_s = FIRST_CONSENT_S
    while not consent.is_lost:
        await asyncio.sleep(pause_s)
        pause_s = CONSENT_INTERVAL_S * random.uniform(0.8, 1.2)
        consent.ask()
    connection._query_consent_task = None  # or `close` would cancel and await this very task
    await connection.close()


def _candidate(candidate: IceCandidate) -> Candidate:
    return Candidate.parse(candidate.to_sdp())


def _ice_candidate(candidate: Candidate) -> IceCandidate:
    return IceCandidate.from_sdp(str(candidate))


__all__ = ["AiortcTransport"]
