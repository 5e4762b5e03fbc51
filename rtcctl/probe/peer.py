"""A WebRTC peer that measures: offer or answer, connect, publish sources, receive, be told of an outage.

A peer negotiates, sends and receives above a transport (`transport.py`) that it does not know; descriptions are ours
(`negotiation.py`), and so is RTP (`sender.py`, `receiver.py`). The times of a connection:

    create_offer/answer      set_answer/answer          ICE nominated       DTLS finished
    ───────┬──────────────────────┬──────────────────────────┬───────────────────┬─────────
           gather            checks begin ── ice_ms ─────────┴──── dtls_ms ──────┘ media

A peer ends when it is closed, when DTLS says close_notify, when ICE or DTLS fails, or when consent to send expires
(30 s). Long before that, silence tells: `wait_lost` returns once no packet of any kind came for some seconds.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, Self

from rtcctl.errors import ApiError, NetworkError, ParseError, RtcctlError, UsageError
from rtcctl.media import extensions as ext
from rtcctl.media.rtp import RtpHeader
from rtcctl.media.sdp import Candidate, Direction, SessionDescription, Setup
from rtcctl.media.server_url import Protocol
from rtcctl.probe import negotiation
from rtcctl.probe.impaired import ImpairedPath
from rtcctl.probe.negotiation import APPLICATION, LocalTransport, Section
from rtcctl.probe.receiver import Receiver
from rtcctl.probe.rtcp_reporter import RtcpReporter
from rtcctl.probe.sender import Encoding, Layer, Sender
from rtcctl.probe.sources import Source
from rtcctl.probe.tapped import Outlet, PacketTap, TappedListener, TappedOutlet
from rtcctl.probe.transport import Arrival, Listener, RemoteTransport, Transport, TransportState
from rtcctl.probe.turn.relay import Relays, RelaySettings

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel
    from rtcctl.probe.recording import PeerRecording
    from rtcctl.probe.sinks.play import Player

ROUND_TRIPS = 8
"Consent checks whose median is the round trip."

_MAX_ROUTES = 1000
"SSRCs whose m-section is remembered, beside those that a description names."

_HEADER = struct.Struct("!BBHII")
_ENDED = (TransportState.FAILED, TransportState.CLOSED)
_STATES = {TransportState.CHECKING: "connecting", TransportState.HANDSHAKING: "connecting"}


@dataclass(frozen=True, slots=True)
class ConnectionTiming:
    """How long connecting took, and over which path."""

    ice_ms: float
    dtls_ms: float
    candidate_pair: str
    "As `127.0.0.1:41234 → 127.0.0.1:8610 host/udp`, or `… relay/udp via turns:127.0.0.1:5349?transport=tcp (tls)`."
    candidate_type: str
    "Of our candidate: `host`, `srflx`, `prflx`, `relay`."
    relay_protocol: Protocol | None = None
    "How we speak to the TURN server of a relayed candidate: `udp`, `tcp`, `tls`."
    url: str | None = None
    "Of that TURN server."


class Peer:
    """One peer connection; use it as an async context manager.

    `clock`: the event loop's, by which things are due. `include_loopback`: offer 127.0.0.1 as well, for a Realtime on
    this machine. `transport`: aiortc's, which shares nothing with the embedded server, or the lean one, which costs a
    fraction and carries no data channels; or whatever makes one. `relays`: everything goes through one of them.
    `verify`: decode what is received, and look at it. `impaired`: the path of all packets, out and in. `recording` is
    told what it says and where it stands, `tap` of each packet.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        include_loopback: bool,
        transport: Literal["aiortc", "lean"] | Callable[[Listener], Transport] = "aiortc",
        relays: RelaySettings | None = None,
        verify: bool = False,
        impaired: ImpairedPath | None = None,
        recording: PeerRecording | None = None,
        tap: PacketTap | None = None,
    ) -> None:
        self._clock = clock
        self._make_transport = _maker(transport, clock, include_loopback, relays, impaired)
        self._impaired = impaired
        if impaired is not None:
            impaired.is_rtx = self._is_rtx
        self.recording = recording
        self._tap = tap
        self.verify = verify
        self.player: Player | None = None
        "Plays the first sound that is received, where it is decoded."
        self._transport: Transport | None = None
        self._outlet: Outlet | None = None
        "The transport as packets are given to it."
        self._sections: list[Section] = []
        self._added: list[Section] = []
        "Those that the next offer brings."
        self._senders: list[Sender] = []
        self._receivers: list[Receiver] = []
        self._encodings: dict[int, Encoding] = {}
        "By SSRC."
        self._routes: dict[int, Receiver] = {}
        "By SSRC of what arrives."
        self._session_id = random.getrandbits(62)
        self._version = 0
        self._cname = f"{random.getrandbits(64):016x}"
        self._is_dtls_server = False
        self._remote_candidates: tuple[Candidate, ...] = ()
        self._max_message_bytes = 0
        self._channels: dict[int, DataChannel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._rtcp = RtcpReporter(self._receivers, self._encodings, self._cname, clock)
        self._round_trips_ms: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()
        self._timing: ConnectionTiming | None = None
        self.keeps_media = False
        "What is sent and what was received outlive this peer: closing it closes neither sources nor sinks."
        self.last_packet_at: float | None = None
        "Clock, when a packet of any kind (RTP, RTCP, STUN, DTLS) arrived last."
        self.unrouted_packets = 0
        "RTP packets that belong to no m-section, or have a payload type that was never negotiated."

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def belongs_to(self, session_id: str) -> None:
        """It is about to connect to that session of the API, which ledger and recording of it name."""
        if self._impaired is not None:
            self._impaired.session_id = session_id
        if self.recording is not None:
            self.recording.joined(session_id)

    # -- m-sections ----------------------------------------------------------------------------------------------

    def add_sender(self, *layers: Source | Layer) -> Sender:
        """An m-section that sends a source, or with several the layers of a simulcast, best first.

        Its mid is known after the next offer.
        """
        made = tuple(layer if isinstance(layer, Layer) else Layer(layer) for layer in layers)
        first = random.getrandbits(32)
        ssrcs = tuple(first + 2 * index & 0xFFFFFFFF for index in range(len(made)))
        source = made[0].source
        section = negotiation.sending(
            source.codec,
            "",
            [*self._sections, *self._added],
            kind=source.kind,
            ssrcs=ssrcs,
            rids=tuple(layer.rid for layer in made if layer.rid),
        )
        encodings = [
            Encoding(layer, ssrc, self._send_rtp, self._clock) for layer, ssrc in zip(made, ssrcs, strict=True)
        ]
        sender = Sender(section, encodings)
        self._added.append(section)
        self._senders.append(sender)
        self._encodings.update((encoding.ssrc, encoding) for encoding in encodings)
        return sender

    def add_receiver(self, kind: str = "audio", *, verify: bool | None = None) -> Receiver:
        """A `recvonly` m-section; its mid is known after the next offer."""
        section = negotiation.receiving(kind, "", [*self._sections, *self._added])
        self._added.append(section)
        return self._adopt(section, verify=verify)

    @property
    def sections(self) -> int:
        """How many m-sections the session has."""
        return len(self._sections) + len(self._added)

    @property
    def senders(self) -> tuple[Sender, ...]:
        """All, in the order in which they were added."""
        return tuple(self._senders)

    @property
    def receivers(self) -> tuple[Receiver, ...]:
        """All, in the order in which they came."""
        return tuple(self._receivers)

    def receiver(self, mid: str) -> Receiver:
        """The receiver of an m-section. Raises `ApiError` when none was negotiated under that mid."""
        for receiver in self._receivers:
            if receiver.mid == mid:
                return receiver
        mids = ", ".join(r.mid for r in self._receivers if r.mid is not None) or "none"
        raise ApiError(f"The SFU's description has no m-section {mid} to receive; it has {mids}.", status=200)

    # -- negotiation ---------------------------------------------------------------------------------------------

    async def create_offer(self) -> str:
        """Our offer, with all candidates gathered."""
        for sender in self._senders:
            for encoding in sender.encodings:
                await encoding.source.prepare()
        for section in self._added:
            section.mid = self._free_mid()
            self._sections.append(section)
        self._added.clear()
        return await self._describe(Setup.ACTPASS)

    async def set_answer(self, sdp: str) -> None:
        """Take the answer to `create_offer`; connecting begins. Raises `ApiError` if it cannot be used."""
        self._tell("remote", "answer", sdp)
        try:
            description, remote = negotiation.parse(sdp)
            negotiation.agree_on_answer(self._sections, description)
        except ParseError as error:
            raise _unusable("answer", error) from error
        setup = next(media.setup for media in description.media if not media.is_rejected)
        self._begin(description, remote, is_dtls_server=setup is Setup.ACTIVE)

    async def answer(self, offer_sdp: str) -> str:
        """Take an offer and return the answer, with all candidates gathered; connecting begins.

        Raises `ApiError` if the offer cannot be used.
        """
        self._tell("remote", "offer", offer_sdp)
        try:
            description, remote = negotiation.parse(offer_sdp)
            self._roll_back()
            added = negotiation.agree_on_offer(self._sections, description)
        except ParseError as error:
            raise _unusable("offer", error) from error
        for section in added:
            if section.kind in ("audio", "video"):
                self._adopt(section)
        offered = next(media.setup for media in description.media if not media.is_rejected)
        if self._transport is None or self._transport.state is TransportState.NEW:
            self._is_dtls_server = offered is Setup.ACTIVE
        answer = await self._describe(Setup.PASSIVE if self._is_dtls_server else Setup.ACTIVE)
        self._begin(description, remote, is_dtls_server=self._is_dtls_server)
        return answer

    def _roll_back(self) -> None:
        """What we offered and nobody answered was not offered (RFC 8829 §4.1.10.2); the next offer brings it again."""
        pending = [section for section in self._sections if not section.is_agreed]
        self._sections = [section for section in self._sections if section.is_agreed]
        for section in pending:
            section.mid = ""
        self._added[:0] = pending

    async def _describe(self, setup: Setup) -> str:
        transport = self._open()
        await transport.gather()
        self._version += 1
        local = LocalTransport(
            ufrag=transport.ufrag,
            pwd=transport.pwd,
            fingerprint=transport.fingerprint,
            candidates=transport.candidates,
        )
        sdp = negotiation.description(
            self._sections,
            local,
            setup=setup,
            session_id=self._session_id,
            version=self._version,
            cname=self._cname,
        )
        self._tell("local", "offer" if setup is Setup.ACTPASS else "answer", sdp)
        return sdp

    def _tell(self, side: Literal["local", "remote"], type_: Literal["offer", "answer"], sdp: str) -> None:
        if self.recording is not None:
            self.recording.described(side, type_, sdp)

    def _begin(self, description: SessionDescription, remote: RemoteTransport, *, is_dtls_server: bool) -> None:
        """What was agreed on takes effect."""
        transport = self._open()
        self._max_message_bytes = negotiation.max_message_bytes(description)
        self._remote_candidates = remote.candidates
        if transport.state is TransportState.NEW:
            self._is_dtls_server = is_dtls_server
        for sender in self._senders:
            if sender.section.is_agreed:
                sender.negotiated()
                if sender.section.is_remote_receiving and not sender.encodings[0].is_negotiated:
                    raise ApiError(f"The SFU's answer does not take {sender.codec} on mid {sender.mid}.", status=200)
        agreed = [receiver for receiver in self._receivers if receiver.section.is_agreed]
        # A stream that goes on is known by its SSRC, although nobody names its m-section any more.
        renewed = {receiver for receiver in agreed if receiver.negotiated()}
        self._routes = {ssrc: receiver for ssrc, receiver in self._routes.items() if receiver not in renewed}
        for receiver in agreed:
            section = receiver.section
            self._routes.update((ssrc, receiver) for ssrc in (*section.remote_ssrcs, *section.remote_rtx_ssrcs))
        ids = {
            identifier
            for receiver in self._receivers
            for identifier, uri in receiver.section.extensions.items()
            if uri == ext.TRANSPORT_CC and receiver.section.is_agreed
        }
        self._rtcp.transport_cc_id = next(iter(ids), None)
        transport.start(remote, is_dtls_server=is_dtls_server)
        self._run()

    def _free_mid(self) -> str:
        taken = {section.mid for section in self._sections}
        return next(mid for mid in map(str, range(len(taken) + 1)) if mid not in taken)

    # -- data channels -------------------------------------------------------------------------------------------

    def open_channel(
        self,
        channel_id: int,
        label: str,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_lifetime_ms: int | None = None,
    ) -> DataChannel:
        """A negotiated data channel; its m-section comes with the next offer if there is none yet.

        Raises `UsageError` for an id that is taken, and over the lean transport.
        """
        from rtcctl.probe.aiortc_transport import AiortcTransport
        from rtcctl.probe.channels import DataChannel

        transport = self._open()
        if not isinstance(transport, AiortcTransport):
            raise UsageError("The lean peer carries no data channels.", hint="Use the peer on aiortc, the default.")
        if channel_id in self._channels and not self._channels[channel_id].is_closed:
            raise UsageError(f"There is a data channel with id {channel_id} already.")
        self.add_data_section()
        channel = DataChannel(
            transport.sctp,
            channel_id,
            label,
            ordered=ordered,
            max_retransmits=max_retransmits,
            max_lifetime_ms=max_lifetime_ms,
            arrival=lambda: transport.arrival,
        )
        self._channels[channel_id] = channel
        self._run()
        return channel

    @property
    def has_data_section(self) -> bool:
        """Whether an m-section for data channels has been agreed on."""
        return any(s.kind == APPLICATION and s.is_agreed and not s.is_rejected for s in self._sections)

    def close_channel(self, channel: DataChannel) -> None:
        """End a data channel; the id may be used again."""
        channel.close()
        if self._channels.get(channel.id) is channel:
            del self._channels[channel.id]

    def add_data_section(self) -> None:
        """The m-section of data channels, for the next offer; does nothing when there is one."""
        if not any(section.kind == APPLICATION for section in (*self._sections, *self._added)):
            self._added.append(Section("", APPLICATION, Direction.SENDRECV))

    # -- connection ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """`new`, `connecting`, `connected`, `failed` or `closed`."""
        if self._transport is None:
            return "new"
        return _STATES.get(self._transport.state, str(self._transport.state))

    @property
    def rtt_ms(self) -> float | None:
        """Median of the last round trips, by STUN (consent checks); `None` before the first one."""
        return median(self._round_trips_ms) if self._round_trips_ms else None

    async def wait_connected(self, timeout_s: float) -> ConnectionTiming:
        """Wait for ICE and DTLS; at once when they are done. Raises `NetworkError` with phase `ice` or `dtls`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        if self._timing is None:
            raise self._not_connected(timeout_s)
        if self._ended.is_set():
            raise NetworkError(
                "The connection was closed by the other side.",
                phase="media",
                hint="Is the session still there? Look with `rtcctl session get SESSION`.",
            )
        return self._timing

    async def wait_lost(self, silence_s: float = 5.0) -> None:
        """Return when the connection ended, or when no packet of any kind arrived for `silence_s`."""
        waiting_since = self._clock()
        while not self._ended.is_set():
            heard_at = waiting_since if self.last_packet_at is None else self.last_packet_at
            left_s = heard_at + silence_s - self._clock()
            if left_s <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._ended.wait()

    @property
    def relay_failures(self) -> Mapping[str, NetworkError]:
        """The URLs of TURN servers that relay nothing, and why."""
        relays = None if self._transport is None else self._transport.relays
        return {} if relays is None else relays.failures

    @property
    def path_trouble(self) -> NetworkError | None:
        """Why nothing comes through the relays, when a TURN server has said or shown it."""
        transport = self._transport
        if transport is None or transport.relays is None:
            return None
        return transport.relays.trouble(transport.selected_pair)

    @property
    def have_sources_ended(self) -> bool:
        """Whether nothing will be sent any more, as at the end of a file. Raises what ended one before its time."""
        if (error := next((e.error for e in self._encodings.values() if e.error is not None), None)) is not None:
            raise error
        return all(encoding.ended.is_set() for encoding in self._encodings.values())

    def problem(self) -> str:
        """Why there is no connection now, in a sentence; empty when there is one."""
        if self._timing is not None:
            return "the connection was closed by the other side." if self._ended.is_set() else ""
        return self._not_connected(0.0).message.replace(" within 0 s", "")

    def vanish(self) -> None:
        """Be gone without a goodbye, as by a crash: nothing is sent, and nothing is heard."""
        if self._transport is not None:
            self._transport.vanish()

    async def close(self) -> None:
        """Say goodbye (RTCP BYE, DTLS close_notify) and release everything; harmless the second time."""
        self._is_closed = True
        self._rtcp.close()
        # Each of these is done whatever becomes of the one before, even when closing is cancelled.
        async with AsyncExitStack() as stack:
            stack.callback(self._end)
            for encoding in self._encodings.values() if not self.keeps_media else ():
                stack.push_async_callback(encoding.source.close)
            if self._transport is not None:
                stack.push_async_callback(self._transport.close)
            stack.callback(self._rtcp.say_goodbye)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self) -> None:
        """Nobody waits any longer."""
        self._settled.set()
        self._ended.set()
        for receiver in self._receivers:
            receiver.close(keeps_media=self.keeps_media)

    # -- what the transport tells (transport.Listener) -----------------------------------------------------------

    def datagram_received(self, arrival: Arrival) -> None:
        self.last_packet_at = arrival.now

    def rtp_received(self, packet: bytes, arrival: Arrival) -> None:
        first, second, number, timestamp, ssrc = _HEADER.unpack_from(packet)
        start = 12 + 4 * (first & 0x0F)
        if first & 0x10 and len(packet) >= start + 4:
            start += 4 + 4 * (packet[start + 2] << 8 | packet[start + 3])
        end = len(packet)
        if first & 0x20:
            end -= packet[-1] or end
        if start > end:
            return  # malformed, and so none of a sender's packets
        receiver = self._routes.get(ssrc)
        if receiver is None or self._rtcp.transport_cc_id is not None:
            try:
                header = RtpHeader.parse(packet)
            except ParseError:
                return
            receiver = self._route(header)
            self._rtcp.note_congestion(header, arrival.now)
        payload = packet[start:end]
        if receiver is None or not receiver.packet_received(
            ssrc, second & 0x7F, second & 0x80, number, timestamp, payload, arrival
        ):
            self.unrouted_packets += 1
        elif receiver.is_urgent:
            self._rtcp.give_feedback(arrival.now)

    def rtcp_received(self, data: bytes, arrival: Arrival) -> None:
        self._rtcp.received(data, arrival.now)

    def round_trip_measured(self, rtt_ms: float) -> None:
        self._round_trips_ms.append(rtt_ms)

    def state_changed(self) -> None:
        assert self._transport is not None
        if self.recording is not None:
            self.recording.changed(self._transport)
        state = self._transport.state
        if state is TransportState.CONNECTED and self._timing is None:
            self._timing = self._measure()
            self._settled.set()
            assert self._outlet is not None
            self._rtcp.start(self._outlet)
            self._run()
        elif state in _ENDED:
            self._ended.set()
            self._settled.set()

    # -- sending -------------------------------------------------------------------------------------------------

    def _send_rtp(self, packet: bytes) -> None:
        if self._outlet is not None:
            self._outlet.send_rtp(packet)

    def _run(self) -> None:
        """Start what can be started: sources of m-sections that are agreed on, reports, data channels."""
        transport = self._transport
        if transport is None or transport.state is not TransportState.CONNECTED or self._is_closed:
            return
        for sender in self._senders:
            section = sender.section
            if not section.is_agreed or not section.is_remote_receiving:
                continue
            for encoding in sender.encodings:
                if not encoding.is_running and encoding.is_accepted(section):
                    encoding.is_running = True
                    self._spawn(encoding.run())
        if self._channels and self.has_data_section:
            from rtcctl.probe.aiortc_transport import AiortcTransport

            assert isinstance(transport, AiortcTransport)
            self._spawn(transport.start_sctp(negotiation.SCTP_PORT, self._max_message_bytes))
        self._rtcp.arm()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- inside --------------------------------------------------------------------------------------------------

    def _open(self) -> Transport:
        """The transport, made on first use because it needs a running loop."""
        if self._transport is None:
            if self._tap is None:
                self._transport = self._outlet = self._make_transport(self)
            else:
                listener = TappedListener(self, self._tap)
                self._transport = self._make_transport(listener)
                self._outlet = listener.outlet = TappedOutlet(self._transport, self._tap, self._clock)
        return self._transport

    def _adopt(self, section: Section, *, verify: bool | None = None) -> Receiver:
        receiver = Receiver(
            section, lambda: self.rtt_ms, verify=self.verify if verify is None else verify, player=self.player
        )
        self._receivers.append(receiver)
        return receiver

    def _route(self, header: RtpHeader) -> Receiver | None:
        """By MID (RFC 8843 §9.2), else by SSRC, else by a payload type that only one m-section has."""
        receiver = self._routes.get(header.ssrc)
        known = receiver
        mid = self._mid_of(header)
        if mid is not None and (receiver is None or receiver.mid != mid):
            receiver = next((r for r in self._receivers if r.mid == mid), None)
        elif receiver is None:
            able = [r for r in self._receivers if r.section.is_remote_sending and r.takes(header.payload_type)]
            receiver = able[0] if len(able) == 1 else None
        if receiver is not None and receiver is not known:
            if len(self._routes) >= _MAX_ROUTES + 4 * len(self._receivers):
                self._forget_routes()
            self._routes[header.ssrc] = receiver
        return receiver

    def _forget_routes(self) -> None:
        """A sender makes up SSRCs without end: those that were learnt from packets may be learnt again."""
        self._routes = {
            ssrc: receiver
            for receiver in self._receivers
            for ssrc in (*receiver.section.remote_ssrcs, *receiver.section.remote_rtx_ssrcs)
        }

    def _is_rtx(self, payload_type: int) -> bool:
        return any(c.repairs is not None and c.payload_type == payload_type for s in self._sections for c in s.codecs)

    def _mid_of(self, header: RtpHeader) -> str | None:
        for receiver in self._receivers:
            for identifier, uri in receiver.section.extensions.items():
                if uri == ext.MID and identifier in header.extensions:
                    return header.extensions[identifier].decode("ascii", "replace")
        return None

    def _measure(self) -> ConnectionTiming:
        transport = self._transport
        assert transport is not None
        assert transport.checking_at is not None
        assert transport.nominated_at is not None
        assert transport.connected_at is not None
        assert transport.selected_pair is not None
        local, remote = transport.selected_pair
        relay = None if transport.relays is None else transport.relays.of(local)
        via = "" if relay is None else f" via {relay.url} ({relay.url.protocol})"
        return ConnectionTiming(
            ice_ms=(transport.nominated_at - transport.checking_at) * 1000,
            dtls_ms=(transport.connected_at - transport.nominated_at) * 1000,
            candidate_pair=f"{_address(local)} → {_address(remote)} {local.type}/{local.transport}{via}",
            candidate_type=local.type,
            relay_protocol=None if relay is None else relay.url.protocol,
            url=None if relay is None else relay.url.text,
        )

    def _not_connected(self, timeout_s: float) -> NetworkError:
        """Why there is no connection, in a sentence."""
        transport = self._transport
        if transport is None or transport.checking_at is None:
            return NetworkError(
                "ICE has not begun: there was no complete exchange of offer and answer.",
                phase="ice",
                hint="Give each side's description to the other: what create_offer() returns, and the answer to it.",
            )
        within = "" if self._ended.is_set() else f" within {timeout_s:.0f} s"
        if transport.nominated_at is not None:
            return NetworkError(
                f"ICE found a path, but the DTLS handshake did not finish{within}.",
                phase="dtls",
                hint="A certificate fingerprint that does not match its SDP, or a firewall that passes small packets "
                "only.",
            )
        local = [_address(candidate) for candidate in transport.candidates]
        remote = [_address(candidate) for candidate in self._remote_candidates]
        if not local:
            return NetworkError(
                "ICE has no address to start from: no network interface is up.",
                phase="ice",
                hint="Bring an interface up; for a server on this machine, `lo` is enough.",
            )
        if not remote:
            return NetworkError(
                f"ICE has nowhere to go{within}: the SFU's description names no candidate.",
                phase="ice",
                hint="Behind a proxy or in a container, start the server with `rtcctl dev --announce IP`.",
            )
        if trouble := self.path_trouble:
            return NetworkError(
                f"ICE found no path{within} from {', '.join(local)} to {', '.join(remote)}: {trouble.message}",
                phase="turn",
                hint=trouble.hint,
            )
        return NetworkError(
            f"ICE found no path{within}: none of {', '.join(local)} reaches {', '.join(remote)}.",
            phase="ice",
            hint="Is UDP to that address and port allowed, both ways?",
        )


def _maker(
    transport: Literal["aiortc", "lean"] | Callable[[Listener], Transport],
    clock: Callable[[], float],
    include_loopback: bool,
    settings: RelaySettings | None,
    impaired: ImpairedPath | None,
) -> Callable[[Listener], Transport]:
    """What makes the transport. Imported here and not on first use: who lacks a package is to hear of it at once."""

    def relays_of(settings: RelaySettings | None) -> Relays | None:
        return None if settings is None else Relays(settings)

    if callable(transport):
        return transport
    if transport == "lean":
        from rtcctl.probe.lean import LeanTransport

        return lambda listener: LeanTransport(
            listener, clock=clock, include_loopback=include_loopback, relays=relays_of(settings), impaired=impaired
        )
    from rtcctl.probe.aiortc_transport import AiortcTransport

    return lambda listener: AiortcTransport(
        listener, clock=clock, include_loopback=include_loopback, relays=relays_of(settings), impaired=impaired
    )


def _address(candidate: Candidate) -> str:
    host = f"[{candidate.address}]" if ":" in candidate.address else candidate.address
    return f"{host}:{candidate.port}"


def _unusable(type_: str, error: RtcctlError | ParseError) -> ApiError:
    return ApiError(
        f"The given {type_} cannot be used: {error}.",
        status=200,
        hint="Is it SDP as a browser would accept it? Every m-section needs ICE credentials and a fingerprint.",
    )


__all__ = ["ConnectionTiming", "Layer", "Peer", "Receiver", "Sender"]
