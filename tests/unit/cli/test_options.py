"""Options that several commands share."""

import pytest

from rtcctl.cli.options import reporting_interval
from rtcctl.units import SpellingError


@pytest.mark.parametrize(("text", "seconds"), [("100ms", 0.1), ("1s", 1.0), ("2m", 120.0)])
def test_an_interval(text: str, seconds: float) -> None:
    """A duration, from a tenth of a second on."""
    assert reporting_interval(text) == seconds


@pytest.mark.parametrize(("text", "said"), [("99ms", "at least 100ms"), ("0s", "at least 100ms"), ("1", "1s")])
def test_what_is_no_interval(text: str, said: str) -> None:
    """Too short, or without its unit: the right spelling is said."""
    with pytest.raises(SpellingError, match=said):
        reporting_interval(text)
