"""`rtcctl dev` with coturn: its credentials relay, end when they should, and nothing outlives the server."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from rtcctl.config.tls import kept_certificate
from rtcctl.errors import NetworkError
from rtcctl.probe.turn.allocation import Allocation, RefusedError
from rtcctl.server.coturn import Coturn
from rtcctl.server.server import RealtimeServer
from rtcctl.testing import realtime_server
from tests.support.allocations import TIMEOUT_S, Inbox, link_to
from tests.support.command import Home
from tests.support.coturn import PROGRAM
from tests.support.requirements import require

END_S = 5.0
"How long a process may take to be gone."


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of our own: coturn's are named after it. Nothing is left there, nor running."""
    require(PROGRAM, why="the embedded server relays by coturn")
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@dataclass(frozen=True)
class Issued:
    """A credential of the embedded server."""

    urls: list[str]
    username: str
    password: str

    def url(self, protocol: str) -> str:
        wanted = {"udp": ("turn:", "=udp"), "tcp": ("turn:", "=tcp"), "tls": ("turns:", "=tcp")}[protocol]
        return next(url for url in self.urls if url.startswith(wanted[0]) and url.endswith(wanted[1]))


class Service:
    """The TURN half of the API, as a client of it."""

    def __init__(self, base_url: str, key_id: str, token: str) -> None:
        self._base = f"{base_url}/turn/keys/{key_id}/credentials"
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, operation: str, body: Any = None) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            return await client.post(f"{self._base}/{operation}", json=body, headers=self._headers)

    async def issue(self, ttl: int = 60, operation: str = "generate-ice-servers") -> Issued:
        answer = await self.call(operation, {"ttl": ttl})
        assert answer.status_code == 201, answer.text
        servers = answer.json()["iceServers"]
        relay = servers if isinstance(servers, dict) else servers[1]
        return Issued(relay["urls"], relay["username"], relay["credential"])

    async def revoke(self, issued: Issued) -> None:
        assert (await self.call(f"{issued.username}/revoke")).status_code == 204


@asynccontextmanager
async def embedded(tmp_path: Path, **options: Any) -> AsyncIterator[tuple[Service, RealtimeServer, Path]]:
    """A server in this loop, with TLS for TURN; and the authority."""
    from datetime import UTC, datetime

    files = kept_certificate(tmp_path / "certificates", (), datetime.now(UTC))
    async with RealtimeServer.run("127.0.0.1", 0, turn_tls=files, **options) as server:
        yield Service(server.base_url, server.turn_key_id, server.turn_key_token), server, files.authority


@asynccontextmanager
async def allocation(
    issued: Issued, protocol: str = "udp", authority: Path | None = None, inbox: Inbox | None = None
) -> AsyncIterator[Allocation]:
    link = await link_to(issued.url(protocol), authority)
    take = (inbox or Inbox()).take
    async with Allocation(link, issued.username, issued.password, take) as made:
        yield made
    await asyncio.sleep(0.05 if protocol == "tls" else 0.001)


async def relays(issued: Issued, protocol: str = "udp", authority: Path | None = None) -> None:
    """It does, from one allocation to another."""
    inbox = Inbox()
    async with (
        allocation(issued, protocol, authority) as alice,
        allocation(issued, protocol, authority, inbox) as bob,
    ):
        await asyncio.gather(alice.allocate(TIMEOUT_S), bob.allocate(TIMEOUT_S))
        await bob.bind(alice.relayed, TIMEOUT_S)
        alice.send(bob.relayed, b"hello")
        assert await inbox.next() == (b"hello", alice.relayed)


async def is_refused(issued: Issued, protocol: str = "udp", authority: Path | None = None) -> bool:
    """Whether no new allocation is to be had, for the credential's sake."""
    async with allocation(issued, protocol, authority) as made:
        try:
            await made.allocate(TIMEOUT_S)
        except RefusedError as error:
            return error.code == 401
        return False


def processes(folder: Path) -> dict[int, str]:
    """Those with arguments that name a folder: process id and arguments."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/rtcctl-turn-" in arguments:
            found[int(path.parent.name)] = arguments
    return found


def folders(temporary: Path) -> list[Path]:
    return list(temporary.glob("rtcctl-turn-*"))


def coturns(folder: Path) -> list[int]:
    """coturn itself, without its shell."""
    return [pid for pid, arguments in processes(folder).items() if "/turnserver -c" in arguments]


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = END_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(END_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


def is_all_gone(folder: Path) -> bool:
    return not processes(folder) and not folders(folder)


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    yield
    assert not folders(folder)
    # Who is killed is not gone in the same moment.
    wait_until(lambda: not processes(folder), "coturn, its shell and its watchdog are gone", 1.0)


# -- credentials -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["udp", "tcp", "tls"])
async def test_credentials_relay(protocol: str, tmp_path: Path, temporary: Path):
    """In both shapes of the API; over TLS with the authority of the server, whose name is in the certificate."""
    with nothing_left(temporary):
        async with embedded(tmp_path) as (service, _, authority):
            for operation in ("generate-ice-servers", "generate"):
                await relays(await service.issue(operation=operation), protocol, authority)


@pytest.mark.parametrize("protocol", ["udp", "tcp", "tls"])
async def test_a_revoked_credential_ends_at_once(protocol: str, tmp_path: Path, temporary: Path):
    """No new allocation, and what is relayed stops; another credential goes on."""
    with nothing_left(temporary):
        async with embedded(tmp_path) as (service, _, authority):
            revoked, other = await service.issue(), await service.issue()
            inbox = Inbox()
            async with (
                allocation(revoked, protocol, authority) as alice,
                allocation(other, protocol, authority, inbox) as bob,
            ):
                await asyncio.gather(alice.allocate(TIMEOUT_S), bob.allocate(TIMEOUT_S))
                await bob.bind(alice.relayed, TIMEOUT_S)
                alice.send(bob.relayed, b"before")
                assert (await inbox.next())[0] == b"before"
                await service.revoke(revoked)
                assert await is_refused(revoked, protocol, authority)
                revoked_at = time.monotonic()
                while await arrives(alice, bob, inbox):
                    assert time.monotonic() - revoked_at < 2
            await relays(other, protocol, authority)


async def arrives(sender: Allocation, receiver: Allocation, inbox: Inbox) -> bool:
    """Whether a packet comes through within a tenth of a second."""
    sender.send(receiver.relayed, b"x")
    try:
        async with asyncio.timeout(0.1):
            await inbox.next()
    except TimeoutError:
        return False
    return True


async def test_all_allocations_of_a_credential_end_together(tmp_path: Path):
    """Ten of them."""
    async with embedded(tmp_path) as (service, _, _):
        issued = await service.issue()
        ends: asyncio.Queue[NetworkError] = asyncio.Queue()
        made = [
            Allocation(await link_to(issued.url("tcp")), issued.username, issued.password, Inbox().take)
            for _ in range(10)
        ]
        for one in made:
            one.on_end = ends.put_nowait
            await one.allocate(TIMEOUT_S)
        await service.revoke(issued)
        async with asyncio.timeout(2):
            for _ in made:
                await ends.get()
        for one in made:
            one.close()
        await asyncio.sleep(0.01)


async def test_another_keys_credential_is_not_revoked(tmp_path: Path):
    """Nor is one that does not exist: 204 all the same."""
    async with embedded(tmp_path) as (service, server, _):
        from rtcctl.server.registry import TurnKey

        server.registry.add_turn_key(TurnKey("f" * 32, "e" * 64, server.app_id))
        other = Service(server.base_url, "f" * 32, "e" * 64)
        issued = await service.issue()
        await other.revoke(issued)
        assert not await is_refused(issued)


async def test_a_credential_expires(tmp_path: Path, temporary: Path):
    """After its lifetime, and not before, both for new allocations and for those that live."""
    with nothing_left(temporary):
        async with embedded(tmp_path) as (service, _, _):
            issued_at = time.monotonic()
            issued = await service.issue(ttl=1)
            ends: asyncio.Queue[NetworkError] = asyncio.Queue()
            async with allocation(issued, "tcp") as made:
                made.on_end = ends.put_nowait
                await made.allocate(TIMEOUT_S)
                async with asyncio.timeout(3):
                    await ends.get()
                assert 1 <= time.monotonic() - issued_at < 2
            assert await is_refused(issued)


async def test_time_that_is_let_pass_ends_credentials(tmp_path: Path):
    """`advance` ends those whose time has passed, and no others."""
    async with embedded(tmp_path) as (service, server, _):
        short, long = await service.issue(ttl=60), await service.issue(ttl=3600)
        await server.advance(59)
        assert not await is_refused(short)
        await server.advance(2)
        assert await is_refused(short)
        assert not await is_refused(long)
        assert not await is_refused(await service.issue(ttl=60))


async def test_a_fault_shortens_the_lifetime(tmp_path: Path):
    """`short-ttl` really ends the credential, which its client believes to live for an hour."""
    async with embedded(tmp_path, faults=["turn/generate-ice-servers=short-ttl,ttl=1s,times=1"]) as (service, _, _):
        issued_at = time.monotonic()
        short, long = await service.issue(ttl=3600), await service.issue(ttl=3600)
        assert not await is_refused(short)
        while not await is_refused(short):
            assert time.monotonic() - issued_at < 3
            await asyncio.sleep(0.05)
        assert time.monotonic() - issued_at >= 1
        assert not await is_refused(long)


# -- the process -------------------------------------------------------------------------------------------------------


async def test_it_is_started_with_the_first_credential_and_once(tmp_path: Path, temporary: Path):
    """Whoever needs none pays for none; many who ask at once get the same."""
    with nothing_left(temporary):
        async with embedded(tmp_path) as (service, _, _):
            assert not processes(temporary)
            await service.call("0/revoke")
            assert not processes(temporary)
            issued = await asyncio.gather(*(service.issue() for _ in range(8)))
            assert len({one.url("udp") for one in issued}) == 1
            assert len({one.username for one in issued}) == 8
            assert len(coturns(temporary)) == 1


async def test_when_coturn_is_killed_the_next_credential_starts_another(tmp_path: Path, temporary: Path):
    """Old credentials are gone with it; new ones relay."""
    with nothing_left(temporary):
        async with embedded(tmp_path) as (service, server, _):
            old = await service.issue()
            (pid,) = coturns(temporary)
            os.kill(pid, signal.SIGKILL)
            await until(lambda: is_all_gone(temporary) and not server.turn.credentials)
            new = await service.issue()
            await relays(new)
            assert new.username != old.username
            await service.revoke(old)
            await relays(new)
            assert server.registry.bugs == 0


async def test_when_its_users_cannot_be_told_the_next_credential_starts_another(tmp_path: Path, temporary: Path):
    """Somebody has tidied the temporary folder up: 503 with the reason once, and then it works."""
    async with embedded(tmp_path) as (service, _, _):
        old = await service.issue()
        (folder,) = folders(temporary)
        (folder / "users.sqlite3").unlink()
        answer = await service.call("generate-ice-servers", {"ttl": 60})
        assert (answer.status_code, answer.json()["errorCode"]) == (503, "turn_unavailable"), answer.text
        await service.revoke(old)
        await relays(await service.issue())


async def test_others_can_read_nothing_of_it(tmp_path: Path, temporary: Path):
    """The folder is its owner's alone, and neither arguments nor log have a credential."""
    async with embedded(tmp_path) as (service, server, _):
        issued = await service.issue()
        await relays(issued)
        (folder,) = folders(temporary)
        assert folder.stat().st_mode & 0o777 == 0o700
        configuration = dict(line.partition("=")[::2] for line in (folder / "turnserver.conf").read_text().splitlines())
        hidden = [issued.password, configuration["cli-password"], server.turn_key_token, server.app_secret]
        assert all(hidden)
        whole = "".join(processes(temporary).values())
        assert "turnserver.conf" in whole
        told = whole + (folder / "log").read_text()
        for secret in hidden:
            assert secret not in told
        assert issued.username not in whole


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_it_is_gone_with_the_server(how: str, home: Home, temporary: Path):
    """With its folder, however the server ends; a kill -9 leaves nobody to tidy up but coturn's watchdog."""
    with home.dev() as server:
        created = home.run("turn", "creds", "--output", "json")
        assert created.status == 0, created.stderr
        assert coturns(temporary)
        server.process.send_signal(signal.Signals[how])
        status = server.wait(15)
        assert status == (-9 if how == "SIGKILL" else 0)
        if how == "SIGKILL":
            wait_until(lambda: is_all_gone(temporary), "coturn and its folder are gone")
        assert not folders(temporary)
        wait_until(lambda: not processes(temporary), "coturn is gone", 1.0)


def test_it_is_gone_when_its_shell_is_killed(home: Home, temporary: Path):
    """Then too the server notices, ends what is left, and starts another one when asked."""
    with home.dev():
        assert home.run("turn", "creds").status == 0
        first = coturns(temporary)
        # The watchdog, which has the same arguments, is its child.
        shell = min(pid for pid in processes(temporary) if pid not in first)
        os.kill(shell, signal.SIGKILL)
        wait_until(lambda: is_all_gone(temporary), "coturn and its folder are gone")
        assert home.run("turn", "creds").status == 0
        assert coturns(temporary)
        assert coturns(temporary) != first


async def test_two_servers_do_not_disturb_each_other(home: Home, tmp_path: Path, temporary: Path):
    """Each has its own coturn and its own users, and ends its own alone."""
    (tmp_path / "other").mkdir()
    other = Home(tmp_path / "other")

    def service(ready: dict[str, Any]) -> Service:
        return Service(ready["base_url"], ready["turn_key_id"], ready["turn_key_token"])

    with home.dev() as one:
        with other.dev() as two:
            first, second = await service(one.ready).issue(), await service(two.ready).issue()
            assert len(coturns(temporary)) == 2
            for protocol in ("udp", "tcp", "tls"):
                await relays(first, protocol, Path(one.ready["ca_file"]))
                await relays(second, protocol, Path(two.ready["ca_file"]))
            assert await is_refused(Issued(second.urls, first.username, first.password))
        await until(lambda: len(coturns(temporary)) == 1)
        await relays(first)
    await until(lambda: is_all_gone(temporary))


@pytest.mark.parametrize("new_loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
def test_it_works_in_a_thread(new_loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path, temporary: Path):
    """That is not the main one, with either event loop: issued, relayed, expired."""
    problems: list[BaseException] = []

    async def work() -> None:
        async with embedded(tmp_path) as (service, server, authority):
            issued = await service.issue(ttl=1)
            await relays(issued, "tls", authority)
            await until(lambda: not server.turn.credentials)
            assert await is_refused(issued)

    def main() -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(work())
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            problems.append(error)

    with nothing_left(temporary):
        thread = threading.Thread(target=main)
        thread.start()
        thread.join()
    if problems:
        raise problems[0]


async def test_the_server_of_a_test_relays(temporary: Path):
    """`realtime_server`: time can be let pass, and an app that is closed takes its credentials along."""
    with nothing_left(temporary), realtime_server() as realtime:

        def service(app: Any) -> Service:
            return Service(app.base_url, app.turn_key_id, app.turn_key_token)

        issued = await service(realtime).issue(ttl=60)
        await relays(issued)
        with realtime.app() as app:
            others = await service(app).issue()
            await relays(others)
        assert await is_refused(others)
        assert not await is_refused(issued)
        realtime.advance(61)
        assert await is_refused(issued)


# -- when it does not start --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "which"), [("udp", 0), ("tcp", 0), ("tls", 1)])
async def test_a_port_that_is_taken_in_between_is_given_up(kind: str, which: int, tmp_path: Path, temporary: Path):
    """Between looking and binding: other ports are taken, and all of them answer."""
    from datetime import UTC, datetime

    files = kept_certificate(tmp_path / "certificates", (), datetime.now(UTC))
    draws: list[int] = []
    taken: list[socket.socket] = []

    def random() -> int:
        if len(draws) == which + 1:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
            sock.bind(("127.0.0.1", 20_000 + draws[which] % 10_000))
            taken.append(sock)
        draws.append(secrets.randbits(16))
        return draws[-1]

    with nothing_left(temporary):
        server = Coturn(["127.0.0.1"], files, external=None, random=random)
        try:
            await server.start()
            server.add_user("alice", "wonderland")
            urls = [
                f"turn:127.0.0.1:{server.port}?transport=udp",
                f"turn:127.0.0.1:{server.port}?transport=tcp",
                f"turns:127.0.0.1:{server.tls_port}?transport=tcp",
            ]
            for protocol in ("udp", "tcp", "tls"):
                await relays(Issued(urls, "alice", "wonderland"), protocol, files.authority)
            assert taken
            assert taken[0].getsockname()[1] not in (server.port, server.tls_port)
        finally:
            server.close()
            for sock in taken:
                sock.close()


@pytest.fixture
def never_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A coturn that runs and does not answer."""
    fake_coturn(tmp_path, monkeypatch, "exec sleep 60")


def fake_coturn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    fake = tmp_path / "bin" / PROGRAM
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize("timeout_s", [0.0, 0.005, 0.02])
@pytest.mark.usefixtures("never_ready")
async def test_a_start_that_is_cancelled_leaves_nothing(timeout_s: float, temporary: Path):
    """At any moment of it."""
    server = Coturn(["127.0.0.1"], None, external=None, random=lambda: secrets.randbits(16))
    with nothing_left(temporary), pytest.raises(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await server.start()


async def test_without_a_temporary_folder_it_is_503_with_the_reason(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
):
    """And the next credential tries again."""
    async with embedded(tmp_path) as (service, server, _):
        with monkeypatch.context() as broken:
            broken.setattr(tempfile, "tempdir", str(temporary / "missing"))
            answer = await service.call("generate-ice-servers", {"ttl": 60})
            assert (answer.status_code, answer.json()["errorCode"]) == (503, "turn_unavailable")
            assert "No such file or directory" in answer.json()["errorDescription"]
        await relays(await service.issue())
        assert server.registry.bugs == 0


async def test_a_coturn_that_does_not_start_says_why(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch):
    """503 with its last words; nothing is left."""
    fake_coturn(tmp_path, monkeypatch, 'echo "0: : it is broken" > "$(dirname "$2")/log"')
    with nothing_left(temporary):
        async with embedded(tmp_path) as (service, _, _):
            answer = await service.call("generate-ice-servers", {"ttl": 60})
            assert answer.status_code == 503
            assert answer.json()["errorDescription"] == "coturn does not start: it is broken"


@pytest.mark.usefixtures("never_ready")
async def test_the_server_may_end_while_coturn_starts(tmp_path: Path, temporary: Path):
    """At once: 503 for who waits for it, and nothing is left."""
    with nothing_left(temporary):
        async with asyncio.TaskGroup() as group:
            async with embedded(tmp_path) as (service, _, _):
                asked = group.create_task(service.call("generate-ice-servers", {"ttl": 60}))
                await until(lambda: bool(processes(temporary)))
                ended_at = time.monotonic()
            assert time.monotonic() - ended_at < 0.9
            answer = await asked
    assert (answer.status_code, answer.json()["errorCode"]) == (503, "turn_unavailable")


def test_pasted_lines_name_no_authority_of_turn(home: Home) -> None:
    """Without `--tls` the certificate is for `turns:` alone: HTTPS elsewhere goes on as it was."""
    with home.dev() as server:
        assert server.ready["ca_file"]
        listed = home.run("config", "env", "--with-secrets", "--as", "json").document
    assert listed == dict(server.ready["environment"])
