"""One encoding of a published track: counted, asked for again, cached, and handed to those who forward it.

Theory of operation
-------------------
A layer has an SSRC, and may change it. Retransmissions come as RTX on an SSRC of their own (RFC 4588) and go back under
their old numbers, but only when they repair a loss: what a browser sends there to probe for bandwidth repeats packets
that arrived.

*Key frames.* Subscriptions that want to switch to a layer wait in it for the packet that starts a key frame; that
packet is the first they get. PLI goes to the publisher when somebody waits or asks, with a hold-off (`media/feedback`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rtcctl.media.clock import unix_from_ntp
from rtcctl.media.feedback import CachedPacket, KeyFrameRequests, NackGenerator, RetransmissionCache
from rtcctl.media.picture_id import Locate, Picture, locate
from rtcctl.media.reception import ReceptionStatistics
from rtcctl.media.rewrite import StreamNumbering

if TYPE_CHECKING:
    from rtcctl.media.rtcp import ReportBlock, SenderReport
    from rtcctl.server.forward import ForwardingGroup
    from rtcctl.server.incoming import IncomingTrack
    from rtcctl.server.outgoing import OutgoingTrack
    from rtcctl.transport.udp import ReceiveBuffer

_LAYER_LIVE_S = 1.0
"The same for one of several layers, which a browser stops when it lacks bandwidth; the others go on meanwhile."
_TAKEOVER_S = 0.2
"A second SSRC of a layer takes it over when the first has been silent for this long."
_CACHED_PACKETS = {"audio": 512, "video": 1024}
"Of each layer, for retransmission: seconds of audio; of video half a second at 20 Mbit/s."
_MEASURE_S = 0.5

Fixed = tuple[int, int, int, int, int]
"The fixed header (RFC 3550 §5.1): first and second byte, sequence number, timestamp, SSRC."


class IncomingLayer:
    """One encoding of a track. `rid` is empty for the only one of a track without simulcast."""

    def __init__(self, track: IncomingTrack, rid: str, clock_rate_hz: int) -> None:
        self.track = track
        self.rid = rid
        self.clock_rate_hz = clock_rate_hz
        self.ssrc: int | None = None
        "The publisher's, of the packets that are forwarded now."
        self.last_packet_at: float | None = None
        "Monotonic seconds."
        self.reception = ReceptionStatistics(clock_rate_hz)
        "Of the present SSRC."
        self.bitrate_bps: float | None = None
        "Of the payload, over the last interval that `measure` looked at."
        self.groups: list[ForwardingGroup] = []
        self.key_frames = KeyFrameRequests()
        self.alignment: int | None = None
        "See the theory of operation; None until the layer is first forwarded."
        self.locators: Mapping[int, Locate] = {}
        "By payload type: where packets have the numbers of pictures."
        self.newest_picture: Picture | None = None
        "Of the packet with the highest number, as the publisher numbers them; for codecs that do that in the payload."
        self._connection = track.connection
        self._numbering = StreamNumbering(clock_rate_hz)
        self._cache = RetransmissionCache(_CACHED_PACKETS[track.kind])
        self._nacks: NackGenerator | None = None
        self._waiting: list[OutgoingTrack] = []
        self._is_watched = False
        self._sender_report: SenderReport | None = None
        self._sender_report_wallclock = 0.0
        "When it was made, by the publisher's clock."
        self._bytes = 0
        self._measured = 0.0, 0

    def is_live(self, now: float) -> bool:
        """Whether packets are coming."""
        return self.last_packet_at is not None and now - self.last_packet_at <= _LAYER_LIVE_S

    @property
    def highest(self) -> int:
        """The highest extended number given out, -1 before the first packet."""
        return self._numbering.highest

    @property
    def newest_timestamp(self) -> int:
        """Of the packet with the highest number."""
        return self._numbering.newest_timestamp

    def cached(self, extended: int) -> CachedPacket | None:
        """A packet that was forwarded not long ago."""
        return self._cache.get(extended)

    # The data path

    def receive(
        self,
        buffer: ReceiveBuffer,
        payload_at: int,
        end: int,
        fields: Fixed,
        elements: Mapping[int, bytes],
        now: float,
    ) -> None:
        """Count and forward the packet whose payload is at `buffer.memory[payload_at:end]`."""
        first, second, sequence_number, rtp_timestamp, ssrc = fields
        if ssrc != self.ssrc:
            if self.ssrc is not None and now - (self.last_packet_at or now) < _TAKEOVER_S:
                return
            self._take_over(ssrc, now)
        self.last_packet_at = self.track.last_packet_at = now
        self._bytes += end - payload_at
        self.reception.receive(sequence_number, rtp_timestamp, end - payload_at, now)
        if self.track.has_waiters:
            self.track.wake()
        if self._nacks is not None and self._nacks.receive(sequence_number, now):
            self._connection.request_retransmissions(self, now)
        self._forward(buffer, payload_at, end, first, second, sequence_number, rtp_timestamp, elements, now)

    def receive_rtx(
        self,
        buffer: ReceiveBuffer,
        payload_at: int,
        end: int,
        fields: Fixed,
        elements: Mapping[int, bytes],
        now: float,
    ) -> None:
        """A packet of the layer's RTX stream: the number of the original, then its payload (RFC 4588 §4).

        One of nothing but padding probes for bandwidth.
        """
        first, second, _, rtp_timestamp, _ = fields
        payload_type = self.track.repairs.get(second & 0x7F)
        padding_size = buffer.memory[end - 1] if first & 0x20 else 0
        if payload_type is None or self.ssrc is None or end - payload_at - padding_size < 2:
            return
        sequence_number = buffer.memory[payload_at] << 8 | buffer.memory[payload_at + 1]
        payload_at += 2
        if self._nacks is not None:
            self._nacks.receive(sequence_number, now)
        if self.reception.receive_retransmission(sequence_number, end - payload_at, now):
            second = second & 0x80 | payload_type
            self._forward(buffer, payload_at, end, first, second, sequence_number, rtp_timestamp, elements, now)

    def _forward(
        self,
        buffer: ReceiveBuffer,
        payload_at: int,
        end: int,
        first: int,
        second: int,
        sequence_number: int,
        rtp_timestamp: int,
        elements: Mapping[int, bytes],
        now: float,
    ) -> None:
        numbered = self._numbering.number(sequence_number, rtp_timestamp, now)
        if numbered is None:
            return
        extended, rtp_timestamp = numbered
        picture = None
        if self.locators and (locate_picture := self.locators.get(second & 0x7F)) is not None:
            picture = locate_picture(buffer.memory, payload_at, end)
            if picture is not None and extended == self._numbering.highest:
                self.newest_picture = picture
        if self._is_watched and self.track.starts_key_frame(second & 0x7F, buffer.memory, payload_at, end):
            self._start_key_frame(extended, rtp_timestamp, picture, now)
        if not self.groups and not self._waiting:
            return
        self._cache.store((extended, first, second, rtp_timestamp, bytes(buffer.memory[payload_at:end]), elements, now))
        for group in self.groups:
            group.send(buffer, payload_at, end, first, second, extended, rtp_timestamp, elements, picture, now)

    # Key frames

    def wait_key_frame(self, subscription: OutgoingTrack, now: float) -> None:
        """`subscription` switches to this layer at its next key frame."""
        self._is_watched = True
        if subscription not in self._waiting:
            self._waiting.append(subscription)
        self.request_key_frame(now)

    def stop_waiting(self, subscription: OutgoingTrack) -> None:
        """It has changed its mind."""
        if subscription in self._waiting:
            self._waiting.remove(subscription)
            self._forget_wishes()

    def request_key_frame(self, now: float) -> None:
        """Somebody needs one: ask the publisher, unless it was asked just now, or has yet to begin."""
        if self.track.kind == "video":
            self._is_watched = True
            if self.ssrc is not None and self.key_frames.want(now):
                self._connection.request_key_frame(self)
            self._connection.look_again(self.key_frames.get_timer())

    def _forget_wishes(self) -> None:
        """Nobody is there, perhaps, who could have a key frame."""
        if not self.groups and not self._waiting:
            self.key_frames.forget()

    def _start_key_frame(self, extended: int, rtp_timestamp: int, picture: Picture | None, now: float) -> None:
        self._is_watched = False
        self.key_frames.received(now)
        waiting, self._waiting = self._waiting, []
        for subscription in waiting:
            subscription.switch(self, extended, rtp_timestamp, picture, now)

    # Repair and reports

    def lost_packets(self, now: float) -> tuple[int, ...]:
        """Drain the publisher's 16-bit numbers to ask for again now; none unless it understands NACK."""
        if self._nacks is None:
            return ()
        numbers = self._nacks.requests(now)
        for number in numbers:
            self.reception.requested(number)
        return tuple(numbers)

    def get_timer(self) -> float | None:
        """When to look at `lost_packets` and `key_frames` next."""
        due = [
            at
            for at in (None if self._nacks is None else self._nacks.get_timer(), self.key_frames.get_timer())
            if at is not None
        ]
        return min(due, default=None)

    def measure(self, now: float) -> None:
        """Renew `bitrate_bps`."""
        at, count = self._measured
        if now - at >= _MEASURE_S:
            self.bitrate_bps = (self._bytes - count) * 8 / (now - at) if at else None
            self._measured = now, self._bytes

    def receive_sender_report(self, report: SenderReport, now: float) -> None:
        """Keep the publisher's clock: RTP timestamp against wall clock."""
        self._sender_report = report
        self._sender_report_wallclock = unix_from_ntp(report.ntp_timestamp)
        self.reception.sender_report(report.ntp_timestamp, now)

    def report_block(self, now: float) -> ReportBlock | None:
        """For the next receiver report to the publisher; None before the first packet."""
        return None if self.ssrc is None else self.reception.report_block(self.ssrc, now)

    @property
    def has_sender_report(self) -> bool:
        """Of the present SSRC."""
        return self._sender_report is not None

    def timestamp_at(self, wallclock: float, now: float) -> int:
        """The RTP timestamp of this moment, for sender reports to subscribers.

        By the publisher's own sender reports where there are some, because only they relate the clocks of its tracks
        to each other (lip sync); else by the newest packet.
        """
        report = self._sender_report
        if report is None:
            return self._numbering.timestamp_at(now)
        elapsed_s = wallclock + self._connection.remote_clock_offset_s - self._sender_report_wallclock
        units = report.rtp_timestamp + self._numbering.timestamp_offset + round(elapsed_s * self.clock_rate_hz)
        return units & 0xFFFFFFFF

    def arrival_timestamp_at(self, now: float) -> int:
        """The same by the newest packet alone."""
        return self._numbering.timestamp_at(now)

    # Groups

    def join(self, subscription: OutgoingTrack, group: ForwardingGroup) -> None:
        """Put a subscription into one of the groups, or add it as a new one."""
        if group not in self.groups:
            self.groups.append(group)
        group.add(subscription)

    def leave(self, subscription: OutgoingTrack, group: ForwardingGroup) -> None:
        """Take a subscription out of its group."""
        group.remove(subscription)
        if not group.members:
            # A new list, since this may be called while the old one is being gone through.
            self.groups = [other for other in self.groups if other is not group]
            self._forget_wishes()

    def update(self) -> None:
        """The track has codecs, or other ones."""
        codecs = self.track.codecs
        self.locators = {codec.payload_type: find for codec in codecs if (find := locate(codec.name)) is not None}
        if (self._nacks is None) == self.track.understands_nack:
            self._nacks = self._new_nacks()

    def close(self) -> None:
        # Subscribers remember what they were subscribed to for as long as they live.
        self._cache = RetransmissionCache(1)
        self._waiting.clear()
        self._is_watched = False

    def _new_nacks(self) -> NackGenerator | None:
        return NackGenerator() if self.track.understands_nack else None

    def _take_over(self, ssrc: int, now: float) -> None:
        if self.ssrc is not None:
            self._numbering.switch()
            self.reception = ReceptionStatistics(self.clock_rate_hz)
            self._nacks = self._new_nacks()
            self._sender_report = None
        self.ssrc = ssrc
        if self.track.kind == "video" and (self.groups or self._waiting):
            self._is_watched = True
            self.key_frames.begin(now)
            self._connection.look_again(now)
