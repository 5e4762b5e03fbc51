"""A track that the probe sends: frames of a source as RTP, with sender reports, repair, and the numbers of both ends.

A `Sender` is one m-section; with simulcast it has an `Encoding` for each layer, else one. An encoding is one stream
(SSRC) and the stream that repairs it (RTX, RFC 4588). The send time goes into the frame at the last moment.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rtcctl.errors import ApiError, UsageError
from rtcctl.media import extensions as ext
from rtcctl.media.clock import ntp_from_unix, round_trip_s
from rtcctl.media.packetization import packetizer
from rtcctl.media.rtcp import ReportBlock, SenderReport
from rtcctl.media.rtp import build_extensions
from rtcctl.media.sendtime import MAX_RID_BYTES, writer
from rtcctl.probe.boot import this_boot
from rtcctl.probe.negotiation import Section
from rtcctl.probe.sources import Frame, MadeAhead, Source
from rtcctl.probe.ticker import running_ticker
from rtcctl.results.track import LayerSent, SentStatistics

CACHED_PACKETS = 1024
"Of video, for whoever asks again: more than two seconds at 4 Mbit/s."

_HEADER = struct.Struct("!BBHII")


@dataclass(frozen=True, slots=True)
class Layer:
    """A source as one layer of a simulcast, or, without `rid`, as all that an m-section sends."""

    source: Source
    rid: str = ""


@dataclass(frozen=True, slots=True)
class RemoteReport:
    """What the other side's last receiver report says of a stream that we send."""

    packets_lost: int
    "Cumulative; negative when duplicates outnumber losses (RFC 3550 §6.4.1)."
    packets_sent: int
    "By us, when the report came; without those that no report was about, since their connection ended first."
    jitter_ms: float
    rtt_ms: float | None
    "`None` until a report answered one of our sender reports."


@dataclass(slots=True)
class _Counts:
    """What was sent since the start."""

    packets: int = 0
    bytes: int = 0
    frames: int = 0
    key_frames: int = 0
    retransmitted: int = 0
    nacks: int = 0
    plis: int = 0

    def __sub__(self, other: _Counts) -> _Counts:
        return _Counts(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


class Encoding:
    """One stream that is sent."""

    def __init__(self, layer: Layer, ssrc: int, send_rtp: Callable[[bytes], None], clock: Callable[[], float]) -> None:
        self.source = layer.source
        self.rid = layer.rid
        self.ssrc = ssrc
        self.rtx_ssrc = ssrc + 1 & 0xFFFFFFFF
        self.counts = _Counts()
        self.remote: RemoteReport | None = None
        self.is_running = False
        self.ended = asyncio.Event()
        self.error: Exception | None = None
        "Why the source ended before its time."
        self._send_rtp = send_rtp
        self._clock = clock
        name = layer.source.codec.name
        self._is_video = layer.source.kind == "video"
        self._packetizer = packetizer(name)
        self._write_send_time = writer(name, layer.rid[:MAX_RID_BYTES], this_boot())
        self._sequence_number = random.randrange(0x10000)
        self._timestamp_offset = random.randrange(0x100000000)
        self._rtx_sequence_number = random.randrange(0x10000)
        self._payload_type = 0
        self._rtx_payload_type: int | None = None
        self._extensions = self._rtx_extensions = b""
        self._cache: dict[int, bytes] = {}
        self._sent_at: float | None = None
        self._sent_timestamp = 0
        self._lost_before = 0
        "By the reports of the connections before this one."
        self._unreported = 0
        "Packets of those connections that no report was about: what became of them is not known."
        self._frames_due: int | None = None
        "When the connection before ended; `None` when there was none."
        self._frames_excused = 0
        "Due while there was no connection."

    def go_on_from(self, previous: Encoding) -> None:
        """Before the first frame: the figures go on from those of a connection that was lost."""
        self.counts = previous.counts
        self.remote = previous.remote
        self._unreported, self._lost_before = previous.counts.packets, 0
        if previous.remote is not None:
            self._unreported -= previous.remote.packets_sent
            self._lost_before = previous.remote.packets_lost
        self._frames_due, self._frames_excused = previous._frames_due, previous._frames_excused

    def nominal_frames(self, now: float) -> int:
        """How many frames were due by `now` while there was a connection."""
        due = self._frames_due
        if due is None or self.is_running:
            due = self.source.nominal_frames(now)
        return due - self._frames_excused

    def negotiated(self, section: Section) -> None:
        """Take what was agreed on for the m-section."""
        payload_type = section.payload_type(self.source.codec)
        self._payload_type = -1 if payload_type is None else payload_type
        self._rtx_payload_type = section.rtx_payload_type(self._payload_type)
        ids = {uri: identifier for identifier, uri in section.extensions.items()}
        mid = {ids[ext.MID]: section.mid.encode()} if ext.MID in ids else {}
        rid = self.rid.encode()
        extensions = build_extensions(mid | ({ids[ext.RID]: rid} if rid and ext.RID in ids else {}))
        if extensions != self._extensions:
            self._cache.clear()  # where the payload begins in them has changed
        self._extensions = extensions
        self._rtx_extensions = build_extensions(
            mid | ({ids[ext.REPAIRED_RID]: rid} if rid and ext.REPAIRED_RID in ids else {})
        )

    @property
    def is_negotiated(self) -> bool:
        """Whether the other end takes our codec."""
        return self._payload_type >= 0

    def is_accepted(self, section: Section) -> bool:
        """Whether the other end takes this layer."""
        return not self.rid or self.rid in section.rids

    async def run(self) -> None:
        """Send until the source ends."""
        if self._frames_due is not None:
            self._frames_excused += self.source.nominal_frames(self._clock()) - self._frames_due
        try:
            if isinstance(self.source, MadeAhead):
                await self.source.prepare()
                await running_ticker().run(partial(self._tick, self.source))
            else:
                while (frame := await self.source.next_frame(self._clock)) is not None:
                    self.send(frame)
            if (problem := getattr(self.source, "problem", None)) is not None:
                self.error = UsageError(
                    f"{self.source.description} ended before its end: {problem}.",
                    hint="It may be damaged: try to play it, or convert it anew.",
                )
        except asyncio.CancelledError:
            # The connection is over, and the source is not: another connection may go on with it.
            self._frames_due = self.source.nominal_frames(self._clock())
            self.is_running = False
            raise
        except Exception as error:  # noqa: BLE001  # whatever a file or a device does: the peer tells whoever waits
            self.error = error
        self.ended.set()

    def _tick(self, source: MadeAhead, now: float) -> float:
        """Send a frame that is due; when the next one is."""
        pace = source.pace
        self.send(source.frame_at(pace.take(now)))
        return pace.due_at

    def send(self, frame: Frame) -> None:
        """Send one frame, now."""
        counts = self.counts
        data = frame.data
        if frame.stamp_at is not None:
            assert isinstance(data, bytearray)
            self._write_send_time(data, frame.stamp_at, counts.frames, time.monotonic_ns())
        counts.frames += 1
        counts.key_frames += frame.is_key
        self._sent_at = self._clock()
        self._sent_timestamp = timestamp = frame.rtp_timestamp + self._timestamp_offset & 0xFFFFFFFF
        if not self._is_video:
            # A frame of sound is a payload, and every packet counts.
            if data:
                self._send_packet(0, timestamp, data)
            return
        payloads = self._packetizer.packetize(data)
        last = len(payloads) - 1
        for index, payload in enumerate(payloads):
            number, packet = self._send_packet(0x80 if index == last else 0, timestamp, payload)
            self._cache[number] = packet
            if len(self._cache) > CACHED_PACKETS:
                del self._cache[next(iter(self._cache))]

    def _send_packet(self, marker: int, timestamp: int, payload: bytes | bytearray) -> tuple[int, bytes]:
        number = self._sequence_number
        self._sequence_number = number + 1 & 0xFFFF
        self.counts.packets += 1
        self.counts.bytes += len(payload)
        first_byte = 0x90 if self._extensions else 0x80
        header = _HEADER.pack(first_byte, marker | self._payload_type, number, timestamp, self.ssrc)
        packet = b"".join((header, self._extensions, payload))
        self._send_rtp(packet)
        return number, packet

    def send_again(self, sequence_numbers: Sequence[int]) -> None:
        """A NACK asked for these; those that are still known go out as RTX, or again as they were without it."""
        self.counts.nacks += 1
        for sequence_number in sequence_numbers:
            packet = self._cache.get(sequence_number)
            if packet is None:
                continue
            self.counts.retransmitted += 1
            if self._rtx_payload_type is None:
                self._send_rtp(packet)
                continue
            _, marker, _, timestamp, _ = _HEADER.unpack_from(packet)
            self._rtx_sequence_number = self._rtx_sequence_number + 1 & 0xFFFF
            header = _HEADER.pack(
                0x90 if self._rtx_extensions else 0x80,
                marker & 0x80 | self._rtx_payload_type,
                self._rtx_sequence_number,
                timestamp,
                self.rtx_ssrc,
            )
            payload = packet[_HEADER.size + len(self._extensions) :]
            self._send_rtp(b"".join((header, self._rtx_extensions, sequence_number.to_bytes(2), payload)))

    def report(self, now: float, wallclock: float) -> SenderReport | None:
        """`None` before anything was sent."""
        if self._sent_at is None:
            return None
        ahead = int((now - self._sent_at) * self.source.codec.clock_rate_hz)
        timestamp = self._sent_timestamp + ahead & 0xFFFFFFFF
        return SenderReport(self.ssrc, ntp_from_unix(wallclock), timestamp, self.counts.packets, self.counts.bytes)

    def reported(self, block: ReportBlock, wallclock: float) -> None:
        """What the other end says of this stream."""
        rtt_s = round_trip_s(ntp_from_unix(wallclock), block.last_sr_ntp32, block.delay_since_last_sr_q16)
        previous = None if self.remote is None else self.remote.rtt_ms
        self.remote = RemoteReport(
            packets_lost=self._lost_before + block.packets_lost,
            packets_sent=self.counts.packets - self._unreported,
            jitter_ms=block.jitter_rtp * 1000 / self.source.codec.clock_rate_hz,
            rtt_ms=previous if rtt_s is None else rtt_s * 1000,
        )

    def key_frame_wanted(self) -> None:
        """A PLI or FIR came."""
        self.counts.plis += 1
        self.source.request_key_frame()


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where the previous interval ended."""

    now: float
    counts: tuple[_Counts, ...]
    nominal_frames: int
    remotes: tuple[RemoteReport | None, ...]


class Sender:
    """One sending m-section. Its numbers begin with the source's first frame."""

    def __init__(self, section: Section, encodings: Sequence[Encoding]) -> None:
        self.section = section
        self.encodings = tuple(encodings)
        self._mark: _Mark | None = None

    def go_on_from(self, previous: Sender) -> None:
        """Before it sends: its figures go on from those of a connection that was lost."""
        for encoding, before in zip(self.encodings, previous.encodings, strict=True):
            encoding.go_on_from(before)
        self._mark = previous._mark

    @property
    def source(self) -> Source:
        """Of the best layer."""
        return self.encodings[0].source

    @property
    def mid(self) -> str | None:
        """`None` until the first offer."""
        return self.section.mid or None

    @property
    def codec(self) -> str:
        """As in `a=rtpmap`."""
        return self.source.codec.rtpmap

    def negotiated(self) -> None:
        """The m-section was agreed on anew."""
        for encoding in self.encodings:
            encoding.negotiated(self.section)

    def require_accepted(self) -> None:
        """Raises `ApiError` when the other end has answered, and takes nothing of this."""
        section = self.section
        if not section.is_remote_receiving or not any(e.is_accepted(section) for e in self.encodings):
            rids = ", ".join(encoding.rid for encoding in self.encodings)
            what = f"none of the layers {rids}" if rids else "nothing"
            raise ApiError(f"The SFU's answer takes {what} on mid {self.mid} ({self.codec}).", status=200)

    def statistics(self, now: float) -> SentStatistics:
        """Totals since the first frame."""
        return self._since(now, self._start(now))

    def interval(self, now: float) -> SentStatistics:
        """Since the previous call, or since the first frame."""
        statistics = self._since(now, self._mark or self._start(now))
        copies = tuple(encoding.counts + _Counts() for encoding in self.encodings)
        remotes = tuple(encoding.remote for encoding in self.encodings)
        self._mark = _Mark(now, copies, self._nominal_frames(now), remotes)
        return statistics

    def _nominal_frames(self, now: float) -> int:
        return sum(encoding.nominal_frames(now) for encoding in self.encodings)

    def _start(self, now: float) -> _Mark:
        started = [e.source.started_at for e in self.encodings if e.source.started_at is not None]
        nothing = tuple(_Counts() for _ in self.encodings)
        return _Mark(min(started, default=now), nothing, 0, (None,) * len(self.encodings))

    def _since(self, now: float, mark: _Mark) -> SentStatistics:
        is_video = self.source.kind == "video"
        interval_s = max(0.0, now - mark.now)
        each = [encoding.counts - before for encoding, before in zip(self.encodings, mark.counts, strict=True)]
        counts = sum(each, _Counts())
        nominal_frames = self._nominal_frames(now) - mark.nominal_frames
        lost, fraction = self._lost(mark)
        remotes = [encoding.remote for encoding in self.encodings if encoding.remote is not None]
        round_trips = [remote.rtt_ms for remote in remotes if remote.rtt_ms is not None]
        return SentStatistics(
            interval_s=interval_s,
            packets_sent=counts.packets,
            bytes_sent=counts.bytes,
            nominal_packets=None if is_video else nominal_frames,
            bitrate_bps=counts.bytes * 8 / interval_s if interval_s > 0 else 0.0,
            packets_lost=lost,
            fraction_lost=fraction,
            jitter_ms=max((remote.jitter_ms for remote in remotes), default=None),
            rtt_ms=min(round_trips, default=None),
            frames_sent=counts.frames,
            nominal_frames=nominal_frames,
            key_frames_sent=counts.key_frames if is_video else None,
            packets_retransmitted=counts.retransmitted if is_video else None,
            nacks_received=counts.nacks if is_video else None,
            plis_received=counts.plis if is_video else None,
            layers=self._layers(each, interval_s) if self.encodings[0].rid else (),
        )

    def _lost(self, mark: _Mark) -> tuple[int | None, float | None]:
        """Packets lost on the way up by the reports since the mark, and as a share of those sent."""
        lost = sent = 0
        is_known = False
        for encoding, before in zip(self.encodings, mark.remotes, strict=True):
            remote = encoding.remote
            if remote is not None and remote is not before:
                is_known = True
                lost += remote.packets_lost - (before.packets_lost if before else 0)
                sent += remote.packets_sent - (before.packets_sent if before else 0)
        if not is_known:
            return None, None
        return lost, min(1.0, max(0.0, lost / sent)) if sent > 0 else None

    def _layers(self, each: Sequence[_Counts], interval_s: float) -> tuple[LayerSent, ...]:
        return tuple(
            LayerSent(
                rid=encoding.rid,
                width=getattr(encoding.source, "width", None),
                height=getattr(encoding.source, "height", None),
                packets_sent=counts.packets,
                bytes_sent=counts.bytes,
                frames_sent=counts.frames,
                bitrate_bps=counts.bytes * 8 / interval_s if interval_s > 0 else 0.0,
            )
            for encoding, counts in zip(self.encodings, each, strict=True)
        )


__all__ = ["Encoding", "Layer", "RemoteReport", "Sender"]
