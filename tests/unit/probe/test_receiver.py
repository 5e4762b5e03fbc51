"""Covers rtcctl/probe/receiver.py."""

from __future__ import annotations

import pytest

from rtcctl.media.codec import Codec
from rtcctl.media.rtcp_feedback import GenericNack, PictureLossIndication
from rtcctl.media.sdp import Direction
from rtcctl.media.sendtime import SendTime, with_room
from rtcctl.probe.boot import this_boot
from rtcctl.probe.negotiation import Section
from rtcctl.probe.receiver import Receiver
from rtcctl.probe.sources.tone import encode_tone
from rtcctl.probe.transport import Arrival
from tests.support.sources import put

OPUS = Codec("opus", 111, 48_000, 2, "", ("nack",))
PCMU = Codec("PCMU", 0, 8_000)
VP8 = Codec("VP8", 96, 90_000, 1, "", ("nack", "nack pli"))
RTX = Codec("rtx", 97, 90_000, 1, "apt=96")
PACKETS = encode_tone(500)
KEY, DELTA = b"\x10\x00", b"\x10\x01"
"VP8: the descriptor of a frame's start, and the first byte of the frame (RFC 7741 §4.2, §4.3)."


def receiver(*codecs: Codec, rtt_ms: float | None = None, verify: bool = False) -> Receiver:
    codecs = codecs or (OPUS,)
    kind = "video" if VP8 in codecs else "audio"
    section = Section("0", kind, Direction.RECVONLY, codecs, is_remote_sending=True, is_agreed=True)
    made = Receiver(section, lambda: rtt_ms, verify=verify)
    made.negotiated()
    return made


def stamped(codec_name: str, data: bytes, send_time: SendTime) -> bytes:
    room = with_room(codec_name, data)
    assert room is not None
    put(codec_name, *room, send_time)
    return bytes(room[0])


def arrive(
    at: Receiver, number: int, *, ssrc: int = 1, payload_type: int = 111, latency_ms: float = 3, boot: int | None = None
) -> bool:
    """Packet `number` of a tone, sent every 20 ms, arriving `latency_ms` later."""
    sent_ns = 1_000_000_000 + number * 20_000_000
    arrived_ns = sent_ns + int(latency_ms * 1e6)
    send_time = SendTime(number, "", sent_ns, this_boot() if boot is None else boot)
    payload = stamped("opus", PACKETS[number % len(PACKETS)], send_time)
    arrival = Arrival(arrived_ns / 1e9, arrived_ns)
    return at.packet_received(ssrc, payload_type, 0, number & 0xFFFF, number * 960, payload, arrival)


def frame(
    at: Receiver,
    number: int,
    *,
    is_key: bool = False,
    rid: str = "",
    boot: int | None = None,
    as_rtx: bool = False,
) -> None:
    """Frame `number` of a video of one packet a frame, 30 a second."""
    now = 1 + number / 30
    send_time = SendTime(number, rid, int(now * 1e9), this_boot() if boot is None else boot)
    payload = stamped("VP8", (KEY if is_key else DELTA) + bytes(40), send_time)
    arrival = Arrival(now, int(now * 1e9) + 2_000_000)
    if as_rtx:
        payload = (number & 0xFFFF).to_bytes(2) + payload
    ssrc, payload_type = (8, 97) if as_rtx else (7, 96)
    assert at.packet_received(ssrc, payload_type, 0x80, number & 0xFFFF, number * 3000, payload, arrival)


def test_nothing_received_is_unknown_and_not_zero():
    """Before the first packet there is a count of none, and no loss, jitter or latency."""
    statistics = receiver().statistics(5.0)
    assert statistics.packets_received == 0
    assert statistics.packets_lost is None
    assert statistics.fraction_lost is None
    assert statistics.jitter_ms is None
    assert statistics.latency_ms is None
    assert statistics.tone_hz is None
    assert statistics.frames_received is None


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


def test_nothing_is_decoded_unless_asked():
    """A tone that nobody verifies is unknown, not absent."""
    subject = receiver()
    for number in range(100):
        arrive(subject, number)
    assert subject.statistics(9.0).tone_hz is None
    assert subject.statistics(9.0).concealed_ms is None


def test_the_tone_is_heard():
    """Frequency and gaps come from decoded audio, concealed time from what was missing."""
    subject = receiver(verify=True)
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
    subject = receiver(verify=True)
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


def test_sound_that_is_late_is_reordered_and_not_lost():
    """It is not asked for again, so that late and lost can be told apart."""
    subject = receiver()
    for number in (0, 1, 3, 2, 4):
        arrive(subject, number)
    assert subject.feedback(1, 2.0) == []
    statistics = subject.statistics(2.0)
    assert (statistics.packets_lost, statistics.packets_reordered) == (0, 1)
    assert statistics.nacks_sent is None


def test_a_payload_type_that_was_never_negotiated_is_refused():
    """It is not counted as anything."""
    subject = receiver()
    assert not arrive(subject, 0, payload_type=96)
    assert subject.statistics(2.0).packets_received == 0


def test_renegotiation_keeps_the_payload_types_that_were():
    """A packet that was on its way while the numbers changed is not lost."""
    subject = receiver()
    arrive(subject, 0)
    subject.section.codecs = (Codec("opus", 96, 48_000, 2),)
    subject.negotiated()
    assert arrive(subject, 1)
    assert arrive(subject, 2, payload_type=96)
    assert arrive(subject, 3)
    assert subject.statistics(2.0).packets_lost == 0
    assert subject.takes(96)
    assert subject.takes(111)


async def test_a_reused_m_section_counts_its_new_source_only():
    """Another SSRC is another stream: no loss between the two, and a first packet of its own."""
    subject = receiver()
    arrive(subject, 0)
    subject.section.remote_ssrcs = (1,)
    subject.negotiated()
    assert subject.first_packet_at is not None
    subject.section.remote_ssrcs = (2,)
    subject.negotiated()
    assert subject.first_packet_at is None
    with pytest.raises(TimeoutError):
        await subject.wait_first_packet(0)
    arrive(subject, 40_000, ssrc=2)
    assert subject.first_packet_at is not None
    assert subject.statistics(900.0).packets_received == 1
    assert subject.statistics(900.0).packets_lost == 0


def test_an_m_section_is_free_when_its_track_has_gone():
    """By the SFU's description, or because we have closed the track ourselves."""
    subject = receiver()
    arrive(subject, 0)
    assert not subject.is_free
    subject.release()
    assert subject.is_free
    assert subject.first_packet_at is None
    subject.section.is_rejected = True
    assert not subject.is_free


def test_another_codec_is_measured_without_content():
    """PCMU has loss and jitter, and no room for a send time."""
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


# --- video


def test_frames_are_counted_without_decoding():
    """Whole frames, key frames, their rate and latency."""
    subject = receiver(VP8, RTX)
    for number in range(60):
        frame(subject, number, is_key=number % 30 == 0)
    statistics = subject.statistics(3.0)
    assert statistics.frames_received == 60
    assert statistics.key_frames_received == 2
    assert statistics.frame_rate_hz == pytest.approx(30, rel=0.1)
    assert statistics.freezes == 0
    assert statistics.latency_ms is not None
    assert statistics.latency_ms.p50 == pytest.approx(2)
    assert statistics.frames_decoded is None
    assert subject.first_frame_at == pytest.approx(1.0)


def test_who_comes_in_the_middle_asks_for_a_key_frame():
    """At once, and again while none comes; not when the stream begins with one."""
    subject = receiver(VP8, RTX)
    frame(subject, 0, is_key=True)
    assert not subject.is_urgent
    late = receiver(VP8, RTX)
    frame(late, 10)
    assert late.is_urgent
    assert late.feedback(5, 1.4) == [PictureLossIndication(5, 7)]
    assert not late.is_urgent
    frame(late, 11)
    assert late.feedback(5, 1.5) == []
    assert late.feedback(5, 3.0) == [PictureLossIndication(5, 7)]
    frame(late, 12, is_key=True)
    assert late.feedback(5, 60.0) == []
    assert late.statistics(60.0).plis_sent == 2


async def test_the_first_frame_is_one_that_needs_no_other():
    """Whole frames in the middle of a stream are counted, but nobody could see one."""
    late = receiver(VP8, RTX)
    frame(late, 10)
    frame(late, 11)
    assert late.statistics(1.5).frames_received == 2
    assert late.first_frame_at is None
    with pytest.raises(TimeoutError):
        await late.wait_first_frame(0)
    frame(late, 12, is_key=True)
    frame(late, 13)
    assert await late.wait_first_frame(0) == late.first_frame_at == pytest.approx(1 + 12 / 30)


def test_what_is_missing_is_asked_for_and_what_comes_as_rtx_is_recovered():
    """RTX repairs a loss; a packet that comes late under its own SSRC was late, although it had been asked for."""
    subject = receiver(VP8, RTX)
    for number in (0, 1, 4):
        frame(subject, number, is_key=number == 0)
    assert subject.is_urgent
    assert subject.feedback(5, 1.2) == [GenericNack(5, 7, (2, 3))]
    frame(subject, 2, as_rtx=True)
    frame(subject, 3)
    frame(subject, 5)
    statistics = subject.statistics(1.3)
    assert statistics.packets_lost == 1
    assert statistics.packets_recovered == 1
    assert statistics.packets_reordered == 1
    assert statistics.packets_received == 6
    assert statistics.nacks_sent == 1
    assert statistics.frames_received == 6
    assert subject.feedback(5, 60.0) == []


def test_a_switch_of_layers_is_seen_and_timed():
    """The packets say which layer they are of; `took_ms` is from when it was asked for."""
    subject = receiver(VP8, RTX)
    for number in range(30):
        frame(subject, number, is_key=number == 0, rid="f")
    subject.layer_asked_at = 1.9
    for number in range(30, 60):
        frame(subject, number, is_key=number == 30, rid="q")
    statistics = subject.statistics(3.0)
    assert statistics.layer == "q"
    assert statistics.layer_switches is not None
    (switch,) = statistics.layer_switches
    assert (switch.previous, switch.layer) == ("f", "q")
    assert switch.at_s == pytest.approx(1.0)
    assert switch.took_ms == pytest.approx(100)
    assert subject.interval(3.0).layer_switches == (switch,)
    assert subject.interval(4.0).layer_switches == ()


def test_bytes_of_a_stranger_are_no_layer():
    """What stands where a send time would be is believed when two in a row are of one boot."""
    subject = receiver(VP8, RTX)
    for number in range(20):
        frame(subject, number, is_key=number == 0, rid="x", boot=1000 + number)
    assert subject.statistics(3.0).layer is None
    for number in range(20, 24):
        frame(subject, number, rid="h", boot=77)
    assert subject.statistics(3.0).layer == "h"
    assert subject.statistics(3.0).latency_ms is None


def test_silence_is_counted_from_the_last_packet():
    """Not from when somebody looked: the interval may be longer than any silence that matters."""
    subject = receiver()
    assert subject.silent_s(9.0) is None
    for number in range(100):
        arrive(subject, number)
    assert subject.silent_s(3.0) == pytest.approx(0.017)
    assert subject.silent_s(5.5) == pytest.approx(2.517)


def test_only_rtx_of_its_own_codec_tells_what_was_late():
    """H.264 without RTX beside VP8 with it: what comes again after a NACK was lost, and is recovered."""
    subject = receiver(VP8, RTX, Codec("H264", 98, 90_000, 1, "", ("nack",)))
    arrival = Arrival(1.0, 10**9)
    for number in (0, 1, 3):
        subject.packet_received(7, 98, 0x80, number, number * 3000, b"\x41\x9a" + bytes(9), arrival)
    assert subject.feedback(5, 1.0) == [GenericNack(5, 7, (2,))]
    subject.packet_received(7, 98, 0x80, 2, 6000, b"\x41\x9a" + bytes(9), arrival)
    statistics = subject.statistics(1.1)
    assert (statistics.packets_lost, statistics.packets_recovered, statistics.packets_reordered) == (1, 1, 0)


@pytest.mark.parametrize("first", [200, 60_000, 61])
def test_another_ssrc_goes_on_with_the_count(first: int):
    """A sender that changes it without a word has lost nothing by that, and nothing that it lost is forgotten."""
    subject = receiver(verify=True)
    for number in range(100):
        if number != 50:
            arrive(subject, number)
    late, at = Arrival(3.0, 3 * 10**9), subject.first_packet_at
    subject.packet_received(2, 111, 0, first, 96_000, PACKETS[0], late)
    subject.packet_received(1, 111, 0, 100, 96_000, PACKETS[0], late)
    for number in range(1, 50):
        now = Arrival(3 + number / 50, 3 * 10**9)
        subject.packet_received(2, 111, 0, first + number & 0xFFFF, 96_000 + number * 960, PACKETS[number], now)
    statistics = subject.statistics(4.0)
    assert (statistics.packets_received, statistics.packets_lost) == (149, 1)
    assert statistics.interval_s == pytest.approx(4.0 - (at or 0))
    assert subject.first_packet_at == at
    block = subject.report_block(4.0)
    assert block is not None
    assert (block.ssrc, block.packets_lost) == (2, 0)
    assert statistics.concealed_ms == pytest.approx(20)
    assert statistics.tone_hz == pytest.approx(500, rel=0.002)


def test_another_ssrc_begins_with_a_key_frame():
    """It is asked for when the new stream comes in the middle; frames go on being counted."""
    subject = receiver(VP8, RTX)
    for number in range(30):
        frame(subject, number, is_key=number == 0)
    arrival = Arrival(3.0, 3 * 10**9)
    subject.packet_received(9, 96, 0x80, 17, 90_000, DELTA + bytes(40), arrival)
    assert subject.is_urgent
    assert subject.feedback(5, 3.0) == [PictureLossIndication(5, 9)]
    subject.packet_received(9, 96, 0x80, 18, 93_000, KEY + bytes(40), arrival)
    assert subject.statistics(3.1).key_frames_received == 2
    assert subject.statistics(3.1).packets_received == 32
    assert subject.statistics(3.1).frames_received == 32


def test_another_connection_goes_on_with_the_figures():
    """One count of both, nothing lost between them, and what was sent meanwhile by the numbers in the media."""
    first, second = receiver(), receiver()
    for number in range(100):
        arrive(first, number)
    second.go_on_from(first)
    assert second.statistics(3.0).packets_received == 100
    assert second.frames_missed == (None,), "not known before something has come"
    assert second.report_block(3.0) is None, "nothing has come over this connection"
    assert second.feedback(1, 3.0) == []
    assert second.went_on_at is None
    for number in range(350, 400):
        arrive(second, number, ssrc=2)
    arrive(first, 101)
    statistics = second.statistics(9.0)
    assert statistics.packets_received == 150
    assert (statistics.packets_lost, statistics.packets_duplicated) == (0, 0)
    assert second.frames_missed == (250,)
    assert second.first_packet_at == first.first_packet_at
    assert second.went_on_at is not None
    assert second.went_on_at > 7


def test_a_connection_over_which_nothing_came_changes_nothing():
    """The next one goes on from the last that brought something."""
    first, second, third = receiver(), receiver(), receiver()
    for number in range(10):
        arrive(first, number)
    second.go_on_from(first)
    third.go_on_from(first)
    arrive(third, 20, ssrc=3)
    assert third.statistics(3.0).packets_received == 11
    assert third.frames_missed == (None, 10)


def test_a_publisher_that_begins_to_count_anew_tells_nothing():
    """Its numbers have nothing to do with those that came before."""
    first, second = receiver(), receiver()
    for number in range(100, 110):
        arrive(first, number)
    second.go_on_from(first)
    arrive(second, 3, ssrc=2)
    assert second.frames_missed == (None,)
