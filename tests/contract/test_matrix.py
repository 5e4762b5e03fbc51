"""The negotiation matrix: who offers in which flow, and what follows (Realtime docs: Negotiation)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from aiortc.mediastreams import AudioStreamTrack

from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.channels import SERVER_EVENTS, Channel, items, local, open_channel, until
from tests.contract.channels import remote as remote_channel
from tests.contract.peer import Loud, Peer, peer, publisher
from tests.contract.subject import Subject, subject

MATRIX: Mapping[str, tuple[str | None, bool | None]] = {
    # flow: type of the description in the response, requiresImmediateRenegotiation
    "publish, client offer": ("answer", False),
    "publish, autoDiscover": ("answer", False),
    "publish, SFU offer": ("offer", True),
    "publish to ICE-lite third party": ("offer", True),
    "subscribe, SFU offer": ("offer", True),
    "subscribe, everything failed": (None, False),
    "subscribe into an existing m-line": (None, False),
    "subscribe, client offer": ("answer", False),
    "update": (None, False),
    "close negotiated": ("answer", False),
    "close forced": (None, False),
    "DC establish, SFU offer": ("offer", True),
    "DC establish, client offer": ("answer", False),
    "DC new": (None, None),
    "DC update": (None, None),
    "DC close": (None, None),
}


def cell(flow: str, answer: httpx.Response) -> dict[str, Any]:
    """The document of a response, which is as the matrix has it, and no failure."""
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    description = document.get("sessionDescription")
    seen = description and description["type"], document.get("requiresImmediateRenegotiation")
    assert seen == MATRIX[flow]
    assert not document.get("errorCode")
    if flow != "subscribe, everything failed":
        assert not any("errorCode" in item for item in document.get("tracks", ()))
    return document


def remote(publisher: Peer, name: str, **fields: Any) -> dict[str, Any]:
    return {"location": "remote", "sessionId": publisher.session_id, "trackName": name} | fields


async def is_heard(service: Subject, member: Peer, *names: str) -> None:
    """Another session gets sound from each of the tracks."""
    async with peer(service) as listener:
        await listener.pull(member, *names)
        for index in range(len(names)):
            await listener.frames(track=index)


# --- publish


async def test_publish_by_an_offer_of_the_client() -> None:
    """Apply the answer and wait for `connected`: the track is heard."""
    async with subject() as service, peer(service) as alice:
        transceiver = alice.pc.addTransceiver(AudioStreamTrack(), "sendonly")
        offer = await alice.offer()
        track = {"location": "local", "mid": transceiver.mid, "trackName": "mic"}
        answer = await service.tracks_new(alice.session_id, tracks=[track], sessionDescription=offer)
        document = cell("publish, client offer", answer)
        assert [(item["mid"], item["trackName"]) for item in document["tracks"]] == [(transceiver.mid, "mic")]
        await alice.apply(document["sessionDescription"])
        await alice.connected()
        await is_heard(service, alice, "mic")


async def test_publish_what_an_offer_holds() -> None:
    """`autoDiscover`: `tracks` lists a name for each new m-section; a later offer gets names for what is new in it."""
    async with subject() as service, peer(service) as alice:
        known: dict[str, str] = {}
        for count in (2, 3, 4):
            if count == 4:
                # One that was closed is not new, although its m-section still sends.
                await service.close(alice.session_id, [next(iter(known))])
            while len(alice.pc.getTransceivers()) < count:
                alice.pc.addTransceiver(AudioStreamTrack(), "sendonly")
            offer = await alice.offer()
            answer = await service.tracks_new(alice.session_id, autoDiscover=True, sessionDescription=offer)
            document = cell("publish, autoDiscover", answer)
            new = {item["mid"]: item["trackName"] for item in document["tracks"]}
            assert set(new) == {transceiver.mid for transceiver in alice.pc.getTransceivers()} - set(known)
            assert all(item.get("kind") in (None, "audio") for item in document["tracks"])
            known |= new
            await alice.apply(document["sessionDescription"])
            await alice.connected()
        assert len(set(known.values())) == 4
        await is_heard(service, alice, *list(known.values())[1:])


@pytest.mark.parametrize("is_bidirectional", [False, True], ids=["one way", "bidirectional"])
async def test_publish_by_an_offer_of_the_service(is_bidirectional: bool) -> None:
    """It offers to receive a track of the `kind`; after `renegotiate` that is heard."""
    async with subject() as service, peer(service) as alice:
        if not (is_bidirectional or service.quirks.offers_to_receive_only):
            pytest.skip("this service needs bidirectionalMediaStream")
        track = {"location": "local", "trackName": "mic", "kind": "audio", "bidirectionalMediaStream": is_bidirectional}
        document = cell("publish, SFU offer", await service.tracks_new(alice.session_id, tracks=[track]))
        (item,) = document["tracks"]
        (media,) = Sdp.parse(document["sessionDescription"]["sdp"]).media
        assert (item["trackName"], item["mid"], media.kind) == ("mic", media.mid, "audio")
        assert media.direction is (Direction.SENDRECV if is_bidirectional else Direction.RECVONLY)
        answered = await service.renegotiate(
            alice.session_id, await alice.answer_speaking(document["sessionDescription"])
        )
        assert (answered.status_code, answered.json()) == (200, {})
        await alice.connected()
        await is_heard(service, alice, "mic")


async def test_publish_to_a_third_party() -> None:
    """A session with `thirdparty=true` offers as a full ICE agent; `test_thirdparty.py` has what follows."""
    async with subject() as service:
        session = await service.call("POST", "/sessions/new?thirdparty=true")
        track = {"location": "local", "trackName": "voice", "kind": "audio", "bidirectionalMediaStream": True}
        answer = await service.tracks_new(session.json()["sessionId"], tracks=[track])
        document = cell("publish to ICE-lite third party", answer)
        sdp = Sdp.parse(document["sessionDescription"]["sdp"])
        assert not sdp.is_ice_lite
        assert [(media.direction, media.setup) for media in sdp.media] == [(Direction.SENDRECV, "actpass")]


# --- subscribe


async def test_subscribe_by_an_offer_of_the_service() -> None:
    """The documented one: `renegotiate` with the answer, and the track is heard."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        answer = await service.tracks_new(bob.session_id, tracks=[remote(alice, "mic")])
        document = cell("subscribe, SFU offer", answer)
        answered = await service.renegotiate(bob.session_id, await bob.answer(document["sessionDescription"]))
        assert (answered.status_code, answered.json()) == (200, {})
        await bob.connected()
        await bob.frames()


async def test_subscribe_to_nothing_that_is_there() -> None:
    """Each item has an error and no mid; nothing is to be negotiated, and the session can go on."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        wanted = [remote(alice, "other"), remote(bob, "mic")]
        document = cell("subscribe, everything failed", await service.tracks_new(bob.session_id, tracks=wanted))
        for item, asked in zip(document["tracks"], wanted, strict=True):
            service.check_item(item, "not_found_track_error", "Track not found on remote peer.")
            assert not item.get("mid")
            assert (item["sessionId"], item["trackName"]) == (asked["sessionId"], asked["trackName"])
        await bob.pull(alice, "mic")
        await bob.frames()


async def test_subscribe_into_an_m_section_that_receives() -> None:
    """An existing mid takes another track, and media flows without SDP."""
    async with subject() as service, publisher(service, "a") as alice, peer(service) as bob:
        await alice.publish("b", source=Loud)
        (first,) = (await bob.pull(alice, "a"))["tracks"]
        await bob.frames()
        wanted = remote(alice, "b", mid=first["mid"])
        document = cell("subscribe into an existing m-line", await service.tracks_new(bob.session_id, tracks=[wanted]))
        assert [(item["mid"], item["trackName"]) for item in document["tracks"]] == [(first["mid"], "b")]
        await bob.sound()


async def test_subscribe_into_the_m_section_of_a_track() -> None:
    """`#name` is the transceiver that carries the session's own track of that name: media flows both ways there."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        transceiver = bob.pc.addTransceiver(AudioStreamTrack(), "sendrecv")
        offer = await bob.offer()
        track = {"location": "local", "mid": transceiver.mid, "trackName": "own", "bidirectionalMediaStream": True}
        answer = await service.tracks_new(bob.session_id, tracks=[track], sessionDescription=offer)
        await bob.apply(cell("publish, client offer", answer)["sessionDescription"])
        await bob.connected()
        answer = await service.tracks_new(bob.session_id, tracks=[remote(alice, "mic", mid="#own")])
        (item,) = cell("subscribe into an existing m-line", answer)["tracks"]
        assert (item["mid"], item["sessionId"]) == (transceiver.mid, alice.session_id)
        await bob.frames()
        await is_heard(service, bob, "own")


async def test_subscribe_by_an_offer_of_the_client() -> None:
    """Its recvonly m-sections take the tracks, in order; apply the answer."""
    async with subject() as service, publisher(service, "a", "b") as alice, peer(service) as bob:
        for _ in range(2):
            bob.pc.addTransceiver("audio", "recvonly")
        offer = await bob.offer()
        wanted = [remote(alice, "a", kind="audio"), remote(alice, "b")]
        answer = await service.tracks_new(bob.session_id, tracks=wanted, sessionDescription=offer)
        document = cell("subscribe, client offer", answer)
        assert [item["mid"] for item in document["tracks"]] == [t.mid for t in bob.pc.getTransceivers()]
        await bob.apply(document["sessionDescription"])
        await bob.frames(track=0)
        await bob.frames(track=1)


# --- update and close


async def test_update() -> None:
    """A receiving mid is pointed at a track of another session: no SDP, and media flows on."""
    async with (
        subject() as service,
        publisher(service, "a") as alice,
        publisher(service, "b", source=Loud) as carol,
        peer(service) as bob,
    ):
        mid = (await bob.pull(alice, "a"))["tracks"][0]["mid"]
        await bob.frames()
        document = cell("update", await service.tracks_update(bob.session_id, remote(carol, "b", mid=mid)))
        (item,) = document["tracks"]
        assert (item["mid"], item["sessionId"], item["trackName"]) == (mid, carol.session_id, "b")
        await bob.sound()
        (track,) = (await service.get(bob.session_id)).json()["tracks"]
        assert (track["sessionId"], track["trackName"], track["status"]) == (carol.session_id, "b", "active")


async def test_close_by_negotiation() -> None:
    """`force: false` with an offer: apply the answer; what is left is still heard."""
    async with subject() as service, publisher(service, "a", "b") as alice:
        first = alice.pc.getTransceivers()[0]
        first.direction = "inactive"
        answer = await service.close(alice.session_id, [first.mid], force=False, sessionDescription=await alice.offer())
        document = cell("close negotiated", answer)
        assert document["tracks"] == [{"mid": first.mid}]
        await alice.apply(document["sessionDescription"])
        await is_heard(service, alice, "b")


async def test_close_by_force() -> None:
    """`force: true`: nothing is to be done; what is left is still heard."""
    async with subject() as service, publisher(service, "a", "b") as alice:
        mid = alice.pc.getTransceivers()[0].mid
        assert cell("close forced", await service.close(alice.session_id, [mid]))["tracks"] == [{"mid": mid}]
        await is_heard(service, alice, "b")


# --- data channels


async def test_data_channels_by_an_offer_of_the_service() -> None:
    """Establish, `renegotiate`; then new, update and close without SDP, and messages on the ids that come back."""
    async with subject() as service, peer(service) as alice, peer(service) as bob:
        for member in (alice, bob):
            document = cell("DC establish, SFU offer", await service.establish(member.session_id))
            assert document["dataChannel"] == {"dataChannelName": "server-events", "id": 0}
            (media,) = Sdp.parse(document["sessionDescription"]["sdp"]).media
            assert media.kind == "application"
            answered = await service.renegotiate(member.session_id, await member.answer(document["sessionDescription"]))
            assert (answered.status_code, answered.json()) == (200, {})
            await member.connected()
        published = await open_channel(alice, local("chat"))
        received = await open_channel(bob, remote_channel(alice, "chat"))
        await until(lambda: received.channel.readyState == "open")
        await published.send("x")
        await received.receives("x")


async def test_data_channels_by_an_offer_of_the_client() -> None:
    """Establish with an `m=application` section: apply the answer; the rest never has SDP."""
    async with subject() as service, peer(service) as alice:
        alice.pc.createDataChannel("server-events", negotiated=True, id=0)
        document = cell(
            "DC establish, client offer",
            await service.establish(alice.session_id, sessionDescription=await alice.offer()),
        )
        assert document["dataChannel"] == {"dataChannelName": "server-events", "id": 0}
        await alice.apply(document["sessionDescription"])
        await alice.connected()
        path = f"/sessions/{alice.session_id}/datachannels"
        answer = await service.call("POST", f"{path}/new", {"dataChannels": [local("chat")]})
        published = Channel(
            alice.pc.createDataChannel("chat", negotiated=True, id=cell("DC new", answer)["dataChannels"][0]["id"])
        )
        (subscribed,) = await items(alice, "new", remote_channel(alice, "chat"))
        own = Channel(alice.pc.createDataChannel("own", negotiated=True, id=subscribed["id"]))
        await until(lambda: own.channel.readyState == "open")
        grant = remote_channel(alice, "chat", canReply=True)
        cell("DC update", await service.call("PUT", f"{path}/update", {"dataChannels": [grant]}))
        await own.send("reply")
        await published.receives("reply")
        cell("DC close", await service.call("PUT", f"{path}/close", {"dataChannels": [{"id": subscribed["id"]}]}))
        await until(lambda: own.channel.readyState == "closed")


async def test_data_channels_beside_the_first_media() -> None:
    """An `m=application` section in the first media offer does for `establish`; which needs no SDP afterwards."""
    async with subject() as service, peer(service) as alice:
        alice.pc.createDataChannel("server-events", negotiated=True, id=0)
        await alice.publish("mic")
        await alice.connected()
        published = await open_channel(alice, local("chat"))
        received = await open_channel(alice, remote_channel(alice, "chat"))
        await until(lambda: received.channel.readyState == "open")
        await published.send("x")
        await received.receives("x")
        await is_heard(service, alice, "mic")
        established = (await service.establish(alice.session_id)).json()
        assert established["requiresImmediateRenegotiation"] is False
        assert "sessionDescription" not in established
        assert SERVER_EVENTS["dataChannelName"] == established["dataChannel"]["dataChannelName"]
