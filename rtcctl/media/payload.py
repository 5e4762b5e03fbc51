"""What travels in the media beside the media: the send time of each packet.

RTCP ends at the SFU, so its timestamps cannot tell a one-way latency. The send time rides in the padding of each Opus
packet, which decoders skip and the SFU forwards:

    | counter (64 bit) | CLOCK_MONOTONIC, ns (64 bit) | hash of the boot id (64 bit) |

Only a receiver on the same boot of the same machine shares that clock; to any other the hash is a stranger's, and so
is the padding of other people's packets.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack, unpack
from typing import ClassVar

from rtcctl.errors import ParseError
from rtcctl.media.opus import padding_of


@dataclass(frozen=True, slots=True)
class SendTime:
    """When a packet was handed to the network."""

    counter: int
    "Packets of this source so far, from 1 (64 bit)."
    monotonic_ns: int
    "CLOCK_MONOTONIC of the sender, nanoseconds (64 bit)."
    boot_id_hash: int
    "64 bits that are equal for all processes of one boot of one machine."

    SIZE: ClassVar[int] = 24

    @classmethod
    def parse(cls, data: bytes) -> SendTime:
        """Parse exactly 24 bytes."""
        if len(data) != cls.SIZE:
            raise ParseError("a send time of 24 bytes")
        return cls(*unpack("!QQQ", data))

    def __bytes__(self) -> bytes:
        return pack("!QQQ", self.counter, self.monotonic_ns, self.boot_id_hash)


def send_time_of(opus_packet: bytes) -> SendTime | None:
    """What the padding of an Opus packet says, or `None` if it holds no send time. Never raises."""
    try:
        return SendTime.parse(padding_of(opus_packet))
    except ParseError:
        return None
