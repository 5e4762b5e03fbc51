"""UDP sockets for media: receive into one buffer, send in batches.

Four fifths of what forwarding a packet costs is the system call, so packets are collected in the slots of a batch and
leave together through `sendmmsg` (Linux). The kernel's `mmsghdr` and `iovec` arrays are laid out once; for a packet
only three words change:

    slots[i]     where the packet is put, SLOT_SIZE bytes
    lengths[i]   int *: its length. It is the low half of the slot's `iov_len`, so what libsrtp makes of it is
                 what the kernel reads (little-endian, 64 bit)
    names[i * name_stride]   whom it is for: what `name_of(addr)` gave

    struct mmsghdr: name 8, name length 4 + 4, iov 8, iov length 8, control 8, control length 8, flags 4 + 4, sent 4 + 4

Elsewhere the same slots are sent one by one with `sendto`.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Callable, Iterable, MutableSequence
from typing import Any

from pylibsrtp._binding import ffi

from rtcctl.media.rewrite import HEADROOM
from rtcctl.transport.srtp import MAX_TRAILER_SIZE, srtp_protect

SLOTS = 64
"Packets in a batch."
SLOT_SIZE = 2048
"Bytes; no datagram that fits an Ethernet or loopback path of WebRTC is larger."

DATAGRAM_SIZE_MAX = SLOT_SIZE - HEADROOM - MAX_TRAILER_SIZE
"Bytes of a received datagram that can be forwarded, whatever header it gets."

_SOCKET_BUFFER_SIZE = 4 << 20
"Bytes. The kernel cuts it to what it allows."
_MMSGHDR_WORDS = 8

memmove = ffi.memmove

Address = Any
"""What `socket.recvfrom` gives for a datagram socket: (host, port) or (host, port, flow label, scope)."""


class ReceiveBuffer:
    """Where datagrams are received: room in front for another header, and a pointer for libsrtp."""

    def __init__(self) -> None:
        self.memory = bytearray(HEADROOM + DATAGRAM_SIZE_MAX + 1)
        "A datagram starts at HEADROOM."
        self.view = memoryview(self.memory)[HEADROOM:]
        "To receive into; a datagram that fills it was too long."
        self.pointer = ffi.from_buffer(self.memory)
        "The start of `memory`."
        self.datagram = self.pointer + HEADROOM
        "The start of the datagram."


class UdpSocket:
    """A bound, non-blocking UDP socket with a batch of outgoing packets, sent with `sendto`."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER_SIZE)
        self.sock = sock
        self.address: tuple[str, int] = sock.getsockname()[:2]
        self.count = 0
        "Slots in use. Who fills slots counts them here, and calls `flush` when there are SLOTS."
        self.packets_dropped = 0
        "Packets that were too long, or that the kernel did not take: its buffer was full, or there was no route."
        self._memory = bytearray(SLOTS * SLOT_SIZE)
        base = ffi.from_buffer(self._memory)
        self._iovecs = ffi.new("uint64_t[]", 2 * SLOTS)
        self.slots: tuple[Any, ...] = tuple(base + i * SLOT_SIZE for i in range(SLOTS))
        self.lengths: tuple[Any, ...] = tuple(ffi.cast("int *", self._iovecs + 2 * i + 1) for i in range(SLOTS))
        self.names: MutableSequence[Any] = [None] * SLOTS
        self.name_stride = 1

    def fileno(self) -> int:
        """For selectors and event loops."""
        return self.sock.fileno()

    def name_of(self, addr: Address) -> tuple[Any, Any]:
        """What stands for `addr` in `names`, and what must be kept as long as that is used: until after `flush`."""
        return addr, None

    def put(self, data: bytes, name: Any) -> None:
        """Put one packet into the batch as it is. One that fits no slot is dropped: beyond it is other memory."""
        if len(data) > SLOT_SIZE:
            self.packets_dropped += 1
            return
        if self.count == SLOTS:
            self.flush()
        i = self.count
        ffi.memmove(self.slots[i], data, len(data))
        self.lengths[i][0] = len(data)
        self.names[i * self.name_stride] = name
        self.count = i + 1

    def put_protected(self, packet: Any, size: int, targets: Iterable[tuple[Any, Any]]) -> None:
        """Put a copy of an RTP packet into the batch for each (SRTP sender, name), protected for it.

        This is the inner loop of forwarding. A copy that libsrtp refuses is not sent.
        """
        slots, lengths, names, stride = self.slots, self.lengths, self.names, self.name_stride
        i = self.count
        for sender, name in targets:
            if i == SLOTS:
                self.count = i
                self.flush()
                i = 0
            slot, length = slots[i], lengths[i]
            memmove(slot, packet, size)
            length[0] = size
            if srtp_protect(sender, slot, length):
                continue
            names[i * stride] = name
            i += 1
        self.count = i

    def put_patched(self, packet: Any, size: int, at: int, targets: Iterable[tuple[Any, Any, bytes]]) -> None:
        """The same for packets that differ in the bytes at `at`: targets are (SRTP sender, name, those bytes)."""
        slots, lengths, names, stride = self.slots, self.lengths, self.names, self.name_stride
        i = self.count
        for sender, name, patch in targets:
            if i == SLOTS:
                self.count = i
                self.flush()
                i = 0
            slot, length = slots[i], lengths[i]
            memmove(slot, packet, size)
            memmove(slot + at, patch, len(patch))
            length[0] = size
            if srtp_protect(sender, slot, length):
                continue
            names[i * stride] = name
            i += 1
        self.count = i

    def flush(self) -> None:
        """Send the batch. What the kernel does not take at once is dropped: late media is worth nothing."""
        view = memoryview(self._memory)
        for i in range(self.count):
            start = i * SLOT_SIZE
            try:
                self.sock.sendto(view[start : start + self.lengths[i][0]], self.names[i])
            except OSError:
                self.packets_dropped += 1
        self.count = 0

    def send(self, data: bytes, addr: Address) -> None:
        """Send one datagram now; dropped when the kernel does not take it."""
        try:
            self.sock.sendto(data, addr)
        except OSError:
            self.packets_dropped += 1

    def close(self) -> None:
        """Send what is left and close."""
        self.flush()
        self.sock.close()


class MmsgUdpSocket(UdpSocket):
    """The same, sent with one `sendmmsg` per batch."""

    def __init__(self, sock: socket.socket, sendmmsg: Callable[[int, int, int, int], int]) -> None:
        super().__init__(sock)
        self._sendmmsg = sendmmsg
        self._is_ipv6 = sock.family == socket.AF_INET6
        headers = ffi.new("uint64_t[]", _MMSGHDR_WORDS * SLOTS)
        iovecs = int(ffi.cast("uintptr_t", self._iovecs))
        for i in range(SLOTS):
            self._iovecs[2 * i] = int(ffi.cast("uintptr_t", self.slots[i]))
            headers[_MMSGHDR_WORDS * i + 1] = 28 if self._is_ipv6 else 16
            headers[_MMSGHDR_WORDS * i + 2] = iovecs + 16 * i
            headers[_MMSGHDR_WORDS * i + 3] = 1
        self._headers = int(ffi.cast("uintptr_t", headers))
        self.names = headers
        self.name_stride = _MMSGHDR_WORDS

    def name_of(self, addr: Address) -> tuple[Any, Any]:
        """The address of a `sockaddr`, and its memory."""
        memory = ffi.new("unsigned char[]", _sockaddr_in6(addr) if self._is_ipv6 else _sockaddr_in(addr))
        return int(ffi.cast("uintptr_t", memory)), memory

    def flush(self) -> None:
        """Send the batch, in one system call when the kernel takes all of it."""
        done, count = 0, self.count
        fd = self.sock.fileno()
        while done < count:
            sent = self._sendmmsg(fd, self._headers + 8 * _MMSGHDR_WORDS * done, count - done, 0)
            if sent > 0:
                done += sent
            elif ctypes.get_errno() != errno.EINTR:
                # The error is that of the first packet left: it goes, the rest is tried.
                self.packets_dropped += 1
                done += 1
        self.count = 0


def bind_udp(host: str, port: int) -> UdpSocket:
    """A socket bound to one address; port 0 is any. OSError as `socket.bind` raises it."""
    family, _, _, _, (address, *_) = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sendmmsg = _find_sendmmsg()
        return UdpSocket(sock) if sendmmsg is None else MmsgUdpSocket(sock, sendmmsg)
    except BaseException:
        sock.close()
        raise


def _find_sendmmsg() -> Callable[[int, int, int, int], int] | None:
    """The C library's `sendmmsg`, where the layouts above hold."""
    if sys.platform != "linux" or sys.byteorder != "little" or ffi.sizeof("void *") != 8:
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "sendmmsg", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        function.restype = ctypes.c_int
    return function


def _sockaddr_in(addr: Address) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", addr[1]) + socket.inet_aton(addr[0]) + bytes(8)


def _sockaddr_in6(addr: Address) -> bytes:
    host, port, flow, scope = addr
    head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, flow)
    return head + socket.inet_pton(socket.AF_INET6, host.partition("%")[0]) + struct.pack("=I", scope)
