"""Figures against limits: pure functions from what was measured to checks, and from checks to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rtcctl.errors import ExitStatus
from rtcctl.results.check import Bound, Check, CheckStatus

if TYPE_CHECKING:
    from rtcctl.results.outage import Outage
    from rtcctl.results.result import Failure, Percentiles
    from rtcctl.results.track import ReceivedStatistics, SentStatistics

MIN_SENT_RATIO = 0.95
"Sent below this share of nominal: the machine is too slow to be a source."

NOT_SEEN = "the SFU has seen no media of ours"
"How the detail of a refused pull begins."

MAX_SILENCE_S = 1.5
"Longer than any pause of a codec that sends nothing in silence (Opus DTX: 400 ms): the publisher has stopped."

MAX_TONE_ERROR = 0.01
MIN_TONE_SNR_DB = 10.0
MIN_TONE_LEVEL_DB = -40.0


def of_each_track(checks: Sequence[tuple[str, Check]]) -> tuple[Check, ...]:
    """Checks with the names of their tracks; where there is one track, it need not be named."""
    if len({track_name for track_name, _ in checks}) < 2:
        return tuple(check for _, check in checks)
    return tuple(replace(check, name=f"{check.name} {track_name}") for track_name, check in checks)


def check_sent(sent: SentStatistics, saturated: str | None) -> Check:
    """Whether this machine sent what the source asked for; if it did not, no number of this run means anything."""
    if sent.nominal_packets is not None:
        done, nominal, what = sent.packets_sent, sent.nominal_packets, "packets"
    else:
        done, nominal, what = sent.frames_sent or 0, sent.nominal_frames or 0, "frames"
    detail = f"{done} of {nominal} {what}"
    ratio = done / nominal if nominal else 0.0
    # One may be on its way from the source to the socket.
    is_slow = done + 1 < MIN_SENT_RATIO * nominal or not done
    status, hint = CheckStatus.PASSED, ""
    if is_slow or saturated is not None:
        status, hint = CheckStatus.INCONCLUSIVE, "Run it again on a machine with less to do."
        detail = f"{detail}: {saturated or 'this machine is too slow to send at the nominal rate'}"
    return Check(
        "sent",
        status,
        observed=ratio,
        limit=MIN_SENT_RATIO,
        unit="ratio",
        bound=Bound.AT_LEAST,
        detail=detail,
        hint=hint,
    )


def check_received(statistics: ReceivedStatistics, *, silent_s: float = 0.0, saturated: str | None = None) -> Check:
    """Whether anything arrived at all, and until the end: `silent_s` is for how long nothing has."""
    if statistics.packets_received and silent_s >= MAX_SILENCE_S:
        return Check(
            "received",
            CheckStatus.FAILED if saturated is None else CheckStatus.INCONCLUSIVE,
            observed=statistics.packets_received,
            limit=1,
            unit="packets",
            bound=Bound.AT_LEAST,
            detail=f"media stopped {silent_s:.0f} s before the end" + (f"; {saturated}" if saturated else ""),
            hint="Is the publisher still sending? `rtcctl stats session PUBLISHER_SESSION` shows what is known of it.",
        )
    if statistics.packets_received:
        return Check(
            "received",
            CheckStatus.PASSED,
            observed=statistics.packets_received,
            limit=1,
            unit="packets",
            bound=Bound.AT_LEAST,
        )
    return Check(
        "received",
        CheckStatus.FAILED,
        observed=0,
        limit=1,
        unit="packets",
        bound=Bound.AT_LEAST,
        detail="nothing arrived",
        hint="Is the publisher sending? `rtcctl stats session PUBLISHER_SESSION` shows what the API says of it.",
    )


def check_loss(
    statistics: ReceivedStatistics, max_fraction_lost: float | None, saturated: str | None, *, missed: int = 0
) -> tuple[Check, ...]:
    """Loss against its limit; unknown loss is skipped, and a saturated machine makes a failure inconclusive.

    `missed`: packets that are known to have been sent in outages, which figures leave out and a limit does not.
    """
    if max_fraction_lost is None:
        return ()
    observed = statistics.fraction_lost
    if observed is None:
        return (Check("loss", CheckStatus.SKIPPED, limit=max_fraction_lost, unit="ratio", detail="nothing to measure"),)
    lost, received = statistics.packets_lost or 0, statistics.packets_received
    expected = lost + received - (statistics.packets_recovered or 0)
    detail = f"{lost} of {expected} packets"
    if missed:
        observed = (lost + missed) / (expected + missed)
        detail = f"{detail}, and {missed} in outages"
    status = CheckStatus.PASSED
    if observed > max_fraction_lost:
        status = CheckStatus.FAILED if saturated is None else CheckStatus.INCONCLUSIVE
        detail = detail if saturated is None else f"{detail}; {saturated}"
    return (Check("loss", status, observed=observed, limit=max_fraction_lost, unit="ratio", detail=detail),)


def check_outages(outages: Sequence[Outage]) -> tuple[Check, ...]:
    """Whether each outage is over; without any there is nothing to judge."""
    if not outages:
        return ()
    lasting = [outage for outage in outages if outage.duration_s is None]
    total_s = sum(outage.duration_s or 0.0 for outage in outages)
    said = f"{len(outages)} outage{'' if len(outages) == 1 else 's'}"
    return (
        Check(
            "recovery",
            CheckStatus.FAILED if lasting else CheckStatus.PASSED,
            observed=None if lasting else total_s,
            unit="s",
            detail=f"{said}, the last one not over" if lasting else f"{said}, all over",
        ),
    )


def check_content(received: ReceivedStatistics, tone_hz: float | None, saturated: str | None) -> Check:
    """Whether the decoded audio is the tone that was sent: its frequency, its level, without holes.

    `tone_hz` is `None` when any tone will do.
    """
    observed, limit = received.tone_hz, tone_hz
    level, snr, gaps = received.tone_level_db, received.tone_snr_db, received.audio_gaps
    problems = []
    if observed is None:
        problems.append("silence or noise instead of a tone")
    else:
        if tone_hz is not None and abs(observed - tone_hz) > MAX_TONE_ERROR * tone_hz:
            problems.append(f"another tone: {observed:.1f} Hz instead of {tone_hz:.0f} Hz")
        if level is not None and level < MIN_TONE_LEVEL_DB:
            problems.append(f"too quiet: {level:.0f} dB")
        if snr is not None and snr < MIN_TONE_SNR_DB:
            problems.append(f"lost in noise: {snr:.0f} dB above it")
        if gaps:
            problems.append(f"{gaps} interruptions")
    if not problems:
        detail = (
            f"{observed:.1f} Hz, {level:.0f} dB, {snr:.0f} dB above the noise"
            if level is not None and snr is not None
            else ""
        )
        return Check(
            "content", CheckStatus.PASSED, observed=observed, limit=limit, unit="hz", bound=Bound.ABOUT, detail=detail
        )
    status = CheckStatus.FAILED if saturated is None else CheckStatus.INCONCLUSIVE
    return Check(
        "content", status, observed=observed, limit=limit, unit="hz", bound=Bound.ABOUT, detail="; ".join(problems)
    )


def check_picture(received: ReceivedStatistics, saturated: str | None) -> Check:
    """Whether what was decoded is the test picture: its frame numbers, each once and in order, without freezes."""
    decoded = received.frames_decoded
    if not decoded:
        status = CheckStatus.FAILED if saturated is None else CheckStatus.INCONCLUSIVE
        detail = "no picture could be decoded" + (f"; {saturated}" if saturated else "")
        return Check("content", status, observed=0, unit="frames", detail=detail)
    said = f"{received.width}x{received.height}" if received.width and received.height else "decoded"
    if received.frames_missing is None:
        return Check("content", CheckStatus.SKIPPED, observed=decoded, unit="frames", detail=f"{said}, no test picture")
    counts = {
        "missing": received.frames_missing,
        "repeated": received.frames_repeated or 0,
        "out of order": received.frames_out_of_order or 0,
        "freezes": received.freezes or 0,
    }
    problems = [f"{count} {name}" for name, count in counts.items() if count]
    status = CheckStatus.PASSED
    if problems:
        status = CheckStatus.FAILED if saturated is None else CheckStatus.INCONCLUSIVE
    return Check(
        "content",
        status,
        observed=decoded,
        unit="frames",
        detail=", ".join([said, *problems] if problems else [said, "each number once and in order"]),
    )


def check_at_most(name: str, observed: float | None, limit: float, saturated: str | None, *, detail: str = "") -> Check:
    if observed is None:
        return Check(name, CheckStatus.SKIPPED, limit=limit, unit="ms", detail="nothing to measure it by")
    status = CheckStatus.PASSED
    if observed > limit:
        status = CheckStatus.FAILED if saturated is None else CheckStatus.INCONCLUSIVE
        detail = detail if saturated is None else saturated
    return Check(name, status, observed=observed, limit=limit, unit="ms", detail=detail)


def check_latency(received: ReceivedStatistics, limits: Mapping[str, float], saturated: str | None) -> Check:
    """One-way latency; without a limit the p95 is reported and the check passes."""
    latency = received.latency_ms
    if latency is None:
        return Check("latency", CheckStatus.SKIPPED, unit="ms", detail="no send time of this machine in the packets")
    return latency_within(latency, limits, saturated)


def latency_within(latency: Percentiles, limits: Mapping[str, float], saturated: str | None) -> Check:
    """The first percentile that is over its limit, or the first that has one."""
    detail = f"p50 {latency.p50:.1f}, p95 {latency.p95:.1f}, p99 {latency.p99:.1f} ms"
    over = {name: limit for name, limit in limits.items() if getattr(latency, name) > limit}
    name = next(iter(over or limits), "p95")
    status = CheckStatus.PASSED
    if over:
        status = CheckStatus.FAILED if saturated is None else CheckStatus.INCONCLUSIVE
    return Check("latency", status, observed=getattr(latency, name), limit=limits.get(name), unit="ms", detail=detail)


def judge(
    checks: Sequence[Check], failure: Failure | None, profile: str, sessions: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """The verdict in a sentence, and the commands to try next."""
    status = {check.name: check.status for check in checks}
    bad = [check for check in checks if check.status in (CheckStatus.FAILED, CheckStatus.INCONCLUSIVE)]
    named = "" if profile == "local" else f" --profile {profile}"
    look = tuple(f"rtcctl session get {session_id}{named}" for session_id in sessions[:2])
    if not bad and failure is None:
        if any(check.status is CheckStatus.SKIPPED for check in checks):
            skipped = ", ".join(check.name for check in checks if check.status is CheckStatus.SKIPPED)
            verdict = f"Nothing failed; not judged: {skipped}."
        elif {"content", "loss"} <= status.keys():
            verdict = "Signalling, media and content are fine."
        else:
            verdict = f"Passed: {', '.join(status)}."
        return verdict, (f"rtcctl track publish --name mic --tone 440{named}",)
    if failure is not None and failure.exit_status == ExitStatus.AUTH:
        return "The service refuses the credentials.", (f"rtcctl config check{named}", "rtcctl config show --origin")
    if status.get("api") is CheckStatus.FAILED:
        return "The API cannot be used: " + _sentence(failure, bad), (f"rtcctl config check{named}", "rtcctl dev")
    if failure is not None and failure.phase in ("ice", "dtls"):
        step = "ICE finds no path" if failure.phase == "ice" else "the DTLS handshake does not finish"
        return f"Signalling is fine, but {step}: UDP to the SFU does not get through.", look
    is_flowing = status.get("subscribe") is CheckStatus.PASSED
    if failure is not None and (failure.phase == "media" or (failure.phase == "turn" and is_flowing)):
        return "The connection broke while media was flowing.", look
    if status.get("subscribe") is CheckStatus.FAILED and failure is None:
        if status.get("publish") is CheckStatus.INCONCLUSIVE:
            return "This machine sent too little to tell.", ("rtcctl smoke --for 10s" + named,)
        # A refused pull was never offered: the SFU knows no media of ours. One that was has lost it on the way down.
        end = "the SFU" if not_seen_by_sfu(checks) else "the subscriber"
        return f"Media leaves this host and never reaches {end}; signalling is fine.", look
    if any(check.status is CheckStatus.FAILED for check in bad):
        names = ", ".join(check.name for check in bad)
        if failure is None and names == "turn":
            return f"TURN does not work: {_sentence(None, bad)}", look
        if failure is None and status.get("content") is CheckStatus.FAILED and status.get("loss") is CheckStatus.PASSED:
            return "Packets arrive, but they do not carry the tone that was sent.", look
        if failure is None:
            return f"Media flows, but is not good enough: {names}.", ("rtcctl smoke --for 30s" + named, *look)
        return _sentence(failure, bad), look
    if failure is not None and not bad:
        return _sentence(failure, bad), ("rtcctl smoke --help",)
    return "This machine could not measure properly: nothing is known about the service.", (
        "rtcctl smoke --for 10s" + named,
    )


def not_seen_by_sfu(checks: Sequence[Check]) -> bool:
    """Whether the SFU refused the pull because no media of the publisher has reached it."""
    return any(check.name == "subscribe" and check.detail.startswith(NOT_SEEN) for check in checks)


def _sentence(failure: Failure | None, bad: Sequence[Check]) -> str:
    text = failure.message if failure is not None else bad[0].detail if bad else ""
    return text if text.endswith(".") else text + "."
