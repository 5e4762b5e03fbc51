"""When two payload types mean the same codec."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.codec import Codec


def video(name: str, parameters: str = "", payload_type: int = 96) -> Codec:
    return Codec(name, payload_type, 90000, parameters=parameters)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Codec("opus", 111, 48000, 2, "minptime=10"), Codec("OPUS", 96, 48000, 2)),
        (video("VP9"), video("vp9", "profile-id=0")),
        (video("AV1", "level-idx=5;profile=0;tier=0"), video("AV1")),
        (video("H265", "level-id=93;profile-id=1;tx-mode=SRST"), video("H265", "level-id=120")),
        (video("H264", "profile-level-id=42e01f"), video("H264", "profile-level-id=42E034; packetization-mode=0")),
        # Constrained Baseline has three spellings.
        (video("H264", "profile-level-id=42e01f"), video("H264", "profile-level-id=4d801f")),
        (video("H264", "profile-level-id=42c01f"), video("H264", "profile-level-id=58d01f")),
        (video("H264"), video("H264", "profile-level-id=42001f")),
        (video("H264", "profile-level-id=640c1f"), video("H264", "profile-level-id=640c28")),
        (video("H264", "profile-level-id=nonsense"), video("H264", "profile-level-id=nonsense")),
        (video("rtx", "apt=96", 97), video("rtx", "apt=96;rtx-time=3000", 99)),
    ],
)
def test_the_same(one: Codec, other: Codec) -> None:
    """Names without case, defaults of absent parameters, levels that differ."""
    assert one.is_same_codec(other)
    assert other.is_same_codec(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Codec("opus", 111, 48000, 2), Codec("opus", 111, 48000, 1)),
        (Codec("PCMU", 0, 8000), Codec("PCMU", 0, 16000)),
        (video("VP8"), video("VP9")),
        (video("VP9", "profile-id=2"), video("VP9")),
        (video("AV1", "profile=1"), video("AV1")),
        (video("H265", "profile-id=2"), video("H265")),
        (video("H264", "packetization-mode=1"), video("H264", "packetization-mode=0")),
        (video("H264", "profile-level-id=42e01f"), video("H264", "profile-level-id=42001f")),
        (video("H264", "profile-level-id=4d001f"), video("H264", "profile-level-id=42e01f")),
        (video("H264", "profile-level-id=64001f"), video("H264", "profile-level-id=640c1f")),
        (video("H264", "profile-level-id=nonsense"), video("H264", "profile-level-id=42001f")),
        (video("rtx", "apt=96", 97), video("rtx", "apt=98", 97)),
    ],
)
def test_not_the_same(one: Codec, other: Codec) -> None:
    """Profiles, packetization and what is repaired."""
    assert not one.is_same_codec(other)
    assert not other.is_same_codec(one)


@pytest.mark.parametrize(
    ("name", "parameters", "repairs"),
    [
        ("rtx", "apt=96", 96),
        ("RTX", "rtx-time=1; APT = 7 ", 7),
        ("rtx", "", None),
        ("rtx", "apt=x", None),
        ("rtx", "apt=٣", None),
        ("VP8", "apt=96", None),
    ],
)
def test_what_is_repaired(name: str, parameters: str, repairs: int | None) -> None:
    """`apt` of RTX is a decimal, or nothing."""
    assert video(name, parameters).repairs == repairs


@given(st.sampled_from(["H264", "VP9", "AV1", "rtx", "opus"]), st.text(max_size=60))
def test_any_parameters(name: str, parameters: str) -> None:
    """Whatever an `a=fmtp` line holds, a codec is the same as itself."""
    codec = video(name, parameters)
    assert codec.is_same_codec(codec)
