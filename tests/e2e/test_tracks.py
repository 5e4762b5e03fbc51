"""Sound, picture, layers and files through `track`, against `rtcctl dev`."""

from __future__ import annotations

import json
import signal
import wave
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import pytest

from rtcctl.media.tone import tone_samples
from tests.support.command import Home, Running, drain
from tests.support.requirements import slow
from tests.support.sources import write
from tests.support.xvfb import virtual_display

SIMULCAST = ("--name", "x", "--tone", "440", "--tone", "880", "--video", "testsrc", "--size", "640x360", "--fps", "15")


def published(publisher: Running, count: int = 1) -> list[str]:
    """The tracks as others name them."""
    events = [publisher.event("published") for _ in range(count)]
    return [f"{event['session_id']}/{event['track_name']}" for event in events]


def by_track(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {track["track_name"]: track for track in document["tracks"]}


@pytest.mark.parametrize("peer", ["aiortc", pytest.param("lean", marks=slow)])
def test_sound_and_picture_in_one_session(home: Home, peer: str):
    """Left and right, every frame number once, the layer that was asked for: both peers say the same."""
    with (
        home.dev(),
        home.running("track", "publish", *SIMULCAST, "--simulcast", "--output", "jsonl") as publisher,
    ):
        tracks = published(publisher, 2)
        done = home.run(
            "track", "subscribe", *tracks, "--rid", "h", "--verify", "--for", "2s", "--peer", peer, "--output", "json"
        )
        assert done.status == 0, done.stdout + done.stderr
        heard, seen = by_track(done.document)["x-audio"], by_track(done.document)["x-video"]
        assert heard["tones_hz"] == [pytest.approx(440, rel=0.01), pytest.approx(880, rel=0.01)]
        assert (seen["width"], seen["height"], seen["layer"]) == (320, 180, "h")
        assert seen["frames_decoded"] >= 20
        assert (seen["frames_missing"], seen["frames_repeated"], seen["frames_out_of_order"]) == (0, 0, 0)
        assert seen["key_frames_received"] >= 1
        assert seen["frame_rate_hz"] == pytest.approx(15, rel=0.2)
        assert 0 < seen["latency_ms"]["p50"] < seen["picture_latency_ms"]["p50"] < 500
        assert 0 < seen["time_to_first_packet_ms"] <= seen["time_to_first_frame_ms"] < 3000
        assert seen["packets_lost"] == heard["packets_lost"] == 0
        assert heard["frames_decoded"] is None
        assert done.document["candidate_type"] == "host"
        assert {check["name"] for check in done.document["checks"]} == {
            f"{name} x-{kind}" for name in ("received", "loss", "content") for kind in ("audio", "video")
        }
        # What was only counted is not known.
        counted = home.run("track", "subscribe", tracks[1], "--for", "1s", "--peer", peer, "--output", "json").document
        assert counted["frames_received"] > 10
        assert counted["frames_decoded"] is None
        assert counted["layer"] == "f"
        assert publisher.stop(signal.SIGINT) == 130


def test_another_layer_from_another_process(home: Home):
    """`track update` changes a live subscription; its own process tells when, to what, and then measures that."""
    with (
        home.dev(),
        home.running("track", "publish", *SIMULCAST, "--simulcast", "--output", "jsonl") as publisher,
    ):
        _, track = published(publisher, 2)
        options = "--rid", "f", "--for", "4s", "--interval", "200ms", "--output", "jsonl"
        with home.running("track", "subscribe", track, *options) as subscriber:
            subscribed = subscriber.event("subscribed")
            assert subscriber.event("interval")["received"]["layer"] == "f"
            session_id, mid = subscribed["session_id"], subscribed["mid"]
            done = home.run("track", "update", session_id, "--mid", mid, "--rid", "q", "--output", "json")
            assert done.status == 0, done.stderr
            assert (done.document["preferred_rid"], done.document["track_name"]) == ("q", "x-video")
            changed = subscriber.event("layer_changed")
            assert (changed["previous"], changed["layer"]) == ("f", "q")
            assert (changed["width"], changed["height"]) == (160, 90)
            summary = subscriber.event("summary")
            assert [switch["layer"] for switch in summary["layer_switches"]] == ["q"]
            assert (summary["width"], summary["layer"], summary["packets_lost"]) == (160, "q", 0)
            assert subscriber.wait() == 0, subscriber.stderr
        wrong = home.run("track", "update", track.partition("/")[0], "--mid", "7", "--rid", "q")
        assert wrong.status == 5
        assert "receives nothing on mid 7" in wrong.stderr
        assert publisher.stop(signal.SIGINT) == 130


@slow
def test_no_frame_is_missing_around_a_change(home: Home):
    """Layers show the same numbers: one after the other, each is seen once. Policies decide about a layer that nobody
    sends: the next one in the alphabet, or nothing."""
    with (
        home.dev(),
        home.running("track", "publish", *SIMULCAST, "--rids", "a,c,d", "--output", "jsonl") as publisher,
    ):
        _, track = published(publisher, 2)
        missing = "--rid", "b", "--for", "1s", "--output", "jsonl"
        policies = "--rid-not-available", "asciibetical", "--priority-ordering", "asciibetical"
        with (
            home.running("track", "subscribe", track, "--verify", "--rid", "c", "-o", "jsonl") as changing,
            home.running("track", "subscribe", track, *missing, *policies) as substituted,
            home.running("track", "subscribe", track, *missing) as absent,
        ):
            subscribed = changing.event("subscribed")
            assert changing.event("interval")["received"]["layer"] == "c"
            words = subscribed["session_id"], "--mid", subscribed["mid"], "--rid", "d", *policies
            done = home.run("track", "update", *words, "--output", "json")
            assert (done.document["rid_not_available"], done.document["priority_ordering"]) == ("asciibetical",) * 2
            assert changing.event("layer_changed")["layer"] == "d"
            changing.event("interval")
            assert changing.stop(signal.SIGINT) == 130
            seen = json.loads(drain(changing)[-1])
            assert (seen["width"], seen["height"], seen["frames_decoded"] > 15) == (160, 90, True)
            assert (seen["frames_missing"], seen["frames_repeated"], seen["frames_out_of_order"]) == (0, 0, 0)
            assert substituted.event("summary")["layer"] == "c"
            assert substituted.wait() == 0, substituted.stderr
            assert absent.event("summary")["packets_received"] == 0
            assert absent.wait() == 3, absent.stderr
        assert publisher.stop(signal.SIGINT) == 130


@slow
def test_names_that_do_not_sort_best_first(home: Home):
    """They are published, and what a subscriber will get is said."""
    with home.dev():
        done = home.run("track", "publish", *SIMULCAST, "--rids", "high,med,low", "--for", "1s", "--output", "json")
        assert done.status == 0, done.stderr
        assert "high, low, med" in done.stderr
        layers = by_track(done.document)["x-video"]["sent"]["layers"]
        assert [(layer["rid"], layer["width"]) for layer in layers] == [("high", 640), ("med", 320), ("low", 160)]


def write_wave(path: Path, hz: float, seconds: float) -> None:
    samples = tone_samples(hz, 48_000, 0, round(seconds * 48_000), 0.25)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(array("h", samples).tobytes())


def write_webm(path: Path, seconds: float) -> None:
    """VP8 and Opus: a grey picture that gets brighter, and a tone of 600 Hz."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libvpx", rate=15)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        audio = container.add_stream("libopus", rate=48_000)
        audio.layout = "mono"
        samples = array("h", tone_samples(600, 48_000, 0, round(seconds * 48_000), 0.25))
        for number in range(round(seconds * 15)):
            frame = av.VideoFrame(320, 180, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([(40 + 4 * number) % 255]) * plane.buffer_size)
            frame.pts = number
            for packet in video.encode(frame):
                container.mux(packet)
        for at in range(0, len(samples), 960):
            sound = av.AudioFrame(format="s16", layout="mono", samples=960)
            sound.sample_rate, sound.pts = 48_000, at
            sound.planes[0].update(samples[at : at + 960].tobytes())
            for packet in audio.encode(sound):
                container.mux(packet)
        for stream in (video, audio):
            for packet in stream.encode(None):
                container.mux(packet)


def test_a_file_is_two_tracks(home: Home, tmp_path: Path):
    """Sound and picture as they are in it, looped; without a loop the command ends when it does."""
    write_webm(tmp_path / "talk.webm", 1.5)
    file = str(tmp_path / "talk.webm")
    with home.dev():
        with home.running("track", "publish", "--file", file, "--name", "talk", "--loop", "-o", "jsonl") as publisher:
            tracks = published(publisher, 2)
            done = home.run("track", "subscribe", *tracks, "--for", "2s", "--verify", "--tone", "600", "-o", "json")
            assert publisher.stop(signal.SIGINT) == 130
        # The picture is no test picture, which is no failure.
        assert done.status == 0, done.stdout + done.stderr
        heard, seen = by_track(done.document)["talk-audio"], by_track(done.document)["talk-video"]
        assert heard["tone_hz"] == pytest.approx(600, rel=0.01)
        assert (seen["width"], seen["height"], seen["packets_lost"]) == (320, 180, 0)
        assert seen["frames_decoded"] > 5  # what is copied has no key frame for whom comes in the middle of a round
        assert seen["frames_missing"] is None
        content = next(check for check in done.document["checks"] if check["name"] == "content talk-video")
        assert content["status"] == "skipped"
        once = home.run("track", "publish", "--file", file, "--name", "talk", "--output", "json")
        assert once.status == 0, once.stderr
        assert {track["source"] for track in once.document["tracks"]} == {"file talk.webm (copied)"}
        assert 1 < once.document["duration_s"] < 4


@slow
def test_only_what_has_to_be_is_encoded_anew(home: Home, tmp_path: Path):
    """An MP4 keeps its H.264; AAC, which WebRTC does not know, becomes Opus and sounds the same."""
    write(tmp_path / "f.mp4", video="libx264", audio="aac", size=(320, 180), options={"bf": "0"})
    with (
        home.dev(),
        home.running("track", "publish", "--file", "f.mp4", "--name", "f", "--loop", "-o", "jsonl") as publisher,
    ):
        tracks = published(publisher, 2)
        done = home.run("track", "subscribe", *tracks, "--for", "2s", "--verify", "--tone", "440", "-o", "json")
        assert done.status == 0, done.stdout + done.stderr
        heard, seen = by_track(done.document)["f-audio"], by_track(done.document)["f-video"]
        assert (heard["codec"], seen["codec"]) == ("opus/48000/2", "H264/90000")
        assert (seen["width"], seen["height"], seen["packets_lost"]) == (320, 180, 0)
        assert seen["frames_decoded"] >= 45
        assert seen["key_frames_received"] >= 3  # two a round, and the file is one second long
        assert publisher.stop(signal.SIGINT) == 130
    sent = json.loads(drain(publisher)[-1])
    assert [track["source"] for track in sent["tracks"]] == ["file f.mp4 (re-encoded as opus)", "file f.mp4 (copied)"]


def test_a_screen_is_seen(home: Home):
    """A virtual display is published and decoded at the other end, in its size; it is no test picture, and no sound."""
    with virtual_display(320, 240) as display, home.dev():
        options = "--name", "desk", "--screen", "--codec", "H264", "--fps", "15", "--output", "jsonl"
        with home.running("track", "publish", *options, environment={"DISPLAY": display}) as publisher:
            command = "track", "subscribe", *published(publisher), "--verify", "--for", "1s", "--output", "json"
            done = home.run(*command)
            deaf = home.run(*command, "--tone", "440")
        assert done.status == 0, done.stdout + done.stderr
        assert (done.document["codec"], done.document["width"], done.document["height"]) == ("H264/90000", 320, 240)
        assert done.document["frames_decoded"] >= 10
        assert [check["status"] for check in done.document["checks"]] == ["passed", "passed", "skipped"]
        assert deaf.status == 2
        assert "None of these tracks is sound" in deaf.stderr


def test_a_pipe(home: Home, tmp_path: Path):
    """What comes on stdin is published, and ends with it."""
    write_wave(tmp_path / "tone.wav", 500, 1.0)
    pcm = tmp_path / "tone.pcm"
    pcm.write_bytes((tmp_path / "tone.wav").read_bytes()[44:] * 2)
    with home.dev(), pcm.open("rb") as stdin:
        done = home.run("track", "publish", "--stdin", "s16le", "--name", "pipe", "--output", "json", stdin=stdin)
    assert done.status == 0, done.stderr
    assert done.document["kind"] == "audio"
    assert done.document["sent"]["packets_sent"] == pytest.approx(50, abs=3)


@slow
def test_ogg_through_a_pipe(home: Home, tmp_path: Path):
    """Opus in Ogg is sent as it is, and the command ends with the pipe."""
    with home.dev(), write(tmp_path / "f.ogg", audio="libopus").open("rb") as stdin:
        done = home.run("track", "publish", "--stdin", "ogg", "--name", "pipe", "--output", "json", stdin=stdin)
    assert done.status == 0, done.stderr
    assert done.document["source"] == "stdin Opus (copied)"
    assert done.document["sent"]["packets_sent"] == pytest.approx(50, abs=3)


@pytest.mark.parametrize("codec", ["PCMU", pytest.param("PCMA", marks=slow)])
def test_g711_is_heard(home: Home, codec: str):
    """The tone at 8 kHz; another one than expected fails the content with 3."""
    with (
        home.dev(),
        home.running("track", "publish", "--name", "a", "--tone", "400", "--codec", codec, "-o", "jsonl") as publisher,
    ):
        (track,) = published(publisher)
        good = home.run("track", "subscribe", track, "--for", "1s", "--verify", "--tone", "400", "-o", "json")
        assert good.status == 0, good.stdout + good.stderr
        assert good.document["codec"] == f"{codec}/8000"
        assert good.document["latency_ms"] is None, "G.711 has no room for a send time"
        bad = home.run("track", "subscribe", track, "--for", "1s", "--verify", "--tone", "450")
        assert bad.status == 3
        assert "another tone: 400.0 Hz instead of 450 Hz" in bad.stdout
        assert publisher.stop(signal.SIGINT) == 130


@pytest.mark.parametrize("codec", ["H264", *(pytest.param(name, marks=slow) for name in ("VP8", "VP9", "AV1"))])
def test_each_codec_of_video_is_verified(home: Home, codec: str):
    """Sent, forwarded, put together, decoded and read: numbers without a gap."""
    source = f"cam=testsrc,size=320x180,fps=15,codec={codec}"
    with home.dev(), home.running("track", "publish", "--track", source, "-o", "jsonl") as publisher:
        (track,) = published(publisher)
        done = home.run("track", "subscribe", track, "--for", "2s", "--verify", "--output", "json")
        assert done.status == 0, done.stdout + done.stderr
        assert done.document["codec"] == f"{codec}/90000"
        assert (done.document["width"], done.document["height"]) == (320, 180)
        assert done.document["frames_decoded"] > 15
        assert (done.document["latency_ms"] is not None) == (codec in ("VP8", "H264"))
        assert publisher.stop(signal.SIGINT) == 130


@slow
def test_by_an_offer_of_ours(home: Home):
    """Sound and picture through the pool of m-sections, in one call."""
    with (
        home.dev(),
        home.running("track", "publish", *SIMULCAST, "--output", "jsonl") as publisher,
    ):
        tracks = published(publisher, 2)
        done = home.run("track", "subscribe", *tracks, "--for", "1s", "--offered-by", "client", "--output", "json")
        assert done.status == 0, done.stdout + done.stderr
        assert {track["kind"] for track in done.document["tracks"]} == {"audio", "video"}
        assert all(track["packets_received"] > 10 for track in done.document["tracks"])
        assert publisher.stop(signal.SIGINT) == 130


BAD: list[tuple[Sequence[str], str]] = [
    (("--name", "a", "--file", "{folder}/none.webm"), "none.webm"),
    (("--name", "a", "--file", "{folder}/text.webm"), "text.webm"),
    (("--name", "a", "--codec", "FOO"), "'FOO' is not a codec"),
    (("--name", "a", "--video", "testsrc", "--size", "1x1"), "90 to 4096"),
    (("--name", "a", "--video", "testsrc", "--size", "641x361"), "even"),
    (("--name", "a", "--name", "b"), "2 names for one track"),
    (("--name", "a", "--file", "x.ogg", "--tone", "440"), "do not go together"),
    (("--name", "a", "--track", "b=tone"), "--track says all of a track"),
    (("--name", "a", "--size", "640x360"), "tone cannot have --size"),
    (("--track", "a=tone", "--track", "a=testsrc"), "Two tracks are called a"),
    (("--name", "a", "--stdin", "ogg", "--detach"), "no stdin"),
    (("--name", "a", "--stdin", "ogg"), "input"),
    (("--name", "a", "--file", "{folder}/text.txt"), "text.txt is text"),
    (("--name", "a", "--file", "{folder}/a.ogg", "--codec", "H264"), "a.ogg has no video to send in H264"),
    (("--track", "a=file:{folder}/a.ogg", "--loop"), "--track says all of a track"),
    (("--name", "a", "--video", "testsrc", "--simulcast", "--size", "320x180"), "80x45, which is too small"),
    ((), "no name"),
]


def test_bad_sources_create_nothing(home: Home, tmp_path: Path):
    """Exit 2 with a message that names it, and no session was made."""
    (tmp_path / "text.webm").write_text("this is no film")
    (tmp_path / "text.txt").write_text("This is no film, although FFmpeg can show it as one.\n" * 100)
    write(tmp_path / "a.ogg", audio="libopus")
    with home.dev():
        for arguments, said in BAD:
            words = [argument.format(folder=tmp_path) for argument in arguments]
            done = home.run("track", "publish", *words, "--for", "1s", stdin="garbage " * 100)
            assert done.status == 2, f"{arguments}: {done.stdout}{done.stderr}"
            assert said in done.stderr, f"{arguments}: {done.stderr}"
            assert "Traceback" not in done.stderr
        assert home.run("session", "list", "--all", "--output", "json").document["sessions"] == []


def test_play_needs_a_sound_device(home: Home):
    """Without one it is said, before anything is created."""
    with home.dev():
        done = home.run("track", "subscribe", f"{'a' * 32}/mic", "--play-on", "no-such-device")
        assert done.status == 2
        assert "no sound device 'no-such-device'" in done.stderr
        assert home.run("session", "list", "--all", "--output", "json").document["sessions"] == []
