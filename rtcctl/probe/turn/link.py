"""How a client reaches a STUN or TURN server: UDP, TCP, or TLS over TCP (RFC 8656 §3.1).

A link sends frames (a STUN message, or channel data) and hands out those that come. What can go wrong on the way up is
told by `phase`: `dns`, `udp`, `tcp`, `tls`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, cast

from rtcctl.errors import NetworkError, ParseError
from rtcctl.media.server_url import ServerUrl
from rtcctl.media.turn import Framing

Address = tuple[Any, ...]
"As the socket interface has it."

CONNECT_TIMEOUT_S = 5.0
"For a TCP connection, and again for TLS."

_READ_BUFFER_BYTES = 1 << 20

_MAX_UNSENT_BYTES = 1 << 18
"Of a stream that does not get rid of what it is given: media that is late is of no use, so more of it is dropped."

_CLOSE_S = 1.0
"What a stream may take to send the last of it, and TLS to say goodbye."


class NotTurnError(NetworkError):
    """Somebody answers who speaks another protocol."""


@dataclass(frozen=True, slots=True)
class TlsSession:
    """What a handshake agreed on."""

    version: str
    "For example `TLSv1.3`."
    certificate_der: bytes


class Link(ABC):
    """A connection to a server; made by `connect_udp` and `open_stream`."""

    def __init__(self) -> None:
        self.on_frame: Callable[[bytes], None] = _ignore
        self.on_lost: Callable[[NetworkError], None] = _ignore
        "Called once, when it ends and it was not us."
        self.tls: TlsSession | None = None
        self.last_error: OSError | None = None
        "What the network said last, when nothing has arrived since: a closed port of UDP is no end."
        self._transport: asyncio.BaseTransport | None = None
        self._is_over = False
        self._is_closed = asyncio.Event()

    @property
    def is_reliable(self) -> bool:
        """Whether nothing gets lost on it, and frames are padded."""
        return False

    @abstractmethod
    def send(self, frame: bytes) -> None:
        """Send one frame; silently nothing after the end."""

    def close(self) -> None:
        """Harmless the second time."""
        self._is_over = True
        if self._transport is not None:
            self._transport.close()

    async def wait_closed(self) -> None:
        """Until nothing of it is left, after `close`."""
        if self._transport is not None:
            await self._is_closed.wait()

    def _lost(self, error: NetworkError) -> None:
        if not self._is_over:
            self.close()
            self.on_lost(error)


class _UdpLink(Link, asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _READ_BUFFER_BYTES)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.last_error = None
        self.on_frame(data)

    def error_received(self, exc: Exception) -> None:
        # A port that is closed, says ICMP. The server may be back before our next request: that is not the end.
        if isinstance(exc, OSError):
            self.last_error = exc

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed.set()

    def send(self, frame: bytes) -> None:
        if not self._is_over and self._transport is not None:
            cast(asyncio.DatagramTransport, self._transport).sendto(frame)


class _StreamLink(Link, asyncio.Protocol):
    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where
        self._framing = Framing()
        self._has_frame = False
        self._abort: asyncio.TimerHandle | None = None

    @property
    def is_reliable(self) -> bool:
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.tls = TlsSession(tls.version() or "", tls.getpeercert(True) or b"")

    def data_received(self, data: bytes) -> None:
        if not self._has_frame and data.startswith((b"HTTP/", b"SSH-", b"<")):
            self._lost(
                NotTurnError(f"{self._where} answers, but not as a TURN server: {_printable(data)}", phase="turn")
            )
            return
        try:
            frames = self._framing.receive(data)
        except ParseError:
            self._lost(NotTurnError(f"{self._where} answers, but not as a TURN server.", phase="turn"))
            return
        for frame in frames:
            self._has_frame = True
            if not self._is_over:
                self.on_frame(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f": {exc.strerror}" if isinstance(exc, OSError) and exc.strerror else ""
        self._is_closed.set()
        if self._abort is not None:
            self._abort.cancel()
        self._lost(NetworkError(f"{self._where} closed the connection{reason}.", phase="turn"))

    def send(self, frame: bytes) -> None:
        if self._is_over or self._transport is None:
            return
        transport = cast(asyncio.Transport, self._transport)
        # Requests are never dropped: on a stream they are not repeated.
        if frame[0] < 0x40 or transport.get_write_buffer_size() < _MAX_UNSENT_BYTES:
            transport.write(frame)

    def close(self) -> None:
        super().close()
        if self._transport is not None and self._abort is None and not self._is_closed.is_set():
            abort = cast(asyncio.Transport, self._transport).abort
            self._abort = asyncio.get_running_loop().call_later(_CLOSE_S, abort)


async def resolve(url: ServerUrl) -> tuple[Address, ...]:
    """The addresses of a URL's host, in the order in which this machine would try them.

    `NetworkError` with phase `dns` when the name has none.
    """
    kind = socket.SOCK_DGRAM if url.protocol == "udp" else socket.SOCK_STREAM
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=kind)
    except socket.gaierror as exc:
        raise NetworkError(f"The name {url.host} cannot be resolved: {exc.strerror}.", phase="dns") from exc
    except UnicodeError as exc:
        raise NetworkError(f"{url.host} is no host name.", phase="dns") from exc
    return tuple(dict.fromkeys(info[4] for info in found))


async def connect_udp(address: Address) -> Link:
    """A socket that is connected to a server; nothing is sent yet. `NetworkError` when there is no way there."""
    loop = asyncio.get_running_loop()
    try:
        _, link = await loop.create_datagram_endpoint(_UdpLink, remote_addr=address[:2])
    except OSError as exc:
        raise NetworkError(f"There is no way to {_where(address)}: {_reason(exc)}.", phase="udp") from exc
    return link


async def connect_tcp(address: Address, timeout_s: float = CONNECT_TIMEOUT_S) -> socket.socket:
    """A TCP connection, to be given to `open_stream`. `NetworkError` with phase `tcp`."""
    try:
        sock = socket.socket(_family(address), socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as exc:
        raise NetworkError(f"There is no socket for {_where(address)}: {_reason(exc)}.", phase="tcp") from exc
    try:
        sock.setblocking(False)
        # Packets of media must not wait for one another.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(sock, address)
    except TimeoutError as exc:
        sock.close()
        raise NetworkError(
            f"{_where(address)} did not accept a TCP connection within {timeout_s:g} s.", phase="tcp"
        ) from exc
    except OSError as exc:
        sock.close()
        raise NetworkError(f"{_where(address)} did not accept a TCP connection: {_reason(exc)}.", phase="tcp") from exc
    except BaseException:
        sock.close()
        raise
    return sock


async def open_stream(
    sock: socket.socket,
    host: str,
    tls: ssl.SSLContext | None,
    timeout_s: float = CONNECT_TIMEOUT_S,
) -> Link:
    """A link over a TCP connection, with a TLS handshake when there is a context.

    `host` is what the certificate must be for. Raises `ssl.SSLError` as it comes, since its reader wants the details,
    and `NetworkError` with phase `tls` for a handshake that is not finished in time or broken off.
    """
    loop = asyncio.get_running_loop()
    where = host
    try:
        where = _where(sock.getpeername())  # which a connection that was reset has no more
        async with asyncio.timeout(timeout_s):
            _, link = await loop.create_connection(
                lambda: _StreamLink(where), sock=sock, ssl=tls, server_hostname=host if tls is not None else None
            )
    except TimeoutError as exc:
        sock.close()
        raise NetworkError(f"{where} did not finish the TLS handshake within {timeout_s:g} s.", phase="tls") from exc
    except ssl.SSLError:
        sock.close()
        raise
    except OSError as exc:
        sock.close()
        what = "broke the TLS handshake off: it closed the connection" if tls is not None else "closed the connection"
        raise NetworkError(f"{where} {what}.", phase="tcp" if tls is None else "tls") from exc
    except BaseException:
        sock.close()
        raise
    return link


def _ignore(_: object) -> None:
    """Nobody listens yet, or any more."""


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ip_address(str(address[0]).partition("%")[0]).version == 6 else socket.AF_INET


def _where(address: Address) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _reason(error: OSError) -> str:
    """In the system's words; asyncio puts the address in their place."""
    return os.strerror(error.errno) if error.errno is not None else "the connection failed"


def _printable(data: bytes) -> str:
    line = data[:60].split(b"\r")[0].split(b"\n")[0].decode("ascii", "replace")
    return "".join(character if character.isprintable() else "?" for character in line)
