"""Headless Firefox at the other end, and Chromium beside it."""

from __future__ import annotations

import pytest

from tests.support.browser import OpenPage
from tests.support.command import Home, Running
from tests.support.participant import IN_FLIGHT, Participant, call, camera, eventually, microphone
from tests.support.requirements import require

TONE_HZ = 1000.0
"Of Firefox's own fake microphone."


def reachable(server: Running) -> None:
    """Skip the test on a host with nothing but loopback: Firefox pairs no candidate with one there."""
    addresses = server.ready["media_addresses"]
    is_there = any(not address.startswith(("127.", "[::1]")) for address in addresses)
    require("default-route", why=f"Firefox cannot reach {', '.join(addresses)}", is_there=is_there)


def hears_something(one: Participant, mid: str) -> None:
    """Not silence, by what the browser's decoder measures: there may be no device that its own FFT could run on."""
    eventually(lambda: one.inbound(mid).get("audioLevel", 0.0), lambda level: level > 0.05, what=f"sound on mid {mid}")


def test_firefox_publishes(home: Home, chromium: OpenPage, firefox: OpenPage):
    """Its microphone and camera are heard and seen in Chromium and in Firefox; closing one stops that one."""
    with home.dev() as server, call(server) as join:
        reachable(server)
        alice, bob, carol = join(firefox), join(chromium), join(firefox)
        published = alice.publish(microphone(), camera(width=640, height=480), microphone("spare"))
        pulled = {one: one.pull(alice, "mic", "camera", "spare") for one in (bob, carol)}
        for one, (mic, cam, spare) in pulled.items():
            reports = one.all_received([mic, cam, spare])
            assert {report["packetsLost"] for report in reports.values()} == {0}
            # Not its whole size: one colour takes too few bits for Firefox to find out how fast the way is.
            assert reports[cam]["frameWidth"] * 3 == reports[cam]["frameHeight"] * 4
            hears_something(one, mic)
        mic, cam, spare = pulled[bob]
        assert bob.frequency_hz(mic) == pytest.approx(TONE_HZ, abs=12)
        alice.close(published["camera"])
        before = bob.inbound(cam)["packetsReceived"]
        bob.received(spare, 50)
        assert bob.inbound(cam)["packetsReceived"] - before <= IN_FLIGHT


def test_firefox_publishes_layers(home: Home, chromium: OpenPage, firefox: OpenPage):
    """Its simulcast is switched in Chromium, and in Firefox: the decoded size follows, nothing is lost."""
    with home.dev() as server, call(server) as join:
        reachable(server)
        alice = join(firefox)
        alice.publish_layers("camera", width=640, height=480)
        for bob in (join(chromium), join(firefox)):
            (mid,) = bob.pull(alice, "camera", preferred_rid="q")
            bob.received_size(mid, 160, 120)
            for rid, size in (("f", (640, 480)), ("h", (320, 240))):
                bob.prefer(mid, alice, "camera", rid)
                bob.received_size(mid, *size)
            assert bob.received(mid, 10)["packetsLost"] == 0


def test_firefox_subscribes(home: Home, chromium: OpenPage, firefox: OpenPage):
    """Chromium's microphone and camera are heard and seen in Firefox, and its own track beside them in Chromium."""
    with home.dev() as server, call(server) as join:
        reachable(server)
        alice, bob = join(chromium), join(firefox)
        alice.publish(microphone(), camera(width=640, height=480))
        bob.publish(microphone("own"))
        mic, cam = bob.pull(alice, "mic", "camera")
        reports = bob.all_received([mic, cam])
        assert {report["packetsLost"] for report in reports.values()} == {0}
        bob.received_size(cam, 640, 480)
        assert bob.contrast(cam) > 5
        hears_something(bob, mic)
        (own,) = alice.pull(bob, "own")
        assert alice.frequency_hz(own) == pytest.approx(TONE_HZ, abs=12)


def test_firefox_changes_its_transport(home: Home, firefox: OpenPage):
    """Media goes on when it restarts ICE, up and down, and when it closes the first of the tracks that it has pulled,
    which begins with DTLS anew."""
    with home.dev() as server, call(server) as join:
        reachable(server)
        alice, bob = join(firefox), join(firefox)
        alice.publish(microphone("a"), microphone("b"))
        first, second = bob.pull(alice, "a", "b")
        bob.received(second)
        for one in (alice, bob):
            before = one.transport()
            one.restart_ice()
            bob.received(second)
            after = one.transport()
            assert after["localUfrag"] != before["localUfrag"]
            assert after["remoteUfrag"] != before["remoteUfrag"]
        # Not the publisher: after such a change Firefox sometimes sends nothing more, whoever is at the other end.
        bob.close(first)
        assert bob.received(second, 50)["packetsLost"] <= IN_FLIGHT
        assert bob.transport()["localPort"] != after["localPort"]
        (again,) = bob.pull(alice, "a")
        for report in bob.all_received([second, again]).values():
            assert report["packetsLost"] <= IN_FLIGHT


def test_firefox_has_data_channels(home: Home, chromium: OpenPage, firefox: OpenPage):
    """Messages of both policies cross between the engines, both ways."""
    policies = {"reliable": {}, "lossy": {"ordered": False, "maxRetransmits": 0}}
    messages = [*(str(number) for number in range(50)), 16 * 1024, "end"]
    with home.dev() as server, call(server) as join:
        reachable(server)
        alice, bob = join(firefox), join(chromium)
        for one in (alice, bob):
            one.establish_channels()
        for publisher, subscriber in ((alice, bob), (bob, alice)):
            for policy, fields in policies.items():
                name = f"{policy} of {publisher.session_id}"
                publisher.open_channel(name, **fields)
                subscriber.open_channel(name, publisher, **fields)
                publisher.say(name, *messages)
                heard = subscriber.hears(name, "end")
                assert set(map(str, heard)) <= set(map(str, messages))
                if policy == "reliable":
                    assert heard == messages
