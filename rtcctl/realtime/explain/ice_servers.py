"""What is wrong with a list of STUN and TURN servers as a peer connection takes it (Realtime docs: TURN)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rtcctl.media.server_url import URL
from rtcctl.realtime.explain.finding import Finding

URLS_MAX = 4
"From five on Firefox warns that it slows discovery down."


def is_port_53(url: str) -> bool:
    """Whether it names the port of DNS, which browsers block: gathering waits for it in vain."""
    match = URL.fullmatch(url.strip())
    return match is not None and match["port"] is not None and int(match["port"]) == 53


def explain_ice_servers(servers: Any) -> list[Finding]:
    """What is wrong with `iceServers`, decoded: a list of objects, or the whole answer of a TURN endpoint."""
    if isinstance(servers, dict) and "iceServers" in servers:
        servers = servers["iceServers"]
    findings = []
    if isinstance(servers, dict):
        hint = "The older endpoint `generate` answers so; a peer connection takes [iceServers], or use the newer one"
        findings.append(Finding("iceServers", "it is one object, no list", hint))
        servers = [servers]
    if not isinstance(servers, list) or not servers:
        return [Finding("iceServers", "it is no list of servers", "[{urls: ['stun:stun.cloudflare.com:3478']}]")]
    count = 0
    for index, server in enumerate(servers):
        where = f"iceServers[{index}]"
        urls = server.get("urls") if isinstance(server, dict) else None
        urls = [urls] if isinstance(urls, str) else urls
        if not isinstance(urls, list) or not urls:
            findings.append(Finding(f"{where}.urls", "it has no URLs", "A list of stun: and turn: URLs"))
            continue
        count += len(urls)
        findings += _of_urls(where, server, urls)
    if count > URLS_MAX:
        hint = "Keep one STUN URL, and one TURN URL each for UDP, TCP and TLS"
        findings.append(Finding("iceServers", f"it has {count} URLs, which slows gathering in Firefox", hint, False))
    return sorted(findings, key=lambda finding: not finding.is_error)


def _of_urls(where: str, server: dict[str, Any], urls: list[Any]) -> Iterator[Finding]:
    is_turn = False
    for index, url in enumerate(urls):
        at = f"{where}.urls[{index}]"
        match = URL.fullmatch(url.strip()) if isinstance(url, str) else None
        if match is None:
            yield Finding(at, "it is no URL of a STUN or TURN server", "turn:turn.cloudflare.com:3478?transport=udp")
            continue
        scheme, query = match["scheme"].lower(), (match["query"] or "").lower().removeprefix("?")
        is_turn |= scheme.startswith("turn")
        if is_port_53(url):
            hint = "Browsers block it, and without trickle ICE the offer waits for it (some 40 s): leave it out"
            yield Finding(at, "it is of port 53", hint, False)
        if query and (scheme.startswith("stun") or query not in ("transport=udp", "transport=tcp")):
            yield Finding(at, "its query is not understood", "Only turn: has one: ?transport=udp or ?transport=tcp")
        elif scheme == "turns" and query == "transport=udp":
            yield Finding(at, "TURN over DTLS is not served", "turns: goes over ?transport=tcp")
    if is_turn and not (server.get("username") and server.get("credential")):
        hint = "generate-ice-servers gives both; browsers refuse TURN without them"
        yield Finding(where, "a TURN server without `username` and `credential`", hint)
