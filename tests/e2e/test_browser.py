"""Headless Chromium at the other end: browser apps run against the embedded server unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import pages
from tests.support.command import Home


def app(ready: dict[str, str]) -> dict[str, str]:
    return {"base": ready["base_url"], "id": ready["app_id"], "secret": ready["app_secret"]}


def test_browser_publishes_and_the_command_subscribes(home: Home, tmp_path: Path):
    """Chromium's microphone is heard by `track subscribe`: every packet, and the very tone."""
    with home.dev() as server, pages(tmp_path, microphone_hz=440) as open_page:
        page = open_page()
        session_id = page.evaluate("start", app(server.ready))
        page.evaluate("publishMicrophone", "mic")
        done = home.run("track", "subscribe", f"{session_id}/mic", "--for", "3s", "--output", "json")
        assert done.status == 0, done.stderr
        result = done.document
        assert result["packets_received"] > 100
        assert result["packets_lost"] == 0
        assert result["tone_hz"] == pytest.approx(440, rel=0.01)
        assert result["latency_ms"] is None  # Chromium writes no send time of ours into its packets


def test_the_command_publishes_and_the_browser_subscribes(home: Home, tmp_path: Path):
    """`track publish` is heard by Chromium: packets arrive, nothing is lost, its own FFT finds the tone."""
    with (
        home.dev() as server,
        home.running("track", "publish", "--name", "mic", "--tone", "660", "--output", "jsonl") as publisher,
        pages(tmp_path) as open_page,
    ):
        published = publisher.event("published")
        page = open_page()
        page.evaluate("start", app(server.ready))
        mid = page.evaluate("([session, name]) => pull(session, name)", [published["session_id"], "mic"])
        heard_hz = page.evaluate("frequency", mid)
        assert heard_hz == pytest.approx(660, abs=12)  # two bins of the FFT
        inbound = page.evaluate("mid => received(mid, 50)", mid)
        assert inbound["packetsLost"] == 0


def test_two_browsers_hear_each_other_and_closing_stops_it(home: Home, tmp_path: Path):
    """Publish two tracks, pull one, close it by negotiation: the subscriber receives nothing more of it."""
    with home.dev() as server, pages(tmp_path) as open_page:
        alice, bob = open_page(), open_page()
        alice_session = alice.evaluate("start", app(server.ready))
        # Not the first m-section: stopping that one invalidates the bundled transport in Chromium itself.
        alice.evaluate("publishMicrophone", "spare")
        alice_mid = alice.evaluate("publishMicrophone", "mic")
        bob.evaluate("start", app(server.ready))
        bob_mid = bob.evaluate("([session, name]) => pull(session, name)", [alice_session, "mic"])
        assert bob.evaluate("frequency", bob_mid) == pytest.approx(440, abs=12)
        spare_mid = bob.evaluate("([session, name]) => pull(session, name)", [alice_session, "spare"])
        assert spare_mid != bob_mid
        alice.evaluate("([mid, force]) => close(mid, force)", [alice_mid, False])
        tracks = home.run("track", "list", alice_session, "--output", "json").document["tracks"]
        assert {t["track_name"]: t["status"] for t in tracks}["spare"] == "active"
        assert {t["track_name"]: t["status"] for t in tracks}.get("mic", "inactive") == "inactive"
        before = bob.evaluate("inbound", bob_mid)["packetsReceived"]
        spare = bob.evaluate("inbound", spare_mid)["packetsReceived"]
        bob.evaluate("([mid, count]) => received(mid, count)", [spare_mid, spare + 25])
        assert bob.evaluate("inbound", bob_mid)["packetsReceived"] - before <= 2
