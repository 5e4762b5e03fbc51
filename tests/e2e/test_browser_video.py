"""Headless Chromium at the other end: cameras."""

from __future__ import annotations

import pytest

from tests.support.browser import MICROPHONE_HZ, OpenPage
from tests.support.command import Home
from tests.support.participant import IN_FLIGHT, call, camera, microphone


def test_microphone_and_camera_are_pulled_in_a_second_page(home: Home, chromium: OpenPage):
    """One call publishes both, one pulls both: pictures come in their size, the tone is heard, closing ends both."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        published = alice.publish(microphone(), camera(width=640, height=480), microphone("spare"))
        mic, cam, spare = bob.pull(alice, "mic", "camera", "spare")
        bob.received_size(cam, 640, 480)
        video = bob.received(cam)
        assert bob.contrast(cam) > 5  # not a blank picture
        assert bob.frequency_hz(mic) == pytest.approx(MICROPHONE_HZ, abs=12)
        assert bob.inbound(mic)["packetsLost"] == 0
        assert video["packetsLost"] == 0
        alice.close(published["camera"])
        alice.close(published["mic"], force=True)
        before = {mid: bob.inbound(mid)["packetsReceived"] for mid in (mic, cam)}
        bob.received(spare)
        for mid, packets in before.items():
            assert bob.inbound(mid)["packetsReceived"] - packets <= IN_FLIGHT


def test_a_late_subscriber_sees_a_picture_at_once(home: Home, chromium: OpenPage):
    """Who pulls a camera that has been on for a while has the first picture within a second, of a fresh key frame."""
    with home.dev() as server, call(server) as join:
        alice, bob, carol = join(chromium), join(chromium), join(chromium)
        published = alice.publish(microphone(), camera())
        (early,) = bob.pull(alice, "camera")
        bob.received(early, 60)
        key_frames = alice.outbound(published["camera"])[None]["keyFramesEncoded"]
        carol.pull(alice, "mic")  # its transport is up
        (late,) = carol.pull(alice, "camera")
        assert carol.time_to_first_frame_ms(late) < 1000
        assert carol.received(late, 20)["packetsLost"] == 0
        # The camera's encoder is not beset, and who saw it before sees it still.
        assert bob.received(early)["packetsLost"] == 0
        assert alice.outbound(published["camera"])[None]["keyFramesEncoded"] - key_frames <= 2


def test_each_video_codec_of_the_browser(home: Home, chromium: OpenPage):
    """What one page offers alone is what the other decodes, whatever it prefers and has numbered itself."""
    codecs = ("VP8", "VP9", "H264", "AV1")
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        bob.publish(camera("own", width=320, height=240, codec="video/AV1"))
        alice.publish(*(camera(codec, width=320, height=240, codec=f"video/{codec}") for codec in codecs))
        mids = bob.pull(alice, *codecs)
        reports = bob.all_received(mids, 20)
        assert [reports[mid]["mimeType"] for mid in mids] == [f"video/{codec}" for codec in codecs]
        assert {report["packetsLost"] for report in reports.values()} == {0}
        assert min(bob.contrast(mid) for mid in mids) > 5


def test_two_pages_with_eight_tracks_each(home: Home, chromium: OpenPage):
    """Four microphones and four cameras each way, published in one call and pulled in one: all arrive, none lost."""
    tracks = [
        track
        for number in range(4)
        for track in (microphone(f"mic{number}"), camera(f"camera{number}", width=160, height=120, frame_rate_hz=10))
    ]
    names = [track["name"] for track in tracks]
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        for one in (alice, bob):
            assert len(set(one.publish(*tracks).values())) == 8
        pulled = {bob: bob.pull(alice, *names), alice: alice.pull(bob, *names)}
        for one, mids in pulled.items():
            reports = one.all_received(mids, 10, timeout_s=20)
            assert len(reports) == 8
            assert [reports[mid]["kind"] for mid in mids] == [track["kind"] for track in tracks]
            assert {report["packetsLost"] for report in reports.values()} == {0}
        # One side leaves some by force, and pulls them again.
        bob.close(*pulled[bob][1:4], force=True)
        again = bob.pull(alice, *names[1:4])
        assert {report["packetsLost"] for report in bob.all_received(again, 10).values()} == {0}
