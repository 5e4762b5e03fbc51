"""coturn as a child process: the TURN server behind the credentials that the embedded server issues.

Theory of operation. coturn reads its users from an SQLite table at each allocation, so a row that is added or deleted
takes effect at once, without a restart; shared secrets of the REST convention could not be revoked. Everything it has
is in a folder that its owner alone can read: configuration, users, certificate, log.

It must be gone when we are, however we end. Between us and it stands a shell that waits for coturn, and beside it a
watchdog that reads a pipe of ours: when that closes, which the kernel does even after a kill -9, the watchdog kills
coturn and removes the folder. The three are a process group of their own, so that Ctrl-C of a terminal is for us.

A port that was free a moment ago may be taken when coturn binds it, so starting is tried with other ports.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rtcctl.errors import NetworkError
from rtcctl.media.stun import Message, MessageClass, Method

if TYPE_CHECKING:
    from rtcctl.transport.tls import TlsFiles

logger = logging.getLogger(__name__)

PROGRAM = "turnserver"
REALM = "rtcctl"

_START_S = 5.0
"How long it may take to answer; it takes some 25 ms."
_ATTEMPTS = 4
_POLL_S = 0.01
_USERS = "CREATE TABLE turnusers_lt (realm TEXT, name TEXT, hmackey TEXT, PRIMARY KEY (realm, name))"
"Of coturn's schema, the one table that the long-term mechanism needs."
_SUPERVISOR = """
exec 3<&0 </dev/null
"$1" -c "$2/turnserver.conf" >/dev/null 2>&1 3<&- &
child=$!
{ cat <&3 >/dev/null 2>&1; kill -9 $child; rm -rf "$2"; } >/dev/null 2>&1 &
exec 3<&-
wait $child
"""


def is_installed() -> bool:
    """Whether there is a coturn on this machine, where it can be supervised."""
    return os.name == "posix" and shutil.which(PROGRAM) is not None


class Coturn:
    """A running coturn; made by `start`, ended by `close`."""

    def __init__(self, hosts: Sequence[str], tls: TlsFiles | None, *, external: str | None, random: Callable[[], int]):
        """`hosts`: addresses to listen on. `external`: how others see the first of them. `random` gives port numbers.

        `tls`: for `turns:`, which there is not without.
        """
        self.port = 0
        "For UDP and TCP."
        self.tls_port = 0
        self.on_end: Callable[[], None] | None = None
        "Called when it ends and it was not us."
        self._hosts = hosts
        self._tls = tls
        self._external = external
        self._random = random
        self._folder = Path(tempfile.mkdtemp(prefix="rtcctl-turn-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._users = sqlite3.connect(self._folder / "users.sqlite3", isolation_level=None)
        # It lives as long as this process: nothing is lost by a power cut.
        self._users.execute("PRAGMA synchronous = OFF")
        self._users.execute(_USERS)

    async def start(self) -> None:
        """Returns when it answers. `NetworkError` when it does not, with the last lines of its log."""
        for _ in range(_ATTEMPTS):
            self.port, self.tls_port = self._free_port(), self._free_port() if self._tls is not None else 0
            self._write_configuration()
            self._spawn()
            if await self._answers():
                self._watch()
                logger.info("TURN by coturn on %s, port %d", ", ".join(self._hosts), self.port)
                return
            self._kill()
        log = self._last_words()
        self.close()
        raise NetworkError(f"coturn does not start: {log}", phase="turn")

    def add_user(self, username: str, password: str) -> None:
        """From now on `username` can allocate."""
        # The key of the long-term mechanism (RFC 8489 §18.5.1.1), in hex.
        key = hashlib.md5(f"{username}:{REALM}:{password}".encode(), usedforsecurity=False).hexdigest()
        self._users.execute("INSERT OR REPLACE INTO turnusers_lt VALUES (?, ?, ?)", (REALM, username, key))

    def remove_user(self, username: str) -> None:
        """From now on `username` can not."""
        self._users.execute("DELETE FROM turnusers_lt WHERE realm = ? AND name = ?", (REALM, username))

    def close(self) -> None:
        """End it, and remove what it has. Harmless the second time."""
        self._unwatch()
        self._kill()
        self._users.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- the process ---------------------------------------------------------------------------------------------

    def _write_configuration(self) -> None:
        lines = [
            *(f"listening-ip={host}" for host in self._hosts),
            # One of each family: by itself it would take any of them, and the SFU is at the first.
            *(f"relay-ip={host}" for host in {":" in host: host for host in reversed(self._hosts)}.values()),
            *([f"external-ip={self._external}/{self._hosts[0]}"] if self._external else []),
            f"listening-port={self.port}",
            f"realm={REALM}",
            "lt-cred-mech",
            f"userdb={self._folder / 'users.sqlite3'}",
            f"log-file={self._folder / 'log'}",
            f"pidfile={self._folder / 'pid'}",
            "simple-log",
            "no-stdout-log",
            "no-cli",
            "no-dtls",
            "no-multicast-peers",
            "no-rfc5780",
            "fingerprint",
            "allocation-default-address-family=keep",
        ]
        if all(_is_loopback(host) for host in self._hosts[:1]):
            # The SFU is there. Elsewhere, whoever has a credential would reach what this machine keeps to itself.
            lines.append("allow-loopback-peers")
        if self._tls is not None:
            lines += [f"tls-listening-port={self.tls_port}", f"cert={self._tls.server}", f"pkey={self._tls.server}"]
        else:
            lines.append("no-tls")
        (self._folder / "turnserver.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _spawn(self) -> None:
        program = shutil.which(PROGRAM) or PROGRAM
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SUPERVISOR, "rtcctl-coturn", program, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    async def _answers(self) -> bool:
        """Whether it answers STUN before it ends or the time is over."""
        assert self._process is not None
        loop = asyncio.get_running_loop()
        request = bytes(Message(Method.BINDING, MessageClass.REQUEST, os.urandom(12)).with_fingerprint())
        with closing(_udp_socket(self._hosts[0])) as sock:
            sock.setblocking(False)
            sock.connect((self._hosts[0], self.port))
            deadline = loop.time() + _START_S
            while loop.time() < deadline and self._process.poll() is None:
                with suppress(OSError):
                    sock.send(request)
                with suppress(OSError):
                    if sock.recv(1500)[8:20] == request[8:20]:
                        return True
                await asyncio.sleep(_POLL_S)
        return False

    def _watch(self) -> None:
        """The shell's stdout ends with it, and it ends with coturn."""
        assert self._process is not None
        assert self._process.stdout is not None
        asyncio.get_running_loop().add_reader(self._process.stdout, self._ended)

    def _unwatch(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            with suppress(RuntimeError):  # no loop any more, and nothing watched
                asyncio.get_running_loop().remove_reader(self._process.stdout)

    def _ended(self) -> None:
        logger.warning("coturn has ended: %s", self._last_words())
        self.close()
        if self.on_end is not None:
            self.on_end()

    def _kill(self) -> None:
        """coturn, its shell and the watchdog; there is nothing that they would have to save."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait()

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = (self._folder / "log").read_text("utf-8", errors="replace").split("\n")
            told = [line.partition(": : ")[2] or line for line in lines if line.strip(": 0123456789\r")]
            if told:
                return " / ".join(told[-3:])
        return "it left no log"

    def _free_port(self) -> int:
        """A port that UDP and TCP have free on all addresses, outside the range that the kernel gives to clients."""
        for _ in range(100):
            port = 20_000 + self._random() % 10_000
            if port not in (self.port, self.tls_port) and all(_is_free(host, port) for host in self._hosts):
                return port
        raise NetworkError(f"No port is free on {', '.join(self._hosts)}.", phase="turn")


def _is_loopback(host: str) -> bool:
    return host == "::1" or host.startswith("127.")


def _udp_socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with closing(socket.socket(family, kind)) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                return False
    return True
