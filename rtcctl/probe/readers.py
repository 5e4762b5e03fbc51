"""The sockets of all lean peers of an event loop, watched as one.

To the loop each socket that has something is a key, an event, a callback and a context. Hundreds of peers have one
epoll between them instead (Linux), of which the loop knows that it has something; a socket is then a call.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable

_BATCH = 64
"Calls per wake-up, so that other work of the event loop gets its turn."


class Readers:
    """Of one event loop, while there is a socket to watch."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._read: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        if self._epoll is not None:
            loop.add_reader(self._epoll.fileno(), self._read_some)

    def add(self, sock: socket.socket, read: Callable[[], None]) -> None:
        """Call `read` while the socket has something. `NotImplementedError` where the loop cannot watch sockets."""
        if self._epoll is None:
            self._loop.add_reader(sock, read)
        else:
            self._epoll.register(sock, select.EPOLLIN)
        self._read[sock.fileno()] = read

    def remove(self, sock: socket.socket) -> None:
        """Before the socket is closed; harmless the second time."""
        if self._read.pop(sock.fileno(), None) is None:
            return
        if self._epoll is None:
            self._loop.remove_reader(sock)
        else:
            self._epoll.unregister(sock)
        if not self._read:
            _READERS.pop(self._loop, None)
            if self._epoll is not None:
                self._loop.remove_reader(self._epoll.fileno())
                self._epoll.close()

    def _read_some(self) -> None:
        """One datagram of each socket in turn: a burst costs one turn of the loop, and none waits for another's."""
        assert self._epoll is not None
        left = _BATCH
        while left > 0 and not self._epoll.closed and (events := self._epoll.poll(0, left)):
            left -= len(events)
            for fileno, _ in events:
                read = self._read.get(fileno)
                if read is not None:  # or another one has closed it
                    read()


_READERS: dict[asyncio.AbstractEventLoop, Readers] = {}


def readers_of(loop: asyncio.AbstractEventLoop) -> Readers:
    """Those of an event loop."""
    readers = _READERS.get(loop)
    if readers is None:
        readers = _READERS[loop] = Readers(loop)
    return readers


__all__ = ["Readers", "readers_of"]
