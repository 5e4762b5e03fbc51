"""Rules of negotiation that need no session."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.codec import Codec
from rtcctl.media.sdp import SDES_MID_URI, Direction, Setup, Source
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.server import negotiation
from rtcctl.web.refusal import Refusal
from tests.support.sdp import OPUS, offer_of, section

PCMU = Codec("PCMU", 0, 8000)
OTHER = Codec("VP8", 111, 90000)


def test_a_codec_keeps_the_number_that_the_client_gave_it() -> None:
    """aiortc calls Opus 96, Chromium 111: the offer follows whoever has spoken."""
    taken = {96: Codec("OPUS", 96, 48000, 2)}
    assert [codec.payload_type for codec in negotiation.offered_codecs("audio", (OPUS,), taken)] == [96]


def test_a_number_that_means_something_else_is_not_used() -> None:
    """A client that calls VP8 111 is offered Opus under a free number."""
    (offered,) = negotiation.offered_codecs("audio", (OPUS,), {111: OTHER})
    assert offered.payload_type == 96
    assert offered.name == "opus"


def test_what_the_sfu_does_not_forward_is_not_offered() -> None:
    """Comfort noise, DTMF, and a codec given twice."""
    codecs = (OPUS, Codec("CN", 13, 8000), PCMU, Codec("opus", 97, 48000, 2))
    assert [codec.name for codec in negotiation.offered_codecs("audio", codecs, {})] == ["opus", "PCMU"]
    assert negotiation.offered_codecs("video", codecs, {}) == ()


@given(st.dictionaries(st.integers(0, 127), st.sampled_from([OPUS, PCMU, OTHER])))
def test_numbers_are_unambiguous(taken: dict[int, Codec]) -> None:
    """Whatever the client has used, an offered number means the same to it, or is new to it."""
    offered = negotiation.offered_codecs("audio", (OPUS, PCMU, Codec("PCMA", 8, 8000)), taken)
    assert len({codec.payload_type for codec in offered}) == len(offered)
    for codec in offered:
        assert codec.payload_type not in taken or taken[codec.payload_type].is_same_codec(codec)
        assert not 64 <= codec.payload_type <= 95 or codec.payload_type in taken


def test_only_feedback_that_is_understood_is_accepted() -> None:
    """`transport-cc` is not answered, since no such feedback is sent."""
    offered = Codec("opus", 111, 48000, 2, "useinbandfec=1", ("transport-cc", "nack"))
    (accepted,) = negotiation.accepted_codecs(section("0", codecs=(offered, Codec("red", 63, 48000, 2))))
    assert accepted == Codec("opus", 111, 48000, 2, "useinbandfec=1", ("nack",))


def test_the_id_of_the_mid_extension() -> None:
    """The client's own, else Chromium's, else a free one."""
    assert negotiation.offered_mid_extension_id({1: SDES_MID_URI, 4: "urn:x"}) == 1
    assert negotiation.offered_mid_extension_id({}) == 4
    assert negotiation.offered_mid_extension_id({4: "urn:x", 1: "urn:y"}) == 2
    assert negotiation.offered_mid_extension_id(dict.fromkeys(range(1, 256), "urn:x")) is None


@pytest.mark.parametrize("identifier", [0, 256, 4096, 65535])
def test_an_extension_id_that_fits_no_header(identifier: int) -> None:
    """RFC 8285 §4.3: 8 bit, and 0 is padding. It is as if the client had not named the extension."""
    assert negotiation.mid_extension_id({identifier: SDES_MID_URI}) is None
    assert negotiation.offered_mid_extension_id({identifier: SDES_MID_URI}) == 4


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ((), "0"),
        (("0", "1"), "2"),
        (("audio",), "0"),
        (("7", "x"), "8"),
        (("٣",), "0"),
        (("999999999", "1000000000"), "1000000001"),
        (("9" * 255, "9" * 5000), "0"),
    ],
)
def test_mids_count_up(used: tuple[str, ...], expected: str) -> None:
    """Above every decimal mid that there is."""
    assert negotiation.next_mid(used) == expected


def test_what_is_outside_of_the_bundle_is_not_on_our_transport() -> None:
    """With a BUNDLE group its members; without one the first m-section, which is whose transport we take."""
    stopped, one, two = section("9", port=0), section("0"), section("1", ice_ufrag="two")
    apart = Sdp(media=(stopped, one, two))
    assert [negotiation.is_bundled(apart, media) for media in apart.media] == [False, True, False]
    second = Sdp(media=(one, two), bundle=("1",))
    assert [negotiation.is_bundled(second, media) for media in second.media] == [False, True]
    for offer, ufrag in ((apart, "ufrag"), (second, "two")):
        remote = negotiation.remote_transport(offer, Setup.ACTPASS)
        assert remote
        assert remote.ice_ufrag == ufrag


def test_an_ssrc_in_two_m_sections_is_refused() -> None:
    """Nobody could tell whose packets they are; a stopped m-section may still name its own."""
    source = (Source(7),)
    offer = offer_of(section("0", ssrcs=source), section("1", ssrcs=source))
    with pytest.raises(Refusal) as caught:
        negotiation.parse_offer(offer.sdp, [])
    assert (caught.value.status, caught.value.code) == (406, "invalid_session_description")
    negotiation.parse_offer(offer_of(section("0", ssrcs=source), section("1", ssrcs=source, port=0)).sdp, [])


def test_setup_of_answers() -> None:
    """An answer decides: `actpass` is none, silence means active (RFC 5763 §5)."""
    answer = Sdp(media=(section("0", Direction.RECVONLY, setup=None),))
    remote = negotiation.remote_transport(answer, Setup.ACTIVE)
    assert remote
    assert remote.setup is Setup.ACTIVE
    with pytest.raises(Refusal):
        negotiation.remote_transport(Sdp(media=(section("0", setup=Setup.ACTPASS),)), Setup.ACTIVE)


def test_a_description_without_live_media_has_no_transport() -> None:
    """Everything rejected: nothing to connect."""
    assert negotiation.remote_transport(Sdp(media=(section("0", port=0),)), Setup.ACTPASS) is None


@given(st.text(max_size=200))
def test_arbitrary_text_is_refused(text: str) -> None:
    """A `Refusal` with 400 or 406, and no other exception."""
    with pytest.raises(Refusal) as caught:
        negotiation.parse_offer(text, [])
    assert caught.value.status in (400, 406)
