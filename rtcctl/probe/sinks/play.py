"""What is heard, on a sound device: FFmpeg's output devices, through PyAV.

    event loop                         thread
    feed ──▶ queue (≤ 0.5 s) ──▶ write to the device, which blocks until it has played

A device that is slower than the stream loses what does not fit into the queue; nothing that is measured waits for it.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from array import array
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av import AudioFrame
from av.error import FFmpegError

from rtcctl.errors import UsageError

DEFAULT_DEVICE = "default"
QUEUE_BLOCKS = 25
"Of 20 ms each."

_FORMATS = {"linux": "alsa", "darwin": "audiotoolbox"}
_ALSA_FOLDER = Path("/usr/share/alsa")


class Player:
    """Plays one stream of samples; use it as a context manager. Raises `UsageError` where there is no such device."""

    def __init__(self, device: str = DEFAULT_DEVICE) -> None:
        self._device = device
        self._blocks: queue.Queue[tuple[int, list[array[int]]] | None] = queue.Queue(QUEUE_BLOCKS)
        self._thread = threading.Thread(target=self._play, name="play", daemon=True)
        self._is_taken = False

    def __enter__(self) -> Self:
        container, _ = self._open(48_000, 1)
        container.close()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        while True:
            try:
                self._blocks.put_nowait(None)
                break
            except queue.Full:
                self._blocks.get_nowait()
        self._thread.join(timeout=1.0)

    def take(self) -> bool:
        """Whether the caller may feed it: the first stream may."""
        is_first, self._is_taken = not self._is_taken, True
        return is_first

    def feed(self, sample_rate_hz: int, channels: list[array[int]]) -> None:
        """Samples of each channel, 16 bit."""
        with suppress(queue.Full):
            self._blocks.put_nowait((sample_rate_hz, channels))

    def _play(self) -> None:
        """In the thread."""
        container: Any = None
        stream: Any = None
        shape: tuple[int, int] | None = None
        written = 0
        while (block := self._blocks.get()) is not None:
            sample_rate_hz, channels = block
            if shape != (sample_rate_hz, len(channels)):
                if container is not None:
                    container.close()
                shape, written = (sample_rate_hz, len(channels)), 0
                try:
                    container, stream = self._open(*shape)
                except UsageError:
                    return  # the device is gone
            samples = channels[0]
            if len(channels) == 2:
                samples = array("h", bytes(4 * len(channels[0])))
                samples[::2], samples[1::2] = channels[0], channels[1]
            frame = AudioFrame(format="s16", layout=_layout(len(channels)), samples=len(channels[0]))
            frame.sample_rate = sample_rate_hz
            frame.pts = written
            frame.planes[0].update(samples.tobytes())
            written += len(channels[0])
            try:
                for packet in stream.encode(frame):
                    container.mux(packet)
            except FFmpegError:
                return
        if container is not None:
            container.close()

    def _open(self, sample_rate_hz: int, channels: int) -> tuple[Any, Any]:
        name = _FORMATS.get(sys.platform)
        if name is None or name not in av.formats_available:
            raise UsageError("This FFmpeg plays no sound on this system.", hint="Leave --play away, and use --verify.")
        if name == "alsa" and _ALSA_FOLDER.is_dir():
            # The library inside PyAV's wheel looks where it was built.
            os.environ.setdefault("ALSA_CONFIG_DIR", str(_ALSA_FOLDER))
            os.environ.setdefault("ALSA_CONFIG_PATH", str(_ALSA_FOLDER / "alsa.conf"))
        try:
            container = av.open(self._device, mode="w", format=name)
            stream = container.add_stream("pcm_s16le", rate=sample_rate_hz)
            stream.layout = _layout(channels)
            container.start_encoding()
        except (FFmpegError, ValueError) as error:
            raise UsageError(
                f"There is no sound device {self._device!r} to play on.",
                hint="Name another one with --play-on, or leave --play away.",
            ) from error
        return container, stream


def _layout(channels: int) -> str:
    return "mono" if channels == 1 else "stereo"


__all__ = ["DEFAULT_DEVICE", "Player"]
