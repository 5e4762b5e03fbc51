"""`python -m tests.bench forward`: CPU per forwarded packet, against the bound and against Janus, in one run.

Sixteen publishers (50 packets/s of 172 bytes each) and fifty subscribers to all of them: 800 subscriptions, 40,000
packets/s out, AES-GCM-128, sender and receiver reports each second, NACKs answered, statistics kept. Contenders take
turns; medians. The server is pinned to one core, load and sinks to another.

The bound is tests/bench/bound.c: the same packets, copied, protected by Debian's libsrtp2 and sent in batches; no
receiving, no RTCP. It needs gcc and libsrtp2-dev; Janus needs Debian's `janus`. Absent ones are left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.bench.load import Listener, Load, Sfu, Sinks, Speaker, pin_load, run_bound, run_load

PUBLISHERS, FANOUT = 16, 50


def compile_bound(folder: str) -> tuple[str | None, str]:
    """The bound's binary, or why there is none."""
    if shutil.which("gcc") is None:
        return None, "gcc is not installed"
    binary = str(Path(folder) / "bound")
    source = Path(__file__).with_name("bound.c")
    built = subprocess.run(["gcc", "-O2", "-o", binary, str(source), "-lsrtp2"], capture_output=True, text=True)
    return (binary, "") if built.returncode == 0 else (None, "libsrtp2-dev is not installed")


def measure_rtcctl(seconds: float, *, uvloop: bool, options: Sequence[str] = (), fault: str = "") -> Load:
    """`fault` is set for one more session, which does nothing."""
    sfu = Sfu(uvloop=uvloop, options=options)
    try:
        publishers, subscribers = sfu.connect(PUBLISHERS), sfu.connect(FANOUT)
        tracks = sfu.publish(publishers)
        ssrcs = sfu.subscribe([(subscriber, track) for subscriber in subscribers for track in tracks])
        listeners = [
            Listener(sfu.peers[s], ssrcs[i * PUBLISHERS : (i + 1) * PUBLISHERS], 0) for i, s in enumerate(subscribers)
        ]
        speakers = [Speaker(sfu.peers[p], 0) for p in publishers]
        sinks = Sinks([sfu.peers[s].sock for s in subscribers])
        if fault:
            sfu.ask(fault=f"{fault},session={sfu.connect(1)[0]}")
        run_load(speakers, listeners, sinks, sfu.process.pid, seconds=1.0, fanout=FANOUT)
        load = run_load(speakers, listeners, sinks, sfu.process.pid, seconds=seconds, fanout=FANOUT)
        counted = sfu.ask(count=True)
        assert counted["errors"] == 0
        return load
    finally:
        sfu.close()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench forward", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load per contender and round")
    parser.add_argument("--no-janus", action="store_true")
    arguments = parser.parse_args(argv)
    pin_load()
    seconds = arguments.seconds
    notes = []
    with tempfile.TemporaryDirectory() as folder:
        contenders = {}
        bound, reason = compile_bound(folder)
        if bound is None:
            notes.append(f"no C bound: {reason}")
        else:
            contenders["C: libsrtp2 + sendmmsg(64)"] = lambda: run_bound(bound, PUBLISHERS * 50, FANOUT, seconds)
        contenders["rtcctl, uvloop"] = lambda: measure_rtcctl(seconds, uvloop=True)
        contenders["rtcctl, asyncio"] = lambda: measure_rtcctl(seconds, uvloop=False)
        if shutil.which("janus") is None:
            notes.append("no Janus: it is not installed")
        elif not arguments.no_janus:
            from tests.bench import janus

            contenders["Janus videoroom, default"] = lambda: janus.measure(PUBLISHERS, FANOUT, seconds, event_loops=0)
            contenders["Janus videoroom, one event loop"] = lambda: janus.measure(
                PUBLISHERS, FANOUT, seconds, event_loops=1
            )
        results: dict[str, list[Load]] = {name: [] for name in contenders}
        for _ in range(arguments.rounds):
            for name, measure in contenders.items():
                results[name].append(measure())
    cost = {name: median(load.cpu_us_per_packet for load in loads) for name, loads in results.items()}
    ours = cost["rtcctl, uvloop"]
    write = sys.stdout.write
    write(f"{f'fan-out {FANOUT}':34}{'CPU/packet':>12}{'÷ rtcctl':>10}{'range':>14}{'delivered':>11}\n")
    for name, loads in results.items():
        costs = sorted(load.cpu_us_per_packet for load in loads)
        delivered = min(load.delivered for load in loads)
        span = f"{costs[0]:.1f}…{costs[-1]:.1f}"
        write(f"{name:34}{cost[name]:9.1f} µs{cost[name] / ours:10.2f}{span:>14}{delivered:11.2%}\n")
        if delivered < 0.99:
            notes.append(f"{name}: packets were lost, so the machine was busy or the contender saturated; run again")
    for note in notes:
        write(f"note: {note}\n")
    return 0
