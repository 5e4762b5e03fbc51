"""The probe at one end, headless Chromium at the other: what each says of the other's picture and sound."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from rtcctl.media.picture import PictureMark, draw_frame, draw_still
from tests.support import sources
from tests.support.browser import OpenPage
from tests.support.command import Home, Running, drain
from tests.support.participant import Participant, call, camera, eventually
from tests.support.requirements import slow

FRAME_RATE_HZ = 15
FFT_HZ = 12
"Two bins of the browser's FFT."


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Running]]:
    """One user with one server for all tests of this file: each has sessions of its own."""
    home = Home(tmp_path_factory.mktemp("home"))
    with home.dev() as server:
        yield home, server


def published(publisher: Running) -> tuple[str, str]:
    """Session and name of a track."""
    event = publisher.event("published")
    return event["session_id"], event["track_name"]


def result(command: Running) -> dict[str, Any]:
    """The document of a command that ends by itself, and well."""
    status = command.process.wait(30)
    document: dict[str, Any] = json.loads("".join(drain(command)))
    assert status == 0, f"{document['checks']}\n{command.stderr}"
    return document


def marks(bob: Participant, mid: str, count: int) -> list[dict[str, Any]]:
    """What the next test pictures say that Chromium shows: number and layer; when, and in which size."""
    seen: list[dict[str, Any]] = bob.page.evaluate("marks", {"mid": mid, "count": count})
    assert all("number" in mark for mark in seen), seen
    return seen


def check_counting(seen: list[dict[str, Any]], count: int = 1 << 32) -> None:
    """Numbers, from 0 to before `count` and again, go up at the frame rate.

    One may be seen twice: a picture is drawn as it is when the script runs, which may be the next one already.
    """
    steps = [(after["number"] - before["number"]) % count for before, after in pairwise(seen)]
    assert max(steps) < FRAME_RATE_HZ, steps
    assert steps.count(0) <= len(steps) // 4, steps
    elapsed_s = (seen[-1]["at"] - seen[0]["at"]) / 1000
    assert sum(steps) / elapsed_s == pytest.approx(FRAME_RATE_HZ, rel=0.25), steps


def require_decoder(bob: Participant, codec: str) -> None:
    """Skip when this Chromium cannot decode it."""
    known: list[str] = bob.page.evaluate("RTCRtpReceiver.getCapabilities('video').codecs.map((c) => c.mimeType)")
    if f"video/{codec}" not in known:
        pytest.skip(f"this Chromium decodes no {codec}, only {', '.join(sorted(set(known)))}")


@pytest.mark.parametrize("codec", ["VP8", "H264", *(pytest.param(name, marks=slow) for name in ("VP9", "AV1"))])
def test_chromium_sees_the_test_picture(shared: tuple[Home, Running], chromium: OpenPage, codec: str):
    """In its size, at its rate, and what is read from the pixels that are shown counts up."""
    home, server = shared
    with call(server) as join:
        bob = join(chromium)
        require_decoder(bob, codec)
        options = ("--video", "testsrc", "--size", "640x360", "--fps", str(FRAME_RATE_HZ), "--codec", codec)
        with home.running("track", "publish", "--name", "cam", *options, "-o", "jsonl") as publisher:
            (mid,) = bob.pull(*published(publisher))
            before = bob.received_size(mid, 640, 360)
            seen = marks(bob, mid, 20)
            after = bob.inbound(mid)
        check_counting(seen)
        assert {(mark["width"], mark["height"]) for mark in seen} == {(640, 360)}
        assert after["mimeType"] == f"video/{codec}"
        decoded = after["framesDecoded"] - before["framesDecoded"]
        elapsed_s = (after["timestamp"] - before["timestamp"]) / 1000
        assert decoded / elapsed_s == pytest.approx(FRAME_RATE_HZ, rel=0.25)
        assert after["packetsLost"] == 0
        assert after["keyFramesDecoded"] >= 1


def test_chromium_chooses_a_layer_of_the_probe(shared: tuple[Home, Running], chromium: OpenPage):
    """q → f by `tracks/update`: size and pixels say so; a PLI of Chromium's is answered by a key frame."""
    home, server = shared
    options = ("--video", "testsrc", "--size", "960x540", "--fps", str(FRAME_RATE_HZ), "--simulcast")
    with call(server) as join, home.running("track", "publish", "--name", "x", *options, "-o", "jsonl") as publisher:
        bob = join(chromium)
        session_id, name = published(publisher)
        (mid,) = bob.pull(session_id, name, preferred_rid="q")
        bob.received_size(mid, 240, 134)
        assert {mark["layer"] for mark in marks(bob, mid, 3)} == {"q"}
        bob.prefer(mid, session_id, name, "f")
        bob.received_size(mid, 960, 540)
        bob.received(mid, 5)  # what is shown is a little older than what is decoded
        shown = [(mark["layer"], mark["height"]) for mark in marks(bob, mid, 5)]
        assert shown == [("f", 540)] * 5
        # Twice, for one of two might be the key frame that comes each ten seconds.
        for _ in range(2):
            before = bob.inbound(mid)
            bob.page.evaluate("askForKeyFrame", mid)
            after = eventually(
                lambda: bob.inbound(mid),
                lambda now, old=before: now["keyFramesDecoded"] > old["keyFramesDecoded"],
                what="a key frame",
                timeout_s=3,
            )
            assert after["pliCount"] > before["pliCount"]
        assert after["packetsLost"] == 0


@slow
def test_who_comes_late_has_a_picture_at_once(shared: tuple[Home, Running], chromium: OpenPage):
    """Key frames of ours are ten seconds apart: Chromium has one sooner, and who saw the picture before still does."""
    home, server = shared
    options = ("--video", "testsrc", "--size", "320x180", "--fps", str(FRAME_RATE_HZ))
    with call(server) as join, home.running("track", "publish", "--name", "cam", *options, "-o", "jsonl") as publisher:
        track = published(publisher)
        alice, bob = join(chromium), join(chromium)
        (early,) = alice.pull(*track)
        before = alice.received(early, 10)
        (late,) = bob.pull(*track)
        assert bob.time_to_first_frame_ms(late) < 2000
        assert bob.received(late, 5)["keyFramesDecoded"] >= 1
        after = alice.received(early, 5)
        assert after["keyFramesDecoded"] > before["keyFramesDecoded"]
        assert after["packetsLost"] == 0


@slow
def test_what_is_lost_is_asked_for_and_sent_again(home: Home, chromium: OpenPage):
    """On a path that loses packets of video: the probe asks Chromium's camera for them, and sends what Chromium asks
    for; each end counts both."""
    faults = ("--fault", "loss=5%,track=cam,seed=7", "--fault", "loss=5%,track=camera,seed=8")
    options = ("--video", "testsrc", "--size", "640x360", "--fps", "20")
    with home.dev(*faults) as server, call(server) as join:
        alice = join(chromium)
        alice.publish(camera())
        with home.running("track", "publish", "--name", "cam", *options, "--output", "jsonl") as publisher:
            (mid,) = alice.pull(*published(publisher))
            watched = ("track", "subscribe", f"{alice.session_id}/camera", "--for", "2s", "--max-loss", "50%")
            done = home.run(*watched, "--output", "json")
            assert done.status == 0, done.stdout + done.stderr
            assert alice.received(mid, 20)["nackCount"] > 0
            assert publisher.stop(signal.SIGINT) == 130
        seen = done.document
        assert seen["packets_lost"] > 0
        assert seen["nacks_sent"] > 0
        assert seen["packets_recovered"] > seen["packets_lost"] / 2
        sent = json.loads(drain(publisher)[-1])["sent"]
        assert sent["nacks_received"] > 0
        assert sent["packets_retransmitted"] > 0


def test_the_probe_measures_cameras_of_chromium(shared: tuple[Home, Running], chromium: OpenPage):
    """Each codec, by both peers and by an offer of either side, all at once; what is decoded has no numbers, which is
    no failure."""
    home, server = shared
    codecs = ("VP8", "H264", "VP9", "AV1")
    ways = (["--peer", "aiortc"], ["--peer", "lean", "--verify"], ["--verify", "--offered-by", "client"])
    with call(server) as join, ExitStack() as stack:
        alice = join(chromium)
        alice.publish(*(camera(codec, width=320, height=240, codec=f"video/{codec}") for codec in codecs))
        command = ("track", "subscribe", *(f"{alice.session_id}/{codec}" for codec in codecs), "--for", "2s")
        running = [stack.enter_context(home.running(*command, *way, "--output", "json")) for way in ways]
        for way, subscriber in zip(ways, running, strict=True):
            document = result(subscriber)
            is_verified = "--verify" in way
            assert [track["codec"] for track in document["tracks"]] == [f"{codec}/90000" for codec in codecs]
            for track in document["tracks"]:
                assert track["kind"] == "video"
                assert track["frames_received"] > 20
                assert track["key_frames_received"] >= 1
                assert (track["width"], track["height"], track["packets_lost"]) == (320, 240, 0)
                assert track["frame_rate_hz"] == pytest.approx(20, rel=0.3)
                assert 0 < track["time_to_first_packet_ms"] <= track["time_to_first_frame_ms"] < 5000
                # Chromium's packets name no layer and no time of ours, and its pictures no number.
                assert (track["layer"], track["layer_switches"], track["latency_ms"]) == (None, [], None)
                assert track["frames_missing"] is None
                assert (track["frames_decoded"] or 0) >= 15 if is_verified else track["frames_decoded"] is None
            statuses = {check["name"]: check["status"] for check in document["checks"]}
            assert [statuses.get(f"content {codec}") for codec in codecs] == [("skipped" if is_verified else None)] * 4
            assert {status for name, status in statuses.items() if not name.startswith("content")} == {"passed"}


def test_the_probe_chooses_a_layer_of_chromium(shared: tuple[Home, Running], chromium: OpenPage):
    """`--rid h` is the middle size; after `track update` from another process the width follows, with both peers."""
    home, server = shared
    with call(server) as join, ExitStack() as stack:
        alice = join(chromium)
        alice.publish_layers("camera", width=960, height=540)
        command = ("track", "subscribe", f"{alice.session_id}/camera", "--rid", "h", "--for", "30s")
        report = ("--interval", "200ms", "--output", "jsonl")
        running = [stack.enter_context(home.running(*command, "--peer", peer, *report)) for peer in ("aiortc", "lean")]
        for subscriber, wanted in zip(running, ("q", "f"), strict=True):
            subscribed = subscriber.event("subscribed")
            first = has_width(subscriber, 480)
            assert (first["height"], first["layer"]) == (270, None)
            where = (subscribed["session_id"], "--mid", subscribed["mid"])
            done = home.run("track", "update", *where, "--rid", wanted, "--output", "json")
            assert done.status == 0, done.stderr
        for subscriber, size in zip(running, ((240, 135), (960, 540)), strict=True):
            changed = has_width(subscriber, size[0])
            # A stranger's packets name no layer, so that none is told.
            assert (changed["height"], changed["layer"], changed["layer_switches"]) == (size[1], None, [])
            subscriber.process.terminate()
            summary = subscriber.event("summary")
            assert (summary["width"], summary["height"], summary["packets_lost"]) == (*size, 0)
            assert summary["key_frames_received"] >= 2


def has_width(subscriber: Running, width: int) -> dict[str, Any]:
    """What came in the first interval with pictures of that width, at most 30 from now."""
    seen = []
    for _ in range(30):
        received: dict[str, Any] = subscriber.event("interval")["received"]
        if received["width"] == width:
            return received
        seen.append(received["width"])
    raise AssertionError(f"no picture is {width} wide: {seen}")


def numbered(number: int, rate: int, size: tuple[int, int]) -> av.VideoFrame:
    """A test picture."""
    picture = av.VideoFrame(*size, "yuv420p")
    luma, blue, red = (memoryview(plane) for plane in picture.planes)
    stride, chroma_stride, _ = (plane.line_size for plane in picture.planes)
    draw_still(luma, blue, red, stride, chroma_stride, *size)
    draw_frame(luma, stride, *size, PictureMark(number))
    picture.pts, picture.time_base = number, Fraction(1, rate)
    return picture


def test_chromium_plays_a_film_and_hears_stereo(shared: tuple[Home, Running], chromium: OpenPage, tmp_path: Path):
    """Picture and sound of a file as they are in it, and a tone for each ear."""
    home, server = shared
    count = 60
    sources.write(
        tmp_path / "talk.webm",
        video="libvpx",
        audio="libopus",
        pictures=count,
        rate=FRAME_RATE_HZ,
        audio_s=count / FRAME_RATE_HZ,
        size=(320, 180),
        options={"deadline": "realtime", "cpu-used": "8"},
        picture=numbered,
    )
    tracks = ("--track", f"talk=file:{tmp_path}/talk.webm,loop=yes", "--track", "ears=tone:660+990")
    with call(server) as join, home.running("track", "publish", *tracks, "-o", "jsonl") as publisher:
        bob = join(chromium)
        (session_id, *_), names = zip(*(published(publisher) for _ in range(3)), strict=True)
        assert set(names) == {"talk-audio", "talk-video", "ears"}
        bob.page.evaluate("wantStereo()")
        sound, picture, ears = bob.pull(session_id, "talk-audio", "talk-video", "ears")
        bob.received_size(picture, 320, 180)
        check_counting(marks(bob, picture, 15), count)
        assert bob.frequency_hz(sound) == pytest.approx(440, abs=FFT_HZ)
        assert bob.frequency_hz(ears, channel=0) == pytest.approx(660, abs=FFT_HZ)
        assert bob.frequency_hz(ears, channel=1) == pytest.approx(990, abs=FFT_HZ)
        reports = bob.all_received([sound, picture, ears], 10)
        assert {report["packetsLost"] for report in reports.values()} == {0}


def test_chromium_and_the_probe_count_the_same_losses(shared: tuple[Home, Running], chromium: OpenPage, tmp_path: Path):
    """What a publisher's network has lost, all who subscribe to it count alike: Chromium's `packetsLost` and the
    probe's `packets_lost_rfc3550` are the ledger's, each from the first packet on that it has received."""
    ledger = tmp_path / "up.jsonl"
    impaired = ("--impair", "loss=30%,direction=up,seed=7", "--impair-ledger", str(ledger))
    home, server = shared
    with call(server) as join:
        bob = join(chromium)
        with home.running("track", "publish", "--name", "mic", *impaired, "-o", "jsonl") as publisher:
            session_id, name = published(publisher)
            arguments = ("track", "subscribe", f"{session_id}/{name}", "--for", "60s", "--max-loss", "100%")
            with home.running(*arguments, "-o", "jsonl") as subscriber:
                subscriber.event("first_packet")
                (mid,) = bob.pull(session_id, name)
                bob.received(mid, 40)
                publisher.stop(signal.SIGINT)
                seen = [-1]

                def has_stopped(report: dict[str, Any]) -> bool:
                    before, seen[0] = seen[0], report["packetsReceived"]
                    return before == seen[0]

                theirs = eventually(lambda: bob.inbound(mid), has_stopped, what="nothing comes any more")
                assert subscriber.stop(signal.SIGINT) == 130, subscriber.stderr
                ours = json.loads(drain(subscriber)[-1])
    fates = [row["fate"] for row in map(json.loads, ledger.read_text().splitlines()) if row["kind"] == "original"]

    def lost(packets_received: int) -> int:
        """Between the first and the last of so many packets that came last."""
        arrived = [index for index, fate in enumerate(fates) if fate == "sent"]
        return fates[arrived[-packets_received] : arrived[-1]].count("dropped")

    assert theirs["packetsLost"] == lost(theirs["packetsReceived"]) > 5
    assert ours["packets_lost_rfc3550"] == ours["packets_lost"] == lost(ours["packets_received"]) > 5
