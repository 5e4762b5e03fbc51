"""A screen or a camera, by the capture devices of FFmpeg that this build of PyAV has.

The device is read by a thread and never waits: when encoding is too slow, the oldest picture makes room for the newest.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.error import FFmpegError

from rtcctl.errors import UsageError
from rtcctl.probe.sources.copying import Round
from rtcctl.probe.sources.feed import Feed
from rtcctl.probe.sources.paced import PacedSource, Picture, Sleep
from rtcctl.probe.sources.transcode import MAX_FRAME_RATE_HZ, Decoded, VideoEncoder, fitting_size, pictures

OPEN_TIMEOUT_S = 10.0
"How long a device may take to give its first picture."
_DEPTH = 2


@dataclass(frozen=True, slots=True)
class _Device:
    """What to open, and what to say about it."""

    format: str
    "FFmpeg's name of the kind of device."
    name: str
    options: dict[str, str]
    description: str
    hint: str
    "When it cannot be opened."


async def open_screen(
    display: str | None = None,
    *,
    frame_rate_hz: int = MAX_FRAME_RATE_HZ,
    codec: str = "VP8",
    bitrate_bps: int | None = None,
    open_timeout_s: float = OPEN_TIMEOUT_S,
    sleep: Sleep = asyncio.sleep,
) -> PacedSource:
    """The screen, with its pointer. `display` is an X display (`:0`), on macOS the number of a screen."""
    _check_rate(frame_rate_hz)
    return await _open(
        _screen(sys.platform, display, frame_rate_hz), frame_rate_hz, codec, bitrate_bps, open_timeout_s, sleep
    )


async def open_camera(
    device: str | None = None,
    *,
    frame_rate_hz: int = MAX_FRAME_RATE_HZ,
    codec: str = "VP8",
    bitrate_bps: int | None = None,
    open_timeout_s: float = OPEN_TIMEOUT_S,
    sleep: Sleep = asyncio.sleep,
) -> PacedSource:
    """A camera. `device` is a path on Linux, a number or name on macOS, a name on Windows."""
    _check_rate(frame_rate_hz)
    return await _open(
        _camera(sys.platform, device, frame_rate_hz), frame_rate_hz, codec, bitrate_bps, open_timeout_s, sleep
    )


def _check_rate(frame_rate_hz: int) -> None:
    if not 1 <= frame_rate_hz <= MAX_FRAME_RATE_HZ:
        raise UsageError(f"{frame_rate_hz} frames a second: a frame rate is 1 to {MAX_FRAME_RATE_HZ}")


def _screen(platform: str, display: str | None, frame_rate_hz: int) -> _Device:
    options = {"framerate": str(frame_rate_hz)}
    if platform == "darwin":
        name = f"Capture screen {display or 0}"
        hint = "Allow the terminal to record the screen: System Settings, Privacy & Security, Screen Recording."
        return _Device(
            "avfoundation", f"{name}:none", options | {"capture_cursor": "1"}, f"screen {display or 0}", hint
        )
    if platform == "win32":
        return _Device("gdigrab", "desktop", options, "screen", "A screen that is locked cannot be recorded.")
    display = display or os.environ.get("DISPLAY")
    if not display:
        raise UsageError(
            "there is no X display to publish: DISPLAY is not set",
            hint="Name one, or start a virtual one: xvfb-run, or Xvfb :99 and DISPLAY=:99. Wayland needs Xwayland.",
        )
    hint = f"Is an X server running there, and may we use it? Try: DISPLAY={display} xdpyinfo"
    return _Device("x11grab", display, options | {"draw_mouse": "1"}, f"screen {display}", hint)


def _camera(platform: str, device: str | None, frame_rate_hz: int) -> _Device:
    options = {"framerate": str(frame_rate_hz)}
    if platform == "darwin":
        hint = "Allow the terminal to use the camera: System Settings, Privacy & Security, Camera."
        return _Device("avfoundation", f"{device or 'default'}:none", options, f"camera {device or 'default'}", hint)
    if platform == "win32":
        if not device:
            raise UsageError(
                "which camera? On Windows it has to be named", hint="ffmpeg -list_devices true -f dshow -i dummy"
            )
        return _Device("dshow", f"video={device}", options, f"camera {device}", "Is it in use by another program?")
    path = device or "/dev/video0"
    return _Device(
        "v4l2", path, options, f"camera {path}", "Is it there, may we read it, is it in use? v4l2-ctl --list-devices"
    )


def _check_available(device: _Device) -> None:
    """Builds of PyAV differ in the devices that they bring."""
    if device.format in av.formats_available:
        return
    kind = device.description.split()[0]
    raise UsageError(
        f"this build of PyAV has no {device.format}, so it cannot publish a {kind}",
        hint=f"Let ffmpeg do it: ffmpeg -f {device.format} -i {device.name!r} -c:v libvpx -deadline realtime -f ivf - "
        "| rtcctl track publish … --stdin",
    )


async def _open(
    device: _Device, frame_rate_hz: int, codec: str, bitrate_bps: int | None, open_timeout_s: float, sleep: Sleep
) -> PacedSource:
    _check_available(device)
    encoder = VideoEncoder(codec, frame_rate_hz=frame_rate_hz, bitrate_bps=bitrate_bps)
    feed: Feed[Picture] = Feed(_items(device, Fraction(1, frame_rate_hz)), name="capture", depth=_DEPTH, newest=True)
    try:
        async with asyncio.timeout(open_timeout_s):
            await feed.ready()
    except TimeoutError:
        await feed.close()
        raise UsageError(
            f"{device.description} gave no picture within {open_timeout_s:g} s", hint=device.hint
        ) from None
    except BaseException:
        await feed.close()
        raise
    first = next(iter(feed.waiting()), None)
    if first is None:
        await feed.close()
        if isinstance(feed.problem, UsageError):
            raise feed.problem
        raise UsageError(f"{device.description} gave no picture", hint=device.hint)
    width, height = fitting_size(first.picture.width, first.picture.height)
    return PacedSource(
        feed,
        kind="video",
        codec=encoder.codec,
        description=f"{device.description} {width}x{height}@{frame_rate_hz}",
        frame_s=1 / frame_rate_hz,
        encoder=encoder,
        is_live=True,
        sleep=sleep,
    )


def _items(device: _Device, frame_s: Fraction) -> Generator[Picture, None, None]:
    try:
        container = av.open(device.name, format=device.format, options=device.options)
    except (FFmpegError, OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise UsageError(f"{device.description} cannot be opened: {reason}", hint=device.hint) from exc
    with container:
        yield from pictures(_captured(container), Round(0), frame_s)


def _captured(container: Any) -> Iterator[Decoded]:
    """Pictures with the time since the first one."""
    start_s: Fraction | None = None
    for frame in container.decode(video=0):
        at_s = frame.pts * frame.time_base if frame.pts is not None else None
        if start_s is None:
            start_s = at_s
        yield Decoded(frame, None if at_s is None or start_s is None else at_s - start_s)


__all__ = ["open_camera", "open_screen"]
