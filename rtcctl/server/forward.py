"""Forwarding: one published track to its subscriptions, without decoding.

Theory of operation
-------------------
A packet comes decrypted, in the endpoint's receive buffer. `IncomingTrack.receive` counts it, gives it the track's own
number and keeps its payload for retransmission. Subscriptions that get the same bytes before encryption (equal SSRC,
payload types, header extensions and sequence offset) form a `_Group`: the header is written once for all of them, in
place, and each member costs a copy, an encryption and a slot in the socket's batch.

All subscriptions of a track share the track's own SSRC, so that there usually is one group; a second subscription of a
session to the same track gets a fresh one, since a receiver would take its jump in sequence numbers for loss.

*What must never happen* is that two different packets go out under one number of one SSRC and key: AES-GCM would give
its key away (RFC 7714 §9). Numbers come from `media/rewrite.py`, which only moves forward. A retransmission is the
same packet again, byte for byte: `_Group.packet` makes it by the same steps, and a subscription whose header changes
(new payload types) answers no NACK for what went before.

RTCP ends here (RFC 7667 §3.6, a media-switching middlebox): the connection makes its reports from what tracks count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtcctl.media.clock import round_trip_s, unix_from_ntp
from rtcctl.media.codec import Codec
from rtcctl.media.feedback import CachedPacket, NackGenerator, RetransmissionCache
from rtcctl.media.reception import ReceptionStatistics
from rtcctl.media.rewrite import HeaderTemplate, Numbering, StreamNumbering, start_offset
from rtcctl.media.rtcp import SDES_CNAME, ReportBlock, SenderReport, SourceChunk
from rtcctl.transport.udp import ReceiveBuffer, UdpSocket

if TYPE_CHECKING:
    from rtcctl.server.connection import Connection

_LIVE_S = 2.0
"A track has media when its last packet is no older than this. Opus in DTX still sends each 400 ms."
_TAKEOVER_S = 0.2
"A second SSRC of an m-section takes its track over when the first has been silent for this long."
_RTT_MAX_S = 60.0
_MIN_BUDGET = 64
"Retransmissions between two sender reports of a subscription; as many as first transmissions when those are more."


@dataclass(frozen=True, slots=True)
class SubscriptionStatistics:
    """What one subscription was sent, and what its receiver said of it."""

    packets_sent: int
    "First transmissions."
    bytes_sent: int
    "Their payload, as sender reports count it (RFC 3550 §6.4.1)."
    packets_retransmitted: int
    fraction_lost: float | None
    "By the last receiver report: 0…1 since the one before; None until there was one."
    packets_lost_rfc3550: int | None
    jitter_ms: float | None
    rtt_ms: float | None
    "By RTCP: from our sender report to the receiver report about it."


class IncomingTrack:
    """A track that a connection publishes. Made by `Connection.publish`."""

    def __init__(
        self,
        connection: Connection,
        udp: UdpSocket,
        *,
        mid: str,
        kind: str,
        codecs: Sequence[Codec],
        mid_extension_id: int | None,
        public_ssrc: int,
        clock: Callable[[], float],
    ) -> None:
        self.mid = mid
        self.kind = kind
        self.codecs = tuple(codecs)
        self.mid_extension_id = mid_extension_id
        self.clock_rate_hz = codecs[0].clock_rate_hz
        "Of the first codec, which the m-section prefers."
        self.ssrc: int | None = None
        "The publisher's SSRC of the packets that are forwarded now."
        self.public_ssrc = public_ssrc
        "What subscriptions have, all but those that need their own."
        self.last_packet_at: float | None = None
        "Monotonic seconds."
        self.reception = ReceptionStatistics(self.clock_rate_hz)
        "Of the present SSRC."
        self.subscriptions: list[OutgoingTrack] = []
        self.is_closed = False
        self._connection = connection
        self._udp = udp
        self._clock = clock
        self._numbering = StreamNumbering(self.clock_rate_hz)
        self._cache = RetransmissionCache()
        self._nacks = self._new_nacks()
        self._groups: list[_Group] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._sender_report: SenderReport | None = None
        self._sender_report_wallclock = 0.0
        "When it was made, by the publisher's clock."

    @property
    def connection(self) -> Connection:
        """The publisher's."""
        return self._connection

    def has_media(self, now: float) -> bool:
        """Whether packets are coming."""
        return self.last_packet_at is not None and now - self.last_packet_at <= _LIVE_S

    async def wait_media(self, timeout_s: float) -> bool:
        """Wait until packets are coming; False when none came in time, or when the track ended."""
        if not self.is_closed and not self.has_media(self._clock()):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                async with asyncio.timeout(timeout_s):
                    await waiter
            except TimeoutError:
                return False
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        return not self.is_closed

    def close(self) -> None:
        """End the track and all its subscriptions."""
        if not self.is_closed:
            self.is_closed = True
            for subscription in list(self.subscriptions):
                subscription.close()
            self._wake()
            self._connection.forget_incoming(self)
            # Subscribers remember what they were subscribed to for as long as they live.
            self._cache = RetransmissionCache(1)

    # The data path

    def receive(
        self,
        buffer: ReceiveBuffer,
        payload_at: int,
        end: int,
        fields: tuple[int, int, int, int, int],
        now: float,
    ) -> None:
        """Count and forward the packet whose payload is at `buffer.memory[payload_at:end]`.

        `fields` are those of the fixed header: first and second byte, sequence number, timestamp, SSRC.
        """
        first, second, sequence_number, rtp_timestamp, ssrc = fields
        if ssrc != self.ssrc:
            if self.ssrc is not None and now - (self.last_packet_at or now) < _TAKEOVER_S:
                return
            self._take_over(ssrc)
        self.last_packet_at = now
        self.reception.receive(sequence_number, rtp_timestamp, end - payload_at, now)
        if self._waiters:
            self._wake()
        if self._nacks is not None and self._nacks.receive(sequence_number, now):
            self._connection.request_retransmissions(self, now)
        numbered = self._numbering.number(sequence_number, rtp_timestamp, now)
        if numbered is None:
            return
        extended, rtp_timestamp = numbered
        if not self._groups:
            return
        self._cache.store((extended, first, second, rtp_timestamp, bytes(buffer.memory[payload_at:end])))
        for group in self._groups:
            group.send(buffer, payload_at, end, first, second, extended, rtp_timestamp)

    def lost_packets(self, now: float) -> tuple[int, ...]:
        """Drain the publisher's 16-bit numbers to ask for again now; none unless it understands NACK."""
        if self._nacks is None:
            return ()
        numbers = self._nacks.requests(now)
        for number in numbers:
            self.reception.requested(number)
        return tuple(numbers)

    def get_timer(self) -> float | None:
        """When to look at `lost_packets` next."""
        return None if self._nacks is None else self._nacks.get_timer()

    def receive_sender_report(self, report: SenderReport, now: float) -> None:
        """Keep the publisher's clock: RTP timestamp against wall clock."""
        self._sender_report = report
        self._sender_report_wallclock = unix_from_ntp(report.ntp_timestamp)
        self.reception.sender_report(report.ntp_timestamp, now)

    def report_block(self, now: float) -> ReportBlock | None:
        """For the next receiver report to the publisher; None before the first packet."""
        if self.ssrc is None:
            return None
        return self.reception.report_block(self.ssrc, now)

    def timestamp_at(self, wallclock: float, now: float) -> int:
        """The track's RTP timestamp of this moment, for sender reports to subscribers.

        By the publisher's own sender reports where there are some, because only they relate the clocks of its tracks
        to each other (lip sync); else by the newest packet.
        """
        report = self._sender_report
        if report is None:
            return self._numbering.timestamp_at(now)
        elapsed_s = wallclock + self._connection.remote_clock_offset_s - self._sender_report_wallclock
        units = report.rtp_timestamp + self._numbering.timestamp_offset + round(elapsed_s * self.clock_rate_hz)
        return units & 0xFFFFFFFF

    # For OutgoingTrack

    def attach(self, subscription: OutgoingTrack, header: HeaderTemplate, payload_types: Mapping[int, int]) -> _Group:
        """Put a subscription into the group whose packets are its own; its numbers go on where they were."""
        next_number = self._numbering.highest + 1
        if subscription.offset is None:
            subscription.offset = start_offset(next_number) if next_number else 0
            subscription.lowest = next_number
        for group in self._groups:
            if group.fits(header, payload_types, subscription.offset):
                break
        else:
            group = _Group(self, self._udp, header, payload_types, Numbering(subscription.offset, next_number))
            self._groups.append(group)
        group.add(subscription)
        return group

    def detach(self, subscription: OutgoingTrack, group: _Group) -> None:
        """Take a subscription out of its group."""
        group.remove(subscription)
        if not group.members:
            self._groups.remove(group)

    @property
    def highest(self) -> int:
        """The highest extended number given out, -1 before the first packet."""
        return self._numbering.highest

    def cached(self, extended: int) -> CachedPacket | None:
        """A packet that was forwarded not long ago."""
        return self._cache.get(extended)

    def _new_nacks(self) -> NackGenerator | None:
        return NackGenerator() if any("nack" in codec.feedback for codec in self.codecs) else None

    def _take_over(self, ssrc: int) -> None:
        if self.ssrc is not None:
            self._numbering.switch()
            self.reception = ReceptionStatistics(self.clock_rate_hz)
            self._nacks = self._new_nacks()
            self._sender_report = None
        self.ssrc = ssrc

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class _Group:
    """Subscriptions that get the same bytes before encryption."""

    __slots__ = ("_header", "_numbering", "_payload_types", "_targets", "_track", "_udp", "bytes", "members", "packets")

    def __init__(
        self,
        track: IncomingTrack,
        udp: UdpSocket,
        header: HeaderTemplate,
        payload_types: Mapping[int, int],
        numbering: Numbering,
    ) -> None:
        self.members: list[OutgoingTrack] = []
        self.packets = 0
        "Sent to each member since the group was made."
        self.bytes = 0
        self._track = track
        self._udp = udp
        self._header = header
        self._payload_types = payload_types
        self._numbering = numbering
        self._targets: list[tuple[Any, Any]] = []

    @property
    def offset(self) -> int:
        """Of the sequence numbers, at this moment."""
        return self._numbering.offset

    def fits(self, header: HeaderTemplate, payload_types: Mapping[int, int], offset: int) -> bool:
        """Whether a subscription with these would get the same bytes."""
        return (self._header, self._payload_types, self._numbering.offset) == (header, payload_types, offset)

    def add(self, member: OutgoingTrack) -> None:
        self.members.append(member)
        self._targets = [member.target for member in self.members]

    def remove(self, member: OutgoingTrack) -> None:
        self.members.remove(member)
        self._targets = [member.target for member in self.members]

    def send(
        self,
        buffer: ReceiveBuffer,
        payload_at: int,
        end: int,
        first: int,
        second: int,
        extended: int,
        rtp_timestamp: int,
    ) -> None:
        """Put the packet into the socket's batch for every member."""
        numbering = self._numbering
        if extended < numbering.lowest:
            return
        payload_type = self._payload_types.get(second & 0x7F)
        if payload_type is None:
            numbering.skip(extended, self._track.highest)
            return
        number = (extended + numbering.offset) & 0xFFFF
        start = self._header.write(
            buffer.memory, payload_at, first, second & 0x80 | payload_type, number, rtp_timestamp
        )
        self.packets += 1
        self.bytes += end - payload_at
        self._udp.put_protected(buffer.pointer + start, end - start, self._targets)

    def packet(self, extended: int) -> bytes | None:
        """A packet again, as `send` wrote it; None when it is not here or was never sent."""
        numbering = self._numbering
        cached = self._track.cached(extended) if extended >= numbering.lowest else None
        if cached is None:
            return None
        _, first, second, rtp_timestamp, payload = cached
        payload_type = self._payload_types.get(second & 0x7F)
        if payload_type is None:
            return None
        header = bytearray(self._header.header_size)
        number = (extended + numbering.offset) & 0xFFFF
        self._header.write(header, len(header), first, second & 0x80 | payload_type, number, rtp_timestamp)
        return bytes(header) + payload


class OutgoingTrack:
    """One subscription of a connection to a track. Made by `Connection.subscribe`.

    It forwards when three things are there: the payload types (`negotiate`), the connection's keys and its address.
    """

    def __init__(
        self,
        connection: Connection,
        incoming: IncomingTrack,
        udp: UdpSocket,
        *,
        mid: str,
        ssrc: int,
        mid_extension_id: int | None,
    ) -> None:
        self.connection = connection
        self.incoming = incoming
        self.mid = mid
        self.ssrc = ssrc
        self.cname = incoming.connection.cname
        "The publisher's, so that receivers keep its tracks in sync."
        self.source_chunk = SourceChunk(ssrc, ((SDES_CNAME, self.cname.encode()),))
        "For the source description that goes with each sender report."
        self.offset: int | None = None
        "To add to the track's extended sequence numbers; None until the first attachment."
        self.lowest = 0
        "Extended number of the track below which this subscription has had nothing under its present header."
        self.target: tuple[Any, Any] = (None, None)
        "SRTP sender and name of the address, for `UdpSocket.put_protected`."
        self.is_closed = False
        self._udp = udp
        extensions = {} if mid_extension_id is None else {mid_extension_id: mid.encode()}
        self._header = HeaderTemplate(ssrc, extensions)
        self._payload_types: Mapping[int, int] = {}
        self._group: _Group | None = None
        self._packets = 0
        self._bytes = 0
        self._packets_retransmitted = 0
        self._budget = _MIN_BUDGET
        self._packets_at_report = 0
        self._report: ReportBlock | None = None
        self._timed_report: tuple[ReportBlock, int] | None = None
        "The last one that answered a sender report, and when it came."

    def negotiate(self, codecs: Sequence[Codec]) -> None:
        """Map the publisher's payload types to those of the answer; forwarding starts with this at the live edge."""
        payload_types = {
            published.payload_type: codec.payload_type
            for published in self.incoming.codecs
            for codec in reversed(codecs)
            if codec.is_same_codec(published)
        }
        if payload_types != self._payload_types:
            self._payload_types = payload_types
            self._detach()
            self.lowest = self.incoming.highest + 1
        self.update()

    def update(self) -> None:
        """Take up the connection's keys and address, as they are now."""
        sender, name = self.connection.srtp_sender, self.connection.name
        if self.is_closed or not self._payload_types or sender is None or name is None:
            self._detach()
        elif self._group is None or self.target != (sender, name):
            self._detach()
            self.target = sender, name
            self._group = self.incoming.attach(self, self._header, self._payload_types)
            self._packets -= self._group.packets
            self._bytes -= self._group.bytes

    def close(self) -> None:
        """End the subscription."""
        if not self.is_closed:
            self.is_closed = True
            self._detach()
            self.incoming.subscriptions.remove(self)
            self.connection.forget_outgoing(self)

    @property
    def packets_sent(self) -> int:
        """First transmissions."""
        return self._packets + (self._group.packets if self._group else 0)

    @property
    def bytes_sent(self) -> int:
        """Payload of the first transmissions."""
        return self._bytes + (self._group.bytes if self._group else 0)

    @property
    def statistics(self) -> SubscriptionStatistics:
        """Totals since the start, and the last receiver report."""
        report, rtt_s = self._report, self.rtt_s
        return SubscriptionStatistics(
            self.packets_sent,
            self.bytes_sent,
            self._packets_retransmitted,
            None if report is None else report.fraction_lost_q8 / 256,
            None if report is None else report.packets_lost,
            None if report is None else report.jitter_rtp * 1000 / self.incoming.clock_rate_hz,
            None if rtt_s is None else rtt_s * 1000,
        )

    def sender_report(self, ntp: int, wallclock: float, now: float) -> SenderReport | None:
        """For the subscriber; None before the first packet."""
        packets = self.packets_sent
        if not packets:
            return None
        self._budget = max(_MIN_BUDGET, packets - self._packets_at_report)
        self._packets_at_report = packets
        timestamp = self.incoming.timestamp_at(wallclock, now)
        return SenderReport(self.ssrc, ntp, timestamp, packets, self.bytes_sent)

    def receive_report(self, block: ReportBlock, ntp: int) -> None:
        """What the subscriber says of this track; `ntp` is when it came."""
        self._report = block
        if block.last_sr_ntp32:
            self._timed_report = block, ntp

    @property
    def rtt_s(self) -> float | None:
        """Round trip by RTCP: from our last answered sender report to the receiver report about it."""
        if self._timed_report is None:
            return None
        block, ntp = self._timed_report
        rtt_s = round_trip_s(ntp, block.last_sr_ntp32, block.delay_since_last_sr_q16)
        # A longer one is about something that we never sent.
        return rtt_s if rtt_s is not None and rtt_s < _RTT_MAX_S else None

    def retransmit(self, sequence_numbers: Iterable[int]) -> None:
        """Answer a NACK with what is still in the cache."""
        group = self._group
        if group is None:
            return
        sender, name = self.target
        highest = self.incoming.highest
        for number in sequence_numbers:
            extended = highest - ((highest + group.offset - number) & 0xFFFF)
            packet = group.packet(extended) if extended >= self.lowest else None
            if packet is not None and self._budget > 0:
                self._budget -= 1
                self._udp.put_protected(packet, len(packet), ((sender, name),))
                self._packets_retransmitted += 1

    def _detach(self) -> None:
        if self._group is not None:
            self.offset = self._group.offset
            self._packets += self._group.packets
            self._bytes += self._group.bytes
            self.incoming.detach(self, self._group)
            self._group = None
