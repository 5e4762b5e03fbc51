"""The lean transport against a counterpart on loopback, another of its kind, and the embedded server."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtcctl.errors import NetworkError
from rtcctl.media.rtcp import GenericNack, ReceiverReport, SourceDescription, compound
from rtcctl.media.rtp import RtpHeader, build_packet
from rtcctl.media.sdp import Candidate
from rtcctl.media.stun import BINDING_ERROR, Attribute, Message, is_stun
from rtcctl.probe.lean import LeanTransport
from rtcctl.probe.readers import Readers
from rtcctl.probe.transport import Arrival, RemoteTransport, Transport, TransportState
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.transport.dtls import Certificate
from tests.bench.load import LeanPeer
from tests.support import hostile
from tests.support.data_path import OPUS, certificate, endpoint, members, settle, until

OVER = (TransportState.FAILED, TransportState.CLOSED)
REPORT = compound(ReceiverReport(5), SourceDescription.of(5, "lean"))


def packet(number: int, payload: bytes = b"payload") -> bytes:
    return build_packet(payload, payload_type=111, sequence_number=number, rtp_timestamp=960 * number, ssrc=5)


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.transport: LeanTransport | None = None
        self.datagrams: list[Arrival] = []
        self.rtp: list[tuple[bytes, Arrival]] = []
        self.rtcp: list[bytes] = []
        self.round_trips_ms: list[float] = []
        self.states: list[TransportState] = []
        self.on_rtp: Callable[[], None] | None = None

    def datagram_received(self, arrival: Arrival) -> None:
        self.datagrams.append(arrival)

    def rtp_received(self, packet: bytes, arrival: Arrival) -> None:
        self.rtp.append((packet, arrival))
        if self.on_rtp is not None:
            self.on_rtp()

    def rtcp_received(self, data: bytes, arrival: Arrival) -> None:
        self.rtcp.append(data)

    def round_trip_measured(self, rtt_ms: float) -> None:
        self.round_trips_ms.append(rtt_ms)

    def state_changed(self) -> None:
        assert self.transport is not None
        self.states.append(self.transport.state)


@asynccontextmanager
async def lean(
    *, clock: Callable[[], float] = time.monotonic, **options: Any
) -> AsyncIterator[tuple[LeanTransport, Heard]]:
    """A gathered transport, closed at the end."""
    heard = Heard()
    transport = LeanTransport(heard, clock=clock, **{"include_loopback": True, "host": "127.0.0.1"} | options)
    heard.transport = transport
    await transport.gather()
    try:
        yield transport, heard
    finally:
        await transport.close()
        assert transport.state is TransportState.CLOSED


class Counterpart:
    """A peer with one socket that answers checks; it can lose datagrams, and be anybody."""

    def __init__(self, transport: LeanTransport, *, is_dtls_server: bool = True) -> None:
        self.peer = LeanPeer(
            certificate(),
            ("127.0.0.1", transport.candidates[0].port),
            transport.ufrag,
            transport.pwd,
            (("sha-256", transport.fingerprint),),
            is_dtls_server=is_dtls_server,
        )
        self.datagrams: list[bytes] = []
        self.is_lost: Callable[[bytes], bool] = lambda data: False
        receive = self.peer.receive

        def take(data: bytes) -> None:
            self.datagrams.append(data)
            if not self.is_lost(data):
                receive(data)
                if is_stun(data) and Attribute.USE_CANDIDATE in Message.parse(data).attributes:
                    self._begin_handshake()

        self.peer.receive = take  # type: ignore[method-assign]
        self.rtp: list[bytes] = []
        self.rtcp: list[Any] = []
        self.peer.on_rtp = self.rtp.append
        self.peer.on_rtcp = self.rtcp.extend
        asyncio.get_running_loop().add_reader(self.peer.sock, self.peer.read)

    def description(self, **overrides: Any) -> RemoteTransport:
        values = {
            "ufrag": self.peer.ufrag,
            "pwd": self.peer.pwd,
            "fingerprints": (("sha-256", self.peer.certificate.fingerprint),),
            "candidates": (Candidate.host(*self.peer.sock.getsockname()),),
            "is_ice_lite": True,
        }
        return RemoteTransport(**values | overrides)

    def _begin_handshake(self) -> None:
        if not self.peer.is_dtls_server and not self.peer.is_checked:
            self.peer.is_checked = True
            self.peer.dtls.start()
            for datagram in self.peer.dtls.datagrams_to_send():
                self.peer.send(datagram)

    def leave(self) -> None:
        if self.peer.sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.peer.sock)
            self.peer.close()


@asynccontextmanager
async def pair(
    *, is_dtls_server: bool = False, **options: Any
) -> AsyncIterator[tuple[LeanTransport, Heard, Counterpart]]:
    """A transport and a counterpart that does not know of it yet."""
    async with lean(**options) as (transport, heard):
        other = Counterpart(transport, is_dtls_server=not is_dtls_server)
        try:
            yield transport, heard, other
        finally:
            other.leave()


@asynccontextmanager
async def connected(
    *, is_dtls_server: bool = False, **options: Any
) -> AsyncIterator[tuple[LeanTransport, Heard, Counterpart]]:
    async with pair(is_dtls_server=is_dtls_server, **options) as (transport, heard, other):
        transport.start(other.description(), is_dtls_server=is_dtls_server)
        await until(lambda: transport.state is TransportState.CONNECTED and other.peer.srtp is not None)
        yield transport, heard, other


class WarpLoop(asyncio.SelectorEventLoop):
    """A loop whose time can be made to pass."""

    passed_s = 0.0

    def time(self) -> float:
        return super().time() + self.passed_s

    async def pass_time(self, seconds: float) -> None:
        """In steps of 20 ms, with room between them for what is due or arrives."""
        for _ in range(round(seconds / 0.02)):
            self.passed_s += 0.02
            for _ in range(3):
                await asyncio.sleep(0)


def warped(test: Callable[[WarpLoop], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, WarpLoop)
        runner.run(test(loop))


def test_it_is_a_transport():
    """It has all that a peer uses. (The type checker says the rest.)"""
    transport: Transport = LeanTransport(Heard(), clock=time.monotonic, include_loopback=True)
    assert transport.state is TransportState.NEW
    assert (transport.checking_at, transport.nominated_at, transport.connected_at) == (None, None, None)
    assert (transport.candidates, transport.selected_pair) == ((), None)


@pytest.mark.parametrize("is_dtls_server", [False, True])
async def test_connects(is_dtls_server):
    """In either DTLS role: states in their order, times that grow, and the pair that was selected."""
    async with connected(is_dtls_server=is_dtls_server) as (transport, heard, other):
        assert heard.states == [TransportState.CHECKING, TransportState.HANDSHAKING, TransportState.CONNECTED]
        assert transport.checking_at is not None
        assert transport.checking_at <= transport.nominated_at <= transport.connected_at <= time.monotonic()
        ours, theirs = transport.selected_pair
        assert ours == transport.candidates[0]
        assert theirs == other.description().candidates[0]
        assert other.peer.errors == []
    assert heard.states[3:] == [TransportState.CLOSED]
    assert transport.selected_pair == (ours, theirs)


@pytest.mark.parametrize("host", ["127.0.0.1", None])
async def test_media_both_ways(host):
    """RTP and RTCP arrive decrypted with the time at which they were read, whichever socket it is."""
    async with connected(host=host) as (transport, heard, other):
        before = time.monotonic_ns()
        for number in range(100):
            other.peer.send_rtp(b"from there", number, 960 * number)
        other.peer.send_rtcp(GenericNack(1, 2, (3,)))
        await until(lambda: len(heard.rtp) == 100 and heard.rtcp)
        assert [RtpHeader.parse(data).sequence_number for data, _ in heard.rtp] == list(range(100))
        assert all(data.endswith(b"from there") for data, _ in heard.rtp)
        stamps = [arrival.monotonic_ns for _, arrival in heard.rtp]
        assert stamps == sorted(stamps)
        assert before <= stamps[0] <= stamps[-1] <= time.monotonic_ns()
        assert all(abs(arrival.now - arrival.monotonic_ns / 1e9) < 0.01 for _, arrival in heard.rtp)
        assert len(heard.datagrams) >= 101

        for number in range(100):
            transport.send_rtp(packet(number))
        transport.send_rtcp(REPORT)
        await until(lambda: len(other.rtp) == 100 and other.rtcp)
        assert other.rtp == [packet(number) for number in range(100)]
        assert other.rtcp == [ReceiverReport(5), SourceDescription.of(5, "lean")]
        assert not any(b"payload" in data for data in other.datagrams)
        assert transport.packets_dropped == 0


async def test_retransmission_and_what_is_too_long():
    """A number may be sent again, and is one packet there; what fits no datagram is not sent."""
    async with connected() as (transport, _, other):
        transport.send_rtp(packet(1))
        transport.send_rtp(packet(2, bytes(4000)))
        transport.send_rtp(packet(1))
        transport.send_rtp(packet(3, bytes(1400)))
        await until(lambda: len(other.rtp) == 2)
        assert other.rtp == [packet(1), packet(3, bytes(1400))]
        assert sum(data[0] >= 128 for data in other.datagrams) == 3


async def test_nothing_is_sent_before_and_after():
    """Without a connection media goes nowhere, silently."""
    async with pair() as (transport, _, other):
        transport.send_rtp(packet(1))
        transport.send_rtcp(REPORT)
        transport.start(other.description(), is_dtls_server=False)
        transport.send_rtp(packet(1))
        await until(lambda: transport.state is TransportState.CONNECTED)
        await transport.close()
        transport.send_rtp(packet(1))
        transport.send_rtcp(REPORT)
        await settle()
        assert other.rtp == other.rtcp == []


def test_round_trips():
    """A consent check 0.25 s after the path was selected, then one each 1.6 to 2.4 s; each answer is a round trip."""

    async def test(loop: WarpLoop) -> None:
        async with connected(clock=loop.time) as (transport, heard, other):
            before = len(other.datagrams)
            await loop.pass_time(0.2)
            assert heard.round_trips_ms == []
            times: list[float] = []
            for _ in range(3000):
                await loop.pass_time(0.02)
                times += [loop.time()] * (len(heard.round_trips_ms) - len(times))
            assert times[0] - transport.nominated_at == pytest.approx(0.25, abs=0.1)
            gaps = [after - before for before, after in itertools.pairwise(times)]
            assert all(1.55 < gap < 2.5 for gap in gaps)
            assert max(gaps) - min(gaps) > 0.2
            assert 24 < len(gaps) < 40
            assert all(0 < round_trip < 100 for round_trip in heard.round_trips_ms)
            assert len(other.datagrams) - before == len(times)

    warped(test)


async def test_a_round_trip_is_the_way_there_and_back():
    """It is the time between question and answer, from a clock that says so."""
    offset = 0.0
    async with connected(clock=lambda: time.monotonic() + offset) as (_, heard, other):
        kept: list[bytes] = []
        receive = other.peer.receive
        other.peer.receive = kept.append
        await until(lambda: kept)
        offset = 0.5
        receive(kept[0])
        await until(lambda: heard.round_trips_ms)
        assert 500 <= heard.round_trips_ms[0] < 700


@pytest.mark.parametrize("is_dtls_server", [False, True])
async def test_wrong_fingerprint(is_dtls_server):
    """The certificate of somebody else ends it, before any media could go there."""
    async with pair(is_dtls_server=is_dtls_server) as (transport, heard, other):
        stranger = (("sha-256", Certificate.generate().fingerprint), ("md5", "00"))
        transport.start(other.description(fingerprints=stranger), is_dtls_server=is_dtls_server)
        await until(lambda: transport.state in OVER)
        assert transport.state is TransportState.FAILED
        assert transport.nominated_at is not None
        assert transport.connected_at is None
        transport.send_rtp(packet(1))
        await settle()
        assert other.rtp == []
        assert heard.states == [TransportState.CHECKING, TransportState.HANDSHAKING, TransportState.FAILED]
        await until(lambda: other.peer.dtls.is_closed)
    assert heard.states[3:] == [TransportState.CLOSED]


async def test_no_candidate():
    """With nowhere to go there is no path, and that is known at once."""
    odd = (
        Candidate.host("b0a5c1d2.local", 5),
        Candidate("1", 1, "tcp", 1, "127.0.0.1", 9, "host"),
        Candidate("1", 2, "udp", 1, "127.0.0.1", 9, "host"),
        Candidate.host("::1", 9),
    )
    async with pair() as (transport, heard, other):
        transport.start(other.description(candidates=odd), is_dtls_server=False)
        await until(lambda: transport.state is TransportState.FAILED)
        assert transport.nominated_at is None
        assert heard.states == [TransportState.CHECKING, TransportState.FAILED]


async def test_best_candidate_first():
    """Candidates are checked by priority, in whatever order they are named."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as worse:
        worse.bind(("127.0.0.1", 0))
        worse.setblocking(False)
        async with pair() as (transport, _, other):
            best = other.description().candidates[0]
            candidates = (Candidate.host(*worse.getsockname(), index=1), best)
            transport.start(other.description(candidates=candidates), is_dtls_server=False)
            await until(lambda: transport.state is TransportState.CONNECTED)
            assert transport.selected_pair[1] == best
            with pytest.raises(BlockingIOError):
                worse.recv(2048)


@pytest.mark.parametrize("is_ice_lite", [True, False])
def test_no_answer(is_ice_lite):
    """A candidate that never answers is given up after 39.5 s; a full agent might have asked by itself until 40 s."""

    async def test(loop: WarpLoop) -> None:
        async with pair(clock=loop.time) as (transport, _, other):
            other.is_lost = lambda data: True
            transport.start(other.description(is_ice_lite=is_ice_lite), is_dtls_server=False)
            await loop.pass_time(39)
            assert transport.state is TransportState.CHECKING
            assert len(other.datagrams) == 7
            await loop.pass_time(1.5)
            assert transport.state is TransportState.FAILED
            assert transport.nominated_at is None

    warped(test)


async def test_full_agent_that_nobody_can_reach_first():
    """A peer whose candidates are names, as browsers' are, is found by its own checks; it may move, as it controls."""
    async with pair() as (transport, heard, other):
        hidden = (Candidate.host("b0a5c1d2.local", 5),)
        transport.start(other.description(candidates=hidden, is_ice_lite=False), is_dtls_server=False)
        await settle()
        assert transport.state is TransportState.CHECKING
        other.peer.check(ice_controlling=b"\xff" * 8)  # the greater tie-breaker: it controls
        await until(lambda: transport.state is TransportState.CONNECTED)
        _, theirs = transport.selected_pair
        assert theirs.type == "prflx"
        assert (theirs.address, theirs.port) == other.peer.sock.getsockname()

        before = other.peer.sock
        loop = asyncio.get_running_loop()
        loop.remove_reader(before)
        before.close()
        other.peer.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other.peer.sock.setblocking(False)
        other.peer.sock.bind(("127.0.0.1", 0))
        loop.add_reader(other.peer.sock, other.peer.read)
        other.peer.check(ice_controlling=b"\xff" * 8)
        await until(lambda: transport.selected_pair[1].port == other.peer.sock.getsockname()[1])
        transport.send_rtp(packet(1))
        other.peer.send_rtp(b"", 1, 1)
        await until(lambda: other.rtp and heard.rtp)


async def test_two_of_its_kind():
    """Both believe to control; one gives in, and media flows both ways (RFC 8445 §7.3.1.1)."""
    async with lean(host=None) as (a, heard_a), lean(host=None) as (b, heard_b):

        def description(of: LeanTransport) -> RemoteTransport:
            return RemoteTransport(of.ufrag, of.pwd, (("sha-256", of.fingerprint),), of.candidates, is_ice_lite=False)

        a.start(description(b), is_dtls_server=True)
        b.start(description(a), is_dtls_server=False)
        await until(lambda: a.state is b.state is TransportState.CONNECTED)
        await until(lambda: heard_a.round_trips_ms and heard_b.round_trips_ms)
        for number in range(10):
            a.send_rtp(packet(number))
            b.send_rtp(packet(number))
        await until(lambda: len(heard_a.rtp) == len(heard_b.rtp) == 10)
        b.send_rtcp(REPORT)
        await until(lambda: heard_a.rtcp == [REPORT])
        await b.close()
        await until(lambda: a.state is TransportState.CLOSED)


async def test_lost_flights_are_sent_again():
    """The handshake's timer runs: a ClientHello that is lost costs a second, not the connection."""
    async with pair() as (transport, _, other):
        lost: list[bytes] = []

        def lose(data: bytes) -> bool:
            if 20 <= data[0] <= 63 and not lost:
                lost.append(data)
                return True
            return False

        other.is_lost = lose
        started_at = time.monotonic()
        transport.start(other.description(), is_dtls_server=False)
        await until(lambda: transport.state is TransportState.CONNECTED)
        assert lost
        assert time.monotonic() - started_at > 0.9


async def test_starts_once():
    """The second description changes nothing, and after vanishing there is no beginning."""
    async with connected() as (transport, heard, other):
        at, states = transport.checking_at, list(heard.states)
        transport.start(other.description(ufrag="other"), is_dtls_server=True)
        assert (transport.checking_at, heard.states) == (at, states)
    async with pair() as (transport, heard, other):
        transport.vanish()
        transport.start(other.description(), is_dtls_server=False)
        assert heard.states == []


async def test_peer_says_goodbye():
    """A close_notify ends it."""
    async with connected() as (transport, heard, other):
        other.leave()
        await until(lambda: transport.state is TransportState.CLOSED)
        transport.send_rtp(packet(1))
        assert heard.states[-1] is TransportState.CLOSED
        await transport.close()
        assert heard.states.count(TransportState.CLOSED) == 1


async def test_close_says_goodbye_once():
    """The peer hears a close_notify; the second time nothing happens; nothing starts again."""
    async with connected() as (transport, heard, other):
        await transport.close()
        await until(lambda: other.peer.dtls.is_closed)
        count = len(other.datagrams)
        await transport.close()
        transport.vanish()
        transport.start(other.description(), is_dtls_server=False)
        await transport.gather()
        await settle()
        assert len(other.datagrams) == count
        assert heard.states.count(TransportState.CLOSED) == 1


def test_close_at_any_time():
    """Before gathering, before starting, while checking: closing needs no connection."""

    async def test(loop: WarpLoop) -> None:
        heard = Heard()
        transport = heard.transport = LeanTransport(heard, clock=loop.time, include_loopback=True)
        transport.vanish()
        await transport.close()
        assert heard.states == [TransportState.CLOSED]
        async with lean(clock=loop.time) as (transport, heard):
            await transport.close()
            assert heard.states == [TransportState.CLOSED]
        async with pair(clock=loop.time) as (transport, _, other):
            other.is_lost = lambda data: True
            transport.start(other.description(), is_dtls_server=False)
            await loop.pass_time(0.1)
            await transport.close()
            count = len(other.datagrams)
            await loop.pass_time(10)
            assert len(other.datagrams) == count == 1

    warped(test)


def test_vanish():
    """Nothing is heard or said any more, not even goodbye; to the kernel the socket is still there."""

    async def test(loop: WarpLoop) -> None:
        async with connected(clock=loop.time) as (transport, heard, other):
            await loop.pass_time(1)
            transport.vanish()
            sent, received, states = len(other.datagrams), len(heard.datagrams), list(heard.states)
            other.peer.send_rtp(b"anybody?", 1, 1)
            other.peer.check()
            transport.send_rtp(packet(1))
            transport.send_rtcp(REPORT)
            await loop.pass_time(40)
            assert heard.states == states
            await transport.close()
            await loop.pass_time(1)
            assert len(other.datagrams) == sent
            assert len(heard.datagrams) == received
            assert heard.states == [*states, TransportState.CLOSED]

    warped(test)


async def test_vanish_while_reading():
    """A listener may have it vanish on a packet: the next one is not told."""
    async with connected() as (transport, heard, other):
        heard.on_rtp = transport.vanish
        for number in range(5):
            other.peer.send_rtp(b"", number, number)
        count = len(heard.datagrams)
        await settle()
        assert len(heard.rtp) == 1
        assert len(heard.datagrams) == count + 1


@pytest.mark.parametrize("is_known", [False, True])
def test_consent_is_lost(is_known):
    """Half a minute without an answer ends it, whatever else the peer may send (RFC 7675 §5.1)."""

    async def test(loop: WarpLoop) -> None:
        async with connected(clock=loop.time) as (transport, heard, other):
            other.is_lost = lambda data: data[0] < 4
            for _ in range(28):
                await loop.pass_time(1)
                if is_known:
                    other.peer.send_rtp(b"", 0, 0)
            assert transport.state is TransportState.CONNECTED
            await loop.pass_time(3)
            assert transport.state is TransportState.FAILED
            assert heard.round_trips_ms == []

    warped(test)


async def test_garbage():
    """Noise from the peer, and from strangers before there is one, changes nothing."""
    draw = random.Random(3)
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with stranger:
        stranger.bind(("127.0.0.1", 0))

        def junk() -> bytes:
            makers = (hostile.noise, hostile.stun, hostile.dtls, hostile.rtp, hostile.rtcp)
            data = draw.choice(makers)(draw)[:4000]
            return junk() if data[:2] == BINDING_ERROR else data

        async with pair() as (transport, heard, other):
            here = ("127.0.0.1", transport.candidates[0].port)
            for _ in range(300):
                stranger.sendto(junk(), here)
            await until(lambda: len(heard.datagrams) == 300)
            transport.start(other.description(), is_dtls_server=False)
            for _ in range(50):
                stranger.sendto(junk(), here)
            await until(lambda: transport.state is TransportState.CONNECTED)
            await until(lambda: other.peer.srtp is not None)
            count = len(heard.datagrams)
            for _ in range(300):
                stranger.sendto(junk(), here)
                data = junk()
                if not 20 <= (data or b"\0")[0] <= 63:  # an alert of its own would be the peer's word
                    other.peer.send(data)
            await settle()
            assert len(heard.datagrams) > count + 50
            assert heard.rtp == heard.rtcp == []
            for first in (b"\x16", b"\x80", b"\x00"):
                other.peer.send(first)
                other.peer.send(b"")
            other.peer.send_rtp(b"", 1, 1)
            await until(lambda: heard.rtp)
            assert transport.state is TransportState.CONNECTED


async def test_dtls_from_an_address_that_was_not_verified():
    """A handshake is led with whom ICE has found, and with nobody else."""
    async with pair() as (transport, _, other):
        other.is_lost = lambda data: data[0] < 4
        transport.start(other.description(), is_dtls_server=True)
        other.peer.dtls = type(other.peer.dtls)(certificate(), is_server=False)
        other.peer.dtls.start()
        (hello,) = other.peer.dtls.datagrams_to_send()
        other.peer.send(hello)
        await settle()
        assert not any(20 <= data[0] <= 63 for data in other.datagrams)


async def test_host_that_is_not_ours():
    """An address of somebody else is refused with a word, and closing is still possible."""
    transport = LeanTransport(heard := Heard(), clock=time.monotonic, include_loopback=True, host="192.0.2.99")
    heard.transport = transport
    with pytest.raises(NetworkError, match=r"192\.0\.2\.99") as raised:
        await transport.gather()
    assert raised.value.phase == "ice"
    await transport.close()


async def test_candidates():
    """Those of all interfaces, on one port for each family; loopback first when it is asked for, else not at all."""
    async with lean(host=None) as (transport, _):
        first, *others = transport.candidates
        assert (first.address, first.type, first.component) == ("127.0.0.1", "host", 1)
        priorities = [candidate.priority for candidate in transport.candidates]
        assert priorities == sorted(set(priorities), reverse=True)
        for family in (True, False):
            assert len({c.port for c in (first, *others) if (":" in c.address) is family}) <= 1
        before = transport.candidates
        await transport.gather()
        assert transport.candidates == before
    async with lean(host=None, include_loopback=False) as (transport, _):
        assert [c.address for c in transport.candidates] == [
            c.address for c in others if c.address not in ("127.0.0.1", "::1")
        ]


async def test_a_name_is_no_address():
    """To look it up would hold up the event loop for seconds."""
    async with lean() as (transport, _):
        for address, expected in (("sfu.invalid", False), ("x.local", False), ("203.0.113.1", True)):
            assert transport._datagrams.is_reachable(Candidate("1", 1, "udp", 1, address, 9, "host")) is expected


async def test_a_path_decides_for_one_socket():
    """With a path there is one socket left, which takes nothing from anybody else."""
    async with connected(host=None) as (transport, heard, other):
        ipv6 = [candidate for candidate in transport.candidates if candidate.address == "::1"]
        count = len(heard.datagrams)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"hello", ("127.0.0.1", transport.candidates[0].port))
        for candidate in ipv6:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.bind(("::1", candidate.port))
        other.peer.send_rtp(b"", 1, 1)
        await until(lambda: heard.rtp)
        assert len(heard.datagrams) == count + 1


async def test_ipv6():
    """The same over IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6")
    async with lean(host="::1") as (a, heard), lean(host="::1") as (b, _):
        for one, other, is_server in ((a, b, True), (b, a, False)):
            fingerprints = (("sha-256", other.fingerprint),)
            remote = RemoteTransport(other.ufrag, other.pwd, fingerprints, other.candidates, is_ice_lite=False)
            one.start(remote, is_dtls_server=is_server)
        await until(lambda: a.state is b.state is TransportState.CONNECTED)
        b.send_rtp(packet(1))
        await until(lambda: heard.rtp)
        assert a.selected_pair == (a.candidates[0], b.candidates[0])


def test_a_loop_that_cannot_watch_sockets():
    """As Windows' Proactor: an endpoint of asyncio brings the datagrams, and all is the same."""

    class Proactor(asyncio.SelectorEventLoop):
        def add_reader(self, *args: Any) -> None:
            if isinstance(getattr(args[1], "__self__", None), Readers):
                raise NotImplementedError
            super().add_reader(*args)

    async def test() -> None:
        async with connected(host=None) as (transport, heard, other):
            transport.send_rtp(packet(1))
            transport.send_rtcp(REPORT)
            other.peer.send_rtp(b"there", 1, 1)
            other.peer.send_rtcp(GenericNack(1, 2, (3,)))
            await until(lambda: other.rtp and other.rtcp and heard.rtp and heard.rtcp)
            port = transport.candidates[0].port
            await transport.close()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind(("127.0.0.1", port))
            await until(lambda: other.peer.dtls.is_closed)
        heard = Heard()
        transport = heard.transport = LeanTransport(heard, clock=time.monotonic, include_loopback=True)
        gathering = asyncio.create_task(transport.gather())
        await asyncio.sleep(0)
        await transport.close()
        await gathering
        assert transport.candidates == ()

    with asyncio.Runner(loop_factory=Proactor) as runner:
        runner.run(test())


async def test_embedded_server():
    """What one publishes comes to another through the server; a session that closes there closes here."""
    async with members() as gathered:
        publisher = await gathered.connect()
        incoming = publisher.publish()
        connection = gathered.endpoint.open()
        async with lean() as (transport, heard):
            connection.set_remote(
                ice_ufrag=transport.ufrag,
                ice_pwd=transport.pwd,
                fingerprints=(("sha-256", transport.fingerprint),),
                setup="active",
            )
            candidates = tuple(Candidate.host(*address) for address in gathered.endpoint.candidates)
            fingerprints = (("sha-256", gathered.endpoint.fingerprint),)
            remote = RemoteTransport(connection.ice_ufrag, connection.ice_pwd, fingerprints, candidates, True)
            transport.start(remote, is_dtls_server=False)
            await until(lambda: transport.state is TransportState.CONNECTED)
            assert await connection.wait_connected(5)
            track = connection.sender(mid="7", kind="audio", like=incoming)
            track.subscribe(incoming, None)
            track.negotiate(OPUS, {})
            for number in range(20):
                publisher.peer.send_rtp(b"forwarded", number, 960 * number)
            await until(lambda: len(heard.rtp) == 20)
            assert all(data.endswith(b"forwarded") for data, _ in heard.rtp)
            await until(lambda: heard.round_trips_ms)
            connection.close()
            await until(lambda: transport.state is TransportState.CLOSED)


async def test_embedded_server_that_controls():
    """A session of the server towards another server checks by itself: one of the two gives in."""
    async with endpoint() as running, lean() as (transport, heard):
        connection = running.open(is_controlling=True)
        connection.set_remote(
            ice_ufrag=transport.ufrag,
            ice_pwd=transport.pwd,
            fingerprints=(("sha-256", transport.fingerprint),),
            setup="passive",
            candidates=[(candidate.address, candidate.port) for candidate in transport.candidates],
        )
        fingerprints = (("sha-256", running.fingerprint),)
        remote = RemoteTransport(connection.ice_ufrag, connection.ice_pwd, fingerprints, (), is_ice_lite=False)
        transport.start(remote, is_dtls_server=True)
        await until(lambda: transport.state is TransportState.CONNECTED)
        assert await connection.wait_connected(5)
        await until(lambda: heard.round_trips_ms)
        await transport.close()
        await until(lambda: connection.state is ConnectionState.CLOSED)
