"""Targets of the embedded server: its data path, its SCTP, its negotiation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import google_crc32c

from rtcctl.errors import ParseError
from rtcctl.media.codec import Codec
from rtcctl.media.extensions import BY_KIND
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.media.simulcast import LayerPreference
from rtcctl.media.stun import Attribute, Message
from rtcctl.server.connection import Connection
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.endpoint import Endpoint
from rtcctl.server.parameters import ReceiveParameters
from rtcctl.server.sctp import Association
from rtcctl.server.sctp import Message as SctpMessage
from rtcctl.web.refusal import Refusal
from tests.fuzz.media import sealed
from tests.fuzz.target import STEPS_S, records
from tests.support.fake_endpoint import Clock
from tests.support.forwarding import PUBLISHED, VP8_RTX, Key, Wire
from tests.support.sdp import answer_to, video
from tests.support.world import OPERATIONS, World, connect, operate, pull

OPUS = (Codec("opus", 111, 48000, 2, "", ("nack",)),)
_IDS = {uri: number for number, uri in enumerate(dict.fromkeys((*BY_KIND["audio"], *BY_KIND["video"])), 1)}
PUBLISHER, SUBSCRIBER, STRANGER, INSIDER = range(4)
"Who sends a record of `connection`; the insider knows the publisher's password, and has an address of its own."


class _Socket(Wire):
    """In the place of a UDP socket: it brings what it is given, and checks what it is to send."""

    address = ("127.0.0.1", 8610)
    count = 0
    family = 2

    def __init__(self) -> None:
        self.sock = self
        self.incoming: list[tuple[bytes, tuple[str, int]]] = []
        self.sent_bytes = 0

    def recvfrom_into(self, view: memoryview) -> tuple[int, tuple[str, int]]:
        if not self.incoming:
            raise BlockingIOError
        data, addr = self.incoming.pop(0)
        size = min(len(data), len(view))
        view[:size] = data[:size]
        return size, addr

    def name_of(self, addr: object) -> tuple[object, None]:
        return addr, None

    def put(self, data: bytes, name: object) -> None:
        self.sent_bytes += len(data)

    def send(self, data: bytes, addr: object) -> None:
        self.sent_bytes += len(data)

    def flush(self) -> None: ...


class _Plain:
    """In the place of SRTP: no encryption, so that what is inside of it is reached."""

    def __init__(self) -> None:
        self.sender = Key()

    def unprotect_rtp_in_place(self, packet: Any, size: int) -> int:
        return size

    def unprotect_rtcp_in_place(self, packet: Any, size: int) -> int:
        return size

    def protect_rtcp(self, packet: bytes) -> bytes:
        return packet

    def protect_rtp_kept(self, packet: bytes) -> memoryview:
        self.sender.protect(packet)
        return memoryview(packet)

    def close(self) -> None: ...


@cache
def _endpoint() -> tuple[Endpoint, _Socket, Clock]:
    """One for all runs: making its certificate takes longer than they do."""
    clock, sock = Clock(), _Socket()
    endpoint = Endpoint(random=Random(7), clock=clock)
    endpoint._loop = _NoLoop()  # type: ignore[assignment]
    endpoint._sockets, endpoint._common, endpoint._by_addr = {0: sock}, (0,), {0: {}}  # type: ignore[dict-item]
    return endpoint, sock, clock


class _NoLoop:
    def call_later(self, delay_s: float, callback: Callable[..., object]) -> None: ...


def connection(data: bytes) -> None:
    """Everything that reaches the port of a publisher (simulcast, audio) and its subscriber, as from the socket.

    Nobody else is hurt: no bug is counted, and of strangers nothing is kept.
    """
    endpoint, sock, clock = _endpoint()
    endpoint._random.seed(7)
    members = [_member(endpoint, number) for number in (PUBLISHER, SUBSCRIBER)]
    publisher, subscriber = members
    video = ReceiveParameters(mid="0", kind="video", codecs=PUBLISHED, extensions=_IDS, rids=("f", "h"))
    audio = ReceiveParameters(mid="1", kind="audio", codecs=OPUS, extensions=_IDS, ssrcs=(1234,))
    for number, (parameters, codecs) in enumerate(((video, VP8_RTX), (audio, OPUS))):
        incoming = publisher.publish(parameters)
        outgoing = subscriber.sender(mid=str(number), kind=parameters.kind, like=incoming)
        outgoing.subscribe(incoming, LayerPreference())
        outgoing.negotiate(codecs, _IDS if number else {})
    try:
        for flags, datagram in records(data):
            clock.pass_by(min(6.0, STEPS_S[flags >> 2 & 7]))
            who = flags & 3
            if who == INSIDER:
                datagram = _inside(datagram, publisher)
            sock.incoming.append((datagram, ("127.0.0.1", 4000 + who)))
            endpoint._receive(0)
            for member in members:
                if member.deadline <= clock():
                    member.handle_timer(clock())
        assert endpoint.errors == 0
        assert len(endpoint._by_addr[0]) <= 2 * 32
    finally:
        endpoint.errors = 0
        for member in members:
            member.close()
    assert not endpoint._by_addr[0]
    assert not endpoint._by_ufrag


def _member(endpoint: Endpoint, number: int) -> Connection:
    """A connection whose peer has verified its address and has keys."""
    opened = endpoint.open()
    endpoint.on_error = _fail
    opened.set_remote(ice_ufrag="peer", ice_pwd="q" * 24, fingerprints=(("sha-256", "AB:CD"),), setup="active")
    check = Message(1, 0, number.to_bytes(12), {Attribute.PRIORITY: bytes(4), Attribute.USE_CANDIDATE: b""})
    username = f"{opened.ice_ufrag}:peer".encode()
    opened.receive_stun(
        sealed(check, username, opened.ice_pwd.encode()), ("127.0.0.1", 4000 + number, 0), endpoint.now()
    )
    opened._srtp = _Plain()  # type: ignore[assignment]
    opened.srtp_sender = opened._srtp.sender  # type: ignore[union-attr]
    opened._renew_outgoing()
    opened._set_state(ConnectionState.CONNECTED)
    return opened


def _fail(member: object, error: BaseException) -> None:
    raise error


def _inside(datagram: bytes, member: Connection) -> bytes:
    try:
        message = Message.parse(datagram)
    except ParseError:
        return datagram
    return bytes(sealed(message, f"{member.ice_ufrag}:peer".encode(), member.ice_pwd.encode()))


# --- SCTP

_TAG = 7
"Of the peer."


def sctp(data: bytes) -> None:
    """Packets with a right checksum, and where a flag says so with the right tag, to an association that is up."""
    asyncio.run(_sctp(data))


async def _sctp(data: bytes) -> None:
    sent: list[bytes] = []
    received: list[Any] = []
    association = Association(
        "session=s",
        send=sent.append,
        is_dtls_client=False,
        port=5000,
        max_message_size=65_536,
        max_received_size=16_384,
    )
    association.receive(packet_of(bytes.fromhex("01000014 00000007 00100000 04000400 00000001"), 0))
    answer = next(packet for packet in reversed(sent) if packet[12] == 2)
    tag = int.from_bytes(answer[16:20])
    cookie_at = answer.index(b"\x00\x07", 32)
    cookie = answer[cookie_at + 4 : cookie_at + int.from_bytes(answer[cookie_at + 2 : cookie_at + 4])]
    association.receive(packet_of(b"\x0a\x00" + (len(cookie) + 4).to_bytes(2) + cookie, tag))
    transport = association._transport
    assert transport.state == "connected"
    streams = [
        association.open(
            number,
            ordered=bool(number & 1),
            max_retransmits=0 if number == 2 else None,
            max_packet_life_time_ms=None,
            on_message=received.append,
            on_closed=lambda: None,
        )
        for number in (1, 2)
    ]
    for flags, packet in records(data):
        if flags & 1:
            packet = packet_of(packet, tag)
        elif len(packet) >= 12:
            packet = packet[:8] + bytes(4) + packet[12:]
            packet = packet[:8] + google_crc32c.value(packet).to_bytes(4, "little") + packet[12:]
        if flags & 2:
            streams[flags >> 2 & 1].send(SctpMessage(51, b"text"))
        association.receive(packet)
        if flags & 4:
            await asyncio.sleep(0)
        held = sum(len(stream.reassembly) for stream in transport._inbound_streams.values())
        assert held <= 2_100
        assert len(transport._sack_misordered) <= 1_100
        assert len(transport._sack_duplicates) <= 100_000
    association.abandon()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not any((transport._t1_handle, transport._t2_handle, transport._t3_handle, transport._reconfig_handle))


def packet_of(chunks: bytes, tag: int) -> bytes:
    """An SCTP packet from port to port 5000."""
    head = b"\x13\x88\x13\x88" + tag.to_bytes(4)
    return head + google_crc32c.value(head + bytes(4) + chunks).to_bytes(4, "little") + chunks


# --- signalling


def negotiation(data: bytes) -> None:
    """Descriptions at any moment of a session: agreed to or refused, it goes on and can be used afterwards."""
    asyncio.run(_negotiation(data))


async def _negotiation(data: bytes) -> None:
    world = World()
    publisher, session = await world.publisher("camera", video("0", rids=("f", "h"))), world.session()
    for flags, sdp in records(data):
        try:
            with session.boundary(world.registry.count_bug):
                await operate(session, publisher, OPERATIONS[flags % len(OPERATIONS)], sdp.decode("utf-8", "replace"))
        except Refusal as refusal:
            assert refusal.status in (400, 406, 425)
        if session.connection:
            connect(session)
        if flags & 0x80 and session._signalling.awaits_answer:
            offered = Sdp(media=tuple(transceiver.local for transceiver in session._signalling.transceivers))
            with session.boundary(world.registry.count_bug):
                await session.renegotiate(answer_to(offered))
    assert world.registry.bugs == 0
    assert not session.is_gone
    if not session._signalling.awaits_answer:
        try:
            with session.boundary(world.registry.count_bug):
                await pull(session, publisher, "camera")
        except Refusal as refusal:
            assert refusal.status in (406, 425)
    world.registry.close()
