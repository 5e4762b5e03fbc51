"""Relayed candidates: an allocation for each URL of the TURN servers, all opened at once.

A peer that uses them has no other candidates, as with `iceTransportPolicy: "relay"` of a browser. All of them get
`DEADLINE_S` to open, and what has not opened `GRACE_S` after the first is not waited for: a network that drops UDP must
not hold up those that TCP and TLS carry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rtcctl.errors import NetworkError
from rtcctl.media.sdp import Candidate
from rtcctl.media.server_url import Protocol, ServerUrl
from rtcctl.media.turn import Address
from rtcctl.probe.turn.allocation import Allocation
from rtcctl.probe.turn.link import Link, resolve
from rtcctl.probe.turn.tls import Trust, connect

DEADLINE_S = 5.0
GRACE_S = 1.0

_LOCAL_PREFERENCES: dict[Protocol, int] = {"udp": 2, "tcp": 1, "tls": 0}
"As browsers rank relays: what the server is reached by without waiting for lost packets comes first."


@dataclass(frozen=True, slots=True)
class TurnServer:
    """One URL, and what opens it."""

    url: ServerUrl
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Which relays to use, and whom to trust, for servers that are reached over TLS."""

    servers: tuple[TurnServer, ...]
    trust: Trust = field(default_factory=Trust)


class Relay:
    """An allocation and its candidate."""

    def __init__(self, url: ServerUrl, candidate: Candidate, allocation: Allocation) -> None:
        self.url = url
        self.candidate = candidate
        self.allocation = allocation

    def send(self, data: bytes | memoryview, addr: Address) -> None:
        """Send to a peer, which gets to know of us by this."""
        self.allocation.send(addr, data)

    def can_reach(self, address: str) -> bool:
        """Whether it is of the family of `address`: a relay translates none into the other."""
        return (":" in address) == (":" in self.candidate.address)


class Relays:
    """The relays of one peer; empty until `open`, and after `close`."""

    def __init__(self, settings: RelaySettings) -> None:
        self.opened: tuple[Relay, ...] = ()
        "By descending priority. They stay here after the end."
        self.failures: dict[str, NetworkError] = {}
        "The URLs that relay nothing, and why."
        self._settings = settings
        self._waiting: list[asyncio.Timeout] = []
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await self.wait_closed()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(relay.candidate for relay in self.opened)

    def trouble(self, pair: tuple[Candidate, Candidate] | None) -> NetworkError | None:
        """Why nothing comes through, when a server has said or shown it: on the way of `pair`, or before there is one.

        Once there is a pair, a server that denies another candidate of the peer is no trouble.
        """
        ours = None if pair is None else self.of(pair[0])
        peer = None if pair is None else (pair[1].address, pair[1].port)
        for relay in self.opened if ours is None else (ours,):
            refused = (error for addr, error in relay.allocation.refusals.items() if peer in (None, addr))
            error = relay.allocation.trouble or next(refused, None)
            if error is not None:
                return NetworkError(f"{relay.url}: {error.message}", phase="turn", hint=error.hint)
        return None

    def of(self, candidate: Candidate) -> Relay | None:
        """The relay of a candidate of ours."""
        where = candidate.address, candidate.port
        return next((r for r in self.opened if (r.candidate.address, r.candidate.port) == where), None)

    async def open(self, take: Callable[[Relay, bytes, Address], None]) -> None:
        """Allocate at each URL; `take` gets what arrives. `NetworkError` with the reasons when none relays."""
        opened: list[Relay] = []
        try:
            async with asyncio.TaskGroup() as group:
                for index, server in enumerate(self._settings.servers):
                    group.create_task(self._try(server, index, take, opened))
        except BaseException:
            _close(opened)
            raise
        self.opened = tuple(sorted(opened, key=lambda relay: -relay.candidate.priority))
        if self._is_closed:
            _close(opened)
        if not opened:
            reasons = "; ".join(f"{url}: {error.message.rstrip('.')}" for url, error in self.failures.items())
            hint = next((error.hint for error in self.failures.values() if error.hint), "")
            raise NetworkError(f"No TURN server relays: {reasons}.", phase="turn", hint=hint)

    def fall_silent(self) -> None:
        """Neither send nor hear any more, without a goodbye."""
        for relay in self.opened:
            relay.allocation.fall_silent()

    def close(self) -> None:
        """Give all addresses back."""
        self._is_closed = True
        _close(self.opened)

    async def wait_closed(self) -> None:
        """Until nothing is left of them, after `close`."""
        for relay in self.opened:
            await relay.allocation.wait_closed()

    async def _try(
        self,
        server: TurnServer,
        index: int,
        take: Callable[[Relay, bytes, Address], None],
        opened: list[Relay],
    ) -> None:
        patience = asyncio.timeout(DEADLINE_S if not opened else GRACE_S)
        self._waiting.append(patience)
        try:
            async with patience:
                opened.append(await open_relay(server, self._settings.trust, take, index=index))
        except TimeoutError:
            self.failures[server.url.text] = NetworkError("it did not answer in time", phase="turn")
        except NetworkError as error:
            self.failures[server.url.text] = error
        finally:
            self._waiting.remove(patience)
        if opened:
            soon = asyncio.get_running_loop().time() + GRACE_S
            for other in self._waiting:
                if not other.expired():
                    other.reschedule(min(soon, other.when() or soon))


async def open_relay(
    server: TurnServer,
    trust: Trust,
    take: Callable[[Relay, bytes, Address], None],
    *,
    index: int = 0,
) -> Relay:
    """An allocation at one URL, at the first of its addresses that grants one. `NetworkError` when none does.

    `index`: of the URL among those of one peer.
    """
    addresses = await resolve(server.url)
    error: NetworkError | None = None
    for position, address in enumerate(addresses):
        patience_s = DEADLINE_S / (len(addresses) - position)
        try:
            link = await connect(server.url, address, trust, timeout_s=patience_s)
            return await _allocate(link, server, take, index, patience_s)
        except NetworkError as failed:
            error = error or failed
    assert error is not None, "a name has an address"
    raise error


async def _allocate(
    link: Link, server: TurnServer, take: Callable[[Relay, bytes, Address], None], index: int, patience_s: float
) -> Relay:
    relay: Relay

    def received(data: bytes, addr: Address) -> None:
        take(relay, data, addr)

    allocation = Allocation(link, server.username, server.password, received)
    try:
        allocated = await allocation.allocate(patience_s)
    except BaseException:
        allocation.close()
        raise
    relay = Relay(server.url, candidate(allocated.relayed, server.url.protocol, index), allocation)
    return relay


def candidate(relayed: Address, protocol: Protocol, index: int) -> Candidate:
    """A relayed candidate (RFC 8445 §5.1.2.1), which says nothing of where we are (RFC 8839 §5.1).

    `index`: of its URL; what one server relays for each of several protocols are paths of their own.
    """
    host, port = relayed
    # Below those of another protocol, and each its own.
    preference = _LOCAL_PREFERENCES[protocol] << 8 | max(0, 0xFF - index)
    hidden = "::" if ":" in host else "0.0.0.0"
    return Candidate(str(index + 1), 1, "udp", preference << 8 | 255, host, port, "relay", f"raddr {hidden} rport 9")


def _close(relays: Sequence[Relay]) -> None:
    for relay in relays:
        relay.allocation.close()
