"""Answers of the TURN credential endpoints (Realtime docs: Generate credentials), for a server that has STUN only.

No TURN server stands behind them, so there is no credential to hand out: the list names this server's own STUN
address.
"""

from __future__ import annotations

from typing import Any

from rtcctl.realtime.schema import TurnCredentialsRequest
from rtcctl.server.limits import Limits
from rtcctl.web.refusal import Refusal


def stun_url(host: str, port: int) -> str:
    """RFC 7064; an IPv6 address stands in brackets."""
    return f"stun:[{host}]:{port}" if ":" in host else f"stun:{host}:{port}"


def check(request: TurnCredentialsRequest, limits: Limits) -> None:
    """Raises `Refusal` for a lifetime that the service does not grant."""
    if request.ttl is not None and not 0 < request.ttl <= limits.turn_ttl_max:
        raise Refusal(400, "invalid_params", f"ttl must be between 1 and {limits.turn_ttl_max} seconds")


def ice_servers(url: str) -> dict[str, Any]:
    """Answer of `generate-ice-servers`."""
    return {"iceServers": [{"urls": [url]}]}


def credentials(url: str) -> dict[str, Any]:
    """Answer of the older `generate`: one object instead of a list."""
    return {"iceServers": {"urls": [url]}}
