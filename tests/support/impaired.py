"""What a path with faults stands between: an endpoint whose time passes by hand, and a connection that knows tracks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.faults.faults import ActiveFault
from rtcctl.server.faults.grammar import parse
from rtcctl.server.faults.ledger import Ledger, PacketRow
from rtcctl.server.faults.path import ImpairedPath

PEER = ("192.0.2.1", 4000, 0)
"The peer's address, with the number of our socket."


@dataclass(eq=False)
class Timer:
    at: float
    callback: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass(frozen=True)
class Track:
    session_id: str
    track_name: str


@dataclass
class FakeConnection:
    """Knows SSRCs: those of tracks by direction, and those of RTX."""

    tracks: dict[tuple[str, int], Track] = field(default_factory=dict)
    rtx: set[tuple[str, int]] = field(default_factory=set)
    state: ConnectionState = ConnectionState.CONNECTED

    def track_to(self, ssrc: int) -> Track | None:
        return self.tracks.get(("down", ssrc))

    def track_from(self, ssrc: int, packet: bytes) -> Track | None:
        return self.tracks.get(("up", ssrc))

    def is_rtx_to(self, ssrc: int) -> bool:
        return ("down", ssrc) in self.rtx

    def is_rtx_from(self, ssrc: int, packet: bytes) -> bool:
        return ("up", ssrc) in self.rtx


class FakeEndpoint:
    """What goes on is written down with its time; timers fire in `pass_by`, exactly when they are due."""

    def __init__(self) -> None:
        self.time = 100.0
        self.passed: list[tuple[float, str, bytes]] = []
        "When, which way, what."
        self.paths: set[Any] = set()
        self.timers: list[Timer] = []
        self.on_deliver: Callable[[bytes], None] | None = None

    def now(self) -> float:
        return self.time

    def wallclock(self) -> float:
        return self.time + 1e9

    def call_at(self, at: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, callback))
        return self.timers[-1]

    def send(self, data: bytes, path: Any) -> None:
        self.passed.append((self.time, "down", data))
        self.paths.add(path)

    def deliver(self, connection: Any, data: bytes, path: Any) -> None:
        self.passed.append((self.time, "up", data))
        self.paths.add(path)
        if self.on_deliver is not None:
            self.on_deliver(data)

    def socket_of(self, path: Any) -> None: ...

    @property
    def pending(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.is_cancelled]

    def pass_by(self, seconds: float) -> None:
        end = self.time + seconds
        while due := [timer for timer in self.pending if timer.at <= end]:
            timer = min(due, key=lambda timer: timer.at)
            self.timers.remove(timer)
            self.time = max(self.time, timer.at)
            timer.callback()
        self.time = end


class Impaired:
    """A path with faults between the two."""

    def __init__(self, *faults: str, seed: int = 1) -> None:
        self.endpoint = FakeEndpoint()
        self.connection = FakeConnection()
        self.ledger = Ledger()
        self.faults = media_faults(*faults)
        self.path = ImpairedPath(
            self.endpoint,  # type: ignore[arg-type]
            self.connection,  # type: ignore[arg-type]
            self.faults,
            self.ledger,
            app_id="app",
            session_id="session",
            random=Random(seed),
        )

    def up(self, *packets: bytes) -> None:
        for packet in packets:
            self.path.receive(packet, PEER, self.endpoint.time)

    def down(self, *packets: bytes) -> None:
        for packet in packets:
            self.path.send(packet, PEER)

    @property
    def rows(self) -> list[PacketRow]:
        return list(self.ledger.packets)

    @property
    def passed(self) -> list[bytes]:
        return [data for _, _, data in self.endpoint.passed]


def media_faults(*texts: str) -> list[ActiveFault]:
    return [ActiveFault(number, text, parse(text)) for number, text in enumerate(texts)]


def rtp(number: int, ssrc: int = 7, payload_type: int = 111) -> bytes:
    """An RTP packet, as it is on the wire."""
    head = bytes((0x80, payload_type)) + (number & 0xFFFF).to_bytes(2) + bytes(4) + ssrc.to_bytes(4)
    return head + b"encrypted"


def rtcp(ssrc: int = 9) -> bytes:
    return bytes((0x80, 200, 0, 6)) + ssrc.to_bytes(4) + bytes(20)


STUN = b"\x00\x01" + bytes(18)
DTLS = b"\x16\xfe\xfd" + bytes(20)
DATA = b"\x17\xfe\xfd" + bytes(20)
