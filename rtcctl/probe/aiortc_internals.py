"""Everything of aiortc and aioice that is not their public interface: the one file to read when either is upgraded.

aiortc negotiates, connects and sends well enough; as a measuring instrument it has five gaps, mended here from the
outside and pinned by a test:

- it never gathers a loopback address, so it has no candidate at all where only `lo` is up;
- it starts the clock of an arriving packet after queues and decryption: here each datagram is stamped as it is read;
- its router forgets the MID, so m-sections that were added without `a=ssrc`, or re-used, receive nothing;
- each receiver owns a decoder thread that feeds an unbounded queue: here it ends at once, and aiortc's receivers
  only count packets and write receiver reports, as the second opinion;
- consent is asked for every five seconds, which is too rare for "no packet for five seconds is an outage".
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aioice.candidate import Candidate
from aioice.stun import TransactionError
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection
from aiortc.exceptions import InvalidStateError
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
from aiortc.rtp import RtpPacket

LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")

CONSENT_INTERVAL_S = 2.0
"Between two consent checks, ±20 %: two of them fit into the five seconds of silence that make an outage."

CONSENT_TIMEOUT_S = 30.0
"Without an answer for this long, consent to send is over (RFC 7675 §5.1)."

FIRST_CONSENT_S = 0.25
"The first check comes early, because it is also the first measurement of the round trip."


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a datagram was read from its socket."""

    now: float
    "Clock of the peer, seconds."
    monotonic_ns: int
    "CLOCK_MONOTONIC, comparable with the send time in the packets."


class Listener(Protocol):
    """What is told of each packet; `Peer` is one."""

    def datagram_received(self, arrival: Arrival) -> None:
        """Something of any kind arrived: RTP, RTCP, STUN, DTLS."""

    def rtp_received(self, data: bytes, mid: str | None, arrival: Arrival) -> str | None:
        """A decrypted RTP packet and the MID it carries, if any; the mid of the m-section it was counted for."""

    async def rtcp_received(self) -> None:
        """A compound packet was processed by aiortc: its counters may have moved."""

    def media_negotiated(self, mid: str, parameters: RTCRtpReceiveParameters) -> None:
        """An m-section that we receive was (re-)negotiated."""

    def round_trip_measured(self, rtt_ms: float) -> None:
        """A consent check was answered."""


class PeerConnection(RTCPeerConnection):
    """aiortc's peer connection with the gaps mended; one transport for everything (max-bundle)."""

    def __init__(self, listener: Listener, *, clock: Callable[[], float], include_loopback: bool) -> None:
        # Without an explicit list aiortc asks a public STUN server.
        super().__init__(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._listener = listener
        self._clock = clock
        self._include_loopback = include_loopback
        self._transport: Any = None
        self._connect_tasks: set[asyncio.Task[Any]] = set()

    @property
    def ice_connection(self) -> Any:
        """aioice's connection, `None` before the first m-section."""
        return None if self._transport is None else self._transport.transport._connection

    def selected_pair(self) -> tuple[Candidate, Candidate] | None:
        """The nominated local and remote candidate."""
        pair = None if self.ice_connection is None else self.ice_connection._nominated.get(1)
        return None if pair is None else (pair.local_candidate, pair.remote_candidate)

    def local_candidates(self) -> Sequence[Candidate]:
        return [] if self.ice_connection is None else self.ice_connection.local_candidates

    def remote_candidates(self) -> Sequence[Candidate]:
        return [] if self.ice_connection is None else self.ice_connection.remote_candidates

    def vanish(self) -> None:
        """Send nothing and hear nothing any more; what is open stays so."""
        for protocol in () if self.ice_connection is None else self.ice_connection._protocols:
            protocol.transport = _Mute(protocol.transport)
            protocol.datagram_received = lambda data, address: None

    async def close(self) -> None:
        """Close, and wait for the tasks that aiortc starts and forgets."""
        pump = None if self._transport is None else self._transport._task
        await super().close()
        closing = self._RTCPeerConnection__closeTask  # type: ignore[attr-defined]
        tasks = {*self._connect_tasks, pump, closing} - {None, asyncio.current_task()}
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- overridden private methods ------------------------------------------------------------------------------

    async def _RTCPeerConnection__connect(self) -> None:  # noqa: N802 (aiortc's name)
        task = asyncio.current_task()
        assert task is not None
        self._connect_tasks.add(task)
        try:
            await super()._RTCPeerConnection__connect()  # type: ignore[misc]
        except (ConnectionError, InvalidStateError):
            pass  # the transport's state says so, and that is what the peer looks at
        finally:
            self._connect_tasks.discard(task)

    def _RTCPeerConnection__createDtlsTransport(self) -> Any:  # noqa: N802 (aiortc's name)
        assert self._transport is None, "max-bundle has one transport"
        self._transport = super()._RTCPeerConnection__createDtlsTransport()  # type: ignore[misc]
        _tap(self._transport, self._listener, self._clock, self._include_loopback)
        return self._transport

    def _RTCPeerConnection__createTransceiver(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 (aiortc's name)
        transceiver = super()._RTCPeerConnection__createTransceiver(*args, **kwargs)  # type: ignore[misc]
        _count_only(transceiver.receiver, self._listener)
        return transceiver


class _Mute:
    """A datagram transport that sends nothing."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def sendto(self, data: bytes, address: object = None) -> None:
        """Nowhere."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _count_only(receiver: Any, listener: Listener) -> None:
    """Make a receiver count packets and report, without its decoder, and accept what a re-used m-section brings."""
    receive = receiver.receive

    async def count_only(parameters: RTCRtpReceiveParameters) -> None:
        await receive(parameters)
        receiver._handle_disconnect()  # ends the decoder's thread, and does nothing the second time
        receiver._RTCRtpReceiver__codecs.update({codec.payloadType: codec for codec in parameters.codecs})
        listener.media_negotiated(parameters.muxId, parameters)

    receiver.receive = count_only


def _tap(transport: Any, listener: Listener, clock: Callable[[], float], include_loopback: bool) -> None:
    """Put the listener between a DTLS transport and the sockets below it."""
    ice, connection = transport.transport, transport.transport._connection
    arrival = Arrival(0.0, 0)

    def stamp(protocol: Any) -> None:
        handle = protocol.datagram_received

        def datagram_received(data: bytes, address: tuple[Any, ...]) -> None:
            nonlocal arrival
            arrival = Arrival(clock(), time.monotonic_ns())
            listener.datagram_received(arrival)
            handle(data, address)

        protocol.datagram_received = datagram_received

    gather = connection.get_component_candidates

    async def get_component_candidates(component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
        # Loopback goes first: pairs of equal priority are checked in the order in which they were gathered.
        wanted = [*LOOPBACK_ADDRESSES, *addresses] if include_loopback else addresses
        candidates: list[Candidate] = await gather(component, wanted, timeout)
        for protocol in connection._protocols:
            stamp(protocol)
        return candidates

    def data_received(data: bytes, component: int) -> None:
        # The queue's second field is the component, which nobody reads: it carries the arrival instead.
        connection._queue.put_nowait((data, arrival))

    current = arrival

    async def receive() -> bytes:
        nonlocal current
        data, current = await connection.recvfrom()
        return data  # type: ignore[no-any-return]

    async def handle_rtp_data(data: bytes, arrival_time_ms: int) -> None:
        try:
            packet = RtpPacket.parse(data, transport._rtp_header_extensions_map)
        except ValueError:
            return
        mid = listener.rtp_received(data, packet.extensions.mid, current)
        receiver = transport._rtp_router.mid_table.get(mid)
        if receiver is not None:
            transport._rtp_router.ssrc_table[packet.ssrc] = receiver  # by which sender reports find it
            await receiver._handle_rtp_packet(packet, arrival_time_ms=arrival_time_ms)

    handle_rtcp = transport._handle_rtcp_data

    async def handle_rtcp_data(data: bytes) -> None:
        await handle_rtcp(data)
        await listener.rtcp_received()

    connection.get_component_candidates = get_component_candidates
    connection.data_received = data_received
    connection.query_consent = lambda: _query_consent(connection, listener, clock)
    ice._recv = receive
    transport._handle_rtp_data = handle_rtp_data
    transport._handle_rtcp_data = handle_rtcp_data


async def _query_consent(connection: Any, listener: Listener, clock: Callable[[], float]) -> None:
    """Ask for consent to send (RFC 7675) on the nominated pair, and measure the round trip of each question."""
    answered_at = clock()
    pause_s = FIRST_CONSENT_S
    while clock() - answered_at < CONSENT_TIMEOUT_S:
        await asyncio.sleep(pause_s)
        pause_s = CONSENT_INTERVAL_S * random.uniform(0.8, 1.2)
        for pair in list(connection._nominated.values()):
            request = connection.build_request(pair, nominate=False)
            asked_at = clock()
            key = connection.remote_password.encode()
            try:
                await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=1)
            except TransactionError:
                continue
            answered_at = clock()
            listener.round_trip_measured((answered_at - asked_at) * 1000)
    connection._query_consent_task = None  # or `close` would cancel and await this very task
    await connection.close()
