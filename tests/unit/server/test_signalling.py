"""Descriptions of a session: what stays the same in all of them, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcctl.media import extensions
from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Direction, MediaSection, Setup, Source
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import SessionDescription, TracksRequest
from rtcctl.server.limits import Limits
from rtcctl.web.refusal import Refusal
from tests.support.sdp import H264, OPUS, VP8, VP9, answer_to, offer_of, section, stopped, video
from tests.support.world import (
    LIMITS,
    World,
    close,
    close_request,
    connect,
    connection_of,
    incoming_of,
    local,
    outgoing_of,
    publish,
    pull,
    pulled,
    refused,
    sdp_of,
    statuses,
    vector,
)


@pytest.mark.parametrize("protocol", ["UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "TCP/DTLS/RTP/SAVPF"])
async def test_an_answer_repeats_the_protocol(protocol: str) -> None:
    """Whichever spelling the client knows (RFC 8829 §5.1.2), in later offers of the SFU too."""
    world = World()
    session = world.session()
    answer = sdp_of(await publish(session, "0", "mic", section("0", Direction.SENDONLY, protocol=protocol)))
    assert [media.protocol for media in answer.media] == [protocol]
    connect(session)
    offer = sdp_of(await pull(session, await world.publisher(), "mic"))
    assert [media.protocol for media in offer.media] == [protocol, "UDP/TLS/RTP/SAVPF"]


@pytest.mark.parametrize("count", [LIMITS.media_sections, LIMITS.media_sections + 1])
async def test_media_sections_of_an_offer_are_bounded(count: int) -> None:
    """One more than the cap ends the session with 410, as at the service."""
    session = World().session()
    sections = (section("0", Direction.SENDONLY), *(section(str(n), port=0) for n in range(1, count)))
    if count <= LIMITS.media_sections:
        assert len(sdp_of(await publish(session, "0", "mic", *sections)).media) == count
        return
    with refused(410, "session_error"):
        await publish(session, "0", "mic", *sections)
    assert session.is_gone
    assert session.connection is None


async def test_media_sections_of_pulls_are_bounded() -> None:
    """Endless fresh mids on one session end in 410."""
    world = World(Limits(media_sections=3))
    publisher, subscriber = await world.publisher(), world.session()
    await pulled(subscriber, publisher, "mic", "mic")
    connect(subscriber)
    await pulled(subscriber, publisher, "mic", "nothing")
    with refused(410, "session_error"):
        await pull(subscriber, publisher, "mic")
    assert subscriber.is_gone
    assert not publisher.is_gone


async def test_ssrcs_of_a_media_section_are_bounded() -> None:
    """An offer can name thousands; the data path keeps something for each."""
    session = World().session()
    await publish(session, "0", "mic", section("0", Direction.SENDONLY, ssrcs=tuple(map(Source, range(1000)))))
    assert incoming_of(session).parameters.ssrcs == tuple(range(16))


@pytest.mark.parametrize("mid", ["9" * 255, "9" * 5000])
async def test_mids_that_are_long_numbers(mid: str) -> None:
    """A pull after them gets a mid that fits into a header."""
    world = World()
    session = world.session()
    port = 9 if len(mid) <= 255 else 0
    await publish(session, "a", "mic", section("a", Direction.SENDONLY), section(mid, Direction.SENDONLY, port=port))
    connect(session)
    (track,) = (await pull(session, await world.publisher(), "mic")).tracks or []
    assert track.mid == "0"


async def test_an_extension_id_of_the_client_that_fits_no_header() -> None:
    """It is not answered, and what the SFU then offers has one that does."""
    world = World()
    session = world.session()
    media = section("0", Direction.SENDONLY, extensions={300: extensions.AUDIO_LEVEL})
    answer = sdp_of(await publish(session, "0", "mic", media))
    assert answer.media[0].extensions == {}
    assert incoming_of(session).parameters.extensions == {}
    connect(session)
    offer = sdp_of(await pull(session, await world.publisher(), "mic"))
    assert offer.media[1].extension_id(extensions.AUDIO_LEVEL) == 1


async def test_an_extension_id_that_needs_a_long_header() -> None:
    """It is read from the client, but the SFU writes short headers only (RFC 8285 §4.2)."""
    session = World().session()
    media = section("0", extensions={20: extensions.AUDIO_LEVEL, 4: extensions.MID})
    await publish(session, "0", "mic", media, bidirectional_media_stream=True)
    assert incoming_of(session).parameters.extensions == {extensions.MID: 4, extensions.AUDIO_LEVEL: 20}
    assert outgoing_of(session).extensions == {extensions.MID: 4}


async def test_what_nobody_forwards_is_answered_with_port_0_and_leaves_the_bundle() -> None:
    """An m-section without a codec that the SFU forwards is rejected; the others work."""
    session = World().session()
    red = Codec("red", 118, 90000)
    sections = (section("0", Direction.SENDONLY), video("1", codecs=(red,)), section("2", kind="text"))
    answer = sdp_of(await publish(session, "0", "mic", *sections))
    assert [media.is_rejected for media in answer.media] == [False, True, True]
    assert answer.bundle == ("0",)


async def test_without_a_bundle_only_the_first_m_section_is_taken() -> None:
    """The others would need a transport each; the answer has no group either (RFC 9143 §7.3)."""
    session = World().session()
    sections = (section("0", Direction.SENDONLY), section("1", Direction.SENDONLY))
    offer = SessionDescription(type="offer", sdp=str(Sdp(media=sections)))
    tracks = [local(mid="0", track_name="mic")]
    answer = sdp_of(await session.new_tracks(TracksRequest(tracks=tracks, session_description=offer)))
    assert answer.bundle == ()
    assert [media.is_rejected for media in answer.media] == [False, True]


async def test_a_stopped_transceivers_place_is_taken_by_a_new_one() -> None:
    """A client may put a new mid where its transceiver has been stopped (RFC 8829 §5.2.2)."""
    world = World()
    session = await world.publisher("mic")
    response = await session.close_tracks(close_request("0", force=False, offer=offer_of(stopped("0"))))
    assert sdp_of(response).media[0].is_rejected
    assert sdp_of(response).bundle == ()
    answer = sdp_of(await publish(session, "5", "mic", section("5", Direction.SENDONLY)))
    assert [media.mid for media in answer.media] == ["5"]
    assert answer.bundle == ("5",)


async def test_a_session_publishes_and_pulls() -> None:
    """The pull's offer describes the published m-section too; ids and payload types mean one thing in the bundle."""
    world = World()
    publisher, both = await world.publisher(), world.session()
    offer = SessionDescription(type="offer", sdp=vector("aiortc-publish"))
    tracks = [local(mid="0", track_name="own"), local(mid="1", track_name="picture")]
    await both.new_tracks(TracksRequest(tracks=tracks, session_description=offer))
    connect(both)
    offer = sdp_of(await pull(both, publisher, "mic"))
    assert [(media.mid, media.direction, media.is_rejected) for media in offer.media] == [
        ("0", Direction.RECVONLY, False),
        ("1", Direction.RECVONLY, False),
        ("2", Direction.SENDRECV, False),
        ("3", Direction.SENDONLY, False),
    ]
    assert offer.bundle == ("0", "1", "2", "3")
    # aiortc gave opus 96 and the audio level 2.
    assert offer.media[3].codecs[0].payload_type == 96
    assert offer.media[3].extension_id(extensions.AUDIO_LEVEL) == 2
    await both.renegotiate(answer_to(offer))
    assert outgoing_of(both).is_forwarding


async def test_the_sfu_never_takes_a_mid_of_the_client() -> None:
    """Mids of the SFU are decimal counters above all that are used."""
    world = World()
    publisher, both = await world.publisher(), world.session()
    await publish(both, "7", "own", section("audio-x", Direction.SENDONLY), section("7", Direction.SENDONLY))
    connect(both)
    (track,) = (await pull(both, publisher, "mic")).tracks or []
    assert track.mid == "8"


async def test_what_the_client_refuses_is_closed() -> None:
    """A pulled m-section that the answer rejects, or does not receive, is inactive."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    offer = sdp_of(await pull(subscriber, publisher, "a", "a"))
    await subscriber.renegotiate(answer_to(offer, {"0": section("0", Direction.INACTIVE, port=0)}))
    assert statuses(subscriber) == {("remote", "0"): "inactive", ("remote", "1"): "active"}
    assert outgoing_of(subscriber, 0).is_closed
    assert outgoing_of(subscriber, 1).is_forwarding


async def test_an_answer_with_a_codec_that_was_not_offered() -> None:
    """It agrees to nothing: the subscription is closed."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    offer = sdp_of(await pull(subscriber, publisher, "a"))
    pcmu = section("0", Direction.RECVONLY, codecs=(Codec("PCMU", 0, 8000),), setup=Setup.ACTIVE)
    await subscriber.renegotiate(answer_to(offer, {"0": pcmu}))
    assert statuses(subscriber) == {("remote", "0"): "inactive"}
    assert outgoing_of(subscriber).negotiated is None


async def test_a_client_that_is_the_dtls_server() -> None:
    """A client that answers `passive` makes the SFU active, and it stays so in later answers."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    offer = sdp_of(await pull(subscriber, publisher, "mic"))
    await subscriber.renegotiate(answer_to(offer, setup=Setup.PASSIVE))
    connect(subscriber)
    sections = (section("0", Direction.RECVONLY), section("1", Direction.SENDONLY))
    answer = sdp_of(await publish(subscriber, "1", "own", *sections))
    assert [media.setup for media in answer.media] == [Setup.ACTIVE, Setup.ACTIVE]
    assert [media.direction for media in answer.media] == [Direction.SENDONLY, Direction.RECVONLY]


@pytest.mark.parametrize("setup", [Setup.ACTPASS, Setup.ACTIVE, Setup.PASSIVE, None])
async def test_the_dtls_role_never_changes(setup: Setup | None) -> None:
    """Whatever a later offer of the client says (RFC 8842 §5.3); an offer of the SFU leaves it open by its form."""
    world = World()
    session = await world.publisher()
    answer = sdp_of(await session.renegotiate(offer_of(section("0", Direction.SENDONLY, setup=setup))))
    assert answer.media[0].setup is Setup.PASSIVE
    offer = sdp_of(await pull(session, await world.publisher(), "mic"))
    assert {media.setup for media in offer.media} == {Setup.ACTPASS}


async def test_candidates_may_be_missing() -> None:
    """Clients that do not wait for theirs; the SFU hands on those that there are, and which agent the peer is."""
    world = World()
    session = await world.publisher()
    (remote,) = connection_of(session).remotes
    assert (remote["candidates"], remote["is_ice_lite"]) == ((), False)


async def test_a_stopped_first_m_section_may_mean_a_new_transport() -> None:
    """Chromium begins one when the m-section that spoke for the BUNDLE group is stopped or replaced, and only then."""
    session = await World().publisher("a")
    first, second = section("0", Direction.SENDONLY), section("1", Direction.SENDONLY)
    for offer, is_new_transport in (
        ((first, second), False),
        ((first, stopped("1")), False),
        ((first, section("2", Direction.SENDONLY)), False),
        ((stopped("0"), section("2", Direction.SENDONLY)), True),
        ((stopped("0"), section("2", Direction.SENDONLY)), False),
        ((section("3", Direction.SENDONLY), section("2", Direction.SENDONLY)), True),
        ((stopped("3"), stopped("2")), None),
        ((stopped("3"), section("4", Direction.SENDONLY)), True),
    ):
        connection_of(session).remotes.clear()
        answer = sdp_of(await session.renegotiate(offer_of(*offer)))
        said = [remote["is_new_transport"] for remote in connection_of(session).remotes]
        assert said == [is_new_transport] if is_new_transport is not None else said == []
        assert [media.mid for media in answer.media] == [media.mid for media in offer]
        assert answer.bundle == tuple(media.mid for media in offer if not media.is_rejected)


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_a_browser_uses_the_place_of_its_stopped_transceiver(browser: str) -> None:
    """The first m-section with a new mid; the group is in the browser's order."""
    session = await World().publisher("a")
    await session.renegotiate(offer_of(stopped("0"), video("1")))
    offer = SessionDescription(type="offer", sdp=vector(f"{browser}-reoffer-recycled"))
    request = TracksRequest(tracks=[local(mid="2", track_name="b")], session_description=offer)
    answer = sdp_of(await session.new_tracks(request))
    assert [(media.mid, media.is_rejected) for media in answer.media] == [("2", False), ("1", False)]
    assert answer.bundle == ("2", "1")
    assert connection_of(session).remotes[-1]["is_new_transport"] is True


async def test_numbers_of_a_stopped_m_section_mean_nothing() -> None:
    """Firefox names a payload type there that it has not used so before."""
    world = World()
    camera, subscriber = await world.publisher("camera", video("0")), await world.publisher()
    await pulled(subscriber, camera, "camera")
    gone = stopped("1", kind="video", codecs=(replace(VP8, payload_type=120),))
    await close(subscriber, "1")
    await subscriber.renegotiate(offer_of(section("0", Direction.SENDONLY), gone))
    offer = sdp_of(await pull(subscriber, camera, "camera"))
    assert [codec.payload_type for codec in offer.media[1].codecs] == [96, 97]


async def test_the_group_keeps_its_order() -> None:
    """The m-section that speaks for the transport is named first, as the client did, in answers and in offers."""
    world = World()
    session = world.session()
    sections = (section("0", Direction.SENDONLY), section("1", Direction.SENDONLY))
    description = SessionDescription(type="offer", sdp=str(Sdp(media=sections, bundle=("1", "0"))))
    tracks = [local(mid="1", track_name="mic")]
    answer = sdp_of(await session.new_tracks(TracksRequest(tracks=tracks, session_description=description)))
    assert answer.bundle == ("1", "0")
    connect(session)
    assert sdp_of(await pull(session, await world.publisher(), "mic")).bundle == ("1", "0", "2")


async def test_an_m_section_that_an_answer_takes_out_of_the_group() -> None:
    """It has no transport: refused, as if its port were 0."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    answer = sdp_of(answer_to(sdp_of(await pull(subscriber, publisher, "mic", "mic"))))
    apart = SessionDescription(type="answer", sdp=str(replace(answer, bundle=("0",))))
    await subscriber.renegotiate(apart)
    assert statuses(subscriber) == {("remote", "0"): "active", ("remote", "1"): "inactive"}


async def test_an_offer_by_renegotiate_restarts_ice() -> None:
    """The SFU answers it, and hands the new credentials to the transport."""
    session = await World().publisher()
    restarted = section("0", Direction.SENDONLY, ice_ufrag="other")
    answer = await session.renegotiate(offer_of(restarted))
    assert answer
    assert answer.type == "answer"
    assert [remote["ice_ufrag"] for remote in connection_of(session).remotes] == ["ufrag", "other"]


async def test_a_wrong_answer_leaves_the_offer_pending() -> None:
    """Fewer m-sections, other mids, an offer instead: refused, and the right answer still works."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    offer = sdp_of(await pull(subscriber, publisher, "mic", "mic"))
    for wrong in (
        answer_to(Sdp(media=offer.media[:1])),
        answer_to(offer, {"1": section("9", Direction.RECVONLY)}),
        answer_to(offer, setup=Setup.ACTPASS),
    ):
        with refused(406, "invalid_session_description"):
            await subscriber.renegotiate(wrong)
    await subscriber.renegotiate(answer_to(offer))


CODEC_CHOICES = [OPUS, VP8, H264, VP9, Codec("PCMU", 0, 8000), replace(VP9, parameters="profile-id=2")]


@given(st.data())
@settings(max_examples=60, deadline=None)
async def test_numbers_in_a_session_mean_one_thing(data: st.DataObject) -> None:
    """Whoever publishes, pulls and renumbers: in each description of the SFU, and against the client's last one."""
    world = World()
    publishers = [
        await world.publisher("mic"),
        await world.publisher("camera", video("0", codecs=(VP9, VP8, H264))),
        await world.publisher("camera", video("0", codecs=(replace(H264, payload_type=111), VP8))),
    ]
    session = world.session()
    sections: list[MediaSection] = []
    for _ in range(data.draw(st.integers(1, 5))):
        if data.draw(st.booleans()):
            numbers = iter(data.draw(st.permutations(range(96, 128))))
            numbered = {codec: replace(codec, payload_type=next(numbers)) for codec in CODEC_CHOICES}
            rtx = {
                codec: Codec("rtx", next(numbers), 90000, parameters=f"apt={numbered[codec].payload_type}")
                for codec in CODEC_CHOICES
                if codec.clock_rate_hz == 90000
            }
            kinds = [media.kind for media in sections] + [data.draw(st.sampled_from(["audio", "video"]))]
            sections = [
                section(
                    sections[i].mid if i < len(sections) else f"c{i}",
                    sections[i].direction if i < len(sections) else Direction.SENDONLY,
                    kind=kind,
                    codecs=tuple(
                        c
                        for codec in CODEC_CHOICES
                        if (codec.clock_rate_hz == 90000) == (kind == "video")
                        for c in (numbered[codec], rtx.get(codec))
                        if c
                    ),
                )
                for i, kind in enumerate(kinds)
            ]
            answer = await session.new_tracks(
                TracksRequest(auto_discover=True, session_description=offer_of(*sections))
            )
            check_numbers(sdp_of(answer), sections)
            connect(session)
        else:
            publisher = data.draw(st.sampled_from(publishers))
            offer = sdp_of(await pull(session, publisher, *publisher.publications))
            check_numbers(offer, sections)
            answered = answer_to(offer)
            await session.renegotiate(answered)
            connect(session)
            sections = [replace(media, setup=Setup.ACTPASS) for media in sdp_of(answered).media]


def check_numbers(description: Sdp, client: list[MediaSection]) -> None:
    """One meaning for each number in the group, and for the client the one that it knows."""
    meanings: dict[int, tuple[str, str]] = {}
    for media in client:
        meanings |= {codec.payload_type: (codec.name.lower(), codec.parameters) for codec in media.codecs}
    ids: dict[int, str] = {}
    for media in description.media:
        assert media.codecs
        for codec in media.codecs:
            meaning = (codec.name.lower(), codec.parameters)
            assert meanings.setdefault(codec.payload_type, meaning) == meaning
            assert codec.repairs is None or codec.repairs in {other.payload_type for other in media.codecs}
        for identifier, uri in media.extensions.items():
            assert ids.setdefault(identifier, uri) == uri
    ssrcs = [source.ssrc for media in description.media for source in media.ssrcs]
    assert len(set(ssrcs)) == len(ssrcs)


@pytest.mark.parametrize(
    ("sdp", "status", "words"),
    [
        ("", 406, "missing termination at the end"),
        (offer_of(section("0")).sdp.rstrip(), 406, "missing termination at the end"),
        ("v=0\r\n", 406, "no media sections"),
        ("not sdp\r\n", 406, "Unable to parse SDP"),
        (offer_of(section("0", ice_ufrag="")).sdp, 400, "SDP contains no ice-ufrag"),
        (offer_of(section("0", ice_pwd="")).sdp, 400, "SDP contains no ice-pwd"),
        (offer_of(section("0", fingerprints=())).sdp, 400, "SDP contains no fingerprint"),
        (offer_of(section("0", setup=Setup.HOLDCONN)).sdp, 406, "setup"),
        (offer_of(section("")).sdp, 406, "needs a mid"),
        (offer_of(section("0"), section("0")).sdp, 406, "needs a mid"),
        (offer_of(section("1", Direction.SENDONLY)).sdp, 406, "no media section with mid '0'"),
        (offer_of(section("0", Direction.RECVONLY)).sdp, 406, "does not send"),
        (offer_of(section("0", Direction.SENDONLY, codecs=())).sdp, 406, "no supported codec"),
    ],
)
async def test_bad_offers(sdp: str, status: int, words: str) -> None:
    """Each is refused, says why, and leaves the session as new as it was."""
    session = World().session()
    request = TracksRequest(tracks=[local()], session_description=SessionDescription(type="offer", sdp=sdp))
    with pytest.raises(Refusal) as caught:
        await session.new_tracks(request)
    assert caught.value.status == status
    assert words in caught.value.description
    assert session.connection is None
    await publish(session, "0", "mic")


async def test_an_offer_must_keep_the_m_sections() -> None:
    """Fewer, reordered, or of another kind: refused."""
    session = await World().publisher()
    for media in (
        [section("1", Direction.SENDONLY), section("0", Direction.SENDONLY)],
        [section("0", Direction.SENDONLY, kind="video")],
    ):
        with refused(406, "invalid_session_description"):
            await publish(session, "0", "mic", *media)
    with refused(406, "invalid_session_description"):
        await session.new_tracks(
            TracksRequest(tracks=[local()], session_description=SessionDescription(type="answer", sdp="v=0\r\n"))
        )
