"""A TURN client without a socket: one allocation, its permissions and channels (RFC 8656).

Theory of operation
-------------------
    NEW ──allocate──▶ ALLOCATING ──success──▶ ALLOCATED ──release──▶ ENDED
                          │                       │                     ▲
                          └──── refused, or no answer in time ──────────┘

ALLOCATING: the first request goes without credentials, since only the server knows realm and nonce. It answers 401 with
both, and the request is made again with an integrity (the long-term mechanism, RFC 8489 §9.2). A second 401 is the
server's verdict on the credentials. 438 brings a new nonce at any time, and the request is made again with it; not
twice in a row.

ALLOCATED: data for a peer needs a permission of its address, and a channel makes its header 4 bytes instead of 36.
`bind` asks for both in one (ChannelBind installs the permission as well, §12). Allocation, permissions and channels are
renewed before they end: an allocation at five sixths of its lifetime, a channel every four minutes, because the
permission under it ends after five (§9).

Over UDP a request is repeated after 0.5 s, 1 s, 2 s … and given up 39.5 s after the first (RFC 8489 §6.2.1); over TCP
and TLS, where nothing is lost, it is given up then without having been repeated (§6.2.2).

What the server may do to us: answer what we asked, and hand us data. A success without the integrity that our password
makes is nobody's word and is dropped (§9.2.5), as are answers to what was not asked, data on channels that are not
ours, and garbage. A server that never asked who we are has no integrity to give. It may send us to another server
(300): that is an end here, with the address.

Over a stream the messages stand one behind the other; `Framing` splits them (RFC 8489 §6.2.2, RFC 8656 §12.5).
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from rtcctl.errors import ParseError
from rtcctl.media.stun import (
    HEADER_SIZE,
    MAGIC_COOKIE,
    Attribute,
    Message,
    MessageClass,
    Method,
    is_stun,
    mapped_address_value,
)

Address = tuple[str, int]
"A transport address: host, as an IPv4 or IPv6 literal, and port."

LIFETIME_S = 600
"What is asked for, and what a server grants unless it is asked for more (RFC 8656 §3.2)."
CHANNEL_REFRESH_S = 240.0
"A permission lives 300 s, a channel 600 s (RFC 8656 §9, §12)."
FIRST_CHANNEL, LAST_CHANNEL = 0x4000, 0x4FFF
"RFC 8656 §12."
CHANNEL_HEADER_SIZE = 4

_COOKIE = MAGIC_COOKIE.to_bytes(4)
_UDP = 17
"REQUESTED-TRANSPORT: the protocol's number."
_RTO_S = 0.5
_TRANSMISSIONS = 7
"Rc of RFC 8489 §6.2.1."
_LAST_WAIT_S = 8.0
"Rm times RTO, likewise."
_RELIABLE_WAIT_S = 39.5
"Ti of RFC 8489 §6.2.2."

_ALTERNATE, _UNAUTHENTICATED, _STALE_NONCE = 300, 401, 438


class State(StrEnum):
    """See the theory of operation."""

    NEW = "new"
    ALLOCATING = "allocating"
    ALLOCATED = "allocated"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Allocated:
    """The server relays for us."""

    relayed: Address
    "Where others reach us."
    mapped: Address | None
    "Where the server sees us."
    lifetime_s: int
    "Granted."


@dataclass(frozen=True, slots=True)
class ChannelBound:
    """Data for `peer` may be sent, and its data comes."""

    peer: Address


@dataclass(frozen=True, slots=True)
class DataReceived:
    """`peer` has sent us something."""

    peer: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no. Of ALLOCATE and REFRESH it is the end; of CHANNEL_BIND it is about `peer` alone."""

    method: Method
    code: int
    "RFC 8489 §18.4, RFC 8656 §19."
    reason: str
    "In the server's words."
    peer: Address | None = None
    alternate: Address | None = None
    "Where to go instead, with code 300."


@dataclass(frozen=True, slots=True)
class TimedOut:
    """No answer. Of ALLOCATE and REFRESH it is the end."""

    method: Method
    peer: Address | None = None


Event = Allocated | ChannelBound | DataReceived | Refused | TimedOut


@dataclass(slots=True)
class _Transaction:
    method: Method
    peer: Address | None
    attributes: dict[int, bytes]
    "Without those of the credentials, for the next try."
    data: bytes
    is_authenticated: bool
    has_new_nonce: bool
    next_at: float
    "When to send it again, or to give it up."
    rto_s: float = _RTO_S
    transmissions_left: int = field(default=_TRANSMISSIONS - 1)


class TurnClient:
    """See the theory of operation. Addresses are those of `Address`; `now` is in seconds."""

    def __init__(
        self,
        username: str,
        password: str,
        *,
        is_reliable: bool,
        new_transaction_id: Callable[[], bytes],
    ) -> None:
        """`is_reliable`: over TCP or TLS. `new_transaction_id` gives 96 random bits."""
        self.state = State.NEW
        self.relayed: Address | None = None
        self.mapped: Address | None = None
        self.realm = ""
        self.software = ""
        "What the server calls itself."
        self._username = username
        self._password = password
        self._is_reliable = is_reliable
        self._new_transaction_id = new_transaction_id
        self._nonce = b""
        self._key = b""
        self._transactions: dict[bytes, _Transaction] = {}
        self._outbox: deque[bytes] = deque()
        self._events: deque[Event] = deque()
        self._refresh_at: float | None = None
        self._numbers: dict[Address, int] = {}
        "The channel of each peer that was ever asked for."
        self._channels: dict[Address, int] = {}
        "Of peers that are bound, or that the server has not answered about."
        self._peers: dict[int, Address] = {}
        "Of channels that are bound."
        self._rebind_at: dict[Address, float] = {}

    # -- what to do ----------------------------------------------------------------------------------------------

    def allocate(self, now: float) -> None:
        """Ask for a relayed address; only the first call does."""
        if self.state is State.NEW:
            self.state = State.ALLOCATING
            attributes: dict[int, bytes] = {
                Attribute.REQUESTED_TRANSPORT: bytes([_UDP, 0, 0, 0]),
                Attribute.LIFETIME: LIFETIME_S.to_bytes(4),
            }
            self._request(Method.ALLOCATE, attributes, now)

    def bind(self, peer: Address, now: float) -> None:
        """Ask for a channel to `peer`, and a permission with it. Nothing unless ALLOCATED; harmless the second time."""
        if self.state is not State.ALLOCATED or peer in self._channels:
            return
        if peer not in self._numbers and len(self._numbers) > LAST_CHANNEL - FIRST_CHANNEL:
            self._events.append(Refused(Method.CHANNEL_BIND, 508, "there are no more channel numbers", peer))
            return
        # Never one that another peer had: the server may hold it for that one still. The same pair may be bound (§12).
        self._channels[peer] = self._numbers.setdefault(peer, FIRST_CHANNEL + len(self._numbers))
        self._bind(peer, now)

    def is_bound(self, peer: Address) -> bool:
        """Whether `data_for` may be called."""
        return self._peers.get(self._channels.get(peer, 0)) == peer

    def data_for(self, peer: Address, data: bytes | bytearray | memoryview) -> bytes:
        """`data` as the server wants it, to be sent at once (RFC 8656 §12.4). The channel must be bound."""
        header = struct.pack("!HH", self._channels[peer], len(data))
        # Padding is for streams, where the next message begins on a multiple of four (§12.5).
        return b"".join((header, data, bytes(-len(data) % 4 if self._is_reliable else 0)))

    def release(self, now: float) -> None:
        """Give the allocation back. The answer is not waited for."""
        if self.state is State.ALLOCATED:
            self._request(Method.REFRESH, {Attribute.LIFETIME: bytes(4)}, now)
        self._end()

    # -- what happens --------------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """One datagram of the server, or one frame of its stream."""
        if len(data) >= CHANNEL_HEADER_SIZE and 0x40 <= data[0] <= 0x4F:
            number, size = struct.unpack_from("!HH", data)
            peer = self._peers.get(number)
            if peer is not None and CHANNEL_HEADER_SIZE + size <= len(data):
                payload = bytes(data[CHANNEL_HEADER_SIZE : CHANNEL_HEADER_SIZE + size])
                self._events.append(DataReceived(peer, payload))
            return
        if not is_stun(data):
            return
        try:
            message = Message.parse(data)
        except ParseError:
            return
        if message.method == Method.DATA and message.message_class is MessageClass.INDICATION:
            sender = message.xor_address(Attribute.XOR_PEER_ADDRESS)
            payload = message.attributes.get(Attribute.DATA, b"")
            # A permission is of an address, whatever the port (§9).
            if sender is not None and any(sender[0] == host for host, _ in self._channels):
                self._events.append(DataReceived(sender, payload))
            return
        transaction = self._transactions.get(message.transaction_id)
        if transaction is None or transaction.method != message.method:
            return
        match message.message_class:
            case MessageClass.SUCCESS if not transaction.is_authenticated or message.check_integrity(self._key):
                del self._transactions[message.transaction_id]
                self._succeeded(transaction, message, now)
            case MessageClass.ERROR if message.error_code is not None:
                del self._transactions[message.transaction_id]
                self._failed(transaction, message, message.error_code, now)

    def handle_timer(self, now: float) -> None:
        """Repeat or give up what was not answered, and renew what ends."""
        for transaction_id, transaction in list(self._transactions.items()):
            if now < transaction.next_at or transaction_id not in self._transactions:
                continue
            if self._is_reliable or not transaction.transmissions_left:
                del self._transactions[transaction_id]
                self._gave_up(transaction)
                continue
            transaction.transmissions_left -= 1
            transaction.rto_s *= 2
            wait_s = transaction.rto_s if transaction.transmissions_left else _LAST_WAIT_S
            transaction.next_at = now + wait_s
            self._outbox.append(transaction.data)
        if self.state is not State.ALLOCATED:
            return
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            self._request(Method.REFRESH, {Attribute.LIFETIME: LIFETIME_S.to_bytes(4)}, now)
        for peer in [peer for peer, at in self._rebind_at.items() if now >= at]:
            del self._rebind_at[peer]
            self._bind(peer, now)

    def get_timer(self) -> float | None:
        """When `handle_timer` has something to do."""
        due = [transaction.next_at for transaction in self._transactions.values()]
        if self.state is State.ALLOCATED:
            due += self._rebind_at.values()
            if self._refresh_at is not None:
                due.append(self._refresh_at)
        return min(due, default=None)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """What the server is to get, in this order."""
        datagrams = list(self._outbox)
        self._outbox.clear()
        return datagrams

    def next_event(self) -> Event | None:
        return self._events.popleft() if self._events else None

    # -- transactions --------------------------------------------------------------------------------------------

    def _request(
        self,
        method: Method,
        attributes: dict[int, bytes],
        now: float,
        *,
        peer: Address | None = None,
        has_new_nonce: bool = False,
    ) -> None:
        transaction_id = self._new_transaction_id()
        complete = dict(attributes)
        if peer is not None:
            complete[Attribute.XOR_PEER_ADDRESS] = mapped_address_value(*peer, transaction_id)
        if self._key:
            complete |= {
                Attribute.USERNAME: self._username.encode(),
                Attribute.REALM: self.realm.encode(),
                Attribute.NONCE: self._nonce,
            }
        message = Message(method, MessageClass.REQUEST, transaction_id, complete)
        data = bytes(message.with_integrity(self._key) if self._key else message.with_fingerprint())
        self._transactions[transaction_id] = _Transaction(
            method=method,
            peer=peer,
            attributes=attributes,
            data=data,
            is_authenticated=bool(self._key),
            has_new_nonce=has_new_nonce,
            next_at=now + (_RELIABLE_WAIT_S if self._is_reliable else _RTO_S),
        )
        self._outbox.append(data)

    def _bind(self, peer: Address, now: float) -> None:
        channel = struct.pack("!HH", self._channels[peer], 0)
        self._request(Method.CHANNEL_BIND, {Attribute.CHANNEL_NUMBER: channel}, now, peer=peer)

    def _succeeded(self, transaction: _Transaction, message: Message, now: float) -> None:
        match transaction.method:
            case Method.ALLOCATE:
                relayed = message.xor_address(Attribute.XOR_RELAYED_ADDRESS)
                lifetime_s = _lifetime_s(message)
                if relayed is None or not lifetime_s:
                    self._refused(transaction, 500, "the answer names no relayed address or no lifetime")
                    return
                self.software = message.attributes.get(Attribute.SOFTWARE, b"").decode(errors="replace")
                self.state = State.ALLOCATED
                self.relayed, self.mapped = relayed, message.mapped_address
                self._refresh_at = now + lifetime_s * 5 / 6
                self._events.append(Allocated(relayed, self.mapped, lifetime_s))
            case Method.REFRESH:
                if not (lifetime_s := _lifetime_s(message)):
                    self._refused(transaction, 500, "the answer names no lifetime")
                    return
                self._refresh_at = now + lifetime_s * 5 / 6
            case _:
                peer = transaction.peer
                assert peer is not None
                self._rebind_at[peer] = now + CHANNEL_REFRESH_S
                if not self.is_bound(peer):
                    self._peers[self._channels[peer]] = peer
                    self._events.append(ChannelBound(peer))

    def _failed(self, transaction: _Transaction, message: Message, code: int, now: float) -> None:
        realm, nonce = (message.attributes.get(kind) for kind in (Attribute.REALM, Attribute.NONCE))
        is_first = code == _UNAUTHENTICATED and not transaction.is_authenticated and realm is not None
        is_stale = code == _STALE_NONCE and not transaction.has_new_nonce
        if nonce is not None and (is_first or is_stale):
            if realm is not None:
                self.realm = realm.decode(errors="replace")
            self._nonce = nonce
            self._key = long_term_key(self._username, self.realm, self._password)
            self._request(
                transaction.method, transaction.attributes, now, peer=transaction.peer, has_new_nonce=is_stale
            )
            return
        alternate = message.plain_address(Attribute.ALTERNATE_SERVER) if code == _ALTERNATE else None
        self._refused(transaction, code, message.error_reason, alternate)

    def _refused(self, transaction: _Transaction, code: int, reason: str, alternate: Address | None = None) -> None:
        self._forget(transaction)
        self._events.append(Refused(transaction.method, code, reason, transaction.peer, alternate))

    def _gave_up(self, transaction: _Transaction) -> None:
        self._forget(transaction)
        self._events.append(TimedOut(transaction.method, transaction.peer))

    def _forget(self, transaction: _Transaction) -> None:
        """What it was about is no more."""
        if transaction.peer is None:
            self._end()
        else:
            number = self._channels.pop(transaction.peer, 0)
            self._peers.pop(number, None)

    def _end(self) -> None:
        self.state = State.ENDED
        self._transactions.clear()
        self._peers.clear()
        self._channels.clear()


class Framing:
    """Splits what a stream brings into messages and channel data, without padding.

    A stream that is neither STUN nor channel data is no TURN server's: `ParseError`, and the stream is of no use.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._consumed = 0
        "Bytes of the stream before the buffer, for errors."

    def receive(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """The frames that are complete with `data`."""
        self._buffer += data
        frames = []
        while (size := self._frame_size()) is not None:
            padded = size + (-size % 4)
            if len(self._buffer) < padded:
                break
            frames.append(bytes(self._buffer[:size]))
            del self._buffer[:padded]
            self._consumed += padded
        return frames

    def _frame_size(self) -> int | None:
        """Bytes of the frame at the head of the buffer without padding; `None` while too little of it is there."""
        if len(self._buffer) < CHANNEL_HEADER_SIZE:
            return None
        first, length = self._buffer[0], int.from_bytes(self._buffer[2:4])
        if 0x40 <= first <= 0x4F:
            return CHANNEL_HEADER_SIZE + length
        if first < 4 and _COOKIE.startswith(bytes(self._buffer[4:8])):
            return HEADER_SIZE + length
        raise ParseError("a STUN message or channel data", offset=self._consumed)


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """The key of long-term credentials (RFC 8489 §18.5.1.1): MD5 of `username:realm:password`."""
    return hashlib.md5(f"{username}:{realm}:{password}".encode(), usedforsecurity=False).digest()


def _lifetime_s(message: Message) -> int:
    value = message.attributes.get(Attribute.LIFETIME, b"")
    return int.from_bytes(value) if len(value) == 4 else 0
