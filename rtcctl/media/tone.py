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
covers more than a packet, or when the phase has jumped by what no single packet left out or put in explains.
One packet that was lost and concealed is no gap.

Cost: 0.1 ms for 20 ms of sound while tracking, 2 ms for 130 ms while searching, nothing to speak of for silence.
"""

from __future__ import annotations

import cmath
import math
from array import array
from collections import deque
from dataclasses import dataclass
from operator import mul

FULL_SCALE = 32767

BLOCKS_PER_S = 100
PACKET_BLOCKS = 2
"Blocks of 10 ms in a packet; also in a window."

SEARCH_POINTS = 1024
SEARCH_RATE_HZ = 8000
SEARCH_AGAIN_BLOCKS = 10
"After a search without success, as many new blocks are awaited."
MIN_FREQUENCY_HZ = 40.0
MIN_PEAK = 30.0
"Power of a peak over the mean of all other bins. In white noise it would take 10¹⁰ searches to meet one."
SILENCE_DB = -70.0

MIN_SHARE = 0.2
"Of a window's power that the tone must hold: 6 dB below everything else."
MIN_AMPLITUDE = 0.4
"Relative to the windows before."
MAX_PHASE_CYCLES = 0.06
"Deviation from the line that coding noise may cause."
LOST_WINDOWS = 20
JUMP_WINDOWS = 4
"A packet touches three windows; a phase that stays off for more has jumped."
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
        "Blocks since the tone was lost, until it is found again."
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
        else:
            self._track(self._tracker, block)

    def _track(self, tracker: _Tracker, block: array[int]) -> None:
        tracker.take(block, self._interval)
        if tracker.missing >= LOST_WINDOWS:
            self._tracker = None

    def _search(self, block: array[int]) -> None:
        self._searched.append(block)
        if len(self._searched) < self._search_blocks:
            return
        blocks = self._searched
        frequency_hz = self._find(blocks)
        if frequency_hz is None:
            del blocks[:SEARCH_AGAIN_BLOCKS]
            return
        self._searched = []
        self._tracker = tracker = _Tracker(frequency_hz, self._sample_rate_hz, self._block_size)
        for earlier in blocks:
            tracker.take(earlier, self._interval)

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
        peak_hz = _peak(low[-SEARCH_POINTS:], rate_hz)
        if peak_hz is None:
            return None
        # Averaging does not keep a tone above 4 kHz out; it appears folded down, and the full rate tells.
        folded = [abs(n * rate_hz + sign * peak_hz) for n in range(factor // 2 + 1) for sign in (1, -1)]
        latest = samples[-2 * self._block_size :]
        candidates = [f for f in dict.fromkeys(folded) if f < self._sample_rate_hz / 2]
        frequency_hz = max(candidates, key=lambda f: abs(self._project(latest, f)))
        half = len(samples) // 2
        first, second = self._project(samples[:half], frequency_hz), self._project(samples[half : 2 * half], frequency_hz)
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
        self._size = 2 * block_size
        image = cmath.rect(1, -2 * angle)
        self._image = (1 - image**self._size) / (1 - image)
        "What the negative frequency adds to a projection."
        self._determinant = self._size**2 - abs(self._image) ** 2
        self._previous: tuple[complex, int] | None = None
        self._last: complex = 0j
        "Of the window before, when it held the tone and was on the line."
        self._line: complex = 0j
        "Expected amplitude and phase of this window."
        self._off: list[float] = []
        "Deviations in cycles of the windows with the tone since the phase left the line."
        self.missing = 0
        "Windows without the tone, the latest in a row."

    def take(self, block: array[int], heard: _Heard) -> None:
        """One more block; it completes a window with the one before."""
        projection = complex(sum(map(mul, block, self._cosine)), -sum(map(mul, block, self._sine)))
        energy = sum(map(mul, block, block))
        before, self._previous = self._previous, (projection, energy)
        if before is None:
            return
        energy += before[1]
        projection = before[0] + projection * self._turn.conjugate()
        amplitude = 2 * (self._size * projection - self._image * projection.conjugate()) / self._determinant
        fitted = min((amplitude * projection.conjugate()).real, energy)
        self._line *= self._turn
        self._last *= self._turn
        is_present = fitted >= MIN_SHARE * energy and abs(amplitude) >= MIN_AMPLITUDE * abs(self._line) and energy > 0
        if not is_present:
            self._last = 0j
            self.missing += 1
            if self.missing == PACKET_BLOCKS + 1 and self._line:
                heard.gaps += 1
            return
        heard.add(self, amplitude, fitted, energy)
        self._follow(amplitude, heard)

    def _follow(self, amplitude: complex, heard: _Heard) -> None:
        ...
