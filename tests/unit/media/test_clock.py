"""NTP timestamps, their parts, and the round trip they give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.clock import (
    ntp_from_unix,
    ntp_middle32,
    q16_from_seconds,
    round_trip_s,
    seconds_from_q16,
    unix_from_ntp,
)


def test_known_timestamps():
    """1970 is 2,208,988,800 seconds after 1900; a fraction is in units of 2⁻³²."""
    assert ntp_from_unix(0.0) == 2_208_988_800 << 32
    assert ntp_from_unix(0.5) == (2_208_988_800 << 32) + (1 << 31)
    # The example of RFC 3550 §6.4.1: 0xb44d_b705:2000_0000 is cut to 0xb705:2000.
    assert ntp_middle32(0xB44D_B705_2000_0000) == 0xB705_2000


@given(st.floats(0, 4_000_000_000))
def test_round_trip_of_wallclock(wallclock: float):
    """Wallclock survives to a microsecond, past the end of the first era in 2036 too."""
    ntp = ntp_from_unix(wallclock)
    assert 0 <= ntp < 1 << 64
    assert unix_from_ntp(ntp) == pytest.approx(wallclock, abs=1e-6)


@given(st.floats(0, 65_535))
def test_round_trip_of_durations(duration_s: float):
    """A duration survives to half a unit."""
    assert abs(seconds_from_q16(q16_from_seconds(duration_s)) - duration_s) <= 2**-17


def test_durations_are_cut_to_32_bit():
    """Neither negative nor endless delays break a report."""
    assert q16_from_seconds(-1.0) == 0
    assert q16_from_seconds(1e9) == 0xFFFF_FFFF


def test_round_trip_by_report():
    """The example of RFC 3550 §6.4.1, figure 2: 6.125 s."""
    assert round_trip_s(0xB44D_B710_8000_0000, 0xB705_2000, 0x0005_4000) == 6.125


def test_round_trip_is_unknown_without_a_sender_report():
    """A reporter that had no sender report says 0."""
    assert round_trip_s(ntp_from_unix(1000.0), 0, 0) is None


def test_round_trip_of_an_impossible_delay():
    """A reporter that claims to have waited longer than the whole way is not believed, but for rounding."""
    ntp = ntp_from_unix(1000.0)
    assert round_trip_s(ntp, ntp_middle32(ntp), 1) == 0.0
    assert round_trip_s(ntp, ntp_middle32(ntp), q16_from_seconds(0.5)) is None


def test_round_trip_across_the_wrap():
    """The middle 32 bits wrap every 18 hours."""
    assert round_trip_s(0x0000_0000_8000_0000, 0xFFFF_8000, 0) == 1.0
