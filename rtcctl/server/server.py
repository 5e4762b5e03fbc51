"""The embedded Realtime server as one object: HTTP API and media in one event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from rtcctl.errors import UsageError
from rtcctl.realtime import development
from rtcctl.server import addresses
from rtcctl.server.account import AccountApi
from rtcctl.server.app import RealtimeApi
from rtcctl.server.endpoint import Endpoint
from rtcctl.server.faults.admin import Admin
from rtcctl.server.faults.requests import ABORT
from rtcctl.server.ids import Ids
from rtcctl.server.limits import Limits
from rtcctl.server.registry import App, Registry, TurnKey
from rtcctl.server.turn import TurnService
from rtcctl.units import SpellingError
from rtcctl.web.hosts import OwnHosts

if TYPE_CHECKING:
    from rtcctl.transport.tls import TlsFiles

logger = logging.getLogger(__name__)

_SHUTDOWN_S = 1
"How long clients that are in the middle of a request may take to finish it."
_DATE_S = 1.0
"How often the `Date` header of answers is renewed."
_BACKLOG = 2048


class Credentials(Protocol):
    """What clients must present. Without a `turn_key_id` there is no TURN key."""

    @property
    def app_id(self) -> str: ...
    @property
    def app_secret(self) -> str: ...
    @property
    def turn_key_id(self) -> str: ...
    @property
    def turn_key_token(self) -> str: ...
    @property
    def account_id(self) -> str: ...
    @property
    def account_token(self) -> str: ...


class DevelopmentCredentials:
    """The fixed, public ones."""

    app_id = development.DEVELOPMENT_APP_ID
    app_secret = development.DEVELOPMENT_APP_SECRET
    turn_key_id = development.DEVELOPMENT_TURN_KEY_ID
    turn_key_token = development.DEVELOPMENT_TURN_KEY_TOKEN
    account_id = development.DEVELOPMENT_ACCOUNT_ID
    account_token = development.DEVELOPMENT_ACCOUNT_TOKEN


class RealtimeServer:
    """A running server; made by `RealtimeServer.run`."""

    def __init__(
        self,
        credentials: Credentials,
        address: str,
        port: int,
        endpoint: Endpoint,
        *,
        apps: Iterable[App],
        turn_keys: Iterable[TurnKey],
        announce: Sequence[str],
        limits: Limits,
        keep_bodies: bool,
        clock: Callable[[], float],
        seed: int | None,
        tls: TlsFiles | None,
        turn_tls: TlsFiles | None,
    ) -> None:
        self.app_id = credentials.app_id
        self.app_secret = credentials.app_secret
        self.turn_key_id = credentials.turn_key_id
        self.turn_key_token = credentials.turn_key_token
        self.account_id = credentials.account_id
        self.account_token = credentials.account_token
        self.port = port
        self.udp_port = endpoint.port
        self.turn = TurnService(
            [host for host, _ in endpoint.candidates],
            endpoint.stun_port,
            clock=clock,
            announce=next(iter(announce), None),
            tls=turn_tls,
        )
        announced = ((address, endpoint.port) for address in announce)
        self.candidates: tuple[tuple[str, int], ...] = tuple(dict.fromkeys((*announced, *endpoint.candidates)))
        "Where media can be sent: address and UDP port of each ICE candidate, best first."
        self.limits = limits
        self.seed = seed
        "Of session ids and names of discovered tracks; `None`: they are unpredictable."
        self._tls = tls
        origin = f"{'http' if tls is None else 'https'}://{_url_host(address)}:{port}"
        self.base_url = f"{origin}/v1"
        self._is_loopback = ip_address(address).is_loopback
        self.account_api_base = f"{origin}{development.ACCOUNT_PREFIX}"
        self.registry = Registry(
            endpoint=endpoint,
            candidates=self.candidates,
            apps=[App(credentials.app_id, credentials.app_secret), *apps],
            turn_keys=[
                *(
                    [TurnKey(credentials.turn_key_id, credentials.turn_key_token, credentials.app_id)]
                    if credentials.turn_key_id
                    else []
                ),
                *turn_keys,
            ],
            turn=self.turn,
            limits=limits,
            clock=clock,
            ids=Ids(seed),
        )
        self.faults = self.registry.faults
        self.ledger = self.faults.ledger
        self._keep_bodies = keep_bodies
        self._closed = asyncio.Event()

    async def advance(self, seconds: float) -> None:
        """Let so much of the service's time pass at once; who is connected and sends is taken to have gone on."""
        await self.registry.advance(seconds)

    async def wait_closed(self) -> None:
        """Until the server has ended."""
        await self._closed.wait()

    @classmethod
    @asynccontextmanager
    async def run(
        cls,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        udp_port: int | None = None,
        media_hosts: Sequence[str] = (),
        announce: Sequence[str] = (),
        credentials: Credentials | None = None,
        apps: Sequence[App] = (),
        turn_keys: Sequence[TurnKey] = (),
        limits: Limits | None = None,
        faults: Sequence[str] = (),
        keep_bodies: bool = False,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
        tls: TlsFiles | None = None,
        turn_tls: TlsFiles | None = None,
    ) -> AsyncIterator[RealtimeServer]:
        """Serve while the body runs. `port` 0 takes a free one, `udp_port` `None` the number of the TCP port.

        `media_hosts` are the addresses for media (`addresses.py` says what is taken without them), `announce` addresses
        of this machine that only others can see: they come first among its ICE candidates. `apps` and `turn_keys` are
        served besides those of `credentials`; one with the id of those says more about it. `faults` are set from the
        start (`faults/grammar.py`). `keep_bodies`: the ledger has what requests and answers said, too. `clock` is that
        of the service's timers, in seconds. `seed` makes session ids and names of discovered tracks reproducible, and
        nothing that protects (`ids.py`). With `tls`, HTTPS alone is spoken. `turn_tls` is for TURN over TLS.

        Raises `UsageError` when a port is in use, an address is not ours, a fault is none, or a development secret
        would be served beyond loopback.
        """
        credentials = credentials or DevelopmentCredentials()
        address = addresses.resolve(host, "--host")
        _check_exposure(address, credentials, apps, turn_keys)
        announced = [addresses.checked_announcement(text) for text in announce]
        alternatives = addresses.media_hosts(address, [addresses.checked_media_host(text) for text in media_hosts])
        endpoint = Endpoint(random=random.SystemRandom())
        with closing(_listen(address, port)) as listener:
            tcp_port: int = listener.getsockname()[1]
            wanted = tcp_port if udp_port is None else udp_port
            ports = (wanted, 0) if udp_port is None and port == 0 else (wanted,)
            try:
                await _start_media(endpoint, alternatives, ports)
                server = cls(
                    credentials,
                    address,
                    tcp_port,
                    endpoint,
                    apps=apps,
                    turn_keys=turn_keys,
                    announce=announced,
                    limits=limits or Limits(),
                    keep_bodies=keep_bodies,
                    clock=clock,
                    seed=seed,
                    tls=tls,
                    turn_tls=turn_tls,
                )
                server._set(faults)
                async with server._serving(listener):
                    yield server
            finally:
                await endpoint.close()

    def _set(self, faults: Sequence[str]) -> None:
        for text in faults:
            try:
                self.faults.set(text)
            except SpellingError as error:
                raise UsageError(f"--fault {text!r}: {error}.", hint="rtcctl fault set --help") from None

    @asynccontextmanager
    async def _serving(self, listener: socket.socket) -> AsyncIterator[None]:
        api = RealtimeApi(self.registry, self.turn, keep_bodies=self._keep_bodies)
        account = AccountApi(
            api.asgi(),
            self.registry,
            self.account_id,
            self.account_token,
            own_hosts=OwnHosts(self.base_url) if self._is_loopback else None,
            keep_bodies=self._keep_bodies,
        )
        http = _HttpServer(
            uvicorn.Config(
                Admin(account, self.faults, self.base_url),
                loop="none",
                http=_HttpProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_SHUTDOWN_S,
                ssl_certfile=None if self._tls is None else self._tls.server,
            )
        )
        try:
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(http.serve(sockets=[listener]))
                keeping_time = group.create_task(self.registry.keep_time())
                await http.is_ready.wait()
                logger.info(
                    "serving %s, media at %s", self.base_url, ", ".join(address for address, _ in self.candidates)
                )
                try:
                    yield
                finally:
                    keeping_time.cancel()
                    # These first: that answers the requests that are being held.
                    self.registry.close()
                    api.close()
                    account.close()
                    http.end()
                    await asyncio.wait([serving])
                    self._closed.set()
        except BaseExceptionGroup as group_of_errors:
            # What the caller's own body raised leaves as what it is, not inside a group.
            if len(group_of_errors.exceptions) == 1:
                raise group_of_errors.exceptions[0] from None
            raise


class _HttpProtocol(HttpToolsProtocol):
    """uvicorn's, with one more extension in the scope: what breaks the connection (`faults/requests.py`).

    When a connection is lost, uvicorn tells the newest request, which with pipelining is not the one that waits.
    """

    _cycles: Sequence[RequestResponseCycle] = ()
    "Requests without an answer yet."

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle is not None:
            self._cycles = [cycle for cycle in (*self._cycles, self.cycle) if not cycle.response_complete]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for cycle in self._cycles:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()


class _HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers, since the program that embeds it has its own.

    Where it looks every tenth of a second whether to go on, this is told: suites start one for each test.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = asyncio.Event()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Take no more requests, finish those that there are, and end."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # each tenth renews the `Date` header, and so does number 0
            with suppress(TimeoutError):
                async with asyncio.timeout(_DATE_S):
                    await self._ending.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _check_exposure(address: str, credentials: Credentials, apps: Sequence[App], turn_keys: Sequence[TurnKey]) -> None:
    """The development secrets are public: whoever reaches the server could use it."""
    public = {
        development.DEVELOPMENT_APP_SECRET,
        development.DEVELOPMENT_TURN_KEY_TOKEN,
        development.DEVELOPMENT_ACCOUNT_TOKEN,
    }
    served = {credentials.app_secret, credentials.turn_key_token, credentials.account_token}
    served |= {app.secret for app in apps} | {key.token for key in turn_keys}
    if not ip_address(address).is_loopback and public & served:
        raise UsageError(
            f"The development secret is public, so the server does not listen on {address} with it.",
            hint="Listen on 127.0.0.1, or choose a secret with RTCCTL_DEV_SECRET",
        )


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle on: 40 ms of delayed acknowledgement in each answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # Without it a restart fails while old connections are in TIME_WAIT; elsewhere it would share the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as exc:
        listener.close()
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise UsageError(
            f"Cannot listen on TCP port {port} of {address}: {reason}.",
            hint="Is another server running there? Take another port with --port, or any free one with --port 0",
        ) from None
    return listener


async def _start_media(endpoint: Endpoint, alternatives: Sequence[Sequence[str]], ports: Sequence[int]) -> None:
    """Bind the UDP sockets to the first of the alternatives and of the port numbers that can be had.

    The TCP port's number is the first choice, which is one number to remember; all addresses matter more.
    """
    attempts = [(hosts, port) for hosts in alternatives for port in ports]
    for hosts, port in attempts[:-1]:
        try:
            await endpoint.start(hosts, port)
        except UsageError as error:
            logger.info("media not on %s: %s", ", ".join(hosts), error.message)
        else:
            return
    hosts, port = attempts[-1]
    await endpoint.start(hosts, port)


def _url_host(address: str) -> str:
    """How a client on this machine names the address: the unspecified one is no destination."""
    ip = ip_address(address)
    if ip.is_unspecified:
        return "127.0.0.1" if ip.version == 4 else "[::1]"
    return address if ip.version == 4 else f"[{address}]"
