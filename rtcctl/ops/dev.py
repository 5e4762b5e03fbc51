"""The embedded server, until it is interrupted."""

from __future__ import annotations

import gc
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rtcctl.errors import UsageError
from rtcctl.ops.env import Env
from rtcctl.realtime.development import DEVELOPMENT_PORT
from rtcctl.results.dev import Dev, ServedApp, ServerReady
from rtcctl.results.event import Warned

if TYPE_CHECKING:
    from rtcctl.server.faults.ledger import Ledger
    from rtcctl.server.server import RealtimeServer
    from rtcctl.transport.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class AppSecret:
    """An app, with what its clients must present."""

    app_id: str
    secret: str = field(repr=False)
    name: str = ""
    created: datetime | None = None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class TurnKeyToken:
    """A TURN key, with what its clients must present."""

    key_id: str
    token: str = field(repr=False)
    name: str = ""
    created: datetime | None = None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What clients of the server must present. The profile `local` has the first app and the first TURN key."""

    app_id: str
    app_secret: str = field(repr=False)
    turn_key_id: str
    turn_key_token: str = field(repr=False)
    account_id: str
    account_token: str = field(repr=False)
    are_development: bool = False
    "The fixed, public ones: loopback only."
    apps: tuple[AppSecret, ...] = ()
    turn_keys: tuple[TurnKeyToken, ...] = ()
    "All those of a file, the first ones too."
    apps_file: str | None = None
    "Where the user keeps the apps' secrets, which are then not shown."
    is_turn_key_of_file: bool = False
    "The TURN keys are of that file, too."

    @property
    def shown_secrets(self) -> tuple[str | None, str | None]:
        """The App Secret and the TURN key token that the command hands out; `None` for those of a file.

        It always hands out the account's token, too.
        """
        return (
            None if self.apps_file else self.app_secret,
            None if self.is_turn_key_of_file else self.turn_key_token,
        )

    @property
    def hidden_secrets(self) -> tuple[str, ...]:
        """What is not to appear anywhere."""
        shown = self.shown_secrets
        own = (self.app_secret, self.turn_key_token)
        return (
            *(secret for secret in own if secret not in shown),
            *(app.secret for app in self.apps),
            *(key.token for key in self.turn_keys),
        )


@dataclass(frozen=True, slots=True)
class DevRequest:
    """`port` 0 takes any free one, `None` the usual one, and any free one where a command is told which.
    `udp_port` `None` takes the number of the TCP port.

    `media_hosts`: addresses for media, of this machine. `announce`: addresses that browsers elsewhere reach it by, for
    containers and NAT. `time_scale`: what the service's timers are multiplied by.
    """

    credentials: Credentials
    host: str = "127.0.0.1"
    port: int | None = None
    udp_port: int | None = None
    media_hosts: tuple[str, ...] = ()
    announce: tuple[str, ...] = ()
    time_scale: float = 1.0
    faults: tuple[str, ...] = ()
    "Set from the start (`server/faults/grammar.py`)."
    ledger: Path | None = None
    "Where the ledger is written when the server ends."
    seed: int | None = None
    "Of session ids and names of discovered tracks."
    tls: TlsFiles | None = None
    "For HTTPS."
    turn_tls: TlsFiles | None = None
    "For TURN over TLS."
    trust: tuple[tuple[str, str], ...] = ()
    "Variables by which other programs trust its certificate."
    discoverable: Callable[[ServerReady], AbstractContextManager[object]] = nullcontext
    "Makes the server known to the profile `local` of this machine while it runs."
    on_change: Callable[[AppSecret | TurnKeyToken], None] | None = None
    "Called with what is added or renamed while it runs, before that is served."
    on_remove: Callable[[AppSecret | TurnKeyToken], None] | None = None
    "Called with what is removed while it runs, before it ends."
    around: Callable[[ServerReady], Awaitable[int]] | None = None
    "Runs a command, whose exit status it returns; its end is the server's."


def environment(base_url: str, account_api_base: str, credentials: Credentials) -> tuple[tuple[str, str], ...]:
    """The variables that point rtcctl, and the official examples, at the server; none without their secrets."""
    app_secret, turn_key_token = credentials.shown_secrets
    if app_secret is None or turn_key_token is None:
        return ()
    return (
        ("RTCCTL_API_BASE", base_url),
        ("RTCCTL_APP_ID", credentials.app_id),
        ("RTCCTL_APP_SECRET", app_secret),
        ("RTCCTL_TURN_KEY_ID", credentials.turn_key_id),
        ("RTCCTL_TURN_KEY_TOKEN", turn_key_token),
        ("RTCCTL_ACCOUNT_ID", credentials.account_id),
        ("RTCCTL_ACCOUNT_TOKEN", credentials.account_token),
        ("RTCCTL_ACCOUNT_API_BASE", account_api_base),
    )


@contextmanager
def _ledger(path: Path | None, ledger: Ledger, on_error: Callable[[UsageError], None]) -> Iterator[None]:
    """Write the ledger when the body ends. That it can be written is found out at the start, so that is the rule."""
    if path is None:
        yield
        return
    _write(path, "a", "")
    try:
        yield
    finally:
        try:
            _write(path, "w", json.dumps(ledger.document()) + "\n")
        except UsageError as error:
            on_error(error)


def _write(path: Path, mode: str, text: str) -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        raise UsageError(f"--ledger {path} cannot be written: {exc.strerror}.", hint="Choose another file") from exc


async def dev(request: DevRequest, env: Env) -> Dev:
    """Serve until cancelled, or until the command ends that is run around it.

    Raises `UsageError` when a port is in use or the address is not to be served.
    """
    from rtcctl.server.limits import Limits
    from rtcctl.server.registry import App, TurnKey
    from rtcctl.server.server import RealtimeServer

    def entry_of(entry: App | TurnKey) -> AppSecret | TurnKeyToken:
        if isinstance(entry, App):
            return AppSecret(entry.app_id, entry.secret, entry.name, entry.created, entry.modified)
        return TurnKeyToken(entry.key_id, entry.token, entry.name, entry.created, entry.modified)

    credentials = request.credentials
    app_secret, turn_key_token = credentials.shown_secrets

    def serving(port: int) -> AbstractAsyncContextManager[RealtimeServer]:
        return RealtimeServer.run(
            request.host,
            port,
            udp_port=request.udp_port,
            media_hosts=request.media_hosts,
            announce=request.announce,
            credentials=credentials,
            apps=[
                App(app.app_id, app.secret, name=app.name, created=app.created, modified=app.modified)
                for app in credentials.apps
            ],
            turn_keys=[
                TurnKey(
                    key.key_id,
                    key.token,
                    credentials.app_id if key.key_id == credentials.turn_key_id else "",
                    name=key.name,
                    created=key.created,
                    modified=key.modified,
                )
                for key in credentials.turn_keys
            ],
            limits=Limits().scaled(request.time_scale),
            faults=request.faults,
            tls=request.tls,
            turn_tls=request.turn_tls,
            seed=request.seed,
        )

    async with AsyncExitStack() as stack:
        server = await _first_that_starts(stack, serving, _ports(request))
        if (on_change := request.on_change) is not None:
            server.registry.on_change = lambda entry: on_change(entry_of(entry))
        if (on_remove := request.on_remove) is not None:
            server.registry.on_remove = lambda entry: on_remove(entry_of(entry))
        started = env.clock()
        certificate = request.tls or request.turn_tls
        apps = tuple(ServedApp(app.app_id, app.name) for app in credentials.apps)
        ready = ServerReady(
            base_url=server.base_url,
            app_id=credentials.app_id,
            app_secret=app_secret,
            turn_key_id=credentials.turn_key_id,
            turn_key_token=turn_key_token,
            pid=env.pid,
            media_addresses=tuple(
                f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in server.candidates
            ),
            development_credentials=credentials.are_development,
            environment=(*environment(server.base_url, server.account_api_base, credentials), *request.trust),
            account_id=credentials.account_id,
            account_token=credentials.account_token,
            account_api_base=server.account_api_base,
            apps=apps or (ServedApp(credentials.app_id),),
            apps_file=credentials.apps_file,
            time_scale=request.time_scale,
            seed=request.seed,
            ca_file=None if certificate is None else str(certificate.authority),
            turn="coturn" if server.turn.is_available else None,
        )
        # What start-up made stays: left to the collector, it would be searched again and again as sessions come and go
        # (a quarter of what setting up a session costs).
        gc.collect()
        gc.freeze()
        status: int | None = None

        def unwritten(error: UsageError) -> None:
            if not status:
                raise error
            # How the command ended says more.
            env.emit(Warned(text=error.message))

        with _ledger(request.ledger, server.ledger, unwritten), request.discoverable(ready):
            env.emit(ready)
            with env.keeping(lambda: Dev(base_url=server.base_url, served_s=env.clock() - started)):
                if request.around is None:
                    await server.wait_closed()
                else:
                    status = await request.around(ready)
        return Dev(base_url=server.base_url, served_s=env.clock() - started, command_status=status)


def _ports(request: DevRequest) -> Sequence[int]:
    """TCP ports to try: a command is told which one it is, a person has it in a browser's bookmarks."""
    if request.port is not None:
        return (request.port,)
    return (DEVELOPMENT_PORT,) if request.around is None else (DEVELOPMENT_PORT, 0)


async def _first_that_starts(
    stack: AsyncExitStack,
    serving: Callable[[int], AbstractAsyncContextManager[RealtimeServer]],
    ports: Sequence[int],
) -> RealtimeServer:
    for port in ports[:-1]:
        with suppress(UsageError):
            return await stack.enter_async_context(serving(port))
    # What is not the port's fault is raised here.
    return await stack.enter_async_context(serving(ports[-1]))
