"""What the numbers in a session's descriptions mean: one thing each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media import extensions
from rtcctl.media.codec import Codec
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.server import codecs
from rtcctl.server.codecs import CODECS, FEEDBACK, Numbering
from tests.support.sdp import H264, OPUS, VIDEO_EXTENSIONS, VP8, VP8_RTX, VP9, section, video
from tests.support.world import vector

PCMU = Codec("PCMU", 0, 8000)
AAC = Codec("AAC", 111, 90000)


def numbering(*known: Codec) -> Numbering:
    """After a client has used these codecs."""
    made = Numbering()
    made.learn(section("0", codecs=known))
    return made


def numbers(offered: tuple[Codec, ...]) -> list[tuple[str, int]]:
    return [(codec.name, codec.payload_type) for codec in offered]


# --- what is accepted


def test_chromiums_video_is_accepted_as_it_numbers_and_orders_it() -> None:
    """All that Chromium can receive but what repairs; each with its RTX."""
    offered = Sdp.parse(vector("chromium-recvonly")).media[1]
    accepted = codecs.accepted_codecs(offered)
    kept = [codec for codec in offered.codecs if codec.name not in ("red", "ulpfec", "flexfec-03")]
    assert list(accepted) == [codec for codec in kept if codec.parameters != "apt=118"]


def test_only_feedback_that_is_understood_is_accepted() -> None:
    """The rest is not answered; RTX has none of its own."""
    opus = replace(OPUS, feedback=("transport-cc", "rrtr", "nack"))
    assert codecs.accepted_codecs(section("0", codecs=(opus,)))[0].feedback == ("transport-cc", "nack")
    vp8 = replace(VP8, feedback=("nack rpsi", "nack pli"))
    rtx = replace(VP8_RTX, feedback=("nack",))
    assert [codec.feedback for codec in codecs.accepted_codecs(video("0", codecs=(vp8, rtx)))] == [("nack pli",), ()]


@pytest.mark.parametrize("parameters", ["apt=98", "apt=97", "apt=x", "", "rtx-time=1"])
def test_rtx_of_nothing(parameters: str) -> None:
    """What repairs no accepted codec is dropped, and a second one for the same codec too."""
    stray = Codec("rtx", 99, 90000, parameters=parameters)
    assert codecs.accepted_codecs(video("0", codecs=(VP8, stray, VP8_RTX))) == (VP8, VP8_RTX)
    second = Codec("rtx", 99, 90000, parameters="apt=96")
    assert codecs.accepted_codecs(video("0", codecs=(VP8, VP8_RTX, second))) == (VP8, VP8_RTX)
    assert codecs.accepted_codecs(video("0", codecs=(VP8_RTX,))) == ()


def test_an_answer_agrees_to_what_was_offered() -> None:
    """In the client's order; its RTX only of that."""
    offered = Numbering().offered_codecs("video", (VP8, H264))
    h264_rtx = Codec("rtx", 109, 90000, parameters="apt=108")
    vp9_rtx = Codec("rtx", 99, 90000, parameters="apt=98")
    answer = video("0", codecs=(H264, VP9, vp9_rtx, VP8, h264_rtx))
    assert codecs.agreed_codecs(answer, offered) == (H264, VP8, h264_rtx)
    assert codecs.agreed_codecs(video("0", codecs=(VP9, vp9_rtx)), offered) == ()


def test_a_common_codec() -> None:
    """RTX in common is not enough."""
    assert codecs.have_common((VP8, VP8_RTX), (H264, replace(VP8, payload_type=120)))
    assert not codecs.have_common((VP8, VP8_RTX), (H264, VP8_RTX))


# --- payload types of the SFU's offers


def test_a_codec_keeps_the_number_that_the_client_gave_it() -> None:
    """aiortc calls Opus 96, Chromium 111: the offer follows whoever has spoken, parameters included."""
    opus = Codec("OPUS", 96, 48000, 2, "stereo=1")
    assert numbering(opus).offered_codecs("audio", (OPUS,)) == (replace(opus, feedback=FEEDBACK["audio"]),)


def test_of_two_numbers_for_a_codec_the_latest_is_used() -> None:
    """A client that numbers anew; in one m-section the first."""
    made = numbering(OPUS, replace(OPUS, payload_type=120))
    assert numbers(made.offered_codecs("audio", (OPUS,))) == [("opus", 111)]
    made.learn(section("0", codecs=(replace(OPUS, payload_type=96),)))
    assert numbers(made.offered_codecs("audio", (OPUS,))) == [("opus", 96)]


def test_a_number_that_means_something_else_is_not_used() -> None:
    """A client that calls another codec 111 is offered Opus under a free number."""
    assert numbers(numbering(AAC).offered_codecs("audio", (OPUS,))) == [("opus", 96)]


def test_numbers_that_the_sfu_gave_hold_too() -> None:
    """Before any answer: two m-sections of one offer must not call two codecs the same."""
    made = numbering(AAC)
    assert numbers(made.offered_codecs("audio", (OPUS,))) == [("opus", 96)]
    assert numbers(made.offered_codecs("video", (VP8,))) == [("VP8", 97), ("rtx", 98)]
    assert numbers(made.offered_codecs("video", (VP8,))) == [("VP8", 97), ("rtx", 98)]


def test_video_is_offered_as_its_publisher_describes_it() -> None:
    """Profile and level are the publisher's, until the client has described the same codec itself."""
    high = Codec("H264", 120, 90000, parameters="packetization-mode=1;profile-level-id=640034")
    made = Numbering()
    (offered, rtx) = made.offered_codecs("video", (high,))
    assert (offered.payload_type, offered.parameters) == (112, high.parameters)
    assert (rtx.payload_type, rtx.repairs) == (113, 112)
    lower = replace(high, payload_type=35, parameters="packetization-mode=1;profile-level-id=64001f")
    assert numbering(lower).offered_codecs("video", (high,))[0] == replace(lower, feedback=FEEDBACK["video"])


def test_the_rtx_of_the_client_is_used() -> None:
    """Its number and its parameters."""
    rtx = Codec("rtx", 45, 90000, parameters="apt=96;rtx-time=200")
    assert numbering(VP8, rtx).offered_codecs("video", (VP8,)) == (
        replace(VP8, feedback=FEEDBACK["video"]),
        rtx,
    )


def test_what_the_sfu_does_not_forward_is_not_offered() -> None:
    """Comfort noise, DTMF, RTX of a publisher, and a codec given twice."""
    given_ = (OPUS, Codec("CN", 13, 8000), PCMU, Codec("opus", 97, 48000, 2))
    assert numbers(Numbering().offered_codecs("audio", given_)) == [("opus", 111), ("PCMU", 0)]
    assert numbers(Numbering().offered_codecs("video", (VP8_RTX, VP8))) == [("VP8", 96), ("rtx", 97)]
    assert Numbering().offered_codecs("video", given_) == ()
    assert Numbering().offered_codecs("application", given_) == ()


def test_when_all_numbers_are_taken() -> None:
    """Nothing is offered that could not be told apart; RTX is missed first."""
    full = tuple(Codec("x", number, 8000) for number in range(128))
    assert numbering(*full).offered_codecs("audio", (OPUS,)) == ()
    assert numbers(numbering(*full[:127]).offered_codecs("video", (VP8,))) == [("VP8", 127)]


def test_no_number_looks_like_rtcp() -> None:
    """RFC 5761 §4, even if it is the publisher's."""
    strange = Codec("VP9", 72, 90000, parameters="profile-id=3")
    assert numbers(Numbering().offered_codecs("video", (strange,))) == [("VP9", 96), ("rtx", 97)]


any_codec = st.sampled_from([OPUS, PCMU, AAC, VP8, VP9, H264, VP8_RTX, *CODECS["audio"], *CODECS["video"]])
descriptions = st.lists(st.tuples(any_codec, st.integers(0, 127)), max_size=40, unique_by=lambda item: item[1]).map(
    lambda items: tuple(replace(codec, payload_type=number) for codec, number in items)
)


@given(st.lists(st.one_of(descriptions, st.sampled_from(["audio", "video"])), max_size=8))
def test_numbers_are_unambiguous(steps: list[tuple[Codec, ...] | str]) -> None:
    """Whatever a client describes in between: what is offered means the same to it, or is new to it."""
    made = Numbering()
    meanings: dict[int, Codec] = {}
    for step in steps:
        if not isinstance(step, str):
            made.learn(section("0", codecs=step))
            meanings |= {codec.payload_type: codec for codec in step}
            continue
        offered = made.offered_codecs(step, CODECS[step])
        assert len({codec.payload_type for codec in offered}) == len(offered)
        for codec in offered:
            number = codec.payload_type
            known = meanings.setdefault(number, codec)
            assert (known.name, known.parameters) == (codec.name, codec.parameters)
            assert number not in range(64, 96) or number in meanings
            if codec.repairs is not None:
                assert codec.repairs in {media.payload_type for media in offered}


# --- header extensions


def test_extensions_of_a_client() -> None:
    """Under its ids, if they fit into a header: 8 bit, and 0 is padding (RFC 8285 §4.3)."""
    named = {0: extensions.RID, 4: extensions.MID, 300: extensions.TRANSPORT_CC, 255: extensions.ABS_SEND_TIME}
    media = section("0", extensions=named)
    accepted = codecs.accepted_extensions(media, extensions.BY_KIND["video"])
    assert accepted == {extensions.MID: 4, extensions.ABS_SEND_TIME: 255}
    assert codecs.written_extensions("video", accepted) == {extensions.MID: 4}
    accepted = codecs.accepted_extensions(video("0"), extensions.BY_KIND["video"])
    assert codecs.written_extensions("video", accepted) == {
        extensions.MID: 4,
        extensions.ABS_SEND_TIME: 2,
        extensions.VIDEO_ORIENTATION: 13,
    }


def test_extension_ids_of_the_sfu() -> None:
    """The client's own, else Chromium's, else a free one."""
    uris = (extensions.AUDIO_LEVEL, extensions.ABS_CAPTURE_TIME)
    assert Numbering().offered_extensions(uris) == {extensions.AUDIO_LEVEL: 1, extensions.ABS_CAPTURE_TIME: 14}
    made = Numbering()
    made.learn(section("0", extensions={1: "urn:x", 7: extensions.ABS_CAPTURE_TIME, 300: extensions.AUDIO_LEVEL}))
    assert made.offered_extensions(uris) == {extensions.AUDIO_LEVEL: 2, extensions.ABS_CAPTURE_TIME: 7}
    assert made.offered_extensions((extensions.ABS_SEND_TIME,)) == {extensions.ABS_SEND_TIME: 3}
    made.learn(section("0", extensions=dict.fromkeys(range(1, 15), "urn:x")))
    assert made.offered_extensions(uris) == {}


@given(st.lists(st.dictionaries(st.integers(0, 65535), st.sampled_from([*VIDEO_EXTENSIONS.values(), "urn:x"]))))
def test_extension_ids_are_unambiguous(steps: list[dict[int, str]]) -> None:
    """Whatever a client describes: no id of the SFU means something else to it."""
    made = Numbering()
    for named in steps:
        made.learn(section("0", extensions=named))
        offered = made.offered_extensions(extensions.TO_SUBSCRIBERS["video"])
        assert len(set(offered.values())) == len(offered)
        for uri, identifier in offered.items():
            assert named.get(identifier, uri) == uri
            assert 1 <= identifier <= 14
