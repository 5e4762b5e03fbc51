"""The embedded server, until it is interrupted."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from ipaddress import ip_address

from rtcctl.errors import UsageError
from rtcctl.ops.env import Env
from rtcctl.results.dev import Dev, ServerReady


@dataclass(frozen=True, slots=True)
class Credentials:
    """What clients of the server must present."""

    app_id: str
    app_secret: str
    turn_key_id: str
    turn_key_token: str
    are_development: bool
    "The fixed, public ones: loopback only."


@dataclass(frozen=True, slots=True)
class DevRequest:
    """`port` 0 takes any free one; `udp_port` `None` takes the number of the TCP port.

    `announce`: the address that browsers elsewhere reach this machine by, for containers and NAT.
    """

    credentials: Credentials
    host: str = "127.0.0.1"
    port: int = 8610
    udp_port: int | None = None
    announce: str | None = None
    discoverable: Callable[[ServerReady], AbstractContextManager[object]] = nullcontext
    "Makes the server known to the profile `local` of this machine while it runs."


def environment(base_url: str, credentials: Credentials) -> tuple[tuple[str, str], ...]:
    """The variables that point rtcctl, and the official examples, at the server."""
    return (
        ("RTCCTL_API_BASE", base_url),
        ("RTCCTL_APP_ID", credentials.app_id),
        ("RTCCTL_APP_SECRET", credentials.app_secret),
        ("RTCCTL_TURN_KEY_ID", credentials.turn_key_id),
        ("RTCCTL_TURN_KEY_TOKEN", credentials.turn_key_token),
    )


async def dev(request: DevRequest, env: Env) -> Dev:
    """Serve until cancelled. Raises `UsageError` when a port is in use or the address is not to be served."""
    from rtcctl.server.server import RealtimeServer

    credentials = request.credentials
    if request.announce is not None:
        try:
            ip_address(request.announce)
        except ValueError:
            raise UsageError(
                f"--announce takes an IP address, not {request.announce!r}.", hint="For example --announce 192.0.2.7"
            ) from None
    async with RealtimeServer.run(
        request.host,
        request.port,
        udp_port=request.udp_port,
        announce=request.announce,
        credentials=credentials,
    ) as server:
        started = env.clock()
        ready = ServerReady(
            base_url=server.base_url,
            app_id=credentials.app_id,
            app_secret=credentials.app_secret,
            turn_key_id=credentials.turn_key_id,
            turn_key_token=credentials.turn_key_token,
            pid=env.pid,
            media_addresses=tuple(
                f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in server.candidates
            ),
            development_credentials=credentials.are_development,
            environment=environment(server.base_url, credentials),
        )
        # What start-up made stays: left to the collector, it would be searched again and again as sessions come and go
        # (a quarter of what setting up a session costs).
        gc.collect()
        gc.freeze()
        with request.discoverable(ready):
            env.emit(ready)
            with env.keeping(lambda: Dev(base_url=server.base_url, served_s=env.clock() - started)):
                await server.wait_closed()
        return Dev(base_url=server.base_url, served_s=env.clock() - started)
