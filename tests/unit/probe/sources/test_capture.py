"""Covers rtcctl/probe/sources/capture.py."""

from __future__ import annotations

import sys

import av
import pytest

from rtcctl.errors import UsageError
from rtcctl.probe.sources.capture import open_camera, open_screen


@pytest.mark.skipif("v4l2" in av.formats_available, reason="this build of PyAV can open cameras")
@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have other devices")
async def test_a_camera_that_this_build_cannot_open():
    """What is missing is said, and what to do instead."""
    with pytest.raises(UsageError, match="has no v4l2") as caught:
        await open_camera()
    assert "/dev/video0" in caught.value.hint
    assert "--stdin" in caught.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have no X displays")
async def test_no_display(monkeypatch: pytest.MonkeyPatch):
    """Without a display that is named, and without DISPLAY, there is nothing to publish."""
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(UsageError, match="DISPLAY is not set") as caught:
        await open_screen()
    assert "Xvfb" in caught.value.hint


@pytest.mark.parametrize("rate", [0, -1, 31])
async def test_impossible_frame_rates(rate: int):
    """A frame rate that cannot be is an error before anything is opened."""
    with pytest.raises(UsageError, match="a frame rate is 1 to 30"):
        await open_screen(":0", frame_rate_hz=rate)


async def test_codecs_that_nothing_encodes():
    """AV1 is sent only when the media has it already."""
    with pytest.raises(UsageError, match="AV1: video cannot be encoded"):
        await open_screen(":0", codec="AV1")
