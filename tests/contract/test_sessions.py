"""`sessions/new` and `GET` of a session (Realtime docs: Sessions and tracks)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.channels import items, local, member, open_channel, until
from tests.contract.channels import remote as remote_channel
from tests.contract.lean import lean, remote, speaker, ssrc_of
from tests.contract.peer import peer
from tests.contract.refusals import NOT_JSON, NOT_READY, UNACCEPTABLE, Refused, missing
from tests.contract.subject import Subject, subject
from tests.support.sdp import offer_of, section

OFFER = offer_of(section("0", Direction.SENDONLY)).to_wire()
TRACK = {"location": "local", "mid": "0", "trackName": "mic"}

# --- sessions/new: what becomes of a body

BODIES: tuple[tuple[str, Any, Refused | None], ...] = (
    ("none at all", None, None),
    ("an empty object", {}, missing("sessionDescription")),
    ("an object without it", {"tracks": [TRACK], "correlationId": "x"}, missing("sessionDescription")),
    ("null for it", {"sessionDescription": None}, missing("sessionDescription")),
    ("no type", {"sessionDescription": {"sdp": OFFER["sdp"]}}, missing("sessionDescription")),
    ("no SDP", {"sessionDescription": {"type": "offer"}}, missing("sessionDescription")),
    ("a list", [], NOT_JSON),
    ("an answer", {"sessionDescription": OFFER | {"type": "answer"}}, UNACCEPTABLE),
    ("an offer", {"sessionDescription": OFFER}, None),
    ("an offer and tracks", {"sessionDescription": OFFER, "tracks": [TRACK]}, None),
)


async def test_bodies() -> None:
    """201 without a body and with an offer; 400 for JSON without one, the most common failure of HTTP wrappers."""
    async with subject() as service:
        for name, body, refused in BODIES:
            answer = await service.call("POST", "/sessions/new", body)
            if refused:
                service.check_refused(answer, refused)
                continue
            document = await created(service, answer)
            if body is None:
                assert set(document) == {"sessionId"}, name
            else:
                assert set(document) == {"sessionId", "sessionDescription"}, name
                assert document["sessionDescription"]["type"] == "answer"


async def created(service: Subject, answer: Any) -> Mapping[str, Any]:
    """The document of a 201: an opaque id of a session that has no tracks."""
    assert answer.status_code == 201, answer.text
    document: Mapping[str, Any] = answer.json()
    service.created.append(document["sessionId"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,128}", document["sessionId"])
    state = await service.get(document["sessionId"])
    assert (state.status_code, state.json()) == (200, {"tracks": [], "dataChannels": []})
    return document


async def test_a_label_is_no_key() -> None:
    """Repeating a `correlationId` makes another session, whose label is nowhere to be seen."""
    async with subject() as service:
        answers = [await service.call("POST", "/sessions/new?correlationId=contract") for _ in range(2)]
        first, second = [(await created(service, answer))["sessionId"] for answer in answers]
        assert first != second
        assert "contract" not in answers[0].text + (await service.get(first)).text


async def test_an_offer_connects() -> None:
    """With no track registered: `tracks/new` does that, once the session is connected."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add()
        answer = await service.call("POST", "/sessions/new", {"sessionDescription": alice.offer, "tracks": [TRACK]})
        document = await created(service, answer)
        alice.session_id = document["sessionId"]
        early = await service.tracks_new(alice.session_id, tracks=[TRACK], sessionDescription=alice.offer)
        service.check_refused(early, NOT_READY)
        alice.learn(document["sessionDescription"])
        await alice.connect()
        alice.speak()
        failed = await bob.new_tracks([remote(alice, "mic")])
        service.check_item(failed["tracks"][0], "not_found_track_error")
        await alice.new_tracks([TRACK], alice.offer)
        pulled = await bob.pull(alice, "mic")
        await bob.receives(ssrc_of(pulled))


async def test_the_answer() -> None:
    """ICE-lite, passive, host candidates and the end of candidates, bundled, RTCP multiplexed, Opus as 111."""
    async with subject() as service:
        answer = await service.call("POST", "/sessions/new", {"sessionDescription": OFFER})
        sdp = Sdp.parse((await created(service, answer))["sessionDescription"]["sdp"])
        (media,) = sdp.media
        assert sdp.is_ice_lite
        assert media.setup == "passive"
        assert {candidate.type for candidate in media.candidates} == {"host"}
        assert media.has_end_of_candidates
        assert media.rtcp_mux
        assert sdp.bundle == (media.mid,)
        (codec,) = media.codecs
        assert (codec.name.lower(), codec.payload_type, codec.parameters) == ("opus", 111, "minptime=10;useinbandfec=1")


# --- GET


async def test_state_of_tracks() -> None:
    """Published and pulled ones, in these words and no others; an `active` one need not have packets."""
    async with subject() as service, speaker(service, "mic") as alice, lean(service) as bob:
        pulled = await bob.pull(alice, "mic")
        bob.add()
        await bob.publish("silent")
        subscribed = {
            "location": "remote",
            "mid": pulled["tracks"][0]["mid"],
            "sessionId": alice.session_id,
            "trackName": "mic",
        }
        published = {"location": "local", "mid": bob.sections[-1].mid, "trackName": "silent", "status": "active"}
        state = (await service.get(bob.session_id)).json()
        assert state == {"tracks": [subscribed | {"status": "active"}, published], "dataChannels": []}
        # The end of a publication leaves its subscriptions inactive.
        await service.close(alice.session_id, ["0"])
        state = (await service.get(bob.session_id)).json()
        assert state["tracks"] == [subscribed | {"status": "inactive"}, published]
        # What the session itself has closed may be listed as inactive, or not at all.
        await service.close(bob.session_id, [subscribed["mid"], published["mid"]])
        state = (await service.get(bob.session_id)).json()
        assert all(track["status"] == "inactive" for track in state["tracks"])


async def test_state_of_data_channels() -> None:
    """`initializing` until the transport is there, `active`, `inactive` when the publication has ended."""
    async with subject() as service, member(service) as alice, peer(service) as bob:
        document = (await service.establish(bob.session_id)).json()
        (events,) = (await service.get(bob.session_id)).json()["dataChannels"]
        expected = {"location": "remote", "dataChannelName": "server-events", "id": 0, "status": "initializing"}
        assert events == expected
        await service.renegotiate(bob.session_id, await bob.answer(document["sessionDescription"]))
        await bob.connected()
        published = await open_channel(alice, local("chat"))
        received = await open_channel(bob, remote_channel(alice, "chat"))
        await until(lambda: received.channel.readyState == "open")
        (known,) = [c for c in (await service.get(alice.session_id)).json()["dataChannels"] if c["id"]]
        expected = {"location": "local", "dataChannelName": "chat", "id": published.id, "status": "active"}
        assert known == expected
        subscribed = {
            "location": "remote",
            "sessionId": alice.session_id,
            "dataChannelName": "chat",
            "id": received.id,
        }
        await items(alice, "close", {"id": published.id})
        (known,) = [c for c in (await service.get(bob.session_id)).json()["dataChannels"] if c["id"]]
        assert known == subscribed | {"status": "inactive"}
