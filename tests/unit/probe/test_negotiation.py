"""Covers rtcctl/probe/negotiation.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtcctl.errors import ParseError
from rtcctl.media import extensions as ext
from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Candidate, Direction, MediaSection, SessionDescription, Setup, Simulcast
from rtcctl.probe import negotiation
from rtcctl.probe.negotiation import APPLICATION, LocalTransport, Section

OURS = LocalTransport(
    ufrag="ufrg", pwd="p" * 22, fingerprint=":".join(["AB"] * 32), candidates=(Candidate.host("127.0.0.1", 4000),)
)
OPUS = negotiation.AUDIO[0]
VP8 = negotiation.VIDEO[0]


def described(sections: list[Section], setup: Setup = Setup.ACTPASS) -> SessionDescription:
    """What we say, as the other end reads it."""
    text = negotiation.description(sections, OURS, setup=setup, session_id=1, version=1, cname="cn")
    assert text.endswith("\r\n")
    return SessionDescription.parse(text)


def sending(codec: Codec, mid: str, *others: Section, rids: tuple[str, ...] = ()) -> Section:
    kind = "audio" if codec.clock_rate_hz != 90_000 else "video"
    ssrcs = tuple(100 + 2 * index for index in range(max(1, len(rids))))
    return negotiation.sending(codec, mid, others, kind=kind, ssrcs=ssrcs, rids=rids)


def answer(offer: SessionDescription, **changes: object) -> SessionDescription:
    """What an SFU would say to it: everything, the other way round."""
    turned = {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}
    media = tuple(
        replace(m, direction=turned.get(m.direction, m.direction), setup=Setup.PASSIVE, ssrcs=(), ssrc_groups=())
        for m in offer.media
    )
    return replace(offer, media=tuple(replace(m, **changes) for m in media))


def test_an_offer_has_what_a_browser_would_have():
    """Transport in each m-section, BUNDLE, mux, RTX for video with its SSRC, feedback; nothing of that for sound."""
    audio, video = sending(OPUS, "0"), None
    video = sending(VP8, "1", audio)
    offer = described([audio, video])
    assert offer.bundle == ("0", "1")
    sound, picture = offer.media
    for media in offer.media:
        assert (media.ice_ufrag, media.setup, media.rtcp_mux) == ("ufrg", Setup.ACTPASS, True)
        assert media.direction is Direction.SENDONLY
        assert media.candidates == OURS.candidates
        assert media.fingerprints == (("sha-256", OURS.fingerprint),)
    assert [codec.name for codec in sound.codecs] == ["opus"]
    assert [codec.name for codec in picture.codecs] == ["VP8", "rtx"]
    assert picture.codecs[1].repairs == picture.codecs[0].payload_type
    assert "nack pli" in picture.codecs[0].feedback
    assert [source.ssrc for source in picture.ssrcs] == [100, 101]
    assert picture.ssrc_groups == (("FID", (100, 101)),)
    assert set(sound.extensions.values()) == {ext.MID}


def test_simulcast_names_layers_and_no_ssrcs():
    """As browsers have it: `a=rid`, `a=simulcast`, and the header extensions that tell them apart."""
    (media,) = described([sending(VP8, "0", rids=("f", "h", "q"))]).media
    assert media.simulcast is not None
    assert media.simulcast.send == (("f",), ("h",), ("q",))
    assert [(rid.rid, rid.direction) for rid in media.rids] == [("f", "send"), ("h", "send"), ("q", "send")]
    assert media.ssrcs == ()
    assert set(media.extensions.values()) == {ext.MID, ext.RID, ext.REPAIRED_RID}


def test_a_payload_type_means_one_thing_in_a_session():
    """What the SFU called 96 is called so by us, and what is ours gets another number (RFC 9143 §10.1.2)."""
    taken = Section(
        "0", "video", Direction.RECVONLY, (Codec("VP9", 96, 90_000, 1, "profile-id=0"),), {1: ext.TRANSPORT_CC}
    )
    mine = sending(VP8, "1", taken)
    numbers = [codec.payload_type for codec in mine.codecs]
    assert 96 not in numbers
    assert len(set(numbers)) == len(numbers)
    same = negotiation.receiving("video", "2", [taken, mine])
    assert same.payload_type(Codec("VP9", 0, 90_000, 1, "profile-id=0")) == 96
    assert same.payload_type(VP8) == mine.codecs[0].payload_type
    assert same.extensions[1] == ext.TRANSPORT_CC
    assert len(set(same.extensions.values())) == len(same.extensions)
    for codec in same.codecs:
        if codec.repairs is not None:
            assert codec.repairs in {other.payload_type for other in same.codecs}


@pytest.mark.parametrize("profile", ["42e01f", "42001f", "4d0028", "64001f", "640c34"])
def test_h264_of_any_profile_is_received(profile: str):
    """Chromium prefers Baseline, cameras of phones High: each has a payload type of its own, with RTX."""
    section = negotiation.receiving("video", "0", [])
    codec = Codec("H264", 0, 90_000, 1, f"packetization-mode=1;profile-level-id={profile}")
    payload_type = section.payload_type(codec)
    assert payload_type is not None
    assert section.rtx_payload_type(payload_type) is not None
    assert len({known.payload_type for known in section.codecs}) == len(section.codecs)


def test_an_answer_is_agreed_on():
    """Codecs and ids are those of the answer, and so is whether it takes what we send."""
    section = sending(VP8, "0")
    description = answer(described([section]), codecs=(replace(VP8, payload_type=120),), extensions={7: ext.MID})
    negotiation.agree_on_answer([section], description)
    assert section.payload_type(VP8) == 120
    assert section.rtx_payload_type(120) is None
    assert section.extensions == {7: ext.MID}
    assert section.is_remote_receiving
    negotiation.agree_on_answer([section], answer(described([section]), direction=Direction.INACTIVE))
    assert not section.is_remote_receiving


def test_layers_that_the_answer_does_not_take_are_not_sent():
    """Those it names are kept; without simulcast in the answer only the best layer remains (RFC 8853 §5.3)."""
    some, none = sending(VP8, "0", rids=("f", "h", "q")), sending(VP8, "0", rids=("f", "h", "q"))
    negotiation.agree_on_answer([some], answer(described([some]), simulcast=Simulcast(recv=(("f",), ("q",)))))
    assert some.rids == ("f", "q")
    negotiation.agree_on_answer([none], answer(described([none]), simulcast=None))
    assert none.rids == ("f",)


@pytest.mark.parametrize(
    "change",
    [
        lambda media: media[:1],
        lambda media: (replace(media[0], mid="9"), media[1]),
        lambda media: (replace(media[0], kind="video"), media[1]),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(change):
    """As many m-sections as offered, with their mids and kinds."""
    sections = [sending(OPUS, "0"), sending(OPUS, "1")]
    description = answer(described(sections))
    with pytest.raises(ParseError):
        negotiation.agree_on_answer(sections, replace(description, media=change(description.media)))


def offered(*media: MediaSection) -> SessionDescription:
    return SessionDescription(media=media, bundle=tuple(m.mid for m in media))


def remote(mid: str, direction: Direction = Direction.SENDONLY, **fields: object) -> MediaSection:
    known = {"kind": "audio", "codecs": (OPUS,), "ice_ufrag": "u" * 4, "ice_pwd": "p" * 22}
    return MediaSection(mid=mid, direction=direction, **(known | fields))  # type: ignore[arg-type]


def test_an_offer_adds_m_sections_and_is_answered_in_kind():
    """What it sends we receive, with all its codecs; what it only keeps we keep inactive."""
    sections: list[Section] = []
    added = negotiation.agree_on_offer(sections, offered(remote("a"), remote("b", Direction.INACTIVE)))
    assert added == sections
    first, second = described(sections, Setup.ACTIVE).media
    assert (first.mid, first.direction, first.setup) == ("a", Direction.RECVONLY, Setup.ACTIVE)
    assert second.direction is Direction.INACTIVE
    assert first.ssrcs == ()
    negotiation.agree_on_offer(sections, offered(remote("a", Direction.INACTIVE), remote("b")))
    first, second = described(sections, Setup.ACTIVE).media
    assert (first.direction, second.direction) == (Direction.INACTIVE, Direction.RECVONLY)


def test_what_we_send_stays_ours_when_the_sfu_offers():
    """An offer of the SFU that still takes our track is answered `sendonly`, with the SSRCs it has had."""
    section = sending(OPUS, "0")
    sections = [section]
    negotiation.agree_on_answer(sections, answer(described(sections)))
    negotiation.agree_on_offer(sections, offered(remote("0", Direction.RECVONLY), remote("1")))
    first, second = described(sections, Setup.ACTIVE).media
    assert (first.direction, second.direction) == (Direction.SENDONLY, Direction.RECVONLY)
    assert [source.ssrc for source in first.ssrcs] == [100]
    negotiation.agree_on_offer(sections, offered(remote("0", Direction.INACTIVE), remote("1")))
    assert described(sections, Setup.ACTIVE).media[0].direction is Direction.INACTIVE


def test_an_offer_that_loses_m_sections_is_refused():
    """They never go away (RFC 8829 §5.2.2); a rejected one may come back as another."""
    sections: list[Section] = []
    negotiation.agree_on_offer(sections, offered(remote("a"), remote("b")))
    with pytest.raises(ParseError):
        negotiation.agree_on_offer(sections, offered(remote("a")))
    with pytest.raises(ParseError):
        negotiation.agree_on_offer(sections, offered(remote("a"), remote("b", kind="video")))
    negotiation.agree_on_offer(sections, offered(remote("a", port=0), remote("b")))
    assert sections[0].is_rejected
    assert described(sections, Setup.ACTIVE).media[0].port == 0
    negotiation.agree_on_offer(sections, offered(remote("c"), remote("b")))
    assert (sections[0].mid, sections[0].is_rejected) == ("c", False)


def test_the_streams_of_the_other_end_are_known_without_their_rtx():
    """Packets are counted for what they are: RTX is told by payload type."""
    sections: list[Section] = []
    media = remote("a").ssrcs
    assert media == ()
    text = str(offered(remote("a")))
    text += "a=ssrc-group:FID 5 6\r\na=ssrc:5 cname:x\r\na=ssrc:6 cname:x\r\n"
    negotiation.agree_on_offer(sections, SessionDescription.parse(text))
    assert sections[0].remote_ssrcs == (5,)


def test_data_channels_have_their_m_section():
    """`m=application`, with our port and how large a message may be; the other end's size is read from its own."""
    section = Section("0", APPLICATION, Direction.SENDRECV)
    (media,) = described([section]).media
    assert (media.protocol, media.formats, media.sctp_port) == ("UDP/DTLS/SCTP", ("webrtc-datachannel",), 5000)
    assert media.max_message_size == negotiation.MAX_MESSAGE_BYTES
    assert negotiation.max_message_bytes(described([section])) == negotiation.MAX_MESSAGE_BYTES
    assert negotiation.max_message_bytes(offered(remote("a"))) == 65_536


@pytest.mark.parametrize("missing", ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "m="])
def test_a_description_without_its_transport_is_no_description(missing: str):
    """What could never connect is refused when it is read, not when it times out."""
    text = negotiation.description([sending(OPUS, "0")], OURS, setup=Setup.ACTPASS, session_id=1, version=1, cname="c")
    lines = text.splitlines(keepends=True)
    if missing == "m=":
        lines = lines[: next(i for i, line in enumerate(lines) if line.startswith("m="))]
    with pytest.raises(ParseError):
        negotiation.parse("".join(line for line in lines if not line.startswith(missing)))


def test_what_would_not_be_counted_is_not_taken():
    """Media inside RED, FEC, and RTX of either; a kind that we do not know, not even when it is offered again."""
    codecs = (
        VP8,
        Codec("rtx", 97, 90_000, 1, "apt=96"),
        Codec("red", 116, 90_000),
        Codec("rtx", 117, 90_000, 1, "apt=116"),
        Codec("ulpfec", 118, 90_000),
    )
    sections: list[Section] = []
    text = remote("b", kind="text", codecs=(Codec("t140", 98, 1000),))
    offer = offered(remote("a", kind="video", codecs=codecs), text)
    for _ in range(2):
        negotiation.agree_on_offer(sections, offer)
        video, text = described(sections, Setup.ACTIVE).media
        assert [codec.payload_type for codec in video.codecs] == [96, 97]
        assert text.port == 0


def test_an_m_section_of_ours_that_was_rejected_comes_back_as_theirs():
    """Of another kind, even: it is a new one, in the old place (RFC 8829 §5.2.2)."""
    ours = sending(OPUS, "0")
    sections = [ours]
    negotiation.agree_on_offer(sections, offered(remote("0", port=0), remote("1")))
    added = negotiation.agree_on_offer(sections, offered(remote("2", kind="video", codecs=(VP8,)), remote("1")))
    assert [(s.mid, s.kind, s.direction) for s in added] == [("2", "video", Direction.RECVONLY)]
    assert sections[0] is added[0]
    assert ours.is_rejected
    assert [media.mid for media in described(sections, Setup.ACTIVE).media] == ["2", "1"]
