"""The m-section for data channels: in offers of either side, and by `datachannels/establish`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtcctl.media.sdp import Direction, MediaSection, Setup
from rtcctl.realtime.schema import (
    DataChannelObject,
    EstablishDataChannelsRequest,
    EstablishDataChannelsResponse,
    SessionDescription,
)
from rtcctl.server.datachannels import MAX_MESSAGE_SIZE
from rtcctl.server.limits import Limits
from rtcctl.server.session import Session
from tests.support.sdp import answer_to, data, offer_of, section, stopped
from tests.support.world import World, connect, connection_of, publish, pull, refused, sdp_of


async def establish(session: Session, offer: SessionDescription | None = None) -> EstablishDataChannelsResponse:
    channel = DataChannelObject(location="remote", data_channel_name="server-events")
    request = EstablishDataChannelsRequest(data_channel=channel, session_description=offer)
    return await session.establish_data_channels(request)


def described(response: EstablishDataChannelsResponse) -> list[MediaSection]:
    return list(sdp_of(response.session_description).media)


async def test_in_the_first_offer_of_media() -> None:
    """Answered with the SFU's port and message size; there is nothing to establish then."""
    session = World().session()
    microphone = section("0", Direction.SENDONLY)
    answer = sdp_of(await publish(session, "0", "mic", microphone, data("d")))
    _, channel = answer.media
    assert (channel.kind, channel.protocol, channel.formats) == (
        "application",
        "UDP/DTLS/SCTP",
        ("webrtc-datachannel",),
    )
    assert (channel.sctp_port, channel.max_message_size) == (5000, MAX_MESSAGE_SIZE)
    assert channel.setup is Setup.PASSIVE
    assert channel.candidates
    assert answer.bundle == ("0", "d")
    assert session.data_channels.is_attached
    connect(session)
    response = await establish(session)
    assert response.to_wire() == {
        "requiresImmediateRenegotiation": False,
        "dataChannel": {"dataChannelName": "server-events", "id": 0},
    }


async def test_establish_by_the_offer_of_the_sfu() -> None:
    """On a session without any exchange; attached with the answer."""
    session = World().session()
    response = await establish(session)
    assert response.requires_immediate_renegotiation is True
    assert response.session_description
    assert response.session_description.type == "offer"
    assert response.data_channel
    assert response.data_channel.to_wire() == {"dataChannelName": "server-events", "id": 0}
    (offered,) = described(response)
    assert (offered.kind, offered.mid, offered.sctp_port) == ("application", "0", 5000)
    assert offered.setup is Setup.ACTPASS
    assert "a=rtcp" not in response.session_description.sdp
    assert not session.data_channels.is_attached
    with refused(406, "invalid_session_description", "invalid_modification_have_local_offer"):
        await establish(session)
    await session.renegotiate(answer_to(sdp_of(response.session_description)))
    assert session.data_channels.is_attached


async def test_establish_beside_media() -> None:
    """Later offers of both sides repeat the m-section as it is."""
    world = World()
    publisher, session = await world.publisher(), await world.publisher("own")
    offer = sdp_of((await establish(session)).session_description)
    assert [(media.kind, media.mid) for media in offer.media] == [("audio", "0"), ("application", "1")]
    await session.renegotiate(answer_to(offer))
    offer = sdp_of(await pull(session, publisher, "mic"))
    assert [media.kind for media in offer.media] == ["audio", "application", "audio"]
    assert offer.media[1].setup is Setup.ACTPASS
    await session.renegotiate(answer_to(offer))
    answer = await session.renegotiate(
        offer_of(section("0", Direction.SENDONLY), data("1"), section("2", Direction.RECVONLY))
    )
    assert [media.is_rejected for media in sdp_of(answer).media] == [False] * 3
    assert session.state().data_channels


async def test_establish_by_the_offer_of_the_client() -> None:
    """An answer, and nothing to be done then; media in the same offer is agreed too."""
    session = World().session()
    response = await establish(session, offer_of(section("0", Direction.SENDONLY), data("1")))
    assert response.requires_immediate_renegotiation is False
    assert response.session_description
    assert response.session_description.type == "answer"
    assert [media.is_rejected for media in described(response)] == [False, False]
    assert session.data_channels.is_attached


async def test_a_client_without_an_m_section_for_it() -> None:
    """An offer that has none, or only one that is stopped: 400."""
    session = World().session()
    microphone = section("0", Direction.SENDONLY)
    gone = replace(data("1"), port=0)
    for offer in (offer_of(microphone), offer_of(microphone, gone)):
        with refused(400, "decoding_error"):
            await establish(session, offer)
    assert session.connection is None


@pytest.mark.parametrize(
    "refusal",
    [
        stopped("0", kind="application", protocol="UDP/DTLS/SCTP", codecs=(), formats=("webrtc-datachannel",)),
        None,
    ],
)
async def test_a_client_that_refuses(refusal: MediaSection | None) -> None:
    """Port 0, or outside of the BUNDLE group: no data; it can be asked again."""
    world = World()
    session = await world.publisher()
    offer = sdp_of((await establish(session)).session_description)
    answer = sdp_of(answer_to(offer, {} if refusal is None else {"1": replace(refusal, mid="1")}))
    apart = replace(answer, bundle=("0",))
    await session.renegotiate(SessionDescription(type="answer", sdp=str(apart)))
    assert not session.data_channels.is_attached
    again = described(await establish(session))
    assert [media.is_rejected for media in again] == [False, True, False]
    assert [media.mid for media in again] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "other",
    [
        data("1", formats=("5000",)),
        data("1", protocol="UDP/UDPTL"),
        data("1", kind="text"),
    ],
)
async def test_what_is_not_webrtc(other: MediaSection) -> None:
    """SCTP as it was before RFC 8841, fax, and text over SCTP: port 0."""
    session = World().session()
    answer = sdp_of(await publish(session, "0", "mic", section("0", Direction.SENDONLY), other))
    assert [media.is_rejected for media in answer.media] == [False, True]
    assert not session.data_channels.is_attached


async def test_one_association_is_enough() -> None:
    """A second m-section for data is refused (RFC 8831 §6.1), until the first is stopped."""
    session = World().session()
    microphone = section("0", Direction.SENDONLY)
    answer = sdp_of(await publish(session, "0", "mic", microphone, data("1"), data("2")))
    assert [media.is_rejected for media in answer.media] == [False, False, True]
    connect(session)
    gone = replace(data("1"), port=0)
    answer = sdp_of(await session.renegotiate(offer_of(microphone, gone, data("2"))))
    assert [media.is_rejected for media in answer.media] == [False, True, False]
    assert session.data_channels.is_attached


async def test_only_the_reserved_channel_is_established() -> None:
    """Another name, another direction, a missing field."""
    session = World().session()
    for channel, status, code in (
        (DataChannelObject(location="remote", data_channel_name="chat"), 406, "invalid_params"),
        (DataChannelObject(location="local", data_channel_name="server-events"), 406, "invalid_params"),
        (DataChannelObject(data_channel_name="server-events"), 400, "decoding_error"),
        (DataChannelObject(location="remote"), 400, "decoding_error"),
    ):
        with refused(status, code):
            await session.establish_data_channels(EstablishDataChannelsRequest(data_channel=channel))
    assert session.connection is None


async def test_the_m_section_counts() -> None:
    """One beyond the cap ends the session, as any other."""
    world = World(Limits(media_sections=1))
    session = await world.publisher()
    with refused(410, "session_error"):
        await establish(session)
    assert session.is_gone


async def test_a_third_party_without_media() -> None:
    """Data alone has a transport like any other."""
    session = World().session(is_third_party=True)
    response = await establish(session)
    assert not sdp_of(response.session_description).is_ice_lite
    lite = replace(sdp_of(answer_to(sdp_of(response.session_description))), is_ice_lite=True)
    await session.renegotiate(SessionDescription(type="answer", sdp=str(lite)))
    assert connection_of(session).remotes[0]["is_ice_lite"] is True
    assert session.data_channels.is_attached
