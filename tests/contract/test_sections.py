"""M-sections: added, closed and used again, by offers of either side; ICE and DTLS below them (RFC 8829, RFC 9143)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Direction, MediaSection
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.lean import Lean, lean, remote, speaker, ssrc_of
from tests.contract.peer import Peer, peer, publisher
from tests.contract.refusals import GONE
from tests.contract.subject import Subject, subject
from tests.support.data_path import until

NONSENSE = (Codec("nonsense", 99, 8000),)


async def offer_again(service: Subject, client: Lean, **names: str) -> Sdp:
    """Publish m-sections of the next offer, by mid; the answer, whose m-sections are those of the offer."""
    tracks = [{"location": "local", "mid": mid.lstrip("_"), "trackName": name} for mid, name in names.items()]
    document = await client.new_tracks(tracks, client.offer)
    sdp = client.learn(document["sessionDescription"])
    assert len(sdp.media) == len(client.sections)
    assert all(a.mid == b.mid for a, b in zip(sdp.media, client.sections, strict=True) if not a.is_rejected)
    return sdp


async def flows(service: Subject, client: Lean, *names: str) -> None:
    """Another session gets packets of each track."""
    client.speak()
    async with lean(service) as listener:
        document = await listener.pull(client, *names)
        for item in document["tracks"]:
            await listener.receives(ssrc_of(document, item["mid"]), 2)


# --- offers of the client


async def test_offers_that_add() -> None:
    """Each keeps what there was: mids, order, the first track's packets; the answers bundle all of it."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add()
        await alice.publish("track-0")
        alice.speak()
        ssrc = ssrc_of(await bob.pull(alice, "track-0"))
        await bob.receives(ssrc)
        for index in range(1, 6):
            media = alice.add(kind="video" if index % 2 else "audio")
            sdp = await offer_again(service, alice, **{f"_{media.mid}": f"track-{index}"})
            assert sdp.bundle == tuple(section.mid for section in alice.sections)
            assert [section.kind for section in sdp.media] == [section.kind for section in alice.sections]
        await bob.receives(ssrc)
        await flows(service, alice, *[f"track-{index}" for index in range(6)])


async def test_an_m_section_that_is_stopped() -> None:
    """It is rejected and leaves the BUNDLE group; the others go on; its place takes another, with another mid."""
    async with subject() as service, speaker(service, "a", "b") as alice:
        alice.stop("1")
        closed = await service.close(alice.session_id, ["1"], force=False, sessionDescription=alice.offer)
        sdp = alice.learn(closed.json()["sessionDescription"])
        assert [section.is_rejected for section in sdp.media] == [False, True]
        assert sdp.bundle == ("0",)
        await flows(service, alice, "a")
        alice.add(mid="again", at=1)
        sdp = await offer_again(service, alice, again="c")
        assert sdp.bundle == ("0", "again")
        assert len(sdp.media) == 2
        await flows(service, alice, "a", "c")


async def test_an_m_section_that_becomes_inactive_and_comes_back() -> None:
    """Its track is closed by negotiation; the same mid publishes another one later."""
    async with subject() as service, speaker(service, "a", "b") as alice:
        alice.turn("1", Direction.INACTIVE)
        closed = await service.close(alice.session_id, ["1"], force=False, sessionDescription=alice.offer)
        sdp = alice.learn(closed.json()["sessionDescription"])
        assert [section.direction for section in sdp.media] == [Direction.RECVONLY, Direction.INACTIVE]
        alice.turn("1", Direction.SENDONLY)
        await offer_again(service, alice, _1="c")
        await flows(service, alice, "a", "c")


async def test_codecs_that_nobody_forwards() -> None:
    """Such an m-section is rejected and out of the BUNDLE group, and stays so; the other one works."""
    async with subject() as service, lean(service) as alice:
        alice.add()
        alice.add(codecs=NONSENSE)
        for name in ("a", "b"):
            sdp = await offer_again(service, alice, _0=name)
            assert [section.is_rejected for section in sdp.media] == [False, True]
            assert sdp.bundle == ("0",)
            await alice.connect()
        await flows(service, alice, "b")


async def test_descriptions_without_candidates() -> None:
    """Where a client is, its checks tell: neither its offers nor its answers name candidates."""
    async with subject() as service, speaker(service, "mic") as alice, lean(service) as bob:
        ssrc = ssrc_of(await bob.pull(alice, "mic"))
        await bob.receives(ssrc)
        for client in (alice, bob):
            assert "candidate" not in client.offer["sdp"]


# --- roles and credentials


@pytest.mark.parametrize("is_dtls_server", [False, True], ids=["the client says hello", "the service says hello"])
async def test_roles_do_not_change(is_dtls_server: bool) -> None:
    """Offers of the SFU say actpass; its answers have the role of the first exchange for ever (RFC 8842 §5.3)."""
    async with (
        subject() as service,
        speaker(service, "mic") as alice,
        lean(service, is_dtls_server=is_dtls_server) as bob,
    ):
        for index in range(3):
            bob.add()
            sdp = await offer_again(service, bob, **{f"_{bob.sections[-1].mid}": f"own-{index}"})
            await bob.connect()
            assert {str(section.setup) for section in sdp.media} == {"active" if is_dtls_server else "passive"}
            document = await bob.pull(alice, "mic")
            offered = Sdp.parse(document["sessionDescription"]["sdp"])
            assert {str(section.setup) for section in offered.media} == {"actpass"}
            await bob.receives(ssrc_of(document))
        await flows(service, bob, "own-0", "own-1", "own-2")


@pytest.mark.parametrize("operation", ["tracks/new", "renegotiate"])
async def test_ice_restart(operation: str) -> None:
    """An offer with other credentials is answered with others; media goes on both ways, from and to another address."""
    async with subject() as service, speaker(service, "mic") as alice, speaker(service, "own") as bob:
        ssrc = ssrc_of(await bob.pull(alice, "mic"))
        await bob.receives(ssrc)
        known = bob.peer.remote_ufrag, bob.peer.remote_pwd
        bob.restart_ice()
        if operation == "tracks/new":
            bob.add()
            await offer_again(service, bob, **{f"_{bob.sections[-1].mid}": "more"})
        else:
            answer = await service.renegotiate(bob.session_id, bob.offer)
            assert answer.status_code == 200
            bob.learn(answer.json()["sessionDescription"])
        assert known[0] != bob.peer.remote_ufrag
        assert known[1] != bob.peer.remote_pwd
        bob.peer.mapped_address = None
        bob.peer.check()
        await until(lambda: bob.peer.mapped_address is not None, 15)
        await bob.receives(ssrc, 2)
        await flows(service, bob, "own")


# --- offers of the service


async def test_mids_of_the_service() -> None:
    """Decimal counters, which meet none of the client's; its m-sections come behind those of the client."""
    async with subject() as service, speaker(service, "mic") as alice, lean(service) as bob:
        bob.add(mid="7")
        bob.add(mid="audio")
        await bob.publish("a", "b")
        seen = ["7", "audio"]
        for _ in range(3):
            document = await bob.pull(alice, "mic")
            sdp = Sdp.parse(document["sessionDescription"]["sdp"])
            mid = document["tracks"][0]["mid"]
            assert mid.isdecimal()
            assert mid not in seen
            seen.append(mid)
            assert [media.mid for media in sdp.media] == seen
        bob.add(mid="last")
        await offer_again(service, bob, last="c")
        await flows(service, bob, "a", "b", "c")


async def test_an_offer_that_is_refused_in_part() -> None:
    """What the client rejects is closed, leaves the BUNDLE group, and is no more; the rest flows."""
    async with subject() as service, speaker(service, "a", "b") as alice, lean(service) as bob:
        document = await bob.new_tracks([remote(alice, "a"), remote(alice, "b")])
        kept, refused = (item["mid"] for item in document["tracks"])
        await bob.accept(document["sessionDescription"], refusing=[refused])
        await bob.receives(ssrc_of(document, kept))
        state = (await service.get(bob.session_id)).json()["tracks"]
        assert [track["mid"] for track in state if track["status"] == "active"] == [kept]
        closed = await service.close(bob.session_id, [refused])
        service.check_item(closed.json()["tracks"][0], "close_track_error")
        document = await bob.pull(alice, "b")
        sdp = Sdp.parse(document["sessionDescription"]["sdp"])
        assert refused not in sdp.bundle
        assert not bob.headers(ssrc_of(document)) or document["tracks"][0]["mid"] != refused
        await bob.receives(ssrc_of(document))


async def test_one_track_after_another() -> None:
    """50 tracks are pulled and closed again: the number of m-sections stays small, and all of them are heard."""
    # Three requests each: on a fast machine more in a second than a session may make.
    async with (
        subject(requests_per_second=1000) as service,
        publisher(service, "a", "b") as alice,
        peer(service) as bob,
    ):
        counts = []
        for index in range(50):
            document = await bob.pull(alice, "ab"[index % 2])
            await bob.connected()
            mid = document["tracks"][0]["mid"]
            await _is_heard(bob, mid)
            await service.close(bob.session_id, [mid])
            counts.append(len(Sdp.parse(document["sessionDescription"]["sdp"]).media))
        assert max(counts) <= 4


async def _is_heard(client: Peer, mid: str) -> None:
    """Packets arrive on an m-section."""
    transceiver = next(transceiver for transceiver in client.pc.getTransceivers() if transceiver.mid == mid)

    async def received() -> int:
        stats = await transceiver.receiver.getStats()
        return sum(report.packetsReceived for report in stats.values() if report.type == "inbound-rtp")

    before = await received()
    async with asyncio.timeout(15):
        while await received() < before + 2:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("is_stopped", [False, True], ids=["inactive", "stopped"])
async def test_pulls_after_the_client_has_closed(is_stopped: bool) -> None:
    """By negotiation, as applications do: its transceiver takes nothing any more, and yet each pull flows.

    The place of a stopped one is used again.
    """
    async with subject() as service, speaker(service, "mic") as alice, lean(service) as bob:
        await bob.pull(alice, "mic")
        for index in range(4):
            document = await bob.pull(alice, "mic")
            await bob.receives(ssrc_of(document), 2)
            assert len(bob.sections) == (2 if is_stopped else 2 + index)
            mid = document["tracks"][0]["mid"]
            if is_stopped:
                bob.stop(mid)
            else:
                bob.turn(mid, Direction.INACTIVE)
            answer = await service.close(bob.session_id, [mid], force=False, sessionDescription=bob.offer)
            service.check_item(answer.json()["tracks"][0], None)


# --- too many, and none


async def test_too_many_m_sections() -> None:
    """Endless fresh mids on one session end it: 410, from then on."""
    async with subject(media_sections=8) as service, lean(service) as alice:
        if not service.quirks.limits_are_tested:
            pytest.skip("the cap is not known")
        for index in range(8):
            alice.add()
            await alice.publish(f"track-{index}", connects=index == 0)
        media: MediaSection = alice.add()
        track: dict[str, Any] = {"location": "local", "mid": media.mid, "trackName": "one more"}
        answer = await service.tracks_new(alice.session_id, tracks=[track], sessionDescription=alice.offer)
        service.check_refused(answer, GONE)
        service.check_refused(await service.get(alice.session_id), GONE)


async def test_the_last_m_section_is_closed() -> None:
    """By negotiation this is answered; what becomes of the transport is the client's affair."""
    async with subject() as service, speaker(service, "a") as alice:
        alice.stop("0")
        answer = await service.close(alice.session_id, ["0"], force=False, sessionDescription=alice.offer)
        assert answer.status_code == 200
        sdp = Sdp.parse(answer.json()["sessionDescription"]["sdp"])
        assert [media.is_rejected for media in sdp.media] == [True]
        assert sdp.bundle == ()
        assert (await service.get(alice.session_id)).status_code in (200, 410)
        assert replace(sdp, media=()).bundle == ()
