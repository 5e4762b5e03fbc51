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


def slowest(target: Target, *, size: int = 100_000, tries: int = 60, seed: int = 1) -> Growth:
    """The input, among some, whose time grows fastest."""
    draw, found = Random(seed), []
    for number in range(tries):
        vector = target.vectors[number % len(target.vectors)]
        data = vector.read_bytes()
        begin, end = sorted(draw.choices(range(len(data) + 1), k=2))
        if draw.random() < 0.5:
            end = min(end, begin + draw.choice((1, 2, 4, 8, 16, 40)))
        piece = data[begin:end] or b"\0"
        made = [data[:begin] + piece * (wanted // len(piece)) + data[end:] for wanted in (size, size * FACTOR)]
        shorter, longer = (seconds_of(target, one) for one in made)
        # What is over at once says nothing.
        ratio = longer / shorter if longer > 0.05 else 0.0
        if ratio > 1.5 * FACTOR:
            ratio = min(ratio, seconds_of(target, made[1]) / seconds_of(target, made[0]))
        found.append(Growth(ratio, longer, len(made[1]), vector.name, piece[:60]))
    return max(found)


def seconds_of(target: Target, data: bytes) -> float:
    """Of this process's work for it: others may have the machine meanwhile."""
    began = time.process_time()
    target(data)
    return time.process_time() - began
