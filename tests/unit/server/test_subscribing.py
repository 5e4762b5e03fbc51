"""Subscribing, by the SFU's offer, by the client's, and without any; and updates of what is received."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from rtcctl.media import extensions
from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Direction, MediaSection, Setup
from rtcctl.media.simulcast import LayerPreference
from rtcctl.realtime.schema import SessionDescription, Simulcast, TrackObject, TracksRequest, TracksResponse
from rtcctl.server.session import Session
from tests.support.sdp import H264, VP8, VP8_RTX, VP9, answer_to, offer_of, section, stopped, video
from tests.support.world import (
    LIMITS,
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

H264_RTX = Codec("rtx", 109, 90000, parameters="apt=108")

# --- the SFU's offer


async def test_subscribe_by_the_offer_of_the_sfu() -> None:
    """The documented pull: an offer with the track's SSRC, actpass; forwarding starts with the answer."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    response = await pull(subscriber, publisher, "mic")
    assert response.requires_immediate_renegotiation is True
    assert response.to_wire()["tracks"] == [{"sessionId": publisher.session_id, "trackName": "mic", "mid": "0"}]
    offer = sdp_of(response)
    (audio,) = offer.media
    outgoing = outgoing_of(subscriber)
    assert outgoing.options == {"mid": "0", "kind": "audio", "like": incoming_of(publisher)}
    assert (audio.direction, audio.setup, audio.mid) == (Direction.SENDONLY, Setup.ACTPASS, "0")
    assert [(codec.name, codec.payload_type) for codec in audio.codecs] == [("opus", 111)]
    assert audio.codecs[0].parameters == "minptime=10;useinbandfec=1"
    assert [(source.ssrc, source.cname) for source in audio.ssrcs] == [(outgoing.ssrc, outgoing.cname)]
    assert audio.msid.startswith(publisher.session_id)
    # Whose packets they are is told by the SSRC: without a mid in each, all subscribers get the same header.
    assert set(audio.extensions.values()) == set(extensions.TO_SUBSCRIBERS["audio"])
    assert outgoing.source is None
    await subscriber.renegotiate(answer_to(offer))
    assert [codec.payload_type for codec in outgoing.negotiated or ()] == [111]
    assert outgoing.source is incoming_of(publisher)
    assert connection_of(subscriber).remotes[0]["setup"] == "active"


async def test_subscribe_to_video() -> None:
    """Every codec of the publisher is offered with RTX and feedback, RTX SSRC and all; the answer decides."""
    world = World()
    media = video("0", codecs=(VP8, H264, VP9, VP8_RTX))
    publisher, subscriber = await world.publisher("camera", media), world.session()
    offer = sdp_of(await pull(subscriber, publisher, "camera"))
    (offered,) = offer.media
    outgoing = outgoing_of(subscriber)
    assert [(codec.name, codec.payload_type, codec.repairs) for codec in offered.codecs] == [
        ("VP8", 96, None),
        ("rtx", 97, 96),
        ("H264", 108, None),
        ("rtx", 109, 108),
        ("VP9", 98, None),
        ("rtx", 99, 98),
    ]
    assert all(set(codec.feedback) == set(VP8.feedback) for codec in offered.codecs if codec.repairs is None)
    assert offered.ssrc_groups == (("FID", (outgoing.ssrc, outgoing.rtx_ssrc)),)
    assert {source.cname for source in offered.ssrcs} == {outgoing.cname}
    assert set(offered.extensions.values()) == set(extensions.TO_SUBSCRIBERS["video"])
    chosen = replace(video("0", Direction.RECVONLY), codecs=(H264, H264_RTX, Codec("red", 118, 90000)))
    await subscriber.renegotiate(answer_to(offer, {"0": replace(chosen, setup=Setup.ACTIVE)}))
    assert [codec.payload_type for codec in outgoing.negotiated or ()] == [108, 109]
    # Of what was offered, what the answer repeats.
    written = {extensions.MID: 4, extensions.ABS_SEND_TIME: 2, extensions.VIDEO_ORIENTATION: 13}
    assert outgoing.extensions == written


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_a_browser_answers_a_pull(browser: str) -> None:
    """With what it can decode of what was offered, each with RTX."""
    world = World()
    publisher, subscriber = await world.publisher("mic"), world.session()
    camera = await world.publisher("camera", video("0", codecs=(VP8, VP9)))
    await subscriber.new_tracks(TracksRequest(tracks=[remote(publisher, "mic"), remote(camera, "camera")]))
    await subscriber.renegotiate(SessionDescription(type="answer", sdp=vector(f"{browser}-answer")))
    sound, picture = connection_of(subscriber).senders
    assert sound.is_forwarding
    assert picture.is_forwarding
    assert [codec.name for codec in picture.negotiated or ()] == ["VP8", "rtx", "VP9", "rtx"]
    assert picture.extensions[extensions.ABS_SEND_TIME] == 2


async def test_several_publishers_in_one_pull() -> None:
    """Tracks of several sessions come in one offer, each on a mid of its own."""
    world = World()
    first, second, subscriber = await world.publisher("a"), await world.publisher("b", video("0")), world.session()
    response = await subscriber.new_tracks(TracksRequest(tracks=[remote(first, "a"), remote(second, "b")]))
    assert [track.mid for track in response.tracks or []] == ["0", "1"]
    assert [media.kind for media in sdp_of(response).media] == ["audio", "video"]
    assert sdp_of(response).bundle == ("0", "1")


async def test_failed_tracks_stand_beside_those_that_work() -> None:
    """A failed item has its error and an empty mid; the others are offered."""
    world = World()
    publisher, subscriber = await world.publisher("mic"), world.session()
    response = await pull(subscriber, publisher, "mic", "nothing")
    worked, failed = response.tracks or []
    assert (worked.mid, worked.error_code) == ("0", None)
    assert (failed.mid, failed.error_code) == ("", "not_found_track_error")
    assert len(sdp_of(response).media) == 1


async def test_a_pull_that_fails_carries_no_sdp() -> None:
    """Unknown session, unknown track, silent track: 200 with item errors, nothing to negotiate."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    incoming_of(publisher).last_packet_at = None
    tracks = [remote("0" * 32, "mic"), remote(publisher, "other"), remote(publisher, "mic")]
    response = await subscriber.new_tracks(TracksRequest(tracks=tracks))
    assert errors(response.tracks) == ["not_found_track_error", "not_found_track_error", "empty_track_error"]
    assert response.session_description is None
    assert response.requires_immediate_renegotiation is False
    assert incoming_of(publisher).waited_s == [LIMITS.media_wait_s]
    assert subscriber.connection is None


async def test_a_publisher_that_is_not_connected_is_waited_for() -> None:
    """A known track of a publisher that is still connecting: up to 5 s, then not found."""
    world = World()
    publisher, subscriber = world.session(), world.session()
    await publish(publisher, "0", "mic")
    assert errors((await pull(subscriber, publisher, "mic")).tracks) == ["not_found_track_error"]
    assert connection_of(publisher).waited_s == [LIMITS.connect_wait_s]


async def test_a_track_that_ends_while_another_is_waited_for() -> None:
    """One pull of two tracks: the first is there, the second makes it wait, and the first ends meanwhile."""
    world = World()
    ending, slow, subscriber = await world.publisher("a"), await world.publisher("b"), world.session()
    connection_of(slow).hold = hold = asyncio.Event()
    tracks = [remote(ending, "a"), remote(slow, "b")]
    async with asyncio.TaskGroup() as group:
        pulling = group.create_task(subscriber.new_tracks(TracksRequest(tracks=tracks)))
        for _ in range(5):
            await asyncio.sleep(0)
        await close(ending, "0")
        hold.set()
    ended, there = pulling.result().tracks or []
    assert (ended.mid, ended.error_code) == ("", "not_found_track_error")
    assert (there.mid, there.error_code) == ("0", None)


async def test_a_track_that_ends_before_the_answer() -> None:
    """The m-section is agreed, stays silent, and is listed as inactive."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    offer = sdp_of(await pull(subscriber, publisher, "mic"))
    await close(publisher, "0")
    await subscriber.renegotiate(answer_to(offer))
    assert statuses(subscriber) == {("remote", "0"): "inactive"}
    assert not outgoing_of(subscriber).is_forwarding


# --- m-sections are used again


async def test_pulling_and_closing_does_not_grow_a_session() -> None:
    """A closed m-section is inactive with the next exchange, and then used again, with the same sender."""
    world = World()
    publisher, subscriber = await world.publisher("camera", video("0")), world.session()
    mids = []
    for _ in range(200):
        response = await pull(subscriber, publisher, "camera")
        offer = sdp_of(response)
        (track,) = response.tracks or []
        mids.append(track.mid)
        used = {media.mid: media for media in offer.media}[track.mid or ""]
        assert used.direction is Direction.SENDONLY
        await subscriber.renegotiate(answer_to(offer))
        connect(subscriber)
        assert errors(await close(subscriber, track.mid or "")) == [None]
        assert len(offer.media) <= 2
    assert mids[:4] == ["0", "1", "0", "1"]
    assert len(connection_of(subscriber).senders) == 2


async def test_an_m_section_that_was_closed_by_an_exchange_is_used_again() -> None:
    """One pull at a time needs one m-section, one SSRC. The client would go on receiving, as its offer says."""
    world = World()
    first, second, subscriber = await world.publisher("a"), await world.publisher("b"), world.session()
    await pulled(subscriber, first, "a")
    await close(subscriber, "0")
    await subscriber.renegotiate(offer_of(section("0", Direction.RECVONLY)))
    (media,) = await pulled(subscriber, second, "b")
    (outgoing,) = connection_of(subscriber).senders
    assert (media.mid, media.direction) == ("0", Direction.SENDONLY)
    assert media.ssrcs[0].ssrc == outgoing.ssrc
    assert media.msid.startswith(second.session_id)
    assert outgoing.source is incoming_of(second)
    assert [track.track_name for track in subscriber.state().tracks or []] == ["b"]


async def test_an_m_section_that_the_client_has_closed_is_not_used_again() -> None:
    """Its transceiver stays inactive and would answer so, until the client offers to receive again."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    await pulled(subscriber, publisher, "a")
    closed = section("0", Direction.INACTIVE)
    await subscriber.close_tracks(close_request("0", force=False, offer=offer_of(closed)))
    offer = sdp_of(await pull(subscriber, publisher, "a"))
    assert [(m.mid, m.direction) for m in offer.media] == [("0", Direction.INACTIVE), ("1", Direction.SENDONLY)]
    await subscriber.renegotiate(answer_to(offer))
    await subscriber.renegotiate(offer_of(*(section(mid, Direction.RECVONLY) for mid in "01")))
    offer = sdp_of(await pull(subscriber, publisher, "a"))
    assert [(m.mid, m.direction) for m in offer.media] == [("0", Direction.SENDONLY), ("1", Direction.SENDONLY)]


async def test_what_the_client_sent_on_takes_no_pull() -> None:
    """Where the SFU has asked for a track, the client's transceiver only sends: it would refuse to receive there."""
    world = World()
    publisher, both = await world.publisher("mic"), world.session()
    asked = TrackObject(location="local", track_name="own", kind="audio")
    offer = sdp_of(await both.new_tracks(TracksRequest(tracks=[asked])))
    await both.renegotiate(answer_to(offer))
    connect(both)
    await close(both, "0")
    for expected in ("1", "2"):
        offer = sdp_of(await pull(both, publisher, "mic"))
        assert [m.direction for m in offer.media if m.mid == "0"] == [Direction.INACTIVE]
        assert offer.media[-1].mid == expected
        await both.renegotiate(answer_to(offer))


async def test_only_an_m_section_of_the_same_kind_is_used_again() -> None:
    """A camera does not take a microphone's place."""
    world = World()
    publisher = await world.publisher("mic")
    camera, subscriber = await world.publisher("camera", video("0")), world.session()
    await pulled(subscriber, publisher, "mic")
    await close(subscriber, "0")
    await subscriber.renegotiate(offer_of(section("0", Direction.RECVONLY)))
    assert [media.mid for media in await pulled(subscriber, camera, "camera")] == ["0", "1"]


async def test_nothing_is_sent_on_an_m_section_before_its_new_use_is_agreed() -> None:
    """The client may still take packets there for those of the track before."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    await pulled(subscriber, publisher, "a")
    await close(subscriber, "0")
    await subscriber.renegotiate(offer_of(section("0", Direction.RECVONLY)))
    offer = sdp_of(await pull(subscriber, publisher, "a"))
    assert not outgoing_of(subscriber).is_forwarding
    await subscriber.renegotiate(answer_to(offer))
    assert outgoing_of(subscriber).is_forwarding


async def test_the_place_of_a_stopped_transceiver_is_used() -> None:
    """With a fresh mid and a sender of its own; the m-section that speaks for the transport stays the first."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    await pulled(subscriber, publisher, "a", "a", "a")
    recvonly = section("2", Direction.RECVONLY)
    await close(subscriber, "0", "1")
    answer = sdp_of(await subscriber.renegotiate(offer_of(stopped("0"), stopped("1"), recvonly)))
    assert [media.is_rejected for media in answer.media] == [True, True, False]
    assert answer.bundle == ("2",)
    assert [outgoing.is_closed for outgoing in connection_of(subscriber).senders] == [True, True, False]
    assert connection_of(subscriber).remotes[-1]["is_new_transport"]
    # Both stopped ones are before it: a browser would begin a new transport, or refuse.
    assert [media.mid for media in await pulled(subscriber, publisher, "a")] == ["0", "1", "2", "3"]
    await close(subscriber, "3")
    sections = (stopped("0"), stopped("1"), recvonly, stopped("3"))
    await subscriber.renegotiate(offer_of(*sections))
    assert [media.mid for media in await pulled(subscriber, publisher, "a")] == ["0", "1", "2", "4"]


async def test_a_subscription_whose_publisher_left_keeps_its_m_section() -> None:
    """Until the subscriber closes it: it may be pointed at another track."""
    world = World()
    leaving, other, subscriber = await world.publisher("a"), await world.publisher("b"), world.session()
    await pulled(subscriber, leaving, "a")
    leaving.close()
    assert statuses(subscriber) == {("remote", "0"): "inactive"}
    offered = await pulled(subscriber, other, "b")
    assert [media.direction for media in offered] == [Direction.SENDONLY] * 2
    (updated,) = (await update(subscriber, remote(other, "b", mid="0"))).tracks or []
    assert updated.error_code is None
    assert outgoing_of(subscriber, 0).source is incoming_of(other)


# --- into an existing m-section


async def test_subscribe_into_an_existing_m_section() -> None:
    """With a mid that the client receives on, media flows without SDP and under the same SSRC."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    await pulled(subscriber, publisher, "a")
    await close(subscriber, "0")
    response = await pull(subscriber, publisher, "a", mid="0")
    assert response.session_description is None
    assert response.requires_immediate_renegotiation is False
    assert [track.mid for track in response.tracks or []] == ["0"]
    (outgoing,) = connection_of(subscriber).senders
    assert outgoing.is_forwarding
    for mid in ("9", "#a", "#"):
        with refused(406, "invalid_params"):
            await pull(subscriber, publisher, "a", mid=mid)


async def test_an_m_section_can_be_named_once() -> None:
    """By mid and by name it is the same."""
    world = World()
    publisher, both = await world.publisher("a"), world.session()
    await publish(both, "0", "own", section("0"), bidirectional_media_stream=True)
    connect(both)
    tracks = [remote(publisher, "a", mid="0"), remote(publisher, "a", mid="#own")]
    with refused(406, "invalid_params"):
        await both.new_tracks(TracksRequest(tracks=tracks))


async def test_a_track_that_does_not_fit_an_existing_m_section() -> None:
    """Another kind, or no codec in common: the item fails, what flows there goes on."""
    world = World()
    publisher, subscriber = await world.publisher("camera", video("0")), world.session()
    others = [
        await world.publisher("a"),
        await world.publisher("a", video("0", codecs=(H264,))),
    ]
    await pulled(subscriber, publisher, "camera")
    for other in others:
        response = await pull(subscriber, other, "a", mid="0")
        (failed,) = response.tracks or []
        assert (failed.mid, failed.error_code) == ("", "track_error")
        assert response.session_description is None
        assert errors((await update(subscriber, remote(other, "a", mid="0"))).tracks) == ["track_error"]
    assert outgoing_of(subscriber).source is incoming_of(publisher)


# --- the client's offer


async def receive(session: Session, *tracks: TrackObject, offer: Iterable[MediaSection]) -> TracksResponse:
    return await session.new_tracks(TracksRequest(tracks=list(tracks), session_description=offer_of(*offer)))


async def test_subscribe_by_the_offer_of_the_client() -> None:
    """recvonly m-sections take the tracks in order and by kind; the answer is sendonly, nothing is to be done then."""
    world = World()
    microphone, camera = await world.publisher("mic"), await world.publisher("camera", video("0"))
    subscriber = world.session()
    sections = (section("a", Direction.RECVONLY), video("v", Direction.RECVONLY), section("b", Direction.RECVONLY))
    tracks = (remote(camera, "camera", kind="video"), remote(microphone, "mic"))
    response = await receive(subscriber, *tracks, offer=sections)
    assert response.requires_immediate_renegotiation is False
    assert response.to_wire()["tracks"] == [
        {"sessionId": camera.session_id, "trackName": "camera", "mid": "v"},
        {"sessionId": microphone.session_id, "trackName": "mic", "mid": "a"},
    ]
    assert response.session_description
    assert response.session_description.type == "answer"
    audio, picture, spare = sdp_of(response).media
    assert [m.direction for m in (audio, picture, spare)] == [Direction.SENDONLY] * 2 + [Direction.INACTIVE]
    senders = {outgoing.options["mid"]: outgoing for outgoing in connection_of(subscriber).senders}
    assert senders.keys() == {"a", "v"}
    assert [source.ssrc for source in audio.ssrcs] == [senders["a"].ssrc]
    assert senders["a"].options["like"] is incoming_of(microphone)
    assert [source.ssrc for source in picture.ssrcs] == [senders["v"].ssrc, senders["v"].rtx_ssrc]
    assert picture.msid.startswith(camera.session_id)
    assert all(outgoing.is_forwarding for outgoing in senders.values())
    assert statuses(subscriber) == {("remote", "a"): "active", ("remote", "v"): "active"}


async def test_a_client_names_the_m_section_of_its_offer() -> None:
    """`mid` decides; the rest goes by order."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    sections = (section("0", Direction.RECVONLY), section("1", Direction.RECVONLY))
    response = await receive(subscriber, remote(publisher, "a", mid="0"), remote(publisher, "a"), offer=sections)
    assert [track.mid for track in response.tracks or []] == ["0", "1"]
    connect(subscriber)
    sections = (*sections, section("2", Direction.RECVONLY))
    response = await receive(subscriber, remote(publisher, "a"), offer=sections)
    assert [track.mid for track in response.tracks or []] == ["2"]
    assert len(connection_of(subscriber).senders) == 3


async def test_items_that_fail_with_the_offer_of_the_client() -> None:
    """Some: the answer is for the others. All: no SDP, and the offer counts for nothing."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    offer = (section("0", Direction.RECVONLY), section("1", Direction.RECVONLY))
    response = await receive(subscriber, remote(publisher, "none"), offer=offer)
    assert (response.session_description, response.requires_immediate_renegotiation) == (None, False)
    assert errors(response.tracks) == ["not_found_track_error"]
    assert subscriber.connection is None
    response = await receive(subscriber, remote(publisher, "none"), remote(publisher, "a"), offer=offer)
    assert [track.mid for track in response.tracks or []] == ["", "0"]
    assert [media.direction for media in sdp_of(response).media] == [Direction.SENDONLY, Direction.INACTIVE]


async def test_tracks_for_which_the_offer_has_no_m_section() -> None:
    """Too few: refused before anything is waited for. The wrong kind or codec: the item fails."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    sendonly, recvonly = section("0", Direction.SENDONLY), section("1", Direction.RECVONLY)
    camera = await world.publisher("camera", video("0"))
    for tracks in (
        (remote(publisher, "a"),) * 2,
        (remote(publisher, "a", mid="0"),),
        (remote(publisher, "a", mid="9"),),
    ):
        with refused(406, "invalid_session_description"):
            await receive(subscriber, *tracks, offer=(sendonly, recvonly))
    for media in (recvonly, video("1", Direction.RECVONLY, codecs=(VP9,))):
        for mid in (None, "1"):
            response = await receive(subscriber, remote(camera, "camera", mid=mid), offer=(sendonly, media))
            assert [(track.mid, track.error_code) for track in response.tracks or []] == [("", "track_error")]
            assert response.session_description is None
    assert subscriber.connection is None


async def test_a_client_that_stops_receiving_for_a_while() -> None:
    """An m-section that it offers as inactive is not sent to; the subscription goes on when it receives again."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    await receive(subscriber, remote(publisher, "a"), offer=(section("0", Direction.RECVONLY),))
    outgoing = outgoing_of(subscriber)
    await subscriber.renegotiate(offer_of(section("0", Direction.INACTIVE)))
    assert not outgoing.is_forwarding
    answer = sdp_of(await subscriber.renegotiate(offer_of(section("0", Direction.RECVONLY))))
    assert answer.media[0].direction is Direction.SENDONLY
    assert outgoing.is_forwarding
    assert answer.media[0].ssrcs[0].ssrc == outgoing.ssrc


# --- numbers


async def test_a_subscriber_that_renumbers() -> None:
    """aiortc numbers codecs anew in its offers, those of our m-sections too."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    await pulled(subscriber, publisher, "a")
    opus = Codec("opus", 96, 48000, 2)
    await publish(
        subscriber,
        "1",
        "own",
        section("0", Direction.RECVONLY, codecs=(opus,)),
        section("1", Direction.SENDONLY, codecs=(opus,)),
    )
    assert outgoing_of(subscriber).negotiated == (opus,)
    offer = sdp_of(await pull(subscriber, publisher, "a"))
    assert [media.codecs[0].payload_type for media in offer.media] == [96, 96, 96]


# --- simulcast and updates


async def update(session: Session, *tracks: TrackObject) -> TracksResponse:
    return await session.update_tracks(TracksRequest(tracks=list(tracks)))


H = Simulcast(preferred_rid="h", priority_ordering="asciibetical")


async def simulcast(world: World) -> tuple[Session, Session]:
    """A publisher of three layers and its subscriber."""
    publisher, subscriber = await world.publisher("camera", video("0", rids=("f", "h", "q"))), world.session()
    await pulled(subscriber, publisher, "camera")
    return publisher, subscriber


async def test_a_pull_may_prefer_a_layer() -> None:
    """The item echoes it; without one there is no preference."""
    world = World()
    publisher, subscriber = await world.publisher("camera", video("0", rids=("f", "h", "q"))), world.session()
    response = await pull(subscriber, publisher, "camera", simulcast=H)
    assert response.to_wire()["tracks"][0]["simulcast"] == {
        "preferredRid": "h",
        "priorityOrdering": "asciibetical",
    }
    offer = sdp_of(response)
    # A subscriber gets one stream, whatever the publisher sends.
    assert (offer.media[0].simulcast, offer.media[0].rids) == (None, ())
    await subscriber.renegotiate(answer_to(offer))
    connect(subscriber)
    assert outgoing_of(subscriber).preference == LayerPreference("h", "asciibetical", "none")
    await pulled(subscriber, publisher, "camera")
    assert outgoing_of(subscriber).preference == LayerPreference()


async def test_update_of_the_layer() -> None:
    """Not before media has reached the subscriber."""
    publisher, subscriber = await simulcast(World())
    track = remote(publisher, "camera", mid="0", simulcast=H)
    (failed,) = (await update(subscriber, track)).tracks or []
    assert (failed.mid, failed.error_code, failed.error_description) == (
        "0",
        "update_track_error",
        "The track is not configured for simulcast, no updates applicable.",
    )
    incoming_of(publisher).receive()
    response = await update(subscriber, track)
    assert response.to_wire() == {
        "requiresImmediateRenegotiation": False,
        "tracks": [
            {
                "mid": "0",
                "sessionId": publisher.session_id,
                "trackName": "camera",
                "simulcast": {"preferredRid": "h", "priorityOrdering": "asciibetical"},
            }
        ],
    }
    assert outgoing_of(subscriber).preference == LayerPreference("h", "asciibetical", "none")
    # Nothing is asked for, nothing changes.
    assert errors((await update(subscriber, remote(publisher, "camera", mid="0"))).tracks) == [None]
    assert outgoing_of(subscriber).preference == LayerPreference("h", "asciibetical", "none")


async def test_update_without_simulcast() -> None:
    """A track with one encoding has no layers to choose from, ever."""
    world = World()
    publisher, subscriber = await world.publisher("mic"), world.session()
    await pulled(subscriber, publisher, "mic")
    incoming_of(publisher).receive()
    response = await update(subscriber, remote(publisher, "mic", mid="0", simulcast=H))
    assert errors(response.tracks) == ["update_track_error"]


async def test_update_points_at_another_track() -> None:
    """On the same m-section, under the same SSRC, without SDP; `GET` names the new one."""
    world = World()
    _, subscriber = await simulcast(world)
    other = await world.publisher("screen", video("0", rids=("a", "b")))
    response = await update(
        subscriber, remote(other, "screen", mid="0", simulcast=Simulcast(preferred_rid="b", rid_not_available="none"))
    )
    assert response.session_description is None
    assert errors(response.tracks) == [None]
    (outgoing,) = connection_of(subscriber).senders
    assert outgoing.source is incoming_of(other)
    assert outgoing.preference == LayerPreference("b")
    assert [(track.mid, track.track_name) for track in subscriber.state().tracks or []] == [("0", "screen")]
    # The msid that the client knows for this m-section stays: another would tell its application of a new track.
    offer = sdp_of(await pull(subscriber, other, "screen"))
    assert offer.media[0].direction is Direction.SENDONLY
    assert not offer.media[0].msid.startswith(other.session_id)


async def test_update_of_what_cannot_be() -> None:
    """Item by item: unknown mid, unknown track, a silent one; what flowed goes on."""
    world = World()
    publisher, subscriber = await simulcast(world)
    silent = await world.publisher("silent", video("0"))
    incoming_of(silent).last_packet_at = None
    response = await update(
        subscriber,
        remote(publisher, "camera", mid="7"),
        remote(publisher, "none", mid="0"),
    )
    assert [(track.mid, track.error_code) for track in response.tracks or []] == [
        ("7", "update_track_error"),
        ("0", "not_found_track_error"),
    ]
    response = await update(subscriber, remote(silent, "silent", mid="0"))
    assert [(track.mid, track.error_code) for track in response.tracks or []] == [("0", "empty_track_error")]
    assert outgoing_of(subscriber).source is incoming_of(publisher)


async def test_update_after_a_forced_close() -> None:
    """The client still receives on that m-section: it can be given a track again."""
    publisher, subscriber = await simulcast(World())
    await close(subscriber, "0")
    assert errors((await update(subscriber, remote(publisher, "camera", mid="0"))).tracks) == [None]
    assert outgoing_of(subscriber).is_forwarding
    assert statuses(subscriber) == {("remote", "0"): "active"}


async def test_simulcast_goes_on_in_the_offers_of_the_sfu() -> None:
    """A publisher that pulls is offered its own layers again: without them it would stop all but one."""
    world = World()
    both = await world.publisher("camera", video("0", rids=("f", "h", "q")))
    offer = sdp_of(await pull(both, await world.publisher(), "mic"))
    assert [rid.rid for rid in offer.media[0].rids] == ["f", "h", "q"]
    assert offer.media[0].simulcast
    assert [rid.rid for rid in offer.media[0].rids if rid.direction == "recv"] == ["f", "h", "q"]


@pytest.mark.parametrize("track", [local(mid="0"), TrackObject(mid="0", session_id="s", track_name="a")])
async def test_only_subscriptions_are_updated(track: TrackObject) -> None:
    """A track of one's own has nothing to update; without `location` it is not known which is meant."""
    status, code = (406, "invalid_params") if track.location else (400, "decoding_error")
    if track.location:
        track = track.model_copy(update={"session_id": "s"})
    with refused(status, code):
        await update(World().session(), track)
