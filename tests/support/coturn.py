"""Real TURN servers for tests: coturn with whatever configuration a test wants, on free ports of loopback.

    async with coturn("user-quota=1") as server:
        ...  # server.url("udp"), server.username, server.password

What a client is told about TLS is in `server.authority`; `certificate` makes others, wrong or ended ones too.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rtcctl.media.stun import Message, MessageClass, Method
from rtcctl.transport import tls
from rtcctl.transport.tls import TlsFiles
from tests.support.requirements import require

PROGRAM = "turnserver"
USERNAME, PASSWORD, REALM = "alice", "wonderland", "example.org"
OTHER_USERNAME, OTHER_PASSWORD = "bob", "builder"
START_S = 10.0
_USERS = ("lt-cred-mech", f"user={USERNAME}:{PASSWORD}", f"user={OTHER_USERNAME}:{OTHER_PASSWORD}")


@dataclass
class TurnServer:
    """A coturn that runs."""

    hosts: Sequence[str]
    port: int
    "For UDP and TCP. With two hosts (RFC 5780), the one above is the alternate."
    tls_port: int
    authority: Path
    "What a client must trust for `turns:`, unless the test gave a certificate of its own."
    folder: Path
    process: subprocess.Popen[bytes] = field(repr=False)
    username: str = USERNAME
    password: str = PASSWORD

    def url(self, protocol: str = "udp", host: str = "") -> str:
        """`protocol`: udp, tcp or tls; `host`: as the URL is to have it, by default the first address."""
        host = host or self.hosts[0]
        if protocol == "tls":
            return f"turns:{host}:{self.tls_port}?transport=tcp"
        return f"turn:{host}:{self.port}?transport={protocol}"

    @property
    def ice_servers(self) -> list[dict[str, object]]:
        """As an `RTCPeerConnection` takes them: UDP, TCP and TLS."""
        urls = [self.url(protocol) for protocol in ("udp", "tcp", "tls")]
        return [{"urls": urls, "username": self.username, "credential": self.password}]

    @property
    def log(self) -> str:
        """What coturn wrote, `verbose`."""
        with suppress(FileNotFoundError):
            return (self.folder / "log").read_text("utf-8", errors="replace")
        return ""

    def kill(self) -> None:
        """As if its machine had lost power, but for the ports, which are closed."""
        self.process.kill()
        self.process.wait()


def certificate(folder: Path, *names: str, now: datetime | None = None) -> TlsFiles:
    """A certificate for `names`, as if it had been made at `now`: it lives for 397 days."""
    made = tls.generate(names, now or datetime.now(UTC))
    folder.mkdir(exist_ok=True)
    files = TlsFiles(server=folder / "server.pem", authority=folder / "ca.pem")
    files.server.write_text(made.server)
    files.authority.write_text(made.authority)
    return files


@asynccontextmanager
async def coturn(
    *lines: str, hosts: Sequence[str] = ("127.0.0.1",), files: TlsFiles | None = None
) -> AsyncIterator[TurnServer]:
    """Run one while the body runs; skips the test where it is not installed.

    `lines` go into its configuration. With two `hosts` it answers RFC 5780. `files`: its certificate, by default one
    for localhost and its addresses.
    """
    require(PROGRAM, why="the TURN server of these tests is coturn")
    with tempfile.TemporaryDirectory(prefix="rtcctl-tests-") as name:
        folder = Path(name)
        files = files or certificate(folder / "tls", "localhost", *hosts)
        server = await _started(folder, lines, hosts, files)
        try:
            yield server
        finally:
            server.kill()


async def _started(folder: Path, lines: Sequence[str], hosts: Sequence[str], files: TlsFiles) -> TurnServer:
    said = ""
    # A port that was free may be taken when coturn binds it.
    for _ in range(5):
        port, tls_port = _free_pair(hosts), _free_pair(hosts)
        configuration = [
            *(f"listening-ip={host}" for host in hosts),
            f"listening-port={port}",
            f"tls-listening-port={tls_port}",
            f"cert={files.server}",
            f"pkey={files.server}",
            f"realm={REALM}",
            *(_USERS if "no-auth" not in lines else ()),
            f"userdb={folder / 'users.sqlite3'}",
            f"log-file={folder / 'log'}",
            f"pidfile={folder / 'pid'}",
            "simple-log",
            "verbose",
            "no-stdout-log",
            "no-dtls",
            "no-cli",
            "fingerprint",
            "allow-loopback-peers",
            *(["no-rfc5780"] if len(hosts) < 2 else []),
            *lines,
        ]
        (folder / "turnserver.conf").write_text("\n".join(configuration) + "\n")
        process = _spawn(folder / "turnserver.conf")
        server = TurnServer(hosts, port, tls_port, files.authority, folder, process)
        try:
            if await _answers(server):
                return server
        except BaseException:
            server.kill()
            raise
        server.kill()
        said = server.log
    raise AssertionError(f"coturn does not start:\n{said}")


def _spawn(configuration: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [shutil.which(PROGRAM) or PROGRAM, "-c", str(configuration)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _answers(server: TurnServer) -> bool:
    """Whether it answers on all its addresses, by UDP, before it ends or the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_S
    request = bytes(Message(Method.BINDING, MessageClass.REQUEST, os.urandom(12)).with_fingerprint())
    for host in server.hosts:
        with closing(_socket(host, socket.SOCK_DGRAM)) as sock:
            sock.setblocking(False)
            sock.connect((host, server.port))
            while True:
                if loop.time() > deadline or server.process.poll() is not None:
                    return False
                with suppress(OSError):
                    sock.send(request)
                with suppress(OSError):
                    if sock.recv(1500)[8:20] == request[8:20]:
                        break
                await asyncio.sleep(0.01)
    return True


def _free_pair(hosts: Sequence[str]) -> int:
    """A port that is free on all hosts, as is the one above it, outside the range that the kernel gives to clients."""
    while True:
        port = random.randrange(10_000, 20_000)
        if all(_is_free(host, number) for host in hosts for number in (port, port + 1)):
            return port


def _is_free(host: str, port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with closing(_socket(host, kind)) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                return False
    return True


def _socket(host: str, kind: socket.SocketKind) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
