"""The UDP sockets of the server: every datagram of every session comes in here.

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
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from random import Random

from rtcctl.errors import ParseError, UsageError
from rtcctl.media.ice import binding_response, error_response
from rtcctl.media.rewrite import HEADROOM
from rtcctl.media.stun import Attribute, Message, MessageClass, Method
from rtcctl.server.connection import Connection
from rtcctl.server.dtls_transport import DtlsTransport
from rtcctl.server.waits import Waits
from rtcctl.transport.dtls import Certificate
from rtcctl.transport.udp import DATAGRAM_SIZE_MAX, Address, ReceiveBuffer, UdpSocket, bind_udp

logger = logging.getLogger(__name__)

_BATCH = 32
"Datagrams received per wake-up, so that other work of the event loop gets its turn."
_PORTS_TRIED = 10
"A number that is free on one address may be in use on another."
_TICK_S = 0.05
"How often the connections' deadlines are looked at, while there are any."


class Endpoint:
    """UDP sockets, one for each address and all on one port number; one certificate; many connections.

    Inside, a *path* is the peer's address with the number of our socket behind it. A controlling connection has sockets
    of its own: many of them may have one server as their peer, whose address says nothing then.
    """

    def __init__(self, *, random: Random, clock: Callable[[], float] = time.monotonic) -> None:
        self.on_error: Callable[[DtlsTransport, BaseException], None] | None = None
        "Told after a connection was closed because the work for it failed."
        self.waits = Waits()
        "Requests that are held, on the service's time."
        self.errors = 0
        "Connections closed by an unexpected error. Anything but 0 is ours to mend."
        self.certificate = Certificate.generate()
        self._sockets: dict[int, UdpSocket] = {}
        self._common: tuple[int, ...] = ()
        "Of them, those that all connections share."
        self.stun_port = 0
        """Of the socket to be named as a STUN server, which is no candidate's: libwebrtc takes all that comes from the
        address of a STUN server of its own for that server's answers, and would not hear ours to its checks."""
        self._random = random
        self._clock = clock
        self._clock_offset_s = time.time() - clock()
        self._next_number = 0
        self._buffer = ReceiveBuffer()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connections: set[DtlsTransport] = set()
        self._by_addr: dict[int, dict[Address, DtlsTransport]] = {}
        "For each socket, by the peer's address."
        self._by_ufrag: dict[str, DtlsTransport] = {}
        self._controlling: dict[DtlsTransport, tuple[int, ...]] = {}
        "With the sockets of each."
        self._expected: dict[bytes, DtlsTransport] = {}
        "Who has asked for a sign of life (`passing.py`), by transaction."

    async def start(self, hosts: Sequence[str], port: int) -> None:
        """Bind one socket per address, all on one port, and listen; port 0 is any. UsageError when that cannot be."""
        assert hosts, "an endpoint has an address"
        for attempt in reversed(range(1 if port else _PORTS_TRIED)):
            try:
                bound = _bind(hosts, port)
                break
            except UsageError:
                if not attempt:
                    raise
        self._loop = asyncio.get_running_loop()
        self._common = self._listen(bound)
        self.stun_port = self._sockets[self._listen(_bind_stun(hosts[0], self.port))[0]].address[1]

    @property
    def port(self) -> int:
        """The UDP port."""
        return self.shared.address[1]

    @property
    def shared(self) -> UdpSocket:
        """The first of the sockets that all connections share."""
        return self._sockets[self._common[0]]

    @property
    def packets_dropped(self) -> int:
        """Packets that the kernel did not take, since the start."""
        return sum(udp.packets_dropped for udp in self._sockets.values())

    @property
    def candidates(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each socket: ICE host candidates, best first."""
        return tuple(self._sockets[number].address for number in self._common)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, for session descriptions."""
        return self.certificate.fingerprint

    def open(self, *, is_controlling: bool = False) -> Connection:
        """A new connection, with credentials of its own. `is_controlling`: its peer is an ICE-lite server.

        UsageError when that one cannot have sockets of its own.
        """
        assert self._loop is not None, "start() comes first"
        bound = _bind([address for address, _ in self.candidates], 0) if is_controlling else ()
        connection = Connection(
            self,
            is_controlling=is_controlling,
            random=self._random,
            clock=self._clock,
            clock_offset_s=self._clock_offset_s,
        )
        self._connections.add(connection)
        self.name(connection.ice_ufrag, connection)
        if is_controlling:
            self._controlling[connection] = self._listen(bound)
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
        self._stop(tuple(self._sockets))

    # What connections use

    def socket_of(self, path: Address) -> UdpSocket:
        """Ours, of a path."""
        number: int = path[-1]
        return self._sockets[number]

    def path_to(self, address: tuple[str, int], connection: DtlsTransport) -> Address | None:
        """A path of a controlling connection to a peer's candidate; None when no socket has its family."""
        host = ip_address(address[0])
        family = socket.AF_INET if host.version == 4 else socket.AF_INET6
        numbers = [n for n in self._controlling.get(connection, ()) if self._sockets[n].sock.family == family]
        if not numbers:
            return None
        # What is bound to loopback reaches nothing else, and the other way round nobody expects it.
        same = (n for n in numbers if ip_address(self._sockets[n].address[0]).is_loopback == host.is_loopback)
        number = next(same, numbers[0])
        return (*address, number) if host.version == 4 else (*address, 0, 0, number)

    def send(self, data: bytes, path: Address) -> None:
        """Send one datagram now."""
        self.socket_of(path).send(data, path[:-1])

    def route(self, path: Address, connection: DtlsTransport) -> None:
        """Packets on `path` are `connection`'s: it has verified that. Another one that had it loses it."""
        by_addr, addr = self._by_addr[path[-1]], path[:-1]
        other = by_addr.get(addr)
        by_addr[addr] = connection
        if other is not None and other is not connection:
            other.lose_address(path)

    def unroute(self, path: Address, connection: DtlsTransport) -> None:
        """`path` is not `connection`'s any more."""
        by_addr, addr = self._by_addr.get(path[-1], {}), path[:-1]
        if by_addr.get(addr) is connection:
            del by_addr[addr]

    def name(self, ufrag: str, connection: DtlsTransport) -> None:
        """Checks that name `ufrag` are `connection`'s."""
        self._by_ufrag[ufrag] = connection

    def unname(self, ufrag: str) -> None:
        """`ufrag` is void."""
        self._by_ufrag.pop(ufrag, None)

    def forget(self, connection: DtlsTransport, ufrags: Iterable[str], addrs: Iterable[Address]) -> None:
        """`connection` has closed."""
        self._connections.discard(connection)
        self._stop(self._controlling.pop(connection, ()))
        for ufrag in ufrags:
            self.unname(ufrag)
        for addr in addrs:
            self.unroute(addr, connection)

    def expect(self, transaction_id: bytes, connection: DtlsTransport) -> None:
        """The answer to a question will be `connection`'s."""
        self._expected[transaction_id] = connection

    def is_expected(self, transaction_id: bytes) -> bool:
        """Whether a message answers such a question."""
        return transaction_id in self._expected

    def expect_no_more(self) -> None:
        """Answers that have not come yet are too late."""
        self._expected.clear()

    # What faults use (`faults/path.py`)

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock()

    def wallclock(self) -> float:
        """Seconds since the epoch."""
        return self._clock() + self._clock_offset_s

    def call_at(self, at: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back at that time, not before."""
        assert self._loop is not None
        # uvloop rounds to the nearest millisecond.
        return self._loop.call_later(max(0.0, at - self._clock()) + 0.0005, callback)

    def deliver(self, connection: DtlsTransport, data: bytes, path: Address) -> None:
        """A datagram that came some time ago, for the connection that it was for then."""
        now = self._clock()
        try:
            if data[0] < 4:
                connection.receive_stun(Message.parse(data), path, now)
            elif 128 <= data[0] <= 191:
                self._buffer.view[: len(data)] = data
                connection.receive_media(self._buffer, len(data), now)
            elif 20 <= data[0] <= 63:
                connection.receive_dtls(data, path, now)
        except ParseError:
            pass
        except Exception as exc:  # noqa: BLE001 (the boundary between sessions)
            self._fail(connection, exc)
        self._flush()

    # The event loop

    def _listen(self, sockets: Iterable[UdpSocket]) -> tuple[int, ...]:
        """Receive from these from now on; their numbers, which are never used again."""
        assert self._loop is not None
        numbers = []
        for udp in sockets:
            number = self._next_number
            self._next_number += 1
            self._sockets[number] = udp
            self._by_addr[number] = {}
            self._loop.add_reader(udp.fileno(), self._receive, number)
            numbers.append(number)
        return tuple(numbers)

    def _stop(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            udp = self._sockets.pop(number)
            del self._by_addr[number]
            if self._loop is not None:
                self._loop.remove_reader(udp.fileno())
            udp.close()

    def _receive(self, number: int) -> None:
        """Datagrams have come to one of the sockets."""
        udp, buffer = self._sockets[number], self._buffer
        receive_into, view, memory, by_addr = udp.sock.recvfrom_into, buffer.view, buffer.memory, self._by_addr[number]
        now = self._clock()
        connection: DtlsTransport | None = None
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
                    connection = self._named(message)
                    if connection is not None and connection.impaired is not None:
                        connection.impaired.receive(bytes(view[:size]), (*addr, number), now)
                    else:
                        self._receive_stun(message, connection, (*addr, number), now)
                    continue
                connection = by_addr.get(addr)
                if connection is None:
                    continue
                if connection.impaired is not None:
                    connection.impaired.receive(bytes(view[:size]), (*addr, number), now)
                    continue
                if 128 <= first <= 191:
                    connection.receive_media(buffer, size, now)
                elif 20 <= first <= 63:
                    connection.receive_dtls(bytes(view[:size]), (*addr, number), now)
            except ParseError:
                continue
            except Exception as exc:  # noqa: BLE001 (the boundary between sessions)
                self._fail(connection, exc)
        self._flush()

    def _flush(self) -> None:
        for udp in self._sockets.values():
            if udp.count:
                udp.flush()

    def _named(self, message: Message) -> DtlsTransport | None:
        """Whose STUN message this is: a request names our user fragment, an answer the transaction of our check."""
        if message.message_class in (MessageClass.SUCCESS, MessageClass.ERROR):
            if (connection := self._expected.get(message.transaction_id)) is not None:
                return connection
            return next((c for c in self._controlling if c.is_asked(message.transaction_id)), None)
        return self._by_ufrag.get(message.username.partition(":")[0])

    def _receive_stun(self, message: Message, connection: DtlsTransport | None, addr: Address, now: float) -> None:
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
            self.send(bytes(answer.with_fingerprint() if message.has_fingerprint else answer), addr)

    def _tick(self) -> None:
        """Look at the deadlines. Cheap per connection, so that idle ones cost next to nothing."""
        assert self._loop is not None
        now = self._clock()
        for connection in [connection for connection in self._connections if connection.deadline <= now]:
            try:
                connection.handle_timer(now)
            except Exception as exc:  # noqa: BLE001 (the boundary between sessions)
                self._fail(connection, exc)
        self._flush()
        self._timer = self._loop.call_later(_TICK_S, self._tick) if self._connections else None

    def _fail(self, connection: DtlsTransport | None, exc: Exception) -> None:
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


def _bind_stun(host: str, media_port: int) -> tuple[UdpSocket, ...]:
    """On the port after that of media, which is easy to remember, else on any."""
    try:
        return _bind((host,), media_port + 1)
    except UsageError:
        return _bind((host,), 0)


def _bind(hosts: Sequence[str], port: int) -> tuple[UdpSocket, ...]:
    sockets: list[UdpSocket] = []
    try:
        for host in hosts:
            sockets.append(bind_udp(host, port))
            port = sockets[0].address[1]
    except (OSError, OverflowError) as exc:
        for udp in sockets:
            udp.close()
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise UsageError(
            f"Cannot listen on UDP port {port} of {host}: {reason}.",
            hint="Is another server running there? Take another port with --udp-port",
        ) from None
    return tuple(sockets)
