"""Which simulcast layer a subscriber gets (RFC 8853; Cloudflare's `simulcast` object).

Theory of operation
-------------------
A preference names a layer by its rid and says what may happen instead. RIDs are compared as text: *a* is best, *z* is
worst.

- `preferred_rid` alone pins the layer: nothing is sent while it is not live.
- `rid_not_available="asciibetical"`: while the wanted layer is not live, the next one after it is taken, or the nearest
  before it when there is none.
- `priority_ordering="asciibetical"`: the subscriber's reports may *limit* the layer. The limit moves down
    - one layer, when the reports say more than 10 % lost for 2 s, or
    - to the best layer that fits, when the subscriber's estimate (REMB) is below what the present one takes for 1 s,
  and up one layer after 10 s with at most 2 % lost, unless an estimate says that this would not fit. Each step starts
  all of these times again, so nothing moves faster.
- Without `preferred_rid` the publisher's order decides. Cloudflare's documentation of the fields says nothing about
  that (https://developers.cloudflare.com/realtime/sfu/features/simulcast/); RFC 8853 §5.2 has the most preferred first.

This is no congestion controller: nothing is probed, and only whole layers are chosen. What is selected is what *should*
be sent: whoever forwards changes to it at the layer's next key frame.

Estimates of libwebrtc need understanding. They grow by 8 % a second, and never beyond one and a half times of what
arrives. So an estimate that still rises is none of the path; neither is one at that cap, and it must not keep a
subscriber at the layer it once stepped down to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

ASCIIBETICAL = "asciibetical"

_LOSSY, _LOSSY_S = 0.10, 2.0
_CLEAN, _CLEAN_S = 0.02, 10.0
_FIT, _SHORT_S = 0.9, 1.0
"A layer fits an estimate of this share of its bitrate: bitrates vary more than that."
_SETTLE_S = 1.0
"An estimate is about the present layer when that has been sent for so long: the window over which rates are measured."
_FRESH_S = 5.0
"Older reports and estimates count for nothing."
_CAP = (1.3, 1.8)
"Where an estimate may be at its cap, in present bitrates: 1.5 and some, with headers and retransmissions."


@dataclass(frozen=True, slots=True)
class LayerPreference:
    """What a subscriber asks for, in the words of the API."""

    preferred_rid: str | None = None
    priority_ordering: str = "none"
    "`asciibetical`: step down when the subscriber's network is too slow. `none`: do not."
    rid_not_available: str = "none"
    "`asciibetical`: take another layer while the wanted one is not sent. `none`: do not."


NO_PREFERENCE = LayerPreference()


@dataclass(frozen=True, slots=True)
class LayerState:
    """One encoding of the publisher at this moment."""

    rid: str
    is_live: bool
    "Whether packets arrive."
    bitrate_bps: float | None
    "None: not known."


class LayerSelector:
    """The layer of one subscription."""

    def __init__(self, preference: LayerPreference = NO_PREFERENCE) -> None:
        self._preference = preference
        self._limit: str | None = None
        "No better layer than this, for the sake of the subscriber's network."
        self._selected: str | None = None
        self._selected_at = 0.0
        self._report_at = 0.0
        self._lossy_since: float | None = None
        self._clean_since: float | None = None
        self._remb_bps = 0
        self._remb_at: float | None = None
        self._is_remb_rising = False
        self._short_since: float | None = None

    @property
    def preference(self) -> LayerPreference:
        """What the subscriber asks for."""
        return self._preference

    def prefer(self, preference: LayerPreference, now: float) -> None:
        """Ask for something else: the limit is forgotten, and found again if it must be."""
        if preference != self._preference:
            self._preference = preference
            self._limit_to(None)

    def receive_report(self, fraction_lost: float, now: float) -> None:
        """Of the subscriber's receiver report about this stream: 0…1 since its last one."""
        self._report_at = now
        if fraction_lost <= _LOSSY:
            self._lossy_since = None
        elif self._lossy_since is None:
            self._lossy_since = now
        if fraction_lost > _CLEAN:
            self._clean_since = None
        elif self._clean_since is None:
            self._clean_since = now

    def receive_remb(self, bitrate_bps: int, now: float) -> None:
        """The share for this stream of what the subscriber believes that it can receive."""
        self._is_remb_rising = self._remb_at is not None and bitrate_bps > self._remb_bps
        self._remb_bps, self._remb_at = bitrate_bps, now

    def select(self, layers: Sequence[LayerState], now: float) -> str | None:
        """The rid to forward now, of `layers` in the publisher's order; None: nothing fits the preference.

        To be called after each report, and now and then without one.
        """
        live = {layer.rid: layer for layer in layers if layer.is_live}
        selected = self._wanted(live)
        if self._preference.priority_ordering == ASCIIBETICAL:
            best = self._preference.preferred_rid if selected is None else selected
            allowed = {rid: layer for rid, layer in live.items() if best is None or rid >= best}
            self._move_limit(allowed, best, now)
            if self._limit is not None:
                # Also when the preferred layer is gone, as the one that it was given up for is still there.
                selected = _nearest(self._limit, allowed) or selected
        if selected != self._selected:
            self._selected, self._selected_at, self._short_since = selected, now, None
        return selected

    def _wanted(self, live: Collection[str]) -> str | None:
        """By the preference alone."""
        preferred = self._preference.preferred_rid
        if preferred is None:
            return next(iter(live), None)
        if preferred in live:
            return preferred
        return _nearest(preferred, live) if self._preference.rid_not_available == ASCIIBETICAL else None

    def _move_limit(self, allowed: Mapping[str, LayerState], best: str | None, now: float) -> None:
        """One step down or up from the present layer, if its time has come."""
        present = allowed.get(self._selected or "")
        if present is None:
            return
        better = max((layer for rid, layer in allowed.items() if rid < present.rid), key=_rid, default=None)
        worse = sorted((layer for rid, layer in allowed.items() if rid > present.rid), key=_rid)
        if worse and self._is_lossy():
            self._limit_to(worse[0].rid)
        elif self._is_short(present, now) and worse:
            self._limit_to(next((layer.rid for layer in worse if self._fits(layer)), worse[-1].rid))
        elif better is not None and self._is_clean(present, better, now):
            self._limit_to(None if better.rid == best else better.rid)

    def _limit_to(self, rid: str | None) -> None:
        self._limit = rid
        self._lossy_since = self._clean_since = self._short_since = None

    def _is_lossy(self) -> bool:
        return self._lossy_since is not None and self._report_at - self._lossy_since >= _LOSSY_S

    def _is_short(self, present: LayerState, now: float) -> bool:
        if self._remb_at is None or not self._selected_at + _SETTLE_S <= self._remb_at >= now - _FRESH_S:
            return False
        if self._is_remb_rising or self._fits(present):
            self._short_since = None
            return False
        if self._short_since is None:
            self._short_since = now
        return now - self._short_since >= _SHORT_S

    def _is_clean(self, present: LayerState, better: LayerState, now: float) -> bool:
        if self._clean_since is None or now - self._clean_since < _CLEAN_S or now - self._report_at > _FRESH_S:
            return False
        if self._remb_at is None or now - self._remb_at > _FRESH_S or self._fits(better):
            return True
        lowest, highest = (factor * (present.bitrate_bps or 0) for factor in _CAP)
        return lowest <= self._remb_bps <= highest

    def _fits(self, layer: LayerState) -> bool:
        """Whether the estimate allows it. It says nothing against a layer whose bitrate is not known."""
        return layer.bitrate_bps is None or self._remb_bps >= _FIT * layer.bitrate_bps


def _rid(layer: LayerState) -> str:
    return layer.rid


def _nearest(wanted: str, rids: Collection[str]) -> str | None:
    """`wanted` or the next after it, else the nearest before it."""
    return min((rid for rid in rids if rid >= wanted), default=None) or max(rids, default=None)


__all__ = ["ASCIIBETICAL", "NO_PREFERENCE", "LayerPreference", "LayerSelector", "LayerState"]
