"""The UDP sockets of one lean peer: where it may be reached, until one path is selected; then that path alone.

`open` makes a socket for each address family, on all addresses: the candidates are the addresses of the interfaces with
its port. With `host` it is bound to that one alone. `select` closes the other family's socket, and may connect this one
to the peer: then the kernel takes nothing from anybody else, and reading and sending deal with addresses no more.

Where the event loop cannot watch sockets (Windows' Proactor), datagrams come through an endpoint of asyncio instead.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address

from rtcctl.errors import NetworkError
from rtcctl.media.ice import Address
from rtcctl.media.sdp import Candidate
from rtcctl.probe.readers import Readers, readers_of
from rtcctl.transport.udp import ReceiveBuffer

logger = logging.getLogger(__name__)

LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")

_RECEIVE_BUFFER_BYTES = 1 << 20
"Of a socket; the kernel cuts it to what it allows."
_ANYWHERE = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class Datagrams:
    """See the theory of operation."""

    def __init__(self, take: Callable[[int, Address | None], None]) -> None:
        """`take` is called for each datagram, with its size and where it came from.

        The datagram is in `buffer`. Without an address it came from the peer that `select` has named.
        """
        self.buffer = ReceiveBuffer()
        self.candidates: tuple[Candidate, ...] = ()
        "Ours, best first."
        self.packets_dropped = 0
        "Datagrams that the kernel did not take: its buffer was full, or there was no way."
        self.heard = None
        "Of relays: the one through which the last datagram came."
        self._take = take
        self._readers: Readers | None = None
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        self._endpoints: dict[socket.AddressFamily, asyncio.DatagramTransport] = {}
        "What reads them, where the loop cannot watch sockets."
        self._peer: Address | None = None
        "The selected address."
        self._connected: socket.socket | None = None
        "The one that is connected to it."
        self._is_silent = False

    async def open(self, host: str | None, *, include_loopback: bool) -> None:
        """Open the sockets. `NetworkError` when `host` is no address of this machine."""
        loop = asyncio.get_running_loop()
        addresses = [host] if host is not None else _host_addresses(include_loopback)
        ports: dict[socket.AddressFamily, int] = {}
        for address in addresses:
            family = _family(address)
            if family in ports:
                continue
            try:
                sock = _bind(family, host or _ANYWHERE[family])
            except OSError as exc:
                if host is None:
                    continue  # a family that is switched off
                raise NetworkError(f"No socket can be opened on {host}: {exc.strerror}.", phase="ice") from exc
            ports[family] = sock.getsockname()[1]
            try:
                self._readers = readers_of(loop)
                self._readers.add(sock, partial(self._read, sock))
            except NotImplementedError:
                endpoint, _ = await loop.create_datagram_endpoint(lambda: _Reader(self._copy), sock=sock)
                self._endpoints[family] = endpoint
            self._sockets[family] = sock
            if self._is_silent:  # closed meanwhile
                self._release(family)
                return
        usable = [address for address in addresses if _family(address) in ports]
        self.candidates = tuple(
            Candidate.host(address, ports[_family(address)], index=index) for index, address in enumerate(usable)
        )

    def is_reachable(self, candidate: Candidate) -> bool:
        """Whether there is a socket for it."""
        return is_address(candidate) and _family(candidate.address) in self._sockets

    def select(self, addr: Address, *, may_connect: bool) -> Candidate:
        """The peer is at `addr` from now on; our candidate of that path."""
        self._peer = addr
        family = _family(addr[0])
        sock = self._sockets[family]
        for other in [known for known in self._sockets if known is not family]:
            self._release(other)
        if may_connect and family not in self._endpoints and self._connected is None:
            try:
                sock.connect(addr)
                self._connected = sock
            except OSError as exc:
                logger.debug("the socket to %s stays unconnected: %s", addr[0], exc)
        address, port = sock.getsockname()[:2]
        own = [candidate for candidate in self.candidates if candidate.port == port]
        return next((candidate for candidate in own if candidate.address == address), own[0])

    def send(self, data: bytes, addr: Address) -> None:
        """Send a datagram; what the kernel does not take is lost, as on any path."""
        if addr == self._peer:
            self.send_to_peer(data)
        else:
            self._send_to(data, addr)

    def send_to_peer(self, data: bytes | memoryview) -> None:
        """The same, to the address that was selected."""
        sock = self._connected
        if sock is None or self._is_silent:
            self._send_to(data, self._peer)
            return
        try:
            sock.send(data)
        except OSError:
            self.packets_dropped += 1

    def fall_silent(self) -> None:
        """Neither send nor read any more. The sockets stay open, or the kernel would tell the peer that we are gone."""
        self._is_silent = True
        for family, sock in self._sockets.items():
            if family not in self._endpoints and self._readers is not None:
                self._readers.remove(sock)

    async def close(self) -> None:
        """Wait for what `release` had to leave to the event loop."""
        if self._endpoints:
            await asyncio.sleep(0)

    def release(self) -> None:
        """Close the sockets."""
        self.fall_silent()
        for family in list(self._sockets):
            self._release(family)

    def _release(self, family: socket.AddressFamily) -> None:
        sock = self._sockets.pop(family)
        endpoint = self._endpoints.get(family)
        if endpoint is not None:
            endpoint.close()
            return
        if self._readers is not None:
            self._readers.remove(sock)
        sock.close()

    def _send_to(self, data: bytes | memoryview, addr: Address | None) -> None:
        sock = None if addr is None or self._is_silent else self._sockets.get(_family(addr[0]))
        if sock is None:
            return
        assert addr is not None
        try:
            sock.sendto(data, addr)
        except OSError:
            self.packets_dropped += 1

    def _read(self, sock: socket.socket) -> None:
        """Take one datagram; when there is another, this is called again."""
        if self._is_silent:
            return
        addr = None
        try:
            if sock is self._connected:
                size = sock.recv_into(self.buffer.view)
            else:
                size, addr = sock.recvfrom_into(self.buffer.view)
        except OSError:
            return  # nothing after all, or an ICMP message about something that was sent
        self._take(size, addr)

    def _copy(self, data: bytes, addr: Address) -> None:
        """One datagram, from an endpoint."""
        if not self._is_silent:
            size = min(len(data), len(self.buffer.view))
            self.buffer.view[:size] = data[:size]
            self._take(size, addr)


class _Reader(asyncio.DatagramProtocol):
    """What an endpoint receives."""

    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._take(data, addr)


def is_address(candidate: Candidate) -> bool:
    """Whether media can be sent to a candidate as it stands. Not to a name: to look it up would hold up the loop."""
    try:
        ip_address(candidate.address)
    except ValueError:
        return False
    return candidate.component == 1 and candidate.transport.lower() == "udp"


def _host_addresses(include_loopback: bool) -> list[str]:
    """Those of the interfaces, and those of loopback in front of them when they are wanted."""
    import ifaddr

    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    # An IPv6 address is a tuple with its scope, which link-local ones need and candidates cannot say.
    addresses = [ip if isinstance(ip, str) else ip[0] for ip in found if isinstance(ip, str) or ip[2] == 0]
    elsewhere = [address for address in addresses if address not in LOOPBACK_ADDRESSES]
    return [*LOOPBACK_ADDRESSES, *elsewhere] if include_loopback else elsewhere


def _bind(family: socket.AddressFamily, host: str) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
