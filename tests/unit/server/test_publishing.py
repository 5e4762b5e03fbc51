"""Publishing, by the client's offer and by the SFU's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtcctl.media import extensions
from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Direction, Rid, Setup, Simulcast, Source
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import SessionDescription, TrackObject, TracksRequest, TracksResponse
from rtcctl.server.session import Session
from tests.support.sdp import H264, OPUS, VP8, VP8_RTX, VP9, answer_to, offer_of, section, stopped, video
from tests.support.world import (
    World,
    close,
    close_request,
    connect,
    connection_of,
    errors,
    incoming_of,
    local,
    outgoing_of,
    publish,
    pull,
    pulled,
    refused,
    remote,
    sdp_of,
    statuses,
    vector,
)

# --- the client's offer


async def test_publish_with_the_clients_offer() -> None:
    """The answer is recvonly, passive, ICE-lite, with one candidate, and keeps the client's payload types."""
    session = World().session()
    text = vector("chromium-publish-audio")
    response = await session.new_tracks(
        TracksRequest(
            tracks=[local(mid="0", track_name="mic")], session_description=SessionDescription(type="offer", sdp=text)
        )
    )
    assert response.to_wire()["tracks"] == [{"mid": "0", "trackName": "mic"}]
    assert response.requires_immediate_renegotiation is False
    assert response.session_description
    assert response.session_description.type == "answer"
    answer = sdp_of(response)
    (audio,) = answer.media
    assert answer.is_ice_lite
    assert answer.bundle == ("0",)
    assert (audio.direction, audio.setup) == (Direction.RECVONLY, Setup.PASSIVE)
    assert [(codec.name, codec.payload_type) for codec in audio.codecs] == [("opus", 111), ("PCMU", 0), ("PCMA", 8)]
    assert audio.codecs[0].parameters == "minptime=10;useinbandfec=1"
    assert audio.codecs[0].feedback == ("transport-cc",)
    assert audio.extensions == {4: extensions.MID, 3: extensions.TRANSPORT_CC, 1: extensions.AUDIO_LEVEL}
    assert [str(candidate) for candidate in audio.candidates] == ["1 1 udp 2130706431 127.0.0.1 8610 typ host"]
    assert audio.has_end_of_candidates
    parameters = incoming_of(session).parameters
    assert (parameters.mid, parameters.kind) == ("0", "audio")
    assert parameters.ssrcs == (Sdp.parse(text).media[0].ssrcs[0].ssrc,)
    assert parameters.codecs == audio.codecs
    assert parameters.extensions == {uri: number for number, uri in audio.extensions.items()}
    (remote_,) = connection_of(session).remotes
    assert (remote_["setup"], remote_["is_ice_lite"], remote_["is_new_transport"]) == ("actpass", False, False)


async def test_publish_simulcast() -> None:
    """Chromium's camera in three layers: `rid` and `simulcast` are answered, each codec keeps its RTX and feedback."""
    session = World().session()
    text = vector("chromium-publish-simulcast-datachannel")
    tracks = [local(mid="0", track_name="mic"), local(mid="1", track_name="camera")]
    offer = SessionDescription(type="offer", sdp=text)
    answer = sdp_of(await session.new_tracks(TracksRequest(tracks=tracks, session_description=offer)))
    media = answer.media[1]
    assert media.rids == (Rid("f", "recv"), Rid("h", "recv"), Rid("q", "recv"))
    assert media.simulcast == Simulcast(recv=(("f",), ("h",), ("q",)))
    assert [codec.payload_type for codec in media.codecs] == [
        *(96, 97, 102, 103, 104, 107, 108, 109, 114, 115, 116, 117, 39, 40, 45, 46, 98, 99, 100, 101)
    ]
    assert {codec.name for codec in media.codecs} == {"VP8", "H264", "AV1", "VP9", "rtx"}
    offered = {codec.payload_type: codec for codec in Sdp.parse(text).media[1].codecs}
    assert all(codec == offered[codec.payload_type] for codec in media.codecs)
    assert set(media.extensions.values()) == set(extensions.BY_KIND["video"]) - {extensions.ABS_CAPTURE_TIME}
    parameters = incoming_of(session).parameters
    assert parameters.rids == ("f", "h", "q")
    assert (parameters.ssrcs, parameters.repaired_by) == ((), {})
    assert parameters.extensions[extensions.REPAIRED_RID] == 11


async def test_firefox_publishes_simulcast() -> None:
    """Its numbers, its SSRCs with their RTX, and its `bundle-only` m-sections."""
    session = World().session()
    text = vector("firefox-publish-simulcast-datachannel")
    tracks = [local(mid="0", track_name="mic"), local(mid="1", track_name="camera")]
    offer = SessionDescription(type="offer", sdp=text)
    answer = sdp_of(await session.new_tracks(TracksRequest(tracks=tracks, session_description=offer)))
    assert answer.bundle == ("0", "1", "2")
    audio, picture, _ = answer.media
    assert [(codec.name, codec.payload_type) for codec in audio.codecs] == [("opus", 109), ("PCMU", 0), ("PCMA", 8)]
    assert [codec.payload_type for codec in picture.codecs] == [120, 124, 121, 125, 99, 100]
    assert picture.simulcast == Simulcast(recv=(("f",), ("h",), ("q",)))
    parameters = incoming_of(session).parameters
    assert parameters.rids == ("f", "h", "q")
    assert len(parameters.ssrcs) == 3
    assert set(parameters.repaired_by) == set(parameters.ssrcs)
    assert parameters.extensions[extensions.REPAIRED_RID] == 10


async def test_transport_cc_is_answered_everywhere() -> None:
    """Where it is offered, whether the client sends there or not: Chromium ignores all of it otherwise."""
    world = World()
    publisher, session = await world.publisher(), world.session()
    opus = replace(OPUS, feedback=("transport-cc",))
    sections = (
        section("0", Direction.SENDONLY, codecs=(opus,)),
        video("1"),
        section("2", Direction.RECVONLY, codecs=(opus,)),
        video("3", Direction.RECVONLY),
    )
    answer = sdp_of(await publish(session, "0", "mic", *sections))
    connect(session)
    offer = sdp_of(await pull(session, publisher, "mic"))
    for description in (answer, offer):
        for media in description.media:
            assert all("transport-cc" in codec.feedback for codec in media.codecs if codec.repairs is None)


async def test_ssrcs_and_their_retransmissions() -> None:
    """`FID` groups are read; a repairing SSRC is no source; groups of undeclared SSRCs mean nothing."""
    session = World().session()
    camera = video(
        "0",
        ssrcs=tuple(Source(ssrc, "c") for ssrc in (1, 2, 3)),
        ssrc_groups=(("FID", (1, 2)), ("FID", (3, 99)), ("FEC-FR", (1, 3)), ("SIM", (1, 3))),
    )
    await publish(session, "0", "camera", camera)
    parameters = incoming_of(session).parameters
    assert parameters.ssrcs == (1,)
    assert parameters.repaired_by == {1: 2}


async def test_auto_discover_names_what_is_new() -> None:
    """Each m-section that sends gets a random name, once."""
    session = World().session()
    sections = [section("a", Direction.SENDONLY), section("b", Direction.RECVONLY)]
    request = TracksRequest(auto_discover=True, session_description=offer_of(*sections))
    (first,) = (await session.new_tracks(request)).tracks or []
    assert (first.mid, first.kind) == ("a", "audio")
    assert first.track_name
    connect(session)
    sections.append(video("c", Direction.SENDRECV))
    request = TracksRequest(auto_discover=True, session_description=offer_of(*sections))
    (second,) = (await session.new_tracks(request)).tracks or []
    assert (second.mid, second.kind) == ("c", "video")
    assert second.track_name != first.track_name


async def test_auto_discover_beside_named_tracks() -> None:
    """What the request names keeps its name."""
    session = World().session()
    sections = (section("a", Direction.SENDONLY), section("b", Direction.SENDONLY))
    request = TracksRequest(
        auto_discover=True,
        tracks=[local(mid="b", track_name="mine")],
        session_description=offer_of(*sections),
    )
    named, found = (await session.new_tracks(request)).tracks or []
    assert (named.mid, named.track_name) == ("b", "mine")
    assert found.mid == "a"


async def test_auto_discover_leaves_closed_tracks_closed() -> None:
    """A track that was closed while its client goes on sending does not come back under another name."""
    session = await World().publisher("mic")
    await close(session, "0")
    request = TracksRequest(auto_discover=True, session_description=offer_of(section("0", Direction.SENDONLY)))
    assert (await session.new_tracks(request)).tracks == []
    await session.renegotiate(offer_of(section("0", Direction.INACTIVE)))
    (again,) = (await session.new_tracks(request)).tracks or []
    assert again.mid == "0"


async def test_the_newest_publication_of_a_name_wins() -> None:
    """A name that is published again ends the earlier publication."""
    session = await World().publisher("mic")
    sections = (section("0", Direction.SENDONLY), section("1", Direction.SENDONLY))
    await publish(session, "1", "mic", *sections)
    assert incoming_of(session, 0).is_closed
    assert session.publications["mic"].mid == "1"
    assert statuses(session) == {("local", "0"): "inactive", ("local", "1"): "active"}


async def test_an_m_section_is_used_again_after_a_forced_close() -> None:
    """Publishing on the mid of a closed track works."""
    session = await World().publisher("mic")
    await close(session, "0")
    await publish(session, "0", "again")
    assert [track.to_wire() for track in session.state().tracks or []] == [
        {"location": "local", "mid": "0", "trackName": "again", "status": "active"}
    ]


# --- re-offers


async def test_a_re_offer_that_renumbers() -> None:
    """The publication goes on under the client's new payload types, extension ids and SSRCs."""
    world = World()
    publisher, subscriber = await world.publisher("camera", video("0", ssrcs=(Source(1, "c"),))), world.session()
    await pulled(subscriber, publisher, "camera")
    renumbered = video(
        "0",
        codecs=(replace(VP8, payload_type=120), Codec("rtx", 121, 90000, parameters="apt=120")),
        extensions={7: extensions.MID},
        ssrcs=(Source(5, "c"), Source(6, "c")),
        ssrc_groups=(("FID", (5, 6)),),
    )
    await publisher.renegotiate(offer_of(renumbered))
    (update,) = incoming_of(publisher).updates
    assert [codec.payload_type for codec in update.codecs] == [120, 121]
    assert update.extensions == {extensions.MID: 7}
    assert (update.ssrcs, update.repaired_by) == ((5,), {5: 6})
    assert publisher.publications["camera"].is_active
    assert outgoing_of(subscriber).source is incoming_of(publisher)


async def test_a_re_offer_that_changes_nothing() -> None:
    """Another track is published; what is said of the first again does not disturb it."""
    session = await World().publisher("mic")
    await publish(session, "1", "second", section("0", Direction.SENDONLY), section("1", Direction.SENDONLY))
    assert incoming_of(session, 0).updates == []


async def test_a_client_that_pauses() -> None:
    """An m-section that does not send for a while keeps its publication, and what is known of its packets."""
    session = await World().publisher("camera", video("0", ssrcs=(Source(1, "c"),)))
    await session.renegotiate(offer_of(video("0", Direction.INACTIVE)))
    assert session.publications["camera"].is_active
    await session.renegotiate(offer_of(video("0", ssrcs=(Source(1, "c"),))))
    assert incoming_of(session).updates == []


# --- the SFU's offer


async def ask(session: Session, *tracks: TrackObject) -> TracksResponse:
    return await session.new_tracks(TracksRequest(tracks=list(tracks)))


def asked(name: str, kind: str = "audio", **fields: object) -> TrackObject:
    return local(track_name=name, kind=kind, mid=None, **fields)


async def test_publish_by_the_offer_of_the_sfu() -> None:
    """recvonly, all codecs of the SFU with RTX, the extensions it reads; published once the client agrees."""
    world = World()
    session, subscriber = world.session(), world.session()
    response = await ask(session, asked("mic"), asked("camera", "video"))
    assert response.requires_immediate_renegotiation is True
    assert response.to_wire()["tracks"] == [{"mid": "0", "trackName": "mic"}, {"mid": "1", "trackName": "camera"}]
    offer = sdp_of(response)
    audio, camera = offer.media
    assert [media.direction for media in offer.media] == [Direction.RECVONLY] * 2
    assert [codec.name for codec in audio.codecs] == ["opus", "PCMU", "PCMA"]
    media_codecs = [codec for codec in camera.codecs if codec.repairs is None]
    assert {codec.name for codec in media_codecs} == {"VP8", "H264", "H265", "AV1", "VP9"}
    assert [codec.repairs for codec in camera.codecs if codec.repairs] == [codec.payload_type for codec in media_codecs]
    assert set(camera.extensions.values()) == set(extensions.BY_KIND["video"])
    assert not any(media.ssrcs or media.msid for media in offer.media)
    assert statuses(session) == {("local", "0"): "inactive", ("local", "1"): "inactive"}
    assert not session.publications
    assert errors((await pull(subscriber, session, "mic")).tracks) == ["not_found_track_error"]

    chosen = {"1": video("1", codecs=(VP9, VP8, VP8_RTX), setup=Setup.ACTIVE, ssrcs=(Source(7, "c"),))}
    await session.renegotiate(answer_to(offer, chosen, ssrcs={"0": 5}))
    assert statuses(session) == {("local", "0"): "active", ("local", "1"): "active"}
    microphone, picture = connection_of(session).published
    assert microphone.parameters.ssrcs == (5,)
    assert [codec.payload_type for codec in picture.codecs] == [98, 96, 97]
    assert picture.parameters.extensions == {uri: i for i, uri in chosen["1"].extensions.items()}
    connect(session)
    microphone.receive()
    assert errors((await pull(subscriber, session, "mic")).tracks) == [None]


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_a_browser_answers_the_offer_of_the_sfu(browser: str) -> None:
    """With its SSRCs, among them those of its retransmissions."""
    session = World().session()
    await ask(session, asked("mic"), asked("camera", "video"))
    answer = SessionDescription(type="answer", sdp=vector(f"{browser}-answer-publish"))
    await session.renegotiate(answer)
    assert statuses(session) == {("local", "0"): "active", ("local", "1"): "active"}
    microphone, camera = connection_of(session).published
    assert len(microphone.parameters.ssrcs) == 1
    (ssrc,) = camera.parameters.ssrcs
    assert camera.parameters.repaired_by[ssrc] != ssrc
    assert camera.codecs[0].payload_type == 96
    assert camera.parameters.extensions[extensions.TRANSPORT_CC] == 3


async def test_what_the_client_will_not_send_is_closed() -> None:
    """Rejected, or answered without sending."""
    session = World().session()
    offer = sdp_of(await ask(session, asked("a"), asked("b"), asked("c")))
    instead = {"0": stopped("0"), "1": section("1", Direction.INACTIVE, setup=Setup.ACTIVE)}
    await session.renegotiate(answer_to(offer, instead))
    assert statuses(session) == {("local", "0"): "inactive", ("local", "1"): "inactive", ("local", "2"): "active"}
    assert list(session.publications) == ["c"]


async def test_a_track_that_is_closed_before_the_client_agrees() -> None:
    """It is not published with the answer."""
    session = World().session()
    offer = sdp_of(await ask(session, asked("mic")))
    assert errors(await close(session, "0")) == [None]
    assert errors(await close(session, "0")) == ["close_track_error"]
    await session.renegotiate(answer_to(offer))
    assert not session.publications
    assert statuses(session) == {("local", "0"): "inactive"}


async def test_publish_both_ways_by_the_offer_of_the_sfu() -> None:
    """`bidirectionalMediaStream`: sendrecv with the SFU's SSRC, so that a pull into it needs no SDP."""
    world = World()
    publisher, session = await world.publisher(), world.session()
    offer = sdp_of(await ask(session, asked("voice", bidirectional_media_stream=True)))
    (media,) = offer.media
    outgoing = outgoing_of(session)
    assert media.direction is Direction.SENDRECV
    assert [source.ssrc for source in media.ssrcs] == [outgoing.ssrc]
    assert media.msid.startswith(session.session_id)
    await session.renegotiate(answer_to(offer))
    connect(session)
    response = await pull(session, publisher, "mic", mid="#voice")
    assert [track.mid for track in response.tracks or []] == ["0"]
    assert (response.session_description, response.requires_immediate_renegotiation) == (None, False)
    assert outgoing.is_forwarding
    assert outgoing.source is incoming_of(publisher)


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_an_m_section_of_the_sfu_is_used_again(kind: str) -> None:
    """A track that was asked for and closed leaves its m-section to the next, once the client knows."""
    world = World()
    session = world.session()
    media = section("0", codecs=(OPUS,)) if kind == "audio" else video("0", codecs=(VP8, VP8_RTX))
    offer = sdp_of(await ask(session, asked("a", kind)))
    direction = {"direction": Direction.SENDONLY, "setup": Setup.ACTIVE}
    await session.renegotiate(answer_to(offer, {"0": replace(media, **direction)}))
    connect(session)
    await close(session, "0")
    offer = sdp_of(await ask(session, asked("b", kind)))
    assert [(m.mid, m.direction) for m in offer.media] == [("0", Direction.INACTIVE), ("1", Direction.RECVONLY)]
    instead = {"0": replace(media, direction=Direction.INACTIVE, setup=Setup.ACTIVE)}
    await session.renegotiate(answer_to(offer, instead))
    offer = sdp_of(await ask(session, asked("c", kind)))
    assert [(m.mid, m.direction) for m in offer.media] == [("0", Direction.RECVONLY), ("1", Direction.RECVONLY)]
    # All codecs are offered again, not only those that were agreed for the track before.
    assert offer.media[0].codecs == offer.media[1].codecs


# --- both ways


async def test_a_bidirectional_track_of_the_client() -> None:
    """The answer is sendrecv and announces the SFU's SSRCs before anything is pulled; otherwise it is recvonly."""
    world = World()
    for is_bidirectional, direction in ((True, Direction.SENDRECV), (False, Direction.RECVONLY)):
        session = world.session()
        media = video("0", Direction.SENDRECV)
        response = await publish(session, "0", "own", media, bidirectional_media_stream=is_bidirectional)
        (answered,) = sdp_of(response).media
        assert answered.direction is direction
        assert len(answered.ssrcs) == 2 * is_bidirectional
        assert [semantics for semantics, _ in answered.ssrc_groups] == ["FID"] * is_bidirectional


async def test_pull_into_a_bidirectional_track() -> None:
    """By `#name`: media flows without SDP, under the SSRC that was announced."""
    world = World()
    publisher, both = await world.publisher("a"), world.session()
    offered = section("0", Direction.SENDRECV)
    answer = sdp_of(await publish(both, "0", "own", offered, bidirectional_media_stream=True))
    connect(both)
    response = await pull(both, publisher, "a", mid="#own")
    assert response.to_wire() == {
        "requiresImmediateRenegotiation": False,
        "tracks": [{"sessionId": publisher.session_id, "trackName": "a", "mid": "0"}],
    }
    (outgoing,) = connection_of(both).senders
    assert outgoing.ssrc == answer.media[0].ssrcs[0].ssrc
    assert outgoing.is_forwarding
    # What the client was told of the stream stays true in later descriptions.
    again = sdp_of(await both.renegotiate(offer_of(offered)))
    assert again.media[0].msid == answer.media[0].msid


async def test_closing_a_bidirectional_track_stops_both_ways() -> None:
    """Its publication and what is sent back on its m-section."""
    world = World()
    publisher, both = await world.publisher("a"), world.session()
    await publish(both, "0", "own", section("0", Direction.SENDRECV), bidirectional_media_stream=True)
    connect(both)
    await both.new_tracks(TracksRequest(tracks=[remote(publisher, "a", mid="#own")]))
    (closed,) = await close(both, "0")
    assert closed.error_code is None
    assert incoming_of(both).is_closed
    assert not outgoing_of(both).is_forwarding
    assert statuses(both) == {("local", "0"): "inactive", ("remote", "0"): "inactive"}
    response = await both.close_tracks(close_request("0", force=False, offer=offer_of(section("0"))))
    assert sdp_of(response).media[0].direction is Direction.INACTIVE


# --- what cannot be


@pytest.mark.parametrize(
    ("codec", "is_taken"),
    [
        (OPUS, True),
        (Codec("PCMU", 0, 8000), True),
        (Codec("PCMA", 8, 8000), True),
        (Codec("opus", 111, 48000, 1), False),
        (Codec("red", 63, 48000, 2), False),
        (Codec("CN", 13, 8000), False),
        (Codec("telephone-event", 110, 48000), False),
        (Codec("G722", 9, 8000), False),
        (VP8, True),
        (VP9, True),
        (replace(VP9, parameters="profile-id=3"), True),
        (H264, True),
        (replace(H264, parameters="profile-level-id=f4001f;packetization-mode=0"), True),
        (Codec("H265", 49, 90000, parameters="profile-id=2"), True),
        (Codec("AV1", 45, 90000), True),
        (VP8_RTX, False),
        (Codec("red", 118, 90000), False),
        (Codec("ulpfec", 120, 90000), False),
        (Codec("flexfec-03", 49, 90000), False),
        (Codec("VP8", 96, 48000), False),
    ],
)
async def test_which_codecs_are_forwarded(codec: Codec, is_taken: bool) -> None:
    """Of each kind those of the service, in any profile; neither what repairs nor what pads."""
    session = World().session()
    kind = "audio" if codec.clock_rate_hz != 90000 and codec.name != "VP8" else "video"
    media = section("0", Direction.SENDONLY, kind=kind, codecs=(codec,))
    if is_taken:
        assert sdp_of(await publish(session, "0", "a", media)).media[0].codecs[0].name == codec.name
    else:
        with refused(406, "invalid_session_description"):
            await publish(session, "0", "a", media)
