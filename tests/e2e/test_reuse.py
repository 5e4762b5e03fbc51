"""Two hundred tracks in a row on one session: m-sections are re-used, and each track receives media."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

import pytest

from rtcctl.errors import UsageError
from rtcctl.journal import Journal
from rtcctl.ops import media, sources
from rtcctl.ops.env import Env
from rtcctl.ops.media import Subscription
from rtcctl.ops.session import new_session
from rtcctl.ops.sources import Outgoing
from rtcctl.ops.transceivers import MIN_POOL, TransceiverPool
from rtcctl.probe.peer import Peer
from rtcctl.probe.sources.testsrc import LoopedPictureSource
from rtcctl.probe.sources.tone import ToneSource
from rtcctl.realtime.client import RealtimeClient
from rtcctl.realtime.profile import Profile
from rtcctl.server.server import RealtimeServer
from rtcctl.testing import realtime_server
from tests.support.requirements import slow

PULLS = 200


@dataclass
class Call:
    """A publisher of four tracks, and somebody who is about to subscribe."""

    env: Env
    client: RealtimeClient
    peer: Peer
    session_id: str
    publisher_session_id: str


@asynccontextmanager
async def call(folder: Path, transport: Literal["aiortc", "lean"]) -> AsyncIterator[Call]:
    async with RealtimeServer.run("127.0.0.1", 0) as server:
        profile = Profile(name="test", api_base=server.base_url, app_id=server.app_id, app_secret=server.app_secret)
        env = Env(profile=profile, journal=Journal.open(folder))
        try:
            async with (
                env.client(deadline_s=100) as client,
                media.open_peer(env, transport="lean") as publisher,
                media.open_peer(env, transport=transport) as peer,
            ):
                publishing, pulling = await new_session(client, env), await new_session(client, env)
                sounds = [Outgoing.of(name, ToneSource(440.0)) for name in ("a", "b", "c")]
                picture = Outgoing.of("d", LoopedPictureSource(160, 90, 30, loop_s=1))
                await media.publish(client, env, publisher, publishing, *sounds, picture)
                yield Call(env, client, peer, pulling, publishing)
                assert server.registry.bugs == 0
        finally:
            env.journal.close()


@pytest.mark.parametrize(
    ("offered_by", "transport", "pulls"),
    [
        ("sfu", "aiortc", 40),
        ("client", "lean", 40),
        pytest.param("sfu", "aiortc", PULLS, marks=slow),
        pytest.param("client", "lean", PULLS, marks=slow),
        pytest.param("sfu", "lean", PULLS, marks=slow),
        pytest.param("client", "aiortc", PULLS, marks=slow),
    ],
)
async def test_two_hundred_tracks_in_a_row(
    tmp_path: Path, offered_by: str, transport: Literal["aiortc", "lean"], pulls: int
):
    """By offers of the SFU, and by ours from a pool: never more m-sections than the pool, and each pull has media."""
    async with call(tmp_path, transport) as at:
        pool = TransceiverPool(at.peer) if offered_by == "client" else None
        for number in range(pulls):
            track = media.remote_track(at.publisher_session_id, "abcd"[number % 4])
            (subscription,) = await media.subscribe(
                at.client, at.env, at.peer, at.session_id, track, wait_s=5, pool=pool
            )
            receiver = subscription.receiver
            await receiver.wait_first_packet(5)
            assert receiver.kind == ("video" if number % 4 == 3 else "audio")
            await at.client.close_tracks(at.session_id, [subscription.mid], force=True)
            receiver.release()
            assert at.peer.sections <= MIN_POOL
        assert at.peer.sections <= 4
        assert at.peer.unrouted_packets < 3 * pulls, "what was on its way when a track was closed"


@pytest.mark.parametrize("offered_by", ["sfu", "client"])
async def test_tracks_of_other_codecs_come_to_the_same_section(tmp_path: Path, offered_by: str):
    """Four at a time, while the four before are still open: each brings media of its own codec, and the API holds just
    those that are open."""
    tracks = (
        *(f"opus{number}=tone:{300 + 100 * number}" for number in range(6)),
        *("pcmu=tone:400,codec=PCMU", "pcma=tone:500,codec=PCMA", "stereo=tone:300+600"),
        *(f"{codec}=testsrc,size=160x90,codec={codec}" for codec in ("VP8", "H264")),
    )
    with realtime_server() as server, Journal.open(tmp_path) as journal:
        env = Env(profile=server.profile, journal=journal)
        async with env.client() as client, media.open_peer(env) as alice, media.open_peer(env) as bob:
            alice_id, bob_id = await new_session(client, env), await new_session(client, env)
            outgoing = await sources.open_tracks([sources.parse(text) for text in tracks])
            published = await media.publish(client, env, alice, alice_id, *outgoing)
            codecs = {track.track.track_name: track.sender.codec for track in published}
            pool = TransceiverPool(bob) if offered_by == "client" else None
            names = cycle(codecs)
            still_open: tuple[Subscription, ...] = ()
            for _ in range(12):
                wanted = [media.remote_track(alice_id, name) for name in islice(names, 4)]
                pulled = await media.subscribe(client, env, bob, bob_id, *wanted, wait_s=5.0, pool=pool)
                await asyncio.gather(*(track.receiver.wait_first_packet(5.0) for track in pulled))
                assert [track.receiver.codec for track in pulled] == [codecs[track.track_name] for track in pulled]
                assert bob.sections <= MIN_POOL
                if still_open:
                    mids = [track.mid for track in still_open]
                    assert not {track.mid for track in pulled} & set(mids)
                    closed = await client.close_tracks(bob_id, mids, force=True)
                    assert [track.error_code for track in closed.tracks or ()] == [None] * 4
                for track in still_open:
                    track.receiver.release()
                still_open = pulled
            state = await client.get_session(bob_id)
            active = {track.mid for track in state.tracks or () if track.status == "active"}
            assert active == {track.mid for track in still_open}
        assert server.bugs == 0


async def test_more_tracks_than_half_a_pool(tmp_path: Path):
    """Twelve of a kind fit into sixteen m-sections: they are pulled a few at a time."""
    async with call(tmp_path, "lean") as at:
        tracks = [media.remote_track(at.publisher_session_id, "abc"[number % 3]) for number in range(12)]
        subscriptions = await media.subscribe(
            at.client, at.env, at.peer, at.session_id, *tracks, wait_s=5, pool=TransceiverPool(at.peer)
        )
        for subscription in subscriptions:
            await subscription.receiver.wait_first_packet(5)
        assert len({subscription.mid for subscription in subscriptions}) == 12
        assert at.peer.sections <= MIN_POOL


async def test_several_tracks_at_once_come_and_go(tmp_path: Path):
    """Three at a time through the pool, then others in their places; more than it can hold is refused in words."""
    async with call(tmp_path, "lean") as at:
        pool = TransceiverPool(at.peer)
        for _ in range(3):
            tracks = [media.remote_track(at.publisher_session_id, name) for name in ("a", "d", "b")]
            subscriptions = await media.subscribe(
                at.client, at.env, at.peer, at.session_id, *tracks, wait_s=5, pool=pool
            )
            assert len({subscription.mid for subscription in subscriptions}) == 3
            for subscription in subscriptions:
                await subscription.receiver.wait_first_packet(5)
            await at.client.close_tracks(at.session_id, [s.mid for s in subscriptions], force=True)
            for subscription in subscriptions:
                subscription.receiver.release()
        assert at.peer.sections == 6
        with pytest.raises(UsageError, match="no room for 9 more tracks"):
            pool.make_room(9)


@pytest.mark.parametrize(("expected_peers", "size"), [(1, 16), (10, 16), (11, 17), (100, 150)])
def test_the_size_of_a_pool(expected_peers: int, size: int):
    """One and a half m-sections for each expected peer, sixteen at least."""
    assert TransceiverPool(Peer(include_loopback=True), expected_peers=expected_peers).size == size
