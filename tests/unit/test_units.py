"""Durations, ratios, rates and frequencies as they are typed."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.units import BitRate, Factor, Hertz, PercentileLimit, Ratio, Seconds, SpellingError

PARSERS = (Seconds, Ratio, BitRate, Hertz, Factor, PercentileLimit)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("500ms", 0.5), ("5m", 300), ("1h", 3600), ("1.5s", 1.5), ("0s", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    """A duration is a number and its unit."""
    assert Seconds.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["30", "1.5", "0"])
def test_a_bare_duration_is_refused_with_the_right_spelling(text: str) -> None:
    """A number that could mean seconds or milliseconds is not guessed."""
    with pytest.raises(SpellingError, match=f"needs its unit: {text}s"):
        Seconds.parse(text)


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1 s", "1d", "1e3s", "infs", "nans", "1s2m", "१s", "1s\n", "9" * 16 + "s"]
)
def test_no_durations(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(SpellingError):
        Seconds.parse(text)


@pytest.mark.parametrize(("text", "ratio"), [("2%", 0.02), ("0.5%", 0.005), ("100%", 1), ("0%", 0), ("2 %", 0.02)])
def test_ratios(text: str, ratio: float) -> None:
    """A ratio is written in percent."""
    assert Ratio.parse(text) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("text", "spelling"), [("2", "2%"), ("0.02", "0.02% or 2%"), ("101%", "at most 100%"), ("two", "for example 2%")]
)
def test_ratios_that_could_be_misread(text: str, spelling: str) -> None:
    """2 and 0.02 could both mean two in a hundred: neither is guessed."""
    with pytest.raises(SpellingError, match=spelling):
        Ratio.parse(text)


@pytest.mark.parametrize(
    ("text", "bits_per_second"),
    [
        ("64kbps", 64_000),
        ("2Mbps", 2_000_000),
        ("1.5 Mbps", 1_500_000),
        ("1Gbps", 10**9),
        ("300bps", 300),
        ("64kbit/s", 64_000),
        ("0.5kbps", 500),
    ],
)
def test_bit_rates(text: str, bits_per_second: float) -> None:
    """Bits per second, by thousands."""
    assert BitRate.parse(text) == bits_per_second


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("64", "needs its unit: 64kbps or 64Mbps"),
        ("0kbps", "above zero"),
        ("0.0Mbps", "above zero"),
        ("64kBps", "for example 64kbps"),
        ("64KBPS", "for example 64kbps"),
        ("64mbps", "for example 64kbps"),
        ("64k", "for example 64kbps"),
        ("-1kbps", "for example 64kbps"),
        ("", "for example 64kbps"),
        ("64kbps\n", "for example 64kbps"),
    ],
)
def test_bit_rates_that_could_be_misread(text: str, spelling: str) -> None:
    """A bare number, bytes, a thousandth of a bit, or no rate at all."""
    with pytest.raises(SpellingError, match=spelling):
        BitRate.parse(text)


@given(st.integers(1, 10**6), st.sampled_from(["bps", "kbps", "Mbps", "Gbps"]))
def test_bit_rates_round_trip(number: int, unit: str) -> None:
    """Parsing what was printed gives the same rate, to the digits that are printed."""
    value = BitRate.parse(f"{number}{unit}")
    assert BitRate.parse(str(value)) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(("text", "hertz"), [("440", 440), ("440Hz", 440), ("1kHz", 1000), ("1.5 khz", 1500)])
def test_frequencies(text: str, hertz: float) -> None:
    """A frequency needs no unit: it cannot be misread."""
    assert Hertz.parse(text) == hertz


@pytest.mark.parametrize("text", ["0", "30kHz", "-440", "high", ""])
def test_frequencies_that_nobody_hears(text: str) -> None:
    """What is no tone is refused."""
    with pytest.raises(SpellingError):
        Hertz.parse(text)


def test_limit_of_a_percentile() -> None:
    """`p95=30ms` names the percentile and its limit."""
    assert PercentileLimit.parse("p95=30ms") == ("p95", 0.03)
    assert PercentileLimit.parse("p95=30ms")[1].milliseconds == 30


@pytest.mark.parametrize("text", ["p95", "p95=", "p95=30", "p90=30ms", "30ms", "p95=30ms=1s"])
def test_no_limits_of_percentiles(text: str) -> None:
    """A percentile that is not measured, or a number without unit, is refused."""
    with pytest.raises(SpellingError):
        PercentileLimit.parse(text)


@pytest.mark.parametrize(
    "value",
    [
        *(Seconds(30), Seconds(0.5), Seconds(300), Seconds(7200), Seconds(90), Seconds(0), Ratio(0.02), Hertz(440)),
        *(BitRate(64_000), BitRate(2_500_000), BitRate(300), BitRate(1e9)),
    ],
)
def test_prints_as_it_is_typed(value: Seconds | Ratio | Hertz | BitRate) -> None:
    """A default in `--help` can be typed."""
    assert type(value).parse(str(value)) == value


@pytest.mark.parametrize(("text", "factor"), [("1", 1), ("0.1", 0.1), ("0.001", 0.001), ("1000", 1000), ("2.50", 2.5)])
def test_factors(text: str, factor: float) -> None:
    """What times are multiplied by, printed as it is typed."""
    assert Factor.parse(text) == factor
    assert Factor.parse(str(Factor.parse(text))) == factor


@pytest.mark.parametrize(
    "text", ["", "x2", "2x", "10%", "-1", "nan", "inf", "1e-1", "0,1", ".5", "0", "0.0009", "1001"]
)
def test_factors_that_make_no_sense(text: str) -> None:
    """No number, nothing, or out of all proportion."""
    with pytest.raises(SpellingError, match=r"write for example 0\.1|between 0\.001 and 1000"):
        Factor.parse(text)


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h"]))
def test_durations_round_trip(number: int, unit: str) -> None:
    """Parsing what was printed gives the same duration, to the digits that are printed."""
    value = Seconds.parse(f"{number}{unit}")
    assert Seconds.parse(str(value)) == pytest.approx(value, rel=1e-5)


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No text makes a parser fail in another way."""
    for parser in PARSERS:
        with suppress(SpellingError):
            assert isinstance(parser.parse(text), parser)


def test_a_percentile_without_a_unit_is_spelled_out() -> None:
    """The right spelling is the whole value, not its second half."""
    with pytest.raises(SpellingError, match="p95=30ms"):
        PercentileLimit.parse("p95=30")
