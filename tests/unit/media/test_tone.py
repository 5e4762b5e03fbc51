"""The tone: made without a seam, and found again in what an Opus decoder makes of it."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Collection

import pytest
from av import AudioFrame, CodecContext
from av.packet import Packet
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcctl.media.tone import Tone, ToneDetector, tone_samples

RATE_HZ = 48_000
PACKET = 960


def hear(samples: array[int], *, sample_rate_hz: int = RATE_HZ, chunk: int = PACKET) -> Tone:
    detector = ToneDetector(sample_rate_hz)
    for start in range(0, len(samples), chunk):
        detector.feed(samples[start : start + chunk])
    return detector.tone()


def sine(frequency_hz: float, seconds: float = 1.0, *, amplitude: float = 0.25, start: int = 0) -> array[int]:
    return tone_samples(frequency_hz, RATE_HZ, start, round(seconds * RATE_HZ), amplitude)


def silence(seconds: float) -> array[int]:
    return array("h", bytes(2 * round(seconds * RATE_HZ)))


def noise(seconds: float, deviation: float, seed: int = 1) -> array[int]:
    rng = random.Random(seed)
    return array("h", [round(rng.gauss(0, deviation)) for _ in range(round(seconds * RATE_HZ))])


def mixed(*parts: array[int]) -> array[int]:
    return array("h", [max(-32768, min(32767, sum(values))) for values in zip(*parts, strict=True)])


def through_opus(samples: array[int], bit_rate: int, lost: Collection[int] = ()) -> array[int]:
    """Encoded and decoded by libopus; packets in `lost` are concealed by the decoder."""
    encoder = CodecContext.create("libopus", "w")
    encoder.format, encoder.layout, encoder.sample_rate, encoder.bit_rate = "s16", "mono", RATE_HZ, bit_rate
    decoder = CodecContext.create("libopus", "r")
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "mono", RATE_HZ
    heard: array[int] = array("h")
    index = 0
    for start in range(0, len(samples) - PACKET + 1, PACKET):
        frame = AudioFrame(format="s16", layout="mono", samples=PACKET)
        frame.sample_rate, frame.pts = RATE_HZ, start
        frame.planes[0].update(samples[start : start + PACKET].tobytes())
        for packet in encoder.encode(frame):
            data = bytes(packet)
            for decoded in decoder.decode(Packet(data[:1] if index in lost else data)):
                heard.frombytes(bytes(decoded.planes[0])[: 2 * decoded.samples])
            index += 1
    return heard


# -- a tone is found -------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.floats(80, 3400), st.floats(0.01, 1.0))
def test_frequency_and_level(frequency_hz: float, amplitude: float):
    """Any tone of the telephone band is found to 0.02 % and 0.1 dB, without a gap."""
    tone = hear(sine(frequency_hz, 0.5, amplitude=amplitude))
    assert tone.frequency_hz == pytest.approx(frequency_hz, rel=0.0002)
    assert tone.level_db == pytest.approx(20 * math.log10(amplitude), abs=0.1)
    assert tone.snr_db is not None
    assert tone.snr_db > 25
    assert tone.gaps == 0
    assert tone.analysed_s == 0.5
    assert tone.heard_s == pytest.approx(0.49, abs=0.02)


@pytest.mark.parametrize("bit_rate", [32_000, 64_000])
@pytest.mark.parametrize("frequency_hz", [80.0, 123.4, 440.0, 1000.0, 1764.05, 3400.0])
def test_after_opus(bit_rate: int, frequency_hz: float):
    """Coding noise neither moves the tone nor interrupts it, not even when the encoder changes its mode."""
    tone = hear(through_opus(sine(frequency_hz, 1.5), bit_rate))
    assert tone.frequency_hz == pytest.approx(frequency_hz, rel=0.002)
    assert tone.level_db == pytest.approx(-12.04, abs=0.5)
    assert tone.snr_db is not None
    assert tone.snr_db > 20
    assert tone.gaps == 0


@pytest.mark.parametrize("frequency_hz", [5000.0, 7777.0, 12_345.0, 19_000.0])
def test_above_the_band(frequency_hz: float):
    """A tone above 4 kHz is reported as what it is, and not folded down."""
    assert hear(sine(frequency_hz)).frequency_hz == pytest.approx(frequency_hz, rel=0.0002)


@pytest.mark.parametrize("sample_rate_hz", [8000, 16_000, 44_100])
def test_other_sample_rates(sample_rate_hz: int):
    """The detector works at the rate it is told."""
    samples = tone_samples(440.0, sample_rate_hz, 0, sample_rate_hz, 0.5)
    tone = hear(samples, sample_rate_hz=sample_rate_hz)
    assert tone.frequency_hz == pytest.approx(440.0, rel=0.0002)
    assert tone.gaps == 0


@pytest.mark.parametrize("chunk", [1, 100, 959, 2880, 48_000])
def test_chunks_of_any_size(chunk: int):
    """How the samples are cut makes no difference."""
    samples = sine(440.0, 0.4)
    assert hear(samples, chunk=chunk) == hear(samples)


def test_bytes_and_stereo():
    """Samples may come as bytes; interleaved channels are averaged."""
    mono, stereo = sine(440.0, 0.4), array("h", bytes(4 * 19_200))
    stereo[::2] = mono
    detector = ToneDetector(RATE_HZ, channels=2)
    detector.feed(stereo.tobytes())
    tone = detector.tone()
    assert tone.frequency_hz == pytest.approx(440.0, rel=0.0002)
    assert tone.level_db == pytest.approx(-18.06, abs=0.1)


@pytest.mark.parametrize("snr_db", [20.0, 10.0, 0.0])
def test_in_noise(snr_db: float):
    """A tone in white noise is found to 0.2 %, and the ratio is measured."""
    deviation = 0.25 * 32767 / math.sqrt(2) / 10 ** (snr_db / 20)
    tone = hear(mixed(sine(80.0, 2.0), noise(2.0, deviation)))
    assert tone.frequency_hz == pytest.approx(80.0, rel=0.002)
    assert tone.snr_db == pytest.approx(snr_db, abs=0.5)
    assert tone.gaps == 0


def test_of_two_tones_the_stronger():
    """Two tones are no pure one: the stronger is named, with a low ratio."""
    tone = hear(mixed(sine(440.0, amplitude=0.3), sine(1000.0, amplitude=0.2)))
    assert tone.frequency_hz == pytest.approx(440.0, rel=0.001)
    assert tone.snr_db == pytest.approx(3.5, abs=0.5)


# -- and what is none is not -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "samples",
    [silence(1.0), noise(2.0, 3000.0), array("h", [5000]) * RATE_HZ, through_opus(noise(1.0, 3000.0), 32_000)],
    ids=["silence", "white noise", "direct current", "coded noise"],
)
def test_no_tone(samples: array[int]):
    """Silence, noise and a constant are no tone: everything is unknown, also the number of gaps."""
    tone = hear(samples)
    assert (tone.frequency_hz, tone.level_db, tone.snr_db, tone.gaps, tone.heard_s) == (None, None, None, None, 0.0)
    assert tone.analysed_s == len(samples) / RATE_HZ


def test_nothing_fed():
    """Without samples nothing is known."""
    assert ToneDetector().tone() == ToneDetector().interval() == Tone()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=3000).map(lambda data: data[: len(data) // 2 * 2]), st.just(bytes(4000)))))
def test_any_samples(chunks: list[bytes]):
    """No samples break the detector, and its numbers are finite."""
    detector = ToneDetector(8000)
    for chunk in chunks:
        detector.feed(chunk * 4)
    tone = detector.tone()
    for number in (tone.frequency_hz, tone.level_db, tone.snr_db):
        assert number is None or math.isfinite(number)


# -- continuity ------------------------------------------------------------------------------------------------------


def with_hole(frequency_hz: float, hole_s: float) -> array[int]:
    """A second of tone that is silent for `hole_s` from the middle on, and goes on where it would be by then."""
    samples = sine(frequency_hz)
    start, size = RATE_HZ // 2, round(hole_s * RATE_HZ)
    samples[start : start + size] = array("h", bytes(2 * size))
    return samples


@pytest.mark.parametrize("frequency_hz", [80.0, 440.0, 3000.0])
@pytest.mark.parametrize("offset", [0, 100, 240, 479])
def test_a_gap_is_longer_than_a_packet(frequency_hz: float, offset: int):
    """One missing packet is no gap, two are one, wherever they fall; frequency and level stay."""
    for packets, gaps in ((1, 0), (2, 1), (5, 1)):
        tone = hear(with_hole(frequency_hz, packets * 0.02)[offset:])
        assert tone.gaps == gaps, packets
        assert tone.frequency_hz == pytest.approx(frequency_hz, rel=0.002)
        assert tone.level_db == pytest.approx(-12.04, abs=0.3)


def test_each_gap_counts():
    """Three interruptions are three gaps, whether the tone is lost from the ear (0.5 s) or not (50 ms)."""
    samples = sine(440.0, 0.5) + silence(0.05) + sine(440.0, 0.5) + silence(0.5) + sine(440.0, 0.5) + silence(0.05)
    tone = hear(samples + sine(440.0, 0.5))
    assert tone.gaps == 3
    assert tone.frequency_hz == pytest.approx(440.0, rel=0.001)
    assert tone.heard_s == pytest.approx(2.0, abs=0.15)


def test_silence_before_and_after():
    """What precedes the tone is no gap; that it stopped is one."""
    assert hear(silence(1.0) + sine(440.0)).gaps == 0
    assert hear(sine(440.0) + silence(1.0)).gaps == 1


def test_missing_sound_that_nobody_replaced():
    """A jump of the phase is a gap, unless leaving out (or putting in) one packet explains it."""
    first, packet = sine(440.0, 0.5), round(0.02 * RATE_HZ)
    for skipped, gaps in ((packet, 0), (-packet, 0), (3 * packet, 1), (10 * packet, 0), (packet // 2, 1)):
        tone = hear(first + sine(440.0, 0.5, start=len(first) + skipped))
        assert tone.gaps == gaps, skipped
        assert tone.frequency_hz == pytest.approx(440.0, rel=0.0005)


def test_concealed_packets():
    """Single packets that an Opus decoder conceals are no gaps; a burst of twenty is one."""
    samples = sine(440.0, 4.0)
    assert hear(through_opus(samples, 64_000, lost={50, 77, 100, 131, 160})).gaps == 0
    tone = hear(through_opus(samples, 64_000, lost=set(range(80, 100))))
    assert tone.gaps == 1
    assert tone.frequency_hz == pytest.approx(440.0, rel=0.002)


def test_another_tone():
    """A tone that becomes another one is interrupted; the one that lasted longer is named."""
    tone = hear(sine(440.0, 0.5) + sine(880.0, 1.5))
    assert tone.frequency_hz == pytest.approx(880.0, rel=0.001)
    assert tone.gaps == 1
    assert tone.heard_s == pytest.approx(1.5, abs=0.1)


def test_a_melody_of_many_tones():
    """However many tones come, the longest is named and memory stays bounded."""
    samples = sine(1000.0, 0.8)
    for i in range(20):
        samples += sine(200.0 * 1.1**i, 0.2)
    tone = hear(samples + sine(1000.0, 0.4))
    assert tone.frequency_hz == pytest.approx(1000.0, rel=0.002)
    assert tone.gaps is not None
    assert tone.gaps >= 10


# -- ranges ----------------------------------------------------------------------------------------------------------


def test_intervals_and_total():
    """An interval tells of itself alone, the total of all; reading the total changes nothing."""
    detector = ToneDetector()
    detector.feed(sine(440.0))
    first = detector.interval()
    detector.feed(silence(1.0))
    second = detector.interval()
    detector.feed(silence(1.0))
    third = detector.interval()
    assert first.frequency_hz == pytest.approx(440.0)
    assert (first.gaps, first.analysed_s) == (0, 1.0)
    assert (second.frequency_hz, second.gaps) == (None, 1)
    assert (third.frequency_hz, third.gaps) == (None, None)
    total = detector.tone()
    assert total == detector.tone()
    assert total.frequency_hz == pytest.approx(440.0, rel=0.0002)
    assert (total.gaps, total.analysed_s) == (1, 3.0)


def test_restarted_range():
    """What was heard before a restart is forgotten; the tone is followed on without a new search."""
    detector = ToneDetector()
    detector.feed(sine(440.0) + silence(0.1) + sine(440.0))
    assert detector.tone().gaps == 1
    detector.restart_range()
    assert detector.tone() == Tone()
    detector.feed(sine(440.0, 0.1, start=round(2.1 * RATE_HZ)))
    tone = detector.tone()
    assert tone.frequency_hz == pytest.approx(440.0, rel=0.001)
    assert tone.analysed_s == 0.1


# -- the generator ---------------------------------------------------------------------------------------------------


@given(st.floats(1, 20_000), st.integers(0, 10**9), st.lists(st.integers(0, 50), max_size=5))
def test_pieces_join_without_a_seam(frequency_hz: float, start: int, counts: list[int]):
    """A tone made in pieces is the tone made at once."""
    whole = tone_samples(frequency_hz, RATE_HZ, start, sum(counts), 0.9)
    pieces: array[int] = array("h")
    for count in counts:
        pieces += tone_samples(frequency_hz, RATE_HZ, start + len(pieces), count, 0.9)
    assert pieces == whole


def test_amplitude():
    """Full scale is 32767, and nothing overflows."""
    samples = tone_samples(1000.0, RATE_HZ, 0, 48, 1.0)
    assert max(samples) == 32767
    assert min(samples) == -32767
    assert samples[0] == 0


@pytest.mark.parametrize("frequency_hz", [3990.0, 3995.0, 4000.0, 4005.0])
def test_what_lies_at_the_end_of_the_spectrum_is_no_tone_and_no_error(frequency_hz: float):
    """The peak of a sound near half the sample rate may seem to be beyond it."""
    samples = array("h", [int(12_000 * math.sin(2 * math.pi * frequency_hz * n / 8000)) for n in range(8000)])
    heard = hear(samples, sample_rate_hz=8000, chunk=160).frequency_hz
    assert heard is None or heard == pytest.approx(frequency_hz, abs=10)
