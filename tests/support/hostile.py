"""What an attacker, or a broken client, sends: datagrams, SDP and JSON that are nearly right. Seeded by the caller."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

import google_crc32c

from rtcctl.media.stun import Attribute, Message, MessageClass, Method

_ATTRIBUTES = (*(int(attribute) for attribute in Attribute), 0x0000, 0x7FFF, 0x8023, 0xFFFF)


def noise(draw: Random) -> bytes:
    """Anything of any length, with a first byte of each protocol in turn (RFC 7983 §7)."""
    first = draw.choice((0, 1, 3, 4, 19, 20, 22, 23, 25, 63, 64, 79, 127, 128, 129, 144, 191, 192, 255))
    return bytes([first]) + draw.randbytes(draw.choice((0, 1, 3, 11, 12, 13, 19, 20, 100, 1200, 2100, 9000)))


def stun(draw: Random, *, username: str = "nobody:x") -> bytes:
    """A right header over attributes with wrong lengths, twice, empty, too long, or of no known kind."""
    body = b""
    if draw.random() < 0.7:
        body += _attribute(Attribute.USERNAME, username.encode())
    for _ in range(draw.randrange(6)):
        value = draw.randbytes(draw.choice((0, 1, 2, 3, 4, 7, 8, 20, 21, 64, 500)))
        length = len(value) if draw.random() < 0.7 else draw.choice((0, 1, 65535, len(value) + 4))
        body += _attribute(draw.choice(_ATTRIBUTES), value, length)
    kind = draw.choice((0x0001, 0x0001, 0x0011, 0x0101, 0x0111, 0x0003, 0x3FFF))
    length = len(body) if draw.random() < 0.8 else draw.choice((0, 2, 4, 0xFFFC))
    return struct.pack("!HHI", kind, length, 0x2112A442) + draw.randbytes(12) + body


def sealed_stun(draw: Random, username: str, password: str) -> bytes:
    """A check with valid integrity over attributes that make no sense: only the peer itself can send it."""
    attributes: dict[int, bytes] = {Attribute.USERNAME: username.encode()}
    for _ in range(draw.randrange(5)):
        attributes[draw.choice(_ATTRIBUTES)] = draw.randbytes(draw.choice((0, 1, 3, 4, 8, 20, 300)))
    attributes[Attribute.USERNAME] = username.encode()
    for sealing in (Attribute.MESSAGE_INTEGRITY, Attribute.FINGERPRINT):
        attributes.pop(sealing, None)
    kind = draw.choice((MessageClass.REQUEST, MessageClass.REQUEST, MessageClass.INDICATION, MessageClass.ERROR))
    return bytes(Message(Method.BINDING, kind, draw.randbytes(12), attributes).with_integrity(password.encode()))


def dtls(draw: Random) -> bytes:
    """Records with a right header (RFC 6347 §4.1), and handshake messages that lie about lengths and fragments."""
    kind = draw.choice((20, 21, 22, 22, 22, 23, 24, 25))
    epoch, number = draw.choice((0, 0, 1, 2, 0xFFFF)), draw.randrange(1 << 48)
    payload = draw.randbytes(draw.choice((0, 1, 2, 12, 50, 300, 1200)))
    if kind == 22 and draw.random() < 0.7:
        size = draw.choice((len(payload), 0, 1 << 16, (1 << 24) - 1))
        head = bytes([draw.choice((1, 2, 11, 14, 16, 20, 99))]) + size.to_bytes(3, "big") + draw.randbytes(2)
        payload = head + draw.randrange(1 << 24).to_bytes(3, "big") + len(payload).to_bytes(3, "big") + payload
    length = len(payload) if draw.random() < 0.8 else draw.choice((0, 1, 0xFFFF))
    version = draw.choice((0xFEFD, 0xFEFD, 0xFEFF, 0x0303, 0))
    return struct.pack("!BHH", kind, version, epoch) + number.to_bytes(6, "big") + struct.pack("!H", length) + payload


def rtp(draw: Random, ssrc: int | None = None, sequence_number: int | None = None) -> bytes:
    """CSRC counts, extensions and padding that do not fit what follows (RFC 3550 §5.1)."""
    first = 0x80 | draw.randrange(64)
    head = struct.pack(
        "!BBHII",
        first,
        draw.choice((111, 96, 0, 0x80 | 111, draw.randrange(256))),
        draw.randrange(1 << 16) if sequence_number is None else sequence_number,
        draw.randrange(1 << 32),
        draw.randrange(1 << 32) if ssrc is None else ssrc,
    )
    extension = struct.pack("!HH", draw.choice((0xBEDE, 0x1000, 0)), draw.choice((0, 1, 5, 0xFFFF)))
    return head + (extension if first & 0x10 else b"") + draw.randbytes(draw.choice((0, 1, 4, 20, 160, 1200)))


def rtcp(draw: Random, ssrc: int | None = None) -> bytes:
    """Compound packets whose counts and lengths lie (RFC 3550 §6.4, RFC 4585 §6.1)."""
    packets = b""
    for _ in range(draw.choice((1, 1, 2, 5))):
        kind = draw.choice((200, 201, 202, 203, 204, 205, 205, 206, 206, 207, 210))
        body = struct.pack("!I", draw.randrange(1 << 32) if ssrc is None else ssrc)
        body += draw.randbytes(4 * draw.choice((0, 0, 1, 2, 5, 6, 40)) + draw.choice((0, 0, 0, 1, 3)))
        length = len(body) // 4 if draw.random() < 0.7 else draw.choice((0, 1, 0xFFFF))
        packets += struct.pack("!BBH", 0x80 | draw.randrange(64), kind, length) + body
    return packets


def sctp(draw: Random) -> bytes:
    """A right checksum over chunks whose lengths and parameters lie (RFC 9260 §3); travels inside DTLS."""
    chunks = b""
    for _ in range(draw.choice((0, 1, 1, 2, 6))):
        kind = draw.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64, 130, 192, 255))
        value = draw.randbytes(draw.choice((0, 1, 4, 12, 16, 20, 100)))
        length = len(value) + 4 if draw.random() < 0.7 else draw.choice((0, 3, 5, 0xFFFF))
        chunks += struct.pack("!BBH", kind, draw.randrange(256), length) + value + bytes(-len(value) % 4)
    ports = draw.choice(((5000, 5000), (5000, 5000), (0, 0), (1, 65535)))
    head = struct.pack("!HHI", *ports, draw.choice((0, draw.randrange(1 << 32))))
    checksum = struct.pack("<I", google_crc32c.value(head + bytes(4) + chunks))
    return head + checksum + chunks


DATAGRAMS = (noise, stun, dtls, rtp, rtcp)


def _attribute(kind: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("!HH", kind, len(value) if length is None else length) + value + bytes(-len(value) % 4)


# --- signalling


def broken_sdp(draw: Random, sdp: str) -> str:
    """A description with some of its lines gone, doubled, swapped, cut, or changed in one character."""
    lines = sdp.split("\r\n")
    for _ in range(draw.randrange(1, 5)):
        i, j = draw.randrange(len(lines)), draw.randrange(len(lines))
        match draw.randrange(7):
            case 0:
                del lines[i]
            case 1:
                lines.insert(j, lines[i])
            case 2:
                lines[i], lines[j] = lines[j], lines[i]
            case 3:
                lines[i] = lines[i][: draw.randrange(len(lines[i]) + 1)]
            case 4:
                k = draw.randrange(len(lines[i]) + 1)
                lines[i] = lines[i][:k] + draw.choice("\0\t :;=/0-9é\u2028") + lines[i][k + 1 :]
            case 5:
                lines[i] += draw.choice((" 99999999999999999999", " " + "x" * 5000, ":1", " -1", "\ud800"))
            case _:
                lines[i:i] = [draw.choice(("a=mid:0", "a=ssrc:1 cname:x", "m=audio 9 x 0", "a=rid:a send"))] * 40
        lines = lines or [""]
    return draw.choice(("\r\n", "\r\n", "\n")).join(lines)


def broken_json(draw: Random, body: dict[str, Any]) -> bytes:
    """A body with a value of another kind somewhere, a field less, or its text cut or changed."""
    copy = json.loads(json.dumps(body))
    if draw.random() < 0.8:
        holder, key = draw.choice(list(_places(copy)))
        if draw.random() < 0.3 and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = draw.choice((None, True, 0, -1, 1e300, "", "x", "\u0000", "é" * 300, [], {}, [[]], [{}] * 70))
    text = json.dumps(copy).encode()
    if draw.random() < 0.2:
        i = draw.randrange(len(text))
        text = draw.choice((text[:i], text[:i] + draw.randbytes(1) + text[i + 1 :], text * 2, b"[" * 2000 + text))
    return text


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a decoded document that something can be put into."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


# --- what may be left of it


def remembered(thing: object) -> dict[str, int]:
    """How much an object keeps in its dictionaries, sets and lists, by attribute; dictionaries inside are opened."""
    return {name: _count(value) for name, value in vars(thing).items() if isinstance(value, dict | set | list)}


def _count(value: Any) -> int:
    if not isinstance(value, dict):
        return len(value)
    return sum(_count(inner) if isinstance(inner, dict | set | list) else 1 for inner in value.values())
