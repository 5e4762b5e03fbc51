"""A session whose peer is an ICE-lite server; transceivers that carry both ways (Realtime docs: Connection patterns).

The pattern of Cloudflare's relay to a speech model: session A with a user, session B with the third party, and each
pulls the other's track into the m-section of its own, without SDP. The third party here is another server of ours, with
a session of its own in which B is the client.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.peer import Loud, Peer, peer, publisher
from tests.contract.subject import Subject, subject

pytestmark = pytest.mark.skipif(
    "RTCCTL_CONTRACT_API_BASE" in os.environ, reason="the service would have to reach a server on this machine"
)


def remote(session_id: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"location": "remote", "sessionId": session_id, "trackName": name} | fields


@dataclass(slots=True)
class Relay:
    """Session B, and what the third party has for it."""

    service: Subject
    session_id: str
    mid: str
    party: Subject
    party_session_id: str

    async def pull(self, session_id: str, mid: str, track: dict[str, Any]) -> dict[str, Any]:
        """Without SDP, as soon as the session is connected; the item."""
        async with asyncio.timeout(15):
            while True:
                answer = await self.service.tracks_new(session_id, tracks=[track | {"mid": mid}])
                if answer.status_code != 425:
                    break
        document = answer.json()
        assert (answer.status_code, document["requiresImmediateRenegotiation"]) == (200, False)
        assert "sessionDescription" not in document
        (item,) = document["tracks"]
        assert "errorCode" not in item
        return dict(item)


VOICE = {"location": "local", "trackName": "ai-generated-voice", "kind": "audio", "bidirectionalMediaStream": True}


async def offer_to_third_party(service: Subject) -> tuple[str, str, dict[str, str]]:
    """Session B: its id, the mid, and the offer for the third party."""
    created = await service.call("POST", "/sessions/new?thirdparty=true")
    assert created.status_code == 201
    session_id = created.json()["sessionId"]
    document = (await service.tracks_new(session_id, tracks=[VOICE])).json()
    assert document["requiresImmediateRenegotiation"] is True
    offer, mid = document["sessionDescription"], document["tracks"][0]["mid"]
    sdp = Sdp.parse(offer["sdp"])
    assert not sdp.is_ice_lite
    assert [(media.direction, media.mid) for media in sdp.media] == [(Direction.SENDRECV, mid)]
    return session_id, mid, offer


async def answer_of_third_party(service: Subject, session_id: str, answer: dict[str, str]) -> None:
    assert Sdp.parse(answer["sdp"]).is_ice_lite
    renegotiated = await service.renegotiate(session_id, answer)
    assert (renegotiated.status_code, renegotiated.json()) == (200, {})


def heard(mid: str, **fields: Any) -> dict[str, Any]:
    """What the third party calls that which comes from B."""
    return {"location": "local", "mid": mid, "trackName": "heard"} | fields


async def relay(service: Subject, party: Subject) -> Relay:
    """B offers, the third party answers and sends there, too."""
    session_id, mid, offer = await offer_to_third_party(service)
    party_id = await party.new_session()
    tracks = [heard(mid, bidirectionalMediaStream=True)]
    answer = await party.tracks_new(party_id, tracks=tracks, sessionDescription=offer)
    await answer_of_third_party(service, session_id, answer.json()["sessionDescription"])
    return Relay(service, session_id, mid, party, party_id)


@asynccontextmanager
async def user(service: Subject) -> AsyncIterator[Peer]:
    """Session A: the microphone of a user, in a bidirectional m-section."""
    async with peer(service) as made:
        made.pc.addTransceiver(Loud(), "sendrecv")
        offer = await made.offer()
        (transceiver,) = made.pc.getTransceivers()
        track = {
            "location": "local",
            "mid": transceiver.mid,
            "trackName": "user-mic",
            "kind": "audio",
            "bidirectionalMediaStream": True,
        }
        answer = await service.tracks_new(made.session_id, tracks=[track], sessionDescription=offer)
        await made.apply(answer.json()["sessionDescription"])
        await made.connected()
        yield made


async def listens(listener: Peer, session_id: str, name: str) -> None:
    """Pull a track, and wait until there is sound."""
    service = listener.subject
    document = (await service.tracks_new(listener.session_id, tracks=[remote(session_id, name)])).json()
    await service.renegotiate(listener.session_id, await listener.answer(document["sessionDescription"]))
    await listener.sound()


async def test_a_relay() -> None:
    """The user is heard at the third party, and what that says by the user: from end to end, both ways."""
    async with (
        subject() as service,
        subject() as party,
        user(service) as alice,
        publisher(party, "speech", source=Loud) as model,
        peer(party) as listener,
    ):
        between = await relay(service, party)
        # To the third party: the user's microphone into B, which is what its session there publishes.
        track = remote(alice.session_id, "user-mic")
        item = await between.pull(between.session_id, "#ai-generated-voice", track)
        assert (item["mid"], item["sessionId"], item["trackName"]) == (between.mid, alice.session_id, "user-mic")
        await listens(listener, between.party_session_id, "heard")
        # From the third party: its speech into its session, which is B's track, and that to the user.
        speech = remote(model.session_id, "speech", mid="#heard")
        answer = await party.tracks_new(between.party_session_id, tracks=[speech])
        assert "errorCode" not in answer.json()["tracks"][0]
        track = remote(between.session_id, "ai-generated-voice")
        item = await between.pull(alice.session_id, "#user-mic", track)
        assert (item["sessionId"], item["trackName"]) == (between.session_id, "ai-generated-voice")
        await alice.sound()
        states = (await service.get(between.session_id)).json()["tracks"]
        assert {(track["location"], track["mid"], track["status"]) for track in states} == {
            ("local", between.mid, "active"),
            ("remote", between.mid, "active"),
        }


async def test_a_third_party_that_only_listens() -> None:
    """It answers recvonly, here by `sessions/new`: there is no voice of it, and what is pulled into the mid arrives."""
    async with (
        subject() as service,
        subject() as party,
        user(service) as alice,
        peer(party) as listener,
    ):
        session_id, mid, offer = await offer_to_third_party(service)
        created = (await party.call("POST", "/sessions/new", {"sessionDescription": offer})).json()
        await answer_of_third_party(service, session_id, created["sessionDescription"])
        between = Relay(service, session_id, mid, party, created["sessionId"])
        await between.pull(session_id, mid, remote(alice.session_id, "user-mic"))
        answer = await party.tracks_new(created["sessionId"], tracks=[heard(mid)], sessionDescription=offer)
        assert answer.status_code == 200, answer.text
        await listens(listener, created["sessionId"], "heard")
        voice = await service.tracks_new(alice.session_id, tracks=[remote(session_id, "ai-generated-voice")])
        service.check_item(voice.json()["tracks"][0], "not_found_track_error")


async def test_the_third_party_goes() -> None:
    """The session ends with the transport of its peer, and what others had pulled from it is inactive."""
    async with subject() as service, user(service) as alice:
        async with subject() as party, publisher(party, "speech") as model:
            between = await relay(service, party)
            speech = remote(model.session_id, "speech", mid="#heard")
            await party.tracks_new(between.party_session_id, tracks=[speech])
            await between.pull(alice.session_id, "#user-mic", remote(between.session_id, "ai-generated-voice"))
            await alice.frames()
        await service.until_gone(between.session_id)
        states = (await service.get(alice.session_id)).json()["tracks"]
        assert {track["location"]: track["status"] for track in states} == {"local": "active", "remote": "inactive"}
