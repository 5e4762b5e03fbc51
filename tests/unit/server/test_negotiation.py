"""Rules of negotiation that need no session."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.sdp import Candidate, Direction, Rid, Setup, Simulcast, Source
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.server import negotiation
from rtcctl.web.refusal import Refusal
from tests.support.sdp import data, offer_of, section, video


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
    assert [negotiation.is_carried(apart, media) for media in apart.media] == [False, True, False]
    second = Sdp(media=(one, two), bundle=("1",))
    assert [negotiation.is_carried(second, media) for media in second.media] == [False, True]
    # The group names first whose transport it is, wherever that m-section stands.
    backwards = Sdp(media=(stopped, one, two), bundle=("9", "1", "0"))
    assert [negotiation.is_carried(backwards, media) for media in backwards.media] == [False, True, True]
    for offer, mid, ufrag in ((apart, "0", "ufrag"), (second, "1", "two"), (backwards, "1", "two")):
        remote = negotiation.remote_transport(offer, Setup.ACTPASS)
        assert remote
        assert (remote.mid, remote.ice_ufrag) == (mid, ufrag)


def test_an_ssrc_in_two_m_sections_is_refused() -> None:
    """Nobody could tell whose packets they are; a stopped m-section may still name its own."""
    source = (Source(7),)
    offer = offer_of(section("0", ssrcs=source), section("1", ssrcs=source))
    with pytest.raises(Refusal) as caught:
        negotiation.parse_offer(offer.sdp, [])
    assert (caught.value.status, caught.value.code) == (406, "invalid_session_description")
    negotiation.parse_offer(offer_of(section("0", ssrcs=source), section("1", ssrcs=source, port=0)).sdp, [])


def test_where_a_peer_can_be_reached() -> None:
    """UDP candidates with an address, the best first; no names, no TCP, no RTCP of its own."""
    candidates = (
        Candidate("1", 1, "udp", 10, "192.0.2.1", 1000, "host"),
        Candidate("2", 1, "UDP", 30, "2001:db8::1", 2000, "srflx", "raddr 0.0.0.0 rport 0"),
        Candidate("3", 1, "tcp", 40, "192.0.2.1", 9, "host"),
        Candidate("4", 1, "udp", 50, "4d0d.local", 3000, "host"),
        Candidate("5", 2, "udp", 60, "192.0.2.1", 1001, "host"),
        Candidate("6", 1, "udp", 5, "192.0.2.1", 1000, "host"),
        Candidate("7", 1, "udp", 70, "192.0.2.1", 0, "host"),
    )
    answer = Sdp(media=(section("0", candidates=candidates),), is_ice_lite=True)
    remote = negotiation.remote_transport(answer, Setup.ACTPASS)
    assert remote
    assert remote.addresses() == (("2001:db8::1", 2000), ("192.0.2.1", 1000))
    assert remote.is_ice_lite


def test_m_sections_stay_where_they_are() -> None:
    """An offer has all that there were; an answer has those of the offer, the rejected ones rejected."""
    known = [section("0"), section("1", port=0)]
    for offer in ((known[0],), (section("1"), section("0"))):
        with pytest.raises(Refusal, match="media section"):
            negotiation.parse_offer(offer_of(*offer).sdp, known)
    answer = offer_of(section("0", setup=Setup.ACTIVE), section("1", setup=Setup.ACTIVE))
    with pytest.raises(Refusal, match="offered as rejected"):
        negotiation.parse_answer(answer.sdp, known)


@pytest.mark.parametrize(("said", "expected"), [(None, 65_536), (0, 0), (262_144, 262_144)])
def test_the_longest_message_of_a_client(said: int | None, expected: int) -> None:
    """RFC 8841 §6.1: 64 KiB when it does not say, and 0 means any. The port has a default too."""
    assert negotiation.data_limits(data("0", max_message_size=said, sctp_port=None)) == (5000, expected)
    assert negotiation.data_limits(data("0", max_message_size=said, sctp_port=5001)) == (5001, expected)


def test_rids_of_a_simulcast() -> None:
    """In the order of `a=simulcast`: of alternatives the first, of paused ones too, of undeclared ones none."""
    assert negotiation.simulcast_rids(video("0", rids=("x",))) == ("x",)
    assert negotiation.simulcast_rids(section("0")) == ()
    declared = (*(Rid(rid, "send") for rid in "abcd"), Rid("e", "recv"))
    simulcast = Simulcast(send=(("c",), ("~a", "b"), ("e",), ("z",), ("c",)), recv=(("d",),))
    media = section("0", kind="video", rids=declared, simulcast=simulcast)
    assert negotiation.simulcast_rids(media) == ("c", "a")


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


def test_too_many_media_sections_are_not_even_parsed() -> None:
    """A description as large as a body may be costs no time of the sessions beside it."""
    with pytest.raises(Refusal, match="too many media sections"):
        negotiation.parse("v=0\r\n" + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 30_000)
