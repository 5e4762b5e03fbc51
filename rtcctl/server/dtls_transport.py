"""One session's transport below its tracks: ICE, DTLS, and the keys of SRTP.

Theory of operation

    NEW ──set_remote──▶ CONNECTING ──check, handshake, fingerprint──▶ CONNECTED ⇄ DISCONNECTED
      │                   ▲ │                                            │
      │                   └─┼──────────── a new transport ───────────────┤
      └─────────────────────┴──────────── close, close_notify, wrong certificate ─────────┴──▶ CLOSED

The endpoint brings datagrams: STUN by the user fragment that it names, everything else by the address it came from,
which a check with valid integrity has verified before. Nothing else reaches a transport. DISCONNECTED means 5 s
without an authenticated packet (a check, DTLS, SRTP); the next one ends it.

Checks and the client's first DTLS flight may come before its answer does, since the answer takes the way through the
application: they are answered, and the flight is kept until `set_remote`.

*An ICE restart* is a `set_remote` with other credentials: ours change with it (read `ice_ufrag` and `ice_pwd` after
it), DTLS and SRTP go on, and media moves to the new address with the first check there.

*A new transport.* A browser whose first m-section, the one that speaks for the BUNDLE group, is stopped or replaced
drops its transport and begins another from a new port, with a new DTLS association; others keep theirs. So after
`set_remote(is_new_transport=True)` a close_notify, or a ClientHello from another address, does not end the connection:
DTLS and SRTP begin again, under the same tracks, SSRCs and numbers. SCTP outlives it, too.

Timers are looked at by `handle_timer`, which the endpoint calls when `deadline` has passed; nothing runs by itself.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Sequence
from enum import Enum, auto
from random import Random
from typing import TYPE_CHECKING, Any

from rtcctl.errors import NetworkError
from rtcctl.media.ice import (
    AddressExpired,
    AddressVerified,
    CredentialsRetired,
    IceAgent,
    IceLiteAgent,
    RemoteAddressSelected,
)
from rtcctl.media.ice_controlling import IceControllingAgent
from rtcctl.media.stun import Attribute, Message, MessageClass, Method
from rtcctl.transport.dtls import DtlsEndpoint, is_client_hello
from rtcctl.transport.srtp import SrtpSession
from rtcctl.transport.udp import Address, ReceiveBuffer

if TYPE_CHECKING:
    from rtcctl.server.endpoint import Endpoint
    from rtcctl.server.faults.path import ImpairedPath
    from rtcctl.transport.tap import Tap
    from rtcctl.transport.udp import UdpSocket

logger = logging.getLogger(__name__)

SILENCE_S = 5.0
"Without an authenticated packet for this long a transport is DISCONNECTED."
TIMER_S = 0.9
"""Seconds from one look at the timers to the next, when nothing else is due: with the granularity of the endpoint's
timer less than one."""

_EARLY_DATAGRAMS = 4
"DTLS datagrams kept until the peer's description comes: a ClientHello, sent again once or twice."
_UFRAG_BYTES, _PWD_BYTES = 6, 18
"Of randomness, multiples of 3; RFC 8445 §5.3 asks for 24 and 128 bits."


class ConnectionState(Enum):
    """See the theory of operation."""

    NEW = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    DISCONNECTED = auto()
    CLOSED = auto()


class DtlsTransport(ABC):
    """See the theory of operation. What it carries is `Connection`'s.

    Addresses are the peer's with the number of our own socket behind them: a path.
    """

    def __init__(self, endpoint: Endpoint, *, is_controlling: bool, random: Random, clock: Callable[[], float]) -> None:
        self.state = ConnectionState.NEW
        self.on_state: Callable[[ConnectionState], None] | None = None
        "Called after each change of `state`."
        self.on_data: Callable[[bytes], None] | None = None
        "Called with each piece of application data: SCTP packets."
        self.deadline = clock() + TIMER_S * random.random()
        "Monotonic seconds: when `handle_timer` is due. Spread, so that reports of many sessions are."
        self.last_packet_at = clock()
        "Monotonic seconds: the newest authenticated packet, or the start."
        self.may_begin_anew = False
        "The peer is about to replace its transport."
        self.waits = endpoint.waits
        "Requests that are held."
        self.impaired: ImpairedPath | None = None
        "Where all packets go first, while media faults concern this session."
        self.udp: UdpSocket | Tap = endpoint.shared
        "Of ours, the socket of the selected path, or what stands for it."
        self.srtp_sender: Any = None
        self.name: Any = None
        "Of the peer's address, for the socket's batch; None while there is none."
        self._name: tuple[Any, Any] | None = None
        self._endpoint = endpoint
        self._random = random
        self._clock = clock
        self._agent: IceAgent = (
            IceControllingAgent(
                *self._credentials(),
                tie_breaker=random.getrandbits(64),
                new_transaction_id=lambda: random.randbytes(12),
            )
            if is_controlling
            else IceLiteAgent(*self._credentials())
        )
        self._remote: tuple[str, str] | None = None
        self._fingerprints: tuple[tuple[str, str], ...] = ()
        self._dtls: DtlsEndpoint | None = None
        self._dtls_address: Address | None = None
        "Where the last DTLS flight came from."
        self._early: list[tuple[bytes, Address]] = []
        self._srtp: SrtpSession | None = None
        self._waiters: list[asyncio.Future[None]] = []

    # What the session uses

    @property
    def ice_ufrag(self) -> str:
        """Ours, for the next description."""
        return self._agent.ufrag

    @property
    def ice_pwd(self) -> str:
        """Ours, for the next description."""
        return self._agent.pwd

    @property
    def silent_s(self) -> float:
        """Seconds since the last authenticated packet."""
        return self._clock() - self.last_packet_at

    @property
    def is_dtls_client(self) -> bool:
        """Our side of the handshake; the peer's first description decides."""
        return self._dtls is not None and not self._dtls.is_server

    def set_remote(
        self,
        *,
        ice_ufrag: str,
        ice_pwd: str,
        fingerprints: Sequence[tuple[str, str]],
        setup: str,
        candidates: Sequence[tuple[str, int]] = (),
        is_ice_lite: bool = False,
        is_new_transport: bool = False,
    ) -> None:
        """Take the peer's description up; repeatable. Other credentials than before are an ICE restart.

        The DTLS role is fixed by the first: peer `passive` makes us the client, all else the server (RFC 8842 §5.3).
        `candidates` are for a controlling connection only. `is_new_transport`: see the theory of operation.
        """
        if self.state is ConnectionState.CLOSED:
            return
        self._fingerprints = tuple(fingerprints)
        now = self._clock()
        if self._remote not in (None, (ice_ufrag, ice_pwd)):
            retired = self._agent.restart(*self._credentials())
            self._endpoint.name(self._agent.ufrag, self)
            if retired is not None:
                self._endpoint.unname(retired)
        if isinstance(self._agent, IceControllingAgent) and self._remote != (ice_ufrag, ice_pwd):
            self._agent.set_remote(ice_ufrag, ice_pwd, candidates, now)
            self._drain_agent(now)
        self._remote = ice_ufrag, ice_pwd
        if self._dtls is None:
            self._dtls = DtlsEndpoint(self._endpoint.certificate, is_server=setup != "passive")
            self._set_state(ConnectionState.CONNECTING)
            for datagram, addr in self._early:
                self.receive_dtls(datagram, addr, now)
            self._early.clear()
            self._start_dtls(now)
        elif self._srtp is not None and not self._dtls.verify_fingerprint(self._fingerprints):
            self._fail("the new description names another certificate")
        else:
            self.may_begin_anew |= is_new_transport

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait until CONNECTED; False when it is not in time, or closed."""
        try:
            async with self.waits.timeout(timeout_s):
                while self.state not in (ConnectionState.CONNECTED, ConnectionState.CLOSED):
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiters.append(waiter)
                    await waiter
        except TimeoutError:
            return False
        return self.state is ConnectionState.CONNECTED

    def impair(self, path: ImpairedPath | None) -> None:
        """All packets, both ways, go through `path` from now on; `None`: straight."""
        before, self.impaired = self.impaired, path
        if self._agent.selected is not None and self._name is not None:
            self._use_address(self._agent.selected)
        if before is not None:
            before.release_all()  # last: nothing that is said to it goes the old way again

    def send_data(self, data: bytes) -> None:
        """Send a piece of application data; dropped while there is no association (SCTP sends again)."""
        if self._dtls is not None and self._srtp is not None and not self._dtls.is_closed:
            self._dtls.send(data)
            self._send_dtls()

    @abstractmethod
    def close(self) -> None:
        """End it, and all that it carries."""

    def _close_transport(self) -> None:
        """Say close_notify, and forget keys and addresses."""
        if self.impaired is not None:
            self.impaired.close()
            self.impaired = None
        if self._dtls is not None:
            self._dtls.close()
            self._send_dtls()
            self._dtls = None
        self._drop_keys()
        self._endpoint.forget(self, self._agent.ufrags, self._agent.addresses)
        self._use_address(None)
        self._set_state(ConnectionState.CLOSED)
        self.on_state = self.on_data = None

    @abstractmethod
    def receive_media(self, buffer: ReceiveBuffer, size: int, now: float) -> None:
        """An SRTP or SRTCP packet from a verified address. ParseError when what was encrypted is malformed."""

    @abstractmethod
    def handle_timer(self, now: float) -> None:
        """Do what is due and set the next `deadline`."""

    @abstractmethod
    def _renew_outgoing(self) -> None:
        """Keys or address have changed: what is sent must take them up."""

    def look_again(self, at: float | None) -> None:
        """`handle_timer` is due by then."""
        if at is not None and at < self.deadline:
            self.deadline = at

    # What the passing of time uses (`passing.py`)

    def age(self, seconds: float) -> None:
        """The peer has been silent for so much longer."""
        self.last_packet_at -= seconds

    def ask(self) -> None:
        """Ask the peer for a sign of life, if it is known where that is."""
        if self._remote is None or self._agent.selected is None:
            return
        ufrag, pwd = self._remote
        is_controlling = isinstance(self._agent, IceControllingAgent) and self._agent.is_controlling
        attributes: dict[int, bytes] = {
            Attribute.USERNAME: f"{ufrag}:{self.ice_ufrag}".encode(),
            Attribute.PRIORITY: bytes(4),
            Attribute.ICE_CONTROLLING if is_controlling else Attribute.ICE_CONTROLLED: bytes(8),
        }
        question = Message(Method.BINDING, MessageClass.REQUEST, self._random.randbytes(12), attributes)
        self._endpoint.expect(question.transaction_id, self)
        self._send(bytes(question.with_integrity(pwd.encode())), self._agent.selected)

    # What the endpoint brings

    def is_asked(self, transaction_id: bytes) -> bool:
        """Whether this is the transaction of a check of ours."""
        return isinstance(self._agent, IceControllingAgent) and self._agent.is_mine(transaction_id)

    def receive_stun(self, message: Message, addr: Address, now: float) -> None:
        """A STUN message that names one of our user fragments, or answers a check of ours."""
        if self._endpoint.is_expected(message.transaction_id):
            if self._remote is not None and message.check_integrity(self._remote[1].encode()):
                self._heard(now)
            return
        if self._agent.receive_message(message, addr, now):
            self._heard(now)
        self._drain_agent(now)

    def receive_dtls(self, data: bytes, addr: Address, now: float) -> None:
        """A DTLS datagram from a verified address."""
        if self._dtls is None:
            if len(self._early) < _EARLY_DATAGRAMS:
                self._early.append((data, addr))
            return
        if self.may_begin_anew and addr != self._dtls_address and is_client_hello(data):
            self._begin_anew(now)
        self._dtls_address = addr
        try:
            received = self._dtls.receive_datagram(data)
        except NetworkError as exc:
            self._send_dtls()
            self._fail(str(exc))
            return
        self._send_dtls()
        self._heard(now)
        if self._dtls.is_connected and self._srtp is None:
            self._finish_handshake(now)
        if self._srtp is not None and self.on_data is not None:
            for piece in received:
                self.on_data(piece)
        if self._dtls is not None and self._dtls.is_closed:
            if self.may_begin_anew:
                self._begin_anew(now)
            else:
                self.close()

    def lose_address(self, addr: Address) -> None:
        """Another connection has verified `addr`: nothing of ours goes there any more."""
        if self._agent.forget(addr):
            self._use_address(None)

    def _handle_transport_timers(self, now: float) -> bool:
        """Those of DTLS, ICE and silence; False when all has ended."""
        if self._dtls is not None and not self._handle_dtls_timer(now):
            return False
        self._agent.handle_timer(now)
        self._drain_agent(now)
        if self.state is ConnectionState.CONNECTED and now - self.last_packet_at >= SILENCE_S:
            self._set_state(ConnectionState.DISCONNECTED)
        return True

    def _handle_dtls_timer(self, now: float) -> bool:
        """Send a flight again that was not answered; False when DTLS has given up, and all has ended."""
        assert self._dtls is not None
        remaining = self._dtls.get_timer()
        if remaining is not None and remaining <= 0:
            try:
                self._dtls.handle_timer()
            except NetworkError as exc:
                self._fail(str(exc))
                return False
            self._send_dtls()
            remaining = self._dtls.get_timer() or TIMER_S
        if remaining is not None:
            self.look_again(now + remaining)
        return True

    # ICE and DTLS

    def _drain_agent(self, now: float) -> None:
        for data, to in self._agent.datagrams_to_send(now):
            # Checks go to candidates, which name no socket of ours.
            path = to if len(to) > 2 else self._endpoint.path_to(to, self)
            if path is not None:
                self._send(data, path)
        while (event := self._agent.next_event()) is not None:
            match event:
                case AddressVerified(verified):
                    self._endpoint.route(verified, self)
                case AddressExpired(expired):
                    self._endpoint.unroute(expired, self)
                    if self._agent.selected is None:
                        self._use_address(None)
                case CredentialsRetired(ufrag):
                    self._endpoint.unname(ufrag)
                case RemoteAddressSelected(selected):
                    self._use_address(selected)
                    self._start_dtls(now)
        self.look_again(self._agent.get_timer())

    def _use_address(self, addr: Address | None) -> None:
        self.udp.flush()  # the batch may point at the old name
        old = self._name
        if addr is None:
            self._name = self.name = None
        else:
            udp = self._endpoint.socket_of(addr)
            self.udp = udp if self.impaired is None else self.impaired.socket(udp, addr[-1])
            self._name = self.udp.name_of(addr[:-1])
            self.name = self._name[0]
        self._renew_outgoing()
        del old  # only now: subscriptions had pointed at it

    def _credentials(self) -> tuple[str, str]:
        # The characters of base64 are those of ICE (RFC 8839 §5.4).
        drawn = b64encode(self._random.randbytes(_UFRAG_BYTES + _PWD_BYTES)).decode("ascii")
        split = _UFRAG_BYTES // 3 * 4
        return drawn[:split], drawn[split:]

    def _start_dtls(self, now: float) -> None:
        """As the DTLS client, say hello as soon as there is somebody to say it to."""
        if self._dtls is not None and not self._dtls.is_server and self.name is not None:
            if not self._dtls.is_connected:
                self._dtls.start()
            self._send_dtls()
            self.deadline = now

    def _send_dtls(self) -> None:
        # A flight is answered where it came from: the peer has not always nominated that path yet.
        addr = self._agent.selected
        if self._srtp is None and self._dtls_address in self._agent.addresses:
            addr = self._dtls_address
        if self._dtls is not None and addr is not None:
            for datagram in self._dtls.datagrams_to_send():
                self._send(datagram, addr)

    def _send(self, data: bytes, path: Address) -> None:
        """One datagram of STUN or DTLS."""
        if self.impaired is not None:
            self.impaired.send(data, path)
        else:
            self._endpoint.send(data, path)

    def _finish_handshake(self, now: float) -> None:
        assert self._dtls is not None
        if not self._dtls.verify_fingerprint(self._fingerprints):
            self._fail("the peer's certificate is not the one in its description")
            return
        try:
            self._srtp = SrtpSession(self._dtls.export_srtp_keys())
        except NetworkError as exc:
            self._fail(str(exc))
            return
        self.srtp_sender = self._srtp.sender
        self.look_again(now)
        self._renew_outgoing()
        self._set_state(ConnectionState.CONNECTED)

    def _begin_anew(self, now: float) -> None:
        """The peer has dropped its transport and begins another."""
        assert self._dtls is not None
        self.may_begin_anew = False
        old, self._dtls = self._dtls, DtlsEndpoint(self._endpoint.certificate, is_server=self._dtls.is_server)
        if self._dtls_address is not None:
            self._endpoint.unroute(self._dtls_address, self)
            if self._agent.forget(self._dtls_address):
                self._use_address(None)
            self._dtls_address = None
        old.close()
        self._drop_keys()
        self._set_state(ConnectionState.CONNECTING)
        self._start_dtls(now)

    def _drop_keys(self) -> None:
        self.srtp_sender = None
        if self._srtp is not None:
            self.udp.flush()
            self._renew_outgoing()
            self._srtp.close()
            self._srtp = None

    def _fail(self, reason: str) -> None:
        logger.warning("connection ufrag=%s ends: %s", self.ice_ufrag, reason)
        self.close()

    def _heard(self, now: float) -> None:
        self.last_packet_at = now
        if self.state is ConnectionState.DISCONNECTED:
            self._set_state(ConnectionState.CONNECTED if self._srtp is not None else ConnectionState.CONNECTING)

    def _set_state(self, state: ConnectionState) -> None:
        if state is self.state:
            return
        self.state = state
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        if self.on_state is not None:
            self.on_state(state)
