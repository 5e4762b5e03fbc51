"""`python -m tests.bench probe`: how many streams a core carries: the lean peer against plain aiortc, in one run.

A stream is a peer of its own with a socket of its own, that sends or receives Opus, 50 packets/s of 64 kbit/s, through
`rtcctl dev`, with reports and consent checks. The lean peer encodes a tone once and sends copies, or counts what comes;
aiortc's peer connection encodes for each track, or decodes each. The contenders take turns, each in a process of its
own on one core, the server and the one publisher that all subscribers hear on the other; medians.

Streams per core is what one stream takes of a core, inverted, at a load that is the same for all, and at which
everything is delivered.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import http.client
import json
import math
import os
import pstats
import re
import subprocess
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from statistics import median
from typing import Any

from rtcctl.probe.peer import Peer
from rtcctl.probe.sources.tone import ToneSource
from rtcctl.realtime import development
from tests.bench.load import SERVER_CORE, pin_load, start_pinned

PACKETS_PER_SECOND = 50
STREAMS = {"lean subscriber": 400, "aiortc subscriber": 45, "lean publisher": 350, "aiortc publisher": 15}
"""What takes about two fifths of a core of each contender, and is delivered. The load must be the same, because an idle
core makes a stream look dear: a good part of the time then goes into falling asleep and waking up with cold caches."""

PROMISES = {"subscriber": (8, 16), "publisher": (20, 40)}
"Ratio of streams per core: at least, aim."

WARM_UP_S = 2.0
DELIVERED = 0.995


@dataclass(frozen=True)
class Cost:
    """What one contender took in one round."""

    streams: int
    cpu_s: float
    "Of one second."
    delivered: float
    setup_cpu_ms: float
    "Per peer."

    @property
    def streams_per_core(self) -> float:
        return self.streams / self.cpu_s


class Api:
    """The Realtime API, in as few lines as will do."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {development.DEVELOPMENT_APP_SECRET}", "Content-Type": "application/json"}
        path = f"/v1/apps/{development.DEVELOPMENT_APP_ID}/{path}"
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        assert response.status < 300, answer
        return answer

    def new_session(self) -> str:
        session_id: str = self.call("POST", "sessions/new")["sessionId"]
        return session_id

    def publish(self, session_id: str, offer: str) -> str:
        tracks = [{"location": "local", "mid": "0", "trackName": "tone"}]
        body = {"sessionDescription": {"type": "offer", "sdp": offer}, "tracks": tracks}
        answer: str = self.call("POST", f"sessions/{session_id}/tracks/new", body)["sessionDescription"]["sdp"]
        return answer

    def pull(self, session_id: str, publisher: str) -> str:
        tracks = [{"location": "remote", "sessionId": publisher, "trackName": "tone"}]
        answer = self.call("POST", f"sessions/{session_id}/tracks/new", {"tracks": tracks})
        offer: str = answer["sessionDescription"]["sdp"]
        return offer

    def renegotiate(self, session_id: str, answer: str) -> None:
        self.call(
            "PUT",
            f"sessions/{session_id}/renegotiate",
            {"sessionDescription": {"type": "answer", "sdp": answer}},
        )


# Contenders: each makes its streams, waits until they run, and counts packets delivered when asked.

Count = Callable[[], int]


async def lean_publishers(api: Api, publisher: str, streams: int) -> Count:
    peers = [await publish_tone(api) for _ in range(streams)]

    def delivered() -> int:
        now = time.monotonic()
        each = [peer.senders[0].statistics(now) for peer, _ in peers]
        return sum(sent.packets_sent - (sent.packets_lost or 0) for sent in each)

    return delivered


async def publish_tone(api: Api) -> tuple[Peer, str]:
    peer = Peer(include_loopback=True, transport="lean")
    peer.add_sender(ToneSource(440.0))
    session_id = api.new_session()
    await peer.set_answer(api.publish(session_id, await peer.create_offer()))
    await peer.wait_connected(10)
    return peer, session_id


async def lean_subscribers(api: Api, publisher: str, streams: int) -> Count:
    peers = []
    for _ in range(streams):
        peer = Peer(include_loopback=True, transport="lean")
        session_id = api.new_session()
        api.renegotiate(session_id, await peer.answer(api.pull(session_id, publisher)))
        await peer.wait_connected(10)
        await peer.receivers[0].wait_first_packet(10)
        peers.append(peer)

    def delivered() -> int:
        now = time.monotonic()
        return sum(peer.receivers[0].statistics(now).packets_received for peer in peers)

    return delivered


async def aiortc_publishers(api: Api, publisher: str, streams: int) -> Count:
    import av
    from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    samples = array("h", [int(8000 * math.sin(2 * math.pi * 440 * n / 48000)) for n in range(960)])

    class Tone(MediaStreamTrack):  # type: ignore[misc]
        kind = "audio"
        number = 0
        started_at = 0.0

        async def recv(self) -> Any:
            self.started_at = self.started_at or time.monotonic()
            await asyncio.sleep(max(0.0, self.started_at + self.number / PACKETS_PER_SECOND - time.monotonic()))
            frame = av.AudioFrame(format="s16", layout="mono", samples=960)
            frame.planes[0].update(samples.tobytes())
            frame.pts, frame.sample_rate, frame.time_base = self.number * 960, 48000, Fraction(1, 48000)
            self.number += 1
            return frame

    connections = []
    for _ in range(streams):
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connections.append(connection)
        connection.addTransceiver(Tone(), direction="sendonly")
        await connection.setLocalDescription(await connection.createOffer())
        answer = api.publish(api.new_session(), connection.localDescription.sdp)
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await until(lambda: connection.connectionState == "connected")  # noqa: B023 (awaited here)
    senders = [connection.getSenders()[0] for connection in connections]
    # Its private counter: the public one, `getStats`, is a coroutine.
    return lambda: sum(sender._RTCRtpSender__packet_count for sender in senders)


async def aiortc_subscribers(api: Api, publisher: str, streams: int) -> Count:
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    decoded = [0] * streams
    keep = set()

    async def listen(track: Any, index: int) -> None:
        while True:
            await track.recv()
            decoded[index] += 1

    for index in range(streams):
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

        def on_track(track: Any, index: int = index) -> None:
            keep.add(asyncio.ensure_future(listen(track, index)))

        connection.on("track", on_track)
        session_id = api.new_session()
        await connection.setRemoteDescription(RTCSessionDescription(api.pull(session_id, publisher), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        api.renegotiate(session_id, connection.localDescription.sdp)
        keep.add(connection)
        await until(lambda: decoded[index])  # noqa: B023 (awaited here)
    # Nothing is decoded before the jitter buffer has filled: then every packet is a frame.
    return lambda: sum(decoded)


CONTENDERS: dict[str, Callable[[Api, str, int], Coroutine[Any, Any, Count]]] = {
    "lean subscriber": lean_subscribers,
    "aiortc subscriber": aiortc_subscribers,
    "lean publisher": lean_publishers,
    "aiortc publisher": aiortc_publishers,
}


async def until(condition: Callable[[], Any], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)


# The process of a contender


async def work(name: str, port: int, publisher: str, streams: int, seconds: float, profile: str | None) -> Cost:
    before = time.process_time()
    count = await CONTENDERS[name](Api(port), publisher, streams)
    setup_cpu_ms = (time.process_time() - before) * 1000 / streams
    await asyncio.sleep(WARM_UP_S)
    profiler = cProfile.Profile()
    if profile is not None:
        profiler.enable()
    # Counting takes a while itself, in which nothing else happens.
    started_at, packets, cpu_s = time.monotonic(), count(), time.process_time()
    await asyncio.sleep(seconds)
    passed_s, cpu_s = time.monotonic() - started_at, time.process_time() - cpu_s
    packets = count() - packets
    if profile is not None:
        profiler.disable()
        pstats.Stats(profiler, stream=sys.stderr).sort_stats(profile).print_stats(45)
    return Cost(streams, cpu_s / passed_s, packets / (streams * PACKETS_PER_SECOND * passed_s), setup_cpu_ms)


def run_worker(arguments: argparse.Namespace) -> int:
    pin_load()
    run: Callable[[Awaitable[Cost]], Cost] = asyncio.run  # type: ignore[assignment]
    if arguments.uvloop:
        import uvloop

        run = uvloop.run
    cost = run(
        work(
            arguments.work,
            arguments.port,
            arguments.publisher,
            arguments.streams,
            arguments.seconds,
            arguments.profile,
        )
    )
    sys.stdout.write(json.dumps(asdict(cost)) + "\n")
    sys.stdout.flush()
    os._exit(0)  # aiortc takes a while to say goodbye to each, and nobody is interested


# The bench


@contextmanager
def server() -> Iterator[int]:
    """`rtcctl dev` on its core; its port."""
    command = [sys.executable, "-m", "rtcctl", "dev", "--port", "0", "--output", "jsonl"]
    process = start_pinned(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert port
        yield int(port[1])
    finally:
        process.terminate()
        process.communicate(timeout=30)


async def measure(name: str, arguments: argparse.Namespace) -> Cost:
    """One contender, while one publisher speaks."""
    with server() as port:
        speaker, session_id = await publish_tone(Api(port))
        sender = speaker.senders[0]
        sender.interval(time.monotonic())
        streams = max(1, round(STREAMS[name] * arguments.scale))
        options = ["--work", name, "--port", port, "--publisher", session_id, "--streams", streams]
        options += ["--seconds", arguments.seconds]
        if arguments.uvloop:
            options.append("--uvloop")
        if arguments.profile is not None:
            options += ["--profile", arguments.profile]
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench", "probe", *map(str, options), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await worker.communicate()
        assert worker.returncode == 0, name
        spoken = sender.interval(time.monotonic())
        await speaker.close()
        cost = Cost(**json.loads(output))
        if not name.endswith("subscriber"):
            return cost
        assert spoken.nominal_packets
        # What was never said cannot be heard: the publisher shares its core with the server.
        return replace(cost, delivered=cost.delivered * spoken.nominal_packets / spoken.packets_sent)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench probe", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each contender and round")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of streams, for a slower machine")
    parser.add_argument("--uvloop", action="store_true", help="for all contenders")
    parser.add_argument("--only", choices=tuple(CONTENDERS), action="append", help="repeatable")
    parser.add_argument("--profile", metavar="ORDER", help="cProfile on stderr, by `tottime` or `cumulative`")
    for hidden, kind in (("work", str), ("port", int), ("publisher", str), ("streams", int)):
        parser.add_argument(f"--{hidden}", type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.work is not None:
        return run_worker(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {SERVER_CORE})
    names = arguments.only or list(CONTENDERS)
    results: dict[str, list[Cost]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            results[name].append(asyncio.run(measure(name, arguments)))
    write = sys.stdout.write
    write(f"{'':20}{'streams':>9}{'CPU':>7}{'streams/core':>14}{'range':>14}{'delivered':>11}{'set-up':>11}\n")
    capacity: dict[str, float] = {}
    notes = []
    for name, costs in results.items():
        each = sorted(cost.streams_per_core for cost in costs)
        capacity[name] = median(each)
        delivered = min(cost.delivered for cost in costs)
        cpu = median(cost.cpu_s for cost in costs)
        set_up = median(cost.setup_cpu_ms for cost in costs)
        span = f"{each[0]:.0f}…{each[-1]:.0f}"
        write(f"{name:20}{costs[0].streams:9}{cpu:7.0%}{capacity[name]:14.0f}{span:>14}{delivered:11.2%}")
        write(f"{set_up:8.1f} ms\n")
        if delivered < DELIVERED:
            notes.append(f"{name}: not everything was delivered, so this is no capacity; try a lower --scale")
    for role, (least, aim) in PROMISES.items():
        ours, theirs = capacity.get(f"lean {role}"), capacity.get(f"aiortc {role}")
        if ours is not None and theirs is not None:
            ratio = ours / theirs
            verdict = "BROKEN" if ratio < least else "aim reached" if ratio >= aim else ""
            write(f"lean / aiortc, {role:12}{ratio:6.1f}   (at least {least}, aim {aim})  {verdict}\n")
    for note in notes:
        write(f"note: {note}\n")
    return 0
