"""When a picture stood still.

A freeze is what `freezeCount` of W3C webrtc-stats counts: a frame that stands for max(3 δ, δ + 150 ms) or longer, with
δ the average of the last 30 frame durations. A freeze is counted by the frame that ends it: a stream that stopped for
good is seen in its frame rate.
"""

from __future__ import annotations

from collections import deque

WINDOW_FRAMES = 30
"Over which frame durations are averaged (webrtc-stats, `freezeCount`)."
MIN_DURATIONS = 5
"Before there are as many, an average means nothing; libwebrtc begins there as well."
FREEZE_FACTOR = 3
FREEZE_EXTRA_S = 0.150


class FreezeDetector:
    """Feed it the time of each frame of one stream."""

    __slots__ = ("_durations", "_frame_at")

    def __init__(self) -> None:
        self._frame_at: float | None = None
        self._durations: deque[float] = deque(maxlen=WINDOW_FRAMES)

    def frame(self, now: float) -> float | None:
        """One frame more. Returns for how many seconds the one before it stood, if that was a freeze."""
        before, self._frame_at = self._frame_at, now
        if before is None:
            return None
        duration = now - before
        durations = self._durations
        is_freeze = False
        # The average is worth computing only for what can be one.
        if duration >= FREEZE_EXTRA_S and len(durations) >= MIN_DURATIONS:
            average = sum(durations) / len(durations)
            is_freeze = duration >= max(FREEZE_FACTOR * average, average + FREEZE_EXTRA_S)
        durations.append(duration)
        return duration if is_freeze else None


__all__ = ["FREEZE_EXTRA_S", "FREEZE_FACTOR", "MIN_DURATIONS", "WINDOW_FRAMES", "FreezeDetector"]
