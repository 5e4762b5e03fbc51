"""What `track diagnose` concludes from what it has found out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rtcctl.ops.diagnose import DiagnoseRequest, diagnose_calls
from rtcctl.ops.diagnosis import Diagnosis, diagnose
from rtcctl.ops.diagnosis_facts import Absent, Facts, Readiness, Side, Trial
from rtcctl.ops.track import TrackRef
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.session import SessionGet
from rtcctl.results.stats import ProbeInterval
from rtcctl.results.track import ReceivedStatistics, SentStatistics, TrackState

PUBLISHER, SUBSCRIBER = "p" * 32, "s" * 32
NOW = 1000.0
READY = Readiness("ready")
HEARD = Trial("heard", "t", 12.5)
LOCAL = TrackState(location="local", mid="0", track_name="mic", status="active")
REMOTE = TrackState(location="remote", mid="7", track_name="mic", status="active", session_id=PUBLISHER)


def session(*tracks: TrackState) -> SessionGet:
    return SessionGet(session_id="x", tracks=tracks)


def sent(packets: int, *, age_s: float = 1.0, pid: int | None = 7) -> ProbeInterval:
    figures = SentStatistics(
        interval_s=1.0, packets_sent=packets, bytes_sent=0, nominal_packets=50, bitrate_bps=0.0, packets_lost=0
    )
    return ProbeInterval(
        session_id=PUBLISHER,
        publisher_session_id=None,
        track_name="mic",
        measured_at=NOW - age_s,
        pid=pid,
        sent=figures,
    )


def received(packets: int, *, age_s: float = 1.0, pid: int | None = 8) -> ProbeInterval:
    figures = ReceivedStatistics(interval_s=1.0, packets_received=packets, bytes_received=0)
    return ProbeInterval(
        session_id=SUBSCRIBER,
        publisher_session_id=PUBLISHER,
        track_name="mic",
        measured_at=NOW - age_s,
        pid=pid,
        received=figures,
    )


def diagnosed(
    publisher: Any = None,
    subscriber: Any = None,
    *,
    trial: Trial | None = HEARD,
    readiness: Readiness | None = READY,
    **sides: Any,
) -> Diagnosis:
    """Of two sessions that are in order, but for what is given."""
    of_publisher = {
        name: sides[f"publisher_{name}"] for name in ("interval", "is_ours") if f"publisher_{name}" in sides
    }
    of_subscriber = {"interval": sides["subscriber_interval"]} if "subscriber_interval" in sides else {}
    return diagnose(
        Facts(
            "mic",
            Side(PUBLISHER, publisher or session(LOCAL), **of_publisher),
            Side(SUBSCRIBER, subscriber or session(REMOTE), **of_subscriber),
            trial,
            readiness,
            NOW,
        )
    )


def check(found: Diagnosis, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


def test_the_checks_follow_the_media() -> None:
    """One for each step, whatever was found."""
    for found in (diagnosed(), diagnosed(Absent(410), Absent(410), trial=None, readiness=None)):
        assert [check.name for check in found.checks] == [
            "publisher-session",
            "publisher-track",
            "publisher-media",
            "subscriber-session",
            "subscriber-track",
            "subscriber-connection",
            "subscriber-media",
        ]


def test_both_sides_are_fine() -> None:
    """Said only when the subscriber's packets were counted; else what is not known is named."""
    assert diagnosed(subscriber_interval=received(50)).verdict.startswith("Both sides are fine")
    found = diagnosed()
    assert found.failed_side is None
    assert found.verdict.endswith("Nothing wrong is found; not known: subscriber-media.")


@pytest.mark.parametrize(
    ("facts", "side", "failed", "said"),
    [
        ({"publisher": Absent(410)}, "publisher", "publisher-session", "is gone, or its id is wrong (410)"),
        ({"publisher": Absent(410), "publisher_is_ours": True}, "publisher", "publisher-session", "is gone (410)"),
        ({"publisher": session()}, "publisher", "publisher-track", "it publishes: none"),
        (
            {"publisher": session(replace(LOCAL, status="inactive"))},
            "publisher",
            "publisher-track",
            "mic is closed there",
        ),
        ({"publisher": session(REMOTE)}, "publisher", "publisher-track", "no track mic there"),
        ({"trial": Trial("silent", "t", waited_s=3)}, "publisher", "publisher-media", "no packet in 3 s"),
        ({"trial": Trial("refused", "t", code="empty_track_error")}, "publisher", "publisher-media", "is silent"),
        (
            {"trial": Trial("refused", "t", code="not_found_track_error")},
            "publisher",
            "publisher-media",
            "no media of it",
        ),
        (
            {"trial": Trial("refused", "t", code="track_error", detail="no luck")},
            "publisher",
            "publisher-media",
            "refused: no luck",
        ),
        (
            {"trial": Trial("silent", "t"), "publisher_interval": sent(50, pid=None)},
            "publisher",
            "publisher-media",
            "that published it has ended",
        ),
        ({"subscriber": Absent(410)}, "subscriber", "subscriber-session", f"its session {SUBSCRIBER} is gone"),
        ({"subscriber": session()}, "subscriber", "subscriber-track", "it receives: nothing"),
        ({"readiness": Readiness("unconnected")}, "subscriber", "subscriber-connection", "not connected (425)"),
        ({"readiness": Readiness("gone")}, "subscriber", "subscriber-connection", "gone meanwhile"),
        (
            {"readiness": Readiness("pending", "an offer waits")},
            "subscriber",
            "subscriber-connection",
            "an offer waits",
        ),
        ({"subscriber_interval": received(0)}, "subscriber", "subscriber-media", "although a pull of our own does"),
        ({"subscriber_interval": received(50, pid=None)}, "subscriber", "subscriber-media", "has ended"),
        (
            {"publisher": Absent(410), "readiness": Readiness("pending", "an offer waits")},
            "both",
            "publisher-session",
            "The subscriber failed: an offer waits.",
        ),
    ],
)
def test_who_failed_and_why(facts: dict[str, Any], side: str, failed: str, said: str) -> None:
    """The first step that failed, on the way of the media."""
    found = diagnosed(**facts)
    assert (found.failed_side, found.failed_check) == (side, failed)
    assert said in found.verdict


@pytest.mark.parametrize(
    ("facts", "name", "said"),
    [
        ({"publisher": Absent(None)}, "publisher-session", "did not answer"),
        ({"publisher": Absent(None)}, "publisher-track", "could not be read"),
        ({"trial": Trial("pulled", "t")}, "publisher-media", "no packet could be listened for"),
        ({"trial": Trial("unconnected", "t", detail="no ICE")}, "publisher-media", "no ICE"),
        ({"trial": Trial("unanswered", "t", detail="no answer")}, "publisher-media", "no answer"),
        ({"trial": None}, "publisher-media", "no pull was tried"),
        ({"readiness": None}, "subscriber-connection", "not asked"),
        ({"readiness": Readiness("unknown", "broken")}, "subscriber-connection", "cannot be told: broken"),
        ({}, "subscriber-media", "the API counts no packets"),
        ({"subscriber_interval": received(0, age_s=60)}, "subscriber-media", "measured nothing for 60 s"),
    ],
)
def test_what_cannot_be_known_is_not_guessed(facts: dict[str, Any], name: str, said: str) -> None:
    """Skipped, which is no failure, with the reason; and the verdict names it."""
    found = diagnosed(**facts)
    assert check(found, name).status is CheckStatus.SKIPPED
    assert said in check(found, name).detail
    assert found.failed_side is None
    assert name in found.verdict


@pytest.mark.parametrize(
    "facts",
    [
        {"publisher": Absent(410), "subscriber": session()},
        {"publisher": Absent(410), "subscriber": session(replace(REMOTE, status="inactive"))},
        {"trial": Trial("silent", "t"), "subscriber_interval": received(0)},
    ],
)
def test_what_follows_from_the_publisher_is_not_the_subscribers_failure(facts: dict[str, Any]) -> None:
    """Nobody can receive what is not there."""
    assert diagnosed(**facts).failed_side == "publisher"


def test_a_name_in_another_case() -> None:
    """The right one is said; so is the publisher of a track that this session only receives."""
    wrong = diagnose(Facts("Mic", Side(PUBLISHER, session(LOCAL)), Side(SUBSCRIBER, session())))
    assert "it is mic" in check(wrong, "publisher-track").hint
    relayed = TrackState(location="remote", mid="1", track_name="mic", status="active", session_id="q" * 32)
    assert "q" * 32 in check(diagnosed(session(relayed)), "publisher-track").hint


def test_a_publisher_on_this_machine() -> None:
    """What its own probe says stands beside what the trial found."""
    assert "has sent 50 packets, 1 s ago" in check(diagnosed(publisher_interval=sent(50)), "publisher-media").detail
    late = check(diagnosed(publisher_interval=sent(50, age_s=60)), "publisher-media").detail
    assert "measured nothing for 60 s" in late


def test_calls() -> None:
    """With --read-only the subscriber's session is read, and nothing else."""
    track = TrackRef(PUBLISHER, "mic")
    paths = [call.path for call in diagnose_calls(DiagnoseRequest(SUBSCRIBER, track))]
    assert paths.count(f"sessions/{SUBSCRIBER}/tracks/new") == 1
    only_read = diagnose_calls(DiagnoseRequest(SUBSCRIBER, track, is_reading_only=True))
    assert [(c.method, c.path) for c in only_read if SUBSCRIBER in c.path] == [("GET", f"sessions/{SUBSCRIBER}")]
