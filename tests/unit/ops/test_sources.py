"""Covers rtcctl/ops/sources.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import UsageError
from rtcctl.ops import sources
from rtcctl.ops.sources import TrackSpec
from rtcctl.units import SpellingError


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("mic=tone", TrackSpec(track_name="mic", source="tone")),
        ("mic=tone:440+880,codec=opus", TrackSpec(track_name="mic", source="tone", argument="440+880", codec="opus")),
        (
            "cam=testsrc,size=640x360,fps=15,bitrate=300kbps,codec=h.264",
            TrackSpec(
                track_name="cam",
                source="testsrc",
                width=640,
                height=360,
                frame_rate_hz=15.0,
                bitrate_bps=300_000.0,
                codec="H264",
            ),
        ),
        ("cam=testsrc,simulcast=f:h:q", TrackSpec(track_name="cam", source="testsrc", rids=("f", "h", "q"))),
        (
            "a/b=file:/tmp/a%2Cb.ogg,loop=yes,kind=audio",
            TrackSpec(track_name="a/b", source="file", argument="/tmp/a,b.ogg", loop=True, kind="audio"),
        ),
        ("s=screen::1", TrackSpec(track_name="s", source="screen", argument=":1")),
    ],
)
def test_a_track_is_spelled_and_read_back(text: str, spec: TrackSpec):
    """What a person writes, and what a detached publisher is told, is one grammar."""
    assert sources.parse(text) == spec
    assert sources.parse(str(spec)) == spec


@given(
    st.builds(
        TrackSpec,
        track_name=st.text("abc/ é-_", min_size=1).filter(str.strip),
        source=st.just("file"),
        argument=st.text(min_size=1, max_size=30).filter(str.isprintable),
        loop=st.booleans(),
        kind=st.sampled_from([None, "audio", "video"]),
        codec=st.sampled_from([None, "VP8", "opus"]),
    )
)
def test_any_path_survives_being_spelled(spec: TrackSpec):
    """Commas, percent signs, equal signs, colons."""
    assert sources.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "NAME=SOURCE"),
        ("mic", "NAME=SOURCE"),
        ("=tone", "NAME=SOURCE"),
        ("mic=radio", "sources: tone"),
        ("mic=tone:0", "between 1 Hz"),
        ("mic=tone:440+550+660", "two for stereo"),
        ("mic=tone,size=640x360", "a tone has no size"),
        ("mic=tone,simulcast=f:h", "a tone has no simulcast"),
        ("mic=tone,codec=VP8", "tone is audio"),
        ("cam=testsrc,codec=opus", "testsrc is video"),
        ("cam=testsrc,codec=H261", "is not a codec"),
        ("cam=testsrc,size=641x360", "even"),
        ("cam=testsrc,size=1x1", "90 to 4096"),
        ("cam=testsrc,size=big", "1280x720"),
        ("cam=testsrc,fps=0", "frames a second"),
        ("cam=testsrc,fps=1000", "frames a second"),
        ("cam=testsrc,bitrate=300", "needs its unit"),
        ("cam=testsrc,simulcast=f", "two or three"),
        ("cam=testsrc,simulcast=f:f", "name of its own"),
        ("cam=testsrc,simulcast=layer1:layer2", "first 4 characters"),
        ("cam=testsrc,loop=yes", "only a file"),
        ("cam=testsrc,colour=red", "not an option"),
        ("talk=file", "file:PATH"),
        ("talk=file:x,kind=text", "audio or video"),
        ("talk=file:x,size=640x360", "only testsrc"),
        ("s=screen,simulcast=f:h", "only testsrc"),
    ],
)
def test_what_cannot_be_published_is_said(text: str, complaint: str):
    """Each with what would be right."""
    with pytest.raises(SpellingError, match=complaint):
        sources.parse(text)


def test_single_options_are_a_tone_a_picture_or_both():
    """An option goes to the track that can have it; two kinds of one name get two names."""
    (tone,) = sources.simple(["mic"], options={})
    assert (tone.source, tone.tones_hz) == ("tone", (440.0,))
    sound, picture = sources.simple(
        ["x"], tones_hz=(300.0, 500.0), picture="testsrc", options={"codec": "h264", "size": "640x360"}
    )
    assert (sound.track_name, sound.tones_hz, sound.codec) == ("x-audio", (300.0, 500.0), None)
    assert (picture.track_name, picture.width, picture.codec) == ("x-video", 640, "H264")
    assert [spec.track_name for spec in sources.simple(["a", "b"], tones_hz=(1.0,), picture="screen", options={})] == [
        "a",
        "b",
    ]
    (file,) = sources.simple(["talk"], stream=("file", "a.ogg"), loop=True, options={"codec": "opus"})
    assert (file.source, file.argument, file.loop, file.codec) == ("file", "a.ogg", True, "opus")


@pytest.mark.parametrize(
    ("names", "given_", "complaint"),
    [
        (["a", "b"], {"options": {}}, "2 names for one track"),
        (["a"], {"options": {"size": "640x360"}}, "tone cannot have --size"),
        (["a"], {"options": {"simulcast": "f,h"}}, "tone cannot have --simulcast"),
        (["a"], {"options": {"codec": "VP8"}}, "tone cannot have --codec VP8"),
        (["a"], {"picture": "screen", "options": {"size": "640x360"}}, "screen cannot have --size"),
        (["a"], {"loop": True, "options": {}}, "only a file"),
    ],
)
def test_single_options_that_concern_nothing(names: list[str], given_: dict, complaint: str):
    """They are refused, not ignored."""
    with pytest.raises(SpellingError, match=complaint):
        sources.simple(names, **given_)


def test_names_of_layers_that_do_not_sort_best_first():
    """The SFU orders them by their names: whoever calls them high, med, low is told what will happen."""
    assert sources.rids_warning(()) is None
    assert sources.rids_warning(("f", "h", "q")) is None
    warning = sources.rids_warning(("high", "med", "low"))
    assert warning is not None
    assert "high, low, med" in warning
    assert "f, h, q" in warning


async def test_layers_halve_in_size_and_share_the_bitrate():
    """Best first; each with its own rid."""
    (track,) = await sources.open_tracks([sources.parse("cam=testsrc,size=640x360,bitrate=800kbps,simulcast=f:h:q")])
    shapes = [(layer.rid, layer.source.width, layer.source.height, layer.source.bitrate_bps) for layer in track.layers]  # type: ignore[attr-defined]
    assert shapes == [("f", 640, 360, 800_000), ("h", 320, 180, 200_000), ("q", 160, 90, 50_000)]
    assert "layers f, h, q" in track.description


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        (["cam=testsrc,size=320x180,simulcast=f:h:q"], "too small"),
        (["mic=tone", "mic=tone:500"], "Two tracks are called mic"),
        (["mic=tone:3900,codec=PCMU", "talk=file:{folder}/nothing.ogg"], "nothing.ogg"),
    ],
)
async def test_sources_that_cannot_be_opened(tmp_path: Path, texts: list[str], complaint: str):
    """Nothing is published when one of them is wrong."""
    with pytest.raises(UsageError, match=complaint):
        await sources.open_tracks([sources.parse(text.format(folder=tmp_path)) for text in texts])
