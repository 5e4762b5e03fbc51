"""`track diagnose`: each way in which a subscription fails, made for real, is told from the others."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtcctl.journal import Journal
from rtcctl.ops import subscribe
from rtcctl.ops.diagnose import DiagnoseRequest, diagnose
from rtcctl.ops.env import Env
from rtcctl.ops.track import TrackRef
from rtcctl.realtime.client import RealtimeClient
from rtcctl.realtime.schema import TrackObject
from rtcctl.results.diagnosis import TrackDiagnose
from rtcctl.results.event import Event, Interval
from rtcctl.testing import AsyncPeer, Realtime, realtime_server
from tests.support.command import Home
from tests.support.open_sessions import holds_nothing


@dataclass
class Call:
    """One app with a publisher of `mic`."""

    realtime: Realtime
    env: Env
    client: RealtimeClient
    publisher: str
    interval: asyncio.Event
    home: Home

    @asynccontextmanager
    async def subscriber(self) -> AsyncIterator[tuple[AsyncPeer, str]]:
        """Somebody else's peer that receives it, and its session."""
        async with self.realtime.async_peer() as peer:
            await self.realtime.subscribe(peer, self.publisher, "mic")
            assert peer.core.session_id is not None
            yield peer, peer.core.session_id

    async def pull(self, session_id: str) -> str:
        """Ask for it and answer nothing; the mid."""
        wanted = TrackObject(location="remote", session_id=self.publisher, track_name="mic")
        answer = await self.client.new_tracks(session_id, [wanted])
        assert answer.tracks
        return answer.tracks[0].mid or ""

    async def diagnose(self, subscriber: str, track: str = "mic", publisher: str | None = None) -> TrackDiagnose:
        return await diagnose(DiagnoseRequest(subscriber, TrackRef(publisher or self.publisher, track)), self.env)


async def all_is_well(call: Call) -> TrackDiagnose:
    async with call.subscriber() as (_, session_id):
        return await call.diagnose(session_id)


async def publisher_gone(call: Call) -> TrackDiagnose:
    async with call.subscriber() as (_, session_id):
        call.realtime.expire(call.publisher)
        return await call.diagnose(session_id)


async def publisher_replaced(call: Call) -> TrackDiagnose:
    """As `track publish` notes it when it recovers."""
    successor, profile = "c" * 32, call.env.profile
    async with call.subscriber() as (_, session_id):
        call.realtime.expire(call.publisher)
        call.env.journal.session_created(
            successor, profile=profile.name, api_base=profile.api_base, app_id=profile.app_id, at=call.env.wallclock()
        )
        call.env.journal.session_replaced(call.publisher, successor, call.env.wallclock())
        return await call.diagnose(session_id)


async def wrong_name(call: Call) -> TrackDiagnose:
    async with call.subscriber() as (_, session_id):
        return await call.diagnose(session_id, "Mic")


async def silent_publisher(call: Call) -> TrackDiagnose:
    async with call.subscriber() as (_, session_id):
        call.realtime.faults.set("loss=100%,direction=up,track=mic")
        return await call.diagnose(session_id)


async def never_pulled(call: Call) -> TrackDiagnose:
    return await call.diagnose((await call.client.new_session()).session_id)


async def pulled_from_another(call: Call) -> TrackDiagnose:
    async with call.realtime.async_peer() as other, call.subscriber() as (_, session_id):
        publisher = await call.realtime.publish(other, "mic")
        return await call.diagnose(session_id, publisher=publisher)


async def never_answered(call: Call) -> TrackDiagnose:
    session_id = (await call.client.new_session()).session_id
    await call.pull(session_id)
    return await call.diagnose(session_id)


async def closed_by_the_subscriber(call: Call) -> TrackDiagnose:
    async with call.subscriber() as (_, session_id):
        (track,) = (await call.client.get_session(session_id)).tracks or ()
        await call.client.close_tracks(session_id, [track.mid or ""], force=True)
        return await call.diagnose(session_id)


async def subscriber_gone(call: Call) -> TrackDiagnose:
    async with call.subscriber() as (peer, session_id):
        await peer.vanish()
        call.realtime.expire(session_id)
        return await call.diagnose(session_id)


async def subscriber_deaf(call: Call) -> TrackDiagnose:
    """A probe of this machine, to which nothing comes through."""
    request = subscribe.SubscribeRequest(
        (TrackRef(call.publisher, "mic"),), for_s=30, interval_s=0.2, max_fraction_lost=None, recover_for_s=None
    )
    probe = asyncio.ensure_future(subscribe.subscribe(request, call.env))
    try:
        await call.interval.wait()
        (interval,) = (i for i in call.env.journal.intervals(call.publisher) if i.received is not None)
        call.realtime.faults.set(f"loss=100%,direction=down,session={interval.session_id}")
        for _ in range(2):
            call.interval.clear()
            await call.interval.wait()
        return await call.diagnose(interval.session_id)
    finally:
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)


async def subscriber_killed(call: Call) -> TrackDiagnose:
    """The API lists its session for half a minute more; this machine knows that nobody is there."""
    track = TrackRef(call.publisher, "mic")
    options = "--interval", "200ms", "--output", "jsonl"
    environment = call.realtime.environment
    with call.home.running("track", "subscribe", str(track), *options, environment=environment) as subscriber:
        session_id = (await asyncio.to_thread(subscriber.event, "subscribed"))["session_id"]
        await asyncio.to_thread(subscriber.event, "interval")
        subscriber.process.kill()
        subscriber.process.wait()
        result = await diagnose(DiagnoseRequest(session_id, track, is_reading_only=True), call.env)
    call.env.journal.session_closed(session_id, call.env.wallclock())
    return result


Scenario = Callable[[Call], Awaitable[TrackDiagnose]]

EXPECTED: dict[Scenario, tuple[str | None, str | None, str]] = {
    # (side, check, what the verdict says)
    all_is_well: (None, None, "The publisher sends, and the SFU passes it on."),
    publisher_gone: ("publisher", "publisher-session", "is gone"),
    publisher_replaced: ("publisher", "publisher-session", f"was replaced by session {'c' * 32}"),
    wrong_name: ("publisher", "publisher-track", "it publishes: mic"),
    silent_publisher: ("publisher", "publisher-media", "it is silent"),
    never_pulled: ("subscriber", "subscriber-track", "never pulled"),
    pulled_from_another: ("subscriber", "subscriber-track", "of another session"),
    never_answered: ("subscriber", "subscriber-connection", "never renegotiated"),
    closed_by_the_subscriber: ("subscriber", "subscriber-track", "inactive"),
    subscriber_gone: ("subscriber", "subscriber-session", "is gone"),
    subscriber_killed: ("subscriber", "subscriber-media", "has ended"),
    subscriber_deaf: ("subscriber", "subscriber-media", "although a pull of our own does"),
}


def home_in(folder: Path) -> Home:
    folder.mkdir(exist_ok=True)
    return Home(folder)


async def run(realtime: Realtime, scenario: Scenario, folder: Path) -> TrackDiagnose:
    """One scenario in an app of its own, with a journal of its own."""
    interval = asyncio.Event()

    def emit(event: Event) -> None:
        if isinstance(event, Interval):
            interval.set()

    home = home_in(folder)
    with realtime.app() as app, Journal.open(home.state) as journal:
        env = Env(profile=app.profile, journal=journal, pid=os.getpid(), emit=emit, command="test")
        async with app.async_peer() as peer, env.client(deadline_s=30) as client:
            publisher = await app.publish(peer, "mic")
            result = await scenario(Call(app, env, client, publisher, interval, home))
            trial = result.trial_session_id
            assert trial is None or await holds_nothing(client, trial), scenario.__name__
            assert journal.sessions() == () or scenario is publisher_replaced
            return result


async def test_each_failure_is_told_from_the_others(tmp_path: Path):
    """The side, the first step that failed, and why; a trial pull leaves nothing open."""
    with realtime_server(time_scale=0.3) as realtime:
        results = await asyncio.gather(
            *(run(realtime, scenario, tmp_path / scenario.__name__) for scenario in EXPECTED)
        )
    found = {
        scenario.__name__: (result.failed_side, result.failed_check, expected[2] in result.verdict or result.verdict)
        for (scenario, expected), result in zip(EXPECTED.items(), results, strict=True)
    }
    assert found == {scenario.__name__: (side, check, True) for scenario, (side, check, _) in EXPECTED.items()}
    by_name = dict(zip((scenario.__name__ for scenario in EXPECTED), results, strict=True))
    assert [int(result.exit_status) for result in results] == [0, *[3] * (len(results) - 1)]
    well = by_name["all_is_well"]
    assert well.time_to_first_packet_ms is not None
    assert "not known: subscriber-media" in well.verdict
    assert "c" * 32 in by_name["publisher_replaced"].next_commands[0]
    for name, passed, skipped in (
        ("subscriber_deaf", "publisher-media", ()),
        ("subscriber_killed", "subscriber-session", ("subscriber-connection",)),
        ("publisher_gone", "subscriber-session", ("publisher-track", "publisher-media", "subscriber-track")),
    ):
        statuses = {check.name: check.status for check in by_name[name].checks}
        assert (statuses[passed], {statuses[each] for each in skipped} - {"skipped"}) == ("passed", set()), name


async def test_without_the_media_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The SFU takes the pull: that much is known, and what is missing to know more is said."""

    async def all_is_well_to_the_deaf(call: Call) -> TrackDiagnose:
        async with call.subscriber() as (_, session_id):
            monkeypatch.setitem(sys.modules, "rtcctl.probe.peer", None)
            return await call.diagnose(session_id)

    with realtime_server() as realtime:
        result = await run(realtime, all_is_well_to_the_deaf, tmp_path)
    media = next(check for check in result.checks if check.name == "publisher-media")
    assert (media.status, int(result.exit_status)) == ("skipped", 0)
    assert "rtcctl[probe]" in media.hint
    assert "not known: publisher-media, subscriber-media" in result.verdict
