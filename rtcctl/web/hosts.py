"""Whether a request was meant for this server: by its `Host`, and by the `Origin` of the page that makes it.

A foreign name that resolves to loopback is an attack (DNS rebinding): to the browser, the page and we are one origin.
"""

from __future__ import annotations

from starlette.types import Scope

_DEFAULT_PORTS = {"http": "80", "https": "443"}


class OwnHosts:
    """The names by which a server on loopback is meant. `base_url`: where it is."""

    def __init__(self, base_url: str) -> None:
        scheme, _, rest = base_url.partition("://")
        own = rest.partition("/")[0]
        port = own.rpartition(":")[2]
        hosts = (own, *(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")))
        # Clients leave the port out where it is that of the scheme (RFC 9110 §4.2.3).
        bare = [host.removesuffix(f":{port}") for host in hosts if port == _DEFAULT_PORTS[scheme]]
        self._hosts = frozenset((*hosts, *bare))
        self._origins = frozenset(f"{scheme}://{host}" for host in self._hosts)

    def refusal(self, scope: Scope) -> str:
        """Why a request was not meant for it; empty when it was."""
        hosts = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return "answers to its own Host only"
        origins = {value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"origin"}
        return "" if origins <= self._origins else "answers to its own Origin only"
