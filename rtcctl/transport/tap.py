"""A stand-in for a `UdpSocket` through which one peer's packets go one by one, to be held or dropped on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pylibsrtp._binding import ffi

from rtcctl.transport.srtp import srtp_protect
from rtcctl.transport.udp import SLOT_SIZE, Address, UdpSocket, memmove


class TappedAddress:
    """The name of the peer's address in the batch of a tap; equal to no other."""

    __slots__ = ("address",)

    def __init__(self, address: Address) -> None:
        self.address = address


class Tap:
    """What senders use of a `UdpSocket`. Each packet, encrypted, goes to `take` with its destination.

    It is a socket of its own to those who put packets that are equal before encryption together, so that nobody else's
    packets take this way.
    """

    def __init__(self, udp: UdpSocket, take: Callable[[bytes, Address], None]) -> None:
        self.udp = udp
        self._take = take
        self._memory = bytearray(SLOT_SIZE)
        self._slot = ffi.from_buffer(self._memory)
        self._length = ffi.new("int *")

    def name_of(self, addr: Address) -> tuple[Any, Any]:
        """See `UdpSocket.name_of`."""
        return TappedAddress(addr), None

    def put(self, data: bytes, name: Any) -> None:
        """See `UdpSocket.put`."""
        self._take(data, name.address)

    def put_protected(self, packet: Any, size: int, targets: Iterable[tuple[Any, Any]]) -> None:
        """See `UdpSocket.put_protected`."""
        self.put_patched(packet, size, 0, ((sender, name, b"") for sender, name in targets))

    def put_patched(self, packet: Any, size: int, at: int, targets: Iterable[tuple[Any, Any, bytes]]) -> None:
        """See `UdpSocket.put_patched`."""
        slot, length = self._slot, self._length
        for sender, name, patch in targets:
            memmove(slot, packet, size)
            if patch:
                memmove(slot + at, patch, len(patch))
            length[0] = size
            if not srtp_protect(sender, slot, length):
                self._take(bytes(self._memory[: length[0]]), name.address)

    def flush(self) -> None:
        """See `UdpSocket.flush`: what came out of the tap."""
        self.udp.flush()
