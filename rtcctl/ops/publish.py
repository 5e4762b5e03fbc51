"""`track publish`: tracks of one session, sent until the time is over, the sources end, or somebody interrupts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcctl.errors import UsageError
from rtcctl.ops import relay as relaying
from rtcctl.ops.env import Env
from rtcctl.ops.judge import check_outages, check_sent, of_each_track
from rtcctl.ops.recovery import Recovery
from rtcctl.ops.relay import RelayPolicy
from rtcctl.ops.running import INTERVAL_S, closing_at_end, each_interval, sent_interval
from rtcctl.ops.session import COMMAND_DEADLINE_S, RECOVER_FOR_S, new_session, read
from rtcctl.ops.sources import TrackSpec, open_tracks, rids_warning
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.event import Warned
from rtcctl.results.outage import Outage
from rtcctl.results.track import Publish, PublishedTrack

if TYPE_CHECKING:
    from rtcctl.ops.media import Publication
    from rtcctl.realtime.client import RealtimeClient


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """`session_id`: one made by `session create` that nobody has connected yet; `None` makes a new one."""

    tracks: tuple[TrackSpec, ...]
    session_id: str | None = None
    for_s: float | None = None
    interval_s: float = INTERVAL_S
    relay: RelayPolicy | None = None
    "All media through TURN."
    recover_for_s: float | None = RECOVER_FOR_S
    "`None`: an outage is the end."


def publish_calls(request: PublishRequest) -> tuple[ApiCall, ...]:
    """The API calls that `publish` makes."""
    tracks = [
        {"location": "local", "mid": str(index), "trackName": spec.track_name}
        for index, spec in enumerate(request.tracks)
    ]
    body = {"sessionDescription": {"type": "offer", "sdp": "$OFFER_SDP"}, "tracks": tracks}
    create = (
        ApiCall("GET", f"sessions/{request.session_id}") if request.session_id else ApiCall("POST", "sessions/new"),
    )
    return (*create, ApiCall("POST", f"sessions/{request.session_id or '$SESSION_ID'}/tracks/new", body))


async def publish(request: PublishRequest, env: Env) -> Publish:
    """Publish until `for_s` is over, the sources have ended, or interrupted.

    Raises `UsageError` for a source that cannot be published, before anything is created; `ApiError`, `NetworkError`
    (phase ice, dtls, media) and what the client raises.
    """
    from rtcctl.ops import media
    from rtcctl.ops.media import Held
    from rtcctl.probe.lag import LoopMonitor

    for spec in request.tracks:
        if (warning := rids_warning(spec.rids)) is not None:
            env.emit(Warned(text=warning))
    if request.session_id is not None:
        async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
            await _require_unconnected(client, env, request.session_id)
    tracks = await open_tracks(request.tracks)
    async with AsyncExitStack() as stack:
        for track in tracks:
            for layer in track.layers:
                stack.push_async_callback(layer.source.close)
        lag = await stack.enter_async_context(LoopMonitor(clock=env.clock))
        recovery = Recovery(env, request.recover_for_s, closing_at_end)
        publications: tuple[Publication, ...] = ()
        given = request.session_id
        started = 0.0

        @asynccontextmanager
        async def connect() -> AsyncIterator[Held]:
            nonlocal publications, given
            async with AsyncExitStack() as connection:
                relays = await connection.enter_async_context(
                    relaying.settings(request.relay, env, for_s=request.for_s, later=recovery.later)
                )
                peer = await connection.enter_async_context(media.open_peer(env, relays=relays, keeps_media=True))
                async with env.client(deadline_s=recovery.deadline_s) as client:
                    session_id, given = given or await new_session(client, env), None
                    await connection.enter_async_context(recovery.holding(session_id))
                    before = publications
                    publications = await media.publish(client, env, peer, session_id, *tracks, previous=before)
                if before:
                    env.journal.session_replaced(before[0].session_id, session_id, env.wallclock())
                yield Held(peer, session_id)

        async def hold(held: Held) -> None:
            nonlocal started
            if not started:
                started = env.clock()
                lag.reset()
                recovery.ends_at = None if request.for_s is None else started + request.for_s
            await each_interval(
                env,
                held.peer,
                held.session_id,
                lambda now: [sent_interval(publication, env, started, now) for publication in publications],
                started=started,
                for_s=request.for_s,
                interval_s=request.interval_s,
                is_over=lambda: held.peer.have_sources_ended,
            )

        def result() -> Publish | None:
            if not started:
                return None
            return publish_result(env, publications, lag.reason, relay=request.relay, outages=recovery.outages)

        with env.keeping(result):
            await recovery.run(connect, hold)
        published = result()
        assert published is not None, "it was held"
        return published


def publish_result(
    env: Env,
    publications: Sequence[Publication],
    saturated: str | None,
    *,
    relay: RelayPolicy | None = None,
    outages: tuple[Outage, ...] = (),
) -> Publish:
    """What was published and sent until now, on one connection."""
    now = env.clock()
    published = tuple(published_track(publication, now) for publication in publications)
    first, timing = published[0], publications[0].timing
    checks = [(track.track_name, check_sent(track.sent, saturated)) for track in published if track.sent is not None]
    return Publish(
        target=env.target,
        session_id=publications[0].session_id,
        track_name=first.track_name,
        mid=first.mid,
        kind=first.kind,
        codec=first.codec,
        source=first.source,
        tone_hz=first.tone_hz,
        candidate_pair=timing.candidate_pair,
        candidate_type=timing.candidate_type,
        relay_protocol=timing.relay_protocol,
        url=timing.url,
        ice_ms=timing.ice_ms,
        dtls_ms=timing.dtls_ms,
        duration_s=0.0 if first.sent is None else first.sent.interval_s,
        sent=first.sent,
        tracks=published,
        outages=outages,
        checks=(*relaying.check(relay, timing), *of_each_track(checks), *check_outages(outages)),
    )


def published_track(publication: Publication, now: float) -> PublishedTrack:
    """One track of the result."""
    track = publication.track
    return PublishedTrack(
        track_name=track.track_name,
        mid=publication.mid,
        kind=track.kind,
        codec=publication.sender.codec,
        source=track.description,
        tone_hz=track.tone_hz,
        sent=publication.sender.statistics(now),
    )


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
