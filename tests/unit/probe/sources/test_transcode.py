"""Covers rtcctl/probe/sources/transcode.py."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from av import AudioFrame, CodecContext, Packet, VideoFrame

from rtcctl.errors import UsageError
from rtcctl.media.annexb import IDR_SLICE, PPS, SPS, nal_units
from rtcctl.probe.sources.copying import Round
from rtcctl.probe.sources.h264 import profile_level_id
from rtcctl.probe.sources.transcode import (
    AudioEncoder,
    Decoded,
    Turn,
    VideoEncoder,
    codec_named,
    fitting_size,
    pictures,
)


@pytest.mark.parametrize(
    ("size", "fitting"),
    [
        ((1280, 720), (1280, 720)),
        ((1920, 1080), (1920, 1080)),
        ((1080, 1920), (1080, 1920)),
        ((3840, 2160), (1920, 1080)),
        ((2160, 3840), (1080, 1920)),
        ((3840, 1080), (1920, 540)),
        ((641, 481), (640, 480)),
        ((1, 1), (16, 16)),
        ((10, 100), (16, 160)),
    ],
)
def test_sizes(size, fitting):
    """Even, and at most 1080p in either direction."""
    assert fitting_size(*size) == fitting


def test_pixels_that_are_not_square():
    """The picture is as wide as it is meant to be seen."""
    assert fitting_size(720, 576, pixel_ratio=Fraction(64, 45)) == (1024, 576)


@pytest.mark.parametrize("size", [(0, 0), (0, 10), (41, 1), (1, 5000)])
def test_impossible_sizes(size):
    """What is no picture is an error."""
    with pytest.raises(UsageError, match="cannot be encoded"):
        fitting_size(*size)


def test_names_of_codecs():
    """Spelled as people spell them."""
    assert codec_named("H.264", "video").name == "H264"
    assert codec_named("OPUS", "audio").name == "opus"
    for name, kind in (("opus", "video"), ("VP8", "audio"), ("AV1", "video")):
        with pytest.raises(UsageError, match=f"{name}: {kind} cannot"):
            codec_named(name, kind)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_one_picture_in_one_frame_out(codec: str):
    """No delay, a key frame when asked, and again when the size changes; H.264 with parameter sets in each."""
    encoder = VideoEncoder(codec)
    decoder: Any = CodecContext.create(codec.lower(), "r")
    keys = []
    sizes = []
    for number in range(12):
        picture = VideoFrame(320 if number < 8 else 160, 240, "rgb24")
        data, is_key = encoder.encode(picture, number * 3000, is_key=number == 4)
        keys.append(is_key)
        (decoded,) = decoder.decode(Packet(data))
        sizes.append((decoded.width, decoded.height))
        if codec == "H264":
            kinds = [unit[0] & 0x1F for unit in nal_units(data)]
            assert kinds == ([SPS, PPS, IDR_SLICE] if is_key else [1])
            assert not is_key or (profile_level_id(data) or "").startswith("42c0")
    assert [number for number, is_key in enumerate(keys) if is_key] == [0, 4, 8]
    assert sizes == [(320, 240)] * 8 + [(160, 240)] * 4


@pytest.mark.parametrize(
    ("degrees", "corners"), [(90, (1, 1, 0)), (180, (1, 0, 1)), (270, (0, 0, 1))], ids=["left", "half", "right"]
)
def test_turning(degrees: int, corners: tuple[int, int, int]):
    """Of a picture whose right half is bright: top left, top right and bottom left, when it is turned."""
    picture = VideoFrame(64, 48, "gray")
    plane: Any = picture.planes[0]
    plane.update(b"".join(bytes(32) + b"\xff" * 32 + bytes(plane.line_size - 64) for _ in range(48)))
    picture.time_base = Fraction(1, 30)
    turned = Turn(degrees)(picture)
    luma: Any = turned.planes[0]
    assert (turned.width, turned.height) == ((64, 48) if degrees == 180 else (48, 64))
    line, right, bottom = luma.line_size, turned.width - 2, turned.height - 2
    data = bytes(luma)
    assert (data[line + 2], data[line + right], data[line * bottom + 2]) == tuple(255 * corner for corner in corners)


def test_pictures_are_never_behind_each_other():
    """Pictures without times are a frame apart, the first is a key frame, and the round knows where it ends."""
    turn = Round(9000)
    made = list(pictures((Decoded(None, None) for _ in range(4)), turn, Fraction(1, 25)))
    assert [(picture.timestamp, picture.is_key) for picture in made] == [
        (9000, True),
        (12600, False),
        (16200, False),
        (19800, False),
    ]
    assert turn.ends_at == 23400


def sound(samples: int, at_s: Fraction | None) -> Decoded:
    frame: Any = AudioFrame(format="s16", layout="mono", samples=samples)
    frame.sample_rate = 48_000
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    return Decoded(frame, at_s)


def test_a_gap_in_the_sound_stays_a_gap():
    """What is missing is not made up by moving what follows; packets stay on their grid."""
    encoder = AudioEncoder("opus", 1)
    turn = Round(0)
    decoded = [sound(1200, Fraction(0)), sound(1200, Fraction(1)), sound(1200, Fraction(1) + Fraction(1200, 48_000))]
    coded = [*encoder.encode(decoded, turn), *encoder.finish()]
    assert [packet.timestamp for packet in coded] == [0, 960, 48_000, 48_960, 49_920]


def test_rounds_of_sound_have_no_seam():
    """What is left of one round is the beginning of a packet of the next."""
    encoder = AudioEncoder("opus", 1)
    first = Round(0)
    coded = list(encoder.encode([sound(1000, None)], first))
    assert first.ends_at == 1000
    second = Round(first.ends_at)
    coded += encoder.encode([sound(1000, Fraction(0))], second)
    assert [packet.timestamp for packet in coded] == [0, 960]
    assert second.ends_at == 2000
    assert [packet.timestamp for packet in encoder.finish()] == [1920]
