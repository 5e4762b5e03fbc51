"""Subscribing, with aiortc's peer connection as the witness: what it decodes is there (Realtime docs: Negotiation)."""

from __future__ import annotations

from aiortc import RTCRtpSender
from aiortc.mediastreams import AudioStreamTrack

from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.cases import all_pass
from tests.contract.peer import Loud, peer, publisher
from tests.contract.subject import Subject, subject


async def test_the_offer() -> None:
    """ICE-lite, actpass, sendonly, with an SSRC, Opus as 111; the item echoes session and name, and has the mid."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        document = await bob.pull(alice, "mic")
        (track,) = document["tracks"]
        assert (track["sessionId"], track["trackName"]) == (alice.session_id, "mic")
        assert not {"errorCode", "location"} & set(track)
        sdp = Sdp.parse(document["sessionDescription"]["sdp"])
        (media,) = sdp.media
        assert sdp.is_ice_lite
        assert sdp.bundle == (media.mid,) == (track["mid"],)
        assert (media.direction, media.setup) == (Direction.SENDONLY, "actpass")
        assert media.candidates
        assert media.has_end_of_candidates
        assert media.rtcp_mux
        assert media.ssrcs[0].cname
        assert (media.codecs[0].payload_type, media.codecs[0].parameters) == (111, "minptime=10;useinbandfec=1")
        await bob.connected()
        await bob.frames()


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
    """Both directions on one transport, by offers of either side in turn."""
    async with subject() as service, publisher(service, "a") as alice, publisher(service, "b", source=Loud) as bob:
        await bob.pull(alice, "a")
        await bob.frames()
        await alice.pull_offering(bob, "b")
        await alice.sound()
        await bob.publish("late", source=Loud)
        await bob.frames()
        async with peer(service) as carol:
            await carol.pull(bob, "late")
            await carol.sound()


async def test_a_second_subscription_to_one_track() -> None:
    """The same track twice on one session, on two mids; both arrive."""
    async with subject() as service, publisher(service, "mic", source=Loud) as alice, peer(service) as bob:
        first = await bob.pull(alice, "mic")
        await bob.connected()
        second = await bob.pull(alice, "mic")
        assert first["tracks"][0]["mid"] != second["tracks"][0]["mid"]
        await bob.sound(track=0)
        await bob.sound(track=1)


async def test_audio_that_is_no_opus() -> None:
    """G.711 is forwarded under its static payload type, and decoded."""
    async with subject() as service:
        await all_pass({"PCMU": check_g711(service, "PCMU", 0), "PCMA": check_g711(service, "PCMA", 8)})


async def check_g711(service: Subject, codec: str, payload_type: int) -> None:
    async with peer(service) as alice, peer(service) as bob:
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
        assert [(c.name, c.payload_type) for c in media.codecs] == [(codec, payload_type)]
        await bob.frames()
