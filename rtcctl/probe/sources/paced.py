"""Sources that send what somebody else made, when it is due by its own timestamps.

All sources of one file share a `Timeline`: they start together, and when one of them has to wait for what cannot be
left out (a copied picture that others refer to), all of them wait. Timestamps go on with the clock meanwhile, so that
the receiver sees a pause and no burst.

What is more than MAX_BEHIND_S late:
- copied frames pause the timeline: nothing is left out, since every later picture may need it;
- pictures that are yet to be encoded are left out, before they are: an encoder that is too slow skips and stays in time
  (when it is the reading that is too slow, there is no newer one to go on with, and the timeline pauses);
- from a pipe, lateness is the writer's pace: the timeline follows it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcctl.errors import UsageError
from rtcctl.media.codec import Codec
from rtcctl.media.sendtime import with_room
from rtcctl.probe.sources import Frame
from rtcctl.probe.sources.feed import Feed

if TYPE_CHECKING:
    from av import VideoFrame

    from rtcctl.probe.sources.transcode import VideoEncoder

MAX_BEHIND_S = 0.1
"What is more than this late is not sent in a burst."

_STEP_S = 0.02
"A pause is a whole number of these: an audio packet, and 1800 units of a video clock."

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Coded:
    """A frame that is ready to be sent."""

    timestamp: int
    "Units of the clock rate since the start of the media."
    data: bytes
    is_key: bool = True


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is yet to be encoded."""

    timestamp: int
    picture: VideoFrame
    is_key: bool = False
    "It has to be a key frame: a round starts with it."


class Timeline:
    """Which media time is due when; of all sources of one file."""

    def __init__(self) -> None:
        self.started_at: float | None = None
        "Clock, when media time 0 was due."
        self.paused_s = 0.0

    def start(self, now: float) -> None:
        if self.started_at is None:
            self.started_at = now

    def due_at(self, media_s: float) -> float:
        assert self.started_at is not None
        return self.started_at + media_s + self.paused_s


class PacedSource:
    """One stream of coded frames or pictures, each sent when it is due."""

    def __init__(
        self,
        feed: Feed[Coded] | Feed[Picture],
        *,
        kind: str,
        codec: Codec,
        description: str,
        frame_s: float | None,
        timeline: Timeline | None = None,
        encoder: VideoEncoder | None = None,
        is_pipe: bool = False,
        is_live: bool = False,
        is_timed: bool = True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`is_pipe`: comes as it comes; `is_live`: its time began long ago, and the first frame sent is its start;
        not `is_timed`: timestamps are a guess, and arriving late corrects it."""
        self.kind = kind
        self.codec = codec
        self.description = description
        self.frame_s = frame_s
        self.problem: str | None = None
        "Why the media ended before its end; None while it did not."
        self._feed = feed
        self._timeline = timeline or Timeline()
        self._encoder = encoder
        self._is_pipe = is_pipe
        self._is_live = is_live
        self._is_timed = is_timed
        self._sleep = sleep
        self._origin: int | None = None if is_live else 0
        self._taken = 0
        self._held: list[float] = []
        "Media time of the frame that waits to be due."
        self._left_out = 0.0
        self._dropped_before = 0
        self._last_timestamp = -1
        self._wants_key = False
        self._is_prepared = False

    @property
    def started_at(self) -> float | None:
        return self._timeline.started_at

    async def prepare(self) -> None:
        """Read until the first frame is there; UsageError when there is none."""
        if self._is_prepared:
            return
        if not await self._feed.ready():
            if isinstance(self._feed.problem, UsageError):
                raise self._feed.problem
            reason = f": {_reason(self._feed.problem)}" if self._feed.problem else ""
            raise UsageError(
                f"{self.description}: no {self.kind} can be read{reason}",
                hint="It may be damaged or empty: try to play it, or convert it anew.",
            )
        self._is_prepared = True

    async def next_frame(self, clock: Callable[[], float]) -> Frame | None:
        """Wait until the next frame is due; None when the media has ended."""
        await self.prepare()
        if not self._is_live:
            self._timeline.start(clock())
        while True:
            item = await self._feed.get()
            if item is None:
                if self._feed.problem is not None:
                    self.problem = _reason(self._feed.problem)
                return None
            if self._origin is None:
                self._origin = item.timestamp
                self._dropped_before = self._feed.dropped
                self._timeline.start(clock())
            media_s = (item.timestamp - self._origin) / self.codec.clock_rate_hz
            self._held = [media_s]
            if not self._is_too_late(clock() - self._timeline.due_at(media_s)):
                break
            self._held = []
            self._taken += 1
        data, is_key = await self._coded(item)
        wait_s = self._timeline.due_at(media_s) - clock()
        if wait_s > 0:
            await self._sleep(wait_s)
        self._held = []
        self._taken += 1
        timestamp = item.timestamp - self._origin + round(self._timeline.paused_s * self.codec.clock_rate_hz)
        # Two frames of one timestamp would be one frame (RFC 3550 §5.1).
        self._last_timestamp = timestamp = max(timestamp, self._last_timestamp + 1)
        roomy = with_room(self.codec.name, data)
        if roomy is None:
            return Frame(data, timestamp, is_key, None, self._taken)
        return Frame(roomy[0], timestamp, is_key, roomy[1], self._taken)

    def nominal_frames(self, now: float) -> int:
        """Frames due by `now`, sent or not: taken, waiting too long, and what a pause cost."""
        if self.started_at is None or self._origin is None:
            return 0
        origin, rate = self._origin, self.codec.clock_rate_hz
        waiting = self._held + [(item.timestamp - origin) / rate for item in self._feed.waiting()]
        due = sum(self._timeline.due_at(media_s) <= now + 1e-6 for media_s in waiting)
        return self._taken + due + self._feed.dropped - self._dropped_before + round(self._left_out)

    def request_key_frame(self) -> None:
        """The next picture that is encoded is a key frame. What is copied has its key frames where it has them:
        the next one comes when it comes."""
        self._wants_key = True

    async def close(self) -> None:
        """Stop reading."""
        await self._feed.close()

    def _is_too_late(self, late_s: float) -> bool:
        """Whether to leave this one out; a frame that must not be moves the timeline instead."""
        if self._is_live:
            return False
        if not self._is_timed and late_s > 0:
            self._timeline.paused_s += late_s
            return False
        if late_s <= MAX_BEHIND_S:
            return False
        if self._encoder is not None and not self._is_pipe and self._feed.waiting():
            return True
        pause_s = math.ceil(late_s / _STEP_S - 1e-6) * _STEP_S
        self._timeline.paused_s += pause_s
        if not self._is_pipe:
            self._left_out += pause_s / (self.frame_s or self._mean_frame_s())
        return False

    def _mean_frame_s(self) -> float:
        return max(self._last_timestamp, 1) / self.codec.clock_rate_hz / max(self._taken - 1, 1)

    async def _coded(self, item: Coded | Picture) -> tuple[bytes, bool]:
        if isinstance(item, Coded):
            return item.data, item.is_key
        assert self._encoder is not None
        is_key = item.is_key or self._wants_key
        self._wants_key = False
        return await asyncio.to_thread(self._encoder.encode, item.picture, item.timestamp, is_key=is_key)


def _reason(problem: BaseException) -> str:
    return getattr(problem, "strerror", None) or str(problem)
