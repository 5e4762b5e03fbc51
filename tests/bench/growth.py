"""`python -m tests.bench growth`: does a forwarded packet cost more among a hundred times as many subscriptions?

Rooms of one publisher (50 packets/s, 172 bytes) and ten subscribers, a session each, RTCP and NACK on: one room, ten, a
hundred, then a hundred with as many idle sessions again. CPU of the server process per forwarded packet; one room is
dear because each packet wakes a sleeping process, so the row of ten rooms is the harder yardstick.
"""

from __future__ import annotations

import argparse
import resource
import sys
from statistics import median

from tests.bench.load import Listener, Load, Sfu, Sinks, Speaker, pin_load, run_load

FANOUT = 10


def measure(rooms: int, idle: int, *, seconds: float, uvloop: bool) -> Load:
    sfu = Sfu(uvloop=uvloop)
    try:
        publishers = sfu.connect(rooms)
        subscribers = sfu.connect(rooms * FANOUT)
        sfu.connect(idle)
        tracks = sfu.publish(publishers)
        pairs = [(subscriber, tracks[i // FANOUT]) for i, subscriber in enumerate(subscribers)]
        ssrcs = sfu.subscribe(pairs)
        listeners = [Listener(sfu.peers[s], [ssrc], 0) for s, ssrc in zip(subscribers, ssrcs, strict=True)]
        speakers = [Speaker(sfu.peers[p], 0) for p in publishers]
        sinks = Sinks([sfu.peers[s].sock for s in subscribers])
        run_load(speakers, listeners, sinks, sfu.process.pid, seconds=1.0, fanout=FANOUT)
        return run_load(speakers, listeners, sinks, sfu.process.pid, seconds=seconds, fanout=FANOUT)
    finally:
        sfu.close()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load per contender and round")
    parser.add_argument("--no-uvloop", action="store_true")
    arguments = parser.parse_args(argv)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    pin_load()
    rows = {
        "10 subscriptions": (1, 0),
        "100 subscriptions": (10, 0),
        "1,000 subscriptions": (100, 0),
        "1,000 and 1,100 idle sessions": (100, 1100),
    }
    results: dict[str, list[Load]] = {name: [] for name in rows}
    for _ in range(arguments.rounds):
        for name, (rooms, idle) in rows.items():
            # One room makes so few packets that the 10 ms of the CPU clock matter: it runs longer.
            seconds = arguments.seconds * (4 if rooms == 1 else 1)
            results[name].append(measure(rooms, idle, seconds=seconds, uvloop=not arguments.no_uvloop))
    costs = {name: median(load.cpu_us_per_packet for load in loads) for name, loads in results.items()}
    ten, hundred = costs["10 subscriptions"], costs["100 subscriptions"]
    write = sys.stdout.write
    write(f"{'fan-out 10':32}{'CPU/packet':>12}{'÷ 10 subs':>11}{'÷ 100 subs':>12}{'delivered':>11}\n")
    for name, loads in results.items():
        delivered = min(load.delivered for load in loads)
        cost = costs[name]
        write(f"{name:32}{cost:9.1f} µs{cost / ten:11.2f}{cost / hundred:12.2f}{delivered:11.2%}\n")
    if any(load.delivered < 0.99 for loads in results.values() for load in loads):
        write("note: packets were lost: other work had the server's core, or it was saturated; run again\n")
    return 0
