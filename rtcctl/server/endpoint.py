"""The UDP port of the server: every datagram of every session comes in here.

A datagram is told by its first byte (RFC 7983 §7). STUN goes to the connection whose user fragment it names; DTLS and
SRTP to the connection that has verified the address they come from, and to none otherwise. A Binding request that names
nobody is answered as by any STUN server.

This is the boundary between sessions on the data path: whatever goes wrong in the work for one connection closes that
connection, is counted, and is told to `on_error`. Malformed packets are the sender's errors and are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from random import Random

from rtcctl.errors import ParseError, UsageError
from rtcctl.media.ice import binding_response, error_response
from rtcctl.media.rewrite import HEADROOM
from rtcctl.media.stun import Attribute, Message, MessageClass, Method
from rtcctl.server.connection import Connection
from rtcctl.transport.dtls import Certificate
from rtcctl.transport.udp import DATAGRAM_SIZE_MAX, Address, ReceiveBuffer, UdpSocket, bind_udp

logger = logging.getLogger(__name__)

_BATCH = 32
"Datagrams received per wake-up, so that other work of the event loop gets its turn."
_TICK_S = 0.05
"How often the connections' deadlines are looked at, while there are any."


class Endpoint:
    """One UDP socket, one certificate, many connections."""

    def __init__(self, *, random: Random, clock: Callable[[], float] = time.monotonic) -> None:
        self.on_error: Callable[[Connection, BaseException], None] | None = None
        "Told after a connection was closed because the work for it failed."
        self.errors = 0
        "Connections closed by an unexpected error. Anything but 0 is ours to mend."
        self.certificate = Certificate.generate()
        self._random = random
        self._clock = clock
        self._clock_offset_s = time.time() - clock()
        self._udp: UdpSocket | None = None
        self._buffer = ReceiveBuffer()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connections: set[Connection] = set()
        self._by_addr: dict[Address, Connection] = {}
        self._by_ufrag: dict[str, Connection] = {}

    async def start(self, host: str, port: int) -> None:
        """Bind and listen; port 0 is any. UsageError when that cannot be."""
        try:
            self._udp = bind_udp(host, port)
        except (OSError, OverflowError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            raise UsageError(
                f"Cannot listen on UDP port {port} of {host}: {reason}.",
                hint="Is another server running there? Take another port with --udp-port",
            ) from None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._udp.fileno(), self._receive)

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._socket.address[1]

    @property
    def packets_dropped(self) -> int:
        """Packets that the kernel did not take, since the start."""
        return self._socket.packets_dropped

    @property
    def candidates(self) -> tuple[tuple[str, int], ...]:
        """Addresses at which the socket can be reached: ICE host candidates, best first."""
        host, port = self._socket.address
        if not ip_address(host).is_unspecified:
            return ((host, port),)
        family = self._socket.sock.family
        loopback = "127.0.0.1" if family == socket.AF_INET else "::1"
        return tuple((address, port) for address in dict.fromkeys((*_route_address(family), loopback)))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, for session descriptions."""
        return self.certificate.fingerprint

    def open(self) -> Connection:
        """A new connection, with credentials of its own."""
        assert self._loop is not None, "start() comes first"
        connection = Connection(
            self,
            self._socket,
            random=self._random,
            clock=self._clock,
            clock_offset_s=self._clock_offset_s,
        )
        self._connections.add(connection)
        self.name(connection.ice_ufrag, connection)
        if self._timer is None:
            self._timer = self._loop.call_later(_TICK_S, self._tick)
        return connection

    async def close(self) -> None:
        """Close all connections, then the socket."""
        for connection in list(self._connections):
            connection.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._udp is not None and self._loop is not None:
            self._loop.remove_reader(self._udp.fileno())
            self._udp.close()
            self._udp = None

    # What connections use

    def route(self, addr: Address, connection: Connection) -> None:
        """Packets from `addr` are `connection`'s: it has verified that. Another one that had it loses it."""
        other = self._by_addr.get(addr)
        self._by_addr[addr] = connection
        if other is not None and other is not connection:
            other.lose_address(addr)

    def unroute(self, addr: Address, connection: Connection) -> None:
        """`addr` is not `connection`'s any more."""
        if self._by_addr.get(addr) is connection:
            del self._by_addr[addr]

    def name(self, ufrag: str, connection: Connection) -> None:
        """Checks that name `ufrag` are `connection`'s."""
        self._by_ufrag[ufrag] = connection

    def unname(self, ufrag: str) -> None:
        """`ufrag` is void."""
        self._by_ufrag.pop(ufrag, None)

    def forget(self, connection: Connection, ufrags: Iterable[str], addrs: Iterable[Address]) -> None:
        """`connection` has closed."""
        self._connections.discard(connection)
        for ufrag in ufrags:
            self.unname(ufrag)
        for addr in addrs:
            self.unroute(addr, connection)

    # The event loop

    @property
    def _socket(self) -> UdpSocket:
        assert self._udp is not None, "start() comes first"
        return self._udp

    def _receive(self) -> None:
        """Datagrams have come."""
        udp, buffer = self._socket, self._buffer
        receive_into, view, memory, by_addr = udp.sock.recvfrom_into, buffer.view, buffer.memory, self._by_addr
        now = self._clock()
        connection: Connection | None = None
        for _ in range(_BATCH):
            try:
                size, addr = receive_into(view)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # an ICMP error about something we sent
            if not 0 < size <= DATAGRAM_SIZE_MAX:
                continue
            first = memory[HEADROOM]
            try:
                if first < 4:
                    connection = None
                    message = Message.parse(view[:size])
                    connection = self._by_ufrag.get(message.username.partition(":")[0])
                    self._receive_stun(message, connection, addr, now)
                    continue
                connection = by_addr.get(addr)
                if connection is None:
                    continue
                if 128 <= first <= 191:
                    connection.receive_media(buffer, size, now)
                elif 20 <= first <= 63:
                    connection.receive_dtls(bytes(view[:size]), now)
            except ParseError:
                continue
            except Exception as exc:  # noqa: BLE001 (the boundary between sessions)
                self._fail(connection, exc)
        udp.flush()

    def _receive_stun(self, message: Message, connection: Connection | None, addr: Address, now: float) -> None:
        if connection is not None:
            connection.receive_stun(message, addr, now)
        elif message.message_class is MessageClass.REQUEST and message.method == Method.BINDING:
            if Attribute.USERNAME in message.attributes:
                answer = error_response(message, 401, "Unauthorized")
            elif message.unknown_attributes():
                answer = error_response(message, 420, "Unknown Attribute")
            else:
                answer = binding_response(message, addr)
            # A client of before RFC 5389 may not expect a FINGERPRINT.
            self._socket.send(bytes(answer.with_fingerprint() if message.has_fingerprint else answer), addr)

    def _tick(self) -> None:
        """Look at the deadlines. Cheap per connection, so that idle ones cost next to nothing."""
        assert self._loop is not None
        now = self._clock()
        for connection in [connection for connection in self._connections if connection.deadline <= now]:
            try:
                connection.handle_timer(now)
            except Exception as exc:  # noqa: BLE001 (the boundary between sessions)
                self._fail(connection, exc)
        self._socket.flush()
        self._timer = self._loop.call_later(_TICK_S, self._tick) if self._connections else None

    def _fail(self, connection: Connection | None, exc: Exception) -> None:
        """The boundary between sessions."""
        self.errors += 1
        if connection is None:
            logger.error("a datagram could not be handled", exc_info=exc)
            return
        try:
            connection.close()
        finally:
            if self.on_error is not None:
                self.on_error(connection, exc)
            else:
                logger.error("connection ufrag=%s closed: a bug", connection.ice_ufrag, exc_info=exc)


def _route_address(family: int) -> tuple[str, ...]:
    """The address of this machine that the default route leaves from. Connecting a UDP socket sends nothing."""
    somewhere = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((somewhere, 9))
        except OSError:
            return ()
        return (probe.getsockname()[0],)
