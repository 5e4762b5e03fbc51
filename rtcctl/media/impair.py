"""What a bad network does to packets: loss, delay, jitter, reordering, duplication, a rate limit; seeded.

Theory of operation
-------------------
`Impairer` decides the fate of each packet when it arrives; `DelayLine` keeps those that are held until their time. The
order in which things are decided is that of a packet's way:

    lost? ──▶ queue of the rate limit (full: dropped) ──▶ delay ± jitter, in order ──▶ overtaken? ──▶ once or twice

Each packet draws the same number of random numbers whatever becomes of it, and each stream has its own, so that the
fate of a stream's n-th packet depends on the seed and on n alone, whatever else comes between. Jitter does not reorder,
as a queue does not; `reorder` does: such a packet is held until those of the next `REORDER_S` have passed it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from rtcctl.units import BitRate, Ratio, Seconds, SpellingError

T = TypeVar("T")

REORDER_S = 0.025
"How much longer an overtaken packet is held: the next packet of 20 ms of audio passes it, and no second one."
_MIN_RATE_BPS = 1000.0
"Below, a handshake takes minutes."
QUEUE_S = 0.2
"What a rate limit lets wait; beyond it, packets are dropped, as by a router with a short buffer."
_MAX_DELAY_S = 60.0

KEYS = ("loss", "delay", "jitter", "reorder", "dup", "rate", "seed")
"What can be written of an impairment."

WAYS = {"up": ("up",), "down": ("down",), "both": ("up", "down"), "out": ("up",), "in": ("down",)}
"What `direction` may be of a peer's path: `up` is towards the server, and so out of the peer; `down` is into it."


@dataclass(frozen=True, slots=True)
class Impairment:
    """Ratios are 0…1. `seed`: of the random numbers, which the caller draws; `None` is another one each time."""

    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    "The delay varies evenly between `delay_s` - `jitter_s` (not below 0) and `delay_s` + `jitter_s`."
    reorder: float = 0.0
    duplicate: float = 0.0
    rate_bps: float | None = None
    seed: int | None = None

    @classmethod
    def take(cls, options: dict[str, str]) -> Impairment:
        """From options such as `{"loss": "5%", "delay": "40ms"}`, which are taken out; others stay.

        Raises `SpellingError`.
        """
        given = {key: options.pop(key) for key in KEYS if key in options}
        seed = _parsed(given, "seed", _seed)
        return cls(
            loss=_parsed(given, "loss", Ratio.parse) or 0.0,
            delay_s=_parsed(given, "delay", _duration) or 0.0,
            jitter_s=_parsed(given, "jitter", _duration) or 0.0,
            reorder=_parsed(given, "reorder", Ratio.parse) or 0.0,
            duplicate=_parsed(given, "dup", Ratio.parse) or 0.0,
            rate_bps=_parsed(given, "rate", _rate),
            seed=None if seed is None else int(seed),
        )


def pairs(text: str, example: str) -> dict[str, str]:
    """`KEY=VALUE,…` in its order. Raises `SpellingError`, which shows `example`."""
    options: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not key or not value:
            raise SpellingError(f"{part.strip()!r} is not KEY=VALUE; write for example {example}")
        if key in options:
            raise SpellingError(f"{key} is there twice")
        options[key] = value
    return options


def parse_path(text: str) -> dict[str, Impairment]:
    """What is done to the path of one peer, by way (`up`, `down`): `loss=5%,delay=40ms,direction=down`.

    Without `direction` it is done both ways. Raises `SpellingError`.
    """
    options = pairs(text, _EXAMPLE)
    for key in options:
        if key not in (*KEYS, "direction"):
            known = ", ".join((*KEYS, "direction"))
            raise SpellingError(f"{key!r} is nothing that can be done to packets; there are {known}")
    if not set(options) - {"seed", "direction"}:
        raise SpellingError(f"nothing is done to packets; write for example {_EXAMPLE}")
    direction = options.pop("direction", "both")
    if direction not in WAYS:
        raise SpellingError(f"direction: {direction!r} is neither up (towards the server), down nor both")
    impairment = Impairment.take(options)
    return dict.fromkeys(WAYS[direction], impairment)


_EXAMPLE = "loss=5%,delay=40ms,direction=down"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one packet."""

    releases: tuple[float, ...]
    "When its copies go on, on the clock of `decide`; none when it is dropped."
    reason: str = ""
    "`loss` or `rate` when it is dropped, `reorder` when others overtake it, `dup` when there are two of it."
    late_s: float = 0.0
    "How much longer it is held at the end of its whole way, where nothing puts it in order again."


class Impairer:
    """Decides for the packets of one path, one after the other.

    `draw` gives the next random number of a stream, 0 ≤ x < 1.
    """

    def __init__(self, impairment: Impairment, draw: Callable[[str], float]) -> None:
        self._impairment = impairment
        self._draw = draw
        self._free_at = 0.0
        "When the link of the rate limit has sent what it has."
        self._last_release = 0.0

    def decide(self, size: int, now: float, stream: str | None) -> Fate:
        """The fate of a packet of `size` bytes. Of no `stream`: held as others are, and never more or less than one."""
        impairment = self._impairment
        lost, overtaken, twice, spread = (
            (1.0, 1.0, 1.0, 0.5) if stream is None else (self._draw(stream) for _ in range(4))
        )
        if lost < impairment.loss:
            return Fate((), "loss")
        release = now
        if impairment.rate_bps is not None:
            begins = max(now, self._free_at)
            if stream is not None and begins - now > QUEUE_S:
                return Fate((), "rate")
            self._free_at = release = begins + size * 8 / impairment.rate_bps
        release += max(0.0, impairment.delay_s + (2 * spread - 1) * impairment.jitter_s)
        release = self._last_release = max(release, self._last_release)
        if overtaken < impairment.reorder:
            return Fate((release,), "reorder", REORDER_S)
        return Fate((release, release), "dup") if twice < impairment.duplicate else Fate((release,))


class DelayLine(Generic[T]):
    """Things that are held until their time; those of the same time leave in the order in which they came."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, release: float, item: T) -> None:
        """Hold `item` until `release`."""
        self._count += 1
        heapq.heappush(self._heap, (release, self._count, item))

    def pop(self, now: float) -> T | None:
        """The next one whose time has come."""
        return heapq.heappop(self._heap)[2] if self._heap and self._heap[0][0] <= now else None

    def clear(self) -> list[T]:
        """All that is held, in order; nothing is after this."""
        items = [item for _, _, item in sorted(self._heap, key=lambda held: held[:2])]
        self._heap.clear()
        return items

    def get_timer(self) -> float | None:
        """When the next one's time comes."""
        return self._heap[0][0] if self._heap else None


def _parsed(given: Mapping[str, str], key: str, parse: Callable[[str], float]) -> float | None:
    """The value of a key, plain; None without it. Errors name the key."""
    try:
        return float(parse(given[key])) if key in given else None
    except SpellingError as error:
        raise SpellingError(f"{key}: {error}") from None


def _duration(text: str) -> float:
    try:
        seconds = Seconds.parse(text)
    except SpellingError:  # whose words propose minutes and hours
        raise SpellingError(f"{text!r} is not a duration; write for example 40ms or 1.5s") from None
    if seconds > _MAX_DELAY_S:
        raise SpellingError(f"at most {_MAX_DELAY_S:.0f}s, not {text}")
    return seconds


def _rate(text: str) -> float:
    rate = BitRate.parse(text)
    if rate < _MIN_RATE_BPS:
        raise SpellingError(f"at least {BitRate(_MIN_RATE_BPS)}, not {text}")
    return rate


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise SpellingError(f"{text!r} is not a whole number")
    return int(text)
