"""A screen as a source, from a virtual X display."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from av import CodecContext, Packet

from rtcctl.errors import UsageError
from rtcctl.probe.sources.capture import open_screen
from tests.support.xvfb import virtual_display


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_screen_is_published_as_it_looks(codec: str):
    """Of a screen of odd size, left half black and right half white, comes an even picture that shows just that."""
    with virtual_display(641, 481) as display:
        source = await open_screen(display, codec=codec)
        assert source.description == f"screen {display} 640x480@30"
        decoder: Any = CodecContext.create(codec.lower(), "r")
        pictures = []
        frames = []
        for number in range(12):
            frame = await source.next_frame(time.monotonic)
            assert frame
            frames.append(frame)
            pictures += decoder.decode(Packet(bytes(frame.data)))
            if number == 5:
                source.request_key_frame()
        assert frames[0].is_key
        assert any(frame.is_key for frame in frames[6:])
        assert frames[0].rtp_timestamp == 0
        assert all(after.rtp_timestamp > before.rtp_timestamp for before, after in pairwise(frames))
        last = pictures[-1]
        row = bytes(last.planes[0])[last.planes[0].line_size * 240 :]
        assert (last.width, last.height) == (640, 480)
        assert (row[40], row[280]) == pytest.approx((16, 16), abs=4)
        assert (row[360], row[600]) == pytest.approx((235, 235), abs=4)
        assert source.nominal_frames(time.monotonic()) >= 12
        await source.close()


async def test_a_display_that_is_gone():
    """A display that ends while it is published ends the source; one that was never there is an error."""
    with virtual_display(320, 240) as display:
        source = await open_screen(display)
        assert await source.next_frame(time.monotonic)
    while await source.next_frame(time.monotonic):
        pass
    await source.close()
    with pytest.raises(UsageError, match=f"screen {display} cannot be opened"):
        await open_screen(display)
