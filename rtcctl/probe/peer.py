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
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, Self

from rtcctl.errors import ApiError, NetworkError, ParseError, RtcctlError, UsageError
from rtcctl.media import extensions as ext
from rtcctl.media.feedback import TransportCcRecorder
from rtcctl.media.rtcp import (
    SDES_CNAME,
    Goodbye,
    Packet,
    ReceiverReport,
    SenderReport,
    SourceChunk,
    SourceDescription,
    compound,
    parse_compound,
)
from rtcctl.media.rtcp_feedback import FullIntraRequest, GenericNack, PictureLossIndication
from rtcctl.media.rtp import RtpHeader
from rtcctl.media.sdp import Candidate, Direction, SessionDescription, Setup
from rtcctl.probe import negotiation
from rtcctl.probe.negotiation import APPLICATION, LocalTransport, Section
from rtcctl.probe.receiver import Receiver
from rtcctl.probe.sender import Encoding, Layer, Sender
from rtcctl.probe.sources import Source
from rtcctl.probe.transport import Arrival, Listener, RemoteTransport, Transport, TransportState

if TYPE_CHECKING:
    from rtcctl.probe.channels import DataChannel
    from rtcctl.probe.sinks.play import Player

ROUND_TRIPS = 8
"Consent checks whose median is the round trip."

REPORT_INTERVAL_S = 1.0
"Between two RTCP reports, ±20 %."

_FIRST_REPORT_S = 0.1
"From being connected to the first one: it starts the round trip by RTCP."

_TRANSPORT_CC_S = 0.1
"Between two reports of congestion feedback."

_MAX_BLOCKS = 31
"In one report (RFC 3550 §6.4.1)."

_MAX_REPORT_BYTES = 1100
"Of a compound: it fits wherever media does (28 bytes of SRTCP come on top)."

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
    "For example `127.0.0.1:41234 → 127.0.0.1:8610 host/udp`."
    candidate_type: str
    "Of our candidate: `host`, `srflx`, `prflx`, `relay`."


class Peer:
    """One peer connection; use it as an async context manager.

    `include_loopback`: offer 127.0.0.1 as well, for a Realtime on this machine. `transport`: aiortc's, which shares
    nothing with the embedded server, or the lean one, which costs a fraction and carries no data channels; or whatever
    makes one.
    `verify`: decode what is received, and look at it.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        include_loopback: bool,
        transport: Literal["aiortc", "lean"] | Callable[[Listener], Transport] = "aiortc",
        verify: bool = False,
    ) -> None:
        self._clock = clock
        self._make_transport = _maker(transport, clock, include_loopback)
        self.verify = verify
        self.player: Player | None = None
        "Plays the first sound that is received, where it is decoded."
        self._transport: Transport | None = None
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
        self._ssrc = random.getrandbits(32)
        "Of our reports."
        self._is_dtls_server = False
        self._remote_candidates: tuple[Candidate, ...] = ()
        self._max_message_bytes = 0
        self._channels: dict[int, DataChannel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._report_at = self._transport_cc_at = 0.0
        self._transport_cc = TransportCcRecorder()
        self._transport_cc_id: int | None = None
        self._round_trips_ms: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()
        self._timing: ConnectionTiming | None = None
        self.last_packet_at: float | None = None
        "Clock, when a packet of any kind (RTP, RTCP, STUN, DTLS) arrived last."
        self.unrouted_packets = 0
        "RTP packets that belong to no m-section, or have a payload type that was never negotiated."

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

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
        return negotiation.description(
            self._sections,
            local,
            setup=setup,
            session_id=self._session_id,
            version=self._version,
            cname=self._cname,
        )

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
        self._transport_cc_id = next(iter(ids), None)
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
    def have_sources_ended(self) -> bool:
        """Whether nothing will be sent any more, as at the end of a file. Raises what ended one before its time."""
        if (error := next((e.error for e in self._encodings.values() if e.error is not None), None)) is not None:
            raise error
        return all(encoding.ended.is_set() for encoding in self._encodings.values())

    def problem(self) -> str:
        """Why there is no connection now, in a sentence; empty when there is one."""
        if self._timing is not None:
            return "the connection was closed by the other side." if self._ended.is_set() else ""
        if self._transport is None or self._transport.checking_at is None:
            return "there was no complete exchange of offer and answer."
        return self._not_connected(0.0).message.replace(" within 0 s", "")

    def vanish(self) -> None:
        """Be gone without a goodbye, as by a crash: nothing is sent, and nothing is heard."""
        if self._transport is not None:
            self._transport.vanish()

    async def close(self) -> None:
        """Say goodbye (RTCP BYE, DTLS close_notify) and release everything; harmless the second time."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Each of these is done whatever becomes of the one before, even when closing is cancelled.
        async with AsyncExitStack() as stack:
            stack.callback(self._end)
            for encoding in self._encodings.values():
                stack.push_async_callback(encoding.source.close)
            if self._transport is not None:
                stack.push_async_callback(self._transport.close)
            stack.callback(self._say_goodbye)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _say_goodbye(self) -> None:
        sources = () if self._transport is None else tuple(self._encodings)
        for at in range(0, len(sources), _MAX_BLOCKS):
            assert self._transport is not None
            goodbye = Goodbye(sources[at : at + _MAX_BLOCKS])
            self._transport.send_rtcp(compound(ReceiverReport(self._ssrc), goodbye))

    def _end(self) -> None:
        """Nobody waits any longer."""
        self._settled.set()
        self._ended.set()
        for receiver in self._receivers:
            receiver.close()

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
        if receiver is None or self._transport_cc_id is not None:
            try:
                header = RtpHeader.parse(packet)
            except ParseError:
                return
            receiver = self._route(header)
            self._note_congestion(header, arrival)
        payload = packet[start:end]
        if receiver is None or not receiver.packet_received(
            ssrc, second & 0x7F, second & 0x80, number, timestamp, payload, arrival
        ):
            self.unrouted_packets += 1
        elif receiver.is_urgent:
            self._give_feedback(arrival.now)

    def rtcp_received(self, data: bytes, arrival: Arrival) -> None:
        try:
            packets = parse_compound(data)
        except ParseError:
            return
        wallclock = time.time()
        for packet in packets:
            if isinstance(packet, SenderReport | ReceiverReport):
                if isinstance(packet, SenderReport):
                    for receiver in self._receivers:
                        receiver.sender_report(packet, arrival.now)
                for block in packet.reports:
                    if (encoding := self._encodings.get(block.ssrc)) is not None:
                        encoding.reported(block, wallclock)
            elif isinstance(packet, GenericNack):
                if (encoding := self._encodings.get(packet.media_ssrc)) is not None:
                    encoding.send_again(packet.sequence_numbers)
            elif isinstance(packet, PictureLossIndication):
                if (encoding := self._encodings.get(packet.media_ssrc)) is not None:
                    encoding.key_frame_wanted()
            elif isinstance(packet, FullIntraRequest):
                for ssrc, _ in packet.entries:
                    if (encoding := self._encodings.get(ssrc)) is not None:
                        encoding.key_frame_wanted()

    def round_trip_measured(self, rtt_ms: float) -> None:
        self._round_trips_ms.append(rtt_ms)

    def state_changed(self) -> None:
        assert self._transport is not None
        state = self._transport.state
        if state is TransportState.CONNECTED and self._timing is None:
            self._timing = self._measure()
            self._settled.set()
            now = self._clock()
            self._report_at, self._transport_cc_at = now + _FIRST_REPORT_S, now + _TRANSPORT_CC_S
            self._run()
        elif state in _ENDED:
            self._ended.set()
            self._settled.set()

    # -- sending -------------------------------------------------------------------------------------------------

    def _send_rtp(self, packet: bytes) -> None:
        if self._transport is not None:
            self._transport.send_rtp(packet)

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
        self._arm()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _arm(self) -> None:
        """Call `_handle_timer` when the next report or request is due."""
        if self._is_closed:
            return  # while the transport closes, packets still arrive
        due = [self._report_at, *(at for r in self._receivers if (at := r.get_timer()) is not None)]
        if self._transport_cc.pending:
            due.append(self._transport_cc_at)
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max(0.001, min(due) - self._clock())
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._handle_timer)

    def _handle_timer(self) -> None:
        now = self._clock()
        if now >= self._report_at:
            self._report_at = now + REPORT_INTERVAL_S * random.uniform(0.8, 1.2)
            self._report(now)
        self._give_feedback(now)

    def _report(self, now: float) -> None:
        assert self._transport is not None
        wallclock = time.time()
        blocks = [block for r in self._receivers if (block := r.report_block(now)) is not None]
        reports: list[SenderReport | ReceiverReport] = [
            report for e in self._encodings.values() if (report := e.report(now, wallclock)) is not None
        ]
        reports += [
            ReceiverReport(self._ssrc, tuple(blocks[at : at + _MAX_BLOCKS]))
            for at in range(0, len(blocks), _MAX_BLOCKS)
        ]
        some: list[Packet] = []
        named: set[int] = set()
        size = 0
        for one in reports:
            cost = len(bytes(one)) + len(bytes(self._name_of(one.ssrc)))
            if some and (size + cost > _MAX_REPORT_BYTES or len(named) == _MAX_BLOCKS):
                self._send_reports(some, named)
                some, named, size = [], set(), 0
            some.append(one)
            named.add(one.ssrc)
            size += cost
        if some:
            self._send_reports(some, named)

    def _send_reports(self, reports: list[Packet], ssrcs: set[int]) -> None:
        """With the CNAME of each source (RFC 3550 §6.1, RFC 8108 §5.3.1)."""
        assert self._transport is not None
        names = SourceDescription(tuple(map(self._name_of, sorted(ssrcs))))
        self._transport.send_rtcp(compound(*reports, names))

    def _name_of(self, ssrc: int) -> SourceChunk:
        return SourceChunk(ssrc, ((SDES_CNAME, self._cname.encode()),))

    def _give_feedback(self, now: float) -> None:
        assert self._transport is not None
        packets: list[Packet] = []
        for receiver in self._receivers:
            packets += receiver.feedback(self._ssrc, now)
        if self._transport_cc.pending and now >= self._transport_cc_at:
            self._transport_cc_at = now + _TRANSPORT_CC_S
            media_ssrc = next(iter(self._routes), 0)
            packets += self._transport_cc.feedback(self._ssrc, media_ssrc)
        for packet in packets:
            self._transport.send_rtcp(compound(ReceiverReport(self._ssrc), packet))
        self._arm()

    # -- inside --------------------------------------------------------------------------------------------------

    def _open(self) -> Transport:
        """The transport, made on first use because it needs a running loop."""
        if self._transport is None:
            self._transport = self._make_transport(self)
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

    def _mid_of(self, header: RtpHeader) -> str | None:
        for receiver in self._receivers:
            for identifier, uri in receiver.section.extensions.items():
                if uri == ext.MID and identifier in header.extensions:
                    return header.extensions[identifier].decode("ascii", "replace")
        return None

    def _note_congestion(self, header: RtpHeader, arrival: Arrival) -> None:
        identifier = self._transport_cc_id
        if identifier is not None and len(value := header.extensions.get(identifier, b"")) >= 2:
            if not self._transport_cc.pending:
                self._transport_cc_at = arrival.now + _TRANSPORT_CC_S
                self._transport_cc.receive(int.from_bytes(value[:2]), arrival.now)
                self._arm()
            else:
                self._transport_cc.receive(int.from_bytes(value[:2]), arrival.now)

    def _measure(self) -> ConnectionTiming:
        transport = self._transport
        assert transport is not None
        assert transport.checking_at is not None
        assert transport.nominated_at is not None
        assert transport.connected_at is not None
        assert transport.selected_pair is not None
        local, remote = transport.selected_pair
        return ConnectionTiming(
            ice_ms=(transport.nominated_at - transport.checking_at) * 1000,
            dtls_ms=(transport.connected_at - transport.nominated_at) * 1000,
            candidate_pair=f"{_address(local)} → {_address(remote)} {local.type}/{local.transport}",
            candidate_type=local.type,
        )

    def _not_connected(self, timeout_s: float) -> NetworkError:
        """Why there is no connection, in a sentence."""
        transport = self._open()
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
        return NetworkError(
            f"ICE found no path{within}: none of {', '.join(local)} reaches {', '.join(remote)}.",
            phase="ice",
            hint="Is UDP to that address and port allowed, both ways?",
        )


def _maker(
    transport: Literal["aiortc", "lean"] | Callable[[Listener], Transport],
    clock: Callable[[], float],
    include_loopback: bool,
) -> Callable[[Listener], Transport]:
    """What makes the transport. Imported here and not on first use: who lacks a package is to hear of it at once."""
    if callable(transport):
        return transport
    if transport == "lean":
        from rtcctl.probe.lean import LeanTransport

        return lambda listener: LeanTransport(listener, clock=clock, include_loopback=include_loopback)
    from rtcctl.probe.aiortc_transport import AiortcTransport

    return lambda listener: AiortcTransport(listener, clock=clock, include_loopback=include_loopback)


def _address(candidate: Candidate) -> str:
    host = f"[{candidate.address}]" if ":" in candidate.address else candidate.address
    return f"{host}:{candidate.port}"


def _unusable(type_: str, error: RtcctlError | ParseError) -> ApiError:
    return ApiError(
        f"The SFU's {type_} cannot be used: {error}.",
        status=200,
        hint="Is it SDP as a browser would accept it? Every m-section needs ICE credentials and a fingerprint.",
    )


__all__ = ["ConnectionTiming", "Layer", "Peer", "Receiver", "Sender"]
