"""Which addresses of this machine carry media, and which other addresses it is announced by.

One UDP socket per address, since the answer to a check must come from the address that the check went to (RFC 8445
§7.3.1.2), and a socket on all addresses leaves the choice to the kernel.

Without a word from the user: where HTTP is on loopback, loopback and the address that the default route leaves from,
because Firefox never pairs a candidate of its own with one on loopback. That is a convenience, so media goes on with
loopback alone where there is no such address or its port is taken. Where HTTP is on all addresses, the routed address
comes first, for those who are elsewhere; where it is on one, that one alone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from rtcctl.errors import UsageError

LOOPBACK = {4: "127.0.0.1", 6: "::1"}

_ELSEWHERE = {4: (socket.AF_INET, "192.0.2.1"), 6: (socket.AF_INET6, "2001:db8::1")}
"Documentation addresses (RFC 5737, RFC 3849), which are nobody's and routed like everybody's."


def resolve(host: str, option: str) -> str:
    """The first address of a host name; `UsageError` that names the option when there is none."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as exc:
        raise UsageError(f"{option} {host!r} is no address: {exc}.", hint=f"For example {option} 192.0.2.7") from None


def default_route(version: int) -> str | None:
    """The address of this machine that the default route leaves from. Connecting a UDP socket sends nothing."""
    family, elsewhere = _ELSEWHERE[version]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            address = str(probe.getsockname()[0])
    except OSError:
        return None
    return address if _is_fit(address) else None


def media_hosts(
    http_address: str, chosen: Sequence[str], *, route: Callable[[int], str | None] = default_route
) -> tuple[tuple[str, ...], ...]:
    """The addresses for media, best first, in alternatives: the second is enough where the first cannot be bound.

    `chosen` are those of `--media-host`: addresses, which must all be there. `route` as `default_route`.
    """
    if chosen:
        return (_distinct(host for address in chosen for host in _expanded(address, route)),)
    ip = ip_address(http_address)
    if not ip.is_loopback:
        return (_distinct(_expanded(http_address, route)),)
    routed = route(ip.version)
    alone = (http_address,)
    return (alone,) if routed is None else ((http_address, routed), alone)


def _expanded(address: str, route: Callable[[int], str | None]) -> Sequence[str]:
    """An address is itself; all addresses are those by which this machine is reached (`::` is both families')."""
    ip = ip_address(address)
    if not ip.is_unspecified:
        return (address,)
    versions = (4,) if ip.version == 4 else (6, 4)
    routed = [found for version in versions if (found := route(version)) is not None]
    return (*routed, *(LOOPBACK[version] for version in versions))


def checked_media_host(text: str) -> str:
    """An address for `--media-host`, or a name of one; `UsageError` when media cannot be received there."""
    address = resolve(text, "--media-host")
    ip = ip_address(address)
    if not (ip.is_unspecified or _is_fit(address)):
        raise UsageError(
            f"--media-host {text} cannot be an ICE candidate.", hint="An address of this machine that others can name"
        )
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as exc:
        raise UsageError(
            f"--media-host {text} is no address of this machine: {exc.strerror}.",
            hint="An address that only others can see is for --announce",
        ) from None
    return address


def checked_announcement(text: str) -> str:
    """An address for `--announce`; `UsageError` when it is none that a client could send to."""
    try:
        ip = ip_address(text)
    except ValueError:
        raise UsageError(
            f"--announce takes an IP address, not {text!r}.", hint="For example --announce 192.0.2.7"
        ) from None
    if ip.is_unspecified or not _is_fit(text):
        raise UsageError(
            f"--announce {text} is no address that a client could send to.", hint="For example --announce 192.0.2.7"
        )
    return str(ip)


def _is_fit(address: str) -> bool:
    """Whether others can name it: no multicast, and no zone, which is a matter of one machine (RFC 8839 §5.1)."""
    ip: IPv4Address | IPv6Address = ip_address(address)
    return not (ip.is_multicast or "%" in address or str(ip) == "255.255.255.255" or ip.is_unspecified)


def _distinct(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(addresses))
