"""Session descriptions: what real endpoints write is understood, and nothing else gets in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.codec import Codec
from rtcctl.media.extensions import MID
from rtcctl.media.sdp import (
    Candidate,
    Direction,
    MediaSection,
    Rid,
    SessionDescription,
    Setup,
    Simulcast,
    Source,
)

VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "sdp").glob("*.sdp"))


def vector(name: str) -> str:
    return next(path for path in VECTORS if path.stem == name).read_bytes().decode()


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_what_is_written_again_means_the_same(path: Path) -> None:
    """Writing a parsed description and parsing that gives an equal description."""
    description = SessionDescription.parse(path.read_bytes().decode())
    assert description.media
    assert all(section.ice_ufrag and section.fingerprints and section.mid for section in description.media)
    assert SessionDescription.parse(str(description)) == description


def test_chromium_publishes_audio() -> None:
    """Chromium's offer of a microphone: codecs, header extensions, SSRC and transport are all read."""
    description = SessionDescription.parse(vector("chromium-publish-audio"))
    (section,) = description.media
    assert description.bundle == ("0",)
    assert (section.kind, section.mid, section.direction) == ("audio", "0", Direction.SENDONLY)
    assert section.codecs[0] == Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1", ("transport-cc",))
    assert [codec.payload_type for codec in section.codecs] == [111, 63, 9, 0, 8, 13, 110, 126]
    assert section.extension_id(MID) == 4
    assert section.setup is Setup.ACTPASS
    assert section.rtcp_mux
    assert section.rtcp_rsize
    assert section.ssrcs[0].cname
    assert section.ssrcs[0].msid == section.msid


def test_chromium_publishes_simulcast() -> None:
    """Rids and their order, RTX codecs and the data channel's m-section are read from Chromium's offer."""
    description = SessionDescription.parse(vector("chromium-publish-simulcast-datachannel"))
    _, video, data = description.media
    assert video.simulcast == Simulcast(send=(("f",), ("h",), ("q",)))
    assert video.rids == (Rid("f", "send"), Rid("h", "send"), Rid("q", "send"))
    assert any(codec.name == "rtx" and codec.parameters.startswith("apt=") for codec in video.codecs)
    assert (data.kind, data.is_rtp, data.formats, data.sctp_port) == (
        "application",
        False,
        ("webrtc-datachannel",),
        5000,
    )


def test_chromium_stops_a_transceiver() -> None:
    """A stopped transceiver has port 0 and is rejected; the others are not."""
    stopped, other = SessionDescription.parse(vector("chromium-reoffer-stopped")).media
    assert stopped.is_rejected
    assert not other.is_rejected


def test_firefox_offers_bundle_only() -> None:
    """What shares the transport of the first m-section has port 0 without being rejected (RFC 9143 §6)."""
    description = SessionDescription.parse(vector("firefox-publish-simulcast-datachannel"))
    assert [section.port for section in description.media] == [9, 0, 0]
    assert not any(section.is_rejected for section in description.media)
    video = description.media[1]
    assert video.simulcast == Simulcast(send=(("f",), ("h",), ("q",)))
    assert len(video.ssrcs) == 6
    assert video.extension_id(MID) == 3


def test_aiortc_groups_video_with_its_retransmissions() -> None:
    """SSRC groups and the CNAME of each SSRC are read from aiortc's offer."""
    _, video, _ = SessionDescription.parse(vector("aiortc-publish")).media
    ((semantics, ssrcs),) = video.ssrc_groups
    assert semantics == "FID"
    assert ssrcs == tuple(source.ssrc for source in video.ssrcs)


def test_session_level_attributes_are_handed_down() -> None:
    """Credentials, fingerprint, setup and direction at the session level hold where an m-section has none."""
    description = SessionDescription.parse(
        "v=0\na=ice-ufrag:abcd\na=ice-pwd:secret\na=fingerprint:SHA-256 ab:cd\na=setup:active\na=recvonly\n"
        "m=audio 9 RTP/AVP 0\nm=video 9 RTP/AVP 96\na=sendonly\na=ice-ufrag:own\n"
    )
    audio, video = description.media
    assert (audio.ice_ufrag, audio.ice_pwd, audio.setup) == ("abcd", "secret", Setup.ACTIVE)
    assert audio.fingerprints == (("sha-256", "AB:CD"),)
    assert (audio.direction, video.direction) == (Direction.RECVONLY, Direction.SENDONLY)
    assert video.ice_ufrag == "own"


def test_static_payload_types_need_no_rtpmap() -> None:
    """PCMU and PCMA may stand in the m-line alone; an unknown number without rtpmap means nothing."""
    (section,) = SessionDescription.parse("v=0\nm=audio 9 RTP/AVP 0 8 77\n").media
    assert [codec.name for codec in section.codecs] == ["PCMU", "PCMA"]


def test_feedback_for_all_payload_types() -> None:
    """`a=rtcp-fb:*` holds for each codec."""
    (section,) = SessionDescription.parse("v=0\nm=audio 9 RTP/AVP 0 8\na=rtcp-fb:* nack\na=rtcp-fb:8 ccm fir\n").media
    assert [codec.feedback for codec in section.codecs] == [("nack",), ("ccm fir", "nack")]


def test_candidate_priority() -> None:
    """The first host candidate has the priority of RFC 8445 §5.1.2.1, later ones less."""
    first, second = (Candidate.host("127.0.0.1", 8610, index=index) for index in range(2))
    assert str(first) == "1 1 udp 2130706431 127.0.0.1 8610 typ host"
    assert second.priority < first.priority
    assert second.foundation != first.foundation
    assert Candidate.parse(str(first)) == first


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a line end"),
        ("v=0", "a line end"),
        ("v=1\n", "v=0"),
        ("v=0\nnonsense\n", "x=…"),
        ("v=0\n\n", "x=…"),
        ("v=0\ns=\x00\n", "control characters"),
        ("v=0\no=- 0 0 IN IP4\n", "six fields"),
        ("v=0\no=- -1 0 IN IP4 x\n", "a number"),
        ("v=0\na=group:BUNDLE a\u00e9\n", "BUNDLE"),
        ("v=0\nm=audio 9 RTP/AVP\n", "m="),
        ("v=0\nm=audio 65536 RTP/AVP 0\n", "a number up to 65535"),
        ("v=0\nm=audio 9 RTP/AVP 128\n", "a number up to 127"),
        ("v=0\nm=audio 9 RTP/AVP 0 0\n", "different payload types"),
        ("v=0\nm=audio 9 RTP/AVP ٣\n", "a number"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=mid:a b\n", "a=mid"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=setup:maybe\n", "a=setup"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=fingerprint:sha-256 xyz\n", "a hash function"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=extmap:1\n", "the URI"),
        ("v=0\nm=audio 9 RTP/AVP 96\na=rtpmap:96 opus\n", "<encoding>"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=ssrc:4294967296 cname:x\n", "a number"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=ssrc-group:\n", "the semantics"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=rid:f sideways\n", "a rid"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=simulcast:send\n", "`send` or `recv`"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=simulcast:send f recv\n", "`send` or `recv`"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=simulcast:send f send h\n", "simulcast streams"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=candidate:1 1 udp 1 host 9 host\n", "a candidate"),
        ("v=0\nm=audio 9 RTP/AVP 0\na=candidate:1 1 udp 1 \u00e9 9 typ host\n", "a candidate"),
    ],
)
def test_malformed(text: str, expected: str) -> None:
    """Each malformed line is refused with what was expected."""
    with pytest.raises(ParseError) as caught:
        SessionDescription.parse(text)
    assert expected in caught.value.expected
    assert 0 <= caught.value.offset <= len(text)


def test_a_long_line_that_does_not_end() -> None:
    """What is wrong is found in one pass, also where each character of half a megabyte could begin a line."""
    prefix = "v=0\n" + "a=" * 250_000
    with pytest.raises(ParseError) as caught:
        SessionDescription.parse(f"{prefix}\0\n")
    assert caught.value.expected == "a line without control characters"
    assert caught.value.offset == len(prefix)


def test_credentials_stay_out_of_repr() -> None:
    """The ICE password is not in the representation that a log might show."""
    section = SessionDescription.parse(vector("chromium-publish-audio")).media[0]
    assert section.ice_pwd not in repr(section)


tokens = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
ssrcs = st.integers(0, 2**32 - 1)
msids = st.one_of(st.just(""), st.builds("{} {}".format, tokens, tokens))
stream_lists = st.lists(st.lists(tokens, min_size=1, max_size=2).map(tuple), max_size=3).map(tuple)
codecs = st.builds(
    Codec,
    name=tokens,
    payload_type=st.integers(0, 127),
    clock_rate_hz=st.integers(1, 96000),
    channels=st.integers(1, 8),
    parameters=st.sampled_from(["", "minptime=10;useinbandfec=1", "apt=96"]),
    feedback=st.sampled_from([(), ("nack",), ("nack", "nack pli")]),
)
sections = st.builds(
    MediaSection,
    kind=st.sampled_from(["audio", "video"]),
    mid=tokens,
    port=st.integers(0, 0xFFFF),
    codecs=st.lists(codecs, max_size=4, unique_by=lambda codec: codec.payload_type).map(tuple),
    direction=st.sampled_from(Direction),
    ice_ufrag=tokens,
    ice_pwd=tokens,
    fingerprints=st.just((("sha-256", "AB:CD"),)),
    setup=st.one_of(st.none(), st.sampled_from(Setup)),
    candidates=st.lists(st.builds(Candidate.host, st.just("192.0.2.1"), st.integers(0, 65535)), max_size=2).map(tuple),
    has_end_of_candidates=st.booleans(),
    extensions=st.dictionaries(st.integers(1, 14), st.sampled_from([MID, "urn:x"]), max_size=3),
    msid=msids,
    ssrcs=st.lists(st.builds(Source, ssrcs, tokens, msids), max_size=3, unique_by=lambda source: source.ssrc).map(
        tuple
    ),
    ssrc_groups=st.lists(st.tuples(tokens, st.lists(ssrcs, max_size=3).map(tuple)), max_size=2).map(tuple),
    rids=st.lists(st.builds(Rid, tokens, st.sampled_from(["send", "recv"])), max_size=3).map(tuple),
    simulcast=st.one_of(st.none(), st.builds(Simulcast, stream_lists.filter(bool), stream_lists)),
    rtcp_mux=st.booleans(),
    rtcp_rsize=st.booleans(),
    is_bundle_only=st.booleans(),
)
descriptions = st.builds(
    SessionDescription,
    media=st.lists(sections, max_size=3).map(tuple),
    bundle=st.lists(tokens, max_size=3).map(tuple),
    is_ice_lite=st.booleans(),
    session_id=st.integers(0, 2**63 - 1),
    version=st.integers(0, 2**63 - 1),
)


@pytest.mark.parametrize("line", ["extmap:1 u", "fingerprint:sha-256 AB"])
def test_what_is_handed_down_is_bounded(line: str) -> None:
    """Each m-section takes over all of the session level: a description of a megabyte would take half a minute."""
    head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
    sections = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 2000
    assert len(SessionDescription.parse(head + f"a={line}\r\n" * 256 + sections).media) == 2000
    with pytest.raises(ParseError, match=f"at most 256 lines of a={line.partition(':')[0]}"):
        SessionDescription.parse(head + f"a={line}\r\n" * 257 + sections)


@given(descriptions)
def test_round_trip(description: SessionDescription) -> None:
    """Whatever is written is read back as it was."""
    assert SessionDescription.parse(str(description)) == description


@given(st.sampled_from(VECTORS), st.data())
def test_noise_in_a_valid_description(path: Path, data: st.DataObject) -> None:
    """A valid prefix and noise: a description or a `ParseError`, and nothing else."""
    text = path.read_bytes().decode()
    cut = data.draw(st.integers(0, len(text)))
    noise = data.draw(st.one_of(st.text(max_size=40), st.binary(max_size=40).map(lambda b: b.decode("latin-1"))))
    rest = data.draw(st.sampled_from(["", "\r\n", text[cut:], text[cut + len(noise) :]]))
    try:
        description = SessionDescription.parse(text[:cut] + noise + rest)
    except ParseError:
        return
    assert SessionDescription.parse(str(description)) == description
