"""Bad input cannot hurt the server: whatever comes, sessions go on, nothing grows, nobody else is fed or heard."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from rtcctl.server.addresses import default_route
from rtcctl.server.limits import Limits
from rtcctl.server.server import RealtimeServer
from tests.bench.load import LeanPeer
from tests.bench.setup import describe, offer_of
from tests.support import hostile
from tests.support.command import Home
from tests.support.data_path import certificate, settle, until
from tests.support.lean_session import LeanSession, client_of, lean_session, stranger

VECTORS = Path(__file__).parents[1] / "vectors" / "sdp"
OFFERS = [path.read_bytes().decode("utf-8") for path in sorted(VECTORS.glob("*.sdp")) if "answer" not in path.name]
ANSWER = (VECTORS / "chromium-answer.sdp").read_bytes().decode("utf-8")


@asynccontextmanager
async def conversation(
    server: RealtimeServer,
) -> AsyncIterator[tuple[LeanSession, LeanSession]]:
    """A publisher and its subscriber, both connected; what is said is heard."""
    async with client_of(server) as http, lean_session(http) as publisher, lean_session(http) as subscriber:
        await publisher.publish("mic", with_data_channels=True)
        publisher.say(3)
        await subscriber.pull(publisher, "mic")
        yield publisher, subscriber
        await heard(publisher, subscriber)
        for session in (publisher, subscriber):
            assert (await session.call("GET", "")).status_code == 200
        assert server.registry.bugs == 0


async def heard(publisher: LeanSession, subscriber: LeanSession) -> None:
    """What is said now arrives."""
    before = len(subscriber.packets)

    def arrives() -> bool:
        publisher.say()
        return len(subscriber.packets) > before

    await until(arrives)


async def storm(datagrams: Iterator[bytes], sock: socket.socket, to: tuple[str, int]) -> None:
    """Send them, with room for the server to read in between."""
    for index, datagram in enumerate(datagrams):
        sock.sendto(datagram, to)
        if index % 16 == 15:
            await asyncio.sleep(0)
    await settle()


@pytest.mark.parametrize("kind", hostile.DATAGRAMS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seed", [1, 2])
async def test_datagrams_of_strangers(kind: Any, seed: int) -> None:
    """On every address of the port: no session hears them, nothing is remembered of them, others connect as before."""
    draw = random.Random(seed)
    async with RealtimeServer.run("127.0.0.1", 0) as server, conversation(server) as (publisher, subscriber):
        endpoint = server.registry._endpoint
        before, packets = hostile.remembered(endpoint), len(subscriber.packets)
        for address, port in server.candidates:
            with closing(stranger(address)) as sock:
                await storm((kind(draw) for _ in range(400)), sock, (address, port))
        assert hostile.remembered(endpoint) == before
        assert len(subscriber.packets) == packets
        async with lean_session(publisher.http) as another:
            await another.publish("other")


@pytest.mark.parametrize("seed", [1, 2])
async def test_checks_that_name_a_session_without_its_password(seed: int) -> None:
    """They verify no address, and the session's own is not taken from it."""
    draw = random.Random(seed)
    async with RealtimeServer.run("127.0.0.1", 0) as server, conversation(server) as (publisher, _):
        endpoint = server.registry._endpoint
        before = hostile.remembered(endpoint)
        username = f"{publisher.peer.remote_ufrag}:{publisher.peer.ufrag}"
        with closing(stranger()) as sock:
            guessed = (hostile.sealed_stun(draw, username, "a guessed password") for _ in range(200))
            await storm(guessed, sock, publisher.peer.server)
            await storm((hostile.stun(draw, username=username) for _ in range(200)), sock, publisher.peer.server)
        assert hostile.remembered(endpoint) == before


@pytest.mark.parametrize("kind", [*hostile.DATAGRAMS, hostile.sealed_stun], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seed", [1, 2])
async def test_datagrams_of_a_peer(kind: Any, seed: int) -> None:
    """From the verified address itself, not encrypted: the session goes on, nothing of it reaches its subscriber."""
    draw = random.Random(seed)
    async with RealtimeServer.run("127.0.0.1", 0) as server, conversation(server) as (publisher, subscriber):
        before, packets = hostile.remembered(server.registry._endpoint), len(subscriber.packets)
        peer = publisher.peer
        arguments = (f"{peer.remote_ufrag}:{peer.ufrag}", peer.remote_pwd) if kind is hostile.sealed_stun else ()
        await storm((kind(draw, *arguments) for _ in range(400)), peer.sock, peer.server)
        assert len(subscriber.packets) == packets
        assert hostile.remembered(server.registry._endpoint) == before


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_what_a_peer_encrypts(seed: int) -> None:
    """RTP, RTCP and SCTP that are protected as they should be and make no sense inside."""
    draw = random.Random(seed)
    async with RealtimeServer.run("127.0.0.1", 0) as server, conversation(server) as (publisher, subscriber):
        before = hostile.remembered(server.registry._endpoint)
        for index in range(300):
            for session in (publisher, subscriber):
                peer = session.peer
                assert peer.srtp is not None
                is_own = draw.random() < 0.7
                # A window of libsrtp's that has moved on would swallow what follows.
                ssrc, number = (peer.ssrc, session.next_number()) if is_own else (None, None)
                for protected in (
                    peer.srtp.protect_rtp(hostile.rtp(draw, ssrc, number)),
                    peer.srtp.protect_rtcp(hostile.rtcp(draw, ssrc)),
                ):
                    if protected is not None:
                        peer.send(protected)
                is_sctp = draw.random() < 0.7
                peer.dtls.send(hostile.sctp(draw) if is_sctp else draw.randbytes(draw.choice((1, 12, 16, 1100))))
                peer._flush_dtls()
            if index % 8 == 7:
                await asyncio.sleep(0)
        await settle()
        assert hostile.remembered(server.registry._endpoint) == before


@pytest.mark.parametrize("seed", range(8))
async def test_a_handshake_gone_wrong_ends_that_session_alone(seed: int) -> None:
    """DTLS of a peer that is no DTLS: its session may end, the others never notice."""
    draw = random.Random(seed)
    async with (
        RealtimeServer.run("127.0.0.1", 0) as server,
        conversation(server) as (publisher, _),
        lean_session(publisher.http) as broken,
    ):
        peer = broken.peer
        peer.receive = lambda data: None  # type: ignore[method-assign]
        body = {
            "tracks": [{"location": "local", "mid": "0", "trackName": "x"}],
            "sessionDescription": {"type": "offer", "sdp": offer_of(peer)},
        }
        answer = (await broken.call("POST", "/tracks/new", body)).json()
        describe(peer, answer["sessionDescription"]["sdp"])
        peer.check()
        await storm((hostile.dtls(draw) for _ in range(100)), peer.sock, peer.server)
        assert (await broken.call("GET", "")).status_code in (200, 410)


async def test_a_session_is_fed_from_its_verified_address_only() -> None:
    """A valid packet of the session from another socket is dropped; once that socket has made a check, it counts."""
    async with RealtimeServer.run("127.0.0.1", 0) as server, conversation(server) as (publisher, subscriber):
        await heard(publisher, subscriber)
        await settle()
        with closing(stranger()) as second:
            before = len(subscriber.packets)
            for _ in range(20):
                second.sendto(publisher.srtp_packet, publisher.peer.server)
            await settle()
            assert len(subscriber.packets) == before
            second.sendto(bytes(publisher.peer.check()), publisher.peer.server)
            await settle()
            second.sendto(publisher.srtp_packet, publisher.peer.server)
            await until(lambda: len(subscriber.packets) == before + 1)


async def test_one_session_cannot_speak_for_another() -> None:
    """A connected peer that sends another's SSRC from its own address feeds neither."""
    async with RealtimeServer.run("127.0.0.1", 0) as server, conversation(server) as (publisher, subscriber):
        await heard(publisher, subscriber)
        await settle()
        async with lean_session(publisher.http) as intruder:
            await intruder.publish("mine")
            before = len(subscriber.packets)
            for number in range(20):
                intruder.peer.send_rtp(b"forged", number, number * 960, ssrc=publisher.peer.ssrc)
                intruder.peer.send(publisher.srtp_packet)
            await settle()
            assert len(subscriber.packets) == before


# --- signalling


def bodies(draw: random.Random) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Requests that would be right."""
    offer = {"type": "offer", "sdp": draw.choice(OFFERS)}
    local = {"location": "local", "mid": "0", "trackName": "mic", "kind": "audio"}
    remote = {"location": "remote", "sessionId": "0" * 32, "trackName": "mic", "simulcast": {"preferredRid": "f"}}
    channel = {"location": "remote", "sessionId": "0" * 32, "dataChannelName": "a", "ordered": True, "canReply": True}
    yield "POST", "/tracks/new", {"tracks": [local], "sessionDescription": offer}
    yield "POST", "/tracks/new", {"autoDiscover": True, "sessionDescription": offer}
    yield "POST", "/tracks/new", {"tracks": [remote, remote]}
    yield "PUT", "/tracks/update", {"tracks": [remote | {"mid": "0"}]}
    yield "PUT", "/tracks/close", {"tracks": [{"mid": "0"}, {"mid": "1"}], "force": True}
    yield "PUT", "/tracks/close", {"tracks": [{"mid": "0"}], "force": False, "sessionDescription": offer}
    yield "PUT", "/renegotiate", {"sessionDescription": {"type": "answer", "sdp": ANSWER}}
    yield "PUT", "/renegotiate", {"sessionDescription": offer}
    establish = {"location": "remote", "dataChannelName": "server-events"}
    yield "POST", "/datachannels/establish", {"dataChannel": establish, "sessionDescription": offer}
    yield "POST", "/datachannels/new", {"dataChannels": [channel, {"location": "local", "dataChannelName": "b"}]}
    yield "PUT", "/datachannels/update", {"dataChannels": [channel]}
    yield "PUT", "/datachannels/close", {"dataChannels": [{"id": 1}]}


def broken(draw: random.Random, body: dict[str, Any]) -> bytes:
    """The body with its SDP or its JSON spoilt."""
    description = body.get("sessionDescription")
    if description is not None and draw.random() < 0.6:
        body = body | {"sessionDescription": description | {"sdp": hostile.broken_sdp(draw, description["sdp"])}}
        return json.dumps(body).encode()
    return hostile.broken_json(draw, body)


def check(answer: httpx.Response) -> None:
    """JSON, no 5xx, an error with its code and description."""
    assert answer.status_code < 500, answer.text
    document = answer.json()
    if answer.status_code >= 400:
        assert document["errorCode"]
        assert document["errorDescription"]
        assert "\ud800" not in document["errorDescription"]


@pytest.mark.parametrize("seed", range(6))
async def test_broken_bodies(seed: int) -> None:
    """Whatever is wrong with them, and in whatever order they come: an answer in JSON, no 5xx, no bug."""
    draw = random.Random(seed)
    limits = Limits(connect_wait_s=0.01, media_wait_s=0.01, requests_per_second=10_000)
    async with RealtimeServer.run("127.0.0.1", 0, limits=limits) as server, client_of(server) as http:
        for _ in range(12):
            first = {"sessionDescription": {"type": "offer", "sdp": draw.choice(OFFERS)}}
            made = await http.post("sessions/new", content=broken(draw, first) if draw.random() < 0.5 else b"")
            check(made)
            session_id = made.json().get("sessionId", "0" * 32)
            for method, path, body in bodies(draw):
                content = broken(draw, body) if draw.random() < 0.8 else json.dumps(body).encode()
                check(await http.request(method, f"sessions/{session_id}{path}", content=content))
            check(await http.get(f"sessions/{session_id}"))
        assert server.registry.bugs == 0


async def test_deep_and_wide_bodies() -> None:
    """Limits of the JSON parser and of ours are the sender's errors; they are answered."""
    async with RealtimeServer.run("127.0.0.1", 0) as server, client_of(server) as http:
        http.timeout = httpx.Timeout(20)
        session_id = (await http.post("sessions/new")).json()["sessionId"]
        many = ",".join(f'"f{i}":{i}' for i in range(60_000))
        sections = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:x\r\n" * 20_000
        for content in (
            "[" * 500_000,
            '{"a":' * 100_000,
            f"{{{many}}}",
            f'{{"tracks": [{",".join(["{}"] * 200_000)}]}}',
            json.dumps({"sessionDescription": {"type": "offer", "sdp": f"v=0\r\n{sections}"}, "autoDiscover": True}),
            '{"tracks": ' + "9" * 500_000 + "}",
        ):
            async with asyncio.timeout(20):
                check(await http.post(f"sessions/{session_id}/tracks/new", content=content))
        assert server.registry.bugs == 0


# --- memory


DATAGRAMS, SESSIONS, USED_SESSIONS = 600, 50, 6
"Of a round; only the used ones get requests besides."
IMPATIENT = """import gc, sys
gc.set_threshold(700, 2, 2)
from rtcctl.server import limits
from rtcctl.server.faults import ledger
limits.SHORTEST_DISCONNECTED_S = 0.5
ledger.REQUESTS_KEPT = 300
from rtcctl.__main__ import main
sys.exit(main())"""
"""`rtcctl`, but its server lets sessions go sooner than its users could bear, and collects cycles at once: so that
hundreds come, go and leave their memory within a test. Its log of requests is full before memory is looked at: of
those that it keeps it would fill one megabyte meanwhile, which is bounded, and hides what is not."""


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_memory_is_flat(home: Home) -> None:
    """Round after round of hostile datagrams and requests, sessions that come and vanish: the process stays as it is.

    In a process of its own, so that only its own memory is measured; nothing is logged as a bug.
    """
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    draw = random.Random(11)
    with (
        home.dev("--time-scale", "0.005", program=(sys.executable, "-c", IMPATIENT)) as server,
        closing(stranger()) as sock,
    ):
        ready = server.ready
        to = ("127.0.0.1", int(ready["media_addresses"][0].rpartition(":")[2]))
        with httpx.Client(
            base_url=f"{ready['base_url']}/apps/{ready['app_id']}/",
            headers={"Authorization": f"Bearer {ready['app_secret']}"},
            timeout=15,
            trust_env=False,
        ) as http:

            def play_round() -> None:
                for index in range(DATAGRAMS):
                    sock.sendto(hostile.DATAGRAMS[index % len(hostile.DATAGRAMS)](draw), to)
                for index in range(SESSIONS):
                    peer = LeanPeer(certificate(), ("", 0), "", "", ())
                    offer = {"type": "offer", "sdp": offer_of(peer)}
                    answer = http.post("sessions/new", json={"sessionDescription": offer})
                    check(answer)
                    session_id = answer.json()["sessionId"]
                    for method, path, body in bodies(draw) if index < USED_SESSIONS else ():
                        check(http.request(method, f"sessions/{session_id}{path}", content=broken(draw, body)))
                    peer.sock.close()

            for _ in range(12):  # by then as many sessions go as come, and what is freed is used again
                play_round()
            before = resident_bytes(ready["pid"])
            for _ in range(12):
                play_round()
            grown = resident_bytes(ready["pid"]) - before
        assert grown < 1 << 20, f"{grown >> 10} KiB more"
        assert server.stop() == 0
        assert server.stderr == ""


@pytest.mark.skipif(default_route(4) is None, reason="this machine has no default route")
async def test_every_address_is_guarded() -> None:
    """A session verified on one address is not fed through another of ours by somebody else."""
    routed = default_route(4)
    assert routed is not None
    async with RealtimeServer.run("127.0.0.1", 0) as server, conversation(server) as (publisher, subscriber):
        await heard(publisher, subscriber)
        await settle()
        before = len(subscriber.packets)
        with closing(stranger(routed)) as second:
            for _ in range(10):
                second.sendto(publisher.srtp_packet, (routed, server.udp_port))
            await settle()
        assert len(subscriber.packets) == before
