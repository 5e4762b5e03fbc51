"""Whether the time that a target takes grows as its input does, or faster: then a large input is an attack."""

from __future__ import annotations

import time
from random import Random
from typing import NamedTuple

from tests.fuzz.target import Target

FACTOR = 4
"How much larger the second input is."


class Growth(NamedTuple):
    """Of one input made long by repeating a piece of it."""

    ratio: float
    "Time for `FACTOR` times as much, over time for once as much: 4 where it is in proportion, 16 where it is squared."
    seconds: float
    "For the larger one."
    size: int
    "Bytes of the larger one."
    vector: str
    piece: bytes


def slowest(target: Target, *, size: int = 50_000, tries: int = 60, seed: int = 1) -> Growth:
    """The input, among some, whose time grows fastest."""
    draw, found = Random(seed), []
    for number in range(tries):
        vector = target.vectors[number % len(target.vectors)]
        data = vector.read_bytes()
        begin, end = sorted(draw.choices(range(len(data) + 1), k=2))
        if draw.random() < 0.5:
            end = min(end, begin + draw.choice((1, 2, 4, 8, 16, 40)))
        piece = data[begin:end] or b"\0"
        times = []
        for bytes_wanted in (size, size * FACTOR):
            made = data[:begin] + piece * (bytes_wanted // len(piece)) + data[end:]
            began = time.perf_counter()
            target(made)
            times.append(time.perf_counter() - began)
        # What is over at once says nothing.
        ratio = times[1] / times[0] if times[1] > 0.05 else 0.0
        found.append(Growth(ratio, times[1], size * FACTOR, vector.name, piece[:60]))
    return max(found)
