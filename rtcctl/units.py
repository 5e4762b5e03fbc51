"""What a person types where a number could be misread: durations, ratios, rates, frequencies, with their units.

Each but the last is a `float`; all print as they are typed, so a default in `--help` reads like an argument. Beside
them, what people may call an app or a TURN key.
"""

from __future__ import annotations

import re
from typing import ClassVar, Self

_NUMBER = r"(\d{1,15}(?:\.\d{1,15})?)"
_DURATION = re.compile(_NUMBER + r"(ms|s|m|h)", re.ASCII)
_RATIO = re.compile(_NUMBER + r"\s?%", re.ASCII)
_FREQUENCY = re.compile(_NUMBER + r"\s?(k?hz)?", re.ASCII | re.IGNORECASE)
_BIT_RATE = re.compile(_NUMBER + r"\s?(k|M|G)?(?:bps|bit/s)", re.ASCII)
_PER_SECOND = re.compile(_NUMBER + r"/s", re.ASCII)
_SIZE = re.compile(r"(\d{1,15})(k|Ki|M|Mi)?B", re.ASCII)
_BARE = re.compile(_NUMBER, re.ASCII)
_PERCENTILE = re.compile(r"(p50|p95|p99)=(.*)", re.ASCII | re.DOTALL)

_SERVERS = re.compile(r"(udp|tcp|tls)(?::(\d{1,5}))?", re.ASCII)

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

MAX_TONE_HZ = 20_000.0
MAX_MESSAGES_PER_SECOND = 5000.0
"Above, one Python process is what is measured."


DISPLAY_NAME_MAX = 256
DISPLAY_NAME = f"a text of up to {DISPLAY_NAME_MAX} characters, none of them a control character"
_NO_DISPLAY_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"Control characters, and surrogates, which are no text. Joiners are part of words and of emoji."


def is_display_name(text: str) -> bool:
    """Whether an app or a TURN key may be called that."""
    return len(text) <= DISPLAY_NAME_MAX and not _NO_DISPLAY_NAME.search(text)


class SpellingError(ValueError):
    """The text is not a value of that kind; the message has the right spelling."""


class Seconds(float):
    """A duration: `30s`, `500ms`, `5m`, `1h`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `SpellingError`, for a number without a unit too."""
        if match := _DURATION.fullmatch(text):
            return cls(float(match[1]) * _SECONDS[match[2]])
        if _BARE.fullmatch(text):
            raise SpellingError(f"a duration needs its unit: {text}s (or {text}ms, {text}m, {text}h)")
        raise SpellingError(f"{text!r} is not a duration; write for example 30s, 500ms, 5m or 1h")

    def __str__(self) -> str:
        for unit in ("h", "m"):
            if self and not self % _SECONDS[unit]:
                return f"{_plain(self / _SECONDS[unit])}{unit}"
        return f"{_plain(self * 1000)}ms" if 0 < self < 1 else f"{_plain(self)}s"

    @property
    def milliseconds(self) -> float:
        """In milliseconds, without the noise of a multiplication in binary (`0.03 * 1000`)."""
        return round(self * 1000, 6)


class Ratio(float):
    """A share, 0…1, written as `2%`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `SpellingError`, for a number without a percent sign and for more than 100 % too."""
        if match := _RATIO.fullmatch(text):
            percent = float(match[1])
            if percent > 100:
                raise SpellingError(f"{text} is more than everything; write at most 100%")
            return cls(percent / 100)
        if _BARE.fullmatch(text):
            alternative = f" or {float(text) * 100:g}%" if 0 < float(text) < 1 else ""
            raise SpellingError(f"a ratio needs its unit: {text}%{alternative}")
        raise SpellingError(f"{text!r} is not a ratio; write for example 2% or 0.5%")

    def __str__(self) -> str:
        return f"{_plain(self * 100)}%"


class BitRate(float):
    """Bits per second: `64kbps`, `2Mbps`."""

    _FACTORS: ClassVar[dict[str | None, float]] = {None: 1.0, "k": 1e3, "M": 1e6, "G": 1e9}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `SpellingError`, for a number without a unit and for nothing at all too."""
        match = _BIT_RATE.fullmatch(text)
        if match is None:
            if _BARE.fullmatch(text):
                raise SpellingError(f"a bit rate needs its unit: {text}kbps or {text}Mbps")
            raise SpellingError(f"{text!r} is not a bit rate; write for example 64kbps or 2Mbps")
        rate = cls(float(match[1]) * cls._FACTORS[match[2]])
        if rate <= 0:
            raise SpellingError("a bit rate is above zero")
        return rate

    def __str__(self) -> str:
        for prefix in ("G", "M", "k"):
            if self >= self._FACTORS[prefix]:
                return f"{_plain(self / self._FACTORS[prefix])}{prefix}bps"
        return f"{_plain(self)}bps"


class Hertz(float):
    """A frequency of a tone: `440`, `440Hz`, `1kHz`. Nobody misreads a bare number here."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `SpellingError`, for what nobody can hear too."""
        match = _FREQUENCY.fullmatch(text)
        if match is None:
            raise SpellingError(f"{text!r} is not a frequency; write for example 440 or 1kHz")
        hertz = float(match[1]) * (1000 if (match[2] or "").lower() == "khz" else 1)
        if not 1 <= hertz <= MAX_TONE_HZ:
            raise SpellingError(f"a tone is between 1 Hz and {MAX_TONE_HZ / 1000:g} kHz, not {text}")
        return cls(hertz)

    def __str__(self) -> str:
        return _plain(self)


class Factor(float):
    """What times are multiplied by: `0.1`."""

    LIMITS = (0.001, 1000.0)
    "Below, everything is over at once; above, nothing ever ends."

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `SpellingError`, for what makes no sense too."""
        if not _BARE.fullmatch(text):
            raise SpellingError(f"{text!r} is not a factor; write for example 0.1")
        lowest, highest = cls.LIMITS
        if not lowest <= float(text) <= highest:
            raise SpellingError(f"a factor is between {_plain(lowest)} and {_plain(highest)}, not {text}")
        return cls(float(text))

    def __str__(self) -> str:
        return _plain(self)


class MessageRate(float):
    """Messages a second: `50/s`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `SpellingError`, for a number without a unit and for nothing at all too."""
        match = _PER_SECOND.fullmatch(text)
        if match is None:
            if _BARE.fullmatch(text):
                raise SpellingError(f"a rate needs its unit: {text}/s")
            raise SpellingError(f"{text!r} is not a rate; write for example 50/s")
        if not 0 < float(match[1]) <= MAX_MESSAGES_PER_SECOND:
            raise SpellingError(f"a rate is above zero and at most {MAX_MESSAGES_PER_SECOND:g}/s, not {text}")
        return cls(float(match[1]))

    def __str__(self) -> str:
        return f"{_plain(self)}/s"


class Bytes(int):
    """A size: `100B`, `16KiB`, `1kB`."""

    _FACTORS: ClassVar[dict[str, int]] = {"": 1, "k": 1000, "Ki": 1024, "M": 1_000_000, "Mi": 1_048_576}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `SpellingError`, for a number without a unit too."""
        if match := _SIZE.fullmatch(text):
            return cls(int(match[1]) * cls._FACTORS[match[2] or ""])
        if _BARE.fullmatch(text):
            raise SpellingError(f"a size needs its unit: {text}B (or {text}KiB, {text}kB)")
        raise SpellingError(f"{text!r} is not a size; write for example 100B or 16KiB")

    def __str__(self) -> str:
        for prefix in ("Mi", "Ki"):
            if self and not self % self._FACTORS[prefix]:
                return f"{self // self._FACTORS[prefix]}{prefix}B"
        return f"{int(self)}B"


class PercentileLimit(tuple[str, Seconds]):
    """A limit on one percentile: `p95=30ms`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `SpellingError`."""
        match = _PERCENTILE.fullmatch(text)
        if match is None:
            raise SpellingError(
                f"{text!r} is not a limit of a percentile; write for example p95=30ms (p50, p95 or p99)"
            )
        if _BARE.fullmatch(match[2]):
            raise SpellingError(f"a duration needs its unit: {text}ms (or {text}s)")
        return cls((match[1], Seconds.parse(match[2])))

    def __str__(self) -> str:
        return f"{self[0]}={self[1]}"


def _plain(value: float) -> str:
    """Digits without an exponent, which nobody types."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


class Via(str):
    """How TURN servers are reached: `udp`, `tcp` or `tls`, with a port where that is to be chosen: `tls:443`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `SpellingError`."""
        match = _SERVERS.fullmatch(text)
        if match is None or (match[2] and not 0 < int(match[2]) < 65536):
            raise SpellingError(f"{text!r} is no way to a TURN server; write udp, tcp or tls, or for example tls:443")
        return cls(text)

    @property
    def protocol(self) -> str:
        return self.partition(":")[0]

    @property
    def port(self) -> int | None:
        """`None`: any."""
        port = self.partition(":")[2]
        return int(port) if port else None
