"""Headless Chromium at the other end: microphones, closing, transports that change."""

from __future__ import annotations

import pytest

from tests.support.browser import MICROPHONE_HZ, OpenPage
from tests.support.command import Home
from tests.support.participant import IN_FLIGHT, Participant, call, eventually, microphone

FFT_HZ = 12
"Two bins of the browser's FFT."


def test_browser_publishes_and_the_command_subscribes(home: Home, chromium: OpenPage):
    """Chromium's microphone is heard by `track subscribe`: every packet, and the very tone."""
    with home.dev() as server, call(server) as join:
        alice = join(chromium)
        alice.publish(microphone())
        done = home.run("track", "subscribe", f"{alice.session_id}/mic", "--for", "2s", "--verify", "--output", "json")
        assert done.status == 0, done.stderr
        result = done.document
        assert result["packets_received"] > 80
        assert result["packets_lost"] == 0
        assert result["tone_hz"] == pytest.approx(MICROPHONE_HZ, rel=0.01)
        assert result["latency_ms"] is None  # Chromium writes no send time of ours into its packets


def test_the_command_publishes_and_the_browser_subscribes(home: Home, chromium: OpenPage):
    """`track publish` is heard by Chromium: packets arrive, nothing is lost, its own FFT finds the tone."""
    with (
        home.dev() as server,
        home.running("track", "publish", "--name", "mic", "--tone", "660", "--output", "jsonl") as publisher,
        call(server) as join,
    ):
        published = publisher.event("published")
        bob = join(chromium)
        (mid,) = bob.pull(published["session_id"], "mic")
        assert bob.frequency_hz(mid) == pytest.approx(660, abs=FFT_HZ)
        assert bob.received(mid, 50)["packetsLost"] == 0


def test_two_browsers_hear_each_other_and_closing_stops_it(home: Home, chromium: OpenPage):
    """Publish two tracks, pull both, close one by negotiation: the subscriber receives nothing more of it."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        # Two calls, so that the second is a re-offer.
        alice.publish(microphone("spare"))
        mids = alice.publish(microphone("mic"))
        mic, spare = bob.pull(alice, "mic", "spare")
        assert mic != spare
        assert bob.frequency_hz(mic) == pytest.approx(MICROPHONE_HZ, abs=FFT_HZ)
        alice.close(mids["mic"])
        tracks = home.run("track", "list", alice.session_id, "--output", "json").document["tracks"]
        assert {t["track_name"]: t["status"] for t in tracks}["spare"] == "active"
        assert {t["track_name"]: t["status"] for t in tracks}.get("mic", "inactive") == "inactive"
        before = bob.inbound(mic)["packetsReceived"]
        assert bob.received(spare)["packetsLost"] == 0
        assert bob.inbound(mic)["packetsReceived"] - before <= IN_FLIGHT


def test_a_subscriber_leaves_one_track_alone(home: Home, chromium: OpenPage):
    """Close one of two subscriptions, by negotiation and by force, and pull it again: the other never stops."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        alice.publish(microphone("a"), microphone("b"))
        first, second = bob.pull(alice, "a", "b")
        for force in (False, True):
            bob.received(second)
            bob.close(second, force=force)
            before = bob.inbound(second).get("packetsReceived", 0)
            bob.received(first)
            assert bob.inbound(second).get("packetsReceived", before) - before <= IN_FLIGHT
            (second,) = bob.pull(alice, "b")
        assert {report["packetsLost"] for report in bob.all_received([first, second]).values()} == {0}


def test_closing_the_first_track_starts_a_new_transport(home: Home, chromium: OpenPage):
    """The first m-section gives a bundle its transport. When it is stopped, and again when its place is re-used,
    Chromium begins with ICE and DTLS anew from another port: the session and its other tracks outlive that."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        published = alice.publish(microphone("a"), microphone("b"))
        pulled = bob.pull(alice, "a", "b")
        bob.received(pulled[1])
        port = alice.transport()["localPort"]
        alice.close(published["a"])
        moved = eventually(alice.transport, lambda now: now["state"] == "connected", what="alice is connected again")
        assert moved["localPort"] != port  # else nothing is shown here
        assert bob.received(pulled[1])["packetsLost"] <= IN_FLIGHT
        assert alice.publish(microphone("c"))["c"] not in published.values()
        bob.close(pulled[0])
        (third,) = bob.pull(alice, "c")
        assert bob.received(third)["packetsLost"] == 0
        assert bob.received(pulled[1])["packetsLost"] <= IN_FLIGHT
        assert bob.frequency_hz(third) == pytest.approx(MICROPHONE_HZ, abs=FFT_HZ)


def test_ice_restart(home: Home, chromium: OpenPage):
    """A re-offer with new ICE credentials, to `renegotiate` or with a new track, is answered with new ones; media goes
    on, up and down."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        alice.publish(microphone())
        (mid,) = bob.pull(alice, "mic")
        bob.received(mid)
        restarts = (Participant.restart_ice, lambda one: one.publish(microphone("another"), restart_ice=True))
        for one in (alice, bob):
            for restart in restarts:
                before = one.transport()
                restart(one)
                after = eventually(one.transport, lambda now: now["state"] == "connected", what="connected again")
                assert after["localUfrag"] != before["localUfrag"]
                assert after["remoteUfrag"] != before["remoteUfrag"]
                assert after["dtls"] == "connected"
                assert bob.received(mid)["packetsLost"] == 0


def test_mute_without_negotiation(home: Home, chromium: OpenPage):
    """A sender that replaces its track by nothing is silent; with the track back, the subscriber has lost nothing."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        published = alice.publish(microphone("mic"), microphone("spare"))
        mic, spare = bob.pull(alice, "mic", "spare")
        bob.received(mic)
        alice.mute(published["mic"])
        before = bob.inbound(mic)["packetsReceived"]
        bob.received(spare)
        assert bob.inbound(mic)["packetsReceived"] - before <= IN_FLIGHT
        alice.unmute(published["mic"])
        assert bob.received(mic)["packetsLost"] == 0
