"""Signalling of a session over a data path without packets: the matrix, the states, and the timers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcctl.media.codec import Codec
from rtcctl.media.sdp import SDES_MID_URI, Direction, MediaSection, Setup, Source
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import (
    CloseTrackObject,
    CloseTracksRequest,
    SessionDescription,
    TrackObject,
    TracksRequest,
    TracksResponse,
)
from rtcctl.server.connection import ConnectionState
from rtcctl.server.limits import Limits
from rtcctl.server.registry import App, Registry
from rtcctl.server.session import Session
from rtcctl.web.refusal import Refusal
from tests.support.fake_endpoint import Clock, FakeConnection, FakeEndpoint, FakeIncoming, FakeOutgoing
from tests.support.sdp import answer_to, offer_of, section

VECTORS = Path(__file__).parents[2] / "vectors" / "sdp"
LIMITS = Limits()


class World:
    """A registry with one app on a data path without packets, and a clock that the test moves."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.clock = Clock()
        self.endpoint = FakeEndpoint(self.clock)
        self.app = App("app", "secret")
        self.registry = Registry(
            endpoint=self.endpoint,  # type: ignore[arg-type]
            candidates=self.endpoint.candidates,
            apps=[self.app],
            limits=limits,
            clock=self.clock,
        )

    def session(self) -> Session:
        return self.registry.new_session(self.app)

    async def publisher(self, name: str = "mic") -> Session:
        """A session that is connected and sends a track."""
        session = self.session()
        await publish(session, "0", name)
        connection_of(session).enter(ConnectionState.CONNECTED)
        incoming_of(session).receive()
        return session


def connection_of(session: Session) -> FakeConnection:
    assert isinstance(session.connection, FakeConnection)
    return session.connection


def incoming_of(session: Session, index: int = -1) -> FakeIncoming:
    return connection_of(session).published[index][1]


def outgoing_of(session: Session, index: int = -1) -> FakeOutgoing:
    return connection_of(session).subscribed[index][1]


async def publish(session: Session, mid: str, name: str, *sections: MediaSection) -> TracksResponse:
    offer = offer_of(*(sections or (section(mid, Direction.SENDONLY),)))
    return await session.new_tracks(
        TracksRequest(tracks=[TrackObject(location="local", mid=mid, track_name=name)], session_description=offer)
    )


async def pull(session: Session, publisher: Session, *names: str) -> TracksResponse:
    tracks = [TrackObject(location="remote", session_id=publisher.session_id, track_name=name) for name in names]
    return await session.new_tracks(TracksRequest(tracks=tracks))


async def pulled(session: Session, publisher: Session, *names: str) -> list[MediaSection]:
    """Pull, and answer the offer; the m-sections that were offered."""
    response = await pull(session, publisher, *names)
    assert response.session_description
    offer = sdp_of(response)
    await session.renegotiate(answer_to(offer))
    return list(offer.media)


def sdp_of(response: TracksResponse) -> Sdp:
    assert response.session_description
    return Sdp.parse(response.session_description.sdp)


def refused(expected_status: int, code: str, subcode: str | None = None) -> pytest.RaisesExc[Refusal]:
    def matches(exc: Refusal) -> bool:
        return (exc.status, exc.code, exc.subcode) == (expected_status, code, subcode)

    return pytest.RaisesExc(Refusal, check=matches)


def close_request(*mids: str, force: bool = True, offer: SessionDescription | None = None) -> CloseTracksRequest:
    tracks = [CloseTrackObject(mid=mid) for mid in mids]
    return CloseTracksRequest(tracks=tracks, force=force, session_description=offer)


# --- publish


async def test_publish_with_the_clients_offer() -> None:
    """The answer is recvonly, passive, ICE-lite, with one candidate, and keeps the client's payload types."""
    session = World().session()
    text = (VECTORS / "chromium-publish-audio.sdp").read_bytes().decode()
    response = await session.new_tracks(
        TracksRequest(
            tracks=[TrackObject(location="local", mid="0", track_name="mic")],
            session_description=SessionDescription(type="offer", sdp=text),
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
    assert audio.codecs[0].feedback == ()
    assert audio.extensions == {4: SDES_MID_URI}
    assert [str(candidate) for candidate in audio.candidates] == ["1 1 udp 2130706431 127.0.0.1 8610 typ host"]
    assert audio.has_end_of_candidates
    ((options, _),) = connection_of(session).published
    assert options["ssrcs"] == (Sdp.parse(text).media[0].ssrcs[0].ssrc,)
    assert options["mid_extension_id"] == 4
    (remote,) = connection_of(session).remotes
    assert remote["setup"] == "actpass"


async def test_auto_discover_names_what_is_new() -> None:
    """Each m-section that sends gets a random name, once."""
    world = World()
    session = world.session()
    sections = [section("a", Direction.SENDONLY), section("b", Direction.RECVONLY)]
    request = TracksRequest(auto_discover=True, session_description=offer_of(*sections))
    (first,) = (await session.new_tracks(request)).tracks or []
    assert (first.mid, first.kind) == ("a", "audio")
    assert first.track_name
    connection_of(session).enter(ConnectionState.CONNECTED)
    sections.append(section("c", Direction.SENDRECV))
    request = TracksRequest(auto_discover=True, session_description=offer_of(*sections))
    (second,) = (await session.new_tracks(request)).tracks or []
    assert second.mid == "c"
    assert second.track_name != first.track_name


async def test_auto_discover_leaves_closed_tracks_closed() -> None:
    """A track that was closed while its client goes on sending does not come back under another name."""
    world = World()
    session = await world.publisher("mic")
    await session.close_tracks(close_request("0"))
    request = TracksRequest(auto_discover=True, session_description=offer_of(section("0", Direction.SENDONLY)))
    assert (await session.new_tracks(request)).tracks == []
    await session.renegotiate(offer_of(section("0", Direction.INACTIVE)))
    (again,) = (await session.new_tracks(request)).tracks or []
    assert again.mid == "0"


@pytest.mark.parametrize("protocol", ["UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "TCP/DTLS/RTP/SAVPF"])
async def test_an_answer_repeats_the_protocol(protocol: str) -> None:
    """Whichever spelling the client knows (RFC 8829 §5.1.2), in later offers of the SFU too."""
    world = World()
    session = world.session()
    answer = sdp_of(await publish(session, "0", "mic", section("0", Direction.SENDONLY, protocol=protocol)))
    assert [media.protocol for media in answer.media] == [protocol]
    connection_of(session).enter(ConnectionState.CONNECTED)
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
    connection_of(subscriber).enter(ConnectionState.CONNECTED)
    await pulled(subscriber, publisher, "mic", "nothing")
    with refused(410, "session_error"):
        await pull(subscriber, publisher, "mic")
    assert subscriber.is_gone
    assert not publisher.is_gone


async def test_ssrcs_of_a_media_section_are_bounded() -> None:
    """An offer can name thousands; the data path keeps something for each."""
    session = World().session()
    await publish(session, "0", "mic", section("0", Direction.SENDONLY, ssrcs=tuple(map(Source, range(1000)))))
    assert connection_of(session).published[0][0]["ssrcs"] == tuple(range(32))


@pytest.mark.parametrize("mid", ["9" * 255, "9" * 5000])
async def test_mids_that_are_long_numbers(mid: str) -> None:
    """A pull after them gets a mid that fits into a header."""
    world = World()
    session = world.session()
    port = 9 if len(mid) <= 255 else 0
    await publish(session, "a", "mic", section("a", Direction.SENDONLY), section(mid, Direction.SENDONLY, port=port))
    connection_of(session).enter(ConnectionState.CONNECTED)
    (track,) = (await pull(session, await world.publisher(), "mic")).tracks or []
    assert track.mid == "0"


async def test_an_extension_id_of_the_client_that_fits_no_header() -> None:
    """What the SFU then offers has one that does."""
    world = World()
    session = world.session()
    await publish(session, "0", "mic", section("0", Direction.SENDONLY, extensions={300: SDES_MID_URI}))
    assert connection_of(session).published[0][0]["mid_extension_id"] is None
    connection_of(session).enter(ConnectionState.CONNECTED)
    await pulled(session, await world.publisher(), "mic")
    assert connection_of(session).subscribed[0][0]["mid_extension_id"] == 4


async def test_video_is_answered_with_port_0_and_leaves_the_bundle() -> None:
    """An m-section without a codec that the SFU forwards is rejected; the others work."""
    text = (VECTORS / "chromium-publish-simulcast-datachannel.sdp").read_bytes().decode()
    session = World().session()
    response = await session.new_tracks(
        TracksRequest(
            tracks=[TrackObject(location="local", mid="0", track_name="mic")],
            session_description=SessionDescription(type="offer", sdp=text),
        )
    )
    answer = sdp_of(response)
    assert [media.is_rejected for media in answer.media] == [False, True, True]
    assert answer.bundle == ("0",)
    with refused(406, "invalid_session_description"):
        await (
            World()
            .session()
            .new_tracks(
                TracksRequest(
                    tracks=[TrackObject(location="local", mid="1", track_name="camera")],
                    session_description=SessionDescription(type="offer", sdp=text),
                )
            )
        )


async def test_the_newest_publication_of_a_name_wins() -> None:
    """A name that is published again ends the earlier publication."""
    world = World()
    session = await world.publisher("mic")
    sections = (section("0", Direction.SENDONLY), section("1", Direction.SENDONLY))
    await publish(session, "1", "mic", *sections)
    assert incoming_of(session, 0).is_closed
    assert session.publications["mic"].mid == "1"
    assert [(track.mid, track.status) for track in session.state().tracks or []] == [("0", "inactive"), ("1", "active")]


async def test_an_m_section_is_used_again_after_a_forced_close() -> None:
    """Publishing on the mid of a closed track works."""
    world = World()
    session = await world.publisher("mic")
    await session.close_tracks(close_request("0"))
    await publish(session, "0", "again")
    assert [track.to_wire() for track in session.state().tracks or []] == [
        {"location": "local", "mid": "0", "trackName": "again", "status": "active"}
    ]


async def test_a_stopped_transceivers_place_is_taken_by_a_new_one() -> None:
    """A client may put a new mid where its transceiver has been stopped (RFC 8829 §5.2.2)."""
    world = World()
    session = await world.publisher("mic")
    stopped = section("0", Direction.INACTIVE, port=0)
    response = await session.close_tracks(close_request("0", force=False, offer=offer_of(stopped)))
    assert sdp_of(response).media[0].is_rejected
    assert sdp_of(response).bundle == ()
    answer = sdp_of(await publish(session, "5", "mic", section("5", Direction.SENDONLY)))
    assert [media.mid for media in answer.media] == ["5"]
    assert answer.bundle == ("5",)


# --- subscribe


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
    assert (audio.direction, audio.setup, audio.mid) == (Direction.SENDONLY, Setup.ACTPASS, "0")
    assert [(codec.name, codec.payload_type) for codec in audio.codecs] == [("opus", 111)]
    assert audio.codecs[0].parameters == "minptime=10;useinbandfec=1"
    assert [(source.ssrc, source.cname) for source in audio.ssrcs] == [(outgoing.ssrc, outgoing.cname)]
    assert audio.msid.startswith(publisher.session_id)
    assert audio.extension_id(SDES_MID_URI) == 4
    assert outgoing.negotiated is None
    await subscriber.renegotiate(answer_to(offer))
    assert [codec.payload_type for codec in outgoing.negotiated or ()] == [111]
    assert connection_of(subscriber).remotes[0]["setup"] == "active"


async def test_several_publishers_in_one_pull() -> None:
    """Tracks of several sessions come in one offer, each on a mid of its own."""
    world = World()
    first, second, subscriber = await world.publisher("a"), await world.publisher("b"), world.session()
    tracks = [
        TrackObject(location="remote", session_id=publisher.session_id, track_name=name)
        for publisher, name in ((first, "a"), (second, "b"))
    ]
    response = await subscriber.new_tracks(TracksRequest(tracks=tracks))
    assert [track.mid for track in response.tracks or []] == ["0", "1"]
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
    tracks = [
        TrackObject(location="remote", session_id=session_id, track_name=name)
        for session_id, name in (("0" * 32, "mic"), (publisher.session_id, "other"), (publisher.session_id, "mic"))
    ]
    response = await subscriber.new_tracks(TracksRequest(tracks=tracks))
    assert [track.error_code for track in response.tracks or []] == [
        "not_found_track_error",
        "not_found_track_error",
        "empty_track_error",
    ]
    assert response.session_description is None
    assert response.requires_immediate_renegotiation is False
    assert incoming_of(publisher).waited_s == [LIMITS.media_wait_s]
    assert subscriber.connection is None


async def test_a_publisher_that_is_not_connected_is_waited_for() -> None:
    """A known track of a publisher that is still connecting: up to 5 s, then not found."""
    world = World()
    publisher, subscriber = world.session(), world.session()
    await publish(publisher, "0", "mic")
    (failed,) = (await pull(subscriber, publisher, "mic")).tracks or []
    assert failed.error_code == "not_found_track_error"
    assert connection_of(publisher).waited_s == [LIMITS.connect_wait_s]


async def test_a_session_publishes_and_pulls() -> None:
    """The pull's offer describes the published m-section too; ids and payload types mean one thing in the bundle."""
    world = World()
    publisher, both = await world.publisher(), world.session()
    text = (VECTORS / "aiortc-publish.sdp").read_bytes().decode()
    await both.new_tracks(
        TracksRequest(
            tracks=[TrackObject(location="local", mid="0", track_name="own")],
            session_description=SessionDescription(type="offer", sdp=text),
        )
    )
    connection_of(both).enter(ConnectionState.CONNECTED)
    offer = sdp_of(await pull(both, publisher, "mic"))
    assert [(media.mid, media.direction, media.is_rejected) for media in offer.media] == [
        ("0", Direction.RECVONLY, False),
        ("1", Direction.INACTIVE, True),
        ("2", Direction.INACTIVE, True),
        ("3", Direction.SENDONLY, False),
    ]
    assert offer.bundle == ("0", "3")
    # aiortc gave opus 96 and the mid extension 1.
    assert offer.media[3].codecs[0].payload_type == 96
    assert offer.media[3].extension_id(SDES_MID_URI) == 1
    await both.renegotiate(answer_to(offer))
    assert outgoing_of(both).negotiated


async def test_the_sfu_never_takes_a_mid_of_the_client() -> None:
    """Mids of the SFU are decimal counters above all that are used."""
    world = World()
    publisher, both = await world.publisher(), world.session()
    await publish(both, "7", "own", section("audio-x", Direction.SENDONLY), section("7", Direction.SENDONLY))
    connection_of(both).enter(ConnectionState.CONNECTED)
    (track,) = (await pull(both, publisher, "mic")).tracks or []
    assert track.mid == "8"


async def test_what_the_client_refuses_is_closed() -> None:
    """A pulled m-section that the answer rejects, or does not receive, is inactive."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    offer = sdp_of(await pull(subscriber, publisher, "a", "a"))
    await subscriber.renegotiate(answer_to(offer, {"0": section("0", Direction.INACTIVE, port=0)}))
    assert [(track.mid, track.status) for track in subscriber.state().tracks or []] == [
        ("0", "inactive"),
        ("1", "active"),
    ]
    assert outgoing_of(subscriber, 0).is_closed
    assert outgoing_of(subscriber, 1).negotiated


async def test_an_answer_with_a_codec_that_was_not_offered() -> None:
    """It agrees to nothing: the subscription is closed."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    offer = sdp_of(await pull(subscriber, publisher, "a"))
    pcmu = section("0", Direction.RECVONLY, codecs=(Codec("PCMU", 0, 8000),), setup=Setup.ACTIVE)
    await subscriber.renegotiate(answer_to(offer, {"0": pcmu}))
    assert [track.status for track in subscriber.state().tracks or []] == ["inactive"]
    assert outgoing_of(subscriber).negotiated is None


async def test_subscribe_into_an_existing_m_section() -> None:
    """With a mid that the client receives on, media flows without SDP."""
    world = World()
    publisher, subscriber = await world.publisher("a"), world.session()
    await pulled(subscriber, publisher, "a")
    connection_of(subscriber).enter(ConnectionState.CONNECTED)
    await subscriber.close_tracks(close_request("0"))
    request = TracksRequest(
        tracks=[TrackObject(location="remote", session_id=publisher.session_id, track_name="a", mid="0")]
    )
    response = await subscriber.new_tracks(request)
    assert response.session_description is None
    assert response.requires_immediate_renegotiation is False
    assert [track.mid for track in response.tracks or []] == ["0"]
    assert outgoing_of(subscriber).negotiated
    with refused(406, "invalid_params"):
        await subscriber.new_tracks(
            TracksRequest(
                tracks=[TrackObject(location="remote", session_id=publisher.session_id, track_name="a", mid="9")]
            )
        )


async def test_subscribe_by_the_name_of_a_bidirectional_track() -> None:
    """`#name` means the m-section that carries the session's own track of that name."""
    world = World()
    publisher, both = await world.publisher("a"), world.session()
    track = TrackObject(location="local", mid="0", track_name="own", bidirectional_media_stream=True)
    offer = offer_of(section("0", Direction.SENDRECV))
    answer = sdp_of(await both.new_tracks(TracksRequest(tracks=[track], session_description=offer)))
    assert answer.media[0].direction is Direction.SENDRECV
    connection_of(both).enter(ConnectionState.CONNECTED)
    response = await both.new_tracks(
        TracksRequest(
            tracks=[TrackObject(location="remote", session_id=publisher.session_id, track_name="a", mid="#own")]
        )
    )
    assert [track.mid for track in response.tracks or []] == ["0"]
    assert response.session_description is None


async def test_closing_a_bidirectional_track_stops_both_ways() -> None:
    """Its publication and what is sent back on its m-section."""
    world = World()
    publisher, both = await world.publisher("a"), world.session()
    track = TrackObject(location="local", mid="0", track_name="own", bidirectional_media_stream=True)
    offer = offer_of(section("0", Direction.SENDRECV))
    await both.new_tracks(TracksRequest(tracks=[track], session_description=offer))
    connection_of(both).enter(ConnectionState.CONNECTED)
    back = TrackObject(location="remote", session_id=publisher.session_id, track_name="a", mid="#own")
    await both.new_tracks(TracksRequest(tracks=[back]))
    (closed,) = (await both.close_tracks(close_request("0"))).tracks or []
    assert closed.error_code is None
    assert incoming_of(both).is_closed
    assert outgoing_of(both).is_closed
    assert [(track.location, track.status) for track in both.state().tracks or []] == [
        ("local", "inactive"),
        ("remote", "inactive"),
    ]


async def test_a_client_that_is_the_dtls_server() -> None:
    """A client that answers `passive` makes the SFU active, and it stays so in later answers."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    offer = sdp_of(await pull(subscriber, publisher, "mic"))
    await subscriber.renegotiate(answer_to(offer, setup=Setup.PASSIVE))
    connection_of(subscriber).enter(ConnectionState.CONNECTED)
    sections = (section("0", Direction.RECVONLY), section("1", Direction.SENDONLY))
    answer = sdp_of(await publish(subscriber, "1", "own", *sections))
    assert [media.setup for media in answer.media] == [Setup.ACTIVE, Setup.ACTIVE]
    assert [media.direction for media in answer.media] == [Direction.SENDONLY, Direction.RECVONLY]


# --- serialisation


async def test_an_unanswered_offer_blocks_all_but_its_answer_and_a_forced_close() -> None:
    """have-sfu-offer: 406 with its subcode; the forced close works and leaves the offer pending."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    offer = sdp_of(await pull(subscriber, publisher, "mic"))
    blocked = refused(406, "invalid_session_description", "invalid_modification_have_local_offer")
    with blocked:
        await pull(subscriber, publisher, "mic")
    with blocked:
        await publish(subscriber, "0", "own")
    with blocked:
        await subscriber.close_tracks(close_request("0", force=False, offer=offer_of(section("0"))))
    (closed,) = (await subscriber.close_tracks(close_request("0"))).tracks or []
    assert closed.error_code is None
    assert [track.status for track in subscriber.state().tracks or []] == ["inactive"]
    with blocked:
        await pull(subscriber, publisher, "mic")
    await subscriber.renegotiate(answer_to(offer))
    assert outgoing_of(subscriber).negotiated is None
    connection_of(subscriber).enter(ConnectionState.CONNECTED)
    assert len(await pulled(subscriber, publisher, "mic")) == 2


async def test_requests_on_one_session_do_not_overlap() -> None:
    """While one mutation waits for connectivity, another is 406; a forced close is not."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    await pulled(subscriber, publisher, "mic")
    connection_of(subscriber).hold = connectivity = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(pull(subscriber, publisher, "mic"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with refused(406, "signaling_state_not_stable"):
            await pull(subscriber, publisher, "mic")
        await subscriber.close_tracks(close_request("0"))
        connection_of(subscriber).enter(ConnectionState.CONNECTED)
        connectivity.set()
    assert waiting.result().requires_immediate_renegotiation


async def test_a_track_that_ends_while_another_is_waited_for() -> None:
    """One pull of two tracks: the first is there, the second makes it wait, and the first ends meanwhile."""
    world = World()
    ending, slow, subscriber = await world.publisher("a"), await world.publisher("b"), world.session()
    connection_of(slow).hold = hold = asyncio.Event()
    tracks = [
        TrackObject(location="remote", session_id=publisher.session_id, track_name=name)
        for publisher, name in ((ending, "a"), (slow, "b"))
    ]
    async with asyncio.TaskGroup() as group:
        pulling = group.create_task(subscriber.new_tracks(TracksRequest(tracks=tracks)))
        for _ in range(5):
            await asyncio.sleep(0)
        await ending.close_tracks(close_request("0"))
        hold.set()
    ended, there = pulling.result().tracks or []
    assert (ended.mid, ended.error_code) == ("", "not_found_track_error")
    assert (there.mid, there.error_code) == ("0", None)


async def test_an_answer_without_an_offer() -> None:
    """Nothing pending: 406 `invalid_modification_stable`, in every state."""
    world = World()
    stable = refused(406, "invalid_session_description", "invalid_modification_stable")
    answer = SessionDescription(type="answer", sdp=offer_of(section("0")).sdp)
    with stable:
        await world.session().renegotiate(answer)
    with stable:
        await world.session().renegotiate(offer_of(section("0")))
    with stable:
        await (await world.publisher()).renegotiate(answer)


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


# --- close


async def test_close_by_an_exchange() -> None:
    """The answer to the client's offer makes the closed m-section inactive; the publication ends."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    await pulled(subscriber, publisher, "mic")
    inactive = offer_of(section("0", Direction.INACTIVE))
    response = await publisher.close_tracks(close_request("0", "5", force=False, offer=inactive))
    assert response.to_wire()["tracks"] == [
        {"mid": "0"},
        {
            "mid": "5",
            "errorCode": "close_track_error",
            "errorDescription": "Track doesn't exist or was already closed",
        },
    ]
    assert response.requires_immediate_renegotiation is False
    assert sdp_of(response).media[0].direction is Direction.INACTIVE
    assert incoming_of(publisher).is_closed
    assert [track.status for track in publisher.state().tracks or []] == ["inactive"]
    assert [track.status for track in subscriber.state().tracks or []] == ["inactive"]
    (failed,) = (await pull(world.session(), publisher, "mic")).tracks or []
    assert failed.error_code == "not_found_track_error"


async def test_close_what_the_client_still_offers() -> None:
    """A closed m-section is not received any more even if the client's offer still sends."""
    session = await World().publisher()
    offer = offer_of(section("0", Direction.SENDONLY))
    response = await session.close_tracks(close_request("0", force=False, offer=offer))
    assert sdp_of(response).media[0].direction is Direction.INACTIVE


async def test_closing_a_subscription_leaves_the_publication() -> None:
    """Only that subscription ends; a second close is `close_track_error`."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    await pulled(subscriber, publisher, "mic")
    (first,) = (await subscriber.close_tracks(close_request("0"))).tracks or []
    (second,) = (await subscriber.close_tracks(close_request("0"))).tracks or []
    assert (first.error_code, second.error_code) == (None, "close_track_error")
    assert not incoming_of(publisher).is_closed
    assert outgoing_of(subscriber).is_closed


async def test_close_on_a_new_session() -> None:
    """Nothing is there to close."""
    (failed,) = (await World().session().close_tracks(close_request("0"))).tracks or []
    assert failed.error_code == "close_track_error"


async def test_bad_close_requests() -> None:
    """The 406s that were seen live, word for word; an offer is needed without force."""
    session = World().session()
    with pytest.RaisesExc(Refusal, check=lambda exc: exc.description == "Expecting at least 1 track"):
        await session.close_tracks(close_request())
    with pytest.RaisesExc(Refusal, check=lambda exc: exc.description == "tracks[0]: Missing mid in track"):
        await session.close_tracks(close_request(""))
    with refused(406, "invalid_params"):
        await session.close_tracks(close_request(*["0"] * 65))
    with refused(400, "decoding_error"):
        await session.close_tracks(close_request("0", force=False))


# --- requests that cannot be


def local(**fields: object) -> TrackObject:
    return TrackObject.model_validate({"location": "local", "track_name": "a", "mid": "0"} | fields)


def remote(**fields: object) -> TrackObject:
    return TrackObject.model_validate({"location": "remote", "track_name": "a", "session_id": "s"} | fields)


@pytest.mark.parametrize(
    ("tracks", "status", "description"),
    [
        (None, 400, "Body JSON validation error: tracks"),
        ([], 406, "Expecting at least 1 track"),
        ([local()] * 65, 406, "Expecting at most 64 track in the request"),
        ([local(), remote()], 406, "Pushing and Pulling tracks in the same request is not supported"),
        ([local(mid=None), local(), local(track_name="")], 400, "JSON body validation error: 0,2"),
        ([local(), local(track_name="b")], 406, "Two tracks of the request have the same mid"),
        ([local(), local(mid="1")], 406, "Two tracks of the request have the same trackName"),
        ([remote(mid="1"), remote(mid="1")], 406, "Two tracks of the request have the same mid"),
        ([remote(session_id=None)], 400, "JSON body validation error: 0"),
        ([TrackObject(track_name="a", mid="0")], 400, "JSON body validation error: 0"),
        ([local()], 400, "Body JSON validation error: sessionDescription"),
    ],
)
async def test_bad_tracks_new(tracks: list[TrackObject] | None, status: int, description: str) -> None:
    """Each is refused in the words of the service where they are known."""
    with pytest.raises(Refusal) as caught:
        await World().session().new_tracks(TracksRequest(tracks=tracks))
    assert (caught.value.status, caught.value.description) == (status, description)


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


LINES = sorted({line for name in VECTORS.glob("*.sdp") for line in name.read_text().splitlines()})
HOSTILE = [
    "m=audio 0 UDP/TLS/RTP/SAVPF 111",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "a=mid:0",
    "a=mid:1",
    f"a=mid:{'9' * 255}",
    "a=group:BUNDLE 0 1",
    "a=bundle-only",
    "a=extmap:300 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=extmap:0 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=rtpmap:111 opus/0/0",
    "a=rtpmap:0 opus/48000/2",
    "a=rtcp-fb:* nack",
    "a=fingerprint:sha-1 AB:CD",
    "a=setup:holdconn",
    "a=setup:passive",
    "a=sendrecv",
    "a=inactive",
    "a=ssrc:1 cname:x",
    "a=candidate:1 1 udp 1 fe80::1%25lo 9 typ host",
]


@given(st.data())
@settings(max_examples=150, deadline=None)
async def test_descriptions_that_nobody_expects(data: st.DataObject) -> None:
    """Descriptions of real clients, mangled: agreed to or refused, and the session is as usable as before."""
    world = World()
    publisher, session = await world.publisher(), world.session()
    refusals: list[Refusal] = []
    for _ in range(3):
        lines = data.draw(st.sampled_from(sorted(VECTORS.glob("*.sdp")))).read_text().splitlines()
        for _ in range(data.draw(st.integers(0, 6))):
            at = data.draw(st.integers(1, len(lines)))
            replaced = data.draw(st.integers(0, 3))
            lines[at : at + replaced] = data.draw(st.lists(st.sampled_from(HOSTILE + LINES), max_size=3))
        tracks = data.draw(st.sampled_from([None, [local()], [local(mid="1", bidirectional_media_stream=True)]]))
        kind = data.draw(st.sampled_from(["offer", "answer"]))
        mangled = SessionDescription(type=kind, sdp="".join(f"{line}\r\n" for line in lines))
        try:
            with session.boundary(world.registry.count_bug):
                if kind == "answer":
                    await session.renegotiate(mangled)
                else:
                    await session.new_tracks(
                        TracksRequest(tracks=tracks, auto_discover=True, session_description=mangled)
                    )
        except Refusal as refusal:
            refusals.append(refusal)
        if session.connection:
            connection_of(session).enter(ConnectionState.CONNECTED)
        try:
            with session.boundary(world.registry.count_bug):
                await pull(session, publisher, "mic")
        except Refusal as refusal:
            refusals.append(refusal)
    assert {refusal.status for refusal in refusals} <= {400, 406}
    assert world.registry.bugs == 0
    assert not session.is_gone


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


# --- states and timers


STATES = ("new", "have-sfu-offer", "stable", "connected", "disconnected", "gone")


async def in_state(world: World, publisher: Session, state: str) -> Session:
    """A session in one of the states of the theory of operation."""
    session = world.session()
    if state == "have-sfu-offer":
        await pull(session, publisher, "mic")
    elif state != "new":
        await publish(session, "0", "own")
    if state in ("connected", "disconnected"):
        connection_of(session).enter(ConnectionState[state.upper()])
    elif state == "gone":
        session.close()
    return session


@pytest.mark.parametrize(
    ("operation", "statuses"),
    [
        # In the order of STATES.
        ("publish", (200, 406, 425, 200, 425, 410)),
        ("pull", (200, 406, 425, 200, 425, 410)),
        ("renegotiate", (406, 200, 406, 406, 406, 410)),
        ("close by force", (200, 200, 200, 200, 200, 410)),
        ("close", (200, 406, 200, 200, 200, 410)),
        ("get", (200, 200, 200, 200, 200, 410)),
    ],
)
async def test_operations_in_every_state(operation: str, statuses: tuple[int, ...]) -> None:
    """What each state allows; a refusal changes nothing that `GET` shows."""
    for state, expected in zip(STATES, statuses, strict=True):
        world = World()
        publisher = await world.publisher()
        session = await in_state(world, publisher, state)
        before = session.state()
        offered = [transceiver.local for transceiver in session._signalling.transceivers]
        try:
            found = world.registry.session(world.app, session.session_id)
            if operation == "publish":
                await publish(found, "0", "again")
            elif operation == "pull":
                await pull(found, publisher, "mic")
            elif operation == "renegotiate":
                await found.renegotiate(answer_to(Sdp(media=tuple(offered or [section("0")]))))
            elif operation == "close by force":
                (item,) = (await found.close_tracks(close_request("0"))).tracks or []
                assert item.error_code == ("close_track_error" if state == "new" else None)
            elif operation == "close":
                offer = offer_of(section("0", Direction.INACTIVE))
                (item,) = (await found.close_tracks(close_request("0", force=False, offer=offer))).tracks or []
                assert item.error_code == ("close_track_error" if state == "new" else None)
            else:
                found.state()
            status = 200
        except Refusal as refusal:
            status = refusal.status
            assert session.state() == before
        assert (state, status) == (state, expected)


async def test_stable_but_not_connected_is_425() -> None:
    """`tracks/new` waits for connectivity 5 s and is then 425; GET and close are 200."""
    world = World()
    publisher, session = await world.publisher(), world.session()
    await publish(session, "0", "mic")
    with refused(425, "session_error"):
        await pull(session, publisher, "mic")
    assert connection_of(session).waited_s == [LIMITS.connect_wait_s]
    assert session.state().tracks
    await session.close_tracks(close_request("0"))


async def test_a_session_that_never_connects_is_gone() -> None:
    """30 s after the exchange, 410."""
    world = World()
    session = world.session()
    await publish(session, "0", "mic")
    world.clock.pass_by(29.9)
    world.registry.session(world.app, session.session_id)
    world.clock.pass_by(0.2)
    with refused(410, "session_error"):
        world.registry.session(world.app, session.session_id)


async def test_an_unused_session_expires() -> None:
    """120 s after its creation; a first offer that nobody answers does not keep it."""
    world = World()
    publisher, unused, abandoned = await world.publisher(), world.session(), world.session()
    await pull(abandoned, publisher, "mic")
    world.clock.pass_by(119)
    connection_of(publisher).hear()
    for session in (unused, abandoned):
        session.look_at_timers()
        assert not session.is_gone
    world.clock.pass_by(2)
    for session in (unused, abandoned):
        session.look_at_timers()
        assert session.is_gone


async def test_a_disconnected_session_is_gone_after_30_s_of_silence() -> None:
    """Until then it answers; its publications end with it."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    await pulled(subscriber, publisher, "mic")
    world.clock.pass_by(20)
    connection_of(publisher).enter(ConnectionState.DISCONNECTED)
    incoming_of(publisher).receive()
    with refused(425, "session_error"):
        await publish(publisher, "0", "again")
    world.clock.pass_by(11)
    publisher.look_at_timers()
    assert publisher.is_gone
    assert incoming_of(publisher).is_closed
    assert [track.status for track in subscriber.state().tracks or []] == ["inactive"]
    assert connection_of(publisher).state is ConnectionState.CLOSED


async def test_a_silent_publication_is_collected() -> None:
    """After 30 s without packets; the session lives on."""
    world = World()
    session = await world.publisher()
    world.clock.pass_by(29)
    connection_of(session).hear()
    session.look_at_timers()
    assert session.publications
    world.clock.pass_by(1)
    session.look_at_timers()
    assert not session.publications
    assert not session.is_gone
    assert [track.status for track in session.state().tracks or []] == ["inactive"]


async def test_a_clients_goodbye_ends_the_session() -> None:
    """The transport closed by the peer: gone at once, and requests that are held get 410."""
    world = World()
    publisher, subscriber = await world.publisher(), world.session()
    await pulled(subscriber, publisher, "mic")
    connection_of(subscriber).hold = asyncio.Event()
    async with asyncio.TaskGroup() as group:

        async def held() -> None:
            with refused(410, "session_error"):
                await pull(subscriber, publisher, "mic")

        group.create_task(held())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        connection_of(subscriber).enter(ConnectionState.CLOSED)
    assert subscriber.is_gone


async def test_requests_per_second() -> None:
    """The 51st request within a second is 429 with `Retry-After`; a second later they are admitted again."""
    world = World()
    session = world.session()
    for _ in range(50):
        session.admit()
    with pytest.raises(Refusal) as caught:
        session.admit()
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
    world.clock.pass_by(1)
    session.admit()


async def test_a_bug_ends_one_session_only() -> None:
    """An unexpected error is a 500 for this request, is counted, and closes this session."""
    world = World()
    publisher, other = await world.publisher(), world.session()
    with refused(500, "internal_error"), publisher.boundary(world.registry.count_bug):
        raise KeyError("bug")
    assert world.registry.bugs == 1
    assert publisher.is_gone
    assert not other.is_gone


async def test_a_bug_in_the_data_path_ends_that_session_only() -> None:
    """The endpoint reports it by connection."""
    world = World()
    publisher, other = await world.publisher(), await world.publisher()
    assert world.endpoint.on_error
    world.endpoint.on_error(connection_of(publisher), KeyError("bug"))
    assert world.registry.bugs == 1
    assert publisher.is_gone
    assert not other.is_gone
