"""Covers rtcctl/probe/sources/h264.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.annexb import START_CODE
from rtcctl.probe.sources.h264 import (
    AccessUnits,
    from_configuration,
    has_b_slices,
    profile_level_id,
    sized_units,
    without_sei,
)

SPS = b"\x67\x42\xc0\x1f\xd9"
PPS = b"\x68\xcb\x83\xcb\x20"[:4] + b"\x21"
IDR = b"\x65\x88\x84\x11"
INTER = b"\x41\x9a\x38\x17"
CONFIGURATION = b"\x01\x42\xc0\x1f\xff\xe1\x00\x05" + SPS + b"\x01\x00\x05" + PPS


def sized(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def stream(*units: bytes) -> bytes:
    return b"".join(START_CODE + unit for unit in units)


def test_start_codes_are_made_equal():
    """Three bytes, four, and trailing zeros; the encoder's own remarks (SEI) are left out."""
    data = b"\0\0\1\x67A\0\0\0\1\x06x264\0\0\1\x65B\0\0\3\1C\0\0\0\0\1\x41D"
    assert without_sei(data) == b"\0\0\0\1\x67A\0\0\0\1\x65B\0\0\3\1C\0\0\0\1\x41D"


def test_parameter_sets_of_a_configuration():
    """They become a byte stream, which says the profile."""
    assert from_configuration(CONFIGURATION) == stream(SPS, PPS)
    assert from_configuration(b"\0\0\1" + SPS + b"\0\0\1" + PPS) == stream(SPS, PPS)
    assert from_configuration(b"") == b""
    assert profile_level_id(stream(SPS, PPS)) == "42c01f"
    assert profile_level_id(stream(PPS)) is None


@pytest.mark.parametrize("make", [sized, stream])
def test_key_frames_get_parameter_sets(make):
    """In front of each IDR picture without; those that came last."""
    units = AccessUnits(CONFIGURATION if make is sized else stream(SPS, PPS))
    assert units.fit(make(IDR)) == (stream(SPS, PPS, IDR), True)
    assert units.fit(make(INTER)) == (stream(INTER), False)
    other = SPS[:-1] + b"\x55"
    assert units.fit(make(other, PPS, IDR)) == (stream(other, PPS, IDR), True)
    assert units.fit(make(b"\x09\xf0", IDR)) == (stream(other, PPS, IDR), True)


def test_slices_that_refer_to_later_pictures():
    """slice_type 1 and 6 are B."""
    # first_mb_in_slice 0 is the bit 1; slice_type n is the Exp-Golomb code of n.
    codes = {0: "1", 1: "010", 2: "011", 5: "00110", 6: "00111", 7: "0001000"}
    for slice_type, code in codes.items():
        bits = ("1" + code).ljust(16, "1")
        unit = b"\x41" + int(bits, 2).to_bytes(2, "big")
        assert has_b_slices(stream(SPS, unit)) == (slice_type in (1, 6))
    assert not has_b_slices(stream(b"\x41", b"\x41\x01"))


@given(st.binary(max_size=60), st.booleans())
def test_noise(data: bytes, is_sized: bool):
    """Any bytes are units, none, or a ParseError."""
    has_b_slices(data)
    from_configuration(data)
    units = AccessUnits(CONFIGURATION if is_sized else b"")
    try:
        units.fit(data)
    except ParseError:
        assert is_sized


def test_sizes_that_go_too_far():
    """A unit that is longer than its sample says where."""
    with pytest.raises(ParseError) as caught:
        list(sized_units(sized(IDR) + b"\0\0\0\x09abc", 4))
    assert caught.value.offset == 12
