"""One session's transport: ICE-lite, DTLS-SRTP, its tracks and their RTCP.

Theory of operation

    NEW ──set_remote──▶ CONNECTING ──check, handshake, fingerprint──▶ CONNECTED ⇄ DISCONNECTED
      └────────────────────┴──────────── close, close_notify, wrong certificate ──────┴──▶ CLOSED

The endpoint brings datagrams: STUN by the user fragment that it names, everything else by the address it came from,
which a check with valid integrity has verified before. Nothing else reaches a connection. DISCONNECTED means 5 s
without an authenticated packet (a check, DTLS, SRTP); the next one ends it.

Checks and the client's first DTLS flight may come before its answer does, since the answer takes the way through the
application: they are answered, and the flight is kept until `set_remote`.

*An ICE restart* is a `set_remote` with other credentials: ours change with it (read `ice_ufrag` and `ice_pwd` after
it), DTLS and SRTP go on, and media moves to the new address with the first check there.

Each `RTCP_INTERVAL_S` a connection with tracks sends a sender report for each subscription that has sent, and a block
of a receiver report for each published track. Timers are looked at by `handle_timer`, which the endpoint calls when
`deadline` has passed; nothing here runs by itself.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from random import Random
from struct import Struct
from typing import TYPE_CHECKING, Any

from rtcctl.errors import NetworkError
from rtcctl.media.clock import ntp_from_unix, unix_from_ntp
from rtcctl.media.codec import Codec
from rtcctl.media.ice import AddressExpired, AddressVerified, CredentialsRetired, IceLiteAgent, RemoteAddressSelected
from rtcctl.media.rewrite import HEADROOM, payload_offset
from rtcctl.media.rtcp import (
    GenericNack,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    compound,
    parse_compound,
)
from rtcctl.media.rtp import RtpHeader
from rtcctl.media.stun import Message
from rtcctl.server.forward import IncomingTrack, OutgoingTrack
from rtcctl.transport.dtls import DtlsEndpoint
from rtcctl.transport.srtp import SrtpSession
from rtcctl.transport.udp import Address, ReceiveBuffer, UdpSocket

if TYPE_CHECKING:
    from rtcctl.server.endpoint import Endpoint

logger = logging.getLogger(__name__)

SILENCE_S = 5.0
"Without an authenticated packet for this long a connection is DISCONNECTED."
RTCP_INTERVAL_S = 0.9
"With the granularity of the endpoint's timer, less than a second."

_FIXED = Struct("!BBHII")
_EARLY_DATAGRAMS = 4
"DTLS datagrams kept until the peer's description comes: a ClientHello, sent again once or twice."
_FOREIGN_SSRCS = 64
"SSRCs that belong to no track, for which libsrtp may keep state."
_SSRCS_PER_TRACK = 16
"SSRCs that one m-section may have used, for the same reason."
_BLOCKS_PER_REPORT = 31
_REPORTS_PER_PACKET = 15
"Sender reports with their CNAMEs in one compound packet, so that it fits a datagram."
_UFRAG_BYTES, _PWD_BYTES = 6, 18
"Of randomness, multiples of 3; RFC 8445 §5.3 asks for 24 and 128 bits."


class ConnectionState(Enum):
    """See the theory of operation."""

    NEW = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    DISCONNECTED = auto()
    CLOSED = auto()


class Connection:
    """The transport of one session. Made by `Endpoint.open`."""

    def __init__(
        self, endpoint: Endpoint, udp: UdpSocket, *, random: Random, clock: Callable[[], float], clock_offset_s: float
    ) -> None:
        self.state = ConnectionState.NEW
        self.on_state: Callable[[ConnectionState], None] | None = None
        "Called after each change of `state`."
        self.deadline = clock() + RTCP_INTERVAL_S * random.random()
        "Monotonic seconds: when `handle_timer` is due. Spread, so that reports of many sessions are."
        self.cname = f"{random.getrandbits(96):024x}"
        "RTCP's name for this publisher, no secret and nobody's name (RFC 7022)."
        self.last_packet_at = clock()
        "Monotonic seconds: the newest authenticated packet, or the start."
        self.srtp_sender: Any = None
        self.name: Any = None
        "Of the peer's address, for the socket's batch; None while there is none."
        self.remote_clock_offset_s = 0.0
        "From our wall clock to the peer's, by its first sender report."
        self._name: tuple[Any, Any] | None = None
        self._endpoint = endpoint
        self._udp = udp
        self._random = random
        self._clock = clock
        self._clock_offset_s = clock_offset_s
        self._agent = IceLiteAgent(*self._credentials())
        self._remote: tuple[str, str] | None = None
        self._fingerprints: tuple[tuple[str, str], ...] = ()
        self._dtls: DtlsEndpoint | None = None
        self._early: list[bytes] = []
        self._srtp: SrtpSession | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._ssrc = random.getrandbits(32)
        "Ours, as a receiver."
        self._incoming: list[IncomingTrack] = []
        self._by_ssrc: dict[int, IncomingTrack] = {}
        self._foreign_ssrcs: set[int] = set()
        self._outgoing: dict[int, OutgoingTrack] = {}
        self._used_ssrcs: set[int] = {self._ssrc}
        self._rtcp_at = self.deadline
        self._has_remote_clock = False

    # What the session uses

    @property
    def ice_ufrag(self) -> str:
        """Ours, for the next description."""
        return self._agent.ufrag

    @property
    def ice_pwd(self) -> str:
        """Ours, for the next description."""
        return self._agent.pwd

    @property
    def silent_s(self) -> float:
        """Seconds since the last authenticated packet."""
        return self._clock() - self.last_packet_at

    def set_remote(self, *, ice_ufrag: str, ice_pwd: str, fingerprints: Sequence[tuple[str, str]], setup: str) -> None:
        """Take the peer's description up; repeatable. Other credentials than before are an ICE restart.

        The DTLS role is fixed by the first: peer `passive` makes us the client, all else the server (RFC 8842 §5.3).
        """
        if self.state is ConnectionState.CLOSED:
            return
        self._fingerprints = tuple(fingerprints)
        if self._remote not in (None, (ice_ufrag, ice_pwd)):
            retired = self._agent.restart(*self._credentials())
            self._endpoint.name(self._agent.ufrag, self)
            if retired is not None:
                self._endpoint.unname(retired)
        self._remote = ice_ufrag, ice_pwd
        if self._dtls is None:
            self._dtls = DtlsEndpoint(self._endpoint.certificate, is_server=setup != "passive")
            self._set_state(ConnectionState.CONNECTING)
            now = self._clock()
            for datagram in self._early:
                self.receive_dtls(datagram, now)
            self._early.clear()
            self._start_dtls(now)
        elif self._srtp is not None and not self._dtls.verify_fingerprint(self._fingerprints):
            self._fail("the new description names another certificate")

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait until CONNECTED; False when it is not in time, or closed."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.state not in (ConnectionState.CONNECTED, ConnectionState.CLOSED):
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiters.append(waiter)
                    await waiter
        except TimeoutError:
            return False
        return self.state is ConnectionState.CONNECTED

    def publish(
        self,
        *,
        mid: str,
        kind: str,
        codecs: Sequence[Codec],
        ssrcs: Sequence[int],
        mid_extension_id: int | None,
    ) -> IncomingTrack:
        """A track that the peer sends on the m-section `mid`.

        Its packets are told by SSRC, else by the MID header extension, else by a payload type that no other m-section
        of the session has (RFC 9143 §9.2).
        """
        track = IncomingTrack(
            self,
            self._udp,
            mid=mid,
            kind=kind,
            codecs=codecs,
            mid_extension_id=mid_extension_id,
            public_ssrc=self._random.getrandbits(32),
            clock=self._clock,
        )
        self._incoming.append(track)
        self.deadline = min(self.deadline, self._rtcp_at)
        for ssrc in ssrcs:
            self._by_ssrc[ssrc] = track
        return track

    def subscribe(
        self, incoming: IncomingTrack, *, mid: str, codecs: Sequence[Codec], mid_extension_id: int | None
    ) -> OutgoingTrack:
        """Forward another connection's track on the m-section `mid`; begins with `OutgoingTrack.negotiate`."""
        ssrc = incoming.public_ssrc
        while ssrc in self._used_ssrcs:
            ssrc = self._random.getrandbits(32)
        self._used_ssrcs.add(ssrc)
        track = OutgoingTrack(self, incoming, self._udp, mid=mid, ssrc=ssrc, mid_extension_id=mid_extension_id)
        self._outgoing[ssrc] = track
        self.deadline = min(self.deadline, self._rtcp_at)
        incoming.subscriptions.append(track)
        return track

    def close(self) -> None:
        """End it: tracks, close_notify, keys."""
        if self.state is ConnectionState.CLOSED:
            return
        for outgoing in list(self._outgoing.values()):
            outgoing.close()
        for incoming in list(self._incoming):
            incoming.close()
        if self._dtls is not None:
            self._dtls.close()
            self._send_dtls()
            self._dtls = None
        self.srtp_sender = None
        if self._srtp is not None:
            self._srtp.close()
            self._srtp = None
        self._endpoint.forget(self, self._agent.ufrags, self._agent.addresses)
        self._use_address(None)
        self._set_state(ConnectionState.CLOSED)

    # What tracks use

    def forget_incoming(self, track: IncomingTrack) -> None:
        """`track` has ended; its packets belong nowhere."""
        self._incoming.remove(track)
        self._by_ssrc = {ssrc: other for ssrc, other in self._by_ssrc.items() if other is not track}

    def forget_outgoing(self, track: OutgoingTrack) -> None:
        """`track` has ended. Its SSRC is not used again."""
        del self._outgoing[track.ssrc]

    def request_retransmissions(self, track: IncomingTrack, now: float) -> None:
        """Send a NACK for what `track` misses now."""
        numbers = track.lost_packets(now)
        if numbers and track.ssrc is not None:
            self._send_rtcp(compound(ReceiverReport(self._ssrc), GenericNack(self._ssrc, track.ssrc, numbers)))
        if (due := track.get_timer()) is not None:
            self.deadline = min(self.deadline, due)

    # What the endpoint brings

    def receive_stun(self, message: Message, addr: Address, now: float) -> None:
        """A STUN message that names one of our user fragments."""
        if self._agent.receive_message(message, addr, now):
            self._heard(now)
        for data, to in self._agent.datagrams_to_send(now):
            self._udp.send(data, to)
        while (event := self._agent.next_event()) is not None:
            match event:
                case AddressVerified(verified):
                    self._endpoint.route(verified, self)
                case AddressExpired(expired):
                    self._endpoint.unroute(expired, self)
                case CredentialsRetired(ufrag):
                    self._endpoint.unname(ufrag)
                case RemoteAddressSelected(selected):
                    self._use_address(selected)
                    self._start_dtls(now)

    def receive_dtls(self, data: bytes, now: float) -> None:
        """A DTLS datagram from a verified address."""
        if self._dtls is None:
            if len(self._early) < _EARLY_DATAGRAMS:
                self._early.append(data)
            return
        try:
            self._dtls.receive_datagram(data)
        except NetworkError as exc:
            self._send_dtls()
            self._fail(str(exc))
            return
        self._send_dtls()
        self._heard(now)
        if self._dtls.is_connected and self._srtp is None:
            self._finish_handshake(now)
        elif self._dtls.is_closed:
            self.close()

    def receive_media(self, buffer: ReceiveBuffer, size: int, now: float) -> None:
        """An SRTP or SRTCP packet from a verified address. ParseError when what was encrypted is malformed."""
        srtp = self._srtp
        if srtp is None or size < 12:
            return
        memory = buffer.memory
        if 192 <= memory[HEADROOM + 1] <= 223:
            self._receive_rtcp(srtp, buffer, size, now)
            return
        fields = _FIXED.unpack_from(memory, HEADROOM)
        ssrc = fields[4]
        track = self._by_ssrc.get(ssrc)
        if track is None and not self._may_keep(ssrc):
            return
        size = srtp.unprotect_rtp_in_place(buffer.datagram, size)
        if size < 0:
            return
        if self.state is ConnectionState.DISCONNECTED:
            self._heard(now)
        self.last_packet_at = now
        if track is None:
            track = self._find_track(ssrc, bytes(memory[HEADROOM : HEADROOM + size]))
            if track is None:
                return
        end = HEADROOM + size
        track.receive(buffer, payload_offset(memory, HEADROOM, end), end, fields, now)

    def handle_timer(self, now: float) -> None:
        """Do what is due and set the next `deadline`."""
        deadline = now + RTCP_INTERVAL_S
        if self._dtls is not None and (remaining := self._dtls.get_timer()) is not None:
            if remaining <= 0:
                try:
                    self._dtls.handle_timer()
                except NetworkError as exc:
                    self._fail(str(exc))
                    return
                self._send_dtls()
                remaining = self._dtls.get_timer() or RTCP_INTERVAL_S
            deadline = min(deadline, now + remaining)
        if self.state is ConnectionState.CONNECTED and now - self.last_packet_at >= SILENCE_S:
            self._set_state(ConnectionState.DISCONNECTED)
        if self._srtp is not None and not self._incoming and not self._outgoing:
            # Idle: nothing to report, only silence to notice. A thousand of these must cost nothing.
            deadline = max(now + RTCP_INTERVAL_S, self.last_packet_at + SILENCE_S)
        elif self._srtp is not None:
            if now >= self._rtcp_at:
                self._rtcp_at = now + RTCP_INTERVAL_S
                for packet in self._reports(now):
                    self._send_rtcp(packet)
            deadline = min(deadline, self._rtcp_at)
        self.deadline = deadline
        for track in self._incoming:
            if track.get_timer() is not None:
                self.request_retransmissions(track, now)

    def lose_address(self, addr: Address) -> None:
        """Another connection has verified `addr`: nothing of ours goes there any more."""
        if self._agent.forget(addr):
            self._use_address(None)

    # ICE and DTLS

    def _use_address(self, addr: Address | None) -> None:
        self._udp.flush()  # the batch may point at the old name
        old, self._name = self._name, None if addr is None else self._udp.name_of(addr)
        self.name = None if self._name is None else self._name[0]
        self._update_outgoing()
        del old  # only now: subscriptions had pointed at it

    def _credentials(self) -> tuple[str, str]:
        # The characters of base64 are those of ICE (RFC 8839 §5.4).
        drawn = b64encode(self._random.randbytes(_UFRAG_BYTES + _PWD_BYTES)).decode("ascii")
        split = _UFRAG_BYTES // 3 * 4
        return drawn[:split], drawn[split:]

    def _start_dtls(self, now: float) -> None:
        """As the DTLS client, say hello as soon as there is somebody to say it to."""
        if self._dtls is not None and not self._dtls.is_server and self.name is not None:
            if not self._dtls.is_connected:
                self._dtls.start()
            self._send_dtls()
            self.deadline = now

    def _send_dtls(self) -> None:
        addr = self._agent.selected
        if self._dtls is not None and addr is not None:
            for datagram in self._dtls.datagrams_to_send():
                self._udp.send(datagram, addr)

    def _finish_handshake(self, now: float) -> None:
        assert self._dtls is not None
        if not self._dtls.verify_fingerprint(self._fingerprints):
            self._fail("the peer's certificate is not the one in its description")
            return
        try:
            self._srtp = SrtpSession(self._dtls.export_srtp_keys())
        except NetworkError as exc:
            self._fail(str(exc))
            return
        self.srtp_sender = self._srtp.sender
        self._rtcp_at = min(self._rtcp_at, now + RTCP_INTERVAL_S * self._random.random())
        self._update_outgoing()
        self._set_state(ConnectionState.CONNECTED)

    def _fail(self, reason: str) -> None:
        logger.warning("connection ufrag=%s ends: %s", self.ice_ufrag, reason)
        self.close()

    def _heard(self, now: float) -> None:
        self.last_packet_at = now
        if self.state is ConnectionState.DISCONNECTED:
            self._set_state(ConnectionState.CONNECTED)

    def _set_state(self, state: ConnectionState) -> None:
        if state is self.state:
            return
        self.state = state
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        if self.on_state is not None:
            self.on_state(state)

    # Media

    def _update_outgoing(self) -> None:
        for track in list(self._outgoing.values()):
            track.update()

    def _may_keep(self, ssrc: int) -> bool:
        """Whether libsrtp may be asked about an SSRC of no track: it keeps state for each that it can decrypt."""
        return ssrc in self._foreign_ssrcs or len(self._foreign_ssrcs) < _FOREIGN_SSRCS

    def _find_track(self, ssrc: int, packet: bytes) -> IncomingTrack | None:
        """The track that a new SSRC belongs to; remembered."""
        header = RtpHeader.parse(packet)
        track = next(
            (
                track
                for track in self._incoming
                if track.mid_extension_id is not None
                and header.extensions.get(track.mid_extension_id) == track.mid.encode()
            ),
            None,
        )
        if track is None:
            takers = [t for t in self._incoming if any(c.payload_type == header.payload_type for c in t.codecs)]
            track = takers[0] if len(takers) == 1 else None
        if track is None or sum(other is track for other in self._by_ssrc.values()) >= _SSRCS_PER_TRACK:
            self._foreign_ssrcs.add(ssrc)
            return None
        self._by_ssrc[ssrc] = track
        return track

    # RTCP

    def _wallclock(self, now: float) -> float:
        return now + self._clock_offset_s

    def _receive_rtcp(self, srtp: SrtpSession, buffer: ReceiveBuffer, size: int, now: float) -> None:
        size = srtp.unprotect_rtcp_in_place(buffer.datagram, size)
        if size < 0:
            return
        self._heard(now)
        ntp = ntp_from_unix(self._wallclock(now))
        for packet in parse_compound(bytes(buffer.memory[HEADROOM : HEADROOM + size])):
            match packet:
                case SenderReport():
                    self._receive_sender_report(packet, now)
                    self._receive_blocks(packet.reports, ntp)
                case ReceiverReport():
                    self._receive_blocks(packet.reports, ntp)
                case GenericNack():
                    if (outgoing := self._outgoing.get(packet.media_ssrc)) is not None:
                        outgoing.retransmit(packet.sequence_numbers)
                case _:
                    pass  # what forwards nothing and reports nothing needs no answer

    def _receive_sender_report(self, report: SenderReport, now: float) -> None:
        if not self._has_remote_clock:
            self._has_remote_clock = True
            self.remote_clock_offset_s = unix_from_ntp(report.ntp_timestamp) - self._wallclock(now)
        track = self._by_ssrc.get(report.ssrc)
        if track is not None and track.ssrc == report.ssrc:
            track.receive_sender_report(report, now)

    def _receive_blocks(self, blocks: Iterable[ReportBlock], ntp: int) -> None:
        for block in blocks:
            if (outgoing := self._outgoing.get(block.ssrc)) is not None:
                outgoing.receive_report(block, ntp)

    def _reports(self, now: float) -> list[bytes]:
        """The compound packets due now (RFC 3550 §6.1): reports first, then the CNAMEs."""
        if not self._incoming and not self._outgoing:
            return []
        wallclock = self._wallclock(now)
        ntp = ntp_from_unix(wallclock)
        blocks = [block for track in self._incoming if (block := track.report_block(now)) is not None]
        senders = [
            (report, track.source_chunk)
            for track in self._outgoing.values()
            if (report := track.sender_report(ntp, wallclock, now)) is not None
        ]
        packets = []
        for start in range(0, max(len(blocks), 0 if senders else 1), _BLOCKS_PER_REPORT):
            received = ReceiverReport(self._ssrc, tuple(blocks[start : start + _BLOCKS_PER_REPORT]))
            packets.append(compound(received, SourceDescription.of(self._ssrc, self.cname)))
        for start in range(0, len(senders), _REPORTS_PER_PACKET):
            part = senders[start : start + _REPORTS_PER_PACKET]
            reports, chunks = zip(*part, strict=True)
            packets.append(compound(*reports, SourceDescription(chunks)))
        return packets

    def _send_rtcp(self, packet: bytes) -> None:
        if self._srtp is not None and self.name is not None:
            protected = self._srtp.protect_rtcp(packet)
            if protected is not None:
                self._udp.put(protected, self.name)
