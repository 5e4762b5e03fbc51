"""URLs of STUN and TURN servers, as `RTCIceServer.urls` has them (RFC 7064, RFC 7065)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rtcctl.errors import ParseError

Protocol = Literal["udp", "tcp", "tls"]
"How we speak to the server: `relayProtocol` of W3C's statistics."

URL = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>\[[0-9A-Fa-f:.]+\]|[^]\[:?/@\s]+)(?::(?P<port>\d{1,5}))?"
    r"(?P<query>\?(?:transport=(?P<transport>udp|tcp)|.*))?",
    re.IGNORECASE,
)
"With any query; `ServerUrl.parse` takes those that there are."


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """One URL, taken apart."""

    text: str
    "As it was given."
    is_turn: bool
    host: str
    "A name or an address, an IPv6 one without its brackets."
    port: int
    protocol: Protocol

    @classmethod
    def parse(cls, text: str) -> ServerUrl:
        """Raises `ParseError`, also for TURN over DTLS (`turns:…?transport=udp`), which nobody serves."""
        match = URL.fullmatch(text.strip())
        if match is None or (match["query"] and not match["transport"]):
            raise ParseError("stun:HOST[:PORT], turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]")
        scheme, transport = match["scheme"].lower(), (match["transport"] or "").lower()
        is_turn, is_tls = scheme.startswith("turn"), scheme.endswith("s")
        if transport and not is_turn:
            raise ParseError("a stun: URL without ?transport=", offset=match.start("transport"))
        if is_tls and transport == "udp":
            raise ParseError("?transport=tcp, as TURN over DTLS is not spoken", offset=match.start("transport"))
        port = int(match["port"] or (5349 if is_tls else 3478))
        if not 0 < port < 65536:
            raise ParseError("a port from 1 to 65535", offset=match.start("port"))
        protocol: Protocol = "tls" if is_tls else "tcp" if transport == "tcp" else "udp"
        return cls(text.strip(), is_turn, match["host"].strip("[]"), port, protocol)

    @property
    def is_port_53(self) -> bool:
        """The port of DNS, which browsers block: gathering waits for it in vain."""
        return self.port == 53

    def __str__(self) -> str:
        return self.text
