"""Signalling of a session over a data path without packets: the states, the timers, one mutation at a time."""

from __future__ import annotations

import asyncio

import pytest

from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import (
    DataChannelObject,
    DataChannelsRequest,
    EstablishDataChannelsRequest,
    SessionDescription,
    TracksRequest,
)
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.limits import Limits
from rtcctl.server.session import Session
from rtcctl.web.refusal import Refusal
from tests.support.sdp import answer_to, data, offer_of, section
from tests.support.world import (
    LIMITS,
    World,
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
    remote,
    sdp_of,
)


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
    assert not outgoing_of(subscriber).is_forwarding
    connect(subscriber)
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
        connect(subscriber)
        connectivity.set()
    assert waiting.result().requires_immediate_renegotiation


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
    assert not outgoing_of(subscriber).is_forwarding


async def test_close_on_a_new_session() -> None:
    """Nothing is there to close."""
    (failed,) = (await World().session().close_tracks(close_request("0"))).tracks or []
    assert failed.error_code == "close_track_error"


def establish(offer: SessionDescription | None = None) -> EstablishDataChannelsRequest:
    channel = DataChannelObject(location="remote", data_channel_name="server-events")
    return EstablishDataChannelsRequest(data_channel=channel, session_description=offer)


STATES = ("new", "have-sfu-offer", "stable", "connected", "disconnected", "gone")


async def in_state(world: World, publisher: Session, state: str) -> Session:
    """A session in one of the states of the theory of operation."""
    session = world.session()
    if state == "have-sfu-offer":
        await pull(session, publisher, "mic")
    elif state != "new":
        await publish(session, "0", "own", section("0", Direction.SENDONLY), data("1"))
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
        ("publish by the SFU's offer", (200, 406, 425, 200, 425, 410)),
        ("discover", (200, 406, 425, 200, 425, 410)),
        ("pull", (200, 406, 425, 200, 425, 410)),
        ("pull by the client's offer", (200, 406, 425, 200, 425, 410)),
        ("update", (425, 406, 425, 200, 425, 410)),
        ("establish", (200, 406, 425, 200, 425, 410)),
        ("establish by the client's offer", (200, 406, 425, 200, 425, 410)),
        ("new data channel", (425, 406, 425, 200, 425, 410)),
        ("update a data channel", (425, 406, 425, 200, 425, 410)),
        ("close a data channel", (200, 200, 200, 200, 200, 410)),
        ("renegotiate", (406, 200, 406, 406, 406, 410)),
        ("close by force", (200, 200, 200, 200, 200, 410)),
        ("close", (200, 406, 200, 200, 200, 410)),
        ("get", (200, 200, 200, 200, 200, 410)),
    ],
)
async def test_operations_in_every_state(operation: str, statuses: tuple[int, ...]) -> None:
    """What each state allows; a refusal changes nothing that `GET` shows."""
    for state, expected in zip(STATES, statuses, strict=True):
        world = World(Limits(connect_wait_s=0.01))
        publisher = await world.publisher()
        session = await in_state(world, publisher, state)
        before = session.state()
        offered = [transceiver.local for transceiver in session._signalling.transceivers]
        try:
            found = world.registry.session(world.app, session.session_id)
            if operation == "publish":
                await publish(found, "0", "again", section("0", Direction.SENDONLY), data("1"))
            elif operation == "publish by the SFU's offer":
                await found.new_tracks(TracksRequest(tracks=[local(kind="audio")]))
            elif operation == "discover":
                offer = offer_of(section("0", Direction.SENDONLY), data("1"))
                await found.new_tracks(TracksRequest(auto_discover=True, session_description=offer))
            elif operation == "pull":
                await pull(found, publisher, "mic")
            elif operation == "pull by the client's offer":
                offer = offer_of(section("0", Direction.SENDONLY), data("1"), section("2", Direction.RECVONLY))
                tracks = [remote(publisher, "mic")]
                await found.new_tracks(TracksRequest(tracks=tracks, session_description=offer))
            elif operation == "update":
                await found.update_tracks(TracksRequest(tracks=[remote(publisher, "mic", mid="0")]))
            elif operation == "establish":
                await found.establish_data_channels(establish())
            elif operation == "establish by the client's offer":
                await found.establish_data_channels(establish(offer_of(section("0", Direction.SENDONLY), data("1"))))
            elif operation == "new data channel":
                channel = DataChannelObject(location="local", data_channel_name="chat")
                await found.new_data_channels(DataChannelsRequest(data_channels=[channel]))
            elif operation == "update a data channel":
                channel = DataChannelObject(location="remote", data_channel_name="chat", session_id="s", can_reply=True)
                await found.update_data_channels(DataChannelsRequest(data_channels=[channel]))
            elif operation == "close a data channel":
                await found.close_data_channels(DataChannelsRequest(data_channels=[DataChannelObject(id=1)]))
            elif operation == "renegotiate":
                await found.renegotiate(answer_to(Sdp(media=tuple(offered or [section("0")]))))
            elif operation == "close by force":
                (item,) = (await found.close_tracks(close_request("0"))).tracks or []
                assert item.error_code == ("close_track_error" if state == "new" else None)
            elif operation == "close":
                offer = offer_of(section("0", Direction.INACTIVE), data("1"))
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
