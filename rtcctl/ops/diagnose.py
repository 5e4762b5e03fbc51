"""`track diagnose`: both sides of a subscription are looked at, and which one failed is said; `diagnosis.py` judges.

Both sessions are read. The publisher's media is tried by a pull into a session of our own. The subscriber's session is
asked for a track that cannot exist: that changes nothing, and what it answers tells whether an offer is pending and
whether it is connected, which no read does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rtcctl.errors import ApiError, DeadlineError, NetworkError
from rtcctl.ops.diagnosis import diagnose as judge
from rtcctl.ops.diagnosis_facts import Absent, Facts, Readiness, Side, Trial
from rtcctl.ops.env import Env
from rtcctl.ops.running import closing_at_end
from rtcctl.ops.session import COMMAND_DEADLINE_S, new_session, read
from rtcctl.ops.track import TrackRef, remote
from rtcctl.realtime.curl import ApiCall
from rtcctl.realtime.explain.errors import is_unstable_signalling
from rtcctl.results.diagnosis import TrackDiagnose
from rtcctl.results.event import Progress

if TYPE_CHECKING:
    from rtcctl.realtime.client import RealtimeClient
    from rtcctl.results.session import SessionGet
    from rtcctl.results.stats import ProbeInterval

FIRST_PACKET_S = 3.0
ASK_DEADLINE_S = 6.0
"The SFU waits up to 5 s for a connection before it says that there is none; once is enough."
OFFER_PENDING = "an offer of the SFU waits for its answer (406): what was pulled last was never renegotiated"
NO_TRACK = "rtcctl-diagnose"
"The track that is asked for, of the subscriber's own session."


@dataclass(frozen=True, slots=True)
class DiagnoseRequest:
    """`is_reading_only`: the subscriber's session is read, and not asked for anything."""

    subscriber_session_id: str
    track: TrackRef
    is_reading_only: bool = False


def diagnose_calls(request: DiagnoseRequest) -> tuple[ApiCall, ...]:
    """The API calls that `diagnose` makes."""
    nothing = remote(TrackRef(request.subscriber_session_id, NO_TRACK))
    asked = ApiCall("POST", f"sessions/{request.subscriber_session_id}/tracks/new", {"tracks": [nothing]})
    return (
        ApiCall("GET", f"sessions/{request.track.session_id}"),
        ApiCall("GET", f"sessions/{request.subscriber_session_id}"),
        *(() if request.is_reading_only else (asked,)),
        ApiCall("POST", "sessions/new"),
        ApiCall("POST", "sessions/$SESSION_ID/tracks/new", {"tracks": [remote(request.track)]}),
        ApiCall(
            "PUT",
            "sessions/$SESSION_ID/renegotiate",
            {"sessionDescription": {"type": "answer", "sdp": "$ANSWER_SDP"}},
        ),
        ApiCall("PUT", "sessions/$SESSION_ID/tracks/close", {"tracks": [{"mid": "$MID"}], "force": True}),
    )


async def diagnose(request: DiagnoseRequest, env: Env) -> TrackDiagnose:
    """Look at both sides. Raises `ApiError`, `AuthError` and `NetworkError` where the API itself cannot be used."""
    env.emit(Progress(text="reading both sessions"))
    publisher_id, subscriber_id = request.track.session_id, request.subscriber_session_id
    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        publisher, subscriber = await asyncio.gather(
            _side(client, env, publisher_id, _sent(env, request.track)),
            _side(client, env, subscriber_id, _received(env, request)),
        )
    facts = Facts(request.track.track_name, publisher, subscriber, wallclock=env.wallclock())
    wants_trial = judge(facts).failed_side not in ("publisher", "both")
    wants_answer = not request.is_reading_only and not isinstance(subscriber.state, Absent)
    trial, readiness = await asyncio.gather(
        _tried(request.track, env) if wants_trial else _nothing(),
        _asked(subscriber_id, env) if wants_answer else _nothing(),
    )
    found = judge(replace(facts, trial=trial, readiness=readiness))
    return TrackDiagnose(
        target=env.target,
        subscriber_session_id=subscriber_id,
        publisher_session_id=publisher_id,
        track_name=request.track.track_name,
        failed_side=found.failed_side,
        failed_check=found.failed_check,
        successor_id=publisher.successor_id,
        trial_session_id=None if trial is None else trial.session_id,
        time_to_first_packet_ms=None if trial is None else trial.first_packet_ms,
        verdict=found.verdict,
        next_commands=found.next_commands,
        checks=found.checks,
    )


async def _nothing() -> None: ...


async def _side(client: RealtimeClient, env: Env, session_id: str, interval: ProbeInterval | None) -> Side:
    successor = env.successor(session_id)
    state: SessionGet | Absent
    try:
        state = await read(client, env, session_id)
    except ApiError as error:
        if not error.is_gone:
            raise
        state = Absent(error.status)
    except DeadlineError:
        state = Absent(None)
    return Side(session_id, state, env.journal.session(session_id) is not None, successor, interval)


def _sent(env: Env, track: TrackRef) -> ProbeInterval | None:
    """What a probe of this machine last measured of the track that it publishes."""
    return next(
        (
            interval
            for interval in env.journal.intervals(track.session_id)
            if interval.sent is not None
            and (interval.session_id, interval.track_name) == (track.session_id, track.track_name)
        ),
        None,
    )


def _received(env: Env, request: DiagnoseRequest) -> ProbeInterval | None:
    """What a probe of this machine last measured of the track that it receives in the subscriber's session."""
    wanted = (request.subscriber_session_id, request.track.session_id, request.track.track_name)
    return next(
        (
            interval
            for interval in env.journal.intervals(request.subscriber_session_id)
            if (interval.session_id, interval.publisher_session_id, interval.track_name) == wanted
        ),
        None,
    )


async def _tried(track: TrackRef, env: Env) -> Trial:
    """Pull the track into a session of our own, and wait for its first packet where there is a peer to do so."""
    from rtcctl.ops import media

    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        session_id = await new_session(client, env)
        async with closing_at_end(env, session_id):
            wanted = media.remote_track(track.session_id, track.track_name)
            try:
                try:
                    import rtcctl.probe.peer  # noqa: F401  # whether it can be loaded
                except ImportError:
                    await media.pull(client, env, session_id, wanted, wait_s=0.0)
                    return Trial("pulled", session_id)
                async with media.open_peer(env) as peer:
                    (subscription,) = await media.subscribe(client, env, peer, session_id, wanted, wait_s=0.0)
                    try:
                        arrived_at = await subscription.receiver.wait_first_packet(FIRST_PACKET_S)
                    except TimeoutError:
                        return Trial("silent", session_id, waited_s=FIRST_PACKET_S)
                    return Trial("heard", session_id, (arrived_at - subscription.requested_at) * 1000)
            except ApiError as error:
                if error.status != 200:
                    raise
                return Trial("refused", session_id, code=error.code, detail=error.message.rstrip("."))
            except DeadlineError as error:
                return Trial("unanswered", session_id, detail=error.message.rstrip("."))
            except NetworkError as error:
                if error.phase not in ("ice", "dtls", "media"):
                    raise
                return Trial("unconnected", session_id, detail=error.message.rstrip("."))


async def _asked(session_id: str, env: Env) -> Readiness:
    """Ask the session for a track that cannot exist. What it refuses the request for tells how it stands."""
    from rtcctl.ops import media

    try:
        async with env.client(deadline_s=ASK_DEADLINE_S) as client:
            await client.new_tracks(session_id, [media.remote_track(session_id, NO_TRACK)])
    except ApiError as error:
        if is_unstable_signalling(error.code, error.subcode):
            is_offer = error.subcode == "invalid_modification_have_local_offer"
            return Readiness("pending", OFFER_PENDING if is_offer else "a negotiation of it is not finished (406)")
        if error.status == 425:
            return Readiness("unconnected")
        if error.is_gone:
            return Readiness("gone")
        return Readiness("unknown", error.message.rstrip("."))
    except (DeadlineError, NetworkError) as error:
        return Readiness("unknown", error.message.rstrip("."))
    return Readiness("ready")
