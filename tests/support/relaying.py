"""An embedded server with a real coturn behind it, as an operation meets it."""

from __future__ import annotations

import datetime
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from rtcctl.journal import Journal
from rtcctl.ops.env import Env
from rtcctl.realtime.profile import Profile
from rtcctl.server.server import RealtimeServer
from rtcctl.transport.tls import TlsFiles, temporary
from tests.support.requirements import require


@contextmanager
def loopback_certificate() -> Iterator[TlsFiles]:
    """For 127.0.0.1, with an authority of its own."""
    with temporary(["127.0.0.1"], datetime.datetime.now(datetime.UTC)) as files:
        yield files


@asynccontextmanager
async def relaying_server(folder: Path) -> AsyncIterator[tuple[RealtimeServer, Env]]:
    """A server that relays over UDP, TCP and TLS, and what an operation that uses it is given."""
    require("turnserver", why="only a real TURN server shows that media goes through one")
    with loopback_certificate() as files, Journal.open(folder) as journal:
        async with RealtimeServer.run("127.0.0.1", 0, media_hosts=("127.0.0.1",), turn_tls=files) as server:
            profile = Profile(
                name="test",
                api_base=server.base_url,
                app_id=server.app_id,
                app_secret=server.app_secret,
                turn_key_id=server.turn_key_id,
                turn_key_token=server.turn_key_token,
                is_embedded=True,
                ca_file=str(files.authority),
            )
            yield server, Env(profile=profile, journal=journal)
            assert server.registry.bugs == 0


def kill_coturn(server: RealtimeServer) -> None:
    """As by kill -9, with all that watches over it."""
    running = server.turn._coturn
    assert running is not None
    assert running._process is not None
    os.killpg(running._process.pid, signal.SIGKILL)


def addresses_of_media(server: RealtimeServer) -> dict[str, tuple[str, int]]:
    """Where the server sends the media of each session, and takes it from."""
    sessions = [session for app in server.registry._apps.values() for session in app.sessions.values()]
    selected = {session.session_id: session.connection and session.connection._agent.selected for session in sessions}
    return {session_id: addr[:2] for session_id, addr in selected.items() if addr is not None}
