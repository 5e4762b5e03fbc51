"""Covers rtcctl/server/sctp.py: aiortc as it is at one end, ours around it at the other; and the private names.

When a pin fails after an upgrade of aiortc, read that module from its top.
"""

from __future__ import annotations

import asyncio
import inspect
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiortc import rtcsctptransport as aiortc
from aiortc.rtcdatachannel import RTCDataChannel
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcctl.server.sctp import BUFFERED_BYTES_MAX, Association, Message, Stream, _Transport
from tests.support.sctp import Link, settle, until

LIMIT = 16 * 1024


class Side:
    """Our association on a link, and what comes to its streams."""

    def __init__(self, link: Link, *, max_message_size: int = 262_144) -> None:
        self.association = Association(
            "session=s",
            send=link.send_data,
            is_dtls_client=False,
            port=5000,
            max_message_size=max_message_size,
            max_received_size=LIMIT,
        )
        self.messages: list[Message] = []
        self.closed: list[int] = []
        link.on_data = self.association.receive

    def open(self, stream_id: int, **policy: Any) -> Stream:
        options = {"ordered": True, "max_retransmits": None, "max_packet_life_time_ms": None} | policy
        return self.association.open(
            stream_id, on_message=self.messages.append, on_closed=lambda: self.closed.append(stream_id), **options
        )

    @property
    def transport(self) -> _Transport:
        return self.association._transport


@asynccontextmanager
async def pair(**options: Any) -> AsyncIterator[tuple[Link, Side]]:
    """A link whose ends are connected; neither leaves a task or a timer behind."""
    link = Link()
    side = Side(link, **options)
    await link.client.start()
    await until(lambda: link.client.is_open() and side.transport.state == "connected")
    yield link, side
    side.association.close()
    await link.client.stop()
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    transport = side.transport
    assert not any((transport._t1_handle, transport._t2_handle, transport._t3_handle, transport._reconfig_handle))


def chunks_of(packets: list[bytes]) -> list[aiortc.Chunk]:
    return [chunk for packet in packets for chunk in aiortc.parse_packet(packet)[3]]


# --- messages


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ("text", Message(51, b"text")),
        ("", Message(56, b"\0")),
        (b"\x00\xff", Message(53, b"\x00\xff")),
        (b"", Message(57, b"\0")),
        (bytes(LIMIT), Message(53, bytes(LIMIT))),
    ],
    ids=["text", "empty text", "binary", "empty binary", "16 KiB"],
)
async def test_messages_keep_their_kind(sent: str | bytes, message: Message) -> None:
    """Text and binary, empty or as large as may be, arrive as they were sent, in both directions."""
    async with pair() as (link, side):
        ours, theirs = side.open(3), link.client.open(3)
        theirs.send(sent)
        await until(lambda: side.messages)
        assert side.messages == [message]
        assert ours.send(message)
        await until(lambda: link.client.messages[3])
        assert link.client.messages[3] == [sent]


async def test_many_messages_keep_their_order() -> None:
    """More than fits on the way at once, on two streams."""
    async with pair() as (link, side):
        for stream_id in (1, 2):
            stream = side.open(stream_id)
            link.client.open(stream_id)
            for number in range(400):
                stream.send(Message(51, f"{stream_id}:{number}".encode()))
        await until(lambda: len(link.client.messages[2]) == 400, turns=20_000)
        for stream_id in (1, 2):
            assert link.client.messages[stream_id] == [f"{stream_id}:{number}" for number in range(400)]


@pytest.mark.parametrize("begins", ["server", "client"])
async def test_either_side_begins(begins: str) -> None:
    """A client that begins late, or long before there is an association here, is connected at once."""
    link = Link()
    early: list[bytes] = []
    link.on_data = early.append
    if begins == "client":
        await link.client.start()
        await settle()
    side = Side(link)
    for packet in early:
        side.association.receive(packet)
    if begins == "server":
        await settle()
        await link.client.start()
    await until(lambda: link.client.is_open() and side.transport.state == "connected")
    side.association.close()
    await link.client.stop()


async def test_beginning_is_not_given_up() -> None:
    """However long the client takes to apply the answer, INITs go on and the association is not closed."""
    link = Link()
    side = Side(link)
    for _ in range(30):
        side.transport._t1_handle.cancel()
        side.transport._t1_expired()
        await settle(2)
    assert len([c for c in chunks_of(link.to_client) if isinstance(c, aiortc.InitChunk)]) == 31
    assert not side.association.is_closed
    side.association.close()


async def test_too_large_in_either_direction(caplog: pytest.LogCaptureFixture) -> None:
    """What is larger than the limit is dropped and logged once; what comes after it arrives."""
    async with pair(max_message_size=100) as (link, side):
        ours, theirs = side.open(1), link.client.open(1)
        theirs.send(bytes(LIMIT + 1))
        theirs.send("next")
        await until(lambda: side.messages)
        assert side.messages == [Message(51, b"next")]
        ours.send(Message(53, bytes(101)))
        ours.send(Message(53, bytes(100)))
        await until(lambda: link.client.messages[1])
        assert link.client.messages[1] == [bytes(100)]
        assert [record.getMessage() for record in caplog.records] == [
            "session=s a message is dropped: 16385 bytes on channel 1; the limit is 16384"
        ]


async def test_policies_reach_the_wire() -> None:
    """Unordered is a flag of the chunk; what may not be sent again, or is too old, is skipped."""
    async with pair() as (link, side):
        link.client.open(1, ordered=False)
        side.open(1, ordered=False, max_retransmits=0)
        streams = [
            side.open(2, ordered=False, max_retransmits=0),
            side.open(3, max_packet_life_time_ms=0),
        ]
        link.is_deaf = True
        for stream in streams:
            link.to_client.clear()
            stream.send(Message(51, b"lost"))
            await settle()
            (data,) = chunks_of(link.to_client)
            assert isinstance(data, aiortc.DataChunk)
            assert bool(data.flags & aiortc.SCTP_DATA_UNORDERED) is (stream is streams[0])
            while time.time() == side.transport._sent_queue[-1]._sent_time:
                pass  # a clock tick must pass before a life of 0 ms is over
            side.transport._t3_handle.cancel()
            side.transport._t3_expired()
            await settle()
            assert any(isinstance(chunk, aiortc.ForwardTsnChunk) for chunk in chunks_of(link.to_client))
            assert not side.transport._sent_queue
        link.is_deaf = False


async def test_a_peer_that_does_not_read() -> None:
    """What waits for it, and what is on its way, is bounded; then `send` says no."""
    async with pair() as (link, side):
        stream = side.open(1)
        link.is_deaf = True
        message = Message(53, bytes(LIMIT))
        accepted = 0
        while stream.send(message):
            accepted += 1
            assert accepted <= BUFFERED_BYTES_MAX // LIMIT + 20
            if accepted % 100 == 0:
                await settle(2)
        assert accepted >= BUFFERED_BYTES_MAX // (LIMIT + 128)
        assert side.transport._flight_size <= 65 * aiortc.USERDATA_MAX_LENGTH
        assert not stream.send(message)
        small = side.open(2)
        count = 0
        while small.send(Message(51, b"x")):
            count += 1
        assert count < 200_000
        assert side.open(3).send(message)


# --- ends


async def test_closing_sends_what_waits_and_closes_the_client() -> None:
    """A stream is reset after its messages; the client's channel closes; the callback comes once."""
    async with pair() as (link, side):
        stream, theirs = side.open(1), link.client.open(1)
        for number in range(300):
            stream.send(Message(51, str(number).encode()))
        stream.close()
        stream.send(Message(51, b"late"))
        assert not stream.is_open
        await until(lambda: theirs.readyState == "closed", turns=20_000)
        assert len(link.client.messages[1]) == 300
        await until(lambda: side.closed)
        assert side.closed == [1]


async def test_the_client_closes_a_channel() -> None:
    """It is told here, and the other channels go on."""
    async with pair() as (link, side):
        stream, theirs = side.open(1), link.client.open(1)
        side.open(2)
        theirs.close()
        await until(lambda: side.closed)
        assert side.closed == [1]
        assert not stream.is_open
        link.client.open(2).send("x")
        await until(lambda: side.messages)


async def test_the_client_ends_the_association() -> None:
    """ABORT closes all streams and the association; nothing is sent after it."""
    async with pair() as (link, side):
        stream = side.open(1)
        await link.client.stop()
        await until(lambda: side.association.is_closed)
        assert side.closed == [1]
        link.to_client.clear()
        stream.send(Message(51, b"x"))
        side.association.close()
        await settle()
        assert link.to_client == []


async def test_the_end_while_something_is_due() -> None:
    """A retransmission that is due at the moment of the end starts no timer and sends nothing any more."""
    async with pair() as (link, side):
        stream = side.open(1)
        link.is_deaf = True
        stream.send(Message(51, b"lost"))
        await settle()
        side.transport._t3_handle.cancel()
        side.transport._t3_expired()
        stream.send(Message(51, b"due"))
        side.association.close()
        link.to_client.clear()
        await settle()
        assert link.to_client == []
        assert side.transport._t3_handle is None


# --- what a peer may do to us


async def test_in_band_channels_reach_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A channel that the client opens by DCEP is not answered, keeps nothing here, and hurts no other."""
    async with pair() as (link, side):
        side.open(1)
        parameters = aiortc.RTCDataChannelParameters(label="x" * 300)
        in_band = [RTCDataChannel(link.client.sctp, parameters) for _ in range(20)]
        link.client.open(1).send("x")
        await until(lambda: side.messages)
        assert {channel.readyState for channel in in_band} == {"connecting"}
        assert side.transport._inbound_streams.keys() == {1}
        assert "negotiated: true" in caplog.text


async def test_dcep_on_a_known_channel() -> None:
    """OPEN and ACK where there is a channel already are no messages."""
    async with pair() as (link, side):
        side.open(1)
        for data in (b"\x02", struct.pack("!BBHLHH", 3, 0, 0, 0, 9, 9), b"\x03", b"\xff"):
            await link.client.sctp._send(1, aiortc.WEBRTC_DCEP, data)
        link.client.open(1).send("x")
        await until(lambda: side.messages)
        assert side.messages == [Message(51, b"x")]


async def test_text_that_is_none() -> None:
    """It is dropped, since it would break the receivers, which trust it; so is an unknown kind of message."""
    async with pair() as (link, side):
        side.open(1)
        await link.client.sctp._send(1, aiortc.WEBRTC_STRING, b"\xff\xfe")
        await link.client.sctp._send(1, 99, b"x")
        link.client.open(1).send("x")
        await until(lambda: side.messages)
        assert side.messages == [Message(51, b"x")]


async def test_streams_of_nobody_keep_nothing() -> None:
    """Data out of order on streams without a channel is acknowledged, and gives its window back."""
    async with pair() as (link, side):
        window = side.transport._advertised_rwnd
        for stream_id in range(100, 200):
            chunk = data_chunk(link, 0, stream_id, flags=aiortc.SCTP_DATA_FIRST_FRAG)
            link.client.sctp._local_tsn = aiortc.tsn_plus_one(chunk.tsn)
            link.client.send_raw(bytes(chunk))
        await settle()
        assert not side.transport._inbound_streams
        assert side.transport._advertised_rwnd == window
        side.open(1)
        link.client.open(1).send("x")
        await until(lambda: side.messages)


def data_chunk(link: Link, ahead: int, stream_id: int, *, flags: int = 3, data: bytes = b"x") -> aiortc.DataChunk:
    """A DATA chunk of the client, `ahead` of the one it would send next."""
    chunk = aiortc.DataChunk(flags)
    chunk.tsn = (link.client.sctp._local_tsn + ahead) % 2**32
    chunk.stream_id, chunk.protocol, chunk.user_data = stream_id, aiortc.WEBRTC_BINARY, data
    return chunk


async def test_a_message_without_an_end() -> None:
    """Beginnings and middles for ever: the association ends before it has kept much."""
    async with pair() as (link, side):
        side.open(1)
        for number in range(20_000):
            flags = aiortc.SCTP_DATA_FIRST_FRAG if number == 0 else 0
            side.association.receive(packet_of(link, bytes(data_chunk(link, number, 1, flags=flags))))
            if side.association.is_closed:
                break
        assert number < 3_000
        assert side.closed == [1]


async def test_large_pieces_without_an_end() -> None:
    """The same with full packets: the window is what is kept at most."""
    async with pair() as (link, side):
        side.open(1)
        size = 0
        while not side.association.is_closed:
            piece = data_chunk(link, size // 1000, 1, flags=1 if not size else 0, data=bytes(1000))
            piece.flags = aiortc.SCTP_DATA_FIRST_FRAG if not size else 0
            side.association.receive(packet_of(link, bytes(piece)))
            size += 1000
            assert size < 300_000


async def test_far_ahead_of_a_gap() -> None:
    """What is far ahead is as good as lost, what is near is kept; the missing one brings both to the application."""
    async with pair() as (link, side):
        side.open(1)
        for ahead in (1, 2, 1_100, 100_000):
            chunk = data_chunk(link, ahead, 1, flags=7, data=str(ahead).encode())
            side.association.receive(packet_of(link, bytes(chunk)))
        assert len(side.transport._sack_misordered) == 2
        side.association.receive(packet_of(link, bytes(data_chunk(link, 0, 1, flags=7, data=b"0"))))
        assert sorted(message.data for message in side.messages) == [b"0", b"1", b"2"]


def packet_of(link: Link, chunks: bytes) -> bytes:
    """In a packet of the client."""
    tag = link.client.sctp._remote_verification_tag
    return aiortc.serialize_packet(5000, 5000, tag, chunks)  # type: ignore[arg-type]


async def test_a_late_init() -> None:
    """A repeated INIT of the client, after data has flowed, does not set the sequence back."""
    sent: list[bytes] = []
    link = Link()
    side = Side(link)
    receive = side.association.receive
    link.on_data = lambda packet: (sent.append(packet), receive(packet))[1]
    await link.client.start()
    await until(lambda: link.client.is_open() and side.transport.state == "connected")
    side.open(1)
    theirs = link.client.open(1)
    theirs.send("a")
    await until(lambda: side.messages)
    (init,) = (p for p in sent if isinstance(aiortc.parse_packet(p)[3][0], aiortc.InitChunk))
    side.association.receive(init)
    theirs.send("b")
    await until(lambda: len(side.messages) == 2)
    side.association.close()
    await link.client.stop()


async def test_acknowledgements_of_what_was_never_sent() -> None:
    """They change nothing, and cost nothing."""
    async with pair() as (link, side):
        stream = side.open(1)
        link.client.open(1)
        for cumulative, gaps in ((100, []), (0, [(1, 65_535)]), (-1, [(2, 60_000)])):
            sack = aiortc.SackChunk()
            sack.cumulative_tsn = (side.transport._local_tsn + cumulative) % 2**32
            sack.gaps = gaps
            side.association.receive(packet_of(link, bytes(sack)))
        stream.send(Message(51, b"x"))
        await until(lambda: link.client.messages[1])
        await until(lambda: not side.transport._sent_queue)


async def test_data_before_the_association_is_up() -> None:
    """The tag is in our INIT, so a peer may use it at once: DATA, SACK and FORWARD TSN are not for now."""
    link = Link()
    side = Side(link)
    (init,) = chunks_of(link.to_client)
    assert isinstance(init, aiortc.InitChunk)
    for chunk in (data_chunk(link, 0, 1), aiortc.SackChunk(), aiortc.ForwardTsnChunk(), aiortc.ReconfigChunk()):
        data = aiortc.serialize_packet(5000, 5000, init.initiate_tag, bytes(chunk))  # type: ignore[arg-type]
        side.association.receive(data)
    assert side.transport.state == "connecting"
    side.association.close()


KINDS = st.sampled_from([cls.type for cls in aiortc.CHUNK_CLASSES]) | st.integers(0, 255)
VALUES = st.binary(max_size=40) | st.builds(
    lambda a, b, rest: struct.pack("!LL", a, b) + rest,
    st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 0xFFFF_FFFF),
    st.binary(min_size=4, max_size=30),
)


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.tuples(KINDS, st.integers(0, 7), VALUES), min_size=1, max_size=3), max_size=8),
    st.booleans(),
    st.binary(max_size=60),
)
def test_noise(packets: list[list[tuple[int, int, bytes]]], is_connected: bool, noise: bytes) -> None:
    """Chunks of any type with any content, at any time, raise nothing; nor do any bytes."""

    async def feed() -> None:
        link = Link()
        side = Side(link)
        side.open(0)
        if is_connected:
            await link.client.start()
            await until(lambda: side.transport.state == "connected")
        link.is_deaf = True
        for chunks in packets:
            data = b"".join(
                struct.pack("!BBH", kind, flags, len(value) + 4) + value + bytes(-len(value) % 4)
                for kind, flags, value in chunks
            )
            for tag in (side.transport._local_verification_tag, 0):
                side.association.receive(aiortc.serialize_packet(5000, 5000, tag, data))  # type: ignore[arg-type]
        side.association.receive(noise)
        await settle(3)
        side.association.close()
        await link.client.stop()
        await settle(3)

    asyncio.run(feed())


# --- pins

PRIVATE: list[tuple[Callable[..., Any], list[str]]] = [
    (aiortc.RTCSctpTransport.__init__, ["self", "transport", "port"]),
    (aiortc.RTCSctpTransport.start, ["self", "remoteCaps", "remotePort"]),
    (aiortc.RTCSctpTransport.stop, ["self"]),
    (aiortc.RTCSctpTransport._handle_data, ["self", "data"]),
    (aiortc.RTCSctpTransport._receive, ["self", "stream_id", "pp_id", "data"]),
    (aiortc.RTCSctpTransport._receive_chunk, ["self", "chunk"]),
    (aiortc.RTCSctpTransport._receive_data_chunk, ["self", "chunk"]),
    (aiortc.RTCSctpTransport._receive_forward_tsn_chunk, ["self", "chunk"]),
    (aiortc.RTCSctpTransport._receive_sack_chunk, ["self", "chunk"]),
    (
        aiortc.RTCSctpTransport._send,
        ["self", "stream_id", "pp_id", "user_data", "expiry", "max_retransmits", "ordered"],
    ),
    (aiortc.RTCSctpTransport._set_state, ["self", "state"]),
    (aiortc.RTCSctpTransport._t1_expired, ["self"]),
    (aiortc.RTCSctpTransport._transmit, ["self"]),
    (aiortc.RTCSctpTransport._transmit_reconfig, ["self"]),
    (aiortc.RTCSctpTransport._data_channel_flush, ["self"]),
    (aiortc.RTCSctpTransport._data_channel_closed, ["self", "stream_id"]),
    (RTCDataChannel._addBufferedAmount, ["self", "amount"]),
]


@pytest.mark.parametrize(("function", "parameters"), PRIVATE, ids=lambda value: getattr(value, "__name__", ""))
def test_private_methods_take_what_we_give_them(function: Callable[..., Any], parameters: list[str]) -> None:
    """Each method of aiortc that is called or replaced exists, with the parameters we know."""
    assert list(inspect.signature(function).parameters) == parameters


def test_ours_replace_and_do_not_add() -> None:
    """A private method that aiortc renamed would be a replacement of nothing."""
    ours = {name for name, value in vars(_Transport).items() if name.startswith("_") and callable(value)}
    added = {"__init__", "_buffer", "_flush", "_let_go", "_warn"}
    assert all(hasattr(aiortc.RTCSctpTransport, name) for name in ours - added)
    assert not any(hasattr(aiortc.RTCSctpTransport, name) for name in added - {"__init__"})


async def test_the_attributes_we_use_exist() -> None:
    """Instance attributes that hold what no public method tells, and the names that the shim must have."""
    link = Link()
    attributes = vars(Side(link).transport)
    used = "_advertised_rwnd _cwnd _data_channel_queue _data_channels _inbound_streams _last_received_tsn _local_tsn"
    used += " _outbound_queue _remote_max_message_size _sack_misordered _sack_needed _sent_queue _t1_failures"
    assert set(used.split()) <= attributes.keys()
    source = inspect.getsource(aiortc.RTCSctpTransport)
    for name in ("._register_data_receiver(", "._unregister_data_receiver(", "._send_data(", "._role"):
        assert name in source
    assert "stream.reassembly" in source or hasattr(aiortc.InboundStream(), "reassembly")


def test_aiortc_waits_for_the_transport_only() -> None:
    """What is awaited is aiortc's own, or the shim's `_send_data`: so all of it can be run on the spot."""
    source = inspect.getsource(aiortc.RTCSctpTransport)
    awaited = {line.split("await ")[1].split("(")[0] for line in source.splitlines() if "await " in line}
    assert awaited == {name for name in awaited if name.startswith("self._")}
