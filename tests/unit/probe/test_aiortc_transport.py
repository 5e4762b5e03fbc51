"""Covers rtcctl/probe/aiortc_transport.py: pins the private names that it relies on.

When this fails after an upgrade of aiortc or aioice, read that module from its top.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from typing import Any

import aioice.ice
import aioice.stun
import pytest
from aioice.stun import Class
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceTransport

from rtcctl.media.sdp import Candidate
from rtcctl.probe.aiortc_transport import AiortcTransport, Consent
from rtcctl.probe.transport import Arrival, RemoteTransport, TransportState
from tests.support.data_path import until

PRIVATE = [
    (RTCDtlsTransport, "_handle_rtp_data", ["self", "data", "arrival_time_ms"]),
    (RTCDtlsTransport, "_handle_rtcp_data", ["self", "data"]),
    (RTCDtlsTransport, "_recv_next", ["self"]),
    (RTCDtlsTransport, "_set_role", ["self", "role"]),
    (aioice.ice.Connection, "get_component_candidates", ["self", "component", "addresses", "timeout"]),
    (aioice.ice.Connection, "add_remote_candidate", ["self", "remote_candidate"]),
    (aioice.ice.Connection, "data_received", ["self", "data", "component"]),
    (aioice.ice.Connection, "query_consent", ["self"]),
    (aioice.ice.Connection, "build_request", ["self", "pair", "nominate"]),
    (aioice.ice.Connection, "recvfrom", ["self"]),
    (aioice.ice.StunProtocol, "datagram_received", ["self", "data", "addr"]),
    (aioice.ice.StunProtocol, "send_stun", ["self", "message", "addr"]),
    (aioice.stun.Transaction, "response_received", ["self", "message", "addr"]),
    (aioice.stun.Message, "add_message_integrity", ["self", "key"]),
    (aioice.stun.Message, "check_message_integrity", ["self", "key"]),
]


@pytest.mark.parametrize(("owner", "name", "parameters"), PRIVATE, ids=lambda value: getattr(value, "__name__", None))
def test_private_methods_still_take_what_we_give_them(owner: type, name: str, parameters: list[str]):
    """Each method that is called or replaced exists, with the parameters we know."""
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def source(function: object) -> str:
    return inspect.getsource(function)  # type: ignore[arg-type]


def test_the_hooks_are_called_where_we_put_them():
    """What is replaced on an instance is looked up on the instance, at the time of the call."""
    assert "self.receiver.data_received(data" in source(aioice.ice.StunProtocol.datagram_received)
    assert "self._queue.get()" in source(aioice.ice.Connection.recvfrom)
    assert "create_task(self.query_consent())" in source(aioice.ice.Connection.connect)
    assert "self.transactions[message.transaction_id]" in source(aioice.ice.StunProtocol.datagram_received)
    assert "self.transactions: " in source(aioice.ice.StunProtocol.__init__)
    assert "self.get_component_candidates(" in source(aioice.ice.Connection.gather_candidates)
    receive_next = source(RTCDtlsTransport._recv_next)
    assert "self.transport._recv()" in receive_next
    assert "await self._handle_rtp_data(data, arrival_time_ms=arrival_time_ms)" in receive_next
    assert "await self._handle_rtcp_data(data)" in receive_next


def test_sending_awaits_nothing():
    """A packet leaves inside the call: the one coroutine on the way is run to its end at once."""
    assert "self.transport.sendto(data, addr)" in source(aioice.ice.StunProtocol.send_data)
    assert "await active_pair.protocol.send_data(data, active_pair.remote_addr)" in source(aioice.ice.Connection.sendto)
    assert "self._send = self._connection.send" in source(RTCIceTransport.__init__)


def test_the_attributes_we_read_exist():
    """Instance attributes that hold what no public method tells."""
    assert {
        "_queue",
        "_nominated",
        "_protocols",
        "_query_consent_task",
        "ice_controlling",
        "local_username",
        "local_password",
        "remote_password",
    } <= {name for name in dir(aioice.ice.Connection(ice_controlling=True)) if not name.startswith("__")}
    assert "self._connection = gatherer._connection" in source(RTCIceTransport.__init__)
    assert "self._task: " in source(RTCDtlsTransport.__init__)
    assert "self._tx_srtp: " in source(RTCDtlsTransport.__init__)


class Nobody:
    """A listener that is told nothing."""

    def datagram_received(self, arrival: Arrival) -> None:
        raise AssertionError

    def rtp_received(self, packet: bytes, arrival: Arrival) -> None:
        raise AssertionError

    def rtcp_received(self, data: bytes, arrival: Arrival) -> None:
        raise AssertionError

    def round_trip_measured(self, rtt_ms: float) -> None:
        raise AssertionError

    def state_changed(self) -> None:
        """Closing is a change."""


async def test_what_a_description_needs_is_there_after_gathering():
    """Credentials and a fingerprint at once, loopback candidates first; sending before there is a path does nothing."""
    transport = AiortcTransport(Nobody(), clock=time.monotonic, include_loopback=True)
    assert transport.candidates == ()
    await transport.gather()
    await transport.gather()
    assert transport.candidates[0].address == "127.0.0.1"
    assert len(transport.ufrag) >= 4
    assert len(transport.pwd) >= 22
    assert len(transport.fingerprint.split(":")) == 32
    transport.send_rtp(bytes(12))
    transport.send_rtcp(bytes(8))
    await transport.close()
    await transport.close()
    assert transport.state is TransportState.CLOSED
    assert transport.candidates, "they are told in an error, when all is over"


class Listening(Nobody):
    """One that keeps what arrives."""

    def __init__(self) -> None:
        self.rtp: list[bytes] = []

    def datagram_received(self, arrival: Arrival) -> None: ...

    def rtp_received(self, packet: bytes, arrival: Arrival) -> None:
        self.rtp.append(packet)

    def rtcp_received(self, data: bytes, arrival: Arrival) -> None: ...

    def round_trip_measured(self, rtt_ms: float) -> None: ...


async def connected(*strange: Candidate) -> tuple[AiortcTransport, AiortcTransport, Listening]:
    """Two that are; the first one was told of `strange` candidates, too."""
    listener = Listening()
    first = AiortcTransport(Listening(), clock=time.monotonic, include_loopback=True)
    second = AiortcTransport(listener, clock=time.monotonic, include_loopback=True)
    for transport in (first, second):
        await transport.gather()
    for transport, other, added in ((first, second, strange), (second, first, ())):
        fingerprints = (("sha-256", other.fingerprint),)
        candidates = (*added, other.candidates[0])
        remote = RemoteTransport(other.ufrag, other.pwd, fingerprints, candidates, is_ice_lite=False)
        transport.start(remote, is_dtls_server=transport is second)
    await until(lambda: {first.state, second.state} == {TransportState.CONNECTED})
    return first, second, listener


async def test_an_empty_datagram_ends_nothing():
    """Anybody can send one to a port of ours."""
    first, second, listener = await connected()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"", ("127.0.0.1", second.candidates[0].port))
        stranger.sendto(b"\x80", ("127.0.0.1", second.candidates[0].port))
    await asyncio.sleep(0.1)
    first.send_rtp(b"\x80\x00" + bytes(30))
    await until(lambda: listener.rtp)
    assert second.state is TransportState.CONNECTED
    await first.close()
    await second.close()


async def test_a_candidate_that_cannot_be_read_is_passed_over():
    """The others may be good."""
    strange = Candidate("1", 1, "udp", 1, "203.0.113.1", 9, "srflx", "raddr 0.0.0.0 rport x")
    name = Candidate("1", 1, "udp", 1, "sfu.invalid", 9, "host")
    first, second, _ = await connected(strange, name)
    await first.close()
    await second.close()


async def test_closing_that_is_cancelled_lets_go_of_the_sockets():
    """The second Ctrl-C comes while the first one closes."""
    first, second, _ = await connected()
    sockets = [protocol.transport for protocol in second._ice._connection._protocols]
    task = asyncio.ensure_future(second.close())
    # Whatever it waits for first, that is where it is cancelled.
    second.sctp  # noqa: B018
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await first.close()
    assert all(transport.is_closing() for transport in sockets)


class FakePair:
    """A nominated pair whose protocol keeps what is sent."""

    def __init__(self) -> None:
        self.protocol = self
        self.remote_addr = ("192.0.2.2", 2000)
        self.transactions: dict[bytes, Any] = {}
        self.sent: list[aioice.stun.Message] = []

    def send_stun(self, message: aioice.stun.Message, addr: tuple[str, int]) -> None:
        self.sent.append(message)

    def answer(self, number: int, *, key: bytes = b"theirs", answers: aioice.stun.Class = Class.RESPONSE) -> None:
        """What would come for one of those, if aioice still knows it."""
        request = self.sent[number]
        response = aioice.stun.Message(aioice.stun.Method.BINDING, answers, transaction_id=request.transaction_id)
        response.add_message_integrity(key)
        if (transaction := self.transactions.get(request.transaction_id)) is not None:
            transaction.response_received(response, self.remote_addr)


class FakeConnection:
    remote_password = "theirs"

    def __init__(self, pair: FakePair) -> None:
        self._nominated = {1: pair}

    def build_request(self, pair: FakePair, nominate: bool) -> aioice.stun.Message:
        return aioice.stun.Message(aioice.stun.Method.BINDING, Class.REQUEST)


class Measured(Nobody):
    def __init__(self) -> None:
        self.round_trips_ms: list[float] = []

    def round_trip_measured(self, rtt_ms: float) -> None:
        self.round_trips_ms.append(rtt_ms)


def test_late_answers_are_consent():
    """On a path whose round trip is longer than the time between two requests consent is never lost; and it is told."""
    now, pair, measured = 0.0, FakePair(), Measured()
    consent = Consent(FakeConnection(pair), measured, lambda: now)
    for number in range(60):
        now = 2.0 * number
        consent.ask()
        if number >= 4:
            pair.answer(number - 4)
        assert not consent.is_lost
    assert measured.round_trips_ms == [8000.0] * 56
    assert len(pair.transactions) == 4


@pytest.mark.parametrize("wrong", [{"key": b"somebody"}, {"answers": Class.ERROR}])
def test_what_is_no_answer_is_no_consent(wrong: dict[str, Any]):
    """Without the right integrity, or as an error, a response changes nothing; after 30 s consent is lost, and what
    was asked before that is given up."""
    now, pair, measured = 0.0, FakePair(), Measured()
    consent = Consent(FakeConnection(pair), measured, lambda: now)
    while now < 29.9:
        consent.ask()
        pair.answer(-1, **wrong)
        assert not consent.is_lost
        now += 2.0
    assert consent.is_lost
    assert measured.round_trips_ms == []
    now = 100.0
    consent.ask()
    assert len(pair.transactions) == 1


async def test_who_is_cancelled_while_it_closes_hears_of_it():
    """aioice takes that for the end of its own task, and swallows it: a command would go on after Ctrl-C."""
    subject = AiortcTransport(Nobody(), clock=time.monotonic, include_loopback=True)
    await subject.gather()
    ending = asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0)

    connection = subject._ice._connection
    connection._query_consent_task = asyncio.create_task(slow_to_end())
    await asyncio.sleep(0)
    closing = asyncio.create_task(subject.close())
    await ending.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert subject.state is TransportState.CLOSED
