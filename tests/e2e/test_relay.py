"""Media through TURN alone, with a real coturn: it goes there, and whatever is wrong with that is said."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Literal

import pytest

from rtcctl.errors import NetworkError, UsageError
from rtcctl.journal import Journal
from rtcctl.media.ledger import PacketRow
from rtcctl.media.server_url import ServerUrl
from rtcctl.ops import media
from rtcctl.ops import relay as relaying
from rtcctl.ops.env import Env
from rtcctl.ops.impair import Impairing
from rtcctl.ops.publish import PublishRequest, publish
from rtcctl.ops.relay import RelayPolicy
from rtcctl.ops.session import CreateRequest, create, new_session
from rtcctl.ops.smoke import SmokeRequest, smoke
from rtcctl.ops.sources import Outgoing, TrackSpec
from rtcctl.ops.subscribe import SubscribeRequest, subscribe
from rtcctl.ops.track import TrackRef
from rtcctl.probe.peer import Peer
from rtcctl.probe.sources.tone import ToneSource
from rtcctl.realtime.profile import Profile
from rtcctl.results.check import CheckStatus
from rtcctl.results.event import Event, Published, Warned
from rtcctl.server.server import RealtimeServer
from rtcctl.units import Via
from tests.support.command import Home
from tests.support.data_path import until
from tests.support.relaying import addresses_of_media, kill_coturn, loopback_certificate, relaying_server
from tests.support.requirements import require, slow
from tests.support.turn_path import turn_path

PROTOCOLS = ("udp", "tcp", "tls")
TRANSPORTS = ("aiortc", "lean")
PATH = ("turn", "session", "subscribe", "relay", "cleanup")
"What is judged of `smoke`: whether this machine is fast enough is no question of these tests."
GONE_S = 2.5
"Within this, coturn closes the port of an allocation that was given back."
Kind = Literal["aiortc", "lean"]


@dataclass
class Publishing:
    """A peer that publishes through a relay."""

    server: RealtimeServer
    env: Env
    peer: Peer
    session_id: str
    publication: media.Publication

    @property
    def relayed(self) -> tuple[str, int]:
        """Where it is reached."""
        transport = self.peer._transport
        assert transport is not None
        assert transport.selected_pair is not None
        ours, _ = transport.selected_pair
        return ours.address, ours.port


@asynccontextmanager
async def publishing(folder: Path, via: str, transport: Kind) -> AsyncIterator[Publishing]:
    """A tone on its way through coturn."""
    async with (
        relaying_server(folder) as (server, env),
        env.client(deadline_s=30) as client,
        relaying.settings(RelayPolicy(Via(via)), env, for_s=10) as relays,
        media.open_peer(env, relays=relays, transport=transport) as peer,
    ):
        session_id = await new_session(client, env)
        (publication,) = await media.publish(client, env, peer, session_id, Outgoing.of("tone", ToneSource(440.0)))
        yield Publishing(server, env, peer, session_id, publication)


def is_free(address: tuple[str, int]) -> bool:
    """Whether nobody has the UDP port."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        try:
            sock.bind(address)
        except OSError:
            return False
        return True


# -- the way it goes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("via", PROTOCOLS)
async def test_smoke_passes_and_says_which_relayed_pair_carried_it(tmp_path: Path, via: str):
    """Both peers of `smoke` go through the server that was asked for; it is in the checks and in both results."""
    async with relaying_server(tmp_path) as (_, env):
        result = await smoke(SmokeRequest(for_s=1, relay=RelayPolicy(Via(via)), only=PATH), env)
    assert result.exit_status == 0, result.verdict
    checks = {check.name: check for check in result.checks}
    assert {check.status for check in checks.values()} == {CheckStatus.PASSED}
    relay = checks["relay"]
    assert (relay.observed, relay.limit) == (f"relay {via}", f"relay {via}")
    assert relay.detail.count(f"({via})") == 2
    for half in (result.publish, result.subscribe):
        assert half is not None
        assert (half.candidate_type, half.relay_protocol) == ("relay", via)
        assert half.url is not None
        assert half.url.startswith("turns:127.0.0.1:" if via == "tls" else "turn:127.0.0.1:")
        assert half.candidate_pair is not None
        assert half.candidate_pair.endswith(f"relay/udp via {half.url} ({via})")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("via", PROTOCOLS)
async def test_the_server_sees_the_relayed_address_alone(tmp_path: Path, via: str, transport: Kind):
    """The SFU sends to, and hears from, the address that coturn has given, not one of ours."""
    async with publishing(tmp_path, via, transport) as at:
        transport_ = at.peer._transport
        assert transport_ is not None
        assert [candidate.type for candidate in transport_.candidates] == ["relay"]
        assert addresses_of_media(at.server) == {at.session_id: at.relayed}
        await until(lambda: at.publication.sender.statistics(at.env.clock()).packets_sent > 10)
        await until(lambda: at.peer.rtt_ms is not None)


async def test_what_goes_through_a_relay_is_impaired_inside_it(tmp_path: Path):
    """Of either transport: media, handshakes and checks are held both ways, also before there is one path of several;
    what is said to the TURN server is not."""

    async def case(env: Env, transport: Kind) -> None:
        rows: list[PacketRow] = []
        env = replace(env, impairing=Impairing.parse(["delay=30ms,seed=7"], Random(1)))
        assert env.impairing is not None
        env.impairing.write = rows.append
        async with (
            env.client(deadline_s=30) as client,
            relaying.settings(RelayPolicy(), env, for_s=10) as relays,
            media.open_peer(env, relays=relays, transport=transport) as peer,
        ):
            assert relays is not None
            assert len(relays.servers) > 1
            session_id = await new_session(client, env)
            (publication,) = await media.publish(client, env, peer, session_id, Outgoing.of("tone", ToneSource(440.0)))
            await until(lambda: publication.sender.statistics(env.clock()).packets_sent > 10)
            await until(lambda: peer.rtt_ms is not None)
            assert peer.rtt_ms is not None
            assert peer.rtt_ms > 60
            assert {"stun", "dtls", "original"} <= {row.kind for row in rows if row.direction == "up"}
            assert {"stun", "dtls"} <= {row.kind for row in rows if row.direction == "down"}
            assert min(row.held_s or 0 for row in rows) >= 0.03
        assert {row.session_id for row in rows} == {session_id}

    async with relaying_server(tmp_path) as (_, env):
        await asyncio.gather(*(case(env, transport) for transport in TRANSPORTS))


@pytest.mark.parametrize("transport", ["lean", pytest.param("aiortc", marks=slow)])
async def test_of_two_relays_the_server_uses_the_one_that_is_kept(tmp_path: Path, transport: Kind):
    """The slower one, which is given back, does not tell the server that it is nominated."""
    async with (
        relaying_server(tmp_path) as (server, env),
        env.client(deadline_s=30) as client,
        relaying.settings(RelayPolicy(Via("udp")), env, for_s=10) as relays,
    ):
        assert relays is not None
        (turn,) = relays.servers
        address = ("127.0.0.1", turn.url.port)
        with turn_path(address, hold_s=0.01) as near, turn_path(address, hold_s=0.02) as far:
            urls = [ServerUrl.parse(f"turn:127.0.0.1:{path.port}") for path in (near, far)]
            two = replace(relays, servers=tuple(replace(turn, url=url) for url in urls))
            async with media.open_peer(env, relays=two, transport=transport) as peer:
                session_id = await new_session(client, env)
                tone = Outgoing.of("tone", ToneSource(440.0))
                (publication,) = await media.publish(client, env, peer, session_id, tone)
                at = Publishing(server, env, peer, session_id, publication)
                for _ in range(10):
                    assert addresses_of_media(server) == {session_id: at.relayed}
                    await asyncio.sleep(0.01)  # about as long as what was sent by the slower one takes


@pytest.mark.parametrize("transport", ["lean", pytest.param("aiortc", marks=slow)])
async def test_a_candidate_that_the_relay_denies_is_not_why_a_connection_ends(tmp_path: Path, transport: Kind):
    """Of a path that has worked, it says nothing; before there was one, it may be the reason."""
    async with publishing(tmp_path, "udp", transport) as at:
        transport_ = at.peer._transport
        assert transport_ is not None
        relays, pair = transport_.relays, transport_.selected_pair
        assert relays is not None
        assert pair is not None
        (relay,) = relays.opened
        relay.send(b"x", ("2001:db8::9", 9))  # of another family than the relay
        await until(lambda: bool(relay.allocation.refusals))
        assert at.peer.path_trouble is None
        before = relays.trouble(None)
        assert before is not None
        assert "refused channel_bind: 4" in before.message
        denied = replace(pair[1], address="2001:db8::9", port=9)
        assert relays.trouble((pair[0], denied)) is not None


@pytest.mark.parametrize("kind", ["aiortc", pytest.param("lean", marks=slow)])
async def test_publish_and_subscribe_through_relays(tmp_path: Path, kind: Kind):
    """Two commands, each through TURN: the tone arrives whole, and both say how; `--relay` takes any protocol."""
    async with relaying_server(tmp_path) as (_, env):
        sessions: asyncio.Queue[str] = asyncio.Queue()

        def listen(event: Event) -> None:
            if isinstance(event, Published):
                sessions.put_nowait(event.session_id)

        tone = TrackSpec(track_name="mic", source="tone", argument="440")
        request = PublishRequest((tone,), for_s=4, relay=RelayPolicy(Via("tcp")))
        async with asyncio.TaskGroup() as group:
            publisher = group.create_task(publish(request, replace(env, emit=listen)))
            ref = TrackRef(await sessions.get(), "mic")
            pulling = SubscribeRequest((ref,), for_s=1.5, relay=RelayPolicy(), peer=kind)
            received = await subscribe(pulling, env)
        sent = publisher.result()
    assert (sent.exit_status, received.exit_status) == (0, 0)
    assert sent.checks[0].name == received.checks[0].name == "relay"
    assert (sent.relay_protocol, received.candidate_type) == ("tcp", "relay")
    assert received.packets_lost == 0
    assert received.packets_received > 60


async def test_a_session_is_held_through_a_relay(tmp_path: Path):
    """`session create --connect --relay-via tls`; its credential ends with it, and the journal knows."""
    async with relaying_server(tmp_path) as (server, env):
        result = await create(CreateRequest(connect=True, for_s=0.3, relay=RelayPolicy(Via("tls"))), env)
        assert server.turn.credentials == ()
    assert (result.exit_status, result.relay_protocol) == (0, "tls")
    assert env.journal.turn_credentials(env.wallclock()) == ()


# -- the end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("via", PROTOCOLS)
async def test_a_closed_peer_leaves_nothing(tmp_path: Path, via: str, transport: Kind):
    """The allocation is given back, and no task is left; a socket that is left open would fail the test."""
    before = asyncio.all_tasks()
    async with publishing(tmp_path, via, transport) as at:
        relayed = at.relayed
        assert not is_free(relayed)
        await at.peer.close()
        await until(lambda: is_free(relayed))
    await until(lambda: asyncio.all_tasks() <= before)


@pytest.mark.parametrize("transport", ["aiortc", pytest.param("lean", marks=slow)])
async def test_a_peer_that_vanishes_says_nothing_to_the_relay(tmp_path: Path, transport: Kind):
    """Nothing more goes through, and the allocation stays."""
    async with publishing(tmp_path, "udp", transport) as at:
        relayed = at.relayed
        at.peer.vanish()
        heard_at = at.peer.last_packet_at
        await asyncio.sleep(GONE_S)
        assert at.peer.last_packet_at == heard_at
        assert not is_free(relayed)


@pytest.mark.parametrize("transport", ["aiortc", pytest.param("lean", marks=slow)])
@pytest.mark.parametrize("via", PROTOCOLS)
async def test_a_turn_server_that_dies_is_an_outage_with_its_reason(tmp_path: Path, via: str, transport: Kind):
    """`watch` ends with what the network has said of the TURN server, not with a guess about the SFU."""
    async with publishing(tmp_path, via, transport) as at:
        kill_coturn(at.server)
        with pytest.raises(NetworkError) as lost:
            # A stream that ends is an end; a port that is closed may be open again the next moment.
            async with asyncio.timeout(2 if via != "udp" else 10):
                await media.watch(at.peer, 10, what="the publisher", session_id=at.session_id)
    assert lost.value.phase == "turn"
    assert "the publisher was lost: turn" in lost.value.message
    assert ("closed the connection" if via != "udp" else "refused") in lost.value.message


# -- what is wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_another_authority_is_not_trusted(tmp_path: Path, transport: Kind):
    """With nothing but TLS there is no connection, and the reason is the certificate."""
    async with relaying_server(tmp_path) as (_, env):
        with loopback_certificate() as other:
            env = env.with_profile(replace(env.profile, ca_file=str(other.authority)))
            async with (
                relaying.settings(RelayPolicy(Via("tls")), env, for_s=1) as relays,
                media.open_peer(env, relays=relays, transport=transport) as peer,
            ):
                peer.add_receiver()
                with pytest.raises(NetworkError, match=r"turns:127\.0\.0\.1:\d+.*: The certificate .* is not trusted"):
                    await peer.create_offer()


async def test_what_does_not_relay_is_said_and_the_others_do(tmp_path: Path):
    """`smoke` fails its check `turn` with the URL and the reason; media goes through the servers that work."""
    async with relaying_server(tmp_path) as (_, env):
        said: list[str] = []

        def listen(event: Event) -> None:
            if isinstance(event, Warned):
                said.append(event.text)

        with loopback_certificate() as other:
            broken = replace(env.with_profile(replace(env.profile, ca_file=str(other.authority))), emit=listen)
            result = await smoke(SmokeRequest(for_s=0.5, relay=RelayPolicy(), only=PATH), broken)
    checks = {check.name: check for check in result.checks}
    assert (result.exit_status, checks["turn"].status) == (3, CheckStatus.FAILED)
    assert "is not trusted" in checks["turn"].detail
    assert "turns:127.0.0.1" in checks["turn"].detail
    assert "TURN does not work: turns:127.0.0.1" in result.verdict
    assert checks["relay"].status is CheckStatus.PASSED
    assert any(text.startswith("turns:127.0.0.1") and "is not trusted" in text for text in said)


async def test_no_turn_server_no_relay(tmp_path: Path):
    """Via what there is not, and without a TURN key, nothing is begun; the message says what there is."""
    async with relaying_server(tmp_path) as (_, env):
        with pytest.raises(UsageError, match=r"via tls:1; there are turn:127\.0\.0\.1:\d+\?transport=udp, turn:"):
            await relaying.settings(RelayPolicy(Via("tls:1")), env, for_s=1).__aenter__()
        without = env.with_profile(replace(env.profile, turn_key_id="", turn_key_token=""))
        with pytest.raises(UsageError, match="has no TURN key"):
            await relaying.settings(RelayPolicy(), without, for_s=1).__aenter__()


async def test_without_a_turn_server_the_check_is_skipped_and_never_passed(tmp_path: Path):
    """No TURN key: `turn` is skipped, and `--require turn` makes that a failure."""
    require("turnserver", why="the server of this test has one")
    async with relaying_server(tmp_path) as (_, env):
        without = env.with_profile(replace(env.profile, turn_key_id="", turn_key_token=""))
        skipped = await smoke(SmokeRequest(for_s=0.5, only=("api", "turn")), without)
        required = await smoke(SmokeRequest(for_s=0.5, only=("api",), require=("turn",)), without)
    assert [check.status for check in skipped.checks] == [CheckStatus.PASSED, CheckStatus.SKIPPED]
    assert "no TURN key" in skipped.checks[1].detail
    assert (required.exit_status, required.checks[1].status) == (3, CheckStatus.FAILED)


async def test_stun_alone_relays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A server without coturn: the check is skipped with what to install, and `--relay` is a usage error with it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    async with RealtimeServer.run("127.0.0.1", 0, media_hosts=("127.0.0.1",)) as server:
        profile = Profile(
            name="test",
            api_base=server.base_url,
            app_id=server.app_id,
            app_secret=server.app_secret,
            turn_key_id=server.turn_key_id,
            turn_key_token=server.turn_key_token,
            is_embedded=True,
        )
        with Journal.open(tmp_path) as journal:
            env = Env(profile=profile, journal=journal)
            skipped = await smoke(SmokeRequest(for_s=0.5, only=("turn",)), env)
            relayed = await smoke(SmokeRequest(for_s=0.5, only=("turn",), relay=RelayPolicy()), env)
    assert skipped.checks[0].status is CheckStatus.SKIPPED
    assert "coturn" in skipped.checks[0].hint
    assert relayed.exit_status == 2
    assert relayed.failure is not None
    assert "coturn" in relayed.failure.hint


# -- the command -------------------------------------------------------------------------------------------------


def test_the_command_starts_a_server_that_relays(home: Home):
    """`rtcctl smoke --relay-via tls` with nothing configured: its own server, coturn and certificate."""
    require("turnserver", why="`smoke` starts one with its server")
    done = home.run("smoke", "--for=1s", f"--only={','.join(PATH)}", "--relay-via=tls", "--output=json")
    assert done.status == 0, done.stdout + done.stderr
    assert done.document["publish"]["relay_protocol"] == "tls"
    (turn,) = (check for check in done.document["checks"] if check["name"] == "turn")
    assert [part.split()[0] for part in turn["detail"].split(", ")] == ["udp", "tcp", "tls"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("smoke", "--relay-via=quic"), "tls:443"),
        (("smoke", "--only=relay"), "--relay"),
        (("session", "create", "--relay"), "--connect"),
    ],
)
def test_mistakes_are_exit_2(home: Home, arguments: tuple[str, ...], said: str):
    """Each with the right spelling."""
    done = home.run(*arguments)
    assert (done.status, said in done.stderr) == (2, True), done.stderr
