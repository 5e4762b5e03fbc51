"""Headless Chromium at the other end: whoever offers, it accepts the other's description and media flows."""

from __future__ import annotations

import pytest

from tests.support.browser import MICROPHONE_HZ, OpenPage
from tests.support.command import Home
from tests.support.participant import call, camera, microphone


def test_the_sfu_offers_to_publish(home: Home, chromium: OpenPage):
    """A track published by an offer of the SFU, as the first of its session and beside others, is heard and seen."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        alice.publish_answering(microphone())
        alice.publish(microphone("other"))
        alice.publish_answering(camera())
        mids = bob.pull(alice, "mic", "other", "camera")
        reports = bob.all_received(mids)
        assert {report["packetsLost"] for report in reports.values()} == {0}
        assert bob.frequency_hz(mids[0]) == pytest.approx(MICROPHONE_HZ, abs=12)


def test_the_browser_offers_to_pull(home: Home, chromium: OpenPage):
    """Tracks whose names the SFU gave, pulled by an offer of the browser, arrive on the m-sections of that offer."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        names = alice.publish_unnamed(microphone(), camera())
        assert len(set(names.values())) == 2
        items = [
            {"sessionId": alice.session_id, "trackName": name, "kind": kind}
            for kind, name in zip(("audio", "video"), names.values(), strict=True)
        ]
        mids = bob.pull_items(items, offering=True)
        reports = bob.all_received(mids)
        assert [reports[mid]["kind"] for mid in mids] == ["audio", "video"]
        assert {report["packetsLost"] for report in reports.values()} == {0}
        # And then one that the SFU offers.
        (again,) = bob.pull(alice, names["0"])
        assert bob.received(again)["packetsLost"] == 0


def test_one_m_section_for_both_ways(home: Home, chromium: OpenPage):
    """`bidirectionalMediaStream`: what is pulled with `#name` comes back where the track goes out, with no more SDP."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        published = alice.publish({**microphone(), "bidirectional": True})
        mid = bob.publish_answering(microphone("voice"), bidirectional=True)
        before = alice.page.evaluate("connection.remoteDescription.sdp")
        assert alice.pull_items([{"sessionId": bob.session_id, "trackName": "voice", "mid": "#mic"}]) == [
            published["mic"]
        ]
        assert bob.pull_items([{"sessionId": alice.session_id, "trackName": "mic", "mid": "#voice"}]) == [mid]
        assert alice.page.evaluate("connection.remoteDescription.sdp") == before
        for one, receiving in ((alice, published["mic"]), (bob, mid)):
            assert one.received(receiving)["packetsLost"] == 0
            assert one.frequency_hz(receiving) == pytest.approx(MICROPHONE_HZ, abs=12)
