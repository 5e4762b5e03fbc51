"""`python -m tests.bench mixed`: a busy server on one core: twenty rooms of speech and two cameras at once.

Twenty publishers of audio (50 packets/s) with fifty subscribers each, and two of video (1 Mbit/s, 30 frames/s) with
twenty-five each: 1,050 subscriptions, 56,000 packets/s out. Reports, NACKs answered, congestion feedback and the header
extensions of browsers are on. The server has one core, with extra `fast`; the load and the sinks (in C) have another.
What counts is that nothing is lost, and how much of the core that takes.

Packets are counted where they leave the load, in the server, and in the sinks; with what the kernel dropped at either
socket, and how long either process had to wait for its core, that says whose fault a loss is. The exit status is 1 when
it is the server's, 2 when it is not: then nothing was measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.bench.kernel import SocketState, receive_buffer_bytes, udp_sockets, waited_s
from tests.bench.load import Camera, CSinks, Listener, Sfu, Speaker, cpu_seconds, pin_load

SPEAKERS, LISTENERS = 20, 50
CAMERAS, VIEWERS = 2, 25

_LOOK_S = 0.1
"How often the kernel is asked how much waits for the server."
_DRAIN_S = 30.0
"The longest time in which what waits at the end may be worked off."


@dataclass(frozen=True)
class Flow:
    """One published track: what the load sent, what the server received, and what came to each of its subscribers."""

    sent: int
    received: int
    delivered: Sequence[int]

    @property
    def lost_in(self) -> int:
        return self.sent - self.received

    @property
    def lost_out(self) -> int:
        return self.received * len(self.delivered) - sum(self.delivered)


@dataclass
class Watch:
    """The server's socket while it is under load."""

    port: int
    most_queued_bytes: int = 0
    due: float = 0.0
    state: SocketState = field(default=SocketState(0, 0))

    def look(self, now: float) -> None:
        if now >= self.due:
            self.due = now + _LOOK_S
            self.state = udp_sockets([self.port])[self.port]
            self.most_queued_bytes = max(self.most_queued_bytes, self.state.queued_bytes)


def settle(watch: Watch, ports: Sequence[int]) -> float:
    """Wait until nothing waits to be read, by the server or by the sinks; how long that took."""
    start = now = time.monotonic()
    while now < start + _DRAIN_S:
        watch.due = 0.0
        watch.look(now)
        queued = [state.queued_bytes for state in udp_sockets(ports).values()]
        if not watch.state.queued_bytes and not any(queued):
            break
        time.sleep(0.01)
        now = time.monotonic()
    time.sleep(0.1)
    return now - start


class Scene:
    """Who sends and who receives, in the order of the tracks: the speakers, then the cameras."""

    def __init__(self, sfu: Sfu, folder: str) -> None:
        self.sfu = sfu
        speakers, cameras = sfu.connect(SPEAKERS), sfu.connect(CAMERAS)
        listeners, viewers = sfu.connect(LISTENERS), sfu.connect(VIEWERS)
        audio, video = sfu.publish(speakers), sfu.publish(cameras, "video")
        heard = sfu.subscribe([(index, track) for index in listeners for track in audio])
        seen = sfu.subscribe([(index, track) for index in viewers for track in video])
        self.sockets = [sfu.peers[index].sock for index in (*listeners, *viewers)]
        self.sinks = CSinks(self.sockets, folder)
        self.ssrcs = [heard[i::SPEAKERS] for i in range(SPEAKERS)] + [seen[i::CAMERAS] for i in range(CAMERAS)]
        now = time.monotonic()
        self.sources: list[Speaker | Camera] = [
            Speaker(sfu.peers[index], now + i / 1000, has_extensions=True) for i, index in enumerate(speakers)
        ]
        self.sources += [Camera(sfu.peers[index], now + i / 60) for i, index in enumerate(cameras)]
        self.reporters = [
            Listener(sfu.peers[index], heard[i * SPEAKERS : (i + 1) * SPEAKERS], now + i / LISTENERS)
            for i, index in enumerate(listeners)
        ]
        self.reporters += [
            Listener(sfu.peers[index], seen[i * CAMERAS : (i + 1) * CAMERAS], now + i / VIEWERS)
            for i, index in enumerate(viewers)
        ]

    @property
    def ports(self) -> list[int]:
        """Of the sinks."""
        return [sock.getsockname()[1] for sock in self.sockets]

    def drive(self, watch: Watch, seconds: float) -> float:
        """Send what is due, for a while; by how many seconds it was late at most."""
        late_s = 0.0
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            late_s = max(late_s, now - min(source.due for source in self.sources))
            for source in self.sources:
                source.send_due(now)
            for reporter in self.reporters:
                reporter.send_due(now)
            watch.look(now)
            time.sleep(0.0005)
        return late_s

    def flows(self, received: Sequence[int]) -> list[Flow]:
        """`received`: by the server, of each track."""
        counts = self.sinks.counts()
        heard, seen = counts[:LISTENERS], counts[LISTENERS:]
        audiences = [heard] * SPEAKERS + [seen] * CAMERAS
        return [
            Flow(source.sequence_number, packets, [c.rtp.get(ssrc, 0) for c, ssrc in zip(counts, ssrcs, strict=True)])
            for source, packets, counts, ssrcs in zip(self.sources, received, audiences, self.ssrcs, strict=True)
        ]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench mixed", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--no-uvloop", action="store_true")
    arguments = parser.parse_args(argv)
    seconds: float = arguments.seconds
    pin_load()
    sfu = Sfu(uvloop=not arguments.no_uvloop)
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(sfu, folder)
        watch = Watch(sfu.peers[0].server[1])
        processes = {"server": sfu.process.pid, "sinks": scene.sinks.process.pid}
        waited = {name: waited_s(pid) for name, pid in processes.items()}
        cpu_s = cpu_seconds(sfu.process.pid)
        late_s = scene.drive(watch, seconds)
        behind_s = settle(watch, scene.ports)
        seconds += behind_s
        cpu_s = cpu_seconds(sfu.process.pid) - cpu_s
        waited = {name: (waited_s(pid) - waited[name]) / seconds for name, pid in processes.items()}
        counted = sfu.ask(count=True)
        flows = scene.flows(counted["received"])
        dropped_out = sum(state.dropped for state in udp_sockets(scene.ports).values())
        buffer_bytes = receive_buffer_bytes(scene.sockets[0])
        scene.sinks.close()
        sfu.close()
    write: Callable[[str], object] = sys.stdout.write
    write(f"{'':8}{'sent':>10}{'at server':>12}{'expected':>12}{'received':>12}{'lost in':>10}{'lost out':>10}\n")
    write(row("audio", flows[:SPEAKERS]))
    write(row("video", flows[SPEAKERS:]))
    received = sum(sum(flow.delivered) for flow in flows)
    write(f"server: {cpu_s / seconds:.0%} of a core, {cpu_s / max(received, 1) * 1e6:.1f} µs a packet; ")
    write(f"sessions closed by an error: {counted['errors']}\n")
    write(f"waited for their cores: server {waited['server']:.0%}, sinks {waited['sinks']:.0%} of the time; ")
    write(f"the load was at most {late_s * 1000:.0f} ms late\n")
    write(f"the kernel dropped {watch.state.dropped:,} at the server's socket and {dropped_out:,} at the sinks' ")
    write(f"({buffer_bytes // 1024:,} KiB each), and refused {counted['dropped']:,} from the server\n")
    write(f"waiting for the server: at most {watch.most_queued_bytes // 1024:,} KiB; ")
    write(f"what was left at the end took {behind_s:.1f} s\n")
    return verdict(flows, dropped_in=watch.state.dropped, dropped_out=dropped_out, waited=waited["server"])


def row(name: str, flows: Sequence[Flow]) -> str:
    """Totals of one kind."""
    sent, at_server = sum(flow.sent for flow in flows), sum(flow.received for flow in flows)
    expected = sum(flow.sent * len(flow.delivered) for flow in flows)
    received = sum(sum(flow.delivered) for flow in flows)
    lost_in, lost_out = sum(flow.lost_in for flow in flows), sum(flow.lost_out for flow in flows)
    return f"{name:8}{sent:10,}{at_server:12,}{expected:12,}{received:12,}{lost_in:10,}{lost_out:10,}\n"


def verdict(flows: Sequence[Flow], *, dropped_in: int, dropped_out: int, waited: float) -> int:
    """The exit status, and a line that says why."""
    lost_in, lost_out = sum(flow.lost_in for flow in flows), sum(flow.lost_out for flow in flows)
    if not lost_in and not lost_out:
        reason, status = "nothing was lost", 0
    elif lost_in > dropped_in or lost_out > dropped_out:
        reason, status = "the server lost packets that the kernel did not", 1
    elif lost_out > 0:
        reason, status = "the sinks were too slow: nothing was measured", 2
    elif waited > 0.1:
        reason, status = "other work had the server's core: nothing was measured", 2
    else:
        reason, status = "the server was too slow", 1
    sys.stdout.write(f"verdict: {reason}\n")
    return status
