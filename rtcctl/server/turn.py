"""The TURN half of the service: credentials that are issued, expire and are revoked (Realtime docs: TURN).

What relays is coturn, where it is installed; it is started with the first credential, so that nobody pays for what is
not used. Without it there is nothing to hand out: the answers name this server's own STUN address and no more.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rtcctl.errors import NetworkError
from rtcctl.realtime.schema import TurnCredentialsRequest
from rtcctl.server import coturn
from rtcctl.server.limits import Limits
from rtcctl.web.refusal import Refusal

if TYPE_CHECKING:
    from rtcctl.transport.tls import TlsFiles

logger = logging.getLogger(__name__)

DEFAULT_TTL_S = 86_400
"Of a request that names none."
_USERNAME_BYTES = 48
"The service's user names and credentials are 96 hexadecimal digits."


@dataclass(frozen=True, slots=True)
class TurnCredential:
    """One that was issued and lives."""

    username: str
    password: str = field(repr=False)
    key_id: str
    expires_at: float
    "Clock of the service."
    custom_identifier: str | None


class TurnService:
    """Issues credentials and ends them."""

    def __init__(
        self,
        hosts: Sequence[str],
        stun_port: int,
        *,
        clock: Callable[[], float],
        announce: str | None = None,
        tls: TlsFiles | None = None,
        is_available: bool | None = None,
    ) -> None:
        """`hosts`: the addresses for media, best first. `announce`: how others see the first of them.

        `clock`: monotonic seconds. `tls`: for `turns:` URLs, which there are none without. `is_available`: whether
        anything is to be relayed; by default where coturn is installed.
        """
        self.is_available = coturn.is_installed() if is_available is None else is_available
        "Whether anything can be relayed."
        self._hosts = hosts
        self._announce = announce
        self._stun_url = server_url("stun", announce or hosts[0], stun_port)
        self._clock = clock
        self._passed_s = 0.0
        "On demand."
        self._tls = tls
        self._starting = asyncio.Lock()
        self._start: asyncio.Timeout | None = None
        "Of coturn, while it starts."
        self._coturn: coturn.Coturn | None = None
        self._credentials: dict[str, TurnCredential] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        "By user name."
        self._is_closed = False

    @property
    def credentials(self) -> tuple[TurnCredential, ...]:
        """Those that live."""
        return tuple(self._credentials.values())

    async def issue(self, key_id: str, ttl_s: float, custom_identifier: str | None) -> list[dict[str, Any]]:
        """A new credential, as the list that a peer connection takes. `Refusal` with 503 when coturn does not start."""
        stun = {"urls": [self._stun_url]}
        server = await self._running()
        if server is None:
            return [stun]
        credential = TurnCredential(
            secrets.token_hex(_USERNAME_BYTES),
            secrets.token_hex(_USERNAME_BYTES),
            key_id,
            self._now() + ttl_s,
            custom_identifier,
        )
        try:
            server.add_user(credential.username, credential.password)
        except NetworkError as error:
            raise _unavailable(error) from error
        self._credentials[credential.username] = credential
        self._look_at_in(credential.username, ttl_s)
        host = self._announce or self._hosts[0]
        urls = [server_url("turn", host, server.port, "udp"), server_url("turn", host, server.port, "tcp")]
        if server.tls_port:
            urls.append(server_url("turns", host, server.tls_port, "tcp"))
        return [stun, {"urls": urls, "username": credential.username, "credential": credential.password}]

    def revoke(self, key_id: str, username: str) -> None:
        """End a credential of this key; one that is not there is none."""
        credential = self._credentials.get(username)
        if credential is not None and credential.key_id == key_id:
            self._end(credential)

    def revoke_all(self, key_id: str) -> None:
        """End all credentials of a key."""
        for credential in self.credentials:
            if credential.key_id == key_id:
                self._end(credential)

    def advance(self, seconds: float) -> None:
        """Let so much time pass at once; `look_at_timers` ends what that has ended."""
        self._passed_s += seconds

    def look_at_timers(self) -> None:
        """End what has expired."""
        now = self._now()
        for credential in self.credentials:
            if now >= credential.expires_at:
                self._end(credential)

    def close(self) -> None:
        """End everything, and coturn."""
        self._is_closed = True
        if self._start is not None and not self._start.expired():
            self._start.reschedule(0)
        server = self._coturn
        self._ended()
        if server is not None:
            server.close()

    def _now(self) -> float:
        return self._clock() + self._passed_s

    async def _running(self) -> coturn.Coturn | None:
        """coturn, started when it is not running; `None` where it is not installed."""
        if not self.is_available:
            return None
        async with self._starting:
            if self._coturn is None:
                if self._is_closed:
                    raise _ending()
                server = coturn.Coturn(
                    self._hosts, self._tls, external=self._announce, random=lambda: secrets.randbits(16)
                )
                try:
                    async with asyncio.timeout(None) as self._start:
                        await server.start()
                except TimeoutError:
                    raise _ending() from None
                except NetworkError as error:
                    raise _unavailable(error) from error
                finally:
                    self._start = None
                if self._is_closed:
                    server.close()
                    raise _ending()
                server.on_end = self._ended
                self._coturn = server
            return self._coturn

    def _ended(self) -> None:
        """coturn is gone; the next credential starts another one, which does not know those of the first."""
        self._coturn = None
        self._credentials.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _end(self, credential: TurnCredential) -> None:
        if self._credentials.pop(credential.username, None) is None:
            return
        self._timers.pop(credential.username).cancel()
        if self._coturn is not None:
            self._coturn.remove_user(credential.username)

    def _look_at_in(self, username: str, seconds: float) -> None:
        """Expiry is exact, so that a credential of one second can be waited for."""
        self._timers[username] = asyncio.get_running_loop().call_later(seconds, self._look_at, username)

    def _look_at(self, username: str) -> None:
        credential = self._credentials[username]
        left_s = credential.expires_at - self._now()
        if left_s > 0:  # timers of some event loops are early by as much as a millisecond
            self._look_at_in(username, left_s)
        else:
            self._end(credential)


def _ending() -> Refusal:
    return _unavailable(NetworkError("The server is ending.", phase="turn"))


def _unavailable(error: NetworkError) -> Refusal:
    logger.error("%s", error.message)
    return Refusal(503, "turn_unavailable", error.message)


def server_url(scheme: str, host: str, port: int, transport: str = "") -> str:
    """RFC 7064, RFC 7065; an IPv6 address stands in brackets."""
    where = f"[{host}]" if ":" in host else host
    return f"{scheme}:{where}:{port}" + (f"?transport={transport}" if transport else "")


def check_lifetime(request: TurnCredentialsRequest, limits: Limits) -> None:
    """Raises `Refusal` for a lifetime that the service does not grant."""
    if request.ttl is not None and not 0 < request.ttl <= limits.turn_ttl_max:
        raise Refusal(400, "invalid_params", f"ttl must be between 1 and {limits.turn_ttl_max} seconds")


def as_one(servers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The older shape of the same: one object with all URLs and the credential."""
    whole: dict[str, Any] = {"urls": [url for server in servers for url in server["urls"]]}
    for server in servers:
        whole |= {key: value for key, value in server.items() if key != "urls"}
    return whole
