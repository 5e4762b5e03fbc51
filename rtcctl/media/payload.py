"""When a packet was sent, carried inside its payload: 24 bytes of Opus padding (RFC 6716 §3.2.5).

    0        8        16       24
    +--------+--------+--------+
    | counter|  sent  |  boot  |      64 bit each, network order
    +--------+--------+--------+

RTCP ends at an SFU, the payload does not. The clock is CLOCK_MONOTONIC of one boot of one machine, so the receiver
believes a stamp only when its boot id hash is the receiver's own. That hash also tells a stamp from other people's
padding, which is zeros by convention.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from rtcctl.errors import ParseError
from rtcctl.media.opus import padding_of, with_padding

STAMP_BYTES = 24

_LAYOUT = struct.Struct("!QQQ")


def boot_id_hash(boot_id: bytes) -> int:
    """64 bits that stand for one boot of one machine; never 0, which is what other people's padding says."""
    return int.from_bytes(hashlib.sha256(b"rtcctl boot " + boot_id).digest()[:8]) or 1


@dataclass(frozen=True, slots=True)
class SendTime:
    """Which packet this is, and when it left."""

    counter: int
    "64 bit, one more with each packet of a source."
    monotonic_ns: int
    "64 bit, CLOCK_MONOTONIC of the sender."
    boot_id_hash: int
    "64 bit, of the sender."

    @classmethod
    def parse(cls, data: bytes) -> SendTime:
        if len(data) != STAMP_BYTES:
            raise ParseError(f"{STAMP_BYTES} bytes of send time", offset=min(len(data), STAMP_BYTES))
        return cls(*_LAYOUT.unpack(data))

    def __bytes__(self) -> bytes:
        return _LAYOUT.pack(self.counter, self.monotonic_ns, self.boot_id_hash)


def stamp(opus_packet: bytes, send_time: SendTime) -> bytes:
    """The packet with `send_time` in its padding: its last 24 bytes."""
    return with_padding(opus_packet, bytes(send_time))


def restamp(buffer: bytearray | memoryview, end: int, send_time: SendTime) -> None:
    """Renew the stamp of a stamped packet that ends at `end`, in place: for as late as possible before sending."""
    assert end >= STAMP_BYTES
    _LAYOUT.pack_into(buffer, end - STAMP_BYTES, send_time.counter, send_time.monotonic_ns, send_time.boot_id_hash)


def send_time_of(opus_packet: bytes) -> SendTime | None:
    """The send time in a packet's padding; `None` when there is none, or no Opus packet at all."""
    try:
        send_time = SendTime.parse(padding_of(opus_packet))
    except ParseError:
        return None
    return send_time if send_time.boot_id_hash else None


__all__ = ["SendTime", "boot_id_hash", "restamp", "send_time_of", "stamp"]
