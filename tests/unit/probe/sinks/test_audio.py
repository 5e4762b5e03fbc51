"""Covers rtcctl/probe/sinks/audio.py."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import cache

import pytest

from rtcctl.probe.sinks.audio import REORDER_PACKETS, ToneSink, can_hear
from rtcctl.probe.sources.tone import encode_tone, samples_per_packet

COUNT = 100
SAMPLES_PER_PACKET = samples_per_packet()


@cache
def loop() -> list[bytes]:
    return encode_tone(500)


def heard(numbers: Iterable[int], *, first: int = 0, origin: int = 0) -> ToneSink:
    """A sink that was given these packets of a tone, numbered from `first`, with timestamps from `origin`."""
    sink = ToneSink()
    for number in numbers:
        timestamp = (origin + number * SAMPLES_PER_PACKET) & 0xFFFFFFFF
        sink.packet_received((first + number) & 0xFFFF, timestamp, loop()[number % len(loop())])
    return sink


def test_packets_in_order_are_one_tone():
    """Nothing is concealed and nothing interrupted."""
    sink = heard(range(COUNT))
    tone = sink.detector.tone()
    assert tone.frequency_hz == pytest.approx(500, rel=0.002)
    assert tone.gaps == 0
    assert sink.concealed_ms == 0
    assert tone.analysed_s == pytest.approx(COUNT * 0.02)


def test_sequence_numbers_and_timestamps_wrap():
    """The wrap of either is no gap."""
    sink = heard(range(COUNT), first=65_500, origin=(1 << 32) - 20 * SAMPLES_PER_PACKET)
    assert sink.detector.tone().gaps == 0
    assert sink.detector.tone().analysed_s == pytest.approx(COUNT * 0.02)
    assert sink.concealed_ms == 0


def test_reordered_packets_are_put_in_order():
    """What comes up to a few packets late is decoded in its place, and duplicates only once."""
    numbers = list(range(COUNT))
    shuffle = random.Random(4)
    for start in range(10, COUNT - REORDER_PACKETS, REORDER_PACKETS):
        piece = numbers[start : start + REORDER_PACKETS]
        shuffle.shuffle(piece)
        numbers[start : start + REORDER_PACKETS] = piece
    sink = heard(number for number in numbers for _ in range(2))
    assert sink.detector.tone().gaps == 0
    assert sink.detector.tone().analysed_s == pytest.approx(COUNT * 0.02)
    assert sink.concealed_ms == 0


def test_one_lost_packet_is_concealed():
    """A single loss is counted as concealed time; a listener hears no gap."""
    sink = heard(number for number in range(COUNT) if number != 50)
    assert sink.concealed_ms == pytest.approx(20)
    assert sink.detector.tone().gaps == 0
    assert sink.detector.tone().analysed_s == pytest.approx(COUNT * 0.02)


def test_a_longer_loss_is_a_gap():
    """From the second lost packet on there is silence, and the detector hears it; time goes on."""
    sink = heard(number for number in range(COUNT) if not 50 <= number < 56)
    assert sink.concealed_ms == pytest.approx(120)
    assert sink.detector.tone().gaps == 1
    assert sink.detector.tone().analysed_s == pytest.approx(COUNT * 0.02)


def test_a_sender_that_pauses_is_silent_and_not_concealed():
    """A hole in the timestamps without one in the sequence numbers (DTX) is silence."""
    sink = ToneSink()
    for number in range(COUNT):
        ticks = number if number < 50 else number + 20
        sink.packet_received(number, ticks * SAMPLES_PER_PACKET, loop()[number % len(loop())])
    assert sink.concealed_ms == 0
    assert sink.detector.tone().gaps == 1
    assert sink.detector.tone().analysed_s == pytest.approx((COUNT + 20) * 0.02)


@pytest.mark.parametrize("payload", [b"", b"\xff\xff", b"\x03", b"\xff" * 100, b"\x00"])
def test_what_cannot_be_decoded_is_silence(payload: bytes):
    """Whatever a packet holds, decoding goes on with the next one."""
    sink = ToneSink()
    for number in range(COUNT):
        packet = payload if number == 50 else loop()[number % len(loop())]
        sink.packet_received(number, number * SAMPLES_PER_PACKET, packet)
    assert sink.detector.tone().frequency_hz == pytest.approx(500, rel=0.005)
    assert sink.detector.tone().analysed_s == pytest.approx(COUNT * 0.02)


def test_an_endless_gap_does_not_grow_memory_or_time():
    """A timestamp from far away stands for a second of silence at most."""
    sink = heard(range(50))
    sink.packet_received(50, 1 << 30, loop()[0])
    assert sink.detector.tone().analysed_s < 3


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_g711_is_heard(codec: str):
    """At 8 kHz; a single loss is a silence no longer than a packet, which is no gap, and a longer one is."""
    packets, size = encode_tone(500, codec=codec), samples_per_packet(codec)
    for lost, gaps in ((range(0), 0), (range(50, 51), 0), (range(50, 56), 1)):
        sink = ToneSink(codec)
        for number in range(COUNT):
            if number not in lost:
                sink.packet_received(number, number * size, packets[number % len(packets)])
        tone = sink.detector.tone()
        assert tone.frequency_hz == pytest.approx(500, rel=0.002)
        assert tone.gaps == gaps
        assert tone.analysed_s == pytest.approx(COUNT * 0.02)
        assert sink.concealed_ms == pytest.approx(20 * len(lost))


def test_stereo_is_concealed_in_both_channels():
    """A lost packet is concealed, and silence falls, left and right."""
    packets = encode_tone((440, 880))
    for lost, gaps in ((range(50, 51), 0), (range(50, 56), 1)):
        sink = ToneSink()
        for number in range(COUNT):
            if number not in lost:
                sink.packet_received(number, number * SAMPLES_PER_PACKET, packets[number % len(packets)])
        assert [tone.gaps for tone in sink.tones()] == [gaps, gaps]
        assert [tone.analysed_s for tone in sink.tones()] == [pytest.approx(COUNT * 0.02)] * 2


def test_a_stream_that_becomes_stereo_is_heard_on_both_sides_from_there():
    """The first channel goes on without a gap; counting anew concerns both."""
    mono, stereo = encode_tone(440), encode_tone((440, 880))
    sink = ToneSink()
    for number in range(COUNT):
        packets = mono if number < 50 else stereo
        sink.packet_received(number, number * SAMPLES_PER_PACKET, packets[number % len(packets)])
    left, right = sink.tones()
    assert left.frequency_hz == pytest.approx(440, rel=0.002)
    assert right.frequency_hz == pytest.approx(880, rel=0.002)
    assert (left.analysed_s, right.analysed_s) == (pytest.approx(2.0), pytest.approx(1.0))
    sink.restart_range()
    assert [tone.analysed_s for tone in sink.tones()] == [0, 0]


def test_what_can_be_heard():
    """By the name of the encoding, in any case."""
    assert can_hear("OPUS")
    assert can_hear("pcma")
    assert not can_hear("G722")
