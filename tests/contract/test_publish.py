"""Publishing with the client's offer (Realtime docs: Negotiation, Sessions and tracks)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.peer import peer, publisher
from tests.contract.subject import subject
from tests.support.sdp import offer_of, section

OFFER = offer_of(section("0", Direction.SENDONLY)).to_wire()
TRACK = {"location": "local", "mid": "0", "trackName": "mic"}


async def test_publish() -> None:
    """An answer, no renegotiation; the transport connects; `GET` lists the track as active."""
    async with subject() as service, peer(service) as client:
        document = await client.publish("mic")
        (transceiver,) = client.pc.getTransceivers()
        assert document["requiresImmediateRenegotiation"] is False
        assert document["sessionDescription"]["type"] == "answer"
        assert [(track["mid"], track["trackName"]) for track in document["tracks"]] == [(transceiver.mid, "mic")]
        assert not any("errorCode" in track for track in document["tracks"])
        await client.connected()
        assert (await service.get(client.session_id)).json() == {
            "tracks": [{"location": "local", "mid": transceiver.mid, "trackName": "mic", "status": "active"}],
            "dataChannels": [],
        }


async def test_auto_discover() -> None:
    """The service names each new m-section."""
    async with subject() as service, peer(service) as client:
        client.pc.addTransceiver("audio", "sendonly")
        client.pc.addTransceiver("audio", "sendonly")
        answer = await service.tracks_new(client.session_id, autoDiscover=True, sessionDescription=await client.offer())
        document = answer.json()
        assert document["requiresImmediateRenegotiation"] is False
        assert sorted(track["mid"] for track in document["tracks"]) == sorted(
            transceiver.mid for transceiver in client.pc.getTransceivers()
        )
        names = {track["trackName"] for track in document["tracks"]}
        assert len(names) == 2
        await client.apply(document["sessionDescription"])
        await client.connected()


async def test_publish_a_second_track_later() -> None:
    """A re-offer adds an m-section; the DTLS role and the first track stay as they are."""
    async with subject() as service, publisher(service, "first") as client:
        document = await client.publish("second")
        sdp = Sdp.parse(document["sessionDescription"]["sdp"])
        assert {media.setup for media in sdp.media} == {"passive"}
        assert len(sdp.bundle) == 2
        state = (await service.get(client.session_id)).json()
        assert [(track["trackName"], track["status"]) for track in state["tracks"]] == [
            ("first", "active"),
            ("second", "active"),
        ]


async def test_codecs_that_nobody_forwards_are_rejected() -> None:
    """Port 0, out of the BUNDLE group, and the other m-section works."""
    async with subject() as service, peer(service) as client:
        unknown = section("1", Direction.SENDONLY, codecs=(section("1").codecs[0].__class__("nonsense", 99, 8000),))
        offer = offer_of(section("0", Direction.SENDONLY), unknown).to_wire()
        answer = await service.tracks_new(client.session_id, tracks=[TRACK], sessionDescription=offer)
        sdp = Sdp.parse(answer.json()["sessionDescription"]["sdp"])
        assert [media.is_rejected for media in sdp.media] == [False, True]
        assert sdp.bundle == ("0",)


@pytest.mark.parametrize(
    ("tracks", "status", "code"),
    [
        ([{"location": "local", "trackName": "mic"}], 400, "decoding_error"),
        ([{"location": "local", "mid": "0", "trackname": "mic"}], 400, "decoding_error"),
        ([{"location": "local", "mid": 0, "trackName": "mic"}], 400, "decoding_error"),
        ([{"location": "sideways", "mid": "0", "trackName": "mic"}], 400, "decoding_error"),
        ([TRACK, {"location": "remote", "sessionId": "x", "trackName": "mic"}], 406, "invalid_params"),
        ([TRACK] * 65, 406, "invalid_params"),
        ([], 406, "invalid_params"),
        ([TRACK | {"mid": "9"}], 406, "invalid_session_description"),
    ],
)
async def test_tracks_that_cannot_be(tracks: list[dict[str, Any]], status: int, code: str) -> None:
    """Refused as a whole, with the code of what is wrong."""
    async with subject() as service:
        session_id = await service.new_session()
        answer = await service.tracks_new(session_id, tracks=tracks, sessionDescription=OFFER)
        service.check_error(answer, status, code)


@pytest.mark.parametrize(
    ("sdp", "status", "code", "words"),
    [
        (OFFER["sdp"].rstrip(), 406, "invalid_session_description", "missing termination at the end"),
        ("v=0\r\n", 406, "invalid_session_description", ""),
        (
            "\r\n".join(line for line in OFFER["sdp"].split("\r\n") if "ice-ufrag" not in line),
            400,
            "decoding_error",
            "SDP contains no ice-ufrag",
        ),
    ],
)
async def test_offers_that_cannot_be(sdp: str, status: int, code: str, words: str) -> None:
    """SDP is really parsed; the session is still usable after it."""
    async with subject() as service:
        session_id = await service.new_session()
        bad = {"type": "offer", "sdp": sdp}
        service.check_error(
            await service.tracks_new(session_id, tracks=[TRACK], sessionDescription=bad), status, code, words
        )
        assert (await service.tracks_new(session_id, tracks=[TRACK], sessionDescription=OFFER)).status_code == 200


async def test_publishing_before_the_transport_is_up() -> None:
    """A second mutation of a session that has not connected waits, and is 425."""
    async with subject() as service:
        session_id = await service.new_session()
        assert (await service.tracks_new(session_id, tracks=[TRACK], sessionDescription=OFFER)).status_code == 200
        started = time.monotonic()
        answer = await service.tracks_new(session_id, tracks=[TRACK], sessionDescription=OFFER)
        service.check_error(answer, 425, "session_error", "Session is not ready yet.")
        assert time.monotonic() - started < 5 * service.quirks.time_scale + 2
