"""What benches and tests of the data path send with: a lean WebRTC peer, sockets full of them, CPU times.

The peer is made from the server's own `transport` and `media`, so it is no witness of correctness (aiortc and Chromium
are); it is cheap enough to load a server from one core.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtcctl.errors import ParseError
from rtcctl.media.clock import ntp_from_unix
from rtcctl.media.ice import binding_response
from rtcctl.media.rtcp import (
    GenericNack,
    Packet,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    compound,
    parse_compound,
)
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
    host: str = "127.0.0.1"
    "The address to bind to; empty for any."
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
            self.sock.bind((self.host, 0))
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

    @property
    def sdp_lines(self) -> str:
        """The transport's part of an m-section."""
        return (
            f"a=ice-ufrag:{self.ufrag}\r\na=ice-pwd:{self.pwd}\r\n"
            f"a=fingerprint:sha-256 {self.certificate.fingerprint}\r\na=setup:active\r\na=rtcp-mux\r\n"
            f"a=candidate:1 1 udp 2130706431 127.0.0.1 {self.sock.getsockname()[1]} typ host\r\n"
        )

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

    def begin_anew(self, sock: socket.socket) -> None:
        """Go on from another socket with a new DTLS association, as a browser does when it drops its transport."""
        self.sock = sock
        self.sock.setblocking(False)
        self.sock.bind((self.host, 0))
        self.dtls = DtlsEndpoint(self.certificate, is_server=self.is_dtls_server)
        self.srtp = None
        self.is_checked = False

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
        if message.message_class is MessageClass.REQUEST:
            # Whoever is no lite agent checks us, too.
            self.send(bytes(binding_response(message, self.server).with_integrity(self.pwd.encode())))
        elif message.message_class is MessageClass.ERROR:
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


# Processes

SERVER_CORE, LOAD_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2] if hasattr(os, "sched_getaffinity") else (0, 0)
ROOT = Path(__file__).parents[2]
PACKET_PAYLOAD = bytes(160)
"With the 12 bytes of the header the 172 bytes of a 64 kbit/s Opus packet of 20 ms."
PACKETS_PER_SECOND = 50


def pin_load() -> None:
    """Keep this process, which makes the load and swallows the packets, off the server's core."""
    os.sched_setaffinity(0, {LOAD_CORE})


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads (resolution: 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_pinned(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """A process on the server's core."""
    options = {"cwd": ROOT} | options
    return subprocess.Popen(command, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}), **options)


class Sfu:
    """The process of tests/bench/sfu.py."""

    def __init__(self, *, uvloop: bool, options: Sequence[str] = ()) -> None:
        command = [sys.executable, "-m", "tests.bench", "sfu", *(["--uvloop"] if uvloop else []), *options]
        self.process = start_pinned(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.peers: list[LeanPeer] = []
        self.publishers: list[tuple[LeanPeer, int]] = []
        self._certificate = Certificate.generate()

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def connect(self, count: int) -> range:
        """Connect so many more peers; their indices."""
        opened = self.ask(open=count)
        first = len(self.peers)
        server = ("127.0.0.1", opened["port"])
        peers = [
            LeanPeer(self._certificate, server, ufrag, pwd, (("sha-256", opened["fingerprint"]),))
            for ufrag, pwd in opened["credentials"]
        ]
        self.peers += peers
        self.ask(remote=[(first + i, peer.description) for i, peer in enumerate(peers)])
        connect(peers)
        return range(first, len(self.peers))

    def publish(self, indices: Iterable[int], kind: str = "audio") -> list[int]:
        chosen = [(index, self.peers[index].ssrc, kind) for index in indices]
        tracks: list[int] = self.ask(publish=chosen)["tracks"]
        return tracks

    def subscribe(self, pairs: Sequence[tuple[int, int]]) -> list[int]:
        ssrcs: list[int] = self.ask(subscribe=pairs)["ssrcs"]
        return ssrcs

    def close(self) -> None:
        assert self.process.stdin is not None
        for peer in self.peers:
            peer.sock.close()
        self.process.stdin.close()
        self.process.wait(10)


def connect(peers: Sequence[LeanPeer], timeout_s: float = 30.0) -> None:
    """ICE and DTLS for all of them, ten at a time, as clients come."""
    deadline = time.monotonic() + timeout_s
    waiting = list(peers)
    connecting: list[LeanPeer] = []
    while waiting or connecting:
        assert time.monotonic() < deadline, f"{len(waiting) + len(connecting)} of {len(peers)} peers did not connect"
        while waiting and len(connecting) < 10:
            connecting.append(waiting.pop())
            connecting[-1].check()
        time.sleep(0.001)
        for peer in connecting:
            peer.read()
            if peer.srtp is None and random.random() < 0.01:
                peer.handle_timer()
        connecting = [peer for peer in connecting if peer.srtp is None]


class Sinks:
    """Sockets whose packets are counted and thrown away, without waking up for each."""

    _SLOTS = 64

    def __init__(self, socks: Sequence[socket.socket]) -> None:
        self.rtp = self.rtcp = 0
        self._fds = [sock.fileno() for sock in socks]
        for sock in socks:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._memory = bytearray(self._SLOTS * 2048)
        base = ctypes.addressof((ctypes.c_char * len(self._memory)).from_buffer(self._memory))
        self._iovecs = (ctypes.c_uint64 * (2 * self._SLOTS))()
        self._headers = (ctypes.c_uint64 * (8 * self._SLOTS))()
        for i in range(self._SLOTS):
            self._iovecs[2 * i], self._iovecs[2 * i + 1] = base + 2048 * i, 2048
            self._headers[8 * i + 2] = ctypes.addressof(self._iovecs) + 16 * i
            self._headers[8 * i + 3] = 1
        self._recvmmsg = ctypes.CDLL(None).recvmmsg

    def drain(self) -> None:
        """Take everything the sockets have."""
        memory = self._memory
        for fd in self._fds:
            count = self._SLOTS
            while count == self._SLOTS:
                count = self._recvmmsg(fd, self._headers, self._SLOTS, 0, None)
                for i in range(count):
                    if 192 <= memory[2048 * i + 1] <= 223:
                        self.rtcp += 1
                    elif memory[2048 * i] >= 128:
                        self.rtp += 1


@dataclass(frozen=True)
class SinkCount:
    """What came to one socket."""

    rtcp: int
    rtp: dict[int, int]
    "By SSRC, packets with different numbers."


class CSinks:
    """The same in a process of its own, compiled from tests/bench/sink.c: it takes what one core can send."""

    def __init__(self, socks: Sequence[socket.socket], folder: str) -> None:
        binary = str(Path(folder) / "sink")
        subprocess.run(["gcc", "-O2", "-o", binary, str(Path(__file__).with_name("sink.c"))], check=True)
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        fds = [sock.fileno() for sock in socks]
        self.process = subprocess.Popen(
            [binary, *map(str, fds)],
            pass_fds=fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=pin_load,
        )

    def counts(self) -> list[SinkCount]:
        """Of each socket, after all that has arrived was taken."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        counts = []
        for line in iter(self.process.stdout.readline, "\n"):
            rtcp, *sources = line.split()
            pairs = ((int(ssrc), int(packets)) for ssrc, _, packets in (source.partition(":") for source in sources))
            counts.append(SinkCount(int(rtcp), dict(pairs)))
        return counts

    def close(self) -> None:
        self.process.communicate()


@dataclass
class Speaker:
    """A publisher at 50 packets a second with sender reports, and with the header extensions of a browser."""

    peer: LeanPeer
    due: float
    sequence_number: int = 0
    has_extensions: bool = False

    def send_due(self, now: float) -> int:
        """Send what is due; how many."""
        sent = 0
        while self.due <= now:
            extensions = {4: b"0"}
            if self.has_extensions:
                extensions = {1: b"\x85", 3: (self.sequence_number & 0xFFFF).to_bytes(2, "big")}
            self.peer.send_rtp(PACKET_PAYLOAD, self.sequence_number, self.sequence_number * 960, extensions=extensions)
            if self.sequence_number % PACKETS_PER_SECOND == 0:
                octets = self.sequence_number * len(PACKET_PAYLOAD)
                self.peer.send_sender_report(time.time(), self.sequence_number * 960, self.sequence_number, octets)
            self.sequence_number += 1
            self.due += 1 / PACKETS_PER_SECOND
            sent += 1
        return sent


@dataclass
class Camera:
    """A publisher of video at 30 frames and 1 Mbit/s: four packets to a frame, of 1,042 bytes each."""

    peer: LeanPeer
    due: float
    sequence_number: int = 0
    frames: int = 0

    def send_due(self, now: float) -> int:
        """Send the frames that are due; how many packets."""
        sent = 0
        while self.due <= now:
            is_key = self.frames % 300 == 0
            for i in range(4):
                payload = bytes((0x10 if i == 0 else 0, not is_key)) + bytes(1040)
                self.peer.send_rtp(
                    payload,
                    self.sequence_number,
                    self.frames * 3000,
                    payload_type=96,
                    marker=i == 3,
                    extensions={3: (self.sequence_number & 0xFFFF).to_bytes(2, "big")},
                )
                self.sequence_number += 1
            if self.frames % 30 == 0:
                self.peer.send_sender_report(time.time(), self.frames * 3000, self.sequence_number, 0)
            self.frames += 1
            self.due += 1 / 30
            sent += 4
        return sent


@dataclass
class Listener:
    """A subscriber: reports once a second about each track, asks for one packet again, checks consent."""

    peer: LeanPeer
    ssrcs: Sequence[int]
    due: float

    def send_due(self, now: float) -> None:
        if now < self.due:
            return
        self.due += 1.0
        blocks = [ReportBlock(ssrc, 0, 0, 1000, 50) for ssrc in self.ssrcs]
        for start in range(0, len(blocks), 31):
            self.peer.send_receiver_report(*blocks[start : start + 31])
        self.peer.send_rtcp(ReceiverReport(self.peer.ssrc), GenericNack(self.peer.ssrc, self.ssrcs[0], (1000,)))
        if random.random() < 0.4:
            self.peer.check()


@dataclass(frozen=True)
class Load:
    """What a stretch of load came to."""

    sent: int
    received: int
    expected: int
    cpu_s: float

    @property
    def cpu_us_per_packet(self) -> float:
        return self.cpu_s / self.received * 1e6 if self.received else float("nan")

    @property
    def delivered(self) -> float:
        return self.received / self.expected if self.expected else 0.0


def run_load(
    speakers: Sequence[Speaker],
    listeners: Sequence[Listener],
    sinks: Sinks,
    pid: int,
    *,
    seconds: float,
    fanout: int,
    pause_s: float = 0.001,
) -> Load:
    """Send for a while; CPU time of `pid` for it."""
    start = time.monotonic()
    for i, speaker in enumerate(speakers):
        speaker.due = start + i / len(speakers) / PACKETS_PER_SECOND
    for i, listener in enumerate(listeners):
        listener.due = start + i / len(listeners)
    sinks.drain()
    received, cpu_s, sent = sinks.rtp, cpu_seconds(pid), 0
    while (now := time.monotonic()) < start + seconds:
        for speaker in speakers:
            sent += speaker.send_due(now)
        for listener in listeners:
            listener.send_due(now)
        sinks.drain()
        time.sleep(0.0005)
    time.sleep(0.05)
    sinks.drain()
    return Load(sent, sinks.rtp - received, sent * fanout, cpu_seconds(pid) - cpu_s)


def run_bound(binary: str, rate: int, fanout: int, seconds: float) -> Load:
    """The C bound, into sinks of the same kind."""
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(fanout)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    sinks = Sinks(socks)
    ports = [str(sock.getsockname()[1]) for sock in socks]
    process = start_pinned([binary, str(rate), str(fanout), str(seconds), *ports], stdout=subprocess.DEVNULL)
    pid = 0
    while pid == 0:
        sinks.drain()
        time.sleep(0.001)
        pid, _, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = 0
    sinks.drain()
    for sock in socks:
        sock.close()
    return Load(int(rate * seconds), sinks.rtp, int(rate * seconds) * fanout, usage.ru_utime + usage.ru_stime)
