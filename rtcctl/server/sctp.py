"""aiortc's SCTP above our own DTLS: one association of one session, and its streams.

Everything of aiortc that the server uses, with the private names among it, is in this file; a test pins them. It is
imported on first use, because aiortc brings FFmpeg along.

Theory of operation

    connecting ──INIT, COOKIE ECHO of either side──▶ connected ──ABORT or SHUTDOWN of the peer, `close`──▶ closed

*Both sides begin* (RFC 8841 §9.3), and we go on beginning for as long as the session lives: an application may take
any time to hand our answer to its peer connection.

*aiortc's coroutines wait for nothing* but the transport below, and ours does not wait. So they are run to their end on
the spot, in the caller's stack. Those that aiortc starts by itself end within the next turn of the event loop.

*A restart* (RFC 9260 §5.2.2) is the peer's INIT with another tag than before, while the association is up. aiortc knows
none; the session begins with another `Association`.

*What aiortc trusts and we do not.* `check_packet` comes before it. DATA counts only while the association is up, and an
INIT only before. What is beyond the window, or far ahead of a gap, is dropped as if it had been
lost; a peer whose message has no end is cut off. What comes on a stream that nobody has opened is acknowledged and
forgotten: in-band channels (RFC 8832) reach nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import (
    SCTP_TSN_MODULO,
    USERDATA_MAX_LENGTH,
    WEBRTC_BINARY,
    WEBRTC_BINARY_EMPTY,
    WEBRTC_DCEP,
    WEBRTC_STRING,
    WEBRTC_STRING_EMPTY,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    InitChunk,
    RTCSctpCapabilities,
    RTCSctpTransport,
    SackChunk,
)

from rtcctl.errors import ParseError
from rtcctl.media.sctp import CHUNK_HEADER_SIZE, HEADER_SIZE, ChunkType, check_packet

logger = logging.getLogger(__name__)

BUFFERED_BYTES_MAX = 16 << 20
"Waiting to be sent on one stream, as in browsers; all subscribers to a channel wait for the same bytes."
_BUFFERED_IN_ALL_MAX = 4 * BUFFERED_BYTES_MAX
_MESSAGE_OVERHEAD = 128
"Bytes that a waiting message takes besides its own."
_FLIGHT_MAX = 128
"Chunks on their way, at which no new message is begun."
_CONGESTION_WINDOW_MAX = 64 * USERDATA_MAX_LENGTH
"""Bytes on their way. With `_FLIGHT_MAX`: what the kernel of the peer keeps for a socket by default.

aiortc grows its window until packets are lost, sends each small message in a packet of its own, and recovers slowly.
"""
_RECEIVE_WINDOW = 256 * 1024
"Bytes that a peer may have on their way: they wait in front of the media of others."
_TSN_WINDOW = 1_024
"Chunks ahead of the first missing one that are taken."
_HELD_CHUNKS_MAX = 2_048
"Received and not delivered yet, because something is missing: the window, and a message in small pieces."

_INITIATE_TAG = slice(HEADER_SIZE + CHUNK_HEADER_SIZE, HEADER_SIZE + CHUNK_HEADER_SIZE + 4)
"Of a packet with an INIT (RFC 9260 §3.3.2)."

_MESSAGES = (WEBRTC_STRING, WEBRTC_BINARY, WEBRTC_STRING_EMPTY, WEBRTC_BINARY_EMPTY)
_NEGOTIATED = "createDataChannel needs { negotiated: true, id } with the id that datachannels/new returned"


class Message(NamedTuple):
    """One message as it travels (RFC 8831 §8). An empty one has a byte, and a protocol identifier that says so."""

    pp_id: int
    "51 text, 53 binary; 56 and 57 the same, empty."
    data: bytes


class Association:
    """The SCTP association of one session.

    `send` takes a packet for the peer, and may drop it. Messages that the peer is sent have `max_message_size` bytes at
    most (0: any), those that it sends `max_received_size`; others are dropped.
    """

    def __init__(
        self,
        name: str,
        *,
        send: Callable[[bytes], None],
        is_dtls_client: bool,
        port: int,
        max_message_size: int,
        max_received_size: int,
    ) -> None:
        dtls = _Dtls(send, "client" if is_dtls_client else "server")
        self._transport = _Transport(name, dtls, max_received_size)
        _run(self._transport.start(RTCSctpCapabilities(maxMessageSize=max_message_size), port))

    @property
    def is_closed(self) -> bool:
        """It has ended, and does not begin again."""
        return self._transport.state == "closed"

    def is_restarted_by(self, data: bytes) -> bool:
        """Whether the peer begins anew with this packet."""
        return (
            self._transport.state == "connected"
            and data[HEADER_SIZE : HEADER_SIZE + 1] == bytes((ChunkType.INIT,))
            and int.from_bytes(data[_INITIATE_TAG]) != self._transport._remote_verification_tag
        )

    def is_aborted_by(self, data: bytes) -> bool:
        """Whether the peer ends it with this packet."""
        return data[HEADER_SIZE : HEADER_SIZE + 1] == bytes((ChunkType.ABORT,))

    def abandon(self) -> None:
        """End it without a word to the peer, or to those who have streams."""
        self._transport.abandon()

    def receive(self, data: bytes) -> None:
        """One packet of the peer; what is malformed is dropped."""
        try:
            check_packet(data)
        except ParseError as exc:
            logger.debug("%s malformed SCTP packet: %s", self._transport.name, exc)
            return
        if not self.is_closed:
            _run(self._transport._handle_data(data))

    def open(
        self,
        stream_id: int,
        *,
        ordered: bool,
        max_retransmits: int | None,
        max_packet_life_time_ms: int | None,
        on_message: Callable[[Message], None],
        on_closed: Callable[[], None],
    ) -> Stream:
        """A stream that both sides know of without a word about it. It carries data once the association is up."""
        channel = RTCDataChannel(
            self._transport,
            RTCDataChannelParameters(
                negotiated=True,
                id=stream_id,
                ordered=ordered,
                maxRetransmits=max_retransmits,
                maxPacketLifeTime=max_packet_life_time_ms,
            ),
        )
        channel.on("close", on_closed)
        self._transport.on_message[stream_id] = on_message
        return Stream(self._transport, channel)

    def close(self) -> None:
        """Say ABORT, and end it at once."""
        if not self.is_closed:
            _run(self._transport.stop())


class Stream:
    """One data channel, in both directions."""

    def __init__(self, transport: _Transport, channel: RTCDataChannel) -> None:
        self._transport = transport
        self._channel = channel

    @property
    def is_connecting(self) -> bool:
        return self._channel.readyState == "connecting"

    @property
    def is_open(self) -> bool:
        return self._channel.readyState == "open"

    def send(self, message: Message) -> bool:
        """Send a message; False when too much is waiting already. One that the peer cannot take is dropped."""
        return not self.is_open or self._transport.send_later(self._channel, message)

    def close(self) -> None:
        """Reset it, after what waits has been sent (RFC 8831 §6.7)."""
        self._channel.close()


class _Dtls:
    """What aiortc's SCTP needs of a DTLS transport."""

    state = "connected"

    def __init__(self, send: Callable[[bytes], None], role: str) -> None:
        self._role = role
        self.send = send

    async def _send_data(self, data: bytes) -> None:
        self.send(data)

    def _register_data_receiver(self, receiver: object) -> None:
        pass  # packets are brought by `Association.receive`

    def _unregister_data_receiver(self, receiver: object) -> None:
        pass


class _Transport(RTCSctpTransport):
    """aiortc's association, with its messages taken before it makes channels of them, and bounded."""

    def __init__(self, name: str, dtls: _Dtls, max_received_size: int) -> None:
        super().__init__(dtls)  # type: ignore[arg-type]
        self._dtls = dtls
        self._advertised_rwnd = _RECEIVE_WINDOW
        self.name = name
        self._max_received_size = max_received_size
        self.on_message: dict[int, Callable[[Message], None]] = {}
        "By stream."
        self._incomplete: set[int] = set()
        "Streams with chunks that are held."
        self._buffered = 0
        "Bytes that wait to be sent, on all streams."
        self._is_flush_due = False
        self._warned: set[str] = set()

    def send_later(self, channel: RTCDataChannel, message: Message) -> bool:
        """Send a message with all others of this turn of the event loop; False when too much is waiting."""
        size = len(message.data)
        if 0 < self._remote_max_message_size < size:
            self._warn("size", f"{size} bytes; the peer takes {self._remote_max_message_size}")
            return True
        if channel.bufferedAmount >= BUFFERED_BYTES_MAX or self._buffered >= _BUFFERED_IN_ALL_MAX:
            return False
        self._buffer(channel, size + _MESSAGE_OVERHEAD)
        self._data_channel_queue.append((channel, *message))
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)
        return True

    def abandon(self) -> None:
        """End it; nobody is told."""
        self._dtls.send = lambda data: None
        for channel in self._data_channels.values():
            channel.remove_all_listeners()
        _run(self.stop())

    def _flush(self) -> None:
        self._is_flush_due = False
        _run(self._data_channel_flush())

    # -- overridden private methods

    async def _receive_chunk(self, chunk: Chunk) -> None:
        if self.state == "closed" or (isinstance(chunk, InitChunk) and self.state == "connected"):
            return
        await super()._receive_chunk(chunk)

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        if self.state != "connected":
            return
        assert self._last_received_tsn is not None
        ahead = (chunk.tsn - self._last_received_tsn) % SCTP_TSN_MODULO
        if 1 < ahead < SCTP_TSN_MODULO // 2 and (ahead > _TSN_WINDOW or self._advertised_rwnd <= 0):
            self._sack_needed = True
            return
        await super()._receive_data_chunk(chunk)
        self._let_go(chunk.stream_id)
        stream = self._inbound_streams.get(chunk.stream_id)
        if stream is None or not stream.reassembly:
            self._incomplete.discard(chunk.stream_id)
            return
        self._incomplete.add(chunk.stream_id)
        held = sum(len(s.reassembly) for i in self._incomplete if (s := self._inbound_streams.get(i)) is not None)
        if held > _HELD_CHUNKS_MAX or self._advertised_rwnd < -self._max_received_size:
            logger.warning("%s sends no end of a message: its data channels end", self.name)
            await self.stop()

    async def _receive_forward_tsn_chunk(self, chunk: ForwardTsnChunk) -> None:
        if self.state != "connected":
            return
        await super()._receive_forward_tsn_chunk(chunk)
        for stream_id, _ in chunk.streams:
            self._let_go(stream_id)

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        highest = chunk.cumulative_tsn + (chunk.gaps[-1][1] if chunk.gaps else 0)
        if 0 < (self._local_tsn - highest) % SCTP_TSN_MODULO < SCTP_TSN_MODULO // 2:  # else it was never sent
            await super()._receive_sack_chunk(chunk)

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        listener = self.on_message.get(stream_id) if stream_id in self._data_channels else None
        if pp_id == WEBRTC_DCEP:
            self._warn("in band", f"channel {stream_id} was opened in band; {_NEGOTIATED}")
        elif listener is None:
            self._warn("unknown", f"there is no channel {stream_id}; {_NEGOTIATED}")
        elif len(data) > self._max_received_size:
            self._warn("size", f"{len(data)} bytes on channel {stream_id}; the limit is {self._max_received_size}")
        elif pp_id == WEBRTC_STRING and not _is_utf8(data):
            self._warn("text", f"text on channel {stream_id} that is no UTF-8")
        elif pp_id in _MESSAGES:
            listener(Message(pp_id, data))

    def _t1_expired(self) -> None:
        self._t1_failures = 0
        super()._t1_expired()

    async def _data_channel_flush(self) -> None:
        if self.state != "connected":
            return
        while self._data_channel_queue and not self._outbound_queue and len(self._sent_queue) < _FLIGHT_MAX:
            channel, protocol, data = self._data_channel_queue.popleft()
            life_time_ms = channel.maxPacketLifeTime
            await self._send(
                channel.id or 0,
                protocol,
                data,
                expiry=None if life_time_ms is None else time.time() + life_time_ms / 1000,
                max_retransmits=channel.maxRetransmits,
                ordered=channel.ordered,
            )
            self._buffer(channel, -len(data) - _MESSAGE_OVERHEAD)
        await self._transmit_reconfig()  # may have waited for these messages

    async def _transmit(self) -> None:
        # One that was due at the moment of the end would start the timer again.
        if self.state != "closed":
            self._cwnd = min(self._cwnd, _CONGESTION_WINDOW_MAX)
            await super()._transmit()

    def _data_channel_closed(self, stream_id: int) -> None:
        self.on_message.pop(stream_id, None)
        if stream_id in self._data_channels:  # else the end of another channel has ended it
            super()._data_channel_closed(stream_id)

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        super()._set_state(state)
        if self.state == "closed":
            # Others, not emptied ones: this may happen while they are being sent.
            self._data_channel_queue, self._outbound_queue, self._sent_queue = deque(), deque(), deque()

    # --

    def _buffer(self, channel: RTCDataChannel, amount: int) -> None:
        self._buffered += amount
        channel._addBufferedAmount(amount)

    def _let_go(self, stream_id: int) -> None:
        """Keep nothing of a stream that nobody has opened."""
        if stream_id not in self._data_channels and (stream := self._inbound_streams.pop(stream_id, None)):
            self._advertised_rwnd += sum(len(chunk.user_data) for chunk in stream.reassembly)

    def _warn(self, kind: str, what: str) -> None:
        """Once for each kind, since a peer may do it with every packet."""
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning("%s a message is dropped: %s", self.name, what)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what does not wait."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise AssertionError("aiortc's SCTP waits for something")
