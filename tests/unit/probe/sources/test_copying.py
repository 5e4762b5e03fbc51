"""Covers rtcctl/probe/sources/copying.py."""

from __future__ import annotations

from fractions import Fraction

import pytest

from rtcctl.errors import ParseError
from rtcctl.probe.sources.copying import (
    MediaPacket,
    Round,
    copy_g711,
    copy_opus,
    copy_video,
    fit_av1,
    fit_vp8,
    fit_vp9,
    h264_codec,
    vp9_codec,
)

OPUS_20_MS = b"\x78\xff\xfe"
KEY, INTER = b"\x10key", b"\x11inter"


def ms(number: float) -> Fraction:
    return Fraction(number) / 1000


def test_opus_is_timed_by_what_is_in_it():
    """Rounded timestamps do not move packets; a gap does."""
    said = [0, 21, 39, 61, 300, 320]
    turn = Round(0)
    coded = list(copy_opus([MediaPacket(OPUS_20_MS, ms(at)) for at in said], turn))
    assert [packet.timestamp for packet in coded] == [0, 960, 1920, 2880, 14_400, 15_360]
    assert turn.ends_at == 16_320
    with pytest.raises(ParseError):
        list(copy_opus([MediaPacket(b"\xff", None)], turn))


def test_gaps_of_g711():
    """What came is filled up with silence, and the rest is where it belongs, on the grid of packets."""
    packets = [MediaPacket(b"a" * 200, ms(0)), MediaPacket(b"b" * 160, ms(100)), MediaPacket(b"c" * 10, ms(120))]
    coded = list(copy_g711("PCMA")(packets, Round(1600)))
    assert [packet.timestamp for packet in coded] == [1600, 1760, 2400, 2560]
    assert [packet.data[:1] for packet in coded] == [b"a", b"a", b"b", b"c"]
    assert {len(packet.data) for packet in coded} == {160}
    assert coded[1].data == b"a" * 40 + b"\xd5" * 120


def test_video_begins_with_a_key_frame():
    """What is in front of the first one cannot be decoded; two frames of one time are not one."""
    data = [(INTER, 0), (KEY, 40), (INTER, 80), (INTER, 80), (b"", 90), (INTER, None)]
    packets = [MediaPacket(data, None if at is None else ms(at)) for data, at in data]
    turn = Round(90_000)
    coded = list(copy_video(fit_vp8, ms(40))(packets, turn))
    assert [(packet.timestamp - 90_000, packet.is_key) for packet in coded] == [
        (3600, True),
        (7200, False),
        (7201, False),
        (11_700, False),
    ]
    assert turn.ends_at == 90_000 + 15_300


def test_key_frames_of_vp9():
    """By the uncompressed header, for all profiles; a frame that only shows another one is none."""
    expected = {0x82: True, 0x86: False, 0x8A: False, 0xA2: True, 0xB1: True, 0xB3: False}
    assert {first: fit_vp9(MediaPacket(bytes([first]), None))[1] for first in expected} == expected
    with pytest.raises(ParseError):
        fit_vp9(MediaPacket(b"\x02", None))


def test_av1_has_its_sequence_header():
    """From the configuration, where MP4 has left it out; a key frame is what has one."""
    header, frame = b"\x0a\x02ab", b"\x32\x03xyz"
    fit = fit_av1(b"\x81\x00\x0c\x00" + header)
    assert fit(MediaPacket(frame, None, is_key=True)) == (header + frame, True)
    assert fit(MediaPacket(frame, None, is_key=False)) == (frame, False)
    assert fit(MediaPacket(b"\x12\x00" + header + frame, None, is_key=True)) == (b"\x12\x00" + header + frame, True)
    with pytest.raises(ParseError):
        fit_av1(b"")(MediaPacket(b"\x32\xff\xff", None, is_key=False))


def test_codecs_are_those_that_browsers_know():
    """By profile."""
    assert [h264_codec(profile).payload_type for profile in ("42e01f", "4d001f", "640028")] == [108, 116, 112]
    assert [(vp9_codec(n).payload_type, vp9_codec(n).parameters) for n in (0, 2)] == [
        (98, "profile-id=0"),
        (100, "profile-id=2"),
    ]
