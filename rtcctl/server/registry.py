"""Apps and the sessions in them; nothing of one app is visible to another."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from rtcctl.errors import UsageError
from rtcctl.server import passing
from rtcctl.server.faults.faults import Faults
from rtcctl.server.faults.ledger import Ledger
from rtcctl.server.ids import Ids
from rtcctl.server.session import Session, gone
from rtcctl.web.refusal import Refusal

if TYPE_CHECKING:
    from rtcctl.server.connection import Connection
    from rtcctl.server.dtls_transport import DtlsTransport
    from rtcctl.server.endpoint import Endpoint
    from rtcctl.server.limits import Limits
    from rtcctl.server.turn import TurnService

logger = logging.getLogger(__name__)

MAX_ADVANCE_S = 1e9
"At once, on demand: thirty years, beside which a clock still counts microseconds."


@dataclass(frozen=True, slots=True)
class App:
    """One Realtime app: its sessions, by id, and the secret that opens them."""

    app_id: str
    secret: str = field(repr=False)
    sessions: dict[str, Session] = field(default_factory=dict, repr=False)
    name: str = ""
    created: datetime | None = None
    modified: datetime | None = None

    @property
    def uid(self) -> str:
        """What the account API calls its id."""
        return self.app_id


@dataclass(frozen=True, slots=True)
class TurnKey:
    """What issues TURN credentials; its token is no App Secret (Realtime docs: API)."""

    key_id: str
    token: str = field(repr=False)
    app_id: str = ""
    "Of the app that it was made for: faults and the ledger of that app are about this key as well."
    name: str = ""
    created: datetime | None = None
    modified: datetime | None = None

    @property
    def uid(self) -> str:
        """What the account API calls its id."""
        return self.key_id


class Registry:
    """Finds apps, TURN keys and sessions for requests, and lets time pass for the sessions."""

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        candidates: tuple[tuple[str, int], ...],
        apps: Iterable[App],
        turn_keys: Iterable[TurnKey] = (),
        turn: TurnService | None = None,
        limits: Limits,
        clock: Callable[[], float],
        ids: Ids | None = None,
    ) -> None:
        self.limits = limits
        self.bugs = 0
        "Sessions that were closed by an unexpected error. Anything but 0 is ours to mend."
        self.on_change: Callable[[App | TurnKey], None] | None = None
        "Called with each app and TURN key that is added or changed; what it raises keeps that from being done."
        self.on_remove: Callable[[App | TurnKey], None] | None = None
        "Likewise with each that is to be removed."
        self._endpoint = endpoint
        self._candidates = candidates
        self._apps = {app.app_id: app for app in apps}
        self._turn_keys = {key.key_id: key for key in turn_keys}
        self._clock = clock
        self._passed_s = 0.0
        "On demand."
        self.faults = Faults(endpoint, self._connections, Ledger())
        self._turn = turn
        self._ids = ids or Ids()
        endpoint.on_error = self._on_error

    def now(self) -> float:
        """Seconds of the service: monotonic, and ahead of the media's by what has passed on demand."""
        return self._clock() + self._passed_s

    async def advance(self, seconds: float, *, patience_s: float = passing.PATIENCE_S) -> None:
        """Let so much of the service's time pass at once (`passing.py`); its timers have been looked at then."""
        if not 0 <= seconds <= MAX_ADVANCE_S:
            # Added to a clock, infinity, no number, or one that is large enough would stop it for good.
            raise ValueError(f"so much time cannot pass: {seconds} s is not in 0 … {MAX_ADVANCE_S:g}")
        sessions = [session for app in self._apps.values() for session in app.sessions.values()]
        try:
            silent = await passing.absent(sessions, self._endpoint.now, self.now, patience_s)
        finally:
            self._endpoint.expect_no_more()
        self._passed_s += seconds
        if self._turn is not None:
            self._turn.advance(seconds)
        for one in silent:
            one.age(seconds)
        self._endpoint.waits.advance(seconds)
        self.look_at_timers()

    @property
    def apps(self) -> Mapping[str, App]:
        """By id, in the order in which they were added."""
        return self._apps

    @property
    def turn_keys(self) -> Mapping[str, TurnKey]:
        """By id, in the order in which they were added."""
        return self._turn_keys

    def add_app(self, app: App) -> None:
        """Serve one more app from now on. Raises `UsageError` where its id or secret is another's."""
        self._check_new(app.app_id, app.secret, self._apps)
        self._note(app)
        self._apps[app.app_id] = app

    def add_turn_key(self, key: TurnKey) -> None:
        """Serve one more TURN key from now on. Raises `UsageError` where its id or token is another's."""
        self._check_new(key.key_id, key.token, self._turn_keys)
        self._note(key)
        self._turn_keys[key.key_id] = key

    def _check_new(self, identifier: str, secret: str, others: Mapping[str, object]) -> None:
        if identifier in others:
            raise UsageError(f"The id {identifier} is in use.")
        # Whoever has one secret must not have two things with it, or the apps would not be isolated.
        known = {app.secret for app in self._apps.values()} | {key.token for key in self._turn_keys.values()}
        if secret in known:
            raise UsageError(f"The secret of {identifier} is in use.")

    def _note(self, added: App | TurnKey) -> None:
        if self.on_change is not None:
            self.on_change(added)

    def replace_app(self, app: App) -> None:
        """Serve an app in place of the one of its id, whose sessions go on."""
        assert app.sessions is self._apps[app.app_id].sessions
        self._note(app)
        self._apps[app.app_id] = app

    def replace_turn_key(self, key: TurnKey) -> None:
        """Serve a TURN key in place of the one of its id, whose credentials live on."""
        self._note(key)
        self._turn_keys[key.key_id] = key

    def remove_app(self, app_id: str) -> None:
        """End an app and its sessions."""
        app = self._apps[app_id]
        self._note_removal(app)
        del self._apps[app_id]
        for session in app.sessions.values():
            session.close()
        app.sessions.clear()

    def remove_turn_key(self, key_id: str) -> None:
        """End a TURN key and its credentials."""
        self._note_removal(self._turn_keys[key_id])
        del self._turn_keys[key_id]
        if self._turn is not None:
            self._turn.revoke_all(key_id)

    def _note_removal(self, removed: App | TurnKey) -> None:
        if self.on_remove is not None:
            self.on_remove(removed)

    def app(self, app_id: str, authorization: str) -> App:
        """The app, if the header has its secret; raises `Refusal` with 404 or 401."""
        app = self._apps.get(app_id)
        if app is None:
            raise Refusal(404, "not_found", "App not found. A new app may need a moment before it can be used")
        _check_bearer(authorization, app.secret)
        return app

    def turn_key(self, key_id: str, authorization: str) -> TurnKey:
        """The TURN key, if the header has its token; raises `Refusal` with 404 or 401."""
        key = self._turn_keys.get(key_id)
        if key is None:
            raise Refusal(404, "not_found", "TURN key not found")
        _check_bearer(authorization, key.token)
        return key

    def app_of_key(self, key_id: str) -> str:
        """Id of the app that a TURN key was made for; empty when it was for none, or is none."""
        key = self._turn_keys.get(key_id)
        return "" if key is None else key.app_id

    def new_session(self, app: App, *, is_third_party: bool = False, correlation_id: str | None = None) -> Session:
        """A session that nothing has been negotiated with. `is_third_party`: its peer will be an ICE-lite server."""
        session_id = self._ids.session_id()
        session = Session(
            session_id,
            endpoint=self._endpoint,
            candidates=self._candidates,
            limits=self.limits,
            clock=self.now,
            find=app.sessions.get,
            ids=self._ids,
            is_third_party=is_third_party,
            correlation_id=correlation_id,
            on_open=lambda connection: self.faults.attach(connection, app.app_id, session_id),
        )
        app.sessions[session.session_id] = session
        return session

    def session(self, app: App, session_id: str) -> Session:
        """The session, which counts this as a request to it; raises `Refusal` with 410 or 429."""
        session = app.sessions.get(session_id)
        if session is None:
            raise gone()
        with session.boundary(self.count_bug):
            session.admit()
        return session

    def count_bug(self) -> None:
        self.bugs += 1

    async def keep_time(self) -> None:
        """Look at the timers of all sessions, for ever."""
        while True:
            await asyncio.sleep(self.limits.sweep_s)
            self.look_at_timers()

    def look_at_timers(self) -> None:
        """Of all sessions and credentials, once."""
        if self._turn is not None:
            self._turn.look_at_timers()
        for app in list(self._apps.values()):
            for session in list(app.sessions.values()):
                with suppress(Refusal), session.boundary(self.count_bug):
                    session.look_at_timers()
                if session.is_gone:
                    del app.sessions[session.session_id]

    def end_session(self, app_id: str, session_id: str) -> bool:
        """End a session now, as if its time were over; whether there was one."""
        app = self._apps.get(app_id)
        session = app.sessions.pop(session_id, None) if app is not None else None
        if session is not None:
            session.close()
        return session is not None

    def _connections(self) -> Iterator[tuple[Connection, str, str]]:
        """All that there are, with the ids of their app and session."""
        for app in self._apps.values():
            for session in app.sessions.values():
                if session.connection is not None and not session.is_gone:
                    yield session.connection, app.app_id, session.session_id

    def close(self) -> None:
        """End all sessions; requests that are being held are answered."""
        self.faults.clear()  # requests that hang are let go
        if self._turn is not None:
            self._turn.close()
        for app in self._apps.values():
            for session in app.sessions.values():
                session.close()
            app.sessions.clear()

    def _on_error(self, connection: DtlsTransport, error: BaseException) -> None:
        """The data path met a bug while it worked for one connection: that session ends, the others go on."""
        self.count_bug()
        for app in self._apps.values():
            for session in app.sessions.values():
                if session.connection is connection:
                    logger.error("session=%s closed after an unexpected error", session.session_id, exc_info=error)
                    session.close()


def _check_bearer(authorization: str, secret: str) -> None:
    scheme, _, presented = authorization.partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(presented.strip().encode(), secret.encode()):
        raise Refusal(401, "unauthorized", "The secret is missing or does not belong to this id")
