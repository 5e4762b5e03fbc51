"""Two peers over a wire in memory, in a time of their own: no socket, no sleep, and a ledger of every packet."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Candidate
from rtcctl.media.sendtime import with_room
from rtcctl.probe.peer import Peer
from rtcctl.probe.sources import Frame
from rtcctl.probe.transport import Arrival, Listener, RemoteTransport, TransportState

T = TypeVar("T")

VP8 = Codec("VP8", 96, 90_000)
PCMU = Codec("PCMU", 0, 8_000)


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout > 0:
            self.now += timeout
            timeout = 0
        return super().select(timeout)


class _Loop(asyncio.SelectorEventLoop):
    """Whoever waits is there at once, and the clock is right all the same."""

    def __init__(self) -> None:
        self._waiting = _Selector()
        super().__init__(self._waiting)

    def time(self) -> float:
        return self._waiting.now


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a time of its own. A task that is left running is an error."""
    with asyncio.Runner(loop_factory=_Loop) as runner:

        async def whole() -> T:
            result = await work
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"left running: {left}"
            return result

        return runner.run(whole())


def clock() -> float:
    return asyncio.get_running_loop().time()


class End:
    """One end of the wire: a transport."""

    _ports = count(4000)

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.other: End | None = None
        self.state = TransportState.NEW
        self.ufrag, self.pwd = "ufrg", "p" * 22
        self.fingerprint = ":".join(["AB"] * 32)
        self.candidates: tuple[Candidate, ...] = ()
        self.checking_at: float | None = None
        self.nominated_at: float | None = None
        self.connected_at: float | None = None
        self.selected_pair: tuple[Candidate, Candidate] | None = None
        self.relays = None
        self.sent_rtp: list[bytes] = []
        self.sent_rtcp: list[bytes] = []
        self.lose: Callable[[bytes], bool] = lambda packet: False
        "Whether the wire loses an RTP packet."
        self.delay_s: Callable[[bytes], float] = lambda packet: 0.005
        self.closing_s = 0.0
        "How long closing takes."
        self.closed = 0

    async def gather(self) -> None:
        if not self.candidates:
            self.candidates = (Candidate.host("127.0.0.1", next(self._ports)),)

    def start(self, remote: RemoteTransport, *, is_dtls_server: bool) -> None:
        if self.state is TransportState.NEW:
            self.checking_at = clock()
            self.selected_pair = self.candidates[0], remote.candidates[0]
            self.become(TransportState.CHECKING)
            if self.other is not None and self.other.state is TransportState.CHECKING:
                asyncio.get_running_loop().call_soon(self._connect)

    def _connect(self) -> None:
        for end in (self, self.other):
            if end is not None and end.state is TransportState.CHECKING:
                end.nominated_at = end.connected_at = clock()
                end.become(TransportState.CONNECTED)

    def become(self, state: TransportState) -> None:
        if state is not self.state:
            self.state = state
            self.listener.state_changed()

    def send_rtp(self, packet: bytes) -> None:
        if self.state is TransportState.CONNECTED:
            self.sent_rtp.append(packet)
            if self.other is not None and not self.lose(packet):
                # A heap of timers does not keep the order of those that are due together.
                delay_s = self.delay_s(packet) + len(self.sent_rtp) * 1e-9
                asyncio.get_running_loop().call_later(delay_s, self.other.rtp, packet)

    def send_rtcp(self, packet: bytes) -> None:
        if self.state is TransportState.CONNECTED:
            self.sent_rtcp.append(packet)
            if self.other is not None:
                asyncio.get_running_loop().call_later(0.005, self.other.rtcp, packet)

    def rtp(self, packet: bytes) -> None:
        """One arrives."""
        if self.state is TransportState.CONNECTED:
            arrival = Arrival(clock(), time.monotonic_ns())
            self.listener.datagram_received(arrival)
            self.listener.rtp_received(packet, arrival)

    def rtcp(self, data: bytes) -> None:
        """A compound arrives."""
        if self.state is TransportState.CONNECTED:
            arrival = Arrival(clock(), time.monotonic_ns())
            self.listener.datagram_received(arrival)
            self.listener.rtcp_received(data, arrival)

    def vanish(self) -> None:
        self.other = None

    async def close(self) -> None:
        self.closed += 1
        await asyncio.sleep(self.closing_s)
        self.become(TransportState.CLOSED)


@dataclass
class Wire:
    """Two peers; `alice` sends to `bob` as a rule."""

    ends: list[End] = field(default_factory=list)
    verify: bool = False

    def __post_init__(self) -> None:
        self.alice = Peer(clock=clock, include_loopback=True, transport=self._end)
        self.bob = Peer(clock=clock, include_loopback=True, transport=self._end, verify=self.verify)

    def _end(self, listener: Listener) -> End:
        end = End(listener)
        if self.ends:
            end.other, self.ends[0].other = self.ends[0], end
        self.ends.append(end)
        return end

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.alice.close()
        await self.bob.close()

    async def negotiate(self, change: Callable[[str], str] = lambda sdp: sdp) -> None:
        """`alice` offers; `change` is what somebody does to the offer on its way."""
        await self.alice.set_answer(await self.bob.answer(change(await self.alice.create_offer())))

    async def negotiate_back(self, change: Callable[[str], str] = lambda sdp: sdp) -> None:
        """`bob` offers."""
        await self.bob.set_answer(await self.alice.answer(change(await self.bob.create_offer())))


class Clip:
    """A source of `frames` frames at `rate_hz`, each of `size` bytes: VP8 with a key frame first, or PCMU."""

    def __init__(
        self,
        kind: str = "video",
        *,
        frames: int = 10_000,
        rate_hz: float = 30,
        size: int = 2500,
        problem: str | None = None,
    ) -> None:
        self.kind = kind
        self.codec = VP8 if kind == "video" else PCMU
        self.description = f"clip of {kind}"
        self.frame_s: float | None = 1 / rate_hz
        self.started_at: float | None = None
        self.problem = problem
        self.keys_wanted = 0
        self.closed = 0
        self._frames, self._size, self._next = frames, size, 0
        self._is_key_wanted = True

    async def prepare(self) -> None: ...

    async def next_frame(self, now: Callable[[], float]) -> Frame | None:
        assert self.frame_s is not None
        if self.started_at is None:
            self.started_at = now()
        await asyncio.sleep(self.started_at + self._next * self.frame_s - now())
        if self._next == self._frames:
            return None
        number = self._next
        self._next += 1
        timestamp = round(number * self.frame_s * self.codec.clock_rate_hz)
        if self.kind == "audio":
            return Frame(bytes(self._size), timestamp, number=number)
        is_key, self._is_key_wanted = self._is_key_wanted, False
        room = with_room("VP8", bytes([0x00 if is_key else 0x01]) + bytes(self._size))
        assert room is not None
        return Frame(room[0], timestamp, is_key, room[1], number)

    def nominal_frames(self, now: float) -> int:
        assert self.frame_s is not None
        return 0 if self.started_at is None else min(self._frames, int((now - self.started_at) / self.frame_s) + 1)

    def request_key_frame(self) -> None:
        self.keys_wanted += 1
        self._is_key_wanted = True

    async def close(self) -> None:
        self.closed += 1


__all__ = ["PCMU", "VP8", "Clip", "End", "Wire", "clock", "run"]
