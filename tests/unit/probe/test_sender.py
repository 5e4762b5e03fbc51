"""Covers rtcctl/probe/sender.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rtcctl.errors import UsageError
from rtcctl.media import extensions as ext
from rtcctl.media.clock import ntp_from_unix
from rtcctl.media.codec import Codec
from rtcctl.media.rtcp import ReportBlock
from rtcctl.media.rtp import RtpHeader
from rtcctl.media.sdp import Direction
from rtcctl.media.sendtime import find, with_room
from rtcctl.probe.boot import this_boot
from rtcctl.probe.negotiation import Section
from rtcctl.probe.sender import CACHED_PACKETS, Encoding, Layer, Sender
from rtcctl.probe.sources import Frame
from rtcctl.probe.sources.tone import PACKET_S, ToneSource, encode_tone

VP8 = Codec("VP8", 96, 90_000)
NEGOTIATED = (Codec("VP8", 100, 90_000), Codec("rtx", 101, 90_000, 1, "apt=100"))
EXTENSIONS = {1: ext.MID, 2: ext.RID, 3: ext.REPAIRED_RID}
WALLCLOCK = 1_700_000_000.0


class Pictures:
    """A source of frames that are due whenever somebody asks; `count` of them, then it ends or fails."""

    kind = "video"
    codec = VP8
    description = "pictures"
    frame_s = 1 / 30
    started_at: float | None = None

    def __init__(self, count: int = 3, size: int = 3000, error: Exception | None = None) -> None:
        self.count, self.size, self.error = count, size, error
        self.sent = 0
        self.key_frames_wanted = 0

    async def prepare(self) -> None: ...

    async def next_frame(self, clock: Callable[[], float]) -> Frame | None:
        if self.sent == self.count:
            if self.error is not None:
                raise self.error
            return None
        self.started_at = self.started_at or clock()
        self.sent += 1
        room = with_room("VP8", bytes(self.size))
        assert room is not None
        return Frame(room[0], (self.sent - 1) * 3000, self.sent == 1, room[1])

    def nominal_frames(self, now: float) -> int:
        return self.count

    def request_key_frame(self) -> None:
        self.key_frames_wanted += 1

    async def close(self) -> None: ...


class Wire:
    """A sender of these layers, and the packets that left."""

    def __init__(self, *layers: Layer, codecs: tuple[Codec, ...] = NEGOTIATED, mid: str = "4") -> None:
        self.now = 50.0
        self.packets: list[bytes] = []
        source = layers[0].source
        self.section = Section(
            mid,
            source.kind,
            Direction.SENDONLY,
            codecs,
            EXTENSIONS,
            rids=tuple(layer.rid for layer in layers if layer.rid),
            is_remote_receiving=True,
            is_agreed=True,
        )
        encodings = [
            Encoding(layer, 1000 + 2 * index, self.packets.append, lambda: self.now)
            for index, layer in enumerate(layers)
        ]
        self.sender = Sender(self.section, encodings)
        self.sender.negotiated()

    @property
    def headers(self) -> list[RtpHeader]:
        return [RtpHeader.parse(packet) for packet in self.packets]

    def payload(self, index: int) -> bytes:
        return self.packets[index][self.headers[index].header_size :]


async def speak(wire: Wire, count: int) -> None:
    encoding = wire.sender.encodings[0]
    for _ in range(count):
        frame = await encoding.source.next_frame(lambda: wire.now)
        assert frame is not None
        encoding.send(frame)
        wire.now += PACKET_S


OPUS = (Codec("opus", 109, 48_000, 2),)


async def test_a_packet_of_sound_is_numbered_dated_and_names_its_m_section():
    """One after the other, under the payload type agreed on, with the send time in its padding."""
    wire = Wire(Layer(ToneSource(440)), codecs=OPUS)
    await speak(wire, 3)
    first, second, third = wire.headers
    assert {header.payload_type for header in wire.headers} == {109}
    assert {header.ssrc for header in wire.headers} == {1000}
    assert (second.sequence_number - first.sequence_number) & 0xFFFF == 1
    assert (third.rtp_timestamp - first.rtp_timestamp) & 0xFFFFFFFF == 1920
    assert first.extensions == {1: b"4"}
    assert not first.marker
    sent = [find("opus", wire.payload(index), False) for index in range(3)]
    assert [time and (time.counter, time.boot_id_hash) for time in sent] == [(n, this_boot()) for n in range(3)]


async def test_a_frame_of_video_is_cut_and_its_last_packet_marked():
    """All packets of a frame have one timestamp; simulcast packets name their layer."""
    wire = Wire(Layer(Pictures(), "f"), Layer(Pictures(), "q"))
    for encoding in wire.sender.encodings:
        await encoding.run()
    best = [header for header in wire.headers if header.ssrc == 1000]
    assert len(best) == 9
    assert [header.marker for header in best] == [False, False, True] * 3
    assert len({header.rtp_timestamp for header in best}) == 3
    assert {header.extensions[2] for header in best} == {b"f"}
    last = next(i for i, header in enumerate(wire.headers) if header.marker)
    sent = find("VP8", wire.payload(last), True)
    assert sent is not None
    assert (sent.rid, sent.counter) == ("f", 0)
    other = [header for header in wire.headers if header.ssrc == 1002]
    assert {header.extensions[2] for header in other} == {b"q"}
    assert all(len(packet) <= 1250 for packet in wire.packets)


async def test_what_is_asked_for_again_comes_as_rtx():
    """The original number, then the payload; under a stream of its own that names the layer it repairs."""
    wire = Wire(Layer(Pictures(), "f"))
    (encoding,) = wire.sender.encodings
    await encoding.run()
    original = wire.headers[4]
    encoding.send_again([original.sequence_number, (original.sequence_number + 1000) & 0xFFFF])
    assert len(wire.packets) == 10, "what is not known is not sent"
    again = wire.headers[9]
    assert (again.ssrc, again.payload_type, again.rtp_timestamp) == (1001, 101, original.rtp_timestamp)
    assert again.extensions == {1: b"4", 3: b"f"}
    assert wire.payload(9) == original.sequence_number.to_bytes(2) + wire.payload(4)
    encoding.send_again([original.sequence_number])
    assert (wire.headers[10].sequence_number - again.sequence_number) & 0xFFFF == 1
    statistics = wire.sender.statistics(60.0)
    assert statistics.packets_retransmitted == 2
    assert statistics.packets_sent == 9


async def test_without_rtx_a_packet_is_sent_again_as_it_was():
    """Byte for byte (RFC 4585 §6.2.1); SRTP allows the same bytes twice."""
    wire = Wire(Layer(Pictures()), codecs=NEGOTIATED[:1])
    (encoding,) = wire.sender.encodings
    await encoding.run()
    encoding.send_again([wire.headers[2].sequence_number])
    assert wire.packets[9] == wire.packets[2]


async def test_the_cache_is_bounded():
    """Old packets are forgotten, the newest are known."""
    wire = Wire(Layer(Pictures(count=CACHED_PACKETS + 50, size=100)))
    (encoding,) = wire.sender.encodings
    await encoding.run()
    count = len(wire.packets)
    encoding.send_again([wire.headers[0].sequence_number])
    assert len(wire.packets) == count
    encoding.send_again([wire.headers[60].sequence_number])
    assert len(wire.packets) == count + 1


async def test_a_source_that_ends_or_fails_says_so():
    """At the end of a file sending ends; what went wrong is kept for whoever waits."""
    ended, failed = Wire(Layer(Pictures())), Wire(Layer(Pictures(error=UsageError("broken"))))
    for wire in (ended, failed):
        await wire.sender.encodings[0].run()
        assert wire.sender.encodings[0].ended.is_set()
    assert ended.sender.encodings[0].error is None
    assert isinstance(failed.sender.encodings[0].error, UsageError)


async def test_a_cancelled_source_has_not_failed():
    """Closing a peer is no error of its sources."""
    wire = Wire(Layer(ToneSource(440)), codecs=OPUS)
    task = asyncio.ensure_future(wire.sender.encodings[0].run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert wire.sender.encodings[0].error is None


async def test_a_sender_report_maps_the_clocks():
    """At `wallclock` the stream is where its clock has gone on to since the last packet."""
    wire = Wire(Layer(ToneSource(440)), codecs=OPUS)
    (encoding,) = wire.sender.encodings
    assert encoding.report(50.0, WALLCLOCK) is None
    await speak(wire, 2)
    report = encoding.report(50.02 + 0.5, WALLCLOCK)
    assert report is not None
    assert report.ntp_timestamp == ntp_from_unix(WALLCLOCK)
    assert (report.rtp_timestamp - wire.headers[1].rtp_timestamp) & 0xFFFFFFFF == pytest.approx(24_000, abs=1)
    assert report.packet_count == 2
    assert report.octet_count == sum(len(wire.payload(index)) for index in range(2))


async def test_what_the_other_end_reports():
    """Loss since the previous interval, as a share of what was sent in it; jitter in ms; round trip by LSR and DLSR."""
    wire = Wire(Layer(ToneSource(440)), codecs=OPUS)
    (encoding,) = wire.sender.encodings
    await speak(wire, 50)
    last_sr = ntp_from_unix(WALLCLOCK) >> 16 & 0xFFFFFFFF
    encoding.reported(ReportBlock(1000, 25, 5, 50, 480, last_sr, int(0.5 * 65536)), WALLCLOCK + 0.53)
    first = wire.sender.interval(wire.now)
    assert (first.packets_lost, first.fraction_lost) == (5, pytest.approx(0.1))
    assert first.jitter_ms == pytest.approx(10)
    assert first.rtt_ms == pytest.approx(30, abs=0.1)
    await speak(wire, 50)
    unchanged = wire.sender.interval(wire.now)
    assert unchanged.packets_lost is None, "no report came"
    assert unchanged.packets_sent == 50
    encoding.reported(ReportBlock(1000, 0, 5, 100, 480), WALLCLOCK + 2)
    assert wire.sender.interval(wire.now).packets_lost == 0
    total = wire.sender.statistics(wire.now)
    assert (total.packets_sent, total.nominal_packets, total.packets_lost) == (100, 101, 5)
    assert total.interval_s == pytest.approx(2.0)


def test_before_the_first_packet_nothing_is_due():
    """No interval has begun."""
    statistics = Wire(Layer(ToneSource(440)), codecs=OPUS).sender.statistics(50.0)
    assert (statistics.packets_sent, statistics.nominal_packets, statistics.interval_s) == (0, 0, 0)
    assert statistics.fraction_lost is None
    assert statistics.rtt_ms is None
    assert statistics.key_frames_sent is None


async def test_layers_are_told_apart():
    """Each with what it sent, and their sum above; frames are nominal for video, packets are not."""
    wire = Wire(Layer(Pictures(), "f"), Layer(Pictures(size=1000), "q"))
    for encoding in wire.sender.encodings:
        await encoding.run()
    wire.sender.encodings[1].key_frame_wanted()
    statistics = wire.sender.statistics(51.0)
    assert [(layer.rid, layer.packets_sent, layer.frames_sent) for layer in statistics.layers] == [
        ("f", 9, 3),
        ("q", 3, 3),
    ]
    assert (statistics.packets_sent, statistics.frames_sent, statistics.nominal_frames) == (12, 6, 6)
    assert statistics.nominal_packets is None
    assert (statistics.key_frames_sent, statistics.plis_received, statistics.nacks_received) == (2, 1, 0)
    assert wire.sender.encodings[1].source.key_frames_wanted == 1  # type: ignore[attr-defined]


def test_a_codec_that_was_refused_is_noticed():
    """Nothing can be sent under no payload type."""
    assert not Wire(Layer(Pictures()), codecs=OPUS).sender.encodings[0].is_negotiated
    assert Wire(Layer(Pictures())).sender.encodings[0].is_negotiated


class Metronome(ToneSource):
    """A tone of which a packet is due every 20 ms from 50 s on, and is sent when the test says so."""

    def __init__(self) -> None:
        super().__init__(440)
        self.pace.take(50.0)
        self.is_asked = asyncio.Event()

    async def next_frame(self, clock: Callable[[], float]) -> Frame:
        self.is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing ends the wait")

    frame_at = None  # type: ignore[assignment]  # so that it is not one whose frames are there before they are due


async def connected(wire: Wire, count: int) -> None:
    """Run the sender while `count` packets are sent, and end as a connection does."""
    encoding = wire.sender.encodings[0]
    assert isinstance(encoding.source, Metronome)
    encoding.source.is_asked.clear()
    encoding.is_running = True
    running = asyncio.create_task(encoding.run())
    await encoding.source.is_asked.wait()
    for _ in range(count):
        room = with_room("opus", encode_tone(440)[0])
        assert room is not None
        encoding.send(Frame(room[0], 0, True, room[1]))
        wire.now += PACKET_S
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_another_connection_goes_on_with_the_figures():
    """Counts, the numbers in the media and reports of loss go on; what was not due meanwhile is not missed."""
    source = Metronome()
    first, second = (Wire(Layer(source), codecs=OPUS) for _ in range(2))
    encoding = first.sender.encodings[0]
    await connected(first, 50)
    encoding.reported(ReportBlock(1000, 0, 5, 100, 480), WALLCLOCK)
    await connected(first, 20)
    assert not encoding.ended.is_set(), "the source has not ended"
    before = first.sender.statistics(first.now)
    assert (before.packets_sent, before.nominal_packets) == (70, 71)
    assert first.sender.statistics(first.now + 10).nominal_packets == 71, "what is due while nobody can send"

    second.now = first.now + 10
    second.sender.go_on_from(first.sender)
    assert second.sender.statistics(second.now).nominal_packets == 71
    await connected(second, 50)
    second.sender.encodings[0].reported(ReportBlock(1000, 0, 3, 50, 480), WALLCLOCK + 20)
    total = second.sender.statistics(second.now)
    assert (total.packets_sent, total.nominal_packets) == (120, 121)
    # 20 packets of the first connection were never reported on: they are neither lost nor taken to have arrived.
    assert (total.packets_lost, total.fraction_lost) == (8, pytest.approx(8 / 100))
    sent = find("opus", second.payload(0), False)
    assert sent is not None
    assert sent.counter == 70
