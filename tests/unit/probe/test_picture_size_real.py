"""The size of pictures that real encoders made."""

from __future__ import annotations

import fractions

import av
import pytest

from rtcctl.media.frame_start import starts_frame
from rtcctl.media.keyframe import starts_key_frame
from rtcctl.media.picture_size import picture_size

SIZES = [(320, 180), (1280, 720), (640, 360), (1920, 1080), (98, 66)]


def key_frame(encoder: str, width: int, height: int, options: dict[str, str]) -> bytes:
    """The first frame of a stream."""
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = fractions.Fraction(1, 30)
    context.options = options
    picture = av.VideoFrame(width, height, "yuv420p")
    for plane in picture.planes:
        plane.update(bytes(plane.buffer_size))
    picture.pts = 0
    packets = [*context.encode(picture), *context.encode(None)]
    return bytes(packets[0])


def check(codec: str, payload: bytes, size: tuple[int, int]) -> None:
    assert picture_size(codec, payload[:1200]) == size
    for test in (starts_key_frame(codec), starts_frame(codec)):
        assert test is not None
        assert test(payload, 0, len(payload))


@pytest.mark.parametrize("size", SIZES)
def test_vp8(size):
    """libvpx; S=1 and a picture id."""
    check("VP8", b"\x90\x80\x81\x23" + key_frame("libvpx", *size, {}), size)


@pytest.mark.parametrize("size", SIZES)
def test_vp9(size):
    """libvpx-vp9; I and B."""
    check("VP9", b"\x88\x81\x23" + key_frame("libvpx-vp9", *size, {"deadline": "realtime", "cpu-used": "8"}), size)


@pytest.mark.parametrize("profile", ["baseline", "high"])
@pytest.mark.parametrize("size", SIZES)
def test_h264(size, profile):
    """libx264; the parameter set alone, and aggregated."""
    data = key_frame("libx264", *size, {"profile": profile, "preset": "ultrafast", "tune": "zerolatency"})
    units = [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1") if unit.strip(b"\0")]
    (sps,) = [unit for unit in units if unit[0] & 0x1F == 7]
    (pps,) = [unit for unit in units if unit[0] & 0x1F == 8]
    check("H264", sps, size)
    check("H264", b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in (sps, pps)), size)


@pytest.mark.parametrize("size", SIZES[:3])
def test_av1(size):
    """libsvtav1; without the temporal delimiter, and each OBU behind its length."""
    data = key_frame("libsvtav1", *size, {"preset": "12", "svtav1-params": "rtc=1:pred-struct=1"})
    obus = []
    while data:
        assert data[0] & 0x02
        length = shift = 0
        at = 1
        while True:
            length |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if data[at - 1] < 0x80:
                break
        if data[0] >> 3 & 0x0F != 2:
            obus.append(data[: at + length])
        data = data[at + length :]
    header = obus[0]
    check("AV1", b"\x08" + b"".join(bytes([len(obu) & 0x7F | 0x80, len(obu) >> 7]) + obu for obu in obus[:2]), size)
    check("AV1", b"\x18" + header, size)
