"""What Linux says of the parts of a bench: packets that UDP sockets dropped, and time that a process had to wait."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SocketState:
    """The receiving side of a UDP socket."""

    queued_bytes: int
    "What waits to be read, with the kernel's own overhead, as `SO_RCVBUF` counts it."
    dropped: int
    "Packets for which there was no room, since it was opened."


def udp_sockets(ports: Iterable[int]) -> Mapping[int, SocketState]:
    """By local port, of IPv4 (`/proc/net/udp`)."""
    wanted = {f"{port:04X}": port for port in ports}
    states = {}
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        port = wanted.get(fields[1].rpartition(":")[2])
        if port is not None:
            states[port] = SocketState(int(fields[4].rpartition(":")[2], 16), int(fields[-1]))
    return states


def waited_s(pid: int) -> float:
    """Seconds in which the main thread of a process could have run, but another had its core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def receive_buffer_bytes(sock: socket.socket) -> int:
    """What the socket has; less than was asked for when `net.core.rmem_max` says so."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
