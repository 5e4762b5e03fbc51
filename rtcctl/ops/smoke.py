"""`smoke`: the whole path in one go, one check per step.

Publisher and subscriber are two peers of this machine in two sessions, with the SFU between them. Checks come in the
order in which a call is made, so the first one that fails names the place; what comes after it was not reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rtcctl.errors import ApiError, ExitStatus, InconclusiveError, NetworkError, RtcctlError, UsageError
from rtcctl.ops.env import Env
from rtcctl.ops.judge import (
    NOT_SEEN,
    check_at_most,
    check_content,
    check_latency,
    check_loss,
    check_picture,
    check_received,
    check_sent,
    judge,
)
from rtcctl.ops.publish import publish_result
from rtcctl.ops.relay import RelayPolicy
from rtcctl.ops.session import CLEAN_UP_DEADLINE_S, close_held, new_session, read
from rtcctl.ops.sources import SIMULCAST_RIDS, TrackSpec, open_tracks
from rtcctl.ops.turn import INSTALL_COTURN
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.event import CheckDone, EmbeddedServerStarted, Progress, Warned
from rtcctl.results.result import Failure
from rtcctl.results.smoke import Smoke
from rtcctl.results.track import Publish, Subscribe

if TYPE_CHECKING:
    from rtcctl.ops.media import Publication, Subscription
    from rtcctl.probe.lag import LoopMonitor
    from rtcctl.probe.peer import Peer
    from rtcctl.probe.turn.relay import RelaySettings
    from rtcctl.realtime.client import RealtimeClient
    from rtcctl.results.track import SentStatistics

CHECKS = (
    "api",
    "turn",
    "session",
    "publish",
    "subscribe",
    "relay",
    "content",
    "loss",
    "jitter",
    "rtt",
    "latency",
    "video",
    "simulcast",
    "data-channel",
    "cleanup",
)
"In the order of the path. `relay` is judged where all media is to be relayed."

SETUP_DEADLINE_S = 10.0
"Everything before the measurement; with the default `--for 5s` the whole run stays under 15 s."

PULL_WAIT_S = 5.0

TRACK_NAME = "smoke-tone"

VIDEO_TRACK_NAME = "smoke-video"
VIDEO_SIZE, VIDEO_RATE_HZ = (640, 360), 15.0
"Of the best of three layers: little for a CI machine to encode, and still a picture that can be read."

FIRST_LAYER, SECOND_LAYER = "q", "f"
"The layer that is pulled, and the one that is asked for while it runs."

FIRST_FRAME_DEADLINE_S = 5.0

TONES_HZ = (400.0, 450.0, 500.0, 550.0, 600.0, 650.0, 700.0, 750.0, 800.0, 850.0, 900.0)
"One of them at random, so that the tone of another run is not taken for ours."


@dataclass(frozen=True, slots=True)
class Limits:
    """What is good enough."""

    max_fraction_lost: float = 0.02
    max_jitter_ms: float = 30.0
    max_rtt_ms: float = 300.0
    max_latency_ms: Mapping[str, float] = field(default_factory=dict)
    "By percentile: `p50`, `p95`, `p99`."


@dataclass(frozen=True, slots=True)
class SmokeRequest:
    """`embedded`: start a server for this run whatever is configured. `attempts`: whole runs until one passes.

    `relay`: all media through TURN.
    """

    for_s: float = 5.0
    limits: Limits = field(default_factory=Limits)
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    attempts: int = 1
    embedded: bool = False
    relay: RelayPolicy | None = None


async def smoke(request: SmokeRequest, env: Env) -> Smoke:
    """Run the checks, up to `attempts` times until none fails. Raises `UsageError` for an unknown check name."""
    for name in (*request.only, *request.skip, *request.require):
        if name not in CHECKS:
            raise UsageError(f"There is no check {name!r}.", hint=f"Checks: {', '.join(CHECKS)}.")
    if both := [name for name in request.require if name in request.skip]:
        raise UsageError(f"--require and --skip exclude each other: {', '.join(both)}.")
    if request.relay is None and "relay" in (*request.only, *request.require):
        raise UsageError("The check relay is about media that is relayed.", hint="Add --relay, or --relay-via tls.")
    if not _chosen(request):
        raise UsageError("No check is left to judge.", hint=f"Checks: {', '.join(CHECKS)}.")
    async with _target(request, env) as target_env:
        started = env.clock()
        for attempt in range(1, request.attempts + 1):
            result = await _Run(request, target_env, env, started, attempt).result()
            if result.exit_status == ExitStatus.OK:
                break
            if attempt < request.attempts:
                env.emit(Warned(text=f"attempt {attempt} did not pass: {result.verdict}"))
        return result


@asynccontextmanager
async def _target(request: SmokeRequest, env: Env) -> AsyncIterator[Env]:
    """The surroundings to run in: those given, or pointed at a server started for this run."""
    if not request.embedded:
        yield env
        return
    from rtcctl.realtime.profile import Profile
    from rtcctl.server import coturn
    from rtcctl.server.server import RealtimeServer
    from rtcctl.transport.tls import temporary

    async with AsyncExitStack() as stack:
        files = None
        if coturn.is_installed():
            now = datetime.fromtimestamp(env.wallclock(), UTC)
            files = stack.enter_context(temporary(["127.0.0.1"], now))
        # Nobody else is to reach it.
        server = await stack.enter_async_context(
            RealtimeServer.run("127.0.0.1", 0, media_hosts=("127.0.0.1",), turn_tls=files)
        )
        env.emit(EmbeddedServerStarted(base_url=server.base_url))
        yield env.with_profile(
            Profile(
                name="local",
                api_base=server.base_url,
                app_id=server.app_id,
                app_secret=server.app_secret,
                turn_key_id=server.turn_key_id,
                turn_key_token=server.turn_key_token,
                is_embedded=True,
                ca_file="" if files is None else str(files.authority),
            )
        )


class _StepFailedError(Exception):
    """A step failed and its check says so; the path ends here."""


class _Run:
    """One attempt: walks the path, collects checks, cleans up, judges."""

    def __init__(self, request: SmokeRequest, env: Env, outer: Env, started: float, attempt: int) -> None:
        self.request = request
        self.env = env
        self.outer = outer
        self.started = started
        self.attempt = attempt
        self.tone_hz = env.random.choice(TONES_HZ)
        self.checks: dict[str, Check] = {}
        self.failure: Failure | None = None
        self.sessions: list[str] = []
        self._is_measured = False
        "For the whole time that was asked for."
        self.publish: Publish | None = None
        self.subscribe: Subscribe | None = None

    async def result(self) -> Smoke:
        """Walk, clean up, judge."""
        with self.outer.keeping(self._build):
            async with AsyncExitStack() as peers:
                try:
                    await self._walk(peers)
                except _StepFailedError:
                    pass
                finally:
                    await self._clean_up()
        return self._build()

    # -- the path ------------------------------------------------------------------------------------------------

    async def _walk(self, peers: AsyncExitStack) -> None:
        from rtcctl.ops import media
        from rtcctl.ops import relay as relaying
        from rtcctl.probe.lag import LoopMonitor

        env = self.env
        client = await peers.enter_async_context(env.client(deadline_s=SETUP_DEADLINE_S))
        await self._step("api", self._api(client))
        publisher_session, subscriber_session = self.sessions
        relays = await self._turn(peers)
        if not self._is_chosen(*(name for name in CHECKS if name not in ("api", "turn", "cleanup"))):
            return  # nothing of media is asked for
        publisher = await peers.enter_async_context(media.open_peer(env, relays=relays))
        lag = await peers.enter_async_context(LoopMonitor(clock=env.clock))
        publication, *pictures = await self._session(client, publisher, publisher_session)
        subscriber = await peers.enter_async_context(media.open_peer(env, relays=relays, verify=True))
        subscription = await self._subscribe(client, subscriber, subscriber_session, publication, lag)
        for check in relaying.check(self.request.relay, publication.timing, subscription.timing):
            self._set(check)
        picture = await self._subscribe_video(client, subscriber, pictures[0]) if pictures else None
        if self._is_chosen("data-channel"):
            await self._try_data_channel(client, publisher, subscriber)
        lag.reset()
        now = env.clock()
        for receiver in subscriber.receivers:
            receiver.start_measuring(now)
        try:
            await self._measure(publisher, subscriber, picture)
        finally:
            self._judge(publication, subscription, lag)
            if picture is not None:
                await picture.receiver.drain()
                self._judge_video(picture, lag.reason or picture.receiver.saturated(env.clock()))

    async def _step(self, name: str, work: Awaitable[None]) -> None:
        """Await `work`; an expected error becomes the failure of check `name` and ends the path."""
        self.env.emit(Progress(text=name))
        try:
            await work
        except RtcctlError as error:
            self._fail(name, error)
            raise _StepFailedError from error

    async def _api(self, client: RealtimeClient) -> None:
        """Two sessions, the second on the open connection: its round trip is the API's."""
        env = self.env
        self.sessions.append(await new_session(client, env))
        self.sessions.append(await new_session(client, env))
        round_trip_ms = client.last_round_trip_ms
        ray = client.last_ray
        where = f", Cf-Ray {ray} (data centre {ray.rpartition('-')[2]})" if ray and "-" in ray else ""
        self._set(
            Check(
                "api",
                CheckStatus.PASSED,
                observed=round_trip_ms,
                unit="ms",
                detail=f"secret accepted at {env.profile.api_base}{where}",
            )
        )

    async def _turn(self, peers: AsyncExitStack) -> RelaySettings | None:
        """Judge the TURN servers of the profile; those to use, where all media is to be relayed.

        What does not work is a failed check; where media was to be relayed, the path ends here.
        """
        from rtcctl.ops import relay as relaying

        relay, profile = self.request.relay, self.env.profile
        if relay is None and not self._is_chosen("turn"):
            return None
        if relay is None and not (profile.turn_key_id and profile.turn_key_token):
            self._set(Check("turn", CheckStatus.SKIPPED, detail=f"profile {profile.name} has no TURN key"))
            return None
        self.env.emit(Progress(text="turn"))
        try:
            settings = await peers.enter_async_context(relaying.generated(self.env, for_s=self.request.for_s))
            used = None if relay is None else relaying.chosen(relay, settings)
        except RtcctlError as error:
            if relay is None:
                self._set(Check("turn", CheckStatus.FAILED, detail=error.message, hint=error.hint))
                return None
            self._fail("turn", error)
            raise _StepFailedError from error
        if settings.servers:
            self._set(await relaying.check_servers(settings, self.env))
        else:
            detail = "the credentials name no TURN server"
            self._set(Check("turn", CheckStatus.SKIPPED, detail=detail, hint=INSTALL_COTURN))
        return used

    async def _session(self, client: RealtimeClient, peer: Peer, session_id: str) -> tuple[Publication, ...]:
        """Publish the tone, and the picture where it is to be judged."""
        from rtcctl.ops import media

        publications: tuple[Publication, ...] = ()

        async def connect() -> None:
            nonlocal publications
            tracks = await open_tracks(self._specs())
            publications = await media.publish(client, self.env, peer, session_id, *tracks)

        await self._step("session", connect())
        timing = publications[0].timing
        self._set(
            Check(
                "session",
                CheckStatus.PASSED,
                observed=timing.ice_ms + timing.dtls_ms,
                unit="ms",
                detail=f"ICE {timing.ice_ms:.0f} ms, DTLS {timing.dtls_ms:.0f} ms, {timing.candidate_pair}",
            )
        )
        return publications

    def _is_chosen(self, *names: str) -> bool:
        return any(name in _chosen(self.request) for name in names)

    def _specs(self) -> list[TrackSpec]:
        specs = [TrackSpec(track_name=TRACK_NAME, source="tone", argument=f"{self.tone_hz:g}")]
        if self._is_chosen("video", "simulcast"):
            width, height = VIDEO_SIZE
            picture = TrackSpec(track_name=VIDEO_TRACK_NAME, source="testsrc", width=width, height=height)
            specs.append(replace(picture, frame_rate_hz=VIDEO_RATE_HZ, rids=SIMULCAST_RIDS))
        return specs

    async def _subscribe_video(
        self, client: RealtimeClient, peer: Peer, publication: Publication
    ) -> Subscription | None:
        """Pull one layer of the picture, and wait for its first frame. What fails here fails the picture alone."""
        from rtcctl.ops import media
        from rtcctl.realtime.schema import Simulcast

        self.env.emit(Progress(text="video"))
        track = media.remote_track(
            publication.session_id, VIDEO_TRACK_NAME, simulcast=Simulcast(preferred_rid=FIRST_LAYER)
        )
        try:
            (subscription,) = await media.subscribe(client, self.env, peer, self.sessions[1], track, wait_s=PULL_WAIT_S)
            await subscription.receiver.wait_first_frame(FIRST_FRAME_DEADLINE_S)
        except RtcctlError as error:
            self._fail("video", error)
            return None
        except TimeoutError:
            detail = f"no whole frame of layer {FIRST_LAYER} in {FIRST_FRAME_DEADLINE_S:.0f} s"
            self._set(Check("video", CheckStatus.FAILED, observed=0, unit="frames", detail=detail))
            return None
        return subscription

    async def _try_data_channel(self, client: RealtimeClient, publisher: Peer, subscriber: Peer) -> None:
        """A message to the subscriber and its reply, over channels of the sessions that carry the media."""
        from rtcctl.ops.round_trip import round_trip

        self.env.emit(Progress(text="data-channel"))
        try:
            trip = await round_trip(client, self.env, publisher, self.sessions[0], subscriber, self.sessions[1])
        except RtcctlError as error:
            self._fail("data-channel", error)
            return
        self._set(
            Check(
                "data-channel",
                CheckStatus.PASSED,
                observed=trip.rtt_ms,
                unit="ms",
                detail="a message to the subscriber, and its reply",
            )
        )

    async def _switch_layer(self, picture: Subscription) -> None:
        """Ask for the other layer when a third of the time is over."""
        from rtcctl.ops.track import Layering, UpdateRequest, update

        if not self._is_chosen("simulcast"):
            return
        await asyncio.sleep(self.request.for_s / 3)
        picture.receiver.layer_asked_at = self.env.clock()
        layering = Layering(preferred_rid=SECOND_LAYER)
        try:
            await update(UpdateRequest(picture.session_id, picture.mid, layering), self.env)
        except RtcctlError as error:
            self._fail("simulcast", error)

    async def _subscribe(
        self,
        client: RealtimeClient,
        peer: Peer,
        session_id: str,
        publication: Publication,
        lag: LoopMonitor,
    ) -> Subscription:
        from rtcctl.ops import media
        from rtcctl.ops.running import FIRST_PACKET_DEADLINE_S

        self.env.emit(Progress(text="subscribe"))
        try:
            track = media.remote_track(publication.session_id, publication.track.track_name)
            (subscription,) = await media.subscribe(client, self.env, peer, session_id, track, wait_s=PULL_WAIT_S)
        except RtcctlError as error:
            self._judge_publish(publication, lag)
            if isinstance(error, ApiError) and error.code in media.SILENT_PUBLISHER_CODES:
                # The call itself is fine: our media did not reach the SFU, and that is a measurement.
                detail = f"{NOT_SEEN}: {error.message}"
                self._set(Check("subscribe", CheckStatus.FAILED, observed=0, unit="packets", detail=detail))
            else:
                self._fail("subscribe", error)
            raise _StepFailedError from error
        receiver = subscription.receiver
        try:
            await receiver.wait_first_packet(FIRST_PACKET_DEADLINE_S)
        except TimeoutError:
            self._judge_publish(publication, lag)
            detail = f"pulled as mid {subscription.mid}, but nothing arrived in {FIRST_PACKET_DEADLINE_S:.0f} s"
            self._set(Check("subscribe", CheckStatus.FAILED, observed=0, unit="packets", detail=detail))
            raise _StepFailedError from None
        assert receiver.first_packet_at is not None
        first_ms = (receiver.first_packet_at - subscription.requested_at) * 1000
        self._set(
            Check(
                "subscribe",
                CheckStatus.PASSED,
                observed=first_ms,
                unit="ms",
                detail=f"first packet {first_ms:.0f} ms after the pull, mid {subscription.mid}",
            )
        )
        return subscription

    async def _measure(self, publisher: Peer, subscriber: Peer, picture: Subscription | None) -> None:
        """Let it run for `for_s`; either connection may be lost in between."""
        from rtcctl.ops import media

        self.env.emit(Progress(text=f"measuring for {self.request.for_s:g} s"))
        try:
            async with asyncio.TaskGroup() as group:
                for peer, name, session_id in zip(
                    (publisher, subscriber), ("the publisher", "the subscriber"), self.sessions, strict=True
                ):
                    group.create_task(media.watch(peer, self.request.for_s, what=name, session_id=session_id))
                if picture is not None:
                    group.create_task(self._switch_layer(picture))
        except* NetworkError as errors:
            error = errors.exceptions[0]
            assert isinstance(error, NetworkError)
            self.failure = Failure.of(error)
        else:
            self._is_measured = True

    # -- judging -------------------------------------------------------------------------------------------------

    def _judge(self, publication: Publication, subscription: Subscription, lag: LoopMonitor) -> None:
        from rtcctl.ops.running import subscribe_result

        sent = self._judge_publish(publication, lag)
        received = subscription.receiver.statistics(self.env.clock())
        limits = self.request.limits
        saturated = lag.reason
        self._set(check_content(received, self.tone_hz, saturated))
        for check in check_loss(received, limits.max_fraction_lost, saturated):
            self._set(check)
        self._set(check_at_most("jitter", received.jitter_ms, limits.max_jitter_ms, saturated))
        rtt_ms, source = (sent.rtt_ms, "rtcp") if sent.rtt_ms is not None else (received.rtt_ms, received.rtt_source)
        self._set(check_at_most("rtt", rtt_ms, limits.max_rtt_ms, saturated, detail=f"by {source}" if source else ""))
        self._set(check_latency(received, limits.max_latency_ms, saturated))
        self.subscribe = subscribe_result(
            self.env,
            subscription,
            received,
            checks=(check_received(received),),
        )

    def _judge_video(self, picture: Subscription, saturated: str | None) -> None:
        received = picture.receiver.statistics(self.env.clock())
        check = check_picture(received, saturated)
        if check.status is CheckStatus.SKIPPED:
            check = replace(check, status=CheckStatus.FAILED)  # it is our own, and cannot be read
        self._set(replace(check, name="video"))
        if "simulcast" in self.checks or not self._is_chosen("simulcast"):
            return
        switch = next((s for s in received.layer_switches or () if s.layer == SECOND_LAYER), None)
        if switch is None and not self._is_measured:
            self._set(Check("simulcast", CheckStatus.SKIPPED, detail="cut short before the layer could change"))
            return
        if switch is None:
            status = CheckStatus.FAILED if saturated is None else CheckStatus.INCONCLUSIVE
            detail = f"asked for layer {SECOND_LAYER}, but {received.layer or 'none'} kept coming"
            self._set(Check("simulcast", status, unit="ms", detail=saturated or detail))
            return
        detail = f"from layer {switch.previous} to {switch.layer}, then {received.width}x{received.height}"
        self._set(Check("simulcast", CheckStatus.PASSED, observed=switch.took_ms, unit="ms", detail=detail))

    def _judge_publish(self, publication: Publication, lag: LoopMonitor) -> SentStatistics:
        from rtcctl.probe.sources.tone import PACKET_S

        self.publish = publish_result(self.env, [publication], lag.reason)
        sent = self.publish.sent
        assert sent is not None, "this process sends"
        check = check_sent(sent, lag.reason)
        rate = f"{1 / PACKET_S:.0f} a second"
        lost = (
            "no receiver report yet" if sent.fraction_lost is None else f"{sent.fraction_lost:.1%} lost on the way up"
        )
        status = check.status
        if (
            status is CheckStatus.PASSED
            and sent.fraction_lost is not None
            and sent.fraction_lost > self.request.limits.max_fraction_lost
        ):
            status = CheckStatus.FAILED
        self._set(replace(check, name="publish", status=status, detail=f"{check.detail} at {rate}, {lost}"))
        return sent

    def _set(self, check: Check) -> None:
        self.checks[check.name] = replace(check, attempts=self.attempt)
        self.env.emit(CheckDone(name=check.name, status=check.status.value, detail=check.detail))

    def _fail(self, name: str, error: RtcctlError) -> None:
        status = CheckStatus.INCONCLUSIVE if isinstance(error, InconclusiveError) else CheckStatus.FAILED
        self._set(Check(name, status, detail=error.message, hint=error.hint))
        self.failure = Failure.of(error)

    # -- the end -------------------------------------------------------------------------------------------------

    async def _clean_up(self) -> None:
        """Close what this attempt created, then look whether it is closed (absent, `inactive`, or 410)."""
        if not self.sessions:
            return
        env = self.env
        left: list[str] = []
        count = 0
        try:
            async with env.client(deadline_s=CLEAN_UP_DEADLINE_S) as client:
                for session_id in reversed(self.sessions):  # the subscription before what it is of
                    count += len(await close_held(client, env, session_id) or ())
                for session_id in self.sessions:
                    left += await _still_open(client, env, session_id)
        except RtcctlError as error:
            self._set(Check("cleanup", CheckStatus.FAILED, detail=error.message, hint=error.hint))
            self.failure = self.failure or Failure.of(error)
        else:
            status = CheckStatus.FAILED if left else CheckStatus.PASSED
            detail = f"still open: {', '.join(left)}" if left else f"{count} track{'' if count == 1 else 's'} closed"
            self._set(Check("cleanup", status, observed=len(left), limit=0, unit="open", detail=detail))
        for session_id in self.sessions:
            env.journal.session_closed(session_id, env.wallclock())

    def _build(self) -> Smoke:
        checks = _selected(self.checks, self.request)
        failure = self.failure
        verdict, commands = judge(checks, failure, self.env.profile.name, self.sessions)
        if failure is None and self.request.embedded:
            # The server of this run is gone with it.
            commands = ("rtcctl dev", *commands)
        return Smoke(
            target=self.env.target,
            checks=checks,
            failure=failure,
            verdict=verdict,
            next_commands=commands,
            session_ids=tuple(self.sessions),
            duration_s=self.env.clock() - self.started,
            attempts=self.attempt,
            publish=self.publish,
            subscribe=self.subscribe,
        )


async def _still_open(client: RealtimeClient, env: Env, session_id: str) -> list[str]:
    """The tracks of a session that are not closed; none when it is gone."""
    try:
        tracks = (await read(client, env, session_id)).tracks
    except ApiError as error:
        if error.is_gone:
            return []
        raise
    return [f"{session_id}/{track.track_name}" for track in tracks if track.status != "inactive"]


def _chosen(request: SmokeRequest) -> tuple[str, ...]:
    """The checks to judge, in order."""
    wanted = {*request.only, *request.require} if request.only else set(CHECKS)
    if request.relay is None:
        wanted.discard("relay")
    return tuple(name for name in CHECKS if name in wanted and name not in request.skip)


def _selected(done: Mapping[str, Check], request: SmokeRequest) -> tuple[Check, ...]:
    """All checks in order: those not chosen are left out, those not reached are skipped, required ones must pass."""
    checks = []
    for name in _chosen(request):
        check = done.get(name) or Check(name, CheckStatus.SKIPPED, detail="not reached")
        if check.status is CheckStatus.SKIPPED and name in request.require:
            check = replace(check, status=CheckStatus.FAILED, detail=f"required, but {check.detail}")
        checks.append(check)
    return tuple(checks)
