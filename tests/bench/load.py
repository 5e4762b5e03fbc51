"""What benches and tests of the data path send with: a lean WebRTC peer, sockets full of them, CPU times.

The peer is made from the server's own `transport` and `media`, so it is no witness of correctness (aiortc and Chromium
are); it is cheap enough to load a server from one core.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rtcctl.errors import ParseError
from rtcctl.media.clock import ntp_from_unix
from rtcctl.media.rtcp import Packet, ReceiverReport, SenderReport, SourceDescription, compound, parse_compound
from rtcctl.media.rtp import build_packet, is_rtcp, is_rtp
from rtcctl.media.stun import Attribute, Message, MessageClass, Method, is_stun
from rtcctl.transport.dtls import Certificate, DtlsEndpoint
from rtcctl.transport.srtp import SrtpSession


@dataclass
class LeanPeer:
    """A controlling ICE peer with one socket and one DTLS-SRTP association. Sans-IO but for `sock`."""

    certificate: Certificate
    server: tuple[str, int]
    remote_ufrag: str
    remote_pwd: str
    remote_fingerprints: Sequence[tuple[str, str]]
    is_dtls_server: bool = False
    sock: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    ufrag: str = field(default_factory=lambda: f"{random.getrandbits(32):08x}")
    pwd: str = field(default_factory=lambda: f"{random.getrandbits(128):032x}")
    on_rtp: Callable[[bytes], None] | None = None
    on_rtcp: Callable[[list[Packet]], None] | None = None
    srtp: SrtpSession | None = None
    is_checked: bool = False
    mapped_address: tuple[str, int] | None = None
    errors: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sock.setblocking(False)
        if self.sock.getsockname()[1] == 0:
            self.sock.bind(("127.0.0.1", 0))
        self.dtls = DtlsEndpoint(self.certificate, is_server=self.is_dtls_server)
        self.ssrc = random.getrandbits(32)

    @property
    def description(self) -> dict[str, object]:
        """For `Connection.set_remote`."""
        return {
            "ice_ufrag": self.ufrag,
            "ice_pwd": self.pwd,
            "fingerprints": (("sha-256", self.certificate.fingerprint),),
            "setup": "passive" if self.is_dtls_server else "active",
        }

    def send(self, data: bytes) -> None:
        self.sock.sendto(data, self.server)

    def check(self, **overrides: bytes) -> Message:
        """Send a connectivity check that nominates; attributes can be overridden by name."""
        attributes: dict[int, bytes] = {
            Attribute.USERNAME: f"{self.remote_ufrag}:{self.ufrag}".encode(),
            Attribute.PRIORITY: (0x6E001EFF).to_bytes(4, "big"),
            Attribute.ICE_CONTROLLING: bytes(8),
            Attribute.USE_CANDIDATE: b"",
        }
        attributes |= {Attribute[name.upper()]: value for name, value in overrides.items()}
        request = Message(Method.BINDING, MessageClass.REQUEST, random.randbytes(12), attributes)
        sealed = request.with_integrity(self.remote_pwd.encode())
        self.send(bytes(sealed))
        return sealed

    def read(self) -> None:
        """Take everything the socket has."""
        while True:
            try:
                data, _ = self.sock.recvfrom(2048)
            except BlockingIOError:
                return
            self.receive(data)

    def receive(self, data: bytes) -> None:
        if is_stun(data):
            self._receive_stun(Message.parse(data))
        elif 20 <= data[0] <= 63:
            self.dtls.receive_datagram(data)
            self._flush_dtls()
            if self.dtls.is_connected and self.srtp is None:
                assert self.dtls.verify_fingerprint(self.remote_fingerprints)
                self.srtp = SrtpSession(self.dtls.export_srtp_keys())
        elif self.srtp is not None and is_rtp(data):
            self._receive_media(self.srtp, data)

    def handle_timer(self) -> None:
        """Handshake retransmission, check retransmission."""
        if not self.is_checked:
            self.check()
        elif self.srtp is None and (due := self.dtls.get_timer()) is not None and due <= 0:
            self.dtls.handle_timer()
            self._flush_dtls()

    def send_rtp(self, payload: bytes, sequence_number: int, rtp_timestamp: int, **fields: object) -> bytes:
        """Send one packet and return it unprotected."""
        fields = {"payload_type": 111, "ssrc": self.ssrc} | fields
        packet = build_packet(
            payload,
            sequence_number=sequence_number & 0xFFFF,
            rtp_timestamp=rtp_timestamp & 0xFFFFFFFF,
            **fields,  # type: ignore[arg-type]
        )
        assert self.srtp is not None
        protected = self.srtp.protect_rtp(packet)
        assert protected is not None
        self.send(protected)
        return packet

    def send_rtcp(self, *packets: Packet) -> None:
        assert self.srtp is not None
        protected = self.srtp.protect_rtcp(compound(*packets))
        assert protected is not None
        self.send(protected)

    def send_sender_report(self, wallclock: float, rtp_timestamp: int, packets: int, octets: int) -> None:
        report = SenderReport(self.ssrc, ntp_from_unix(wallclock), rtp_timestamp & 0xFFFFFFFF, packets, octets)
        self.send_rtcp(report, SourceDescription.of(self.ssrc, "lean"))

    def send_receiver_report(self, *blocks: object) -> None:
        self.send_rtcp(ReceiverReport(self.ssrc, tuple(blocks)), SourceDescription.of(self.ssrc, "lean"))  # type: ignore[arg-type]

    def close(self) -> None:
        self.dtls.close()
        self._flush_dtls()
        if self.srtp is not None:
            self.srtp.close()
            self.srtp = None
        self.sock.close()

    def _flush_dtls(self) -> None:
        for datagram in self.dtls.datagrams_to_send():
            self.send(datagram)

    def _receive_stun(self, message: Message) -> None:
        if message.message_class is MessageClass.ERROR:
            self.errors.append(message.error_code or 0)
        elif message.message_class is MessageClass.SUCCESS and message.check_integrity(self.remote_pwd.encode()):
            self.mapped_address = message.mapped_address
            if not self.is_checked:
                self.is_checked = True
                if not self.is_dtls_server:
                    self.dtls.start()
                    self._flush_dtls()

    def _receive_media(self, srtp: SrtpSession, data: bytes) -> None:
        if not is_rtcp(data):
            packet = srtp.unprotect_rtp(data)
            if packet is not None and self.on_rtp is not None:
                self.on_rtp(packet)
            return
        plain = srtp.unprotect_rtcp(data)
        if plain is not None and self.on_rtcp is not None:
            try:
                self.on_rtcp(parse_compound(plain))
            except ParseError as exc:
                raise AssertionError("our RTCP does not parse") from exc
