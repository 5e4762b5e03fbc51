"""Subscribing by the offer of the SFU, and renegotiation (Realtime docs: Negotiation, Sessions and tracks)."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiortc import RTCRtpSender
from aiortc.mediastreams import AudioStreamTrack

from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.peer import peer, publisher
from tests.contract.subject import subject
from tests.support.sdp import offer_of, section

NOT_FOUND = (
    "Track not found on remote peer. Make sure the publisher peer is connected and sending packets for this track"
)


async def test_subscribe() -> None:
    """The SFU offers, the client answers, audio arrives; the item echoes session, name and mid."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        document = await bob.pull(alice, "mic")
        assert document["requiresImmediateRenegotiation"] is True
        assert document["sessionDescription"]["type"] == "offer"
        (track,) = document["tracks"]
        assert (track["sessionId"], track["trackName"]) == (alice.session_id, "mic")
        sdp = Sdp.parse(document["sessionDescription"]["sdp"])
        (media,) = sdp.media
        assert (media.mid, media.direction, media.setup) == (track["mid"], Direction.SENDONLY, "actpass")
        assert (media.codecs[0].payload_type, media.codecs[0].parameters) == (111, "minptime=10;useinbandfec=1")
        assert track["mid"].isdigit()
        await bob.connected()
        await bob.frames()
        assert (await service.get(bob.session_id)).json()["tracks"] == [
            {
                "location": "remote",
                "mid": track["mid"],
                "sessionId": alice.session_id,
                "trackName": "mic",
                "status": "active",
            }
        ]


async def test_several_tracks_and_publishers_at_once() -> None:
    """One offer brings the tracks of two publishers; all of them arrive."""
    async with (
        subject() as service,
        publisher(service, "a", "b") as alice,
        publisher(service, "c") as carol,
        peer(service) as bob,
    ):
        wanted = ((alice, "a"), (alice, "b"), (carol, "c"))
        answer = await service.tracks_new(
            bob.session_id,
            tracks=[{"location": "remote", "sessionId": p.session_id, "trackName": name} for p, name in wanted],
        )
        document = answer.json()
        assert len({track["mid"] for track in document["tracks"]}) == 3
        await service.renegotiate(bob.session_id, await bob.answer(document["sessionDescription"]))
        await bob.connected()
        for index in range(3):
            await bob.frames(track=index)


async def test_a_second_pull_on_a_connected_session() -> None:
    """A re-offer adds the m-section; the first track goes on."""
    async with subject() as service, publisher(service, "a", "b") as alice, peer(service) as bob:
        await bob.pull(alice, "a")
        await bob.connected()
        await bob.frames()
        document = await bob.pull(alice, "b")
        assert len(Sdp.parse(document["sessionDescription"]["sdp"]).media) == 2
        await bob.frames(track=1)
        await bob.frames(track=0)


async def test_one_session_publishes_and_pulls() -> None:
    """Both directions on one transport, and a publication after a pull."""
    async with subject() as service, publisher(service, "a") as alice, publisher(service, "b") as bob:
        await bob.pull(alice, "a")
        await bob.frames()
        await alice.pull(bob, "b")
        await alice.frames()
        await bob.publish("late")
        await bob.frames()
        async with peer(service) as carol:
            await carol.pull(bob, "late")
            await carol.frames()


async def test_pulling_what_is_not_there() -> None:
    """200, an item error in the words of the service, an empty mid, and no SDP."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        for session_id, name in ((alice.session_id, "other"), ("0" * 32, "mic")):
            answer = await service.tracks_new(
                bob.session_id, tracks=[{"location": "remote", "sessionId": session_id, "trackName": name}]
            )
            document = answer.json()
            assert answer.status_code == 200
            assert document["requiresImmediateRenegotiation"] is False
            assert "sessionDescription" not in document
            (track,) = document["tracks"]
            assert not track.get("mid")
            assert (track["sessionId"], track["trackName"]) == (session_id, name)
            assert track["errorCode"] == "not_found_track_error"
            if not service.quirks.reorders_words:
                assert track["errorDescription"] == NOT_FOUND


async def test_some_of_the_tracks_are_there() -> None:
    """Each item has its own result; those that work are offered."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        document = await bob.pull(alice, "other", "mic")
        failed, worked = document["tracks"]
        assert failed["errorCode"] == "not_found_track_error"
        assert worked["mid"]
        await bob.connected()
        await bob.frames()


async def test_pulling_a_silent_track() -> None:
    """The request is held, about 8 s, and the item is `empty_track_error`; meanwhile the session is busy."""
    async with subject() as service, peer(service) as alice, peer(service) as bob:
        # A transceiver without a track: known to the SFU, and never sending.
        transceiver = alice.pc.addTransceiver("audio", "sendonly")
        offer = await alice.offer()
        answer = await service.tracks_new(
            alice.session_id,
            tracks=[{"location": "local", "mid": transceiver.mid, "trackName": "silent"}],
            sessionDescription=offer,
        )
        await alice.apply(answer.json()["sessionDescription"])
        await alice.connected()
        started = time.monotonic()
        tracks = [{"location": "remote", "sessionId": alice.session_id, "trackName": "silent"}]
        async with asyncio.TaskGroup() as group:
            held = group.create_task(service.tracks_new(bob.session_id, tracks=tracks))
            await asyncio.sleep(2 * service.quirks.time_scale)
            overlapping = await service.tracks_new(bob.session_id, tracks=tracks)
        service.check_error(overlapping, 406, "signaling_state_not_stable")
        (track,) = held.result().json()["tracks"]
        assert track["errorCode"] == "empty_track_error"
        assert not track.get("mid")
        assert 6 * service.quirks.time_scale < time.monotonic() - started < 12 * service.quirks.time_scale + 2


async def test_a_publisher_that_never_connected() -> None:
    """`not_found_track_error`, at once or after a few seconds."""
    async with subject() as service, peer(service) as bob:
        silent = await service.new_session()
        offer = offer_of(section("0", Direction.SENDONLY)).to_wire()
        track = {"location": "local", "mid": "0", "trackName": "mic"}
        await service.tracks_new(silent, tracks=[track], sessionDescription=offer)
        answer = await service.tracks_new(
            bob.session_id, tracks=[{"location": "remote", "sessionId": silent, "trackName": "mic"}]
        )
        assert answer.json()["tracks"][0]["errorCode"] == "not_found_track_error"


async def test_an_offer_of_the_sfu_must_be_answered_first() -> None:
    """Until then other mutations are 406; a forced close and `GET` are not."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        tracks = [{"location": "remote", "sessionId": alice.session_id, "trackName": "mic"}]
        document = (await service.tracks_new(bob.session_id, tracks=tracks)).json()
        overlapping = await service.tracks_new(bob.session_id, tracks=tracks)
        service.check_error(overlapping, 406, "invalid_session_description")
        if not service.quirks.reorders_words:
            assert overlapping.json()["errorSubcode"] == "invalid_modification_have_local_offer"
        assert (await service.get(bob.session_id)).status_code == 200
        closed = await service.close(bob.session_id, [document["tracks"][0]["mid"]])
        assert closed.status_code == 200
        answer = await bob.answer(document["sessionDescription"])
        assert (await service.renegotiate(bob.session_id, answer)).status_code == 200
        await bob.connected()
        await bob.pull(alice, "mic")
        await bob.frames()


async def test_an_answer_that_nobody_waits_for() -> None:
    """406 on a new session, and again after the exchange is complete."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        stray = {"type": "answer", "sdp": offer_of(section("0")).sdp}
        service.check_error(await service.renegotiate(bob.session_id, stray), 406, "invalid_session_description")
        await bob.pull(alice, "mic")
        await bob.connected()
        again = await service.renegotiate(bob.session_id, {"type": "answer", "sdp": bob.pc.localDescription.sdp})
        service.check_error(again, 406, "invalid_session_description")


async def test_a_second_subscription_to_one_track() -> None:
    """The same track twice on one session, on two mids; both arrive."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        first = await bob.pull(alice, "mic")
        await bob.connected()
        second = await bob.pull(alice, "mic")
        assert first["tracks"][0]["mid"] != second["tracks"][0]["mid"]
        await bob.frames(track=0)
        await bob.frames(track=1)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
async def test_audio_that_is_no_opus(codec: str) -> None:
    """G.711 is forwarded under its static payload type, and decoded."""
    async with subject() as service, peer(service) as alice, peer(service) as bob:
        transceiver = alice.pc.addTransceiver(AudioStreamTrack(), "sendonly")
        known = RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences([c for c in known if c.mimeType == f"audio/{codec}"])
        offer = await alice.offer()
        track = {"location": "local", "mid": transceiver.mid, "trackName": "mic"}
        answer = await service.tracks_new(alice.session_id, tracks=[track], sessionDescription=offer)
        await alice.apply(answer.json()["sessionDescription"])
        await alice.connected()
        document = await bob.pull(alice, "mic")
        (media,) = Sdp.parse(document["sessionDescription"]["sdp"]).media
        assert [(c.name, c.payload_type) for c in media.codecs] == [(codec, {"PCMU": 0, "PCMA": 8}[codec])]
        await bob.frames()


async def test_subscribing_into_an_existing_m_section() -> None:
    """A receiving mid is pointed at another track without SDP, and media flows on."""
    async with subject() as service, publisher(service, "a", "b") as alice, peer(service) as bob:
        (track,) = (await bob.pull(alice, "a"))["tracks"]
        await bob.frames()
        wanted = {"location": "remote", "sessionId": alice.session_id, "trackName": "b", "mid": track["mid"]}
        answer = await service.tracks_new(bob.session_id, tracks=[wanted])
        document = answer.json()
        assert answer.status_code == 200
        assert document["requiresImmediateRenegotiation"] is False
        assert "sessionDescription" not in document
        assert [item["mid"] for item in document["tracks"]] == [track["mid"]]
        await bob.frames(100)
        state = (await service.get(bob.session_id)).json()
        assert [(item["trackName"], item["status"]) for item in state["tracks"]] == [("b", "active")]


async def test_the_session_goes_with_its_peer_connection() -> None:
    """After the client has closed its transport the session is 410, and its tracks are not found."""
    async with subject() as service, peer(service) as bob:
        async with publisher(service, "mic") as alice:
            await bob.pull(alice, "mic")
            await bob.frames()
        async with asyncio.timeout(40):
            while True:
                if (await service.get(alice.session_id)).status_code == 410:
                    break
                await asyncio.sleep(0.1)
        document = await bob.pull(alice, "mic")
        assert document["tracks"][0]["errorCode"] == "not_found_track_error"
        state = (await service.get(bob.session_id)).json()
        assert [track["status"] for track in state["tracks"]] == ["inactive"]


async def test_a_peer_that_vanishes() -> None:
    """Without a goodbye the session is gone after its window of silence."""
    async with subject(disconnected_s=1.0) as service:
        if not service.quirks.limits_are_tested:
            return
        async with peer(service) as bob:
            bob.pc.addTransceiver("audio", "recvonly")
            answer = await service.call("POST", "/sessions/new", {"sessionDescription": await bob.offer()})
            session_id = answer.json()["sessionId"]
            # The answer is never applied: the peer never connects.
            await asyncio.sleep(1.5)
            service.check_error(await service.get(session_id), 410, "session_error")
