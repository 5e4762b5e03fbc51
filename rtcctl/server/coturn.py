"""coturn as a child process: the TURN server behind the credentials that the embedded server issues.

Theory of operation. coturn reads its users from an SQLite table at each allocation, so a row that is added or deleted
takes effect at once, without a restart; shared secrets of the REST convention could not be revoked. What has been
allocated before would go on, since coturn asks for a key once: its console, on loopback and behind a password of this
run, ends it. Everything it has is in a folder that its owner alone can read: configuration, users, log.

It must be gone when we are, however we end. Between us and it stands a shell that waits for coturn, and beside it a
watchdog that reads a pipe of ours: when that closes, which the kernel does even after a kill -9, the watchdog removes
the folder and kills coturn. The three are a process group of their own, so that Ctrl-C of a terminal is for us.

A port that was free a moment ago may be taken when coturn binds it. It says so in its log and goes on without, so the
log is read, and starting is tried with other ports.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

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
_NO_PORT = "Cannot bind"
"In the log."
_CONSOLE = "127.0.0.1"
"Where coturn's own console listens."
_SECOND_LOOK_S = 1.0
"After which no answer to a user who is no more can be under way."
_NEXT_LOOK_S = 0.1
"A session that was ended is listed a moment longer."
_USERS = "CREATE TABLE turnusers_lt (realm TEXT, name TEXT, hmackey TEXT, PRIMARY KEY (realm, name))"
"Of coturn's schema, the one table that the long-term mechanism needs."
_SUPERVISOR = """
exec 3<&0 </dev/null
"$1" -c "$2/turnserver.conf" >/dev/null 2>&1 3<&- &
child=$!
{ read -r _ <&3; command -p rm -rf "$2"; kill -9 -$$; } >/dev/null 2>&1 &
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
        self._folder = Path()
        "None yet."
        self._process: subprocess.Popen[bytes] | None = None
        self._console_port = 0
        self._console_password = secrets.token_hex(16)
        self._console: _Console | None = None
        self._users: sqlite3.Connection | None = None

    async def start(self) -> None:
        """Returns when it answers. `NetworkError` when it does not, with the last lines of its log."""
        try:
            self._make_folder()
            for _ in range(_ATTEMPTS):
                self._choose_ports()
                self._write_configuration()
                self._spawn()
                if await self._answers():
                    self._watch()
                    logger.info("TURN by coturn on %s, port %d", ", ".join(self._hosts), self.port)
                    return
                self._kill()
            raise NetworkError(f"coturn does not start: {self._last_words()}", phase="turn")
        except (OSError, sqlite3.Error) as exc:
            self.close()
            raise NetworkError(f"coturn does not start: {exc}", phase="turn") from exc
        except BaseException:
            self.close()
            raise

    def add_user(self, username: str, password: str) -> None:
        """From now on `username` can allocate. `NetworkError` when coturn cannot be told, which then has ended."""
        # The key of the long-term mechanism (RFC 8489 §18.5.1.1), in hex.
        key = hashlib.md5(f"{username}:{REALM}:{password}".encode(), usedforsecurity=False).hexdigest()
        self._change_users("INSERT OR REPLACE INTO turnusers_lt VALUES (?, ?, ?)", REALM, username, key)

    def remove_user(self, username: str) -> None:
        """From now on `username` can not, and what it has allocated ends."""
        with suppress(NetworkError):
            self._change_users("DELETE FROM turnusers_lt WHERE realm = ? AND name = ?", REALM, username)
        if self._console is not None:
            self._console.end(username)

    def close(self) -> None:
        """End it, and remove what it has. Harmless the second time."""
        self._unwatch()
        self._kill()
        if self._users is not None:
            self._users.close()
        if self._folder.name:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _change_users(self, statement: str, *values: str) -> None:
        assert self._users is not None, "start() comes first"
        try:
            self._users.execute(statement, values)
        except sqlite3.Error as exc:  # the disk is full, or somebody has tidied up
            self._ended()
            raise NetworkError(f"coturn cannot be told its users: {exc}", phase="turn") from exc

    # -- the process ---------------------------------------------------------------------------------------------

    def _make_folder(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rtcctl-turn-"))
        self._users = sqlite3.connect(self._folder / "users.sqlite3", isolation_level=None)
        # It lives as long as this process: nothing is lost by a power cut.
        self._users.execute("PRAGMA synchronous = OFF")
        self._users.execute(_USERS)

    def _choose_ports(self) -> None:
        self.port = self._free_port(self._hosts)
        self.tls_port = self._free_port(self._hosts) if self._tls is not None else 0
        self._console_port = self._free_port([_CONSOLE])

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
            f"cli-ip={_CONSOLE}",
            f"cli-port={self._console_port}",
            f"cli-password={self._console_password}",
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
        (self._folder / "log").unlink(missing_ok=True)  # of another attempt
        program = shutil.which(PROGRAM) or PROGRAM
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SUPERVISOR, "rtcctl-coturn", program, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    async def _answers(self) -> bool:
        """Whether it answers STUN, has its console and all ports, before it ends or the time is over."""
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
                        _, self._console = await loop.create_connection(
                            lambda: _Console(self._console_password), _CONSOLE, self._console_port
                        )
                        return _NO_PORT not in self._log()
                if _NO_PORT in self._log():
                    return False
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
        if self._console is not None:
            self._console.close()
            self._console = None
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

    def _log(self) -> str:
        with suppress(FileNotFoundError):
            return (self._folder / "log").read_text("utf-8", errors="replace")
        return ""

    def _last_words(self) -> str:
        told = [line.partition(": : ")[2] or line for line in self._log().split("\n") if line.strip(": 0123456789\r")]
        return " / ".join(told[-3:]) or "it left no log"

    def _free_port(self, hosts: Sequence[str]) -> int:
        """A port that UDP and TCP have free on all addresses, outside the range that the kernel gives to clients."""
        for _ in range(100):
            port = 20_000 + self._random() % 10_000
            if port not in (self.port, self.tls_port) and all(_is_free(host, port) for host in hosts):
                return port
        raise NetworkError(f"No port is free on {', '.join(hosts)}.", phase="turn")


class _Console(asyncio.Protocol):
    """coturn's command line (`cli-port`). It takes one command after the other: the next when it asks for one."""

    def __init__(self, password: str) -> None:
        self._commands = deque([password])
        self._said = b""
        self._is_waiting = False
        "For a command."
        self._command = ""
        "The last one."
        self._transport: asyncio.Transport | None = None

    def end(self, username: str) -> None:
        """End all that a user has allocated; and again, should an answer have been under way.

        It lists 256 at most, so what has listed some is asked again until it lists none.
        """
        self._ask(f"ps {username}")
        asyncio.get_running_loop().call_later(_SECOND_LOOK_S, self._ask, f"ps {username}")

    def close(self) -> None:
        """Harmless the second time."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._said += data
        if self._said.rstrip(b"\r\n").endswith((b"password: ", b"> ")):
            found = re.findall(rb"id=(\d+), user <", self._said)
            self._commands += [f"cs {session.decode()}" for session in found]
            if found:
                asyncio.get_running_loop().call_later(_NEXT_LOOK_S, self._ask, self._command)
            self._said = b""
            self._is_waiting = True
            self._next()

    def _ask(self, command: str) -> None:
        self._commands.append(command)
        self._next()

    def _next(self) -> None:
        if self._is_waiting and self._commands and self._transport is not None and not self._transport.is_closing():
            self._is_waiting = False
            self._command = self._commands.popleft()
            self._transport.write(self._command.encode() + b"\r\n")


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
