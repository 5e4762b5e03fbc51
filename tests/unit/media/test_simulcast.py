"""Selection of simulcast layers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.simulcast import LayerPreference, LayerSelector, LayerState

BITRATES = {"f": 1_500_000.0, "h": 500_000.0, "q": 150_000.0}
ADAPTIVE = LayerPreference("f", "asciibetical", "asciibetical")


def layers(live: str = "fhq", order: str = "fhq", bitrates: dict[str, float] | None = None) -> list[LayerState]:
    return [LayerState(rid, rid in live, (BITRATES if bitrates is None else bitrates).get(rid)) for rid in order]


class Subscriber:
    """A selector with reports and estimates at regular times."""

    def __init__(self, preference: LayerPreference = ADAPTIVE) -> None:
        self.selector = LayerSelector(preference)
        self.now = 100.0
        self.layers = layers()
        self.history: list[tuple[float, str | None]] = []
        self.select()

    def select(self) -> str | None:
        selected = self.selector.select(self.layers, self.now)
        if not self.history or self.history[-1][1] != selected:
            self.history.append((self.now, selected))
        return selected

    def run(self, for_s: float, *, lost: float | None = 0.0, remb_bps: float | None = None) -> str | None:
        """A report and an estimate each second, a selection four times as often. The layer at the end."""
        for quarter in range(round(4 * for_s)):
            self.now += 0.25
            if quarter % 4 == 3:
                if lost is not None:
                    self.selector.receive_report(lost, self.now)
                if remb_bps is not None:
                    self.selector.receive_remb(round(remb_bps), self.now)
            self.select()
        return self.history[-1][1]


@pytest.mark.parametrize(
    ("preference", "live", "expected"),
    [
        (LayerPreference("h"), "fhq", "h"),
        (LayerPreference("h"), "fq", None),
        (LayerPreference("x"), "fhq", None),
        (LayerPreference("h", "asciibetical"), "fq", None),
        (LayerPreference("h", "none", "asciibetical"), "fhq", "h"),
        (LayerPreference("h", "none", "asciibetical"), "fq", "q"),
        (LayerPreference("h", "none", "asciibetical"), "f", "f"),
        (LayerPreference("f", "none", "asciibetical"), "hq", "h"),
        (LayerPreference("q", "none", "asciibetical"), "fh", "h"),
        (LayerPreference("g", "none", "asciibetical"), "fhq", "h"),
        (LayerPreference("x", "none", "asciibetical"), "fhq", "q"),
        (LayerPreference("h", "none", "asciibetical"), "", None),
        (LayerPreference(), "fhq", "f"),
        (LayerPreference(), "hq", "h"),
        (LayerPreference(), "", None),
        (LayerPreference(None, "asciibetical", "asciibetical"), "hq", "h"),
    ],
)
def test_preference(preference, live, expected):
    """Pinned is pinned; where another layer is allowed it is the next in order, else the nearest before."""
    assert LayerSelector(preference).select(layers(live), 0.0) == expected


def test_without_a_preferred_rid_the_order_is_the_publishers():
    """The first one in its description, whatever the names."""
    assert LayerSelector().select(layers(order="qhf"), 0.0) == "q"
    assert LayerSelector().select(layers("fh", order="qhf"), 0.0) == "h"


def test_the_wanted_layer_is_taken_up_again_when_it_returns():
    """A fallback ends with its reason."""
    selector = LayerSelector(LayerPreference("f", "none", "asciibetical"))
    assert [selector.select(layers(live), now) for now, live in enumerate(("fhq", "hq", "q", "fhq"))] == [*"fhqf"]


def test_prefer():
    """Another preference holds at once; the same one again changes nothing."""
    subscriber = Subscriber()
    assert subscriber.run(3, lost=0.3) == "h"
    subscriber.selector.prefer(ADAPTIVE, subscriber.now)
    assert subscriber.select() == "h"
    subscriber.selector.prefer(LayerPreference("q"), subscriber.now)
    assert subscriber.selector.preference == LayerPreference("q")
    assert subscriber.select() == "q"
    subscriber.selector.prefer(ADAPTIVE, subscriber.now)
    assert subscriber.select() == "f"


def test_loss_steps_down_and_ten_clean_seconds_up():
    """More than 10 % for 2 s: one layer down. At most 2 % for 10 s: one up."""
    subscriber = Subscriber()
    assert subscriber.run(2, lost=0.11) == "f"
    assert subscriber.run(1, lost=0.11) == "h"
    assert subscriber.run(2, lost=0.11) == "h"
    assert subscriber.run(1, lost=0.11) == "q"
    assert subscriber.run(9, lost=0.11) == "q"
    assert subscriber.run(10, lost=0.02) == "q"
    assert subscriber.run(1, lost=0.02) == "h"
    assert subscriber.run(10, lost=0.02) == "h"
    assert subscriber.run(1, lost=0.02) == "f"
    assert [rid for _, rid in subscriber.history] == [*"fhqhf"]


def test_a_short_burst_of_loss_is_none():
    """One bad report is not two seconds of loss; one that is neither good nor bad ends both counts."""
    subscriber = Subscriber()
    subscriber.run(2, lost=0.5)
    assert subscriber.run(1, lost=0.05) == "f"
    assert subscriber.run(2, lost=0.5) == "f"
    assert subscriber.run(1, lost=0.5) == "h"
    subscriber.run(9, lost=0.0)
    subscriber.run(1, lost=0.03)
    assert subscriber.run(9, lost=0.0) == "h"


def test_silence_is_no_good_news():
    """Without reports there is no step up."""
    subscriber = Subscriber()
    subscriber.run(3, lost=0.3)
    subscriber.run(2, lost=0.0)
    assert subscriber.run(30, lost=None) == "h"


@pytest.mark.parametrize("preference", [LayerPreference("f"), LayerPreference("f", "none", "asciibetical")])
def test_no_step_without_permission(preference):
    """`priorityOrdering` none: keep sending even if there is not enough bandwidth."""
    subscriber = Subscriber(preference)
    assert subscriber.run(60, lost=0.9, remb_bps=1000) == "f"


def test_estimate_selects_the_best_layer_that_fits():
    """A REMB below 0.9 of the present bitrate for 1 s: straight to the layer that fits, or the last one."""
    subscriber = Subscriber()
    subscriber.run(3, remb_bps=1_400_000)
    assert subscriber.run(5, remb_bps=1_390_000) == "f"
    assert subscriber.run(2, remb_bps=170_000) == "q"
    subscriber = Subscriber()
    subscriber.run(3, remb_bps=600_000)
    assert subscriber.history[-1][1] == "h"
    subscriber = Subscriber()
    assert subscriber.run(3, remb_bps=10_000) == "q"
    assert subscriber.run(60, remb_bps=10_000) == "q"


def test_step_up_waits_for_an_estimate_that_fits():
    """However clean it is, a known estimate must allow the better layer; without a recent one the loss decides."""
    subscriber = Subscriber()
    subscriber.run(3, remb_bps=340_000)
    assert subscriber.run(60, remb_bps=340_000) == "q"
    assert subscriber.run(2, remb_bps=460_000) == "h"
    assert subscriber.run(60, remb_bps=460_000) == "h"
    assert subscriber.run(6) == "f"


def test_rising_estimate_is_none():
    """After a step up libwebrtc's estimate grows by 8 % a second: what it has not reached yet is no limit."""
    subscriber = Subscriber(LayerPreference("q", "asciibetical", "asciibetical"))
    subscriber.run(10, remb_bps=235_000)
    subscriber.selector.prefer(ADAPTIVE, subscriber.now)
    estimate = 235_000.0
    for _ in range(40):
        estimate = min(estimate * 1.08, 1.5 * BITRATES["f"])
        assert subscriber.run(1, remb_bps=estimate) == "f"


def test_estimate_at_its_cap_is_none():
    """libwebrtc never estimates more than half again of what arrives; that must not hold a subscriber down."""
    subscriber = Subscriber()
    subscriber.run(3, lost=0.3)
    assert subscriber.run(11, remb_bps=1.5 * BITRATES["h"] + 10_000) == "f"


def test_unknown_bitrates():
    """An estimate says nothing about a layer whose bitrate is not known."""
    subscriber = Subscriber()
    subscriber.layers = layers(bitrates={})
    assert subscriber.run(10, remb_bps=1000) == "f"
    subscriber.run(3, lost=0.5, remb_bps=1000)
    assert subscriber.run(11, remb_bps=1000) == "f"


def test_limited_layer_that_stops():
    """While the layer taken for the network's sake is not live, the next worse one is, then a better one."""
    subscriber = Subscriber()
    subscriber.run(3, lost=0.5)
    for live, expected in (("fhq", "h"), ("fq", "q"), ("f", "f"), ("fhq", "h"), ("", None)):
        subscriber.layers = layers(live)
        assert subscriber.select() == expected


def test_preferred_layer_that_stops_while_another_is_sent():
    """`ridNotAvailable` none does nothing: the layer taken for the network's sake goes on, and is not improved on."""
    subscriber = Subscriber(LayerPreference("f", "asciibetical"))
    subscriber.run(6, lost=0.5)
    subscriber.layers = layers("hq")
    assert subscriber.select() == "q"
    assert subscriber.run(11) == "h"
    assert subscriber.run(30) == "h"
    subscriber.layers = layers()
    assert subscriber.run(1) == "f"


RIDS = st.sampled_from(["f", "h", "q", "a", "x", None])
POLICIES = st.sampled_from(["none", "asciibetical"])
PREFERENCES = st.builds(LayerPreference, RIDS, POLICIES, POLICIES)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.1, 0.5, 1.0, 3.0]),
        st.sampled_from([None, 0.0, 0.05, 0.5]),
        st.sampled_from([None, 10_000, 400_000, 5_000_000]),
        st.sets(st.sampled_from("fhq")),
    ),
    max_size=80,
)


@given(PREFERENCES, STEPS)
def test_only_what_is_live_and_allowed(preference, steps):
    """Never a layer that is not live; a pinned layer is that layer; nothing better than what was asked for."""
    selector = LayerSelector(preference)
    now = 0.0
    for dt, lost, remb_bps, live in steps:
        now += dt
        if lost is not None:
            selector.receive_report(lost, now)
        if remb_bps is not None:
            selector.receive_remb(remb_bps, now)
        selected = selector.select(layers("".join(live)), now)
        assert selected is None or selected in live
        if preference.rid_not_available == "none" and preference.preferred_rid is not None:
            assert selected is None or selected >= preference.preferred_rid
            if preference.priority_ordering == "none":
                assert selected == (preference.preferred_rid if preference.preferred_rid in live else None)
        if live and (preference.rid_not_available == "asciibetical" or preference.preferred_rid is None):
            assert selected is not None


@given(st.sampled_from(["f", "h", None]), POLICIES, STEPS)
def test_steps_are_slow(preferred, policy, steps):
    """With all layers live, a step up comes 10 s after the last step, and a step down 1 s after it."""
    selector = LayerSelector(LayerPreference(preferred, "asciibetical", policy))
    now = changed_at = 0.0
    selected = selector.select(layers(), now)
    for dt, lost, remb_bps, _ in steps:
        now += dt
        if lost is not None:
            selector.receive_report(lost, now)
        if remb_bps is not None:
            selector.receive_remb(remb_bps, now)
        before, selected = selected, selector.select(layers(), now)
        if selected != before:
            assert selected is not None
            assert before is not None
            assert now - changed_at >= (10 if selected < before else 1)
            changed_at = now
