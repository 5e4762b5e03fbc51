"""A running Realtime as a test holds it: its address, its faults, what was said to it, and its time."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, overload

from rtcctl.config import environment
from rtcctl.errors import UsageError
from rtcctl.realtime.profile import Profile
from rtcctl.testing.core import Core
from rtcctl.testing.faults import Faults
from rtcctl.testing.peer import AsyncPeer, Peer
from rtcctl.testing.requests import ApiRequest, told
from rtcctl.testing.threads import CLOSED, LoopThread

if TYPE_CHECKING:
    import asyncio

    from rtcctl.server.faults.ledger import PacketRow, RequestRow
    from rtcctl.server.limits import Limits
    from rtcctl.server.server import RealtimeServer

__tracebackhide__ = True  # pytest shows the line of the test


@contextmanager
def realtime_server(
    *, faults: Sequence[str] = (), time_scale: float = 1.0, limits: Limits | None = None, **options: Any
) -> Iterator[Realtime]:
    """A server on a free port of loopback while the body runs.

    `faults` meet all of its apps. `time_scale` multiplies the timers of the service, or those of `limits`; see also
    `Realtime.advance`. `options` are those of `RealtimeServer.run`.
    """
    running = _Running(faults=faults, time_scale=time_scale, limits=limits, **options)
    try:
        with Realtime(running) as realtime:
            yield realtime
    finally:
        running.close()


class _Running:
    """The threads of one server, and the server."""

    def __init__(self, *, time_scale: float, limits: Limits | None, **options: Any) -> None:
        try:
            from rtcctl.server.limits import Limits
            from rtcctl.server.server import RealtimeServer
        except ImportError as error:
            raise UsageError(
                f"The embedded server needs more than rtcctl alone: {error.name} is not installed.",
                hint="pip install 'rtcctl[probe]'",
            ) from error

        self.known_ids: set[str] = set()
        "Of all apps and TURN keys that there have ever been."
        self.thread = LoopThread("rtcctl server")
        self._peers: LoopThread | None = None
        self._beginning = Lock()
        self._is_closed = False
        ready: Future[tuple[RealtimeServer, asyncio.Event]] = Future()

        async def serve() -> None:
            import asyncio

            try:
                scaled = (limits or Limits()).scaled(time_scale) if time_scale != 1 else limits
                everything = {"credentials": _Credentials(), "keep_bodies": True, "limits": scaled, **options}
                async with RealtimeServer.run("127.0.0.1", 0, **everything) as server:
                    stop = asyncio.Event()
                    ready.set_result((server, stop))
                    await stop.wait()
            except BaseException as error:
                if ready.done():
                    raise
                ready.set_exception(error)

        self._serving = self.thread.submit(serve())
        try:
            self.server, self._stop = ready.result()
        except BaseException:
            self.thread.close()
            raise

    @property
    def peers(self) -> LoopThread:
        """Where peers live; begun when there is one. Raises `RuntimeError` when this is closed."""
        with self._beginning:
            if self._is_closed:
                raise RuntimeError(CLOSED)
            if self._peers is None:
                self._peers = LoopThread("rtcctl peers")
            return self._peers

    def close(self) -> None:
        with self._beginning:
            self._is_closed = True
        if self._peers is not None:
            self._peers.close()
        if not self._serving.done():
            self.thread.call(self._stop.set)
        try:
            self._serving.result()
        finally:
            self.thread.close()


@dataclass(frozen=True, slots=True)
class _Credentials:
    """Nobody else's: an application with those of development must fail."""

    app_id: str = field(default_factory=lambda: secrets.token_hex(16))
    app_secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    turn_key_id: str = field(default_factory=lambda: secrets.token_hex(16))
    turn_key_token: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    account_id: str = field(default_factory=lambda: secrets.token_hex(16))
    account_token: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was done to the packets and requests of an app, at one moment."""

    packets: tuple[PacketRow, ...]
    "Those that a fault looked at."
    requests: tuple[RequestRow, ...]

    def document(self) -> dict[str, Any]:
        """As JSON, in the form of the server's `/rtcctl/ledger`."""
        from rtcctl.server.faults.ledger import Ledger as Rows

        rows = Rows(packets_seen=len(self.packets), requests_seen=len(self.requests))
        rows.packets.extend(self.packets)
        rows.requests.extend(self.requests)
        return rows.document()


class Realtime:
    """One app of a running server; all of it can be used from any thread. Made by `realtime_server`, or by `app`."""

    def __init__(self, running: _Running) -> None:
        from rtcctl.server.registry import App, TurnKey

        self._running = running
        self._thread = running.thread
        self._server = running.server
        own = _Credentials()
        self.app_id, self.app_secret = own.app_id, own.app_secret
        self.turn_key_id, self.turn_key_token = own.turn_key_id, own.turn_key_token
        self.faults = Faults(self._thread, self._server, self.app_id)
        "`set(text)`, `clear()`, `list()`, and `with faults(text):`."
        self._cores: list[Core] = []
        self._final: tuple[RequestRow, ...] | None = None
        running.known_ids |= {self.app_id, self.turn_key_id, self._server.app_id, self._server.turn_key_id}

        def begin() -> int:
            self._server.registry.add_app(App(self.app_id, self.app_secret))
            self._server.registry.add_turn_key(TurnKey(self.turn_key_id, self.turn_key_token, self.app_id))
            return self._server.ledger.requests_seen

        self._requests_before = self._thread.call(begin)

    def __enter__(self) -> Realtime:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the app, its sessions, its faults and the peers that were made here; harmless the second time."""
        if self._final is None:
            cores, self._cores = self._cores, []
            try:
                for core in cores:
                    self._running.peers.run(core.close())
            finally:
                self.faults.clear()
                self._thread.call(self._remove)
                self._final = self._rows()
            self._thread.call(self._forget_bodies)

    def _remove(self) -> None:
        registry = self._server.registry
        # Who gave the server an account token (`credentials`) may have removed them through the account API.
        if self.app_id in registry.apps:
            registry.remove_app(self.app_id)
        if self.turn_key_id in registry.turn_keys:
            registry.remove_turn_key(self.turn_key_id)

    def app(self) -> Realtime:
        """Another app of the same server, with requests, faults and ledger of its own. Close it, or use `with`."""
        return Realtime(self._running)

    # --- where it is

    @property
    def base_url(self) -> str:
        """As clients of the API are told: it ends in `/v1`."""
        return self._server.base_url

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point an application at it: rtcctl's, those of Cloudflare's examples and of orange/meet."""
        settings = {
            "app_id": self.app_id,
            "app_secret": self.app_secret,
            "api_base": self.base_url,
            "turn_key_id": self.turn_key_id,
            "turn_key_token": self.turn_key_token,
        }
        return environment.for_command(settings)

    @property
    def profile(self) -> Profile:
        """As rtcctl's own operations take it."""
        return Profile(
            "test",
            self.base_url,
            self.app_id,
            self.app_secret,
            self.turn_key_id,
            self.turn_key_token,
            is_embedded=True,
        )

    @property
    def bugs(self) -> int:
        """How often an unexpected error has ended a session of the server: anything but 0 is rtcctl's to mend."""
        return self._server.registry.bugs

    def __repr__(self) -> str:
        return f"<Realtime {self.base_url} app {self.app_id}>"

    # --- what was said

    @property
    def requests(self) -> list[ApiRequest]:
        """The calls of this app since it is there, and those that named an app or a TURN key that there never was."""
        return [ApiRequest.of(row, self.app_id) for row in self._final or self._rows()]

    @property
    def ledger(self) -> Ledger:
        """Packets and requests of this app until now."""
        packets = self._thread.call(lambda: list(self._server.ledger.packets))
        own = tuple(replace(row) for row in packets if row.app_id == self.app_id)
        return Ledger(own, tuple(self._rows()))

    def told(self) -> str:
        """The calls of this app for a person, with what is wrong with them: no secret, no SDP."""
        return told(self.requests, self.app_id)

    def _rows(self) -> tuple[RequestRow, ...]:
        ledger = self._server.ledger
        if self._final is not None:
            return self._final
        rows, seen = self._thread.call(lambda: (list(ledger.requests), ledger.requests_seen))
        new = rows[max(0, self._requests_before - (seen - len(rows))) :]
        return tuple(replace(row) for row in new if self._concerns(row))

    def _forget_bodies(self) -> None:
        """They are kept here; a server that lives for a thousand tests needs to keep none."""
        for row in self._server.ledger.requests:
            if self._is_own(row):
                row.body = row.answer = b""

    def _concerns(self, row: RequestRow) -> bool:
        # What names no app that there ever was may be anybody's mistake.
        return self._is_own(row) or not self._running.known_ids & set(row.path.split("/"))

    def _is_own(self, row: RequestRow) -> bool:
        return not {self.app_id, self.turn_key_id}.isdisjoint(row.path.split("/"))

    # --- what the service does

    def expire(self, session_id: str) -> None:
        """End a session now, as the service does when its time is over. Raises `ValueError` when there is none."""
        if not self._thread.call(lambda: self._server.registry.end_session(self.app_id, session_id)):
            raise ValueError(f"there is no session {session_id!r} in this app")

    def advance(self, seconds: float) -> None:
        """Let so much of the service's time pass, for all apps of the server.

        Sessions that are unused or not connected, peers that are gone, publications without packets and requests that
        are held are so much older. Who is connected is taken to have stayed, and what flows to have flowed; no packet
        is late. It takes some milliseconds, or a second when it has to be found out that somebody is gone. Faults
        (`slow`, `expire` with `after`) have the time of the wall.
        """
        self._thread.run(self._server.advance(seconds))

    # --- peers

    def peer(self) -> Peer:
        """A peer for tests without an event loop. Close it, or use `with`."""
        return Peer(self._running.peers, self._core())

    def async_peer(self) -> AsyncPeer:
        """A peer for tests under asyncio or trio. Close it, or use `async with`."""
        return AsyncPeer(self._running.peers, self._core())

    def _core(self) -> Core:
        if self._final is not None:
            raise RuntimeError(CLOSED)
        core = Core(self.told)
        self._cores.append(core)
        return core

    @overload
    def publish(self, peer: Peer, track_name: str, *, tone_hz: float = ..., within: float = ...) -> str: ...
    @overload
    def publish(
        self, peer: AsyncPeer, track_name: str, *, tone_hz: float = ..., within: float = ...
    ) -> Awaitable[str]: ...
    def publish(
        self, peer: Peer | AsyncPeer, track_name: str, *, tone_hz: float = 440.0, within: float = 30.0
    ) -> str | Awaitable[str]:
        """Publish a tone without a backend, in the one session of this peer; the id of the session.

        A call that may succeed later is tried again, a few times and not after `within` seconds.
        """
        return peer.do(peer.core.publish(self.profile, track_name, tone_hz, within))

    @overload
    def subscribe(self, peer: Peer, session_id: str, track_name: str, *, within: float = ...) -> str: ...
    @overload
    def subscribe(
        self, peer: AsyncPeer, session_id: str, track_name: str, *, within: float = ...
    ) -> Awaitable[str]: ...
    def subscribe(
        self, peer: Peer | AsyncPeer, session_id: str, track_name: str, *, within: float = 10.0
    ) -> str | Awaitable[str]:
        """Subscribe to a track without a backend, in the one session of this peer; its mid there.

        A track that is not there yet is waited for, `within` seconds.
        """
        return peer.do(peer.core.subscribe(self.profile, session_id, track_name, within))
