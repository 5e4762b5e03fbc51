"""`python -m tests.bench faults`: what forwarding pays for faults that concern nobody who sends or receives.

The load of `forward` on the server with uvloop, three times in each round: on the same data path with all that asks for
faults taken out of its source, with no fault set, and with one of a session that does nothing. Medians, and the ratio
to the first; contenders take turns, and each round begins with another one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from statistics import median

from tests.bench.forward import FANOUT, measure_rtcctl
from tests.bench.load import Load, pin_load


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load per contender and round")
    arguments = parser.parse_args(argv)
    pin_load()
    measure = partial(measure_rtcctl, arguments.seconds, uvloop=True)
    contenders: dict[str, Callable[[], Load]] = {
        "without the hooks": partial(measure, options=["--no-hooks"]),
        "no fault": measure,
        "a fault of another session": partial(measure, fault="loss=5%,delay=20ms"),
    }
    results: dict[str, list[Load]] = {name: [] for name in contenders}
    for number in range(arguments.rounds):
        names = list(contenders)
        for name in names[number % 3 :] + names[: number % 3]:
            results[name].append(contenders[name]())
    cost = {name: median(load.cpu_us_per_packet for load in loads) for name, loads in results.items()}
    bare = cost["without the hooks"]
    sys.stdout.write(f"{f'fan-out {FANOUT}':28}{'CPU/packet':>12}{'ratio':>8}{'range':>14}{'delivered':>11}\n")
    for name, loads in results.items():
        costs = sorted(load.cpu_us_per_packet for load in loads)
        span = f"{costs[0]:.2f}…{costs[-1]:.2f}"
        delivered = min(load.delivered for load in loads)
        sys.stdout.write(f"{name:28}{cost[name]:9.2f} µs{cost[name] / bare:8.3f}{span:>14}{delivered:11.2%}\n")
    return 0
