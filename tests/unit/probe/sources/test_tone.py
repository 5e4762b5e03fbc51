"""Covers rtcctl/probe/sources/tone.py and pace.py."""

from __future__ import annotations

import math

import pytest

from rtcctl.errors import UsageError
from rtcctl.media.opus import Toc, duration_ms
from rtcctl.media.sendtime import SendTime, find
from rtcctl.probe.sinks.audio import ToneSink
from rtcctl.probe.sources import Frame, Source
from rtcctl.probe.sources.pace import MAX_BEHIND_S
from rtcctl.probe.sources.tone import PACKET_S, ToneSource, encode_tone, loop_packets, samples_per_packet
from tests.support.sources import put

MAX_BEHIND_PACKETS = round(MAX_BEHIND_S / PACKET_S)


class Clock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def sent(source: Source, clock: Clock, count: int) -> list[Frame]:
    """`count` packets, each exactly when it is due."""
    frames = []
    for _ in range(count):
        frame = await source.next_frame(clock)
        assert frame is not None
        frames.append(frame)
        clock.now += PACKET_S
    return frames


def heard(packets: list[bytes], codec: str = "opus", *, rounds: int = 2) -> ToneSink:
    """A sink that was played these packets, over and over."""
    sink = ToneSink(codec)
    for number in range(rounds * len(packets)):
        sink.packet_received(number, number * samples_per_packet(codec), packets[number % len(packets)])
    return sink


def closing_hz(frequency_hz: float) -> float:
    """The frequency that a loop of the chosen length holds."""
    seconds = loop_packets(frequency_hz) * PACKET_S
    assert 1 <= seconds <= 2
    return round(frequency_hz * seconds) / seconds


def test_the_loop_closes_its_phase():
    """Whole hertz are exact; anything else is at most a third of a hertz off."""
    assert all(closing_hz(hz) == pytest.approx(hz, abs=1e-9) for hz in range(20, 4000, 7))
    assert all(closing_hz(tenths / 10) == pytest.approx(tenths / 10, abs=1 / 3) for tenths in range(200, 9000, 13))


def test_the_loop_closes_both_phases():
    """Of two tones the worse one decides: two whole hertz close after a second, whatever either does before."""
    assert loop_packets(440, 441) == 50
    assert loop_packets(440.5) == loop_packets(441, 440.5) == 100


@pytest.mark.parametrize("codec", ["opus", "PCMU", "PCMA"])
def test_a_loop_decodes_to_its_tone_without_a_seam(codec: str):
    """Played twice, the loop is one uninterrupted tone of its frequency and level."""
    sink = heard(encode_tone(450, codec=codec), codec)
    tone = sink.detector.tone()
    assert tone.frequency_hz == pytest.approx(450, rel=0.002)
    assert tone.level_db == pytest.approx(-12, abs=1)
    assert tone.snr_db is not None
    assert tone.snr_db > 25
    assert tone.gaps == 0
    assert len(sink.tones()) == 1


@pytest.mark.parametrize("tones", [(440.0, 880.0), (1000.0, 300.0), (500.0, 500.0)])
def test_each_channel_has_its_own_tone(tones: tuple[float, float]):
    """The first is left, the second right; neither leaks into the other."""
    packets = encode_tone(tones)
    assert {duration_ms(packet) for packet in packets} == {20}
    assert all(Toc.parse(packet).is_stereo for packet in packets)
    left, right = heard(packets).tones()
    for tone, frequency_hz in zip((left, right), tones, strict=True):
        assert tone.frequency_hz == pytest.approx(frequency_hz, rel=0.002)
        assert tone.level_db == pytest.approx(-12, abs=1)
        assert tone.snr_db is not None
        assert tone.snr_db > 25
        assert tone.gaps == 0


async def test_packets_are_64_kbit_s_and_have_room_for_the_send_time():
    """The room is where the sender's stamp is found; each packet is the sender's own to write on."""
    source = ToneSource(440)
    frames = await sent(source, Clock(), 2 * loop_packets(440))
    assert {len(frame.data) for frame in frames} == {160 + 24 + 2}
    for frame in frames:
        assert isinstance(frame.data, bytearray)
        assert frame.stamp_at is not None
        assert find("opus", bytes(frame.data), True) is None
        send_time = SendTime(frame.number, "", frame.number * 1000, 99)
        put("opus", frame.data, frame.stamp_at, send_time)
        assert find("opus", bytes(frame.data), True) == send_time
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    for again in (source, ToneSource(440)):
        assert find("opus", bytes((await sent(again, Clock(), 1))[0].data), True) is None, "what was encoded is shared"


@pytest.mark.parametrize(("codec", "payload_type"), [("PCMU", 0), ("PCMA", 8)])
async def test_g711_is_a_byte_to_a_sample(codec: str, payload_type: int):
    """160 bytes for 20 ms, timestamps at 8 kHz, static payload types (RFC 3551), and no room for anything else."""
    source = ToneSource(440, codec=codec)
    assert (source.codec.name, source.codec.payload_type, source.codec.clock_rate_hz) == (codec, payload_type, 8000)
    frames = await sent(source, Clock(), 10)
    assert [frame.rtp_timestamp for frame in frames] == [n * 160 for n in range(10)]
    assert {(len(frame.data), frame.stamp_at) for frame in frames} == {(160, None)}


def test_a_source_says_what_it_is():
    """Its codec is what an offer names; stereo is in the parameters (RFC 7587 §6.1), not in the channels."""
    mono, stereo = ToneSource(440), ToneSource((440, 880.5))
    assert (mono.description, stereo.description) == ("tone 440 Hz", "tone 440 + 880.5 Hz")
    assert (mono.codec.channels, mono.codec.parameter("stereo")) == (2, "")
    assert (stereo.codec.channels, stereo.codec.parameter("stereo")) == (2, "1")
    assert mono.kind == "audio"
    assert mono.frame_s == PACKET_S


@pytest.mark.parametrize(
    ("frequencies_hz", "codec"),
    [
        ((), "opus"),
        ((440, 550, 660), "opus"),
        ((440, 880), "PCMU"),
        (4000, "PCMA"),
        (20_000, "opus"),
        (39, "opus"),
        (math.nan, "opus"),
        (440, "G722"),
        (440, "OPUS"),
    ],
)
def test_what_no_codec_carries_is_refused(frequencies_hz: float | tuple[float, ...], codec: str):
    """Too many channels, a tone beyond what is coded or heard, no such codec."""
    with pytest.raises(UsageError):
        ToneSource(frequencies_hz, codec=codec)


async def test_timestamps_follow_the_clock():
    """Twenty milliseconds are 960 samples, and the nominal count is what is due."""
    clock = Clock()
    source = ToneSource(440)
    assert source.nominal_frames(clock()) == 0
    assert source.started_at is None
    frames = await sent(source, clock, 10)
    assert [frame.rtp_timestamp for frame in frames] == [n * 960 for n in range(10)]
    assert source.nominal_frames(clock() - PACKET_S) == 10
    assert source.started_at == 100.0


async def test_a_source_that_is_a_little_late_catches_up():
    """A delay of a few packets is made good at once, and nothing is left out."""
    clock = Clock()
    source = ToneSource(440)
    await sent(source, clock, 1)
    clock.now += (MAX_BEHIND_PACKETS - 1) * PACKET_S
    frames = [await source.next_frame(clock) for _ in range(MAX_BEHIND_PACKETS)]
    assert [frame.rtp_timestamp for frame in frames] == [n * 960 for n in range(1, MAX_BEHIND_PACKETS + 1)]
    assert frames[-1].number == source.nominal_frames(clock())


async def test_a_source_that_is_far_behind_leaves_out_and_says_so():
    """After a standstill there is no burst: the count stays below nominal, the timestamps keep up with time."""
    clock = Clock()
    source = ToneSource(440)
    await sent(source, clock, 1)
    clock.now += 50 * PACKET_S
    frame = await source.next_frame(clock)
    assert frame.rtp_timestamp == 51 * 960
    assert frame.number == 2
    assert source.nominal_frames(clock()) == 52
