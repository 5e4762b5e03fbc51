"""Covers rtcctl/probe/sources.py."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rtcctl.media.opus import duration_ms
from rtcctl.media.payload import send_time_of
from rtcctl.probe.boot import this_boot
from rtcctl.probe.sinks import ToneSink
from rtcctl.probe.sources import (
    MAX_BEHIND_PACKETS,
    PACKET_S,
    SAMPLES_PER_PACKET,
    MediaPacket,
    ToneSource,
    encode_tone,
    loop_packets,
)


class Clock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def sent(source: ToneSource, clock: Clock, count: int) -> list[MediaPacket]:
    """`count` packets, each exactly when it is due."""
    packets = []
    for _ in range(count):
        packets.append(await source.next_packet(clock))
        clock.now += PACKET_S
    return packets


def closing_hz(frequency_hz: float) -> float:
    """The frequency that a loop of the chosen length holds."""
    seconds = loop_packets(frequency_hz) * PACKET_S
    assert 1 <= seconds <= 2
    return round(frequency_hz * seconds) / seconds


def test_the_loop_closes_its_phase():
    """Whole hertz are exact; anything else is at most a third of a hertz off."""
    assert all(closing_hz(hz) == pytest.approx(hz, abs=1e-9) for hz in range(20, 4000, 7))
    assert all(closing_hz(tenths / 10) == pytest.approx(tenths / 10, abs=1 / 3) for tenths in range(200, 9000, 13))


@pytest.mark.parametrize("channels", [1, 2])
def test_a_loop_decodes_to_its_tone_without_a_seam(channels: int):
    """Played twice, the loop is one uninterrupted tone of its frequency and level."""
    packets = encode_tone(450, channels=channels)
    assert {duration_ms(packet) for packet in packets} == {20}
    sink = ToneSink()
    for number in range(2 * len(packets)):
        sink.packet_received(number, number * SAMPLES_PER_PACKET, packets[number % len(packets)])
    tone = sink.detector.tone()
    assert tone.frequency_hz == pytest.approx(450, rel=0.002)
    assert tone.level_db == pytest.approx(-12, abs=1)
    assert tone.snr_db is not None
    assert tone.snr_db > 25
    assert tone.gaps == 0


async def test_packets_are_64_kbit_s_and_carry_the_send_time():
    """Each packet has its own stamp: counter from one, growing time, the hash of this boot."""
    packets = await sent(ToneSource(440), Clock(), 60)
    stamps = [send_time_of(packet.payload) for packet in packets]
    assert [stamp and stamp.counter for stamp in stamps] == list(range(1, 61))
    assert {stamp and stamp.boot_id_hash for stamp in stamps} == {this_boot()}
    assert all(a and b and a.monotonic_ns < b.monotonic_ns for a, b in pairwise(stamps))
    assert {len(packet.payload) for packet in packets} == {160 + 24 + 2}


async def test_timestamps_follow_the_clock():
    """Twenty milliseconds are 960 samples, and the nominal count is what is due."""
    clock = Clock()
    source = ToneSource(440)
    assert source.nominal_packets(clock()) == 0
    packets = await sent(source, clock, 10)
    assert [packet.rtp_timestamp for packet in packets] == [n * 960 for n in range(10)]
    assert source.packets_sent == 10
    assert source.nominal_packets(clock() - PACKET_S) == 10
    assert source.bytes_sent == sum(len(packet.payload) for packet in packets)


async def test_a_source_that_is_a_little_late_catches_up():
    """A delay of a few packets is made good at once, and nothing is left out."""
    clock = Clock()
    source = ToneSource(440)
    await sent(source, clock, 1)
    clock.now += (MAX_BEHIND_PACKETS - 1) * PACKET_S
    packets = [await source.next_packet(clock) for _ in range(MAX_BEHIND_PACKETS)]
    assert [packet.rtp_timestamp for packet in packets] == [n * 960 for n in range(1, MAX_BEHIND_PACKETS + 1)]
    assert source.packets_sent == source.nominal_packets(clock())


async def test_a_source_that_is_far_behind_leaves_out_and_says_so():
    """After a standstill there is no burst: the count stays below nominal, the timestamps keep up with time."""
    clock = Clock()
    source = ToneSource(440)
    await sent(source, clock, 1)
    clock.now += 50 * PACKET_S
    packet = await source.next_packet(clock)
    assert packet.rtp_timestamp == 51 * 960
    assert source.packets_sent == 2
    assert source.nominal_packets(clock()) == 52
