"""Covers rtcctl/probe/receiver.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpDecodingParameters, RTCRtpReceiveParameters

from rtcctl.media.payload import SendTime, stamp
from rtcctl.media.rtp import RtpHeader, build_packet
from rtcctl.probe.aiortc_internals import Arrival
from rtcctl.probe.boot import this_boot
from rtcctl.probe.receiver import Receiver
from rtcctl.probe.sources import encode_tone

OPUS = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48_000, channels=2, payloadType=111)
PCMU = RTCRtpCodecParameters(mimeType="audio/PCMU", clockRate=8_000, channels=1, payloadType=0)
PACKETS = encode_tone(500)


def negotiated(*codecs: RTCRtpCodecParameters, ssrc: int | None = None) -> RTCRtpReceiveParameters:
    encodings = [] if ssrc is None else [RTCRtpDecodingParameters(ssrc=ssrc, payloadType=codecs[0].payloadType)]
    return RTCRtpReceiveParameters(codecs=list(codecs), muxId="0", encodings=encodings)


def receiver(*codecs: RTCRtpCodecParameters, rtt_ms: float | None = None) -> Receiver:
    result = Receiver(SimpleNamespace(mid="0", receiver=None), lambda: rtt_ms)  # type: ignore[arg-type]
    result.negotiated(negotiated(*(codecs or (OPUS,))))
    return result


def arrive(
    at: Receiver, number: int, *, ssrc: int = 1, payload_type: int = 111, latency_ms: float = 3, boot: int | None = None
) -> bool:
    """Packet `number` of a tone, sent every 20 ms, arriving `latency_ms` later."""
    sent_ns = 1_000_000_000 + number * 20_000_000
    arrived_ns = sent_ns + int(latency_ms * 1e6)
    data = build_packet(
        stamp(PACKETS[number % len(PACKETS)], SendTime(number, sent_ns, this_boot() if boot is None else boot)),
        payload_type=payload_type,
        sequence_number=number & 0xFFFF,
        rtp_timestamp=number * 960,
        ssrc=ssrc,
    )
    return at.packet_received(RtpHeader.parse(data), data, Arrival(arrived_ns / 1e9, arrived_ns))


def test_nothing_received_is_unknown_and_not_zero():
    """Before the first packet there is a count of none, and no loss, jitter or latency."""
    statistics = receiver().statistics(5.0)
    assert statistics.packets_received == 0
    assert statistics.packets_lost is None
    assert statistics.fraction_lost is None
    assert statistics.jitter_ms is None
    assert statistics.latency_ms is None
    assert statistics.tone_hz is None


def test_latency_is_from_the_send_time_in_the_packet():
    """Each packet's own latency, in percentiles, for the range and for the interval."""
    subject = receiver(rtt_ms=7.5)
    for number in range(100):
        arrive(subject, number, latency_ms=number + 1)
    total = subject.statistics(4.0)
    assert total.latency_ms is not None
    assert (total.latency_ms.p50, total.latency_ms.p95, total.latency_ms.p99) == pytest.approx((50, 95, 99))
    assert (total.rtt_ms, total.rtt_source) == (7.5, "stun")
    subject.interval(4.0)
    arrive(subject, 100, latency_ms=200)
    interval = subject.interval(5.0)
    assert interval.latency_ms is not None
    assert interval.latency_ms.p50 == pytest.approx(200)
    assert interval.packets_received == 1
    assert subject.interval(6.0).latency_ms is None


def test_another_boot_gives_no_latency():
    """Clocks of two machines are not compared."""
    subject = receiver()
    for number in range(10):
        arrive(subject, number, boot=this_boot() ^ 1)
    assert subject.statistics(2.0).latency_ms is None
    assert subject.statistics(2.0).packets_received == 10


def test_the_tone_is_heard():
    """Frequency and gaps come from decoded audio, concealed time from what was missing."""
    subject = receiver()
    for number in range(150):
        if number != 70:
            arrive(subject, number)
    statistics = subject.statistics(9.0)
    assert statistics.tone_hz == pytest.approx(500, rel=0.002)
    assert statistics.audio_gaps == 0
    assert statistics.concealed_ms == pytest.approx(20)
    assert statistics.packets_lost == 1


def test_start_measuring_forgets_what_came_before():
    """Loss, latency and concealment of the past are not counted."""
    subject = receiver()
    for number in range(60):
        if number % 10 != 2:
            arrive(subject, number, latency_ms=500)
    subject.start_measuring(3.0)
    for number in range(60, 90):
        arrive(subject, number, latency_ms=2)
    statistics = subject.statistics(6.0)
    assert statistics.packets_received == 30
    assert statistics.packets_lost == 0
    assert statistics.concealed_ms == 0
    assert statistics.latency_ms is not None
    assert statistics.latency_ms.p99 == pytest.approx(2)
    assert statistics.interval_s == pytest.approx(3.0)


async def test_a_duplicate_is_counted_once():
    """A duplicate changes neither the latency nor the audio."""
    subject = receiver()
    for number in range(60):
        arrive(subject, number)
        arrive(subject, number, latency_ms=900)
    statistics = subject.statistics(9.0)
    assert statistics.packets_received == 60
    assert statistics.packets_duplicated == 60
    assert statistics.latency_ms is not None
    assert statistics.latency_ms.p99 == pytest.approx(3)
    assert await subject.wait_first_packet(0) == subject.first_packet_at


def test_a_payload_type_that_was_never_negotiated_is_refused():
    """It is not counted as anything."""
    subject = receiver()
    assert not arrive(subject, 0, payload_type=96)
    assert subject.statistics(2.0).packets_received == 0


def test_renegotiation_keeps_the_payload_types_that_were():
    """A packet that was on its way while the numbers changed is not lost."""
    subject = receiver()
    arrive(subject, 0)
    subject.negotiated(negotiated(RTCRtpCodecParameters("audio/opus", 48_000, 2, payloadType=96)))
    assert arrive(subject, 1)
    assert arrive(subject, 2, payload_type=96)
    assert subject.statistics(2.0).packets_lost == 0
    assert subject.payload_types == {96, 111}


async def test_a_reused_m_section_counts_its_new_source_only():
    """Another SSRC is another stream: no loss between the two, and a first packet of its own."""
    subject = receiver()
    arrive(subject, 0)
    subject.negotiated(negotiated(OPUS, ssrc=1))
    assert subject.first_packet_at is not None
    subject.negotiated(negotiated(OPUS, ssrc=2))
    assert subject.first_packet_at is None
    with pytest.raises(TimeoutError):
        await subject.wait_first_packet(0)
    arrive(subject, 40_000, ssrc=2)
    assert subject.first_packet_at is not None
    assert subject.statistics(900.0).packets_received == 1
    assert subject.statistics(900.0).packets_lost == 0


def test_another_codec_is_measured_without_content():
    """PCMU has loss and jitter; tone and send time are Opus only."""
    subject = receiver(PCMU)
    assert subject.codec == "PCMU/8000"
    arrive(subject, 0, payload_type=0)
    statistics = subject.statistics(2.0)
    assert statistics.packets_received == 1
    assert statistics.tone_hz is None
    assert statistics.latency_ms is None
    assert statistics.concealed_ms is None


async def test_waiting_ends_when_the_peer_is_closed():
    """No packet will come any more, so nobody waits for one."""
    subject = receiver()
    subject.close()
    with pytest.raises(TimeoutError):
        await subject.wait_first_packet(60)
