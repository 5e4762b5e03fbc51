"""A virtual X display with something on it."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.requirements import require


@contextmanager
def virtual_display(width: int, height: int) -> Iterator[str]:
    """The name of a display that is white, with a black window over its left half."""
    require("xvfb", why="a screen is published from a virtual one", is_there=shutil.which("Xvfb") is not None)
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", f"{width}x{height}x24", "-wr", "-ac", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            number = process.stdout.readline().strip()
            assert number, "Xvfb did not start"
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(f"/tmp/.X11-unix/X{number}")
                _black_window(connection, width // 2, height)
                yield f":{number}"
        finally:
            process.terminate()


def _black_window(connection: socket.socket, width: int, height: int) -> None:
    """The X protocol, as far as needed: set-up, CreateWindow, MapWindow; a request with a reply waits for both."""
    connection.sendall(struct.pack("<BxHHHHxx", 0x6C, 11, 0, 0, 0))
    success, size = struct.unpack("<BxxxxxH", _received(connection, 8))
    setup = _received(connection, size * 4)
    assert success == 1, setup
    (window,) = struct.unpack_from("<I", setup, 4)
    vendor, _, _, formats = struct.unpack_from("<HHBB", setup, 16)
    (root,) = struct.unpack_from("<I", setup, 32 + (vendor + 3) // 4 * 4 + formats * 8)
    # Back pixel and override-redirect: nobody decorates or moves it.
    values = struct.pack("<II", 0, 1)
    head = struct.pack("<BBHIIhhHHHHII", 1, 0, 8 + 2, window, root, 0, 0, width, height, 0, 1, 0, 0x202)
    connection.sendall(head + values + struct.pack("<BxHI", 8, 2, window) + struct.pack("<BxH", 43, 1))
    reply = _received(connection, 32)
    assert reply[0] == 1, reply


def _received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the X server closed the connection"
        data += part
    return data
