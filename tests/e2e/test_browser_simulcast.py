"""Headless Chromium at the other end: simulcast."""

from __future__ import annotations

from tests.support.browser import OpenPage
from tests.support.command import Home
from tests.support.participant import call

SIZES = {"f": (960, 540), "h": (480, 270), "q": (240, 135)}
"At less than 960 × 540 Chromium sends two layers only."


def test_layers_are_switched_without_a_freeze(home: Home, chromium: OpenPage):
    """q → f → h → q by `tracks/update`: the decoded size follows, the picture never stands still while it changes, and
    nothing is lost or asked for again."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        alice.publish_layers("camera", width=960, height=540)
        (mid,) = bob.pull(alice, "camera", preferred_rid="q")
        bob.received_size(mid, *SIZES["q"])
        bob.watch(mid)
        for rid in ("f", "h", "q"):
            bob.received(mid, 8)
            bob.prefer(mid, alice, "camera", rid)
            bob.received_size(mid, *SIZES[rid])
        report = bob.received(mid, 8)
        # Not the browser's count of freezes: after a large key frame its encoder skips pictures of that layer.
        changes_ms = bob.changes_ms(mid)
        assert len(changes_ms) == 3
        assert max(changes_ms) < 500
        assert report["packetsLost"] == 0
        assert report["nackCount"] == 0


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
