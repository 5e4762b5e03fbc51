"""Figures against limits, and the verdict in a sentence."""

from __future__ import annotations

import pytest

from rtcctl.errors import ExitStatus
from rtcctl.ops.judge import (
    NOT_SEEN,
    check_at_most,
    check_content,
    check_latency,
    check_loss,
    check_outages,
    check_picture,
    check_received,
    check_sent,
    judge,
)
from rtcctl.results.check import Check, CheckStatus, exit_status_of
from rtcctl.results.outage import Outage
from rtcctl.results.result import Failure, Percentiles
from rtcctl.results.track import ReceivedStatistics, SentStatistics

SATURATED = "the event loop was late by 300 ms"


def received(**figures: object) -> ReceivedStatistics:
    defaults: dict[str, object] = {"interval_s": 5.0, "packets_received": 250, "bytes_received": 40_000}
    return ReceivedStatistics(**{**defaults, **figures})  # type: ignore[arg-type]


def sent(packets: int, nominal: int) -> SentStatistics:
    return SentStatistics(
        interval_s=nominal / 50,
        packets_sent=packets,
        bytes_sent=packets * 160,
        nominal_packets=nominal,
        bitrate_bps=64_000,
    )


def heard(**figures: object) -> ReceivedStatistics:
    return received(**{"tone_hz": 440.1, "tone_level_db": -12.0, "tone_snr_db": 40.0, "audio_gaps": 0, **figures})


@pytest.mark.parametrize(
    ("packets", "saturated", "expected"),
    [
        (250, None, CheckStatus.PASSED),
        (238, None, CheckStatus.PASSED),
        (230, None, CheckStatus.INCONCLUSIVE),
        (0, None, CheckStatus.INCONCLUSIVE),
        (250, SATURATED, CheckStatus.INCONCLUSIVE),
    ],
)
def test_a_machine_that_sends_too_little_is_inconclusive(packets: int, saturated: str | None, expected: CheckStatus):
    """Sent below nominal, or a late event loop, is never reported as loss of the network."""
    assert check_sent(sent(packets, 250), saturated).status is expected


@pytest.mark.parametrize(("frames", "status"), [(150, CheckStatus.PASSED), (100, CheckStatus.INCONCLUSIVE)])
def test_video_is_judged_by_its_frames(frames: int, status: CheckStatus):
    """How many packets they take is theirs."""
    statistics = SentStatistics(
        interval_s=5.0,
        packets_sent=900,
        bytes_sent=900_000,
        nominal_packets=None,
        bitrate_bps=1_440_000,
        frames_sent=frames,
        nominal_frames=150,
    )
    check = check_sent(statistics, None)
    assert check.status is status
    assert check.detail.startswith(f"{frames} of 150 frames")


def test_nothing_received_fails():
    """Nothing arriving is a failure, never "loss 0 %"."""
    nothing = received(packets_received=0, bytes_received=0)
    assert check_received(nothing).status is CheckStatus.FAILED
    (loss,) = check_loss(nothing, 0.02, None)
    assert loss.status is CheckStatus.SKIPPED
    assert loss.observed is None
    assert exit_status_of([check_received(nothing), loss]) is ExitStatus.CHECK_FAILED


@pytest.mark.parametrize(
    ("fraction", "saturated", "expected"),
    [
        (0.0, None, CheckStatus.PASSED),
        (0.02, None, CheckStatus.PASSED),
        (0.021, None, CheckStatus.FAILED),
        (0.021, SATURATED, CheckStatus.INCONCLUSIVE),
    ],
)
def test_loss_against_its_limit(fraction: float, saturated: str | None, expected: CheckStatus):
    """The limit itself is still good; a saturated machine cannot blame the network."""
    (check,) = check_loss(received(fraction_lost=fraction, packets_lost=5, packets_recovered=0), 0.02, saturated)
    assert check.status is expected


def test_loss_without_a_limit_is_not_judged():
    """Reported, not judged."""
    assert check_loss(received(fraction_lost=0.5), None, None) == ()


@pytest.mark.parametrize(
    "figures",
    [
        {"tone_hz": None},
        {"tone_hz": 450.0},
        {"tone_hz": 435.0},
        {"tone_level_db": -60.0},
        {"tone_snr_db": 3.0},
        {"audio_gaps": 1},
    ],
)
def test_content_that_is_not_the_tone_fails(figures: dict[str, object]):
    """Silence, another tone, too quiet, lost in noise, interrupted: each fails, and says why."""
    check = check_content(heard(**figures), 440.0, None)
    assert check.status is CheckStatus.FAILED
    assert check.detail


def test_content_that_is_the_tone_passes():
    """Within 1 % of the frequency that was sent."""
    assert check_content(heard(), 440.0, None).status is CheckStatus.PASSED
    assert check_content(heard(tone_hz=444.3), 440.0, None).status is CheckStatus.PASSED


def test_an_unknown_figure_is_skipped_not_zero():
    """What was not measured is neither good nor bad."""
    check = check_at_most("rtt", None, 300.0, None)
    assert (check.status, check.observed) == (CheckStatus.SKIPPED, None)
    assert check_latency(received(), {}, None).status is CheckStatus.SKIPPED


def test_latency_is_judged_by_the_named_percentile():
    """`--max-latency p95=20ms` looks at p95 and at nothing else."""
    figures = received(latency_ms=Percentiles(5.0, 25.0, 90.0))
    assert check_latency(figures, {}, None).status is CheckStatus.PASSED
    assert check_latency(figures, {"p95": 20.0}, None).status is CheckStatus.FAILED
    assert check_latency(figures, {"p95": 30.0}, None).status is CheckStatus.PASSED
    assert check_latency(figures, {"p50": 1.0, "p95": 30.0}, SATURATED).status is CheckStatus.INCONCLUSIVE


def checks(**status: str) -> list[Check]:
    return [Check(name, CheckStatus(value), detail=f"{name} detail") for name, value in status.items()]


def test_media_that_stopped_is_not_good():
    """What arrived may be whole: a publisher that went away in the middle still fails, and a stall of ours does not."""
    assert check_received(received(), silent_s=1.4).status is CheckStatus.PASSED
    stopped = check_received(received(), silent_s=8.0)
    assert (stopped.status, stopped.detail) == (CheckStatus.FAILED, "media stopped 8 s before the end")
    assert check_received(received(), silent_s=8.0, saturated=SATURATED).status is CheckStatus.INCONCLUSIVE


@pytest.mark.parametrize(("detail", "end"), [(f"{NOT_SEEN}: x", "the SFU"), ("nothing arrived", "the subscriber")])
def test_the_verdict_says_how_far_media_came(detail: str, end: str):
    """A pull that the SFU refuses for want of media was lost on the way up, one it offered on the way down."""
    verdict, _ = judge([Check("subscribe", CheckStatus.FAILED, detail=detail)], None, "local", [])
    assert f"never reaches {end};" in verdict


@pytest.mark.parametrize(
    ("checked", "failure", "said"),
    [
        ({"api": "passed", "content": "passed", "loss": "passed"}, None, "fine"),
        ({"api": "passed", "loss": "passed"}, None, "Passed: api, loss."),
        ({"api": "passed", "content": "passed", "loss": "skipped"}, None, "not judged: loss"),
        ({"api": "failed"}, Failure(exit_status=4, message="refused"), "credentials"),
        ({"api": "failed"}, Failure(exit_status=6, message="nobody listens", phase="tcp"), "nobody listens"),
        ({"session": "failed"}, Failure(exit_status=6, message="no", phase="ice"), "ICE"),
        ({"session": "failed"}, Failure(exit_status=6, message="no", phase="dtls"), "DTLS"),
        ({"loss": "passed"}, Failure(exit_status=6, message="lost", phase="media"), "broke"),
        ({"publish": "passed", "subscribe": "failed"}, None, "never reaches"),
        ({"publish": "inconclusive", "subscribe": "failed"}, None, "too little"),
        ({"content": "failed", "loss": "passed"}, None, "do not carry the tone"),
        ({"loss": "failed"}, None, "not good enough: loss"),
        ({"jitter": "inconclusive"}, None, "could not measure"),
        ({"relay": "skipped"}, Failure(exit_status=2, message="No TURN server is reached via tcp"), "via tcp."),
    ],
)
def test_the_verdict_says_where_it_broke(checked: dict[str, str], failure: Failure | None, said: str):
    """One sentence that names the place, and commands to go on with."""
    verdict, commands = judge(checks(**checked), failure, "staging", ["s1", "s2"])
    assert said in verdict
    assert commands
    assert all(command.startswith("rtcctl ") for command in commands)


@pytest.mark.parametrize(
    ("decoded", "missing", "saturated", "status"),
    [
        (0, None, None, CheckStatus.FAILED),
        (0, None, SATURATED, CheckStatus.INCONCLUSIVE),
        (90, 3, None, CheckStatus.FAILED),
        (90, 3, SATURATED, CheckStatus.INCONCLUSIVE),
        (90, 0, SATURATED, CheckStatus.PASSED),
        (90, None, None, CheckStatus.SKIPPED),
    ],
)
def test_a_picture_is_judged_by_its_numbers(
    decoded: int, missing: int | None, saturated: str | None, status: CheckStatus
):
    """What this machine did not decode in time says nothing; a picture without numbers is not judged."""
    statistics = received(frames_decoded=decoded, frames_missing=missing)
    assert check_picture(statistics, saturated).status is status


def test_what_outages_have_cost_is_judged_as_lost():
    """A limit on loss means what was sent, whether there was a connection or not."""
    good = received(fraction_lost=0.0, packets_lost=0, packets_recovered=0, packets_received=900)
    (check,) = check_loss(good, 0.02, None, missed=100)
    assert check.status is CheckStatus.FAILED
    assert check.observed == pytest.approx(0.1)
    assert "and 100 in outages" in check.detail


def test_outages_that_are_over_and_one_that_is_not():
    """Without an outage there is nothing to judge; one that lasts is a failure."""
    over = Outage(reason="lost", session_id="a", successor_id="b", started_s=1.0, duration_s=6.5)
    lasting = Outage(reason="lost", session_id="b", started_s=20.0)
    assert check_outages(()) == ()
    (check,) = check_outages((over, over))
    assert (check.status, check.observed, check.unit) == (CheckStatus.PASSED, 13.0, "s")
    (check,) = check_outages((over, lasting))
    assert (check.status, check.observed) == (CheckStatus.FAILED, None)
