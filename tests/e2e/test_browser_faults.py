"""Headless Chromium meets faults: what it counts is what the ledger says was done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.browser import MICROPHONE_HZ, OpenPage
from tests.support.command import Home
from tests.support.participant import Participant, call, camera, eventually, microphone


def rows(home: Home, session_id: str) -> list[dict[str, Any]]:
    """The packets of a session in the ledger."""
    done = home.run("fault", "ledger", "--session", session_id, "--output", "json")
    packets: list[dict[str, Any]] = done.document["packets"]
    return packets


def set_faults(home: Home, *faults: str) -> None:
    """As from a shell."""
    done = home.run("fault", "set", *faults)
    assert done.status == 0, done.stderr


def cut(home: Home, one: Participant, mid: str, way: str) -> dict[str, Any]:
    """Stop the flow; what the browser has counted once nothing comes any more."""
    set_faults(home, f"loss=100%,direction={way},session={one.session_id}")
    seen = [-1]

    def has_stopped(report: dict[str, Any]) -> bool:
        before, seen[0] = seen[0], report["packetsReceived"]
        return before == seen[0]

    return eventually(lambda: one.inbound(mid), has_stopped, what="nothing comes any more")


def test_lost_audio_is_counted_exactly(home: Home, chromium: OpenPage):
    """`packetsLost` is what never came, of all numbers between the first that came and the last: neither the original
    nor what Chromium asked for again."""
    with home.dev("--fault", "loss=60%,direction=down,track=mic,seed=7") as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        alice.publish(microphone())
        (mid,) = bob.pull(alice, "mic")
        bob.received(mid, 60)
        report = cut(home, bob, mid, "down")
        ledger = [row for row in rows(home, bob.session_id) if row["track"] == "mic"]
        originals = [row for row in ledger if row["kind"] == "original"]
        arrived = {row["sequence_number"] for row in ledger if row["fate"] == "sent"}
        first, *_, last = (index for index, row in enumerate(originals) if row["sequence_number"] in arrived)
        counted = {row["sequence_number"] for row in originals[first : last + 1]}
        assert report["packetsLost"] == len(counted - arrived) > 0
        # A packet that comes twice, asked for twice because the answer was late, is a replay to SRTP and counted once.
        assert report["packetsReceived"] == len(arrived)


def test_lost_video_is_repaired(home: Home, chromium: OpenPage):
    """Chromium asks again for what was dropped; the ledger tells originals from RTX, as the browser does."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        alice.publish(camera())
        (mid,) = bob.pull(alice, "camera")
        bob.received(mid)
        set_faults(home, "loss=5%,direction=down,track=camera,seed=7")
        bob.received(mid, 40)
        report = cut(home, bob, mid, "down")
        ledger = rows(home, bob.session_id)
        kinds = {kind: [row for row in ledger if row["kind"] == kind] for kind in ("original", "rtx", "retransmission")}
        assert any(row["fate"] == "dropped" for row in kinds["original"])
        assert report["nackCount"] > 0
        assert not kinds["retransmission"]
        # What repaired a loss was counted; RTX that came although the original had come was, too.
        assert report["retransmittedPacketsReceived"] == sum(row["fate"] == "sent" for row in kinds["rtx"]) > 0


def test_loss_on_the_way_up_is_asked_for_again(home: Home, chromium: OpenPage):
    """The server misses what was dropped before it, asks for it, and the subscriber sees a whole stream."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        published = alice.publish(camera())
        (mid,) = bob.pull(alice, "camera")
        bob.received(mid)
        set_faults(home, f"loss=5%,direction=up,session={alice.session_id},seed=7")
        bob.received(mid, 40)
        outbound = alice.outbound(published["camera"])[None]
        ledger = rows(home, alice.session_id)
        assert outbound["nackCount"] > 0
        assert [row for row in ledger if (row["kind"], row["fate"], row["track"]) == ("rtx", "sent", "camera")]
        assert [row for row in ledger if (row["kind"], row["fate"]) == ("original", "dropped")]


def test_a_delay_is_heard_and_no_loss(home: Home, chromium: OpenPage):
    """The tone comes through 100 ms and jitter; the browser's RTCP round trip grows by the delay of both ways."""
    with home.dev("--fault", "delay=50ms,jitter=5ms,seed=7") as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        alice.publish(microphone())
        (mid,) = bob.pull(alice, "mic")
        report = bob.received(mid, 50)
        assert report["packetsLost"] == 0
        assert bob.frequency_hz(mid) == pytest.approx(MICROPHONE_HZ, abs=12)
        assert 0.001 < report["jitter"] < 0.02
        assert bob.transport()["roundTripTime"] == pytest.approx(0.1, abs=0.03)


def test_one_subscriber_suffers_and_the_other_does_not(home: Home, chromium: OpenPage):
    """A fault of one session: who else has the same track loses nothing, also as the fault comes and goes."""
    with home.dev() as server, call(server) as join:
        alice, bob, carol = join(chromium), join(chromium), join(chromium)
        alice.publish(microphone())
        ((bobs,), (carols,)) = bob.pull(alice, "mic"), carol.pull(alice, "mic")
        bob.received(bobs)
        set_faults(home, f"loss=90%,direction=down,session={bob.session_id},seed=7")
        carol.received(carols, 50)
        assert bob.inbound(bobs)["packetsLost"] > 3
        assert home.run("fault", "clear").status == 0
        before = bob.inbound(bobs)
        eventually(
            lambda: bob.inbound(bobs), lambda r: r["packetsReceived"] > before["packetsReceived"] + 60, what="bob hears"
        )
        assert bob.inbound(bobs)["packetsLost"] <= before["packetsLost"] + 3
        assert carol.received(carols)["packetsLost"] == 0
        assert json.loads(home.run("fault", "list", "--output", "json").stdout)["faults"] == []


def test_messages_are_lost_or_sent_again_as_the_channel_says(home: Home, chromium: OpenPage):
    """Of a channel without retransmissions some messages never come; of a reliable one all do."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        for one in (alice, bob):
            one.establish_channels()
        policies: dict[str, dict[str, Any]] = {"game": {"ordered": False, "maxRetransmits": 0}, "chat": {}}
        for name, policy in policies.items():
            alice.open_channel(name, **policy)
            bob.open_channel(name, alice, **policy)
            alice.say(name, "first")
            bob.hears(name, "first")
        set_faults(home, f"loss=30%,direction=down,session={bob.session_id},seed=7")
        for number in range(40):
            alice.say("game", f"{number}")
            alice.say("chat", f"{number}")
        eventually(lambda: bob.heard("chat"), lambda heard: "39" in heard, what="the last one is heard", timeout_s=30)
        assert bob.heard("chat")[1:] == [str(number) for number in range(40)]
        assert 1 < len(bob.heard("game")) < 41
        assert [row for row in rows(home, bob.session_id) if (row["kind"], row["fate"]) == ("data", "dropped")]


def test_signalling_faults_reach_the_page(home: Home, chromium: OpenPage):
    """Item errors, a status and an answer that is no JSON, each readable by the page (CORS), as from the service."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        alice.publish(microphone())
        set_faults(home, "tracks/new=empty_track_error,times=1", "tracks/new=425,times=1", "tracks/new=502,times=1")
        session = f"{server.ready['base_url']}/apps/{server.ready['app_id']}/sessions/{bob.session_id}"
        request = {
            "url": f"{session}/tracks/new",
            "secret": server.ready["app_secret"],
            "tracks": [{"location": "remote", "sessionId": alice.session_id, "trackName": "mic"}],
        }
        said = [
            bob.page.evaluate(
                """async ({url, secret, tracks}) => {
                    const headers = {Authorization: `Bearer ${secret}`};
                    const answer = await fetch(url, {method: "POST", headers, body: JSON.stringify({tracks})});
                    const text = await answer.text();
                    try { return [answer.status, JSON.parse(text)]; } catch { return [answer.status, null]; }
                }""",
                request,
            )
            for _ in range(3)
        ]
        assert said[0][0] == 200
        assert said[0][1]["tracks"][0]["errorCode"] == "empty_track_error"
        assert said[0][1]["tracks"][0]["mid"] == ""
        assert said[1][0] == 425
        assert said[1][1]["errorCode"] == "session_error"
        assert said[2] == [502, None]
        (mid,) = bob.pull(alice, "mic")
        assert bob.received(mid)["packetsLost"] == 0
