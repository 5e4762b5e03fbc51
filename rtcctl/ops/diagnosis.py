"""What two sessions, a trial pull and this machine's journal tell of a subscription: pure, from facts to checks.

The checks follow the media: publisher's session, its track, its media; then the subscriber's session, its track, its
connection, its media. The API counts no packets and tells no state of a connection, so some steps can only be known by
trying, or by a probe of this machine; where neither is there, the check is skipped and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcctl.ops.diagnosis_facts import Absent, Facts, Side
from rtcctl.ops.track import TrackRef
from rtcctl.results.check import Check, CheckStatus

if TYPE_CHECKING:
    from rtcctl.results.stats import ProbeInterval
    from rtcctl.results.track import ReceivedStatistics, SentStatistics, TrackState

FRESH_INTERVALS = 3.0
"An interval that a running probe measured tells of now for so many of its lengths …"
FRESH_S = 2.0
"… and this much more."


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """See `results/diagnosis.py`."""

    checks: tuple[Check, ...]
    failed_side: str | None
    failed_check: str | None
    verdict: str
    next_commands: tuple[str, ...]


def diagnose(facts: Facts) -> Diagnosis:
    """Judge each step, and say in a sentence which side failed and why."""
    publisher = (_session("publisher", facts.publisher), _published(facts), _publisher_media(facts))
    is_there = _first_failed(publisher) is None
    subscriber = (
        _session("subscriber", facts.subscriber),
        _subscribed(facts, is_there=is_there),
        _connection(facts),
        _subscriber_media(facts, is_there=is_there),
    )
    failed = {
        side: found
        for side, checks in (("publisher", publisher), ("subscriber", subscriber))
        if (found := _first_failed(checks)) is not None
    }
    checks = (*publisher, *subscriber)
    first = next(iter(failed.values()), None)
    return Diagnosis(
        checks,
        "both" if len(failed) == 2 else next(iter(failed), None),
        None if first is None else first.name,
        _verdict(facts, failed, checks),
        _next_commands(facts, failed),
    )


def _first_failed(checks: tuple[Check, ...]) -> Check | None:
    return next((check for check in checks if check.status is CheckStatus.FAILED), None)


# --- both sides


def _session(side: str, of: Side) -> Check:
    name = f"{side}-session"
    if not isinstance(of.state, Absent):
        held = [track for track in of.state.tracks if track.status != "inactive"]
        return Check(name, CheckStatus.PASSED, detail=f"it is there, with {_counted(len(held), 'open track')}")
    if of.state.status is None:
        return Check(
            name,
            CheckStatus.SKIPPED,
            detail="the API did not answer, as it may do about a session that it does not know",
            hint=f"Is the id right? rtcctl session get {of.session_id}",
        )
    if of.successor_id is not None:
        return Check(
            name,
            CheckStatus.FAILED,
            observed=of.state.status,
            detail=f"it was replaced by session {of.successor_id}",
            hint=f"Subscribe to {of.successor_id}; `rtcctl track subscribe` on this machine follows by itself.",
        )
    return Check(
        name,
        CheckStatus.FAILED,
        observed=of.state.status,
        detail=f"it is gone{'' if of.is_ours else ', or its id is wrong'} ({of.state.status}){_ended(of.interval)}",
        hint="A session is gone 30 s after its connection: make a new one, and publish and subscribe again.",
    )


def _ended(interval: ProbeInterval | None) -> str:
    return "; the process of this machine that held it has ended" if interval and interval.pid is None else ""


# --- publisher


def _published(facts: Facts) -> Check:
    name, state = "publisher-track", facts.publisher.state
    if isinstance(state, Absent):
        return Check(name, CheckStatus.SKIPPED, detail="its session could not be read")
    local = [track for track in state.tracks if track.location == "local"]
    named = [track for track in local if track.track_name == facts.track_name]
    if track := _open(named):
        return Check(name, CheckStatus.PASSED, detail=f"it is {track.status} on mid {track.mid}")
    if named:
        return Check(
            name,
            CheckStatus.FAILED,
            observed=named[0].status,
            detail=f"{facts.track_name} is closed there",
            hint="Publish it again; its subscribers have to pull it again.",
        )
    known = ", ".join(sorted(track.track_name for track in local if track.status != "inactive")) or "none"
    received = next((t for t in state.tracks if t.location == "remote" and t.track_name == facts.track_name), None)
    alike = next((track.track_name for track in local if track.track_name.lower() == facts.track_name.lower()), None)
    if received is not None and not alike:
        hint = f"It receives a track of that name, from its publisher {received.session_id}: pull it from there."
    else:
        hint = f"Case matters: it is {alike}." if alike else "Pull one of those, or publish under this name."
    return Check(
        name,
        CheckStatus.FAILED,
        detail=f"there is no track {facts.track_name} there; it publishes: {known}",
        hint=hint,
    )


def _open(tracks: list[TrackState]) -> TrackState | None:
    return next((track for track in tracks if track.status != "inactive"), None)


def _publisher_media(facts: Facts) -> Check:
    name, trial = "publisher-media", facts.trial
    probe = _sent(facts)
    if trial is None:
        return Check(name, CheckStatus.SKIPPED, detail=f"no pull was tried: there is nothing to pull{probe}")
    if trial.outcome == "heard":
        took_ms = trial.first_packet_ms
        return Check(
            name,
            CheckStatus.PASSED,
            observed=took_ms,
            unit="ms",
            detail=f"a pull from a session of our own has its first packet{probe}",
        )
    if trial.outcome == "unanswered":
        return Check(name, CheckStatus.SKIPPED, detail=f"{trial.detail}{probe}")
    if trial.outcome in ("pulled", "unconnected"):
        why = f": {trial.detail}" if trial.detail else ""
        return Check(
            name,
            CheckStatus.SKIPPED,
            detail=f"the SFU takes a pull of it, so it had media; no packet could be listened for{why}{probe}",
            hint="pip install 'rtcctl[probe]' lets this command listen." if trial.outcome == "pulled" else "",
        )
    if trial.outcome == "silent":
        detail = f"it is silent: a pull from a session of our own got no packet in {trial.waited_s:.0f} s"
        hint = "Is the publisher sending, or muted, or is its way to the SFU blocked? Look at its `outbound-rtp`."
        return Check(name, CheckStatus.FAILED, observed=0, unit="packets", detail=f"{detail}{probe}", hint=hint)
    silent = {
        "empty_track_error": "it is silent: the SFU knows the track, and got no packet of it in time",
        "not_found_track_error": "the SFU has no media of it: its publisher is not connected, or has sent nothing yet",
    }
    return Check(
        name,
        CheckStatus.FAILED,
        observed=trial.code,
        detail=silent.get(trial.code or "", f"a pull of it is refused: {trial.detail}") + probe,
        hint="Is the publisher connected and sending? Look at its `connectionState` and its `outbound-rtp`.",
    )


def _sent(facts: Facts) -> str:
    """What the publisher's own probe says, if it runs on this machine."""
    interval = facts.publisher.interval
    if interval is None or interval.sent is None:
        return ""
    if interval.pid is None:
        return "; the process of this machine that published it has ended"
    if not _is_fresh(interval, interval.sent, facts.wallclock):
        return f"; its process {interval.pid} runs, but has measured nothing for {_age(interval, facts.wallclock)}"
    packets = _counted(interval.sent.packets_sent, "packet")
    return f"; its process {interval.pid} has sent {packets}, {_age(interval, facts.wallclock)} ago"


# --- subscriber


def _subscribed(facts: Facts, *, is_there: bool) -> Check:
    """`is_there`: the publisher's side is in order; else that there is no subscription only follows from that."""
    name, state = "subscriber-track", facts.subscriber.state
    if isinstance(state, Absent):
        return Check(name, CheckStatus.SKIPPED, detail="its session could not be read")
    remote = [track for track in state.tracks if track.location == "remote"]
    pulled = [
        track
        for track in remote
        if track.session_id == facts.publisher.session_id and track.track_name == facts.track_name
    ]
    if track := _open(pulled):
        return Check(name, CheckStatus.PASSED, detail=f"it was pulled, and is {track.status} on mid {track.mid}")
    missing = CheckStatus.FAILED if is_there else CheckStatus.SKIPPED
    if pulled:
        return Check(
            name,
            missing,
            observed="inactive",
            detail=f"its m-section is inactive (mid {pulled[0].mid}): it was closed, or the publication has ended",
            hint="Pull it again: a publication that comes back is another one." if is_there else "",
        )
    other = _open([track for track in remote if track.track_name == facts.track_name])
    if other is not None:
        return Check(
            name,
            CheckStatus.FAILED,
            detail=f"it has pulled {facts.track_name} of another session: {other.session_id}",
            hint=f"Pull it from {facts.publisher.session_id}: a track is named by its session and its name.",
        )
    receives = ", ".join(f"{t.session_id}/{t.track_name}" for t in remote if t.status != "inactive") or "nothing"
    hint = (
        "Pull it: POST tracks/new with this session in the path, and the publisher's in the track. Look at the item of "
        "the answer: it can fail inside a 200."
    )
    return Check(
        name,
        missing,
        detail=f"it has never pulled the track, or has closed it; it receives: {receives}",
        hint=hint if is_there else "",
    )


def _connection(facts: Facts) -> Check:
    name, readiness = "subscriber-connection", facts.readiness
    if readiness is None:
        detail = "not asked" if not isinstance(facts.subscriber.state, Absent) else "its session could not be read"
        return Check(name, CheckStatus.SKIPPED, detail=detail)
    match readiness.outcome:
        case "ready":
            return Check(name, CheckStatus.PASSED, detail="no offer is pending, and it takes requests")
        case "pending":
            return Check(
                name,
                CheckStatus.FAILED,
                observed=406,
                detail=readiness.detail,
                hint="Answer the SFU's offer: PUT renegotiate with the answer of the peer connection, before all else.",
            )
        case "unconnected":
            return Check(
                name,
                CheckStatus.FAILED,
                observed=425,
                detail="its peer connection is not connected (425)",
                hint="ICE or DTLS is not up: look at `iceConnectionState` there. rtcctl turn check tries the relays.",
            )
        case "gone":
            return Check(name, CheckStatus.FAILED, observed=410, detail="it has gone meanwhile (410)")
        case _:
            return Check(name, CheckStatus.SKIPPED, detail=f"it cannot be told: {readiness.detail}")


def _subscriber_media(facts: Facts, *, is_there: bool) -> Check:
    name, interval = "subscriber-media", facts.subscriber.interval
    if interval is None or interval.received is None:
        return Check(
            name,
            CheckStatus.SKIPPED,
            detail="the API counts no packets, and it is no probe of this machine: its own `inbound-rtp` would tell",
        )
    age = _age(interval, facts.wallclock)
    if interval.pid is None:
        return Check(
            name,
            CheckStatus.FAILED,
            detail=f"the process of this machine that received it has ended (measured {age} ago)",
            hint="Subscribe again.",
        )
    if not _is_fresh(interval, interval.received, facts.wallclock):
        return Check(
            name,
            CheckStatus.SKIPPED,
            detail=f"process {interval.pid} of this machine receives it, but has measured nothing for {age}",
        )
    packets = interval.received.packets_received
    counted = f"process {interval.pid} of this machine, {age} ago"
    if packets:
        return Check(name, CheckStatus.PASSED, observed=packets, unit="packets", detail=counted)
    heard = facts.trial is not None and facts.trial.outcome == "heard"
    return Check(
        name,
        CheckStatus.FAILED if is_there else CheckStatus.SKIPPED,
        observed=0,
        unit="packets",
        detail=f"it receives nothing{', although a pull of our own does' if heard else ''} ({counted})",
        hint="Its way from the SFU is blocked, or its m-section does not receive: look at its answer's direction."
        if heard
        else "",
    )


def _is_fresh(interval: ProbeInterval, statistics: SentStatistics | ReceivedStatistics, wallclock: float) -> bool:
    return wallclock - interval.measured_at <= FRESH_INTERVALS * statistics.interval_s + FRESH_S


def _age(interval: ProbeInterval, wallclock: float) -> str:
    return f"{max(0.0, wallclock - interval.measured_at):.0f} s"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


# --- what follows


def _verdict(facts: Facts, failed: dict[str, Check], checks: tuple[Check, ...]) -> str:
    if failed:
        said = []
        for side, check in failed.items():
            of = facts.publisher if side == "publisher" else facts.subscriber
            detail = check.detail
            if check.name == f"{side}-session":
                detail = f"its session {of.session_id} {detail.removeprefix('it ')}"
            said.append(f"The {side} failed: {detail}.")
        return " ".join(said)
    unknown = [check.name for check in checks if check.status is CheckStatus.SKIPPED]
    if not unknown:
        return "Both sides are fine: the publisher sends, and the subscriber receives."
    passed = {check.name for check in checks if check.status is CheckStatus.PASSED}
    known = "The publisher sends, and the SFU passes it on. " if "publisher-media" in passed else ""
    return f"{known}Nothing wrong is found; not known: {', '.join(unknown)}."


def _next_commands(facts: Facts, failed: dict[str, Check]) -> tuple[str, ...]:
    publisher, subscriber = facts.publisher, facts.subscriber
    commands = []
    if "publisher" in failed:
        if publisher.successor_id is not None:
            commands.append(
                f"rtcctl track diagnose {subscriber.session_id} {publisher.successor_id}/{facts.track_name}"
            )
        elif not isinstance(publisher.state, Absent):
            commands.append(f"rtcctl track list {publisher.session_id}")
    elif "subscriber" in failed:
        commands.append(f"rtcctl track subscribe {TrackRef(publisher.session_id, facts.track_name)}")
        if not isinstance(subscriber.state, Absent):
            commands.append(f"rtcctl session get {subscriber.session_id}")
    return tuple(commands)
