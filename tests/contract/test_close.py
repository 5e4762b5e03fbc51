"""Closing tracks, by force and by negotiation (Realtime docs: Sessions and tracks)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.lean import Lean, lean, remote, speaker, ssrc_of
from tests.contract.refusals import GONE, MISSING_MID, NO_TRACKS, missing
from tests.contract.subject import Subject, subject
from tests.support.data_path import until

NOT_OPEN = "Track doesn't exist or was already closed"


async def active(service: Subject, client: Lean) -> list[str]:
    """The mids that are still open; closed ones may be listed as inactive, or not at all."""
    state = (await service.get(client.session_id)).json()
    return [track["mid"] for track in state["tracks"] if track["status"] == "active"]


async def close(service: Subject, client: Lean, *mids: str) -> list[str | None]:
    """By force, without any SDP; the error of each item."""
    answer = await service.close(client.session_id, mids)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["requiresImmediateRenegotiation"], document.get("sessionDescription")) == (False, None)
    assert [item["mid"] for item in document["tracks"]] == list(mids)
    return [item.get("errorCode") for item in document["tracks"]]


async def is_silent(client: Lean, ssrcs: Iterable[int], other: int) -> None:
    """Nothing comes from those sources while much comes from another one."""
    await client.receives(other, 2)
    before = [len(client.headers(ssrc)) for ssrc in ssrcs]
    await client.receives(other, 5)
    assert [len(client.headers(ssrc)) for ssrc in ssrcs] == before


# --- the table


async def test_the_table() -> None:
    """What is refused, what fails as an item, and what is mixed."""
    async with subject() as service, speaker(service, "a", "b") as alice, lean(service) as nobody:
        path = f"/sessions/{alice.session_id}/tracks/close"
        for body, expected in (
            ({"tracks": [{"mid": "0"}]}, missing("force")),
            ({"tracks": [], "force": True}, NO_TRACKS),
            ({"tracks": [{"mid": ""}], "force": True}, MISSING_MID),
            ({"tracks": [{}], "force": True}, MISSING_MID),
            ({"tracks": [{"mid": "0"}], "force": False}, missing("sessionDescription")),
        ):
            service.check_refused(await service.call("PUT", path, body), expected)
        # A request that is refused has closed nothing, if it is refused before it begins.
        assert await active(service, alice) == ["0", "1"]
        assert await close(service, alice, "42", "1") == ["close_track_error", None]
        assert await close(service, alice, "1", "0") == ["close_track_error", None]
        again = await service.close(alice.session_id, ["0"])
        service.check_item(again.json()["tracks"][0], "close_track_error", NOT_OPEN)
        assert await close(service, nobody, "0") == ["close_track_error"]
        nobody.leave()
        alice.leave()
        await service.until_gone(alice.session_id)
        service.check_refused(await service.close(alice.session_id, ["0"]), GONE)


# --- what ends


async def test_closing_a_publication() -> None:
    """It ends for all its subscribers; their other tracks go on."""
    async with (
        subject() as service,
        speaker(service, "a", "b") as alice,
        lean(service) as bob,
        lean(service) as carol,
    ):
        pulled = {}
        for member in (bob, carol):
            document = await member.pull(alice, "a", "b")
            pulled[member] = [ssrc_of(document, item["mid"]) for item in document["tracks"]]
            await member.receives(pulled[member][0])
        assert await close(service, alice, "0") == [None]
        for member, (closed, other) in pulled.items():
            await is_silent(member, [closed], other)
            assert len(await active(service, member)) == 1
        assert await active(service, alice) == ["1"]
        document = await bob.new_tracks([remote(alice, "a")])
        service.check_item(document["tracks"][0], "not_found_track_error")


async def test_closing_a_subscription() -> None:
    """Only that subscription ends; publisher and other subscribers do not notice, and the track can be pulled again."""
    async with subject() as service, speaker(service, "a", "b") as alice, lean(service) as bob, lean(service) as carol:
        heard = ssrc_of(await carol.pull(alice, "a"))
        document = await bob.pull(alice, "a", "b")
        closed, other = (ssrc_of(document, item["mid"]) for item in document["tracks"])
        await bob.receives(closed)
        assert await close(service, bob, document["tracks"][0]["mid"]) == [None]
        await is_silent(bob, [closed], other)
        assert await active(service, alice) == ["0", "1"]
        await carol.receives(heard)
        again = await bob.pull(alice, "a")
        await bob.receives(ssrc_of(again))


async def test_closing_a_bidirectional_transceiver() -> None:
    """Both ways stop: the session's own track, and the one that it pulled into it."""
    async with subject() as service, speaker(service, "mic") as alice, lean(service) as bob, lean(service) as carol:
        bob.add(Direction.SENDRECV)
        bob.add(Direction.SENDRECV)
        tracks = [
            {"location": "local", "mid": mid, "trackName": f"own-{mid}", "bidirectionalMediaStream": True}
            for mid in ("0", "1")
        ]
        answer = bob.learn((await bob.new_tracks(tracks, bob.offer))["sessionDescription"])
        await bob.connect()
        bob.speak()
        back = [media.ssrcs[0].ssrc for media in answer.media]
        unknown = await service.tracks_new(bob.session_id, tracks=[remote(alice, "mic", mid="#own-2")])
        service.check_error(unknown, 406, "invalid_params")
        await bob.new_tracks([remote(alice, "mic", mid="0"), remote(alice, "mic", mid="#own-1")])
        there = await carol.pull(bob, "own-0", "own-1")
        forth = [ssrc_of(there, item["mid"]) for item in there["tracks"]]
        for ssrc in back:
            await bob.receives(ssrc)
        await carol.receives(forth[1])
        assert await close(service, bob, "1") == [None]
        await is_silent(bob, [back[1]], back[0])
        await is_silent(carol, [forth[1]], forth[0])
        assert set(await active(service, bob)) == {"0"}
        sdp = Sdp.parse((await service.renegotiate(bob.session_id, bob.offer)).json()["sessionDescription"]["sdp"])
        assert not sdp.media[1].direction.sends


# --- by negotiation


async def test_closing_by_negotiation() -> None:
    """The answer has the m-section inactive or rejected, and the items; what is left goes on."""
    async with subject() as service, speaker(service, "a", "b") as alice, lean(service) as bob:
        document = await bob.pull(alice, "a", "b")
        closed, other = (ssrc_of(document, item["mid"]) for item in document["tracks"])
        await bob.receives(closed)
        alice.turn("0", Direction.INACTIVE)
        answer = await service.close(alice.session_id, ["0", "9"], force=False, sessionDescription=alice.offer)
        answered = answer.json()
        assert (answer.status_code, answered["requiresImmediateRenegotiation"]) == (200, False)
        assert [item.get("errorCode") for item in answered["tracks"]] == [None, "close_track_error"]
        assert answered["sessionDescription"]["type"] == "answer"
        first, second = Sdp.parse(answered["sessionDescription"]["sdp"]).media
        assert first.is_rejected or first.direction is Direction.INACTIVE
        assert second.direction is Direction.RECVONLY
        await is_silent(bob, [closed], other)


async def test_closing_what_the_offer_goes_on_with() -> None:
    """The service receives no more there, although the client would still send."""
    async with subject() as service, speaker(service, "a") as alice:
        answer = await service.close(alice.session_id, ["0"], force=False, sessionDescription=alice.offer)
        (media,) = Sdp.parse(answer.json()["sessionDescription"]["sdp"]).media
        assert media.is_rejected or media.direction is Direction.INACTIVE
        assert await active(service, alice) == []


# --- what force does not do


async def test_a_forced_close_cancels_nothing() -> None:
    """A request that is being held is answered in its time; what it had asked for is there."""
    async with subject() as service, speaker(service, "a") as alice, lean(service) as carol, lean(service) as bob:
        carol.add()
        await carol.publish("late")
        document = await bob.pull(alice, "a")
        async with asyncio.TaskGroup() as group:
            held = group.create_task(bob.pull(carol, "late"))
            assert await close(service, bob, document["tracks"][0]["mid"]) == [None]
            assert not held.done()
            carol.speak()
        await bob.receives(ssrc_of(held.result()))


async def test_a_track_is_published_again() -> None:
    """On a fresh m-section it reaches subscribers, and whoever has pulled the old one pulls again.

    On the mid of the old one it is accepted, too; whether it reaches anybody is not promised.
    """
    async with subject() as service, speaker(service, "mic") as alice, lean(service) as bob:
        await bob.receives(ssrc_of(await bob.pull(alice, "mic")))
        assert await close(service, alice, "0") == [None]
        alice.add()
        await alice.publish("mic")
        alice.speak()
        await bob.receives(ssrc_of(await bob.pull(alice, "mic")))
        assert await close(service, alice, "1") == [None]
        again = {"location": "local", "mid": "1", "trackName": "mic"}
        document = await alice.new_tracks([again], alice.offer)
        assert "errorCode" not in document["tracks"][0]
        (item,) = (await bob.pull(alice, "mic"))["tracks"]
        assert item.get("errorCode") in (None, "empty_track_error")


async def test_the_newest_of_a_name() -> None:
    """A name that is published again means the new track; the old one has ended."""
    async with subject() as service, speaker(service, "mic", "other") as alice, lean(service) as bob:
        before = ssrc_of(await bob.pull(alice, "mic"))
        other = ssrc_of(await bob.pull(alice, "other"))
        await bob.receives(before)
        alice.add()
        await alice.publish("mic")
        alice.speak()
        if service.quirks.follows_assumptions:
            await is_silent(bob, [before], other)
            assert await active(service, alice) == ["1", "2"]
        ssrc = ssrc_of(await bob.pull(alice, "mic"))
        newest = alice.streams["2"]
        await until(lambda: bob.payloads(ssrc) and bob.payloads(ssrc)[-1] in newest.sent.values(), 15)
