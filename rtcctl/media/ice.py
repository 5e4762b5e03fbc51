"""ICE without a socket: what agents have in common, and the lite agent of a server (RFC 8445 §2.5).

Theory of operation
-------------------
A lite agent never sends checks. It answers them, and the checks tell it where its peer is:

- a Binding request that names our `ufrag` and carries a MESSAGE-INTEGRITY made with our `pwd` *verifies* the address
  it came from; only verified addresses may feed the session;
- the first verified address is selected for sending; a request with USE-CANDIDATE selects its own, and the latest
  nomination wins, since a controlling peer may change its mind (path change, ICE restart);
- `restart()` begins an ICE restart (§9): new credentials, the old ones hold until a request with the new ones comes,
  so media goes on meanwhile.

What a peer may do to us: nothing without our password. A request with a wrong one is answered with 401, a request
without integrity with 400 (RFC 8489 §9.1.3), both smaller than the request, and neither changes any state. A peer that
takes itself for the controlled side gets 487 and switches (RFC 8445 §7.3.1.1), as we cannot control.

The number of verified addresses is bounded: the one heard of longest ago gives way.

The agent that checks by itself, towards another server, is in `ice_controlling`; a connection treats both alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rtcctl.media.stun import (
    Attribute,
    Message,
    MessageClass,
    Method,
    error_value,
    mapped_address_value,
)

Address = tuple[Any, ...]
"""A transport address as the socket interface has it: host and port, for IPv6 flow label and scope after them."""

_MAX_ADDRESSES = 16


@dataclass(frozen=True, slots=True)
class AddressVerified:
    """A check with valid integrity came from `addr` for the first time: it may feed the session."""

    addr: Address


@dataclass(frozen=True, slots=True)
class AddressExpired:
    """`addr` gave way to newer verified addresses."""

    addr: Address


@dataclass(frozen=True, slots=True)
class RemoteAddressSelected:
    """Send to `addr` from now on."""

    addr: Address


@dataclass(frozen=True, slots=True)
class CredentialsRetired:
    """The peer has taken up the credentials of an ICE restart; the ones before with this `ufrag` are void."""

    ufrag: str


Event = AddressVerified | AddressExpired | RemoteAddressSelected | CredentialsRetired


def binding_response(request: Message, addr: Address) -> Message:
    """Success with the address the request came from (RFC 8489 §7.3.1), not sealed yet."""
    value = mapped_address_value(addr[0], addr[1], request.transaction_id)
    return Message(Method.BINDING, MessageClass.SUCCESS, request.transaction_id, {Attribute.XOR_MAPPED_ADDRESS: value})


def error_response(request: Message, code: int, reason: str) -> Message:
    """An error (RFC 8489 §6.3.1), not sealed yet."""
    attributes: dict[int, bytes] = {Attribute.ERROR_CODE: error_value(code, reason)}
    if code == 420:
        kinds = request.unknown_attributes()[:8]
        attributes[Attribute.UNKNOWN_ATTRIBUTES] = b"".join(kind.to_bytes(2, "big") for kind in kinds)
    return Message(request.method, MessageClass.ERROR, request.transaction_id, attributes)


class IceAgent(ABC):
    """One session's half of ICE: credentials, answers, verified addresses. What differs by role is in the subclass."""

    def __init__(self, ufrag: str, pwd: str) -> None:
        self.ufrag = ufrag
        self.pwd = pwd
        self.selected: Address | None = None
        "Where to send, once it is known."
        self._previous: tuple[str, str] | None = None
        self._addresses: dict[Address, float] = {}
        self._outbox: deque[tuple[bytes, Address]] = deque()
        self._events: deque[Event] = deque()

    def restart(self, ufrag: str, pwd: str) -> str | None:
        """Begin an ICE restart with new credentials; returns the `ufrag` of one that was never taken up."""
        dropped = None
        if self._previous is None:
            self._previous = self.ufrag, self.pwd
        else:
            dropped = self.ufrag
        self.ufrag, self.pwd = ufrag, pwd
        return dropped

    @property
    def ufrags(self) -> tuple[str, ...]:
        """The user fragments that requests may name at this moment."""
        return (self.ufrag,) if self._previous is None else (self.ufrag, self._previous[0])

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The verified ones."""
        return tuple(self._addresses)

    def forget(self, addr: Address) -> bool:
        """`addr` has become somebody else's. True when it was the selected one; the next check selects another."""
        self._addresses.pop(addr, None)
        if addr != self.selected:
            return False
        self.selected = None
        return True

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> bool:
        """Feed one datagram; ParseError when it is no STUN. True when it was authenticated."""
        return self.receive_message(Message.parse(data), addr, now)

    def receive_message(self, message: Message, addr: Address, now: float) -> bool:
        """Feed one parsed message. True when it was authenticated."""
        if message.method != Method.BINDING or message.message_class == MessageClass.INDICATION:
            # An indication only keeps a NAT open.
            return False
        if message.message_class != MessageClass.REQUEST:
            return self._receive_response(message, addr, now)
        if Attribute.USERNAME not in message.attributes or Attribute.MESSAGE_INTEGRITY not in message.attributes:
            self._send(error_response(message, 400, "Bad Request").with_fingerprint(), addr)
            return False
        named = message.username.partition(":")[0]
        pwd = self.pwd if named == self.ufrag else self._previous_pwd(named)
        if pwd is None or not message.check_integrity(pwd.encode()):
            self._send(error_response(message, 401, "Unauthorized").with_fingerprint(), addr)
            return False
        key = pwd.encode()
        if message.unknown_attributes():
            self._send(error_response(message, 420, "Unknown Attribute").with_integrity(key), addr)
            return True
        if self._is_role_conflict(message):
            self._send(error_response(message, 487, "Role Conflict").with_integrity(key), addr)
            return True
        self._send(binding_response(message, addr).with_integrity(key), addr)
        if named == self.ufrag:
            self._retire_previous()
        self._verify(addr, now)
        self._receive_check(addr, Attribute.USE_CANDIDATE in message.attributes, now)
        return True

    def datagrams_to_send(self, now: float) -> Iterator[tuple[bytes, Address]]:
        """Drain what is to be sent."""
        while self._outbox:
            yield self._outbox.popleft()

    def next_event(self) -> Event | None:
        """The oldest event not yet taken."""
        return self._events.popleft() if self._events else None

    @abstractmethod
    def get_timer(self) -> float | None:
        """When to call `handle_timer` next."""

    @abstractmethod
    def handle_timer(self, now: float) -> None:
        """Do what is due."""

    @abstractmethod
    def _is_role_conflict(self, message: Message) -> bool:
        """Whether the sender of this request must take the other role (RFC 8445 §7.3.1.1)."""

    @abstractmethod
    def _receive_check(self, addr: Address, is_nominated: bool, now: float) -> None:
        """A valid request has come from `addr`."""

    @abstractmethod
    def _receive_response(self, message: Message, addr: Address, now: float) -> bool:
        """True when it was authenticated."""

    def _previous_pwd(self, ufrag: str) -> str | None:
        return self._previous[1] if self._previous is not None and self._previous[0] == ufrag else None

    def _retire_previous(self) -> None:
        """The peer uses the present credentials."""
        if self._previous is not None:
            self._events.append(CredentialsRetired(self._previous[0]))
            self._previous = None

    def _verify(self, addr: Address, now: float) -> None:
        if addr not in self._addresses:
            self._events.append(AddressVerified(addr))
        self._addresses[addr] = now
        if len(self._addresses) > _MAX_ADDRESSES:
            oldest = min((a for a in self._addresses if a != self.selected), key=self._addresses.__getitem__)
            del self._addresses[oldest]
            self._events.append(AddressExpired(oldest))

    def _select(self, addr: Address) -> None:
        if addr != self.selected:
            self.selected = addr
            self._events.append(RemoteAddressSelected(addr))

    def _send(self, message: Message, addr: Address) -> None:
        self._outbox.append((bytes(message), addr))


class IceLiteAgent(IceAgent):
    """The server's half of ICE for one session with a client."""

    def get_timer(self) -> None:
        """It never does anything by itself."""

    def handle_timer(self, now: float) -> None:
        """It is never due."""

    def _is_role_conflict(self, message: Message) -> bool:
        return Attribute.ICE_CONTROLLED in message.attributes

    def _receive_check(self, addr: Address, is_nominated: bool, now: float) -> None:
        if is_nominated or self.selected is None:
            self._select(addr)

    def _receive_response(self, message: Message, addr: Address, now: float) -> bool:
        # It has sent no request that could be answered.
        return False
