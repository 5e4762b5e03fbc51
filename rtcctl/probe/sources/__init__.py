"""What a probe publishes: coded frames, each handed out when it is due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rtcctl.media.codec import Codec
from rtcctl.probe.sources.pace import Pace


@dataclass(slots=True)
class Frame:
    """One coded frame, due now. Not frozen: one is made for each packet of sound."""

    data: bytearray | bytes
    "Opus packet, G.711 samples, VP8 or VP9 frame, AV1 temporal unit, H.264 access unit (Annex B, 4-byte start codes)."
    rtp_timestamp: int
    "Since the start of the source, in units of the clock rate, not wrapped."
    is_key: bool = True
    stamp_at: int | None = None
    "Where in `data` room for the send time is (`media/sendtime.py`); `None`: there is none."
    number: int = 0
    "Of the frame: what the pixels of a test picture say; of audio, how many packets there were."


class Source(Protocol):
    """Where coded frames come from. One that is far behind leaves frames out, says so by its count, never bursts."""

    @property
    def kind(self) -> str:
        """`audio` or `video`."""

    @property
    def codec(self) -> Codec:
        """Its payload type is what it is called unless the other side wants otherwise."""

    @property
    def description(self) -> str:
        """For tables: `tone 440 Hz`, `testsrc 1280x720@30`."""

    @property
    def frame_s(self) -> float | None:
        """Seconds per frame; `None` where it varies."""

    @property
    def started_at(self) -> float | None:
        """Clock, when the first frame was due."""

    async def prepare(self) -> None:
        """Open or encode what can be before, outside the event loop. Idempotent; raises `UsageError` for bad input."""

    async def next_frame(self, clock: Callable[[], float]) -> Frame | None:
        """Wait until the next frame is due and return it; `None` when the source has ended."""

    def nominal_frames(self, now: float) -> int:
        """How many frames are due by `now`."""

    def request_key_frame(self) -> None:
        """The other side cannot decode (PLI, FIR): the next frame is a key frame, if the source can."""

    async def close(self) -> None:
        """Let go of encoders and files. Idempotent."""


@runtime_checkable
class MadeAhead(Protocol):
    """A source whose frames are there before they are due: nothing has to be awaited for one, and so no task runs."""

    pace: Pace

    def frame_at(self, tick: int) -> Frame:
        """The frame of that tick, after `prepare`."""


__all__ = ["Frame", "MadeAhead", "Source"]
