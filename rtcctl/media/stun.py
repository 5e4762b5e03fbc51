"""STUN messages, as ICE and TURN use them (RFC 8489, RFC 8445 §16, RFC 8656 §18, RFC 5780 §7).

     0                   1                   2                   3
    |0 0|  message type (14)        |         length (16)           |
    |                  magic cookie 0x2112A442                      |
    |                  transaction id (96)                          |
    |  attribute type (16)          |  attribute length (16)        |
    |  value, padded to 32 bits …

A message that was parsed keeps its bytes, because its integrity covers them as they came.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import ip_address

from rtcctl.errors import ParseError

MAGIC_COOKIE = 0x2112A442
HEADER_SIZE = 20
"Bytes."
_FINGERPRINT_XOR = 0x5354554E
_INTEGRITY_SIZE = 24
"Bytes of MESSAGE-INTEGRITY: 4 of header, 20 of HMAC-SHA1."
_FINGERPRINT_SIZE = 8


class Method(IntEnum):
    """Methods (RFC 8489 §18.2, RFC 8656 §17). Others parse as plain integers."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class MessageClass(IntEnum):
    """The two class bits of a message type (RFC 8489 §5)."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


BINDING_ERROR = b"\x01\x11"
"How a refusal of a binding request begins (RFC 8489 §5)."


class Attribute(IntEnum):
    """Attributes (RFC 8489 §18.3, RFC 8445 §16.1, RFC 8656 §18, RFC 5780 §7). Below 0x8000 they must be understood."""

    MAPPED_ADDRESS = 0x0001
    CHANGE_REQUEST = 0x0003
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    REQUESTED_TRANSPORT = 0x0019
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    RESPONSE_ORIGIN = 0x802B
    OTHER_ADDRESS = 0x802C


def is_stun(data: bytes | bytearray | memoryview) -> bool:
    """Whether a datagram may be STUN: first two bits zero and the magic cookie (RFC 7983 §7)."""
    return len(data) >= HEADER_SIZE and data[0] < 4 and bytes(data[4:8]) == b"\x21\x12\xa4\x42"


@dataclass(frozen=True, slots=True)
class Message:
    """One STUN message. The first attribute of a type counts, as RFC 8489 §14 has it."""

    method: int
    message_class: MessageClass
    transaction_id: bytes
    "96 bit."
    attributes: Mapping[int, bytes] = field(default_factory=dict)
    "Values without padding; MESSAGE-INTEGRITY and FINGERPRINT appear here only in messages that were parsed."
    has_fingerprint: bool = field(default=False, compare=False)
    "Whether the message ended in a FINGERPRINT, which then was right."
    _raw: bytes = field(default=b"", compare=False, repr=False)
    _integrity_offset: int = field(default=0, compare=False, repr=False)

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview) -> Message:
        """Parse one datagram. A FINGERPRINT is verified here, since it tells STUN from other traffic."""
        raw = bytes(data)
        if len(raw) < HEADER_SIZE:
            raise ParseError("a STUN header of 20 bytes", offset=len(raw))
        message_type, length, cookie = struct.unpack_from("!HHI", raw)
        if message_type & 0xC000:
            raise ParseError("two zero bits")
        if length % 4 or HEADER_SIZE + length != len(raw):
            raise ParseError("the length of the datagram less 20, a multiple of 4", offset=2)
        if cookie != MAGIC_COOKIE:
            raise ParseError("the magic cookie", offset=4)
        attributes: dict[int, bytes] = {}
        integrity_offset = 0
        has_fingerprint = False
        offset = HEADER_SIZE
        while offset < len(raw):
            kind, size = struct.unpack_from("!HH", raw, offset)
            end = offset + 4 + size
            if end > len(raw):
                raise ParseError(f"{size} bytes of attribute 0x{kind:04x}", offset=offset + 4)
            if kind == Attribute.FINGERPRINT:
                if size != 4 or end != len(raw):
                    raise ParseError("FINGERPRINT of 4 bytes as the last attribute", offset=offset)
                if raw[end - 4 : end] != _fingerprint(raw[:offset]):
                    raise ParseError("the CRC-32 of the message as FINGERPRINT", offset=offset)
                has_fingerprint = True
            # What follows the integrity is not covered by it and must be ignored (RFC 8489 §14.5).
            if kind == Attribute.FINGERPRINT or not integrity_offset:
                attributes.setdefault(kind, raw[offset + 4 : end])
            if kind == Attribute.MESSAGE_INTEGRITY and not integrity_offset:
                if size != 20:
                    raise ParseError("20 bytes of MESSAGE-INTEGRITY", offset=offset + 2)
                integrity_offset = offset
            offset = end + (-size % 4)
        method = message_type & 0x000F | (message_type & 0x00E0) >> 1 | (message_type & 0x3E00) >> 2
        message_class = MessageClass((message_type & 0x0010) >> 4 | (message_type & 0x0100) >> 7)
        return cls(method, message_class, raw[8:20], attributes, has_fingerprint, raw, integrity_offset)

    def __bytes__(self) -> bytes:
        if self._raw:
            return self._raw
        body = b"".join(
            struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
            for kind, value in self.attributes.items()
        )
        method, kind = self.method, self.message_class
        message_type = (
            method & 0x000F | (method & 0x0070) << 1 | (method & 0x0F80) << 2 | (kind & 1) << 4 | (kind & 2) << 7
        )
        return struct.pack("!HHI", message_type, len(body), MAGIC_COOKIE) + self.transaction_id + body

    def check_integrity(self, key: bytes) -> bool:
        """Whether a parsed message carries MESSAGE-INTEGRITY made with `key` (RFC 8489 §14.5)."""
        if not self._integrity_offset:
            return False
        # The HMAC is made with a length that ends behind the integrity itself.
        covered = _with_length(self._raw[: self._integrity_offset], extra=_INTEGRITY_SIZE)
        return hmac.compare_digest(_hmac_sha1(key, covered), self.attributes[Attribute.MESSAGE_INTEGRITY])

    def with_integrity(self, key: bytes) -> Message:
        """The message sealed for the wire: MESSAGE-INTEGRITY under `key`, then FINGERPRINT."""
        raw = _with_length(bytes(self), extra=_INTEGRITY_SIZE)
        return Message.parse(
            _with_fingerprint(raw + struct.pack("!HH", Attribute.MESSAGE_INTEGRITY, 20) + _hmac_sha1(key, raw))
        )

    def with_fingerprint(self) -> Message:
        """The message sealed for the wire with a FINGERPRINT alone."""
        return Message.parse(_with_fingerprint(bytes(self)))

    @property
    def username(self) -> str:
        """USERNAME, empty when there is none or when it is not UTF-8."""
        try:
            return self.attributes.get(Attribute.USERNAME, b"").decode()
        except UnicodeDecodeError:
            return ""

    @property
    def error_code(self) -> int | None:
        """The code of an error response, 300…699 (RFC 8489 §14.8); `None` for anything else."""
        value = self.attributes.get(Attribute.ERROR_CODE, b"")
        if len(value) < 4 or not 3 <= (hundreds := value[2] & 0x07) <= 6 or value[3] > 99:
            return None
        return hundreds * 100 + value[3]

    @property
    def error_reason(self) -> str:
        """The words of an error response, for people; empty when there are none."""
        return self.attributes.get(Attribute.ERROR_CODE, b"")[4:].decode(errors="replace")

    @property
    def mapped_address(self) -> tuple[str, int] | None:
        """XOR-MAPPED-ADDRESS (RFC 8489 §14.2)."""
        return self.xor_address(Attribute.XOR_MAPPED_ADDRESS)

    def xor_address(self, kind: Attribute) -> tuple[str, int] | None:
        """An address that is XORed with cookie and transaction id, as XOR-RELAYED-ADDRESS is (RFC 8489 §14.2)."""
        value = self.attributes.get(kind, b"")
        if not _is_address(value):
            return None
        packed = _xor_address(value[4:], self.transaction_id)
        return str(ip_address(packed)), int.from_bytes(value[2:4], "big") ^ (MAGIC_COOKIE >> 16)

    def plain_address(self, kind: Attribute) -> tuple[str, int] | None:
        """An address as it is, as MAPPED-ADDRESS and OTHER-ADDRESS are (RFC 8489 §14.1)."""
        value = self.attributes.get(kind, b"")
        return (str(ip_address(value[4:])), int.from_bytes(value[2:4], "big")) if _is_address(value) else None

    def unknown_attributes(self) -> tuple[int, ...]:
        """Attributes that an ICE agent must understand, and does not (RFC 8489 §6.3.1)."""
        return tuple(kind for kind in self.attributes if kind < 0x8000 and kind not in _KNOWN)


_KNOWN = frozenset(
    {
        Attribute.USERNAME,
        Attribute.MESSAGE_INTEGRITY,
        Attribute.ERROR_CODE,
        Attribute.UNKNOWN_ATTRIBUTES,
        Attribute.XOR_MAPPED_ADDRESS,
        Attribute.PRIORITY,
        Attribute.USE_CANDIDATE,
    }
)


def _is_address(value: bytes) -> bool:
    return len(value) in (8, 20) and value[1] == (1 if len(value) == 8 else 2)


def mapped_address_value(host: str, port: int, transaction_id: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS, XOR-PEER-ADDRESS and the like for an IPv4 or IPv6 address."""
    packed = ip_address(host.partition("%")[0]).packed
    family = 1 if len(packed) == 4 else 2
    return struct.pack("!xBH", family, port ^ (MAGIC_COOKIE >> 16)) + _xor_address(packed, transaction_id)


def error_value(code: int, reason: str) -> bytes:
    """The value of ERROR-CODE (RFC 8489 §14.8)."""
    return struct.pack("!HBB", 0, code // 100, code % 100) + reason.encode()


def _xor_address(packed: bytes, transaction_id: bytes) -> bytes:
    mask = MAGIC_COOKIE.to_bytes(4, "big") + transaction_id
    return bytes(a ^ b for a, b in zip(packed, mask, strict=False))


def _with_length(raw: bytes, *, extra: int) -> bytes:
    """`raw` with a header length as if `extra` more bytes (up to and with the attribute being made) followed."""
    return raw[:2] + struct.pack("!H", len(raw) - HEADER_SIZE + extra) + raw[4:]


def _with_fingerprint(raw: bytes) -> bytes:
    raw = _with_length(raw, extra=_FINGERPRINT_SIZE)
    return raw + struct.pack("!HH", Attribute.FINGERPRINT, 4) + _fingerprint(raw)


def _fingerprint(raw: bytes) -> bytes:
    """CRC-32 of the message before the attribute, its header length already counting it (RFC 8489 §14.7)."""
    return struct.pack("!I", zlib.crc32(raw) ^ _FINGERPRINT_XOR)


def _hmac_sha1(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha1)
