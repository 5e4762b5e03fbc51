"""TURN credentials in the shapes people paste: pure functions from the result to text."""

from __future__ import annotations

import json
import re
import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtcctl.results.turn import IceServer, TurnCreds

_URL = re.compile(r"(stuns?|turns?):(\[[^\]]+\]|[^:?]+)(?::(\d+))?(?:\?transport=(udp|tcp))?", re.IGNORECASE)
"RFC 7064, RFC 7065."


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
    urls = [url for entry in creds.ice_servers for url in entry.urls]
    lines = {
        "TURN_URLS": ",".join(url for url in urls if url.startswith("turn")),
        "STUN_URLS": ",".join(url for url in urls if url.startswith("stun")),
        "TURN_USERNAME": server.username if server else "",
        "TURN_CREDENTIAL": server.credential if server else "",
        "TURN_EXPIRES_AT": f"{creds.expires_at:.0f}",
    }
    return "\n".join(f"{name}={shlex.quote(value or '')}" for name, value in lines.items())


def _coturn(creds: TurnCreds) -> str:
    """Commands of coturn's own clients that try each URL."""
    lines = []
    for server in creds.ice_servers:
        for url in server.urls:
            match = _URL.fullmatch(url)
            if match is None:
                lines.append(f"# not understood: {url}")
                continue
            scheme, host, port, transport = match[1].lower(), match[2].strip("[]"), match[3], (match[4] or "").lower()
            is_secure = scheme.endswith("s")
            port = port or ("5349" if is_secure else "3478")
            if scheme.startswith("stun"):
                lines.append(shlex.join(["turnutils_stunclient", "-p", port, host]))
                continue
            flags = (["-t"] if transport == "tcp" or (is_secure and not transport) else []) + (
                ["-S"] if is_secure else []
            )
            user = ["-u", server.username or "", "-w", server.credential or ""]
            lines.append(shlex.join(["turnutils_uclient", *flags, *user, "-p", port, "-y", host]))
    return "\n".join(lines)
