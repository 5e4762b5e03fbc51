"""Headless Chromium at the other end: simulcast."""

from __future__ import annotations

from tests.support.browser import OpenPage
from tests.support.command import Home
from tests.support.participant import call

SIZES = {"f": (960, 540), "h": (480, 270), "q": (240, 135)}
"At less than 960 × 540 Chromium sends two layers only."


def test_layers_are_switched_without_a_freeze(home: Home, chromium: OpenPage):
    """q → f → h → q by `tracks/update`: the decoded size follows, nothing is lost, nothing is asked for again, and the
    picture freezes no more often than that of a subscription that is not switched."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        alice.publish_layers("camera", width=960, height=540)
        mid, pinned = (bob.pull(alice, "camera", preferred_rid="q")[0] for _ in range(2))
        bob.received_size(mid, *SIZES["q"])
        for rid in ("f", "h", "q"):
            bob.received(mid, 8)
            bob.prefer(mid, alice, "camera", rid)
            bob.received_size(mid, *SIZES[rid])
        bob.received(mid, 8)
        reports = [bob.inbound(each) for each in (mid, pinned)]
        assert {report["packetsLost"] for report in reports} == {0}
        assert {report["nackCount"] for report in reports} == {0}
        switched, not_switched = (report["freezeCount"] for report in reports)
        assert switched <= not_switched  # a machine that is too busy freezes both


def test_each_subscription_has_its_layer(home: Home, chromium: OpenPage):
    """Subscriptions of one session to one camera show the layers they prefer; `ridNotAvailable` decides what is shown
    instead of a layer that is not there, nothing or the next in the order of the alphabet; one that prefers none is
    shown one."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        alice.publish_layers("camera", width=960, height=540)
        preferences: list[dict[str, str]] = [
            *({"preferredRid": rid} for rid in SIZES),
            {"preferredRid": "g", "ridNotAvailable": "asciibetical"},
            {"preferredRid": "g"},
            {},
        ]
        source = {"sessionId": alice.session_id, "trackName": "camera"}
        *pinned, substituted, absent, free = bob.pull_items(source | {"simulcast": each} for each in preferences)
        for mid, size in zip([*pinned, substituted], [*SIZES.values(), SIZES["h"]], strict=True):
            bob.received_size(mid, *size)
        reports = bob.all_received([*pinned, substituted, free], 8)
        assert (reports[free]["frameWidth"], reports[free]["frameHeight"]) in SIZES.values()
        assert {report["packetsLost"] for report in reports.values()} == {0}
        assert bob.inbound(absent).get("framesDecoded", 0) == 0
