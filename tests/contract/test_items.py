"""Items that fail inside an answer that is 200: tracks that are not there, or do not fit (Realtime docs: Error codes).

Those of data channels are in `test_datachannels.py`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from rtcctl.media.sdp import Direction
from tests.contract.lean import Lean, lean, remote, speaker, ssrc_of
from tests.contract.subject import Subject, subject
from tests.support.sdp import H264, VP8, VP8_RTX

NOBODY = "0" * 32
NOT_FOUND = (
    "Track not found on remote peer. Make sure the publisher peer is connected and sending packets for this track"
)
EMPTY = "No track data from remote peer"
NOTHING_TO_UPDATE = "The track is not configured for simulcast, no updates applicable."
SIMULCAST = {"preferredRid": "h"}


def check_pull(service: Subject, document: dict[str, Any], track: dict[str, Any], code: str, words: str) -> None:
    """An answer to a pull of one track that failed: no mid, no SDP, and what was asked for is echoed."""
    assert document["requiresImmediateRenegotiation"] is False
    assert "sessionDescription" not in document
    (item,) = document["tracks"]
    service.check_item(item, code, words)
    assert not item.get("mid")
    assert (item["sessionId"], item["trackName"]) == (track["sessionId"], track["trackName"])


async def update(service: Subject, client: Lean, track: dict[str, Any]) -> dict[str, Any]:
    """The item of `tracks/update`."""
    answer = await service.tracks_update(client.session_id, track)
    assert answer.status_code == 200, answer.text
    assert "sessionDescription" not in answer.json()
    (item,) = answer.json()["tracks"]
    return dict(item)


# --- not_found_track_error


async def test_tracks_that_are_not_there() -> None:
    """An unknown session or name, another's name, another case of it, one that was closed, and one that is gone."""
    async with subject() as service, speaker(service, "mic", "closed") as alice, lean(service) as bob:
        await service.close(alice.session_id, ["1"])
        async with speaker(service, "left") as carol:
            carol.leave()
            await service.until_gone(carol.session_id)
        for track in (
            remote(NOBODY, "mic"),
            remote(alice, "other"),
            remote(alice, "Mic"),
            remote(bob, "mic"),
            remote(alice, "closed"),
            remote(carol, "left"),
            remote(NOBODY, "mic", simulcast=SIMULCAST),
        ):
            check_pull(service, await bob.new_tracks([track]), track, "not_found_track_error", NOT_FOUND)
            bob.add(Direction.RECVONLY)
            document = await bob.new_tracks([track], bob.offer)
            check_pull(service, document, track, "not_found_track_error", NOT_FOUND)
            bob.sections.clear()
        assert (await service.get(bob.session_id)).json()["tracks"] == []


async def test_a_publisher_that_never_connected() -> None:
    """`not_found_track_error`, at once or after a few seconds."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add()
        await alice.publish("mic", connects=False)
        started = time.monotonic()
        track = remote(alice, "mic")
        check_pull(service, await bob.new_tracks([track]), track, "not_found_track_error", NOT_FOUND)
        assert time.monotonic() - started < 5 * service.quirks.time_scale + 3


async def test_what_the_service_asked_for_and_nobody_sends_yet() -> None:
    """A publication by an offer of the SFU is there when the client has answered."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        track = {"location": "local", "trackName": "mic", "kind": "audio", "bidirectionalMediaStream": True}
        document = await alice.new_tracks([track])
        early = await bob.new_tracks([remote(alice, "mic")])
        service.check_item(early["tracks"][0], "not_found_track_error", NOT_FOUND)
        await alice.accept(document["sessionDescription"])
        alice.speak()
        await bob.receives(ssrc_of(await bob.pull(alice, "mic")))


async def test_some_of_the_tracks_are_there() -> None:
    """Each item has its own result, in the order of the request; those that work are offered, and flow."""
    async with subject() as service, speaker(service, "a", "b") as alice, lean(service) as bob:
        document = await bob.pull(alice, "other", "a", "another", "b")
        assert [item.get("errorCode") for item in document["tracks"]] == ["not_found_track_error", None] * 2
        for index in (1, 3):
            await bob.receives(ssrc_of(document, document["tracks"][index]["mid"]))


# --- empty_track_error


async def test_pulling_a_silent_track() -> None:
    """The request is held about 8 s; a track that begins to send in that time is there."""
    async with subject() as service, lean(service) as alice, lean(service) as bob, lean(service) as carol:
        alice.add()
        alice.add()
        await alice.publish("silent", "late")
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            track = remote(alice, "silent")
            held = [group.create_task(bob.new_tracks([track])), group.create_task(carol.new_tracks([track]))]
            late = group.create_task(_pull_late(service, alice))
        assert 6 * service.quirks.time_scale < time.monotonic() - started < 12 * service.quirks.time_scale + 3
        for task in held:
            check_pull(service, task.result(), track, "empty_track_error", EMPTY)
        assert late.result() < 6 * service.quirks.time_scale + 3


async def _pull_late(service: Subject, alice: Lean) -> float:
    """Pull a silent track, which then begins to send; how long that took."""
    started = time.monotonic()
    async with lean(service) as dave, asyncio.TaskGroup() as group:
        pulling = group.create_task(dave.pull(alice, "late"))
        # Held, not refused: the answer comes with the first packet.
        done, _ = await asyncio.wait([pulling], timeout=2 * service.quirks.time_scale)
        assert not done
        alice.speak("1")
        await dave.receives(ssrc_of(await pulling))
    return time.monotonic() - started


# --- update_track_error


async def test_updates_that_cannot_be() -> None:
    """A track without layers, for ever; a mid that is not there or receives nothing; a track that is not there."""
    async with subject() as service, speaker(service, "mic") as alice, lean(service) as bob:
        bob.add()
        await bob.publish("own")
        pulled = await bob.pull(alice, "mic")
        mid = pulled["tracks"][0]["mid"]
        await bob.receives(ssrc_of(pulled))
        for track, code, words in (
            (remote(alice, "mic", mid=mid, simulcast=SIMULCAST), "update_track_error", NOTHING_TO_UPDATE),
            (remote(alice, "mic", mid="9"), "update_track_error", ""),
            (remote(alice, "mic", mid="0"), "update_track_error", ""),
            (remote(alice, "other", mid=mid), "not_found_track_error", NOT_FOUND),
            (remote(NOBODY, "mic", mid=mid), "not_found_track_error", NOT_FOUND),
        ):
            item = await update(service, bob, track)
            service.check_item(item, code, words)
            assert (item["sessionId"], item["trackName"]) == (track["sessionId"], track["trackName"])
        await bob.receives(ssrc_of(pulled))
        assert "errorCode" not in await update(service, bob, remote(alice, "mic", mid=mid))


async def test_an_update_before_there_is_media() -> None:
    """Right after a pull of simulcast there is nothing to update until media has reached the subscriber."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add(kind="video", rids=("f", "h", "q"))
        await alice.publish("camera")
        alice.speak()
        document = await bob.new_tracks([remote(alice, "camera", simulcast={"preferredRid": "h"})])
        (item,) = document["tracks"]
        assert item["simulcast"] == {"preferredRid": "h"}
        track = remote(alice, "camera", mid=item["mid"], simulcast={"preferredRid": "q"})
        await bob.accept(document["sessionDescription"], connects=False)
        alice.hush()
        await bob.connect()
        service.check_item(await update(service, bob, track), "update_track_error", NOTHING_TO_UPDATE)
        alice.speak()
        await bob.receives(ssrc_of(document))
        assert "errorCode" not in await update(service, bob, track)


# --- track_error


async def test_m_sections_that_cannot_receive_the_track() -> None:
    """Another kind, or no codec in common: the item fails, whatever the flow, and what was received goes on."""
    async with subject() as service, speaker(service, "mic") as alice, lean(service) as camera, lean(service) as bob:
        camera.add(kind="video", codecs=(VP8, VP8_RTX))
        await camera.publish("camera")
        camera.speak()
        pulled = await bob.pull(alice, "mic")
        mid = pulled["tracks"][0]["mid"]
        into = await bob.new_tracks([remote(camera, "camera", mid=mid)])
        service.check_item(into["tracks"][0], "track_error")
        service.check_item(await update(service, bob, remote(camera, "camera", mid=mid)), "track_error")
        bob.add(Direction.RECVONLY, kind="video", codecs=(H264,))
        document = await bob.new_tracks([remote(camera, "camera")], bob.offer)
        service.check_item(document["tracks"][0], "track_error")
        assert not document["tracks"][0].get("mid")
        await bob.receives(ssrc_of(pulled))
