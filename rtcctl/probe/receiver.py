"""A track that the probe receives: every number comes from the decrypted packets themselves.

Nothing is decoded unless content is to be verified: packets are counted, frames are told apart, the send time is read
where a publisher of ours has put it. With `verify`, sinks decode: audio for its tone, video for the numbers in its
pictures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtcctl.media.codec import Codec
from rtcctl.media.feedback import KeyFrameRequests, NackGenerator
from rtcctl.media.frame_flow import FrameCounts, FrameFlow
from rtcctl.media.frame_start import starts_frame
from rtcctl.media.keyframe import starts_key_frame
from rtcctl.media.percentiles import Distribution
from rtcctl.media.picture_size import picture_size
from rtcctl.media.reception import SETTLE_S, Reception, ReceptionStatistics
from rtcctl.media.rtcp import Packet, ReportBlock, SenderReport
from rtcctl.media.rtcp_feedback import GenericNack, PictureLossIndication
from rtcctl.media.sendtime import find
from rtcctl.media.seqnum import SequenceUnwrapper
from rtcctl.probe.boot import this_boot
from rtcctl.probe.content import Content, content_of
from rtcctl.probe.negotiation import Section
from rtcctl.probe.transport import Arrival
from rtcctl.results.result import Percentiles
from rtcctl.results.track import LayerSwitch, ReceivedStatistics

if TYPE_CHECKING:
    from rtcctl.probe.sinks.play import Player

_LATENCIES_AT_ONCE = 1000
_NO_SSRC = -1
_MAX_SWITCHES = 1000
"That are remembered: far more than anybody asks for, and a bound on what an SFU can make us keep."

NACK_RETRY_S = 0.1
"Between two requests for one packet, at least …"

NACK_PATIENCE = 1.5
"… and in round trips."


class Receiver:
    """One receiving m-section. Its numbers begin with the first packet, or with `start_measuring`."""

    def __init__(
        self,
        section: Section,
        rtt_ms: Callable[[], float | None],
        *,
        verify: bool = False,
        player: Player | None = None,
    ) -> None:
        self.section = section
        self.verify = verify
        self.player = player
        self._measure_rtt_ms = rtt_ms
        self._codecs: dict[int, Codec] = {}
        self._repairs: dict[int, int] = {}
        "Payload type of RTX → of what it repairs."
        self._codec: Codec | None = None
        self._stream: Stream | None = None
        self._named_ssrcs: tuple[int, ...] = ()
        "By the description before."
        self._retired_ssrc: int | None = None
        "Of the track before, of which packets may still be on their way."
        self._arrived = asyncio.Event()
        self._framed = asyncio.Event()
        self.first_packet_at: float | None = None
        "Clock, when the first packet was read from its socket."
        self.went_on_at: float | None = None
        "The same of this connection, where the figures are also those of earlier ones (`go_on_from`)."
        self._is_succeeded = False
        self.is_urgent = False
        "Whether there is something to ask the sender for at once."
        self.layer_asked_at: float | None = None
        "Clock, when another layer was asked for that has not come yet."

    @property
    def mid(self) -> str | None:
        """`None` until the first offer."""
        return self.section.mid or None

    @property
    def kind(self) -> str:
        return self.section.kind

    @property
    def codec(self) -> str | None:
        """As in `a=rtpmap`: of the packets that came, before them the first one negotiated."""
        codec = self._codec or next(iter(self._codecs.values()), None)
        return None if codec is None else codec.rtpmap

    @property
    def received_codec(self) -> Codec | None:
        """Of the packets that came; `None` before the first."""
        return self._codec

    @property
    def ssrc(self) -> int | None:
        """Of what is received; `None` before the first packet."""
        return None if self._stream is None else self._stream.ssrc

    @property
    def rtt_ms(self) -> float | None:
        """Of the connection."""
        return self._measure_rtt_ms()

    @property
    def is_free(self) -> bool:
        """Whether its m-section carries nothing, or is yet to be offered, so that a track may take it."""
        return not self.section.is_remote_sending and not self.section.is_rejected

    def has_rtx(self, payload_type: int) -> bool:
        """Whether what is sent again comes as RTX, and can be told from what is late."""
        return payload_type in self._repairs.values()

    def takes(self, payload_type: int) -> bool:
        """Whether a packet of that payload type, media or RTX, may be of this m-section."""
        return payload_type in self._codecs or payload_type in self._repairs

    def release(self) -> None:
        """Its track was closed: the m-section may carry another one."""
        self.section.is_remote_sending = False
        self.section.remote_ssrcs = self.section.remote_rtx_ssrcs = ()
        self.reset()

    @property
    def first_frame_at(self) -> float | None:
        """Clock, when the first whole frame of video that needs no other was there; `None` for audio."""
        return None if self._stream is None else self._stream.first_frame_at

    async def wait_first_frame(self, timeout_s: float) -> float:
        """The same, once it is there. Raises `TimeoutError` if none comes."""
        async with asyncio.timeout(timeout_s):
            await self._framed.wait()
        if self.first_frame_at is None:
            raise TimeoutError("closed before the first frame")
        return self.first_frame_at

    def frame_completed(self) -> None:
        """The stream has its first whole frame that needs no other."""
        self._framed.set()

    def silent_s(self, now: float) -> float | None:
        """Seconds since the last packet; `None` before the first one."""
        return None if self._stream is None else max(0.0, now - self._stream.reception.arrived_at)

    @property
    def layer_switches(self) -> tuple[LayerSwitch, ...]:
        """Since `start_measuring`."""
        return () if self._stream is None else tuple(self._stream.switches)

    async def wait_first_packet(self, timeout_s: float) -> float:
        """Clock, when the first packet came. Raises `TimeoutError` if none comes, or the peer is closed."""
        async with asyncio.timeout(timeout_s):
            await self._arrived.wait()
        if self.went_on_at is None:
            raise TimeoutError("closed before the first packet")
        return self.went_on_at

    def go_on_from(self, previous: Receiver) -> None:
        """Before the first packet: what comes is the track of another receiver, and its figures go on with it.

        That other one's connection was lost, or its m-section given up; nothing is counted in there any more.
        """
        self.first_packet_at = previous.first_packet_at
        self._codec = previous._codec
        self._stream, previous._is_succeeded = previous._stream, True
        if self._stream is not None:
            self._stream.interrupt(self)

    @property
    def frames_missed(self) -> tuple[int | None, ...]:
        """Of each `go_on_from`: frames (of sound: packets) that were sent between the last one before it and the first
        one after it, by the numbers in the media; `None` where there are none, or nothing has come yet."""
        return () if self._stream is None else tuple(self._stream.frames_missed)

    def start_measuring(self, now: float) -> None:
        """Count anew from the next packet."""
        if self._stream is not None:
            self._stream.restart_range(now)

    def statistics(self, now: float) -> ReceivedStatistics:
        """Totals since the first packet, or since `start_measuring`.

        The range ends now: what is missing is lost, while in an interval it may still come.
        """
        return _NOTHING if self._stream is None else self._stream.totals(now, self.rtt_ms)

    def interval(self, now: float) -> ReceivedStatistics:
        """Since the previous call, or since the first packet."""
        return _NOTHING if self._stream is None else self._stream.interval(now, self.rtt_ms)

    def saturated(self, now: float) -> str | None:
        """Why what was not decoded may be this machine's doing; `None` when it is not."""
        return None if self._stream is None or self._stream.content is None else self._stream.content.saturated(now)

    async def drain(self) -> None:
        """Wait until what has come is decoded, if it is."""
        if self._stream is not None and self._stream.content is not None:
            await self._stream.content.drain()

    # -- called by the peer --------------------------------------------------------------------------------------

    def negotiated(self) -> bool:
        """The m-section was agreed on anew. Whether it carries another source from now on, or none."""
        section = self.section
        # Earlier payload types stay: they never change their meaning (RFC 8829 §5.2.2), and packets may still come.
        for codec in section.codecs:
            if codec.repairs is not None:
                self._repairs[codec.payload_type] = codec.repairs
            elif codec.name.lower() not in ("rtx", "red", "ulpfec", "flexfec-03"):
                self._codecs[codec.payload_type] = codec
        ssrcs = section.remote_ssrcs
        named, self._named_ssrcs = self._named_ssrcs, ssrcs
        if self._stream is not None and (
            # What is not as named although nothing has changed is what the sender does, whatever it says.
            (ssrcs and ssrcs != named and self._stream.ssrc not in ssrcs)
            or (not section.is_remote_sending and not ssrcs)
        ):
            # The m-section is free, or re-used for another source, whose first packet is yet to come.
            self.reset()
            return True
        return False

    def reset(self) -> None:
        """What comes next is another track."""
        if self._stream is not None:
            self._stream.close()
            self._retired_ssrc = self._stream.ssrc
        self._stream = self.first_packet_at = self.went_on_at = self.layer_asked_at = None
        self._arrived.clear()
        self._framed.clear()

    def packet_received(
        self, ssrc: int, payload_type: int, marker: int, number: int, timestamp: int, payload: bytes, arrival: Arrival
    ) -> bool:
        """Count a packet in; False if its payload type was never negotiated."""
        stream = self._stream
        if stream is not None and stream.ssrc == ssrc and stream.payload_type == payload_type:
            stream.packet_received(marker, number, timestamp, payload, arrival)
            return True
        if (repaired := self._repairs.get(payload_type)) is not None:
            if self._heard is not None and len(payload) > 2 and repaired == self._heard.payload_type:
                number = int.from_bytes(payload[:2])
                self._heard.retransmission_received(marker, number, timestamp, payload[2:], arrival)
            return True
        codec = self._codecs.get(payload_type)
        if self._is_succeeded:
            return True  # late: another receiver has gone on with what is counted here
        if codec is None or (ssrc == self._retired_ssrc and not self._may_send(ssrc)):
            return False
        if stream is None or stream.codec.clock_rate_hz != codec.clock_rate_hz:
            if stream is not None:
                stream.close()
            stream = self._stream = Stream(self, ssrc, codec)
        elif stream.ssrc != ssrc and stream.is_late(ssrc, arrival.now):
            return True
        else:
            if stream.ssrc != ssrc:
                stream.continue_as(ssrc, arrival.now)
            if stream.codec != codec:
                stream.use(codec)
        self._codec = codec
        stream.packet_received(marker, number, timestamp, payload, arrival)
        if self.went_on_at is None:
            self.went_on_at = arrival.now
            self.first_packet_at = self.first_packet_at or arrival.now
            self._arrived.set()
        return True

    def _may_send(self, ssrc: int) -> bool:
        """Whether the description allows for a source in this m-section."""
        section = self.section
        return section.is_remote_sending and (not section.remote_ssrcs or ssrc in section.remote_ssrcs)

    def sender_report(self, report: SenderReport, now: float) -> None:
        """Of the stream that is received."""
        if self._stream is not None and self._stream.ssrc == report.ssrc:
            self._stream.reception.sender_report(report.ntp_timestamp, now)

    def report_block(self, now: float) -> ReportBlock | None:
        """For the next receiver report; `None` before the first packet."""
        stream = self._heard
        return None if stream is None else stream.reception.report_block(stream.ssrc, now)

    def get_timer(self) -> float | None:
        """When to call `feedback` next."""
        return None if self._heard is None else self._heard.get_timer()

    def feedback(self, sender_ssrc: int, now: float) -> list[Packet]:
        """NACK and PLI that are due."""
        self.is_urgent = False
        return [] if self._heard is None else self._heard.feedback(sender_ssrc, now)

    @property
    def _heard(self) -> Stream | None:
        """The stream, if anything of it came over this connection."""
        return None if self._stream is None or self._stream.ssrc == _NO_SSRC else self._stream

    def close(self, *, keeps_media: bool = False) -> None:
        """No packet will come any more. `keeps_media`: here; another receiver may go on from this one."""
        self._arrived.set()
        self._framed.set()
        if self._stream is not None and not keeps_media:
            self._stream.close()


class Stream:
    """What is known of one source. It goes on under another SSRC when its sender changes that without a word."""

    def __init__(self, receiver: Receiver, ssrc: int, codec: Codec) -> None:
        self._receiver = receiver
        self.ssrc = ssrc
        self.reception = ReceptionStatistics(codec.clock_rate_hz)
        self.first_frame_at: float | None = None
        self.switches: list[LayerSwitch] = []
        self._started_at: float | None = None
        self._now = 0.0
        self._restarts = 0
        self._is_fresh = True
        "It has just begun, and whoever comes in the middle needs a beginning."
        self._previous: tuple[int, float] | None = None
        "The SSRC before, and when it was changed."
        self._boot = 0
        "Hash of the boot whose send times came last, if it is not ours."
        self._latency_ms = (Distribution(), Distribution())
        "Of the range and of the interval."
        self._latencies_ns: list[int] = []
        "Yet to be put into both: adding to a list costs a packet least."
        self._unwrapper = SequenceUnwrapper()
        self._is_video = receiver.kind == "video"
        self._flow = FrameFlow() if self._is_video else None
        # Sound is not asked for again: without RTX nobody could tell what was lost from what was late.
        self._nack = NackGenerator() if self._is_video and "nack" in codec.feedback else None
        self._key_frames = KeyFrameRequests() if self._is_video and "nack pli" in codec.feedback else None
        self._is_pli_due = False
        self._nacks = self._plis = 0
        self._counted = [(0, 0, 0), (0, 0, 0)]
        "NACKs, PLIs and switches before the range and before the interval."
        self._size: tuple[int, int] | None = None
        self._layer: str | None = None
        self._counter: int | None = None
        "Of the last frame that says which one it is."
        self._interrupted_at: tuple[str | None, int] | None = None
        "The layer and the counter before an interruption, until they are known again."
        self.frames_missed: list[int | None] = []
        self.content: Content | None = None
        self.use(codec)

    def use(self, codec: Codec) -> None:
        """Packets of another codec come under the same SSRC (or the first ones)."""
        self.codec = codec
        self.payload_type = codec.payload_type
        self._name = codec.name
        self._starts_key_frame = starts_key_frame(codec.name)
        self._starts_frame = starts_frame(codec.name)
        if self.content is not None:
            self.content.close()
        receiver = self._receiver
        self.content = (
            content_of(codec, receiver.kind, self._lacks_key_frame, receiver.player) if receiver.verify else None
        )

    def continue_as(self, ssrc: int, now: float) -> None:
        """Its SSRC has changed: what was counted stays, and another numbering begins."""
        self._previous = self.ssrc, now
        self.ssrc = ssrc
        self.reception.restart_stream()
        self._forget_numbers(now)
        self._is_fresh = True

    def interrupt(self, receiver: Receiver) -> None:
        """What comes next is the same track on another connection, of that receiver, under whatever SSRC."""
        self._receiver = receiver
        self._previous = None
        self.ssrc = _NO_SSRC
        self.frames_missed.append(None)
        self._interrupted_at = None if self._counter is None else (self._layer, self._counter)

    def _go_on(self, counter: int) -> None:
        """The first frame after an interruption that says which one it is."""
        assert self._interrupted_at is not None
        layer, before = self._interrupted_at
        self._interrupted_at = None
        missed = (counter - before - 1) & 0xFFFF_FFFF
        # Layers count each for themselves, and a publisher that was started anew counts from the beginning.
        if layer == self._layer and missed < 1 << 31:
            self.frames_missed[-1] = missed

    def is_late(self, ssrc: int, now: float) -> bool:
        """Whether a packet of that SSRC was overtaken by the change of it."""
        return self._previous is not None and ssrc == self._previous[0] and now - self._previous[1] < SETTLE_S

    def _forget_numbers(self, now: float) -> None:
        self._restarts = self.reception.restarts
        self._unwrapper = SequenceUnwrapper()
        if self._nack is not None:
            self._nack = NackGenerator()
        if self._flow is not None:
            self._flow.restart_stream(now)
        if self.content is not None:
            self.content.restart_stream()

    # -- packets -------------------------------------------------------------------------------------------------

    def packet_received(self, marker: int, number: int, timestamp: int, payload: bytes, arrival: Arrival) -> None:
        if not self.reception.receive(number, timestamp, len(payload), arrival.now):
            return
        if self.reception.restarts != self._restarts:
            # What else counts from the first packet on does not know of a stream that began anew below that.
            self._forget_numbers(arrival.now)
        if self._nack is not None and self._nack.receive(number, arrival.now):
            self._receiver.is_urgent = True
        if not payload:
            # Padding has a number that is not missing, and is of no frame.
            if self._is_video and self.content is not None:
                self.content.packet_received(number, self._unwrapper.unwrap(number), timestamp, False, payload, arrival)
            return
        sent = find(self._name, payload, marker != 0)
        if sent is not None:
            if sent.boot_id_hash == this_boot():
                self._latencies_ns.append(arrival.monotonic_ns - sent.monotonic_ns)
                if len(self._latencies_ns) >= _LATENCIES_AT_ONCE:
                    self._collect_latencies()
            elif sent.boot_id_hash != self._boot:
                # One like it must have come before: in a stranger's video any bytes stand there.
                self._boot = sent.boot_id_hash
                sent = None
        if self._is_video:
            self._take_video(marker, number, timestamp, payload, arrival)
            if sent is not None:
                self._see(sent.rid or None, arrival.now)
        elif self.content is not None:
            self.content.packet_received(number, 0, timestamp, marker != 0, payload, arrival)
        if sent is not None:
            self._counter = sent.counter
            if self._interrupted_at is not None:
                self._go_on(sent.counter)

    def retransmission_received(
        self, marker: int, number: int, timestamp: int, payload: bytes, arrival: Arrival
    ) -> None:
        """A packet that came as RTX, with its original number."""
        if self._nack is not None and self._nack.receive(number, arrival.now):
            self._receiver.is_urgent = True
        if self.reception.receive_retransmission(number, len(payload), arrival.now) and self._is_video:
            self._take_video(marker, number, timestamp, payload, arrival)

    def _take_video(self, marker: int, number: int, timestamp: int, payload: bytes, arrival: Arrival) -> None:
        assert self._flow is not None
        extended = self._unwrapper.unwrap(number)
        is_start = self._starts_key_frame is not None and self._starts_key_frame(payload, 0, len(payload))
        if is_start:
            if self._key_frames is not None:
                self._key_frames.received(arrival.now)
            if (size := picture_size(self._name, payload)) is not None and size != self._size:
                self._size = size
        elif self._key_frames is not None and self._is_fresh:
            self._want_key_frame(arrival.now)
        self._is_fresh = False
        if self._started_at is None:
            self._started_at = arrival.now
        flow = self._flow
        begins = (
            extended != flow.next_sequence
            and self._starts_frame is not None
            and self._starts_frame(payload, 0, len(payload))
        )
        is_complete = flow.receive(extended, timestamp, marker != 0, is_start, arrival.now, begins)
        # Frames that need another come first where the SFU begins in the middle: nobody sees these.
        if (
            is_complete
            and self.first_frame_at is None
            and (self._starts_key_frame is None or flow.totals(arrival.now).key_frames_received)
        ):
            self.first_frame_at = arrival.now
            self._receiver.frame_completed()
        if self.content is not None:
            self._now = arrival.now
            self.content.packet_received(number, extended, timestamp, marker != 0, payload, arrival)

    def _lacks_key_frame(self) -> None:
        """The decoder cannot go on without one."""
        self._want_key_frame(self._now)

    def _want_key_frame(self, now: float) -> None:
        if self._key_frames is not None and self._key_frames.want(now):
            self._is_pli_due = self._receiver.is_urgent = True

    def _see(self, layer: str | None, now: float) -> None:
        """A frame says which layer it is of."""
        if layer == self._layer:
            return
        previous, self._layer = self._layer, layer
        if previous is None:
            return
        if len(self.switches) >= _MAX_SWITCHES:
            return
        asked_at, self._receiver.layer_asked_at = self._receiver.layer_asked_at, None
        width, height = self._size or (None, None)
        self.switches.append(
            LayerSwitch(
                at_s=now - (self._started_at or now),
                previous=previous,
                layer=layer,
                width=width,
                height=height,
                took_ms=None if asked_at is None else (now - asked_at) * 1000,
            )
        )

    # -- feedback ------------------------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        due = [
            self._nack.get_timer() if self._nack else None,
            self._key_frames.get_timer() if self._key_frames else None,
        ]
        return min((at for at in due if at is not None), default=None)

    def feedback(self, sender_ssrc: int, now: float) -> list[Packet]:
        packets: list[Packet] = []
        nack = self._nack
        if nack is not None and nack.get_timer() is not None and (rtt_ms := self._receiver.rtt_ms) is not None:
            # What was asked for cannot be here earlier, and would only come twice.
            nack.retry_s = max(NACK_RETRY_S, rtt_ms * NACK_PATIENCE / 1000)
        if nack is not None and (numbers := nack.requests(now)):
            if not self._receiver.has_rtx(self.payload_type):
                for number in numbers:
                    self.reception.requested(number)
            self._nacks += 1
            packets.append(GenericNack(sender_ssrc, self.ssrc, tuple(numbers)))
        if self._key_frames is not None and (self._key_frames.handle_timer(now) or self._is_pli_due):
            self._is_pli_due = False
            self._plis += 1
            packets.append(PictureLossIndication(sender_ssrc, self.ssrc))
        return packets

    # -- numbers -------------------------------------------------------------------------------------------------

    def _collect_latencies(self) -> None:
        for latency_ns in self._latencies_ns:
            for distribution in self._latency_ms:
                distribution.add(latency_ns / 1e6)
        self._latencies_ns.clear()

    def restart_range(self, now: float) -> None:
        self.reception.restart_range(now)
        self._latencies_ns.clear()
        for distribution in self._latency_ms:
            distribution.clear()
        if self._flow is not None:
            self._flow.restart_range(now)
        if self.content is not None:
            self.content.restart_range(now)
        self.switches.clear()
        self._counted = [(self._nacks, self._plis, 0)] * 2

    def totals(self, now: float, rtt_ms: float | None) -> ReceivedStatistics:
        frames = None if self._flow is None else self._flow.totals(now)
        content = {} if self.content is None else self.content.totals(now)
        return self._statistics(self.reception.totals(now, is_final=True), 0, frames, content, rtt_ms)

    def interval(self, now: float, rtt_ms: float | None) -> ReceivedStatistics:
        frames = None if self._flow is None else self._flow.interval(now)
        content = {} if self.content is None else self.content.interval(now)
        statistics = self._statistics(self.reception.interval(now), 1, frames, content, rtt_ms)
        self._latency_ms[1].clear()
        self._counted[1] = self._nacks, self._plis, len(self.switches)
        return statistics

    def _statistics(
        self,
        reception: Reception,
        which: int,
        frames: FrameCounts | None,
        content: dict[str, Any],
        rtt_ms: float | None,
    ) -> ReceivedStatistics:
        self._collect_latencies()
        latency = self._latency_ms[which].percentiles(50, 95, 99)
        interval_s = reception.interval_s
        nacks, plis, switches = self._counted[which]
        width, height = self._size or (None, None)
        return ReceivedStatistics(
            interval_s=interval_s,
            packets_received=reception.packets_received,
            bytes_received=reception.bytes_received,
            packets_lost=reception.packets_lost,
            packets_recovered=reception.packets_recovered,
            packets_lost_rfc3550=reception.packets_lost_rfc3550,
            packets_duplicated=reception.packets_duplicated,
            packets_reordered=reception.packets_reordered,
            fraction_lost=reception.fraction_lost,
            jitter_ms=reception.jitter_ms,
            rtt_ms=rtt_ms,
            rtt_source=None if rtt_ms is None else "stun",
            bitrate_bps=reception.bytes_received * 8 / interval_s if interval_s > 0 else None,
            latency_ms=None if latency is None else Percentiles(*latency),
            nacks_sent=None if self._nack is None else self._nacks - nacks,
            plis_sent=None if self._key_frames is None else self._plis - plis,
            frames_received=None if frames is None else frames.frames_received,
            key_frames_received=None if frames is None else frames.key_frames_received,
            freezes=None if frames is None else frames.freezes,
            freeze_ms=None if frames is None else frames.freeze_ms,
            frame_rate_hz=None if frames is None else frames.frame_rate_hz,
            layer=self._layer,
            layer_switches=tuple(self.switches[switches:]) if self._is_video else None,
            **({"width": width, "height": height} | content),
        )

    def close(self) -> None:
        """No packet will come any more."""
        if self.content is not None:
            self.content.close()


_NOTHING = ReceivedStatistics(interval_s=0.0, packets_received=0, bytes_received=0)

__all__ = ["Receiver"]
