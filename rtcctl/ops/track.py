"""Tracks: publish, subscribe, list, close, wait."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcctl.errors import ApiError, RtcctlError, UsageError
from rtcctl.ops.env import Env
from rtcctl.ops.judge import check_loss, check_received, check_sent
from rtcctl.ops.running import Flow, closing_at_end, first_packet, report_received, report_sent, subscribe_result
from rtcctl.ops.session import (
    COMMAND_DEADLINE_S,
    close_tracks,
    new_session,
    read,
)
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.track import (
    Publish,
    Subscribe,
    TrackClose,
    TrackClosed,
    TrackList,
    TrackState,
    TrackWait,
)

if TYPE_CHECKING:
    from rtcctl.realtime.client import RealtimeClient


@dataclass(frozen=True, slots=True)
class TrackRef:
    """A track as the grammar spells it: `SESSION/TRACK`."""

    session_id: str
    track_name: str

    def __str__(self) -> str:
        return f"{self.session_id}/{self.track_name}"


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """`session_id`: one made by `session create` that nobody has connected yet; `None` makes a new one."""

    track_name: str
    session_id: str | None = None
    tone_hz: float = 440.0
    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    track: TrackRef
    for_s: float = 10.0
    wait_s: float = 10.0
    max_fraction_lost: float | None = 0.02
    "`None`: loss is reported, not judged."


@dataclass(frozen=True, slots=True)
class ListRequest:
    session_id: str


@dataclass(frozen=True, slots=True)
class CloseRequest:
    """`tracks` by name, or everything of `all_of`."""

    tracks: tuple[TrackRef, ...] = ()
    all_of: str | None = None


@dataclass(frozen=True, slots=True)
class WaitRequest:
    track: TrackRef
    wait_s: float = 30.0


def publish_calls(request: PublishRequest) -> tuple[ApiCall, ...]:
    """The API calls that `publish` makes."""
    body = {
        "sessionDescription": {"type": "offer", "sdp": "$OFFER_SDP"},
        "tracks": [{"location": "local", "mid": "0", "trackName": request.track_name}],
    }
    create = (
        ApiCall("GET", f"sessions/{request.session_id}") if request.session_id else ApiCall("POST", "sessions/new"),
    )
    return (*create, ApiCall("POST", f"sessions/{request.session_id or '$SESSION_ID'}/tracks/new", body))


def subscribe_calls(request: SubscribeRequest) -> tuple[ApiCall, ...]:
    """The API calls that `subscribe` makes."""
    return (
        ApiCall("POST", "sessions/new"),
        ApiCall("POST", "sessions/$SESSION_ID/tracks/new", {"tracks": [_remote(request.track)]}),
        ApiCall(
            "PUT",
            "sessions/$SESSION_ID/renegotiate",
            {"sessionDescription": {"type": "answer", "sdp": "$ANSWER_SDP"}},
        ),
        ApiCall("PUT", "sessions/$SESSION_ID/tracks/close", {"tracks": [{"mid": "$MID"}], "force": True}),
    )


def list_calls(request: ListRequest) -> tuple[ApiCall, ...]:
    """The API calls that `list` makes."""
    return (ApiCall("GET", f"sessions/{request.session_id}"),)


def close_calls(request: CloseRequest) -> tuple[ApiCall, ...]:
    """The API calls that `close` makes."""
    sessions = [request.all_of] if request.all_of else sorted({track.session_id for track in request.tracks})
    calls: list[ApiCall] = []
    for session_id in sessions:
        calls.append(ApiCall("GET", f"sessions/{session_id}"))
        body = {"tracks": [{"mid": "$MID"}], "force": True}
        calls.append(ApiCall("PUT", f"sessions/{session_id}/tracks/close", body))
    return tuple(calls)


def wait_calls(request: WaitRequest) -> tuple[ApiCall, ...]:
    """The API calls that `wait` makes."""
    return (
        ApiCall("POST", "sessions/new"),
        ApiCall("POST", "sessions/$SESSION_ID/tracks/new", {"tracks": [_remote(request.track)]}),
    )


def _remote(track: TrackRef) -> dict[str, str]:
    return {"location": "remote", "sessionId": track.session_id, "trackName": track.track_name}


async def publish(request: PublishRequest, env: Env) -> Publish:
    """Publish a tone until `for_s` is over, or until interrupted.

    Raises `ApiError`, `NetworkError` (phase ice, dtls, media) and what the client raises.
    """
    from rtcctl.ops import media
    from rtcctl.probe.lag import LoopMonitor
    from rtcctl.probe.sources import ToneSource

    source = ToneSource(request.tone_hz)
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(media.open_peer(env))
        lag = await stack.enter_async_context(LoopMonitor(clock=env.clock))
        async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
            if request.session_id is not None:
                await _require_unconnected(client, env, request.session_id)
            session_id = request.session_id or await new_session(client, env)
            await stack.enter_async_context(closing_at_end(env, session_id))
            publication = await media.publish(client, env, peer, session_id, source, request.track_name)
        started = env.clock()
        lag.reset()

        def result() -> Publish:
            now = env.clock()
            sent = publication.sender.statistics(now)
            return Publish(
                target=env.target,
                session_id=session_id,
                track_name=request.track_name,
                mid=publication.mid,
                tone_hz=request.tone_hz,
                codec=publication.sender.codec,
                candidate_pair=publication.timing.candidate_pair,
                ice_ms=publication.timing.ice_ms,
                dtls_ms=publication.timing.dtls_ms,
                duration_s=now - started,
                sent=sent,
                checks=(check_sent(sent, lag.reason),),
            )

        with env.keeping(result):
            await report_sent(publication, env, peer, request.for_s, started)
        return result()


async def _require_unconnected(client: RealtimeClient, env: Env, session_id: str) -> None:
    """Refuse a session that has a peer: a second one's offer would take the connection away from the first."""
    holder = env.journal.holder(session_id)
    if holder is None and not (await read(client, env, session_id)).tracks:
        return
    raise UsageError(
        f"Session {session_id} is connected already"
        + (f", by process {holder}." if holder is not None else ": it has tracks."),
        hint="A session is one peer connection. Publish without SESSION to make another one.",
    )


async def subscribe(request: SubscribeRequest, env: Env) -> Subscribe:
    """Subscribe to a track and measure what arrives for `for_s` seconds from the first packet.

    Raises `ApiError` when nobody publishes it within `wait_s`, `NetworkError` when the connection cannot be made
    or is lost; nothing arriving is a failed check.
    """
    from rtcctl.ops import media
    from rtcctl.probe.lag import LoopMonitor

    ref = request.track
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(media.open_peer(env))
        lag = await stack.enter_async_context(LoopMonitor(clock=env.clock))
        async with env.client(deadline_s=request.wait_s + COMMAND_DEADLINE_S) as client:
            session_id = await new_session(client, env)
            await stack.enter_async_context(closing_at_end(env, session_id))
            subscription = await media.subscribe(
                client, env, peer, session_id, ref.session_id, ref.track_name, wait_s=request.wait_s
            )
        receiver = subscription.receiver
        flow = Flow()

        def result() -> Subscribe:
            now = env.clock()
            statistics = receiver.statistics(now)
            return subscribe_result(
                env,
                subscription,
                statistics,
                first_packet_at=receiver.first_packet_at,
                checks=(
                    check_received(statistics, silent_s=flow.silent_s(now), saturated=lag.reason),
                    *check_loss(statistics, request.max_fraction_lost, lag.reason),
                ),
            )

        with env.keeping(result):
            await first_packet(subscription, env)
            if receiver.first_packet_at is not None:
                lag.reset()
                await report_received(subscription, env, peer, request.for_s, flow)
        return result()


async def list_(request: ListRequest, env: Env) -> TrackList:
    """The tracks of a session as the API tells them."""
    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        state = await read(client, env, request.session_id)
    return TrackList(target=env.target, session_id=request.session_id, tracks=state.tracks)


async def close(request: CloseRequest, env: Env) -> TrackClose:
    """Close tracks by name: their mids are read from the session first, since the API closes by mid."""
    wanted: dict[str, list[str] | None] = {}
    if request.all_of is not None:
        wanted[request.all_of] = None
    for track in request.tracks:
        names = wanted.setdefault(track.session_id, [])
        if names is not None:
            names.append(track.track_name)
    if not wanted:
        raise UsageError("No track was named.", hint="Name them as SESSION/TRACK, or use --all SESSION.")
    for session_id in wanted:
        if env.journal.session(session_id) is None:
            env.confirm(f"Session {session_id} was not created from this machine. Close its tracks?")
    outcomes: list[TrackClosed] = []
    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        for session_id, names in wanted.items():
            state = await read(client, env, session_id)
            outcomes += await close_tracks(client, session_id, _chosen(session_id, state.tracks, names))
    failed = [t for t in outcomes if t.outcome == "failed"]
    for outcome in outcomes:
        if outcome.outcome != "failed" and outcome.track_name:
            env.journal.track_closed(outcome.session_id, outcome.track_name, env.wallclock())
    if failed:
        raise ApiError(
            f"{len(failed)} of {len(outcomes)} tracks could not be closed: mid {failed[0].mid} of session "
            f"{failed[0].session_id}: {failed[0].description or failed[0].code}",
            status=200,
            code=failed[0].code,
            description=failed[0].description,
        )
    return TrackClose(target=env.target, tracks=tuple(outcomes))


def _chosen(session_id: str, tracks: tuple[TrackState, ...], names: list[str] | None) -> list[TrackState]:
    """The active tracks of a session that were named; a publication goes before a subscription of that name."""
    active = [track for track in tracks if track.status != "inactive"]
    if names is None:
        return active
    chosen = []
    for name in names:
        named = sorted((t for t in active if t.track_name == name), key=lambda t: t.location != "local")
        if not named:
            known = ", ".join(sorted({t.track_name for t in active})) or "none"
            raise ApiError(
                f"Session {session_id} has no open track {name}.",
                code="not_found_track_error",
                hint=f"Its open tracks: {known}.",
            )
        chosen.append(named[0])
    return chosen


async def wait(request: WaitRequest, env: Env) -> TrackWait:
    """Wait until a track can be subscribed to: the SFU accepts a pull of it, which needs media to be flowing.

    The pull is never answered, so no media is sent here; its session expires by itself.
    """
    from rtcctl.ops.media import pull

    started = env.clock()
    ref = request.track
    async with env.client(deadline_s=request.wait_s + COMMAND_DEADLINE_S) as client:
        session_id = await new_session(client, env, held=False)
        try:
            _, mid, _ = await pull(client, env, session_id, ref.session_id, ref.track_name, wait_s=request.wait_s)
            waited_s = env.clock() - started
            with suppress(RtcctlError):
                await client.close_tracks(session_id, [mid], force=True)
        finally:
            env.journal.session_closed(session_id, env.wallclock())
    return TrackWait(target=env.target, session_id=ref.session_id, track_name=ref.track_name, waited_s=waited_s)
