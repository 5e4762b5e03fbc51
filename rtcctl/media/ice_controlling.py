"""ICE without a socket: the agent that checks, towards a server that only answers (RFC 8445, consent of RFC 7675).

Theory of operation
-------------------
    NEW ──set_remote──▶ CHECKING ──first success──▶ SELECTED ──30 s without an answer──▶ CHECKING …
                            ▲                          │
                            └──set_remote, restarted───┘   (what was selected stays so until the next success)

CHECKING: each candidate gets a Binding request, one every 50 ms in the order given, which is that of their priority;
each is repeated after 0.5 s, 1 s, 2 s … (RFC 8489 §6.2.1). The first that is answered is selected. That decides for the
fastest path, and for the better of two that are alike.

SELECTED: a second request, with USE-CANDIDATE, tells the peer (§8.1.1: regular nomination, since aggressive nomination
of all candidates would leave a server with the slowest one). The same request every few seconds afterwards renews the
peer's consent, keeps NATs open, and leads a server to our new address when a NAT has given us another one.

A success *verifies* the address it came from, when it answers a request of ours, comes from where that was sent to and
has an integrity made with the peer's password. An error response without such an integrity is nobody's word; any but a
role conflict changes nothing, as a server may hear of our credentials after it has heard our first request.

Towards a full agent the same holds: its requests are answered as by any agent, they verify addresses, and one from an
address that we do not know is checked in turn (§7.3.1.4). When both believe to be controlling, the greater tie-breaker
is (§7.3.1.1); the other nominates nothing and follows its peer's nominations.

What a peer may do to us: name 16 candidates, to each of which we send seven requests in half a minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from rtcctl.media.ice import Address, AddressExpired, IceAgent
from rtcctl.media.stun import Attribute, Message, MessageClass, Method

_PACING_S = 0.05
"Ta: from one new request to the next (RFC 8445 §14.2)."
_RTO_S = 0.5
"RFC 8445 §14.3."
_TRANSMISSIONS = 7
"Rc of RFC 8489 §6.2.1."
_LAST_WAIT_S = 8.0
"Rm times RTO, likewise."
CONSENT_S = (4.0, 4.8)
"Between two requests for consent: RFC 7675 §5.1 allows 4 to 6 s; more would seem silence to whoever counts 5 s."
_CONSENT_LOST_S = 30.0
"RFC 7675 §5.1."
_ROUND_TRIPS_KEPT = 8
_MAX_CANDIDATES = 16
_PRIORITY = (110 << 24 | 0xFFFF << 8 | 0xFF).to_bytes(4)
"Of the peer-reflexive candidate that a check may reveal (RFC 8445 §5.1.2)."


@dataclass(slots=True)
class _Check:
    """One transaction."""

    addr: Address
    message: Message
    is_controlling: bool
    "The role it was made in."
    next_at: float
    "When to send it again, or to give it up."
    consent_asked_at: float | None = None
    "Of a request for consent, which is sent once: when it was."
    rto_s: float = _RTO_S
    transmissions_left: int = field(default=_TRANSMISSIONS - 1)


class IceControllingAgent(IceAgent):
    """Our half of ICE for one session with another server."""

    def __init__(
        self,
        ufrag: str,
        pwd: str,
        *,
        tie_breaker: int,
        new_transaction_id: Callable[[], bytes],
        consent_s: tuple[float, float] = CONSENT_S,
        first_consent_s: float | None = None,
    ) -> None:
        """`tie_breaker` is 64 random bits, a transaction id 96.

        `consent_s`: between two requests for consent, at least and at most. `first_consent_s`: from a selection to the
        first of them; as between them, unless given.
        """
        super().__init__(ufrag, pwd)
        self.round_trips_s: deque[float] = deque(maxlen=_ROUND_TRIPS_KEPT)
        "Of the requests for consent that were answered; who is interested takes them out."
        self._consent_s = consent_s
        self._first_consent_s = consent_s[0] if first_consent_s is None else first_consent_s
        self.is_controlling = True
        "False after a conflict with a full agent whose tie-breaker is greater."
        self._tie_breaker = tie_breaker
        self._new_transaction_id = new_transaction_id
        self._remote: tuple[str, str] | None = None
        self._candidates: list[Address] = []
        self._waiting: deque[Address] = deque()
        "Not checked yet."
        self._pace_at = 0.0
        "When the next of them may be."
        self._checks: dict[bytes, _Check] = {}
        "Transactions under way, by id."
        self._is_selecting = True
        "Whether the next success selects."
        self._consent_at = 0.0
        self._consent_lost_at = 0.0

    def set_remote(self, ufrag: str, pwd: str, candidates: Sequence[tuple[str, int]], now: float) -> None:
        """The peer's description: credentials, and the UDP candidates by descending priority. Repeatable.

        Other credentials than before start all checks again; without, new candidates are added while none is selected.
        Names are not resolved: candidates that are no addresses are left out.
        """
        known = [] if self._remote != (ufrag, pwd) else self._candidates
        added = [addr for addr in _addresses_of(candidates) if addr not in known]
        if self._remote != (ufrag, pwd):
            self._remote = ufrag, pwd
            self._candidates = added[:_MAX_CANDIDATES]
            self._begin(now)
        else:
            added = added[: _MAX_CANDIDATES - len(known)]
            known += added
            if self._is_selecting:
                self._waiting += added
        self.handle_timer(now)

    def restart(self, ufrag: str, pwd: str) -> str | None:
        """Begin an ICE restart; the peer's new description, which must follow, starts the checks."""
        self._remote = None
        self._candidates = []
        self._checks.clear()
        self._waiting.clear()
        return super().restart(ufrag, pwd)

    def forget(self, addr: Address) -> bool:
        """`addr` has become somebody else's. When it was the selected one, the other candidates are checked."""
        if not super().forget(addr):
            return False
        self._is_selecting = True
        self._checks.clear()
        self._waiting = deque(candidate for candidate in self._candidates if candidate != addr[:2])
        return True

    def is_mine(self, transaction_id: bytes) -> bool:
        """Whether a response with that id answers a request of this agent: responses name nobody."""
        return transaction_id in self._checks

    def get_timer(self) -> float | None:
        """When to call `handle_timer` next."""
        due = [check.next_at for check in self._checks.values()]
        if self._waiting:
            due.append(self._pace_at)
        if self.selected is not None:
            due.append(self._consent_lost_at if self._remote is None else min(self._consent_at, self._consent_lost_at))
        return min(due, default=None)

    def handle_timer(self, now: float) -> None:
        """Send what is due: checks, repetitions, a request for consent."""
        if self.selected is not None and now >= self._consent_lost_at:
            self._expire(self.selected, now)
        if self.selected is not None and self._remote is not None and now >= self._consent_at:
            self._ask_consent(self.selected, now)
        for transaction_id, check in list(self._checks.items()):
            if now >= check.next_at:
                self._repeat(transaction_id, check, now)
        if self._waiting and now >= self._pace_at:
            addr = self._waiting.popleft()
            if not self._is_checked(addr):
                self._pace_at = now + _PACING_S
                self._check(addr, now)

    def _begin(self, now: float) -> None:
        """Check all there is, from the start. Requests may have shown addresses that are no candidates."""
        self._is_selecting = True
        self._checks.clear()
        self._waiting = deque(dict.fromkeys((*self._candidates, *(addr[:2] for addr in self._addresses))))
        self._pace_at = now

    def _check(self, addr: Address, now: float) -> _Check:
        """Start a transaction."""
        assert self._remote is not None
        ufrag, pwd = self._remote
        role = Attribute.ICE_CONTROLLING if self.is_controlling else Attribute.ICE_CONTROLLED
        attributes: dict[int, bytes] = {
            Attribute.USERNAME: f"{ufrag}:{self.ufrag}".encode(),
            Attribute.PRIORITY: _PRIORITY,
            role: self._tie_breaker.to_bytes(8),
        }
        if self.is_controlling and addr == self.selected:
            attributes[Attribute.USE_CANDIDATE] = b""
        transaction_id = self._new_transaction_id()
        message = Message(Method.BINDING, MessageClass.REQUEST, transaction_id, attributes)
        check = _Check(addr, message.with_integrity(pwd.encode()), self.is_controlling, now + _RTO_S)
        self._checks[transaction_id] = check
        self._send(check.message, addr)
        return check

    def _is_checked(self, addr: Address) -> bool:
        # An IPv6 address as a socket has it says more than a candidate does.
        return any(check.addr[:2] == addr[:2] for check in self._checks.values())

    def _repeat(self, transaction_id: bytes, check: _Check, now: float) -> None:
        if not check.transmissions_left:
            del self._checks[transaction_id]
            return
        check.transmissions_left -= 1
        check.rto_s *= 2
        check.next_at = now + (check.rto_s if check.transmissions_left else _LAST_WAIT_S)
        self._send(check.message, check.addr)

    def _ask_consent(self, addr: Address, now: float) -> None:
        """A request that is not repeated: the next one is a new transaction (RFC 7675 §5.1).

        Its answer may come late, on a path with long queues, and is consent all the same.
        """
        check = self._check(addr, now)
        # The interval must be random, and the id is.
        least, most = self._consent_s
        self._consent_at = now + least + (most - least) * check.message.transaction_id[-1] / 0xFF
        check.transmissions_left, check.next_at, check.consent_asked_at = 0, now + _CONSENT_LOST_S, now

    def _settle(self, addr: Address, now: float) -> None:
        """`addr` it is, and the peer is to know."""
        self._is_selecting = False
        self._waiting.clear()
        self._checks.clear()
        self._select(addr)
        self._consent_lost_at = now + _CONSENT_LOST_S
        self._consent_at = now + self._first_consent_s
        self._check(addr, now)

    def _expire(self, addr: Address, now: float) -> None:
        """The peer's consent is lost: nothing may be sent there, until an answer comes again."""
        self.forget(addr)
        self._events.append(AddressExpired(addr))
        if self._remote is not None:
            self._begin(now)

    def _receive_response(self, message: Message, addr: Address, now: float) -> bool:
        check = self._checks.get(message.transaction_id)
        if check is None or self._remote is None or addr[:2] != check.addr[:2]:
            return False
        if not message.check_integrity(self._remote[1].encode()):
            return False
        if message.message_class == MessageClass.ERROR:
            if message.error_code == 487:
                del self._checks[message.transaction_id]
                self.is_controlling = not check.is_controlling
                self._check(check.addr, now)
            return True
        del self._checks[message.transaction_id]
        self._retire_previous()
        self._verify(addr, now)
        if self._is_selecting:
            self._settle(addr, now)
        elif addr == self.selected:
            self._consent_lost_at = now + _CONSENT_LOST_S
            if check.consent_asked_at is not None:
                self.round_trips_s.append(now - check.consent_asked_at)
        return True

    def _is_role_conflict(self, message: Message) -> bool:
        value = message.attributes.get(Attribute.ICE_CONTROLLING if self.is_controlling else Attribute.ICE_CONTROLLED)
        if value is None:
            return False
        if (self._tie_breaker >= int.from_bytes(value)) == self.is_controlling:
            return True
        self.is_controlling = not self.is_controlling
        return False

    def _receive_check(self, addr: Address, is_nominated: bool, now: float) -> None:
        if self._remote is None:
            return
        if is_nominated and not self.is_controlling and addr != self.selected:
            self._settle(addr, now)
        elif self._is_selecting and len(self._checks) < _MAX_CANDIDATES and not self._is_checked(addr):
            self._check(addr, now)


def _addresses_of(candidates: Sequence[tuple[str, int]]) -> list[Address]:
    """Those that are addresses, each once, written as sockets write them."""
    addresses: dict[Address, None] = {}
    for host, port in candidates:
        try:
            addr = str(ip_address(host)), port
        except ValueError:
            continue
        if 0 < port <= 0xFFFF:
            addresses[addr] = None
    return list(addresses)


__all__ = ["IceControllingAgent"]
