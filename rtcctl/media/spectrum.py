"""The strongest frequency in a stretch of samples."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from functools import cache
from operator import add, mul, sub

MIN_PEAK = 30.0
"Power of a peak over the mean of the other bins. In white noise one search in 10¹⁰ meets such a peak."


def peak_hz(samples: Sequence[float], rate_hz: float, lowest_hz: float) -> float | None:
    """Where the highest peak above `lowest_hz` is, if it stands out of the rest as no noise does.

    Right to a twentieth of a bin for a lone sine; `samples` are a power of two in number.
    """
    size = len(samples)
    spectrum = _fft([sample * hann for sample, hann in zip(samples, _hann(size), strict=True)])
    first = math.ceil(lowest_hz * size / rate_hz)
    power = [abs(value) ** 2 for value in spectrum[: size // 2]]
    at = max(range(first, len(power) - 1), key=power.__getitem__)
    others = sum(power[first:]) - sum(power[at - 2 : at + 3])
    if power[at] * (len(power) - first - 5) < MIN_PEAK * others:
        return None
    # A parabola through the logarithms of the peak and its neighbours.
    left, middle, right = (math.log(max(power[n], 1e-9)) for n in (at - 1, at, at + 1))
    bend = left - 2 * middle + right
    return (at + (left - right) / (2 * bend if bend else 1.0)) * rate_hz / size


@cache
def _hann(size: int) -> list[float]:
    return [0.5 - 0.5 * math.cos(2 * math.pi * n / size) for n in range(size)]


@cache
def _twiddles(size: int) -> list[complex]:
    return [cmath.rect(1, -2 * math.pi * n / size) for n in range(size // 2)]


def _fft(values: Sequence[complex]) -> list[complex]:
    """Discrete Fourier transform of two, four, eight … values."""
    size = len(values)
    if size == 2:
        return [values[0] + values[1], values[0] - values[1]]
    even, odd = _fft(values[::2]), _fft(values[1::2])
    odd = list(map(mul, odd, _twiddles(size)))
    return list(map(add, even, odd)) + list(map(sub, even, odd))


__all__ = ["peak_hz"]
