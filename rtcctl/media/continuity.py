"""Whether a picture goes on: which numbered frames came, and when it stood still.

A frame whose number follows the highest one is the next. A number left out is missing until it comes after all (then it
is out of order, and missing no more); one that has been before is repeated. A number far below the highest, or another
layer, is a source that begins anew: nothing is missing in between, nobody knows how much there was.

Frames without a number (damaged, or not a test picture) may be any of those left out, so each excuses one.

Freezes are those of `media/freezes.py`, over all rendered frames, whatever is on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rtcctl.media.freezes import FreezeDetector

REORDER_FRAMES = 32
"A number further below the highest is not a late frame: the source begins anew."


@dataclass(frozen=True, slots=True)
class ContinuityStatistics:
    """Of some time."""

    interval_s: float = 0.0
    frames: int = 0
    "Rendered, with a number or without."
    frames_unnumbered: int = 0
    missing: int = 0
    "Numbers left out; negative in an interval in which more came late than were left out."
    repeated: int = 0
    out_of_order: int = 0
    freezes: int = 0
    freeze_ms: float = 0.0
    "Durations of the frames that stood too long."

    @property
    def frame_rate_hz(self) -> float | None:
        return self.frames / self.interval_s if self.interval_s > 0 else None


@dataclass(slots=True)
class _Counts:
    frames: int = 0
    frames_unnumbered: int = 0
    missing: int = 0
    repeated: int = 0
    out_of_order: int = 0
    freezes: int = 0
    freeze_s: float = 0.0


class Continuity:
    """Follows one stream of frames. Feed it each as it is rendered."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._started: float | None = None
        self._mark: tuple[float, _Counts] | None = None
        "Where the previous interval ended."
        self._freezes = FreezeDetector()
        self._highest: int | None = None
        self._layer = ""
        self._left_out: set[int] = set()
        "Numbers that may still come late."
        self._unnumbered = 0
        "Frames without a number since the last one with."

    def frame_rendered(self, number: int | None, now: float, layer: str = "") -> None:
        """One frame more; `number` is what it says (32 bit, wraps), `None` if nothing can be read."""
        if self._started is None:
            self._started = now
        self._counts.frames += 1
        if (stood_s := self._freezes.frame(now)) is not None:
            self._counts.freezes += 1
            self._counts.freeze_s += stood_s
        if number is None:
            self._counts.frames_unnumbered += 1
            self._unnumbered += 1
            return
        self._order(number, layer)
        self._unnumbered = 0

    def restart_range(self, now: float) -> None:
        """Count anew from here; the order and the average of what came before still hold."""
        self._counts = _Counts()
        self._started = now
        self._mark = None
        self._left_out.clear()

    def totals(self, now: float) -> ContinuityStatistics:
        """Since the first frame, or since `restart_range`."""
        return self._since(now, (now if self._started is None else self._started, _Counts()))

    def interval(self, now: float) -> ContinuityStatistics:
        """Since the previous call."""
        statistics = self._since(now, self._mark or (now if self._started is None else self._started, _Counts()))
        if self._started is not None:
            self._mark = (now, replace(self._counts))
        return statistics

    def _since(self, now: float, mark: tuple[float, _Counts]) -> ContinuityStatistics:
        counts, (since, before) = self._counts, mark
        return ContinuityStatistics(
            interval_s=max(0.0, now - since),
            frames=counts.frames - before.frames,
            frames_unnumbered=counts.frames_unnumbered - before.frames_unnumbered,
            missing=counts.missing - before.missing,
            repeated=counts.repeated - before.repeated,
            out_of_order=counts.out_of_order - before.out_of_order,
            freezes=counts.freezes - before.freezes,
            freeze_ms=(counts.freeze_s - before.freeze_s) * 1000,
        )

    def _order(self, number: int, layer: str) -> None:
        if self._highest is None or layer != self._layer:
            self._begin(number, layer)
            return
        ahead = (number - self._highest + (1 << 31)) % (1 << 32) - (1 << 31)
        if ahead > 0:
            missing = max(0, ahead - 1 - self._unnumbered)
            self._counts.missing += missing
            self._highest = number
            self._left_out = {left for left in self._left_out if (number - left) % (1 << 32) <= REORDER_FRAMES}
            self._left_out.update((number - n) % (1 << 32) for n in range(1, min(missing, REORDER_FRAMES) + 1))
        elif ahead < -REORDER_FRAMES:
            self._begin(number, layer)
        elif number in self._left_out:
            self._left_out.remove(number)
            self._counts.out_of_order += 1
            self._counts.missing -= 1
        else:
            self._counts.repeated += 1

    def _begin(self, number: int, layer: str) -> None:
        self._highest, self._layer = number, layer
        self._left_out.clear()


__all__ = ["Continuity", "ContinuityStatistics"]
