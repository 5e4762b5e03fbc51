"""A TURN server in memory, to the letter of RFC 8656 where a test does not tell it otherwise, and no further."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rtcctl.media.stun import Attribute, Message, MessageClass, Method, error_value, mapped_address_value
from rtcctl.media.turn import Address, TurnClient, long_term_key

USERNAME, PASSWORD, REALM = "alice", "wonderland", "example.org"
RELAYED: Address = ("192.0.2.15", 50_000)
MAPPED: Address = ("198.51.100.7", 1234)
PEER: Address = ("203.0.113.9", 9000)
OTHER_PEER: Address = ("2001:db8::9", 9001)

Answer = Callable[[Message], Message | None]


@dataclass
class Script:
    """Answers requests: as a server would, or as the test says for the next ones of a method."""

    lifetime_s: int = 600
    nonce: bytes = b"nonce-0"
    next_answers: list[Answer] = field(default_factory=list)
    "For authenticated requests, before it answers by itself again."
    requests: list[Message] = field(default_factory=list)
    "All that came."

    @property
    def key(self) -> bytes:
        return long_term_key(USERNAME, REALM, PASSWORD)

    def answer(self, data: bytes) -> Message | None:
        request = Message.parse(data)
        assert request.message_class is MessageClass.REQUEST
        assert request.has_fingerprint
        self.requests.append(request)
        if Attribute.USERNAME not in request.attributes:
            return self.refuse(401)(request)
        if self.next_answers:
            return self.next_answers.pop(0)(request)
        if not request.check_integrity(self.key) or request.username != USERNAME:
            return self.refuse(401)(request)
        if request.attributes[Attribute.NONCE] != self.nonce:
            return self.refuse(438)(request)
        return self.accept()(request)

    def refuse(self, code: int, reason: str = "no", attributes: Mapping[int, bytes] | None = None) -> Answer:
        """An error; with realm and nonce where the code is about those."""

        def answer(request: Message) -> Message:
            values = {Attribute.ERROR_CODE: error_value(code, reason), **(attributes or {})}
            if code in (401, 438):
                values |= {Attribute.REALM: REALM.encode(), Attribute.NONCE: self.nonce}
            return Message(request.method, MessageClass.ERROR, request.transaction_id, values).with_fingerprint()

        return answer

    def accept(self, attributes: Mapping[int, bytes] | None = None, *, key: bytes | None = None) -> Answer:
        """A success, sealed with the password's key or another one; `attributes` in place of what belongs in it."""

        def answer(request: Message) -> Message:
            values: Mapping[int, bytes] = {}
            match request.method:
                case Method.ALLOCATE:
                    values = {
                        Attribute.XOR_RELAYED_ADDRESS: mapped_address_value(*RELAYED, request.transaction_id),
                        Attribute.XOR_MAPPED_ADDRESS: mapped_address_value(*MAPPED, request.transaction_id),
                        Attribute.LIFETIME: self.lifetime_s.to_bytes(4),
                        Attribute.SOFTWARE: b"script",
                    }
                case Method.REFRESH:
                    asked = int.from_bytes(request.attributes[Attribute.LIFETIME])
                    values = {Attribute.LIFETIME: min(asked, self.lifetime_s).to_bytes(4)}
            message = Message(
                request.method,
                MessageClass.SUCCESS,
                request.transaction_id,
                values if attributes is None else attributes,
            )
            return message.with_integrity(self.key if key is None else key)

        return answer


@dataclass
class Exchange:
    """A client and a script, in a time of their own."""

    client: TurnClient
    script: Script = field(default_factory=Script)
    now: float = 100.0

    def drain(self) -> list[bytes]:
        """What the client sends now."""
        return self.client.datagrams_to_send(self.now)

    def run(self) -> list[object]:
        """Exchange until nobody says anything more; the client's events."""
        while sent := self.drain():
            for data in sent:
                answer = self.script.answer(data)
                if answer is not None:
                    self.client.receive_datagram(bytes(answer), self.now)
        return self.events()

    def events(self) -> list[object]:
        return list(iter(self.client.next_event, None))

    def allocate(self) -> list[object]:
        self.client.allocate(self.now)
        return self.run()

    def wait_for_timer(self) -> float:
        """Time passes until the client wants to be called, and it is; that moment."""
        due = self.client.get_timer()
        assert due is not None
        assert due >= self.now
        self.now = due
        self.client.handle_timer(self.now)
        return self.now
