"""Publications and subscriptions of the server without sockets, DTLS or libsrtp: fakes on both sides of the tracks.

A `Link` is a connection in both roles. What it is sent goes into its `Key`, which numbers packets as libsrtp does and
fails when one number is used for two of them. An `Encoding` is what a publisher sends of one layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pylibsrtp._binding import ffi

from rtcctl.media.codec import Codec
from rtcctl.media.extensions import ABS_SEND_TIME, MID, VIDEO_ORIENTATION
from rtcctl.media.rewrite import HEADROOM
from rtcctl.media.rtp import RtpHeader
from rtcctl.server.incoming import IncomingTrack
from rtcctl.server.layer import IncomingLayer
from rtcctl.server.outgoing import OutgoingTrack
from rtcctl.server.parameters import ReceiveParameters
from rtcctl.server.waits import Waits
from rtcctl.transport.udp import ReceiveBuffer

FEEDBACK = ("nack", "nack pli")
PUBLISHED = (
    Codec("VP8", 96, 90000, 1, "", FEEDBACK),
    Codec("rtx", 97, 90000, 1, "apt=96"),
    Codec("H264", 98, 90000, 1, "packetization-mode=1;profile-level-id=42e01f", FEEDBACK),
)
VP8 = (Codec("VP8", 106, 90000, 1, "", FEEDBACK),)
VP8_RTX = (*VP8, Codec("rtx", 107, 90000, 1, "apt=106"))
_WINDOW = 1024
"Packets that libsrtp looks back."


class Clock:
    """Monotonic seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Key:
    """One SRTP key of a sender."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        "In order, with repetitions."
        self._highest: dict[int, int] = {}
        self._packets: dict[tuple[int, int], bytes] = {}

    def protect(self, packet: bytes) -> None:
        header = RtpHeader.parse(packet)
        highest = self._highest.get(header.ssrc)
        index = header.sequence_number
        if highest is not None and highest > 0x8000:
            # As libsrtp has it: the nearest to the highest so far; in the first half of the first cycle as it is.
            index = highest + ((index - highest + 0x8000) & 0xFFFF) - 0x8000
        if highest is not None and index <= highest - _WINDOW:
            return  # libsrtp refuses
        self._highest[header.ssrc] = index if highest is None else max(highest, index)
        known = self._packets.setdefault((header.ssrc, index), packet)
        assert known == packet, f"two packets under number {index} of one key"
        self.sent.append(packet)


@dataclass(frozen=True)
class Sent:
    """A packet of an `Encoding`, as a subscriber got it."""

    number: int
    timestamp: int
    picture: int
    tag: int
    index: int
    "Which of its encoding's packets it is."
    original_picture: int
    starts_key_frame: bool

    @classmethod
    def parse(cls, packet: bytes) -> Sent:
        header = RtpHeader.parse(packet)
        payload = packet[header.header_size :]
        return cls(
            header.sequence_number,
            header.rtp_timestamp,
            int.from_bytes(payload[2:4]) & 0x7FFF,
            payload[6],
            int.from_bytes(payload[7:11]),
            int.from_bytes(payload[11:13]),
            bool(payload[0] & 0x10) and not payload[5],
        )


class Wire:
    """Stands for the socket."""

    def put_protected(self, packet: Any, size: int, targets: Iterable[tuple[Key, object]]) -> None:
        data = packet[:size] if isinstance(packet, bytes) else bytes(ffi.buffer(packet, size))
        for key, _ in targets:
            key.protect(data)

    def put_patched(self, packet: Any, size: int, at: int, targets: Iterable[tuple[Key, object, bytes]]) -> None:
        data = bytes(ffi.buffer(packet, size))
        for key, _, patch in targets:
            key.protect(data[:at] + patch + data[at + len(patch) :])


class Link:
    """Stands for a connection."""

    def __init__(self, clock: Clock, udp: Wire) -> None:
        self.clock = clock
        self.waits = Waits()
        self.udp = udp
        self.srtp_sender: Key | None = Key()
        self.name: object | None = object()
        self.keys = [self.srtp_sender]
        self.cname = ""
        self.remote_clock_offset_s = 0.0
        self.key_frame_requests: list[IncomingLayer] = []
        self.look_at: float | None = None

    @property
    def sent(self) -> list[bytes]:
        """All packets, whatever the key."""
        return [packet for key in self.keys for packet in key.sent]

    def publish(self, rids: tuple[str, ...] = (), codecs: tuple[Codec, ...] = PUBLISHED) -> IncomingTrack:
        parameters = ReceiveParameters(
            mid="0", kind="video", codecs=codecs, extensions={VIDEO_ORIENTATION: 5}, rids=rids
        )
        return IncomingTrack(self, parameters, public_ssrc=7, clock=self.clock)  # type: ignore[arg-type]

    def sender(self, mid: str) -> OutgoingTrack:
        return OutgoingTrack(
            self,  # type: ignore[arg-type]
            mid=mid,
            kind="video",
            ssrc=7,
            rtx_ssrc=8,
            rtx_number=0x7FF0,
            cname="",
            clock=self.clock,
        )

    def renew_key(self) -> None:
        """Another DTLS association."""
        self.srtp_sender = Key()
        self.keys.append(self.srtp_sender)

    # What tracks call

    def request_retransmissions(self, layer: IncomingLayer, now: float) -> None:
        layer.lost_packets(now)

    def request_key_frame(self, layer: IncomingLayer) -> None:
        self.key_frame_requests.append(layer)

    def look_again(self, at: float | None) -> None:
        self.look_at = at

    def register(self, track: IncomingTrack) -> None: ...

    def forget_incoming(self, track: IncomingTrack) -> None: ...

    def forget_outgoing(self, track: OutgoingTrack) -> None: ...


@dataclass
class Encoding:
    """A publisher's encoder of VP8: each payload says which encoding it is of, and which packet."""

    layer: IncomingLayer
    tag: int
    "One byte that tells its packets from those of other encodings."
    ssrc: int
    number: int
    "Of the next packet."
    timestamp: int
    "Of the next frame."
    picture: int
    clock: Clock
    sent: int = 0
    "Packets, whatever they are of."

    def frame(self, packets: int = 1, *, is_key: bool = False, payload_type: int = 96) -> None:
        """Send one frame; its start is the start of a key frame."""
        for i in range(packets):
            self.send(is_key=is_key and i == 0, is_start=i == 0, payload_type=payload_type)
        self.end_frame()

    def end_frame(self) -> None:
        self.timestamp = (self.timestamp + 3000) & 0xFFFFFFFF
        self.picture += 1

    def send(self, *, is_key: bool = False, is_start: bool = True, payload_type: int = 96) -> None:
        """The next packet of the present frame."""
        self.receive(self.number, self.payload(is_key=is_key, is_start=is_start), payload_type)
        self.number = (self.number + 1) & 0xFFFF

    def payload(self, *, is_key: bool = False, is_start: bool = True) -> bytes:
        """VP8's descriptor with picture numbers, the first byte of the frame, and what makes it unlike any other."""
        self.sent += 1
        descriptor = bytes((0x90 if is_start else 0x80, 0xC0)) + (0x8000 | self.picture & 0x7FFF).to_bytes(2)
        content = bytes((self.picture & 0xFF, not is_key, self.tag))
        return descriptor + content + self.sent.to_bytes(4) + (self.picture & 0x7FFF).to_bytes(2)

    def receive(self, number: int, payload: bytes, payload_type: int = 96) -> None:
        """Have the server receive a packet."""
        elements = {5: bytes((self.sent & 3,))} if self.sent % 3 == 0 else {}
        self._feed(self.layer.receive, number, payload, payload_type, elements)

    def receive_rtx(self, number: int, payload: bytes) -> None:
        """The same as RTX of the packet with that number."""
        self._feed(self.layer.receive_rtx, self.sent & 0xFFFF, number.to_bytes(2) + payload, 97, {})

    def _feed(
        self, receive: Any, number: int, payload: bytes, payload_type: int, elements: Mapping[int, bytes]
    ) -> None:
        buffer = ReceiveBuffer()
        at = HEADROOM + 40
        buffer.memory[at : at + len(payload)] = payload
        fields = 0x80, payload_type, number, self.timestamp, self.ssrc
        receive(buffer, at, at + len(payload), fields, elements, self.clock.now)


EXTENSIONS: tuple[dict[str, int], ...] = (
    {},
    {VIDEO_ORIENTATION: 3},
    {ABS_SEND_TIME: 2, VIDEO_ORIENTATION: 3},
    {MID: 4, ABS_SEND_TIME: 2},
)
"What subscribers may agree to."
