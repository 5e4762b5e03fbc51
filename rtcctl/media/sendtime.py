"""When a coded frame was sent, carried inside it: 24 bytes where decoders do not look.

    0        4        8        16       24
    +--------+--------+--------+--------+
    | counter| rid    |  sent  |  boot  |      network order
    +--------+--------+--------+--------+

RTCP ends at an SFU, the payload does not. The clock is CLOCK_MONOTONIC of one boot of one machine, so the receiver
believes a send time only when its boot id hash is the receiver's own; foreign frames hold other things in that place,
and what `find` makes of them may be any numbers.

    Opus    padding (RFC 6716 §3.2.5), which is at the end of a packet
    VP8     behind the last partition, at the end of a frame: it has no size of its own, and a decoder stops when it has
            all macroblocks (RFC 6386 §9.5)
    H.264   an SEI message of its own (user data unregistered, H.264 §D.2.6) in front of the first slice. The 24 bytes
            are written as 48, 0x40 to 0x4f each, so that they can be replaced in place without emulation prevention

Room is made when a frame is coded, which may be long before it is sent: `with_room` then, `writer` at the last moment.
The packetisers never split the room (`media/packetization.py`), so that `find` needs one packet and no reassembly.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rtcctl.errors import ParseError
from rtcctl.media import annexb
from rtcctl.media.opus import with_padding

STAMP_BYTES: Final = 24
MAX_RID_BYTES: Final = 4

_LAYOUT = struct.Struct("!I4sQQ")
_RID_BYTES: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-"
"RFC 8851 §10: letters, digits, hyphen, underscore."

_SEI_UUID: Final = bytes.fromhex("7b1f6d529c3e4a8bb6e45d2a91c7e30f")
_SEI_HEAD: Final = bytes((annexb.SEI, 5, 16 + 2 * STAMP_BYTES)) + _SEI_UUID
"NAL unit header, payload type 5, size, whose user data it is (H.264 §7.3.2.3.1, §D.1.7)."
_SEI_END: Final = b"\x80"
"rbsp_trailing_bits."

_NIBBLES: Final = bytes(range(0x40, 0x50))
_TO_NIBBLES = bytes.maketrans(b"0123456789abcdef", _NIBBLES)
_FROM_NIBBLES: Final = b"x" * 0x40 + b"0123456789abcdef" + b"x" * 0xB0
"To hexadecimal digits; all else is none."


def boot_id_hash(boot_id: bytes) -> int:
    """64 bits that stand for one boot of one machine; never 0, which is what other people's padding says."""
    return int.from_bytes(hashlib.sha256(b"rtcctl boot " + boot_id).digest()[:8]) or 1


@dataclass(slots=True)
class SendTime:
    """Which frame this is, and when it left. Not frozen: one is made for each packet that comes or goes."""

    counter: int
    "32 bit, one more with each frame of a source."
    rid: str
    "Of the simulcast layer, 4 characters at most (RFC 8851 §10); empty without simulcast."
    monotonic_ns: int
    "64 bit, CLOCK_MONOTONIC of the sender."
    boot_id_hash: int
    "64 bit, of the sender; never 0."

    @classmethod
    def parse(cls, data: bytes) -> SendTime:
        if len(data) != STAMP_BYTES:
            raise ParseError(f"{STAMP_BYTES} bytes of send time", offset=min(len(data), STAMP_BYTES))
        counter, rid, monotonic_ns, boot = _LAYOUT.unpack(data)
        rid = rid.rstrip(b"\0")
        if rid.strip(_RID_BYTES) or not boot:
            raise ParseError("a rid and a boot id hash", offset=4)
        return cls(counter, rid.decode("ascii"), monotonic_ns, boot)

    def __bytes__(self) -> bytes:
        rid = self.rid.encode("ascii")
        assert len(rid) <= MAX_RID_BYTES, "a rid that fits"
        return _LAYOUT.pack(self.counter & 0xFFFFFFFF, rid, self.monotonic_ns, self.boot_id_hash)


def with_room(codec_name: str, frame: bytes | bytearray) -> tuple[bytearray, int] | None:
    """A copy of a coded frame with room for a send time, and where the room is.

    `None` where there is none to be made: codecs without such a place (G.711, VP9, AV1), what is no frame of the codec.
    """
    make = _MAKE_ROOM.get(codec_name.lower())
    return None if make is None else make(bytes(frame))


def writer(codec_name: str, rid: str, boot_id_hash: int) -> Callable[[bytearray, int, int, int], None]:
    """What writes the send times of one stream: `write(buffer, at, counter, monotonic_ns)`, for every packet.

    `at` is where `with_room` made the room in `buffer`; it may be written again and again. `counter` is cut to 32 bit.
    """
    name = rid.encode("ascii")
    assert len(name) <= MAX_RID_BYTES, "a rid that fits"
    assert boot_id_hash, "a boot id hash"

    def write(buffer: bytearray, at: int, counter: int, monotonic_ns: int) -> None:
        assert 0 <= at <= len(buffer) - STAMP_BYTES
        _LAYOUT.pack_into(buffer, at, counter & 0xFFFFFFFF, name, monotonic_ns, boot_id_hash)

    def write_nibbles(buffer: bytearray, at: int, counter: int, monotonic_ns: int) -> None:
        assert 0 <= at <= len(buffer) - 2 * STAMP_BYTES
        data = _LAYOUT.pack(counter & 0xFFFFFFFF, name, monotonic_ns, boot_id_hash)
        buffer[at : at + 2 * STAMP_BYTES] = data.hex().encode().translate(_TO_NIBBLES)

    return write_nibbles if codec_name.lower() == "h264" else write


def find(codec_name: str, payload: bytes, marker: bool) -> SendTime | None:
    """The send time in one RTP payload as it came; `None` when there is none, whatever the bytes are.

    For every packet that comes: most are recognised as having none by a byte or two.
    """
    look = _LOOK.get(codec_name) or _LOOK.get(codec_name.lower())
    data = None if look is None else look(payload, marker)
    if data is None:
        return None
    try:
        return SendTime.parse(data)
    except ParseError:
        return None


# -- Opus, RFC 6716 §3.2.5 -------------------------------------------------------------------------------------------


def _opus_room(packet: bytes) -> tuple[bytearray, int] | None:
    try:
        buffer = bytearray(with_padding(packet, bytes(STAMP_BYTES)))
    except ParseError:
        return None
    return buffer, len(buffer) - STAMP_BYTES


def _look_in_opus(payload: bytes, _marker: bool) -> bytes | None:
    # Code 3, padded, one frame or more, and a padding of just the right size, which takes one byte to say.
    if len(payload) < 3 + STAMP_BYTES or payload[0] & 3 != 3 or payload[2] != STAMP_BYTES:
        return None
    return payload[-STAMP_BYTES:] if payload[1] & 0x40 and payload[1] & 0x3F else None


# -- VP8, RFC 6386 §9.5 ----------------------------------------------------------------------------------------------


def _vp8_room(frame: bytes) -> tuple[bytearray, int] | None:
    return (bytearray(frame) + bytes(STAMP_BYTES), len(frame)) if frame else None


def _look_in_vp8(payload: bytes, marker: bool) -> bytes | None:
    return payload[-STAMP_BYTES:] if marker and len(payload) > STAMP_BYTES else None


# -- H.264, §D.2.6 ---------------------------------------------------------------------------------------------------


def _h264_room(access_unit: bytes) -> tuple[bytearray, int] | None:
    first_slice = next((unit for unit in annexb.units(access_unit) if unit.is_coded_picture), None)
    if first_slice is None:
        return None
    buffer = bytearray(access_unit[: first_slice.code_at]) + annexb.START_CODE + _SEI_HEAD
    at = len(buffer)
    return buffer + _NIBBLES[:1] * (2 * STAMP_BYTES) + _SEI_END + access_unit[first_slice.code_at :], at


_H264_STAP_A: Final = 24


def _look_in_h264(payload: bytes, _marker: bool) -> bytes | None:
    # RFC 6184 §5.2: alone, or aggregated.
    if not payload or payload[0] & 0x1F not in (annexb.SEI, _H264_STAP_A):
        return None
    at = payload.find(_SEI_HEAD) + len(_SEI_HEAD)
    digits = payload[at : at + 2 * STAMP_BYTES].translate(_FROM_NIBBLES)
    if at < len(_SEI_HEAD) or len(digits) < 2 * STAMP_BYTES or b"x" in digits:
        return None
    return bytes.fromhex(digits.decode("ascii"))


_MAKE_ROOM: dict[str, Callable[[bytes], tuple[bytearray, int] | None]] = {
    "opus": _opus_room,
    "vp8": _vp8_room,
    "h264": _h264_room,
}
_LOOK: dict[str, Callable[[bytes, bool], bytes | None]] = {
    "opus": _look_in_opus,
    "vp8": _look_in_vp8,
    "h264": _look_in_h264,
}
_LOOK |= {"VP8": _look_in_vp8, "H264": _look_in_h264}


__all__ = ["MAX_RID_BYTES", "STAMP_BYTES", "SendTime", "boot_id_hash", "find", "with_room", "writer"]
