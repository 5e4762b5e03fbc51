"""RTP payload formats, sending side: a coded frame becomes the payloads of its packets.

    audio   the frame itself (RFC 7587 Opus, RFC 3551 G.711)
    VP8     RFC 7741: descriptor of 4 bytes with a picture id of 15 bits; the frame in pieces of about equal size
    VP9     RFC 9628: the same with 3 bytes, in non-flexible mode and without layers
    H.264   RFC 6184, packetization-mode 1: neighbouring units that fit together in a STAP-A, what is too large in FU-As
    AV1     AV1 RTP specification: OBUs without sizes, filled up to the brim and split wherever a packet ends

The marker bit is the caller's: video has it on the last payload of a frame. A picture id is one more with each frame,
since receivers read from a jump that pictures are missing.

The room for a send time (`media/sendtime.py`) is not split. Pieces of equal size see to that in VP8, where it is the
end of the frame; in H.264 it is a unit smaller than any packet.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Protocol

from rtcctl.errors import ParseError
from rtcctl.media import annexb, obu

MAX_PAYLOAD_BYTES: Final = 1180
"With headers, extensions, RTX and SRTP it fits any path that WebRTC works on."

_MIN_PAYLOAD_BYTES: Final = 100
"Of `max_size`: whatever a payload format needs to be in one piece fits."


class Packetizer(Protocol):
    """One stream of one codec."""

    def packetize(self, frame: bytes | bytearray, max_size: int = MAX_PAYLOAD_BYTES) -> list[bytes]:
        """The payloads of a frame, of at most `max_size` bytes each; none for a frame without content.

        Raises `ParseError` for what is no frame of the codec, as far as it has to be understood for cutting it.
        """


def packetizer(codec_name: str) -> Packetizer:
    """A new stream. Raises `KeyError` for a codec that is not known."""
    return _PACKETIZERS[codec_name.lower()]()


class _Whole:
    """Audio: a frame is a payload."""

    def packetize(self, frame: bytes | bytearray, max_size: int = MAX_PAYLOAD_BYTES) -> list[bytes]:
        return [bytes(frame)] if frame else []


def _pieces(data: bytes, max_size: int) -> list[bytes]:
    """`data` in as few pieces as possible, which differ by a byte at most: a small last one would cost a packet too."""
    count = -(-len(data) // max_size)
    return [data[a:b] for a, b in pairwise([len(data) * i // count for i in range(count + 1)])] if count else []


class _Vp8:
    """VP8 (RFC 7741 §4.2).

     0 1 2 3 4 5 6 7
    +-+-+-+-+-+-+-+-+
    |X|R|N|S|R| PID |  X: the next byte is there; S: starts a partition (here: the frame)
    |I|L|T|K| RSV   |  I: picture id
    |M| picture id  |  M: 15 bits
    |               |
    +-+-+-+-+-+-+-+-+
    """

    def __init__(self) -> None:
        self._picture_id = 0

    def packetize(self, frame: bytes | bytearray, max_size: int = MAX_PAYLOAD_BYTES) -> list[bytes]:
        assert max_size >= _MIN_PAYLOAD_BYTES
        if not frame:
            return []
        picture_id = self._picture_id
        self._picture_id = picture_id + 1 & 0x7FFF
        descriptor = bytes((0x80, 0x80, 0x80 | picture_id >> 8, picture_id & 0xFF))
        first, *others = _pieces(bytes(frame), max_size - len(descriptor))
        return [b"\x90" + descriptor[1:] + first, *(descriptor + piece for piece in others)]


class _Vp9:
    """VP9 (RFC 9628 §4.2).

     0 1 2 3 4 5 6 7
    +-+-+-+-+-+-+-+-+
    |I|P|L|F|B|E|V|Z|  P: predicted from other pictures; B, E: begins, ends the frame
    |M| picture id  |  M: 15 bits
    |               |
    +-+-+-+-+-+-+-+-+
    """

    def __init__(self) -> None:
        self._picture_id = 0

    def packetize(self, frame: bytes | bytearray, max_size: int = MAX_PAYLOAD_BYTES) -> list[bytes]:
        assert max_size >= _MIN_PAYLOAD_BYTES
        if not frame:
            return []
        picture_id = self._picture_id
        self._picture_id = picture_id + 1 & 0x7FFF
        number = bytes((0x80 | picture_id >> 8, picture_id & 0xFF))
        flags = 0x80 if _is_vp9_key_frame(frame[0]) else 0xC0
        pieces = _pieces(bytes(frame), max_size - 1 - len(number))
        last = len(pieces) - 1
        return [
            bytes((flags | (0x08 if i == 0 else 0) | (0x04 if i == last else 0),)) + number + piece
            for i, piece in enumerate(pieces)
        ]


def _is_vp9_key_frame(first: int) -> bool:
    """By the first byte of the uncompressed header (VP9 bitstream specification §6.2).

    From the high bit on: frame_marker (2 bits), profile (2, and one reserved for profile 3), show_existing_frame,
    frame_type (0: key).
    """
    if first & 0x30 == 0x30:
        return not first & 0x06
    return not first & 0x0C


class _H264:
    """H.264 (RFC 6184 §5.6 single unit, §5.7.1 STAP-A, §5.8 FU-A).

    The access unit delimiter stays behind, since timestamp and marker say the same.
    """

    _STAP_A: Final = 24
    _FU_A: Final = 28

    def packetize(self, frame: bytes | bytearray, max_size: int = MAX_PAYLOAD_BYTES) -> list[bytes]:
        assert max_size >= _MIN_PAYLOAD_BYTES
        data = bytes(frame)
        payloads: list[bytes] = []
        together: list[bytes] = []
        size = 1
        is_stream = not data
        for unit in annexb.units(data):
            is_stream = True
            if unit.kind == annexb.DELIMITER:
                continue
            nal = data[unit.start : unit.end]
            if together and size + 2 + len(nal) > max_size:
                payloads.append(self._aggregate(together))
                together, size = [], 1
            if len(nal) > max_size:
                payloads += self._fragment(nal, max_size)
            else:
                together.append(nal)
                size += 2 + len(nal)
        if together:
            payloads.append(self._aggregate(together))
        if not is_stream:
            raise ParseError("an H.264 byte stream (annex B)")
        return payloads

    def _aggregate(self, nals: list[bytes]) -> bytes:
        if len(nals) == 1:
            return nals[0]
        # §5.3: forbidden_zero_bit of any, the highest nal_ref_idc.
        header = max(nal[0] & 0x60 for nal in nals) | (0x80 if any(nal[0] & 0x80 for nal in nals) else 0) | self._STAP_A
        return bytes((header,)) + b"".join(len(nal).to_bytes(2) + nal for nal in nals)

    def _fragment(self, nal: bytes, max_size: int) -> list[bytes]:
        indicator, kind = nal[0] & 0xE0 | self._FU_A, nal[0] & 0x1F
        pieces = _pieces(nal[1:], max_size - 2)
        last = len(pieces) - 1
        return [
            bytes((indicator, kind | (0x80 if i == 0 else 0) | (0x40 if i == last else 0))) + piece
            for i, piece in enumerate(pieces)
        ]


class _Av1:
    """AV1 (AV1 RTP specification §4.4).

     0 1 2 3 4 5 6 7
    +-+-+-+-+-+-+-+-+
    |Z|Y| W |N|-|-|-|  Z: goes on with an OBU of the packet before; Y: the last OBU goes on in the next;
    +-+-+-+-+-+-+-+-+  W: OBUs in this packet, of which the last has no size, or 0; N: starts a coded video sequence
    """

    _MIN_FRAGMENT: Final = 16
    "Less of an OBU than this is not worth its size field."

    def packetize(self, frame: bytes | bytearray, max_size: int = MAX_PAYLOAD_BYTES) -> list[bytes]:
        assert max_size >= _MIN_PAYLOAD_BYTES
        # §5: what separates temporal units and the list of tiles are not sent.
        obus = [
            unit
            for unit in obu.without_sizes(bytes(frame))
            if obu.kind_of(unit) not in (obu.TEMPORAL_DELIMITER, obu.TILE_LIST)
        ]
        if not obus:
            return []
        packets: list[tuple[list[bytes], bool, bool]] = []
        elements: list[bytes] = []
        left, goes_on = max_size - 1, False
        for unit in obus:
            at = 0
            while at < len(unit):
                room = left - len(obu.leb128(left))
                if len(unit) - at > room and room < self._MIN_FRAGMENT:
                    packets.append((elements, goes_on, False))
                    elements, left, goes_on = [], max_size - 1, False
                    continue
                element = unit[at : at + room]
                at += len(element)
                elements.append(element)
                left -= len(obu.leb128(len(element))) + len(element)
                if at < len(unit):
                    packets.append((elements, goes_on, True))
                    elements, left, goes_on = [], max_size - 1, True
        if elements:
            packets.append((elements, goes_on, False))
        starts = any(obu.kind_of(unit) == obu.SEQUENCE_HEADER for unit in obus)
        return [self._payload(*packet, is_start=starts and i == 0) for i, packet in enumerate(packets)]

    @staticmethod
    def _payload(elements: list[bytes], is_continued: bool, goes_on: bool, *, is_start: bool) -> bytes:
        count = len(elements) if len(elements) <= 3 else 0
        sized = elements[:-1] if count else elements
        header = is_continued << 7 | goes_on << 6 | count << 4 | is_start << 3
        body = b"".join(obu.leb128(len(element)) + element for element in sized)
        return bytes((header,)) + body + (elements[-1] if count else b"")


_PACKETIZERS: dict[str, type[_Whole | _Vp8 | _Vp9 | _H264 | _Av1]] = {
    "opus": _Whole,
    "pcmu": _Whole,
    "pcma": _Whole,
    "vp8": _Vp8,
    "vp9": _Vp9,
    "h264": _H264,
    "av1": _Av1,
}


__all__ = ["MAX_PAYLOAD_BYTES", "Packetizer", "packetizer"]
