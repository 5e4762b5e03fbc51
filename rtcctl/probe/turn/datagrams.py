"""What `probe.datagrams` is to sockets, for the relays of one lean peer.

The ICE agent knows the addresses of its peer and not which way leads there. So until one is selected, what it sends
goes through every relay of the right family, and the relay through which the first answer comes is the path.
"""

from __future__ import annotations

from collections.abc import Callable

from rtcctl.errors import NetworkError
from rtcctl.media.ice import Address
from rtcctl.media.sdp import Candidate
from rtcctl.probe.datagrams import is_address
from rtcctl.probe.turn.relay import Relay, Relays
from rtcctl.transport.udp import ReceiveBuffer


class RelayedDatagrams:
    """See the module, and `probe.datagrams.Datagrams`, whose methods these are."""

    def __init__(
        self, take: Callable[[int, Address | None], None], lost: Callable[[NetworkError], None], relays: Relays
    ) -> None:
        """`lost` is called when the relay that was selected ends, and it was not us."""
        self.buffer = ReceiveBuffer()
        self.packets_dropped = 0
        self._take = take
        self._lost = lost
        self._relays = relays
        self.heard: Relay | None = None
        "Through which the last datagram came."
        self._selected: Relay | None = None
        self._peer: Address | None = None

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return self._relays.candidates

    async def open(self, host: str | None, *, include_loopback: bool) -> None:
        """Relays are reached from wherever the machine sends from."""
        await self._relays.open(self._received)

    def is_reachable(self, candidate: Candidate) -> bool:
        return is_address(candidate) and any(relay.can_reach(candidate.address) for relay in self._relays.opened)

    def select(self, addr: Address, *, may_connect: bool) -> Candidate:
        """The peer is at `addr`, by the relay that has just brought its answer; the others are given back.

        Not so towards a peer that may change the path (`may_connect` is false).
        """
        relay = self.heard
        assert relay is not None, "an answer selects"
        self._peer, self._selected = addr, relay
        relay.allocation.on_end = self._lost
        if may_connect:
            for other in self._relays.opened:
                if other is not relay:
                    other.allocation.close()
        return relay.candidate

    def send(self, data: bytes, addr: Address) -> None:
        if self._selected is not None:
            self._selected.send(data, addr)
            return
        for relay in self._relays.opened:
            if relay.can_reach(addr[0]):
                relay.send(data, addr)

    def send_to_peer(self, data: bytes | memoryview) -> None:
        if self._selected is not None and self._peer is not None:
            self._selected.send(data, self._peer)

    def fall_silent(self) -> None:
        self._relays.fall_silent()

    def release(self) -> None:
        self._relays.close()

    async def close(self) -> None:
        await self._relays.wait_closed()

    def _received(self, relay: Relay, data: bytes, addr: Address) -> None:
        self.heard = relay
        size = min(len(data), len(self.buffer.view))
        self.buffer.view[:size] = data[:size]
        self._take(size, addr)
