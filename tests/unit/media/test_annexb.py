"""Covers rtcctl/media/annexb.py."""

from __future__ import annotations

from rtcctl.media.annexb import nal_units

SPS = b"\x67\x42\xc0\x1f\xd9"
PPS = b"\x68\xcb\x83\xcb\x21"
IDR = b"\x65\x88\x84\x11"


def test_start_codes_of_both_lengths():
    """Zeros in front of a start code belong to it."""
    assert list(nal_units(b"\0\0\1" + SPS + b"\0\0\0\1" + PPS + b"\0\0\0\0\1" + IDR)) == [SPS, PPS, IDR]
    assert list(nal_units(b"")) == list(nal_units(b"no start")) == []
