"""TURN credentials in the shapes people paste: pure functions from the result to text."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtcctl.results.turn import IceServer, TurnCreds


class Shape(StrEnum):
    """What `--as` takes."""

    ICE_SERVERS = "ice-servers"
    ENV = "env"
    COTURN = "coturn"
    JS = "js"


def render(creds: TurnCreds, shape: Shape) -> str:
    """The credentials in a shape."""
    match shape:
        case Shape.ICE_SERVERS:
            return json.dumps({"iceServers": _ice_servers(creds)}, indent=2)
        case Shape.ENV:
            return _env(creds)
        case Shape.COTURN:
            return _coturn(creds)
        case Shape.JS:
            # A line separator ends a line of JavaScript before ES2019; JSON as ASCII has none.
            return f"const pc = new RTCPeerConnection({json.dumps({'iceServers': _ice_servers(creds)}, indent=2)});"


def _ice_servers(creds: TurnCreds) -> list[dict[str, Any]]:
    """As `RTCConfiguration.iceServers` wants them; STUN entries have no credentials."""
    servers = []
    for server in creds.ice_servers:
        entry: dict[str, Any] = {"urls": list(server.urls)}
        if server.username is not None:
            entry |= {"username": server.username, "credential": server.credential}
        servers.append(entry)
    return servers


def _with_credentials(creds: TurnCreds) -> IceServer | None:
    return next((server for server in creds.ice_servers if server.username is not None), None)


def _env(creds: TurnCreds) -> str:
    """Shell assignments, to `eval` or to put into an `.env`."""
    server = _with_credentials(creds)
    urls = _urls(creds)
    lines = {
        "TURN_URLS": ",".join(url for url in urls if url.startswith("turn")),
        "STUN_URLS": ",".join(url for url in urls if url.startswith("stun")),
        "TURN_USERNAME": server.username if server else "",
        "TURN_CREDENTIAL": server.credential if server else "",
        "TURN_EXPIRES_AT": f"{creds.expires_at:.0f}",
    }
    return "\n".join(f"{name}={shlex.quote(value or '')}" for name, value in lines.items())


def _coturn(creds: TurnCreds) -> str:
    """The answer of the REST convention that coturn goes with (draft-uberti-behave-turn-rest-00 §2.2): TURN URLs alone.

    The draft calls the password `password`, later readers `credential` as WebRTC does: each finds its own.
    """
    server = _with_credentials(creds)
    password = server.credential if server else None
    return json.dumps(
        {
            "username": server.username if server else None,
            "credential": password,
            "password": password,
            "ttl": creds.ttl_s,
            "uris": [url for url in _urls(creds) if url.startswith("turn")],
        },
        indent=2,
    )


def _urls(creds: TurnCreds) -> list[str]:
    return [url for server in creds.ice_servers for url in server.urls]
