"""What one session carries: the way of packets between its transport and its tracks, and the timers of both.

Encrypted packets come from the endpoint and go, decrypted, where `demux.py` says; `incoming.py` and `outgoing.py` have
the tracks, `control.py` the RTCP, `dtls_transport.py` everything below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from struct import Struct
from typing import TYPE_CHECKING

from rtcctl.media.extensions import FORWARDED, TRANSPORT_CC
from rtcctl.media.rewrite import HEADROOM, NO_ELEMENTS, payload_offset, read_extensions
from rtcctl.server.control import Control
from rtcctl.server.demux import Demultiplexer
from rtcctl.server.dtls_transport import SILENCE_S, TIMER_S, ConnectionState, DtlsTransport
from rtcctl.server.incoming import IncomingTrack
from rtcctl.server.layer import IncomingLayer
from rtcctl.server.outgoing import OutgoingTrack
from rtcctl.transport.udp import ReceiveBuffer

if TYPE_CHECKING:
    from rtcctl.server.endpoint import Endpoint
    from rtcctl.server.parameters import ReceiveParameters

LAYERS_INTERVAL_S = 0.2
"How often those who receive simulcast are looked at, for a layer that has stopped or come back."

_FIXED = Struct("!BBHII")


class Connection(DtlsTransport):
    """The peer connection of one session, on our side. Made by `Endpoint.open`."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        is_controlling: bool,
        random: Random,
        clock: Callable[[], float],
        clock_offset_s: float,
    ) -> None:
        super().__init__(endpoint, is_controlling=is_controlling, random=random, clock=clock)
        self.cname = f"{random.getrandbits(96):024x}"
        "RTCP's name for this publisher, no secret and nobody's name (RFC 7022)."
        self._incoming = Demultiplexer()
        self._by_ssrc = self._incoming.by_ssrc
        self._transport_cc_id = 0
        self._reads_extensions = False
        self._outgoing: dict[int, OutgoingTrack] = {}
        ssrc = random.getrandbits(32)
        self._used_ssrcs: set[int] = {ssrc}
        self._rtcp_at = self._layers_at = self.deadline
        self._control = Control(
            self._incoming,
            self._outgoing,
            ssrc=ssrc,
            cname=self.cname,
            wallclock=lambda now: now + clock_offset_s,
            send=self._send_rtcp,
        )

    # What the session uses

    def publish(self, parameters: ReceiveParameters) -> IncomingTrack:
        """A track that the peer sends on an m-section. Which packets are its own: see `demux.py`."""
        track = IncomingTrack(self, parameters, public_ssrc=self._random.getrandbits(32), clock=self._clock)
        self.register(track)
        self.look_again(self._rtcp_at)
        return track

    def sender(self, *, mid: str, kind: str, like: IncomingTrack | None = None) -> OutgoingTrack:
        """The sending side of an m-section. It takes the public SSRC of `like`, unless this connection has used it."""
        ssrc = like.public_ssrc if like is not None else self._random.getrandbits(32)
        ssrc = self._fresh_ssrc(ssrc)
        track = OutgoingTrack(
            self,
            mid=mid,
            kind=kind,
            ssrc=ssrc,
            rtx_ssrc=self._fresh_ssrc(self._random.getrandbits(32)) if kind == "video" else None,
            rtx_number=self._random.getrandbits(15),
            cname=self.cname if like is None else like.connection.cname,
            clock=self._clock,
        )
        self._outgoing[ssrc] = track
        self.look_again(self._rtcp_at)
        return track

    def close(self) -> None:
        """End it: tracks, close_notify, keys."""
        if self.state is ConnectionState.CLOSED:
            return
        for outgoing in list(self._outgoing.values()):
            outgoing.close()
        for incoming in list(self._incoming.tracks):
            incoming.close()
        self._close_transport()

    # What faults use

    def track_to(self, ssrc: int) -> IncomingTrack | None:
        """The track that is forwarded to the peer under this SSRC."""
        sender = self._sender_with(ssrc)
        return None if sender is None else sender.source

    def track_from(self, ssrc: int, packet: bytes) -> IncomingTrack | None:
        """The track that a packet of the peer belongs to, its payload encrypted or not; nothing is remembered."""
        found = self._incoming.look_up(ssrc, packet)
        return None if found is None else found[0].track

    def is_rtx_to(self, ssrc: int) -> bool:
        """Whether packets to the peer under this SSRC carry other ones again (RFC 4588)."""
        sender = self._sender_with(ssrc)
        return sender is not None and ssrc == sender.rtx_ssrc

    def is_rtx_from(self, ssrc: int, packet: bytes) -> bool:
        """The same of a packet of the peer."""
        found = self._incoming.look_up(ssrc, packet)
        return found is not None and found[1] == found[0].receive_rtx

    def _sender_with(self, ssrc: int) -> OutgoingTrack | None:
        return self._outgoing.get(ssrc) or next((t for t in self._outgoing.values() if t.rtx_ssrc == ssrc), None)

    # What tracks use

    @property
    def remote_clock_offset_s(self) -> float:
        """From our wall clock to the peer's, by its first sender report."""
        return self._control.remote_clock_offset_s

    def register(self, track: IncomingTrack) -> None:
        """Take up what an exchange says of a published track."""
        self._incoming.add(track)
        extensions = track.parameters.extensions
        self._transport_cc_id = extensions.get(TRANSPORT_CC, self._transport_cc_id)
        self._reads_extensions |= bool(self._transport_cc_id) or any(uri in extensions for uri in FORWARDED)

    def forget_incoming(self, track: IncomingTrack) -> None:
        """`track` has ended; its packets belong nowhere."""
        self._incoming.remove(track)

    def forget_outgoing(self, track: OutgoingTrack) -> None:
        """`track` has ended. Its SSRC is not used again."""
        del self._outgoing[track.ssrc]

    def request_retransmissions(self, layer: IncomingLayer, now: float) -> None:
        """Send a NACK for what `layer` misses now."""
        self._control.request_retransmissions(layer, now)
        self.look_again(layer.get_timer())

    def request_key_frame(self, layer: IncomingLayer) -> None:
        """Send a PLI for `layer`."""
        self._control.request_key_frame(layer)

    # What the endpoint brings

    def receive_media(self, buffer: ReceiveBuffer, size: int, now: float) -> None:
        """An SRTP or SRTCP packet from a verified address. ParseError when what was encrypted is malformed."""
        srtp = self._srtp
        if srtp is None or size < 12:
            return
        memory = buffer.memory
        if 192 <= memory[HEADROOM + 1] <= 223:
            size = srtp.unprotect_rtcp_in_place(buffer.datagram, size)
            if size >= 0:
                self._heard(now)
                self._control.receive(bytes(memory[HEADROOM : HEADROOM + size]), now)
            return
        fields = _FIXED.unpack_from(memory, HEADROOM)
        ssrc = fields[4]
        receive = self._by_ssrc.get(ssrc)
        if receive is None and not self._incoming.admits(ssrc):
            return
        size = srtp.unprotect_rtp_in_place(buffer.datagram, size)
        if size < 0:
            return
        if self.state is ConnectionState.DISCONNECTED:
            self._heard(now)
        self.last_packet_at = now
        if receive is None:
            self._incoming.met(ssrc)
        end = HEADROOM + size
        payload_at = payload_offset(memory, HEADROOM, end)
        elements = NO_ELEMENTS
        if fields[0] & 0x10 and self._reads_extensions:
            elements = read_extensions(memory, HEADROOM, payload_at)
            number = elements.get(self._transport_cc_id)
            if number is not None and len(number) == 2:
                self._control.arrived(number[0] << 8 | number[1], ssrc, now)
                self.deadline = now
        if receive is None:
            receive = self._incoming.find(bytes(memory[HEADROOM:end]))
            if receive is None:
                return
        receive(buffer, payload_at, end, fields, elements, now)

    def handle_timer(self, now: float) -> None:
        """Do what is due and set the next `deadline`."""
        self.deadline = now + TIMER_S
        if not self._handle_transport_timers(now) or self._srtp is None:
            return
        if self._control.has_feedback:
            self._control.send_feedback()
        sources = [track for track in self._outgoing.values() if track.source is not None]
        if not self._incoming.tracks and not sources:
            # Idle: nothing to report, only silence to notice. A thousand of these must cost nothing.
            if self._agent.get_timer() is None:
                self.deadline = max(self.deadline, self.last_packet_at + SILENCE_S)
            return
        if now >= self._rtcp_at:
            self._rtcp_at = now + TIMER_S
            self._control.send_reports(now)
        self.look_again(self._rtcp_at)
        self._handle_layers(sources, now)

    def _handle_layers(self, sources: Sequence[OutgoingTrack], now: float) -> None:
        if any(track.source is not None and track.source.rids for track in sources):
            if now >= self._layers_at:
                self._layers_at = now + LAYERS_INTERVAL_S
                for track in sources:
                    track.handle_timer(now)
            self.look_again(self._layers_at)
        for incoming in self._incoming.tracks:
            for layer in incoming.layers.values():
                if (due := layer.get_timer()) is not None:
                    if due <= now and layer.key_frames.handle_timer(now):
                        self._control.request_key_frame(layer)
                    self.request_retransmissions(layer, now)

    # Media

    def _fresh_ssrc(self, ssrc: int) -> int:
        while ssrc in self._used_ssrcs:
            ssrc = self._random.getrandbits(32)
        self._used_ssrcs.add(ssrc)
        return ssrc

    def _drop_keys(self) -> None:
        super()._drop_keys()
        self._incoming.strangers.clear()

    def _renew_outgoing(self) -> None:
        for track in list(self._outgoing.values()):
            track.update()

    def _send_rtcp(self, packet: bytes) -> None:
        if self._srtp is not None and self.name is not None:
            protected = self._srtp.protect_rtcp(packet)
            if protected is not None:
                self.udp.put(protected, self.name)
