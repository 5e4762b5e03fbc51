"""The RTCP of a peer: what it says of its streams, what it asks for, and what it is told (RFC 3550 §6, RFC 4585).

One timer for all that is due: reports each second, requests (NACK, PLI) when a receiver has them, congestion feedback
while packets come that want it. Nothing is sent before the transport is connected, or after `close`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence

from rtcctl.errors import ParseError
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
from rtcctl.probe.receiver import Receiver
from rtcctl.probe.sender import Encoding
from rtcctl.probe.tapped import Outlet

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


class RtcpReporter:
    """See the module. `receivers` and `encodings` (by SSRC) are the peer's, as they are at each moment."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        encodings: Mapping[int, Encoding],
        cname: str,
        clock: Callable[[], float],
    ) -> None:
        self._receivers = receivers
        self._encodings = encodings
        self._cname = cname
        self._clock = clock
        self._ssrc = random.getrandbits(32)
        "Of what is said by nobody who sends."
        self._transport: Outlet | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._report_at = self._transport_cc_at = 0.0
        self._transport_cc = TransportCcRecorder()
        self._media_ssrc = 0
        self.transport_cc_id: int | None = None
        "Of the header extension by which packets are numbered for congestion feedback; `None`: nobody wants any."

    def start(self, transport: Outlet) -> None:
        """The transport is connected."""
        now = self._clock()
        self._transport = transport
        self._report_at, self._transport_cc_at = now + _FIRST_REPORT_S, now + _TRANSPORT_CC_S
        self.arm()

    def close(self) -> None:
        """Say nothing more but goodbye."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def note_congestion(self, header: RtpHeader, now: float) -> None:
        """A packet came that may be numbered for congestion feedback."""
        value = b"" if self.transport_cc_id is None else header.extensions.get(self.transport_cc_id, b"")
        if len(value) < 2:
            return
        is_first = not self._transport_cc.pending
        self._transport_cc.receive(int.from_bytes(value[:2]), now)
        self._media_ssrc = header.ssrc
        if is_first:
            self._transport_cc_at = now + _TRANSPORT_CC_S
            self.arm()

    def received(self, data: bytes, now: float) -> None:
        """A compound packet came; what is none is dropped."""
        try:
            packets = parse_compound(data)
        except ParseError:
            return
        wallclock = time.time()
        for packet in packets:
            if isinstance(packet, SenderReport | ReceiverReport):
                if isinstance(packet, SenderReport):
                    for receiver in self._receivers:
                        receiver.sender_report(packet, now)
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

    def say_goodbye(self) -> None:
        """BYE for each of our streams (RFC 3550 §6.6)."""
        sources = () if self._transport is None else tuple(self._encodings)
        for at in range(0, len(sources), _MAX_BLOCKS):
            assert self._transport is not None
            goodbye = Goodbye(sources[at : at + _MAX_BLOCKS])
            self._transport.send_rtcp(compound(ReceiverReport(self._ssrc), goodbye))

    def arm(self) -> None:
        """Call `_handle_timer` when the next report or request is due."""
        if self._is_closed or self._transport is None:
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
        self.give_feedback(now)

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

    def give_feedback(self, now: float) -> None:
        """Send the requests that are due."""
        assert self._transport is not None
        packets: list[Packet] = []
        for receiver in self._receivers:
            packets += receiver.feedback(self._ssrc, now)
        if self._transport_cc.pending and now >= self._transport_cc_at:
            self._transport_cc_at = now + _TRANSPORT_CC_S
            packets += self._transport_cc.feedback(self._ssrc, self._media_ssrc)
        for packet in packets:
            self._transport.send_rtcp(compound(ReceiverReport(self._ssrc), packet))
        self.arm()


__all__ = ["RtcpReporter"]
