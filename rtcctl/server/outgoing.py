"""What a connection sends: one `OutgoingTrack` for each m-section, whatever flows in it.

Theory of operation
-------------------
An outgoing track has one SSRC (and one for RTX) for the whole life of its m-section. What it forwards changes: another
layer of the track, another track, nothing for a while. Its sequence numbers go on across all of that without a gap, and
its timestamps (and VP8's picture numbers) move forward: receivers see one stream, and SRTP one packet for each number.

    idle ──subscribe──▶ forwarding ⇄ switching (a key frame of another layer is awaited, the old one goes on)
      ▲                     │
      └────unsubscribe──────┘

The first packets are those at the live edge, whatever they are: a decoder that needs a key frame says so, and one was
asked for already. From then on a change takes place at a key frame, and so does going on after packets were not
forwarded (no keys, no address, no codec in common for a while); of audio, every packet is one.

All subscriptions of a track that began with it share the track's public SSRC and its numbers, and so one
`ForwardingGroup`. What a track forwarded before its last change is remembered (`_Stretch`), so that NACKs for it can
still be answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtcctl.media.clock import round_trip_s
from rtcctl.media.extensions import ABS_SEND_TIME, FORWARDED, MID
from rtcctl.media.picture_id import NO_SHIFT, Picture, shift_between
from rtcctl.media.rewrite import HeaderTemplate, Numbering, start_offset
from rtcctl.media.rtcp import SDES_CNAME, ReportBlock, SenderReport, SourceChunk
from rtcctl.media.simulcast import LayerPreference, LayerSelector
from rtcctl.server.forward import ForwardingGroup

if TYPE_CHECKING:
    from rtcctl.media.codec import Codec
    from rtcctl.server.connection import Connection
    from rtcctl.server.incoming import IncomingTrack
    from rtcctl.server.layer import IncomingLayer

_RTT_MAX_S = 60.0
_MIN_BUDGET = 64
"Packets that may be asked for between two sender reports; as many as were sent when those are more."
_STRETCHES = 4
"Of the past, for NACKs."
_HALF = 0x8000_0000


@dataclass(frozen=True, slots=True)
class SubscriptionStatistics:
    """What one outgoing track was sent, and what its receiver said of it."""

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


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Numbers on the wire that came from one encoding under one header."""

    layer: IncomingLayer
    group: ForwardingGroup
    header: HeaderTemplate
    offset: int
    lowest: int
    "The encoding's extended number of the first packet."
    highest_out: int


class OutgoingTrack:
    """See the theory of operation. Made by `Connection.sender`.

    It forwards when four things are there: a source, payload types (`negotiate`), the connection's keys and address.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        mid: str,
        kind: str,
        ssrc: int,
        rtx_ssrc: int | None,
        rtx_number: int,
        cname: str,
        clock: Callable[[], float],
    ) -> None:
        self.connection = connection
        self.mid = mid
        self.kind = kind
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.cname = cname
        "That of the first source, so that receivers keep its tracks in sync."
        self.source_chunk = SourceChunk(ssrc, ((SDES_CNAME, cname.encode()),))
        "For the source description that goes with each sender report."
        self.source: IncomingTrack | None = None
        self.target: tuple[Any, Any] = (None, None)
        "SRTP sender and name of the address, for `UdpSocket.put_protected`."
        self.is_closed = False
        self._clock = clock
        self._codecs: tuple[Codec, ...] = ()
        self._extensions: Mapping[str, int] = {}
        self._payload_types: Mapping[int, int] = {}
        "The publisher's to the subscriber's."
        self.header = HeaderTemplate(ssrc)
        self._rtx_payload_types: Mapping[int, int] = {}
        "The subscriber's, of a codec to that of its RTX."
        self._rtx_header = HeaderTemplate(rtx_ssrc or 0)
        self._rtx_number = rtx_number
        self._selector = LayerSelector(LayerPreference())
        self._layer: IncomingLayer | None = None
        "What is forwarded, or would be if the rest were there."
        self._target: IncomingLayer | None = None
        "Another one, which is waited for."
        self._group: ForwardingGroup | None = None
        self._joined_at = 0
        "Packets of the group when this subscription came."
        self._offset = 0
        self._lowest = 0
        "The layer's extended number of the first packet of the present stretch."
        self._timestamp_offset = 0
        self._adjustment = 0
        "To add to the timestamps of the source, so that they go on from those of the source before."
        self._picture_shift = NO_SHIFT
        self._last_picture: Picture | None = None
        "The newest before the present stretch, numbered as it was sent."
        self._has_sent = False
        self._last: tuple[int, int, float] = (0, 0, 0.0)
        "Number and timestamp of the newest packet before the present stretch, and the monotonic time of that."
        self._stretches: deque[_Stretch] = deque(maxlen=_STRETCHES)
        self._packets = 0
        self._bytes = 0
        self._packets_at_subscribe = 0
        self._packets_retransmitted = 0
        self._budget = _MIN_BUDGET
        self._packets_at_report = 0
        self._report: ReportBlock | None = None
        self._timed_report: tuple[ReportBlock, int] | None = None
        "The last one that answered a sender report, and when it came."

    # What the session uses

    @property
    def has_media(self) -> bool:
        """Whether a packet has been forwarded since the last `subscribe`."""
        return self.packets_sent > self._packets_at_subscribe

    def subscribe(self, track: IncomingTrack, preference: LayerPreference | None = None) -> None:
        """Forward `track` from now on, instead of what was forwarded before."""
        assert not self.is_closed
        self.unsubscribe()
        self.source = track
        track.subscriptions.append(self)
        now = self._clock()
        self._selector = LayerSelector(preference or LayerPreference())
        self._packets_at_subscribe = self.packets_sent
        self._map()
        self._select(now)
        self.connection.look_again(now)

    def prefer(self, preference: LayerPreference) -> None:
        """Another layer of the same track, at its next key frame."""
        now = self._clock()
        self._selector.prefer(preference, now)
        self._select(now)

    def unsubscribe(self) -> None:
        """Forward nothing."""
        self._detach()
        for layer in (self._layer, self._target):
            if layer is not None:
                layer.stop_waiting(self)
        self._layer = self._target = None
        if self.source is not None:
            self.source.subscriptions.remove(self)
            self.source = None

    def negotiate(self, codecs: Sequence[Codec], extensions: Mapping[str, int]) -> None:
        """Take up what the client agreed to receive, in its own numbers."""
        self._codecs, self._extensions = tuple(codecs), extensions
        self.renew()

    def close(self) -> None:
        """The m-section is no more."""
        if not self.is_closed:
            self.unsubscribe()
            self._stretches.clear()
            self.is_closed = True
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
    def rid(self) -> str:
        """Of the layer that is forwarded; empty without simulcast."""
        return self._layer.rid if self._layer else ""

    @property
    def statistics(self) -> SubscriptionStatistics:
        """Totals since the start, and the last receiver report."""
        report, rtt_s = self._report, self.rtt_s
        clock_rate_hz = self._layer.clock_rate_hz if self._layer else 0
        return SubscriptionStatistics(
            self.packets_sent,
            self.bytes_sent,
            self._packets_retransmitted,
            None if report is None else report.fraction_lost_q8 / 256,
            None if report is None else report.packets_lost,
            None if report is None or not clock_rate_hz else report.jitter_rtp * 1000 / clock_rate_hz,
            None if rtt_s is None else rtt_s * 1000,
        )

    # What is forwarded

    def update(self, extended: int | None = None) -> None:
        """Take up the connection's keys and address, as they are now.

        `extended`: the layer's number of the packet to begin with; without it, the next one that comes.
        """
        sender, name, layer = self.connection.srtp_sender, self.connection.name, self._layer
        if layer is None or not self._payload_types or sender is None or name is None:
            self._detach()
        elif self._group is None or self.target != (sender, name):
            self._detach()
            self.target = sender, name
            if extended is None and self._has_sent and self._last[0] - self._offset < layer.highest:
                # The layer has gone on without us.
                layer.wait_key_frame(self, self._clock())
                return
            self._attach(layer, extended)
            if extended is None:
                layer.request_key_frame(self._clock())

    def renew(self) -> None:
        """Payload types, header extensions or encodings of one side have changed."""
        self._map()
        layers = self.source.layers.values() if self.source is not None else ()
        if self._layer is not None and self._layer not in layers:
            self._detach()
            self._layer.stop_waiting(self)
            self._layer = None
        if self._target is not None and self._target not in layers:
            self._target.stop_waiting(self)
            self._target = None
        now = self._clock()
        self._select(now)
        self.update()
        self.connection.look_again(now)

    def switch(
        self, layer: IncomingLayer, extended: int, rtp_timestamp: int, picture: Picture | None, now: float
    ) -> None:
        """A layer that was waited for, another one or the present one, starts a key frame with this packet."""
        if layer is self._target:
            self._target = None
        if self._layer is not None:
            self._layer.stop_waiting(self)
        self._detach()
        self._begin(layer, extended, rtp_timestamp, picture, now)
        self.update(extended)

    def handle_timer(self, now: float) -> None:
        """Look whether another layer should be forwarded."""
        if self.source is not None and self.source.rids:
            self._select(now)

    def request_key_frame(self, now: float) -> None:
        """The subscriber needs one."""
        for layer in (self._layer, self._target):
            if layer is not None:
                layer.request_key_frame(now)

    def _select(self, now: float) -> None:
        """Choose a layer, and go there at once or at its next key frame."""
        source = self.source
        if source is None:
            return
        chosen = self._selector.select(source.layer_states(now), now) if source.rids else ""
        if chosen is None:
            # What is pinned and not there is waited for; what is forwarded meanwhile goes on.
            chosen = self._selector.preference.preferred_rid
        layer = None if chosen is None else source.layers.get(chosen)
        if layer is None or layer is self._target or (layer is self._layer and self._target is None):
            return
        if self._target is not None:
            self._target.stop_waiting(self)
            self._target = None
        if layer is self._layer:
            return
        # The timestamps of an encoding that has sent nothing have no place yet among those of the others.
        is_known = layer.highest >= 0 or not source.rids
        if is_known and not (self._has_sent or self.has_media):
            self._detach()
            self._begin(layer, layer.highest + 1, layer.arrival_timestamp_at(now), None, now)
            self.update()
        else:
            self._target = layer
            layer.wait_key_frame(self, now)

    def _begin(
        self, layer: IncomingLayer, extended: int, rtp_timestamp: int, picture: Picture | None, now: float
    ) -> None:
        """The present stretch begins with this packet of `layer`; nothing is attached."""
        source = layer.track
        is_same_source = self._layer is not None and self._layer.track is source
        natural = (rtp_timestamp + source.alignment(layer, now)) & 0xFFFFFFFF
        self._layer = layer
        if not self._has_sent:
            # Numbers (see `_attach`) and timestamps of the source's own, which is what others have, too.
            self._adjustment = 0
            self._picture_shift = NO_SHIFT
        else:
            number, timestamp, at = self._last
            self._offset = number + 1 - extended
            self._lowest = extended
            self._picture_shift = shift_between(self._last_picture, picture)
            least = (timestamp + 1) & 0xFFFFFFFF
            if is_same_source:
                wanted = (natural + self._adjustment) & 0xFFFFFFFF
                if (wanted - least) & 0xFFFFFFFF >= _HALF:
                    wanted = least
            else:
                wanted = max(round((now - at) * layer.clock_rate_hz), 1) + timestamp
            self._adjustment = wanted - natural
        self._timestamp_offset = (source.alignment(layer, now) + self._adjustment) & 0xFFFFFFFF

    def _map(self) -> None:
        """Payload types and header extensions, the publisher's to the subscriber's. Other ones begin a new stretch."""
        source = self.source
        if source is None:
            return
        payload_types = {
            published.payload_type: codec.payload_type
            for published in source.codecs
            for codec in reversed(self._codecs)
            if published.repairs is None and codec.is_same_codec(published)
        }
        self._rtx_payload_types = {
            codec.repairs: codec.payload_type for codec in self._codecs if codec.repairs is not None
        }
        forwarded = {
            source.parameters.extensions[uri]: self._extensions[uri]
            for uri in FORWARDED
            if uri in source.parameters.extensions and uri in self._extensions
        }
        time_id = self._extensions.get(ABS_SEND_TIME)
        mid = self._extensions.get(MID), self.mid.encode()
        self._rtx_header = HeaderTemplate(self.rtx_ssrc or 0, forwarded, time_id, *mid)
        header = HeaderTemplate(self.ssrc, forwarded, time_id, *mid)
        if (payload_types, header) != (self._payload_types, self.header):
            self._detach()  # under the header that was sent
            self._payload_types, self.header = payload_types, header
            if self._layer is not None:
                self._lowest = max(self._lowest, self._layer.highest + 1)

    def _attach(self, layer: IncomingLayer, extended: int | None) -> None:
        udp = self.connection.udp
        required = 0
        if self._has_sent:
            required = self._lowest
        else:
            self._lowest = layer.highest + 1 if extended is None else extended
            self._offset = start_offset(self._lowest) if self._lowest else 0
        offsets = self._timestamp_offset, self._picture_shift
        key = udp, self.header, self._payload_types, self._offset, required, *offsets
        group = next((group for group in layer.groups if group.fits(*key)), None)
        if group is None:
            numbering = Numbering(self._offset, self._lowest)
            if self._has_sent:
                # The same stretch, by another path: what was sent of it was sent.
                numbering.highest_out = max(numbering.highest_out, self._last[0])
            group = ForwardingGroup(layer, udp, self.header, self._payload_types, numbering, *offsets)
        self._group = group
        layer.join(self, group)
        self._joined_at = group.packets
        self._packets -= group.packets
        self._bytes -= group.bytes

    def _detach(self) -> None:
        group, layer = self._group, self._layer
        if group is None or layer is None:
            return
        self._packets += group.packets
        self._bytes += group.bytes
        if group.packets > self._joined_at:
            self._has_sent = True
            numbering = group.numbering
            lowest = max(self._lowest, numbering.lowest)
            self._stretches.append(_Stretch(layer, group, self.header, numbering.offset, lowest, numbering.highest_out))
            timestamp = (layer.newest_timestamp + group.timestamp_offset) & 0xFFFFFFFF
            # What came may have been late, from before this stretch.
            self._last = max(self._last[0], numbering.highest_out), timestamp, layer.last_packet_at or 0.0
            self._last_picture = layer.newest_picture and layer.newest_picture.shifted(group.picture_shift)
            self._offset, self._lowest = numbering.offset, lowest
        layer.leave(self, group)
        self._group = None

    # Reports

    def sender_report(self, ntp: int, wallclock: float, now: float) -> SenderReport | None:
        """For the subscriber; None before the first packet, and while nothing is forwarded."""
        packets = self.packets_sent
        if not packets or self._group is None or self._layer is None:
            return None
        self._budget = max(_MIN_BUDGET, packets - self._packets_at_report)
        self._packets_at_report = packets
        timestamp = (self._layer.timestamp_at(wallclock, now) + self._group.timestamp_offset) & 0xFFFFFFFF
        return SenderReport(self.ssrc, ntp, timestamp, packets, self.bytes_sent)

    def receive_report(self, block: ReportBlock, ntp: int, now: float) -> None:
        """What the subscriber says of this track; `ntp` is when it came."""
        self._report = block
        self._selector.receive_report(block.fraction_lost_q8 / 256, now)
        if block.last_sr_ntp32:
            self._timed_report = block, ntp

    @property
    def bitrate_bps(self) -> float:
        """Of what is forwarded; 0 when that is unknown."""
        return (self._layer.bitrate_bps if self._layer and self._group else None) or 0.0

    def receive_estimate(self, bitrate_bps: int, now: float) -> None:
        """The subscriber's estimate (REMB) of what it can receive of this track."""
        self._selector.receive_remb(bitrate_bps, now)

    @property
    def rtt_s(self) -> float | None:
        """Round trip by RTCP: from our last answered sender report to the receiver report about it."""
        if self._timed_report is None:
            return None
        block, ntp = self._timed_report
        rtt_s = round_trip_s(ntp, block.last_sr_ntp32, block.delay_since_last_sr_q16)
        # A longer one is about something that we never sent.
        return rtt_s if rtt_s is not None and rtt_s < _RTT_MAX_S else None

    def retransmit(self, sequence_numbers: Iterable[int], now: float) -> None:
        """Answer a NACK with what is still in the cache: as RTX where that was agreed, else the same packet again."""
        group, layer = self._group, self._layer
        if group is None or layer is None:
            return
        numbering = group.numbering
        stretches = list(reversed(self._stretches))
        if group.packets > self._joined_at:
            lowest = max(self._lowest, numbering.lowest)
            present = _Stretch(layer, group, self.header, numbering.offset, lowest, numbering.highest_out)
            stretches.insert(0, present)
        highest_out = max(self._last[0], numbering.highest_out)
        for number in sequence_numbers:
            if self._budget <= 0:
                return
            self._budget -= 1
            out = highest_out - ((highest_out - number) & 0xFFFF)
            for stretch in stretches:
                if stretch.lowest + stretch.offset <= out <= stretch.highest_out:
                    self._send_again(stretch, out - stretch.offset, now)
                    break

    def _send_again(self, stretch: _Stretch, extended: int, now: float) -> None:
        cached = stretch.layer.cached(extended)
        if cached is None:
            return
        packet = None
        if self._rtx_payload_types:
            packet = stretch.group.as_rtx(
                cached, stretch.offset, self._rtx_header, self._rtx_payload_types, self._rtx_number, now
            )
        if packet is not None:
            self._rtx_number = (self._rtx_number + 1) & 0xFFFF
        else:
            packet = stretch.group.again(cached, stretch.offset, stretch.header)
        if packet is not None:
            self.connection.udp.put_protected(packet, len(packet), (self.target,))
            self._packets_retransmitted += 1
