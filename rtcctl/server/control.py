"""The RTCP of one connection: reports and feedback that go out, and what comes in put where it belongs.

RTCP ends at the SFU (RFC 7667 §3.6, a media-switching middlebox): sender and receiver reports are made here from what
tracks count, NACK and PLI are answered or asked anew on the other side. Each second a connection sends a
sender report for each outgoing track that has sent, and a block of a receiver report for each published encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rtcctl.media.clock import ntp_from_unix, unix_from_ntp
from rtcctl.media.feedback import TransportCcRecorder
from rtcctl.media.rtcp import ReceiverReport, ReportBlock, SenderReport, SourceDescription, compound, parse_compound
from rtcctl.media.rtcp_feedback import (
    FullIntraRequest,
    GenericNack,
    PictureLossIndication,
    ReceiverEstimatedMaxBitrate,
)

if TYPE_CHECKING:
    from rtcctl.server.demux import Demultiplexer
    from rtcctl.server.layer import IncomingLayer
    from rtcctl.server.outgoing import OutgoingTrack

_BLOCKS_PER_REPORT = 31
_REPORTS_PER_PACKET = 15
"Sender reports with their CNAMEs in one compound packet, so that it fits a datagram."
_FEEDBACK_PACKETS = 200
"Packets after which congestion feedback does not wait for the timer."


class Control:
    """Reads and writes the RTCP of one connection; `send` encrypts and sends a compound packet."""

    def __init__(
        self,
        incoming: Demultiplexer,
        outgoing: dict[int, OutgoingTrack],
        *,
        ssrc: int,
        cname: str,
        wallclock: Callable[[float], float],
        send: Callable[[bytes], None],
    ) -> None:
        self.remote_clock_offset_s = 0.0
        "From our wall clock to the peer's, by its first sender report."
        self._incoming = incoming
        self._outgoing = outgoing
        self._ssrc = ssrc
        "Ours, as a receiver."
        self._cname = cname
        self._wallclock = wallclock
        self._send = send
        self._has_remote_clock = False
        self._arrivals = TransportCcRecorder()
        self._media_ssrc = 0

    # What comes in

    def receive(self, data: bytes, now: float) -> None:
        """A compound packet; ParseError when it is malformed."""
        ntp = ntp_from_unix(self._wallclock(now))
        for packet in parse_compound(data):
            match packet:
                case SenderReport():
                    self._receive_sender_report(packet, now)
                    self._receive_blocks(packet.reports, ntp, now)
                case ReceiverReport():
                    self._receive_blocks(packet.reports, ntp, now)
                case GenericNack():
                    if (outgoing := self._outgoing.get(packet.media_ssrc)) is not None:
                        outgoing.retransmit(packet.sequence_numbers, now)
                case PictureLossIndication():
                    if (outgoing := self._outgoing.get(packet.media_ssrc)) is not None:
                        outgoing.request_key_frame(now)
                case FullIntraRequest():
                    for ssrc, _ in packet.entries:
                        if (outgoing := self._outgoing.get(ssrc)) is not None:
                            outgoing.request_key_frame(now)
                case ReceiverEstimatedMaxBitrate():
                    self._receive_estimate(packet, now)
                case _:
                    pass  # what forwards nothing and reports nothing needs no answer

    def _receive_sender_report(self, report: SenderReport, now: float) -> None:
        if not self._has_remote_clock:
            self._has_remote_clock = True
            self.remote_clock_offset_s = unix_from_ntp(report.ntp_timestamp) - self._wallclock(now)
        layer = self._incoming.layer(report.ssrc)
        if layer is not None:
            layer.receive_sender_report(report, now)

    def _receive_blocks(self, blocks: Iterable[ReportBlock], ntp: int, now: float) -> None:
        for block in blocks:
            if (outgoing := self._outgoing.get(block.ssrc)) is not None:
                outgoing.receive_report(block, ntp, now)

    def _receive_estimate(self, packet: ReceiverEstimatedMaxBitrate, now: float) -> None:
        """Each track gets the share of the estimate that it has of the bitrate."""
        tracks = [track for ssrc in packet.ssrcs if (track := self._outgoing.get(ssrc)) is not None]
        total = sum(track.bitrate_bps for track in tracks)
        for track in tracks:
            if total and track.bitrate_bps:
                track.receive_estimate(int(packet.bitrate_bps * track.bitrate_bps / total), now)

    # What goes out

    def arrived(self, transport_sequence: int, ssrc: int, now: float) -> None:
        """A packet that carries a number of the whole transport."""
        self._arrivals.receive(transport_sequence, now)
        self._media_ssrc = ssrc
        if self._arrivals.pending >= _FEEDBACK_PACKETS:
            self.send_feedback()

    @property
    def has_feedback(self) -> bool:
        """Whether `send_feedback` would send anything."""
        return self._arrivals.pending > 0

    def send_feedback(self) -> None:
        """Congestion feedback on what has arrived since the last time: the publisher's bandwidth estimate needs it."""
        for packet in self._arrivals.feedback(self._ssrc, self._media_ssrc):
            self._send(compound(packet))

    def request_retransmissions(self, layer: IncomingLayer, now: float) -> None:
        """Send a NACK for what `layer` misses now."""
        numbers = layer.lost_packets(now)
        if numbers and layer.ssrc is not None:
            self._send(compound(ReceiverReport(self._ssrc), GenericNack(self._ssrc, layer.ssrc, numbers)))

    def request_key_frame(self, layer: IncomingLayer) -> None:
        """Send a PLI."""
        if layer.ssrc is not None:
            self._send(compound(ReceiverReport(self._ssrc), PictureLossIndication(self._ssrc, layer.ssrc)))

    def send_reports(self, now: float) -> None:
        """The compound packets due now (RFC 3550 §6.1): reports first, then the CNAMEs."""
        layers = [layer for track in self._incoming.tracks for layer in track.layers.values()]
        if not layers and not self._outgoing:
            return
        wallclock = self._wallclock(now)
        ntp = ntp_from_unix(wallclock)
        for layer in layers:
            layer.measure(now)
        blocks = [block for layer in layers if (block := layer.report_block(now)) is not None]
        senders = [
            (report, track.source_chunk)
            for track in self._outgoing.values()
            if (report := track.sender_report(ntp, wallclock, now)) is not None
        ]
        for start in range(0, max(len(blocks), 0 if senders else 1), _BLOCKS_PER_REPORT):
            received = ReceiverReport(self._ssrc, tuple(blocks[start : start + _BLOCKS_PER_REPORT]))
            self._send(compound(received, SourceDescription.of(self._ssrc, self._cname)))
        for start in range(0, len(senders), _REPORTS_PER_PACKET):
            part = senders[start : start + _REPORTS_PER_PACKET]
            reports, chunks = zip(*part, strict=True)
            self._send(compound(*reports, SourceDescription(chunks)))
