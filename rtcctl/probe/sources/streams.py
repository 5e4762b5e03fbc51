"""Formats that can be read from a pipe, without I/O: bytes in, whatever is complete out.

`feed` may be given pieces of any size; `finish` says whether the end was one. Malformed input is a ParseError.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from rtcctl.errors import ParseError
from rtcctl.probe.sources.copying import MediaPacket

_PAGE = struct.Struct("<4sBBQIIIB")
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_IVF_FRAME = struct.Struct("<IQ")
MAX_IVF_FRAME_BYTES = 64 * 1024 * 1024
MAX_OPUS_BYTES = 256 * 1024


class OggOpus:
    """Opus in Ogg (RFC 3533, RFC 7845): pages, their packets. Streams may follow each other; others are passed over."""

    def __init__(self) -> None:
        self.head = b""
        "The identification header (RFC 7845 §5.1); empty until it came."
        self.other: str | None = None
        "What the first stream is, when it is not Opus."
        self._buffer = bytearray()
        self._serial: int | None = None
        self._headers_left = 0
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[MediaPacket]:
        self._buffer += data
        packets: list[MediaPacket] = []
        while len(self._buffer) >= _PAGE.size:
            magic, version, flags, _, serial, _, _, count = _PAGE.unpack_from(self._buffer)
            if magic != b"OggS" or version != 0:
                raise ParseError("an Ogg page")
            body = _PAGE.size + count
            sizes = self._buffer[_PAGE.size : body]
            end = body + sum(sizes)
            if len(self._buffer) < end:
                break
            payload = bytes(self._buffer[body:end])
            del self._buffer[:end]
            self._page(flags, serial, bytes(sizes), payload, packets)
        return packets

    def finish(self) -> None:
        if self._buffer or self._partial:
            raise ParseError("the rest of an Ogg page")

    def _page(self, flags: int, serial: int, sizes: bytes, payload: bytes, packets: list[MediaPacket]) -> None:
        if flags & _FIRST:
            if self._serial is None and payload.startswith(b"OpusHead"):
                self._serial = serial
                self._headers_left = 2
                self._partial.clear()
            elif not self.head and self.other is None:
                self.other = payload[:8].strip(b"\0\x01\x7f\x80").decode("ascii", "replace") or "an unknown codec"
        if serial != self._serial:
            return
        if not flags & _CONTINUED:
            self._partial.clear()
        at = 0
        for size in sizes:
            self._partial += payload[at : at + size]
            at += size
            if len(self._partial) > MAX_OPUS_BYTES:
                raise ParseError(f"an Opus packet of at most {MAX_OPUS_BYTES} bytes")
            if size < 255:
                self._packet(bytes(self._partial), packets)
                self._partial.clear()
        if flags & _LAST:
            self._serial = None

    def _packet(self, packet: bytes, packets: list[MediaPacket]) -> None:
        if self._headers_left == 2:
            if len(packet) < 19:
                raise ParseError("an Opus identification header")
            self.head = packet
        if self._headers_left:
            self._headers_left -= 1
        elif packet:
            packets.append(MediaPacket(packet, None))


class Ivf:
    """IVF: a header of 32 bytes with the codec and the unit of time; then size, timestamp, frame."""

    def __init__(self) -> None:
        self.fourcc = ""
        "Empty until the header came."
        self.width = self.height = 0
        self.unit_s = Fraction(1, 30)
        self._buffer = bytearray()
        self._first: int | None = None

    def feed(self, data: bytes) -> list[MediaPacket]:
        self._buffer += data
        if not self.fourcc and not self._read_header():
            return []
        packets = []
        while len(self._buffer) >= _IVF_FRAME.size:
            size, timestamp = _IVF_FRAME.unpack_from(self._buffer)
            if not 0 < size <= MAX_IVF_FRAME_BYTES:
                raise ParseError(f"an IVF frame of at most {MAX_IVF_FRAME_BYTES} bytes, not of {size}")
            end = _IVF_FRAME.size + size
            if len(self._buffer) < end:
                break
            if self._first is None:
                self._first = timestamp
            at_s = max(timestamp - self._first, 0) * self.unit_s
            packets.append(MediaPacket(bytes(self._buffer[_IVF_FRAME.size : end]), at_s))
            del self._buffer[:end]
        return packets

    def finish(self) -> None:
        if self._buffer or not self.fourcc:
            raise ParseError("the rest of an IVF frame")

    def _read_header(self) -> bool:
        if len(self._buffer) < 32:
            return False
        magic, _, size, fourcc, self.width, self.height, rate, scale = struct.unpack_from("<4sHH4sHHII", self._buffer)
        if magic != b"DKIF" or size < 32:
            raise ParseError("an IVF header")
        if len(self._buffer) < size:
            return False
        if not 0 < rate <= 1_000_000_000 or not 0 < scale <= 1_000_000_000:
            raise ParseError("a rate in an IVF header", offset=16)
        self.unit_s = Fraction(scale, rate)
        self.fourcc = fourcc.decode("latin-1")
        del self._buffer[:size]
        return True


class Wav:
    """RIFF WAVE, as far as it can be read from a pipe: `fmt ` and then `data`, whose size nobody knows beforehand."""

    def __init__(self) -> None:
        self.format_tag = 0
        self.channels = 0
        self.sample_rate_hz = 0
        self.bits = 0
        self.is_open = False
        "The header came; from here on there are samples only."
        self._buffer = bytearray()
        self._at = 12

    def feed(self, data: bytes) -> bytes:
        """Samples."""
        if self.is_open:
            return data
        self._buffer += data
        if len(self._buffer) >= 12 and (self._buffer[:4] != b"RIFF" or self._buffer[8:12] != b"WAVE"):
            raise ParseError("RIFF WAVE")
        while len(self._buffer) >= self._at + 8:
            name = bytes(self._buffer[self._at : self._at + 4])
            size = int.from_bytes(self._buffer[self._at + 4 : self._at + 8], "little")
            if name == b"data":
                if not self.channels:
                    raise ParseError("a `fmt ` chunk before `data`", offset=self._at)
                self.is_open = True
                return bytes(self._buffer[self._at + 8 :])
            if size > 1 << 20:
                raise ParseError("a chunk of a WAVE header", offset=self._at)
            if len(self._buffer) < self._at + 8 + size:
                break
            if name == b"fmt ":
                if size < 16:
                    raise ParseError("a `fmt ` chunk of 16 bytes", offset=self._at)
                self.format_tag, self.channels, self.sample_rate_hz, _, _, self.bits = struct.unpack_from(
                    "<HHIIHH", self._buffer, self._at + 8
                )
                if self.format_tag == 0xFFFE and size >= 26:
                    (self.format_tag,) = struct.unpack_from("<H", self._buffer, self._at + 8 + 24)
            self._at += 8 + size + (size & 1)
        return b""


__all__ = ["Ivf", "OggOpus", "Wav"]
