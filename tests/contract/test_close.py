"""Closing tracks (Realtime docs: Sessions and tracks)."""

from __future__ import annotations

from typing import Any

import pytest

from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.peer import peer, publisher
from tests.contract.subject import Subject, subject


async def active(service: Subject, session_id: str) -> list[str]:
    """The mids that are still open; closed ones may be listed as inactive, or not at all."""
    state = (await service.get(session_id)).json()
    return [track["mid"] for track in state["tracks"] if track["status"] == "active"]


async def test_close_by_force() -> None:
    """No SDP; the publisher's track ends for its subscribers; what is closed is closed."""
    async with subject() as service, publisher(service, "a", "b") as alice, peer(service) as bob:
        await bob.pull(alice, "a", "b")
        await bob.frames()
        first, second = (transceiver.mid for transceiver in alice.pc.getTransceivers())
        answer = await service.close(alice.session_id, [first])
        assert answer.json() == {"requiresImmediateRenegotiation": False, "tracks": [{"mid": first}]}
        assert await active(service, alice.session_id) == [second]
        assert len(await active(service, bob.session_id)) == 1
        again = await service.close(alice.session_id, [first, second])
        gone, closed = again.json()["tracks"]
        assert (gone["mid"], gone["errorCode"]) == (first, "close_track_error")
        assert closed == {"mid": second}
        if not service.quirks.reorders_words:
            assert gone["errorDescription"] == "Track doesn't exist or was already closed"


async def test_closing_a_subscription() -> None:
    """Only that subscription ends; the track can be pulled again."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        document = await bob.pull(alice, "mic")
        await bob.frames()
        answer = await service.close(bob.session_id, [document["tracks"][0]["mid"]])
        assert "errorCode" not in answer.json()["tracks"][0]
        assert await active(service, bob.session_id) == []
        assert len(await active(service, alice.session_id)) == 1
        again = await bob.pull(alice, "mic")
        await bob.frames(track=-1)
        assert await active(service, bob.session_id) == [again["tracks"][0]["mid"]]


async def test_close_by_an_exchange() -> None:
    """The client stops its transceiver and offers; the answer has it inactive or rejected."""
    async with subject() as service, publisher(service, "a", "b") as alice:
        first, second = alice.pc.getTransceivers()
        first.direction = "inactive"
        answer = await service.close(alice.session_id, [first.mid], force=False, sessionDescription=await alice.offer())
        document = answer.json()
        assert answer.status_code == 200
        assert document["requiresImmediateRenegotiation"] is False
        assert document["tracks"] == [{"mid": first.mid}]
        assert document["sessionDescription"]["type"] == "answer"
        closed, open_ = Sdp.parse(document["sessionDescription"]["sdp"]).media
        assert closed.is_rejected or closed.direction == "inactive"
        assert open_.direction == "recvonly"
        await alice.apply(document["sessionDescription"])
        assert await active(service, alice.session_id) == [second.mid]


async def test_a_track_is_published_again_after_a_forced_close() -> None:
    """On a fresh transceiver it reaches subscribers."""
    async with subject() as service, publisher(service, "mic") as alice, peer(service) as bob:
        await service.close(alice.session_id, [alice.pc.getTransceivers()[0].mid])
        await alice.publish("mic")
        await bob.pull(alice, "mic")
        await bob.frames()


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"tracks": [{"mid": "0"}]}, 400, "decoding_error", "Body JSON validation error: force"),
        ({"force": True}, 400, "decoding_error", "Body JSON validation error: tracks"),
        ({"tracks": [], "force": True}, 406, "invalid_params", "Expecting at least 1 track"),
        ({"tracks": [{}], "force": True}, 406, "invalid_params", "tracks[0]: Missing mid in track"),
        ({"tracks": [{"mid": ""}], "force": True}, 406, "invalid_params", "tracks[0]: Missing mid in track"),
    ],
)
async def test_requests_that_cannot_be(body: dict[str, Any], status: int, code: str, words: str) -> None:
    """Refused with the words of the service."""
    async with subject() as service, publisher(service, "mic") as alice:
        answer = await service.call("PUT", f"/sessions/{alice.session_id}/tracks/close", body)
        service.check_error(answer, status, code, words)


async def test_an_unknown_mid() -> None:
    """200 with an item error, also on a session that has nothing yet."""
    async with subject() as service:
        answer = await service.close(await service.new_session(), ["42"])
        assert answer.status_code == 200
        assert answer.json()["tracks"][0]["errorCode"] == "close_track_error"
