"""Requests that are refused as a whole: which status, code and words for which mistake (Realtime docs: Error codes).

What depends on the state of the session is in `test_states.py`, what fails as one item in `test_items.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Direction
from tests.contract.lean import Lean, lean, remote, speaker
from tests.contract.refusals import (
    MISSING_MID,
    MIXED,
    NO_TRACKS,
    TOO_MANY_TRACKS,
    UNACCEPTABLE,
    UNTERMINATED,
    Refused,
    missing,
    missing_in_sdp,
    wrong_items,
)
from tests.contract.subject import subject
from tests.support.sdp import data, offer_of, section, stopped, video

NOBODY = "0" * 32
AUDIO = section("0", Direction.SENDONLY)
OFFER = offer_of(AUDIO).to_wire()
LOCAL = {"location": "local", "mid": "0", "trackName": "mic"}
ASKED = {"location": "local", "trackName": "mic", "kind": "audio"}
REMOTE = {"location": "remote", "sessionId": NOBODY, "trackName": "mic"}
INVALID = Refused(406, "invalid_params")


def without(field: str, document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != field}


def tracks(*items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"tracks": list(items)} | more


def publishing(*items: Mapping[str, Any]) -> dict[str, Any]:
    return tracks(*items, sessionDescription=OFFER)


# --- bodies

BODIES: Mapping[str, tuple[tuple[dict[str, Any], Refused], ...]] = {
    "POST tracks/new": (
        ({}, missing("tracks")),
        (tracks(), NO_TRACKS),
        (tracks({}), wrong_items("0")),
        (tracks(without("location", REMOTE)), wrong_items("0")),
        (tracks(REMOTE | {"location": "sideways"}), wrong_items("0")),
        (tracks(without("sessionId", REMOTE)), wrong_items("0")),
        (tracks(without("trackName", REMOTE) | {"trackname": "mic"}), wrong_items("0")),
        (tracks(REMOTE, REMOTE | {"mid": 7}), wrong_items("1")),
        (tracks(REMOTE, without("trackName", REMOTE), without("sessionId", REMOTE)), wrong_items("1,2")),
        (tracks(REMOTE | {"simulcast": {"priorityOrdering": "best"}}), wrong_items("0")),
        (tracks(REMOTE | {"kind": "text"}), wrong_items("0")),
        (publishing(without("mid", LOCAL)), wrong_items("0")),
        (publishing(without("mid", LOCAL), without("trackName", LOCAL)), wrong_items("0,1")),
        (publishing(LOCAL | {"mid": 0}), wrong_items("0")),
        (tracks(ASKED, without("kind", ASKED) | {"trackName": "x"}), wrong_items("1")),
        # Without an offer and without a kind it is not known which of them is missing.
        (tracks(without("kind", ASKED)), Refused(400, "decoding_error")),
        ({"autoDiscover": True}, missing("sessionDescription")),
        (publishing(LOCAL, REMOTE), MIXED),
        (tracks(ASKED, REMOTE), MIXED),
        (tracks(*[REMOTE] * 65), TOO_MANY_TRACKS),
        (publishing(*[LOCAL | {"trackName": str(i)} for i in range(65)]), TOO_MANY_TRACKS),
        (publishing(LOCAL, LOCAL | {"trackName": "twice"}), INVALID),
        (tracks(REMOTE | {"mid": "#nothing"}), INVALID),
        (tracks(REMOTE | {"mid": "9"}), INVALID),
        (publishing(LOCAL | {"mid": "9"}), UNACCEPTABLE),
        (tracks(REMOTE, sessionDescription=OFFER), UNACCEPTABLE),
    ),
    "PUT tracks/update": (
        ({}, missing("tracks")),
        (tracks(), NO_TRACKS),
        (tracks(without("sessionId", REMOTE) | {"mid": "0"}), wrong_items("0")),
        (tracks(without("trackName", REMOTE) | {"mid": "0"}), wrong_items("0")),
        (tracks(REMOTE | {"mid": 0}), wrong_items("0")),
        (tracks(REMOTE | {"mid": ""}), MISSING_MID),
        (tracks(REMOTE), MISSING_MID),
        (tracks(LOCAL | {"sessionId": NOBODY}), INVALID),
        (tracks(*[REMOTE | {"mid": str(i)} for i in range(65)]), TOO_MANY_TRACKS),
    ),
    "PUT tracks/close": (
        (tracks({"mid": "0"}), missing("force")),
        ({"force": True}, missing("tracks")),
        (tracks({"mid": "0"}, force="yes"), missing("force")),
        (tracks({"mid": "0"}, force=False), missing("sessionDescription")),
        (tracks({"mid": "0"}, {"mid": 1}, force=True), wrong_items("1")),
        (tracks(force=True), NO_TRACKS),
        (tracks({}, force=True), MISSING_MID),
        (tracks({"mid": ""}, force=True), MISSING_MID),
        (tracks(force=False, sessionDescription=OFFER), NO_TRACKS),
        (tracks({"mid": ""}, force=False, sessionDescription=OFFER), MISSING_MID),
        (tracks(*[{"mid": str(i)} for i in range(65)], force=True), TOO_MANY_TRACKS),
        (tracks({"mid": "0"}, force=False, sessionDescription=OFFER | {"type": "answer"}), UNACCEPTABLE),
    ),
    "PUT renegotiate": (
        ({}, missing("sessionDescription")),
        ({"sessionDescription": {"type": "answer"}}, missing("sessionDescription")),
        ({"sessionDescription": {"type": "rollback", "sdp": ""}}, missing("sessionDescription")),
        ({"sessionDescription": OFFER}, UNACCEPTABLE),
        ({"sessionDescription": OFFER | {"type": "answer"}}, UNACCEPTABLE),
    ),
    "POST datachannels/establish": (
        ({}, missing("dataChannel")),
        ({"dataChannel": {}}, missing("dataChannel")),
        ({"dataChannel": {"location": "remote", "dataChannelName": "chat"}}, INVALID),
        ({"dataChannel": {"location": "local", "dataChannelName": "server-events"}}, INVALID),
        (
            {"dataChannel": {"location": "remote", "dataChannelName": "server-events"}, "sessionDescription": OFFER},
            Refused(400, "decoding_error"),
        ),
    ),
}


@pytest.mark.parametrize("operation", BODIES)
async def test_bodies(operation: str) -> None:
    """Each of them is refused, and the session is as new as before."""
    method, path = operation.split()
    async with subject() as service:
        session_id = await service.new_session()
        for body, expected in BODIES[operation]:
            service.check_refused(await service.call(method, f"/sessions/{session_id}/{path}", body), expected)
        assert (await service.get(session_id)).json() == {"tracks": [], "dataChannels": []}
        answer = await service.tracks_new(session_id, tracks=[LOCAL], sessionDescription=OFFER)
        assert answer.status_code == 200


# --- descriptions


def lacking(attribute: str) -> str:
    return "".join(f"{line}\r\n" for line in OFFER["sdp"].splitlines() if attribute not in line)


FAKE = replace(UNACCEPTABLE, elsewhere=((500, "internal_error"), (400, "decoding_error")))
"Seen as a backend error, too."
NONSENSE = (Codec("nonsense", 99, 8000),)
SDPS: tuple[tuple[str, Refused], ...] = (
    (OFFER["sdp"].rstrip(), UNTERMINATED),
    (OFFER["sdp"] + "a=x", UNTERMINATED),
    (lacking("ice-ufrag"), missing_in_sdp("ice-ufrag")),
    (lacking("ice-pwd"), missing_in_sdp("ice-pwd")),
    (lacking("fingerprint"), missing_in_sdp("fingerprint")),
    ("v=0\r\n", FAKE),
    ("fake\r\n", FAKE),
    ("", FAKE),
    (offer_of().sdp, FAKE),
    (lacking("a=mid"), FAKE),
    (offer_of(AUDIO, AUDIO).sdp, FAKE),
    (OFFER["sdp"].replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 x"), FAKE),
    (OFFER["sdp"].replace("m=audio 9", "m=audio nine"), FAKE),
    (offer_of(replace(AUDIO, codecs=NONSENSE)).sdp, UNACCEPTABLE),
    (offer_of(replace(AUDIO, direction=Direction.RECVONLY)).sdp, UNACCEPTABLE),
    (offer_of(stopped("0"), section("1")).sdp, UNACCEPTABLE),
)


async def test_offers() -> None:
    """SDP is really parsed: what is malformed, or does not carry the track, is refused wherever an offer may stand."""
    async with subject() as service:
        session_id = await service.new_session()
        for sdp, expected in SDPS:
            offer = {"type": "offer", "sdp": sdp}
            answer = await service.tracks_new(session_id, tracks=[LOCAL], sessionDescription=offer)
            service.check_refused(answer, expected)
        for sdp, expected in SDPS[:12]:
            offer = {"type": "offer", "sdp": sdp}
            for answer in (
                await service.call("POST", "/sessions/new", {"sessionDescription": offer}),
                await service.close(await service.new_session(), ["0"], force=False, sessionDescription=offer),
                await service.establish(await service.new_session(), sessionDescription=offer),
            ):
                service.check_refused(answer, expected)
        answer = await service.tracks_new(session_id, tracks=[LOCAL], sessionDescription=OFFER)
        assert answer.status_code == 200


async def test_offers_that_do_not_go_on() -> None:
    """M-sections stay in their order and of their kind (RFC 8829 §5.2.2); an offer that breaks this does no harm."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add()
        alice.add()
        await alice.publish("a", "b")
        first, second = alice.sections
        for sections in (
            [first],
            [second, first],
            [replace(first, kind="video", codecs=video("0").codecs), second],
            [first, replace(second, mid="0")],
        ):
            alice.sections = sections
            track = {"location": "local", "mid": "0", "trackName": "c"}
            answer = await service.tracks_new(alice.session_id, tracks=[track], sessionDescription=alice.offer)
            service.check_refused(answer, UNACCEPTABLE)
        alice.sections = [first, second]
        alice.add()
        await alice.publish("c")
        alice.speak()
        assert all(item.get("mid") for item in (await bob.pull(alice, "a", "b", "c"))["tracks"])


@dataclass(frozen=True, slots=True)
class Answer:
    """What is done to a right answer before it is sent."""

    name: str
    expected: Refused

    def spoil(self, client: Lean, sdp: str) -> dict[str, str]:
        sections = list(client.sections)
        match self.name:
            case "an offer":
                return {"type": "offer", "sdp": sdp}
            case "not terminated":
                return {"type": "answer", "sdp": sdp.rstrip()}
            case "no m-section":
                sections = []
            case "one too many":
                sections.append(replace(sections[0], mid="9"))
            case "another mid":
                sections[0] = replace(sections[0], mid="9")
            case "another kind":
                sections[0] = replace(sections[0], kind="video", codecs=video("0").codecs)
            case "no credentials":
                sections[0] = replace(sections[0], ice_ufrag="")
            case "no role":
                sections[0] = replace(sections[0], setup=section("0").setup)
        return {"type": "answer", "sdp": offer_of(*sections).sdp}


ANSWERS = (
    Answer("an offer", UNACCEPTABLE),
    Answer("not terminated", UNTERMINATED),
    Answer("no m-section", FAKE),
    Answer("one too many", UNACCEPTABLE),
    Answer("another mid", UNACCEPTABLE),
    Answer("another kind", UNACCEPTABLE),
    Answer("no credentials", missing_in_sdp("ice-ufrag")),
    Answer("no role", UNACCEPTABLE),
)


async def test_answers() -> None:
    """One that does not fit the offer is refused, the offer waits, and the right one is taken afterwards."""
    async with subject() as service, speaker(service, "mic") as alice, lean(service) as bob:
        document = await bob.new_tracks([remote(alice, "mic")])
        offer = document["sessionDescription"]
        right = bob.answer(offer)
        for answer in ANSWERS:
            refused = await service.renegotiate(bob.session_id, answer.spoil(bob, right["sdp"]))
            service.check_refused(refused, answer.expected)
        await bob.accept(offer)
        await bob.receives(bob.learn(offer).media[0].ssrcs[0].ssrc)


async def test_a_second_transport_for_data_channels() -> None:
    """There is one per session: `establish` again needs no SDP; an `m=application` section more is rejected."""
    async with subject() as service, lean(service) as alice:
        document = (await service.establish(alice.session_id)).json()
        await alice.accept(document["sessionDescription"])
        again = (await service.establish(alice.session_id)).json()
        assert again["dataChannel"] == document["dataChannel"]
        assert (again["requiresImmediateRenegotiation"], again.get("sessionDescription")) == (False, None)
        known = alice.sections[0]
        alice.sections.append(data("9", ice_ufrag=known.ice_ufrag, ice_pwd=known.ice_pwd))
        answer = (await service.establish(alice.session_id, sessionDescription=alice.offer)).json()
        media = alice.learn(answer["sessionDescription"]).media
        assert [section.is_rejected for section in media] == [False, True]
