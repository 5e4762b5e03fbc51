"""A tone made, and a tone found in what was decoded: its frequency, level, purity and continuity.

Theory of operation
-------------------
    searching ── a peak in the spectrum of 128 ms, 15 dB above what noise makes ──▶ tracking
    tracking  ── no such tone for 200 ms ──▶ searching

Searching looks at blocks averaged down to about 8 kHz: one small FFT gives the frequency to a few hertz; the full-rate
samples tell a tone from its alias, and the phase between two halves refines it to some 0.01 Hz.

Tracking works on the full-rate samples in windows of 20 ms, each 10 ms after the last. A sine of known frequency is
fitted to each (two sums of products and a 2×2 system), which gives amplitude, phase, and what is left over. From one
window to the next the phase turns by the frequency: the mean of these turns is the estimate. A window without the
tone, or with its phase off the line that the windows before drew, is an *interruption*. It counts as a gap when it
covers more than a packet, or when the phase has jumped by what no single packet left out or put in explains (nor the
codec: a high tone is hard to tell). One packet that was lost is no gap.

Measured: 0.8 % of a core for a live stream with a tone, 1.8 % for noise, 0.2 % for silence.
"""

from __future__ import annotations

import cmath
import math
from array import array
from dataclasses import dataclass, field
from operator import mul

from rtcctl.media.spectrum import peak_hz

FULL_SCALE = 32767

BLOCKS_PER_S = 100
WINDOW_BLOCKS = 2
"Blocks of 10 ms in a window, which is as long as a packet."

SEARCH_RATE_HZ = 8000
SEARCH_POINTS = 1024
SEARCH_AGAIN_BLOCKS = 10
"After a search without success, as many new blocks are awaited."
MIN_FREQUENCY_HZ = 40.0
SILENCE_DB = -70.0

MIN_SHARE = 0.2
"Of a window's power that the tone must hold: 6 dB below everything else."
MIN_AMPLITUDE = 0.4
"Relative to the line: below, the tone is missing from the window …"
WHOLE_AMPLITUDE = 0.8
"… and above it fills the window, so that frequency, level and noise can be told."
MAX_PHASE_CYCLES = 0.06
"Off the line: more than noise and coding do."
MAX_DRIFT_CYCLES = 0.02
"From one window to the next: above, the frequency is another (by 2 Hz)."
LEARNING = 0.2
"Share of the latest window in the line."
FADING = 0.98
JUMP_WINDOWS = 4
"A packet touches three windows; a tone that is off the line for more goes on from elsewhere."
LOST_WINDOWS = 20
PROVEN_WINDOWS = 10
"On the line; before, a search may have been mistaken, and what does not fit is no gap."
MODE_SHIFT_S = 100e-6
"By which Opus shifts a tone when it changes between SILK, hybrid and CELT: no interruption."
SAME_TONE = 0.01
"Tones that differ by less are one."
MAX_TONES = 16
MAX_SNR_DB = 120.0


@dataclass(frozen=True, slots=True)
class Tone:
    """What was heard over some time. All `None` for silence and noise."""

    frequency_hz: float | None = None
    "Of the tone that was there the longest."
    level_db: float | None = None
    "Its level while it was there; 0 is a sine of full scale."
    snr_db: float | None = None
    "Its power over that of everything else, while it was there."
    gaps: int | None = None
    "Interruptions longer than one packet, and jumps of the phase."
    heard_s: float = 0.0
    "How long that tone was there."
    analysed_s: float = 0.0
    "How much sound was looked at."


class ToneDetector:
    """Listens for one steady tone. Feed it samples as they are decoded, in chunks of any size."""

    def __init__(self, sample_rate_hz: int = 48_000, *, channels: int = 1) -> None:
        assert sample_rate_hz >= SEARCH_RATE_HZ
        self._sample_rate_hz = sample_rate_hz
        self._channels = channels
        self._block_size = sample_rate_hz // BLOCKS_PER_S
        self._decimation = sample_rate_hz // SEARCH_RATE_HZ
        self._search_blocks = -(-SEARCH_POINTS * self._decimation // self._block_size)
        self._samples: array[int] = array("h")
        self._searched: list[array[int]] = []
        "Blocks since the tone was last there, until it is found again."
        self._tracker: _Tracker | None = None
        self._total = _Heard()
        self._interval = _Heard()

    def feed(self, samples: array[int] | bytes | bytearray | memoryview) -> None:
        """Signed 16-bit samples in native byte order; channels are interleaved, and averaged."""
        if not isinstance(samples, array):
            raw = samples
            samples = array("h")
            samples.frombytes(raw)
        if self._channels > 1:
            count = self._channels
            parts = zip(*(samples[channel::count] for channel in range(count)), strict=True)
            samples = array("h", [sum(part) // count for part in parts])
        self._samples.extend(samples)
        size = self._block_size
        whole = len(self._samples) // size * size
        for start in range(0, whole, size):
            self._interval.blocks += 1
            self._take(self._samples[start : start + size])
        del self._samples[:whole]

    def tone(self) -> Tone:
        """What was heard since the start, or since `restart_range`."""
        return _Heard().plus(self._total).plus(self._interval).tone()

    def interval(self) -> Tone:
        """What was heard since the previous call."""
        heard = self._interval
        self._total.plus(heard)
        self._interval = _Heard()
        return heard.tone()

    def restart_range(self) -> None:
        """Begin to count anew; the tone stays in the ear."""
        self._total = _Heard()
        self._interval = _Heard()

    def _take(self, block: array[int]) -> None:
        if self._tracker is None:
            self._search(block)
            return
        self._tracker.take(block, self._interval)
        if self._tracker.is_steady:
            self._searched.clear()
        else:
            self._searched.append(block)
        if self._tracker.is_lost:
            self._tracker = None

    def _search(self, block: array[int]) -> None:
        blocks = self._searched
        blocks.append(block)
        if len(blocks) < self._search_blocks:
            return
        frequency_hz = self._find(blocks[-self._search_blocks :])
        if frequency_hz is None:
            del blocks[: SEARCH_AGAIN_BLOCKS - self._search_blocks]
            return
        self._searched = []
        self._tracker = _Tracker(frequency_hz, self._sample_rate_hz, self._block_size)
        for earlier in blocks:
            self._take(earlier)

    def _find(self, blocks: list[array[int]]) -> float | None:
        """The frequency of a tone in these blocks."""
        samples = array("h")
        for block in blocks:
            samples.extend(block)
        power = sum(map(mul, samples, samples)) / len(samples)
        if power < FULL_SCALE**2 / 2 * 10 ** (SILENCE_DB / 10):
            return None
        factor = self._decimation
        low = [sum(part) for part in zip(*(samples[phase::factor] for phase in range(factor)), strict=False)]
        rate_hz = self._sample_rate_hz / factor
        peak = peak_hz(low[-SEARCH_POINTS:], rate_hz, MIN_FREQUENCY_HZ)
        if peak is None:
            return None
        # Averaging does not keep a tone above 4 kHz out; it appears folded down, and the full rate tells.
        folded = [abs(n * rate_hz + sign * peak) for n in range(factor // 2 + 1) for sign in (1, -1)]
        latest = samples[-2 * self._block_size :]
        candidates = [f for f in dict.fromkeys(folded) if f < self._sample_rate_hz / 2]
        if not candidates:
            return None
        frequency_hz = max(candidates, key=lambda f: abs(self._project(latest, f)))
        half = len(samples) // 2
        first, second = (
            self._project(samples[:half], frequency_hz),
            self._project(samples[half : 2 * half], frequency_hz),
        )
        turn = cmath.rect(1, -2 * math.pi * frequency_hz * half / self._sample_rate_hz)
        error_hz = cmath.phase(second * first.conjugate() * turn) / (2 * math.pi) * self._sample_rate_hz / half
        return frequency_hz + error_hz if abs(error_hz) < rate_hz / SEARCH_POINTS / 2 else frequency_hz

    def _project(self, samples: array[int], frequency_hz: float) -> complex:
        cosine, sine = _waves(2 * math.pi * frequency_hz / self._sample_rate_hz, len(samples))
        return complex(sum(map(mul, samples, cosine)), -sum(map(mul, samples, sine)))


class _Tracker:
    """Follows a tone of known frequency, window by window."""

    def __init__(self, frequency_hz: float, sample_rate_hz: int, block_size: int) -> None:
        self._frequency_hz = frequency_hz
        self._block_s = block_size / sample_rate_hz
        angle = 2 * math.pi * frequency_hz / sample_rate_hz
        self._cosine, self._sine = _waves(angle, block_size)
        self._turn = cmath.rect(1, angle * block_size)
        "By which the phase goes on in one block."
        self._size = WINDOW_BLOCKS * block_size
        image = cmath.rect(1, -2 * angle)
        self._image = (1 - image**self._size) / (1 - image)
        "What the negative frequency adds to a projection."
        self._determinant = self._size**2 - abs(self._image) ** 2
        self._block: tuple[complex, int] | None = None
        "Projection and energy of the block before."
        self._window = 0j
        "The window before, turned to now; 0 unless the tone filled it, on the line."
        self._line = 0j
        "What this window should be; 0 before the first one."
        self._drift = complex(1)
        "Sum of what the phase really turns by, relative to `_turn`; older turns fade."
        self._off: list[float] = []
        "Deviations in cycles of the windows since the tone left the line."
        self._missing = 0
        "Windows without the tone, in a row."
        self._proven = 0
        "Windows on the line, in all."
        self.is_lost = False

    @property
    def is_steady(self) -> bool:
        """Whether the latest window was on the line."""
        return not self._missing and not self._off

    def take(self, block: array[int], heard: _Heard) -> None:
        """One more block; it completes a window with the one before."""
        projection = complex(sum(map(mul, block, self._cosine)), -sum(map(mul, block, self._sine)))
        energy = sum(map(mul, block, block))
        before, self._block = self._block, (projection, energy)
        if before is None:
            return
        projection = before[0] + projection * self._turn.conjugate()
        energy += before[1]
        amplitude = 2 * (self._size * projection - self._image * projection.conjugate()) / self._determinant
        fitted = (amplitude * projection.conjugate()).real
        turn = self._turn * self._drift / abs(self._drift)
        self._line *= turn
        self._window *= self._turn
        if fitted < MIN_SHARE * energy or abs(amplitude) <= MIN_AMPLITUDE * abs(self._line):
            self._miss(heard)
            return
        self._missing = 0
        deviation = cmath.phase(amplitude * self._line.conjugate()) / (2 * math.pi) if self._line else 0.0
        if abs(deviation) > MAX_PHASE_CYCLES:
            self._stray(amplitude, deviation, heard)
            return
        self._off.clear()
        self._proven += 1
        sums = heard.sums(self._frequency_hz)
        if self._window:
            step = amplitude * self._window.conjugate()
            self._drift = FADING * self._drift + step / abs(step)
            sums.turns += 1
            sums.frequency_hz += self._frequency_hz + cmath.phase(step) / (2 * math.pi * self._block_s)
        is_whole = abs(amplitude) >= WHOLE_AMPLITUDE * abs(self._line)
        if is_whole:
            sums.windows += 1
            sums.power += abs(amplitude) ** 2
            sums.fitted += fitted
            sums.residual += max(0.0, energy - fitted)
        self._window = amplitude if is_whole else 0j
        self._line = self._line + LEARNING * (amplitude - self._line) if self._line else amplitude

    def _miss(self, heard: _Heard) -> None:
        """The window does not hold the tone."""
        self._window = 0j
        self._missing += 1
        heard.gaps += self._missing == WINDOW_BLOCKS + 1 and self._proven >= PROVEN_WINDOWS
        self.is_lost = self._missing >= LOST_WINDOWS

    def _stray(self, amplitude: complex, deviation: float, heard: _Heard) -> None:
        """The tone is there, off the line: disturbed for a moment, or it goes on from elsewhere."""
        self._window = 0j
        self._off.append(deviation)
        if len(self._off) < JUMP_WINDOWS:
            return
        packet_cycles = self._frequency_hz * self._block_s * WINDOW_BLOCKS
        is_same_tone = abs(_wrapped(deviation - self._off[-2])) <= MAX_DRIFT_CYCLES
        is_one_packet = any(
            abs(_wrapped(deviation - slip)) <= 2 * MAX_PHASE_CYCLES for slip in (packet_cycles, -packet_cycles)
        )
        if is_same_tone and (is_one_packet or abs(deviation) <= self._frequency_hz * MODE_SHIFT_S):
            self._off.clear()
            self._line = amplitude
            return
        heard.gaps += self._proven >= PROVEN_WINDOWS
        self.is_lost = True


@dataclass(slots=True)
class _Sums:
    """Of one tone."""

    windows: int = 0
    power: float = 0.0
    "Amplitudes squared."
    fitted: float = 0.0
    residual: float = 0.0
    turns: int = 0
    frequency_hz: float = 0.0

    def plus(self, other: _Sums) -> None:
        self.windows += other.windows
        self.power += other.power
        self.fitted += other.fitted
        self.residual += other.residual
        self.turns += other.turns
        self.frequency_hz += other.frequency_hz


@dataclass(slots=True)
class _Heard:
    """All tones of some time."""

    blocks: int = 0
    gaps: int = 0
    tones: dict[float, _Sums] = field(default_factory=dict)

    def sums(self, frequency_hz: float) -> _Sums:
        """Where to add what was heard of a tone."""
        for known_hz, sums in self.tones.items():
            if abs(known_hz - frequency_hz) <= SAME_TONE * known_hz:
                return sums
        if len(self.tones) >= MAX_TONES:
            del self.tones[min(self.tones, key=lambda known_hz: self.tones[known_hz].windows)]
        return self.tones.setdefault(frequency_hz, _Sums())

    def plus(self, other: _Heard) -> _Heard:
        self.blocks += other.blocks
        self.gaps += other.gaps
        for frequency_hz, sums in other.tones.items():
            self.sums(frequency_hz).plus(sums)
        return self

    def tone(self) -> Tone:
        analysed_s = self.blocks / BLOCKS_PER_S
        sums = max(self.tones.values(), key=lambda sums: sums.windows, default=_Sums())
        if not sums.windows or not sums.turns:
            return Tone(gaps=self.gaps or None, analysed_s=analysed_s)
        snr = sums.fitted / max(sums.residual, sums.fitted * 10 ** (-MAX_SNR_DB / 10))
        return Tone(
            frequency_hz=sums.frequency_hz / sums.turns,
            level_db=10 * math.log10(sums.power / sums.windows / FULL_SCALE**2),
            snr_db=10 * math.log10(snr),
            gaps=self.gaps,
            heard_s=sums.windows / BLOCKS_PER_S,
            analysed_s=analysed_s,
        )


def tone_samples(
    frequency_hz: float, sample_rate_hz: int, start_sample: int, count: int, amplitude: float
) -> array[int]:
    """Samples `start_sample` … of an endless sine, so that consecutive pieces join without a seam.

    `amplitude` is relative to full scale, 0…1.
    """
    peak, cycle = amplitude * FULL_SCALE, 2 * math.pi / sample_rate_hz
    return array(
        "h",
        [
            round(peak * math.sin(cycle * (frequency_hz * n % sample_rate_hz)))
            for n in range(start_sample, start_sample + count)
        ],
    )


def _waves(angle: float, size: int) -> tuple[list[float], list[float]]:
    """Cosine and sine of multiples of `angle`."""
    return [math.cos(angle * n) for n in range(size)], [math.sin(angle * n) for n in range(size)]


def _wrapped(cycles: float) -> float:
    """The same phase within ±0.5."""
    return cycles - round(cycles)


__all__ = ["Tone", "ToneDetector", "tone_samples"]
